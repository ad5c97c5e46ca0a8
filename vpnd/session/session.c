/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/session.h"

#include "common/err.h"
#include "common/log.h"
#include "vpnd/session/borrowed.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	PENDING_MS = 5 * 60 * 1000, /* a token nobody used */
	PLACE_MS = 60 * 1000,       /* a login holds its place so long */
	LINGER_MS = 15 * 1000,
	CLOCKS_S = 30, /* by which the clocks of two nodes may differ */
	ASK_MS = 2000, /* an answer from keys takes 12 us when all is well */
	ASKS = 8192,   /* open questions to keys; power of two */
	SWEEP_MS = 60000,
	MARK_SLACK = 64, /* hosts the peer may have leased since it last told us */
};

const char *const session_state_name[SESSION_STATES] = {
	[SESSION_FREE] = "free",           [SESSION_PENDING] = "pending",
	[SESSION_CONNECTED] = "connected", [SESSION_AWAY] = "away",
	[SESSION_LINGER] = "linger",
};

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

uint32_t
sid_short(const uint8_t sid[IPC_SID])
{
	return (uint32_t)sid[0] << 24 | (uint32_t)sid[1] << 16 | (uint32_t)sid[2] << 8 |
	       sid[3];
}

static void
random_bytes(void *to, size_t n)
{
	if (RAND_bytes(to, (int)n) != 1)
		log_fatal("no random bytes");
}

/* Both ids are random and ours, so their first bits are a fine hash. */
static uint32_t
bucket_of(const struct session_table *t, const uint8_t *id)
{
	return sid_short(id) & (t->n_buckets - 1);
}

static void
sid_link(struct session_table *t, struct session *s)
{
	uint32_t *head = &t->by_sid[bucket_of(t, s->claims.sid)];

	s->next_sid = *head;
	*head = s->slot;
}

static void
sid_unlink(struct session_table *t, struct session *s)
{
	uint32_t *at = &t->by_sid[bucket_of(t, s->claims.sid)];

	while (*at != s->slot)
		at = &t->session[*at].next_sid;
	*at = s->next_sid;
}

static bool
has_dtls_id(const struct session *s)
{
	return s->dtls_mode != DTLS_NONE;
}

static void
dtls_link(struct session_table *t, struct session *s)
{
	uint32_t *head = &t->by_dtls[bucket_of(t, s->dtls_id)];

	s->next_dtls = *head;
	*head = s->slot;
}

static void
dtls_unlink(struct session_table *t, struct session *s)
{
	if (!has_dtls_id(s))
		return;
	uint32_t *at = &t->by_dtls[bucket_of(t, s->dtls_id)];
	while (*at != s->slot)
		at = &t->session[*at].next_dtls;
	*at = s->next_dtls;
	s->dtls_mode = DTLS_NONE;
	OPENSSL_cleanse(s->dtls_secret, sizeof(s->dtls_secret));
}

struct session *
session_by_sid(struct session_table *t, const uint8_t sid[IPC_SID])
{
	uint32_t at = t->by_sid[bucket_of(t, sid)];

	while (at != SESSION_NONE &&
	       memcmp(t->session[at].claims.sid, sid, IPC_SID) != 0)
		at = t->session[at].next_sid;
	return at == SESSION_NONE ? NULL : &t->session[at];
}

static struct session *
session_by_dtls(struct session_table *t, const uint8_t id[IPC_DTLS_ID])
{
	uint32_t at = t->by_dtls[bucket_of(t, id)];

	while (at != SESSION_NONE &&
	       memcmp(t->session[at].dtls_id, id, IPC_DTLS_ID) != 0)
		at = t->session[at].next_dtls;
	return at == SESSION_NONE ? NULL : &t->session[at];
}

/* The end of a token is its authentication tag: ours are as good as random. */
static uint32_t *
token_bucket(const struct session_table *t, const char *token)
{
	size_t n = strlen(token);
	uint32_t h = 0;

	for (size_t i = n > 8 ? n - 8 : 0; i < n; i++)
		h = h * 67 + (uint8_t)token[i];
	return &t->by_token[h & (t->n_buckets - 1)];
}

static void
token_note(struct session_table *t, struct session *s, const char *token)
{
	snprintf(s->token, sizeof(s->token), "%s", token);
	*token_bucket(t, token) = s->slot;
}

/* The session whose token, byte for byte, this is: what keys would say of it is
 * known. NULL says nothing; then keys is asked. */
static struct session *
session_by_token(struct session_table *t, const char *token)
{
	struct session *s = session_at(t, *token_bucket(t, token));
	size_t n = strlen(token);

	return s != NULL && n > 0 && strlen(s->token) == n &&
			       CRYPTO_memcmp(s->token, token, n) == 0
		       ? s
		       : NULL;
}

