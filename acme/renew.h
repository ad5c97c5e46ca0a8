/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* renew.h -- when: of a renewal, and of the next attempt after a failure. Pure; random
 * numbers are arguments, so that tests know what comes out.
 *
 * Units: seconds; times since 1970, wall clock.
 */
#ifndef ACME_RENEW_H
#define ACME_RENEW_H

#include <stdint.h>

/* Two thirds of the lifetime, or up to a twentieth of it before: not every gateway asks
 * at the same moment. */
int64_t renew_at(int64_t not_before, int64_t not_after, uint32_t random);

/* RFC 9773 4.2: a random moment of the window; one that is over means now. */
int64_t renew_in_window(int64_t start, int64_t end, int64_t now, uint32_t random);
/* When to ask for the window again, from the answer's Retry-After (0: it had none). */
int64_t renew_ask_again_s(uint64_t retry_after_s);

/* How long a certificate that was just got is kept whatever anybody says, from what is
 * left of its life: an authority that says "renew now" of each, or whose certificates
 * are old when they come, would have us order without end. */
int64_t renew_rest_s(int64_t left_s);

/* The wait after failure number n (1, 2, ...) in a row. An authority that cannot be
 * reached is asked again soon; one that said no is let alone longer, since authorities
 * count that. retry_after_s: the least it asked for, 0 none. Both are capped. */
enum renew_failure { RENEW_UNREACHED, RENEW_REFUSED };
uint64_t renew_backoff_s(enum renew_failure kind, unsigned n, uint64_t retry_after_s,
			 uint32_t random);

/* Milliseconds before poll number n (1, 2, ...) of something that is being worked on:
 * 200 doubling to 5000, or what the answer's Retry-After says, up to a minute. */
uint64_t renew_poll_ms(unsigned n, uint64_t retry_after_s);

#endif
