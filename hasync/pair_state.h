/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair_state.h -- what the files of pair.h share. Nobody else includes it.
 *
 *   pair.c        who is there and heard, time, life
 *   pair_send.c   what waits to be sent
 *   pair_put.c    a put, from the request to its answer
 *   pair_apply.c  what was delivered changes the store
 *   pair_sync.c   join and heal: digests, then what differs
 */
#ifndef HASYNC_PAIR_STATE_H
#define HASYNC_PAIR_STATE_H

#include "hasync/pair.h"

enum {
	HEARD_MAX = 64,
	QUEUE_MAX = 32 * 1024 * 1024, /* bytes that wait to be sent */
};

struct member {
	uint32_t nodeid, pid;
	bool is_self, is_refused, is_silent, is_told;
	bool got_digests, got_sync_end;
	char name[CLUSTER_NODE_MAX + 1]; /* "" until something was heard */
	uint64_t incarnation, seq, heard_ms;
	unsigned clock_off; /* states in a row with another time */
	struct wire_pieces pieces;
	uint8_t mentioned[OBJECTS_MAX]; /* of the store's objects, in its digests */
};

enum put_state { PUT_HELD, PUT_SENT, PUT_DELIVERED };

struct put {
	struct put *next;
	enum put_state state;
	uint64_t id, ticket, base, generation, sent_ms;
	bool is_set, is_removed, is_durable;
	unsigned waits; /* bit per member */
	unsigned copies, tries;
	enum cluster_status status;
	char name[CLUSTER_NAME_MAX + 1];
	size_t n;
	uint8_t bytes[];
};

/* What to do when something has reached the disk. */
struct write {
	struct write *next;
	uint64_t ticket, put_id;
	uint64_t incarnation; /* of the writer; 0 = this node */
};

/* Lives of peers, and how far each was heard: outlasts membership. */
struct heard {
	uint64_t incarnation, seq;
};

struct out {
	struct out *next;
	size_t n;
	uint8_t bytes[];
};

struct pair {
	struct pair_config c;
	struct store *store;
	const struct pair_handlers *h;
	void *arg;
	uint64_t incarnation, seq, last_id, last_ticket;
	struct member *members[PAIR_NODES_MAX];
	size_t n;
	bool is_joined, is_synced, is_stalled, sync_end_due, had_peer;
	struct heard heard[HEARD_MAX]; /* a ring */
	size_t next_heard;
	uint64_t hold_until_ms, sent_ms, state_ms, unheard_since_ms, refused_ms;
	uint64_t expired_ms;
	struct put *first, **last;
	size_t n_puts;
	struct write *writes;
	struct out *out_first, **out_last;
	size_t queued;
	bool push[OBJECTS_MAX];
	bool own_dirty[OBJECTS_MAX];
	uint64_t refused;
};

/* ---- pair.c ---- */

/* Monotonic, ms. */
uint64_t pair_clock(const struct pair *p);
struct version pair_version(const struct pair *p, const struct object *o);
/* A peer that is heard. */
bool member_is_live(const struct member *m);
/* Of this object in push and own_dirty. */
int pair_index(struct pair *p, const struct object *o);

/* ---- pair_send.c ---- */

/* Nothing waits any more. */
void send_clear(struct pair *p);
/* -errno: it does not wait. */
int send_item(struct pair *p, const struct wire_item *i);
/* All that waits; or only if the last one was so long ago. */
void send_flush(struct pair *p);
void send_flush_after(struct pair *p, unsigned gap_ms);
void send_state(struct pair *p, enum wire_type type, uint8_t flags);
void send_entries(struct pair *p, const struct object *o, enum wire_type type);
void send_object(struct pair *p, const struct object *o);
void send_ack(struct pair *p, uint64_t id, uint64_t incarnation,
	      enum cluster_status status);
void send_own(struct pair *p);

/* ---- pair_put.c ---- */

/* Answer what is over. */
void put_ends(struct pair *p);
struct put *put_find(struct pair *p, uint64_t id);
/* Nobody is waited for who has left. */
void put_forget_waits(struct pair *p);
void put_delivered(struct pair *p, struct put *k, const struct wire_item *i);
void put_acked(struct pair *p, struct member *m, unsigned bit,
	       const struct wire_item *i);
/* Send what was held, as far as there is room. */
void put_pump(struct pair *p);

/* ---- pair_apply.c ---- */

/* To the disk; put_id and incarnation: whom to tell then. */
void pair_write(struct pair *p, const struct object *o, uint64_t put_id,
		uint64_t incarnation);
enum cluster_status pair_apply_put(struct pair *p, const struct wire_item *i,
				   struct span writer, bool is_self,
				   struct object **out);
enum cluster_status pair_apply_entries(struct pair *p, const struct wire_item *i,
				       struct object **out);
void pair_deliver_put(struct pair *p, struct member *m, const struct wire_item *i);
void pair_deliver_object(struct pair *p, const struct wire_item *i);
/* What it said of itself in its life before is not true any more; whom its clients
 * were is, until it says so. */
void pair_forget_own(struct pair *p, const char *node);
void pair_deliver_own(struct pair *p, struct member *m, const struct wire_item *i);

/* ---- pair_sync.c ---- */

void sync_digest(struct pair *p, struct member *m, const struct wire_item *i);
/* Are we done with everybody? */
void sync_check(struct pair *p);
void sync_digest_end(struct pair *p, struct member *m);
/* Digests to all; ask: send us yours. */
void sync_start(struct pair *p, bool ask);

#endif
