/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cstp.h -- the framing AnyConnect speaks inside its TLS connection.
 *
 * Every frame is an 8-byte header and a body. This module knows the bytes and
 * nothing else: what a frame means for a session is its caller's business.
 *
 *   'S' 'T' 'F' 01  length(2)  type  00  body
 *
 * Clients take one TLS record for one frame: the caller writes header and body by
 * one SSL_write. What arrives is read as a stream of bytes all the same.
 *
 * Units:      lengths are bytes; the header itself is never counted.
 * Ownership:  parsed bodies point into the caller's buffer and die with it.
 * Errors:     0, or E_AGAIN (need more bytes), or E_PROTO (drop the peer).
 */
#ifndef WORKER_CSTP_H
#define WORKER_CSTP_H

#include "common/span.h"

#define CSTP_HEADER 8u
#define CSTP_BODY_MAX 16384u

/* The first byte of a DTLS record's text has the same values. */
enum cstp_type {
	CSTP_DATA = 0,       /* one IP packet */
	CSTP_DPD_REQ = 3,    /* answered with the same body */
	CSTP_DPD_RESP = 4,   /* a client's may be empty, whatever was asked */
	CSTP_DISCONNECT = 5, /* reason byte and text; ends a client for good */
	CSTP_KEEPALIVE = 7,  /* not answered */
	CSTP_COMPRESSED = 8, /* never negotiated: read, and the caller refuses */
	CSTP_TERMINATE = 9   /* server to client only; ends a client for good */
};

struct cstp_frame {
	enum cstp_type type;
	struct span body;
};

/* A type above, as a client may send it? */
bool cstp_type_known(uint8_t type);

/* Take one frame off the front of `in`. On success `in` shrinks to what
 * follows; otherwise it is untouched. */
int cstp_parse(struct span *in, struct cstp_frame *out);

/* Write the header of a frame whose body has n bytes, at most CSTP_BODY_MAX. The
 * body goes right behind it, so leave CSTP_HEADER bytes of headroom. */
void cstp_header(uint8_t out[CSTP_HEADER], enum cstp_type type, size_t n);

#endif
