/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* apply.h -- how a new configuration is agreed on: checked here, voted on by the
 * other node, committed to the store, loaded here.
 *
 *   IDLE -> CHECK -> VOTE -> COMMIT -> LOAD -> IDLE
 *
 * Nothing is committed unless every node that is present has said yes; whoever
 * says no, or nothing in time, is named to the operator. Pure: the table says what
 * to do, the caller does it.
 */
#ifndef VPND_SESSION_APPLY_H
#define VPND_SESSION_APPLY_H

enum apply_state {
	APPLY_IDLE,
	APPLY_CHECK,  /* our own parent looks at it */
	APPLY_VOTE,   /* the other node does */
	APPLY_COMMIT, /* the store is asked to take it */
	APPLY_LOAD,   /* our own parent loads it */
	APPLY_STATES
};

enum apply_event {
	APPLY_ASKED,
	APPLY_OWN_YES,
	APPLY_OWN_NO,
	APPLY_PEER_YES,
	APPLY_PEER_NO,
	APPLY_PEER_AWAY, /* there is none, or it left: not waited for */
	APPLY_STORED,
	APPLY_NOT_STORED, /* conflict, or the store is gone */
	APPLY_LOADED,
	APPLY_NOT_LOADED,
	APPLY_TIMEOUT,
	APPLY_EVENTS
};

enum apply_action {
	APPLY_NOTHING,
	APPLY_DO_CHECK,
	APPLY_DO_PROPOSE,
	APPLY_DO_COMMIT,
	APPLY_DO_LOAD,
	APPLY_DO_ANSWER,   /* it is in force */
	APPLY_DO_REFUSE,   /* nothing was said to anybody yet */
	APPLY_DO_WITHDRAW, /* take the proposal back, and say why */
	APPLY_DO_COMPLAIN, /* it is committed, but does not run here */
};

struct apply_edge {
	enum apply_action action;
	enum apply_state next;
};

/* What this event means in this state; an event that means nothing there leaves
 * the state and asks for NOTHING. */
struct apply_edge apply_step(enum apply_state s, enum apply_event e);

#endif
