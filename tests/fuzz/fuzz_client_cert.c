/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A client's certificate (DER): whatever name comes out of it is a name, and what
 * goes into the log is fit for it. */
#include "common/err.h"
#include "common/xml.h"
#include "vpnd/worker/clientcert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *p = data;
	X509 *x = d2i_X509(NULL, &p, (long)size);
	struct cert_facts f = { .verdict = CERT_NONE };

	if (x == NULL)
		return 0;
	for (enum cert_user which = CERT_USER_CN; which <= CERT_USER_UPN; which++) {
		clientcert_judge(NULL, x, NULL, which, &f);
		size_t n = strlen(f.user);
		if (f.verdict != CERT_UNTRUSTED || !utf8_valid(span_of(f.user, n)))
			abort();
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)f.user[i] < ' ')
				abort();
		for (const char *t = f.text; *t; t++)
			if (*t < ' ' || *t > '~')
				abort();
	}
	cert_facts_clear(&f);
	X509_free(x);
	return 0;
}
