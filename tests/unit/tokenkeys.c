/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/keys/tokenkeys.h"

#include <stdint.h>

enum { DAY = 24 * 3600, HOUR = 3600 };
static const uint64_t start = 1700000000;

static void
a_token_opens_to_the_claims_that_were_sealed(void)
{
	struct tokenkeys t;
	uint8_t claims[512], back[512];
	char text[769];
	size_t n;

	is_int(tokenkeys_make(&t, start), 0, "keys can be made");
	memset(claims, 0x5a, sizeof(claims));
	for (size_t len = 0; len <= sizeof(claims); len += 64) {
		is_int(tokenkeys_seal(&t, span_of(claims, len), text, sizeof(text)), 0,
		       "%zu bytes can be sealed", len);
		is_int(strspn(text,
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			      "0123456789-_"),
		       strlen(text), "the text is base64url");
		n = 999;
		is_int(tokenkeys_open(&t, span_str(text), back, sizeof(back), &n), 0,
		       "it opens");
		ok(n == len && memcmp(back, claims, len) == 0, "to the same %zu bytes",
		   len);
	}
	char again[769];
	tokenkeys_seal(&t, span_of(claims, 64), text, sizeof(text));
	tokenkeys_seal(&t, span_of(claims, 64), again, sizeof(again));
	ok(strcmp(text, again) != 0, "no two tokens are alike");
	is_int(tokenkeys_seal(&t, span_of(claims, 512), text, 700), E_LIMIT,
	       "a token that does not fit is no token");
}

