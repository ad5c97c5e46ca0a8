/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* seal.h -- bytes that strangers carry for us: sealed, as text for a cookie.
 *
 *   text = base64url(head | nonce 12 | ciphertext | tag 16), no padding
 *
 * AES-256-GCM with a random 96-bit nonce (SP 800-38D 8.2.2); `head` is in the
 * clear and authenticated. Random nonces are good for 2^32 texts a key.
 *
 * Errors: E_AUTH for anything that was not sealed by us under this key;
 *         E_LIMIT when the room does not suffice; E_TLS when OpenSSL fails.
 */
#ifndef COMMON_SEAL_H
#define COMMON_SEAL_H

#include "common/span.h"

enum {
	SEAL_KEY = 32,
	SEAL_NONCE = 12,
	SEAL_TAG = 16,
	SEAL_EXTRA = SEAL_NONCE + SEAL_TAG
};

/* Characters, without the NUL, of n bytes as base64url. */
#define SEAL_TEXT(n) (((n)*4 + 2) / 3)

/* text has cap bytes, NUL included. */
int seal_close(const uint8_t key[SEAL_KEY], struct span head, struct span plain,
	       char *text, size_t cap);

/* Text to bytes, strictly: only the alphabet of RFC 4648 5, no padding, unused
 * bits zero, so that one text stands for one sequence of bytes. */
int seal_decode(struct span text, uint8_t *bytes, size_t cap, size_t *n);

/* bytes: what seal_decode gave; the first head_n of them are the head. */
int seal_open(const uint8_t key[SEAL_KEY], size_t head_n, struct span bytes,
	      uint8_t *plain, size_t cap, size_t *n);

#endif
