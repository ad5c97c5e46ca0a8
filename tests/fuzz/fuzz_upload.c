/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Files that an administrator uploads: device certificate, chain, client CA. The first
 * byte says how the rest is shared out. */
#include "acme/chain.h"

#include <openssl/ec.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const names[] = { "vpn.example.test" };
	static EVP_PKEY *key;
	struct chain_verdict v;

	if (key == NULL)
		key = EVP_EC_gen("P-256");
	if (n < 1)
		return 0;
	size_t cut = (n - 1) * p[0] / 255;
	struct chain_question q = { .device = { p + 1, cut },
				    .chain = { p + 1 + cut, n - 1 - cut },
				    .key = key,
				    .names = names,
				    .n_names = 1,
				    .now_s = 1800000000 };
	if (chain_judge(&q, &v) == 0)
		chain_verdict_free(&v);
	if (chain_judge_client_ca(span_of(p + 1, n - 1), q.now_s, &v) == 0)
		chain_verdict_free(&v);
	return 0;
}
