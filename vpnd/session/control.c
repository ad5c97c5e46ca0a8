/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/control.h"

#include "common/err.h"
#include "common/log.h"
#include "common/config/schema.h"
#include "vpnd/session/clients.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PENDING_MAX = 64,
	STATUS_MS = 3000, /* the parent should answer at once */
	ANSWER_MS = 30000,
	EVENTS_DEFAULT = 1000,
	WHY_EVENTS = 50,
	ID_MIN = 4, /* hex digits that name a session */
};

struct client {
	uv_pipe_t pipe;
	struct control *c;
	bool is_used, is_closing, is_waiting, follows;
	bool is_taking;   /* in take_lines: an answer may come from within */
	char filter[256]; /* of a follower; "" = all */
	uint64_t active_ms;
	size_t n;
	char in[CONTROL_LINE_MAX];
};

/* A question to another process. The client may leave; what it asked for still
 * happens and has its consequences. */
struct pending {
	enum ipc_type asked; /* IPC_NONE: free */
	uint32_t id;
	uint64_t since_ms;
	struct client *client; /* NULL: left */
	char user[IPC_USER_MAX + 1];
	const char *change;                /* the word for the event */
	const char *end_reason, *end_text; /* of this user's sessions; NULL: none */
	json_t *rows;
	uint32_t index;
};

struct control {
	uv_pipe_t listener;
	bool has_waiting; /* a client that found no place: accepted when one is free */
	const struct control_host *host;
	uint32_t next_id;
	struct pending pending[PENDING_MAX];
	struct client client[CONTROL_CLIENTS];
};

struct write {
	uv_write_t req;
	char bytes[];
};

/* ---- one client ---- */

static void on_connection(uv_stream_t *listener, int status);

static void
on_closed(uv_handle_t *h)
{
	struct client *k = h->data;

	OPENSSL_cleanse(k->in, sizeof(k->in)); /* password hashes pass here */
	k->is_used = k->is_closing = false;
	if (k->c->has_waiting)
		on_connection((uv_stream_t *)&k->c->listener, 0);
}

static void
client_close(struct client *k)
{
	if (k->is_closing)
		return;
	for (int i = 0; i < PENDING_MAX; i++)
		if (k->c->pending[i].client == k)
			k->c->pending[i].client = NULL;
	k->is_closing = true;
	k->follows = false;
	uv_close((uv_handle_t *)&k->pipe, on_closed);
}

static void
on_written(uv_write_t *req, int status)
{
	free(req);
}

static void
send_line(struct client *k, const char *line, size_t n)
{
	if (k->is_closing)
		return;
	/* One answer may be larger than the bound; a second behind it may not. */
	struct write *w = uv_stream_get_write_queue_size((uv_stream_t *)&k->pipe) >
					  CONTROL_QUEUE_MAX
				  ? NULL
				  : malloc(sizeof(*w) + n + 1);
	if (w == NULL) {
		client_close(k);
		return;
	}
	memcpy(w->bytes, line, n);
	w->bytes[n] = '\n';
	uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n + 1);
	if (uv_write(&w->req, (uv_stream_t *)&k->pipe, &buf, 1, on_written) < 0) {
		free(w);
		client_close(k);
	}
}

/* Takes the object. */
static void
answer(struct client *k, json_t *o)
{
	char *line = o != NULL && k != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	if (line != NULL)
		send_line(k, line, strlen(line));
	free(line);
	json_decref(o);
}

static void
refuse(struct client *k, const char *code, const char *text)
{
	answer(k, json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code));
}

/* ---- questions to others ---- */

static struct pending *
pending_new(struct client *k, enum ipc_type asked)
{
	struct control *c = k->c;

	for (int i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &c->pending[i];
		if (p->asked != IPC_NONE)
			continue;
		*p = (struct pending){ .asked = asked,
				       .id = ++c->next_id,
				       .client = k,
				       .since_ms = c->host->now(c->host->arg).mono_ms };
		k->is_waiting = true;
		return p;
	}
	refuse(k, "busy", "too many questions are open, try again");
	return NULL;
}

