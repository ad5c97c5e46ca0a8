/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/wire.h"

#include "common/err.h"
#include "common/rd.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

static const struct span magic = { (const uint8_t *)"TDHA", 4 };

void
wire_open(struct wr *w, const uint8_t pair[WIRE_PAIR], const struct wire_head *h)
{
	wr_put(w, magic);
	wr_u8(w, WIRE_VERSION);
	wr_u8(w, h->flags);
	wr_u16(w, 0);
	wr_bytes(w, pair, WIRE_PAIR);
	wr_u8(w, (uint8_t)h->node.n);
	wr_put(w, h->node);
	wr_u64(w, h->incarnation);
	wr_u64(w, h->seq);
}

static void
mac_of(struct span in, const uint8_t key[WIRE_KEY], uint8_t mac[WIRE_MAC])
{
	HMAC(EVP_sha256(), key, WIRE_KEY, in.p, in.n, mac, NULL);
}

void
wire_close(struct wr *w, const uint8_t key[WIRE_KEY])
{
	uint8_t mac[WIRE_MAC];

	mac_of(wr_span(w), key, mac);
	wr_bytes(w, mac, sizeof(mac));
}

int
wire_check(struct span batch, const uint8_t pair[WIRE_PAIR],
	   const uint8_t key[WIRE_KEY], struct wire_head *h, struct span *items)
{
	uint8_t mac[WIRE_MAC];

	if (batch.n < WIRE_MAC || batch.n > WIRE_BATCH_MAX)
		return E_PROTO;
	struct span signed_part = span_of(batch.p, batch.n - WIRE_MAC);
	struct rd r = rd_open(signed_part);
	if (!span_eq(rd_take(&r, magic.n), magic))
		return E_PROTO;
	/* Before the rest: another version may lay it out otherwise. */
	if (rd_u8(&r) != WIRE_VERSION)
		return rd_short(&r) ? E_PROTO : E_STALE;
	h->flags = rd_u8(&r);
	(void)rd_u16(&r);
	struct span theirs = rd_take(&r, WIRE_PAIR);
	if (!rd_short(&r) && memcmp(theirs.p, pair, WIRE_PAIR) != 0)
		return E_NOENT;
	h->node = rd_take(&r, rd_u8(&r));
	h->incarnation = rd_u64(&r);
	h->seq = rd_u64(&r);
	if (rd_short(&r) || !cluster_node_ok(h->node))
		return E_PROTO;
	mac_of(signed_part, key, mac);
	if (CRYPTO_memcmp(mac, batch.p + signed_part.n, WIRE_MAC) != 0)
		return E_AUTH;
	*items = rd_rest(&r);
	return 0;
}

size_t
wire_item_size(const struct wire_item *i)
{
	return 4 + 4 * 8 + CLUSTERFILE_SHA + 1 + i->name.n + 1 + i->writer.n + 4 +
	       i->bytes.n;
}

void
wire_item_encode(struct wr *w, const struct wire_item *i)
{
	wr_u8(w, i->type);
	wr_u8(w, i->flags);
	wr_u8(w, i->status);
	wr_u8(w, 0);
	wr_u64(w, i->id);
	wr_u64(w, i->generation);
	wr_u64(w, i->base);
	wr_u64(w, i->wall_ms);
	wr_bytes(w, i->sha, sizeof(i->sha));
	wr_u8(w, (uint8_t)i->name.n);
	wr_put(w, i->name);
	wr_u8(w, (uint8_t)i->writer.n);
	wr_put(w, i->writer);
	wr_u32(w, (uint32_t)i->bytes.n);
	wr_put(w, i->bytes);
}

int
wire_item_decode(struct span *in, struct wire_item *i)
{
	struct rd r = rd_open(*in);

	if (in->n == 0)
		return E_AGAIN;
	*i = (struct wire_item){ .type = rd_u8(&r) };
	i->flags = rd_u8(&r);
	i->status = rd_u8(&r);
	(void)rd_u8(&r);
	i->id = rd_u64(&r);
	i->generation = rd_u64(&r);
	i->base = rd_u64(&r);
	i->wall_ms = rd_u64(&r);
	rd_copy(&r, i->sha, sizeof(i->sha));
	i->name = rd_take(&r, rd_u8(&r));
	i->writer = rd_take(&r, rd_u8(&r));
	i->bytes = rd_take(&r, rd_u32(&r));
	if (rd_short(&r) || i->type == 0 || i->type >= WIRE_TYPES)
		return E_PROTO;
	*in = rd_rest(&r);
	return 0;
}

