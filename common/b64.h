/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* b64.h -- base64 (RFC 4648) and hex, into and out of cursors.
 *
 * Decoders are strict: no blanks, no foreign characters, no stray bits in the
 * last character, so that one value has one spelling.
 * Errors: 0, E_PROTO (not of this form), E_LIMIT (does not fit `out`).
 */
#ifndef COMMON_B64_H
#define COMMON_B64_H

#include "common/span.h"
#include "common/wr.h"

/* base64url without padding, RFC 4648 5: safe in cookies, URLs and XML. */
void b64url_encode(struct wr *w, struct span in);
int b64url_decode(struct wr *out, struct span in);

/* Standard alphabet with padding, RFC 4648 4. */
void b64_encode(struct wr *w, struct span in);
int b64_decode(struct wr *out, struct span in);

void hex_encode(struct wr *w, struct span in); /* lower case */
void hex_encode_upper(struct wr *w, struct span in);
/* Exactly n bytes from exactly 2n digits of either case. */
int hex_decode(void *out, size_t n, struct span in);

#endif