static struct pending *
pending_find(struct control *c, enum ipc_type asked, uint32_t id)
{
	for (int i = 0; i < PENDING_MAX; i++)
		if (c->pending[i].asked == asked && c->pending[i].id == id)
			return &c->pending[i];
	return NULL;
}

static void take_lines(struct client *k);

/* Answers (takes o) and lets the client ask on. */
static void
pending_done(struct pending *p, json_t *o)
{
	struct client *k = p->client;

	json_decref(p->rows);
	*p = (struct pending){ 0 };
	answer(k, o);
	if (k == NULL)
		return;
	k->is_waiting = false;
	take_lines(k);
}

static json_t *
refusal(const char *code, const char *text)
{
	return json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code);
}

/* ---- what a session looks like ---- */

static void
put_addr(json_t *o, const char *key, const struct ip_addr *a)
{
	char text[IP_TEXT];

	if (a->family != 0)
		json_object_set_new(o, key, json_string(ip_text(a, text)));
}

/* A client's own words need not be UTF-8. */
static void
put_text(json_t *o, const char *key, const char *text)
{
	json_t *s = json_string(text);

	json_object_set_new(o, key, s != NULL ? s : json_string("?"));
}

static void
put_number(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void
sid_text(const uint8_t sid[IPC_SID], char text[2 * IPC_SID + 1])
{
	for (int i = 0; i < IPC_SID; i++)
		snprintf(text + 2 * i, 3, "%02x", sid[i]);
}

static const char *
tls_name(uint16_t version)
{
	return version == 0x0304 ? "TLSv1.3" : version == 0x0303 ? "TLSv1.2" : "";
}

static void
put_channels(json_t *o, const struct session *s)
{
	char cipher[8];

	if (s->has_tls) {
		put_number(o, "worker", s->tls_worker);
		put_text(o, "tls_version", tls_name(s->tls_version));
		put_text(o, "tls_cipher", s->tls_cipher);
		put_number(o, "mtu", s->mtu);
	}
	json_object_set_new(o, "dtls", json_boolean(s->has_dtls));
	put_text(o, "channel", s->has_dtls ? "dtls" : s->has_tls ? "tls" : "none");
	if (s->has_dtls) {
		snprintf(cipher, sizeof(cipher), "0x%04x", s->dtls_cipher);
		put_text(o, "dtls_cipher", cipher);
		put_number(o, "dtls_worker", s->dtls_worker);
		put_addr(o, "dtls_peer", &s->dtls_peer);
	}
}

static void
put_times(json_t *o, const struct session_table *t, const struct session *s,
	  struct now now)
{
	struct counters sum = session_sum(t, s);
	char text[32];
	time_t since = (time_t)s->wall_connected_s;
	struct tm tm;

	if (s->has_connected) {
		gmtime_r(&since, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		put_text(o, "since", text);
	}
	put_number(o, "duration_s", (now.mono_ms - s->connected_ms) / 1000);
	put_number(o, "session_left_s",
		   s->expires_ms > now.mono_ms ? (s->expires_ms - now.mono_ms) / 1000
					       : 0);
	put_number(o, "idle_s",
		   now.mono_ms > sum.active_ms ? (now.mono_ms - sum.active_ms) / 1000
					       : 0);
	put_number(o, "rx_bytes", sum.rx_bytes);
	put_number(o, "tx_bytes", sum.tx_bytes);
	put_number(o, "rx_pkts", sum.rx_pkts);
	put_number(o, "tx_pkts", sum.tx_pkts);
	put_number(o, "dtls_rx_pkts", sum.dtls_rx_pkts);
	put_number(o, "dtls_tx_pkts", sum.dtls_tx_pkts);
	put_number(o, "dropped", sum.dropped);
}

/* The numbers of the `platform` fields in messages.h, as workers find them. */
static const char *
platform_text(uint8_t platform)
{
	return platform_name[platform < PLATFORMS ? platform : PLATFORM_UNKNOWN];
}

static json_t *
session_json(const struct session_table *t, const struct session *s, struct now now)
{
	json_t *o = json_object();
	char sid[2 * IPC_SID + 1], id[9], version[CLIENT_VERSION];

	sid_text(s->claims.sid, sid);
	snprintf(id, sizeof(id), "%.8s", sid);
	put_text(o, "id", id);
	put_text(o, "sid", sid);
	put_text(o, "type", "AnyConnect");
	put_text(o, "user", s->claims.user);
	put_text(o, "group", s->claims.group);
	put_text(o, "policy", s->claims.policy);
	put_text(o, "state", session_state_name[s->state]);
	put_addr(o, "addr4", &s->claims.addr4);
	put_addr(o, "addr6", &s->claims.addr6);
	put_addr(o, "source", &s->source);
	put_text(o, "platform", platform_text(s->claims.platform));
	put_text(o, "agent", s->agent);
	client_version(version, s->agent);
	put_text(o, "client_version", version);
	put_text(o, "hostname", s->hostname);
	put_text(o, "device",
		 s->claims.device[0] != '\0' ? s->claims.device : s->hostname);
	put_channels(o, s);
	put_times(o, t, s, now);
	return o;
}

/* ---- commands ---- */

static const char *
text_of(const json_t *q, const char *key)
{
	return json_string_value(json_object_get(q, key));
}

/* The one session whose id begins so; NULL and a refusal otherwise. */
static struct session *
session_of(struct client *k, const char *id)
{
	struct session_table *t = k->c->host->table;
	struct session *found = NULL;
	size_t n = id != NULL ? strlen(id) : 0;

	if (n < ID_MIN || n > 2 * IPC_SID) {
		refuse(k, "bad_request", "a session id has 4 to 32 hex digits");
		return NULL;
	}
	for (uint32_t i = 0; i < session_table_slots(t); i++) {
		struct session *s = session_at(t, i);
		char sid[2 * IPC_SID + 1];
		if (s == NULL)
			continue;
		sid_text(s->claims.sid, sid);
		if (strncasecmp(sid, id, n) != 0)
			continue;
		if (found != NULL) {
			refuse(k, "ambiguous",
			       "more than one session has an id like this");
			return NULL;
		}
		found = s;
	}
	if (found == NULL)
		refuse(k, "not_found", "no session has this id");
	return found;
}

static void
cmd_status(struct client *k, const json_t *q)
{
	struct pending *p = pending_new(k, IPC_status_ask);

	if (p == NULL)
		return;
	struct ipc_status_ask m = { .id = p->id };
	k->c->host->send(k->c->host->arg, IPC_PARENT, 0, IPC_status_ask, &m);
}

static json_t *
own_status(const struct control *c)
{
	const struct control_host *h = c->host;
	const struct session_table *t = h->table;
	json_t *pair = h->pair_status != NULL ? h->pair_status(h->arg) : NULL;
	json_t *o = json_pack(
		"{sb ss ss sb s{sI ss} s{si si si si si si} s{si si} si s{ss si ss}}",
		"ok", 1, "version", TANDEM_VERSION, "node", h->config->node_name,
		"enabled", h->config->enabled, "config", "generation",
		(json_int_t)h->generation, "hash", h->hash, "sessions", "connected",
		session_count(t, SESSION_CONNECTED), "pending",
		session_count(t, SESSION_PENDING), "away",
		session_count(t, SESSION_AWAY), "linger",
		session_count(t, SESSION_LINGER), "places",
		session_places(t, h->now(h->arg)), "limit", h->config->session_limit,
		"pool", "size", pool_size(session_pool(t)), "used",
		pool_used(session_pool(t)), "revoked",
		revoked_count(session_revoked(t)), "client_connection", "hostname",
		h->config->hostname, "port", h->config->port, "download_url",
		h->config->download_url);

	if (pair != NULL)
		json_object_set_new(o, "pair", pair);
	return o;
}

static void
cmd_sessions(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	const char *user = text_of(q, "user");
	json_t *rows = json_array();

	for (uint32_t i = 0; i < session_table_slots(h->table); i++) {
		struct session *s = session_at(h->table, i);
		if (s != NULL && (user == NULL || strcmp(user, s->claims.user) == 0))
			json_array_append_new(
				rows, session_json(h->table, s, h->now(h->arg)));
	}
	answer(k, json_pack("{sb so}", "ok", 1, "sessions", rows));
}

static void
cmd_session(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	struct session *s = session_of(k, text_of(q, "id"));

	if (s != NULL)
		answer(k, json_pack("{sb so}", "ok", 1, "session",
				    session_json(h->table, s, h->now(h->arg))));
}

/* A condition that is not given holds. */
static bool
holds(const json_t *q, const char *key, const char *value)
{
	const char *wanted = text_of(q, key);

	return wanted == NULL || strcasecmp(wanted, value) == 0;
}

static void
cmd_clients(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	struct client_entry *e;
	json_t *rows = json_array();
	unsigned n;

	if (clients_list(h->table, &e, &n) < 0) {
		json_decref(rows);
		refuse(k, "no_memory", "out of memory");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct session *s = e[i].latest;
		char mac[CLIENT_MAC];

		if (!holds(q, "user", s->claims.user) ||
		    !holds(q, "type", "AnyConnect") ||
		    !holds(q, "policy", s->claims.policy) ||
		    !holds(q, "platform", platform_text(s->claims.platform)))
			continue;
		json_t *o = session_json(h->table, s, h->now(h->arg));
		client_mac(mac, s->claims.user);
		put_text(o, "mac", mac);
		put_number(o, "devices", e[i].devices);
		json_array_append_new(rows, o);
	}
	free(e);
	answer(k, json_pack("{sb sI so}", "ok", 1, "count",
			    (json_int_t)json_array_size(rows), "clients", rows));
}

static void
cmd_disconnect(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	const char *user = text_of(q, "user"), *text = text_of(q, "reason");
	unsigned n = 1;

	if (text == NULL)
		text = "Disconnected by the administrator";
	if (user != NULL) {
		n = session_end_user(h->table, user, "admin", text, h->now(h->arg));
		if (n == 0) {
			refuse(k, "not_found", "this user has no session");
			return;
		}
	} else {
		struct session *s = session_of(k, text_of(q, "id"));
		if (s == NULL)
			return;
		session_end(h->table, s, "admin", text, h->now(h->arg));
	}
	answer(k, json_pack("{sb si}", "ok", 1, "count", n));
}

static void
append_line(void *arg, const char *line, size_t n)
{
	json_array_append_new(arg, json_loadb(line, n, 0, NULL));
}

/* A filter word names an event, the type of all events, or a user. */
static bool
word_matches(const char *word, const char *line)
{
	struct events_filter by_event = { .event = word }, by_user = { .user = word };

	return word[0] == '\0' || events_match(&by_event, line) ||
	       events_match(&by_user, line);
}

struct collect {
	const char *word;
	json_t *rows;
	size_t last;
};

static void
collect_line(void *arg, const char *line, size_t n)
{
	struct collect *c = arg;

	if (!word_matches(c->word, line))
		return;
	append_line(c->rows, line, n);
	if (json_array_size(c->rows) > c->last)
		json_array_remove(c->rows, 0);
}

static void
cmd_events(struct client *k, const json_t *q)
{
	const char *word = text_of(q, "filter");
	const json_t *last = json_object_get(q, "last");
	bool follow = json_is_true(json_object_get(q, "follow"));
	struct events_filter f = { .since = text_of(q, "since") };
	struct collect c = { .word = word ? word : "",
			     .rows = json_array(),
			     .last = follow ? 0 : EVENTS_DEFAULT };

	if (json_is_integer(last) && json_integer_value(last) >= 0 &&
	    json_integer_value(last) <= 100000)
		c.last = (size_t)json_integer_value(last);
	if (c.last > 0)
		events_each(k->c->host->events, &f, 0, collect_line, &c);
	answer(k, json_pack("{sb so}", "ok", 1, "events", c.rows));
	k->follows = follow;
	snprintf(k->filter, sizeof(k->filter), "%s", c.word);
}

static void
cmd_why(struct client *k, const json_t *q)
{
	struct events_filter f = { .user = text_of(q, "user") };
	json_t *rows = json_array();

	if (f.user == NULL) {
		json_decref(rows);
		refuse(k, "bad_request", "why wants a user");
		return;
	}
	events_each(k->c->host->events, &f, WHY_EVENTS, append_line, rows);
	answer(k, json_pack("{sb so}", "ok", 1, "events", rows));
}

static void
ask_row(struct control *c, const struct pending *p)
{
	struct ipc_user_get m = { .id = p->id, .index = p->index };

	c->host->send(c->host->arg, IPC_AUTH, 0, IPC_user_get, &m);
}

static void
cmd_user_list(struct client *k, const json_t *q)
{
	struct pending *p = pending_new(k, IPC_user_get);

	if (p == NULL)
		return;
	p->rows = json_array();
	ask_row(k->c, p);
}

/* A given text goes in, if it fits. */
static bool
take_text(const json_t *q, const char *key, char *to, size_t cap, uint8_t bit,
	  uint8_t *mask)
{
	const char *text = text_of(q, key);

	if (text == NULL)
		return json_object_get(q, key) == NULL;
	*mask |= bit;
	return snprintf(to, cap, "%s", text) < (int)cap;
}

static void
send_user(struct client *k, struct ipc_user_put *m, const char *reason,
	  const char *text)
{
	struct pending *p = pending_new(k, IPC_user_put);

	if (p == NULL)
		return;
	m->id = p->id;
	memcpy(p->user, m->user, sizeof(p->user));
	p->change = m->op == USER_CREATE   ? "created"
		    : m->op == USER_REMOVE ? "removed"
					   : "updated";
	p->end_reason = reason;
	p->end_text = text;
	k->c->host->send(k->c->host->arg, IPC_AUTH, 0, IPC_user_put, m);
}

static void
cmd_user_put(struct client *k, const json_t *q)
{
	const json_t *authorised = json_object_get(q, "authorised");
	bool create = json_is_true(json_object_get(q, "create"));
	struct ipc_user_put m = { .op = create ? USER_CREATE : USER_UPDATE };
	uint8_t ignored = 0;

	if (text_of(q, "name") == NULL ||
	    !take_text(q, "name", m.user, sizeof(m.user), 0, &ignored) ||
	    m.user[0] == '\0' ||
	    !take_text(q, "hash", m.hash, sizeof(m.hash), USER_HASH, &m.mask) ||
	    !take_text(q, "totp", m.totp, sizeof(m.totp), USER_TOTP, &m.mask) ||
	    (authorised != NULL && !json_is_boolean(authorised))) {
		refuse(k, "bad_request",
		       "user_put wants name, and hash, authorised or totp");
		return;
	}
	if (authorised != NULL) {
		m.mask |= USER_AUTHORISED;
		m.is_authorised = json_is_true(authorised);
	}
	if (!create && authorised != NULL && !m.is_authorised)
		send_user(k, &m, "user_disabled", "Your account is disabled");
	else if (!create && (m.mask & USER_HASH))
		send_user(k, &m, "password_changed", "Your password was changed");
	else
		send_user(k, &m, NULL, NULL);
	OPENSSL_cleanse(&m, sizeof(m));
}

static void
cmd_user_remove(struct client *k, const json_t *q)
{
	struct ipc_user_put m = { .op = USER_REMOVE };
	uint8_t ignored = 0;

	if (text_of(q, "name") == NULL ||
	    !take_text(q, "name", m.user, sizeof(m.user), 0, &ignored)) {
		refuse(k, "bad_request", "user_remove wants a name");
		return;
	}
	send_user(k, &m, "user_disabled", "Your account is disabled");
}

static void
cmd_reload(struct client *k, const json_t *q)
{
	struct pending *p = pending_new(k, IPC_reload);

	if (p == NULL)
		return;
	struct ipc_reload m = { .id = p->id };
	k->c->host->send(k->c->host->arg, IPC_PARENT, 0, IPC_reload, &m);
}

static void
cmd_config_running(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;

	answer(k, json_pack("{sb ss ss sI ss}", "ok", 1, "text", h->text ? h->text : "",
			    "node_text", h->node_text ? h->node_text : "", "generation",
			    (json_int_t)h->generation, "hash", h->hash));
}

/* Everything about the pair: cluster.c knows. */
static void
cmd_pair(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	struct pending *p = h->pair_ask != NULL ? pending_new(k, IPC_config_put) : NULL;

	if (p != NULL)
		h->pair_ask(h->arg, p->id, q);
	else if (h->pair_ask == NULL)
		refuse(k, "busy", "vpnd has just started, try again");
}

/* One row per option of one section. */
static void
put_settings(json_t *rows, const struct config *c, const struct option *o)
{
	unsigned n = o->section == SECTION_GROUP  ? c->n_group
		     : o->section == SECTION_DDNS ? c->n_ddns
		     : o->section == SECTION_WAN  ? c->n_wan
						  : 1;

	for (unsigned i = 0; i < n; i++) {
		const void *base = c;
		const char *title = "";
		char path[160], text[CONFIG_BANNER];
		json_t *value = json_array();

		if (o->section == SECTION_GROUP) {
			base = &c->group[i];
			title = c->group[i].name;
		} else if (o->section == SECTION_DDNS) {
			base = &c->ddns[i];
			title = c->ddns[i].wan;
		} else if (o->section == SECTION_WAN) {
			base = &c->wan[i];
			title = c->wan[i].name;
		}
		snprintf(path, sizeof(path), "%s%s%s.%s",
			 config_sections[o->section].name, *title ? "." : "", title,
			 o->name);
		for (unsigned v = 0; o->type->print(o, base, v, text, sizeof(text));
		     v++)
			json_array_append_new(
				value, json_string(o->is_secret ? "(secret)" : text));
		json_t *row = json_object();
		put_text(row, "setting", path);
		if (o->type->is_list)
			json_object_set(row, "value", value);
		else
			json_object_set(row, "value", json_array_get(value, 0));
		put_text(row, "default", o->initial ? o->initial : "");
		put_text(row, "change", effect_text(o->effect));
		json_decref(value);
		json_array_append_new(rows, row);
	}
}

/* The running settings, in the groups in which administrators look for them. */
static void
cmd_settings(struct client *k, const json_t *q)
{
	json_t *groups = json_object();

	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		const char *name = config_sections[o->section].group;

		if (json_object_get(groups, name) == NULL)
			json_object_set_new(groups, name, json_array());
		put_settings(json_object_get(groups, name), k->c->host->config, o);
	}
	answer(k, json_pack("{sb so}", "ok", 1, "groups", groups));
}

static const struct command {
	const char *name;
	void (*run)(struct client *k, const json_t *q);
} commands[] = {
	{ "status", cmd_status },
	{ "sessions", cmd_sessions },
	{ "session", cmd_session },
	{ "disconnect", cmd_disconnect },
	{ "events", cmd_events },
	{ "why", cmd_why },
	{ "user_list", cmd_user_list },
	{ "user_put", cmd_user_put },
	{ "user_remove", cmd_user_remove },
	{ "reload", cmd_reload },
	{ "config_running", cmd_config_running },
	{ "nodes", cmd_pair },
	{ "config_apply", cmd_pair },
	{ "config_confirm", cmd_pair },
	{ "config_history", cmd_pair },
	{ "config_rollback", cmd_pair },
	{ "clients", cmd_clients },
	{ "settings", cmd_settings },
};

json_t *
control_parse(struct span line, const char **error)
{
	json_t *q =
		json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(q) && text_of(q, "cmd") != NULL)
		return q;
	*error =
		q == NULL ? "this line is no JSON object" : "the object has no \"cmd\"";
	json_decref(q);
	return NULL;
}

