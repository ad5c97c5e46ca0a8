/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/answers.h"
#include "acme/challenge.h"
#include "acme/http01.h"
#include "acme/live.h"
#include "acme/renew.h"
#include "common/err.h"
#include "tests/lib/tap.h"

#define URLS                                                                           \
	"\"newNonce\":\"https://ca.test/n\",\"newAccount\":\"https://ca.test/a\","     \
	"\"newOrder\":\"https://ca.test/o\",\"revokeCert\":\"https://ca.test/r\""

static void
a_directory_needs_its_urls(void)
{
	static const struct {
		const char *why, *text;
		int want;
	} cases[] = {
		{ "nothing", "", E_PROTO },
		{ "no object", "[1]", E_PROTO },
		{ "cut", "{" URLS, E_PROTO },
		{ "one URL missing", "{" URLS "}", E_PROTO },
		{ "http", "{" URLS ",\"keyChange\":\"http://ca.test/k\"}", E_PROTO },
		{ "a number", "{" URLS ",\"keyChange\":7}", E_PROTO },
		{ "user and password",
		  "{" URLS ",\"keyChange\":\"https://u:p@ca.test/k\"}", E_PROTO },
		{ "a blank", "{" URLS ",\"keyChange\":\"https://ca.test/a b\"}",
		  E_PROTO },
		{ "no host", "{" URLS ",\"keyChange\":\"https:///k\"}", E_PROTO },
		{ "twice", "{" URLS ",\"newNonce\":\"https://ca.test/x\"}", E_PROTO },
		{ "renewalInfo that is no URL",
		  "{" URLS ",\"keyChange\":\"https://ca.test/k\",\"renewalInfo\":1}",
		  E_PROTO },
		{ "all", "{" URLS ",\"keyChange\":\"https://ca.test/k\"}", 0 },
	};
	struct answer_directory d;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(answer_directory(&d, span_str(cases[i].text)), cases[i].want,
		       "directory: %s", cases[i].why);
	is_int(answer_directory(&d,
				SPAN("{" URLS ",\"keyChange\":\"https://ca.test/k\","
				     "\"meta\":{\"termsOfService\":\"data:x\\ny\","
				     "\"externalAccountRequired\":true}}")),
	       0, "with meta");
	ok(d.wants_eab && d.renewal[0] == '\0', "a binding is wanted");
	is_str(d.terms, "data:x y", "terms, without control characters");
}

#define FIN ",\"finalize\":\"https://ca.test/f\""

static void
an_order_is_read_or_refused(void)
{
	static const struct {
		const char *why, *text;
		int want;
	} cases[] = {
		{ "no finalize", "{\"status\":\"ready\"}", E_PROTO },
		{ "unknown status", "{\"status\":\"dancing\"" FIN "}", E_PROTO },
		{ "pending with nothing to prove",
		  "{\"status\":\"pending\",\"authorizations\":[]" FIN "}", E_PROTO },
		{ "valid without a certificate", "{\"status\":\"valid\"" FIN "}",
		  E_PROTO },
		{ "authorizations that are no URLs",
		  "{\"status\":\"pending\",\"authorizations\":[1]" FIN "}", E_PROTO },
		{ "too many",
		  "{\"status\":\"pending\",\"authorizations\":[\"https://a/\","
		  "\"https://a/\",\"https://a/\",\"https://a/\",\"https://a/\","
		  "\"https://a/\",\"https://a/\",\"https://a/\",\"https://a/\"]" FIN
		  "}",
		  E_PROTO },
		{ "ready", "{\"status\":\"ready\"" FIN "}", 0 },
		{ "valid",
		  "{\"status\":\"valid\",\"certificate\":\"https://ca.test/c\"" FIN "}",
		  0 },
	};
	struct answer_order o;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(answer_order(&o, span_str(cases[i].text)), cases[i].want,
		       "order: %s", cases[i].why);
	is_int(answer_order(
		       &o,
		       SPAN("{\"status\":\"invalid\"" FIN ",\"error\":{\"type\":"
			    "\"urn:ietf:params:acme:error:caa\",\"detail\":\"some\","
			    "\"subproblems\":[{\"detail\":\"CAA forbids\","
			    "\"identifier\":{\"value\":\"vpn.test\"}}]}}")),
	       0, "invalid");
	is_str(o.problem.type, "caa", "its type");
	is_str(o.problem.detail, "vpn.test: CAA forbids", "and the name it is about");
}

