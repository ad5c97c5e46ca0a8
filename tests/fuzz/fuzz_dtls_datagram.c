/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Whatever a stranger may send to the UDP port, as the worker would take it: hello,
 * record walk, records under a key he lacks, and OpenSSL in both modes, before and
 * (the input twice) in the middle of a handshake. */
#include "vpnd/worker/dtls.h"

#include <stdlib.h>

static const uint8_t secret[DTLS_MASTER] = { 1, 2, 3 };

static int
nowhere(void *arg, struct span datagram)
{
	return 0;
}

static void
handshake(struct dtls_ctx *ctx, enum dtls_mode mode, const uint8_t *id, struct span in)
{
	struct dtls *d;
	size_t n = mode == DTLS_PSK ? DTLS_PSK_KEY : DTLS_MASTER;

	if (dtls_new(&d, ctx, mode, mode == DTLS_PSK ? 0 : 0x009d, id,
		     span_of(secret, n), nowhere, NULL, 1400) < 0)
		abort();
	/* Nobody without the secret may get through. */
	if (dtls_feed(d, in) == 0 || dtls_feed(d, in) == 0)
		abort();
	dtls_free(d);
}

static void
records(uint8_t *p, size_t n)
{
	static const struct record_key key = { .key_bytes = 32, .key = { 9 } };
	struct record_rx rx;
	struct record_head h;
	struct span text;
	uint8_t type;

	if (record_rx_init(&rx, &key) < 0)
		abort();
	for (size_t at = 0; at < n; at += h.total) {
		if (record_peek(span_of(p + at, n - at), &h) < 0)
			break;
		if (h.total > n - at ||
		    record_open(&rx, p + at, h.total, &type, &text) == 0)
			abort();
	}
	record_rx_free(&rx);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct dtls_ctx *ctx;
	static struct dtls_cookie_keys keys;
	struct dtls_hello h;
	uint8_t out[DTLS_VERIFY_BYTES], id[DTLS_ID] = { 0 };

	if (!ctx && dtls_ctx_new(&ctx) < 0)
		abort();
	if (dtls_hello_parse(span_of(p, n), &h) == 0) {
		if (dtls_cookie_ok(&keys, SPAN("addr"), &h))
			abort();
		dtls_hello_verify(&keys, SPAN("addr"), &h, out);
		memcpy(id, h.id, DTLS_ID);
	}
	handshake(ctx, DTLS_RESUME, id, span_of(p, n));
	handshake(ctx, DTLS_PSK, id, span_of(p, n));

	uint8_t *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	memcpy(copy, p, n);
	records(copy, n);
	free(copy);
	return 0;
}
