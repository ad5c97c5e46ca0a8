/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/control.h"

#include "common/err.h"
#include "common/log.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG_MAX = 32 * 1024 * 1024, /* bytes a client has not read */
	ENTRIES_CHUNK = 128 * 1024,
	INFO_MAX = 16384,
	LIST_MAX = 1024 * 1024,
	KIND_MAX = 15,
	EVENT_NAME_MAX = 40,
	EVENT_TEXT_MAX = 512,
};

struct client {
	uv_pipe_t pipe;
	struct control *control;
	bool is_known, is_vpnd, wants_events, is_closing;
	char kind[KIND_MAX + 1];
	const struct control_user *user; /* NULL: root */
	size_t n_watches;
	char watches[CONTROL_WATCHES_MAX][CLUSTER_NAME_MAX + 1];
	uint8_t *buf;
	size_t n, cap;
};

/* A put whose answer is still to come. */
struct ticket {
	struct ticket *next;
	uint64_t id;
	struct client *client; /* NULL: it has gone */
	uint32_t request;
};

struct control {
	uv_pipe_t server;
	uv_loop_t *loop;
	const struct pair_config *c;
	struct store *store;
	struct pair *pair;
	const struct control_handlers *h;
	void *arg;
	struct control_user users[CONTROL_CLIENTS_MAX];
	size_t n_users;
	struct client *clients[CONTROL_CLIENTS_MAX];
	struct ticket *tickets;
	uint64_t last_ticket;
};

struct outgoing {
	uv_write_t req;
	uint8_t bytes[];
};

static void
on_client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	free(c->buf);
	free(c);
}

static void
client_close(struct client *c)
{
	struct control *k = c->control;

	if (c->is_closing)
		return;
	c->is_closing = true;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (k->clients[i] == c)
			k->clients[i] = NULL;
	for (struct ticket *t = k->tickets; t != NULL; t = t->next)
		if (t->client == c)
			t->client = NULL;
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
	if (c->is_vpnd)
		k->h->on_vpnd(k->arg, false, false);
}

static void
on_written(uv_write_t *req, int status)
{
	free(req->data);
}

static void
client_send(struct client *c, const struct cluster_msg *m)
{
	size_t size = cluster_encoded_size(m);

	if (c->is_closing)
		return;
	if (uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > BACKLOG_MAX) {
		log_limited(LOG_L_WARN, 0, "a client does not read: connection closed");
		client_close(c);
		return;
	}
	struct outgoing *o = malloc(sizeof(*o) + size);
	if (o == NULL) {
		client_close(c);
		return;
	}
	struct wr w = wr_open(o->bytes, size);
	cluster_encode(&w, m);
	uv_buf_t b = uv_buf_init((char *)o->bytes, (unsigned)w.n);
	o->req.data = o;
	if (wr_full(&w) ||
	    uv_write(&o->req, (uv_stream_t *)&c->pipe, &b, 1, on_written) < 0) {
		free(o);
		client_close(c);
	}
}

static void
answer(struct client *c, uint32_t id, struct cluster_msg m)
{
	m.type = CLUSTER_ANSWER;
	m.id = id;
	client_send(c, &m);
}

static void
answer_status(struct client *c, uint32_t id, enum cluster_status s)
{
	answer(c, id, (struct cluster_msg){ .status = (uint8_t)s });
}

/* ---- objects as messages ---- */

static bool
is_there(const struct object *o)
{
	return o != NULL && o->generation > 0 && !(o->flags & CLUSTERFILE_REMOVED);
}

static struct cluster_msg
message_of(const struct object *o, struct span bytes)
{
	return (struct cluster_msg){ .type = CLUSTER_CHANGED,
				     .flags = is_there(o) ? 0 : CLUSTER_REMOVE,
				     .generation = o->generation,
				     .wall_ms = o->wall_ms,
				     .name = span_str(o->name),
				     .writer = span_str(o->writer),
				     .bytes = bytes };
}

static void
send_entries(struct client *c, const struct object *o)
{
	static uint8_t buf[ENTRIES_CHUNK]; /* scratch, used up before we return */
	uint8_t flags = 0;
	size_t i = 0;

	do {
		struct wr w = wr_open(buf, sizeof(buf));
		for (; i < o->set.n && w.cap - w.n >= 128; i++)
			cluster_entry_encode(&w, &o->set.at[i]);
		struct cluster_msg m = message_of(o, wr_span(&w));
		m.flags |= flags;
		client_send(c, &m);
		flags = CLUSTER_DELTA;
	} while (i < o->set.n && !c->is_closing);
}