void
wire_state_encode(struct wr *w, const struct wire_state *s)
{
	wr_u8(w, (uint8_t)(s->is_active | s->is_primary << 1 | s->vpnd_bad << 2 |
			   s->hold << 3));
	wr_u8(w, s->gateways_ok);
	wr_u8(w, s->gateways);
	wr_u64(w, s->epoch);
	wr_u64(w, s->changed_s);
	wr_u64(w, s->config_generation);
	wr_bytes(w, s->config_sha, sizeof(s->config_sha));
	wr_u8(w, (uint8_t)s->version.n);
	wr_put(w, s->version);
	wr_u8(w, (uint8_t)s->why.n);
	wr_put(w, s->why);
	wr_u8(w, (uint8_t)s->n_wans);
	for (size_t i = 0; i < s->n_wans; i++) {
		wr_u8(w, (uint8_t)s->wans[i].name.n);
		wr_put(w, s->wans[i].name);
		wr_u8(w,
		      (uint8_t)(s->wans[i].has_carrier | s->wans[i].gateway_ok << 1));
	}
}

/* These texts end up in JSON and on terminals. */
static bool
is_plain(struct span s, uint8_t least)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < least || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n < CLUSTER_NODE_MAX;
}

int
wire_state_decode(struct span in, struct wire_state *s)
{
	struct rd r = rd_open(in);
	uint8_t flags = rd_u8(&r);

	*s = (struct wire_state){ .is_active = flags & 1,
				  .is_primary = flags >> 1 & 1,
				  .vpnd_bad = flags >> 2 & 1,
				  .hold = flags >> 3 & 1 };
	s->gateways_ok = rd_u8(&r);
	s->gateways = rd_u8(&r);
	s->epoch = rd_u64(&r);
	s->changed_s = rd_u64(&r);
	s->config_generation = rd_u64(&r);
	rd_copy(&r, s->config_sha, sizeof(s->config_sha));
	s->version = rd_take(&r, rd_u8(&r));
	s->why = rd_take(&r, rd_u8(&r));
	s->n_wans = rd_u8(&r);
	/* An epoch near the end could never be exceeded again. */
	if (s->n_wans > WIRE_WANS_MAX || !is_plain(s->version, '!') ||
	    !is_plain(s->why, ' ') || s->changed_s > WALL_MAX_S ||
	    s->epoch > UINT64_MAX / 2 || s->gateways_ok > s->gateways)
		return E_PROTO;
	for (size_t i = 0; i < s->n_wans; i++) {
		s->wans[i].name = rd_take(&r, rd_u8(&r));
		flags = rd_u8(&r);
		s->wans[i].has_carrier = flags & 1;
		s->wans[i].gateway_ok = flags >> 1 & 1;
		if (!is_plain(s->wans[i].name, '!'))
			return E_PROTO;
	}
	return rd_short(&r) || rd_left(&r) > 0 ? E_PROTO : 0;
}

void
wire_pieces_clear(struct wire_pieces *p)
{
	free(p->buf);
	*p = (struct wire_pieces){ 0 };
}

int
wire_pieces_add(struct wire_pieces *p, const struct wire_item *piece,
		struct wire_item *item)
{
	uint64_t at = piece->generation, total = piece->base;

	if (at == 0) {
		wire_pieces_clear(p);
		if (total == 0 || total > WIRE_ITEM_MAX)
			return E_PROTO;
		p->buf = malloc(total);
		if (p->buf == NULL)
			return E_NOMEM;
		p->total = total;
		p->id = piece->id;
	}
	if (p->buf == NULL || piece->id != p->id || total != p->total || at != p->n ||
	    piece->bytes.n == 0 || piece->bytes.n > p->total - p->n) {
		wire_pieces_clear(p);
		return E_PROTO;
	}
	memcpy(p->buf + p->n, piece->bytes.p, piece->bytes.n);
	p->n += piece->bytes.n;
	if (p->n < p->total)
		return E_AGAIN;
	struct span in = span_of(p->buf, p->n);
	if (wire_item_decode(&in, item) < 0 || in.n > 0 ||
	    item->type == WIRE_PIECE_OF) {
		wire_pieces_clear(p);
		return E_PROTO;
	}
	return 0;
}
