/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session.h -- the one owner of sessions: who is here, with which addresses, and
 * which worker carries which channel.
 *
 * Pure: messages and time come in as arguments, messages and events leave
 * through struct session_out. The files (leases, revoked) are the only other
 * thing touched. One thread, one writer.
 *
 * Life of a session (the table is in session.c):
 *   PENDING    token issued, never connected; gone after 5 minutes
 *   CONNECTED  a TLS tunnel is up
 *   AWAY       no connection; kept for disconnected_s
 *   LINGER     said goodbye, but may come back within 15 s (a Cisco client
 *              sends the same goodbye when it only changes networks)
 * Its end frees the address and revokes the token, so that an address in a
 * token that still opens is never another session's.
 *
 * A session is named by slot and gen; a late message about a dead one finds
 * nothing instead of its successor.
 *
 * Units: *_ms monotonic, wall_* as named.
 * Ownership: session_table_new gives, session_table_free ends. Config is
 * borrowed and must outlive the table or the next session_config.
 */
#ifndef VPND_SESSION_SESSION_H
#define VPND_SESSION_SESSION_H

#include "common/config/config.h"
#include "vpnd/ipc/counters.h"
#include "vpnd/session/events.h"
#include "vpnd/session/lease.h"
#include "vpnd/session/pool.h"
#include "vpnd/session/revoked.h"
#include "vpnd/session/token.h"

enum session_state {
	SESSION_FREE,
	SESSION_PENDING,
	SESSION_CONNECTED,
	SESSION_AWAY,
	SESSION_LINGER,
	SESSION_STATES
};
extern const char *const session_state_name[SESSION_STATES];

enum {
	SESSION_SLOTS_MAX = 65536,
	SESSION_WORKERS_MAX = 64,
	SESSION_NONE = 0xffffffff,
};

struct now {
	uint64_t mono_ms, wall_ms;
};

struct session;

struct session_out {
	void *arg;
	void (*send)(void *arg, enum ipc_process to, unsigned index, enum ipc_type type,
		     const void *body);
	void (*event)(void *arg, const struct event *e);
	/* For the other node of a pair; they may be NULL. A token that must not
	 * work any more; a session whose connection is up, or is no more. */
	void (*revoked)(void *arg, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s);
	void (*tunnel)(void *arg, const struct session *s, bool is_up);
	/* It has an address of the other node's half. */
	void (*borrowed)(void *arg, const struct session *s);
};

struct session {
	uint32_t slot, gen;
	uint32_t next_sid, next_dtls; /* hash chains */
	enum session_state state;
	uint64_t state_since_ms, expires_ms;
	struct claims claims;
	uint32_t host; /* in the pool */
	bool has_connected;
	uint64_t connected_ms, wall_connected_s;
	uint64_t wall_granted_s; /* its latest connection */
	bool is_borrowed;        /* the address is of the other node's half */
	bool is_elsewhere;       /* connected to the other node, as that one says */
	uint64_t active_ms;      /* last connect; data packets are in the counters */

	/* the connection, as its worker told it */
	struct ip_addr source, local;
	char agent[IPC_AGENT_MAX + 1];
	char hostname[IPC_NAME_MAX + 1];
	char token[IPC_TOKEN_MAX + 1];
	uint16_t mtu, tls_version;
	char tls_cipher[48];
	bool has_tls;
	bool lacks6; /* it asked for no IPv6 address; not known after our restart */
	unsigned tls_worker;
	uint32_t conn; /* id of the tunnel_ask that is up; 0 after our restart */

	/* DTLS: what is offered under dtls_id, and where it is up */
	uint8_t dtls_id[IPC_DTLS_ID], dtls_secret[IPC_DTLS_SECRET];
	uint8_t dtls_mode;
	uint16_t dtls_cipher;
	bool has_dtls;
	unsigned dtls_worker;
	struct ip_addr dtls_peer;

	bool has_route;
	unsigned route_worker;
	uint16_t route_mtu;

	struct counters base; /* sums when the session began */
};

struct session_table;

/* `leases` and `revoked` are opened in dir_fd; sessions found there are AWAY
 * until their worker reports them. slots: session_slots() of the first config,
 * which is also the length of the counters arrays. */
int session_table_new(struct session_table **out, const struct config *c,
		      unsigned slots, int dir_fd, const struct session_out *o,
		      struct now now);
