/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* events.h -- what happened, as JSON lines in a bounded ring on disk.
 *
 * Two files: events.0 is written, events.1 is what was there before; each is at
 * most file_max bytes. Keys of a line are in the order of struct event, the time
 * (RFC 3339, UTC, ms) first; absent ones are left out. Lines are compact JSON
 * made here and nowhere else, so a filter may compare text: a quote inside a
 * value is always escaped.
 *
 * Each kind has a name that other products' tools search for: `syslog` in the
 * line, and first in the log line; a log-on and a log-off have a `title`, too.
 *
 * Writes are buffered; events_flush once a second bounds what a crash loses.
 * Each event is also one log line. Kinds that a stranger can cause are kept 50
 * times a second at most; the log says how many there were.
 */
#ifndef VPND_SESSION_EVENTS_H
#define VPND_SESSION_EVENTS_H

#include "common/ip.h"
#include "vpnd/ipc/messages.h"

enum { EVENTS_FILE_MAX = 8 * 1024 * 1024, EVENTS_LINE_MAX = 4096 };

/* Strings may be NULL or "". */
struct event {
	enum event_what what;
	uint64_t attempt;
	const char *user, *group, *agent;
	struct ip_addr source;
	const uint8_t *sid; /* NULL: none */
	struct ip_addr addr4, addr6;
	const char *reason, *text;
	uint64_t number;
	bool has_usage; /* the next three are meant */
	uint64_t duration_s, rx_bytes, tx_bytes;
};

/* All given members must hold. */
struct events_filter {
	/* A name, a title, a syslog name, or "AnyConnect" for all of this service. */
	const char *event;
	const char *user;
	const char *since; /* RFC 3339 UTC text; not earlier */
};

struct events;

/* Called for each new line, without newline. */
typedef void (*events_hook)(void *arg, const char *line, size_t n);

int events_open(struct events **out, int dir_fd, size_t file_max, const char *node,
		events_hook hook, void *arg);
void events_close(struct events *ev);
void events_node(struct events *ev, const char *node);

void events_add(struct events *ev, const struct event *e, uint64_t wall_ms);
/* What another program of ours says: name, text, and who it is. */
void events_foreign(struct events *ev, struct span name, struct span program,
		    struct span text, uint64_t wall_ms);
void events_flush(struct events *ev);

bool events_match(const struct events_filter *f, const char *line);
/* The last `last` (0: all) lines that match, oldest first. */
int events_each(struct events *ev, const struct events_filter *f, unsigned last,
		events_hook each, void *arg);

#endif
