/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/auth/codes.h"
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

static const uint8_t one[PAIRKEY] = { 1 }, two[PAIRKEY] = { 2 };
static const char secret[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

static void
make_pair_of_users(struct users *t)
{
	char why[256];
	struct ipc_user_put m = put(USER_CREATE, "bob", yescrypt);

	*t = (struct users){ 0 };
	m.mask |= USER_TOTP;
	strcpy(m.totp, secret);
	is_int(apply(t, m, why), 0, "bob has a second factor");
	is_int(apply(t, put(USER_CREATE, "eve", yescrypt), why), 0, "eve has none");
}

/* As the next process or the other node reads it. */
static struct users
again(const struct users *t, char **text)
{
	struct users back;
	unsigned line;
	char *made;
	size_t n;

	if (users_write(t, &made, &n) < 0 || (*text = strndup(made, n)) == NULL)
		exit(1);
	free(made);
	is_int(users_read(&back, span_of(*text, n), &line), 0, "is read back");
	return back;
}

static void
second_factors_are_written_sealed(void)
{
	struct users t, back;
	struct users_sealing s;
	char *text, *same;
	struct user *u;

	make_pair_of_users(&t);
	is_int(users_seal(&t, one, false, &s), 0, "seal");
	ok(s.sealed == 1 && s.unopened == 0, "a plain one becomes sealed");
	back = again(&t, &text);
	ok(strstr(text, secret) == NULL && strstr(text, "sealed:") != NULL,
	   "the text does not have it");
	u = users_find(&back, "bob");
	ok(*u->totp == '\0' && users_has_totp(u), "before it is opened it is there");
	ok(!users_has_totp(users_find(&back, "eve")), "for bob alone");
	is_int(users_seal(&back, one, false, &s), 0, "open");
	ok(s.sealed == 0 && s.unopened == 0 && strcmp(u->totp, secret) == 0,
	   "and opens");
	users_free(&back);
	back = again(&t, &same);
	is_str(same, text, "the same users are the same text");
	users_free(&back);
	free(same);

	back = again(&t, &same);
	is_int(users_seal(&back, two, false, &s), 0, "under another key");
	u = users_find(&back, "bob");
	ok(s.unopened == 1 && *u->totp == '\0' && users_has_totp(u),
	   "it does not open, and does not go away");
	ok(!users_totp_check(u, "000000", 1000000) && !users_totp_check(u, "", 1000000),
	   "no code is right then");
	users_free(&back);
	free(same);

	is_int(users_seal(&t, two, true, &s), 0, "another key while it is open");
	back = again(&t, &same);
	is_int(users_seal(&back, two, false, &s), 0, "seals it anew");
	is_int((int)s.unopened, 0, "so that it opens under that");
	users_free(&back);
	free(same);
	users_free(&t);

	char *at = strstr(text, "bob");
	memcpy(at, "rob", 3);
	unsigned line;
	is_int(users_read(&back, span_str(text), &line), 0, "moved to another name");
	is_int(users_seal(&back, one, false, &s), 0, "and opened");
	is_int((int)s.unopened, 1, "it does not open");
	users_free(&back);
	free(text);
}

static void
a_used_code_is_known_to_all(void)
{
	struct codes here = { 0 }, there = { 0 };
	struct cluster_entry e;
	struct users t;
	uint8_t buf[256];
	struct wr w = wr_open(buf, sizeof(buf));

	make_pair_of_users(&t);
	struct user *u = users_find(&t, "bob");
	is_int((int)codes_last(&here, u), 0, "none was used");
	u->totp_used = 100;
	is_int(codes_use(&here, u, 3000, &e), 0, "one is");
	is_int((int)codes_last(&here, u), 100, "known here");
	ok(e.expires_s > users_totp_end_s(100) && e.expires_s < 3000 + 600,
	   "for as long as it could be used");
	cluster_entry_encode(&w, &e);
	is_int(codes_apply(&there, wr_span(&w), 3000), 0, "told");
	is_int((int)codes_last(&there, u), 100, "known there");
	u->totp_used = 99;
	codes_use(&there, u, 3000, &e);
	is_int((int)codes_last(&there, u), 100, "an older one changes nothing");
	strcpy(u->totp, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR");
	is_int((int)codes_last(&there, u), 0, "a new secret starts anew");
	codes_free(&there);
	is_int(codes_apply(&there, wr_span(&w), e.expires_s + 60), 0, "much later");
	is_int((int)there.n, 0, "it is not kept");
	buf[1] = 0;
	w.n--;
	ok(codes_apply(&there, wr_span(&w), 3000) < 0, "what is cut off is refused");

	codes_free(&here);
	for (unsigned i = 0; i < CODES_MAX + 100; i++) {
		snprintf(u->name, sizeof(u->name), "u%u", i);
		u->totp_used = 100 + i / 64;
		codes_use(&here, u, 3000, &e);
	}
	ok(here.n == CODES_MAX && codes_last(&here, u) == u->totp_used,
	   "more than can be kept: the newest are");
	codes_free(&here);
	codes_free(&there);
	users_free(&t);
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
	second_factors_are_written_sealed();
	a_used_code_is_known_to_all();
	return done_testing();
}
