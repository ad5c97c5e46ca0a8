/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/pair.h"

#include "common/err.h"
#include "common/log.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TURN_SENDS = 50, /* more would hold up the loop */
	QUEUE_MAX = 32 * 1024 * 1024,
	PUSH_QUEUE = 1024 * 1024, /* a heal fills the queue up to here */
	ENTRIES_CHUNK = 32 * 1024,
	ACK_GAP_MS = 10,
	PENDING_MAX = 8192,
	TRIES = 5,
	REFUSED_LOG_MS = 60000,
	HEARD_MAX = 64,
};

struct member {
	uint32_t nodeid, pid;
	bool is_self, is_refused, is_silent, is_told;
	bool got_digests, got_sync_end;
	char name[CLUSTER_NODE_MAX + 1]; /* "" until something was heard */
	uint64_t incarnation, seq, heard_ms;
	unsigned clock_off; /* states in a row with another time */
	struct wire_pieces pieces;
	uint8_t mentioned[OBJECTS_MAX]; /* of the store's objects, in its digests */
};

enum put_state { PUT_HELD, PUT_SENT, PUT_DELIVERED };

struct put {
	struct put *next;
	enum put_state state;
	uint64_t id, ticket, base, generation, sent_ms;
	bool is_set, is_removed, is_durable;
	unsigned waits; /* bit per member */
	unsigned copies, tries;
	enum cluster_status status;
	char name[CLUSTER_NAME_MAX + 1];
	size_t n;
	uint8_t bytes[];
};

/* What to do when something has reached the disk. */
struct write {
	struct write *next;
	uint64_t ticket, put_id;
	uint64_t incarnation; /* of the writer; 0 = this node */
};

/* Lives of peers, and how far each was heard: outlasts membership. */
struct heard {
	uint64_t incarnation, seq;
};

struct out {
	struct out *next;
	size_t n;
	uint8_t bytes[];
};

struct pair {
	struct pair_config c;
	struct store *store;
	const struct pair_handlers *h;
	void *arg;
	uint64_t incarnation, seq, last_id, last_ticket;
	struct member *members[PAIR_NODES_MAX];
	size_t n;
	bool is_joined, is_synced, is_stalled, sync_end_due, had_peer;
	struct heard heard[HEARD_MAX]; /* a ring */
	size_t next_heard;
	uint64_t hold_until_ms, sent_ms, state_ms, unheard_since_ms, refused_ms;
	uint64_t expired_ms;
	struct put *first, **last;
	size_t n_puts;
	struct write *writes;
	struct out *out_first, **out_last;
	size_t queued;
	bool push[OBJECTS_MAX];
	bool own_dirty[OBJECTS_MAX];
	uint64_t refused;
};

static uint64_t
now(const struct pair *p)
{
	return p->h->now_ms(p->arg);
}

static void
event(struct pair *p, const char *what, const char *detail)
{
	p->h->on_event(p->arg, what, detail);
}

static struct version
version_of(const struct pair *p, const struct object *o)
{
	const char *primary = p->c.is_primary ? p->c.node : p->c.peer;
	struct version v = { .generation = o->generation,
			     .by_primary = strcmp(o->writer, primary) == 0,
			     .is_solo = o->flags & CLUSTERFILE_SOLO,
			     .is_removed = o->flags & CLUSTERFILE_REMOVED };

	object_digest(o, v.sha);
	return v;
}

static bool
is_live(const struct member *m)
{
	return !m->is_self && !m->is_refused && !m->is_silent && m->name[0] != '\0';
}

