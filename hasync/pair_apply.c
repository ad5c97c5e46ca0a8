/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair_apply.c -- what was delivered changes the store. */
#include "hasync/pair_state.h"

#include "common/err.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

void
pair_write(struct pair *p, const struct object *o, uint64_t put_id,
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
enum cluster_status
pair_apply_put(struct pair *p, const struct wire_item *i, struct span writer,
	       bool is_self, struct object **out)
{
	int rc = cluster_class(i->name) == CLUSTER_WHOLE
			 ? store_make(p->store, i->name, out)
			 : E_INVAL;

	if (rc < 0)
		return rc == E_INVAL ? CLUSTER_INVALID : CLUSTER_LIMIT;
	struct object *o = *out;
	if (is_applied(o, i, writer))
		return CLUSTER_OK; /* delivered late, done already */
	struct version there = pair_version(p, o);
	if (!merge_put_ok(&there, i->generation, i->base)) {
		int k = pair_index(p, o);
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

enum cluster_status
pair_apply_entries(struct pair *p, const struct wire_item *i, struct object **out)
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
	struct span delta = i->bytes;
	if ((*out)->class == CLUSTER_OWN_SET && i->flags & WIRE_FIRST)
		delta = (struct span){ 0 };
	changed(p, *out, delta);
	return CLUSTER_OK;
}

void
pair_deliver_put(struct pair *p, struct member *m, const struct wire_item *i)
{
	struct object *o = NULL;

	if (m->is_self) {
		struct put *k = put_find(p, i->id);
		if (k != NULL && k->state == PUT_SENT)
			put_delivered(p, k, i);
		return; /* no longer asked for: it was applied while corosync stood
			   still */
	}
	bool is_set = i->type == WIRE_SET;
	if (is_set && cluster_class(i->name) != CLUSTER_SET)
		return;
	enum cluster_status status =
		is_set ? pair_apply_entries(p, i, &o)
		       : pair_apply_put(p, i, span_str(m->name), false, &o);
	if (status == CLUSTER_OK)
		pair_write(p, o, i->id, m->incarnation);
	else
		send_ack(p, i->id, m->incarnation, status);
}

/* A version by way of a heal. */
void
pair_deliver_object(struct pair *p, const struct wire_item *i)
{
	struct object *o;

	if (cluster_class(i->name) != CLUSTER_WHOLE || !cluster_node_ok(i->writer) ||
	    store_make(p->store, i->name, &o) < 0)
		return;
	const char *primary = p->c.is_primary ? p->c.node : p->c.peer;
	struct version mine = pair_version(p, o),
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
		int k = pair_index(p, o);
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
	pair_write(p, o, 0, 0);
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
	o->flags = 0;
	o->wall_ms = p->h->wall_ms(p->arg);
	snprintf(o->writer, sizeof(o->writer), "%s", writer);
	changed(p, o, (struct span){ 0 });
	return pair_index(p, o);
}

void
pair_forget_own(struct pair *p, const char *node)
{
	struct object *o;

	for (size_t k = 0; (o = store_at(p->store, k)) != NULL; k++) {
		struct span name = span_str(o->name);
		if (o->class != CLUSTER_OWN || o->generation == 0 ||
		    o->flags & CLUSTERFILE_REMOVED || is_state_name(name) ||
		    !is_owned_by(name, node))
			continue;
		o->flags |= CLUSTERFILE_REMOVED;
		o->generation++;
		changed(p, o, (struct span){ 0 });
	}
}

void
pair_deliver_own(struct pair *p, struct member *m, const struct wire_item *i)
{
	enum cluster_class class = cluster_class(i->name);
	struct object *o;

	if (m->is_self || !is_owned_by(i->name, m->name) || is_state_name(i->name))
		return;
	if (i->type == WIRE_OWN && class == CLUSTER_OWN)
		own_bytes(p, i->name, i->bytes, m->name);
	else if (i->type == WIRE_OWN_SET && class == CLUSTER_OWN_SET)
		pair_apply_entries(p, i, &o);
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
	enum cluster_status status = pair_apply_entries(p, &i, &o);
	if (status == CLUSTER_OK)
		send_item(p, &i);
	return status;
}
