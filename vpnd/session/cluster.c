/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/cluster.h"

#include "common/err.h"
#include "common/log.h"
#include "common/rd.h"
#include "vpnd/session/cluster_state.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	FLUSH_MS = 100,         /* changes are collected so long */
	BATCH_MAX = 256 * 1024, /* then they go at once */
	LONGEST_S = 256 * 3600, /* the longest session_timeout */
	ADDR4 = 4,
	CHANGED_MAX_S = 2147483647, /* what the other one says has to be a time */
	JSON_OBJECT_MAX = 8192,     /* of another node's counts and state */
};

struct now
pair_now(const struct pair *p)
{
	return p->host->control->now(p->host->control->arg);
}

const char *
pair_running_hash(const struct pair *p)
{
	return p->host->control->hash;
}

void
pair_hash_text(const char *text, size_t n, char hash[PAIR_HASH + 1])
{
	uint8_t sum[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)text, n, sum);
	for (int i = 0; i < PAIR_HASH / 2; i++)
		snprintf(hash + 2 * i, 3, "%02x", sum[i]);
}

/* ---- encodings ---- */

bool
endpoint_encode(uint8_t value[ENDPOINT_SIZE], const struct ip_addr *client,
		const struct ip_addr *local)
{
	struct wr w = wr_open(value, ENDPOINT_SIZE);

	if (client->family != local->family ||
	    (client->family != 4 && client->family != 6))
		return false;
	wr_u8(&w, client->family);
	wr_bytes(&w, client->b, 16);
	wr_u16(&w, client->port);
	wr_bytes(&w, local->b, 16);
	wr_u16(&w, local->port);
	return !wr_full(&w);
}

uint64_t
endpoint_expiry_s(uint64_t wall_since_s)
{
	return wall_since_s + LONGEST_S;
}

uint64_t
endpoint_since_s(uint64_t wall_expiry_s)
{
	return wall_expiry_s > LONGEST_S ? wall_expiry_s - LONGEST_S : 0;
}

/* ---- saying ---- */

int
pair_call(struct pair *p, enum cluster_type type, const char *name, uint64_t generation,
	  uint8_t flags, const char *bytes, cluster_done done)
{
	struct cluster_msg m = { .type = (uint8_t)type,
				 .flags = flags,
				 .generation = generation,
				 .name = span_str(name) };

	if (p->c == NULL)
		return E_CLOSED;
	if (bytes != NULL)
		m.bytes = span_of(bytes, strlen(bytes));
	int rc = cluster_call(p->c, &m, done, p);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "hasync: %s: %s", name, err_text(rc));
	return rc;
}

static void
on_added(void *arg, const struct cluster_msg *a)
{
	if (a->status != CLUSTER_OK && a->status != CLUSTER_LOST)
		log_limited(LOG_L_WARN, 0, "hasync: a set was not changed: %s",
			    cluster_status_text(a->status));
}

/* What is lost with the connection is said anew with the next one. */
static void
batch_send(struct pair *p, struct batch *b, const char *name)
{
	/* endpoints/NODE is ours alone; the other sets merge. */
	bool is_own = cluster_class(span_str(name)) == CLUSTER_OWN_SET;
	struct cluster_msg m = { .type = is_own ? CLUSTER_OWN_PUT : CLUSTER_SET_ADD,
				 .name = span_str(name),
				 .bytes = span_of(b->p, b->n) };

	if (b->n > 0 && p->c != NULL && p->is_ready) {
		int rc = cluster_call(p->c, &m, on_added, p);
		if (rc < 0)
			log_limited(LOG_L_WARN, 0, "hasync: %s: %s", name,
				    err_text(rc));
	}
	b->n = 0;
}

static void
flush_all(struct pair *p)
{
	char name[CLUSTER_NAME_MAX + 1];

	p->is_flush_set = false;
	snprintf(name, sizeof(name), "endpoints/%s", p->node);
	batch_send(p, &p->endpoints, name);
	batch_send(p, &p->revoked, "revoked");
	batch_send(p, &p->borrowed, "borrowed");
}

