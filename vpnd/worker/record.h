/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* record.h -- DTLS 1.2 AES-GCM records of epoch 1, sealed and opened in place.
 *
 * OpenSSL does the handshake (dtls.h); from then on application data never
 * touches an SSL object. Records are RFC 6347 4.1 with RFC 5288 GCM:
 *
 *   type(1) fefd epoch(2) seq(6) length(2) | nonce(8) ciphertext tag(16)
 *
 * Nonces. OpenSSL has sealed its Finished under the same key and may seal it
 * again when the peer lost it, counting its explicit nonce up from a random
 * start F. We count up from F with the top bit flipped: 2^63 records would have
 * to be sent before the two ranges meet, and RECORD_SEAL_MAX stops long before.
 * One record_tx must do all the sending under its key.
 *
 * Sequence numbers start at RECORD_SEQ_START, above all that OpenSSL uses for
 * its Finished, retransmissions included.
 *
 * Units:      lengths are bytes.
 * Ownership:  a record_tx or record_rx owns one context (gcm.h); end it with
 *             record_tx_free, record_rx_free. The structs may be moved.
 * Errors:     E_PROTO (no record we take), E_STALE (replay), E_AUTH (tag),
 *             E_LIMIT (key worn out), E_TLS (OpenSSL failed us).
 */
#ifndef WORKER_RECORD_H
#define WORKER_RECORD_H

#include "common/span.h"
#include "vpnd/worker/replay.h"

#define RECORD_HEADER 13u
#define RECORD_NONCE 8u
#define RECORD_HEADROOM (RECORD_HEADER + RECORD_NONCE)
#define RECORD_TAILROOM 16u /* the tag */
#define RECORD_OVERHEAD (RECORD_HEADROOM + RECORD_TAILROOM)
#define RECORD_TEXT_MAX 16384u
#define RECORD_SEQ_START 1000u
#define RECORD_SALT 4u
#define RECORD_KEY_MAX 32u
/* Records under one key; more than any tunnel sees between two handshakes, and
 * below the bounds on AES-GCM for full-size records (RFC 8446 5.5 reasons). */
#define RECORD_SEAL_MAX (UINT64_C(1) << 36)

enum record_type {
	RECORD_CCS = 20,       /* to dtls_feed, always */
	RECORD_ALERT = 21,     /* epoch 1: record_open, then read level and cause */
	RECORD_HANDSHAKE = 22, /* to dtls_feed, always */
	RECORD_DATA = 23
};

struct record_head {
	uint8_t type;     /* enum record_type, no other */
	uint16_t version; /* 0xfefd; 0xfeff is seen on first hellos */
	uint16_t epoch;
	uint64_t seq;
	size_t total; /* header and body: the next record starts here */
};

/* What is the record at the front of `in`? 0 or E_PROTO: nothing here or behind
 * it can be read. Several records may share a datagram:
 *
 *   for (at = 0; at < n && record_peek(rest(buf, at, n), &h) == 0; at += h.total)
 */
int record_peek(struct span in, struct record_head *out);

struct gcm;

struct record_tx {
	struct gcm *gcm;
	uint64_t seq; /* the next one to use */
};

struct record_rx {
	struct gcm *gcm;
	struct replay replay;
};

/* Key material of one direction. */
struct record_key {
	uint8_t key[RECORD_KEY_MAX];
	size_t key_bytes; /* 16 or 32 */
	uint8_t salt[RECORD_SALT];
};

/* All that a channel's keys are, to give it to another process. `taken` as in
 * record_tx_init. Wipe it when it was used. */
#define RECORD_MATERIAL 81u /* bytes, written */
struct record_material {
	struct record_key tx, rx;
	uint8_t taken[RECORD_NONCE];
};
void record_material_write(const struct record_material *,
			   uint8_t out[RECORD_MATERIAL]);
/* E_PROTO when it is none. */
int record_material_read(const uint8_t in[RECORD_MATERIAL], struct record_material *);

/* Go on where another holder of these keys stopped: its next number was tx_seq,
 * its highest received one rx_top. Nonces continue above all that it used, and
 * nothing up to rx_top is taken again. */
int record_resume(struct record_tx *, struct record_rx *,
		  const struct record_material *, uint64_t tx_seq, uint64_t rx_top);

/* `taken` is the explicit nonce of any record OpenSSL has sent under this key.
 * The key is copied into the context; the caller wipes its own copy. */
int record_tx_init(struct record_tx *, const struct record_key *,
		   const uint8_t taken[RECORD_NONCE]);
int record_rx_init(struct record_rx *, const struct record_key *);

/* Seal n bytes at `text` as one application data record. There must be
 * RECORD_HEADROOM bytes before `text` and RECORD_TAILROOM after text + n; the
 * record then starts at text - RECORD_HEADROOM and has *total bytes. E_LIMIT:
 * the channel needs a new handshake. */
int record_seal(struct record_tx *, uint8_t *text, size_t n, size_t *total);

/* The same for an alert (RECORD_ALERT): two bytes, level and description. */
int record_seal_as(struct record_tx *, enum record_type, uint8_t *text, size_t n,
		   size_t *total);

/* Open the one record of n bytes at `rec`, in place; *text then points into it.
 * The number is taken as seen only if the tag verifies. On E_AUTH the body is
 * destroyed: whoever tries several keys tries them on copies. */
int record_open(struct record_rx *, uint8_t *rec, size_t n, uint8_t *content_type,
		struct span *text);

/* The highest number that ever verified, or 0: a moved peer address is believed
 * only with a higher one. */
uint64_t record_rx_top(const struct record_rx *);

/* Free the context, which wipes the key. Safe on all-zero structs and twice. */
void record_tx_free(struct record_tx *);
void record_rx_free(struct record_rx *);

#endif
