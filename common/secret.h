/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* secret.h -- named secrets: keys and passwords that settings refer to by name.
 *
 * A configuration never holds a secret. `vpnctl secret set NAME` seals the value under
 * the pair key (pairkey.h) and puts it into the store as secret/NAME; the programs
 * that need it watch SECRET_PREFIX, keep what they hear as it came, sealed, and open
 * one for the moment of its use.
 *
 * Ownership: a value is copied into the caller's buffer, who wipes it after use.
 * Errors: E_INVAL for what is no name or no value, E_NOENT when there is no such
 * secret, E_AUTH when it was sealed under another pair key or name, E_NOMEM.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "common/cluster.h"
#include "common/pairkey.h"

#define SECRET_PREFIX "secret/"

enum {
	SECRET_NAME_MAX = 63,
	SECRET_VALUE_MAX = 4096, /* bytes, 1 at least, no NUL */
	SECRET_SEALED_MAX = SECRET_VALUE_MAX + PAIRKEY_EXTRA,
	SECRET_OBJECT = sizeof(SECRET_PREFIX) + SECRET_NAME_MAX, /* with NUL */
	SECRETS_MAX = 256, /* kept by one reader; more are not heard of */
};

/* 1 to SECRET_NAME_MAX of a-z 0-9 - _ */
bool secret_name_ok(const char *name);

/* "secret/NAME"; the name is one that secret_name_ok likes. */
const char *secret_object(const char *name, char buf[SECRET_OBJECT]);

int secret_seal(const uint8_t key[PAIRKEY], const char *name, struct span value,
		uint8_t sealed[SECRET_SEALED_MAX], size_t *n);

/* What a program knows of the secrets in the store. */
struct secrets;

/* The key is copied. */
int secrets_new(struct secrets **out, const uint8_t key[PAIRKEY]);
void secrets_free(struct secrets *s); /* wipes the key; NULL is fine */

/* A CLUSTER_CHANGED push. True when it was about a secret: its value may be another
 * one now. */
bool secrets_take(struct secrets *s, const struct cluster_msg *m);

/* The value with a NUL behind it; *n (may be NULL) without that. */
int secrets_open(const struct secrets *s, const char *name,
		 char value[SECRET_VALUE_MAX + 1], size_t *n);

#endif
