/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Named secrets: sealed under the pair key, each for its own name, kept sealed. */
#include "common/secret.h"

#include "common/err.h"
#include "tests/lib/tap.h"

static const uint8_t key[PAIRKEY] = { 1, 2, 3 }, other_key[PAIRKEY] = { 4 };

static bool
push(struct secrets *s, const char *object, struct span bytes, uint8_t flags)
{
	return secrets_take(s, &(struct cluster_msg){ .type = CLUSTER_CHANGED,
						      .flags = flags,
						      .name = span_str(object),
						      .bytes = bytes });
}

static void
names_are_short_and_plain(void)
{
	static const struct {
		const char *name;
		bool is_good;
	} cases[] = {
		{ "", false },
		{ "a", true },
		{ "wan1-key_2", true },
		{ "A", false },
		{ "a/b", false },
		{ "a.b", false },
		{ "a b", false },
		{ "../x", false },
		{ "\xc3\xa4", false },
		{ "012345678901234567890123456789012345678901234567890123456789012",
		  true },
		{ "0123456789012345678901234567890123456789012345678901234567890123",
		  false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(secret_name_ok(cases[i].name), cases[i].is_good, "name '%s'",
		       cases[i].name);
}

static void
a_secret_comes_back_under_its_name_and_key_only(void)
{
	uint8_t sealed[SECRET_SEALED_MAX];
	char value[SECRET_VALUE_MAX + 1];
	struct secrets *s, *o;
	size_t n = 0;

	ok(secrets_new(&s, key) == 0 && secrets_new(&o, other_key) == 0, "two readers");
	is_int(secrets_open(s, "dns", value, NULL), E_NOENT, "not there yet");
	is_int(secret_seal(key, "dns", SPAN("horse"), sealed, &n), 0, "sealed");
	ok(memmem(sealed, n, "horse", 5) == NULL, "nothing of it can be read");
	ok(push(s, "secret/dns", span_of(sealed, n), 0), "a push about a secret");
	ok(push(o, "secret/dns", span_of(sealed, n), 0), "and to the other");
	is_int(secrets_open(s, "dns", value, &n), 0, "opened");
	is_str(value, "horse", "it is the value");
	is_int((long)n, 5, "of this length");
	is_int(secrets_open(o, "dns", value, NULL), E_AUTH,
	       "another key opens nothing");
	is_str(value, "", "and leaves nothing");
	is_int(secret_seal(key, "dns", SPAN("horse"), sealed, &n), 0, "sealed again");
	(void)push(s, "secret/mail", span_of(sealed, n), 0);
	is_int(secrets_open(s, "mail", value, NULL), E_AUTH,
	       "put under another name it opens nothing");
	ok(push(s, "secret/dns", (struct span){ 0 }, CLUSTER_REMOVE), "removed");
	is_int(secrets_open(s, "dns", value, NULL), E_NOENT, "gone");
	secrets_free(s);
	secrets_free(o);
}

static void
what_is_no_secret_is_left_alone(void)
{
	static uint8_t big[SECRET_VALUE_MAX + 1];
	uint8_t sealed[SECRET_SEALED_MAX];
	char value[SECRET_VALUE_MAX + 1], name[32];
	struct secrets *s;
	size_t n;

	(void)secrets_new(&s, key);
	ok(!push(s, "config", SPAN("x"), 0), "another object");
	ok(push(s, "secret/a/b", SPAN("x"), 0), "a deeper name is none of ours");
	(void)push(s, "secret/junk", SPAN("x"), 0);
	is_int(secrets_open(s, "junk", value, NULL), E_AUTH, "bytes that are no seal");
	is_int(secrets_open(s, "../junk", value, NULL), E_INVAL, "no name");
	memset(big, 'x', sizeof(big));
	is_int(secret_seal(key, "big", span_of(big, sizeof(big)), sealed, &n), E_INVAL,
	       "too long");
	is_int(secret_seal(key, "big", span_of(big, sizeof(big) - 1), sealed, &n), 0,
	       "the longest");
	(void)push(s, "secret/big", span_of(sealed, n), 0);
	is_int(secrets_open(s, "big", value, &n), 0, "the longest comes back");
	is_int((long)n, SECRET_VALUE_MAX, "whole");
	is_int(secret_seal(key, "none", SPAN(""), sealed, &n), E_INVAL, "empty");
	is_int(secret_seal(key, "nul", SPAN("a\0b"), sealed, &n), E_INVAL,
	       "with a NUL");
	for (unsigned i = 0; i < SECRETS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "secret/n%u", i);
		(void)push(s, name, SPAN("x"), 0);
	}
	is_int(secrets_open(s, "n0", value, NULL), E_AUTH, "the first are kept");
	is_int(secrets_open(s, "n265", value, NULL), E_NOENT, "more are not heard of");
	secrets_free(s);
	secrets_free(NULL);
}

int
main(void)
{
	names_are_short_and_plain();
	a_secret_comes_back_under_its_name_and_key_only();
	what_is_no_secret_is_left_alone();
	return done_testing();
}
