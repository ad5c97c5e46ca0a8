/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/pair_state.h"

#include "common/err.h"
#include "common/log.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	REFUSED_LOG_MS = 60000,
};

uint64_t
pair_clock(const struct pair *p)
{
	return p->h->now_ms(p->arg);
}

static void
event(struct pair *p, const char *what, const char *detail)
{
	p->h->on_event(p->arg, what, detail);
}

struct version
pair_version(const struct pair *p, const struct object *o)
{
	const char *primary = p->c.is_primary ? p->c.node : p->c.peer;
	struct version v = { .generation = o->generation,
			     .by_primary = strcmp(o->writer, primary) == 0,
			     .is_solo = o->flags & CLUSTERFILE_SOLO,
			     .is_removed = o->flags & CLUSTERFILE_REMOVED };

	object_digest(o, v.sha);
	return v;
}

bool
member_is_live(const struct member *m)
{
	return !m->is_self && !m->is_refused && !m->is_silent && m->name[0] != '\0';
}

unsigned
pair_peers(const struct pair *p)
{
	unsigned n = 0;

	for (size_t i = 0; p->is_joined && !p->is_stalled && i < p->n; i++)
		n += member_is_live(p->members[i]);
	return n;
}

bool
pair_is_synced(const struct pair *p)
{
	return p->is_synced;
}

bool
pair_is_joined(const struct pair *p)
{
	return p->is_joined && !p->is_stalled;
}

uint64_t
pair_refused(const struct pair *p)
{
	return p->refused;
}

int
pair_index(struct pair *p, const struct object *o)
{
	struct object *k;

	for (size_t i = 0; (k = store_at(p->store, i)) != NULL; i++)
		if (k == o)
			return (int)i;
	return -1;
}

/* ---- what is heard ---- */

static void
check_clock(struct pair *p, struct member *m, uint64_t wall_ms)
{
	char detail[128];
	uint64_t mine = p->h->wall_ms(p->arg);
	uint64_t d = mine > wall_ms ? mine - wall_ms : wall_ms - mine;

	if (d <= PAIR_CLOCK_MS) {
		m->clock_off = 0;
	} else if (++m->clock_off == 2) { /* one alone may just have been held up */
		snprintf(detail, sizeof(detail), "%s is %s by %" PRIu64 " s", m->name,
			 wall_ms > mine ? "ahead" : "behind", d / 1000);
		event(p, "clock_difference", detail);
	}
}

static void
deliver_state(struct pair *p, struct member *m, const struct wire_item *i)
{
	struct wire_state s;

	if (m->is_self)
		return;
	if (wire_state_decode(i->bytes, &s) < 0) {
		p->refused++;
		return;
	}
	check_clock(p, m, i->wall_ms);
	p->h->on_state(p->arg, m->name, &s);
}

static void
deliver_item(struct pair *p, struct member *m, unsigned bit, const struct wire_item *i)
{
	switch (i->type) {
	case WIRE_HELLO:
		deliver_state(p, m, i);
		if (!m->is_self && i->flags & WIRE_FIRST && m->got_digests) {
			m->got_digests = m->got_sync_end = false;
			sync_start(p, false);
		}
		break;
	case WIRE_STATE: deliver_state(p, m, i); break;
	case WIRE_DIGEST:
		if (!m->is_self)
			sync_digest(p, m, i);
		break;
	case WIRE_DIGEST_END:
		if (!m->is_self)
			sync_digest_end(p, m);
		break;
	case WIRE_SYNC_END: m->got_sync_end = true; break;
	case WIRE_OBJECT:
		if (!m->is_self)
			pair_deliver_object(p, i);
		break;
	case WIRE_PUT: pair_deliver_put(p, m, i); break;
	case WIRE_SET:
		if (i->id != 0)
			pair_deliver_put(p, m, i);
		else if (!m->is_self && cluster_class(i->name) == CLUSTER_SET) {
			struct object *o;
			if (pair_apply_entries(p, i, &o) == CLUSTER_OK)
				pair_write(p, o, 0, 0);
		}
		break;
	case WIRE_ACK: put_acked(p, m, bit, i); break;
	case WIRE_OWN:
	case WIRE_OWN_SET: pair_deliver_own(p, m, i); break;
	case WIRE_HOLD:
		if (span_is(i->name, p->c.node))
			p->h->on_hold(p->arg, i->generation, i->flags & CLUSTER_ON,
				      i->flags & CLUSTER_FORCE);
		break;
	default: break;
	}
}

