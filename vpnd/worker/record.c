/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/record.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"
#include "vpnd/worker/gcm.h"

#include <assert.h>

#define DTLS12 0xfefdu
#define DTLS10 0xfeffu
#define EPOCH 1u
#define BODY_MAX (RECORD_TEXT_MAX + 2048u) /* RFC 6347 4.1, as RFC 5246 6.2.3 */

int
record_peek(struct span in, struct record_head *out)
{
	struct rd r = rd_open(in);
	uint8_t type = rd_u8(&r);
	uint16_t version = rd_u16(&r);
	uint16_t epoch = rd_u16(&r);
	uint64_t seq = rd_u48(&r);
	uint16_t len = rd_u16(&r);
	(void)rd_take(&r, len);

	if (rd_short(&r) || type < RECORD_CCS || type > RECORD_DATA || len > BODY_MAX)
		return E_PROTO;
	if (version != DTLS12 && version != DTLS10)
		return E_PROTO;
	*out = (struct record_head){
		.type = type,
		.version = version,
		.epoch = epoch,
		.seq = seq,
		.total = RECORD_HEADER + len,
	};
	return 0;
}

/* The start of our nonces is `taken` with its top bit flipped: see the header. */
int
record_tx_init(struct record_tx *tx, const struct record_key *k,
	       const uint8_t taken[RECORD_NONCE])
{
	struct rd r = rd_open(span_of(taken, RECORD_NONCE));
	struct gcm *g;
	int rc = gcm_new(&g, gcm_best(), k->key, k->key_bytes, k->salt,
			 rd_u64(&r) ^ UINT64_C(1) << 63, true);

	if (rc == 0)
		*tx = (struct record_tx){ .gcm = g, .seq = RECORD_SEQ_START };
	return rc;
}

int
record_rx_init(struct record_rx *rx, const struct record_key *k)
{
	struct gcm *g;
	int rc = gcm_new(&g, gcm_best(), k->key, k->key_bytes, k->salt, 0, false);

	if (rc == 0)
		*rx = (struct record_rx){ .gcm = g };
	return rc;
}

static void
aad_write(uint8_t aad[GCM_AAD], uint64_t seq, uint8_t type, size_t len)
{
	struct wr w = wr_open(aad, GCM_AAD);

	wr_u16(&w, EPOCH);
	wr_u48(&w, seq);
	wr_u8(&w, type);
	wr_u16(&w, DTLS12);
	wr_u16(&w, (uint16_t)len);
}

int
record_seal_as(struct record_tx *tx, enum record_type type, uint8_t *text, size_t n,
	       size_t *total)
{
	uint8_t aad[GCM_AAD];
	uint8_t *rec = text - RECORD_HEADROOM;
	size_t body = RECORD_NONCE + n + RECORD_TAILROOM;

	assert(n <= RECORD_TEXT_MAX);
	if (tx->seq >= RECORD_SEAL_MAX)
		return E_LIMIT;
	aad_write(aad, tx->seq, type, n);
	/* A failure must not let anybody try again with the same number. */
	uint64_t seq = tx->seq++;
	if (!gcm_seal(tx->gcm, aad, rec + RECORD_HEADER, n))
		return E_TLS;

	struct wr w = wr_open(rec, RECORD_HEADER);
	wr_u8(&w, type);
	wr_u16(&w, DTLS12);
	wr_u16(&w, EPOCH);
	wr_u48(&w, seq);
	wr_u16(&w, (uint16_t)body);
	*total = RECORD_HEADER + body;
	return 0;
}

int
record_seal(struct record_tx *tx, uint8_t *text, size_t n, size_t *total)
{
	return record_seal_as(tx, RECORD_DATA, text, n, total);
}

int
record_open(struct record_rx *rx, uint8_t *rec, size_t n, uint8_t *content_type,
	    struct span *text)
{
	struct record_head h;
	uint8_t aad[GCM_AAD];

