/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A file in the store's folder: as found, and with its checks made right. */
#include "common/clusterfile.h"

#include <openssl/sha.h>
#include <stdlib.h>

static void
look(struct span in)
{
	struct clusterfile f;
	struct cluster_entry e;

	if (clusterfile_decode(in, &f) < 0)
		return;
	if (f.bytes.n > in.n || cluster_class(f.name) != f.class)
		abort();
	struct span left = f.bytes;
	while (f.class == CLUSTER_SET && cluster_entry_decode(&left, &e) == 0)
		;
	/* What was read can be written again, the same. */
	size_t size = clusterfile_size(&f);
	uint8_t *p = malloc(size);
	struct wr w = wr_open(p, size);
	clusterfile_encode(&w, &f);
	if (wr_full(&w) || w.n != in.n)
		abort();
	free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	look(span_of(p, n));
	if (n <= 32)
		return 0;
	uint8_t *copy = malloc(n);
	memcpy(copy, p, n);
	SHA256(copy, n - 32, copy + n - 32);
	look(span_of(copy, n));
	free(copy);
	return 0;
}
