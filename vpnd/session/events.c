/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/events.h"

#include "common/err.h"
#include "common/log.h"
#include "common/wr.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a stranger can cause without a password must not push the rest out of
 * the ring: so many of each kind are kept in a second. */
enum { STRANGER_BURST = 50 };
static const bool is_stranger[EVENTS] = {
	[EV_TLS_REJECT] = true,
	[EV_PROTOCOL_ERROR] = true,
	[EV_TOKEN_REFUSED] = true,
};

/* By these names administrators know them from the appliance. */
static const char auth_success[] = "anyconnect_vpn_auth_success",
		  auth_failure[] = "anyconnect_vpn_auth_failure",
		  vpn_connect[] = "anyconnect_vpn_connect",
		  vpn_disconnect[] = "anyconnect_vpn_disconnect",
		  session_manager[] = "anyconnect_vpn_session_manager",
		  general[] = "anyconnect_vpn_general";
static const struct {
	const char *syslog, *title; /* syslog NULL: general */
} names[EVENTS] = {
	[EV_CLIENT_CONNECTED] = { vpn_connect, "VPN client connected" },
	[EV_CLIENT_DISCONNECTED] = { vpn_disconnect, "VPN client disconnected" },
	[EV_AUTH_SUCCESS] = { auth_success, NULL },
	[EV_AUTH_FAILURE] = { auth_failure, NULL },
	[EV_CLIENT_RECONNECTED] = { session_manager, NULL },
	[EV_SESSION_LIMIT] = { session_manager, NULL },
	[EV_POOL_EXHAUSTED] = { session_manager, NULL },
	[EV_TOKEN_REFUSED] = { session_manager, NULL },
	[EV_SESSION_REVOKED] = { session_manager, NULL },
	[EV_DTLS_UP] = { session_manager, NULL },
	[EV_DTLS_DOWN] = { session_manager, NULL },
};

static const char *
syslog_name(enum event_what what)
{
	return names[what].syslog != NULL ? names[what].syslog : general;
}

struct events {
	uint64_t second[EVENTS];
	unsigned in_second[EVENTS];
	int dir_fd;
	FILE *to;
	size_t size, file_max;
	char node[64];
	events_hook hook;
	void *arg;
};

static int
open_current(struct events *ev)
{
	struct stat st;
	int fd = openat(ev->dir_fd, "events.0",
			O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || (ev->to = fdopen(fd, "a")) == NULL) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	ev->size = (size_t)st.st_size;
	/* A crash may have cut the last line: end it, so that only it is lost. */
	char last = '\n';
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n')
		ev->size += fputc('\n', ev->to) == '\n';
	return 0;
}

int
events_open(struct events **out, int dir_fd, size_t file_max, const char *node,
	    events_hook hook, void *arg)
{
	struct events *ev = calloc(1, sizeof(*ev));

	if (ev == NULL)
		return E_NOMEM;
	*ev = (struct events){
		.dir_fd = dir_fd, .file_max = file_max, .hook = hook, .arg = arg
	};
	events_node(ev, node);
	int rc = open_current(ev);
	if (rc < 0) {
		free(ev);
		return rc;
	}
	*out = ev;
	return 0;
}

void
events_close(struct events *ev)
{
	if (ev == NULL)
		return;
	if (ev->to != NULL)
		fclose(ev->to);
	free(ev);
}

void
events_node(struct events *ev, const char *node)
{
	snprintf(ev->node, sizeof(ev->node), "%s", node);
}

/* Values as json_dumps writes them; a filter compares with what that gives. */
static void
put_value(struct wr *w, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		uint8_t c = (uint8_t)*p;
		static const char letter[0x20] = { ['\b'] = 'b',
						   ['\f'] = 'f',
						   ['\n'] = 'n',
						   ['\r'] = 'r',
						   ['\t'] = 't' };
		if (c == '"' || c == '\\' || (c < 0x20 && letter[c] != '\0')) {
			wr_u8(w, '\\');
			wr_u8(w, c < 0x20 ? (uint8_t)letter[c] : c);
		} else if (c < 0x20) {
			wr_fmt(w, "\\u%04X", c);
		} else {
			wr_u8(w, c);
		}
	}
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (uint8_t)*text < 0x80)
		text++;
	return *text == '\0';
}

static void
put_key(struct wr *w, const char *key)
{
	wr_u8(w, w->n == 0 ? '{' : ',');
	wr_u8(w, '"');
	wr_str(w, key);
	wr_str(w, "\":");
}

