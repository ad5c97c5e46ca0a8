/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What a shaper takes comes out whole, in order, at the rate, and within its bounds. */
#include "vpnd/worker/shaper.h"

#include "tests/lib/tap.h"

#include <string.h>

static uint8_t packet[1500], out[2048];

static void
what_waits_comes_out_in_order_at_the_rate(void)
{
	struct shaper s = { .ring = NULL };
	size_t budget = 1 << 20, n, got = 0;
	unsigned in = 0, next = 0, dropped = 0;
	bool whole = true;
	uint64_t now = 1000;
	uint8_t tos;

	shaper_set(&s, 1000000, now);
	for (; now < 11000; now++) {
		for (int i = 0; i < 3; i++, in++) {
			size_t size = 40 + in * 7 % 1400;
			memset(packet, (int)(in % 251), size);
			memcpy(packet, &in, sizeof(in));
			enum shaper_verdict v = shaper_take(&s, span_of(packet, size),
							    (uint8_t)in, now, &budget);
			if (v == SHAPER_PASS)
				got += size;
			dropped += v == SHAPER_DROPPED;
		}
		while (shaper_next(&s, now, out, sizeof(out), &n, &tos, &budget)) {
			unsigned is;
			memcpy(&is, out, sizeof(is));
			whole &= is >= next && n == 40 + is * 7 % 1400 &&
				 tos == (uint8_t)is && out[n - 1] == is % 251;
			next = is + 1;
			got += n;
		}
	}
	ok(whole, "whole and in order");
	ok(dropped > 1000, "twice the rate: much is dropped");
	ok(got > 9700000 && got < 10300000, "10 s of 1 MB/s: %zu", got);
	is_int((1 << 20) - budget, 100000, "100 ms of the rate wait");
	for (; shaper_waits(&s); now++)
		while (shaper_next(&s, now, out, sizeof(out), &n, &tos, &budget))
			;
	is_int(budget, 1 << 20, "drained, the memory is given back");
}

static void
queues_have_bounds(void)
{
	static const struct {
		uint64_t rate;
		size_t want;
	} cases[] = { { 1000, SHAPER_MIN_BYTES },
		      { 1000000, 100000 },
		      { UINT64_C(12500000000), SHAPER_MAX_BYTES } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct shaper s = { .ring = NULL };
		size_t budget = 1 << 20;
		shaper_set(&s, cases[i].rate, 0);
		while (shaper_take(&s, span_of(packet, 1500), 0, 0, &budget) !=
		       SHAPER_DROPPED)
			;
		is_int((1 << 20) - budget, cases[i].want, "at %llu bytes/s",
		       (unsigned long long)cases[i].rate);
		shaper_free(&s, &budget);
		shaper_free(&s, &budget);
		is_int(budget, 1 << 20, "freed, once");
	}
	struct shaper s = { .ring = NULL };
	size_t budget = 1000;
	shaper_set(&s, 1000, 0);
	ok(shaper_take(&s, span_of(packet, 1500), 0, 0, &budget) == SHAPER_DROPPED,
	   "without memory left for queues it drops");
	ok(budget == 1000 && !shaper_waits(&s), "and takes none");
}

static void
no_limit_passes_everything_and_keeps_nothing(void)
{
	struct shaper s = { .ring = NULL };
	size_t budget = 1 << 20, n;
	uint8_t tos;

	is_int(shaper_take(&s, span_of(packet, 1500), 0, 0, &budget), SHAPER_PASS,
	       "no limit");
	ok(!shaper_next(&s, 0, out, sizeof(out), &n, &tos, &budget), "nothing waits");
	shaper_set(&s, 1000, 0);
	while (shaper_take(&s, span_of(packet, 1500), 0, 0, &budget) != SHAPER_QUEUED)
		;
	shaper_set(&s, 0, 0);
	ok(shaper_next(&s, 0, out, sizeof(out), &n, &tos, &budget) && n == 1500,
	   "a limit taken away frees what waited");
	shaper_free(&s, &budget);
}

int
main(void)
{
	what_waits_comes_out_in_order_at_the_rate();
	queues_have_bounds();
	no_limit_passes_everything_and_keeps_nothing();
	return done_testing();
}
