/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/cluster.h"
#include "common/err.h"
#include "common/join.h"
#include "common/pairkey.h"
#include "hasync/wire.h"
#include "tests/lib/tap.h"

static const uint8_t pair_id[WIRE_PAIR] = "0123456789abcde";
static const uint8_t key[WIRE_KEY] = "key";

static void
names_say_what_may_be_done(void)
{
	static const struct {
		const char *name;
		enum cluster_class want;
	} cases[] = {
		{ "config", CLUSTER_WHOLE },
		{ "cert/auto", CLUSTER_WHOLE },
		{ "acme/challenge/x_y-1", CLUSTER_WHOLE },
		{ "revoked", CLUSTER_SET },
		{ "bans", CLUSTER_SET },
		{ "counts/gw1", CLUSTER_OWN },
		{ "node/gw1", CLUSTER_OWN },
		{ "endpoints/gw1", CLUSTER_OWN_SET },
		{ "", CLUSTER_BAD },
		{ "/a", CLUSTER_BAD },
		{ "a/", CLUSTER_BAD },
		{ "a//b", CLUSTER_BAD },
		{ "../etc", CLUSTER_BAD },
		{ "A", CLUSTER_BAD },
		{ "a b", CLUSTER_BAD },
		{ "a.b", CLUSTER_BAD },
		{ "a+b", CLUSTER_BAD },
		{ "counts/", CLUSTER_BAD },
	};
	char longest[CLUSTER_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(cluster_class(span_str(cases[i].name)), cases[i].want, "\"%s\"",
		       cases[i].name);
	memset(longest, 'a', sizeof(longest));
	is_int(cluster_class(span_of(longest, CLUSTER_NAME_MAX)), CLUSTER_WHOLE,
	       "longest");
	is_int(cluster_class(span_of(longest, CLUSTER_NAME_MAX + 1)), CLUSTER_BAD,
	       "longer");
}

static void
messages_survive_the_way_and_every_cut_waits(void)
{
	uint8_t buf[256];
	struct wr w = wr_open(buf, sizeof(buf));
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .flags = CLUSTER_REMOVE,
				 .id = 7,
				 .generation = CLUSTER_ANY,
				 .wall_ms = 5,
				 .name = SPAN("users"),
				 .writer = SPAN("gw1"),
				 .bytes = SPAN("hello") },
			   got;

	cluster_encode(&w, &m);
	is_int(w.n, cluster_encoded_size(&m), "size");
	unsigned bad = 0;
	for (size_t n = 0; n < w.n; n++) {
		struct span in = span_of(buf, n);
		bad += cluster_decode(&in, &got) != E_AGAIN || in.n != n;
	}
	is_int(bad, 0, "each cut says: more");
	struct span in = wr_span(&w);
	is_int(cluster_decode(&in, &got), 0, "whole");
	ok(span_is(got.name, "users") && span_is(got.writer, "gw1") &&
		   span_is(got.bytes, "hello") && got.id == 7 &&
		   got.generation == CLUSTER_ANY && got.flags == CLUSTER_REMOVE,
	   "all fields");
	is_int(in.n, 0, "used up");
	memcpy(buf, "\xff\xff\xff\xff", 4);
	in = wr_span(&w);
	is_int(cluster_decode(&in, &got), E_PROTO, "a length nobody sends");
}

static void
entries_survive_the_way(void)
{
	uint8_t buf[128];
	struct wr w = wr_open(buf, sizeof(buf));
	struct cluster_entry a = { .key_n = 3,
				   .key = "abc",
				   .value_n = 2,
				   .value = "xy",
				   .expires_s = 9 },
			     b = { .key_n = 1, .key = "z", .is_gone = true }, e;

	cluster_entry_encode(&w, &a);
	cluster_entry_encode(&w, &b);
	struct span in = wr_span(&w);
	is_int(cluster_entry_decode(&in, &e), 0, "first");
	ok(e.key_n == 3 && e.value_n == 2 && e.expires_s == 9 && !e.is_gone,
	   "as it was");
	is_int(cluster_entry_decode(&in, &e), 0, "second");
	ok(e.is_gone && e.key_n == 1, "gone");
	is_int(cluster_entry_decode(&in, &e), E_AGAIN, "end");
	in = span_of(buf, 5);
	is_int(cluster_entry_decode(&in, &e), E_PROTO, "cut");
	in = SPAN("\x20"
		  "0123456789012345678901234567890123456789");
	is_int(cluster_entry_decode(&in, &e), E_PROTO, "key too long");
}

