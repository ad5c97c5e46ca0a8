/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The sealed token as it arrives from a client, under keys it cannot know, and
 * the stored set of keys. Nothing that we did not make may open. */
#include "vpnd/keys/tokenkeys.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct tokenkeys t, read;
	uint8_t claims[512];
	size_t len;

	if (t.current.id == 0) {
		if (tokenkeys_make(&t, 1700000000) < 0)
			abort();
		t.current.id = 0x01020304; /* so that the corpus gets past the id */
	}
	if (tokenkeys_open(&t, span_of(data, n), claims, sizeof(claims), &len) == 0)
		abort();
	if (tokenkeys_read(&read, span_of(data, n)) == 0) {
		uint8_t buf[TOKENKEYS_BYTES];
		if (tokenkeys_write(&read, buf) != n || memcmp(buf, data, n) != 0)
			abort();
	}
	return 0;
}
