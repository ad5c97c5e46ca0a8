/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ocspwire.h -- the bytes of an OCSP exchange over HTTP (RFC 6960): where to ask,
 * what to send, what the answer says. No sockets here.
 *
 * Units:      times are wall-clock seconds.
 * Ownership:  ocsp_request's bytes are the caller's to free.
 * Errors:     E_NOENT (the certificate names no responder), E_INVAL (no address we
 *             could ask), E_PROTO, E_LIMIT, E_NOMEM, E_AGAIN.
 */
#ifndef VPND_AUTH_OCSPWIRE_H
#define VPND_AUTH_OCSPWIRE_H

#include "common/span.h"

#include <http_parser.h>
#include <openssl/x509.h>

enum {
	OCSP_ANSWER_MAX = 64 * 1024, /* body; the head may have a quarter of that */
	OCSP_KEEP_MAX_S = 3600,
	OCSP_KEEP_MIN_S = 60, /* of an answer that has no end: there is always news */
	OCSP_SKEW_S = 300,
};

struct ocsp_url {
	char host[254];
	char port[6];
	char path[512];
};

enum ocsp_status {
	OCSP_IS_GOOD,
	OCSP_IS_REVOKED,
	OCSP_IS_UNKNOWN, /* the responder does not know it */
	OCSP_NO_ANSWER   /* none, or none that can be believed */
};

/* The first http:// responder that the certificate names. */
int ocsp_url_of(X509 *leaf, struct ocsp_url *u);
int ocsp_url_parse(const char *text, struct ocsp_url *u);

/* The whole HTTP request. */
int ocsp_request(const struct ocsp_url *u, X509 *leaf, X509 *issuer, uint8_t **bytes,
		 size_t *n);

/* The HTTP answer, as it comes in. */
struct ocsp_reply {
	http_parser parser;
	bool is_complete;
	int rc;
	size_t n, taken;
	uint8_t body[OCSP_ANSWER_MAX];
};

void ocsp_reply_begin(struct ocsp_reply *r);
/* 0: complete, with status 200; E_AGAIN: more is needed. An empty span is the end of
 * the connection. */
int ocsp_reply_feed(struct ocsp_reply *r, struct span bytes);

/* What a responder's answer (DER) says about the certificate. Believed when the
 * issuer signed it, or one to whom the issuer gave that job, and it is in its time.
 * keep_s: for how long it may be believed again. why: for people, static. */
enum ocsp_status ocsp_judge(struct span der, X509 *leaf, X509 *issuer, unsigned *keep_s,
			    const char **why);

#endif