static void
send_object(struct client *c, const struct object *o)
{
	if (object_is_set(o)) {
		send_entries(c, o);
		return;
	}
	struct cluster_msg m = message_of(o, span_of(o->bytes, o->n));
	client_send(c, &m);
}

static bool
has_prefix(const char *name, struct span prefix)
{
	return strlen(name) >= prefix.n && memcmp(name, prefix.p, prefix.n) == 0;
}

void
control_changed(struct control *k, const struct object *o, struct span delta)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = k->clients[i];
		bool is_watched = false;
		for (size_t j = 0; c != NULL && j < c->n_watches; j++)
			is_watched |= has_prefix(o->name, span_str(c->watches[j]));
		if (!is_watched)
			continue;
		if (delta.p == NULL) {
			send_object(c, o);
			continue;
		}
		struct cluster_msg m = message_of(o, delta);
		m.flags |= CLUSTER_DELTA;
		client_send(c, &m);
	}
}

/* ---- requests ---- */

static void
send_role(struct client *c)
{
	struct control *k = c->control;
	struct cluster_msg m = { .type = CLUSTER_ROLE,
				 .name = span_str(k->c->node),
				 .writer = span_str(k->c->peer) };

	k->h->get_role(k->arg, &m.flags, &m.generation);
	client_send(c, &m);
}

static void
text_of(char *to, size_t cap, struct span s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	/* Into logs and JSON: control characters have no business there. */
	for (size_t i = 0; i < n; i++)
		to[i] = s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : (char)s.p[i];
	to[n] = '\0';
}

static bool
may_write(const struct client *c, struct span name)
{
	if (c->user == NULL)
		return true;
	for (const char *const *w = c->user->writes; *w != NULL; w++)
		if (span_has_prefix(name, *w))
			return true;
	return false;
}

static void
do_hello(struct client *c, const struct cluster_msg *m)
{
	struct control *k = c->control;

	if (c->is_known) {
		answer_status(c, m->id, CLUSTER_INVALID);
		return;
	}
	c->is_known = true;
	c->wants_events = m->flags & CLUSTER_EVENTS;
	c->is_vpnd = c->user == NULL && span_is(m->name, "vpnd");
	text_of(c->kind, sizeof(c->kind), m->name);
	answer_status(c, m->id, CLUSTER_OK);
	send_role(c);
	if (c->is_vpnd)
		k->h->on_vpnd(k->arg, true, false);
}

static void
do_get(struct client *c, const struct cluster_msg *m)
{
	struct object *o = store_find(c->control->store, m->name);
	uint8_t *bytes = NULL;
	size_t n = 0;

	if (!is_there(o)) {
		answer(c, m->id,
		       (struct cluster_msg){ .status = CLUSTER_NOENT,
					     .generation =
						     o == NULL ? 0 : o->generation });
		return;
	}
	if (object_encode(o, &bytes, &n) < 0) {
		answer_status(c, m->id, CLUSTER_LATER);
		return;
	}
	answer(c, m->id, message_of(o, span_of(bytes, n)));
	free(bytes);
}

static uint64_t
ticket_new(struct client *c, uint32_t request)
{
	struct control *k = c->control;
	struct ticket *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return 0;
	*t = (struct ticket){ k->tickets, ++k->last_ticket, c, request };
	k->tickets = t;
	return t->id;
}

void
control_result(struct control *k, uint64_t ticket, const struct pair_result *r)
{
	struct ticket **at = &k->tickets;

	while (*at != NULL && (*at)->id != ticket)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	struct ticket t = **at, *gone = *at;
	*at = gone->next;
	free(gone);
	if (t.client == NULL)
		return;
	answer(t.client, t.request,
	       (struct cluster_msg){ .status = (uint8_t)r->status,
				     .flags = r->peer_away ? CLUSTER_PEER_AWAY : 0,
				     .copies = (uint8_t)r->copies,
				     .generation = r->generation });
}