static void
take_line(struct client *k, struct span line)
{
	const char *error;
	json_t *q = control_parse(line, &error);

	if (q == NULL) {
		refuse(k, "bad_request", error);
		return;
	}
	const struct command *found = NULL;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, text_of(q, "cmd")) == 0)
			found = &commands[i];
	if (found != NULL)
		found->run(k, q);
	else
		refuse(k, "unknown_command", "vpnd does not know this command");
	json_decref(q);
}

static void
take_lines(struct client *k)
{
	char *end;

	if (k->is_taking)
		return;
	k->is_taking = true;
	while (!k->is_waiting && !k->is_closing &&
	       (end = memchr(k->in, '\n', k->n)) != NULL) {
		size_t n = (size_t)(end - k->in);
		take_line(k, span_of(k->in, n));
		k->n -= n + 1;
		memmove(k->in, end + 1, k->n);
	}
	k->is_taking = false;
	if (k->n == sizeof(k->in) && !k->is_waiting && !k->is_closing) {
		refuse(k, "bad_request", "the line is too long");
		client_close(k);
	}
}

/* ---- answers of other processes ---- */

void
control_status(struct control *c, const struct ipc_status_text *m)
{
	struct pending *p = pending_find(c, IPC_status_ask, m->id);

	if (p == NULL)
		return;
	json_t *o = own_status(c);
	json_t *more = json_loadb((const char *)m->json.p, m->json.n, 0, NULL);
	json_object_update_missing(o, more);
	json_decref(more);
	pending_done(p, o);
}

