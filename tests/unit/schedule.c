/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* When a record may be written: the interval, back-off, and addresses that flap. */
#include "ddns/schedule.h"

#include "tests/lib/tap.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static void
the_first_write_goes_at_once(void)
{
	struct schedule s = { .min_interval_ms = 10 * SECOND };

	is_int(schedule_due(&s, 5000), 5000, "nothing was written yet");
	schedule_written(&s, 5000);
	is_int(schedule_due(&s, 6000), 15000, "the next keeps its distance");
	is_int(schedule_due(&s, 20000), 20000, "later: at once again");
	s.min_interval_ms = 0;
	is_int(schedule_due(&s, 5001), 5001, "no interval is none");
}

static void
failures_wait_longer_and_longer(void)
{
	struct schedule s = { .failures = 0 };
	uint64_t was = 0, sum = 0;

	for (int i = 0; i < 40; i++) {
		uint64_t wait = schedule_failed(&s);
		if (wait < was || wait > SCHEDULE_RETRY_MAX_MS)
			ok(false, "wait %d", i);
		was = wait;
		sum += wait;
	}
	is_int(was, SCHEDULE_RETRY_MAX_MS, "up to a bound");
	ok(sum > 4 * 3600 * SECOND, "40 tries take hours");
	schedule_well(&s);
	is_int(schedule_failed(&s), SCHEDULE_RETRY_MS, "anew after a success");
}

static void
an_address_that_flaps_is_held_down(void)
{
	struct schedule s = { .min_interval_ms = 0 };
	uint64_t now = MINUTE, due = 0, was = 0;
	int told = 0;

	for (int i = 1; i < SCHEDULE_FLAPS; i++, now += SECOND) {
		ok(!schedule_changed(&s, now), "change %d is no flapping", i);
		is_int(schedule_due(&s, now), now, "and goes at once");
	}
	for (int i = 0; i < 20; i++, now += SECOND) {
		told += schedule_changed(&s, now);
		due = schedule_due(&s, now) - now;
		ok(due >= was && due >= SCHEDULE_HOLD_MIN_MS &&
			   due <= SCHEDULE_HOLD_MAX_MS,
		   "change %d waits %llu ms", SCHEDULE_FLAPS + i,
		   (unsigned long long)due);
		was = due;
	}
	is_int(told, 1, "it is told once");
	is_int(due, SCHEDULE_HOLD_MAX_MS, "in the end ten minutes");
	/* The same address for so long: it goes out, and all is forgotten. */
	now += SCHEDULE_HOLD_MAX_MS;
	is_int(schedule_due(&s, now), now, "standing still lets it out");
	ok(!s.is_flapping, "it is no flapping any more");
	ok(!schedule_changed(&s, now + SECOND), "and a change is the first again");
	is_int(schedule_due(&s, now + SECOND), now + SECOND, "it goes at once");
}

static void
slow_changes_are_no_flapping(void)
{
	struct schedule s = { .min_interval_ms = 0 };
	uint64_t now = MINUTE;

	for (int i = 0; i < 50; i++, now += 2 * MINUTE)
		if (schedule_changed(&s, now) || schedule_due(&s, now) != now)
			ok(false, "change %d", i);
	ok(!s.is_flapping, "one change in two minutes is none");
}

int
main(void)
{
	the_first_write_goes_at_once();
	failures_wait_longer_and_longer();
	an_address_that_flaps_is_held_down();
	slow_changes_are_no_flapping();
	return done_testing();
}
