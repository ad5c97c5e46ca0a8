/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/join.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

enum { VERSION = 1, CHECK = 8, BYTES_MAX = JOIN_AUTHKEY_MAX + JOIN_TEXT_MAX + 128 };

static const char prefix[] = "TANDEM1-";
static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool
text_ok(struct span t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] != '\n' && (t.p[i] < ' ' || t.p[i] > '~'))
			return false;
	return t.n <= JOIN_TEXT_MAX;
}

static void
check_of(struct span in, uint8_t check[CHECK])
{
	uint8_t sha[32];

	SHA256(in.p, in.n, sha);
	memcpy(check, sha, CHECK);
}

int
join_encode(const struct join *j, char *text, size_t cap)
{
	uint8_t buf[BYTES_MAX], check[CHECK];
	struct wr w = wr_open(buf, sizeof(buf)), t = wr_open(text, cap);
	uint32_t acc = 0;
	unsigned bits = 0;

	if (j->authkey_n > JOIN_AUTHKEY_MAX || !text_ok(span_of(j->text, j->text_n)))
		return E_INVAL;
	wr_u8(&w, VERSION);
	wr_u8(&w, 0);
	wr_bytes(&w, j->pair, sizeof(j->pair));
	wr_bytes(&w, j->key, sizeof(j->key));
	wr_u16(&w, (uint16_t)j->authkey_n);
	wr_bytes(&w, j->authkey, j->authkey_n);
	wr_u16(&w, (uint16_t)j->text_n);
	wr_bytes(&w, j->text, j->text_n);
	check_of(wr_span(&w), check);
	wr_bytes(&w, check, sizeof(check));
	wr_str(&t, prefix);
	for (size_t i = 0; i < w.n; i++) {
		acc = acc << 8 | buf[i];
		for (bits += 8; bits >= 6; bits -= 6)
			wr_u8(&t, (uint8_t)alphabet[acc >> (bits - 6) & 63]);
	}
	if (bits > 0)
		wr_u8(&t, (uint8_t)alphabet[acc << (6 - bits) & 63]);
	wr_u8(&t, '\0');
	OPENSSL_cleanse(buf, sizeof(buf));
	return wr_full(&w) || wr_full(&t) ? E_LIMIT : 0;
}

/* Drops white space on the way. */
static int
decode_text(struct span text, struct wr *w)
{
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		const char *at = c == '\0' ? NULL : strchr(alphabet, c);
		if (at == NULL)
			return E_INVAL;
		acc = acc << 6 | (uint32_t)(at - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			wr_u8(w, (uint8_t)(acc >> bits));
		}
	}
	return wr_full(w) ? E_LIMIT : 0;
}

static int
decode_fields(struct span in, struct join *j)
{
	struct rd r = rd_open(in);
	uint8_t check[CHECK];

	if (in.n < CHECK + 2)
		return E_AUTH;
	if (rd_u8(&r) != VERSION)
		return E_STALE;
	check_of(span_of(in.p, in.n - CHECK), check);
	if (memcmp(check, in.p + in.n - CHECK, CHECK) != 0)
		return E_AUTH;
	(void)rd_u8(&r);
	rd_copy(&r, j->pair, sizeof(j->pair));
	rd_copy(&r, j->key, sizeof(j->key));
	struct span authkey = rd_take(&r, rd_u16(&r));
	struct span text = rd_take(&r, rd_u16(&r));
	if (rd_short(&r) || rd_left(&r) != CHECK || authkey.n > JOIN_AUTHKEY_MAX ||
	    !text_ok(text))
		return E_INVAL;
	if (authkey.n > 0)
		memcpy(j->authkey, authkey.p, authkey.n);
	if (text.n > 0)
		memcpy(j->text, text.p, text.n);
	j->text[text.n] = '\0';
	j->authkey_n = authkey.n;
	j->text_n = text.n;
	return 0;
}

int
join_decode(struct span text, struct join *j)
{
	uint8_t buf[BYTES_MAX];
	struct wr w = wr_open(buf, sizeof(buf));
	const size_t n = sizeof(prefix) - 1;

	while (text.n > 0 && (*text.p == ' ' || *text.p == '\n')) {
		text.p++;
		text.n--;
	}
	if (text.n < n || memcmp(text.p, prefix, n - 2) != 0 || text.p[n - 1] != '-')
		return E_INVAL;
	if (text.p[n - 2] != (uint8_t)prefix[n - 2])
		return E_STALE;
	int rc = decode_text(span_of(text.p + n, text.n - n), &w);
	if (rc == 0)
		rc = decode_fields(wr_span(&w), j);
	OPENSSL_cleanse(buf, sizeof(buf));
	return rc;
}
