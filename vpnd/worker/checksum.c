/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/checksum.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Below this the wide loop costs more than it saves. */
enum { WIDE_FROM = 128 };

/* The end of every sum: what is left after the wide loop. `to` may be NULL. */
static inline uint64_t
sum_tail(uint8_t *to, const uint8_t *p, size_t n)
{
	uint64_t sum = 0;
	uint32_t w;

	if (to != NULL && n > 0)
		memcpy(to, p, n);
	for (; n >= 4; p += 4, n -= 4) {
		memcpy(&w, p, 4);
		sum += w;
	}
	if (n > 0) {
		w = 0;
		/* 1 to 3 bytes: zeroes behind them change no sum, and keep each
		 * byte's place in its word. */
		memcpy(&w, p, n);
		sum += w;
	}
	return sum;
}

#ifdef __x86_64__

/* 64 bytes a turn: each 64-bit lane takes two 32-bit words, so that no carry is
 * ever lost. `to` is NULL or known to the compiler: it is inlined twice. */
__attribute__((target("avx2"), always_inline)) static inline uint64_t
sum_avx2(uint8_t *to, const uint8_t *p, size_t n)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	uint64_t lane[4];
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		__m256i x = _mm256_loadu_si256((const __m256i *)(p + i));
		__m256i y = _mm256_loadu_si256((const __m256i *)(p + i + 32));
		if (to != NULL) {
			_mm256_storeu_si256((__m256i *)(to + i), x);
			_mm256_storeu_si256((__m256i *)(to + i + 32), y);
		}
		a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
		b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
		c = _mm256_add_epi64(c, _mm256_and_si256(y, low));
		d = _mm256_add_epi64(d, _mm256_srli_epi64(y, 32));
	}
	a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
	_mm256_storeu_si256((__m256i *)lane, a);
	return lane[0] + lane[1] + lane[2] + lane[3] +
	       sum_tail(to == NULL ? NULL : to + i, p + i, n - i);
}

__attribute__((target("avx2"))) static uint64_t
wide_sum(const uint8_t *p, size_t n)
{
	return sum_avx2(NULL, p, n);
}

__attribute__((target("avx2"))) static uint64_t
wide_copy(uint8_t *to, const uint8_t *p, size_t n)
{
	return sum_avx2(to, p, n);
}

static inline int
is_wide(size_t n)
{
	return n >= WIDE_FROM && __builtin_cpu_supports("avx2");
}

#else

static uint64_t
wide_sum(const uint8_t *p, size_t n)
{
	return sum_tail(NULL, p, n);
}

static uint64_t
wide_copy(uint8_t *to, const uint8_t *p, size_t n)
{
	return sum_tail(to, p, n);
}

static inline int
is_wide(size_t n)
{
	return 0;
}

#endif

uint64_t
checksum_sum(const void *p, size_t n)
{
	return is_wide(n) ? wide_sum(p, n) : sum_tail(NULL, p, n);
}

uint64_t
checksum_copy(void *to, const void *from, size_t n)
{
	return is_wide(n) ? wide_copy(to, from, n) : sum_tail(to, from, n);
}