static void
on_flush(uv_timer_t *t)
{
	flush_all(t->data);
}

static void
batch_add(struct pair *p, struct batch *b, const struct cluster_entry *e)
{
	enum { ENTRY_MAX = 128 };

	if (p->c == NULL || !p->is_ready)
		return;
	if (b->cap - b->n < ENTRY_MAX) {
		size_t cap = b->cap == 0 ? 4096 : b->cap * 2;
		uint8_t *more = realloc(b->p, cap);
		if (more == NULL) {
			log_limited(LOG_L_ERR, 0, "hasync: no memory for a change");
			return;
		}
		b->p = more;
		b->cap = cap;
	}
	struct wr w = wr_open(b->p + b->n, b->cap - b->n);
	cluster_entry_encode(&w, e);
	b->n += w.n;
	if (b->n >= BATCH_MAX)
		flush_all(p);
	else if (!p->is_flush_set)
		p->is_flush_set = uv_timer_start(&p->flush, on_flush, FLUSH_MS, 0) == 0;
}

void
pair_revoked(struct pair *p, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s)
{
	struct cluster_entry e = { .key_n = IPC_SID, .expires_s = wall_expiry_s };

	memcpy(e.key, sid, IPC_SID);
	batch_add(p, &p->revoked, &e);
}

void
pair_borrowed(struct pair *p, const struct session *s)
{
	const struct claims *c = &s->claims;
	struct cluster_entry e = { .key_n = ADDR4,
				   .value_n = IPC_SID,
				   .expires_s = c->wall_expiry_s };

	memcpy(e.key, c->addr4.b, ADDR4);
	memcpy(e.value, c->sid, IPC_SID);
	batch_add(p, &p->borrowed, &e);
}

void
pair_tunnel(struct pair *p, const struct session *s, bool is_up)
{
	struct cluster_entry e = { .key_n = IPC_SID,
				   .value_n = ENDPOINT_SIZE,
				   .is_gone = !is_up,
				   .expires_s = endpoint_expiry_s(s->wall_granted_s) };

	memcpy(e.key, s->claims.sid, IPC_SID);
	if (!is_up)
		e.value_n = 0;
	else if (!endpoint_encode(e.value, &s->source, &s->local))
		return;
	batch_add(p, &p->endpoints, &e);
}

static void
say_revoked(void *arg, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s)
{
	pair_revoked(arg, sid, wall_expiry_s);
}

/* All we have, after a time without hasync. */
static void
say_everything(struct pair *p)
{
	struct session_table *t = p->host->control->table;

	revoked_each(session_revoked(t), say_revoked, p);
	for (uint32_t i = 0; i < session_table_slots(t); i++) {
		const struct session *s = session_at(t, i);
		if (s != NULL && s->state == SESSION_CONNECTED)
			pair_tunnel(p, s, true);
		if (s != NULL && s->is_borrowed)
			pair_borrowed(p, s);
	}
	pair_put_counts(p);
}

void
pair_put_counts(struct pair *p)
{
	const struct control_host *h = p->host->control;
	const struct session_table *t = h->table;
	char name[CLUSTER_NAME_MAX + 1];

	if (p->c == NULL || !p->is_ready)
		return;
	json_t *o = json_pack(
		"{si si si si si si sI ss sI}", "connected",
		session_count(t, SESSION_CONNECTED), "away",
		session_count(t, SESSION_AWAY) + session_count(t, SESSION_LINGER),
		"pending", session_count(t, SESSION_PENDING), "limit",
		h->config->session_limit, "pool_used", pool_used(session_pool(t)),
		"pool_size", pool_size(session_pool(t)), "pool_mark",
		(json_int_t)pool_mark(session_pool(t)), "hash", h->hash, "generation",
		(json_int_t)h->generation);
	if (o != NULL && p->has_voted) {
		json_object_set_new(o, "vote", json_string(p->vote_id));
		json_object_set_new(o, "yes", json_boolean(p->is_yes));
		json_object_set_new(o, "why", json_string(p->vote_text));
	}
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	snprintf(name, sizeof(name), "counts/%s", p->node);
	if (text != NULL)
		(void)pair_call(p, CLUSTER_OWN_PUT, name, 0, 0, text, NULL);
	free(text);
	json_decref(o);
}

