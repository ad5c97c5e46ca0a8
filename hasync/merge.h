/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* merge.h -- which of two versions of an object stays. Pure: no clock, no disk.
 *
 * Two questions are asked. A put comes through the total order of the group: the
 * first one to a generation wins, later ones are refused. Versions that met because
 * two halves healed have no order: the rules below are a total order of their own,
 * so every node picks the same one, whoever tells whom first.
 */
#ifndef HASYNC_MERGE_H
#define HASYNC_MERGE_H

#include "common/clusterfile.h"

struct version {
	uint64_t generation; /* 0: there is none */
	bool by_primary;     /* written on the primary */
	bool is_solo;        /* no peer had a copy when it was written */
	bool is_removed;
	uint8_t sha[CLUSTERFILE_SHA];
};

enum merge {
	MERGE_SAME,
	MERGE_TAKE,      /* theirs; mine was its past */
	MERGE_TAKE_LOST, /* theirs; mine was somebody's work: keep its bytes, say so */
	MERGE_KEEP,      /* mine: they should have it */
};

enum merge merge_versions(const struct version *mine, const struct version *theirs);

/* Does a put that makes `generation` and was meant to replace `base` (CLUSTER_ANY:
 * whatever is there) go through? */
bool merge_put_ok(const struct version *there, uint64_t generation, uint64_t base);

/* Expiry of an entry both sides have. 0 is never, the latest of all. */
uint64_t merge_expiry(uint64_t a, uint64_t b);
bool merge_is_expired(uint64_t expires_s, uint64_t now_s);

#endif
