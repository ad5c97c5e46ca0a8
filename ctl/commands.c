/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* commands.c -- the command table, and how each answer reads on a terminal.
 *
 * An answer's fields name their unit (_s, _bytes), so most of it is printed by
 * one rule; what vpnd adds later shows up without a change here.
 */
#include "ctl/ctl.h"

#include "ctl/cert.h"
#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { VALUE_TEXT = 512 };

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static bool
ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);
	return n >= m && strcmp(s + n - m, tail) == 0;
}

/* A scalar as a person reads it; the key's ending is its unit. */
static void
value_text(const char *key, const json_t *v, char *buf, size_t cap)
{
	char num[FORMAT_TEXT];

	if (json_is_string(v)) {
		snprintf(buf, cap, "%s", json_string_value(v));
	} else if (json_is_boolean(v)) {
		snprintf(buf, cap, "%s", json_is_true(v) ? "yes" : "no");
	} else if (json_is_integer(v) && json_integer_value(v) >= 0 &&
		   ends_with(key, "_bytes")) {
		snprintf(buf, cap, "%s",
			 format_bytes((uint64_t)json_integer_value(v), num));
	} else if (json_is_integer(v) && json_integer_value(v) >= 0 &&
		   ends_with(key, "_s")) {
		snprintf(buf, cap, "%s",
			 format_duration((uint64_t)json_integer_value(v), num));
	} else if (json_is_integer(v)) {
		snprintf(buf, cap, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		snprintf(buf, cap, "%.3g", json_real_value(v));
	} else {
		snprintf(buf, cap, "-");
	}
}

/* "idle_timeout_s" -> "idle timeout": the unit is in the value. */
static void
label_of(const char *key, char *buf, size_t cap)
{
	size_t n = strlen(key);

	if (ends_with(key, "_bytes"))
		n -= 6;
	else if (ends_with(key, "_s"))
		n -= 2;
	snprintf(buf, cap, "%.*s", (int)n, key);
	for (char *p = buf; *p != '\0'; p++)
		if (*p == '_')
			*p = ' ';
}

static void
print_field(const char *label, const char *text)
{
	printf("  %-22s ", label);
	print_safe(stdout, *text ? text : "-");
	putchar('\n');
}

static bool
all_objects(const json_t *array)
{
	size_t i;
	json_t *v;

	json_array_foreach(array, i, v)
	{
		if (!json_is_object(v))
			return false;
	}
	return json_array_size(array) > 0;
}

/* Rows of objects as a table: column i is of keys[i]. */
static void
print_table(const struct ctl *c, const json_t *rows, const struct table_col *col,
	    const char *const *keys, unsigned n)
{
	struct table t;
	json_t *row;
	size_t i;

	table_open(&t, col, n);
	json_array_foreach(rows, i, row)
	{
		char text[TABLE_COLS][VALUE_TEXT];
		const char *cells[TABLE_COLS];
		for (unsigned k = 0; k < n; k++) {
			value_text(keys[k], json_object_get(row, keys[k]), text[k],
				   sizeof(text[k]));
			cells[k] = text[k];
		}
		table_add(&t, cells);
	}
	table_print(&t, stdout, c->has_colour ? "\033[1m" : "");
	table_free(&t);
}

/* Rows of like objects: the first row's keys are the columns. */
static void
print_rows(const struct ctl *c, const json_t *rows)
{
	struct table_col col[TABLE_COLS];
	const char *keys[TABLE_COLS];
	char heads[TABLE_COLS][64];
	unsigned n = 0;
	const char *key;
	json_t *v;

	json_object_foreach(json_array_get(rows, 0), key, v)
	{
		if (n == TABLE_COLS || json_is_object(v) || json_is_array(v))
			continue;
		label_of(key, heads[n], sizeof(heads[n]));
		for (char *p = heads[n]; *p != '\0'; p++)
			*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
		keys[n] = key;
		col[n] = (struct table_col){ heads[n], json_is_number(v) };
		n++;
	}
	print_table(c, rows, col, keys, n);
}

/* Everything in an object: scalars first, then its parts under a heading. */
static void
print_object(const struct ctl *c, const json_t *o)
{
	const char *key;
	json_t *v, *item;
	char text[VALUE_TEXT], label[64];
	size_t i;

	json_object_foreach((json_t *)o, key, v)
	{
		if (json_is_object(v) || all_objects(v) || strcmp(key, "ok") == 0)
			continue;
		label_of(key, label, sizeof(label));
		if (json_is_array(v)) {
			json_array_foreach(v, i, item)
			{
				value_text(key, item, text, sizeof(text));
				print_field(i == 0 ? label : "", text);
			}
			continue;
		}
		value_text(key, v, text, sizeof(text));
		print_field(label, text);
	}
	json_object_foreach((json_t *)o, key, v)
	{
		if (!json_is_object(v) && !all_objects(v))
			continue;
		label_of(key, label, sizeof(label));
		printf("%s%s%s\n", c->has_colour ? "\033[1m" : "", label,
		       c->has_colour ? "\033[0m" : "");
		if (json_is_object(v))
			print_object(c, v);
		else
			print_rows(c, v);
	}
}

static long long
number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

__attribute__((format(printf, 2, 3))) static void
print_status(const char *label, const char *fmt, ...)
{
	char text[VALUE_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_field(label, text);
}

static void
status_head(const struct ctl *c, const json_t *o)
{
	const char *node = text_of(o, "node"), *version = text_of(o, "version");
	bool is_off = json_is_false(json_object_get(o, "enabled"));
	const char *colour = is_off ? "\033[31m" : "\033[32m";
	char up[FORMAT_TEXT];

	format_duration((uint64_t)number_of(o, "uptime_s"), up);
	printf("tandem %s on %s: %s%s%s", version ? version : "?", node ? node : "?",
	       c->has_colour ? colour : "", is_off ? "switched off" : "serving",
	       c->has_colour ? "\033[0m" : "");
	/* Without the parent's part there is no uptime: say so, do not show 0. */
	if (json_object_get(o, "uptime_s") != NULL)
		printf(", up %s\n", up);
	else
		printf("; the parent process did not answer\n");
}

static void
status_listeners(const json_t *listeners)
{
	size_t i;
	json_t *l;

	json_array_foreach(listeners, i, l)
	{
		const char *wan = text_of(l, "wan"), *ifname = text_of(l, "interface");
		print_status(i == 0 ? "listening" : "",
			     "%s on %s, IPv%lld, TCP and UDP port %lld",
			     wan ? wan : "?", ifname ? ifname : "?",
			     number_of(l, "family"), number_of(l, "port"));
	}
}

/* Of the sessions that are connected, how many have their DTLS channel. */
static void
status_dtls(struct ctl *c)
{
	json_t *answer, *s;
	size_t i, n_dtls = 0, n = 0;

	if (ctl_ask(c, json_pack("{ss}", "cmd", "sessions"), 30, &answer) != CTL_OK)
		return;
	json_array_foreach(json_object_get(answer, "sessions"), i, s)
	{
		const char *channel = text_of(s, "channel");
		n_dtls += channel != NULL && strcmp(channel, "dtls") == 0;
		n += channel != NULL && strcmp(channel, "none") != 0;
	}
	if (n > 0)
		print_status("over DTLS", "%zu of %zu (%zu %%)", n_dtls, n,
			     n_dtls * 100 / n);
	json_decref(answer);
}

/* One screen. What is not known here is printed below by the general rule. */
static void
print_answer(struct ctl *c, json_t *o)
{
	static const char *const shown[] = {
		"ok",     "version",           "node",      "enabled",     "uptime_s",
		"config", "config_generation", "listeners", "certificate", "sessions",
		"pool",   "processes"
	};
	const json_t *cert = json_object_get(o, "certificate");
	const json_t *sessions = json_object_get(o, "sessions");
	const json_t *pool = json_object_get(o, "pool");
	const json_t *config = json_object_get(o, "config");
	const json_t *processes = json_object_get(o, "processes");

	status_head(c, o);
	status_listeners(json_object_get(o, "listeners"));
	if (cert != NULL)
		print_status("certificate", "%s, %s, valid until %s",
			     text_of(cert, "source") ? text_of(cert, "source") : "?",
			     text_of(cert, "key") ? text_of(cert, "key") : "?",
			     text_of(cert, "not_after") ? text_of(cert, "not_after")
							: "?");
	print_status("configuration", "generation %lld, hash %s",
		     number_of(config, "generation"),
		     text_of(config, "hash") ? text_of(config, "hash") : "?");
	print_status("sessions", "%lld connected, %lld away; %lld of %lld places taken",
		     number_of(sessions, "connected"), number_of(sessions, "away"),
		     number_of(sessions, "places"), number_of(sessions, "limit"));
	status_dtls(c);
	print_status("addresses", "%lld of %lld in use", number_of(pool, "used"),
		     number_of(pool, "size"));
	if (all_objects(processes))
		print_rows(c, processes);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		json_object_del(o, shown[i]);
	print_object(c, o);
}

static int
cmd_status(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "status"), 10, &answer);
	if (rc == CTL_OK && !c->is_json)
		print_answer(c, answer);
	json_decref(answer);
	return rc;
}

