/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control.h -- the control socket RUNDIR/acmed.sock: what vpnctl may ask.
 *
 * As vpnd's: one JSON object per line, {"cmd":"status", ...}; the answer is one line,
 * {"ok":true, ...} or {"ok":false,"error":"text","code":"stable_word"}. Only root may
 * connect. A client has one question open at a time.
 *
 * A command is a row in commands.c. It answers through control_answer or
 * control_refuse, at once or later; the id says whom.
 */
#ifndef ACME_CONTROL_H
#define ACME_CONTROL_H

#include "acme/acmed.h"

enum {
	CONTROL_CLIENTS = 8,
	CONTROL_LINE_MAX = 256 * 1024, /* uploads fit in */
	CONTROL_IDLE_MS = 120 * 1000,
};

struct command {
	const char *name;
	void (*run)(struct acmed *a, uint32_t id, const json_t *question);
};
extern const struct command commands[];
extern const size_t n_commands;

struct control;

/* Makes the socket; before root's rights are given away. */
int control_open(struct control **out, struct acmed *a, const char *path);
void control_close(struct control *c);
void control_free(struct control *c); /* after the loop has ended */

/* Takes the object over and adds "ok". An id whose client has left is no mistake. */
void control_answer(struct control *c, uint32_t id, json_t *o);
__attribute__((format(printf, 4, 5))) void
control_refuse(struct control *c, uint32_t id, const char *code, const char *fmt, ...);

/* A file in a question, as base64; the caller frees. NULL: it is none. */
uint8_t *control_file(const json_t *q, const char *key, size_t *n);

#endif
