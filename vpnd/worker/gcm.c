/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/gcm.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

enum { ALIGN = 64 };
_Static_assert(GCM_IV == GCM_SALT + GCM_NONCE, "RFC 5288 3");

struct gcm {
	enum gcm_way way;
	size_t key_bytes;
	EVP_CIPHER_CTX *evp; /* GCM_OPENSSL */
	uint64_t nonce;      /* GCM_WIDE: the next one */
	uint8_t iv[GCM_IV];
#ifdef HAVE_IPSEC_MB
	_Alignas(ALIGN) struct gcm_key_data wide; /* the library asks for that */
#endif
};

/* ---- OpenSSL ---- */

/* Length -1 gives salt and counter together; with the length of the salt OpenSSL
 * would draw a random counter. */
static int
evp_new(struct gcm *g, const uint8_t *key, bool seals)
{
	const EVP_CIPHER *c =
		g->key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();

	g->evp = EVP_CIPHER_CTX_new();
	if (g->evp == NULL)
		return E_NOMEM;
	if (EVP_CipherInit_ex(g->evp, c, NULL, key, NULL, seals) == 1 &&
	    EVP_CIPHER_CTX_ctrl(g->evp, EVP_CTRL_GCM_SET_IV_FIXED, -1, g->iv) == 1)
		return 0;
	ERR_clear_error();
	return E_TLS;
}

/* OpenSSL takes nonce and tag off the length in the AAD itself: 8 bytes when sealing,
 * 24 when opening. */
static bool
evp_run(struct gcm *g, const uint8_t aad[GCM_AAD], uint8_t *body, size_t n,
	size_t claimed)
{
	uint8_t own[GCM_AAD];
	OSSL_PARAM params[] = {
		{ OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, OSSL_PARAM_OCTET_STRING, own,
		  GCM_AAD, 0 },
		OSSL_PARAM_END,
	};

	memcpy(own, aad, GCM_AAD - 2);
	own[GCM_AAD - 2] = (uint8_t)(claimed >> 8);
	own[GCM_AAD - 1] = (uint8_t)claimed;
	/* When opening the value is no length worth having; only < 0 fails. */
	if (EVP_CIPHER_CTX_set_params(g->evp, params) == 1 &&
	    EVP_Cipher(g->evp, body, body, (unsigned)(GCM_NONCE + n + GCM_TAG)) >= 0)
		return true;
	ERR_clear_error();
	return false;
}

static bool
evp_seal_with(struct gcm *g, const uint8_t *nonce, struct span aad, uint8_t *text,
	      size_t n)
{
	int done, rest;

	if (EVP_EncryptInit_ex(g->evp, NULL, NULL, NULL, nonce) == 1 &&
	    EVP_EncryptUpdate(g->evp, NULL, &done, aad.p, (int)aad.n) == 1 &&
	    EVP_EncryptUpdate(g->evp, text, &done, text, (int)n) == 1 &&
	    EVP_EncryptFinal_ex(g->evp, text + done, &rest) == 1 &&
	    EVP_CIPHER_CTX_ctrl(g->evp, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, text + n) == 1)
		return true;
	ERR_clear_error();
	return false;
}

/* ---- libipsec-mb ---- */

#ifdef HAVE_IPSEC_MB

/* A table of functions and nothing that changes; made once, the same for all keys. */
static IMB_MGR *
manager(void)
{
	static IMB_MGR *mgr;
	static bool is_tried;
	const uint64_t need = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

	if (is_tried)
		return mgr;
	is_tried = true;
	mgr = alloc_mb_mgr(0);
	if (mgr == NULL)
		return NULL;
	init_mb_mgr_auto(mgr, NULL);
	if (imb_get_errno(mgr) != 0 || (mgr->features & need) != need) {
		free_mb_mgr(mgr);
		mgr = NULL;
	}
	return mgr;
}

static void
wide_key(struct gcm *g, const uint8_t *key)
{
	if (g->key_bytes == 16)
		IMB_AES128_GCM_PRE(manager(), key, &g->wide);
	else
		IMB_AES256_GCM_PRE(manager(), key, &g->wide);
}

