/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* join.h -- the one string an operator carries from the primary to the spare.
 *
 *   "TANDEM1-" base64url( version 8 (1) | flags 8 | pair id 16 | pair key 32 |
 *   authkey (length 16) | text (length 16) | first 8 bytes of SHA-256 of all before )
 *
 * It holds secrets. authkey is corosync's, as corosync-keygen wrote it; text is for
 * `vpnctl node`: what the spare's configuration needs, KEY=VALUE lines. Whitespace and
 * line breaks, which mail and terminals add, do not matter.
 *
 * Errors: E_INVAL it is no join string, E_STALE of another version, E_AUTH mistyped or
 * cut off, E_LIMIT.
 */
#ifndef COMMON_JOIN_H
#define COMMON_JOIN_H

#include "common/pairkey.h"
#include "common/span.h"

enum {
	JOIN_PAIR = 16,
	JOIN_AUTHKEY_MAX = 4096,
	JOIN_TEXT_MAX = 4096,
	JOIN_MAX = 12288
};

struct join {
	uint8_t pair[JOIN_PAIR], key[PAIRKEY];
	size_t authkey_n, text_n;
	uint8_t authkey[JOIN_AUTHKEY_MAX];
	char text[JOIN_TEXT_MAX + 1]; /* NUL-terminated; printable ASCII and newlines */
};

/* text: at least JOIN_MAX bytes; ends in NUL. */
int join_encode(const struct join *j, char *text, size_t cap);
int join_decode(struct span text, struct join *j);

#endif
