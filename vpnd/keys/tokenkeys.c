/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/keys/tokenkeys.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

static const uint32_t set_magic = 0x54544b31; /* "TTK1" */
enum role { ROLE_CURRENT, ROLE_NEXT, ROLE_OLD };
enum { TOKEN_BYTES_MAX = 1024 }; /* decoded; tokens of ours are smaller */

static const struct tokenkey *
key_named(const struct tokenkeys *t, uint32_t id)
{
	if (id == 0)
		return NULL;
	if (t->current.id == id)
		return &t->current;
	/* A token may be sealed under what the file still calls "next": the
	 * rotation happened, and the store after it was lost in a crash. */
	if (t->next.id == id)
		return &t->next;
	for (unsigned i = 0; i < t->n_old; i++)
		if (t->old[i].id == id)
			return &t->old[i];
	return NULL;
}

static int
make_key(const struct tokenkeys *t, struct tokenkey *k, uint64_t wall_s)
{
	struct tokenkey made = { .wall_s = wall_s };

	do
		if (RAND_bytes((uint8_t *)&made.id, sizeof(made.id)) != 1)
			return E_TLS;
	while (made.id == 0 || key_named(t, made.id) != NULL);
	if (RAND_priv_bytes(made.key, sizeof(made.key)) != 1)
		return E_TLS;
	*k = made;
	OPENSSL_cleanse(&made, sizeof(made));
	return 0;
}

int
tokenkeys_make(struct tokenkeys *t, uint64_t wall_s)
{
	*t = (struct tokenkeys){ 0 };
	int rc = make_key(t, &t->current, wall_s);
	return rc < 0 ? rc : make_key(t, &t->next, wall_s);
}

/* A clock that was far ahead when this was written must not freeze rotation,
 * or keep a retired key, for years. */
static bool
pull_back(struct tokenkey *k, uint64_t wall_s)
{
	if (k->wall_s <= wall_s + TOKENKEYS_PERIOD_S)
		return false;
	k->wall_s = wall_s;
	return true;
}

static bool
drop_expired(struct tokenkeys *t, uint64_t wall_s)
{
	unsigned kept = 0, had = t->n_old;

	for (unsigned i = 0; i < had; i++)
		if (t->old[i].wall_s + TOKENKEYS_KEEP_S > wall_s)
			t->old[kept++] = t->old[i];
	OPENSSL_cleanse(t->old + kept, (TOKENKEYS_OLD - kept) * sizeof(t->old[0]));
	t->n_old = kept;
	return kept != had;
}

int
tokenkeys_rotate(struct tokenkeys *t, uint64_t wall_s)
{
	struct tokenkey fresh;
	bool changed = pull_back(&t->current, wall_s);

	changed |= pull_back(&t->next, wall_s);
	for (unsigned i = 0; i < t->n_old; i++)
		changed |= pull_back(&t->old[i], wall_s);
	changed |= drop_expired(t, wall_s);
	if (wall_s < t->current.wall_s + TOKENKEYS_PERIOD_S)
		return changed;
	int rc = make_key(t, &fresh, wall_s);
	if (rc < 0)
		return rc;
	if (t->n_old == TOKENKEYS_OLD)
		t->n_old--; /* cannot be younger than 256 h at one a day */
	memmove(t->old + 1, t->old, t->n_old * sizeof(t->old[0]));
	t->n_old++;
	t->old[0] = t->current;
	t->old[0].wall_s = wall_s;
	t->current = t->next;
	t->current.wall_s = wall_s;
	t->next = fresh;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return 1;
}

/* Latest first; the longest retired goes when there is no room. */
static void
keep_retired(struct tokenkeys *t, const struct tokenkey *k, uint64_t retired_s)
{
	unsigned at = 0;

	while (at < t->n_old && t->old[at].wall_s >= retired_s)
		at++;
	if (at == TOKENKEYS_OLD)
		return;
	if (t->n_old == TOKENKEYS_OLD)
		t->n_old--;
	memmove(t->old + at + 1, t->old + at, (t->n_old - at) * sizeof(t->old[0]));
	t->old[at] = *k;
	t->old[at].wall_s = retired_s;
	t->n_old++;
}