static bool
same_word(const char *s, const char *wanted)
{
	return wanted == NULL || (s != NULL && strcasecmp(s, wanted) == 0);
}

static void
print_sessions(const struct ctl *c, const json_t *sessions)
{
	static const struct table_col col[] = {
		{ "ID", false },       { "USER", false }, { "ADDRESS", false },
		{ "ADDRESS6", false }, { "FROM", false }, { "DEVICE", false },
		{ "CHANNEL", false },  { "UP", true },    { "IDLE", true },
		{ "IN", true },        { "OUT", true },
	};
	static const char *const keys[] = { "id",       "user",       "addr4",
					    "addr6",    "source",     "device",
					    "channel",  "duration_s", "idle_s",
					    "rx_bytes", "tx_bytes" };

	print_table(c, sessions, col, keys, sizeof(keys) / sizeof(keys[0]));
	printf("%zu session%s\n", json_array_size(sessions),
	       json_array_size(sessions) == 1 ? "" : "s");
}

static int
cmd_sessions(struct ctl *c, struct args *a)
{
	const char *user = NULL, *type = NULL;
	bool is_json;
	json_t *answer;

	args_value(a, "--user", &user);
	args_value(a, "--type", &type);
	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	is_json = c->is_json;
	c->is_json = false; /* printed below, after the selection */
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "sessions"), 30, &answer);
	c->is_json = is_json;
	json_t *rows = json_object_get(answer, "sessions");
	for (size_t i = json_array_size(rows); i-- > 0;) {
		const json_t *s = json_array_get(rows, i);
		if (!same_word(text_of(s, "user"), user) ||
		    !same_word(text_of(s, "type") ? text_of(s, "type") : "AnyConnect",
			       type))
			json_array_remove(rows, i);
	}
	if (rc == CTL_OK && is_json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (rc == CTL_OK) {
		print_sessions(c, rows);
	}
	json_decref(answer);
	return rc;
}