/* ---- hearing ---- */

static const json_t *
counts_of(const struct pair *p, const char *node)
{
	return json_object_get(p->counts, node);
}

/* What the table has to know of the other node. */
static void
tell_table(struct pair *p)
{
	const json_t *mark = json_object_get(counts_of(p, p->peer), "pool_mark");
	uint32_t from = POOL_NONE;

	if (p->peer[0] == '\0')
		return;
	if (json_is_integer(mark) && json_integer_value(mark) >= 0 &&
	    json_integer_value(mark) < POOL_HOSTS_MAX)
		from = (uint32_t)json_integer_value(mark);
	session_peer(p->host->control->table, p->is_peer_away, from, pair_now(p));
}

static void
take_revoked(struct pair *p, struct span in)
{
	struct cluster_entry e;

	while (cluster_entry_decode(&in, &e) == 0)
		if (e.key_n == IPC_SID && !e.is_gone)
			session_revoked_there(p->host->control->table, e.key,
					      e.expires_s, pair_now(p));
}

static void
take_borrowed(struct pair *p, struct span in)
{
	struct ip_addr addr4 = { .family = 4 };
	struct cluster_entry e;

	while (cluster_entry_decode(&in, &e) == 0) {
		if (e.key_n != ADDR4 || e.value_n != IPC_SID || e.is_gone)
			continue;
		memcpy(addr4.b, e.key, ADDR4);
		session_borrowed_there(p->host->control->table, &addr4, e.value,
				       e.expires_s, pair_now(p));
	}
}

static void
forget_elsewhere(struct pair *p)
{
	struct session_table *t = p->host->control->table;

	for (uint32_t i = 0; i < session_table_slots(t); i++) {
		struct session *s = session_at(t, i);
		if (s != NULL && s->is_elsewhere)
			session_there(t, s->claims.sid, false, 0, true, pair_now(p));
	}
}

static void
take_peer_endpoints(struct pair *p, struct span in, bool is_delta)
{
	struct cluster_entry e;

	/* A dead node's list is for waking its clients; its sessions are ours. */
	if (p->is_peer_away)
		return;
	if (!is_delta)
		forget_elsewhere(p);
	while (cluster_entry_decode(&in, &e) == 0)
		if (e.key_n == IPC_SID)
			session_there(p->host->control->table, e.key, !e.is_gone,
				      endpoint_since_s(e.expires_s), p->is_active,
				      pair_now(p));
}

/* What our predecessor said and is not true any more. */
static void
clean_own_endpoints(struct pair *p, struct span in)
{
	struct cluster_entry e;

	while (cluster_entry_decode(&in, &e) == 0) {
		if (e.key_n != IPC_SID || e.is_gone)
			continue;
		const struct session *s =
			session_by_sid(p->host->control->table, e.key);
		if (s != NULL && s->state == SESSION_CONNECTED)
			continue;
		e.is_gone = true;
		e.value_n = 0;
		batch_add(p, &p->endpoints, &e);
	}
}

static void
take_endpoints(struct pair *p, struct span node, const struct cluster_msg *m)
{
	bool is_delta = m->flags & CLUSTER_DELTA;
	struct span in = m->bytes;

	if (m->flags & CLUSTER_REMOVE)
		in.n = 0;

	if (span_is(node, p->node) && !is_delta)
		clean_own_endpoints(p, in);
	else if (p->peer[0] != '\0' && span_is(node, p->peer))
		take_peer_endpoints(p, in, is_delta);
}

