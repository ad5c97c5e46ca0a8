/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/shaper.h"

#include <stdlib.h>
#include <string.h>

/* In the ring, before each packet: its length and TOS. */
enum { HEAD = 3 };

void
shaper_set(struct shaper *s, uint64_t rate, uint64_t now_ms)
{
	if (s->bucket.rate != rate)
		bucket_set(&s->bucket, rate, now_ms);
}

static void
ring_put(struct shaper *s, const uint8_t *p, size_t n)
{
	size_t to = (s->at + s->used) % s->cap;
	size_t first = s->cap - to < n ? s->cap - to : n;

	memcpy(s->ring + to, p, first);
	memcpy(s->ring, p + first, n - first);
	s->used += n;
}

static void
ring_get(struct shaper *s, uint8_t *p, size_t n)
{
	size_t first = s->cap - s->at < n ? s->cap - s->at : n;

	memcpy(p, s->ring + s->at, first);
	memcpy(p + first, s->ring, n - first);
	s->at = (s->at + n) % s->cap;
	s->used -= n;
}

static bool
ring_make(struct shaper *s, size_t *budget)
{
	size_t cap = s->bucket.rate / 1000 * SHAPER_MS;

	cap = cap < SHAPER_MIN_BYTES ? SHAPER_MIN_BYTES : cap;
	cap = cap > SHAPER_MAX_BYTES ? SHAPER_MAX_BYTES : cap;
	if (cap > *budget || (s->ring = malloc(cap)) == NULL)
		return false;
	*budget -= cap;
	s->cap = cap;
	s->at = s->used = 0;
	return true;
}

void
shaper_free(struct shaper *s, size_t *budget)
{
	if (s->ring == NULL)
		return;
	*budget += s->cap;
	free(s->ring);
	s->ring = NULL;
}

enum shaper_verdict
shaper_take(struct shaper *s, struct span packet, uint8_t tos, uint64_t now_ms,
	    size_t *budget)
{
	uint8_t head[HEAD] = { (uint8_t)(packet.n >> 8), (uint8_t)packet.n, tos };

	if (s->ring == NULL && bucket_take(&s->bucket, packet.n, now_ms))
		return SHAPER_PASS;
	if (s->ring == NULL && !ring_make(s, budget))
		return SHAPER_DROPPED;
	if (s->used + HEAD + packet.n > s->cap)
		return SHAPER_DROPPED;
	ring_put(s, head, HEAD);
	ring_put(s, packet.p, packet.n);
	return SHAPER_QUEUED;
}

bool
shaper_next(struct shaper *s, uint64_t now_ms, uint8_t *buf, size_t cap, size_t *n,
	    uint8_t *tos, size_t *budget)
{
	uint8_t head[HEAD];

	if (s->ring == NULL)
		return false;
	if (s->used == 0) {
		shaper_free(s, budget);
		return false;
	}
	size_t size = (size_t)s->ring[s->at] << 8 | s->ring[(s->at + 1) % s->cap];
	if (size > cap || !bucket_take(&s->bucket, size, now_ms))
		return false;
	ring_get(s, head, HEAD);
	ring_get(s, buf, size);
	*n = size;
	*tos = head[2];
	return true;
}
