/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* batch.h -- many datagrams by one system call, both ways, on an unconnected UDP
 * socket.
 *
 * Each datagram comes with the peer it is from and the local address it was sent
 * to; an answer leaves from that same address (a service address moves between
 * hosts, and a client's connected socket ignores all others).
 *
 * Sending: the datagrams of one path are built one behind the other in a lane of
 * its own. Neighbours of equal size (a shorter one may end the run), outer TOS
 * and tag leave as one message that the kernel cuts (UDP_SEGMENT), the messages
 * of all paths by one sendmmsg. A path's datagrams keep their order, whatever is
 * pushed for others in between.
 *
 * Receiving: the kernel joins datagrams of one peer (UDP_GRO); the reader gets
 * them cut again.
 *
 * Where kernel or device lacks either, the same calls move one datagram per
 * message. Nothing is allocated per packet.
 *
 * Units:      bytes.
 * Ownership:  batch_*_new gives, batch_*_free ends. What batch_rx_read delivered is
 *             valid, and may be written to (opened in place), until the next read.
 * Errors:     -errno of the socket; a single datagram's go to a callback.
 */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "common/ip.h"
#include "common/span.h"

/* No datagram we send or take is longer. */
#define BATCH_SLOT_BYTES 2048u
/* Messages in flight to or from one system call, and paths that can be sent to. */
#define BATCH_MESSAGES 64u
#define BATCH_LANES 32u
/* What one UDP_SEGMENT message may hold: segments by the kernel's
 * UDP_MAX_SEGMENTS, bytes by IP's 16-bit length less all headers. */
#define BATCH_RUN 64u
#define BATCH_RUN_BYTES 65000u

/* The two ends of a datagram's way. local.port is 0: the socket knows it. */
struct batch_path {
	struct ip_addr peer;  /* sending, family 0: where the socket is connected to */
	struct ip_addr local; /* family 0: the kernel chooses */
};

/* Bytes of a map key for a peer: address (IPv4 mapped) and port. */
#define BATCH_KEY 18u
void batch_key(const struct ip_addr *peer, uint8_t key[BATCH_KEY]);

enum {
	BATCH_GSO = 1, /* UDP_SEGMENT, Linux 4.18 */
	BATCH_GRO = 2, /* UDP_GRO, Linux 5.0 */
	BATCH_OFFLOADS = BATCH_GSO | BATCH_GRO
};

/* Ask the kernel for local addresses and TOS, for the offloads in `want`, and for
 * no fragments: an answer to an MTU probe must arrive whole or not at all. Once per
 * socket, before the first read. Returns which of `want` it has, or -errno. With
 * BATCH_GRO the socket must be read by batch_rx_read only. */
int batch_prepare(int fd, unsigned want);

/* ---- receiving ---- */

struct batch_datagram {
	uint8_t *p;
	size_t n;
	struct batch_path path;
	uint8_t tos; /* of the outer header: DSCP and ECN (RFC 6040) */
};

struct batch_rx;
int batch_rx_new(struct batch_rx **out);
void batch_rx_free(struct batch_rx *);

/* Take what is there, without waiting. Returns how many datagrams, or -errno.
 * Those longer than BATCH_SLOT_BYTES are left out and counted. *list is the
 * batch's own. */
int batch_rx_read(struct batch_rx *, int fd, struct batch_datagram **list);

/* Did the last read fill all buffers, so that there may be more? */
bool batch_rx_more(const struct batch_rx *);

/* How many datagrams were too long, ever. */
uint64_t batch_rx_oversize(const struct batch_rx *);

/* ---- sending ---- */

/* This datagram of n bytes could not be sent: rc is -EMSGSIZE (lower the MTU below
 * n), or another -errno. `tag` is what batch_tx_push was given. True, only for
 * -EMSGSIZE: there is nothing smaller to be had, send it in fragments. */
typedef bool batch_on_error(void *arg, uint32_t tag, size_t n, int rc);

struct batch_tx;

/* One per socket. `offloads` is what batch_prepare returned for it; `on_error` may
 * be NULL. */
int batch_tx_new(struct batch_tx **out, unsigned offloads, batch_on_error *on_error,
		 void *arg);
void batch_tx_free(struct batch_tx *);

/* BATCH_SLOT_BYTES of room behind the last datagram of this path; NULL: the batch
 * is full, flush it. The room is the caller's until it asks for other room. */
uint8_t *batch_tx_slot(struct batch_tx *, const struct batch_path *);

/* Queue the first n bytes of the slot last asked for, which starts at p. tos goes
 * to the outer header. */
void batch_tx_push(struct batch_tx *, const uint8_t *p, size_t n, uint8_t tos,
		   uint32_t tag);

/* Copy a datagram from elsewhere into the batch. E_LIMIT: full; E_INVAL: longer than
 * a slot. For the rare ones: handshakes and the like. */
int batch_tx_copy(struct batch_tx *, struct span datagram, const struct batch_path *,
		  uint32_t tag);

/* Datagrams, not messages. */
unsigned batch_tx_queued(const struct batch_tx *);

/* Send all that is queued; the batch is empty afterwards. When the socket is full
 * the newest are dropped and counted: a queue of ours would only add delay to what
 * the inner transport repeats anyway. Returns how many datagrams left. */
int batch_tx_flush(struct batch_tx *, int fd);

/* How many were dropped on a full socket, ever. */
uint64_t batch_tx_dropped(const struct batch_tx *);

/* Does it send runs as one message? A device without the offload ends that for its
 * socket when it first refuses one; nothing is lost by it. */
bool batch_tx_has_gso(const struct batch_tx *);

#endif