static void
wide_seal(struct gcm *g, const uint8_t *iv, struct span aad, uint8_t *text, size_t n)
{
	struct gcm_context_data ctx;

	if (g->key_bytes == 16)
		IMB_AES128_GCM_ENC(manager(), &g->wide, &ctx, text, text, n, iv, aad.p,
				   aad.n, text + n, GCM_TAG);
	else
		IMB_AES256_GCM_ENC(manager(), &g->wide, &ctx, text, text, n, iv, aad.p,
				   aad.n, text + n, GCM_TAG);
}

static bool
wide_open(struct gcm *g, const uint8_t *aad, uint8_t *body, size_t n)
{
	uint8_t *text = body + GCM_NONCE, tag[GCM_TAG];
	struct gcm_context_data ctx;

	if (g->key_bytes == 16)
		IMB_AES128_GCM_DEC(manager(), &g->wide, &ctx, text, text, n, g->iv, aad,
				   GCM_AAD, tag, GCM_TAG);
	else
		IMB_AES256_GCM_DEC(manager(), &g->wide, &ctx, text, text, n, g->iv, aad,
				   GCM_AAD, tag, GCM_TAG);
	return CRYPTO_memcmp(tag, text + n, GCM_TAG) == 0;
}

#else

static void *
manager(void)
{
	return NULL;
}
static void
wide_key(struct gcm *g, const uint8_t *key)
{
}
static void
wide_seal(struct gcm *g, const uint8_t *iv, struct span aad, uint8_t *text, size_t n)
{
}
static bool
wide_open(struct gcm *g, const uint8_t *aad, uint8_t *body, size_t n)
{
	return false;
}

#endif

/* ---- either ---- */

enum gcm_way
gcm_best(void)
{
	return manager() != NULL ? GCM_WIDE : GCM_OPENSSL;
}

int
gcm_new(struct gcm **out, enum gcm_way way, const uint8_t *key, size_t key_bytes,
	const uint8_t salt[GCM_SALT], uint64_t start, bool seals)
{
	size_t size = (sizeof(struct gcm) + ALIGN - 1) / ALIGN * ALIGN;
	struct gcm *g = aligned_alloc(ALIGN, size);
	int rc = 0;

	assert(key_bytes == 16 || key_bytes == 32);
	if (g == NULL)
		return E_NOMEM;
	memset(g, 0, sizeof(*g));
	g->way = way == GCM_WIDE ? gcm_best() : GCM_OPENSSL;
	g->key_bytes = key_bytes;
	g->nonce = start;
	struct wr w = wr_open(g->iv, GCM_IV);
	wr_bytes(&w, salt, GCM_SALT);
	wr_u64(&w, start);
	if (g->way == GCM_WIDE)
		wide_key(g, key);
	else
		rc = evp_new(g, key, seals);
	if (rc < 0) {
		gcm_free(g);
		return rc;
	}
	*out = g;
	return 0;
}

void
gcm_free(struct gcm *g)
{
	if (g == NULL)
		return;
	EVP_CIPHER_CTX_free(g->evp);
	OPENSSL_cleanse(g, sizeof(*g));
	free(g);
}

bool
gcm_seal(struct gcm *g, const uint8_t aad[GCM_AAD], uint8_t *body, size_t n)
{
	if (g->way == GCM_OPENSSL)
		return evp_run(g, aad, body, n, GCM_NONCE + n);
	struct wr w = wr_open(g->iv + GCM_SALT, GCM_NONCE);
	wr_u64(&w, g->nonce++);
	memcpy(body, g->iv + GCM_SALT, GCM_NONCE);
	wide_seal(g, g->iv, span_of(aad, GCM_AAD), body + GCM_NONCE, n);
	return true;
}

bool
gcm_seal_with(struct gcm *g, const uint8_t nonce[GCM_IV], struct span aad,
	      uint8_t *text, size_t n)
{
	if (g->way == GCM_OPENSSL)
		return evp_seal_with(g, nonce, aad, text, n);
	wide_seal(g, nonce, aad, text, n);
	return true;
}

bool
gcm_open(struct gcm *g, const uint8_t aad[GCM_AAD], uint8_t *body, size_t n)
{
	if (g->way == GCM_OPENSSL)
		return evp_run(g, aad, body, n, GCM_NONCE + n + GCM_TAG);
	memcpy(g->iv + GCM_SALT, body, GCM_NONCE);
	if (wide_open(g, aad, body, n))
		return true;
	OPENSSL_cleanse(body, GCM_NONCE + n);
	return false;
}
