/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What an ACME server may send: the first byte says as what it is read: a directory, an
 * order, an authorization, a window, a problem, a head, a chain. */
#include "acme/account.h"
#include "acme/cert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use_url(const char *url)
{
	if (url[0] != '\0' && !answer_url_ok(url))
		abort();
}

static void
read_json(struct span in)
{
	struct answer_directory d;
	struct answer_order o;
	struct answer_authorization a;
	struct answer_window w;
	struct answer_problem p;

	if (answer_directory(&d, in) == 0) {
		use_url(d.nonce);
		use_url(d.renewal);
	}
	if (answer_order(&o, in) == 0) {
		for (size_t i = 0; i < o.n; i++)
			use_url(o.authorizations[i]);
		use_url(o.finalize);
		use_url(o.certificate);
	}
	if (answer_authorization(&a, in) == 0)
		for (size_t i = 0; i < a.n; i++) {
			use_url(a.challenges[i].url);
			if (strpbrk(a.challenges[i].token, "/.\r\n \"") != NULL)
				abort();
		}
	if (answer_window(&w, in) == 0 && w.end < w.start)
		abort();
	answer_problem(&p, in);
	if (strpbrk(p.detail, "\r\n") != NULL || strpbrk(p.type, "\r\n") != NULL)
		abort();
}

/* Lines of a head, as libcurl hands them over. */
static void
read_head(struct span in)
{
	struct client_answer a = { .rc = 0 };

	while (in.n > 0) {
		const uint8_t *end = memchr(in.p, '\n', in.n);
		size_t n = end == NULL ? in.n : (size_t)(end - in.p) + 1;
		/* A copy of its own, so that reading past it is seen. */
		uint8_t *line = malloc(n);
		memcpy(line, in.p, n);
		client_take_header(&a, span_of(line, n));
		free(line);
		in = span_of(in.p + n, in.n - n);
	}
	use_url(a.location);
	for (size_t i = 0; i < a.n_alternates; i++)
		use_url(a.alternates[i]);
	if (strpbrk(a.nonce, "\"\\ \r\n") != NULL)
		abort();
}

static void
read_chain(struct span in)
{
	static struct cert_facts f;
	char *text = NULL;

	if (cert_read(&f, in) == 0 && (f.n_chain == 0 || f.n_chain > CERT_CHAIN_MAX))
		abort();
	if (cert_normal(in, &text) == 0 && strstr(text, "PRIVATE KEY") != NULL)
		abort();
	free(text);
	text = NULL;
	if (cert_leaf_b64(in, &text) == 0)
		free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct span in = span_of(data + 1, size - 1);
	switch (data[0]) {
	case 'j': read_json(in); break;
	case 'h': read_head(in); break;
	case 'c': read_chain(in); break;
	default: break;
	}
	return 0;
}
