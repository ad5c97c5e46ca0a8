/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* borrowed.h -- addresses of our half of the pool that another node leased while we
 * were away: ours to lease again when no token can name them any more.
 *
 * As entries of the store's set `borrowed`: key = IPv4 address (4 bytes), value =
 * session id, expiry = its token's. Nobody takes one back: when the session is
 * revoked, the entry is void.
 *
 * Units: wall seconds. Errors: E_NOMEM, E_LIMIT.
 */
#ifndef VPND_SESSION_BORROWED_H
#define VPND_SESSION_BORROWED_H

#include "vpnd/session/pool.h"
#include "vpnd/session/revoked.h"

enum { BORROWED_MAX = 16384 };

struct borrowed {
	struct borrowed_host {
		uint32_t host;
		uint8_t sid[IPC_SID];
		uint64_t wall_expiry_s;
	} * at;
	size_t n, cap;
};

/* Keep it from being leased. Once more is fine; what has expired is not kept. */
int borrowed_add(struct borrowed *b, struct pool *p, const struct revoked *revoked,
		 uint32_t host, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s,
		 uint64_t wall_now_s);
/* Give free what is over, keep from being leased what was in use meanwhile. */
void borrowed_sweep(struct borrowed *b, struct pool *p, const struct revoked *revoked,
		    uint64_t wall_now_s);
void borrowed_free(struct borrowed *b);

#endif
