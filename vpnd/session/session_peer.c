/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_peer.c -- what the other node of a pair says. */
#include "vpnd/session/session_state.h"

#include "common/err.h"
#include "common/log.h"

enum { CLOCKS_S = 30 }; /* by which the clocks of two nodes may differ */

void
session_peer(struct session_table *t, bool is_away, uint32_t mark, struct now now)
{
	if (is_away && !(t->has_peer && t->is_peer_away)) {
		t->peer_away_ms = now.mono_ms;
		/* From now on nobody but us can say when such a session is over. */
		for (uint32_t i = 0; i < t->n_slots; i++) {
			struct session *s = session_at(t, i);
			if (s == NULL || !s->is_elsewhere)
				continue;
			s->is_elsewhere = false;
			s->has_connected = true;
			s->state_since_ms = now.mono_ms;
			if (s->state == SESSION_PENDING || s->state == SESSION_LINGER)
				session_set_state(t, s, SESSION_AWAY);
		}
	}
	t->has_peer = true;
	t->is_peer_away = is_away;
	t->peer_mark = mark;
}

void
session_revoked_there(struct session_table *t, const uint8_t sid[IPC_SID],
		      uint64_t wall_expiry_s, struct now now)
{
	struct session *s = session_by_sid(t, sid);

	/* It came with the set: it is not news to the other node. */
	if (now.wall_ms / 1000 < wall_expiry_s && !revoked_has(t->revoked, sid) &&
	    revoked_add(t->revoked, sid, wall_expiry_s) < 0)
		log_err(sid_short(sid), "revoked: no memory");
	if (s != NULL)
		session_end(t, s, "ended_elsewhere", "Session ended", now);
}

void
session_borrowed_there(struct session_table *t, const struct ip_addr *addr4,
		       const uint8_t sid[IPC_SID], uint64_t wall_expiry_s,
		       struct now now)
{
	uint32_t host = pool_host(t->pool, addr4);
	uint32_t owner = pool_owner(t->pool, host);
	const struct session *s = owner == POOL_NONE ? NULL : session_at(t, owner);

	if (s != NULL && memcmp(s->claims.sid, sid, IPC_SID) != 0 &&
	    pool_is_ours(t->pool, host) && !revoked_has(t->revoked, sid))
		log_warn(sid_short(sid), "an address was leased on both nodes: the "
					 "session of the other one will have to log "
					 "in again");
	int rc = borrowed_add(&t->borrowed, t->pool, t->revoked, host, sid,
			      wall_expiry_s, now.wall_ms / 1000);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "borrowed addresses: %s", err_text(rc));
}

void
session_there(struct session_table *t, const uint8_t sid[IPC_SID], bool is_up,
	      uint64_t wall_since_s, bool is_active, struct now now)
{
	struct session *s = session_by_sid(t, sid);

	if (s == NULL)
		return;
	if (!is_up) {
		if (s->is_elsewhere)
			s->state_since_ms = now.mono_ms;
		s->is_elsewhere = false;
		return;
	}
	if (s->state != SESSION_CONNECTED) {
		s->is_elsewhere = s->has_connected = true;
		if (s->state != SESSION_AWAY)
			session_set_state(t, s, SESSION_AWAY);
		return;
	}
	if (is_active ? wall_since_s <= s->wall_granted_s
		      : wall_since_s + CLOCKS_S < s->wall_granted_s)
		return;
	/* The client is there. A goodbye would end it for good. */
	session_close_tls(t, s, NULL);
	session_drop_dtls(t, s);
	session_move(t, s, MOVE_LOST, &(struct cause){ .now = now });
	s->is_elsewhere = true;
}
