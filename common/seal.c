/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/seal.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

enum { SEALED_MAX = 4096 }; /* bytes before base64url */

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int
value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

static int
encode(struct span in, char *text, size_t cap)
{
	size_t at = 0;
	uint32_t acc = 0;
	unsigned bits = 0;

	if (cap < SEAL_TEXT(in.n) + 1)
		return E_LIMIT;
	for (size_t i = 0; i < in.n; i++) {
		acc = acc << 8 | in.p[i];
		for (bits += 8; bits >= 6; bits -= 6)
			text[at++] = alphabet[acc >> (bits - 6) & 63];
	}
	if (bits > 0)
		text[at++] = alphabet[acc << (6 - bits) & 63];
	text[at] = '\0';
	return 0;
}

int
seal_decode(struct span text, uint8_t *bytes, size_t cap, size_t *n)
{
	struct wr w = wr_open(bytes, cap);
	uint32_t acc = 0;
	unsigned bits = 0;

	if (text.n % 4 == 1)
		return E_AUTH;
	for (size_t i = 0; i < text.n; i++) {
		int v = value_of(text.p[i]);
		if (v < 0)
			return E_AUTH;
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			wr_u8(&w, (uint8_t)(acc >> bits));
		}
	}
	if ((acc & ((1U << bits) - 1)) != 0)
		return E_AUTH;
	if (wr_full(&w))
		return E_LIMIT;
	*n = w.n;
	return 0;
}

int
seal_close(const uint8_t key[SEAL_KEY], struct span head, struct span plain, char *text,
	   size_t cap)
{
	uint8_t buf[SEALED_MAX];
	struct wr w = wr_open(buf, sizeof(buf));
	int n = 0, rc = E_TLS;

	wr_put(&w, head);
	uint8_t *nonce = wr_room(&w, SEAL_NONCE);
	uint8_t *out = wr_room(&w, plain.n);
	uint8_t *tag = wr_room(&w, SEAL_TAG);
	if (wr_full(&w))
		return E_LIMIT;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	if (c != NULL && RAND_bytes(nonce, SEAL_NONCE) == 1 &&
	    EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
	    (head.n == 0 || EVP_EncryptUpdate(c, NULL, &n, head.p, (int)head.n) == 1) &&
	    (plain.n == 0 ||
	     EVP_EncryptUpdate(c, out, &n, plain.p, (int)plain.n) == 1) &&
	    EVP_EncryptFinal_ex(c, out + plain.n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SEAL_TAG, tag) == 1)
		rc = encode(wr_span(&w), text, cap);
	EVP_CIPHER_CTX_free(c);
	return rc;
}

int
seal_open(const uint8_t key[SEAL_KEY], size_t head_n, struct span bytes, uint8_t *plain,
	  size_t cap, size_t *n)
{
	struct rd r = rd_open(bytes);
	struct span head = rd_take(&r, head_n);
	struct span nonce = rd_take(&r, SEAL_NONCE);
	if (rd_short(&r) || rd_left(&r) < SEAL_TAG)
		return E_AUTH;
	struct span body = rd_take(&r, rd_left(&r) - SEAL_TAG);
	uint8_t tag[SEAL_TAG];
	rd_copy(&r, tag, sizeof(tag));
	int k = 0, rc = E_TLS;

	if (body.n > cap)
		return E_LIMIT;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	if (c != NULL &&
	    EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce.p) == 1 &&
	    (head.n == 0 || EVP_DecryptUpdate(c, NULL, &k, head.p, (int)head.n) == 1) &&
	    (body.n == 0 ||
	     EVP_DecryptUpdate(c, plain, &k, body.p, (int)body.n) == 1) &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SEAL_TAG, tag) == 1)
		rc = EVP_DecryptFinal_ex(c, plain + body.n, &k) == 1 ? 0 : E_AUTH;
	EVP_CIPHER_CTX_free(c);
	if (rc == 0)
		*n = body.n;
	else
		OPENSSL_cleanse(plain, body.n); /* unauthenticated bytes are no bytes */
	return rc;
}
