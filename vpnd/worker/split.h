/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* split.h -- one read of a TUN with IFF_VNET_HDR, cut into packets for a client.
 *
 * A read is a vnet header and a packet of up to 64 KiB: TCP or UDP to be segmented
 * (TSO4, TSO6, USO), a single one whose checksum is still partial, or a plain one.
 * What comes out are complete IP packets with both checksums right, written
 * straight to where they are sealed:
 *
 *   if (split_open(&s, read) < 0) drop;
 *   find the session of s.inner.dst;
 *   if (split_begin(&s, mtu) < 0) count as too big;
 *   while (split_next(&s, out, cap, &n) == 0) seal n bytes at out;
 *
 * Segments are as the kernel would cut them: IP identification and TCP sequence
 * count up, FIN and PSH only on the last, CWR only on the first. A TCP super-packet
 * whose segments exceed the client's MTU is cut smaller, which the sender cannot
 * tell from a smaller window; datagrams cannot be.
 *
 * The vnet header is believed only where it agrees with the packet.
 *
 * Units:      bytes; the MTU is of the IP packet inside the tunnel.
 * Ownership:  a split borrows the buffer that was read, until its last packet.
 * Errors:     E_PROTO: the header and the packet make no sense. E_LIMIT: larger than
 *             the MTU (split_begin) or the room given (split_next).
 */
#ifndef WORKER_SPLIT_H
#define WORKER_SPLIT_H

#include "vpnd/worker/inner.h"

/* A buffer for one read. */
#define SPLIT_READ_MAX (10u + 65535u)

enum split_kind { SPLIT_SINGLE, SPLIT_TCP, SPLIT_UDP };

struct split {
	struct inner inner; /* of the whole: addresses are those of each segment */
	enum split_kind kind;

	/* The rest is ours. */
	size_t header;    /* IP and transport headers together */
	size_t transport; /* where the transport header starts */
	size_t step;      /* payload of every segment but the last */
	size_t at;        /* payload already cut */
	unsigned made;    /* packets already made */
	bool is_done;
	bool has_check;      /* the checksum is to be computed */
	uint16_t check_from; /* SPLIT_SINGLE: sum from here ... */
	uint16_t check_at;   /* ... and store here */
	uint64_t ip_sum;     /* what is the same in all segments' headers */
	uint64_t transport_sum;
};

/* `read` as it came from the device. */
int split_open(struct split *, struct span read);

int split_begin(struct split *, size_t mtu);

/* How many packets in all; after split_begin. */
unsigned split_count(const struct split *);

/* The next packet into cap bytes at out. E_NOENT: there are no more. After E_LIMIT
 * the same packet can be asked for again. */
int split_next(struct split *, uint8_t *out, size_t cap, size_t *n);

#endif
