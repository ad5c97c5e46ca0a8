/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/b64.h"

#include "common/err.h"

static const char std_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(struct wr *w, struct span in, const char *alphabet, bool pad)
{
	for (size_t i = 0; i < in.n; i += 3) {
		size_t k = in.n - i < 3 ? in.n - i : 3;
		uint32_t v = (uint32_t)in.p[i] << 16;
		v |= k > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
		v |= k > 2 ? in.p[i + 2] : 0;
		for (size_t j = 0; j < 4; j++) {
			if (j <= k)
				wr_u8(w, (uint8_t)alphabet[v >> (18 - 6 * j) & 63]);
			else if (pad)
				wr_u8(w, '=');
		}
	}
}

/* The value of a character, or -1. */
static int
sextet(uint8_t c, const char *alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == (uint8_t)alphabet[62] ? 62 : c == (uint8_t)alphabet[63] ? 63 : -1;
}

static int
decode(struct wr *out, struct span in, const char *alphabet)
{
	uint32_t v = 0;
	unsigned bits = 0;

	if (in.n % 4 == 1)
		return E_PROTO;
	for (size_t i = 0; i < in.n; i++) {
		int s = sextet(in.p[i], alphabet);
		if (s < 0)
			return E_PROTO;
		v = (v << 6 | (uint32_t)s) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			wr_u8(out, (uint8_t)(v >> bits));
		}
	}
	if (v & ((1u << bits) - 1))
		return E_PROTO;
	return wr_full(out) ? E_LIMIT : 0;
}

void
b64url_encode(struct wr *w, struct span in)
{
	encode(w, in, url_alphabet, false);
}

int
b64url_decode(struct wr *out, struct span in)
{
	return decode(out, in, url_alphabet);
}

void
b64_encode(struct wr *w, struct span in)
{
	encode(w, in, std_alphabet, true);
}

int
b64_decode(struct wr *out, struct span in)
{
	if (in.n % 4 != 0)
		return E_PROTO;
	for (int i = 0; i < 2 && in.n > 0 && in.p[in.n - 1] == '='; i++)
		in.n--;
	return decode(out, in, std_alphabet);
}

static void
hex(struct wr *w, struct span in, const char *digits)
{
	for (size_t i = 0; i < in.n; i++) {
		wr_u8(w, (uint8_t)digits[in.p[i] >> 4]);
		wr_u8(w, (uint8_t)digits[in.p[i] & 15]);
	}
}

void
hex_encode(struct wr *w, struct span in)
{
	hex(w, in, "0123456789abcdef");
}

void
hex_encode_upper(struct wr *w, struct span in)
{
	hex(w, in, "0123456789ABCDEF");
}

static int
nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
hex_decode(void *out, size_t n, struct span in)
{
	uint8_t *to = out;

	if (in.n != 2 * n)
		return E_PROTO;
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(in.p[2 * i]), lo = nibble(in.p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return E_PROTO;
		to[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}
