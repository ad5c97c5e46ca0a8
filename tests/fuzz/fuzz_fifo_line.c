/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Lines of keepalived's FIFO. */
#include "hasync/role.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	enum role_group g = ROLE_UNKNOWN;

	if (role_line(span_of(p, n), "VG", &g) == ROLE_LINE_GROUP && g == ROLE_UNKNOWN)
		abort();
	return 0;
}
