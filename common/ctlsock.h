/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ctlsock.h -- a daemon's control socket: root asks, the daemon answers.
 *
 * A UNIX stream socket; one JSON object a line each way. The answer is {"ok":true, ...}
 * or {"ok":false,"error":"text","code":"stable_word"}. A client has one question open
 * at a time, and what it asks meanwhile waits; who has shut down its writing side still
 * gets its answers. A client is dropped when its line is too long, when it says nothing
 * for idle_ms without a question open, or when it does not read.
 *
 * Units: bytes, ms. Ownership: questions die with the call, answers are taken over.
 * Errors: E_NOMEM, -errno.
 */
#ifndef COMMON_CTLSOCK_H
#define COMMON_CTLSOCK_H

#include <jansson.h>
#include <stdint.h>
#include <uv.h>

enum { CTLSOCK_CLIENTS = 8 }; /* one more is hung up on */

struct ctlsock;

struct ctlsock_rules {
	size_t line_max; /* of a question, with its newline */
	uint64_t idle_ms;
	/* Answer by this id, at once or later. q NULL: the line is no JSON object or
	 * array. */
	void (*on_question)(void *arg, uint32_t id, const json_t *q);
	/* Who asked has left: nobody waits for this answer. May be NULL. */
	void (*on_gone)(void *arg, uint32_t id);
};

/* The rules are borrowed. A file at path is replaced. *out is set on errors too, then
 * to be closed, unless there is no memory. */
int ctlsock_open(struct ctlsock **out, uv_loop_t *loop, const char *path,
		 const struct ctlsock_rules *rules, void *arg);
void ctlsock_close(struct ctlsock *s); /* NULL is fine */
void ctlsock_free(struct ctlsock *s);  /* after the loop has ended */

/* Takes the object over and adds "ok" where it is missing. An id whose client has left
 * is no mistake. */
void ctlsock_answer(struct ctlsock *s, uint32_t id, json_t *o);
__attribute__((format(printf, 4, 5))) void
ctlsock_refuse(struct ctlsock *s, uint32_t id, const char *code, const char *fmt, ...);

#endif