int
tokenkeys_unite(struct tokenkeys *t, const struct tokenkeys *store, uint64_t wall_s)
{
	struct tokenkeys all = *store;

	drop_expired(t, wall_s);
	if (key_named(store, t->current.id) == NULL)
		keep_retired(&all, &t->current, wall_s);
	if (key_named(store, t->next.id) == NULL)
		keep_retired(&all, &t->next, wall_s);
	for (unsigned i = 0; i < t->n_old; i++)
		if (key_named(store, t->old[i].id) == NULL)
			keep_retired(&all, &t->old[i], t->old[i].wall_s);
	int changed = 0;
	for (unsigned i = 0; i < all.n_old; i++)
		changed |= key_named(store, all.old[i].id) == NULL;
	*t = all;
	OPENSSL_cleanse(&all, sizeof(all));
	return changed;
}

static void
put_key(struct wr *w, enum role role, const struct tokenkey *k)
{
	wr_u8(w, role);
	wr_u32(w, k->id);
	wr_u64(w, k->wall_s);
	wr_bytes(w, k->key, sizeof(k->key));
}

size_t
tokenkeys_write(const struct tokenkeys *t, uint8_t *buf)
{
	struct wr w = wr_open(buf, TOKENKEYS_BYTES);

	wr_u32(&w, set_magic);
	wr_u8(&w, (uint8_t)(2 + t->n_old));
	put_key(&w, ROLE_CURRENT, &t->current);
	put_key(&w, ROLE_NEXT, &t->next);
	for (unsigned i = 0; i < t->n_old; i++)
		put_key(&w, ROLE_OLD, &t->old[i]);
	return w.n;
}

static int
get_key(struct rd *r, enum role role, const struct tokenkeys *t, struct tokenkey *k)
{
	struct tokenkey got = { 0 };

	if (rd_u8(r) != role)
		return E_PROTO;
	got.id = rd_u32(r);
	got.wall_s = rd_u64(r);
	rd_copy(r, got.key, sizeof(got.key));
	/* The bound keeps every later sum of times from wrapping round. */
	if (rd_short(r) || got.id == 0 || key_named(t, got.id) != NULL ||
	    got.wall_s > UINT64_MAX / 2)
		return E_PROTO;
	*k = got;
	OPENSSL_cleanse(&got, sizeof(got));
	return 0;
}

int
tokenkeys_read(struct tokenkeys *t, struct span bytes)
{
	struct rd r = rd_open(bytes);
	int rc = rd_u32(&r) == set_magic ? 0 : E_PROTO;
	unsigned n = rd_u8(&r);

	*t = (struct tokenkeys){ 0 };
	if (n < 2 || n > 2 + TOKENKEYS_OLD)
		rc = E_PROTO;
	if (rc == 0)
		rc = get_key(&r, ROLE_CURRENT, t, &t->current);
	if (rc == 0)
		rc = get_key(&r, ROLE_NEXT, t, &t->next);
	for (unsigned i = 2; rc == 0 && i < n; i++) {
		rc = get_key(&r, ROLE_OLD, t, &t->old[t->n_old]);
		if (rc == 0)
			t->n_old++;
	}
	if (rc == 0 && (rd_short(&r) || rd_left(&r) != 0))
		rc = E_PROTO;
	if (rc < 0)
		OPENSSL_cleanse(t, sizeof(*t));
	return rc;
}

int
tokenkeys_seal(const struct tokenkeys *t, struct span claims, char *text, size_t cap)
{
	uint8_t head[TOKENKEYS_HEAD];
	struct wr w = wr_open(head, sizeof(head));

	wr_u8(&w, TOKENKEYS_VERSION);
	wr_u32(&w, t->current.id);
	return seal_close(t->current.key, wr_span(&w), claims, text, cap);
}

int
tokenkeys_open(const struct tokenkeys *t, struct span text, uint8_t *claims, size_t cap,
	       size_t *n)
{
	uint8_t buf[TOKEN_BYTES_MAX];
	size_t len = 0;

	if (seal_decode(text, buf, sizeof(buf), &len) < 0)
		return E_AUTH;
	struct span bytes = span_of(buf, len);
	struct rd r = rd_open(bytes);
	if (rd_u8(&r) != TOKENKEYS_VERSION)
		return E_AUTH;
	const struct tokenkey *k = key_named(t, rd_u32(&r));
	if (rd_short(&r))
		return E_AUTH;
	if (k == NULL)
		return E_STALE;
	return seal_open(k->key, TOKENKEYS_HEAD, bytes, claims, cap, n);
}
