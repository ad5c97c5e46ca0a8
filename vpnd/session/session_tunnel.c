/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_tunnel.c -- tunnels that workers ask for, report and lose. */
#include "vpnd/session/session_state.h"

#include <stdio.h>

void
tunnel_refuse(struct session_table *t, unsigned w, uint32_t id, enum token_verdict v,
	      const char *reason)
{
	struct ipc_tunnel_grant m = { .id = id, .verdict = (uint8_t)v };

	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	table_send(t, IPC_WORKER, w, IPC_tunnel_grant, &m);
}

static void
event_refused(struct session_table *t, const struct claims *c,
	      const struct ip_addr *source, const char *agent, const char *reason)
{
	struct event e = { .what = EV_TOKEN_REFUSED,
			   .user = c ? c->user : NULL,
			   .sid = c ? c->sid : NULL,
			   .source = *source,
			   .agent = agent,
			   .reason = reason };

	t->out.event(t->out.arg, &e);
}

/* Whether this token may have a session. `s` is the known one, or NULL and then
 * a new one may be made. `why` is the word for the event stream. */
static enum token_verdict
judge(struct session_table *t, const struct claims *c, struct now now,
      struct session **s, const char **why)
{
	*s = session_by_sid(t, c->sid);
	if (revoked_has(t->revoked, c->sid)) {
		*why = "revoked";
		return TOKEN_REFUSED;
	}
	/* A known session goes by its own clock: a wall clock that steps must not
	 * end them all. */
	if (*s != NULL)
		return TOKEN_OK;
	if (now.wall_ms / 1000 >= c->wall_expiry_s) {
		*why = "expired";
		return TOKEN_REFUSED;
	}
	const struct ip_addr *a = c->addr4.family != 0 ? &c->addr4 : &c->addr6;
	uint32_t host = pool_host(t->pool, a);
	struct ip_addr six = pool_addr6(t->pool, host);
	/* Both addresses of a session are one host of the pool. */
	if (host == POOL_NONE || (c->addr4.family != 0 && c->addr6.family != 0 &&
				  !ip_same_host(&six, &c->addr6))) {
		*why = "address_gone";
		return TOKEN_REFUSED;
	}
	if (pool_owner(t->pool, host) != POOL_NONE) {
		*why = "foreign_address";
		return TOKEN_REFUSED;
	}
	*why = "disabled";
	return t->config->enabled ? TOKEN_OK : TOKEN_LATER;
}

static void
grant(struct session_table *t, struct session *s, unsigned w,
      const struct ipc_tunnel_ask *m, bool is_reconnect, struct now now)
{
	const struct claims *c = &s->claims;
	struct ipc_tunnel_grant g = {
		.id = m->id,
		.verdict = TOKEN_OK,
		.slot = s->slot,
		.gen = s->gen,
		.prefix6 = c->len6,
		.session_timeout_s = (uint32_t)(c->wall_expiry_s - c->wall_login_s),
		.session_left_s =
			s->expires_ms > now.mono_ms
				? (uint32_t)((s->expires_ms - now.mono_ms) / 1000)
				: 0,
		.idle_timeout_s = t->config->idle_timeout_s,
		.is_reconnect = is_reconnect,
		.platform = c->platform,
	};

	if (m->wants4)
		g.addr4 = c->addr4;
	if (m->wants6)
		g.addr6 = c->addr6;
	memcpy(g.sid, c->sid, sizeof(g.sid));
	memcpy(g.user, c->user, sizeof(g.user));
	memcpy(g.group, c->group, sizeof(g.group));
	memcpy(g.policy, c->policy, sizeof(g.policy));
	memcpy(g.dtls_id, s->dtls_id, sizeof(g.dtls_id));
	table_send(t, IPC_WORKER, w, IPC_tunnel_grant, &g);
}

/* What the worker said about the connection becomes the session's. Both
 * messages that carry it have the same fields. */