static void
an_authorization_is_read_or_refused(void)
{
	static const char good[] =
		"{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":"
		"\"vpn.test\"},\"challenges\":[{\"type\":\"new-99\"},{\"type\":"
		"\"http-01\",\"url\":\"https://ca.test/1\",\"token\":\"a-_9\"},"
		"{\"type\":\"dns-01\",\"url\":\"https://ca.test/2\",\"token\":\"b\"}]}";
	static const char bad_token[] =
		"{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":"
		"\"vpn.test\"},\"challenges\":[{\"type\":\"http-01\",\"url\":"
		"\"https://ca.test/1\",\"token\":\"../x\"}]}";
	struct answer_authorization a;

	is_int(answer_authorization(&a, span_str(good)), 0, "an authorization");
	ok(a.n == 2 && a.challenges[0].type == TYPE_HTTP &&
		   a.challenges[1].type == TYPE_DNS,
	   "unknown challenges are passed over");
	is_int(answer_authorization(&a, span_str(bad_token)), E_PROTO,
	       "a token is not a path");
	is_int(answer_authorization(&a, SPAN("{\"status\":\"valid\",\"identifier\":"
					     "{\"type\":\"ip\",\"value\":\"::\"}}")),
	       E_PROTO, "of an address: we asked for none");
	is_int(answer_authorization(&a, SPAN("{}")), E_PROTO, "of nothing");
}

static void
windows_and_links(void)
{
	struct answer_window w;
	char url[ANSWER_URL];

#define WINDOW(a, b) "{\"suggestedWindow\":{\"start\":\"" a "\",\"end\":\"" b "\"}}"
	is_int(answer_window(&w, SPAN(WINDOW("2026-01-01T00:00:00Z",
					     "2026-01-02T01:00:00.5+01:00"))),
	       0, "a window");
	ok(w.start == 1767225600 && w.end == 1767225600 + 86400, "in seconds");
	is_int(answer_window(&w, SPAN(WINDOW("2026-01-02T00:00:00Z",
					     "2026-01-01T00:00:00Z"))),
	       E_PROTO, "backwards");
	is_int(answer_window(&w, SPAN(WINDOW("2026-13-02T00:00:00Z",
					     "2027-01-01T00:00:00Z"))),
	       E_PROTO, "month 13");
	is_int(answer_window(&w, SPAN(WINDOW("now", "later"))), E_PROTO, "words");
	is_int(answer_window(&w, SPAN("{}")), E_PROTO, "none");
	ok(answer_link(SPAN("<https://ca.test/c/1>;rel=\"alternate\""), "alternate",
		       url),
	   "a link");
	is_str(url, "https://ca.test/c/1", "its URL");
	ok(!answer_link(SPAN("<https://ca.test/dir>;rel=\"index\""), "alternate", url),
	   "another relation");
	ok(!answer_link(SPAN("<http://ca.test/c/1>;rel=\"alternate\""), "alternate",
			url),
	   "not https");
	ok(!answer_link(SPAN("nonsense"), "alternate", url), "no link");
}

static void
headers_keep_what_matters(void)
{
	struct client_answer a = { .rc = 0 };

	client_take_header(&a, SPAN("HTTP/1.1 100 Continue\r\n"));
	client_take_header(&a, SPAN("replay-nonce: abc_-9\r\n"));
	is_str(a.nonce, "abc_-9", "a nonce, whatever the case of its name");
	client_take_header(&a, SPAN("Replay-Nonce: bad nonce!\r\n"));
	is_str(a.nonce, "abc_-9", "one with other characters is ignored (6.5.1)");
	client_take_header(&a, SPAN("Location: https://ca.test/order/1\r\n"));
	is_str(a.location, "https://ca.test/order/1", "a location");
	client_take_header(&a, SPAN("Location: http://evil.test/\r\n"));
	is_str(a.location, "https://ca.test/order/1", "not one without https");
	for (int i = 0; i < 9; i++)
		client_take_header(
			&a, SPAN("Link: <https://ca.test/c/1>;rel=\"alternate\"\r\n"));
	is_int(a.n_alternates, CLIENT_ALTERNATES, "so many other chains and no more");
	client_take_header(&a, SPAN("HTTP/1.1 200 OK\r\n"));
	ok(a.nonce[0] == '\0' && a.n_alternates == 0, "a second head begins anew");
}