	if (record_peek((struct span){ .p = rec, .n = n }, &h) < 0 || h.total != n)
		return E_PROTO;
	if (h.version != DTLS12 || h.epoch != EPOCH || n < RECORD_OVERHEAD)
		return E_PROTO;
	size_t body = n - RECORD_HEADER;
	if (body > RECORD_NONCE + RECORD_TEXT_MAX + RECORD_TAILROOM)
		return E_PROTO;
	if (!replay_check(&rx->replay, h.seq))
		return E_STALE;

	aad_write(aad, h.seq, h.type, n - RECORD_OVERHEAD);
	if (!gcm_open(rx->gcm, aad, rec + RECORD_HEADER, n - RECORD_OVERHEAD))
		return E_AUTH;
	replay_update(&rx->replay, h.seq);
	*content_type = h.type;
	*text = (struct span){ .p = rec + RECORD_HEADROOM, .n = n - RECORD_OVERHEAD };
	return 0;
}

uint64_t
record_rx_top(const struct record_rx *rx)
{
	return rx->replay.top > 0 ? rx->replay.top - 1 : 0;
}

void
record_tx_free(struct record_tx *tx)
{
	gcm_free(tx->gcm);
	*tx = (struct record_tx){ 0 };
}

void
record_rx_free(struct record_rx *rx)
{
	gcm_free(rx->gcm);
	*rx = (struct record_rx){ 0 };
}

void
record_material_write(const struct record_material *m, uint8_t out[RECORD_MATERIAL])
{
	struct wr w = wr_open(out, RECORD_MATERIAL);

	wr_u8(&w, (uint8_t)m->tx.key_bytes);
	wr_bytes(&w, m->tx.key, RECORD_KEY_MAX);
	wr_bytes(&w, m->tx.salt, RECORD_SALT);
	wr_bytes(&w, m->rx.key, RECORD_KEY_MAX);
	wr_bytes(&w, m->rx.salt, RECORD_SALT);
	wr_bytes(&w, m->taken, RECORD_NONCE);
	assert(!wr_full(&w) && w.n == RECORD_MATERIAL);
}

int
record_material_read(const uint8_t in[RECORD_MATERIAL], struct record_material *m)
{
	struct rd r = rd_open(span_of(in, RECORD_MATERIAL));
	size_t k = rd_u8(&r);

	if (k != 16 && k != 32)
		return E_PROTO;
	m->tx.key_bytes = m->rx.key_bytes = k;
	rd_copy(&r, m->tx.key, RECORD_KEY_MAX);
	rd_copy(&r, m->tx.salt, RECORD_SALT);
	rd_copy(&r, m->rx.key, RECORD_KEY_MAX);
	rd_copy(&r, m->rx.salt, RECORD_SALT);
	rd_copy(&r, m->taken, RECORD_NONCE);
	return 0;
}

/* The start of our nonces, `taken` with its top bit flipped, is the same
 * as adding 2^63; so skipping what was used is an addition to `taken`. */
int
record_resume(struct record_tx *tx, struct record_rx *rx,
	      const struct record_material *m, uint64_t tx_seq, uint64_t rx_top)
{
	uint8_t taken[RECORD_NONCE];
	struct rd r = rd_open(span_of(m->taken, RECORD_NONCE));
	struct wr w = wr_open(taken, sizeof(taken));

	if (tx_seq < RECORD_SEQ_START || tx_seq >= RECORD_SEAL_MAX)
		return E_PROTO;
	wr_u64(&w, rd_u64(&r) + (tx_seq - RECORD_SEQ_START) + 1);
	int rc = record_tx_init(tx, &m->tx, taken);
	if (rc < 0)
		return rc;
	tx->seq = tx_seq;
	if ((rc = record_rx_init(rx, &m->rx)) < 0) {
		record_tx_free(tx);
		return rc;
	}
	rx->replay.top = rx_top + 1;
	memset(rx->replay.seen, 0xff, sizeof(rx->replay.seen));
	return 0;
}