unsigned
pair_peers(const struct pair *p)
{
	unsigned n = 0;

	for (size_t i = 0; p->is_joined && !p->is_stalled && i < p->n; i++)
		n += is_live(p->members[i]);
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

static int
index_of(struct pair *p, const struct object *o)
{
	struct object *k;

	for (size_t i = 0; (k = store_at(p->store, i)) != NULL; i++)
		if (k == o)
			return (int)i;
	return -1;
}

/* ---- sending ---- */

static void
queue_clear(struct pair *p)
{
	while (p->out_first != NULL) {
		struct out *o = p->out_first;
		p->out_first = o->next;
		free(o);
	}
	p->out_last = &p->out_first;
	p->queued = 0;
}

static int
queue_one(struct pair *p, const struct wire_item *i, bool at_front)
{
	size_t size = wire_item_size(i);
	struct out *o = malloc(sizeof(*o) + size);

	if (o == NULL)
		return E_NOMEM;
	struct wr w = wr_open(o->bytes, size);
	wire_item_encode(&w, i);
	o->n = w.n;
	o->next = NULL;
	p->queued += o->n;
	if (at_front && p->out_first != NULL) {
		o->next = p->out_first;
		p->out_first = o;
		return 0;
	}
	*p->out_last = o;
	p->out_last = &o->next;
	return 0;
}

static int
queue_pieces(struct pair *p, const struct wire_item *i)
{
	size_t size = wire_item_size(i);
	uint8_t *all = malloc(size);
	int rc = all == NULL ? E_NOMEM : 0;

	if (rc == 0) {
		struct wr w = wr_open(all, size);
		wire_item_encode(&w, i);
	}
	uint64_t id = ++p->last_id;
	for (size_t at = 0; rc == 0 && at < size; at += WIRE_PIECE) {
		size_t n = size - at < WIRE_PIECE ? size - at : WIRE_PIECE;
		struct wire_item k = { .type = WIRE_PIECE_OF,
				       .id = id,
				       .generation = at,
				       .base = size,
				       .bytes = span_of(all + at, n) };
		rc = queue_one(p, &k, false);
	}
	free(all);
	return rc;
}

static int
queue(struct pair *p, const struct wire_item *i)
{
	size_t size = wire_item_size(i);

	if (!p->is_joined || p->is_stalled)
		return E_CLOSED;
	if (p->queued + size > QUEUE_MAX)
		return E_LIMIT;
	return size > WIRE_PIECE ? queue_pieces(p, i) : queue_one(p, i, false);
}

static int
send_batch(struct pair *p)
{
	static uint8_t buf[WIRE_BATCH_MAX]; /* scratch, used up before we return */
	struct wr w = wr_open(buf, sizeof(buf) - WIRE_MAC);
	struct wire_head head = { .flags = p->c.is_primary ? WIRE_PRIMARY : 0,
				  .node = span_str(p->c.node),
				  .incarnation = p->incarnation,
				  .seq = p->seq + 1 };
	struct out *o = p->out_first;

	wire_open(&w, p->c.pair, &head);
	while (o != NULL && w.cap - w.n >= o->n) {
		wr_bytes(&w, o->bytes, o->n);
		o = o->next;
	}
	w.cap = sizeof(buf);
	wire_close(&w, p->c.key);
	int rc = p->h->send(p->arg, wr_span(&w));
	if (rc < 0)
		return rc;
	p->seq++;
	p->sent_ms = now(p);
	if (p->unheard_since_ms == 0)
		p->unheard_since_ms = p->sent_ms;
	while (p->out_first != o) {
		struct out *done = p->out_first;
		p->out_first = done->next;
		p->queued -= done->n;
		free(done);
	}
	if (p->out_first == NULL)
		p->out_last = &p->out_first;
	return 0;
}

static void
flush(struct pair *p)
{
	for (unsigned n = 0;
	     n < TURN_SENDS && p->out_first != NULL && p->is_joined && !p->is_stalled;
	     n++)
		if (send_batch(p) < 0)
			return; /* pair_retry or pair_lost follows */
}

/* Within the steady rate unless gap_ms says that it matters. */
static void
flush_after(struct pair *p, unsigned gap_ms)
{
	if (now(p) - p->sent_ms >= gap_ms)
		flush(p);
}

static void pump(struct pair *p);

void
pair_retry(struct pair *p)
{
	flush(p);
	pump(p);
}

static void
queue_state(struct pair *p, enum wire_type type, uint8_t flags)
{
	uint8_t buf[1024];
	struct wire_state s = { 0 };
	struct wr w = wr_open(buf, sizeof(buf));

	p->h->get_state(p->arg, &s);
	s.is_primary = p->c.is_primary;
	wire_state_encode(&w, &s);
	struct wire_item i = { .type = (uint8_t)type,
			       .flags = flags,
			       .wall_ms = p->h->wall_ms(p->arg),
			       .bytes = wr_span(&w) };
	if (type == WIRE_HELLO && p->is_joined && !p->is_stalled)
		queue_one(p, &i, true);
	else
		queue(p, &i);
	p->state_ms = now(p);
}

void
pair_state_changed(struct pair *p)
{
	if (!p->is_joined)
		return;
	queue_state(p, WIRE_STATE, 0);
	flush(p);
}

/* All entries of a set in chunks. */
static void
queue_entries(struct pair *p, const struct object *o, enum wire_type type)
{
	uint8_t buf[ENTRIES_CHUNK];
	size_t i = 0;
	uint8_t flags = WIRE_FIRST;

	do {
		struct wr w = wr_open(buf, sizeof(buf));
		for (; i < o->set.n && w.cap - w.n >= 128; i++)
			cluster_entry_encode(&w, &o->set.at[i]);
		struct wire_item k = { .type = (uint8_t)type,
				       .flags = flags,
				       .name = span_str(o->name),
				       .bytes = wr_span(&w) };
		queue(p, &k);
		flags = 0;
	} while (i < o->set.n);
}

static void
queue_object(struct pair *p, const struct object *o)
{
	if (o->class == CLUSTER_SET) {
		queue_entries(p, o, WIRE_SET);
		return;
	}
	struct wire_item i = { .type = WIRE_OBJECT,
			       .flags = o->flags & CLUSTERFILE_REMOVED ? WIRE_REMOVED
								       : 0,
			       .generation = o->generation,
			       .wall_ms = o->wall_ms,
			       .name = span_str(o->name),
			       .writer = span_str(o->writer),
			       .bytes = span_of(o->bytes, o->n) };
	queue(p, &i);
}

/* ---- answering ---- */

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

static void
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
		pump(p);
}

