/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cluster.h -- what every program says to hasync, the replicated store.
 *
 * A connection is a SOCK_STREAM UNIX socket (RUNDIR/hasync.sock) carrying frames:
 * length (32 bits, of what follows) and one message. All messages have one
 * shape, big-endian; fields a type does not use are zero or empty:
 *
 *   type 8 | status 8 | flags 8 | copies 8 | id 32 | generation 64 | wall_ms 64 |
 *   name (length 8) | writer (length 8) | bytes (length 32)
 *
 * Requests; each is answered once by CLUSTER_ANSWER with its id and a status:
 *
 *   HELLO    name = kind of program. Must be first. Kind "vpnd": the parent's
 *            life line; its end means that vpnd is dead. Flag EVENTS: send EVENT.
 *   GET      name -> generation, writer, wall_ms, bytes; NOENT
 *   PUT      name, bytes, generation = the one it replaces (0: none yet, or
 *            removed long ago) or CLUSTER_ANY; flag REMOVE: remove it.
 *            -> the new generation and copies: on how many nodes it is durable; flag
 *            PEER_AWAY when a peer does not have it yet. CONFLICT -> the
 *            generation that is there.
 *   LIST     name = prefix -> bytes = for each { name (length 8), generation 64,
 *            flags 8, size 32, sha256 }
 *   WATCH    name = prefix; first a CHANGED for each object there is, then the
 *            answer, then a CHANGED for each change
 *   SET_ADD  name = a set, bytes = entries. -> copies, as for PUT.
 *   OWN_PUT  name = KIND/THIS-NODE, bytes: not on disk, owned by this node
 *   INFO     -> bytes = JSON: role, epoch, members, peer
 *   HOLD     name = node ("" = this one), flag ON: let go of the addresses now;
 *            generation = for at most so many ms. Without FORCE it is refused (LATER)
 *            when the peer could not take over.
 *   EVENT    name = what happened, bytes = a line of text: to those who asked for
 *            events, on this node. Not answered.
 *   BEAT     from kind "vpnd": it is well. flag SICK: it is not. Not answered.
 *
 * Pushed:
 *
 *   CHANGED  an object as in GET; flag REMOVE: it is gone; flag DELTA: bytes are only
 *            the entries of a set that changed
 *   ROLE     after HELLO and at each change: flag ACTIVE, generation = epoch, name =
 *            this node, writer = the peer ("" = none), flag PEER_AWAY
 *   EVENT    name = what happened, writer = kind of program, bytes = a line of text
 *
 * Object names are [a-z0-9_-] parts joined by '/'. What may be done with an object
 * follows from its name (cluster_class).
 */
#ifndef COMMON_CLUSTER_H
#define COMMON_CLUSTER_H

#include "common/span.h"
#include "common/wr.h"

#include <uv.h>

enum {
	CLUSTER_NAME_MAX = 96,
	CLUSTER_NODE_MAX = 63,
	CLUSTER_OBJECT_MAX = 1024 * 1024,
	CLUSTER_KEY_MAX = 31,
	CLUSTER_VALUE_MAX = 48,
	CLUSTER_SET_MAX = 4 * 1024 * 1024, /* bytes of all its entries, encoded */
	CLUSTER_FRAME_MAX = CLUSTER_SET_MAX + 1024,
	CLUSTER_CALLS_MAX = 1024, /* open requests of one client */
};

#define CLUSTER_ANY UINT64_MAX
#define CLUSTER_SOCKET "hasync.sock"

enum cluster_type {
	CLUSTER_HELLO = 1,
	CLUSTER_GET,
	CLUSTER_PUT,
	CLUSTER_LIST,
	CLUSTER_WATCH,
	CLUSTER_SET_ADD,
	CLUSTER_OWN_PUT,
	CLUSTER_INFO,
	CLUSTER_HOLD,
	CLUSTER_BEAT,
	CLUSTER_ANSWER = 64,
	CLUSTER_CHANGED,
	CLUSTER_ROLE,
	CLUSTER_EVENT,
};

enum cluster_status {
	CLUSTER_OK,
	CLUSTER_NOENT,
	CLUSTER_CONFLICT, /* another generation is there */
	CLUSTER_INVALID,  /* name, size or class forbid it */
	CLUSTER_LIMIT,    /* the store is full */
	CLUSTER_LATER,    /* not now */
	CLUSTER_IO,       /* the disk said no */
	CLUSTER_LOST,     /* made by the client: connection gone before the answer */
	CLUSTER_STATUSES
};

