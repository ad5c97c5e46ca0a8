/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/schedule.h"

static uint64_t
doubled(uint64_t first, unsigned times, uint64_t most)
{
	while (times-- > 0 && first < most)
		first *= 2;
	return first < most ? first : most;
}

static uint64_t
last_change(const struct schedule *s)
{
	return s->changed_ms[(s->changes - 1) % SCHEDULE_FLAPS];
}

/* The hold-down at this number of changes. */
static uint64_t
hold_ms(const struct schedule *s)
{
	uint64_t first = s->min_interval_ms > SCHEDULE_HOLD_MIN_MS
				 ? s->min_interval_ms
				 : SCHEDULE_HOLD_MIN_MS;

	return doubled(first, s->changes - SCHEDULE_FLAPS, SCHEDULE_HOLD_MAX_MS);
}

/* After a quiet time everything begins anew. */
static void
forget_old(struct schedule *s, uint64_t now_ms)
{
	uint64_t quiet = SCHEDULE_FLAP_MS;

	if (s->changes == 0)
		return;
	if (s->is_flapping && hold_ms(s) > quiet)
		quiet = hold_ms(s);
	if (now_ms - last_change(s) >= quiet) {
		s->changes = 0;
		s->is_flapping = false;
	}
}

bool
schedule_changed(struct schedule *s, uint64_t now_ms)
{
	forget_old(s, now_ms);
	s->changed_ms[s->changes % SCHEDULE_FLAPS] = now_ms;
	s->changes++;
	if (s->is_flapping || s->changes < SCHEDULE_FLAPS)
		return false;
	/* The oldest of the last ones. */
	if (now_ms - s->changed_ms[s->changes % SCHEDULE_FLAPS] > SCHEDULE_FLAP_MS)
		return false;
	s->is_flapping = true;
	return true;
}

uint64_t
schedule_due(struct schedule *s, uint64_t now_ms)
{
	uint64_t due = now_ms;

	forget_old(s, now_ms);
	if (s->written_ms != 0 && s->written_ms + s->min_interval_ms > due)
		due = s->written_ms + s->min_interval_ms;
	if (s->is_flapping && last_change(s) + hold_ms(s) > due)
		due = last_change(s) + hold_ms(s);
	return due;
}

void
schedule_written(struct schedule *s, uint64_t now_ms)
{
	s->written_ms = now_ms;
}

uint64_t
schedule_failed(struct schedule *s)
{
	return doubled(SCHEDULE_RETRY_MS, s->failures++, SCHEDULE_RETRY_MAX_MS);
}

void
schedule_well(struct schedule *s)
{
	s->failures = 0;
}
