/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* store.h -- the objects of this node and their files.
 *
 * Memory changes at once; the file follows in the thread pool, whole or not at all,
 * and on_durable says when it (or something newer under the same name) is on the
 * disk. For each NAME there may be:
 *
 *   NAME.prev              the version before
 *   NAME.bad-TIME          was damaged; the previous version serves instead
 *   NAME.lost-GENERATION   bytes that lost against the other node's
 */
#ifndef HASYNC_STORE_H
#define HASYNC_STORE_H

#include "hasync/objects.h"

#include <uv.h>

struct store;

struct store_handlers {
	/* A write with a ticket that is not 0 has ended: 0 or -errno. */
	void (*on_durable)(void *arg, uint64_t ticket, int rc);
	/* event: store_damaged, store_conflict, store_io; file: its name, or "". */
	void (*on_event)(void *arg, const char *event, const char *object,
			 const char *file);
};

/* Loads all there is. now_s: wall clock. The folder is made if need
 * be. -EAGAIN: another hasync uses it. */
int store_open(struct store **out, uv_loop_t *loop, const char *folder, uint64_t now_s,
	       const struct store_handlers *h, void *arg);
/* Waits for the disk; on_durable is not called any more. */
void store_free(struct store *);

struct object *store_find(struct store *, struct span name);
/* The same, made when there is none (generation 0). E_INVAL, E_LIMIT, E_NOMEM. */
int store_make(struct store *, struct span name, struct object **out);
/* NULL after the last. Index stays good while nothing is made. */
struct object *store_at(struct store *, size_t i);

/* Put the object's present state on the disk. */
int store_write(struct store *, const struct object *o, uint64_t ticket);
/* Keep the object's bytes aside before they are replaced. */
void store_keep_lost(struct store *, const struct object *o);
/* New bytes for an object; counts against the whole store's bound. */
int store_set_bytes(struct store *, struct object *o, struct span bytes);
bool store_is_idle(const struct store *);

#endif
