/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* err.h -- error codes: 0 or a negative number, -errno or one of ours.
 *
 * Code below returns them; the layer that knows session and peer logs, once.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <errno.h>

enum {
	E_AGAIN = -10001, /* need more bytes, or not ready: call again */
	E_PROTO = -10002, /* the peer broke its protocol: drop it */
	E_NOMEM = -10003, /* refuse this one request */
	E_LIMIT = -10004, /* a bound of ours was reached */
	E_AUTH = -10005,  /* a tag, signature or password does not verify */
	E_STALE = -10006, /* the thing named is gone or replaced */
	E_EXIST = -10007, /* already there */
	E_NOENT = -10008, /* not there */
	E_INVAL = -10009, /* the request makes no sense */
	E_TLS = -10010,   /* OpenSSL said no */
	E_CLOSED = -10011 /* the far end closed */
};

/* Text for 0, -errno or E_*. Never NULL; static. */
const char *err_text(int rc);

#endif