static struct put *
put_of(struct pair *p, uint64_t id)
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
		if (is_live(p->members[i]))
			mask |= 1u << i;
	return mask;
}

static void
forget_waits(struct pair *p)
{
	unsigned mask = live_mask(p);

	for (struct put *k = p->first; k != NULL; k = k->next)
		k->waits &= mask;
	put_ends(p);
}

static void
write_object(struct pair *p, const struct object *o, uint64_t put_id,
	     uint64_t incarnation)
{
	struct write *w = calloc(1, sizeof(*w));

	if (w != NULL) {
		*w = (struct write){ .next = p->writes,
				     .ticket = ++p->last_ticket,
				     .put_id = put_id,
				     .incarnation = incarnation };
		p->writes = w;
		if (store_write(p->store, o, w->ticket) == 0)
			return;
	}
	log_fatal("out of memory");
}

static void
queue_ack(struct pair *p, uint64_t id, uint64_t incarnation, enum cluster_status status)
{
	struct wire_item i = { .type = WIRE_ACK,
			       .status = (uint8_t)status,
			       .id = id,
			       .base = incarnation };
	queue(p, &i);
	flush_after(p, ACK_GAP_MS);
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
		queue_ack(p, w.put_id, w.incarnation, rc < 0 ? CLUSTER_IO : CLUSTER_OK);
		return;
	}
	struct put *k = put_of(p, w.put_id);
	if (k == NULL)
		return;
	k->is_durable = true;
	if (rc < 0)
		k->status = CLUSTER_IO;
	put_ends(p);
}

/* ---- applying ---- */

static void
changed(struct pair *p, const struct object *o, struct span delta)
{
	p->h->on_changed(p->arg, o, delta);
}

static int
apply_version(struct pair *p, struct object *o, const struct wire_item *i,
	      struct span writer)
{
	int rc = store_set_bytes(p->store, o, i->bytes);

	if (rc < 0)
		return rc;
	o->generation = i->generation;
	o->wall_ms = i->wall_ms;
	o->flags = i->flags & WIRE_REMOVED ? CLUSTERFILE_REMOVED : 0;
	memcpy(o->writer, writer.p, writer.n);
	o->writer[writer.n] = '\0';
	return 0;
}

