/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* schedule.h -- when a record may be written, and when a failed try is repeated.
 *
 * Three bounds: the shortest interval between two writes; after a failure a wait that
 * doubles, or the one the failure asks for; and while the address flaps a hold-down: it
 * must have stood still for a while, which doubles with each change, before it is
 * written. What is first after a quiet time goes at once.
 *
 * Units: milliseconds, monotonic; time is an argument.
 */
#ifndef DDNS_SCHEDULE_H
#define DDNS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SCHEDULE_FLAP_MS = 5 * 60 * 1000, /* so many changes within this time */
	SCHEDULE_FLAPS = 4,
	SCHEDULE_HOLD_MIN_MS = 2000,
	SCHEDULE_HOLD_MAX_MS = 10 * 60 * 1000,
	SCHEDULE_RETRY_MS = 2000, /* after the first failure; doubles */
	SCHEDULE_RETRY_MAX_MS = 10 * 60 * 1000,
};

struct schedule {
	uint64_t min_interval_ms;
	uint64_t written_ms;                 /* 0: never */
	uint64_t changed_ms[SCHEDULE_FLAPS]; /* the latest, a ring */
	unsigned changes;                    /* since the last quiet time */
	unsigned failures;                   /* in a row */
	bool is_flapping;
};

/* The address to publish is another one. True when this begins a flapping. */
bool schedule_changed(struct schedule *s, uint64_t now_ms);
/* When the next write may go; now_ms or before: at once. */
uint64_t schedule_due(struct schedule *s, uint64_t now_ms);
void schedule_written(struct schedule *s, uint64_t now_ms);
/* How long to wait after a failure that asks for no wait of its own. */
uint64_t schedule_failed(struct schedule *s);
void schedule_well(struct schedule *s); /* no failure any more */

#endif
