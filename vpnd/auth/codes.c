/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/codes.h"

#include "common/err.h"
#include "common/rd.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

/* Neither the name nor the secret can be had from it. */
static void
key_of(const struct user *u, uint8_t key[CODES_KEY])
{
	uint8_t mac[EVP_MAX_MD_SIZE] = { 0 };

	(void)HMAC(EVP_sha256(), u->totp, (int)strlen(u->totp),
		   (const uint8_t *)u->name, strlen(u->name), mac, NULL);
	memcpy(key, mac, CODES_KEY);
}

static struct code *
find(const struct codes *c, const uint8_t key[CODES_KEY])
{
	for (size_t i = 0; i < c->n; i++)
		if (memcmp(c->at[i].key, key, CODES_KEY) == 0)
			return &c->at[i];
	return NULL;
}

static void
drop_expired(struct codes *c, uint64_t wall_s)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->at[i].expires_s > wall_s)
			c->at[kept++] = c->at[i];
	c->n = kept;
}

static struct code *
first_to_expire(const struct codes *c)
{
	struct code *first = &c->at[0];

	for (size_t i = 1; i < c->n; i++)
		if (c->at[i].expires_s < first->expires_s)
			first = &c->at[i];
	return first;
}

static struct code *
make_room(struct codes *c, uint64_t wall_s)
{
	if (c->n == c->cap)
		drop_expired(c, wall_s);
	if (c->n == CODES_MAX)
		return first_to_expire(c);
	if (c->n == c->cap) {
		size_t cap = c->cap * 2 < CODES_MAX ? c->cap * 2 + 64 : CODES_MAX;
		struct code *more = realloc(c->at, cap * sizeof(*more));
		if (more == NULL)
			return NULL;
		c->at = more;
		c->cap = cap;
	}
	return &c->at[c->n++];
}

static int
note(struct codes *c, const struct code *is, uint64_t wall_s)
{
	struct code *was = find(c, is->key);

	if (was == NULL) {
		if ((was = make_room(c, wall_s)) == NULL)
			return E_NOMEM;
	} else if (was->counter >= is->counter) {
		return 0;
	}
	*was = *is;
	return 0;
}

uint64_t
codes_last(const struct codes *c, const struct user *u)
{
	uint8_t key[CODES_KEY];

	key_of(u, key);
	const struct code *k = find(c, key);
	return k != NULL ? k->counter : 0;
}

int
codes_use(struct codes *c, const struct user *u, uint64_t wall_s,
	  struct cluster_entry *e)
{
	struct code is = { .counter = u->totp_used,
			   .expires_s =
				   users_totp_end_s(u->totp_used) + CODES_LINGER_S };
	struct wr w = wr_open(e->value, sizeof(e->value));

	key_of(u, is.key);
	*e = (struct cluster_entry){ .key_n = CODES_KEY, .expires_s = is.expires_s };
	memcpy(e->key, is.key, CODES_KEY);
	wr_u64(&w, is.counter);
	e->value_n = (uint8_t)w.n;
	return note(c, &is, wall_s);
}

int
codes_apply(struct codes *c, struct span entries, uint64_t wall_s)
{
	struct cluster_entry e;
	int rc, bad = 0;

	while ((rc = cluster_entry_decode(&entries, &e)) == 0) {
		struct rd r = rd_open(span_of(e.value, e.value_n));
		struct code is = { .counter = rd_u64(&r), .expires_s = e.expires_s };
		if (e.key_n != CODES_KEY || rd_short(&r) || rd_left(&r) != 0) {
			bad = E_PROTO;
			continue;
		}
		if (e.is_gone || e.expires_s <= wall_s)
			continue;
		memcpy(is.key, e.key, CODES_KEY);
		if ((rc = note(c, &is, wall_s)) < 0)
			return rc;
	}
	return rc == E_AGAIN ? bad : rc;
}

void
codes_free(struct codes *c)
{
	free(c->at);
	*c = (struct codes){ 0 };
}