static void
take_json(json_t *into, struct span node, const struct cluster_msg *m)
{
	char name[CLUSTER_NODE_MAX + 1];
	json_t *o = NULL;

	if (node.n == 0 || node.n >= sizeof(name))
		return;
	memcpy(name, node.p, node.n);
	name[node.n] = '\0';
	if (!(m->flags & CLUSTER_REMOVE) && m->bytes.n <= JSON_OBJECT_MAX)
		o = json_loadb((const char *)m->bytes.p, m->bytes.n, 0, NULL);
	if (json_is_object(o))
		json_object_set(into, name, o);
	else
		json_object_del(into, name);
	json_decref(o);
}

/* The name behind a prefix, or no bytes. */
static struct span
behind(struct span name, const char *prefix)
{
	size_t n = strlen(prefix);

	return name.n > n && memcmp(name.p, prefix, n) == 0
		       ? span_of(name.p + n, name.n - n)
		       : (struct span){ 0 };
}

static void
on_changed(struct pair *p, const struct cluster_msg *m)
{
	struct span node;

	if (span_is(m->name, "revoked")) {
		if (!(m->flags & CLUSTER_REMOVE))
			take_revoked(p, m->bytes);
	} else if (span_is(m->name, "borrowed")) {
		if (!(m->flags & CLUSTER_REMOVE))
			take_borrowed(p, m->bytes);
	} else if ((node = behind(m->name, "endpoints/")).n > 0) {
		take_endpoints(p, node, m);
	} else if ((node = behind(m->name, "counts/")).n > 0) {
		take_json(p->counts, node, m);
		tell_table(p);
		pair_config_peer(p);
	} else if ((node = behind(m->name, "node/")).n > 0) {
		take_json(p->nodes, node, m);
	} else {
		pair_config_changed(p, m);
	}
}

static void
on_peer_endpoints(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;

	if (a->status == CLUSTER_OK)
		take_peer_endpoints(p, a->bytes, false);
}

static void
note_role(struct pair *p, const struct ipc_role *m)
{
	bool was_away = p->is_peer_away, was_ready = p->is_ready;
	char name[CLUSTER_NAME_MAX + 1];

	snprintf(p->node, sizeof(p->node), "%s", m->node);
	snprintf(p->peer, sizeof(p->peer), "%s", m->peer);
	p->is_active = m->is_active;
	p->epoch = m->epoch;
	p->is_peer_away = m->is_peer_away;
	tell_table(p);
	if (p->c == NULL)
		return;
	p->is_ready = true;
	if (!was_ready)
		say_everything(p);
	if (was_ready && was_away && !p->is_peer_away && p->peer[0] != '\0') {
		snprintf(name, sizeof(name), "endpoints/%s", p->peer);
		(void)pair_call(p, CLUSTER_GET, name, 0, 0, NULL, on_peer_endpoints);
	}
	pair_config_peer(p);
}

void
pair_role(struct pair *p, const struct ipc_role *m)
{
	/* The connection of our own says the same, and in its order. */
	if (p->c == NULL)
		note_role(p, m);
}

static void
text_of_span(char *to, size_t cap, struct span s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	memcpy(to, s.p, n);
	to[n] = '\0';
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	struct pair *p = arg;

	if (m->type == CLUSTER_CHANGED)
		on_changed(p, m);
	if (m->type == CLUSTER_EVENT)
		events_foreign(p->host->control->events, m->name, m->writer, m->bytes,
			       pair_now(p).wall_ms);
	if (m->type == CLUSTER_ROLE && m->name.n > 0) {
		struct ipc_role r = { .is_active = (m->flags & CLUSTER_ACTIVE) != 0,
				      .is_peer_away =
					      (m->flags & CLUSTER_PEER_AWAY) != 0,
				      .epoch = m->generation };
		text_of_span(r.node, sizeof(r.node), m->name);
		text_of_span(r.peer, sizeof(r.peer), m->writer);
		note_role(p, &r);
	}
}

static void
on_watched(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;

	if (a->status == CLUSTER_OK)
		pair_config_synced(p);
	else if (a->status != CLUSTER_LOST)
		log_err(0, "hasync: cannot watch: %s", cluster_status_text(a->status));
}