static void
renewal_comes_before_two_thirds(void)
{
	is_int(renew_at(0, 90 * 86400, 0), 60 * 86400,
	       "R42 without jitter: two thirds");
	for (uint32_t r = 0; r < 100; r++) {
		int64_t at = renew_at(1000, 1000 + 86400, r * 0x02345671u);
		ok(at <= 1000 + 57600 && at >= 1000 + 57600 - 4321,
		   "never later, little earlier (%u)", r);
	}
	is_int(renew_at(10, 10, 7), 10, "a certificate without a life");
	is_int(renew_in_window(100, 200, 0, 0), 100, "the window's begin");
	is_int(renew_in_window(100, 200, 0, 100), 200, "its end");
	is_int(renew_in_window(100, 200, 500, 3), 500, "one that is over means now");
	is_int(renew_ask_again_s(0), 6L * 3600, "asked again after six hours");
	is_int(renew_ask_again_s(5), 60, "not by the second");
	is_int(renew_ask_again_s(1u << 30), 86400, "nor next year");
	is_int(renew_rest_s(90 * 86400), 90 * 86400 / 50, "a new one has rest");
	is_int(renew_rest_s(-3), 5, "at least a little");
}

static void
waits_grow_and_end_somewhere(void)
{
	static const struct {
		enum renew_failure kind;
		unsigned n;
		uint64_t asked, want;
	} cases[] = {
		{ RENEW_UNREACHED, 1, 0, 5 },
		{ RENEW_UNREACHED, 2, 0, 10 },
		{ RENEW_UNREACHED, 9, 0, 1280 },
		{ RENEW_UNREACHED, 99, 0, 3600 },
		{ RENEW_REFUSED, 1, 0, 60 },
		{ RENEW_REFUSED, 3, 0, 240 },
		{ RENEW_REFUSED, 4000, 0, 21600 },
		{ RENEW_REFUSED, 1, 7200, 7200 },
		{ RENEW_REFUSED, 1, UINT64_MAX, 86400 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(renew_backoff_s(cases[i].kind, cases[i].n, cases[i].asked, 0),
		       cases[i].want, "wait %zu", i);
	ok(renew_backoff_s(RENEW_REFUSED, 1, 0, 6) == 66, "with up to a tenth more");
	is_int(renew_poll_ms(1, 0), 200, "the first poll");
	is_int(renew_poll_ms(3, 0), 800, "doubles");
	is_int(renew_poll_ms(50, 0), 5000, "up to 5 s");
	is_int(renew_poll_ms(1, 3), 3000, "as asked");
	is_int(renew_poll_ms(1, 1u << 30), 60000, "within reason");
}

static void
days_are_told_once_each(void)
{
	is_int(live_days_passed(31 * 86400), 0, "31 days are enough");
	is_int(live_days_passed(30 * 86400), 30, "R62 30");
	is_int(live_days_passed(14 * 86400 + 1), 30, "15");
	is_int(live_days_passed(14 * 86400), 14, "14");
	is_int(live_days_passed(6 * 86400), 7, "6");
	is_int(live_days_passed(3 * 86400), 3, "3");
	is_int(live_days_passed(0), 1, "none");
	is_int(live_days_passed(-999999), 1, "over");
}

static void
names_and_paths_from_others(void)
{
	char out[300];
	struct span t;

	ok(challenge_file("VPN.example", out, sizeof(out)), "a name");
	is_str(out, "alpn-vpn.example.pem", "its file");
	ok(!challenge_file("../x", out, sizeof(out)), "no path");
	ok(!challenge_file("a/b", out, sizeof(out)), "no slash");
	ok(!challenge_file("", out, sizeof(out)), "not nothing");
	ok(!challenge_file(".x", out, sizeof(out)), "no dot in front");
	ok(http01_token(SPAN("/.well-known/acme-challenge/abc"), &t) &&
		   span_is(t, "abc"),
	   "a token");
	ok(!http01_token(SPAN("/.well-known/acme-challenge/"), &t), "without one");
	ok(!http01_token(SPAN("/x/.well-known/acme-challenge/a"), &t), "elsewhere");
	/* RFC 8555 8.4 with the SHA-256 of "test" */
	is_int(challenge_txt("test", out), 0, "a record");
	is_str(out, "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "its value");
}

int
main(void)
{
	a_directory_needs_its_urls();
	an_order_is_read_or_refused();
	an_authorization_is_read_or_refused();
	windows_and_links();
	headers_keep_what_matters();
	renewal_comes_before_two_thirds();
	waits_grow_and_end_somewhere();
	days_are_told_once_each();
	names_and_paths_from_others();
	return done_testing();
}
