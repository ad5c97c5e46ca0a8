/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A bucket lets through its rate, whatever the packets, and a short burst. */
#include "vpnd/worker/bucket.h"

#include "tests/lib/tap.h"

/* Offered: packets of `bytes`, `per_ms` of them every ms. What gets through in
 * `seconds`, after a first one that fills and empties it. */
static uint64_t
through(struct bucket *b, size_t bytes, unsigned per_ms, unsigned seconds,
	unsigned turn_ms)
{
	uint64_t now = 1000, got = 0;

	bucket_set(b, b->rate, now);
	for (uint64_t end = now + 1000 + (uint64_t)seconds * 1000; now < end;
	     now += turn_ms)
		for (unsigned i = 0; i < per_ms * turn_ms; i++)
			if (bucket_take(b, bytes, now) && now >= 2000)
				got += bytes;
	return got;
}

static void
the_average_is_the_rate(void)
{
	static const uint64_t rates[] = { 12500,   100000,   125000,
					  1250000, 12500000, 125000000 };
	static const size_t sizes[] = { 40, 200, 1434 };

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (unsigned turn = 1; turn <= 20; turn += 19) {
				struct bucket b = { .rate = rates[r] };
				unsigned n = (unsigned)(rates[r] / sizes[s] / 500) + 2;
				uint64_t got = through(&b, sizes[s], n, 10, turn);
				double off = (double)got / (double)(rates[r] * 10) - 1;
				ok(off < 0.05 && off > -0.05,
				   "%llu bytes/s of %zu each, a turn of %u ms: "
				   "%+.2f percent",
				   (unsigned long long)rates[r], sizes[s], turn,
				   off * 100);
			}
}

static void
below_the_rate_nothing_is_lost(void)
{
	struct bucket b = { .rate = 1250000 };

	is_int(through(&b, 1000, 1, 10, 1), 10000 * 1000,
	       "four fifths of it: all of it");
}

static void
silence_allows_a_burst_and_no_more(void)
{
	struct bucket b;
	unsigned n = 0;

	bucket_set(&b, 10000000, 0);
	while (bucket_take(&b, 1000, UINT64_C(1) << 40))
		n++;
	is_int(n, 500, "50 ms of the rate, after years");
	bucket_set(&b, 100, 0);
	for (n = 0; bucket_take(&b, 1000, 3600000); n++)
		;
	is_int(n, 17, "at the lowest rates 16 KiB");
}

static void
no_limit_is_none(void)
{
	struct bucket b;
	bool all = true;

	bucket_set(&b, 0, 0);
	for (int i = 0; i < 1000; i++)
		all &= bucket_take(&b, 65535, 0);
	ok(all, "rate 0");
}

int
main(void)
{
	the_average_is_the_rate();
	below_the_rate_nothing_is_lost();
	silence_allows_a_burst_and_no_more();
	no_limit_is_none();
	return done_testing();
}
