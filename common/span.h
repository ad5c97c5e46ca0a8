/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* span.h -- borrowed bytes: a pointer and a length.
 *
 * A span owns nothing; it lives as long as the buffer it points into.
 */
#ifndef COMMON_SPAN_H
#define COMMON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

/* A span over a string literal, without its final NUL. */
#define SPAN(lit) ((struct span){ .p = (const uint8_t *)(lit), .n = sizeof(lit) - 1 })

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){ .p = p, .n = n };
}

static inline struct span
span_str(const char *s)
{
	return (struct span){ .p = (const uint8_t *)s, .n = strlen(s) };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_has_prefix(struct span a, const char *prefix)
{
	struct span p = span_str(prefix);

	return a.n >= p.n && memcmp(a.p, p.p, p.n) == 0;
}

static inline bool
span_is(struct span a, const char *s)
{
	return span_eq(a, span_str(s));
}

#endif
