/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_index.c -- finding a session: by id, by DTLS id, by token. */
#include "vpnd/session/session_state.h"

#include <openssl/crypto.h>
#include <stdio.h>

uint32_t
sid_short(const uint8_t sid[IPC_SID])
{
	return (uint32_t)sid[0] << 24 | (uint32_t)sid[1] << 16 | (uint32_t)sid[2] << 8 |
	       sid[3];
}

/* Both ids are random and ours, so their first bits are a fine hash. */
static uint32_t
bucket_of(const struct session_table *t, const uint8_t *id)
{
	return sid_short(id) & (t->n_buckets - 1);
}

void
session_sid_link(struct session_table *t, struct session *s)
{
	uint32_t *head = &t->by_sid[bucket_of(t, s->claims.sid)];

	s->next_sid = *head;
	*head = s->slot;
}

void
session_sid_unlink(struct session_table *t, struct session *s)
{
	uint32_t *at = &t->by_sid[bucket_of(t, s->claims.sid)];

	while (*at != s->slot)
		at = &t->session[*at].next_sid;
	*at = s->next_sid;
}

bool
session_has_dtls(const struct session *s)
{
	return s->dtls_mode != DTLS_NONE;
}

void
session_dtls_link(struct session_table *t, struct session *s)
{
	uint32_t *head = &t->by_dtls[bucket_of(t, s->dtls_id)];

	s->next_dtls = *head;
	*head = s->slot;
}

void
session_dtls_unlink(struct session_table *t, struct session *s)
{
	if (!session_has_dtls(s))
		return;
	uint32_t *at = &t->by_dtls[bucket_of(t, s->dtls_id)];
	while (*at != s->slot)
		at = &t->session[*at].next_dtls;
	*at = s->next_dtls;
	s->dtls_mode = DTLS_NONE;
	OPENSSL_cleanse(s->dtls_secret, sizeof(s->dtls_secret));
}

struct session *
session_by_sid(struct session_table *t, const uint8_t sid[IPC_SID])
{
	uint32_t at = t->by_sid[bucket_of(t, sid)];

	while (at != SESSION_NONE &&
	       memcmp(t->session[at].claims.sid, sid, IPC_SID) != 0)
		at = t->session[at].next_sid;
	return at == SESSION_NONE ? NULL : &t->session[at];
}

struct session *
session_by_dtls(struct session_table *t, const uint8_t id[IPC_DTLS_ID])
{
	uint32_t at = t->by_dtls[bucket_of(t, id)];

	while (at != SESSION_NONE &&
	       memcmp(t->session[at].dtls_id, id, IPC_DTLS_ID) != 0)
		at = t->session[at].next_dtls;
	return at == SESSION_NONE ? NULL : &t->session[at];
}

/* The end of a token is its authentication tag: ours are as good as random. */
static uint32_t *
token_bucket(const struct session_table *t, const char *token)
{
	size_t n = strlen(token);
	uint32_t h = 0;

	for (size_t i = n > 8 ? n - 8 : 0; i < n; i++)
		h = h * 67 + (uint8_t)token[i];
	return &t->by_token[h & (t->n_buckets - 1)];
}

void
session_note_token(struct session_table *t, struct session *s, const char *token)
{
	snprintf(s->token, sizeof(s->token), "%s", token);
	*token_bucket(t, token) = s->slot;
}

/* The session whose token, byte for byte, this is: what keys would say of it is
 * known. NULL says nothing; then keys is asked. */
struct session *
session_by_token(struct session_table *t, const char *token)
{
	struct session *s = session_at(t, *token_bucket(t, token));
	size_t n = strlen(token);

	return s != NULL && n > 0 && strlen(s->token) == n &&
			       CRYPTO_memcmp(s->token, token, n) == 0
		       ? s
		       : NULL;
}

struct session *
session_named(struct session_table *t, uint32_t slot, uint32_t gen)
{
	struct session *s = session_at(t, slot);

	return s != NULL && s->gen == gen ? s : NULL;
}
