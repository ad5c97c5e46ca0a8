/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A hijacked process can send any packet. What is accepted must be a message
 * that encodes to the very same bytes. */
#include "common/err.h"
#include "vpnd/ipc/messages.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static union ipc_body body;
	static uint8_t again[IPC_PACKET_MAX];
	enum ipc_type type;
	size_t m;

	if (n > IPC_PACKET_MAX || ipc_decode(span_of(p, n), &type, &body) < 0)
		return 0;
	assert(ipc_encode(type, &body, again, sizeof(again), &m) == 0);
	assert(m == n && memcmp(again, p, n) == 0);
	return 0;
}
