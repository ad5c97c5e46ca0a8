/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/tlstx.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/wr.h"
#include "vpnd/worker/gcm.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define LOG_LABEL "SERVER_TRAFFIC_SECRET_0 "
#define RANDOM_HEX 64u
#define TLS12 0x0303u

enum {
	SECRET_256 = 32,
	SECRET_384 = 48,
	KEY_128 = 16,
	KEY_256 = 32,
	LABEL_MAX = 64,
	KEY_UPDATE = 24, /* the handshake message */
	UPDATE_NOT_REQUESTED = 0,
};

/* RFC 8446 5.5 allows 2^24.5 full records; ours are smaller. */
#define RECORDS_MAX (UINT64_C(1) << 24)
#define RECORDS_DUE (RECORDS_MAX - 1024)

struct tlstx {
	struct gcm *gcm;
	struct tlstx_secret secret;
	uint64_t seq; /* of the next record under this key */
	uint8_t iv[GCM_IV];
};

int
tlstx_secret_read(const char *line, struct tlstx_secret *out)
{
	size_t label = strlen(LOG_LABEL);

	if (strncmp(line, LOG_LABEL, label) != 0 ||
	    strlen(line) < label + RANDOM_HEX + 1 || line[label + RANDOM_HEX] != ' ')
		return E_PROTO;
	const char *hex = line + label + RANDOM_HEX + 1;
	size_t n = strlen(hex) / 2;
	if (strlen(hex) % 2 != 0 || (n != SECRET_256 && n != SECRET_384))
		return E_PROTO;
	out->n = n;
	return hex_decode(out->b, n, span_str(hex));
}

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1). All that is asked for here
 * is no longer than the hash, so one round of HKDF-Expand does (RFC 5869 2.3). */
static int
expand(const struct tlstx_secret *s, const char *label, uint8_t *out, size_t n)
{
	const EVP_MD *md = s->n == SECRET_256 ? EVP_sha256() : EVP_sha384();
	uint8_t info[LABEL_MAX], mac[EVP_MAX_MD_SIZE];
	struct wr w = wr_open(info, sizeof(info));
	unsigned mac_n;

	wr_u16(&w, (uint16_t)n);
	wr_u8(&w, (uint8_t)(strlen("tls13 ") + strlen(label)));
	wr_bytes(&w, "tls13 ", strlen("tls13 "));
	wr_bytes(&w, label, strlen(label));
	wr_u8(&w, 0);
	wr_u8(&w, 1);
	assert(!wr_full(&w) && n <= s->n);
	if (HMAC(md, s->b, (int)s->n, info, w.n, mac, &mac_n) == NULL || mac_n < n) {
		ERR_clear_error();
		return E_TLS;
	}
	memcpy(out, mac, n);
	OPENSSL_cleanse(mac, sizeof(mac));
	return 0;
}

/* Keys of the secret, for its first record. */
static int
take_keys(struct tlstx *tx)
{
	size_t key_bytes = tx->secret.n == SECRET_256 ? KEY_128 : KEY_256;
	uint8_t key[KEY_256];
	struct gcm *g = NULL;
	int rc = expand(&tx->secret, "key", key, key_bytes);

	if (rc == 0)
		rc = expand(&tx->secret, "iv", tx->iv, sizeof(tx->iv));
	if (rc == 0)
		rc = gcm_new(&g, gcm_best(), key, key_bytes, tx->iv, 0, true);
	OPENSSL_cleanse(key, sizeof(key));
	if (rc < 0)
		return rc;
	gcm_free(tx->gcm);
	tx->gcm = g;
	tx->seq = 0;
	return 0;
}

int
tlstx_new(struct tlstx **out, const struct tlstx_secret *secret, uint64_t sent)
{
	struct tlstx *tx;

	if ((secret->n != SECRET_256 && secret->n != SECRET_384) || sent >= RECORDS_DUE)
		return E_TLS;
	tx = calloc(1, sizeof(*tx));
	if (tx == NULL)
		return E_NOMEM;
	tx->secret = *secret;
	int rc = take_keys(tx);
	if (rc < 0) {
		tlstx_free(tx);
		return rc;
	}
	tx->seq = sent;
	*out = tx;
	return 0;
}

void
tlstx_free(struct tlstx *tx)
{
	if (tx == NULL)
		return;
	gcm_free(tx->gcm);
	OPENSSL_cleanse(tx, sizeof(*tx));
	free(tx);
}

int
tlstx_seal(struct tlstx *tx, enum tlstx_type type, uint8_t *text, size_t n,
	   size_t *total)
{
	uint8_t *record = text - TLSTX_HEAD, nonce[GCM_IV];
	struct wr w = wr_open(record, TLSTX_HEAD);

	assert(n <= TLSTX_TEXT_MAX);
	if (tx->seq >= RECORDS_MAX)
		return E_LIMIT;
	wr_u8(&w, TLSTX_DATA);
	wr_u16(&w, TLS12);
	wr_u16(&w, (uint16_t)(n + TLSTX_TAIL));
	text[n] = (uint8_t)type;
	/* The number in the last eight bytes, the others are the IV's. A failure must
	 * not let anybody try again with the same one. */
	memcpy(nonce, tx->iv, sizeof(nonce));
	for (unsigned i = 0; i < 8; i++)
		nonce[GCM_IV - 1 - i] ^= (uint8_t)(tx->seq >> (8 * i));
	tx->seq++;
	if (!gcm_seal_with(tx->gcm, nonce, span_of(record, TLSTX_HEAD), text, n + 1))
		return E_TLS;
	*total = TLSTX_HEAD + n + TLSTX_TAIL;
	return 0;
}

bool
tlstx_is_due(const struct tlstx *tx)
{
	return tx->seq >= RECORDS_DUE;
}

int
tlstx_update(struct tlstx *tx, uint8_t record[TLSTX_UPDATE])
{
	static const uint8_t message[] = { KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED };
	struct tlstx_secret next = { .n = tx->secret.n };
	size_t total;
	int rc = expand(&tx->secret, "traffic upd", next.b, next.n);

	if (rc == 0) {
		memcpy(record + TLSTX_HEAD, message, sizeof(message));
		rc = tlstx_seal(tx, TLSTX_HANDSHAKE, record + TLSTX_HEAD,
				sizeof(message), &total);
	}
	if (rc == 0) {
		tx->secret = next;
		rc = take_keys(tx);
	}
	OPENSSL_cleanse(&next, sizeof(next));
	return rc;
}
