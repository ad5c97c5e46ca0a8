/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/record.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#define DTLS12 0xfefdu
#define DTLS10 0xfeffu
#define EPOCH 1u
#define AAD_BYTES 13u /* epoch, number, type, version, length */
#define GCM_IV 12u
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

static const EVP_CIPHER *
cipher_for(const struct record_key *k)
{
	return k->key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

/* One context for the life of the key: per packet only the AAD and the text
 * change. Setting key or IV per packet costs more than the cipher itself. */
static int
evp_open(EVP_CIPHER_CTX **out, const struct record_key *k, int encrypt)
{
	assert(k->key_bytes == 16 || k->key_bytes == 32);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	if (!c)
		return E_NOMEM;
	if (EVP_CipherInit_ex(c, cipher_for(k), NULL, k->key, NULL, encrypt) != 1) {
		EVP_CIPHER_CTX_free(c);
		ERR_clear_error();
		return E_TLS;
	}
	*out = c;
	return 0;
}

/* Length -1 gives salt and counter together; with the length of the salt OpenSSL
 * would draw a random counter, and only luck would keep it off `taken`. */
static bool
set_nonce(EVP_CIPHER_CTX *c, const uint8_t *salt, const uint8_t *taken)
{
	uint8_t iv[GCM_IV];

	memcpy(iv, salt, RECORD_SALT);
	memcpy(iv + RECORD_SALT, taken, RECORD_NONCE);
	iv[RECORD_SALT] ^= 0x80;
	return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_IV_FIXED, -1, iv) == 1;
}

int
record_tx_init(struct record_tx *tx, const struct record_key *k,
	       const uint8_t taken[RECORD_NONCE])
{
	EVP_CIPHER_CTX *c;
	int rc = evp_open(&c, k, 1);

	if (rc < 0)
		return rc;
	if (!set_nonce(c, k->salt, taken)) {
		EVP_CIPHER_CTX_free(c);
		ERR_clear_error();
		return E_TLS;
	}
	*tx = (struct record_tx){ .evp = c, .seq = RECORD_SEQ_START };
	return 0;
}

int
record_rx_init(struct record_rx *rx, const struct record_key *k)
{
	static const uint8_t none[RECORD_NONCE];
	EVP_CIPHER_CTX *c;
	int rc = evp_open(&c, k, 0);

	if (rc < 0)
		return rc;
	/* The counter half is overwritten by each record's own nonce. */
	if (!set_nonce(c, k->salt, none)) {
		EVP_CIPHER_CTX_free(c);
		ERR_clear_error();
		return E_TLS;
	}
	*rx = (struct record_rx){ .evp = c };
	return 0;
}

static void
aad_write(uint8_t aad[AAD_BYTES], uint64_t seq, uint8_t type, size_t len)
{
	struct wr w = wr_open(aad, AAD_BYTES);

	wr_u16(&w, EPOCH);
	wr_u48(&w, seq);
	wr_u8(&w, type);
	wr_u16(&w, DTLS12);
	wr_u16(&w, (uint16_t)len);
}

/* Run the context over nonce | text | tag in place, under this AAD. OpenSSL
 * takes 8 (and 16 when opening) off the AAD's length itself, so `len` is
 * nonce + text when sealing and all of it when opening. */
static bool
evp_run(EVP_CIPHER_CTX *c, uint8_t aad[AAD_BYTES], uint8_t *body, size_t n)
{
	OSSL_PARAM params[] = {
		{ OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, OSSL_PARAM_OCTET_STRING, aad,
		  AAD_BYTES, 0 },
		OSSL_PARAM_END,
	};
	if (EVP_CIPHER_CTX_set_params(c, params) != 1)
		return false;
	/* When opening the value is no length worth having; only < 0 fails. */
	return EVP_Cipher(c, body, body, (unsigned)n) >= 0;
}

int
record_seal_as(struct record_tx *tx, enum record_type type, uint8_t *text, size_t n,
	       size_t *total)
{
	uint8_t aad[AAD_BYTES];
	uint8_t *rec = text - RECORD_HEADROOM;
	size_t body = RECORD_NONCE + n + RECORD_TAILROOM;

	assert(n <= RECORD_TEXT_MAX);
	if (tx->seq >= RECORD_SEAL_MAX)
		return E_LIMIT;
	aad_write(aad, tx->seq, type, RECORD_NONCE + n);
	/* A failure must not let anybody try again with the same number. */
	uint64_t seq = tx->seq++;
	if (!evp_run(tx->evp, aad, rec + RECORD_HEADER, body)) {
		ERR_clear_error();
		return E_TLS;
	}

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
	uint8_t aad[AAD_BYTES];

	if (record_peek((struct span){ .p = rec, .n = n }, &h) < 0 || h.total != n)
		return E_PROTO;
	if (h.version != DTLS12 || h.epoch != EPOCH || n < RECORD_OVERHEAD)
		return E_PROTO;
	size_t body = n - RECORD_HEADER;
	if (body > RECORD_NONCE + RECORD_TEXT_MAX + RECORD_TAILROOM)
		return E_PROTO;
	if (!replay_check(&rx->replay, h.seq))
		return E_STALE;

	aad_write(aad, h.seq, h.type, body);
	if (!evp_run(rx->evp, aad, rec + RECORD_HEADER, body)) {
		ERR_clear_error();
		return E_AUTH;
	}
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
	EVP_CIPHER_CTX_free(tx->evp);
	*tx = (struct record_tx){ 0 };
}

void
record_rx_free(struct record_rx *rx)
{
	EVP_CIPHER_CTX_free(rx->evp);
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

/* The start of our nonces is `taken` with its top bit flipped, which is the same
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
