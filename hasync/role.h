/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* role.h -- is this node the active one, and what keepalived shall think of it.
 *
 * Pure: facts go in with the time, what to do comes out. keepalived elects; the three
 * track files bend its priorities:
 *
 *   role      added: 20 while active, so that nothing moves without a reason; 40 for
 *             who took over from a node that did not let go (frozen, cut off), until
 *             that one is heard to be standby: when it goes on, its keepalived still
 *             believes in its own 20, and is answered before its hasync can think.
 *             Less by 60 for each gateway that only the peer reaches; -100 with none
 *   vpnd.bad  1: priority - 100
 *   hold      1: let go at once (FAULT)
 */
#ifndef HASYNC_ROLE_H
#define HASYNC_ROLE_H

#include "common/span.h"

enum {
	ROLE_ACTIVE_BONUS = 20,
	ROLE_TAKEN_BONUS =
		40, /* more than the primary's 1 and the bonus of the other */
	ROLE_GATEWAY_COST = 60,
	ROLE_NONE_COST = 120,  /* 20 - 120 = -100 */
	ROLE_SETTLE_MS = 1000, /* gateways must differ for so long */
	ROLE_TWO_MS = 300,     /* two active nodes: longer than a takeover overlaps */
	ROLE_FIND_MS = 3000,   /* vpnd finds a new hasync within */
	/* vpnd beats every 250 ms. Silent for longer it is stuck: three beats may be
	 * late or lost. Only time in which we ran ourselves counts, so that a machine
	 * that stands still, or has no time for either of us, moves nothing. */
	ROLE_BEAT_MS = 1000,
	ROLE_TICK_MS = 100,   /* between ticks; a gap counts as this much silence */
	ROLE_WELL_MS = 2000,  /* after a silence it must beat so long to be trusted */
	ROLE_YIELD_MS = 2000, /* first; doubles up to */
	ROLE_YIELD_MAX_MS = 60000,
	ROLE_DEATH_HOLD_MS =
		2000,       /* a node whose vpnd died holds back so long at most */
	ROLE_MOVE_MS = 300, /* a hold ends so long after the peer has taken over */
	ROLE_HOLD_MAX_MS = 600000,
	ROLE_ASK_MS = 2000,    /* keepalived answers a HUP within */
	ROLE_FROZEN_MS = 3000, /* a gap between ticks: we were stopped */
};

enum role_group { ROLE_UNKNOWN, ROLE_MASTER, ROLE_BACKUP, ROLE_FAULT, ROLE_STOP };

enum role_line { ROLE_LINE_OTHER, ROLE_LINE_GROUP, ROLE_LINE_TWO };

/* One line of keepalived's FIFO, without its end. GROUP lines of our group set *state;
 * ROLE_LINE_TWO: it hears another master. */
enum role_line role_line(struct span line, const char *group, enum role_group *state);

struct role_config {
	bool is_primary, has_peer, has_keepalived, watch_vpnd;
	uint64_t keepalived_grace_ms;
};

struct role_peer {
	bool is_active, vpnd_bad, hold;
	uint64_t epoch;
	unsigned gateways_ok, gateways;
};

struct role_out {
	bool is_active;
	uint64_t epoch;
	int role_value;
	bool vpnd_bad, hold;
	bool remove_addresses; /* keepalived is dead: nobody else will */
};

struct role {
	struct role_config c;
	struct role_out out;
	const char *why; /* of the last change of is_active */
	enum role_group group;
	uint64_t start_ms, active_since_ms, tick_ms, thaw_ms;
	uint64_t max_epoch;
	bool has_peer_state, is_suspect, has_taken;
	struct role_peer peer;
	unsigned gateways_ok, gateways;
	int cost, cost_wanted;
	uint64_t cost_since_ms;
	bool vpnd_there, vpnd_sick, vpnd_seen, was_there, was_silent;
	uint64_t beat_ms, silent_ms;
	bool keepalived_alive;
	uint64_t keepalived_seen_ms;
	bool is_yielding, wants_yield, wants_epoch;
	uint64_t yield_since_ms, two_since_ms, epoch_since_ms, yield_ms, yield_end_ms;
	bool is_held;
	uint64_t hold_since_ms, hold_until_ms, moved_since_ms;
};

void role_init(struct role *, const struct role_config *c, uint64_t now_ms);

/* Facts. Call role_tick afterwards. */
void role_set_group(struct role *, enum role_group g);
void role_set_two(struct role *);
void role_set_peer(struct role *, const struct role_peer *peer); /* NULL: gone */
void role_set_gateways(struct role *, unsigned ok, unsigned n);
void role_set_vpnd(struct role *, bool is_there, bool is_sick, uint64_t now_ms);
void role_set_keepalived(struct role *, bool is_alive, uint64_t now_ms);
/* 0, or E_AGAIN when the peer could not take over. */
int role_set_hold(struct role *, bool on, bool force, uint64_t ms, uint64_t now_ms);

/* Why vpnd is bad, for people; "" if it is not. */
const char *role_vpnd_why(const struct role *);

/* Every 100 ms and after each fact. True when `out` changed. */
bool role_tick(struct role *, uint64_t now_ms);

#endif
