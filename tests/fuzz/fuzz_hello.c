/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Two extensions of a stranger's ClientHello, before TLS has any key. */
#include "vpnd/worker/worker.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span host = challenge_host(span_of(p, n));

	/* What is given lies within what came. */
	if (host.n > 0 && (host.p < p || host.p + host.n > p + n))
		abort();
	(void)challenge_is_offered(span_of(p, n));
	return 0;
}
