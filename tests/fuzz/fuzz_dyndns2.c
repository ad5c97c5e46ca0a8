/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Answers of a dyndns2 provider: HTTP status in the first two bytes, body behind. The
 * same bytes as the memory of what was published. */
#include "ddns/dyndns2.h"
#include "ddns/record.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct published memory;
	struct record r = { .name = "a.example", .address = { .family = 4 } };
	struct verdict v;

	if (n < 2)
		return 0;
	dyndns2_judge(&r, p[0] << 8 | p[1], span_of(p + 2, n - 2), &v);
	if ((v.text[0] == '\0') != (v.kind == VERDICT_GOOD) ||
	    memchr(v.text, '\0', sizeof(v.text)) == NULL)
		abort();
	for (const char *c = v.text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			abort();
	if (published_parse(&memory, (const char *)p + 2, n - 2) < 0 && memory.n != 0)
		abort();
	return 0;
}
