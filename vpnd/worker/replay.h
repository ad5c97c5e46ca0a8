/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* replay.h -- has this record number been seen? A sliding window for one
 * receiving direction.
 *
 * RFC 6347 4.1.2.6: ask replay_check() before opening a record, and call
 * replay_update() only once its tag has verified, or a forged record with a
 * high number would lock the real peer out.
 *
 * The window is a ring of 64-bit words (the way of RFC 6479: no shifting). One
 * word is always in transition, so it covers REPLAY_WINDOW numbers below the
 * highest one seen. That is far more than any client's own window, because
 * batching and several queues reorder more than a wire does.
 */
#ifndef WORKER_REPLAY_H
#define WORKER_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REPLAY_WORDS 32u
#define REPLAY_WINDOW ((REPLAY_WORDS - 1) * 64)

/* All zero is an empty window. */
struct replay {
	uint64_t top; /* highest number seen, plus one; 0: none yet */
	uint64_t seen[REPLAY_WORDS];
};

/* May a record with this number (48 bits) be new? */
static inline bool
replay_check(const struct replay *r, uint64_t seq)
{
	if (seq >= r->top)
		return true;
	if (r->top - 1 - seq >= REPLAY_WINDOW)
		return false;
	return !(r->seen[seq / 64 % REPLAY_WORDS] >> (seq % 64) & 1);
}

/* The record is genuine: remember it. Only after replay_check() said yes. */
static inline void
replay_update(struct replay *r, uint64_t seq)
{
	if (seq >= r->top) {
		uint64_t word = seq / 64;
		uint64_t was = r->top > 0 ? (r->top - 1) / 64 : 0;
		if (word - was >= REPLAY_WORDS)
			memset(r->seen, 0, sizeof(r->seen));
		else
			while (was++ < word)
				r->seen[was % REPLAY_WORDS] = 0;
		r->top = seq + 1;
	}
	r->seen[seq / 64 % REPLAY_WORDS] |= UINT64_C(1) << (seq % 64);
}

#endif
