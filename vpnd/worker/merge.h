/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* merge.h -- packets from clients, put together for a TUN with IFF_VNET_HDR:
 * consecutive segments of a flow become one write of up to 64 KiB, which the kernel
 * carries as one packet as far as it can.
 *
 * Only what the kernel would cut again into the same packets is merged (its own GRO
 * has the same rules): equal addresses, ports, TOS with ECN, TTL or flow label;
 * TCP with ACK alone, or with PSH which ends it, the same ACK number, window and
 * options, and the next sequence number; UDP; equal lengths, but the last may be
 * shorter. IPv4 identifications count up, or DF makes them meaningless (RFC 6864
 * 4.1: with DF the packets cut later may have others). No fragments, options of IPv4
 * or extension headers of IPv6. Checksums are verified first: a merged write says
 * NEEDS_CSUM, which would hide a wrong one.
 *
 * Of acknowledgements of one flow that follow each other here, the newest alone is
 * written (MERGE_ACKS; RFC 3449 5.2.1): each is a write, and a walk through the
 * kernel's TCP, that the next one makes void microseconds later. Only such as say
 * nothing that the newer one does not say: ack.h. Duplicates, ECN's echoes (RFC 3168,
 * and AccECN) and windows opening or closing to 0 all arrive; of duplicates that
 * name ever more by SACK, the first three and the newest.
 *
 * All else is a write of its own, with an empty vnet header. Writes keep the order
 * in which they began, and what cannot join its flow's write begins a new one, so the
 * order within a flow is kept. Several flows may be interleaved.
 *
 *   while (datagrams) merge_add(m, &inner, tag);
 *   while (merge_next(m, &w)) writev(tun, w.iov, w.iovs);
 *
 * Units:      bytes.
 * Ownership:  merge_new gives, merge_free ends. Packets are not copied: their buffers
 *             stay as they are until merge_next has returned false and the last write
 *             is done. w.iov is valid until the next call.
 * Errors:     E_LIMIT: full, write all first. E_NOMEM.
 */
#ifndef WORKER_MERGE_H
#define WORKER_MERGE_H

#include "vpnd/worker/inner.h"

#include <sys/uio.h>

#define MERGE_PACKETS 1024u
#define MERGE_IOVS 64
/* With the header of the device it leaves by, a packet must stay below 64 KiB, or
 * the kernel cuts it before it gets there. */
#define MERGE_BYTES_MAX 65200u

/* What the device takes (TUNSETOFFLOAD said yes). */
enum { MERGE_TCP4 = 1, MERGE_TCP6 = 2, MERGE_UDP4 = 4, MERGE_UDP6 = 8 };
/* Needs nothing of the device. */
enum { MERGE_ACKS = 16 };

struct merge_write {
	const struct iovec *iov; /* [0] is the vnet header alone, for a device without
				  * one: iov + 1 */
	int iovs;
	unsigned packets; /* as they came, for the counters */
	size_t bytes;
	uint32_t tag; /* of the first packet: one flow has one source, so one session */
};

struct merge;

/* `kinds` 0: nothing is merged. */
int merge_new(struct merge **out, unsigned kinds);
void merge_free(struct merge *);

/* From the next packet on. Some kernels take the offload and then refuse the write
 * with EINVAL: allow less, and merge_again. */
void merge_allow(struct merge *, unsigned kinds);

/* in->packet is queued; `tag` is given back with the write. */
int merge_add(struct merge *, const struct inner *in, uint32_t tag);

/* Is there nothing to write? */
bool merge_is_empty(const struct merge *);

/* How many acknowledgements a newer one has replaced, ever. */
uint64_t merge_acks(const struct merge *);

/* The next write. false: there is no more, and merge_add starts afresh; it is not
 * called between two of these. */
bool merge_next(struct merge *, struct merge_write *);

/* The write last given was refused: give its packets again, one by one. No effect on
 * a write of one packet. */
void merge_again(struct merge *);

#endif
