/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/store.h"

#include "common/err.h"
#include "common/log.h"

#include <stdlib.h>

enum { RETRY_MS = 500, PATH = 512 };

static const char *const followed[] = { "cert/", "csr/", "acme/", "ddns/challenge/" };
enum { FOLLOWED = sizeof(followed) / sizeof(followed[0]) };

struct store {
	uv_loop_t *loop;
	uv_timer_t retry;
	char socket[PATH];
	const struct store_handlers *h;
	void *arg;
	struct cluster *cluster; /* NULL: not connected */
	unsigned n_read;         /* of `followed` */
	bool said_down;
	struct store_role role;
	struct store_object *objects[STORE_OBJECTS];
	size_t n;
};

static void begin(struct store *s);

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
on_changed(struct store *s, const struct cluster_msg *m)
{
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
take_text(char *to, size_t cap, struct span s)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

static void
on_role(struct store *s, const struct cluster_msg *m)
{
	s->role.is_active = m->flags & CLUSTER_ACTIVE;
	s->role.epoch = m->generation;
	take_text(s->role.node, sizeof(s->role.node), m->name);
	take_text(s->role.peer, sizeof(s->role.peer), m->writer);
	log_debug(0, "role: %s epoch=%llu", s->role.is_active ? "active" : "standby",
		  (unsigned long long)s->role.epoch);
	s->h->on_role(s->arg);
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	if (m->type == CLUSTER_CHANGED)
		on_changed(arg, m);
	else if (m->type == CLUSTER_ROLE)
		on_role(arg, m);
}

static void
on_watched(void *arg, const struct cluster_msg *m)
{
	struct store *s = arg;

	if (m->status != CLUSTER_OK)
		return;
	if (++s->n_read == FOLLOWED) {
		if (s->said_down)
			log_info(0, "store: connected");
		s->said_down = false;
		s->h->on_change(s->arg, NULL);
	}
}

static void
on_up(void *arg)
{
	struct store *s = arg;
	struct cluster_msg m = { .type = CLUSTER_HELLO, .name = SPAN("acmed") };

	/* All that is there is told again. */
	while (s->n > 0)
		forget(s, 0);
	s->n_read = 0;
	(void)cluster_call(s->cluster, &m, NULL, NULL);
	m.type = CLUSTER_WATCH;
	for (size_t i = 0; i < FOLLOWED; i++) {
		m.name = span_str(followed[i]);
		(void)cluster_call(s->cluster, &m, on_watched, s);
	}
}

static void
on_retry(uv_timer_t *t)
{
	begin(t->data);
}

static void
on_down(void *arg, int rc)
{
	struct store *s = arg;
	bool was_active = s->role.is_active;

	if (!s->said_down)
		log_warn(0, "store: no connection to hasync (%s), trying again: %s",
			 s->socket, err_text(rc));
	s->said_down = true;
	cluster_free(s->cluster);
	s->cluster = NULL;
	s->n_read = 0;
	s->role.is_active = false;
	uv_timer_start(&s->retry, on_retry, RETRY_MS, 0);
	if (was_active)
		s->h->on_role(s->arg);
}

static const struct cluster_handlers handlers = { on_up, on_push, on_down };

static void
begin(struct store *s)
{
	int rc = cluster_new(&s->cluster, s->loop, &handlers, s);

	if (rc == 0)
		rc = cluster_connect(s->cluster, s->socket);
	if (rc < 0)
		on_down(s, rc);
}

int
store_new(struct store **out, uv_loop_t *loop, const char *socket,
	  const struct store_handlers *h, void *arg)
{
	struct store *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return E_NOMEM;
	if (strlen(socket) >= sizeof(s->socket)) {
		free(s);
		return -ENAMETOOLONG;
	}
	memcpy(s->socket, socket, strlen(socket));
	s->loop = loop;
	s->h = h;
	s->arg = arg;
	uv_timer_init(loop, &s->retry);
	s->retry.data = s;
	*out = s;
	/* From the loop: nobody hears of anything before this returned. */
	return uv_timer_start(&s->retry, on_retry, 0, 0);
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	cluster_free(s->cluster);
	s->cluster = NULL;
	uv_close((uv_handle_t *)&s->retry, NULL);
}

void
store_free(struct store *s)
{
	while (s != NULL && s->n > 0)
		forget(s, 0);
	free(s);
}

bool
store_is_ready(const struct store *s)
{
	return s->cluster != NULL && s->n_read == FOLLOWED;
}

const struct store_role *
store_role(const struct store *s)
{
	return &s->role;
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

	return s->cluster == NULL ? E_CLOSED : cluster_call(s->cluster, &m, done, arg);
}

int
store_remove(struct store *s, const char *name, cluster_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .flags = CLUSTER_REMOVE,
				 .name = span_str(name),
				 .generation = CLUSTER_ANY };

	return s->cluster == NULL ? E_CLOSED : cluster_call(s->cluster, &m, done, arg);
}

int
store_get(struct store *s, const char *name, cluster_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_GET, .name = span_str(name) };

	return s->cluster == NULL ? E_CLOSED : cluster_call(s->cluster, &m, done, arg);
}

void
store_event(struct store *s, const char *event, const char *text)
{
	struct cluster_msg m = { .type = CLUSTER_EVENT,
				 .name = span_str(event),
				 .bytes = span_str(text) };

	log_info(0, "%s %s", event, text);
	if (s->cluster != NULL)
		(void)cluster_call(s->cluster, &m, NULL, NULL);
}
