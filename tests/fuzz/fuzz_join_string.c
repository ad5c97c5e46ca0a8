/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What an operator pastes; also with its check made right. */
#include "common/join.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct join j, again;
	static char text[JOIN_MAX];

	if (join_decode(span_of(p, n), &j) == 0 &&
	    (join_encode(&j, text, sizeof(text)) < 0 ||
	     join_decode(span_str(text), &again) < 0 || again.text_n != j.text_n))
		abort();
	/* The input as the fields of one that is right. */
	struct span in = span_of(p, n);
	memset(&j, 0, sizeof(j));
	j.text_n = in.n > JOIN_TEXT_MAX ? JOIN_TEXT_MAX : in.n;
	memcpy(j.text, in.p, j.text_n);
	if (join_encode(&j, text, sizeof(text)) == 0 &&
	    (join_decode(span_str(text), &again) < 0 ||
	     memcmp(again.text, j.text, j.text_n) != 0))
		abort();
	return 0;
}