static void
print_clients(const struct ctl *c, const json_t *clients)
{
	static const struct table_col col[] = {
		{ "USER", false },     { "MAC", false },     { "DEVICE", false },
		{ "PLATFORM", false }, { "VERSION", false }, { "POLICY", false },
		{ "ADDRESS", false },  { "FROM", false },    { "CHANNEL", false },
		{ "UP", true },        { "IN", true },       { "OUT", true },
	};
	static const char *const keys[] = {
		"user",  "mac",    "device",  "platform",   "client_version", "policy",
		"addr4", "source", "channel", "duration_s", "rx_bytes",       "tx_bytes"
	};

	print_table(c, clients, col, keys, sizeof(keys) / sizeof(keys[0]));
	printf("%zu client%s\n", json_array_size(clients),
	       json_array_size(clients) == 1 ? "" : "s");
}

static int
cmd_clients(struct ctl *c, struct args *a)
{
	static const char *const conditions[] = { "user", "type", "platform",
						  "policy" };
	json_t *answer, *q = json_pack("{ss}", "cmd", "clients");

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		char option[16];
		const char *value = NULL;
		snprintf(option, sizeof(option), "--%s", conditions[i]);
		if (args_value(a, option, &value))
			json_object_set_new(q, conditions[i], json_string(value));
	}
	if (!args_end(c, a, 0, 0)) {
		json_decref(q);
		return CTL_USAGE;
	}
	int rc = ctl_ask(c, q, 30, &answer);
	if (rc == CTL_OK && !c->is_json)
		print_clients(c, json_object_get(answer, "clients"));
	json_decref(answer);
	return rc;
}

