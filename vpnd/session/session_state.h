/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_state.h -- what the files of session.h share. Nobody else includes it.
 *
 *   session.c         a session's life: its state machine, slot, route and deadlines
 *   session_index.c   finding one
 *   session_login.c   from a proven login to a token
 *   session_tunnel.c  tunnels that workers ask for, report and lose
 *   session_dtls.c    a channel's news
 *   session_peer.c    what the other node says
 *   session_table.c   making the table, from what the disk has
 */
#ifndef VPND_SESSION_SESSION_STATE_H
#define VPND_SESSION_SESSION_STATE_H

#include "vpnd/session/borrowed.h"
#include "vpnd/session/session.h"

enum { ASKS = 8192 }; /* open questions to keys; power of two */

enum ask_kind { ASK_SEAL, ASK_TUNNEL, ASK_CHECK, ASK_REPORT };

/* A question to keys, and what to do with the answer. */
struct ask {
	uint32_t id;
	enum ask_kind kind;
	unsigned worker;
	uint64_t since_ms;
	uint32_t slot, gen; /* ASK_SEAL */
	union {
		struct ipc_login_proven login;
		struct ipc_tunnel_ask tunnel;
		struct ipc_token_check check;
		struct ipc_tunnel_report report;
	} m;
};

struct worker_counters {
	const volatile struct counters *at;
	unsigned n;
};

struct session_table {
	const struct config *config;
	struct session_out out;
	struct pool *pool;
	struct lease_file *leases;
	struct revoked *revoked;
	struct borrowed borrowed;
	uint64_t swept_ms;

	struct session *session; /* n_slots of them */
	unsigned n_slots, count[SESSION_STATES];
	uint32_t next_slot; /* where the search for a free one goes on */
	uint32_t *by_sid, *by_dtls;
	uint32_t *by_token; /* the slot that last had such a token: a hint */
	uint32_t n_buckets; /* power of two */

	struct ask *ask[ASKS];
	uint32_t next_ask;
	struct worker_counters counters[SESSION_WORKERS_MAX];

	bool has_peer, is_peer_away;
	uint64_t peer_away_ms; /* since when */
	uint32_t peer_mark;
};

enum move {
	MOVE_CONNECT, /* a tunnel was granted */
	MOVE_LOST,    /* its TLS connection is gone */
	MOVE_LOGOUT,  /* the client said goodbye and may mean it */
	MOVE_DUE,     /* the state's own deadline passed */
	MOVE_END,     /* for any other reason */
	MOVES
};

/* What a move is about. */
struct cause {
	struct now now;
	const char *reason, *text; /* why it ends; what the client is told */
};

/* ---- session.c ---- */

void table_random(void *to, size_t n);
void table_send(struct session_table *t, enum ipc_process to, unsigned index,
		enum ipc_type type, const void *body);
void session_event(struct session_table *t, const struct session *s,
		   enum event_what what, const char *reason);
/* Over all workers since the slot was first used. */
struct counters slot_sum(const struct session_table *t, uint32_t slot);
/* The host route goes where its downlink has to. */
void session_steer(struct session_table *t, struct session *s);
void session_drop_dtls(struct session_table *t, struct session *s);
void session_close_tls(struct session_table *t, struct session *s, const char *text);
struct lease session_lease(const struct session *s);
/* Into the journal. -errno */
int session_remember(struct session_table *t, const struct session *s);
/* A free one, or this one if it is free; NULL. */
struct session *slot_take(struct session_table *t, uint32_t wanted);
void session_set_state(struct session_table *t, struct session *s,
		       enum session_state state);
/* E_LIMIT no slot; E_EXIST, E_NOENT the address. */
int session_make(struct session_table *t, const struct claims *c, uint32_t wanted_slot,
		 enum session_state state, struct now now, struct session **out);
/* Began before we knew it: its end tells its whole length. */
void session_since(struct session *s, uint64_t wall_s, struct now now);
void session_forget(struct session_table *t, struct session *s);
void session_revoke(struct session_table *t, const struct claims *c, struct now now);
/* The one place where a state changes. */
void session_move(struct session_table *t, struct session *s, enum move m,
		  const struct cause *c);
/* NULL: too many. ask_take gives the caller what ask_free ends; NULL: unknown. */
struct ask *ask_new(struct session_table *t, enum ask_kind kind, unsigned worker,
		    struct now now);
struct ask *ask_take(struct session_table *t, uint32_t id);
void ask_free(struct ask *a);
void ask_open(struct session_table *t, const struct ask *a, const char *token);

/* ---- session_index.c ---- */

void session_sid_link(struct session_table *t, struct session *s);
void session_sid_unlink(struct session_table *t, struct session *s);
/* Is DTLS offered to it? */
bool session_has_dtls(const struct session *s);
void session_dtls_link(struct session_table *t, struct session *s);
void session_dtls_unlink(struct session_table *t, struct session *s);
struct session *session_by_dtls(struct session_table *t, const uint8_t id[IPC_DTLS_ID]);
void session_note_token(struct session_table *t, struct session *s, const char *token);
/* A hint only: the token may be another's. */
struct session *session_by_token(struct session_table *t, const char *token);
/* NULL when the slot is another session's by now. */
struct session *session_named(struct session_table *t, uint32_t slot, uint32_t gen);

/* ---- session_login.c ---- */

void login_issue(struct session_table *t, unsigned worker, uint32_t id,
		 enum token_verdict verdict, const char *reason, const char *token,
		 const uint8_t *sid);

/* ---- session_tunnel.c ---- */

void tunnel_refuse(struct session_table *t, unsigned w, uint32_t id,
		   enum token_verdict v, const char *reason);
void tunnel_checked(struct session_table *t, unsigned w, uint32_t id,
		    enum token_verdict v);
/* is_over: it must not come back. */
void tunnel_report_refused(struct session_table *t, const struct ask *a, bool is_over);

/* ---- session_table.c ---- */

void leases_compact(struct session_table *t);

#endif
