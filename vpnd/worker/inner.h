/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* inner.h -- the IP packet inside the tunnel: as much of it as we must know.
 *
 * Whatever a client sends towards the LAN passes here first; a packet whose source
 * is not the session's own address goes nowhere.
 *
 * Units:      bytes.
 * Ownership:  `packet` points into the caller's buffer.
 * Errors:     E_PROTO: not one whole IPv4 or IPv6 packet. Drop it, not the peer.
 */
#ifndef WORKER_INNER_H
#define WORKER_INNER_H

#include "common/span.h"

#include <netinet/in.h>

#define INNER_MIN4 20u
#define INNER_MIN6 40u

struct inner {
	uint8_t version; /* 4 or 6 */
	uint8_t tos;     /* TOS or traffic class: DSCP and ECN */
	uint8_t proto;   /* IPv4 protocol, IPv6 first next header */
	struct in6_addr src,
		dst;        /* IPv4 as ::ffff:a.b.c.d: one 16-byte key for a map */
	struct span packet; /* cut to the length its header claims */
};

int inner_parse(struct span in, struct inner *out);

enum inner_source {
	INNER_OWN,     /* the session's address */
	INNER_QUIET,   /* what every system sends unasked: IPv6 from link-local or from
			* no address, IPv4 from 0.0.0.0 or 169.254/16. Drop, say nothing
			*/
	INNER_FOREIGN, /* somebody else's address: drop and count */
};

/* Who does this packet say it is from? NULL: the session has no such address. */
enum inner_source inner_check_source(const struct inner *, const struct in_addr *v4,
				     const struct in6_addr *v6);

/* The key of an IPv4 address in the form above. */
struct in6_addr inner_mapped(struct in_addr v4);

#endif
