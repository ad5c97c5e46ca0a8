/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A responder's bytes, as HTTP in two pieces and as a bare answer, and the address of
 * one. Nobody has our issuer's key here: whatever is said, it is not believed. */
#include "common/err.h"
#include "tests/lib/certs.h"
#include "vpnd/auth/ocspwire.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct made issuer, leaf;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const exts[] = { "basicConstraints", "critical,CA:TRUE",
					    NULL };

	issuer = cert_make("Client Intermediate", NULL, 1, -9, 3000, exts);
	leaf = cert_make("leaf", &issuer, 0x1000, -9, 3000, NULL);
	return 0;
}

static void
judge(struct span s)
{
	unsigned keep;
	const char *why;

	if (ocsp_judge(s, leaf.x, issuer.x, &keep, &why) != OCSP_NO_ANSWER)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ocsp_reply r;
	struct ocsp_url u;
	char text[600];

	judge(span_of(data, size));
	ocsp_reply_begin(&r);
	int rc = ocsp_reply_feed(&r, span_of(data, size / 2));
	if (rc == E_AGAIN)
		rc = ocsp_reply_feed(&r, span_of(data + size / 2, size - size / 2));
	if (rc == E_AGAIN)
		rc = ocsp_reply_feed(&r, (struct span){ 0 });
	if (rc == 0)
		judge(span_of(r.body, r.n));
	if (size < sizeof(text)) {
		memcpy(text, data, size);
		text[size] = '\0';
		ocsp_url_parse(text, &u);
	}
	return 0;
}