void
control_reloaded(struct control *c, const struct ipc_reload_done *m)
{
	struct pending *p = pending_find(c, IPC_reload, m->id);
	json_t *text = json_stringn((const char *)m->text.p, m->text.n);

	if (p != NULL && m->is_bad)
		pending_done(p, json_pack("{sb sO ss}", "ok", 0, "error", text, "code",
					  "config_refused"));
	else if (p != NULL)
		pending_done(p, json_pack("{sb sO}", "ok", 1, "text", text));
	json_decref(text);
}

void
control_user_done(struct control *c, const struct ipc_user_done *m)
{
	struct pending *p = pending_find(c, IPC_user_put, m->id);
	unsigned n = 0;

	if (p == NULL)
		return;
	if (m->is_bad) {
		pending_done(p, refusal("refused", m->text));
		return;
	}
	struct event e = { .what = EV_USER_CHANGED,
			   .user = p->user,
			   .reason = p->change };
	events_add(c->host->events, &e, c->host->now(c->host->arg).wall_ms);
	if (p->end_reason != NULL)
		n = session_end_user(c->host->table, p->user, p->end_reason,
				     p->end_text, c->host->now(c->host->arg));
	pending_done(p, json_pack("{sb ss si}", "ok", 1, "text", m->text, "ended", n));
}

