/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_table.c -- making the table, from what the disk has. */
#include "vpnd/session/session_state.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct restore {
	struct session_table *t;
	struct now now;
};

void
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
		struct lease l = session_lease(s);
		lease_rewrite_add(t->leases, &l);
	}
	if (rc == 0)
		rc = lease_rewrite_end(t->leases);
	if (rc < 0)
		log_warn(0, "leases: not rewritten: %s", err_text(rc));
}

static void
on_lease_drop(void *arg, const uint8_t sid[IPC_SID])
{
	struct restore *r = arg;
	struct session *s = session_by_sid(r->t, sid);

	if (s == NULL)
		return;
	/* It ended, and perhaps nobody lived to write that into the set. */
	session_revoke(r->t, &s->claims, r->now);
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
		session_since(s, l->wall_connected_s, r->now);
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
	table_random(&gen, sizeof(gen));
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
	table_random(&t->next_ask, sizeof(t->next_ask));
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