static void
refuse(struct pair *p, struct member *m, const char *why)
{
	char detail[160];
	uint64_t t = pair_clock(p);

	p->refused++;
	if (p->refused_ms != 0 && t - p->refused_ms < REFUSED_LOG_MS)
		return;
	p->refused_ms = t;
	snprintf(detail, sizeof(detail), "node id %" PRIu32 "%s%s: %s", m->nodeid,
		 m->name[0] ? " " : "", m->name, why);
	event(p, "peer_refused", detail);
}

static struct heard *
heard_of(struct pair *p, uint64_t incarnation)
{
	for (size_t i = 0; i < HEARD_MAX; i++)
		if (p->heard[i].incarnation == incarnation)
			return &p->heard[i];
	return NULL;
}

/* Whose batch is this? NULL or why we do not listen. */
static const char *
identify(struct pair *p, struct member *m, const struct wire_head *h)
{
	if (m->is_self)
		return h->incarnation == p->incarnation ? NULL
							: "an earlier life of ours";
	if (span_is(h->node, p->c.node))
		return "it has our own name";
	if (p->c.peer[0] == '\0' || !span_is(h->node, p->c.peer))
		return "its name is not the configured peer's";
	if (!(h->flags & WIRE_PRIMARY) == !p->c.is_primary)
		return p->c.is_primary ? "both nodes are configured as primary"
				       : "both nodes are configured as spare";
	const struct heard *was = heard_of(p, h->incarnation);
	if (was != NULL && h->seq <= was->seq)
		return "heard before";
	return NULL;
}

static void
hear(struct pair *p, struct member *m, const struct wire_head *h)
{
	uint64_t t = pair_clock(p);

	if (m->is_self) {
		if (h->seq == p->seq)
			p->unheard_since_ms = 0;
		else if (h->seq > m->seq)
			p->unheard_since_ms = t;
	} else {
		memcpy(m->name, h->node.p, h->node.n);
		m->name[h->node.n] = '\0';
		p->had_peer = true;
		struct heard *k = heard_of(p, h->incarnation);
		if (k == NULL) {
			k = &p->heard[p->next_heard++ % HEARD_MAX];
			pair_forget_own(p, m->name);
		}
		*k = (struct heard){ h->incarnation, h->seq };
	}
	m->incarnation = h->incarnation;
	m->seq = h->seq;
	m->heard_ms = t;
	m->is_refused = m->is_silent = false;
}

void
pair_deliver(struct pair *p, uint32_t nodeid, uint32_t pid, struct span batch)
{
	static const char *const why[] = { "another version", "of another pair",
					   "does not verify", "malformed" };
	struct wire_head h;
	struct wire_item i;
	struct span items;
	size_t at = 0;

	while (at < p->n &&
	       (p->members[at]->nodeid != nodeid || p->members[at]->pid != pid))
		at++;
	if (at == p->n) {
		p->refused++; /* not a member: of a view before */
		return;
	}
	struct member *m = p->members[at];
	int rc = wire_check(batch, p->c.pair, p->c.key, &h, &items);
	const char *bad = rc == 0 ? identify(p, m, &h)
				  : why[rc == E_STALE   ? 0
					: rc == E_NOENT ? 1
					: rc == E_AUTH  ? 2
							: 3];
	/* The items too are looked at before the first is used. */
	struct span look = items;
	while (bad == NULL && (rc = wire_item_decode(&look, &i)) == 0)
		;
	if (bad == NULL && rc != E_AGAIN)
		bad = "malformed";
	if (bad != NULL) {
		if (rc != 0 && rc != E_AGAIN && m->incarnation == 0)
			m->is_refused = true;
		refuse(p, m, bad);
		return;
	}
	hear(p, m, &h);
	while (wire_item_decode(&items, &i) == 0) {
		struct wire_item whole = i;
		if (i.type == WIRE_PIECE_OF &&
		    (rc = wire_pieces_add(&m->pieces, &i, &whole)) < 0) {
			p->refused += rc != E_AGAIN;
			continue;
		}
		deliver_item(p, m, 1u << at, &whole);
		if (i.type == WIRE_PIECE_OF)
			wire_pieces_clear(&m->pieces);
	}
	put_pump(p);
}

