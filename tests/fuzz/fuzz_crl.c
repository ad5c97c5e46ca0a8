/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Revocation lists, PEM or DER, and a CA file. */
#include "common/err.h"
#include "vpnd/worker/clientcert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clientcert *c;
	char why[160];
	int rc;
	STACK_OF(X509_CRL) *list = clientcert_crls(span_of(data, size), &rc);

	if ((list != NULL) != (rc == 0) || sk_X509_CRL_num(list) > CLIENTCERT_CRLS)
		abort();
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	clientcert_new(&c, span_of(data, size), span_of(data, size), true, why,
		       sizeof(why));
	clientcert_free(c);
	return 0;
}
