/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/merge.h"

enum merge
merge_versions(const struct version *mine, const struct version *theirs)
{
	int differ = memcmp(mine->sha, theirs->sha, sizeof(mine->sha));
	if (differ == 0)
		differ = (int)mine->is_removed - (int)theirs->is_removed;

	if (mine->generation > theirs->generation)
		return MERGE_KEEP;
	if (mine->generation < theirs->generation)
		/* A solo version may be an ancestor of theirs after all; an extra copy
		 * costs less than somebody's lost work. */
		return mine->generation > 0 && mine->is_solo && differ != 0
			       ? MERGE_TAKE_LOST
			       : MERGE_TAKE;
	if (differ == 0)
		return MERGE_SAME;
	if (mine->by_primary != theirs->by_primary)
		return mine->by_primary ? MERGE_KEEP : MERGE_TAKE_LOST;
	/* Both by the same node: its disk went back in time. Any fixed choice does. */
	return differ > 0 ? MERGE_KEEP : MERGE_TAKE_LOST;
}

bool
merge_put_ok(const struct version *there, uint64_t generation, uint64_t base)
{
	if (base != CLUSTER_ANY && base != there->generation &&
	    !(base == 0 && there->is_removed))
		return false;
	return generation > there->generation;
}

uint64_t
merge_expiry(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return 0;
	return a > b ? a : b;
}

bool
merge_is_expired(uint64_t expires_s, uint64_t now_s)
{
	return expires_s != 0 && expires_s <= now_s;
}
