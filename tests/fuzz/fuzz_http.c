/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Requests in pieces (the first byte says how large), through the path table and
 * the CONNECT headers. The pieces must not matter. */
#include "common/err.h"
#include "common/http.h"
#include "vpnd/worker/connect.h"
#include "vpnd/worker/routes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(const struct http_req *r)
{
	static char out[8192];
	struct connect_req c;
	struct wr w = wr_open(out, sizeof(out));
	struct route_match m = routes_find(r);

	if (m.body)
		routes_write_static(&w, &m, http_req_keep_alive(r));
	connect_req_parse(&c, r);
	char group[64];
	auth_group_from_path(http_req_path(r), group, sizeof(group));
	connect_req_wipe(&c);
}

static int
feed(struct http_req *r, struct span in, size_t step, size_t *left)
{
	int rc = E_AGAIN;
	while (in.n > 0) {
		/* A copy of its own, so that reading past a piece is seen. */
		size_t k = in.n < step ? in.n : step;
		uint8_t *copy = malloc(k);
		memcpy(copy, in.p, k);
		struct span piece = span_of(copy, k);
		rc = http_req_feed(r, &piece);
		in = span_of(in.p + k - piece.n, in.n - k + piece.n);
		free(copy);
		if (http_req_begun(r) && rc == 0)
			use(r);
		if (rc != E_AGAIN)
			break;
	}
	*left = in.n;
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_req *a, *b;
	size_t left_a, left_b;

	if (size < 2)
		return 0;
	size_t step = data[0] + 1u;
	struct span in = span_of(data + 1, size - 1);
	if (http_req_new(&a) < 0 || http_req_new(&b) < 0)
		abort();
	int rc = feed(a, in, step, &left_a);
	if (feed(b, in, in.n, &left_b) != rc || (rc == 0 && left_a != left_b))
		abort();
	if (rc == 0) {
		http_req_reset(a);
		feed(a, span_of(in.p + in.n - left_a, left_a), step, &left_b);
	}
	http_req_free(a);
	http_req_free(b);
	return 0;
}