#define NOTE_TUNNEL(s, m)                                                              \
	do {                                                                           \
		memcpy((s)->hostname, (m)->hostname, sizeof((s)->hostname));           \
		memcpy((s)->agent, (m)->agent, sizeof((s)->agent));                    \
		memcpy((s)->tls_cipher, (m)->tls_cipher, sizeof((s)->tls_cipher));     \
		memcpy((s)->dtls_secret, (m)->dtls_secret, sizeof((s)->dtls_secret));  \
		(s)->source = (m)->source;                                             \
		(s)->local = (m)->local;                                               \
		(s)->mtu = (m)->mtu;                                                   \
		(s)->tls_version = (m)->tls_version;                                   \
		(s)->dtls_mode = (m)->dtls_mode;                                       \
		(s)->dtls_cipher = (m)->dtls_cipher;                                   \
	} while (0)

static void
admit(struct session_table *t, struct session *s, unsigned w,
      const struct ipc_tunnel_ask *m, bool is_new, struct now now)
{
	bool is_reconnect = s->has_connected;
	bool is_failover = t->has_peer && is_reconnect && (is_new || s->is_elsewhere);

	/* One session, one connection: the client may know before us that the
	 * old one is dead. */
	session_close_tls(t, s, NULL);
	session_drop_dtls(t, s);
	session_dtls_unlink(t, s);
	NOTE_TUNNEL(s, m);
	session_note_token(t, s, m->token);
	/* A new id at each grant makes the client start DTLS over at once. */
	table_random(s->dtls_id, sizeof(s->dtls_id));
	if (session_has_dtls(s))
		session_dtls_link(t, s);
	s->has_tls = true;
	s->lacks6 = !m->wants6;
	s->tls_worker = w;
	s->conn = m->id;
	session_move(t, s, MOVE_CONNECT, &(struct cause){ .now = now });
	session_remember(t, s);
	/* The route first: the worker may send the client on its way at once. */
	session_steer(t, s);
	grant(t, s, w, m, is_reconnect, now);
	session_event(t, s, is_reconnect ? EV_CLIENT_RECONNECTED : EV_CLIENT_CONNECTED,
		      is_failover ? "failover" : NULL);
}

static void
opened_tunnel(struct session_table *t, unsigned w, const struct ipc_tunnel_ask *m,
	      const struct claims *c, struct now now)
{
	struct session *s = NULL;
	const char *why = "bad_seal";
	enum token_verdict v = c == NULL ? TOKEN_REFUSED : judge(t, c, now, &s, &why);
	bool is_new = v == TOKEN_OK && s == NULL;

	if (is_new) {
		int rc = session_make(t, c, SESSION_NONE, SESSION_AWAY, now, &s);
		if (rc < 0) {
			v = TOKEN_LATER;
			why = "slots";
		} else {
			s->has_connected = true; /* elsewhere, or before we forgot */
			session_since(s, c->wall_login_s, now);
		}
	}
	if (v != TOKEN_OK) {
		event_refused(t, c, &m->source, m->agent, why);
		tunnel_refuse(t, w, m->id, v, why);
		return;
	}
	admit(t, s, w, m, is_new, now);
}

void
session_ask(struct session_table *t, unsigned w, const struct ipc_tunnel_ask *m,
	    struct now now)
{
	const struct session *s = session_by_token(t, m->token);
	struct ask *a = NULL;

	if (s != NULL) {
		opened_tunnel(t, w, m, &s->claims, now);
		return;
	}
	a = ask_new(t, ASK_TUNNEL, w, now);
	if (a == NULL) {
		tunnel_refuse(t, w, m->id, TOKEN_LATER, "busy");
		return;
	}
	a->m.tunnel = *m;
	ask_open(t, a, m->token);
}

void
tunnel_checked(struct session_table *t, unsigned w, uint32_t id, enum token_verdict v)
{
	struct ipc_token_checked m = { .id = id, .verdict = (uint8_t)v };

	table_send(t, IPC_WORKER, w, IPC_token_checked, &m);
}

static void
opened_check(struct session_table *t, const struct ask *a, const struct claims *c,
	     struct now now)
{
	struct session *s = NULL;
	const char *why;
	enum token_verdict v = c == NULL ? TOKEN_REFUSED : judge(t, c, now, &s, &why);

