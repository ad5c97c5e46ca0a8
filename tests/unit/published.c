/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The memory of what was published, and what a dyndns2 provider says. */
#include "ddns/dyndns2.h"

#include "common/err.h"
#include "ddns/record.h"
#include "tests/lib/tap.h"

static struct record
record(const char *name, const char *address)
{
	struct record r = { .ttl_s = 60 };

	r.account.provider = DDNS_RFC2136;
	r.account.port = 53;
	snprintf(r.account.server, sizeof(r.account.server), "ns.example");
	snprintf(r.account.zone, sizeof(r.account.zone), "example");
	snprintf(r.account.key_name, sizeof(r.account.key_name), "k");
	snprintf(r.account.secret, sizeof(r.account.secret), "s");
	snprintf(r.name, sizeof(r.name), "%s", name);
	(void)ip_parse(address, &r.address);
	return r;
}

static void
the_memory_survives_its_text(void)
{
	struct published p = { .n = 0 }, q = { .n = 0 };
	struct record a = record("a.example", "192.0.2.1"),
		      b = record("a.example", "2001:db8::1"),
		      c = record("A.Example", "192.0.2.2");

	published_add(&p, &a);
	published_add(&p, &b);
	is_int(p.n, 2, "a family each");
	published_add(&p, &c);
	is_int(p.n, 2, "the same name again replaces");
	ok(published_find(&p, &a)->address.b[3] == 2, "with the new address");
	char *text = published_text(&p);
	is_int(published_parse(&q, text, strlen(text)), 0, "read back");
	ok(q.n == 2 && memcmp(&p.at[1], &q.at[1], sizeof(p.at[1])) == 0 &&
		   record_same(&p.at[0], &q.at[0]) && q.at[0].account.port == 53,
	   "the same");
	for (size_t i = 0; i < strlen(text); i++)
		if (published_parse(&q, text, i) == 0 || q.n != 0)
			ok(false, "cut at %zu", i);
	free(text);
	published_drop(&p, &a);
	is_int(p.n, 1, "one dropped");
	published_drop(&p, &a);
	is_int(p.n, 1, "once");
	for (int i = 0; i < 2 * RECORDS_MAX; i++) {
		char name[32];
		snprintf(name, sizeof(name), "n%d.example", i);
		struct record r = record(name, "192.0.2.1");
		published_add(&p, &r);
	}
	is_int(p.n, RECORDS_MAX, "it is bounded");
	struct record last = record("n15.example", "192.0.2.1");
	ok(published_find(&p, &last) != NULL, "the newest are kept");
}

static void
nonsense_is_no_memory(void)
{
	static const char *const cases[] = {
		"",
		"{}",
		"[]",
		"{\"records\":{}}",
		"{\"records\":[{}]}",
		"{\"records\":[1]}",
		"{\"records\":[{\"name\":\"a\",\"address\":\"x\",\"ttl\":1,"
		"\"provider\":"
		"\"rfc2136\",\"server\":\"s\",\"port\":53,\"zone\":\"z\",\"key_name\":"
		"\"k\","
		"\"key_algorithm\":\"hmac-sha256\",\"secret\":\"s\",\"user\":\"\","
		"\"url\":"
		"\"\",\"ca_file\":\"\"}]}",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct published p = { .n = 3 };
		is_int(published_parse(&p, cases[i], strlen(cases[i])), E_INVAL,
		       "refused: %.20s", cases[i]);
		is_int(p.n, 0, "and nothing is left");
	}
}

static void
a_record_is_another_when_its_place_is(void)
{
	struct record a = record("a.example", "192.0.2.1"), b = a;

	snprintf(b.account.key_name, sizeof(b.account.key_name), "other");
	b.account.port = 54;
	ok(record_same(&a, &b), "another key or port is the same record");
	snprintf(b.account.server, sizeof(b.account.server), "ns2.example");
	ok(!record_same(&a, &b), "another server is not");
	b = a;
	snprintf(b.account.zone, sizeof(b.account.zone), "other");
	ok(!record_same(&a, &b), "nor another zone");
	b = a;
	b.account.provider = DDNS_DYNDNS2;
	ok(!record_same(&a, &b), "nor another provider");
}

static void
every_word_of_a_provider_is_obeyed(void)
{
	static const struct {
		long status;
		const char *body;
		enum verdict_kind kind;
		unsigned wait_s;
		bool is_unchanged;
	} cases[] = {
		{ 200, "good 192.0.2.1", VERDICT_GOOD, 0, false },
		{ 200, "  good\r\n", VERDICT_GOOD, 0, false },
		{ 200, "nochg 192.0.2.1\n", VERDICT_GOOD, 0, true },
		{ 200, "badauth", VERDICT_STOP, 0, false },
		{ 401, "badauth", VERDICT_STOP, 0, false },
		{ 401, "<html>", VERDICT_STOP, 0, false },
		{ 403, "", VERDICT_STOP, 0, false },
		{ 200, "nohost", VERDICT_STOP, 0, false },
		{ 200, "notfqdn", VERDICT_STOP, 0, false },
		{ 200, "!yours", VERDICT_STOP, 0, false },
		{ 200, "abuse", VERDICT_STOP, 0, false },
		{ 200, "911", VERDICT_SLOW, 1800, false },
		{ 200, "dnserr", VERDICT_SLOW, 1800, false },
		{ 429, "slow down", VERDICT_SLOW, 1800, false },
		{ 500, "good", VERDICT_RETRY, 0, false },
		{ 503, "", VERDICT_RETRY, 0, false },
		{ 302, "", VERDICT_STOP, 0, false },
		{ 404, "nothing", VERDICT_STOP, 0, false },
		{ 200, "", VERDICT_STOP, 0, false },
		{ 200, "goodness", VERDICT_STOP, 0, false },
		{ 200, "GOOD", VERDICT_STOP, 0, false },
	};
	struct record r = record("a.example", "192.0.2.1");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct verdict v;
		dyndns2_judge(&r, cases[i].status, span_str(cases[i].body), &v);
		ok(v.kind == cases[i].kind && v.wait_s == cases[i].wait_s &&
			   v.is_unchanged == cases[i].is_unchanged,
		   "HTTP %ld \"%s\"", cases[i].status, cases[i].body);
		ok((v.text[0] == '\0') == (v.kind == VERDICT_GOOD), "says why: %s",
		   v.text);
	}
	struct verdict v;
	dyndns2_judge(&r, 200, SPAN("\x1b[2J\x07"), &v);
	ok(strpbrk(v.text, "\x1b\x07") == NULL, "control characters stay out of logs");
}

static void
the_question_is_a_url(void)
{
	struct record r = record("a.example", "2001:db8::1");
	char url[200];

	snprintf(r.account.url, sizeof(r.account.url), "https://p.example/nic/update");
	ok(dyndns2_url(&r, url, sizeof(url)), "fits");
	is_str(url, "https://p.example/nic/update?hostname=a.example&myip=2001:db8::1",
	       "as the protocol says");
	snprintf(r.account.url, sizeof(r.account.url), "https://p.example/?token=1");
	ok(dyndns2_url(&r, url, sizeof(url)) &&
		   strstr(url, "token=1&hostname=") != NULL,
	   "after a query that is there");
	ok(!dyndns2_url(&r, url, 20), "too long is not cut");
}

int
main(void)
{
	the_memory_survives_its_text();
	nonsense_is_no_memory();
	a_record_is_another_when_its_place_is();
	every_word_of_a_provider_is_obeyed();
	the_question_is_a_url();
	return done_testing();
}