static void
on_up(void *arg)
{
	static const char *const prefix[] = { "revoked", "borrowed", "counts/", "node/",
					      "endpoints/" };
	struct pair *p = arg;

	(void)pair_call(p, CLUSTER_HELLO, "session", 0, CLUSTER_EVENTS, NULL, NULL);
	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
		(void)pair_call(p, CLUSTER_WATCH, prefix[i], 0, 0, NULL, NULL);
	(void)pair_call(p, CLUSTER_WATCH, "config", 0, 0, NULL, on_watched);
	log_info(0, "hasync: connected");
}

static void
go_down(struct pair *p)
{
	struct cluster *c = p->c;

	p->c = NULL;
	p->is_ready = false;
	p->endpoints.n = p->revoked.n = p->borrowed.n = 0;
	cluster_free(c);
	pair_config_down(p);
}

static void
on_down(void *arg, int rc)
{
	/* The parent sends a new connection when there is one. */
	log_warn(0, "hasync: connection lost: %s", err_text(rc));
	go_down(arg);
}

static const struct cluster_handlers handlers = { on_up, on_push, on_down };

int
pair_new(struct pair **out, uv_loop_t *loop, const struct pair_host *host)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return E_NOMEM;
	p->loop = loop;
	p->host = host;
	p->counts = json_object();
	p->nodes = json_object();
	int rc = uv_timer_init(loop, &p->flush);
	if (rc < 0 || p->counts == NULL || p->nodes == NULL) {
		free(p);
		return rc < 0 ? rc : E_NOMEM;
	}
	p->flush.data = p;
	/* Our predecessor's questions to the parent are not ours. */
	p->last_put = (uint32_t)pair_now(p).mono_ms;
	*out = p;
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct pair *p = h->data;

	json_decref(p->counts);
	json_decref(p->nodes);
	json_decref(p->info);
	free(p->endpoints.p);
	free(p->revoked.p);
	free(p->borrowed.p);
	free(p);
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	if (p->c != NULL)
		go_down(p);
	pair_config_free(p);
	uv_close((uv_handle_t *)&p->flush, on_closed);
}

void
pair_connect(struct pair *p, int fd)
{
	if (p->c != NULL)
		go_down(p);
	int rc = cluster_adopt(&p->c, p->loop, fd, &handlers, p);
	if (rc < 0)
		log_err(0, "hasync: %s", err_text(rc));
}

static void
on_info(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;
	json_t *o = a->status == CLUSTER_OK
			    ? json_loadb((const char *)a->bytes.p, a->bytes.n, 0, NULL)
			    : NULL;

	if (!json_is_object(o)) {
		json_decref(o);
		return;
	}
	json_decref(p->info);
	p->info = o;
}

void
pair_tick(struct pair *p)
{
	if (p->c != NULL && p->is_ready) {
		pair_put_counts(p);
		(void)pair_call(p, CLUSTER_INFO, "", 0, 0, NULL, on_info);
	}
	pair_config_tick(p);
}

/* ---- showing ---- */

