/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/token.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What decodes must encode to the very same bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct claims c;
	uint8_t buf[IPC_CLAIMS_MAX];
	size_t m;

	if (n <= sizeof(buf) && claims_decode(span_of(p, n), &c) == 0) {
		assert(claims_encode(&c, buf, sizeof(buf), &m) == 0);
		assert(span_eq(span_of(buf, m), span_of(p, n)));
	}
	return 0;
}