static bool
is_applied(const struct object *o, const struct wire_item *i, struct span writer)
{
	return o->generation == i->generation && span_is(writer, o->writer) &&
	       span_eq(i->bytes, span_of(o->bytes, o->n)) &&
	       !(i->flags & WIRE_REMOVED) == !(o->flags & CLUSTERFILE_REMOVED);
}

/* A put in its place in the order. CLUSTER_OK: `write` says whether to the disk. */
static enum cluster_status
apply_put(struct pair *p, const struct wire_item *i, struct span writer, bool is_self,
	  struct object **out)
{
	int rc = cluster_class(i->name) == CLUSTER_WHOLE
			 ? store_make(p->store, i->name, out)
			 : E_INVAL;

	if (rc < 0)
		return rc == E_INVAL ? CLUSTER_INVALID : CLUSTER_LIMIT;
	struct object *o = *out;
	if (is_applied(o, i, writer))
		return CLUSTER_OK; /* delivered late, done already */
	struct version there = version_of(p, o);
	if (!merge_put_ok(&there, i->generation, i->base)) {
		int k = index_of(p, o);
		if (!is_self && k >= 0 && o->generation >= i->generation &&
		    !p->is_synced)
			p->push[k] = true; /* they should see what beat them */
		return CLUSTER_CONFLICT;
	}
	if (apply_version(p, o, i, writer) < 0)
		return CLUSTER_LIMIT;
	if (is_self && pair_peers(p) == 0 && p->c.peer[0] != '\0')
		o->flags |= CLUSTERFILE_SOLO;
	changed(p, o, (struct span){ 0 });
	return CLUSTER_OK;
}

static enum cluster_status
apply_entries(struct pair *p, const struct wire_item *i, struct object **out)
{
	struct span in = i->bytes;
	struct cluster_entry e;
	int rc, any = 0;

	if (store_make(p->store, i->name, out) < 0)
		return CLUSTER_LIMIT;
	if (i->flags & WIRE_FIRST && (*out)->class == CLUSTER_OWN_SET)
		object_clear(*out);
	uint64_t now_s = p->h->wall_ms(p->arg) / 1000;
	while ((rc = cluster_entry_decode(&in, &e)) == 0) {
		int k = object_add(*out, &e, now_s);
		if (k < 0)
			return CLUSTER_LIMIT;
		any |= k;
	}
	if (rc == E_PROTO)
		return CLUSTER_INVALID;
	if (!any && !(i->flags & WIRE_FIRST))
		return CLUSTER_OK;
	(*out)->generation++;
	(*out)->wall_ms = now_s * 1000;
	const char *owner =
		(*out)->class == CLUSTER_OWN_SET ? strchr((*out)->name, '/') : NULL;
	snprintf((*out)->writer, sizeof((*out)->writer), "%s",
		 owner == NULL ? p->c.node : owner + 1);
	/* The first of a whole set is no change of what was there: all of it is told.
	 */
	bool is_anew = (*out)->class == CLUSTER_OWN_SET && i->flags & WIRE_FIRST;
	changed(p, *out, is_anew ? (struct span){ 0 } : i->bytes);
	return CLUSTER_OK;
}

static void
deliver_own(struct pair *p, struct put *k, const struct wire_item *i)
{
	struct object *o = NULL;
	struct span me = span_str(p->c.node);

	k->state = PUT_DELIVERED;
	k->status = i->type == WIRE_SET ? apply_entries(p, i, &o)
					: apply_put(p, i, me, true, &o);
	if (i->type == WIRE_SET && o != NULL)
		k->generation = o->generation;
	else
		k->generation = o != NULL ? o->generation : 0;
	k->waits = k->status == CLUSTER_OK ? live_mask(p) : 0;
	if (k->status == CLUSTER_OK)
		write_object(p, o, k->id, 0);
	put_ends(p);
}

