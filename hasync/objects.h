/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* objects.h -- the objects in memory: bytes, or the entries of a set. */
#ifndef HASYNC_OBJECTS_H
#define HASYNC_OBJECTS_H

#include "common/map.h"
#include "hasync/merge.h"

enum {
	OBJECTS_MAX = 4096,
	OBJECTS_BYTES_MAX = 128 * 1024 * 1024,
	OBJECT_ENTRIES_MAX = 65536,
};

struct entries {
	struct cluster_entry *at; /* in no order */
	size_t n, cap;
	size_t bytes; /* encoded */
	struct map *index;
};

struct object {
	char name[CLUSTER_NAME_MAX + 1], writer[CLUSTER_NODE_MAX + 1];
	enum cluster_class class;
	uint8_t flags; /* CLUSTERFILE_* */
	uint64_t generation, wall_ms;
	uint8_t sha[CLUSTERFILE_SHA]; /* of bytes; not kept up for sets */
	uint8_t *bytes;
	size_t n;
	struct entries set;
};

/* class follows from the name, which must be one. */
int object_new(struct object **out, struct span name);
void object_free(struct object *);
bool object_is_set(const struct object *);

/* Copies. E_LIMIT. */
int object_set_bytes(struct object *, struct span bytes);

/* Merge one entry in: +1 when that changed something, 0 when not, E_LIMIT, E_NOMEM.
 * In an OWN_SET the newer one replaces. */
int object_add(struct object *, const struct cluster_entry *e, uint64_t now_s);
void object_clear(struct object *);
/* Drop what expired; how many. */
size_t object_expire(struct object *, uint64_t now_s);

/* All bytes to send or store; the caller frees. */
int object_encode(const struct object *, uint8_t **bytes, size_t *n);

/* What is compared at a heal; for a set, one value for any order of its entries. */
void object_digest(const struct object *, uint8_t sha[CLUSTERFILE_SHA]);

#endif