void
control_user_row(struct control *c, const struct ipc_user_row *m)
{
	struct pending *p = pending_find(c, IPC_user_get, m->id);

	if (p == NULL)
		return;
	if (m->user[0] != '\0' && p->index < m->total)
		json_array_append_new(p->rows,
				      json_pack("{ss sb sb sI}", "name", m->user,
						"authorised", m->is_authorised, "totp",
						m->has_totp, "changed",
						(json_int_t)m->wall_changed));
	if (m->user[0] != '\0' && ++p->index < m->total) {
		p->since_ms = c->host->now(c->host->arg).mono_ms;
		ask_row(c, p);
		return;
	}
	pending_done(p, json_pack("{sb sO}", "ok", 1, "users", p->rows));
}

void
control_pair_done(struct control *c, uint32_t id, json_t *o)
{
	struct pending *p = pending_find(c, IPC_config_put, id);

	if (p != NULL)
		pending_done(p, o);
	else
		json_decref(o);
}

void
control_event(struct control *c, const char *line, size_t n)
{
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *k = &c->client[i];
		if (k->is_used && k->follows && word_matches(k->filter, line))
			send_line(k, line, n);
	}
}

/* ---- the socket ---- */

static void
on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct client *k = h->data;

	*buf = uv_buf_init(k->in + k->n, (unsigned)(sizeof(k->in) - k->n));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *k = stream->data;

	/* No room (UV_ENOBUFS) means that it went on talking without waiting. */
	if (n < 0) {
		client_close(k);
		return;
	}
	k->n += (size_t)n;
	k->active_ms = k->c->host->now(k->c->host->arg).mono_ms;
	take_lines(k);
}

