/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

const char password_decoy[] =
	"$y$j9T$8F4gVzKlKN/gaism9nWfj/$1QVKQb19zInx/8GUXqxb8SqDN7fczSMffsnAr3AuzW1";

/* MD5-crypt: 1,000 rounds over salt and password, 0.08 ms for a short one. */
bool
password_is_quick(const char *secret, const char *hash)
{
	return strncmp(hash, "$1$", 3) == 0 && strlen(secret) <= 64;
}

bool
password_matches(const char *secret, const char *hash)
{
	struct crypt_data *d = calloc(1, sizeof(*d)); /* 32 KB: not for a stack */

	if (d == NULL)
		return false;
	const char *got = crypt_r(secret, hash, d);
	size_t n = strlen(hash);
	bool same = got != NULL && got[0] != '*' && strlen(got) == n &&
		    CRYPTO_memcmp(got, hash, n) == 0;
	explicit_bzero(d, sizeof(*d));
	free(d);
	return same;
}
