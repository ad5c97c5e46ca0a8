/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The replay window against a plain set of all numbers seen. */
#include "vpnd/worker/replay.h"

#include "tests/lib/tap.h"

static void
the_window_is_wide_enough(void)
{
	ok(REPLAY_WINDOW >= 1024, "at least 1024 numbers");
}

static void
every_number_is_taken_once(void)
{
	struct replay r = { 0 };

	ok(replay_check(&r, 0), "0 is new at first");
	replay_update(&r, 0);
	ok(!replay_check(&r, 0), "0 again is a replay");
	ok(replay_check(&r, 1000), "a jump is fine");
	replay_update(&r, 1000);
	ok(replay_check(&r, 999) && replay_check(&r, 1), "late ones are new");
	replay_update(&r, 1);
	ok(!replay_check(&r, 1), "but once");
	ok(!replay_check(&r, 1000), "the top one too");
}

static void
checking_changes_nothing(void)
{
	struct replay r = { 0 }, was;

	replay_update(&r, 70);
	was = r;
	replay_check(&r, UINT64_C(1) << 47);
	is_mem(&r, &was, sizeof(r), "a forged high number leaves no trace");
	ok(replay_check(&r, 71), "and locks nobody out");
}

static void
the_far_edge_is_exact(void)
{
	struct replay r = { 0 };
	uint64_t top = 100000;

	replay_update(&r, top);
	ok(replay_check(&r, top - REPLAY_WINDOW + 1), "oldest in the window");
	ok(!replay_check(&r, top - REPLAY_WINDOW), "one older is too old");
	ok(!replay_check(&r, 0), "ancient");
	replay_update(&r, (UINT64_C(1) << 48) - 1);
	ok(!replay_check(&r, top), "48 bits and far");
	ok(replay_check(&r, (UINT64_C(1) << 48) - 2), "48 bits and near");
}

static void
it_agrees_with_a_plain_set(void)
{
	enum { N = 2000000 };
	static bool seen[N];
	struct replay r = { 0 };
	uint64_t top = 0, rnd = 88172645463325252u;
	bool agree = true, any = false;

	for (int i = 0; i < 300000 && agree; i++) {
		rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
		/* Half a little ahead, half anywhere behind, now and then a jump. */
		uint64_t far = rnd / 1000, seq = top + 1 + far % 3;
		if (rnd % 1000 == 0)
			seq = top + far % 4000;
		else if (rnd % 2 == 0)
			seq = top - (far % 2140 < top ? far % 2140 : top);
		if (seq >= N)
			break;
		bool want = !seen[seq] && (!any || seq + REPLAY_WINDOW > top);
		agree = replay_check(&r, seq) == want;
		if (want) {
			replay_update(&r, seq);
			seen[seq] = any = true;
			top = seq > top ? seq : top;
		}
	}
	ok(agree, "300,000 steps alike");
	ok(top > 300000, "and they went far: %llu", (unsigned long long)top);
}

int
main(void)
{
	the_window_is_wide_enough();
	every_number_is_taken_once();
	checking_changes_nothing();
	the_far_edge_is_exact();
	it_agrees_with_a_plain_set();
	return done_testing();
}