static struct session *
session_named(struct session_table *t, uint32_t slot, uint32_t gen)
{
	struct session *s = session_at(t, slot);

	return s != NULL && s->gen == gen ? s : NULL;
}

static void
send_to(struct session_table *t, enum ipc_process to, unsigned index,
	enum ipc_type type, const void *body)
{
	t->out.send(t->out.arg, to, index, type, body);
}

/* ---- events ---- */

static void
event_of(struct session_table *t, const struct session *s, enum event_what what,
	 const char *reason)
{
	struct event e = { .what = what,
			   .user = s->claims.user,
			   .group = s->claims.group,
			   .agent = s->agent,
			   .source = s->source,
			   .sid = s->claims.sid,
			   .addr4 = s->claims.addr4,
			   .addr6 = s->claims.addr6,
			   .reason = reason };

	t->out.event(t->out.arg, &e);
}

static void
event_end(struct session_table *t, const struct session *s, const char *reason,
	  struct now now)
{
	struct counters sum = session_sum(t, s);
	struct event e = { .what = EV_CLIENT_DISCONNECTED,
			   .user = s->claims.user,
			   .group = s->claims.group,
			   .agent = s->agent,
			   .source = s->source,
			   .sid = s->claims.sid,
			   .addr4 = s->claims.addr4,
			   .addr6 = s->claims.addr6,
			   .reason = reason,
			   .has_usage = true,
			   .duration_s = (now.mono_ms - s->connected_ms) / 1000,
			   .rx_bytes = sum.rx_bytes,
			   .tx_bytes = sum.tx_bytes };

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

static struct counters
sum_slot(const struct session_table *t, uint32_t slot)
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
	struct counters sum = sum_slot(t, s->slot);

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
			send_to(t, IPC_PARENT, 0, IPC_route_set, &set);
		else
			send_to(t, IPC_PARENT, 0, IPC_route_del, &del);
	}
}

/* The downlink belongs to the worker with DTLS, else to the one with TLS. With
 * neither the route stays: packets wait nowhere better. */
static void
steer(struct session_table *t, struct session *s)
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

static void
drop_dtls(struct session_table *t, struct session *s)
{
	if (!s->has_dtls)
		return;
	struct ipc_dtls_drop m = { .slot = s->slot, .gen = s->gen };
	memcpy(m.dtls_id, s->dtls_id, sizeof(m.dtls_id));
	s->has_dtls = false;
	send_to(t, IPC_WORKER, s->dtls_worker, IPC_dtls_drop, &m);
}

/* text NULL: just close TCP; else say goodbye with it. */
static void
close_tls(struct session_table *t, struct session *s, const char *text)
{
	if (!s->has_tls)
		return;
	struct ipc_tunnel_close m = {
		.slot = s->slot, .gen = s->gen, .conn = s->conn, .say = text != NULL
	};
	snprintf(m.reason, sizeof(m.reason), "%s", text != NULL ? text : "");
	s->has_tls = false;
	send_to(t, IPC_WORKER, s->tls_worker, IPC_tunnel_close, &m);
}

/* ---- leases ---- */

static struct lease
lease_of(const struct session *s)
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

static int
remember(struct session_table *t, const struct session *s)
{
	struct lease l = lease_of(s);
	int rc = lease_put(t->leases, &l);

	if (rc < 0)
		log_limited(LOG_L_ERR, sid_short(s->claims.sid), "leases: %s",
			    err_text(rc));
	return rc;
}

/* ---- slots ---- */

/* A free slot, at best this one. */
static struct session *
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

static void
set_state(struct session_table *t, struct session *s, enum session_state state)
{
	t->count[s->state]--;
	t->count[state]++;
	s->state = state;
}

/* A session from claims, in a state, with its addresses held. Its lease is
 * not on disk yet. E_LIMIT without slot; E_EXIST or E_NOENT for the address. */
static int
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
			       .base = sum_slot(t, s->slot) };
	set_state(t, s, state);
	sid_link(t, s);
	*out = s;
	return 0;
}

/* A session that began before we knew it: its end tells its whole length. */
static void
connected_since(struct session *s, uint64_t wall_s, struct now now)
{
	uint64_t ago_ms = now.wall_ms > wall_s * 1000 ? now.wall_ms - wall_s * 1000 : 0;

	s->wall_connected_s = wall_s;
	s->connected_ms = now.mono_ms > ago_ms ? now.mono_ms - ago_ms : 0;
}