/* ---- membership ---- */

static void
member_gone(struct pair *p, struct member *m)
{
	if (!m->is_self && m->name[0] != '\0') {
		p->h->on_state(p->arg, m->name, NULL);
		event(p, "peer_lost", m->name);
	}
	wire_pieces_clear(&m->pieces);
	free(m);
}

static bool
is_in(const struct pair_member *list, size_t n, uint32_t nodeid, uint32_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].nodeid == nodeid && list[i].pid == pid)
			return true;
	return false;
}

void
pair_members(struct pair *p, const struct pair_member *all, size_t n,
	     const struct pair_member *joined, size_t n_joined)
{
	struct member *old[PAIR_NODES_MAX];
	size_t n_old = p->n;
	bool was_stalled = p->is_stalled;

	memcpy(old, p->members, sizeof(old));
	unsigned remap[PAIR_NODES_MAX] = { 0 };
	p->n = 0;
	for (size_t i = 0; i < n && p->n < PAIR_NODES_MAX; i++) {
		struct member *m = NULL;
		for (size_t k = 0; k < n_old && m == NULL; k++)
			if (old[k] != NULL && old[k]->nodeid == all[i].nodeid &&
			    old[k]->pid == all[i].pid) {
				m = old[k];
				old[k] = NULL;
				if (!is_in(joined, n_joined, m->nodeid, m->pid))
					remap[k] = 1u << p->n;
			}
		if (m == NULL && (m = calloc(1, sizeof(*m))) == NULL)
			log_fatal("out of memory");
		m->nodeid = all[i].nodeid;
		m->pid = all[i].pid;
		m->is_self = all[i].is_self;
		m->heard_ms = pair_clock(p);
		if (is_in(joined, n_joined, m->nodeid, m->pid)) {
			m->got_digests = m->got_sync_end = m->is_refused = false;
			memset(m->mentioned, 0, sizeof(m->mentioned));
			wire_pieces_clear(&m->pieces);
		}
		p->members[p->n++] = m;
	}
	for (size_t k = 0; k < n_old; k++)
		if (old[k] != NULL)
			member_gone(p, old[k]);
	for (struct put *k = p->first; k != NULL; k = k->next) {
		unsigned waits = 0;
		for (size_t i = 0; i < PAIR_NODES_MAX; i++)
			if (k->waits & 1u << i)
				waits |= remap[i];
		k->waits = waits;
	}
	p->is_joined = true;
	p->is_stalled = false;
	if (was_stalled)
		p->unheard_since_ms = 0;
	/* Alone there is nothing to compare; what joins later asks anew. */
	if (n_joined > 0)
		sync_start(p, false);
	sync_check(p);
	put_ends(p);
	put_pump(p);
}

/* Puts on their way may or may not be with the peer: done here, compared later. */
static void
deliver_sent_here(struct pair *p)
{
	for (struct put *k = p->first; k != NULL; k = k->next)
		if (k->state == PUT_SENT)
			k->state = PUT_HELD;
}

