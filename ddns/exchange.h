/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* exchange.h -- one DNS message to a server, and its answer.
 *
 * By UDP, repeated after 0.5 and 1 s; by TCP when the answer was cut or the third
 * wait was for nothing; then the server's next address, four at most. Answers from
 * another address, to another question, or with a signature that is wrong or missing
 * are counted and not listened to.
 *
 * Ownership: what is asked is copied. The exchange ends itself after done; cancel
 * ends it without. The key is wiped.
 * Errors (rc of done): -ETIMEDOUT, -ECONNREFUSED and the like: no answer; E_NOENT: the
 * server's name has no address; E_STALE: may_send said no; E_AUTH: there were answers,
 * but all were forged; E_PROTO, E_LIMIT: no DNS message, or too large.
 */
#ifndef DDNS_EXCHANGE_H
#define DDNS_EXCHANGE_H

#include "ddns/egress.h"
#include "ddns/message.h"

#include <uv.h>

enum { EXCHANGE_SECRET = 1024 }; /* base64 of a key, NUL counted */

struct exchange;

struct exchange_counts {
	uint64_t sent; /* datagrams and connections, those repeated too */
	uint64_t by_tcp;
	uint64_t ignored;            /* answers that were none */
	const struct egress *egress; /* NULL: as the kernel's routes have it */
};

struct exchange_ask {
	const char *server; /* name or address */
	uint16_t port;
	const struct message *message;
	const struct message_key *key; /* what it was signed with; NULL: not signed */
	/* Asked right before anything is sent, each time; NULL: always. */
	bool (*may_send)(void *arg);
	/* a is NULL unless rc is 0. */
	void (*done)(void *arg, int rc, const struct answer *a);
	void *arg;
	struct exchange_counts *counts;
};

/* done follows later, never from within. */
int exchange_start(struct exchange **out, uv_loop_t *loop,
		   const struct exchange_ask *ask);
void exchange_cancel(struct exchange *x); /* NULL is fine */

#endif