enum cluster_flag {
	CLUSTER_REMOVE = 1,
	CLUSTER_DELTA = 2,
	CLUSTER_PEER_AWAY = 4,
	CLUSTER_ACTIVE = 8,
	CLUSTER_ON = 16,
	CLUSTER_FORCE = 32,
	CLUSTER_EVENTS = 64,
	CLUSTER_SICK = 128,
};

struct cluster_msg {
	uint8_t type, status, flags, copies;
	uint32_t id;
	uint64_t generation, wall_ms;
	struct span name, writer, bytes;
};

enum cluster_class {
	CLUSTER_BAD,     /* not a name */
	CLUSTER_WHOLE,   /* durable; put replaces all of it */
	CLUSTER_SET,     /* durable; entries merge: "revoked", "bans", ... */
	CLUSTER_OWN,     /* memory only, one writer: "counts/NODE", "node/NODE" */
	CLUSTER_OWN_SET, /* the same with entries: "endpoints/NODE" */
};

enum cluster_class cluster_class(struct span name);
bool cluster_node_ok(struct span node);
const char *cluster_status_text(enum cluster_status);

/* One frame, its length in front. The cursor says whether it fitted. */
void cluster_encode(struct wr *w, const struct cluster_msg *m);
size_t cluster_encoded_size(const struct cluster_msg *m);

/* The next message of a stream; spans point into `in`, which advances.
 * E_AGAIN: more bytes are needed; E_PROTO: this is no client of ours. */
int cluster_decode(struct span *in, struct cluster_msg *m);

/* ---- entries of a set ----
 * Revoked sessions: key = session id, value empty. Bans: key = prefix bytes.
 * Codes used up (vpnd/auth/codes.h): key = whose, value = the counter. Borrowed
 * addresses (vpnd/session/borrowed.h): key = address, value = session id.
 * A key that is there twice counts with its later expiry; in an OWN_SET the newer
 * one replaces the older, and is_gone removes. expires_s: wall clock, 0 = never. */
struct cluster_entry {
	uint8_t key_n, value_n;
	bool is_gone;
	uint8_t key[CLUSTER_KEY_MAX], value[CLUSTER_VALUE_MAX];
	uint64_t expires_s;
};
void cluster_entry_encode(struct wr *w, const struct cluster_entry *e);
/* 0 and the next entry; E_AGAIN at the end; E_PROTO. */
int cluster_entry_decode(struct span *in, struct cluster_entry *e);

/* ---- a client in a libuv loop ---- */

struct cluster;

/* The answer's spans live until the callback returns. */
typedef void (*cluster_done)(void *arg, const struct cluster_msg *answer);

struct cluster_handlers {
	void (*on_up)(void *arg); /* connected: say hello, watch */
	void (*on_push)(void *arg, const struct cluster_msg *m);
	/* Broken, or never came up. Everything open was answered CLUSTER_LOST. Call
	 * cluster_free (here or later) and try again with a new one. */
	void (*on_down)(void *arg, int rc);
};

int cluster_new(struct cluster **out, uv_loop_t *loop, const struct cluster_handlers *h,
		void *arg);
/* Connect, for who may. on_up or on_down follows. */
int cluster_connect(struct cluster *, const char *path);
/* Use a connection somebody else made (vpnd's children: their parent). Takes fd over,
 * on errors too; then *out is NULL. It is set before on_up, which is called before
 * this returns. */
int cluster_adopt(struct cluster **out, uv_loop_t *loop, int fd,
		  const struct cluster_handlers *h, void *arg);
/* Send a request; its id is chosen here. done may be NULL. E_LIMIT: too many open. */
int cluster_call(struct cluster *, const struct cluster_msg *m, cluster_done done,
		 void *arg);
/* Pending calls are not answered any more. NULL is fine. */
void cluster_free(struct cluster *);

/* One question without a loop, within timeout_ms; `kind` for the hello. *buf is
 * what the answer's spans point into: the caller frees it. */
int cluster_ask(const char *path, const char *kind, const struct cluster_msg *m,
		int timeout_ms, struct cluster_msg *answer, uint8_t **buf);

#endif