static void
print_group(const struct ctl *c, const char *name, const json_t *rows)
{
	size_t i, k;
	json_t *row, *item;

	printf("%s%s%s\n", c->has_colour ? "\033[1m" : "", name,
	       c->has_colour ? "\033[0m" : "");
	json_array_foreach(rows, i, row)
	{
		const json_t *v = json_object_get(row, "value");
		char text[VALUE_TEXT] = "";
		size_t at = 0;

		if (json_is_string(v))
			snprintf(text, sizeof(text), "%s", json_string_value(v));
		json_array_foreach(v, k, item) at +=
			at < sizeof(text)
				? (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
						   k ? ", " : "",
						   json_string_value(item))
				: 0;
		printf("  %-36s ", text_of(row, "setting"));
		print_safe(stdout, text);
		putchar('\n');
	}
}

static int
cmd_settings(struct ctl *c, struct args *a)
{
	json_t *answer, *rows;
	const char *name;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "settings"), 10, &answer);
	if (rc == CTL_OK && !c->is_json)
		json_object_foreach(json_object_get(answer, "groups"), name, rows)
			print_group(c, name, rows);
	json_decref(answer);
	return rc;
}

static int
cmd_session(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 1, 1))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss ss}", "cmd", "session", "id", a->v[0]), 10,
			 &answer);
	if (rc == CTL_OK && !c->is_json) {
		const json_t *s = json_object_get(answer, "session");
		print_object(c, s ? s : answer);
	}
	json_decref(answer);
	return rc;
}

static int
cmd_disconnect(struct ctl *c, struct args *a)
{
	const char *user = NULL, *reason = NULL;
	json_t *answer, *q;

	args_value(a, "--user", &user);
	args_value(a, "--reason", &reason);
	if (!args_end(c, a, user ? 0 : 1, user ? 0 : 1))
		return CTL_USAGE;
	if (user != NULL)
		q = json_pack("{ss ss}", "cmd", "disconnect", "user", user);
	else
		q = json_pack("{ss ss}", "cmd", "disconnect", "id", a->v[0]);
	if (reason != NULL)
		json_object_set_new(q, "reason", json_string(reason));
	int rc = ctl_ask(c, q, 10, &answer);
	if (rc == CTL_OK && !c->is_json) {
		const json_t *n = json_object_get(answer, "count");
		long long count = json_is_integer(n) ? json_integer_value(n) : 1;
		printf("%lld session%s ended\n", count, count == 1 ? "" : "s");
	}
	json_decref(answer);
	return rc;
}

static const char *
event_colour(const struct ctl *c, const char *name)
{
	static const struct {
		const char *part, *colour;
	} by_part[] = {
		{ "fail", "\033[31m" },         { "died", "\033[31m" },
		{ "refused", "\033[31m" },      { "reject", "\033[31m" },
		{ "error", "\033[31m" },        { "exhausted", "\033[31m" },
		{ "limit", "\033[31m" },        { "backoff", "\033[33m" },
		{ "revoked", "\033[33m" },      { "down", "\033[33m" },
		{ "disconnected", "\033[33m" }, { "success", "\033[32m" },
		{ "connected", "\033[32m" },    { "up", "\033[32m" },
	};
	for (size_t i = 0; c->has_colour && i < sizeof(by_part) / sizeof(by_part[0]);
	     i++)
		if (strstr(name, by_part[i].part) != NULL)
			return by_part[i].colour;
	return "";
}