void
pair_lost(struct pair *p)
{
	p->is_joined = false;
	p->is_stalled = false;
	p->is_synced = false;
	p->sync_end_due = false;
	p->unheard_since_ms = 0;
	p->hold_until_ms = 0;
	send_clear(p);
	memset(p->push, 0, sizeof(p->push));
	for (size_t i = 0; i < p->n; i++)
		member_gone(p, p->members[i]);
	p->n = 0;
	deliver_sent_here(p);
	put_forget_waits(p);
	put_pump(p);
}

/* ---- requests ---- */

int
pair_ask_hold(struct pair *p, struct span node, uint64_t ms, bool on, bool force)
{
	struct wire_item i = { .type = WIRE_HOLD,
			       .flags = (uint8_t)((on ? CLUSTER_ON : 0) |
						  (force ? CLUSTER_FORCE : 0)),
			       .generation = ms,
			       .name = node };
	int rc = pair_peers(p) == 0 ? E_CLOSED : send_item(p, &i);

	if (rc == 0)
		send_flush(p);
	return rc;
}

/* ---- time ---- */

static void
find_silent(struct pair *p)
{
	uint64_t t = pair_clock(p);

	for (size_t i = 0; i < p->n; i++) {
		struct member *m = p->members[i];
		if (m->is_self || m->is_silent || t - m->heard_ms < PAIR_SILENT_MS)
			continue;
		m->is_silent = true;
		if (m->name[0] != '\0') {
			p->h->on_state(p->arg, m->name, NULL);
			event(p, "peer_silent", m->name);
		}
		put_forget_waits(p);
		sync_check(p);
	}
	/* corosync took batches and gives none back: it stands still. */
	if (p->is_joined && !p->is_stalled && p->unheard_since_ms != 0 &&
	    t - p->unheard_since_ms > PAIR_STALLED_MS) {
		p->is_stalled = true;
		event(p, "corosync_stalled", "");
		send_clear(p);
		deliver_sent_here(p);
		put_forget_waits(p);
	}
	if (p->is_stalled && p->unheard_since_ms == 0) {
		p->is_stalled = false;
		event(p, "corosync_recovered", "");
		sync_start(p, true);
	}
}

static void
expire(struct pair *p)
{
	struct object *o;
	uint64_t now_s = p->h->wall_ms(p->arg) / 1000;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++)
		if (o->class == CLUSTER_SET && object_expire(o, now_s) > 0)
			pair_write(p, o, 0, 0);
}

void
pair_tick(struct pair *p)
{
	uint64_t t = pair_clock(p);

	find_silent(p);
	/* One send for both: the ring's cost is in their number. */
	if (p->is_joined && !p->is_stalled && t - p->state_ms >= PAIR_STATE_MS) {
		send_state(p, WIRE_STATE, 0);
		send_own(p);
	}
	send_flush_after(p, PAIR_SEND_MS);
	if (t - p->expired_ms >= 60000) {
		p->expired_ms = t;
		expire(p);
	}
	put_pump(p);
}

int
pair_new(struct pair **out, const struct pair_config *c, struct store *s,
	 const struct pair_handlers *h, void *arg)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return E_NOMEM;
	p->c = *c;
	p->store = s;
	p->h = h;
	p->arg = arg;
	p->last = &p->first;
	p->out_last = &p->out_first;
	if (RAND_bytes((uint8_t *)&p->incarnation, sizeof(p->incarnation)) != 1) {
		free(p);
		return E_TLS;
	}
	p->incarnation |= 1; /* 0 stands for nobody */
	p->last_id = 0;
	p->is_synced = false;
	p->hold_until_ms = c->is_clustered ? pair_clock(p) + PAIR_HOLD_MS : 0;
	*out = p;
	return 0;
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	send_clear(p);
	for (size_t i = 0; i < p->n; i++) {
		wire_pieces_clear(&p->members[i]->pieces);
		free(p->members[i]);
	}
	while (p->first != NULL) {
		struct put *k = p->first;
		p->first = k->next;
		free(k);
	}
	while (p->writes != NULL) {
		struct write *w = p->writes;
		p->writes = w->next;
		free(w);
	}
	free(p);
}
