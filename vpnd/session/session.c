/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/session_state.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	PENDING_MS = 5 * 60 * 1000, /* a token nobody used */
	LINGER_MS = 15 * 1000,
	ASK_MS = 2000, /* an answer from keys takes 12 us when all is well */
	SWEEP_MS = 60000,
};

const char *const session_state_name[SESSION_STATES] = {
	[SESSION_FREE] = "free",           [SESSION_PENDING] = "pending",
	[SESSION_CONNECTED] = "connected", [SESSION_AWAY] = "away",
	[SESSION_LINGER] = "linger",
};

void
table_random(void *to, size_t n)
{
	if (RAND_bytes(to, (int)n) != 1)
		log_fatal("no random bytes");
}

void
table_send(struct session_table *t, enum ipc_process to, unsigned index,
	   enum ipc_type type, const void *body)
{
	t->out.send(t->out.arg, to, index, type, body);
}

/* ---- events ---- */

static struct event
event_of(const struct session *s, enum event_what what, const char *reason)
{
	return (struct event){ .what = what,
			       .user = s->claims.user,
			       .group = s->claims.group,
			       .agent = s->agent,
			       .source = s->source,
			       .sid = s->claims.sid,
			       .addr4 = s->claims.addr4,
			       .addr6 = s->claims.addr6,
			       .reason = reason };
}

void
session_event(struct session_table *t, const struct session *s, enum event_what what,
	      const char *reason)
{
	struct event e = event_of(s, what, reason);

	t->out.event(t->out.arg, &e);
}

static void
event_end(struct session_table *t, const struct session *s, const char *reason,
	  struct now now)
{
	struct counters sum = session_sum(t, s);
	struct event e = event_of(s, EV_CLIENT_DISCONNECTED, reason);

	e.has_usage = true;
	e.duration_s = (now.mono_ms - s->connected_ms) / 1000;
	e.rx_bytes = sum.rx_bytes;
	e.tx_bytes = sum.tx_bytes;
	t->out.event(t->out.arg, &e);
}

/* ---- counters ---- */

void
session_counters(struct session_table *t, unsigned worker,
		 const volatile struct counters *c, unsigned n)
{
	if (worker < SESSION_WORKERS_MAX)
		t->counters[worker] = (struct worker_counters){ c, c != NULL ? n : 0 };
}

struct counters
slot_sum(const struct session_table *t, uint32_t slot)
{
	struct counters sum = { 0 };

	for (unsigned w = 0; w < SESSION_WORKERS_MAX; w++) {
		if (slot >= t->counters[w].n)
			continue;
		const volatile struct counters *c = &t->counters[w].at[slot];
		sum.rx_bytes += c->rx_bytes;
		sum.tx_bytes += c->tx_bytes;
		sum.rx_pkts += c->rx_pkts;
		sum.tx_pkts += c->tx_pkts;
		sum.dtls_rx_pkts += c->dtls_rx_pkts;
		sum.dtls_tx_pkts += c->dtls_tx_pkts;
		sum.dropped += c->dropped;
		uint64_t active = c->active_ms;
		if (active > sum.active_ms)
			sum.active_ms = active;
	}
	return sum;
}

struct counters
session_sum(const struct session_table *t, const struct session *s)
{
	struct counters sum = slot_sum(t, s->slot);

	sum.rx_bytes -= s->base.rx_bytes;
	sum.tx_bytes -= s->base.tx_bytes;
	sum.rx_pkts -= s->base.rx_pkts;
	sum.tx_pkts -= s->base.tx_pkts;
	sum.dtls_rx_pkts -= s->base.dtls_rx_pkts;
	sum.dtls_tx_pkts -= s->base.dtls_tx_pkts;
	sum.dropped -= s->base.dropped;
	if (sum.active_ms < s->active_ms)
		sum.active_ms = s->active_ms;
	return sum;
}

/* ---- routes and channels ---- */