static void
deliver_put(struct pair *p, struct member *m, const struct wire_item *i)
{
	struct object *o = NULL;

	if (m->is_self) {
		struct put *k = put_of(p, i->id);
		if (k != NULL && k->state == PUT_SENT)
			deliver_own(p, k, i);
		return; /* no longer asked for: it was applied while corosync stood
			   still */
	}
	bool is_set = i->type == WIRE_SET;
	if (is_set && cluster_class(i->name) != CLUSTER_SET)
		return;
	enum cluster_status status =
		is_set ? apply_entries(p, i, &o)
		       : apply_put(p, i, span_str(m->name), false, &o);
	if (status == CLUSTER_OK)
		write_object(p, o, i->id, m->incarnation);
	else
		queue_ack(p, i->id, m->incarnation, status);
}

static void
deliver_ack(struct pair *p, struct member *m, unsigned bit, const struct wire_item *i)
{
	struct put *k = i->base == p->incarnation ? put_of(p, i->id) : NULL;

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
	int at = i->status == CLUSTER_CONFLICT && o != NULL ? index_of(p, o) : -1;
	if (at >= 0)
		p->push[at] = true;
	put_ends(p);
}

/* A version by way of a heal. */
static void
deliver_object(struct pair *p, const struct wire_item *i)
{
	struct object *o;

	if (cluster_class(i->name) != CLUSTER_WHOLE || !cluster_node_ok(i->writer) ||
	    store_make(p->store, i->name, &o) < 0)
		return;
	const char *primary = p->c.is_primary ? p->c.node : p->c.peer;
	struct version mine = version_of(p, o),
		       theirs = { .generation = i->generation,
				  .by_primary = span_is(i->writer, primary),
				  .is_removed = i->flags & WIRE_REMOVED };
	struct object *probe;
	if (object_new(&probe, i->name) < 0)
		return;
	if (object_set_bytes(probe, i->bytes) == 0)
		object_digest(probe, theirs.sha);
	object_free(probe);
	enum merge verdict = merge_versions(&mine, &theirs);
	if (verdict == MERGE_KEEP) {
		int k = index_of(p, o);
		if (k >= 0)
			p->push[k] = true;
		return;
	}
	if (verdict == MERGE_SAME)
		return;
	if (verdict == MERGE_TAKE_LOST)
		store_keep_lost(p->store, o);
	if (apply_version(p, o, i, i->writer) < 0)
		return;
	changed(p, o, (struct span){ 0 });
	write_object(p, o, 0, 0);
}

static void
deliver_digest(struct pair *p, struct member *m, const struct wire_item *i)
{
	struct object *o = store_find(p->store, i->name);
	int k = o == NULL ? -1 : index_of(p, o);

	if (k < 0)
		return; /* they have it, we do not: they will push it */
	m->mentioned[k] = 1;
	struct version mine = version_of(p, o);
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

static void
check_sync(struct pair *p)
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
		queue(p, &i);
		flush(p);
	}
	if (p->is_synced || !all_ends || p->sync_end_due)
		return;
	p->is_synced = true;
	struct object *o;
	for (size_t k = 0; pair_peers(p) > 0 && (o = store_at(p->store, k)) != NULL;
	     k++)
		if (o->flags & CLUSTERFILE_SOLO) {
			o->flags &= (uint8_t)~CLUSTERFILE_SOLO;
			write_object(p, o, 0, 0);
		}
	log_info(0, "stores compared peers=%u", pair_peers(p));
}

static void
deliver_digest_end(struct pair *p, struct member *m)
{
	struct object *o;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++)
		if (is_durable_class(o) && !m->mentioned[k])
			p->push[k] = true;
	memset(m->mentioned, 0, sizeof(m->mentioned));
	m->got_digests = true;
}

/* At this very place in the order: what we have, for everyone to compare. */
static void
start_sync(struct pair *p, bool ask)
{
	struct object *o;

	p->is_synced = false;
	p->sync_end_due = true;
	p->hold_until_ms = now(p) + PAIR_HOLD_MS;
	for (size_t i = 0; i < p->n; i++) {
		p->members[i]->got_digests &= !ask;
		p->members[i]->got_sync_end &= !ask;
	}
	queue_state(p, WIRE_HELLO, ask ? WIRE_FIRST : 0);
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
		queue(p, &i);
	}
	struct wire_item end = { .type = WIRE_DIGEST_END };
	queue(p, &end);
	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		const char *slash = strrchr(o->name, '/');
		bool is_mine = slash != NULL && strcmp(slash + 1, p->c.node) == 0;
		if (o->class == CLUSTER_OWN_SET && is_mine)
			queue_entries(p, o, WIRE_OWN_SET);
		p->own_dirty[k] |= o->class == CLUSTER_OWN && is_mine;
	}
	flush(p);
}

