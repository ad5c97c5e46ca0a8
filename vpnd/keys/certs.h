/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* certs.h -- one certificate with its private key, and what may be signed with it.
 *
 * Ownership: cert_new and cert_make give; cert_free ends, the key is wiped.
 */
#ifndef VPND_KEYS_CERTS_H
#define VPND_KEYS_CERTS_H

#include "common/span.h"
#include "vpnd/ipc/messages.h"

#include <openssl/evp.h>

struct cert {
	uint32_t generation;
	EVP_PKEY *key;
	bool is_rsa;
	char *chain; /* PEM of certificate and chain, without the key */
	size_t chain_n;
};

/* From PEM of key, certificate and chain, in any order but the certificate
 * before its chain. E_INVAL with one sentence in why (why_n bytes) when it
 * cannot serve. */
int cert_new(struct cert **out, struct span pem, uint32_t generation, char *why,
	     size_t why_n);
void cert_free(struct cert *c);

/* PEM of a fresh P-256 key and a certificate it signed itself, for `name` (""
 * = none known). The caller wipes and frees *pem (n bytes). */
int cert_make(const char *name, char **pem, size_t *n);

/* sig has cap bytes. E_INVAL for a request that no TLS handshake makes: this
 * must never become a raw RSA operation for someone's ciphertext. */
int cert_sign(const struct cert *c, enum sign_scheme scheme, struct span data,
	      uint8_t *sig, size_t cap, size_t *n);

/* Is block (as long as the modulus of bits) one that RFC 8017 9.2 or 9.1.1
 * would make: PKCS#1 type 1 around a digest, or PSS with a salt as long as its
 * digest (RFC 8446 4.2.3)? */
bool cert_block_is_padded(struct span block, unsigned bits);

#endif