static json_int_t
number_in(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void
copy_key(json_t *to, const char *as, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	if (v != NULL)
		json_object_set(to, as, v);
}

/* Since when it has its role, as text, and why. */
static void
put_last_change(const json_t *node, json_t *o)
{
	json_int_t s = number_in(node, "changed_s");
	time_t at = (time_t)s;
	char text[32];
	struct tm tm;

	copy_key(o, "why", node, "why");
	if (s <= 0 || s > CHANGED_MAX_S || gmtime_r(&at, &tm) == NULL)
		return;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_set_new(o, "last_change", json_string(text));
}

/* Ours come from the table: what the store has of them is a second old. */
static void
put_own_counts(const struct pair *p, json_t *o)
{
	const struct control_host *h = p->host->control;

	json_object_set_new(o, "config_hash", json_string(h->hash));
	json_object_set_new(o, "connected",
			    json_integer(session_count(h->table, SESSION_CONNECTED)));
	json_object_set_new(o, "away",
			    json_integer(session_count(h->table, SESSION_AWAY) +
					 session_count(h->table, SESSION_LINGER)));
	json_object_set_new(o, "pending",
			    json_integer(session_count(h->table, SESSION_PENDING)));
	json_object_set_new(o, "limit", json_integer(h->config->session_limit));
}

static json_t *
node_json(const struct pair *p, const char *name, bool is_self)
{
	const json_t *node = json_object_get(p->nodes, name),
		     *counts = counts_of(p, name);
	bool is_seen = is_self || (node != NULL && !p->is_peer_away);
	json_t *o = json_pack("{ss sb sb}", "name", name, "is_self", is_self, "is_seen",
			      is_seen);

	copy_key(o, "role", node, "role");
	copy_key(o, "configured", node, "configured");
	copy_key(o, "epoch", node, "epoch");
	copy_key(o, "version", node, "version");
	copy_key(o, "vpnd", node, "vpnd");
	copy_key(o, "wans", node, "links");
	copy_key(o, "config_generation", node, "config_generation");
	put_last_change(node, o);
	/* A node that is gone has nobody connected, whatever it said last. */
	if (!is_seen)
		return o;
	if (is_self) {
		put_own_counts(p, o);
		return o;
	}
	copy_key(o, "config_hash", counts, "hash");
	copy_key(o, "connected", counts, "connected");
	copy_key(o, "away", counts, "away");
	copy_key(o, "pending", counts, "pending");
	copy_key(o, "limit", counts, "limit");
	return o;
}

/* Without hasync: what we know of ourselves. */
static json_t *
alone_json(const struct pair *p)
{
	const struct control_host *h = p->host->control;

	return json_pack("{ss ss sb sb ss ss si si si}", "name", h->config->node_name,
			 "role", "single", "is_self", 1, "is_seen", 1, "version",
			 TANDEM_VERSION, "config_hash", h->hash, "connected",
			 session_count(h->table, SESSION_CONNECTED), "away",
			 session_count(h->table, SESSION_AWAY), "limit",
			 h->config->session_limit);
}

static json_t *
nodes_json(const struct pair *p, json_int_t *total)
{
	json_t *rows = json_array(), *row = NULL;
	size_t i;

	*total = 0;
	if (!p->is_ready) {
		json_array_append_new(rows, alone_json(p));
	} else {
		json_array_append_new(rows, node_json(p, p->node, true));
		if (p->peer[0] != '\0')
			json_array_append_new(rows, node_json(p, p->peer, false));
	}
	json_array_foreach(rows, i, row) *total += number_in(row, "connected");
	return rows;
}

json_t *
pair_status(struct pair *p)
{
	json_int_t total;

	if (!p->is_ready)
		return NULL;
	json_t *rows = nodes_json(p, &total);
	json_t *o = json_pack("{ss ss sI ss sb sI}", "node", p->node, "role",
			      p->is_active ? "active" : "standby", "epoch",
			      (json_int_t)p->epoch, "peer", p->peer, "is_peer_away",
			      p->is_peer_away, "total_connected", total);
	const json_t *peer = json_array_get(rows, 1);
	copy_key(o, "peer_connected", peer, "connected");
	copy_key(o, "peer_config_hash", peer, "config_hash");
	json_decref(rows);
	return o;
}

void
pair_ask(struct pair *p, uint32_t id, const json_t *q)
{
	const char *cmd = json_string_value(json_object_get(q, "cmd"));
	json_int_t total;

	if (cmd != NULL && strcmp(cmd, "nodes") == 0) {
		json_t *rows = nodes_json(p, &total);
		json_t *o = json_pack("{sb so sI}", "ok", 1, "nodes", rows,
				      "total_connected", total);
		copy_key(o, "paths", p->info, "paths");
		p->host->answer(p->host->arg, id, o);
	} else if (cmd == NULL || !pair_config_ask(p, id, cmd, q)) {
		p->host->answer(p->host->arg, id,
				json_pack("{sb ss ss}", "ok", 0, "error",
					  "vpnd does not know this command", "code",
					  "unknown_command"));
	}
}
