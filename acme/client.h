/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* client.h -- HTTPS requests to an ACME server, one at a time, on libcurl in our loop.
 *
 * Only https, certificate and name verified; no redirect is followed (an ACME answer is
 * signed for by nothing but its TLS connection); an answer has at most ANSWER_MAX bytes
 * and a request at most REQUEST_S seconds.
 *
 * Ownership: the answer lives until the callback returns.
 */
#ifndef ACME_CLIENT_H
#define ACME_CLIENT_H

#include "acme/answers.h"

#include <uv.h>

enum { CLIENT_REQUEST_S = 30, CLIENT_CONNECT_S = 10, CLIENT_ALTERNATES = 5 };

enum client_verb { CLIENT_GET, CLIENT_HEAD, CLIENT_POST };

struct client_request {
	enum client_verb verb;
	const char *url;
	struct span body; /* a signed JWS, for POST */
};

struct client_answer {
	int rc; /* 0, or no answer came: `why` says it */
	char why[ANSWER_TEXT];
	int status;
	struct span body;
	char nonce[256], location[ANSWER_URL]; /* "" if it had none */
	uint64_t retry_after_s;                /* 0: none */
	char alternates[CLIENT_ALTERNATES][ANSWER_URL];
	size_t n_alternates;
};

struct client;
typedef void (*client_done)(void *arg, const struct client_answer *answer);

int client_new(struct client **out, uv_loop_t *loop, client_done done, void *arg);
/* Whom to trust as a server: a PEM text that is copied; NULL: whom the system does. */
int client_trust(struct client *c, const char *pem);
/* The answer comes later, never from within. E_EXIST: another one is still open. */
int client_send(struct client *c, const struct client_request *q);
/* No answer comes any more. */
void client_cancel(struct client *c);
void client_close(struct client *c);
void client_free(struct client *c); /* after the loop has ended */

/* One line of an answer's head, without its line end; what matters is kept. */
void client_take_header(struct client_answer *a, struct span line);

#endif