static bool
is_allowed(const uv_pipe_t *pipe)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	struct client *k = NULL;

	if (status < 0)
		return;
	for (int i = 0; i < CONTROL_CLIENTS && k == NULL; i++)
		if (!c->client[i].is_used)
			k = &c->client[i];
	/* libuv asks no more until this one is accepted. */
	c->has_waiting = k == NULL;
	if (k == NULL)
		return;
	k->is_used = true;
	k->is_closing = k->is_waiting = k->is_taking = k->follows = false;
	k->n = 0;
	k->c = c;
	k->active_ms = c->host->now(c->host->arg).mono_ms;
	uv_pipe_init(listener->loop, &k->pipe, 0);
	k->pipe.data = k;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe) < 0) {
		client_close(k);
		return;
	}
	if (!is_allowed(&k->pipe)) {
		refuse(k, "not_permitted", "only root may use the control socket");
		client_close(k);
		return;
	}
	uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read);
}

void
control_tick(struct control *c)
{
	uint64_t now_ms = c->host->now(c->host->arg).mono_ms;

	for (int i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &c->pending[i];
		uint64_t limit = p->asked == IPC_status_ask ? STATUS_MS : ANSWER_MS;
		if (p->asked == IPC_NONE || now_ms - p->since_ms < limit)
			continue;
		if (p->asked == IPC_status_ask)
			pending_done(p, own_status(c));
		else
			pending_done(p, refusal("no_answer",
						"the process in charge does not "
						"answer; look into the log"));
	}
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *k = &c->client[i];
		if (k->is_used && !k->is_closing && !k->is_waiting && !k->follows &&
		    now_ms - k->active_ms > CONTROL_IDLE_MS)
			client_close(k);
	}
}

int
control_open(struct control **out, uv_loop_t *loop, int fd,
	     const struct control_host *host)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	c->host = host;
	/* libuv writes without MSG_NOSIGNAL: a client that left would end us. */
	signal(SIGPIPE, SIG_IGN);
	/* Answers to our predecessor's questions must not find ours. */
	c->next_id = (uint32_t)host->now(host->arg).mono_ms;
	int rc = uv_pipe_init(loop, &c->listener, 0);
	if (rc == 0)
		rc = uv_pipe_open(&c->listener, fd);
	c->listener.data = c;
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&c->listener, 64, on_connection);
	if (rc < 0) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}
