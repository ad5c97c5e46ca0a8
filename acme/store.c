/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/store.h"

#include "common/err.h"
#include "common/log.h"

#include <stdlib.h>

struct store {
	struct line line;
	const struct store_handlers *h;
	void *arg;
	struct store_object *objects[STORE_OBJECTS];
	size_t n;
};

static void
object_free(struct store_object *o)
{
	if (o != NULL)
		free(o->bytes);
	free(o);
}

static size_t
place_of(const struct store *s, struct span name)
{
	size_t i = 0;

	while (i < s->n && !span_is(name, s->objects[i]->name))
		i++;
	return i;
}

static void
forget(struct store *s, size_t i)
{
	if (i == s->n)
		return;
	object_free(s->objects[i]);
	s->objects[i] = s->objects[--s->n];
}

static int
keep(struct store *s, const struct cluster_msg *m)
{
	size_t i = place_of(s, m->name);

	if (i == STORE_OBJECTS || m->name.n > CLUSTER_NAME_MAX)
		return E_LIMIT;
	struct store_object *o = calloc(1, sizeof(*o));
	uint8_t *bytes = malloc(m->bytes.n + 1);
	if (o == NULL || bytes == NULL) {
		free(o);
		free(bytes);
		return E_NOMEM;
	}
	memcpy(o->name, m->name.p, m->name.n);
	if (m->bytes.n > 0)
		memcpy(bytes, m->bytes.p, m->bytes.n);
	bytes[m->bytes.n] = '\0';
	o->generation = m->generation;
	o->bytes = bytes;
	o->n = m->bytes.n;
	if (i < s->n)
		object_free(s->objects[i]);
	else
		s->n++;
	s->objects[i] = o;
	return 0;
}

static void
on_object(void *arg, const struct cluster_msg *m)
{
	struct store *s = arg;
	char name[CLUSTER_NAME_MAX + 1] = "";
	int rc = 0;

	if (m->name.n >= sizeof(name))
		return;
	memcpy(name, m->name.p, m->name.n);
	if (m->flags & CLUSTER_REMOVE)
		forget(s, place_of(s, m->name));
	else
		rc = keep(s, m);
	if (rc < 0)
		log_warn(0, "store: object %s is not followed: %s", name, err_text(rc));
	else
		s->h->on_change(s->arg, name);
}

static void
forget_all(void *arg)
{
	struct store *s = arg;

	while (s->n > 0)
		forget(s, 0);
}

static void
on_ready(void *arg)
{
	struct store *s = arg;

	s->h->on_change(s->arg, NULL);
}

static void
on_role(void *arg)
{
	struct store *s = arg;

	log_debug(0, "role: %s epoch=%llu",
		  s->line.role.is_active ? "active" : "standby",
		  (unsigned long long)s->line.role.epoch);
	s->h->on_role(s->arg);
}

int
store_new(struct store **out, uv_loop_t *loop, const char *socket,
	  const struct store_handlers *h, void *arg)
{
	static const char *const followed[] = { "cert/", "csr/", "acme/",
						"ddns/challenge/", NULL };
	static const struct line_rules rules = { .kind = "acmed",
						 .watched = followed,
						 .on_up = forget_all,
						 .on_object = on_object,
						 .on_ready = on_ready,
						 .on_role = on_role };
	struct store *s = calloc(1, sizeof(*s));
	int rc = s == NULL ? E_NOMEM : line_open(&s->line, loop, socket, &rules, s);

	if (rc < 0) {
		free(s);
		return rc;
	}
	s->h = h;
	s->arg = arg;
	*out = s;
	return 0;
}

void
store_close(struct store *s)
{
	if (s != NULL)
		line_close(&s->line, NULL);
}

void
store_free(struct store *s)
{
	if (s != NULL)
		forget_all(s);
	free(s);
}

bool
store_is_ready(const struct store *s)
{
	return s->line.is_ready;
}

const struct line_role *
store_role(const struct store *s)
{
	return &s->line.role;
}

const struct store_object *
store_find(const struct store *s, const char *name)
{
	size_t i = place_of(s, span_str(name));

	return i < s->n ? s->objects[i] : NULL;
}

const struct store_object *
store_at(const struct store *s, const char *prefix, size_t i)
{
	for (size_t j = 0; j < s->n; j++)
		if (span_has_prefix(span_str(s->objects[j]->name), prefix) && i-- == 0)
			return s->objects[j];
	return NULL;
}

int
store_put(struct store *s, const char *name, struct span bytes, uint64_t generation,
	  cluster_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .name = span_str(name),
				 .generation = generation,
				 .bytes = bytes };

	return line_call(&s->line, &m, done, arg);
}

int
store_remove(struct store *s, const char *name, cluster_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .flags = CLUSTER_REMOVE,
				 .name = span_str(name),
				 .generation = CLUSTER_ANY };

	return line_call(&s->line, &m, done, arg);
}

int
store_get(struct store *s, const char *name, cluster_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_GET, .name = span_str(name) };

	return line_call(&s->line, &m, done, arg);
}

void
store_event(struct store *s, const char *event, const char *text)
{
	log_info(0, "%s %s", event, text);
	line_event(&s->line, event, text);
}
