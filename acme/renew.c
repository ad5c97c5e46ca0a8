/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/renew.h"

#include <stddef.h>

enum {
	HOUR_S = 3600,
	DAY_S = 24 * HOUR_S,
	JITTER_PART = 20, /* of the lifetime */
	REST_PART = 50,
	REST_LEAST_S = 5,
	POLL_FIRST_MS = 200,
	POLL_LAST_MS = 5000,
	POLL_ASKED_MS = 60 * 1000,
};

static const struct {
	uint64_t first_s, last_s;
} waits[] = {
	[RENEW_UNREACHED] = { 5, HOUR_S },
	[RENEW_REFUSED] = { 60, 6L * HOUR_S },
};

int64_t
renew_at(int64_t not_before, int64_t not_after, uint32_t random)
{
	int64_t life = not_after - not_before;

	if (life <= 0)
		return not_before;
	return not_before + life * 2 / 3 -
	       (int64_t)(random % (uint64_t)(life / JITTER_PART + 1));
}

int64_t
renew_in_window(int64_t start, int64_t end, int64_t now, uint32_t random)
{
	int64_t at = start + (int64_t)(random % (uint64_t)(end - start + 1));

	return at < now ? now : at;
}

int64_t
renew_ask_again_s(uint64_t retry_after_s)
{
	/* RFC 9773 4.3.1: honoured, but not to the extremes. */
	if (retry_after_s == 0)
		return 6L * HOUR_S;
	return retry_after_s < 60      ? 60
	       : retry_after_s > DAY_S ? DAY_S
				       : (int64_t)retry_after_s;
}

int64_t
renew_rest_s(int64_t left_s)
{
	int64_t s = left_s / REST_PART;

	return s < REST_LEAST_S ? REST_LEAST_S : s;
}

uint64_t
renew_backoff_s(enum renew_failure kind, unsigned n, uint64_t retry_after_s,
		uint32_t random)
{
	uint64_t s = waits[kind].first_s, last = waits[kind].last_s;

	for (unsigned i = 1; i < n && s < last; i++)
		s *= 2;
	if (s > last)
		s = last;
	if (retry_after_s > DAY_S)
		retry_after_s = DAY_S;
	if (s < retry_after_s)
		s = retry_after_s;
	return s + random % (s / 10 + 1);
}

uint64_t
renew_poll_ms(unsigned n, uint64_t retry_after_s)
{
	uint64_t ms = POLL_FIRST_MS;

	if (retry_after_s > 0)
		return retry_after_s > POLL_ASKED_MS / 1000 ? POLL_ASKED_MS
							    : retry_after_s * 1000;
	for (unsigned i = 1; i < n && ms < POLL_LAST_MS; i++)
		ms *= 2;
	return ms > POLL_LAST_MS ? POLL_LAST_MS : ms;
}
