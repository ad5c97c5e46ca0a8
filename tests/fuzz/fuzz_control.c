/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *error = NULL;
	json_t *q = n <= CONTROL_LINE_MAX ? control_parse(span_of(p, n), &error) : NULL;

	json_decref(q);
	return 0;
}
