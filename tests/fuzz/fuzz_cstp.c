/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A client's CSTP stream: frames until it says stop, and the packets in them. */
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/inner.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct cstp_frame f;
	struct inner packet;

	while (cstp_parse(&in, &f) == 0) {
		if (f.body.n > CSTP_BODY_MAX || in.p + in.n != p + n)
			abort();
		if (inner_parse(f.body, &packet) == 0 && packet.packet.n > f.body.n)
			abort();
	}
	return 0;
}
