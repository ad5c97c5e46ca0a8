/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/store.h"

#include "common/err.h"
#include "common/line.h"
#include "common/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

enum { EVENT_TEXT = 500 };

struct store {
	struct line line;
	struct secrets *secrets;
	const struct store_handlers *h;
	void *arg;
	bool is_told; /* to our owner: active */
};

struct store_wait {
	store_done done; /* NULL: nobody waits any more */
	void *arg;
	bool is_proof;
};

/* ---- what is so ---- */

bool
store_is_ready(const struct store *s)
{
	return s->line.is_ready;
}

bool
store_is_active(const struct store *s)
{
	return s->line.is_ready && s->line.role.is_active;
}

uint64_t
store_epoch(const struct store *s)
{
	return s->line.role.epoch;
}

const char *
store_node(const struct store *s)
{
	return s->line.role.node;
}

int
store_secret(const struct store *s, const char *name, char value[SECRET_VALUE_MAX + 1])
{
	return secrets_open(s->secrets, name, value, NULL);
}

static void
tell_role(void *arg)
{
	struct store *s = arg;
	bool is_active = store_is_active(s);

	if (is_active == s->is_told)
		return;
	s->is_told = is_active;
	s->h->on_role(s->arg, is_active);
}

/* ---- hearing ---- */

static void
on_object(void *arg, const struct cluster_msg *m)
{
	struct store *s = arg;
	char name[CLUSTER_NAME_MAX + 1];
	struct span bytes = { 0 };

	if (secrets_take(s->secrets, m)) {
		s->h->on_secret(s->arg);
		return;
	}
	if (!(m->flags & CLUSTER_REMOVE))
		bytes = m->bytes;
	if (m->name.n >= sizeof(name))
		return;
	memcpy(name, m->name.p, m->name.n);
	name[m->name.n] = '\0';
	s->h->on_object(s->arg, name, bytes, span_is(m->writer, store_node(s)));
}

int
store_new(struct store **out, uv_loop_t *loop, const char *path,
	  const uint8_t key[PAIRKEY], const struct store_handlers *h, void *arg)
{
	static const char *const watched[] = { SECRET_PREFIX, "ddns/",
					       "acme/challenge/", "node/", NULL };
	static const struct line_rules rules = { .kind = "ddnsd",
						 .watched = watched,
						 .on_object = on_object,
						 .on_ready = tell_role,
						 .on_role = tell_role };
	struct store *s = calloc(1, sizeof(*s));
	int rc = s == NULL ? E_NOMEM : secrets_new(&s->secrets, key);

	*out = NULL;
	if (rc == 0 && (rc = line_open(&s->line, loop, path, &rules, s)) < 0)
		secrets_free(s->secrets);
	if (rc < 0) {
		free(s);
		return rc;
	}
	s->h = h;
	s->arg = arg;
	*out = s;
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct line *l = h->data;
	struct store *s = l->arg;

	secrets_free(s->secrets);
	free(s);
}

void
store_free(struct store *s)
{
	if (s != NULL)
		line_close(&s->line, on_closed);
}

/* ---- saying ---- */

/* {"self":{"role":"active",...},...} */
static bool
is_proof(struct span bytes)
{
	json_t *o = json_loadb((const char *)bytes.p, bytes.n, 0, NULL);
	const json_t *self = json_object_get(o, "self");
	const char *role = json_string_value(json_object_get(self, "role"));
	bool ok = role != NULL && strcmp(role, "active") == 0;

	json_decref(o);
	return ok;
}

static void
on_answered(void *arg, const struct cluster_msg *a)
{
	struct store_wait *w = arg;

	if (w->done != NULL)
		w->done(w->arg, a->status == CLUSTER_OK &&
					(!w->is_proof || is_proof(a->bytes)));
	free(w);
}

static int
ask(struct store *s, const struct cluster_msg *m, bool is_a_proof,
    struct store_wait **out, store_done done, void *arg)
{
	struct store_wait *w = calloc(1, sizeof(*w));
	int rc = w == NULL ? E_NOMEM : 0;

	if (rc == 0) {
		*w = (struct store_wait){ done, arg, is_a_proof };
		rc = line_call(&s->line, m, on_answered, w);
	}
	if (rc < 0)
		free(w);
	if (out != NULL)
		*out = rc < 0 ? NULL : w;
	return rc;
}

int
store_prove(struct store *s, struct store_wait **out, store_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_INFO };

	return ask(s, &m, true, out, done, arg);
}

int
store_put(struct store *s, const char *name, const char *text, struct store_wait **out,
	  store_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .flags = text == NULL ? CLUSTER_REMOVE : 0,
				 .generation = CLUSTER_ANY,
				 .name = span_str(name) };

	if (text != NULL)
		m.bytes = span_str(text);
	return ask(s, &m, false, out, done, arg);
}

void
store_cancel(struct store_wait *w)
{
	if (w != NULL)
		w->done = NULL;
}

void
store_event(struct store *s, const char *name, const char *fmt, ...)
{
	char text[EVENT_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(strcmp(name, "ddns_updated") == 0 ? LOG_L_INFO : LOG_L_WARN, 0,
		 "%s: %s", name, text);
	line_event(&s->line, name, text);
}