static bool
is_owned_by(struct span name, const char *node)
{
	size_t n = strlen(node);

	return name.n > n + 1 && name.p[name.n - n - 1] == '/' &&
	       memcmp(name.p + name.n - n, node, n) == 0;
}

/* node/NODE is written from the states, nowhere else. */
static bool
is_state_name(struct span name)
{
	return name.n > 5 && memcmp(name.p, "node/", 5) == 0;
}

static int
own_bytes(struct pair *p, struct span name, struct span bytes, const char *writer)
{
	struct object *o;
	int rc = store_make(p->store, name, &o);

	if (rc < 0 || (rc = store_set_bytes(p->store, o, bytes)) < 0)
		return rc;
	o->generation++;
	o->wall_ms = p->h->wall_ms(p->arg);
	snprintf(o->writer, sizeof(o->writer), "%s", writer);
	changed(p, o, (struct span){ 0 });
	return index_of(p, o);
}

static void
deliver_own_of(struct pair *p, struct member *m, const struct wire_item *i)
{
	enum cluster_class class = cluster_class(i->name);
	struct object *o;

	if (m->is_self || !is_owned_by(i->name, m->name) || is_state_name(i->name))
		return;
	if (i->type == WIRE_OWN && class == CLUSTER_OWN)
		own_bytes(p, i->name, i->bytes, m->name);
	else if (i->type == WIRE_OWN_SET && class == CLUSTER_OWN_SET)
		apply_entries(p, i, &o);
}

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
			start_sync(p, false);
		}
		break;
	case WIRE_STATE: deliver_state(p, m, i); break;
	case WIRE_DIGEST:
		if (!m->is_self)
			deliver_digest(p, m, i);
		break;
	case WIRE_DIGEST_END:
		if (!m->is_self)
			deliver_digest_end(p, m);
		break;
	case WIRE_SYNC_END: m->got_sync_end = true; break;
	case WIRE_OBJECT:
		if (!m->is_self)
			deliver_object(p, i);
		break;
	case WIRE_PUT: deliver_put(p, m, i); break;
	case WIRE_SET:
		if (i->id != 0)
			deliver_put(p, m, i);
		else if (!m->is_self && cluster_class(i->name) == CLUSTER_SET) {
			struct object *o;
			if (apply_entries(p, i, &o) == CLUSTER_OK)
				write_object(p, o, 0, 0);
		}
		break;
	case WIRE_ACK: deliver_ack(p, m, bit, i); break;
	case WIRE_OWN:
	case WIRE_OWN_SET: deliver_own_of(p, m, i); break;
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
	uint64_t t = now(p);

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
	uint64_t t = now(p);

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
		if (k == NULL)
			k = &p->heard[p->next_heard++ % HEARD_MAX];
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
	pump(p);
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
		m->heard_ms = now(p);
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
		start_sync(p, false);
	check_sync(p);
	put_ends(p);
	pump(p);
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
	queue_clear(p);
	memset(p->push, 0, sizeof(p->push));
	for (size_t i = 0; i < p->n; i++)
		member_gone(p, p->members[i]);
	p->n = 0;
	deliver_sent_here(p);
	forget_waits(p);
	pump(p);
}

/* ---- requests ---- */

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
	if (p->is_stalled || now(p) >= p->hold_until_ms)
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
	int rc = queue(p, &i);
	if (rc == 0) {
		k->state = PUT_SENT;
		k->sent_ms = now(p);
		flush(p);
	} else if (rc == E_CLOSED) {
		deliver_own(p, k, &i);
	} /* full: stays held */
}