static void
every_flipped_bit_is_refused(void)
{
	struct tokenkeys t;
	char text[769], bad[769];
	uint8_t back[512];
	size_t n, taken = 0, tried = 0;

	tokenkeys_make(&t, start);
	tokenkeys_seal(&t, SPAN("some claims of a session"), text, sizeof(text));
	for (size_t i = 0; text[i] != '\0'; i++)
		for (int bit = 0; bit < 8; bit++) {
			strcpy(bad, text);
			bad[i] = (char)(bad[i] ^ 1 << bit);
			/* As long as before: a NUL inside is a wrong character. */
			taken += tokenkeys_open(&t, span_of(bad, strlen(text)), back,
						sizeof(back), &n) == 0;
			tried++;
		}
	ok(tried > 400 && taken == 0, "none of %zu flipped bits in the text opens",
	   tried);

	uint8_t raw[600];
	size_t raw_n;
	is_int(seal_decode(span_str(text), raw, sizeof(raw), &raw_n), 0,
	       "the text decodes");
	taken = 0;
	for (size_t i = 0; i < raw_n * 8; i++) {
		raw[i / 8] ^= (uint8_t)(1 << i % 8);
		taken += seal_open(t.current.key, TOKENKEYS_HEAD, span_of(raw, raw_n),
				   back, sizeof(back), &n) == 0;
		raw[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	is_int(taken, 0, "none of %zu flipped bits below the text opens", raw_n * 8);
}

static void
odd_texts_are_refused(void)
{
	struct tokenkeys t, other;
	char text[769];
	uint8_t back[512];
	size_t n;

	tokenkeys_make(&t, start);
	tokenkeys_make(&other, start);
	tokenkeys_seal(&t, SPAN("0123456789"), text, sizeof(text));
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i++)
		if (tokenkeys_open(&t, span_of(text, i), back, sizeof(back), &n) == 0)
			ok(false, "a token cut to %zu characters opens", i);
	is_int(tokenkeys_open(&other, span_str(text), back, sizeof(back), &n), E_STALE,
	       "another set of keys does not know the key");
	other.old[0] = t.current;
	other.n_old = 1;
	other.old[0].key[0] ^= 1;
	is_int(tokenkeys_open(&other, span_str(text), back, sizeof(back), &n), E_AUTH,
	       "the right id with the wrong key is refused");
	strcat(text, "A");
	ok(tokenkeys_open(&t, span_str(text), back, sizeof(back), &n) < 0,
	   "one character more");
	text[len] = '=';
	ok(tokenkeys_open(&t, span_str(text), back, sizeof(back), &n) < 0, "padding");
	ok(tokenkeys_open(&t, SPAN(""), back, sizeof(back), &n) < 0, "nothing at all");
	ok(tokenkeys_open(&t, SPAN("AAAAAAA"), back, sizeof(back), &n) < 0,
	   "version 0");
	is_int(seal_decode(SPAN("AB"), back, sizeof(back), &n), E_AUTH,
	       "unused bits that are not zero");
	is_int(seal_decode(SPAN("AA"), back, sizeof(back), &n), 0,
	       "unused bits that are");
	static char longest[5000];
	memset(longest, 'A', sizeof(longest));
	ok(tokenkeys_open(&t, span_of(longest, 5000), back, sizeof(back), &n) < 0,
	   "five thousand characters");
}

static void
the_next_key_takes_over_after_a_day(void)
{
	struct tokenkeys t;

	tokenkeys_make(&t, start);
	uint32_t was = t.current.id, next = t.next.id;
	is_int(tokenkeys_rotate(&t, start + DAY - 1), 0, "not a second early");
	is_int(tokenkeys_rotate(&t, start + DAY), 1, "then it does");
	ok(t.current.id == next, "the key that was announced is current");
	ok(t.n_old == 1 && t.old[0].id == was, "the one before is kept");
	ok(t.next.id != next && t.next.id != was && t.next.id != 0,
	   "and a new one is next");
	is_int(tokenkeys_rotate(&t, start + DAY + 60), 0, "once");
	is_int(tokenkeys_rotate(&t, start - 5 * DAY), 1,
	       "a clock that went back is noticed");
	is_int(t.current.wall_s, start - 5 * DAY, "and does not freeze rotation");
}

static void
an_old_key_opens_for_256_hours(void)
{
	struct tokenkeys t;
	char text[769];
	uint8_t back[512];
	size_t n;
	uint64_t now = start, retired = start + DAY;

	tokenkeys_make(&t, start);
	tokenkeys_seal(&t, SPAN("long"), text,
		       sizeof(text)); /* could be at its last second */
	int last_ok = 0, first_bad = 0;
	for (int h = 0; h <= 300; h++, now += HOUR) {
		tokenkeys_rotate(&t, now);
		int rc = tokenkeys_open(&t, span_str(text), back, sizeof(back), &n);
		if (rc == 0)
			last_ok = h;
		else if (first_bad == 0)
			first_bad = h;
	}
	is_int(last_ok, (retired - start) / HOUR + 255,
	       "the last hour in which it opens");
	is_int(first_bad, (retired - start) / HOUR + 256,
	       "the first in which it does not");
	ok(t.n_old <= 11, "%u retired keys are kept", t.n_old);
}

static void
a_set_survives_its_file(void)
{
	struct tokenkeys t, back;
	uint8_t buf[TOKENKEYS_BYTES], bad[TOKENKEYS_BYTES + 1];
	uint64_t now = start;

	tokenkeys_make(&t, start);
	for (int i = 0; i < 12; i++)
		tokenkeys_rotate(&t, now += DAY);
	size_t n = tokenkeys_write(&t, buf);
	is_int(tokenkeys_read(&back, span_of(buf, n)), 0, "read back");
	ok(back.current.id == t.current.id && back.next.id == t.next.id &&
		   back.n_old == t.n_old &&
		   memcmp(back.old[5].key, t.old[5].key, SEAL_KEY) == 0 &&
		   back.old[5].wall_s == t.old[5].wall_s,
	   "the same set");
	size_t taken = 0;
	for (size_t i = 0; i < n; i++)
		taken += tokenkeys_read(&back, span_of(buf, i)) == 0;
	is_int(taken, 0, "no shortened file is taken");
	memcpy(bad, buf, n);
	bad[n] = 0;
	is_int(tokenkeys_read(&back, span_of(bad, n + 1)), E_PROTO, "nor a longer one");
	memcpy(bad + 5 + 45 + 1, bad + 5 + 1, 4);
	is_int(tokenkeys_read(&back, span_of(bad, n)), E_PROTO, "nor one id twice");
	memcpy(bad, buf, n);
	bad[0] ^= 1;
	is_int(tokenkeys_read(&back, span_of(bad, n)), E_PROTO,
	       "nor another kind of file");
}

static bool
opens(const struct tokenkeys *t, const char *text)
{
	uint8_t back[512];
	size_t n;

	return tokenkeys_open(t, span_str(text), back, sizeof(back), &n) == 0;
}

static bool
same_set(const struct tokenkeys *a, const struct tokenkeys *b)
{
	uint8_t x[TOKENKEYS_BYTES], y[TOKENKEYS_BYTES];
	size_t n = tokenkeys_write(a, x);

	return n == tokenkeys_write(b, y) && memcmp(x, y, n) == 0;
}

static void
two_nodes_that_become_a_pair_open_each_others_tokens(void)
{
	struct tokenkeys a, b, store;
	char of_a[769], of_b[769], old_a[769], old_b[769], later[769];

	tokenkeys_make(&a, start);
	tokenkeys_make(&b, start);
	tokenkeys_seal(&a, SPAN("a"), old_a, sizeof(old_a));
	tokenkeys_seal(&b, SPAN("b"), old_b, sizeof(old_b));
	tokenkeys_rotate(&a, start + DAY);
	tokenkeys_rotate(&b, start + DAY);
	tokenkeys_seal(&a, SPAN("a"), of_a, sizeof(of_a));
	tokenkeys_seal(&b, SPAN("b"), of_b, sizeof(of_b));

	store = a; /* a was first; b joins, and stores the union */
	is_int(tokenkeys_unite(&b, &store, start + DAY), 1, "b has something to add");
	store = b;
	is_int(tokenkeys_unite(&a, &store, start + DAY), 0, "a has nothing more");
	ok(same_set(&a, &b), "both have one set");
	const char *all[] = { of_a, of_b, old_a, old_b };
	for (int i = 0; i < 4; i++)
		ok(opens(&a, all[i]) && opens(&b, all[i]), "token %d opens on both", i);
	is_int(tokenkeys_unite(&b, &store, start + DAY), 0, "once is enough");
	ok(same_set(&b, &store), "and changes nothing");

	/* Rotation on the active node; the other one follows. */
	is_int(tokenkeys_rotate(&a, start + 2 * DAY), 1, "a rotates");
	tokenkeys_seal(&a, SPAN("a"), later, sizeof(later));
	ok(opens(&b, later), "b opens its tokens before it has heard of it");
	is_int(tokenkeys_unite(&b, &a, start + 2 * DAY), 0, "b hears of it");
	ok(same_set(&a, &b), "one set again");
	/* In time everything that was kept for the join is gone. */
	for (int d = 3; d < 20; d++) {
		tokenkeys_rotate(&a, start + (uint64_t)d * DAY);
		is_int(tokenkeys_unite(&b, &a, start + (uint64_t)d * DAY), 0,
		       "nothing comes back on day %d", d);
	}
	ok(a.n_old <= 11 && !opens(&a, of_b), "%u retired keys are left", a.n_old);
}

static void
both_rotated_while_they_were_apart(void)
{
	struct tokenkeys a, b, store;
	char of_a[769], of_b[769];

	tokenkeys_make(&a, start);
	b = a;
	for (int d = 1; d < 4; d++) {
		tokenkeys_rotate(&a, start + (uint64_t)d * DAY);
		tokenkeys_rotate(&b, start + (uint64_t)d * DAY);
	}
	tokenkeys_seal(&a, SPAN("a"), of_a, sizeof(of_a));
	tokenkeys_seal(&b, SPAN("b"), of_b, sizeof(of_b));
	store = b; /* which one won does not matter */
	is_int(tokenkeys_unite(&a, &store, start + 3 * DAY), 1, "a adds its own");
	store = a;
	is_int(tokenkeys_unite(&b, &store, start + 3 * DAY), 0, "b takes them");
	ok(opens(&a, of_a) && opens(&a, of_b) && opens(&b, of_a) && opens(&b, of_b),
	   "every token opens on both");
	ok(a.current.id == b.current.id && a.next.id == b.next.id, "one current key");
	uint8_t buf[TOKENKEYS_BYTES];
	struct tokenkeys back;
	size_t n = tokenkeys_write(&a, buf);
	is_int(tokenkeys_read(&back, span_of(buf, n)), 0, "no key is in it twice");
}

static void
a_union_has_an_end(void)
{
	struct tokenkeys a, b, full;
	char first[769], young[769];

	tokenkeys_make(&a, start);
	tokenkeys_seal(&a, SPAN("x"), young, sizeof(young));
	full = a;
	for (unsigned i = 0; i < 60; i++) { /* sixty nodes join one after the other */
		tokenkeys_make(&b, start + i);
		if (i == 0)
			tokenkeys_seal(&b, SPAN("x"), first, sizeof(first));
		if (i == 59)
			tokenkeys_seal(&b, SPAN("x"), young, sizeof(young));
		tokenkeys_unite(&b, &full, start + i);
		full = b;
	}
	is_int(full.n_old, TOKENKEYS_OLD, "the set is full");
	ok(opens(&full, young) && !opens(&full, first), "the youngest are kept");
	is_int(tokenkeys_unite(&b, &full, start + 61), 0,
	       "and nobody goes on about it");
	tokenkeys_make(&a, start - 300 * HOUR);
	a.current.wall_s = a.next.wall_s = start;
	a.old[0] = a.next;
	a.old[0].id ^= 1;
	a.old[0].wall_s = start - 300 * HOUR;
	a.n_old = 1;
	tokenkeys_make(&b, start);
	tokenkeys_unite(&a, &b, start);
	is_int(a.n_old, 2, "what is past its time does not join");
}

int
main(void)
{
	two_nodes_that_become_a_pair_open_each_others_tokens();
	both_rotated_while_they_were_apart();
	a_union_has_an_end();
	a_token_opens_to_the_claims_that_were_sealed();
	every_flipped_bit_is_refused();
	odd_texts_are_refused();
	the_next_key_takes_over_after_a_day();
	an_old_key_opens_for_256_hours();
	a_set_survives_its_file();
	return done_testing();
}
