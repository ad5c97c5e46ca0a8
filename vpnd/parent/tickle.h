/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tickle.h -- one bare ACK that makes a client notice that its connection is gone.
 *
 * The client's kernel answers a segment that is out of its window with an ACK that
 * carries the right numbers (RFC 9293 3.10.7.4); this kernel has no such connection
 * and answers with an RST of exactly those numbers, which the client believes. It
 * reconnects that instant, idle or not. Nothing but the four addresses is needed.
 *
 * Errors: -errno; E_INVAL for an endpoint that cannot be one.
 */
#ifndef VPND_PARENT_TICKLE_H
#define VPND_PARENT_TICKLE_H

#include "common/ip.h"
#include "common/span.h"

enum { ENDPOINT_VALUE = 37, TICKLE_SEGMENT = 20 };

/* A client's TCP connection, from our side. */
struct endpoint {
	struct ip_addr client, local;
};

/* The value of an entry of endpoints/NODE: family (8), client (128) and its port
 * (16), local address (128) and port (16); IPv4 in the first four of sixteen bytes,
 * the rest zero. Exactly ENDPOINT_VALUE bytes. */
int endpoint_read(struct span value, struct endpoint *e);
size_t endpoint_write(const struct endpoint *e, uint8_t out[ENDPOINT_VALUE]);

/* The TCP segment from local to client, with its checksum. */
void tickle_segment(const struct endpoint *e, uint8_t out[TICKLE_SEGMENT]);

/* Raw sockets, of both families if there are both. They hear nothing. */
struct tickler {
	int fd4, fd6;
};
int tickler_open(struct tickler *t);
void tickler_close(struct tickler *t);
/* E_AGAIN when the local address is not here (yet), or the kernel's queue is full. */
int tickler_send(const struct tickler *t, const struct endpoint *e);

#endif
