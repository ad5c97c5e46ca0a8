/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* gcm.h -- AES-GCM of TLS records (RFC 5288, RFC 8446), in place, the fastest way this
 * machine has. One context is one key in one direction; per record only the nonce
 * and the additional data change.
 *
 * Two ways, the same bytes:
 *   GCM_OPENSSL  prepared parameters and one EVP_Cipher: the cheapest of OpenSSL's
 *                ways, 565 ns for 1400 bytes (Xeon with AVX-512)
 *   GCM_WIDE     Intel's libipsec-mb where the processor has VAES: 147 ns there
 *
 *   nonce(8) | text(n) | tag(16)     is what `body` points to
 *
 * Nonces: the salt and a counter that starts where gcm_new says; sealing counts it
 * up and writes it to the body, opening reads it from there.
 *
 * Units:      bytes.
 * Ownership:  gcm_new gives, gcm_free ends and wipes the key.
 * Errors:     E_NOMEM, E_TLS; sealing and opening say true or false.
 */
#ifndef WORKER_GCM_H
#define WORKER_GCM_H

#include "common/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GCM_IV 12u
#define GCM_SALT 4u
#define GCM_NONCE 8u
#define GCM_TAG 16u
#define GCM_AAD 13u /* sequence number, type, version, length of the text */

enum gcm_way { GCM_OPENSSL, GCM_WIDE };

/* What is best here. The first call sets it up: before the sandbox closes. */
enum gcm_way gcm_best(void);

struct gcm;
/* key_bytes is 16 or 32. `start` is the first nonce; opening does not need it. */
int gcm_new(struct gcm **out, enum gcm_way, const uint8_t *key, size_t key_bytes,
	    const uint8_t salt[GCM_SALT], uint64_t start, bool seals);
void gcm_free(struct gcm *);

bool gcm_seal(struct gcm *, const uint8_t aad[GCM_AAD], uint8_t *body, size_t n);

/* As TLS 1.3 has it (RFC 8446 5.2): the caller knows the nonce, and none is sent. The
 * tag goes behind the text. Not with gcm_seal on one context. */
bool gcm_seal_with(struct gcm *, const uint8_t nonce[GCM_IV], struct span aad,
		   uint8_t *text, size_t n);

/* False: the tag is wrong, and the text destroyed. */
bool gcm_open(struct gcm *, const uint8_t aad[GCM_AAD], uint8_t *body, size_t n);

#endif
