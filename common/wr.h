/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* wr.h -- the writing cursor, the twin of rd.h.
 *
 * Integers are big-endian. The error sticks: a write that does not fit sets
 * is_full and writes nothing; ask wr_full() once at the end.
 */
#ifndef COMMON_WR_H
#define COMMON_WR_H

#include "common/span.h"

#include <stdarg.h>
#include <stdio.h>

struct wr {
	uint8_t *p;
	size_t cap;
	size_t n;
	bool is_full;
};

static inline struct wr
wr_open(void *buf, size_t cap)
{
	return (struct wr){ .p = buf, .cap = cap };
}

static inline bool
wr_full(const struct wr *w)
{
	return w->is_full;
}

static inline struct span
wr_span(const struct wr *w)
{
	return (struct span){ .p = w->p, .n = w->n };
}

/* Room for n bytes to be filled by the caller, or NULL. */
static inline uint8_t *
wr_room(struct wr *w, size_t n)
{
	if (w->is_full || w->cap - w->n < n) {
		w->is_full = true;
		return NULL;
	}
	uint8_t *at = w->p + w->n;
	w->n += n;
	return at;
}

static inline void
wr_bytes(struct wr *w, const void *p, size_t n)
{
	uint8_t *at = wr_room(w, n);
	if (at && n > 0)
		memcpy(at, p, n);
}

static inline void
wr_put(struct wr *w, struct span s)
{
	wr_bytes(w, s.p, s.n);
}

static inline void
wr_str(struct wr *w, const char *s)
{
	wr_bytes(w, s, strlen(s));
}

static inline void
wr_uint(struct wr *w, uint64_t v, size_t bytes)
{
	uint8_t *at = wr_room(w, bytes);
	for (size_t i = 0; at && i < bytes; i++)
		at[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

static inline void
wr_u8(struct wr *w, uint8_t v)
{
	wr_uint(w, v, 1);
}
static inline void
wr_u16(struct wr *w, uint16_t v)
{
	wr_uint(w, v, 2);
}
static inline void
wr_u24(struct wr *w, uint32_t v)
{
	wr_uint(w, v, 3);
}
static inline void
wr_u32(struct wr *w, uint32_t v)
{
	wr_uint(w, v, 4);
}
static inline void
wr_u48(struct wr *w, uint64_t v)
{
	wr_uint(w, v, 6);
}
static inline void
wr_u64(struct wr *w, uint64_t v)
{
	wr_uint(w, v, 8);
}

/* printf into the cursor, without the final NUL. */
__attribute__((format(printf, 2, 3))) static inline void
wr_fmt(struct wr *w, const char *fmt, ...)
{
	if (w->is_full)
		return;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf((char *)w->p + w->n, w->cap - w->n, fmt, ap);
	va_end(ap);
	/* vsnprintf needs one byte for its NUL; a text that fits only without
	 * it counts as full, which costs nobody anything. */
	if (n < 0 || (size_t)n >= w->cap - w->n)
		w->is_full = true;
	else
		w->n += (size_t)n;
}

#endif
