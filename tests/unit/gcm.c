/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Both ways make the same bytes as OpenSSL's plain calls, and refuse the same. */
#include "vpnd/worker/gcm.h"

#include "tests/lib/tap.h"

#include <openssl/evp.h>
#include <string.h>

enum { TEXT_MAX = 1500 };

static const uint8_t salt[GCM_SALT] = { 9, 8, 7, 6 };
static uint8_t key[32], body[GCM_NONCE + TEXT_MAX + GCM_TAG], plain[TEXT_MAX];

static size_t
reference(size_t key_bytes, const uint8_t aad[GCM_AAD], uint64_t nonce, size_t n,
	  uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t iv[12];
	int k;

	memcpy(iv, salt, GCM_SALT);
	for (int i = 0; i < 8; i++)
		out[i] = iv[GCM_SALT + i] = (uint8_t)(nonce >> (56 - 8 * i));
	EVP_EncryptInit_ex(c, key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
			   NULL, key, iv);
	EVP_EncryptUpdate(c, NULL, &k, aad, GCM_AAD);
	EVP_EncryptUpdate(c, out + GCM_NONCE, &k, plain, (int)n);
	EVP_EncryptFinal_ex(c, out + GCM_NONCE + n, &k);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, out + GCM_NONCE + n);
	EVP_CIPHER_CTX_free(c);
	return GCM_NONCE + n + GCM_TAG;
}

static void
aad_of(uint8_t aad[GCM_AAD], size_t n, unsigned seq)
{
	memset(aad, 0, GCM_AAD);
	aad[1] = 1;
	aad[7] = (uint8_t)seq;
	aad[8] = 23;
	aad[9] = 0xfe;
	aad[10] = 0xfd;
	aad[11] = (uint8_t)(n >> 8);
	aad[12] = (uint8_t)n;
}

/* All lengths, through a carry of the nonce. */
static void
same_bytes(enum gcm_way way, size_t key_bytes)
{
	static uint8_t want[sizeof(body)];
	struct gcm *tx, *rx;
	uint64_t nonce = UINT64_C(0xffffffffffffff00);
	bool seals = true, opens = true;

	is_int(gcm_new(&tx, way, key, key_bytes, salt, nonce, true), 0, "for sealing");
	is_int(gcm_new(&rx, way, key, key_bytes, salt, 0, false), 0, "for opening");
	for (size_t n = 1; n <= TEXT_MAX; n++, nonce++) {
		uint8_t aad[GCM_AAD];
		aad_of(aad, n, (unsigned)n);
		size_t size = reference(key_bytes, aad, nonce, n, want);
		memcpy(body + GCM_NONCE, plain, n);
		seals &= gcm_seal(tx, aad, body, n) && memcmp(body, want, size) == 0;
		opens &= gcm_open(rx, aad, body, n) &&
			 memcmp(body + GCM_NONCE, plain, n) == 0;
	}
	ok(seals, "way %d, %zu bytes of key: seals as the plain calls do", way,
	   key_bytes);
	ok(opens, "... and opens it");
	gcm_free(tx);
	gcm_free(rx);
}

/* TLS 1.3: five bytes of additional data, any nonce, none in the record. */
static void
same_bytes_with_a_given_nonce(enum gcm_way way, size_t key_bytes)
{
	static uint8_t want[sizeof(body)];
	uint8_t nonce[GCM_IV] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0 };
	const uint8_t aad[] = { 23, 3, 3, 5, 200 };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	struct gcm *tx;
	bool is_same = true;
	int k;

	is_int(gcm_new(&tx, way, key, key_bytes, nonce, 0, true), 0, "for sealing");
	for (size_t n = 1; n <= TEXT_MAX; n++) {
		nonce[GCM_IV - 1] = (uint8_t)n;
		nonce[0] = (uint8_t)(n >> 8);
		EVP_EncryptInit_ex(
			c, key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
			NULL, key, nonce);
		EVP_EncryptUpdate(c, NULL, &k, aad, sizeof(aad));
		EVP_EncryptUpdate(c, want, &k, plain, (int)n);
		EVP_EncryptFinal_ex(c, want + n, &k);
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, want + n);
		memcpy(body, plain, n);
		is_same &=
			gcm_seal_with(tx, nonce, span_of(aad, sizeof(aad)), body, n) &&
			memcmp(body, want, n + GCM_TAG) == 0;
	}
	ok(is_same, "way %d, %zu bytes of key: as the plain calls with a given nonce",
	   way, key_bytes);
	gcm_free(tx);
	EVP_CIPHER_CTX_free(c);
}

static void
one_bit_is_enough(enum gcm_way way)
{
	static uint8_t sealed[sizeof(body)];
	const size_t n = 100, size = GCM_NONCE + n + GCM_TAG;
	struct gcm *tx, *rx;
	uint8_t aad[GCM_AAD];
	bool refused = true, destroyed = true;

	gcm_new(&tx, way, key, 32, salt, 5, true);
	gcm_new(&rx, way, key, 32, salt, 0, false);
	aad_of(aad, n, 1);
	memcpy(sealed + GCM_NONCE, plain, n);
	ok(gcm_seal(tx, aad, sealed, n), "sealed");
	for (size_t i = 0; i < (size + GCM_AAD) * 8; i++) {
		uint8_t other[GCM_AAD];
		memcpy(body, sealed, size);
		memcpy(other, aad, GCM_AAD);
		if (i / 8 < size)
			body[i / 8] ^= (uint8_t)(1 << i % 8);
		/* OpenSSL's way reads the length from n, not from here. */
		else if (i / 8 - size < GCM_AAD - 2)
			other[i / 8 - size] ^= (uint8_t)(1 << i % 8);
		else
			continue;
		refused &= !gcm_open(rx, other, body, n);
		destroyed &= memcmp(body + GCM_NONCE, plain, n) != 0;
	}
	ok(refused, "way %d: each flipped bit is seen", way);
	ok(destroyed, "... and the text is not given away");
	memcpy(body, sealed, size);
	ok(gcm_open(rx, aad, body, n), "... and the right one opens afterwards");
	gcm_free(tx);
	gcm_free(rx);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 13 >> 2);
	for (int way = GCM_OPENSSL; way <= (int)gcm_best(); way++) {
		same_bytes((enum gcm_way)way, 16);
		same_bytes((enum gcm_way)way, 32);
		same_bytes_with_a_given_nonce((enum gcm_way)way, 16);
		same_bytes_with_a_given_nonce((enum gcm_way)way, 32);
		one_bit_is_enough((enum gcm_way)way);
	}
	gcm_free(NULL);
	return done_testing();
}