void session_table_free(struct session_table *t);
/* Slots for this limit: twice as many and some head-room, at most SLOTS_MAX. */
unsigned session_slots(unsigned session_limit);

/* The counters of a worker; NULL takes them away. Borrowed. */
void session_counters(struct session_table *t, unsigned worker,
		      const volatile struct counters *c, unsigned n);

/* From auth and keys. */
void session_login(struct session_table *t, const struct ipc_login_proven *m,
		   struct now now);
void session_sealed(struct session_table *t, const struct ipc_token_sealed *m,
		    struct now now);
void session_opened(struct session_table *t, const struct ipc_token_opened *m,
		    struct now now);

/* From worker number w. */
void session_ask(struct session_table *t, unsigned w, const struct ipc_tunnel_ask *m,
		 struct now now);
void session_check(struct session_table *t, unsigned w, const struct ipc_token_check *m,
		   struct now now);
void session_report(struct session_table *t, unsigned w,
		    const struct ipc_tunnel_report *m, struct now now);
void session_down(struct session_table *t, unsigned w, const struct ipc_tunnel_down *m,
		  struct now now);
void session_mtu(struct session_table *t, unsigned w, const struct ipc_tunnel_mtu *m);
void session_dtls_ask(struct session_table *t, unsigned w,
		      const struct ipc_dtls_ask *m);
/* A record from an unknown address: who had a channel at that host? And the
 * worker whose keys opened it gives the channel to the one that hears it now. */
void session_dtls_stray(struct session_table *t, unsigned w,
			const struct ipc_dtls_stray *m);
void session_dtls_give(struct session_table *t, unsigned w,
		       const struct ipc_dtls_give *m);
void session_dtls_up(struct session_table *t, unsigned w, const struct ipc_dtls_up *m);
void session_dtls_down(struct session_table *t, unsigned w,
		       const struct ipc_dtls_down *m);
/* A fresh worker w: what the old one carried is gone. */
void session_worker_new(struct session_table *t, unsigned w, struct now now);

/* Once a second: deadlines, timeouts, unanswered questions, files. */
void session_tick(struct session_table *t, struct now now);
/* New limits apply to the next login; a service switched off ends everything. */
void session_config(struct session_table *t, const struct config *c, struct now now);

/* End sessions for a reason word of the event stream ("admin",
 * "user_disabled", ...); `text` is what the client is told. */
void session_end(struct session_table *t, struct session *s, const char *reason,
		 const char *text, struct now now);
unsigned session_end_user(struct session_table *t, const char *user, const char *reason,
			  const char *text, struct now now);

/* ---- the other node of a pair ---- */

/* Without one nothing below is called. Is it away; from which host number on its
 * half of the pool was never leased (POOL_NONE: not known). While it is away and
 * our half is full, addresses are borrowed from there. */
void session_peer(struct session_table *t, bool is_away, uint32_t mark, struct now now);
/* A token that was revoked there. */
void session_revoked_there(struct session_table *t, const uint8_t sid[IPC_SID],
			   uint64_t wall_expiry_s, struct now now);
/* An address of our half that was leased there while we were away. */
void session_borrowed_there(struct session_table *t, const struct ip_addr *addr4,
			    const uint8_t sid[IPC_SID], uint64_t wall_expiry_s,
			    struct now now);
/* A session is connected there since then, or no more. While it is, we keep what
 * we know of it, and our connection of it ends without a word if it is older. Two
 * clocks are compared, so within their difference the client is where the addresses
 * are: `is_active` says whether here. */
void session_there(struct session_table *t, const uint8_t sid[IPC_SID], bool is_up,
		   uint64_t wall_since_s, bool is_active, struct now now);

/* Reading. */
unsigned session_table_slots(const struct session_table *t);
struct session *session_at(struct session_table *t, uint32_t slot); /* NULL if free */
struct session *session_by_sid(struct session_table *t, const uint8_t sid[IPC_SID]);
unsigned session_count(const struct session_table *t, enum session_state state);
/* Places taken: connected, and logins of the last minute. */
unsigned session_places(const struct session_table *t, struct now now);
/* Sums over all workers since the session began; active_ms is the latest. */
struct counters session_sum(const struct session_table *t, const struct session *s);
const struct pool *session_pool(const struct session_table *t);
const struct revoked *session_revoked(const struct session_table *t);
struct lease_file *session_leases(struct session_table *t);
uint32_t sid_short(const uint8_t sid[IPC_SID]); /* for log lines */

#endif
