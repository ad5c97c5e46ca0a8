/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* jws.h -- signed requests (RFC 7515) as ACME wants them: flattened JSON, ES256 by an
 * account key on P-256, HS256 for external account binding.
 *
 * Ownership: *out is freed by the caller. Errors: E_TLS, E_NOMEM, E_INVAL (not a P-256
 * key).
 */
#ifndef ACME_JWS_H
#define ACME_JWS_H

#include "common/span.h"

#include <jansson.h>
#include <openssl/evp.h>

enum { JWS_THUMBPRINT = 44, JWS_KEYAUTH = 256 }; /* NUL counted */

/* The public key (RFC 7517); NULL on error. */
json_t *jws_jwk(EVP_PKEY *key);
/* RFC 7638, base64url. */
int jws_thumbprint(EVP_PKEY *key, char out[JWS_THUMBPRINT]);

/* head is the protected header; "alg" is added. payload empty: RFC 8555 6.3. */
int jws_sign(EVP_PKEY *key, json_t *head, struct span payload, char **out);
int jws_hmac(struct span key, json_t *head, struct span payload, char **out);

/* RFC 8555 8.1: token "." thumbprint; E_LIMIT if out does not suffice. */
int jws_keyauth(struct span token, const char *thumbprint, char out[JWS_KEYAUTH]);
int jws_sha256(struct span in, uint8_t out[32]);

#endif