/* Nothing of it stays but its generation. */
static void
session_forget(struct session_table *t, struct session *s)
{
	dtls_unlink(t, s);
	sid_unlink(t, s);
	pool_return(t->pool, s->host);
	set_state(t, s, SESSION_FREE);
	OPENSSL_cleanse(s->token, sizeof(s->token));
}

/* ---- the state machine ---- */

enum move {
	MOVE_CONNECT, /* a tunnel was granted */
	MOVE_LOST,    /* its TLS connection is gone */
	MOVE_LOGOUT,  /* the client said goodbye and may mean it */
	MOVE_DUE,     /* the state's own deadline passed */
	MOVE_END,     /* for any other reason */
	MOVES
};

static const char *const move_name[MOVES] = { "connect", "lost", "logout", "due",
					      "end" };

/* What a move is about. */
struct cause {
	struct now now;
	const char *reason, *text; /* why it ends; what the client is told */
};

static void
tell_tunnel(struct session_table *t, const struct session *s, bool is_up)
{
	if (t->out.tunnel != NULL)
		t->out.tunnel(t->out.arg, s, is_up);
}

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

static void
revoke(struct session_table *t, const struct claims *c, struct now now)
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
	close_tls(t, s, c->text);
	drop_dtls(t, s);
	if (s->has_route)
		route_each(t, s, false);
	if (s->state == SESSION_CONNECTED)
		tell_tunnel(t, s, false);
	revoke(t, &s->claims, c->now);
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
static void
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
		set_state(t, s, e->next);
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
		event_of(t, s, EV_SESSION_REVOKED, reason);
		session_end(t, s, reason, text, now);
		n++;
	}
	return n;
}

/* ---- questions to keys ---- */

static struct ask *
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
static struct ask *
ask_take(struct session_table *t, uint32_t id)
{
	struct ask *a = t->ask[id % ASKS];

	if (a == NULL || a->id != id)
		return NULL;
	t->ask[id % ASKS] = NULL;
	return a;
}

static void
ask_free(struct ask *a)
{
	explicit_bzero(a, sizeof(*a));
	free(a);
}

static void
ask_open(struct session_table *t, const struct ask *a, const char *token)
{
	struct ipc_token_open m = { .id = a->id };

	memcpy(m.token, token, sizeof(m.token));
	send_to(t, IPC_KEYS, 0, IPC_token_open, &m);
}

/* ---- login ---- */

static void
issue(struct session_table *t, unsigned worker, uint32_t id, enum token_verdict verdict,
      const char *reason, const char *token, const uint8_t *sid)
{
	struct ipc_token_issued m = { .id = id, .verdict = (uint8_t)verdict };

	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	snprintf(m.token, sizeof(m.token), "%s", token);
	if (sid != NULL)
		memcpy(m.sid, sid, sizeof(m.sid));
	send_to(t, IPC_WORKER, worker, IPC_token_issued, &m);
	OPENSSL_cleanse(&m, sizeof(m));
}

static bool
has_place(const struct session *s, struct now now)
{
	return s->state == SESSION_CONNECTED ||
	       (s->state == SESSION_PENDING &&
		now.mono_ms - s->state_since_ms < PLACE_MS);
}

static unsigned
places(const struct session_table *t, const char *user, struct now now)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < t->n_slots; i++) {
		const struct session *s = &t->session[i];
		n += has_place(s, now) &&
		     (user == NULL || strcmp(s->claims.user, user) == 0);
	}
	return n;
}

unsigned
session_places(const struct session_table *t, struct now now)
{
	return places(t, NULL, now);
}

/* By the name that the client gives its device; openconnect gives none, there the
 * outer address has to do. */
static bool
is_same_device(const struct session *s, const struct ipc_login_proven *m)
{
	if (s->claims.platform != m->platform)
		return false;
	if (m->device[0] != '\0' || s->claims.device[0] != '\0')
		return strcmp(s->claims.device, m->device) == 0;
	return m->source.family != 0 && ip_same_host(&s->source, &m->source);
}

/* The user's oldest session that holds a place, perhaps only of the same device. */
static struct session *
oldest_of(struct session_table *t, const struct ipc_login_proven *m, bool same_device,
	  struct now now)
{
	struct session *oldest = NULL;

	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = &t->session[i];
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): an array */
		if (!has_place(s, now) || strcmp(s->claims.user, m->user) != 0)
			continue;
		if (same_device && !is_same_device(s, m))
			continue;
		if (oldest == NULL || s->connected_ms < oldest->connected_ms)
			oldest = s;
	}
	return oldest;
}

static void
displace(struct session_table *t, struct session *s, struct now now)
{
	char text[100];

	snprintf(
		text, sizeof(text),
		"Your account connected from another device; the limit is %u session%s",
		t->config->user_sessions, t->config->user_sessions == 1 ? "" : "s");
	session_end(t, s, "displaced_limit", text, now);
}

