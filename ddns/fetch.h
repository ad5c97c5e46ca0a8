/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* fetch.h -- one HTTP(S) GET out of a given uplink, by libcurl in a libuv loop.
 *
 * Redirections are not followed, proxies of the environment not used; the server's
 * certificate is checked. At most FETCH_MAX bytes of an answer are kept, more fail it.
 *
 * Ownership: what fetch_ask points to is copied; the answer lives until done returns.
 * Errors: 0 or E_NOMEM, E_INVAL (no URL that libcurl takes). What goes wrong later is
 * the answer's error.
 */
#ifndef DDNS_FETCH_H
#define DDNS_FETCH_H

#include "common/ip.h"
#include "common/span.h"

#include <uv.h>

enum { FETCH_MAX = 4096, FETCH_TIMEOUT_MS = 15000 };

struct fetch; /* the transfers of one loop */
struct fetch_call;

struct fetch_ask {
	const char *url;           /* http or https */
	const char *ifname;        /* "": any */
	struct ip_addr local;      /* family 0: any */
	uint8_t family;            /* 4, 6, 0: either */
	const char *user, *secret; /* HTTP Basic; NULL: none */
	const char *ca_file;       /* NULL or "": the system's */
	bool is_plain_ok;          /* http is allowed, too */
};

struct fetch_answer {
	const char *error; /* NULL: there is an answer */
	long status;       /* of HTTP, with an answer */
	struct span body;
};

typedef void (*fetch_done)(void *arg, const struct fetch_answer *answer);

int fetch_new(struct fetch **out, uv_loop_t *loop);
/* What is open is cancelled. The memory goes when the loop has run dry. NULL is fine.
 */
void fetch_close(struct fetch *);

int fetch_start(struct fetch *, struct fetch_call **out, const struct fetch_ask *ask,
		fetch_done done, void *arg);
/* done is not called any more. Not after done; NULL is fine. */
void fetch_cancel(struct fetch_call *);

#endif
