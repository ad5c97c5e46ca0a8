/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* bucket.h -- a token bucket: how fast one session may be, one way.
 *
 * A packet passes while the bucket holds anything, and may drive it below zero by
 * less than a packet: so the average is exact whatever the packets' sizes. The
 * bucket holds BUCKET_MS of the rate, enough for a turn of the loop and a burst of
 * the inner transport.
 *
 * Units: bytes per second; milliseconds; 0 bytes per second is no limit.
 */
#ifndef WORKER_BUCKET_H
#define WORKER_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUCKET_MS 50
#define BUCKET_MIN_BYTES 16384 /* at the lowest rates: a few packets */

struct bucket {
	uint64_t rate;   /* bytes per second, 0: no limit */
	int64_t left;    /* bytes times 1000: no rounding */
	uint64_t filled; /* ms */
};

static inline void
bucket_set(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
	*b = (struct bucket){ .rate = rate, .filled = now_ms };
}

static inline int64_t
bucket_depth(const struct bucket *b)
{
	int64_t depth = (int64_t)b->rate * BUCKET_MS;

	return depth < BUCKET_MIN_BYTES * INT64_C(1000)
		       ? BUCKET_MIN_BYTES * INT64_C(1000)
		       : depth;
}

static inline bool
bucket_take(struct bucket *b, size_t bytes, uint64_t now_ms)
{
	if (b->rate == 0)
		return true;
	uint64_t past = now_ms - b->filled;
	if (past > 0) {
		int64_t depth = bucket_depth(b);
		/* Long silence fills it; the product cannot overflow then. */
		b->left = past > 60000 ? depth : b->left + (int64_t)(b->rate * past);
		b->left = b->left > depth ? depth : b->left;
		b->filled = now_ms;
	}
	if (b->left <= 0)
		return false;
	b->left -= (int64_t)bytes * 1000;
	return true;
}

#endif