/* Makes room for one more session of this user, if the policy gives it. Who has
 * proven the password may displace what is there: it is the same person. */
static bool
user_makes_room(struct session_table *t, const struct ipc_login_proven *m,
		struct now now)
{
	const struct config *c = t->config;
	bool by_device = c->user_sessions_policy == DISPLACE_DEVICE;
	unsigned n = c->user_sessions > 0 ? places(t, m->user, now) : 0;

	if (c->user_sessions == 0 || n < c->user_sessions)
		return true;
	if (c->user_sessions_policy == DISPLACE_NONE)
		return false;
	/* A lowered limit is not brought about by a login of one device. */
	for (; n >= c->user_sessions; n--) {
		struct session *s = oldest_of(t, m, by_device, now);
		if (s == NULL)
			return false;
		displace(t, s, now);
		if (by_device)
			return true;
	}
	return true;
}

/* Why this login cannot become a session, or NULL. May end sessions of the same
 * user. */
static const char *
limit_reached(struct session_table *t, const struct ipc_login_proven *m, struct now now)
{
	const struct config *c = t->config;

	if (!c->enabled)
		return "This service is disabled.";
	/* First: what this frees is a place of the gateway, too. */
	if (!user_makes_room(t, m, now))
		return "You have too many sessions. Disconnect one and try again.";
	/* Old PENDING ones do not count, but looking at each session is only
	 * needed when the cheap count says the gateway is full. */
	if (t->count[SESSION_CONNECTED] + t->count[SESSION_PENDING] >=
		    c->session_limit &&
	    places(t, NULL, now) >= c->session_limit)
		return "The session limit of this gateway is reached. Try again later.";
	return NULL;
}

static struct claims
claims_for(struct session_table *t, const struct ipc_login_proven *m, uint32_t host,
	   struct now now)
{
	struct claims c = { .addr4 = pool_addr4(t->pool, host),
			    .addr6 = pool_addr6(t->pool, host),
			    .len4 = 32,
			    .len6 = 128,
			    .wall_login_s = now.wall_ms / 1000,
			    .method = m->method,
			    .platform = m->platform };

	random_bytes(c.sid, sizeof(c.sid));
	c.wall_expiry_s = c.wall_login_s + t->config->session_timeout_s;
	memcpy(c.user, m->user, sizeof(c.user));
	memcpy(c.group, m->group, sizeof(c.group));
	memcpy(c.policy, m->policy, sizeof(c.policy));
	memcpy(c.device, m->device, sizeof(c.device));
	return c;
}

/* From the other half only what no token can name that still opens: never leased,
 * or leased longer ago than a session lasts. */
static uint32_t
borrow_from(const struct session_table *t, struct now now)
{
	uint64_t longest_ms = (uint64_t)t->config->session_timeout_s * 1000;

	if (now.mono_ms - t->peer_away_ms > longest_ms)
		return 0;
	unsigned quarter = pool_size(t->pool) / 4;
	return t->peer_mark == POOL_NONE
		       ? POOL_NONE
		       : t->peer_mark + (quarter < MARK_SLACK ? quarter : MARK_SLACK);
}

static bool
may_borrow(const struct session_table *t, struct now now)
{
	return t->has_peer && t->is_peer_away && borrow_from(t, now) != POOL_NONE;
}

/* The host is leased to nobody in particular first: its number makes the claims,
 * and they make the session. */
static int
session_of_login(struct session_table *t, const struct ipc_login_proven *m,
		 struct now now, struct session **out)
{
	uint32_t host;
	struct session *slot = slot_take(t, SESSION_NONE);

	if (slot == NULL)
		return E_LIMIT;
	int rc = pool_lease(t->pool, slot->slot, &host);
	bool is_borrowed = rc == E_LIMIT && may_borrow(t, now);
	if (is_borrowed)
		rc = pool_borrow(t->pool, borrow_from(t, now), slot->slot, &host);
	if (rc < 0)
		return E_NOENT;
	struct claims c = claims_for(t, m, host, now);
	rc = session_make(t, &c, slot->slot, SESSION_PENDING, now, out);
	assert(rc == 0);
	(*out)->source = m->source;
	memcpy((*out)->agent, m->agent, sizeof((*out)->agent));
	(*out)->is_borrowed = is_borrowed;
	if (is_borrowed && t->out.borrowed != NULL)
		t->out.borrowed(t->out.arg, *out);
	return 0;
}

static void
refuse_login(struct session_table *t, const struct ipc_login_proven *m,
	     enum event_what what, const char *reason, const char *text)
{
	struct event e = { .what = what,
			   .attempt = m->attempt,
			   .user = m->user,
			   .group = m->group,
			   .agent = m->agent,
			   .source = m->source,
			   .reason = reason,
			   .text = text };

