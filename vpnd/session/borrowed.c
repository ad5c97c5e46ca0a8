/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/borrowed.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

static struct borrowed_host *
find(const struct borrowed *b, uint32_t host)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->at[i].host == host)
			return &b->at[i];
	return NULL;
}

static int
make_room(struct borrowed *b)
{
	if (b->n < b->cap)
		return 0;
	if (b->n >= BORROWED_MAX)
		return E_LIMIT;
	size_t cap = b->cap * 2 + 64;
	struct borrowed_host *more = realloc(b->at, cap * sizeof(*more));
	if (more == NULL)
		return E_NOMEM;
	b->at = more;
	b->cap = cap;
	return 0;
}

int
borrowed_add(struct borrowed *b, struct pool *p, const struct revoked *revoked,
	     uint32_t host, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s,
	     uint64_t wall_now_s)
{
	if (!pool_is_ours(p, host) || wall_expiry_s <= wall_now_s ||
	    revoked_has(revoked, sid))
		return 0;
	struct borrowed_host *h = find(b, host);
	int rc = h == NULL ? make_room(b) : 0;
	if (rc < 0)
		return rc;
	if (h == NULL)
		h = &b->at[b->n++];
	else if (h->wall_expiry_s > wall_expiry_s)
		return 0;
	*h = (struct borrowed_host){ .host = host, .wall_expiry_s = wall_expiry_s };
	memcpy(h->sid, sid, IPC_SID);
	pool_reserve(p, host, true);
	return 0;
}

void
borrowed_sweep(struct borrowed *b, struct pool *p, const struct revoked *revoked,
	       uint64_t wall_now_s)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct borrowed_host *h = &b->at[i];
		bool is_over =
			h->wall_expiry_s <= wall_now_s || revoked_has(revoked, h->sid);
		pool_reserve(p, h->host, !is_over);
		if (!is_over)
			b->at[kept++] = *h;
	}
	b->n = kept;
}

void
borrowed_free(struct borrowed *b)
{
	free(b->at);
	*b = (struct borrowed){ 0 };
}