static void
put_text(struct wr *w, const char *key, const char *text)
{
	char clean[256];
	json_t *utf8;

	if (text == NULL || text[0] == '\0')
		return;
	/* A stranger's bytes need not be UTF-8, and the line must go out. */
	if (!is_ascii(text)) {
		utf8 = json_string(text);
		if (utf8 == NULL) {
			snprintf(clean, sizeof(clean), "%s", text);
			for (char *p = clean; *p != '\0'; p++)
				if ((unsigned char)*p >= 0x80)
					*p = '?';
			text = clean;
		}
		json_decref(utf8);
	}
	put_key(w, key);
	wr_u8(w, '"');
	put_value(w, text);
	wr_u8(w, '"');
}

static void
put_addr(struct wr *w, const char *key, const struct ip_addr *a)
{
	char text[IP_TEXT];

	if (a->family != 0)
		put_text(w, key, ip_text(a, text));
}

static void
put_number(struct wr *w, const char *key, uint64_t v)
{
	put_key(w, key);
	wr_fmt(w, "%llu", (unsigned long long)v);
}

static void
put_time(struct wr *w, uint64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[40], whole[32];

	gmtime_r(&s, &tm);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03uZ", whole, (unsigned)(wall_ms % 1000));
	put_text(w, "time", text);
}

static void
put_sid(struct wr *w, const uint8_t *sid)
{
	static const char digit[] = "0123456789abcdef";
	char text[2 * IPC_SID + 1];

	if (sid == NULL)
		return;
	for (int i = 0; i < IPC_SID; i++) {
		text[2 * i] = digit[sid[i] >> 4];
		text[2 * i + 1] = digit[sid[i] & 15];
	}
	text[2 * IPC_SID] = '\0';
	put_text(w, "session", text);
}

static void
put_event(struct wr *w, const struct events *ev, const struct event *e,
	  uint64_t wall_ms)
{
	char attempt[20];

	put_time(w, wall_ms);
	put_text(w, "event", event_name[e->what]);
	put_text(w, "title", names[e->what].title);
	put_text(w, "syslog", syslog_name(e->what));
	put_text(w, "type", "AnyConnect");
	put_text(w, "node", ev->node);
	put_text(w, "user", e->user);
	put_sid(w, e->sid);
	put_text(w, "group", e->group);
	put_text(w, "agent", e->agent);
	put_addr(w, "source", &e->source);
	put_addr(w, "addr4", &e->addr4);
	put_addr(w, "addr6", &e->addr6);
	put_text(w, "reason", e->reason);
	put_text(w, "text", e->text);
	if (e->attempt != 0) {
		/* As text: 64 bits are more than a JSON number holds everywhere. */
		snprintf(attempt, sizeof(attempt), "%016llx",
			 (unsigned long long)e->attempt);
		put_text(w, "attempt", attempt);
	}
	if (e->number != 0)
		put_number(w, "number", e->number);
	if (e->has_usage) {
		put_number(w, "duration_s", e->duration_s);
		put_number(w, "rx_bytes", e->rx_bytes);
		put_number(w, "tx_bytes", e->tx_bytes);
	}
	wr_str(w, "}\n");
}

static void
log_event(const struct event *e)
{
	char source[IP_TEXT];
	uint32_t sid = e->sid == NULL
			       ? 0
			       : (uint32_t)e->sid[0] << 24 | (uint32_t)e->sid[1] << 16 |
					 (uint32_t)e->sid[2] << 8 | e->sid[3];

	log_limited(LOG_L_INFO, sid, "%s event=%s user=%s source=%s reason=%s text=%s",
		    syslog_name(e->what), event_name[e->what],
		    e->user && *e->user ? e->user : "-", ip_text(&e->source, source),
		    e->reason && *e->reason ? e->reason : "-",
		    e->text && *e->text ? e->text : "-");
}

static void
rotate(struct events *ev)
{
	if (ev->to != NULL)
		fclose(ev->to);
	ev->to = NULL;
	ev->size = 0;
	if (renameat(ev->dir_fd, "events.0", ev->dir_fd, "events.1") < 0 ||
	    open_current(ev) < 0)
		log_limited(LOG_L_ERR, 0, "events: cannot turn the ring: %s",
			    err_text(-errno));
}

static bool
is_flood(struct events *ev, enum event_what what, uint64_t wall_ms)
{
	if (!is_stranger[what])
		return false;
	if (ev->second[what] != wall_ms / 1000) {
		if (ev->in_second[what] > STRANGER_BURST)
			log_warn(0, "events: %u of %s in one second, %u kept",
				 ev->in_second[what], event_name[what], STRANGER_BURST);
		ev->second[what] = wall_ms / 1000;
		ev->in_second[what] = 0;
	}
	return ++ev->in_second[what] > STRANGER_BURST;
}

