/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair_send.c -- what waits to be sent, in batches, and what is put into it. */
#include "hasync/pair_state.h"

#include "common/err.h"

#include <stdlib.h>

enum {
	TURN_SENDS = 50, /* more would hold up the loop */
	ENTRIES_CHUNK = 32 * 1024,
	ACK_GAP_MS = 10,
};

void
send_clear(struct pair *p)
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

int
send_item(struct pair *p, const struct wire_item *i)
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
	p->sent_ms = pair_clock(p);
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

void
send_flush(struct pair *p)
{
	for (unsigned n = 0;
	     n < TURN_SENDS && p->out_first != NULL && p->is_joined && !p->is_stalled;
	     n++)
		if (send_batch(p) < 0)
			return; /* pair_retry or pair_lost follows */
}

/* Within the steady rate unless gap_ms says that it matters. */
void
send_flush_after(struct pair *p, unsigned gap_ms)
{
	if (pair_clock(p) - p->sent_ms >= gap_ms)
		send_flush(p);
}

void
pair_retry(struct pair *p)
{
	send_flush(p);
	put_pump(p);
}

void
send_state(struct pair *p, enum wire_type type, uint8_t flags)
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
		send_item(p, &i);
	p->state_ms = pair_clock(p);
}

void
pair_state_changed(struct pair *p)
{
	if (!p->is_joined)
		return;
	send_state(p, WIRE_STATE, 0);
	send_flush(p);
}

/* All entries of a set in chunks. */
void
send_entries(struct pair *p, const struct object *o, enum wire_type type)
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
		send_item(p, &k);
		flags = 0;
	} while (i < o->set.n);
}

void
send_object(struct pair *p, const struct object *o)
{
	if (o->class == CLUSTER_SET) {
		send_entries(p, o, WIRE_SET);
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
	send_item(p, &i);
}

void
send_ack(struct pair *p, uint64_t id, uint64_t incarnation, enum cluster_status status)
{
	struct wire_item i = { .type = WIRE_ACK,
			       .status = (uint8_t)status,
			       .id = id,
			       .base = incarnation };
	send_item(p, &i);
	send_flush_after(p, ACK_GAP_MS);
}

void
send_own(struct pair *p)
{
	struct object *o;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		if (!p->own_dirty[k])
			continue;
		p->own_dirty[k] = false;
		struct wire_item i = { .type = WIRE_OWN,
				       .name = span_str(o->name),
				       .bytes = span_of(o->bytes, o->n) };
		send_item(p, &i);
	}
}
