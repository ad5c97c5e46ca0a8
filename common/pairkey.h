/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pairkey.h -- the key both nodes hold: it seals every secret in the store.
 *
 *   sealed = "TPS1" | nonce 12 | ciphertext | tag 16
 *
 * AES-256-GCM under a key derived from the pair key; the object's name is
 * authenticated, so that one object's secret is no other's. The file has 64 hex digits.
 *
 * Errors: E_AUTH for what was not sealed under this key and name, E_LIMIT when the
 * room does not suffice, E_INVAL for a file that is no key, -errno.
 */
#ifndef COMMON_PAIRKEY_H
#define COMMON_PAIRKEY_H

#include "common/span.h"

enum { PAIRKEY = 32, PAIRKEY_EXTRA = 4 + 12 + 16 };

int pairkey_load(const char *path, uint8_t key[PAIRKEY]);
int pairkey_make(uint8_t key[PAIRKEY]);
int pairkey_save(const char *path, const uint8_t key[PAIRKEY]);

/* A key for one purpose ("seal", "cpg") out of the pair key. */
int pairkey_derive(const uint8_t key[PAIRKEY], const char *purpose,
		   uint8_t out[PAIRKEY]);

int pairkey_seal(const uint8_t key[PAIRKEY], const char *object, struct span plain,
		 uint8_t *out, size_t cap, size_t *n);
int pairkey_open(const uint8_t key[PAIRKEY], const char *object, struct span sealed,
		 uint8_t *out, size_t cap, size_t *n);

#endif