	t->out.event(t->out.arg, &e);
	issue(t, m->worker, m->id, TOKEN_REFUSED, text, "", NULL);
}

void
session_login(struct session_table *t, const struct ipc_login_proven *m, struct now now)
{
	static const char busy[] = "The gateway is busy. Try again.";
	const char *why = limit_reached(t, m, now);
	struct session *s;
	struct ipc_token_seal seal;
	size_t n;

	if (why != NULL) {
		refuse_login(t, m, EV_SESSION_LIMIT,
			     t->config->enabled ? "limit" : "disabled", why);
		return;
	}
	int rc = session_of_login(t, m, now, &s);
	if (rc < 0) {
		refuse_login(t, m, rc == E_LIMIT ? EV_SESSION_LIMIT : EV_POOL_EXHAUSTED,
			     rc == E_LIMIT ? "slots" : "pool",
			     rc == E_LIMIT ? "The session limit of this gateway is "
					     "reached. Try again later."
					   : "No address is free in the client pool.");
		return;
	}
	struct ask *a = ask_new(t, ASK_SEAL, m->worker, now);
	if (a == NULL || remember(t, s) < 0) {
		if (a != NULL)
			ask_free(ask_take(t, a->id));
		session_forget(t, s);
		issue(t, m->worker, m->id, TOKEN_REFUSED, busy, "", NULL);
		return;
	}
	a->slot = s->slot;
	a->gen = s->gen;
	a->m.login = *m;
	seal.id = a->id;
	rc = claims_encode(&s->claims, seal.claims.p, sizeof(seal.claims.p), &n);
	assert(rc == 0);
	seal.claims.n = (uint32_t)n;
	send_to(t, IPC_KEYS, 0, IPC_token_seal, &seal);
}

void
session_sealed(struct session_table *t, const struct ipc_token_sealed *m,
	       struct now now)
{
	struct ask *a = ask_take(t, m->id);

	if (a == NULL)
		return;
	struct session *s = session_named(t, a->slot, a->gen);
	if (a->kind == ASK_SEAL && s != NULL && !m->is_bad) {
		token_note(t, s, m->token);
		issue(t, a->worker, a->m.login.id, TOKEN_OK, "", m->token,
		      s->claims.sid);
	} else if (a->kind == ASK_SEAL) {
		issue(t, a->worker, a->m.login.id, TOKEN_REFUSED,
		      "The gateway is busy. Try again.", "", NULL);
		if (s != NULL)
			session_end(t, s, "admin", NULL, now);
	}
	ask_free(a);
}

/* ---- tunnels ---- */

static void
grant_refuse(struct session_table *t, unsigned w, uint32_t id, enum token_verdict v,
	     const char *reason)
{
	struct ipc_tunnel_grant m = { .id = id, .verdict = (uint8_t)v };

	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	send_to(t, IPC_WORKER, w, IPC_tunnel_grant, &m);
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
	send_to(t, IPC_WORKER, w, IPC_tunnel_grant, &g);
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
	close_tls(t, s, NULL);
	drop_dtls(t, s);
	dtls_unlink(t, s);
	NOTE_TUNNEL(s, m);
	token_note(t, s, m->token);
	/* A new id at each grant makes the client start DTLS over at once. */
	random_bytes(s->dtls_id, sizeof(s->dtls_id));
	if (has_dtls_id(s))
		dtls_link(t, s);
	s->has_tls = true;
	s->tls_worker = w;
	s->conn = m->id;
	session_move(t, s, MOVE_CONNECT, &(struct cause){ .now = now });
	remember(t, s);
	/* The route first: the worker may send the client on its way at once. */
	steer(t, s);
	grant(t, s, w, m, is_reconnect, now);
	event_of(t, s, is_reconnect ? EV_CLIENT_RECONNECTED : EV_CLIENT_CONNECTED,
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
			connected_since(s, c->wall_login_s, now);
		}
	}
	if (v != TOKEN_OK) {
		event_refused(t, c, &m->source, m->agent, why);
		grant_refuse(t, w, m->id, v, why);
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
		grant_refuse(t, w, m->id, TOKEN_LATER, "busy");
		return;
	}
	a->m.tunnel = *m;
	ask_open(t, a, m->token);
}

static void
checked(struct session_table *t, unsigned w, uint32_t id, enum token_verdict v)
{
	struct ipc_token_checked m = { .id = id, .verdict = (uint8_t)v };

	send_to(t, IPC_WORKER, w, IPC_token_checked, &m);
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
			revoke(t, c, now);
			revoked_save(t->revoked, now.wall_ms / 1000);
		}
	}
	checked(t, a->worker, a->m.check.id, v);
}

