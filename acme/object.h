/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* object.h -- a certificate with its key as an object of the store (cert/auto,
 * cert/self), and the ACME account (acme/account): JSON whose secrets are sealed under
 * the pair key for exactly this object.
 *
 *   {"names":["vpn.example"],"chain":"PEM","key":"base64 of the sealed key's PEM",
 *    "not_after":T,"renew_at":T,"directory":"URL"}
 *
 * Ownership: object_free ends; it wipes the key. Times are seconds since 1970.
 * Errors:    E_PROTO not such an object; E_AUTH sealed under another key; E_NOMEM.
 */
#ifndef ACME_OBJECT_H
#define ACME_OBJECT_H

#include "acme/cert.h"
#include "common/pairkey.h"

enum { OBJECT_URL = 512 };

#define OBJECT_AUTO "cert/auto"
#define OBJECT_SELF "cert/self"
#define OBJECT_ACCOUNT "acme/account"

struct object {
	char *chain, *key; /* PEM */
	int64_t renew_at;
	char directory[OBJECT_URL]; /* who issued it; "" self-signed */
	struct cert_facts facts;
};

/* *bytes is freed by the caller. */
int object_write(const struct object *o, const char *name, const uint8_t pair[PAIRKEY],
		 uint8_t **bytes, size_t *n);
/* Also judges that key and chain belong together. */
int object_read(struct object *o, const char *name, const uint8_t pair[PAIRKEY],
		struct span bytes);
void object_free(struct object *o);

/* Small secrets as base64 of their sealed form; *text is freed by the caller. */
int object_seal(const char *name, const uint8_t pair[PAIRKEY], struct span plain,
		char **text);
int object_open(const char *name, const uint8_t pair[PAIRKEY], const char *text,
		char **plain);

#endif
