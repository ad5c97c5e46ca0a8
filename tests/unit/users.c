/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/auth/password.h"
#include "vpnd/auth/users.h"

#include <crypt.h>
#include <liboath/oath.h>

static char yescrypt[256], bcrypt[256], sha512[256], md5[256];

static void
make_hash(char *out, const char *prefix, unsigned long cost)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	static struct crypt_data d;

	if (crypt_gensalt_rn(prefix, cost, NULL, 0, salt, sizeof(salt)) == NULL)
		exit(1);
	snprintf(out, 256, "%s", crypt_r("secret", salt, &d));
}

static struct ipc_user_put
put(enum user_op op, const char *user, const char *hash)
{
	struct ipc_user_put m = { .op = (uint8_t)op };

	snprintf(m.user, sizeof(m.user), "%s", user);
	if (hash != NULL) {
		m.mask = USER_HASH;
		snprintf(m.hash, sizeof(m.hash), "%s", hash);
	}
	return m;
}

static int
apply(struct users *t, struct ipc_user_put m, char why[256])
{
	*why = '\0';
	return users_apply(t, &m, 1000, why, 256);
}

static void
names_are_text_a_person_could_mean(void)
{
	static const struct {
		const char *name;
		bool is_good;
	} cases[] = {
		{ "", false },
		{ " a", false },
		{ "a ", false },
		{ "a\nb", false },
		{ "a\x7f", false },
		{ "a\xc2\x85", false },
		{ "\xc0\xaf", false },
		{ "\xed\xa0\x80", false },
		{ "\xff", false },
		{ "a\xc3", false },
		{ "\xf4\x90\x80\x80", false },
		{ "a", true },
		{ "a b", true },
		{ "Zo\xc3\xab", true },
		{ "\xe6\x97\xa5", true },
		{ "\xf0\x9f\x98\x80", true },
		{ "DOMAIN\\user@host", true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(users_name_is_good(cases[i].name), cases[i].is_good, "name %zu",
		       i);
	char longest[258];
	memset(longest, 'a', sizeof(longest));
	longest[256] = '\0';
	ok(!users_name_is_good(longest), "256 bytes are too many");
	longest[255] = '\0';
	ok(users_name_is_good(longest), "255 are not");
}

static void
hashes_are_whole_and_not_too_slow(void)
{
	char cut[256];
	const char *good[] = { yescrypt, bcrypt, sha512, md5, password_decoy };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ok(users_hash_is_good(good[i]), "%.6s is taken", good[i]);
		snprintf(cut, sizeof(cut), "%.*s", (int)strlen(good[i]) - 1, good[i]);
		ok(!users_hash_is_good(cut), "but not cut short");
		snprintf(cut, sizeof(cut), "%s\n", good[i]);
		ok(!users_hash_is_good(cut), "nor with a newline");
	}
	static const char *const bad[] = {
		"",  "x", "secret", "$y$",           "$y$j9T$",   "$6$",
		"*", "!", "$1$",    "ab01234567890", "$5$abc$def"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!users_hash_is_good(bad[i]), "\"%s\" is no hash", bad[i]);
	snprintf(cut, sizeof(cut), "%s", bcrypt);
	memcpy(cut + 4, "31", 2);
	ok(!users_hash_is_good(cut), "bcrypt cost 31 would hold up everyone");
	snprintf(cut, sizeof(cut), "%s", yescrypt);
	cut[4] = 'F';
	ok(!users_hash_is_good(cut), "so would yescrypt cost 11");
	for (size_t i = 0; i < 4; i++) {
		ok(password_matches("secret", good[i]), "the password matches %.4s",
		   good[i]);
		ok(!password_matches("Secret", good[i]), "another does not");
	}
	ok(!password_matches("", "*0") && !password_matches("x", ""),
	   "no hash, no match");
}

static void
changes_are_refused_in_one_clear_sentence(void)
{
	struct users t = { 0 };
	char why[256];

	is_int(apply(&t, put(USER_CREATE, "bob", yescrypt), why), 0, "create");
	is_int(apply(&t, put(USER_CREATE, "bob", yescrypt), why), E_EXIST, "twice: %s",
	       why);
	is_int(apply(&t, put(USER_UPDATE, "eve", yescrypt), why), E_NOENT, "update: %s",
	       why);
	is_int(apply(&t, put(USER_REMOVE, "eve", NULL), why), E_NOENT, "remove: %s",
	       why);
	is_int(apply(&t, put(USER_CREATE, "eve", NULL), why), E_INVAL, "no hash: %s",
	       why);
	is_int(apply(&t, put(USER_CREATE, "eve", "plain"), why), E_INVAL,
	       "bad hash: %s", why);
	is_int(apply(&t, put(USER_CREATE, "e\tve", yescrypt), why), E_INVAL,
	       "bad name: %s", why);
	is_int(apply(&t, put((enum user_op)7, "bob", NULL), why), E_INVAL, "bad op: %s",
	       why);
	struct ipc_user_put m = put(USER_UPDATE, "bob", NULL);
	m.mask = USER_TOTP;
	strcpy(m.totp, "not base32!");
	is_int(apply(&t, m, why), E_INVAL, "bad totp: %s", why);
	strcpy(m.totp, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
	is_int(apply(&t, m, why), 0, "good totp");
	m.mask = USER_AUTHORISED;
	is_int(apply(&t, m, why), 0, "the flag alone");
	struct user *u = users_find(&t, "bob");
	ok(!u->is_authorised && *u->totp && strcmp(u->hash, yescrypt) == 0,
	   "changes what the mask names and nothing else");
	is_int(apply(&t, put(USER_CREATE, "alice", md5), why), 0, "another");
	is_int(apply(&t, put(USER_REMOVE, "bob", NULL), why), 0, "one goes");
	ok(t.n == 1 && users_find(&t, "alice") && !users_find(&t, "bob"),
	   "the other stays");
	users_free(&t);
}

static void
the_table_survives_its_file(void)
{
	struct users t = { 0 }, back;
	char why[256], name[32], *text;
	size_t n;
	unsigned line;

	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "u%u \"\\ \xc3\xab", i * 7919 % 500);
		struct ipc_user_put m =
			put(USER_CREATE, name, i % 2 ? yescrypt : bcrypt);
		m.mask |= USER_AUTHORISED | USER_TOTP;
		m.is_authorised = i % 3 == 0;
		strcpy(m.totp, i % 5 ? "" : "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
		if (apply(&t, m, why) < 0)
			ok(false, "create %u: %s", i, why);
	}
	is_int(users_write(&t, &text, &n), 0, "written");
	is_int(users_read(&back, span_of(text, n), &line), 0, "read");
	bool same = back.n == t.n;
	for (size_t i = 0; same && i < t.n; i++)
		same = memcmp(&t.u[i], &back.u[i], sizeof(t.u[i])) == 0;
	ok(same && t.n == 500, "the same 500 users");
	users_free(&back);
	is_int(users_read(&back, span_of(text, n - 1), &line), E_PROTO,
	       "cut by a byte: refused");
	is_int(line, 500, "with the line");
	is_int(back.n, 0, "and nobody is loaded");
	text[200] = '\x01';
	is_int(users_read(&back, span_of(text, n), &line), E_PROTO,
	       "a bad byte: refused");
	free(text);
	is_int(users_read(&back, SPAN("{}\n"), &line), E_PROTO, "an empty object");
	is_int(users_read(&back, SPAN("\n"), &line), E_PROTO, "an empty line");
	is_int(users_read(&back, SPAN(""), &line), 0, "an empty file is no users");
	users_free(&back);
	users_free(&t);
	char two[1024];
	snprintf(two, sizeof(two),
		 "{\"user\":\"a\",\"hash\":\"%s\",\"totp\":\"\",\"authorised\":true,"
		 "\"changed\":1}\n"
		 "{\"user\":\"a\",\"hash\":\"%s\",\"totp\":\"\",\"authorised\":true,"
		 "\"changed\":1}\n",
		 md5, md5);
	is_int(users_read(&back, span_str(two), &line), E_PROTO, "one name twice");
}

static void
a_code_works_once_and_in_its_time(void)
{
	/* RFC 6238 appendix B: SHA-1, the last six of eight digits. */
	struct user u = { .totp = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" };

	ok(!users_totp_check(&u, "005924", 1234567890 + 90), "three steps late");
	ok(!users_totp_check(&u, "005924", 1234567890 - 90), "three steps early");
	ok(users_totp_check(&u, "005924", 1234567890), "in its step");
	ok(!users_totp_check(&u, "005924", 1234567890), "not again");
	u.totp_used = 0;
	ok(users_totp_check(&u, "005924", 1234567890 + 30), "one step late");
	ok(!users_totp_check(&u, "005924", 1234567890), "not again, even back in time");
	u.totp_used = 0;
	ok(users_totp_check(&u, "005924", 1234567890 - 30), "one step early");
	u.totp_used = 0;
	static const char *const bad[] = { "",       "5924",     "0005924",
					   "00592a", "89005924", " 05924" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!users_totp_check(&u, bad[i], 1234567890), "\"%s\"", bad[i]);
}

int
main(void)
{
	oath_init();
	make_hash(yescrypt, "$y$", 1);
	make_hash(bcrypt, "$2b$", 4);
	make_hash(sha512, "$6$", 1000);
	make_hash(md5, "$1$", 0);
	names_are_text_a_person_could_mean();
	hashes_are_whole_and_not_too_slow();
	changes_are_refused_in_one_clear_sentence();
	the_table_survives_its_file();
	a_code_works_once_and_in_its_time();
	return done_testing();
}
