/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair_put.c -- the life of a put, from the request to its answer. */
#include "hasync/pair_state.h"

#include "common/err.h"

#include <stdlib.h>

enum {
	PENDING_MAX = 8192,
	TRIES = 5,
	PUSH_QUEUE = 1024 * 1024, /* a heal fills the queue up to here */
};

static void
put_end(struct pair *p, struct put **at)
{
	struct put *k = *at;
	struct pair_result r = { .status = k->status,
				 .generation = k->generation,
				 .copies = k->copies + 1,
				 .peer_away = p->c.peer[0] != '\0' && k->copies == 0 };

	*at = k->next;
	if (*at == NULL)
		p->last = at;
	p->n_puts--;
	p->h->on_result(p->arg, k->ticket, &r);
	free(k);
}

static bool
put_again(struct put *k)
{
	if (k->status != CLUSTER_CONFLICT || k->base != CLUSTER_ANY ||
	    ++k->tries >= TRIES)
		return false;
	k->state = PUT_HELD;
	k->status = CLUSTER_OK;
	k->copies = 0;
	k->waits = 0;
	k->is_durable = false;
	k->id = 0;
	return true;
}

void
put_ends(struct pair *p)
{
	bool any = true, again = false;

	/* on_result may put again: start over after each. */
	while (any) {
		any = false;
		for (struct put **at = &p->first; *at != NULL; at = &(*at)->next) {
			struct put *k = *at;
			if (k->state != PUT_DELIVERED || k->waits != 0 ||
			    !(k->is_durable || k->status != CLUSTER_OK))
				continue;
			if (put_again(k)) {
				again = true;
				continue;
			}
			put_end(p, at);
			any = true;
			break;
		}
	}
	if (again)
		put_pump(p);
}

struct put *
put_find(struct pair *p, uint64_t id)
{
	for (struct put *k = p->first; k != NULL; k = k->next)
		if (k->id == id && id != 0)
			return k;
	return NULL;
}

static unsigned
live_mask(const struct pair *p)
{
	unsigned mask = 0;

	for (size_t i = 0; p->is_joined && !p->is_stalled && i < p->n; i++)
		if (member_is_live(p->members[i]))
			mask |= 1u << i;
	return mask;
}

void
put_forget_waits(struct pair *p)
{
	unsigned mask = live_mask(p);

	for (struct put *k = p->first; k != NULL; k = k->next)
		k->waits &= mask;
	put_ends(p);
}

void
pair_durable(struct pair *p, uint64_t ticket, int rc)
{
	struct write **at = &p->writes;

	while (*at != NULL && (*at)->ticket != ticket)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	struct write w = **at, *gone = *at;
	*at = gone->next;
	free(gone);
	if (w.incarnation != 0) {
		send_ack(p, w.put_id, w.incarnation, rc < 0 ? CLUSTER_IO : CLUSTER_OK);
		return;
	}
	struct put *k = put_find(p, w.put_id);
	if (k == NULL)
		return;
	k->is_durable = true;
	if (rc < 0)
		k->status = CLUSTER_IO;
	put_ends(p);
}

void
put_delivered(struct pair *p, struct put *k, const struct wire_item *i)
{
	struct object *o = NULL;
	struct span me = span_str(p->c.node);

	k->state = PUT_DELIVERED;
	k->status = i->type == WIRE_SET ? pair_apply_entries(p, i, &o)
					: pair_apply_put(p, i, me, true, &o);
	if (i->type == WIRE_SET && o != NULL)
		k->generation = o->generation;
	else
		k->generation = o != NULL ? o->generation : 0;
	k->waits = k->status == CLUSTER_OK ? live_mask(p) : 0;
	if (k->status == CLUSTER_OK)
		pair_write(p, o, k->id, 0);
	put_ends(p);
}

void
put_acked(struct pair *p, struct member *m, unsigned bit, const struct wire_item *i)
{
	struct put *k = i->base == p->incarnation ? put_find(p, i->id) : NULL;

	if (k == NULL || !(k->waits & bit))
		return;
	k->waits &= ~bit;
	if (i->status == CLUSTER_OK)
		k->copies++;
	else if (i->status == CLUSTER_CONFLICT && k->status == CLUSTER_OK)
		k->status = CLUSTER_CONFLICT; /* it had another one we did not know */
	/* Ours stands here all the same, and what we sent for the comparison may be
	 * from before it. */
	struct object *o = store_find(p->store, span_str(k->name));
	int at = i->status == CLUSTER_CONFLICT && o != NULL ? pair_index(p, o) : -1;
	if (at >= 0)
		p->push[at] = true;
	put_ends(p);
}

static uint64_t
latest_generation(struct pair *p, const struct put *but, const struct object *o)
{
	uint64_t g = o == NULL ? 0 : o->generation;

	for (struct put *k = p->first; k != NULL && k != but; k = k->next)
		if (!k->is_set && k->state == PUT_SENT && o != NULL &&
		    strcmp(k->name, o->name) == 0 && k->generation > g)
			g = k->generation;
	return g;
}