static void
route_each(struct session_table *t, struct session *s, bool is_set)
{
	const struct ip_addr *addr[] = { &s->claims.addr4, &s->claims.addr6 };

	for (int i = 0; i < 2; i++) {
		if (addr[i]->family == 0)
			continue;
		struct ipc_route_set set = { .dst = *addr[i],
					     .worker = (uint8_t)s->route_worker,
					     .mtu = s->route_mtu };
		struct ipc_route_del del = { .dst = *addr[i] };
		if (is_set)
			table_send(t, IPC_PARENT, 0, IPC_route_set, &set);
		else
			table_send(t, IPC_PARENT, 0, IPC_route_del, &del);
	}
}

/* The downlink belongs to the worker with DTLS, else to the one with TLS. With
 * neither the route stays: packets wait nowhere better. */
void
session_steer(struct session_table *t, struct session *s)
{
	unsigned to = s->has_dtls ? s->dtls_worker : s->tls_worker;

	if (!s->has_dtls && !s->has_tls)
		return;
	if (s->has_route && s->route_worker == to && s->route_mtu == s->mtu)
		return;
	s->has_route = true;
	s->route_worker = to;
	s->route_mtu = s->mtu;
	route_each(t, s, true);
}

void
session_drop_dtls(struct session_table *t, struct session *s)
{
	if (!s->has_dtls)
		return;
	struct ipc_dtls_drop m = { .slot = s->slot, .gen = s->gen };
	memcpy(m.dtls_id, s->dtls_id, sizeof(m.dtls_id));
	s->has_dtls = false;
	table_send(t, IPC_WORKER, s->dtls_worker, IPC_dtls_drop, &m);
}

/* text NULL: just close TCP; else say goodbye with it. */
void
session_close_tls(struct session_table *t, struct session *s, const char *text)
{
	if (!s->has_tls)
		return;
	struct ipc_tunnel_close m = {
		.slot = s->slot, .gen = s->gen, .conn = s->conn, .say = text != NULL
	};
	snprintf(m.reason, sizeof(m.reason), "%s", text != NULL ? text : "");
	s->has_tls = false;
	table_send(t, IPC_WORKER, s->tls_worker, IPC_tunnel_close, &m);
}

/* ---- leases ---- */

struct lease
session_lease(const struct session *s)
{
	struct lease l = { .claims = s->claims,
			   .slot = s->slot,
			   .gen = s->gen,
			   .has_connected = s->has_connected,
			   .wall_connected_s = s->wall_connected_s,
			   .source = s->source };

	memcpy(l.agent, s->agent, sizeof(l.agent));
	memcpy(l.hostname, s->hostname, sizeof(l.hostname));
	return l;
}

int
session_remember(struct session_table *t, const struct session *s)
{
	struct lease l = session_lease(s);
	int rc = lease_put(t->leases, &l);

	if (rc < 0)
		log_limited(LOG_L_ERR, sid_short(s->claims.sid), "leases: %s",
			    err_text(rc));
	return rc;
}

/* ---- slots ---- */

/* A free slot, at best this one. */
struct session *
slot_take(struct session_table *t, uint32_t wanted)
{
	struct session *s = NULL;

	if (wanted < t->n_slots && t->session[wanted].state == SESSION_FREE)
		s = &t->session[wanted];
	for (unsigned i = 0; s == NULL && i < t->n_slots; i++) {
		uint32_t at = (t->next_slot + i) % t->n_slots;
		if (t->session[at].state == SESSION_FREE) {
			s = &t->session[at];
			t->next_slot = (at + 1) % t->n_slots;
		}
	}
	return s;
}

void
session_set_state(struct session_table *t, struct session *s, enum session_state state)
{
	t->count[s->state]--;
	t->count[state]++;
	s->state = state;
}

/* A session from claims, in a state, with its addresses held. Its lease is
 * not on disk yet. E_LIMIT without slot; E_EXIST or E_NOENT for the address. */
int
session_make(struct session_table *t, const struct claims *c, uint32_t wanted_slot,
	     enum session_state state, struct now now, struct session **out)
{
	struct session *s = slot_take(t, wanted_slot);

