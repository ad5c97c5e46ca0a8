/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Records against a second implementation: the plain EVP calls of RFC 5288. That
 * OpenSSL's own SSL_read and SSL_write agree is shown in dtls.c. */
#include "vpnd/worker/record.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <openssl/evp.h>

static const uint8_t taken[8] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };

static struct record_key
key_of(size_t bytes)
{
	struct record_key k = { .key_bytes = bytes, .salt = { 9, 8, 7, 6 } };
	for (size_t i = 0; i < bytes; i++)
		k.key[i] = (uint8_t)(i * 7 + 1);
	return k;
}

/* Open a record the slow way. */
static bool
plain_open(const struct record_key *k, const uint8_t *rec, size_t n, uint8_t *text)
{
	uint8_t iv[12], aad[13], tag[16];
	size_t len = n - RECORD_OVERHEAD;
	int out, fin;

	memcpy(iv, k->salt, 4);
	memcpy(iv + 4, rec + 13, 8);
	memcpy(aad, rec + 3, 8);
	memcpy(aad + 8, rec, 3);
	aad[11] = (uint8_t)(len >> 8);
	aad[12] = (uint8_t)len;
	memcpy(tag, rec + n - 16, 16);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	EVP_DecryptInit_ex(c,
			   k->key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
			   NULL, k->key, iv);
	EVP_DecryptUpdate(c, NULL, &out, aad, 13);
	EVP_DecryptUpdate(c, text, &out, rec + 21, (int)len);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag);
	bool good = EVP_DecryptFinal_ex(c, text + out, &fin) == 1;
	EVP_CIPHER_CTX_free(c);
	return good;
}

struct pair {
	struct record_tx tx;
	struct record_rx rx;
};

static struct pair
pair_new(size_t bytes)
{
	struct record_key k = key_of(bytes);
	struct pair p;
	is_int(record_tx_init(&p.tx, &k, taken), 0, "sender ready");
	is_int(record_rx_init(&p.rx, &k), 0, "receiver ready");
	return p;
}

static void
pair_free(struct pair *p)
{
	record_tx_free(&p->tx);
	record_rx_free(&p->rx);
	record_tx_free(&p->tx);
	ok(p->rx.gcm == NULL, "freed, twice is fine");
}

static uint8_t buf[RECORD_OVERHEAD + RECORD_TEXT_MAX];
static uint8_t *const text = buf + RECORD_HEADROOM;

static size_t
seal(struct record_tx *tx, const char *s)
{
	size_t total = 0;
	memcpy(text, s, strlen(s));
	if (record_seal(tx, text, strlen(s), &total) < 0)
		return 0;
	return total;
}

static void
every_size_comes_back(void)
{
	static const size_t sizes[] = {
		1, 2, 15, 16, 17, 64, 1391, 1420, RECORD_TEXT_MAX, 0
	};
	static uint8_t want[RECORD_TEXT_MAX], got[RECORD_TEXT_MAX];

	for (size_t kb = 16; kb <= 32; kb += 16) {
		struct record_key k = key_of(kb);
		struct pair p = pair_new(kb);
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t n = sizes[i], total;
			uint8_t type = 0;
			struct span out;
			for (size_t j = 0; j < n; j++)
				want[j] = (uint8_t)(j * 13 + i);
			memcpy(text, want, n);
			is_int(record_seal(&p.tx, text, n, &total), 0, "seal %zu", n);
			is_int(total, n + RECORD_OVERHEAD, "its size");
			ok(plain_open(&k, buf, total, got) && !memcmp(got, want, n),
			   "the slow way reads it");
			is_int(record_open(&p.rx, buf, total, &type, &out), 0,
			       "open %zu", n);
			ok(type == RECORD_DATA && out.n == n && out.p == text &&
				   !memcmp(out.p, want, n),
			   "same text, in place");
		}
		pair_free(&p);
	}
}

static void
the_header_is_as_the_rfc_has_it(void)
{
	struct pair p = pair_new(32);
	struct record_head h;
	size_t total = seal(&p.tx, "first");

	(void)total;
	total = seal(&p.tx, "hello");
	is_mem(buf, "\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x03\xe9\x00\x1d", 13,
	       "type, version, epoch 1, number 1001, length");
	is_int(record_peek(span_of(buf, total), &h), 0, "peek");
	ok(h.type == RECORD_DATA && h.epoch == 1 && h.seq == 1001 && h.total == total &&
		   h.version == 0xfefd,
	   "peek reads the same");
	pair_free(&p);
}

static void
nonces_start_far_from_the_one_taken_and_never_repeat(void)
{
	struct pair p = pair_new(32);
	uint64_t last = 0, n;
	bool up = true;

	for (int i = 0; i < 2000; i++) {
		seal(&p.tx, "x");
		n = 0;
		for (int j = 0; j < 8; j++)
			n = n << 8 | buf[13 + j];
		if (i == 0)
			ok(n == UINT64_C(0x923456789abcdef0), "top bit flipped: %llx",
			   (unsigned long long)n);
		else
			up = up && n == last + 1;
		last = n;
	}
	ok(up, "then one up each");

	/* The counter may be handed a start next to the wrap. */
	static const uint8_t high[8] = { 0x7f, 255, 255, 255, 255, 255, 255, 255 };
	struct record_key k = key_of(16);
	struct record_tx tx;
	record_tx_init(&tx, &k, high);
	seal(&tx, "x");
	is_mem(buf + 13, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "all ones");
	ok(seal(&tx, "x") > 0, "goes on");
	is_mem(buf + 13, "\0\0\0\0\0\0\0\0", 8, "around the corner");
	record_tx_free(&tx);
	pair_free(&p);
}

