/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* backoff.h -- what a guesser pays, and a user with cold fingers does not.
 *
 * Failures are counted per source (IPv4 address, IPv6 /64), per user, and for
 * wrong one-time codes per user; each count loses one after a while. Above a
 * threshold answers come late; a source far above it is refused at once, so
 * that it costs us no hash. A user is never refused for what others guess:
 * only late, and never by more than two seconds. One-time codes are the
 * exception: who may guess them has the password already.
 *
 * The table is bounded: a new key takes the place of the lowest count among
 * eight, so an attacker who fills it forgets mostly his own.
 *
 * Units: monotonic milliseconds; a count of 1000 is one failure.
 */
#ifndef VPND_AUTH_BACKOFF_H
#define VPND_AUTH_BACKOFF_H

#include "common/ip.h"

enum backoff_kind { BACKOFF_SOURCE, BACKOFF_USER, BACKOFF_CODE, BACKOFF_KINDS };

enum {
	BACKOFF_WAYS = 8,
	BACKOFF_SETS = 1024,
	BACKOFF_KEY = 24,
	BACKOFF_NEWS_MS = 60000, /* one backoff event a minute and key */
};

struct backoff_entry {
	uint8_t key[BACKOFF_KEY];
	uint8_t kind;
	bool is_used;
	uint32_t count;
	uint64_t at_ms; /* when count was right */
	uint64_t news_ms;
};

struct backoff {
	uint8_t seed[16]; /* random: nobody chooses the set his key falls in */
	struct backoff_entry e[BACKOFF_SETS][BACKOFF_WAYS];
};

struct backoff_verdict {
	uint32_t delay_ms; /* answer so much later */
	uint32_t wait_s;   /* not 0: refuse now, and tell to wait so long */
	bool is_news;      /* first refusal in a while: worth an event */
};

/* ~600 KB, zeroed, with a seed. NULL without memory. */
struct backoff *backoff_new(void);
void backoff_free(struct backoff *b);

/* Before the work. is_code: a one-time code is about to be judged. */
struct backoff_verdict backoff_judge(struct backoff *b, const struct ip_addr *source,
				     const char *user, bool is_code, uint64_t now_ms);
void backoff_failed(struct backoff *b, const struct ip_addr *source, const char *user,
		    bool is_code, uint64_t now_ms);
/* The user's counts are forgiven; the source's is not: one account of one's
 * own must not pay for guessing at others. */
void backoff_passed(struct backoff *b, const char *user, uint64_t now_ms);

#endif