	if (s == NULL)
		return E_LIMIT;
	uint32_t host =
		pool_host(t->pool, c->addr4.family != 0 ? &c->addr4 : &c->addr6);
	int rc = pool_take(t->pool, host, s->slot);
	if (rc < 0)
		return rc;

	uint64_t wall_s = now.wall_ms / 1000;
	uint64_t left_s = c->wall_expiry_s > wall_s ? c->wall_expiry_s - wall_s : 0;
	*s = (struct session){ .slot = s->slot,
			       .gen = s->gen + 1,
			       .next_sid = SESSION_NONE,
			       .next_dtls = SESSION_NONE,
			       .state_since_ms = now.mono_ms,
			       .active_ms = now.mono_ms,
			       .connected_ms = now.mono_ms,
			       .expires_ms = now.mono_ms + left_s * 1000,
			       .claims = *c,
			       .host = host,
			       .base = slot_sum(t, s->slot) };
	session_set_state(t, s, state);
	session_sid_link(t, s);
	*out = s;
	return 0;
}

/* A session that began before we knew it: its end tells its whole length. */
void
session_since(struct session *s, uint64_t wall_s, struct now now)
{
	uint64_t ago_ms = now.wall_ms > wall_s * 1000 ? now.wall_ms - wall_s * 1000 : 0;

	s->wall_connected_s = wall_s;
	s->connected_ms = now.mono_ms > ago_ms ? now.mono_ms - ago_ms : 0;
}

/* Nothing of it stays but its generation. */
void
session_forget(struct session_table *t, struct session *s)
{
	session_dtls_unlink(t, s);
	session_sid_unlink(t, s);
	pool_return(t->pool, s->host);
	session_set_state(t, s, SESSION_FREE);
	OPENSSL_cleanse(s->token, sizeof(s->token));
}

/* ---- the state machine ---- */

static void
tell_tunnel(struct session_table *t, const struct session *s, bool is_up)
{
	if (t->out.tunnel != NULL)
		t->out.tunnel(t->out.arg, s, is_up);
}

static const char *const move_name[MOVES] = { "connect", "lost", "logout", "due",
					      "end" };

static void
act_up(struct session_table *t, struct session *s, const struct cause *c)
{
	s->active_ms = c->now.mono_ms;
	s->wall_granted_s = c->now.wall_ms / 1000;
	s->is_elsewhere = false;
	tell_tunnel(t, s, true);
	if (s->has_connected)
		return;
	s->has_connected = true;
	s->connected_ms = c->now.mono_ms;
	s->wall_connected_s = c->now.wall_ms / 1000;
}

static void
act_park(struct session_table *t, struct session *s, const struct cause *c)
{
	s->has_tls = false;
	tell_tunnel(t, s, false);
}

void
session_revoke(struct session_table *t, const struct claims *c, struct now now)
{
	if (now.wall_ms / 1000 >= c->wall_expiry_s || revoked_has(t->revoked, c->sid))
		return;
	if (t->out.revoked != NULL)
		t->out.revoked(t->out.arg, c->sid, c->wall_expiry_s);
	int rc = revoked_add(t->revoked, c->sid, c->wall_expiry_s);
	if (rc < 0)
		log_err(sid_short(c->sid), "revoked: %s", err_text(rc));
}

static void
act_end(struct session_table *t, struct session *s, const struct cause *c)
{
	session_close_tls(t, s, c->text);
	session_drop_dtls(t, s);
	if (s->has_route)
		route_each(t, s, false);
	if (s->state == SESSION_CONNECTED)
		tell_tunnel(t, s, false);
	session_revoke(t, &s->claims, c->now);
	/* The journal's record is the revocation until the next tick has written
	 * the set: ending a thousand sessions is then one fsync. */
	int rc = lease_drop(t->leases, s->claims.sid);
	if (rc < 0)
		log_err(sid_short(s->claims.sid), "leases: %s", err_text(rc));
	if (s->has_connected)
		event_end(t, s, c->reason, c->now);
	session_forget(t, s);
}

