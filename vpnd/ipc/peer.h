/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* peer.h -- one end of a socket pair to another process of vpnd.
 *
 * The parent keeps copies of both ends of every pair, so a peer's death is
 * never seen here: what was sent waits for its successor, and process_new
 * tells that there is one. A send never blocks; what does not fit into the
 * socket waits in a bounded queue, in order.
 *
 * A peer that breaks the message table is reported once through on_broken and
 * not read again: the process that hears it exits, or ends the other.
 */
#ifndef VPND_IPC_PEER_H
#define VPND_IPC_PEER_H

#include "vpnd/ipc/messages.h"

#include <uv.h>

enum { PEER_QUEUE_MAX = 4 * 1024 * 1024 }; /* bytes waiting for one peer */

struct peer;

/* fds are the receiver's to close or keep; n_fds is what the table says. */
typedef void (*peer_handler)(void *arg, struct peer *from, const union ipc_body *m,
			     const int *fds);
typedef void (*peer_broken)(void *arg, struct peer *from, int rc);

struct peer_packet;

struct peer {
	int fd;
	enum ipc_process self, who;
	unsigned index;               /* which worker; 0 for the others */
	const peer_handler *handlers; /* IPC_TYPES entries; NULL = not expected here */
	peer_broken on_broken;
	void *arg;
	bool is_broken, in_loop;
	uv_poll_t poll;
	struct peer_packet *first, *last;
	size_t queued;
	uint64_t dropped; /* packets that met a full queue */
};

/* Takes over fd. Reading starts at once if loop is not NULL; without a loop the
 * peer is for peer_send and peer_receive only (a worker's line to keys). */
int peer_open(struct peer *p, uv_loop_t *loop, int fd, enum ipc_process self,
	      enum ipc_process who, unsigned index, const peer_handler *handlers,
	      peer_broken on_broken, void *arg);

/* 0, or E_LIMIT when the queue is full (the packet is dropped and counted). */
int peer_send(struct peer *p, enum ipc_type type, const void *body);
/* The descriptors are duplicated; the caller keeps its own. */
int peer_send_fds(struct peer *p, enum ipc_type type, const void *body, const int *fds,
		  unsigned n_fds);

/* Wait up to timeout_ms for one packet. E_AGAIN when none came. Descriptors
 * that ride along are closed. */
int peer_receive(struct peer *p, int timeout_ms, enum ipc_type *type,
		 union ipc_body *body);

/* Try to write what is queued; blocks up to timeout_ms. For a last word. */
void peer_flush(struct peer *p, int timeout_ms);

/* Stop reading and free the queue. The handle must be closed by the loop
 * before the memory goes: on_closed may be NULL. */
void peer_close(struct peer *p, uv_close_cb on_closed);

#endif