void
session_check(struct session_table *t, unsigned w, const struct ipc_token_check *m,
	      struct now now)
{
	struct ask *a = ask_new(t, ASK_CHECK, w, now);

	if (a == NULL) {
		checked(t, w, m->id, TOKEN_LATER);
		return;
	}
	a->m.check = *m;
	ask_open(t, a, m->token);
}

/* ---- after our own restart ---- */

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
	dtls_unlink(t, s);
	sid_unlink(t, s);
	pool_return(t->pool, s->host);
	*to = *s;
	*s = (struct session){ .slot = old_slot, .gen = old_gen };
	to->slot = slot;
	to->gen = gen;
	to->base = sum_slot(t, slot);
	pool_take(t->pool, to->host, slot);
	sid_link(t, to);
	return to;
}

static void
report_refused(struct session_table *t, const struct ask *a, bool is_over)
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
		send_to(t, IPC_WORKER, a->worker, IPC_tunnel_close, &close);
	if (m->has_dtls)
		send_to(t, IPC_WORKER, a->worker, IPC_dtls_drop, &drop);
}

static void
adopt(struct session_table *t, struct session *s, unsigned w,
      const struct ipc_tunnel_report *m, struct now now)
{
	/* TLS and DTLS may be reported by two workers, in any order; the one with
	 * TLS knows the secret that is in force. */
	if (m->has_tls || !s->has_tls) {
		dtls_unlink(t, s);
		NOTE_TUNNEL(s, m);
		token_note(t, s, m->token);
		memcpy(s->dtls_id, m->dtls_id, sizeof(s->dtls_id));
		if (has_dtls_id(s))
			dtls_link(t, s);
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
		report_refused(t, a, true);
		return;
	}
	bool is_new = s == NULL;
	if (is_new) {
		if (m->slot >= t->n_slots ||
		    t->session[m->slot].state != SESSION_FREE ||
		    session_make(t, c, m->slot, SESSION_AWAY, now, &s) < 0) {
			report_refused(t, a, false);
			return;
		}
		s->gen = m->gen;
		s->has_connected = true;
		connected_since(s, c->wall_login_s, now);
	}
	if ((s = move_slot(t, s, m->slot, m->gen)) == NULL) {
		/* Its name is taken; the client comes back by token. */
		report_refused(t, a, false);
		return;
	}
	adopt(t, s, a->worker, m, now);
	if (is_new)
		remember(t, s);
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

/* ---- a channel's news ---- */

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
	drop_dtls(t, s);
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
	steer(t, s);
}

void
session_dtls_ask(struct session_table *t, unsigned w, const struct ipc_dtls_ask *m)
{
	struct session *s = session_by_dtls(t, m->dtls_id);
	struct ipc_dtls_secret a = { .id = m->id, .is_bad = 1 };

	memcpy(a.dtls_id, m->dtls_id, sizeof(a.dtls_id));
	if (s != NULL && s->state == SESSION_CONNECTED) {
		a.is_bad = 0;
		a.slot = s->slot;
		a.gen = s->gen;
		a.mode = s->dtls_mode;
		a.cipher = s->dtls_cipher;
		a.addr4 = s->claims.addr4;
		a.addr6 = s->claims.addr6;
		a.mtu = s->mtu;
		a.platform = s->claims.platform;
		memcpy(a.sid, s->claims.sid, sizeof(a.sid));
		memcpy(a.secret, s->dtls_secret, sizeof(a.secret));
		memcpy(a.token, s->token, sizeof(a.token));
	}
	send_to(t, IPC_WORKER, w, IPC_dtls_secret, &a);
	OPENSSL_cleanse(&a, sizeof(a));
}

void
session_dtls_up(struct session_table *t, unsigned w, const struct ipc_dtls_up *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || s->state != SESSION_CONNECTED || !has_dtls_id(s) ||
	    memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0) {
		struct ipc_dtls_drop drop = { .slot = m->slot, .gen = m->gen };
		memcpy(drop.dtls_id, m->dtls_id, sizeof(drop.dtls_id));
		send_to(t, IPC_WORKER, w, IPC_dtls_drop, &drop);
		return;
	}
	if (s->has_dtls && s->dtls_worker != w)
		drop_dtls(t, s);
	s->has_dtls = true;
	s->dtls_worker = w;
	s->dtls_peer = m->peer;
	s->dtls_cipher = m->cipher;
	steer(t, s);
	event_of(t, s, EV_DTLS_UP, NULL);
}

