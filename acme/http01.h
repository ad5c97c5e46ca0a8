/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* http01.h -- port 80 while an http-01 challenge is open (RFC 8555 8.3), and only then.
 *
 * Listens on the addresses of the uplinks and on the virtual ones in their networks,
 * so that either node of a pair answers whatever address it has. Strangers talk to it:
 * a request has at most HTTP01_BYTES bytes and HTTP01_MS, there are at most
 * HTTP01_CLIENTS of them (one more displaces the first), and all but GET of a known
 * path is 404.
 */
#ifndef ACME_HTTP01_H
#define ACME_HTTP01_H

#include "acme/acmed.h"

enum {
	HTTP01_CLIENTS = 64,
	HTTP01_BYTES = 16 * 1024,
	HTTP01_MS = 10 * 1000,
	HTTP01_LISTENERS = 16,
};

struct http01;

/* The answer to a token, or NULL; both texts live until the next on_change. */
typedef const char *(*http01_find)(void *arg, struct span token);

int http01_new(struct http01 **out, struct acmed *a, http01_find find, void *arg);
/* Open or close the port. Open again: for the addresses there are now. -EADDRINUSE:
 * somebody else has port 80 on all of them. */
int http01_listen(struct http01 *h, bool on);
void http01_close(struct http01 *h);
void http01_free(struct http01 *h); /* after the loop has ended */

/* The token of a request's path; false: it is for something else. Pure. */
bool http01_token(struct span path, struct span *token);

#endif