/* time event user, then key=value for the rest. */
static void
print_event(const struct ctl *c, const json_t *e)
{
	static const char *const first[] = { "time", "event", "type",
					     "node", "user",  "ok" };
	const char *time = text_of(e, "time"), *name = text_of(e, "event");
	const char *user = text_of(e, "user"), *key;
	json_t *v;
	char text[VALUE_TEXT];

	print_safe(stdout, time ? time : "-");
	const char *colour = event_colour(c, name ? name : "");
	printf("  %s", colour);
	print_safe(stdout, name ? name : "-");
	printf("%s%*s", *colour ? "\033[0m" : "",
	       name && strlen(name) < 19 ? (int)(19 - strlen(name)) : 0, "");
	if (user != NULL && *user != '\0') {
		fputs(" user=", stdout);
		print_safe(stdout, user);
	}
	json_object_foreach((json_t *)e, key, v)
	{
		bool is_done = false;
		for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
			is_done |= strcmp(key, first[i]) == 0;
		if (is_done || (json_is_string(v) && *json_string_value(v) == '\0'))
			continue;
		value_text("", v, text, sizeof(text));
		bool quote = strpbrk(text, " \t=\"") != NULL;
		putchar(' ');
		print_safe(stdout, key);
		fputs(quote ? "=\"" : "=", stdout);
		print_safe(stdout, text);
		fputs(quote ? "\"" : "", stdout);
	}
	putchar('\n');
	fflush(stdout);
}

static int
cmd_events(struct ctl *c, struct args *a)
{
	const char *filter = NULL, *last = NULL;
	bool follow = args_flag(a, "-f", "--follow");
	json_t *answer, *e;
	size_t i;

	args_value(a, "--filter", &filter);
	args_value(a, "--last", &last);
	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	json_t *q = json_pack("{ss sb}", "cmd", "events", "follow", follow);
	if (filter != NULL)
		json_object_set_new(q, "filter", json_string(filter));
	if (last != NULL) {
		char *end;
		unsigned long n = strtoul(last, &end, 10);
		if (*end != '\0' || end == last || n > 1000000) {
			ctl_complain("--last wants a number, not '%s'", last);
			json_decref(q);
			return CTL_USAGE;
		}
		json_object_set_new(q, "last", json_integer((json_int_t)n));
	}
	int rc = ctl_ask(c, q, follow ? 0 : 10, &answer);
	if (rc != CTL_OK)
		return rc;
	if (!c->is_json) {
		json_array_foreach(json_object_get(answer, "events"), i, e)
			print_event(c, e);
	}
	while (follow && (e = ctl_next(c)) != NULL) {
		if (!c->is_json)
			print_event(c, e);
		json_decref(e);
	}
	json_decref(answer);
	if (follow) {
		ctl_complain("vpnd closed the control connection");
		return CTL_UNREACHED;
	}
	return CTL_OK;
}

static int
cmd_why(struct ctl *c, struct args *a)
{
	json_t *answer, *e;
	size_t i;

	if (!args_end(c, a, 1, 1))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss ss}", "cmd", "why", "user", a->v[0]), 10,
			 &answer);
	if (rc == CTL_OK && !c->is_json) {
		const json_t *events = json_object_get(answer, "events");
		json_array_foreach(events, i, e) print_event(c, e);
		if (json_array_size(events) == 0)
			puts("nothing is remembered about this user");
	}
	json_decref(answer);
	return rc;
}

static int
cmd_reload(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "reload"), 60, &answer);
	if (rc == CTL_OK && !c->is_json) {
		const char *text = text_of(answer, "text");
		if (text != NULL && *text != '\0')
			puts(text);
		else
			puts("reloaded");
	}
	json_decref(answer);
	return rc;
}