void
session_dtls_down(struct session_table *t, unsigned w, const struct ipc_dtls_down *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || !s->has_dtls || s->dtls_worker != w ||
	    memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0)
		return;
	s->has_dtls = false;
	steer(t, s);
	event_of(t, s, EV_DTLS_DOWN, m->reason);
}

void
session_dtls_stray(struct session_table *t, unsigned w, const struct ipc_dtls_stray *m)
{
	uint64_t asked = 0; /* a bit per worker */

	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s == NULL || !s->has_dtls || s->dtls_worker == w ||
		    s->dtls_worker >= 64 || asked >> s->dtls_worker & 1 ||
		    !ip_same_host(&s->dtls_peer, &m->peer))
			continue;
		struct ipc_dtls_try a = { .worker = (uint8_t)w,
					  .wan = m->wan,
					  .peer = m->peer,
					  .local = m->local };
		a.datagram.n = m->datagram.n;
		memcpy(a.datagram.p, m->datagram.p, m->datagram.n);
		asked |= UINT64_C(1) << s->dtls_worker;
		send_to(t, IPC_WORKER, s->dtls_worker, IPC_dtls_try, &a);
	}
}

void
session_dtls_give(struct session_table *t, unsigned w, const struct ipc_dtls_give *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || !s->has_dtls || s->dtls_worker != w || m->worker == w ||
	    m->worker >= 64 || memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0)
		return;
	struct ipc_dtls_take a = { .worker = m->worker,
				   .wan = m->wan,
				   .peer = m->peer,
				   .local = m->local,
				   .slot = m->slot,
				   .gen = m->gen,
				   .cipher = m->cipher,
				   .tx_seq = m->tx_seq,
				   .rx_top = m->rx_top,
				   .addr4 = s->claims.addr4,
				   .addr6 = s->claims.addr6,
				   .mtu = s->mtu,
				   .platform = s->claims.platform };
	memcpy(a.dtls_id, m->dtls_id, sizeof(a.dtls_id));
	memcpy(a.material, m->material, sizeof(a.material));
	memcpy(a.sid, s->claims.sid, sizeof(a.sid));
	memcpy(a.token, s->token, sizeof(a.token));
	s->dtls_worker = m->worker;
	s->dtls_peer = m->peer;
	send_to(t, IPC_WORKER, m->worker, IPC_dtls_take, &a);
	OPENSSL_cleanse(&a, sizeof(a));
	steer(t, s);
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
			event_of(t, s, EV_DTLS_DOWN, "worker_died");
			/* The client would send into the dead channel until its
			 * DPD; without its TLS connection it is back at once. */
			if (s->has_tls && s->tls_worker != w) {
				close_tls(t, s, NULL);
				session_move(t, s, MOVE_LOST,
					     &(struct cause){ .now = now });
			}
		}
		if (s->has_tls && s->tls_worker == w) {
			s->has_tls = false;
			drop_dtls(t, s);
			session_move(t, s, MOVE_LOST, &(struct cause){ .now = now });
		}
		steer(t, s);
	}
}

/* ---- the other node ---- */

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
				set_state(t, s, SESSION_AWAY);
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
			set_state(t, s, SESSION_AWAY);
		return;
	}
	if (is_active ? wall_since_s <= s->wall_granted_s
		      : wall_since_s + CLOCKS_S < s->wall_granted_s)
		return;
	/* The client is there. A goodbye would end it for good. */
	close_tls(t, s, NULL);
	drop_dtls(t, s);
	session_move(t, s, MOVE_LOST, &(struct cause){ .now = now });
	s->is_elsewhere = true;
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
		issue(t, a->worker, a->m.login.id, TOKEN_REFUSED,
		      "The gateway is busy. Try again.", "", NULL);
		if ((s = session_named(t, a->slot, a->gen)) != NULL)
			session_end(t, s, "admin", NULL, now);
		break;
	case ASK_TUNNEL:
		grant_refuse(t, a->worker, a->m.tunnel.id, TOKEN_LATER, "busy");
		break;
	case ASK_CHECK: checked(t, a->worker, a->m.check.id, TOKEN_LATER); break;
	case ASK_REPORT: report_refused(t, a, false); break;
	}
	ask_free(a);
}