	if (v == TOKEN_OK && a->m.check.is_logout) {
		if (s != NULL)
			session_end(t, s, "client_logout", "Logged out", now);
		else {
			session_revoke(t, c, now);
			revoked_save(t->revoked, now.wall_ms / 1000);
		}
	}
	tunnel_checked(t, a->worker, a->m.check.id, v);
}

void
session_check(struct session_table *t, unsigned w, const struct ipc_token_check *m,
	      struct now now)
{
	struct ask *a = ask_new(t, ASK_CHECK, w, now);

	if (a == NULL) {
		tunnel_checked(t, w, m->id, TOKEN_LATER);
		return;
	}
	a->m.check = *m;
	ask_open(t, a, m->token);
}

/* A session that lives in a worker under another name than ours takes the
 * worker's name, if that is free. */
static struct session *
move_slot(struct session_table *t, struct session *s, uint32_t slot, uint32_t gen)
{
	if (s->slot == slot && s->gen == gen)
		return s;
	if (s->has_tls || s->has_dtls || slot >= t->n_slots)
		return NULL;
	if (s->slot == slot) {
		s->gen = gen;
		return s;
	}
	if (t->session[slot].state != SESSION_FREE)
		return NULL;
	struct session *to = &t->session[slot];
	uint32_t old_slot = s->slot, old_gen = s->gen;
	session_dtls_unlink(t, s);
	session_sid_unlink(t, s);
	pool_return(t->pool, s->host);
	*to = *s;
	*s = (struct session){ .slot = old_slot, .gen = old_gen };
	to->slot = slot;
	to->gen = gen;
	to->base = slot_sum(t, slot);
	pool_take(t->pool, to->host, slot);
	session_sid_link(t, to);
	return to;
}

void
tunnel_report_refused(struct session_table *t, const struct ask *a, bool is_over)
{
	const struct ipc_tunnel_report *m = &a->m.report;
	struct ipc_tunnel_close close = { .slot = m->slot,
					  .gen = m->gen,
					  .say = is_over };
	struct ipc_dtls_drop drop = { .slot = m->slot, .gen = m->gen };

	snprintf(close.reason, sizeof(close.reason), "%s",
		 is_over ? "Session ended" : "");
	memcpy(drop.dtls_id, m->dtls_id, sizeof(drop.dtls_id));
	if (m->has_tls)
		table_send(t, IPC_WORKER, a->worker, IPC_tunnel_close, &close);
	if (m->has_dtls)
		table_send(t, IPC_WORKER, a->worker, IPC_dtls_drop, &drop);
}

static void
adopt(struct session_table *t, struct session *s, unsigned w,
      const struct ipc_tunnel_report *m, struct now now)
{
	/* TLS and DTLS may be reported by two workers, in any order; the one with
	 * TLS knows the secret that is in force. */
	if (m->has_tls || !s->has_tls) {
		session_dtls_unlink(t, s);
		NOTE_TUNNEL(s, m);
		session_note_token(t, s, m->token);
		memcpy(s->dtls_id, m->dtls_id, sizeof(s->dtls_id));
		if (session_has_dtls(s))
			session_dtls_link(t, s);
	}
	if (m->has_tls) {
		s->has_tls = true;
		s->tls_worker = w;
		s->conn = m->conn;
	}
	if (m->has_dtls) {
		s->has_dtls = true;
		s->dtls_worker = w;
	}
	/* The route is where it was: nobody but us forgot anything. */
	s->has_route = true;
	s->route_worker = s->has_dtls ? s->dtls_worker : s->tls_worker;
	s->route_mtu = s->mtu;
	if (s->has_tls && s->state != SESSION_CONNECTED) {
		s->has_connected = true;
		session_move(t, s, MOVE_CONNECT, &(struct cause){ .now = now });
	}
}

static void
opened_report(struct session_table *t, const struct ask *a, const struct claims *c,
	      struct now now)
{
	const struct ipc_tunnel_report *m = &a->m.report;
	struct session *s = NULL;
	const char *why;

