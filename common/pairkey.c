/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/pairkey.h"

#include "common/err.h"
#include "common/file.h"
#include "common/rd.h"
#include "common/wr.h"

#include <ctype.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

enum { NONCE = 12, TAG = 16 };

static const struct span magic = { (const uint8_t *)"TPS1", 4 };

static int
digit(uint8_t c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

int
pairkey_load(const char *path, uint8_t key[PAIRKEY])
{
	uint8_t *text;
	size_t n;
	int rc = file_read(AT_FDCWD, path, 4096, &text, &n);

	if (rc < 0)
		return rc;
	while (n > 0 && isspace(text[n - 1]))
		n--;
	rc = n == (size_t)2 * PAIRKEY ? 0 : E_INVAL;
	for (size_t i = 0; rc == 0 && i < PAIRKEY; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			rc = E_INVAL;
		else
			key[i] = (uint8_t)(high << 4 | low);
	}
	OPENSSL_cleanse(text, n);
	free(text);
	return rc;
}

int
pairkey_make(uint8_t key[PAIRKEY])
{
	return RAND_bytes(key, PAIRKEY) == 1 ? 0 : E_TLS;
}

int
pairkey_save(const char *path, const uint8_t key[PAIRKEY])
{
	uint8_t text[2 * PAIRKEY + 2];
	struct wr w = wr_open(text, sizeof(text));

	for (size_t i = 0; i < PAIRKEY; i++)
		wr_fmt(&w, "%02x", key[i]);
	wr_u8(&w, '\n');
	int rc = file_replace(AT_FDCWD, path, wr_span(&w), 0600);
	OPENSSL_cleanse(text, sizeof(text));
	return rc;
}

int
pairkey_derive(const uint8_t key[PAIRKEY], const char *purpose, uint8_t out[PAIRKEY])
{
	return HMAC(EVP_sha256(), key, PAIRKEY, (const uint8_t *)purpose,
		    strlen(purpose), out, NULL) == NULL
		       ? E_TLS
		       : 0;
}

int
pairkey_seal(const uint8_t key[PAIRKEY], const char *object, struct span plain,
	     uint8_t *out, size_t cap, size_t *n)
{
	uint8_t k[PAIRKEY];
	struct wr w = wr_open(out, cap);
	int len = 0, rc = pairkey_derive(key, "seal", k);

	wr_put(&w, magic);
	uint8_t *nonce = wr_room(&w, NONCE), *body = wr_room(&w, plain.n);
	uint8_t *tag = wr_room(&w, TAG);
	if (wr_full(&w))
		rc = E_LIMIT;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	if (rc == 0 && (c == NULL || RAND_bytes(nonce, NONCE) != 1 ||
			EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, k, nonce) != 1 ||
			EVP_EncryptUpdate(c, NULL, &len, (const uint8_t *)object,
					  (int)strlen(object)) != 1 ||
			(plain.n > 0 && EVP_EncryptUpdate(c, body, &len, plain.p,
							  (int)plain.n) != 1) ||
			EVP_EncryptFinal_ex(c, body + plain.n, &len) != 1 ||
			EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, tag) != 1))
		rc = E_TLS;
	EVP_CIPHER_CTX_free(c);
	OPENSSL_cleanse(k, sizeof(k));
	*n = rc == 0 ? w.n : 0;
	return rc;
}

int
pairkey_open(const uint8_t key[PAIRKEY], const char *object, struct span sealed,
	     uint8_t *out, size_t cap, size_t *n)
{
	uint8_t k[PAIRKEY], tag[TAG];
	struct rd r = rd_open(sealed);
	int len = 0;

	if (!span_eq(rd_take(&r, magic.n), magic))
		return E_AUTH;
	struct span nonce = rd_take(&r, NONCE);
	struct span body =
		rd_take(&r, rd_left(&r) < TAG ? SIZE_MAX : rd_left(&r) - TAG);
	rd_copy(&r, tag, sizeof(tag));
	if (rd_short(&r))
		return E_AUTH;
	if (body.n > cap)
		return E_LIMIT;
	int rc = pairkey_derive(key, "seal", k);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	if (rc == 0 &&
	    (c == NULL ||
	     EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, k, nonce.p) != 1 ||
	     EVP_DecryptUpdate(c, NULL, &len, (const uint8_t *)object,
			       (int)strlen(object)) != 1 ||
	     (body.n > 0 &&
	      EVP_DecryptUpdate(c, out, &len, body.p, (int)body.n) != 1) ||
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) != 1))
		rc = E_TLS;
	if (rc == 0 && EVP_DecryptFinal_ex(c, out + body.n, &len) != 1)
		rc = E_AUTH;
	EVP_CIPHER_CTX_free(c);
	OPENSSL_cleanse(k, sizeof(k));
	if (rc < 0)
		OPENSSL_cleanse(out, body.n);
	*n = rc == 0 ? body.n : 0;
	return rc;
}
