/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tlstx.h -- the sending half of a TLS 1.3 connection, taken over from OpenSSL when a
 * tunnel sends much: OpenSSL spends three quarters of a TLS download on the way to its
 * cipher and back, one record at a time. Receiving stays with OpenSSL.
 *
 * For AES-GCM suites only (RFC 8446 5.2, 5.3, 7.3). The traffic secret comes from
 * OpenSSL's key log; the number of records it has sent under that secret is counted
 * where they leave. From then on OpenSSL must not send any more: what it wants to say
 * (answer a KeyUpdate, close_notify) is said by tlstx_update and tlstx_seal.
 *
 *   header(5) | text(n) | type(1) | tag(16)      one record
 *
 * Units:      bytes.
 * Ownership:  tlstx_new gives, tlstx_free ends and wipes the keys.
 * Errors:     E_NOMEM, E_TLS, E_PROTO: no such secret in this line.
 */
#ifndef WORKER_TLSTX_H
#define WORKER_TLSTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLSTX_HEAD 5u
#define TLSTX_TAIL 17u
#define TLSTX_TEXT_MAX 16384u
#define TLSTX_UPDATE (TLSTX_HEAD + 5u + TLSTX_TAIL)

enum tlstx_type { TLSTX_ALERT = 21, TLSTX_HANDSHAKE = 22, TLSTX_DATA = 23 };

/* n is 32 for TLS_AES_128_GCM_SHA256, 48 for TLS_AES_256_GCM_SHA384. */
struct tlstx_secret {
	uint8_t b[48];
	size_t n;
};

/* A line of OpenSSL's key log, if it is the one with what the server's application
 * data is sent under: "SERVER_TRAFFIC_SECRET_0 RANDOM SECRET". */
int tlstx_secret_read(const char *line, struct tlstx_secret *out);

struct tlstx;
/* `sent` records have left under this secret. */
int tlstx_new(struct tlstx **out, const struct tlstx_secret *, uint64_t sent);
void tlstx_free(struct tlstx *);

/* Seal n bytes of text in place, with TLSTX_HEAD bytes of room before and TLSTX_TAIL
 * behind. The record starts at text - TLSTX_HEAD and is *total long. E_LIMIT: this key
 * has sealed as many as it may, update it first. */
int tlstx_seal(struct tlstx *, enum tlstx_type, uint8_t *text, size_t n, size_t *total);

/* Has this key sealed nearly all it may (RFC 8446 5.5)? */
bool tlstx_is_due(const struct tlstx *);

/* Write a KeyUpdate that asks for none (RFC 8446 4.6.3); what follows is sealed with
 * the next key. */
int tlstx_update(struct tlstx *, uint8_t record[TLSTX_UPDATE]);

#endif