static void
do_put(struct client *c, const struct cluster_msg *m)
{
	struct control *k = c->control;
	if (!may_write(c, m->name)) {
		answer_status(c, m->id, CLUSTER_INVALID);
		return;
	}
	uint64_t ticket = ticket_new(c, m->id);

	if (ticket == 0)
		answer_status(c, m->id, CLUSTER_LATER);
	else if (m->type == CLUSTER_PUT)
		pair_put(k->pair, m->name, m->bytes, m->flags & CLUSTER_REMOVE,
			 m->generation, ticket);
	else
		pair_set_add(k->pair, m->name, m->bytes, ticket);
}

static void
do_list(struct client *c, const struct cluster_msg *m)
{
	struct object *o;
	uint8_t sha[CLUSTERFILE_SHA], *buf = malloc(LIST_MAX);

	if (buf == NULL) {
		answer_status(c, m->id, CLUSTER_LATER);
		return;
	}
	struct wr w = wr_open(buf, LIST_MAX);
	for (size_t i = 0; (o = store_at(c->control->store, i)) != NULL; i++) {
		if (!is_there(o) || !has_prefix(o->name, m->name))
			continue;
		object_digest(o, sha);
		wr_u8(&w, (uint8_t)strlen(o->name));
		wr_str(&w, o->name);
		wr_u64(&w, o->generation);
		wr_u8(&w, o->flags);
		wr_u32(&w, (uint32_t)(object_is_set(o) ? o->set.bytes : o->n));
		wr_bytes(&w, sha, sizeof(sha));
	}
	answer(c, m->id,
	       (struct cluster_msg){ .status = wr_full(&w) ? CLUSTER_LIMIT : CLUSTER_OK,
				     .bytes = wr_span(&w) });
	free(buf);
}

static void
do_watch(struct client *c, const struct cluster_msg *m)
{
	struct object *o;

	if (c->n_watches == CONTROL_WATCHES_MAX || m->name.n > CLUSTER_NAME_MAX) {
		answer_status(c, m->id, CLUSTER_LIMIT);
		return;
	}
	char *prefix = c->watches[c->n_watches++];
	if (m->name.n > 0)
		memcpy(prefix, m->name.p, m->name.n);
	prefix[m->name.n] = '\0';
	for (size_t i = 0; (o = store_at(c->control->store, i)) != NULL; i++)
		if (is_there(o) && has_prefix(o->name, m->name))
			send_object(c, o);
	answer_status(c, m->id, CLUSTER_OK);
}

static void
do_info(struct client *c, const struct cluster_msg *m)
{
	struct control *k = c->control;
	uint8_t buf[INFO_MAX];
	struct wr w = wr_open(buf, sizeof(buf));

	k->h->get_info(k->arg, &w);
	answer(c, m->id,
	       (struct cluster_msg){ .status = wr_full(&w) ? CLUSTER_LIMIT : CLUSTER_OK,
				     .bytes = wr_span(&w) });
}

static void
do_event(struct client *c, const struct cluster_msg *m)
{
	char event[EVENT_NAME_MAX + 1], text[EVENT_TEXT_MAX + 1];

	text_of(event, sizeof(event), m->name);
	text_of(text, sizeof(text), m->bytes);
	c->control->h->on_event(c->control->arg, c->kind, event, text);
}

static void
do_request(struct client *c, const struct cluster_msg *m)
{
	struct control *k = c->control;

	switch (m->type) {
	case CLUSTER_GET: do_get(c, m); break;
	case CLUSTER_PUT:
	case CLUSTER_SET_ADD: do_put(c, m); break;
	case CLUSTER_LIST: do_list(c, m); break;
	case CLUSTER_WATCH: do_watch(c, m); break;
	case CLUSTER_OWN_PUT:
		answer_status(c, m->id,
			      may_write(c, m->name)
				      ? pair_own_put(k->pair, m->name, m->bytes)
				      : CLUSTER_INVALID);
		break;
	case CLUSTER_INFO: do_info(c, m); break;
	case CLUSTER_HOLD:
		answer_status(c, m->id,
			      c->user != NULL ? CLUSTER_INVALID
					      : k->h->hold(k->arg, m->name,
							   m->generation, m->flags));
		break;
	case CLUSTER_EVENT: do_event(c, m); break;
	case CLUSTER_BEAT:
		if (c->is_vpnd)
			k->h->on_vpnd(k->arg, true, m->flags & CLUSTER_SICK);
		break;
	default: client_close(c); break;
	}
}