/* An empty cell is a move we do not make. */
static const struct edge {
	void (*act)(struct session_table *, struct session *, const struct cause *);
	enum session_state next;
} edges[SESSION_STATES][MOVES] = {
	/* clang-format off */
	[SESSION_PENDING][MOVE_CONNECT]   = { act_up,   SESSION_CONNECTED },
	[SESSION_PENDING][MOVE_DUE]       = { act_end,  SESSION_FREE },
	[SESSION_PENDING][MOVE_END]       = { act_end,  SESSION_FREE },
	[SESSION_CONNECTED][MOVE_CONNECT] = { act_up,   SESSION_CONNECTED },
	[SESSION_CONNECTED][MOVE_LOST]    = { act_park, SESSION_AWAY },
	[SESSION_CONNECTED][MOVE_LOGOUT]  = { act_park, SESSION_LINGER },
	[SESSION_CONNECTED][MOVE_END]     = { act_end,  SESSION_FREE },
	[SESSION_AWAY][MOVE_CONNECT]      = { act_up,   SESSION_CONNECTED },
	[SESSION_AWAY][MOVE_DUE]          = { act_end,  SESSION_FREE },
	[SESSION_AWAY][MOVE_END]          = { act_end,  SESSION_FREE },
	[SESSION_LINGER][MOVE_CONNECT]    = { act_up,   SESSION_CONNECTED },
	[SESSION_LINGER][MOVE_DUE]        = { act_end,  SESSION_FREE },
	[SESSION_LINGER][MOVE_END]        = { act_end,  SESSION_FREE },
	/* clang-format on */
};

/* The one place a session changes state. */
void
session_move(struct session_table *t, struct session *s, enum move m,
	     const struct cause *c)
{
	const struct edge *e = &edges[s->state][m];
	enum session_state was = s->state;
	uint32_t sid = sid_short(s->claims.sid);

	if (e->act == NULL) {
		log_debug(sid, "session: %s ignored in %s", move_name[m],
			  session_state_name[was]);
		return;
	}
	e->act(t, s, c);
	if (e->next != SESSION_FREE) /* session_forget has done that */
		session_set_state(t, s, e->next);
	s->state_since_ms = c->now.mono_ms;
	log_debug(sid, "session: %s: %s -> %s", move_name[m], session_state_name[was],
		  session_state_name[e->next]);
}

void
session_end(struct session_table *t, struct session *s, const char *reason,
	    const char *text, struct now now)
{
	session_move(t, s, MOVE_END,
		     &(struct cause){ .now = now, .reason = reason, .text = text });
}

unsigned
session_end_user(struct session_table *t, const char *user, const char *reason,
		 const char *text, struct now now)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s == NULL || strcmp(s->claims.user, user) != 0)
			continue;
		session_event(t, s, EV_SESSION_REVOKED, reason);
		session_end(t, s, reason, text, now);
		n++;
	}
	return n;
}

/* ---- questions to keys ---- */

struct ask *
ask_new(struct session_table *t, enum ask_kind kind, unsigned worker, struct now now)
{
	uint32_t id = ++t->next_ask;

	if (id == 0)
		id = ++t->next_ask;
	if (t->ask[id % ASKS] != NULL)
		return NULL;
	struct ask *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	*a = (struct ask){
		.id = id, .kind = kind, .worker = worker, .since_ms = now.mono_ms
	};
	t->ask[id % ASKS] = a;
	return a;
}

/* The question of this id, out of the list: the caller frees it. */
struct ask *
ask_take(struct session_table *t, uint32_t id)
{
	struct ask *a = t->ask[id % ASKS];

	if (a == NULL || a->id != id)
		return NULL;
	t->ask[id % ASKS] = NULL;
	return a;
}

void
ask_free(struct ask *a)
{
	explicit_bzero(a, sizeof(*a));
	free(a);
}

void
ask_open(struct session_table *t, const struct ask *a, const char *token)
{
	struct ipc_token_open m = { .id = a->id };

	memcpy(m.token, token, sizeof(m.token));
	table_send(t, IPC_KEYS, 0, IPC_token_open, &m);
}