static void
add_line(struct events *ev, struct wr *w)
{
	if (wr_full(w))
		return; /* no field is so long */
	char *line = (char *)w->p;
	size_t n = wr_span(w).n;
	if (ev->size + n > ev->file_max || ev->to == NULL)
		rotate(ev);
	if (ev->to != NULL && fwrite(line, 1, n, ev->to) == n)
		ev->size += n;
	line[n - 1] = '\0';
	if (ev->hook != NULL)
		ev->hook(ev->arg, line, n - 1);
}

void
events_add(struct events *ev, const struct event *e, uint64_t wall_ms)
{
	if (is_flood(ev, e->what, wall_ms))
		return;
	char line[EVENTS_LINE_MAX * 2];
	struct wr w = wr_open(line, sizeof(line));

	log_event(e);
	put_event(&w, ev, e, wall_ms);
	add_line(ev, &w);
}

void
events_foreign(struct events *ev, struct span name, struct span program,
	       struct span text, uint64_t wall_ms)
{
	char line[EVENTS_LINE_MAX * 2], event[64], from[16], words[600];
	struct wr w = wr_open(line, sizeof(line));

	snprintf(event, sizeof(event), "%.*s", (int)name.n, (const char *)name.p);
	snprintf(from, sizeof(from), "%.*s", (int)program.n, (const char *)program.p);
	snprintf(words, sizeof(words), "%.*s", (int)text.n, (const char *)text.p);
	put_time(&w, wall_ms);
	put_text(&w, "event", event);
	/* Roles are "vrrp" to those tools, everything else is the service's. */
	put_text(&w, "syslog", strcmp(from, "hasync") == 0 ? "vrrp" : general);
	put_text(&w, "type", strcmp(from, "hasync") == 0 ? "HA" : "AnyConnect");
	put_text(&w, "node", ev->node);
	put_text(&w, "program", from);
	put_text(&w, "text", words);
	wr_str(&w, "}\n");
	log_info(0, "%s event=%s text=%s", from, event, *words ? words : "-");
	add_line(ev, &w);
}

void
events_flush(struct events *ev)
{
	if (ev->to != NULL && fflush(ev->to) != 0)
		log_limited(LOG_L_ERR, 0, "events: %s", err_text(-errno));
}

/* "key":"value" as json_dumps writes it. */
static bool
has_pair(const char *line, const char *key, const char *value)
{
	json_t *v = json_string(value);
	char *text = v != NULL ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	char pair[1600];
	bool found = text != NULL &&
		     snprintf(pair, sizeof(pair), "\"%s\":%s", key, text) <
			     (int)sizeof(pair) &&
		     strstr(line, pair) != NULL;

	free(text);
	json_decref(v);
	return found;
}

bool
events_match(const struct events_filter *f, const char *line)
{
	static const char time_key[] = "{\"time\":\"";

	if (f->event != NULL && !has_pair(line, "event", f->event) &&
	    !has_pair(line, "type", f->event) && !has_pair(line, "title", f->event) &&
	    !has_pair(line, "syslog", f->event))
		return false;
	if (f->user != NULL && !has_pair(line, "user", f->user))
		return false;
	return f->since == NULL || (strncmp(line, time_key, strlen(time_key)) == 0 &&
				    strcmp(line + strlen(time_key), f->since) >= 0);
}

static void
each_line(const struct events *ev, const char *name, const struct events_filter *f,
	  events_hook each, void *arg)
{
	int fd = openat(ev->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *from = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[EVENTS_LINE_MAX * 2];

	if (from == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (fgets(line, sizeof(line), from) != NULL) {
		size_t n = strcspn(line, "\n");
		/* Without its end it is cut, by a crash or by our buffer. */
		if (line[n] != '\n' || line[0] != '{')
			continue;
		line[n] = '\0';
		if (events_match(f, line))
			each(arg, line, n);
	}
	fclose(from);
}

static void
count_line(void *arg, const char *line, size_t n)
{
	++*(unsigned *)arg;
}

struct skipper {
	unsigned skip;
	events_hook each;
	void *arg;
};

static void
skip_line(void *arg, const char *line, size_t n)
{
	struct skipper *s = arg;

	if (s->skip > 0)
		s->skip--;
	else
		s->each(s->arg, line, n);
}

int
events_each(struct events *ev, const struct events_filter *f, unsigned last,
	    events_hook each, void *arg)
{
	unsigned total = 0;
	struct skipper s = { .each = each, .arg = arg };

	events_flush(ev);
	/* Twice over the file costs less than keeping lines. */
	if (last > 0) {
		each_line(ev, "events.1", f, count_line, &total);
		each_line(ev, "events.0", f, count_line, &total);
		s.skip = total > last ? total - last : 0;
	}
	each_line(ev, "events.1", f, skip_line, &s);
	each_line(ev, "events.0", f, skip_line, &s);
	return 0;
}