static size_t
batch(uint8_t *buf, size_t cap)
{
	struct wr w = wr_open(buf, cap);
	struct wire_head h = { .node = SPAN("gw1"), .incarnation = 3, .seq = 4 };
	struct wire_item i = { .type = WIRE_PUT,
			       .id = 1,
			       .generation = 2,
			       .name = SPAN("users"),
			       .writer = SPAN("gw1"),
			       .bytes = SPAN("x") };

	wire_open(&w, pair_id, &h);
	wire_item_encode(&w, &i);
	wire_close(&w, key);
	return w.n;
}

static void
batches_of_others_are_refused(void)
{
	uint8_t buf[512], other[32] = "other";
	struct wire_head h;
	struct span items;
	struct wire_item i;
	size_t n = batch(buf, sizeof(buf));

	is_int(wire_check(span_of(buf, n), pair_id, key, &h, &items), 0, "ours");
	ok(span_is(h.node, "gw1") && h.incarnation == 3 && h.seq == 4, "its head");
	is_int(wire_item_decode(&items, &i), 0, "its item");
	ok(i.type == WIRE_PUT && span_is(i.name, "users"), "as it was");
	is_int(wire_item_decode(&items, &i), E_AGAIN, "and no more");
	is_int(wire_check(span_of(buf, n), pair_id, other, &h, &items), E_AUTH, "key");
	is_int(wire_check(span_of(buf, n), other, key, &h, &items), E_NOENT, "pair");
	unsigned good = 0;
	for (size_t k = 0; k < n; k++)
		good += wire_check(span_of(buf, k), pair_id, key, &h, &items) == 0;
	is_int(good, 0, "no cut passes");
	for (size_t k = 0; k < n; k++) {
		buf[k] ^= 1;
		good += wire_check(span_of(buf, n), pair_id, key, &h, &items) == 0;
		buf[k] ^= 1;
	}
	is_int(good, 0, "no flipped bit passes");
	buf[4] = WIRE_VERSION + 1;
	is_int(wire_check(span_of(buf, n), pair_id, key, &h, &items), E_STALE,
	       "version");
}

static void
pieces_make_a_whole_only_in_order(void)
{
	static uint8_t big[100000], enc[110000];
	struct wr w = wr_open(enc, sizeof(enc));
	struct wire_item i = { .type = WIRE_PUT,
			       .name = SPAN("config"),
			       .bytes = span_of(big, sizeof(big)) },
			 whole;
	struct wire_pieces p = { 0 };

	wire_item_encode(&w, &i);
	struct wire_item a = { .type = WIRE_PIECE_OF,
			       .id = 1,
			       .base = w.n,
			       .bytes = span_of(enc, 60000) },
			 b = { .type = WIRE_PIECE_OF,
			       .id = 1,
			       .base = w.n,
			       .generation = 60000,
			       .bytes = span_of(enc + 60000, w.n - 60000) };
	is_int(wire_pieces_add(&p, &a, &whole), E_AGAIN, "first");
	is_int(wire_pieces_add(&p, &b, &whole), 0, "last");
	is_int(whole.bytes.n, sizeof(big), "whole");
	wire_pieces_clear(&p);
	is_int(wire_pieces_add(&p, &b, &whole), E_PROTO, "last first");
	is_int(wire_pieces_add(&p, &a, &whole), E_AGAIN, "first");
	b.id = 2;
	is_int(wire_pieces_add(&p, &b, &whole), E_PROTO, "of another transfer");
	a.base = WIRE_ITEM_MAX + 1;
	is_int(wire_pieces_add(&p, &a, &whole), E_PROTO, "too large");
	wire_pieces_clear(&p);
}

