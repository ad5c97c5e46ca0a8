/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair.h -- replication: how the stores of a group of nodes become and stay equal.
 *
 * Knows nothing of corosync or sockets: batches come in by pair_deliver in one order
 * for all nodes (one's own included: applied on delivery, never on send) and leave
 * by the handler `send`. Times: now_ms is monotonic, wall_ms is the wall clock.
 *
 * Life of a put: HELD (while stores are being compared, at most 3 s) -> SENT ->
 * delivered, in memory -> durable here and acknowledged by every live member ->
 * answered. Without a group it is delivered here at once. A member that leaves, or is
 * silent for 3 s, is not waited for.
 */
#ifndef HASYNC_PAIR_H
#define HASYNC_PAIR_H

#include "hasync/store.h"
#include "hasync/wire.h"

enum {
	PAIR_NODES_MAX = 16,
	PAIR_SILENT_MS = 3000,
	PAIR_STALLED_MS = 2000,
	PAIR_HOLD_MS = 3000,
	PAIR_SEND_MS = 100, /* steady state: at most ten sends a second */
	PAIR_STATE_MS = 1000,
	PAIR_CLOCK_MS = 30000, /* difference that is an error */
};

struct pair_config {
	char node[CLUSTER_NODE_MAX + 1],
		peer[CLUSTER_NODE_MAX + 1]; /* peer "" = none */
	bool is_primary, is_clustered;
	uint8_t pair[WIRE_PAIR], key[WIRE_KEY];
};

struct pair_result {
	enum cluster_status status;
	uint64_t generation;
	unsigned copies;
	bool peer_away;
};

struct pair_handlers {
	/* 0, E_AGAIN to try again later, or the group is gone (pair_lost follows). */
	int (*send)(void *arg, struct span batch);
	uint64_t (*now_ms)(void *arg);
	uint64_t (*wall_ms)(void *arg);
	/* delta: the entries of a set that changed; NULL p = look at the whole. */
	void (*on_changed)(void *arg, const struct object *o, struct span delta);
	void (*on_result)(void *arg, uint64_t ticket, const struct pair_result *r);
	/* state NULL: that node is gone or silent. */
	void (*on_state)(void *arg, const char *node, const struct wire_state *s);
	void (*on_hold)(void *arg, uint64_t ms, bool on, bool force);
	void (*on_event)(void *arg, const char *event, const char *detail);
	void (*get_state)(void *arg, struct wire_state *s);
};

struct pair_member {
	uint32_t nodeid, pid;
	bool is_self;
};

struct pair;

int pair_new(struct pair **out, const struct pair_config *c, struct store *s,
	     const struct pair_handlers *h, void *arg);
void pair_free(struct pair *);

/* From the group. joined: these were not members before (or were cut off). */
void pair_members(struct pair *, const struct pair_member *all, size_t n,
		  const struct pair_member *joined, size_t n_joined);
void pair_deliver(struct pair *, uint32_t nodeid, uint32_t pid, struct span batch);
void pair_lost(struct pair *);
/* From the store. */
void pair_durable(struct pair *, uint64_t ticket, int rc);
/* Every 100 ms or more often. */
void pair_tick(struct pair *);
/* Send soon what the handler refused with E_AGAIN. */
void pair_retry(struct pair *);

/* base: generation to be replaced or CLUSTER_ANY. Answered by on_result, perhaps
 * before it returns. */
void pair_put(struct pair *, struct span name, struct span bytes, bool is_removed,
	      uint64_t base, uint64_t ticket);
void pair_set_add(struct pair *, struct span name, struct span entries,
		  uint64_t ticket);
/* name must end in this node's name; OWN: all bytes; OWN_SET: changed entries. */
enum cluster_status pair_own_put(struct pair *, struct span name, struct span bytes);
/* This node's state changed: tell now. */
void pair_state_changed(struct pair *);
/* Ask another node to let go of the addresses. */
int pair_ask_hold(struct pair *, struct span node, uint64_t ms, bool on, bool force);

/* Live members besides this node; all of them in agreement with us? */
unsigned pair_peers(const struct pair *);
bool pair_is_synced(const struct pair *);
bool pair_is_joined(const struct pair *);
/* Batches that were refused since the start. */
uint64_t pair_refused(const struct pair *);

#endif
