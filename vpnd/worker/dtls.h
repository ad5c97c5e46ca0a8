/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* dtls.h -- the DTLS 1.2 handshake, by OpenSSL; the data path is record.h's.
 *
 * Two ways to agree on keys, both tied to the session's TLS connection:
 *
 *   DTLS_RESUME  The client pretends to resume a session that never existed; id
 *                and master secret were exchanged over TLS. One round trip.
 *   DTLS_PSK     A full PSK handshake under a TLS exporter key (identity "psk").
 *
 * In both the ClientHello carries the 32-byte id that names the session, in
 * clear: it identifies, it does not authenticate. So look the id up before
 * anything is created, and leave a working channel alone until the new
 * handshake is done.
 *
 * In PSK mode our flight is the last one, and a client that lost it repeats its
 * own: so records of type RECORD_CCS and RECORD_HANDSHAKE keep coming here and
 * OpenSSL answers, until dtls_settle. In resumption mode the last flight is the
 * client's, and nothing is left to answer. OpenSSL's object takes 30 kB, so it
 * goes as soon as it can; what stays takes 200 bytes.
 *
 * Units:      bytes; timeouts in milliseconds.
 * Ownership:  dtls_new gives, dtls_free ends and wipes. A dtls_ctx must outlive
 *             every dtls made from it. Datagrams are only read during the call.
 * Errors:     0; E_AGAIN (handshake under way); E_TLS (handshake failed: free
 *             it); E_PROTO (no hello we answer); E_INVAL; E_NOMEM.
 */
#ifndef WORKER_DTLS_H
#define WORKER_DTLS_H

#include "common/span.h"
#include "vpnd/ipc/messages.h" /* enum dtls_mode */
#include "vpnd/worker/record.h"

#define DTLS_ID 32u
#define DTLS_MASTER 48u
#define DTLS_PSK_KEY 32u
#define DTLS_COOKIE 32u
/* Give up an unfinished handshake after this: openconnect does at 12 s. */
#define DTLS_HANDSHAKE_MS 12000
/* Room for the answer of dtls_hello_verify. */
#define DTLS_VERIFY_BYTES (RECORD_HEADER + 12u + 3u + DTLS_COOKIE)

/* The IANA number of a cipher suite that a client names in X-DTLS-CipherSuite or
 * X-DTLS12-CipherSuite for resumption ("AES256-GCM-SHA384" = 0x009d,
 * "OC-DTLS1_2-AES128-GCM" = 0x009c, ...), or 0 if we do not speak it. */
uint16_t dtls_suite_by_name(struct span name);

/* The SSL_CTX of either mode; one per worker. */
struct dtls_ctx;
int dtls_ctx_new(struct dtls_ctx **out);
void dtls_ctx_free(struct dtls_ctx *);

/* -- the first datagram -- */

struct dtls_hello {
	uint8_t id[DTLS_ID];
	uint64_t seq;       /* record number, repeated by a HelloVerifyRequest */
	struct span cookie; /* empty in a first hello; borrowed */
};

/* Read a ClientHello at the fixed offsets of RFC 6347 4.2 that every client uses:
 * one datagram, one record, one fragment, DTLS 1.2, an id of 32 bytes. E_PROTO
 * for all else: drop it without an answer. */
int dtls_hello_parse(struct span datagram, struct dtls_hello *out);

/* Only the id. */
int dtls_hello_id(struct span datagram, uint8_t id[DTLS_ID]);

/* -- cookies: proof that the sender lives where it says (RFC 6347 4.2.1) --
 *
 * Costs the client a round trip, so ask for it only under load. Stateless: the
 * cookie is an HMAC over address, port and id. `address` is whatever bytes name
 * the peer; the same ones each time. A hello that carries a cookie which does
 * not verify gets a new HelloVerifyRequest under load. */
struct dtls_cookie_keys {
	uint8_t now[32];
	uint8_t before[32]; /* still honoured; all random at start */
};

/* Fill both keys; rotate: now becomes before. E_TLS without entropy. */
int dtls_cookie_keys_init(struct dtls_cookie_keys *);
int dtls_cookie_keys_rotate(struct dtls_cookie_keys *);

/* Does the hello carry a cookie we made for this address? */
bool dtls_cookie_ok(const struct dtls_cookie_keys *, struct span address,
		    const struct dtls_hello *);

/* Write a HelloVerifyRequest for this hello into out; returns its bytes (always
 * DTLS_VERIFY_BYTES, less than the hello: nothing to amplify) or E_TLS. */
int dtls_hello_verify(const struct dtls_cookie_keys *, struct span address,
		      const struct dtls_hello *, uint8_t out[DTLS_VERIFY_BYTES]);

/* -- one handshake -- */

/* Send one datagram to the peer. A failure counts as a datagram lost. */
typedef int dtls_send(void *arg, struct span datagram);

struct dtls;

/* secret: DTLS_RESUME 48 bytes of master secret and the suite given to the client;
 * DTLS_PSK 32 bytes, suite 0. Copied, and wiped when the handshake is done.
 * mtu: bytes of UDP payload. E_INVAL: suite or length do not fit the mode. */
int dtls_new(struct dtls **out, struct dtls_ctx *ctx, enum dtls_mode mode,
	     uint16_t suite, const uint8_t id[DTLS_ID], struct span secret,
	     dtls_send *send, void *arg, size_t mtu);

/* Feed one datagram, the hello first; after the handshake one datagram or one
 * record of type CCS or handshake. 0: done, E_AGAIN: wait for more, E_TLS: dead.
 * Once done it always returns 0: nothing unverified can end a channel. Application
 * data is passed over: before the end of the handshake it counts as lost. */
int dtls_feed(struct dtls *, struct span datagram);

bool dtls_is_done(const struct dtls *);

/* Milliseconds until dtls_on_timeout wants to be called, or -1: no timer. */
int dtls_next_timeout_ms(struct dtls *);

/* Resend the flight if it is due. 0, E_AGAIN or E_TLS as dtls_feed. */
int dtls_on_timeout(struct dtls *);

/* After the handshake: the keys of both directions (RFC 5246 6.3). Call it once;
 * the caller then owns both. E_INVAL before the handshake is done, or twice.
 *
 * Seal nothing before the first application record of the peer has verified. In
 * PSK mode our Finished may be lost; a record of ours with its high number would
 * then move OpenSSL's replay window (64 wide) past the repeated Finished, and the
 * client could never complete. */
int dtls_keys(struct dtls *, struct record_tx *, struct record_rx *);

/* The first application record has verified: the peer has our Finished, so there
 * is nothing left to repeat. Any number of calls, after dtls_keys; dtls_feed then
 * returns 0 and does nothing. */
void dtls_settle(struct dtls *);

/* The same keys as bytes, before dtls_keys, for a channel that may move to
 * another process. E_INVAL before the handshake is done. */
int dtls_material(const struct dtls *, struct record_material *out);

/* The suite in use, for the log; "" before it is known. */
const char *dtls_cipher_name(const struct dtls *);

void dtls_free(struct dtls *);

#endif