static void
leases_compact(struct session_table *t)
{
	unsigned live = t->n_slots - t->count[SESSION_FREE];

	if (!lease_is_fat(t->leases, live))
		return;
	int rc = lease_rewrite_begin(t->leases);
	for (uint32_t i = 0; rc == 0 && i < t->n_slots; i++) {
		const struct session *s = session_at(t, i);
		if (s == NULL)
			continue;
		struct lease l = lease_of(s);
		lease_rewrite_add(t->leases, &l);
	}
	if (rc == 0)
		rc = lease_rewrite_end(t->leases);
	if (rc < 0)
		log_warn(0, "leases: not rewritten: %s", err_text(rc));
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

/* ---- making the table ---- */

struct restore {
	struct session_table *t;
	struct now now;
};

static void
on_lease_drop(void *arg, const uint8_t sid[IPC_SID])
{
	struct restore *r = arg;
	struct session *s = session_by_sid(r->t, sid);

	if (s == NULL)
		return;
	/* It ended, and perhaps nobody lived to write that into the set. */
	revoke(r->t, &s->claims, r->now);
	session_forget(r->t, s);
}

static void
on_lease_put(void *arg, const struct lease *l)
{
	struct restore *r = arg;
	struct session_table *t = r->t;
	struct session *s = session_by_sid(t, l->claims.sid);

	/* A later record of the same session says it anew. */
	if (s != NULL)
		session_forget(t, s);
	if (r->now.wall_ms / 1000 >= l->claims.wall_expiry_s ||
	    revoked_has(t->revoked, l->claims.sid) ||
	    session_make(t, &l->claims, l->slot,
			 l->has_connected ? SESSION_AWAY : SESSION_PENDING, r->now,
			 &s) < 0)
		return;
	if (s->slot == l->slot)
		s->gen = l->gen;
	s->has_connected = l->has_connected;
	if (l->has_connected)
		connected_since(s, l->wall_connected_s, r->now);
	s->source = l->source;
	memcpy(s->agent, l->agent, sizeof(s->agent));
	memcpy(s->hostname, l->hostname, sizeof(s->hostname));
	/* Its route, if any, is still there: the parent has not restarted. */
	s->has_route = l->has_connected;
}

unsigned
session_slots(unsigned session_limit)
{
	return session_limit > (SESSION_SLOTS_MAX - 64) / 2 ? SESSION_SLOTS_MAX
							    : 2 * session_limit + 64;
}

static int
make_arrays(struct session_table *t, unsigned slots)
{
	t->n_slots = slots;
	for (t->n_buckets = 64; t->n_buckets < slots; t->n_buckets *= 2)
		;
	t->session = calloc(slots, sizeof(*t->session));
	t->by_sid = malloc(t->n_buckets * sizeof(*t->by_sid));
	t->by_dtls = malloc(t->n_buckets * sizeof(*t->by_dtls));
	t->by_token = calloc(t->n_buckets, sizeof(*t->by_token));
	if (t->session == NULL || t->by_sid == NULL || t->by_dtls == NULL ||
	    t->by_token == NULL)
		return E_NOMEM;
	memset(t->by_sid, 0xff, t->n_buckets * sizeof(*t->by_sid));
	memset(t->by_dtls, 0xff, t->n_buckets * sizeof(*t->by_dtls));
	/* Generations start anywhere: names from before our restart must not
	 * hit a session made after it. */
	uint32_t gen;
	random_bytes(&gen, sizeof(gen));
	for (uint32_t i = 0; i < slots; i++) {
		t->session[i].slot = i;
		t->session[i].gen = gen;
	}
	t->count[SESSION_FREE] = slots;
	return 0;
}

int
session_table_new(struct session_table **out, const struct config *c, unsigned slots,
		  int dir_fd, const struct session_out *o, struct now now)
{
	struct session_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return E_NOMEM;
	t->config = c;
	t->out = *o;
	/* Answers to the questions of our predecessor must not find ours. */
	random_bytes(&t->next_ask, sizeof(t->next_ask));
	struct restore r = { .t = t, .now = now };
	struct lease_replay replay = { &r, on_lease_put, on_lease_drop };
	int rc = make_arrays(t, slots);
	if (rc == 0)
		rc = pool_new(&t->pool, &c->pool4, &c->pool6,
			      c->node_role == NODE_SPARE,
			      c->node_role == NODE_SINGLE ? 1 : 2);
	if (rc == 0)
		rc = revoked_open(&t->revoked, dir_fd, now.wall_ms / 1000);
	if (rc == 0)
		rc = lease_open(&t->leases, dir_fd, &replay);
	if (rc < 0) {
		session_table_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void
session_table_free(struct session_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < ASKS; i++)
		if (t->ask[i] != NULL)
			ask_free(t->ask[i]);
	lease_close(t->leases);
	revoked_close(t->revoked);
	borrowed_free(&t->borrowed);
	pool_free(t->pool);
	if (t->session != NULL)
		OPENSSL_cleanse(t->session, t->n_slots * sizeof(*t->session));
	free(t->session);
	free(t->by_sid);
	free(t->by_dtls);
	free(t->by_token);
	free(t);
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
