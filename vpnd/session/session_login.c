/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_login.c -- a proven login becomes a session with a token, if there is room.
 */
#include "vpnd/session/session_state.h"

#include "common/err.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>

enum {
	PLACE_MS = 60 * 1000, /* a login holds its place so long */
	MARK_SLACK = 64,      /* hosts the peer may have leased since it last told us */
};

void
login_issue(struct session_table *t, unsigned worker, uint32_t id,
	    enum token_verdict verdict, const char *reason, const char *token,
	    const uint8_t *sid)
{
	struct ipc_token_issued m = { .id = id, .verdict = (uint8_t)verdict };

	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	snprintf(m.token, sizeof(m.token), "%s", token);
	if (sid != NULL)
		memcpy(m.sid, sid, sizeof(m.sid));
	table_send(t, IPC_WORKER, worker, IPC_token_issued, &m);
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

	table_random(c.sid, sizeof(c.sid));
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
	login_issue(t, m->worker, m->id, TOKEN_REFUSED, text, "", NULL);
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
	if (a == NULL || session_remember(t, s) < 0) {
		if (a != NULL)
			ask_free(ask_take(t, a->id));
		session_forget(t, s);
		login_issue(t, m->worker, m->id, TOKEN_REFUSED, busy, "", NULL);
		return;
	}
	a->slot = s->slot;
	a->gen = s->gen;
	a->m.login = *m;
	seal.id = a->id;
	rc = claims_encode(&s->claims, seal.claims.p, sizeof(seal.claims.p), &n);
	assert(rc == 0);
	seal.claims.n = (uint32_t)n;
	table_send(t, IPC_KEYS, 0, IPC_token_seal, &seal);
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
		session_note_token(t, s, m->token);
		login_issue(t, a->worker, a->m.login.id, TOKEN_OK, "", m->token,
			    s->claims.sid);
	} else if (a->kind == ASK_SEAL) {
		login_issue(t, a->worker, a->m.login.id, TOKEN_REFUSED,
			    "The gateway is busy. Try again.", "", NULL);
		if (s != NULL)
			session_end(t, s, "admin", NULL, now);
	}
	ask_free(a);
}
