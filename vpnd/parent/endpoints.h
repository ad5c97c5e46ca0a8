/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* endpoints.h -- what one node says about its clients' TCP connections: the set
 * endpoints/NODE of the store, by session id.
 *
 * It comes from the other node; what does not have the right shape is skipped and
 * counted. At most ENDPOINTS_MAX are kept.
 */
#ifndef VPND_PARENT_ENDPOINTS_H
#define VPND_PARENT_ENDPOINTS_H

#include "vpnd/parent/tickle.h"

enum { ENDPOINTS_MAX = 16384, ENDPOINT_KEY = 16 };

struct endpoint_row {
	uint8_t sid[ENDPOINT_KEY];
	struct endpoint e;
};

struct endpoints {
	struct map *map; /* of sid to row; NULL until the first entry */
	struct endpoint_row *row;
	uint32_t n;
	uint64_t skipped;
};

/* bytes: entries as common/cluster.h has them. is_delta: only these have changed.
 * Returns 0, E_PROTO for bytes that are no entries (what came before them counts), or
 * E_NOMEM. */
int endpoints_apply(struct endpoints *s, struct span bytes, bool is_delta);
/* NULL: not in it. */
const struct endpoint *endpoints_find(const struct endpoints *s,
				      const uint8_t sid[ENDPOINT_KEY]);
void endpoints_free(struct endpoints *s); /* and empty again */

#endif
