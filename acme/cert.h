/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cert.h -- keys and certificates as PEM text: make them, read facts off them, and
 * judge what a certificate authority sent.
 *
 * Ownership: texts and keys that are given are freed by the caller (secrets:
 * OPENSSL_cleanse first; cert_wipe does both).
 * Units:     times are seconds since 1970, wall clock.
 * Errors:    E_PROTO not PEM of that kind; E_INVAL judged and refused, with a reason;
 *            E_TLS OpenSSL said no; E_NOMEM.
 */
#ifndef ACME_CERT_H
#define ACME_CERT_H

#include "common/span.h"

#include <openssl/evp.h>
#include <stdint.h>

enum {
	CERT_CHAIN_MAX = 8, /* certificates in one chain */
	CERT_NAMES_MAX = 32,
	CERT_PEM_MAX = 128 * 1024,
	CERT_TEXT = 256,
};

/* What people and schedules want to know of a leaf and its chain. */
struct cert_facts {
	char subject[CERT_TEXT], issuer[CERT_TEXT], root[CERT_TEXT]; /* common names;
		root: the issuer of the last certificate */
	char serial[2 * 20 + 1];                                     /* hex */
	char sha256[65];                                             /* of the leaf */
	char ari_id[128]; /* RFC 9773 4.1; "" without an authority key id */
	int64_t not_before, not_after;
	char names[CERT_NAMES_MAX][CERT_TEXT]; /* DNS names */
	size_t n_names, n_chain;
	bool is_self_signed;
};

enum cert_key { CERT_KEY_P256, CERT_KEY_RSA2048 };
int cert_key_new(EVP_PKEY **out, enum cert_key type);
/* Without a passphrase. */
int cert_key_pem(EVP_PKEY *key, char **pem);
int cert_key_read(EVP_PKEY **out, struct span pem);

/* A PKCS#10 request for these names in DER; serverAuth is asked for. */
int cert_request(EVP_PKEY *key, const char *const *names, size_t n, uint8_t **der,
		 size_t *der_n);

/* A certificate signed by its own key, for these names (the first is also the
 * subject). */
int cert_self_signed(EVP_PKEY *key, const char *const *names, size_t n, int64_t now_s,
		     unsigned days, char **pem);
/* RFC 8737 3: the certificate that answers a tls-alpn-01 challenge, behind its key. */
int cert_alpn(const char *name, const uint8_t digest[32], char **pem);

int cert_read(struct cert_facts *f, struct span pem);

/* Judge a chain that should be for exactly these names and this key: text of one
 * reason in why. An intermediate that nobody in the chain signed with is refused. */
int cert_judge(struct span pem, EVP_PKEY *key, const char *const *names, size_t n,
	       int64_t now_s, char *why, size_t cap);
/* The same names, whatever their order and case. */
bool cert_names_are(const struct cert_facts *f, const char *const *names, size_t n);

/* The same chain and nothing else: no comments, no other PEM blocks. */
int cert_normal(struct span pem, char **out);

/* The leaf alone, as base64url of its DER (RFC 8555 7.6). */
int cert_leaf_b64(struct span pem, char **text);

/* NULL is fine. */
void cert_wipe(char *secret);

#endif
