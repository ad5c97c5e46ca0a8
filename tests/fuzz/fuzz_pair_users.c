/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What the other node writes and auth and the parent read: the local users (first
 * byte 0), used codes (1), endpoints (2). */
#include "common/err.h"
#include "vpnd/auth/codes.h"
#include "vpnd/parent/endpoints.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
read_users(struct span text)
{
	static const uint8_t key[PAIRKEY] = { 1 };
	struct users t, again;
	struct users_sealing s;
	unsigned line;
	char *out = NULL;
	size_t n;

	if (users_read(&t, text, &line) < 0)
		return;
	/* What was read and sealed is read again and opens. */
	if (users_seal(&t, key, false, &s) == 0 && users_write(&t, &out, &n) == 0) {
		struct users_sealing back;
		if (users_read(&again, span_of(out, n), &line) < 0 ||
		    users_seal(&again, key, false, &back) < 0 ||
		    back.unopened != s.unopened || back.sealed != 0)
			abort();
		users_free(&again);
	}
	free(out);
	users_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct codes c = { 0 };
	struct endpoints e = { 0 };

	if (n == 0)
		return 0;
	struct span in = span_of(p + 1, n - 1);
	switch (p[0] % 3) {
	case 0: read_users(in); break;
	case 1:
		(void)codes_apply(&c, in, 1700000000);
		codes_free(&c);
		break;
	default:
		(void)endpoints_apply(&e, in, false);
		(void)endpoints_apply(&e, in, true);
		endpoints_free(&e);
	}
	return 0;
}
