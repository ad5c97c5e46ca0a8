/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control_cmd.c -- the commands: a row in the table, a function above it, and what
 * happens when another process has answered. */
#include "vpnd/session/control_state.h"

#include "common/config/schema.h"
#include "vpnd/session/clients.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EVENTS_DEFAULT = 1000,
	WHY_EVENTS = 50,
	ID_MIN = 4, /* hex digits that name a session */
};

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
		client_refuse(k, "bad_request", "a session id has 4 to 32 hex digits");
		return NULL;
	}
	for (uint32_t i = 0; i < session_table_slots(t); i++) {
		struct session *s = session_at(t, i);
		char sid[2 * IPC_SID + 1];
		if (s == NULL)
			continue;
		show_sid(s->claims.sid, sid);
		if (strncasecmp(sid, id, n) != 0)
			continue;
		if (found != NULL) {
			client_refuse(k, "ambiguous",
				      "more than one session has an id like this");
			return NULL;
		}
		found = s;
	}
	if (found == NULL)
		client_refuse(k, "not_found", "no session has this id");
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

json_t *
command_status(const struct control *c)
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
				rows, show_session(h->table, s, h->now(h->arg)));
	}
	client_answer(k, json_pack("{sb so}", "ok", 1, "sessions", rows));
}

static void
cmd_session(struct client *k, const json_t *q)
{
	const struct control_host *h = k->c->host;
	struct session *s = session_of(k, text_of(q, "id"));

	if (s != NULL)
		client_answer(k, json_pack("{sb so}", "ok", 1, "session",
					   show_session(h->table, s, h->now(h->arg))));
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
		client_refuse(k, "no_memory", "out of memory");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct session *s = e[i].latest;
		char mac[CLIENT_MAC];

		if (!holds(q, "user", s->claims.user) ||
		    !holds(q, "type", "AnyConnect") ||
		    !holds(q, "policy", s->claims.policy) ||
		    !holds(q, "platform", show_platform(s->claims.platform)))
			continue;
		json_t *o = show_session(h->table, s, h->now(h->arg));
		client_mac(mac, s->claims.user);
		show_text(o, "mac", mac);
		show_number(o, "devices", e[i].devices);
		json_array_append_new(rows, o);
	}
	free(e);
	client_answer(k, json_pack("{sb sI so}", "ok", 1, "count",
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
			client_refuse(k, "not_found", "this user has no session");
			return;
		}
	} else {
		struct session *s = session_of(k, text_of(q, "id"));
		if (s == NULL)
			return;
		session_end(h->table, s, "admin", text, h->now(h->arg));
	}
	client_answer(k, json_pack("{sb si}", "ok", 1, "count", n));
}

struct collect {
	const char *word;
	json_t *rows;
	size_t last;
};

static void
append_line(void *arg, const char *line, size_t n)
{
	json_array_append_new(arg, json_loadb(line, n, 0, NULL));
}

/* A filter word names an event, the type of all events, or a user. */
bool
command_word_matches(const char *word, const char *line)
{
	struct events_filter by_event = { .event = word }, by_user = { .user = word };

	return word[0] == '\0' || events_match(&by_event, line) ||
	       events_match(&by_user, line);
}

static void
collect_line(void *arg, const char *line, size_t n)
{
	struct collect *c = arg;

	if (!command_word_matches(c->word, line))
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
	client_answer(k, json_pack("{sb so}", "ok", 1, "events", c.rows));
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
		client_refuse(k, "bad_request", "why wants a user");
		return;
	}
	events_each(k->c->host->events, &f, WHY_EVENTS, append_line, rows);
	client_answer(k, json_pack("{sb so}", "ok", 1, "events", rows));
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
		client_refuse(k, "bad_request",
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
		client_refuse(k, "bad_request", "user_remove wants a name");
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

	client_answer(k, json_pack("{sb ss ss sI ss}", "ok", 1, "text",
				   h->text ? h->text : "", "node_text",
				   h->node_text ? h->node_text : "", "generation",
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
		client_refuse(k, "busy", "vpnd has just started, try again");
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
		show_text(row, "setting", path);
		if (o->type->is_list)
			json_object_set(row, "value", value);
		else
			json_object_set(row, "value", json_array_get(value, 0));
		show_text(row, "default", o->initial ? o->initial : "");
		show_text(row, "change", effect_text(o->effect));
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
	client_answer(k, json_pack("{sb so}", "ok", 1, "groups", groups));
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

void
command_take(struct client *k, struct span line)
{
	const char *error;
	json_t *q = control_parse(line, &error);

	if (q == NULL) {
		client_refuse(k, "bad_request", error);
		return;
	}
	const struct command *found = NULL;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, text_of(q, "cmd")) == 0)
			found = &commands[i];
	if (found != NULL)
		found->run(k, q);
	else
		client_refuse(k, "unknown_command", "vpnd does not know this command");
	json_decref(q);
}

/* ---- answers of other processes ---- */

void
control_status(struct control *c, const struct ipc_status_text *m)
{
	struct pending *p = pending_find(c, IPC_status_ask, m->id);

	if (p == NULL)
		return;
	json_t *o = command_status(c);
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
		pending_done(p, command_refusal("refused", m->text));
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