static bool
may_put(const struct pair *p)
{
	if (p->is_stalled || pair_clock(p) >= p->hold_until_ms)
		return true;
	/* corosync starts as a ring of one before it finds the other. */
	return p->is_joined && p->is_synced && (p->had_peer || p->c.peer[0] == '\0');
}

static void
start_put(struct pair *p, struct put *k)
{
	struct object *o = store_find(p->store, span_str(k->name));
	uint64_t latest = latest_generation(p, k, o);

	if (k->id == 0)
		k->id = ++p->last_id;
	if (k->base != CLUSTER_ANY && k->base < UINT64_MAX - 1 && latest <= k->base)
		k->generation = k->base + 1;
	else
		k->generation = latest + 1;
	/* "None yet" also fits what was removed; it goes on counting. */
	struct wire_item i = { .type = k->is_set ? WIRE_SET : WIRE_PUT,
			       .flags = k->is_removed ? WIRE_REMOVED : 0,
			       .id = k->id,
			       .generation = k->generation,
			       .base = k->base,
			       .wall_ms = p->h->wall_ms(p->arg),
			       .name = span_str(k->name),
			       .writer = span_str(p->c.node),
			       .bytes = span_of(k->bytes, k->n) };
	int rc = send_item(p, &i);
	if (rc == 0) {
		k->state = PUT_SENT;
		k->sent_ms = pair_clock(p);
		send_flush(p);
	} else if (rc == E_CLOSED) {
		put_delivered(p, k, &i);
	} /* full: stays held */
}

void
put_pump(struct pair *p)
{
	if (p->is_joined && !p->is_stalled) {
		bool any = false;
		for (size_t k = 0; k < OBJECTS_MAX && p->queued < PUSH_QUEUE; k++) {
			if (!p->push[k])
				continue;
			p->push[k] = false;
			any = true;
			send_object(p, store_at(p->store, k));
		}
		if (any)
			send_flush(p);
		sync_check(p);
	}
	if (!may_put(p))
		return;
	for (bool again = true; again;) {
		again = false;
		for (struct put *k = p->first; k != NULL; k = k->next)
			if (k->state == PUT_HELD && p->queued < QUEUE_MAX / 2) {
				start_put(p, k); /* may end it, and others */
				again = true;
				break;
			}
	}
}

static void
add_put(struct pair *p, struct span name, struct span bytes, struct put head)
{
	struct pair_result no = { .status = CLUSTER_LATER };
	struct put *k =
		p->n_puts >= PENDING_MAX ? NULL : malloc(sizeof(*k) + bytes.n + 1);

	if (k == NULL) {
		p->h->on_result(p->arg, head.ticket, &no);
		return;
	}
	*k = head;
	memset(k->name, 0, sizeof(k->name));
	memcpy(k->name, name.p, name.n);
	if (bytes.n > 0)
		memcpy(k->bytes, bytes.p, bytes.n);
	k->n = bytes.n;
	k->next = NULL;
	*p->last = k;
	p->last = &k->next;
	p->n_puts++;
	put_pump(p);
}

void
pair_put(struct pair *p, struct span name, struct span bytes, bool is_removed,
	 uint64_t base, uint64_t ticket)
{
	struct pair_result no = { .status = CLUSTER_INVALID };

	if (cluster_class(name) != CLUSTER_WHOLE || bytes.n > CLUSTER_OBJECT_MAX ||
	    (is_removed && bytes.n > 0)) {
		p->h->on_result(p->arg, ticket, &no);
		return;
	}
	struct object *o = store_find(p->store, name);
	struct version there = { 0 };
	if (o != NULL)
		there = pair_version(p, o);
	/* An expectation nobody can meet is told at once, not after a round trip. */
	if (base != CLUSTER_ANY && latest_generation(p, NULL, o) == there.generation &&
	    !(base == there.generation || (base == 0 && there.is_removed))) {
		no = (struct pair_result){ .status = CLUSTER_CONFLICT,
					   .generation = there.generation };
		p->h->on_result(p->arg, ticket, &no);
		return;
	}
	add_put(p, name, bytes,
		(struct put){
			.ticket = ticket, .base = base, .is_removed = is_removed });
}

void
pair_set_add(struct pair *p, struct span name, struct span entries, uint64_t ticket)
{
	struct pair_result no = { .status = CLUSTER_INVALID };
	struct span in = entries;
	struct cluster_entry e;
	int rc;

	while ((rc = cluster_entry_decode(&in, &e)) == 0 && !e.is_gone)
		;
	if (rc != E_AGAIN || cluster_class(name) != CLUSTER_SET ||
	    entries.n > CLUSTER_OBJECT_MAX) {
		p->h->on_result(p->arg, ticket, &no);
		return;
	}
	add_put(p, name, entries,
		(struct put){ .ticket = ticket, .base = CLUSTER_ANY, .is_set = true });
}
