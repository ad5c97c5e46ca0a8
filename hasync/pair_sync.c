/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair_sync.c -- join and heal: digests first, then what differs. */
#include "hasync/pair_state.h"

#include "common/log.h"

void
sync_digest(struct pair *p, struct member *m, const struct wire_item *i)
{
	struct object *o = store_find(p->store, i->name);
	int k = o == NULL ? -1 : pair_index(p, o);

	if (k < 0)
		return; /* they have it, we do not: they will push it */
	m->mentioned[k] = 1;
	struct version mine = pair_version(p, o);
	if (o->class == CLUSTER_SET) {
		if (memcmp(mine.sha, i->sha, sizeof(mine.sha)) != 0)
			p->push[k] = true;
		return;
	}
	const char *primary = p->c.is_primary ? p->c.node : p->c.peer;
	struct version theirs = { .generation = i->generation,
				  .by_primary = span_is(i->writer, primary),
				  .is_removed = i->flags & WIRE_REMOVED };
	memcpy(theirs.sha, i->sha, sizeof(theirs.sha));
	if (merge_versions(&mine, &theirs) == MERGE_KEEP)
		p->push[k] = true;
}

static bool
is_durable_class(const struct object *o)
{
	return (o->class == CLUSTER_WHOLE && o->generation > 0) ||
	       o->class == CLUSTER_SET;
}

void
sync_check(struct pair *p)
{
	bool all_digests = true, all_ends = true;

	for (size_t i = 0; i < p->n; i++) {
		struct member *m = p->members[i];
		if (m->is_self || m->is_refused || m->is_silent)
			continue;
		all_digests &= m->got_digests;
		all_ends &= m->got_sync_end;
	}
	if (p->sync_end_due && all_digests) {
		for (size_t k = 0; k < OBJECTS_MAX; k++)
			if (p->push[k])
				return; /* pump calls again */
		p->sync_end_due = false;
		struct wire_item i = { .type = WIRE_SYNC_END };
		send_item(p, &i);
		send_flush(p);
	}
	if (p->is_synced || !all_ends || p->sync_end_due)
		return;
	p->is_synced = true;
	struct object *o;
	for (size_t k = 0; pair_peers(p) > 0 && (o = store_at(p->store, k)) != NULL;
	     k++)
		if (o->flags & CLUSTERFILE_SOLO) {
			o->flags &= (uint8_t)~CLUSTERFILE_SOLO;
			pair_write(p, o, 0, 0);
		}
	log_info(0, "stores compared peers=%u", pair_peers(p));
}

void
sync_digest_end(struct pair *p, struct member *m)
{
	struct object *o;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++)
		if (is_durable_class(o) && !m->mentioned[k])
			p->push[k] = true;
	memset(m->mentioned, 0, sizeof(m->mentioned));
	m->got_digests = true;
}

/* At this very place in the order: what we have, for everyone to compare. */
void
sync_start(struct pair *p, bool ask)
{
	struct object *o;

	p->is_synced = false;
	p->sync_end_due = true;
	p->hold_until_ms = pair_clock(p) + PAIR_HOLD_MS;
	for (size_t i = 0; i < p->n; i++) {
		p->members[i]->got_digests &= !ask;
		p->members[i]->got_sync_end &= !ask;
	}
	send_state(p, WIRE_HELLO, ask ? WIRE_FIRST : 0);
	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		if (!is_durable_class(o))
			continue;
		struct wire_item i = { .type = WIRE_DIGEST,
				       .flags = o->flags & CLUSTERFILE_REMOVED
							? WIRE_REMOVED
							: 0,
				       .generation = o->generation,
				       .name = span_str(o->name),
				       .writer = span_str(o->writer) };
		object_digest(o, i.sha);
		send_item(p, &i);
	}
	struct wire_item end = { .type = WIRE_DIGEST_END };
	send_item(p, &end);
	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		const char *slash = strrchr(o->name, '/');
		bool is_mine = slash != NULL && strcmp(slash + 1, p->c.node) == 0;
		if (o->class == CLUSTER_OWN_SET && is_mine)
			send_entries(p, o, WIRE_OWN_SET);
		p->own_dirty[k] |= o->class == CLUSTER_OWN && is_mine;
	}
	send_flush(p);
}
