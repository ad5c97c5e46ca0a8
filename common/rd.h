/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* rd.h -- the reading cursor: with wr.h the only code that indexes wire bytes.
 *
 * Integers are big-endian. The error sticks: after the first short read every
 * read yields zero or an empty span, so a parser reads straight down and asks
 * rd_short() once.
 */
#ifndef COMMON_RD_H
#define COMMON_RD_H

#include "common/span.h"

struct rd {
	const uint8_t *p;
	size_t n;
	bool is_short;
};

static inline struct rd
rd_open(struct span in)
{
	return (struct rd){ .p = in.p, .n = in.n };
}

static inline bool
rd_short(const struct rd *r)
{
	return r->is_short;
}

static inline size_t
rd_left(const struct rd *r)
{
	return r->is_short ? 0 : r->n;
}

/* The next n bytes, borrowed from the input. */
static inline struct span
rd_take(struct rd *r, size_t n)
{
	if (r->is_short || r->n < n) {
		r->is_short = true;
		return (struct span){ 0 };
	}
	struct span s = { .p = r->p, .n = n };
	r->p += n;
	r->n -= n;
	return s;
}

/* All that is left; the cursor is then at the end. */
static inline struct span
rd_rest(struct rd *r)
{
	return rd_take(r, rd_left(r));
}

static inline uint64_t
rd_uint(struct rd *r, size_t bytes)
{
	struct span s = rd_take(r, bytes);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | s.p[i];
	return v;
}

static inline uint8_t
rd_u8(struct rd *r)
{
	return (uint8_t)rd_uint(r, 1);
}
static inline uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)rd_uint(r, 2);
}
static inline uint32_t
rd_u24(struct rd *r)
{
	return (uint32_t)rd_uint(r, 3);
}
static inline uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)rd_uint(r, 4);
}
static inline uint64_t
rd_u48(struct rd *r)
{
	return rd_uint(r, 6);
}
static inline uint64_t
rd_u64(struct rd *r)
{
	return rd_uint(r, 8);
}

/* Copy exactly n bytes out; zeroes when short. */
static inline void
rd_copy(struct rd *r, void *to, size_t n)
{
	struct span s = rd_take(r, n);
	if (s.n == n && n > 0)
		memcpy(to, s.p, n);
	else
		memset(to, 0, n);
}

#endif