static void
a_replay_is_stale_and_costs_the_first_nothing(void)
{
	struct pair p = pair_new(16);
	uint8_t copy[64], type;
	struct span out;
	size_t n = seal(&p.tx, "once");

	memcpy(copy, buf, n);
	is_int(record_open(&p.rx, buf, n, &type, &out), 0, "first");
	is_int(record_rx_top(&p.rx), RECORD_SEQ_START, "top number");
	is_int(record_open(&p.rx, copy, n, &type, &out), E_STALE, "second");
	pair_free(&p);
}

static void
every_flipped_bit_is_noticed_and_leaves_the_window_alone(void)
{
	struct pair p = pair_new(32);
	uint8_t good[64], bad[64], type;
	struct span out;
	size_t n = seal(&p.tx, "packet");
	int refused = 0;

	memcpy(good, buf, n);
	for (size_t bit = 0; bit < n * 8; bit++) {
		memcpy(bad, good, n);
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = record_open(&p.rx, bad, n, &type, &out);
		refused += rc == E_AUTH || rc == E_PROTO;
	}
	is_int(refused, n * 8, "each one");
	is_int(record_open(&p.rx, good, n, &type, &out), 0, "the true one still opens");
	pair_free(&p);
}

static void
cut_and_foreign_records_are_refused(void)
{
	struct pair p = pair_new(32);
	uint8_t good[64], bad[64], type;
	struct span out;
	size_t n = seal(&p.tx, "packet");
	int refused = 0;

	memcpy(good, buf, n);
	for (size_t cut = 0; cut < n; cut++) {
		memcpy(bad, good, n);
		refused += record_open(&p.rx, bad, cut, &type, &out) == E_PROTO;
	}
	is_int(refused, n, "cut anywhere");
	memcpy(bad, good, n);
	is_int(record_open(&p.rx, bad, n + 1, &type, &out), E_PROTO, "a byte too many");
	memcpy(bad, good, n);
	bad[4] = 0;
	is_int(record_open(&p.rx, bad, n, &type, &out), E_PROTO, "epoch 0");
	memcpy(bad, good, n);
	bad[2] = 0xff;
	is_int(record_open(&p.rx, bad, n, &type, &out), E_PROTO, "DTLS 1.0");
	/* Too short for nonce and tag, but honest about it. */
	static uint8_t tiny[] = "\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x03\xe9\x00\x17"
				"aaaaaaaaaaaaaaaaaaaaaaa";
	is_int(record_open(&p.rx, tiny, sizeof(tiny) - 1, &type, &out), E_PROTO,
	       "no room for nonce and tag");
	pair_free(&p);
}

static void
several_records_share_a_datagram(void)
{
	struct pair p = pair_new(16);
	uint8_t dgram[256], type;
	size_t n = 0, seen = 0;
	struct record_head h;
	struct span out;

	for (int i = 0; i < 3; i++) {
		size_t one = seal(&p.tx, "abc");
		memcpy(dgram + n, buf, one);
		n += one;
	}
	for (size_t at = 0; at < n; at += h.total) {
		if (record_peek(span_of(dgram + at, n - at), &h) < 0)
			break;
		seen += record_open(&p.rx, dgram + at, h.total, &type, &out) == 0;
	}
	is_int(seen, 3, "all three");
	is_int(record_peek(span_of(dgram, 12), &h), E_PROTO, "no header, no record");
	is_int(record_peek(span_of(dgram, 0), &h), E_PROTO, "nothing, no record");
	dgram[0] = 24;
	is_int(record_peek(span_of(dgram, n), &h), E_PROTO, "a type we do not know");
	pair_free(&p);
}

static void
alerts_are_records_too(void)
{
	struct pair p = pair_new(32);
	uint8_t type;
	struct span out;
	size_t n;

	text[0] = 1, text[1] = 0;
	is_int(record_seal_as(&p.tx, RECORD_ALERT, text, 2, &n), 0, "close_notify");
	is_int(record_open(&p.rx, buf, n, &type, &out), 0, "opens");
	ok(type == RECORD_ALERT && out.n == 2 && out.p[0] == 1 && out.p[1] == 0,
	   "as sent");
	pair_free(&p);
}

static void
a_worn_out_key_is_refused(void)
{
	struct pair p = pair_new(32);
	size_t n;

	p.tx.seq = RECORD_SEAL_MAX;
	is_int(record_seal(&p.tx, text, 1, &n), E_LIMIT, "2^36 is enough");
	pair_free(&p);
}

int
main(void)
{
	every_size_comes_back();
	the_header_is_as_the_rfc_has_it();
	nonces_start_far_from_the_one_taken_and_never_repeat();
	a_replay_is_stale_and_costs_the_first_nothing();
	every_flipped_bit_is_noticed_and_leaves_the_window_alone();
	cut_and_foreign_records_are_refused();
	several_records_share_a_datagram();
	alerts_are_records_too();
	a_worn_out_key_is_refused();
	return done_testing();
}
