/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/backoff.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum { ONE = 1000, FIRST_DELAY_MS = 250 };

static const struct {
	uint32_t free;      /* failures that cost nothing */
	uint32_t refuse;    /* 0: never */
	uint32_t most;      /* counted no further */
	uint32_t forget_ms; /* one failure is forgotten in this time */
	uint32_t delay_max_ms;
} rule[BACKOFF_KINDS] = {
	[BACKOFF_SOURCE] = { 5 * ONE, 20 * ONE, 40 * ONE, 15000, 8000 },
	[BACKOFF_USER] = { 8 * ONE, 0, 30 * ONE, 30000, 2000 },
	[BACKOFF_CODE] = { 5 * ONE, 20 * ONE, 30 * ONE, 30000, 8000 },
};

struct backoff *
backoff_new(void)
{
	struct backoff *b = calloc(1, sizeof(*b));

	if (b != NULL && RAND_bytes(b->seed, sizeof(b->seed)) != 1) {
		free(b);
		return NULL;
	}
	return b;
}

void
backoff_free(struct backoff *b)
{
	free(b);
}

/* A keyed digest names the entry: as long for every name, and its head is the
 * set. Unknown users get entries like known ones. */
static void
make_key(const struct backoff *b, enum backoff_kind kind, const struct ip_addr *source,
	 const char *user, uint8_t key[BACKOFF_KEY])
{
	uint8_t buf[16 + 2 + 256] = { 0 }, digest[32];
	size_t n = 18;

	memcpy(buf, b->seed, sizeof(b->seed));
	buf[16] = (uint8_t)kind;
	if (kind == BACKOFF_SOURCE) {
		buf[17] = source->family;
		memcpy(buf + n, source->b, source->family == 6 ? 8 : 4);
		n += 8;
	} else {
		size_t len = strnlen(user, 255);
		memcpy(buf + n, user, len);
		n += len;
	}
	if (EVP_Digest(buf, n, digest, NULL, EVP_sha256(), NULL) != 1)
		memset(digest, 0, sizeof(digest)); /* one crowded set, no hole */
	memcpy(key, digest, BACKOFF_KEY);
}

static void
age(struct backoff_entry *e, uint64_t now_ms)
{
	uint64_t passed = now_ms > e->at_ms ? now_ms - e->at_ms : 0;
	uint64_t gone = passed * ONE / rule[e->kind].forget_ms;

	if (gone == 0)
		return; /* at_ms stays, so that short steps add up */
	e->count = gone >= e->count ? 0 : e->count - (uint32_t)gone;
	e->at_ms = now_ms;
}

static struct backoff_entry *
find(struct backoff *b, enum backoff_kind kind, const struct ip_addr *source,
     const char *user, uint64_t now_ms, bool make)
{
	uint8_t key[BACKOFF_KEY];

	make_key(b, kind, source, user, key);
	struct backoff_entry *set = b->e[(key[0] << 8 | key[1]) % BACKOFF_SETS],
			     *least = set;
	for (unsigned i = 0; i < BACKOFF_WAYS; i++) {
		struct backoff_entry *e = &set[i];
		if (!e->is_used) {
			least = least->is_used ? e : least;
			continue;
		}
		age(e, now_ms);
		if (e->kind == kind && memcmp(e->key, key, sizeof(key)) == 0)
			return e;
		if (least->is_used &&
		    (e->count < least->count ||
		     (e->count == least->count && e->at_ms < least->at_ms)))
			least = e;
	}
	if (!make)
		return NULL;
	*least = (struct backoff_entry){ .kind = (uint8_t)kind,
					 .is_used = true,
					 .at_ms = now_ms };
	memcpy(least->key, key, sizeof(key));
	return least;
}

static void
judge_one(struct backoff_entry *e, uint64_t now_ms, struct backoff_verdict *v)
{
	if (e == NULL || e->count < rule[e->kind].free)
		return;
	uint32_t over = (e->count - rule[e->kind].free) / ONE,
		 most = rule[e->kind].delay_max_ms;
	uint32_t delay = over >= 6 ? most : (uint32_t)FIRST_DELAY_MS << over;
	if (delay > most)
		delay = most;
	if (delay > v->delay_ms)
		v->delay_ms = delay;
	uint32_t line = rule[e->kind].refuse;
	if (line == 0 || e->count < line)
		return;
	uint32_t wait = (uint32_t)((uint64_t)(e->count - line + ONE) *
				   rule[e->kind].forget_ms / ONE / 1000);
	if (wait > v->wait_s)
		v->wait_s = wait > 0 ? wait : 1;
	if (e->news_ms == 0 || now_ms - e->news_ms >= BACKOFF_NEWS_MS) {
		e->news_ms = now_ms > 0 ? now_ms : 1;
		v->is_news = true;
	}
}

struct backoff_verdict
backoff_judge(struct backoff *b, const struct ip_addr *source, const char *user,
	      bool is_code, uint64_t now_ms)
{
	struct backoff_verdict v = { 0 };

	judge_one(find(b, BACKOFF_SOURCE, source, NULL, now_ms, false), now_ms, &v);
	judge_one(find(b, BACKOFF_USER, NULL, user, now_ms, false), now_ms, &v);
	if (is_code)
		judge_one(find(b, BACKOFF_CODE, NULL, user, now_ms, false), now_ms, &v);
	return v;
}

static void
count(struct backoff_entry *e)
{
	e->count += ONE;
	if (e->count > rule[e->kind].most)
		e->count = rule[e->kind].most;
}

void
backoff_failed(struct backoff *b, const struct ip_addr *source, const char *user,
	       bool is_code, uint64_t now_ms)
{
	count(find(b, BACKOFF_SOURCE, source, NULL, now_ms, true));
	count(find(b, BACKOFF_USER, NULL, user, now_ms, true));
	if (is_code)
		count(find(b, BACKOFF_CODE, NULL, user, now_ms, true));
}

void
backoff_passed(struct backoff *b, const char *user, uint64_t now_ms)
{
	for (int kind = BACKOFF_USER; kind <= BACKOFF_CODE; kind++) {
		struct backoff_entry *e =
			find(b, (enum backoff_kind)kind, NULL, user, now_ms, false);
		if (e != NULL)
			*e = (struct backoff_entry){ 0 };
	}
}