	if (c == NULL || judge(t, c, now, &s, &why) != TOKEN_OK) {
		tunnel_report_refused(t, a, true);
		return;
	}
	bool is_new = s == NULL;
	if (is_new) {
		if (m->slot >= t->n_slots ||
		    t->session[m->slot].state != SESSION_FREE ||
		    session_make(t, c, m->slot, SESSION_AWAY, now, &s) < 0) {
			tunnel_report_refused(t, a, false);
			return;
		}
		s->gen = m->gen;
		s->has_connected = true;
		session_since(s, c->wall_login_s, now);
	}
	if ((s = move_slot(t, s, m->slot, m->gen)) == NULL) {
		/* Its name is taken; the client comes back by token. */
		tunnel_report_refused(t, a, false);
		return;
	}
	adopt(t, s, a->worker, m, now);
	if (is_new)
		session_remember(t, s);
}

void
session_report(struct session_table *t, unsigned w, const struct ipc_tunnel_report *m,
	       struct now now)
{
	struct ask *a = ask_new(t, ASK_REPORT, w, now);

	if (a == NULL)
		return;
	a->m.report = *m;
	ask_open(t, a, m->token);
}

void
session_opened(struct session_table *t, const struct ipc_token_opened *m,
	       struct now now)
{
	struct ask *a = ask_take(t, m->id);
	struct claims claims, *c = NULL;

	if (a == NULL)
		return;
	if (!m->is_bad &&
	    claims_decode(span_of(m->claims.p, m->claims.n), &claims) == 0)
		c = &claims;
	switch (a->kind) {
	case ASK_TUNNEL: opened_tunnel(t, a->worker, &a->m.tunnel, c, now); break;
	case ASK_CHECK: opened_check(t, a, c, now); break;
	case ASK_REPORT: opened_report(t, a, c, now); break;
	case ASK_SEAL: break; /* keys answered the wrong question: the tick ends it */
	}
	ask_free(a);
}

/* Does this client mean its goodbye? openconnect does. Cisco's client sends the
 * same when it changes networks, and then comes back with the token. */
static bool
may_come_back(const struct session *s)
{
	return s->agent[0] != '\0' && strstr(s->agent, "OpenConnect") == NULL &&
	       strncmp(s->agent, "Open AnyConnect", 15) != 0;
}

void
session_down(struct session_table *t, unsigned w, const struct ipc_tunnel_down *m,
	     struct now now)
{
	struct session *s = session_named(t, m->slot, m->gen);

	/* An asker that was gone before its grant came may have a successor. */
	if (s == NULL || !s->has_tls || s->tls_worker != w || s->conn != m->conn)
		return;
	s->has_tls = false;
	if (m->why == TUNNEL_LOGOUT && !may_come_back(s)) {
		session_end(t, s, "client_logout", NULL, now);
		return;
	}
	session_drop_dtls(t, s);
	session_move(t, s, m->why == TUNNEL_LOGOUT ? MOVE_LOGOUT : MOVE_LOST,
		     &(struct cause){ .now = now });
}

void
session_mtu(struct session_table *t, unsigned w, const struct ipc_tunnel_mtu *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || m->mtu == 0)
		return;
	s->mtu = m->mtu;
	session_steer(t, s);
}

void
session_worker_new(struct session_table *t, unsigned w, struct now now)
{
	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s == NULL)
			continue;
		if (s->has_dtls && s->dtls_worker == w) {
			s->has_dtls = false;
			session_event(t, s, EV_DTLS_DOWN, "worker_died");
			/* The client would send into the dead channel until its
			 * DPD; without its TLS connection it is back at once. */
			if (s->has_tls && s->tls_worker != w) {
				session_close_tls(t, s, NULL);
				session_move(t, s, MOVE_LOST,
					     &(struct cause){ .now = now });
			}
		}
		if (s->has_tls && s->tls_worker == w) {
			s->has_tls = false;
			session_drop_dtls(t, s);
			session_move(t, s, MOVE_LOST, &(struct cause){ .now = now });
		}
		session_steer(t, s);
	}
}
