/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* shaper.h -- one session's speed, one way: a token bucket and a short queue.
 *
 * Dropping alone is no limit for TCP: on a LAN's round trip its window is then a
 * packet or two, every loss waits for a timer, and it gets a third of the rate. The
 * queue gives it a round trip to work with: SHAPER_MS of the rate, within
 * SHAPER_MIN_BYTES and SHAPER_MAX_BYTES. What does not fit is dropped, newest first.
 *
 *   switch (shaper_take(&s, packet, tos, now, &budget)) ...
 *   on a timer: while (shaper_next(&s, now, buf, cap, &n, &tos)) send it
 *
 * Units:      bytes (of the inner packet); bytes per second; milliseconds.
 * Ownership:  the queue is made when it is needed and freed when it is empty.
 *             `budget` is what all queues of a worker may still take.
 */
#ifndef WORKER_SHAPER_H
#define WORKER_SHAPER_H

#include "common/span.h"
#include "vpnd/worker/bucket.h"

#define SHAPER_MS 100u
#define SHAPER_MIN_BYTES 32768u
#define SHAPER_MAX_BYTES 262144u

enum shaper_verdict { SHAPER_PASS, SHAPER_QUEUED, SHAPER_DROPPED };

struct shaper {
	struct bucket bucket;
	uint8_t *ring; /* NULL: nothing waits */
	size_t cap, at, used;
};

/* rate 0: no limit. What waits goes on to wait for its turn. */
void shaper_set(struct shaper *, uint64_t rate, uint64_t now_ms);

/* May this packet go now? If it is queued, a copy of it is. */
enum shaper_verdict shaper_take(struct shaper *, struct span packet, uint8_t tos,
				uint64_t now_ms, size_t *budget);

/* The next one whose time has come, copied to buf; false: none yet. */
bool shaper_next(struct shaper *, uint64_t now_ms, uint8_t *buf, size_t cap, size_t *n,
		 uint8_t *tos, size_t *budget);

static inline bool
shaper_waits(const struct shaper *s)
{
	return s->ring != NULL;
}

void shaper_free(struct shaper *, size_t *budget);

#endif
