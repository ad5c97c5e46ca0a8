/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/store.h"

#include "common/err.h"
#include "common/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

enum { AGAIN_MS = 500, PATH_MAX_TEXT = 256, EVENT_TEXT = 500 };

static const char *const watched[] = { SECRET_PREFIX, "ddns/", "acme/challenge/",
				       "node/" };
enum { WATCHES = sizeof(watched) / sizeof(watched[0]) };

struct store {
	uv_loop_t *loop;
	uv_timer_t again;
	char path[PATH_MAX_TEXT], node[CLUSTER_NODE_MAX + 1];
	struct cluster *c;
	struct secrets *secrets;
	const struct store_handlers *h;
	void *arg;
	unsigned watches;        /* that were answered */
	bool is_active, is_told; /* by hasync; to our owner */
	bool is_down_told;
	uint64_t epoch;
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
	return s->c != NULL && s->watches == WATCHES;
}

bool
store_is_active(const struct store *s)
{
	return store_is_ready(s) && s->is_active;
}

uint64_t
store_epoch(const struct store *s)
{
	return s->epoch;
}

const char *
store_node(const struct store *s)
{
	return s->node;
}

int
store_secret(const struct store *s, const char *name, char value[SECRET_VALUE_MAX + 1])
{
	return secrets_open(s->secrets, name, value, NULL);
}

static void
tell_role(struct store *s)
{
	bool is_active = store_is_active(s);

	if (is_active == s->is_told)
		return;
	s->is_told = is_active;
	s->h->on_role(s->arg, is_active);
}

/* ---- hearing ---- */

static void
take_role(struct store *s, const struct cluster_msg *m)
{
	bool is_active = m->flags & CLUSTER_ACTIVE;

	if (m->name.n < sizeof(s->node)) {
		memcpy(s->node, m->name.p, m->name.n);
		s->node[m->name.n] = '\0';
	}
	/* Active again under another epoch: in between it was someone else. */
	if (is_active && s->is_active && m->generation != s->epoch) {
		s->is_active = false;
		tell_role(s);
	}
	s->epoch = m->generation;
	s->is_active = is_active;
	tell_role(s);
}

static void
take_object(struct store *s, const struct cluster_msg *m)
{
	char name[CLUSTER_NAME_MAX + 1];
	struct span bytes = { 0 };

	if (!(m->flags & CLUSTER_REMOVE))
		bytes = m->bytes;
	if (m->name.n >= sizeof(name))
		return;
	memcpy(name, m->name.p, m->name.n);
	name[m->name.n] = '\0';
	s->h->on_object(s->arg, name, bytes, span_is(m->writer, s->node));
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	struct store *s = arg;

	if (m->type == CLUSTER_ROLE)
		take_role(s, m);
	else if (m->type == CLUSTER_CHANGED && secrets_take(s->secrets, m))
		s->h->on_secret(s->arg);
	else if (m->type == CLUSTER_CHANGED)
		take_object(s, m);
}

static void
on_watched(void *arg, const struct cluster_msg *a)
{
	struct store *s = arg;

	if (a->status != CLUSTER_OK)
		return;
	if (++s->watches == WATCHES) {
		s->is_down_told = false;
		log_info(0, "hasync: connected node=%s", s->node);
	}
	tell_role(s);
}

/* ---- the connection ---- */

static void connect_now(uv_timer_t *t);

static void
on_up(void *arg)
{
	struct store *s = arg;
	struct cluster_msg hello = { .type = CLUSTER_HELLO, .name = SPAN("ddnsd") };
	int rc = cluster_call(s->c, &hello, NULL, NULL);

	for (size_t i = 0; rc == 0 && i < WATCHES; i++)
		rc = cluster_call(s->c,
				  &(struct cluster_msg){ .type = CLUSTER_WATCH,
							 .name = span_str(watched[i]) },
				  on_watched, s);
	if (rc < 0)
		log_warn(0, "hasync: %s", err_text(rc));
}

static void
on_down(void *arg, int rc)
{
	struct store *s = arg;

	if (!s->is_down_told)
		log_warn(0, "hasync is not reached: %s; nothing is written until it is",
			 err_text(rc));
	s->is_down_told = true;
	cluster_free(s->c);
	s->c = NULL;
	s->watches = 0;
	s->is_active = false;
	tell_role(s);
	uv_timer_start(&s->again, connect_now, AGAIN_MS, 0);
}

static void
connect_now(uv_timer_t *t)
{
	static const struct cluster_handlers handlers = { on_up, on_push, on_down };
	struct store *s = t->data;

	s->watches = 0;
	int rc = cluster_new(&s->c, s->loop, &handlers, s);
	if (rc == 0 && (rc = cluster_connect(s->c, s->path)) == 0)
		return;
	on_down(s, rc);
}

int
store_new(struct store **out, uv_loop_t *loop, const char *path,
	  const uint8_t key[PAIRKEY], const struct store_handlers *h, void *arg)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc = s == NULL ? E_NOMEM : secrets_new(&s->secrets, key);

	*out = NULL;
	if (rc < 0) {
		free(s);
		return rc;
	}
	s->loop = loop;
	s->h = h;
	s->arg = arg;
	snprintf(s->path, sizeof(s->path), "%s", path);
	uv_timer_init(loop, &s->again);
	s->again.data = s;
	uv_timer_start(&s->again, connect_now, 0, 0);
	*out = s;
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct store *s = h->data;

	secrets_free(s->secrets);
	free(s);
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	cluster_free(s->c);
	s->c = NULL;
	uv_close((uv_handle_t *)&s->again, on_closed);
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
	int rc = w == NULL ? E_NOMEM : s->c == NULL ? E_CLOSED : 0;

	if (rc == 0) {
		*w = (struct store_wait){ done, arg, is_a_proof };
		rc = cluster_call(s->c, m, on_answered, w);
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
	struct cluster_msg m = { .type = CLUSTER_EVENT,
				 .name = span_str(name),
				 .bytes = span_str(text) };
	if (s->c != NULL)
		(void)cluster_call(s->c, &m, NULL, NULL);
}