/* ---- time ---- */

static uint64_t
state_limit_ms(const struct session_table *t, enum session_state state)
{
	switch (state) {
	case SESSION_PENDING: return PENDING_MS;
	case SESSION_AWAY: return (uint64_t)t->config->disconnected_s * 1000;
	case SESSION_LINGER: return LINGER_MS;
	default: return UINT64_MAX;
	}
}

static void
tick_session(struct session_table *t, struct session *s, struct now now)
{
	uint64_t idle_ms = (uint64_t)t->config->idle_timeout_s * 1000;

	if (now.mono_ms >= s->expires_ms) {
		session_end(t, s, "session_timeout", "Session timeout", now);
		return;
	}
	/* Its address and its token are in use there. */
	if (s->is_elsewhere && s->state != SESSION_CONNECTED)
		return;
	if (now.mono_ms - s->state_since_ms >= state_limit_ms(t, s->state)) {
		struct cause c = { .now = now,
				   .reason = s->state == SESSION_LINGER
						     ? "client_logout"
						     : "dead_peer" };
		session_move(t, s, MOVE_DUE, &c);
		return;
	}
	if (idle_ms > 0 && s->state == SESSION_CONNECTED) {
		uint64_t active = session_sum(t, s).active_ms;
		if (active < now.mono_ms && now.mono_ms - active >= idle_ms)
			session_end(t, s, "idle_timeout", "Idle timeout", now);
	}
}

static void
ask_expire(struct session_table *t, struct ask *a, struct now now)
{
	struct session *s;

	switch (a->kind) {
	case ASK_SEAL:
		login_issue(t, a->worker, a->m.login.id, TOKEN_REFUSED,
			    "The gateway is busy. Try again.", "", NULL);
		if ((s = session_named(t, a->slot, a->gen)) != NULL)
			session_end(t, s, "admin", NULL, now);
		break;
	case ASK_TUNNEL:
		tunnel_refuse(t, a->worker, a->m.tunnel.id, TOKEN_LATER, "busy");
		break;
	case ASK_CHECK: tunnel_checked(t, a->worker, a->m.check.id, TOKEN_LATER); break;
	case ASK_REPORT: tunnel_report_refused(t, a, false); break;
	}
	ask_free(a);
}

void
session_tick(struct session_table *t, struct now now)
{
	for (uint32_t i = 0; i < ASKS; i++)
		if (t->ask[i] != NULL && now.mono_ms - t->ask[i]->since_ms > ASK_MS)
			ask_expire(t, ask_take(t, t->ask[i]->id), now);
	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s != NULL)
			tick_session(t, s, now);
	}
	if (now.mono_ms - t->swept_ms >= SWEEP_MS) {
		t->swept_ms = now.mono_ms;
		borrowed_sweep(&t->borrowed, t->pool, t->revoked, now.wall_ms / 1000);
	}
	int rc = revoked_save(t->revoked, now.wall_ms / 1000);
	if (rc < 0)
		log_limited(LOG_L_ERR, 0, "revoked: %s", err_text(rc));
	else
		leases_compact(t); /* forgets what ended: the set must be on disk */
}

void
session_config(struct session_table *t, const struct config *c, struct now now)
{
	t->config = c;
	if (c->enabled)
		return;
	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s != NULL)
			session_end(t, s, "shutdown", "Service disabled", now);
	}
}

/* ---- reading ---- */

unsigned
session_table_slots(const struct session_table *t)
{
	return t->n_slots;
}

struct session *
session_at(struct session_table *t, uint32_t slot)
{
	return slot < t->n_slots && t->session[slot].state != SESSION_FREE
		       ? &t->session[slot]
		       : NULL;
}

unsigned
session_count(const struct session_table *t, enum session_state state)
{
	return t->count[state];
}

const struct pool *
session_pool(const struct session_table *t)
{
	return t->pool;
}

const struct revoked *
session_revoked(const struct session_table *t)
{
	return t->revoked;
}

struct lease_file *
session_leases(struct session_table *t)
{
	return t->leases;
}