static void
pump(struct pair *p)
{
	if (p->is_joined && !p->is_stalled) {
		bool any = false;
		for (size_t k = 0; k < OBJECTS_MAX && p->queued < PUSH_QUEUE; k++) {
			if (!p->push[k])
				continue;
			p->push[k] = false;
			any = true;
			queue_object(p, store_at(p->store, k));
		}
		if (any)
			flush(p);
		check_sync(p);
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
	pump(p);
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
		there = version_of(p, o);
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

enum cluster_status
pair_own_put(struct pair *p, struct span name, struct span bytes)
{
	enum cluster_class class = cluster_class(name);
	struct wire_item i = { .type = WIRE_OWN_SET, .name = name, .bytes = bytes };
	struct object *o;

	if (!is_owned_by(name, p->c.node) || is_state_name(name))
		return CLUSTER_INVALID;
	if (class == CLUSTER_OWN) {
		int k = own_bytes(p, name, bytes, p->c.node);
		if (k < 0)
			return CLUSTER_LIMIT;
		p->own_dirty[k] = true;
		return CLUSTER_OK;
	}
	if (class != CLUSTER_OWN_SET || bytes.n > CLUSTER_OBJECT_MAX)
		return CLUSTER_INVALID;
	enum cluster_status status = apply_entries(p, &i, &o);
	if (status == CLUSTER_OK)
		queue(p, &i);
	return status;
}

int
pair_ask_hold(struct pair *p, struct span node, uint64_t ms, bool on, bool force)
{
	struct wire_item i = { .type = WIRE_HOLD,
			       .flags = (uint8_t)((on ? CLUSTER_ON : 0) |
						  (force ? CLUSTER_FORCE : 0)),
			       .generation = ms,
			       .name = node };
	int rc = pair_peers(p) == 0 ? E_CLOSED : queue(p, &i);

	if (rc == 0)
		flush(p);
	return rc;
}

/* ---- time ---- */

static void
find_silent(struct pair *p)
{
	uint64_t t = now(p);

	for (size_t i = 0; i < p->n; i++) {
		struct member *m = p->members[i];
		if (m->is_self || m->is_silent || t - m->heard_ms < PAIR_SILENT_MS)
			continue;
		m->is_silent = true;
		if (m->name[0] != '\0') {
			p->h->on_state(p->arg, m->name, NULL);
			event(p, "peer_silent", m->name);
		}
		forget_waits(p);
		check_sync(p);
	}
	/* corosync took batches and gives none back: it stands still. */
	if (p->is_joined && !p->is_stalled && p->unheard_since_ms != 0 &&
	    t - p->unheard_since_ms > PAIR_STALLED_MS) {
		p->is_stalled = true;
		event(p, "corosync_stalled", "");
		queue_clear(p);
		deliver_sent_here(p);
		forget_waits(p);
	}
	if (p->is_stalled && p->unheard_since_ms == 0) {
		p->is_stalled = false;
		event(p, "corosync_recovered", "");
		start_sync(p, true);
	}
}

static void
queue_own(struct pair *p)
{
	struct object *o;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		if (!p->own_dirty[k])
			continue;
		p->own_dirty[k] = false;
		struct wire_item i = { .type = WIRE_OWN,
				       .name = span_str(o->name),
				       .bytes = span_of(o->bytes, o->n) };
		queue(p, &i);
	}
}

static void
expire(struct pair *p)
{
	struct object *o;
	uint64_t now_s = p->h->wall_ms(p->arg) / 1000;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++)
		if (o->class == CLUSTER_SET && object_expire(o, now_s) > 0)
			write_object(p, o, 0, 0);
}

void
pair_tick(struct pair *p)
{
	uint64_t t = now(p);

	find_silent(p);
	/* One send for both: the ring's cost is in their number. */
	if (p->is_joined && !p->is_stalled && t - p->state_ms >= PAIR_STATE_MS) {
		queue_state(p, WIRE_STATE, 0);
		queue_own(p);
	}
	flush_after(p, PAIR_SEND_MS);
	if (t - p->expired_ms >= 60000) {
		p->expired_ms = t;
		expire(p);
	}
	pump(p);
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
	p->hold_until_ms = c->is_clustered ? now(p) + PAIR_HOLD_MS : 0;
	*out = p;
	return 0;
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	queue_clear(p);
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
