/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* batch.h -- many datagrams by one system call, both ways, on an unconnected UDP
 * socket.
 *
 * Each datagram comes with the peer it is from and the local address it was sent
 * to; an answer leaves from that same address (a service address moves between
 * hosts, and a client's connected socket ignores all others).
 *
 * Slots are fixed arrays, so nothing is allocated per packet. All slots of a batch
 * lie in one contiguous block and a message is an offset and a length in it: that
 * is what UDP_SEGMENT (runs of equal records of one peer as one message) and
 * UDP_GRO (several datagrams in one buffer, cut by the control message's size)
 * need, and the control buffers have room for their messages. Readers of a batch
 * see datagrams, never slots, so neither changes this interface.
 *
 * Units:      bytes.
 * Ownership:  batch_*_new gives, batch_*_free ends. What batch_rx_read delivered is
 *             valid, and may be written to (opened in place), until the next read.
 * Errors:     -errno of the socket; a single message's go to a callback.
 */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "common/ip.h"
#include "common/span.h"

#define BATCH_SLOTS 64u
#define BATCH_SLOT_BYTES 2048u

/* The two ends of a datagram's way. local.port is 0: the socket knows it. */
struct batch_path {
	struct ip_addr peer;  /* sending, family 0: where the socket is connected to */
	struct ip_addr local; /* family 0: the kernel chooses */
};

/* Bytes of a map key for a peer: address (IPv4 mapped) and port. */
#define BATCH_KEY 18u
void batch_key(const struct ip_addr *peer, uint8_t key[BATCH_KEY]);

/* Ask the kernel for local addresses, and for no fragments: an answer to an MTU
 * probe must arrive whole or not at all. Once per socket, before the first read. */
int batch_prepare(int fd);

/* ---- receiving ---- */

struct batch_datagram {
	uint8_t *p;
	size_t n;
	struct batch_path path;
};

struct batch_rx;
int batch_rx_new(struct batch_rx **out);
void batch_rx_free(struct batch_rx *);

/* Take what is there, without waiting. Returns how many (0: nothing), or -errno. A
 * full batch (BATCH_SLOTS) means there may be more. Datagrams longer than a slot
 * are left out and counted. *list is the batch's own. */
int batch_rx_read(struct batch_rx *, int fd, struct batch_datagram **list);

/* How many datagrams were too long, ever. */
uint64_t batch_rx_oversize(const struct batch_rx *);

/* ---- sending ---- */

/* This message could not be sent: rc is -EMSGSIZE (lower the MTU below n), or
 * another -errno. `tag` is what batch_tx_push was given. */
typedef void batch_on_error(void *arg, uint32_t tag, size_t n, int rc);

struct batch_tx;

/* `on_error` may be NULL. */
int batch_tx_new(struct batch_tx **out, batch_on_error *on_error, void *arg);
void batch_tx_free(struct batch_tx *);

/* The next free slot, BATCH_SLOT_BYTES of it, to build a datagram anywhere inside;
 * NULL: the batch is full, flush it. The same slot until it is pushed. */
uint8_t *batch_tx_slot(struct batch_tx *);

/* Queue n bytes at p, inside the slot last asked for. */
void batch_tx_push(struct batch_tx *, const uint8_t *p, size_t n,
		   const struct batch_path *, uint32_t tag);

/* Copy a datagram from elsewhere into the batch. E_LIMIT: full; E_INVAL: longer than
 * a slot. For the rare ones: handshakes and the like. */
int batch_tx_copy(struct batch_tx *, struct span datagram, const struct batch_path *,
		  uint32_t tag);

unsigned batch_tx_queued(const struct batch_tx *);

/* Send all that is queued; the batch is empty afterwards. When the socket is full
 * the newest are dropped and counted: a queue of ours would only add delay to what
 * the inner transport repeats anyway. Returns how many left. */
int batch_tx_flush(struct batch_tx *, int fd);

/* How many were dropped on a full socket, ever. */
uint64_t batch_tx_dropped(const struct batch_tx *);

#endif
