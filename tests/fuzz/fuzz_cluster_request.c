/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A client's stream, and the entries in its messages. */
#include "common/cluster.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct cluster_msg m;
	struct cluster_entry e;

	while (cluster_decode(&in, &m) == 0) {
		if (in.p + in.n != p + n)
			abort();
		(void)cluster_class(m.name);
		struct span left = m.bytes;
		while (cluster_entry_decode(&left, &e) == 0)
			if (e.key_n > CLUSTER_KEY_MAX || e.value_n > CLUSTER_VALUE_MAX)
				abort();
		if (m.bytes.n > CLUSTER_SET_MAX)
			continue;
		size_t size = cluster_encoded_size(&m);
		uint8_t *buf = malloc(size);
		struct wr w = wr_open(buf, size);
		cluster_encode(&w, &m);
		if (wr_full(&w) || w.n != size)
			abort();
		free(buf);
	}
	return 0;
}