static void
take(struct client *c, const struct cluster_msg *m)
{
	if (m->type == CLUSTER_HELLO)
		do_hello(c, m);
	else if (c->is_known)
		do_request(c, m);
	else
		client_close(c);
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct client *c = handle->data;

	/* Grows with what the client sends, bounded by the largest frame. */
	if (c->cap - c->n < 16384) {
		size_t cap = c->cap == 0 ? 32768 : c->cap * 2;
		uint8_t *p = realloc(c->buf, cap);
		if (p == NULL) {
			*out = uv_buf_init(NULL, 0);
			return;
		}
		c->buf = p;
		c->cap = cap;
	}
	*out = uv_buf_init((char *)c->buf + c->n, (unsigned)(c->cap - c->n));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct client *c = s->data;
	struct cluster_msg m;
	int rc = E_AGAIN;

	if (n == 0 || c->is_closing)
		return;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->n += (size_t)n;
	struct span in = span_of(c->buf, c->n);
	while (!c->is_closing && (rc = cluster_decode(&in, &m)) == 0)
		take(c, &m);
	if (c->is_closing)
		return;
	memmove(c->buf, in.p, in.n);
	c->n = in.n;
	if (rc != E_AGAIN) {
		log_limited(LOG_L_WARN, 0,
			    "a client broke the protocol: connection closed");
		client_close(c);
	}
}

/* *user: NULL for root. */
static bool
is_allowed(const struct control *k, uv_pipe_t *pipe, const struct control_user **user)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	int fd;

	*user = NULL;
	if (uv_fileno((uv_handle_t *)pipe, &fd) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return false;
	for (size_t i = 0; cred.uid != 0 && i < k->n_users; i++)
		if (k->users[i].uid == cred.uid)
			*user = &k->users[i];
	return cred.uid == 0 || *user != NULL;
}

static void
on_connection(uv_stream_t *server, int status)
{
	struct control *k = server->data;
	size_t i = 0;

	if (status < 0)
		return;
	struct client *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;
	c->control = k;
	uv_pipe_init(k->loop, &c->pipe, 0);
	c->pipe.data = c;
	if (uv_accept(server, (uv_stream_t *)&c->pipe) < 0) {
		client_close(c);
		return;
	}
	while (i < CONTROL_CLIENTS_MAX && k->clients[i] != NULL)
		i++;
	if (i == CONTROL_CLIENTS_MAX || !is_allowed(k, &c->pipe, &c->user)) {
		log_limited(LOG_L_WARN, 0, "connection refused: %s",
			    i == CONTROL_CLIENTS_MAX ? "too many"
						     : "not for this user");
		client_close(c);
		return;
	}
	k->clients[i] = c;
	uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read);
}

/* ---- pushes ---- */

void
control_role(struct control *k)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (k->clients[i] != NULL && k->clients[i]->is_known)
			send_role(k->clients[i]);
}

void
control_event(struct control *k, const char *kind, const char *event, const char *text)
{
	struct cluster_msg m = { .type = CLUSTER_EVENT,
				 .name = span_str(event),
				 .writer = span_str(kind),
				 .bytes = span_str(text) };

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (k->clients[i] != NULL && k->clients[i]->wants_events)
			client_send(k->clients[i], &m);
}

void
control_set_pair(struct control *k, struct pair *p)
{
	k->pair = p;
}

int
control_open(struct control **out, uv_loop_t *loop, const char *path,
	     const struct control_user *users, size_t n_users,
	     const struct pair_config *c, struct store *s,
	     const struct control_handlers *h, void *arg)
{
	struct control *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return E_NOMEM;
	*k = (struct control){ .loop = loop, .c = c, .store = s, .h = h, .arg = arg };
	for (k->n_users = 0; k->n_users < n_users; k->n_users++)
		k->users[k->n_users] = users[k->n_users];
	uv_pipe_init(loop, &k->server, 0);
	k->server.data = k;
	unlink(path);
	int rc = uv_pipe_bind(&k->server, path);
	/* Who may is judged by the credentials of who connects. */
	if (rc == 0 && chmod(path, 0666) < 0)
		rc = -errno;
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&k->server, 64, on_connection);
	*out = k;
	return rc;
}

void
control_close(struct control *k)
{
	if (k == NULL)
		return;
	uv_close((uv_handle_t *)&k->server, NULL);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (k->clients[i] != NULL)
			client_close(k->clients[i]);
}

void
control_free(struct control *k)
{
	while (k != NULL && k->tickets != NULL) {
		struct ticket *t = k->tickets;
		k->tickets = t->next;
		free(t);
	}
	free(k);
}
