/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/jws.h"

#include "common/b64.h"
#include "common/err.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum { COORDINATE = 32, SIGNATURE = 2 * COORDINATE };

int
jws_sha256(struct span in, uint8_t out[32])
{
	return EVP_Digest(in.p, in.n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : E_TLS;
}

/* ---- the key ---- */

static int
coordinate(EVP_PKEY *key, const char *which, char out[JWS_THUMBPRINT])
{
	uint8_t b[COORDINATE];
	BIGNUM *n = NULL;
	struct wr w = wr_open(out, JWS_THUMBPRINT);
	int rc = E_TLS;

	if (EVP_PKEY_get_bn_param(key, which, &n) == 1 &&
	    BN_bn2binpad(n, b, COORDINATE) == COORDINATE) {
		b64url_encode(&w, span_of(b, sizeof(b)));
		wr_u8(&w, '\0');
		rc = 0;
	}
	BN_free(n);
	return rc;
}

static int
coordinates(EVP_PKEY *key, char x[JWS_THUMBPRINT], char y[JWS_THUMBPRINT])
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
					   sizeof(group), &n) != 1 ||
	    strcmp(group, "prime256v1") != 0)
		return E_INVAL;
	int rc = coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, x);
	return rc < 0 ? rc : coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, y);
}

json_t *
jws_jwk(EVP_PKEY *key)
{
	char x[JWS_THUMBPRINT], y[JWS_THUMBPRINT];

	if (coordinates(key, x, y) < 0)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:s}", "crv", "P-256", "kty", "EC", "x", x, "y",
			 y);
}

int
jws_thumbprint(EVP_PKEY *key, char out[JWS_THUMBPRINT])
{
	char x[JWS_THUMBPRINT], y[JWS_THUMBPRINT], text[256];
	struct wr w = wr_open(text, sizeof(text)), o = wr_open(out, JWS_THUMBPRINT);
	uint8_t sha[32];
	int rc = coordinates(key, x, y);

	/* RFC 7638 3.2: exactly these members, in this order, without blanks. */
	wr_fmt(&w, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x,
	       y);
	if (rc == 0)
		rc = jws_sha256(wr_span(&w), sha);
	if (rc == 0) {
		b64url_encode(&o, span_of(sha, sizeof(sha)));
		wr_u8(&o, '\0');
	}
	return rc;
}

/* ---- signing ---- */

/* base64url(head) "." base64url(payload): what is signed; the parts are found again by
 * the dot. */
static char *
signing_input(json_t *head, const char *alg, struct span payload)
{
	json_object_set_new(head, "alg", json_string(alg));
	char *h = json_dumps(head, JSON_COMPACT);
	size_t cap = h == NULL ? 0 : (strlen(h) + payload.n) * 4 / 3 + 16;
	char *in = h == NULL ? NULL : malloc(cap);

	if (in != NULL) {
		struct wr w = wr_open(in, cap);
		b64url_encode(&w, span_str(h));
		wr_u8(&w, '.');
		b64url_encode(&w, payload);
		wr_u8(&w, '\0');
	}
	free(h);
	return in;
}

static int
flatten(const char *in, struct span signature, char **out)
{
	char text[SIGNATURE * 2];
	struct wr w = wr_open(text, sizeof(text));
	const char *dot = strchr(in, '.');

	b64url_encode(&w, signature);
	wr_u8(&w, '\0');
	json_t *o = json_pack("{s:s%,s:s,s:s}", "protected", in, (size_t)(dot - in),
			      "payload", dot + 1, "signature", text);
	*out = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return *out == NULL ? E_NOMEM : 0;
}

/* RFC 7518 3.4: r and s, each as 32 bytes, where OpenSSL has them in DER. */
static int
raw_signature(const uint8_t *der, size_t n, uint8_t raw[SIGNATURE])
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);
	int rc = E_TLS;

	if (s != NULL &&
	    BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, COORDINATE) == COORDINATE &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + COORDINATE, COORDINATE) ==
		    COORDINATE)
		rc = 0;
	ECDSA_SIG_free(s);
	return rc;
}

int
jws_sign(EVP_PKEY *key, json_t *head, struct span payload, char **out)
{
	uint8_t der[128], raw[SIGNATURE];
	size_t n = sizeof(der);
	char *in = signing_input(head, "ES256", payload);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int rc = in == NULL || c == NULL ? E_NOMEM : 0;

	*out = NULL;
	if (rc == 0 &&
	    (EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) != 1 ||
	     EVP_DigestSign(c, der, &n, (const uint8_t *)in, strlen(in)) != 1))
		rc = E_TLS;
	if (rc == 0)
		rc = raw_signature(der, n, raw);
	if (rc == 0)
		rc = flatten(in, span_of(raw, sizeof(raw)), out);
	EVP_MD_CTX_free(c);
	free(in);
	return rc;
}

int
jws_hmac(struct span key, json_t *head, struct span payload, char **out)
{
	uint8_t mac[32];
	char *in = signing_input(head, "HS256", payload);
	int rc = in == NULL ? E_NOMEM : 0;

	*out = NULL;
	if (rc == 0 && HMAC(EVP_sha256(), key.p, (int)key.n, (const uint8_t *)in,
			    strlen(in), mac, NULL) == NULL)
		rc = E_TLS;
	if (rc == 0)
		rc = flatten(in, span_of(mac, sizeof(mac)), out);
	free(in);
	return rc;
}

int
jws_keyauth(struct span token, const char *thumbprint, char out[JWS_KEYAUTH])
{
	struct wr w = wr_open(out, JWS_KEYAUTH);

	wr_put(&w, token);
	wr_fmt(&w, ".%s", thumbprint);
	wr_u8(&w, '\0');
	return wr_full(&w) ? E_LIMIT : 0;
}
