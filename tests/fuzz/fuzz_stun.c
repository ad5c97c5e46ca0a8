/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What a STUN server, or somebody who plays one, sends; and what a page says. */
#include "ddns/address.h"
#include "ddns/stun.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ip_addr a = { 0 };
	uint8_t id[STUN_ID] = { 0 };
	const char *why;

	/* The id is the input's own: an attacker who saw the request knows it. */
	if (size >= STUN_REQUEST)
		memcpy(id, data + STUN_REQUEST - STUN_ID, STUN_ID);
	if (stun_parse(span_of(data, size), id, &a) == 0) {
		if (a.family != 4 && a.family != 6)
			abort();
		/* A reason exactly when it is none. */
		if (address_is_public(&a, &why) != (why == NULL))
			abort();
	}
	if (address_parse_page(span_of(data, size), &a) == 0 && a.family != 4 &&
	    a.family != 6)
		abort();
	return 0;
}
