/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/merge.h"
#include "tests/lib/tap.h"

static struct version
version(uint64_t generation, bool by_primary, char content)
{
	struct version v = { .generation = generation, .by_primary = by_primary };

	v.sha[0] = (uint8_t)content;
	return v;
}

static void
higher_generation_wins(void)
{
	struct version one = version(1, true, 'a'), two = version(2, false, 'b'),
		       none = { 0 };

	is_int(merge_versions(&one, &two), MERGE_TAKE, "theirs is newer");
	is_int(merge_versions(&two, &one), MERGE_KEEP, "mine is newer");
	is_int(merge_versions(&none, &one), MERGE_TAKE, "anything beats nothing");
	is_int(merge_versions(&one, &one), MERGE_SAME, "nothing to do");
}

static void
at_equal_generation_the_primary_wins_and_the_loser_is_kept(void)
{
	struct version p = version(3, true, 'a'), s = version(3, false, 'b');

	is_int(merge_versions(&p, &s), MERGE_KEEP, "on the primary");
	is_int(merge_versions(&s, &p), MERGE_TAKE_LOST, "on the spare");
}

static void
work_done_alone_is_kept_when_it_loses(void)
{
	struct version solo = version(1, false, 'a'), more = version(4, true, 'b');

	solo.is_solo = true;
	is_int(merge_versions(&solo, &more), MERGE_TAKE_LOST, "kept");
	more.sha[0] = 'a';
	is_int(merge_versions(&solo, &more), MERGE_TAKE, "the same bytes are not lost");
}

/* Every pair of versions two writers can have made: whoever tells whom, both end up
 * with the same one, and telling again changes nothing. */
static void
both_sides_agree_in_every_order(void)
{
	struct version all[64];
	size_t n = 0;
	unsigned bad = 0;

	for (uint64_t g = 0; g < 3; g++)
		for (int by = 0; by < 2; by++)
			for (char c = 'a'; c < 'd'; c++)
				for (int flags = 0; flags < 3; flags++) {
					all[n] = version(g, by, c);
					all[n].is_removed = flags == 1;
					all[n].is_solo = flags == 2;
					n++;
				}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			enum merge ik = merge_versions(&all[i], &all[k]),
				   ki = merge_versions(&all[k], &all[i]);
			bool i_stays = ik == MERGE_KEEP, k_stays = ki == MERGE_KEEP;
			bool same = ik == MERGE_SAME && ki == MERGE_SAME;
			bool take = (ik == MERGE_TAKE || ik == MERGE_TAKE_LOST) ||
				    (ki == MERGE_TAKE || ki == MERGE_TAKE_LOST);
			bad += !(same || (i_stays != k_stays && take));
		}
	is_int(bad, 0, "%zu pairs", n * n);
}

/* Two writers, two writes each, every interleaving through one order of delivery. */
static void
one_generation_is_given_once_in_all_orders(void)
{
	unsigned bad = 0, orders = 0;

	for (unsigned order = 0; order < 16; order++) {
		if (__builtin_popcount(order) != 2)
			continue;
		for (unsigned views = 0; views < 16; views++, orders++) {
			struct version there = { 0 };
			unsigned seen[8] = { 0 };
			for (unsigned i = 0; i < 4; i++) {
				bool first = order >> i & 1;
				/* What the writer believed to be there when it sent:
				 * the present, or one write behind. */
				uint64_t base = there.generation;
				if (views >> i & 1 && base > 0)
					base--;
				if (!merge_put_ok(&there, base + 1, base))
					continue;
				there = version(base + 1, first, (char)('a' + i));
				bad += seen[there.generation]++ > 0;
			}
		}
	}
	is_int(bad, 0, "%u orders", orders);
}

static void
a_put_meets_what_it_expects_or_is_refused(void)
{
	static const struct {
		const char *why;
		uint64_t there, generation, base;
		bool removed, want;
	} cases[] = {
		{ "the first", 0, 1, 0, false, true },
		{ "the first, but there is one", 1, 1, 0, false, false },
		{ "the next", 4, 5, 4, false, true },
		{ "too late", 5, 5, 4, false, false },
		{ "too early", 3, 5, 4, false, false },
		{ "any", 7, 8, CLUSTER_ANY, false, true },
		{ "any, but somebody was faster", 8, 8, CLUSTER_ANY, false, false },
		{ "anew after a removal", 6, 7, 0, true, true },
		{ "backwards after a removal", 6, 1, 0, true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct version v = version(cases[i].there, true, 'x');
		v.is_removed = cases[i].removed;
		is_int(merge_put_ok(&v, cases[i].generation, cases[i].base),
		       cases[i].want, "%s", cases[i].why);
	}
}

static void
the_later_expiry_wins_and_never_is_latest(void)
{
	is_int(merge_expiry(5, 9), 9, "later");
	is_int(merge_expiry(9, 5), 9, "either way");
	is_int(merge_expiry(0, 9), 0, "never");
	is_int(merge_expiry(9, 0), 0, "either way");
	ok(merge_is_expired(9, 9), "at its time");
	ok(!merge_is_expired(10, 9), "before it");
	ok(!merge_is_expired(0, UINT64_MAX), "never");
}

int
main(void)
{
	higher_generation_wins();
	at_equal_generation_the_primary_wins_and_the_loser_is_kept();
	work_done_alone_is_kept_when_it_loses();
	both_sides_agree_in_every_order();
	one_generation_is_given_once_in_all_orders();
	a_put_meets_what_it_expects_or_is_refused();
	the_later_expiry_wins_and_never_is_latest();
	return done_testing();
}
