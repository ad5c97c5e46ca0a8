/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* stun.h -- which address a server outside sees us come from (RFC 8489, Binding).
 *
 * One UDP socket per question, bound to the uplink's device and address, so that the
 * answer is about that uplink whatever the routes say. A request goes out at 0, 0.5,
 * 1.5 and 3.5 s; after 7.5 s the server counts as silent. Only XOR-MAPPED-ADDRESS is
 * believed: some NATs rewrite the plain one. Datagrams that do not answer the question
 * (other source, other id) are passed over; there may be any number of them within
 * the time.
 *
 * Errors: 0; -ETIMEDOUT: silent; -ECONNREFUSED: nobody listens there; E_PROTO: the
 * server's answer is an error or has no address of the family asked by; -errno.
 */
#ifndef DDNS_STUN_H
#define DDNS_STUN_H

#include "common/ip.h"
#include "common/span.h"

#include <uv.h>

enum {
	STUN_PORT = 3478,
	STUN_ID = 12,
	STUN_REQUEST = 20,     /* bytes */
	STUN_ANSWER_MAX = 548, /* bytes; what is longer is no answer of ours */
	STUN_TRIES = 4,
	STUN_FIRST_MS = 500, /* doubles */
};

/* The wire, without a socket. */
void stun_request(uint8_t out[STUN_REQUEST], const uint8_t id[STUN_ID]);
/* The address (port 0) in an answer to the request with this id. E_AGAIN: not such
 * an answer, wait on. E_PROTO: it is, and says no or makes no sense. */
int stun_parse(struct span datagram, const uint8_t id[STUN_ID], struct ip_addr *mapped);

struct stun;
/* Called once, from the loop. mapped is NULL on error. */
typedef void (*stun_done)(void *arg, int rc, const struct ip_addr *mapped);

/* Ask. ifname "" binds to no device; local.family 0 to no address. On an error done
 * is not called and nothing has begun. */
int stun_ask(struct stun **out, uv_loop_t *loop, const char *ifname,
	     const struct ip_addr *local, const struct ip_addr *server, stun_done done,
	     void *arg);
/* done is not called any more. Not after done; NULL is fine. */
void stun_cancel(struct stun *);

#endif