const struct command commands[] = {
	{ "status", "", "the service on one screen", cmd_status },
	{ "sessions", "[--user NAME] [--type anyconnect]", "who is connected",
	  cmd_sessions },
	{ "clients", "[--user U] [--platform P] [--policy P] [--type anyconnect]",
	  "the client list: one entry per user", cmd_clients },
	{ "session", "ID", "everything about one session", cmd_session },
	{ "disconnect", "ID | --user NAME [--reason TEXT]", "end sessions",
	  cmd_disconnect },
	{ "events", "[-f] [--filter WORD] [--last N]", "what happened", cmd_events },
	{ "why", "USER", "a user's last login attempts, with reasons", cmd_why },
	{ "user add", "NAME [--password-stdin | --hash H] [--totp] [--disabled]",
	  "add a local user; asks for the password", user_add },
	{ "user passwd", "NAME [--password-stdin | --hash H]", "give a new password",
	  user_passwd },
	{ "user disable", "NAME", "keep the user, refuse logins", user_disable },
	{ "user enable", "NAME", "allow logins again", user_enable },
	{ "user remove", "NAME", "forget the user", user_remove },
	{ "user list", "", "all local users", user_list },
	{ "settings", "", "the running settings, in groups", cmd_settings },
	{ "set", "PATH=VALUE ... [--no-reload] [--file FILE] [--node FILE]",
	  "change settings: edit, check, reload, or nothing of it", set_settings },
	{ "explain", "", "every limit and default", draft_explain },
	{ "config check", "[FILE] [--node FILE]", "all mistakes in a configuration",
	  draft_check },
	{ "config explain", "", "every setting: type, range, default", draft_explain },
	{ "config diff", "[FILE] [--node FILE]",
	  "what a reload of the file would change", draft_diff },
	{ "nodes", "", "both nodes of the pair: role, links, sessions", node_list },
	{ "node setup", "[--wan \"NAME KEY=VALUE...\"] ... [--root DIR] [--print] [-q]",
	  "make this machine the primary of a pair", node_setup },
	{ "node join", "STRING | - [--root DIR] [--print] [-q]",
	  "make this machine the spare", node_join },
	{ "node standby", "[NODE] [--force]", "move the service off a node",
	  node_standby },
	{ "node activate", "[NODE] [--force]", "move the service to a node",
	  node_activate },
	{ "config apply", "[FILE] [--confirm SECONDS]",
	  "check on both nodes, then run on both", pair_config_apply },
	{ "config confirm", "", "keep what was applied with --confirm",
	  pair_config_confirm },
	{ "config history", "", "what was in force, when, from which node",
	  pair_config_history },
	{ "config rollback", "[GENERATION]", "the one before, or that one, again",
	  pair_config_rollback },
	{ "config hash", "", "what each node runs", pair_config_hash },
	{ "cert status", "", "what each node serves, and how the next comes",
	  cert_status },
	{ "cert show", "[--node NODE] [--chain | --root]",
	  "the certificate that is served; its chain, its root", cert_show },
	{ "cert diagnose", "", "why clients do not trust this server", cert_diagnose },
	{ "cert renew", "[--force]", "try to order a certificate now", cert_renew },
	{ "cert revoke", "[--reason WORD]", "revoke it; another one is ordered",
	  cert_revoke },
	{ "cert account-key", "", "a new key for the ACME account", cert_account_key },
	{ "cert csr",
	  "--common-name NAME [--node NODE] [--host NAME]... [--ip ADDR]... "
	  "[--organization O] [--unit OU] [--email E] [--state ST] [--country C] "
	  "[--out FILE] | --show [--node NODE]",
	  "a new key, and a signing request for it", cert_csr },
	{ "cert upload", "[--node NODE] DEVICE.pem CHAIN.pem",
	  "the certificate that was signed, and its authorities", cert_upload },
	{ "cert client-ca upload", "FILE", "whose client certificates are trusted",
	  cert_ca_upload },
	{ "cert client-ca show", "[--pem]", "that authority", cert_ca_show },
	{ "cert client-ca remove", "", "trust no client certificates", cert_ca_remove },
	{ "factory-reset", "--yes", "forget the keys and certificates of this node",
	  cert_factory_reset },
	{ "ddns status", "", "the DNS records of the uplinks' names", ddns_status },
	{ "ddns update", "[WAN]", "look at the records and update them now",
	  ddns_update },
	{ "ddns diagnose", "[WAN]", "walk the way of a record, step by step",
	  ddns_diagnose },
	{ "secret set", "NAME [--key FILE]",
	  "store a key or password that settings refer to by name", secret_set },
	{ "secret list", "", "the names of all secrets", secret_list },
	{ "secret remove", "NAME", "forget a secret", secret_remove },
	{ "reload", "", "take the changed configuration, or refuse it", cmd_reload },
	{ NULL, NULL, NULL, NULL },
};
