/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* codes.h -- the latest one-time code of each user that was used, on whichever node,
 * so that none works twice (RFC 6238 5.2): not after a restart, not on the peer.
 *
 * As entries of the store's set `codes`: key = 16 bytes that only who knows the secret
 * can make, value = counter 64, expiry = when that code could not be used any more.
 * A later code expires later, so the merge of the set keeps it.
 *
 * Units: counters of 30 s; wall-clock seconds.
 */
#ifndef VPND_AUTH_CODES_H
#define VPND_AUTH_CODES_H

#include "common/cluster.h"
#include "vpnd/auth/users.h"

enum {
	CODES_MAX = 16384, /* beyond: the one that expires first is forgotten */
	CODES_KEY = 16,
	CODES_LINGER_S = 120, /* the clocks of two nodes may differ so much */
};

struct codes {
	struct code {
		uint8_t key[CODES_KEY];
		uint64_t counter, expires_s;
	} * at;
	size_t n, cap;
};

/* The latest counter of this user, 0: none known. */
uint64_t codes_last(const struct codes *, const struct user *u);
/* This user has used u->totp_used. E_NOMEM leaves it unremembered. */
int codes_use(struct codes *, const struct user *u, uint64_t wall_s,
	      struct cluster_entry *e);
/* Entries of the set, all or some. E_PROTO: some were none of ours, the rest counts. */
int codes_apply(struct codes *, struct span entries, uint64_t wall_s);
void codes_free(struct codes *);

#endif
