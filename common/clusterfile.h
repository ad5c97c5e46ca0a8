/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* clusterfile.h -- an object of the replicated store as a file.
 *
 * Folder STATEDIR/cluster, one file an object, its name with '/' written '+'. Only
 * hasync writes there; others may read a file at start-up when hasync is down.
 *
 *   "TDOB" | version 8 (1) | class 8 | flags 8 | 0 | generation 64 | wall_ms 64 |
 *   name (length 8) | writer (length 8) | bytes (length 32) | sha256 of bytes |
 *   sha256 of all before
 *
 * Errors: E_PROTO for a damaged or foreign file, E_NOENT, -errno.
 */
#ifndef COMMON_CLUSTERFILE_H
#define COMMON_CLUSTERFILE_H

#include "common/cluster.h"

enum { CLUSTERFILE_MAX = CLUSTER_SET_MAX + 512, CLUSTERFILE_SHA = 32 };

enum clusterfile_flag {
	CLUSTERFILE_REMOVED = 1, /* remembers that it is gone; no bytes */
	CLUSTERFILE_SOLO = 2,    /* written while no peer had a copy */
};

struct clusterfile {
	enum cluster_class class; /* CLUSTER_WHOLE or CLUSTER_SET */
	uint8_t flags;
	uint64_t generation, wall_ms;
	struct span name, writer, bytes;
	uint8_t sha[CLUSTERFILE_SHA]; /* of bytes */
};

size_t clusterfile_size(const struct clusterfile *f);
/* sha is filled in here. */
void clusterfile_encode(struct wr *w, struct clusterfile *f);
/* Spans point into `in`. */
int clusterfile_decode(struct span in, struct clusterfile *f);

/* The file's name for an object's name. */
void clusterfile_name(struct span object, char out[CLUSTER_NAME_MAX + 1]);

/* Read one object from the folder. E_NOENT also when it was removed. The spans point
 * into *buf, which the caller frees. */
int clusterfile_read(const char *folder, const char *object, struct clusterfile *f,
		     uint8_t **buf);

#endif
