/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control.h -- the control socket: what vpnctl may ask.
 *
 * One JSON object per line, {"cmd":"sessions", ...}; the answer is one line,
 * {"ok":true, ...} or {"ok":false,"error":"text","code":"stable_word"}. A
 * following `events` sends one line per event after that. Only root may
 * connect. A client that asks has one question open at a time; one that does
 * not read is dropped.
 *
 * Answers of other processes come in through the control_* functions below.
 */
#ifndef VPND_SESSION_CONTROL_H
#define VPND_SESSION_CONTROL_H

#include "vpnd/session/session.h"

#include <jansson.h>
#include <uv.h>

enum {
	CONTROL_CLIENTS = 32,
	CONTROL_LINE_MAX = 320 * 1024, /* a configuration fits in */
	CONTROL_IDLE_MS = 60 * 1000,
	CONTROL_QUEUE_MAX = 4 * 1024 * 1024, /* bytes a follower may lag behind */
};

/* What the process around it knows; all borrowed, current at each call. */
struct control_host {
	void *arg;
	struct session_table *table;
	struct events *events;
	const struct config *config;
	const char *text, *node_text; /* running configuration; NULL = no file */
	uint32_t generation;
	char hash[17];
	void (*send)(void *arg, enum ipc_process to, unsigned index, enum ipc_type type,
		     const void *body);
	struct now (*now)(void *arg);
	/* The commands about the pair, and its part of `status`; NULL: none. The
	 * answer to id comes through control_pair_done. */
	void (*pair_ask)(void *arg, uint32_t id, const json_t *q);
	json_t *(*pair_status)(void *arg);
};

struct control;

/* fd is a listening socket; taken over. */
int control_open(struct control **out, uv_loop_t *loop, int fd,
		 const struct control_host *host);

/* A request, or NULL with a text why not. Pure. */
json_t *control_parse(struct span line, const char **error);

void control_status(struct control *c, const struct ipc_status_text *m);
void control_reloaded(struct control *c, const struct ipc_reload_done *m);
void control_user_done(struct control *c, const struct ipc_user_done *m);
void control_user_row(struct control *c, const struct ipc_user_row *m);
/* Takes the object over. */
void control_pair_done(struct control *c, uint32_t id, json_t *o);
void control_event(struct control *c, const char *line, size_t n);
/* Once a second: idle clients, questions nobody answered. */
void control_tick(struct control *c);

#endif