static void
states_survive_the_way(void)
{
	uint8_t buf[256];
	struct wr w = wr_open(buf, sizeof(buf));
	struct wire_state s = { .is_active = true,
				.hold = true,
				.epoch = 9,
				.gateways = 2,
				.gateways_ok = 1,
				.version = SPAN("0.1"),
				.changed_s = 1700000000,
				.why = SPAN("told to let go"),
				.n_wans = 1 },
			  got;

	s.wans[0].name = SPAN("wan1");
	s.wans[0].gateway_ok = true;
	wire_state_encode(&w, &s);
	is_int(wire_state_decode(wr_span(&w), &got), 0, "decodes");
	ok(got.is_active && got.hold && !got.vpnd_bad && got.epoch == 9 &&
		   got.gateways_ok == 1 && got.n_wans == 1 && got.wans[0].gateway_ok &&
		   !got.wans[0].has_carrier && span_is(got.wans[0].name, "wan1"),
	   "as it was");
	ok(got.changed_s == s.changed_s && span_is(got.why, "told to let go"),
	   "with its last change");
	s.why = SPAN("a\"b");
	w = wr_open(buf, sizeof(buf));
	wire_state_encode(&w, &s);
	is_int(wire_state_decode(wr_span(&w), &got), E_PROTO, "a quote in it");
	s.why = SPAN("start");
	s.epoch = UINT64_MAX;
	w = wr_open(buf, sizeof(buf));
	wire_state_encode(&w, &s);
	is_int(wire_state_decode(wr_span(&w), &got), E_PROTO,
	       "an epoch without a next");
}

static void
secrets_open_only_under_their_key_and_name(void)
{
	uint8_t k[PAIRKEY] = "k", k2[PAIRKEY] = "other", sealed[128], plain[64];
	size_t n, m;

	is_int(pairkey_seal(k, "token-keys", SPAN("secret"), sealed, sizeof(sealed),
			    &n),
	       0, "seal");
	is_int(n, 6 + PAIRKEY_EXTRA, "size");
	is_int(pairkey_open(k, "token-keys", span_of(sealed, n), plain, sizeof(plain),
			    &m),
	       0, "open");
	ok(m == 6 && memcmp(plain, "secret", 6) == 0, "the secret");
	is_int(pairkey_open(k2, "token-keys", span_of(sealed, n), plain, sizeof(plain),
			    &m),
	       E_AUTH, "another key");
	is_int(pairkey_open(k, "users", span_of(sealed, n), plain, sizeof(plain), &m),
	       E_AUTH, "another object");
	sealed[n - 1] ^= 1;
	is_int(pairkey_open(k, "token-keys", span_of(sealed, n), plain, sizeof(plain),
			    &m),
	       E_AUTH, "a flipped bit");
	is_int(pairkey_open(k, "token-keys", span_of(sealed, 10), plain, sizeof(plain),
			    &m),
	       E_AUTH, "cut");
}

static void
a_join_string_is_right_or_refused(void)
{
	static struct join j, got;
	static char text[JOIN_MAX], broken[JOIN_MAX + 64];

	memset(j.pair, 7, sizeof(j.pair));
	memset(j.authkey, 9, j.authkey_n = 128);
	j.text_n = (size_t)snprintf(j.text, sizeof(j.text),
				    "peer=gw1\nwan1=192.0.2.10/24\n");
	is_int(join_encode(&j, text, sizeof(text)), 0, "encode");
	is_int(join_decode(span_str(text), &got), 0, "decode");
	ok(got.authkey_n == 128 && memcmp(got.pair, j.pair, 16) == 0 &&
		   strcmp(got.text, j.text) == 0,
	   "as it was");
	size_t n = strlen(text);
	snprintf(broken, sizeof(broken), " \n%.40s\n  %s\r\n", text, text + 40);
	is_int(join_decode(span_str(broken), &got), 0, "wrapped by a terminal");
	unsigned good = 0;
	for (size_t k = 0; k < n; k++)
		good += join_decode(span_of(text, k), &got) == 0;
	is_int(good, 0, "no cut passes");
	for (size_t k = 8; k + 1 < n; k++) {
		memcpy(broken, text, n + 1);
		broken[k] = broken[k] == 'A' ? 'B' : 'A';
		good += join_decode(span_str(broken), &got) == 0;
	}
	is_int(good, 0, "no typing error passes");
	memcpy(broken, text, n + 1);
	broken[6] = '2';
	is_int(join_decode(span_str(broken), &got), E_STALE, "another version");
	is_int(join_decode(SPAN("hello"), &got), E_INVAL, "something else");
}

int
main(void)
{
	names_say_what_may_be_done();
	messages_survive_the_way_and_every_cut_waits();
	entries_survive_the_way();
	batches_of_others_are_refused();
	pieces_make_a_whole_only_in_order();
	states_survive_the_way();
	secrets_open_only_under_their_key_and_name();
	a_join_string_is_right_or_refused();
	return done_testing();
}
