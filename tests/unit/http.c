/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* http parser, escaper, base64 and hex: what strangers' bytes meet first. */
#include "common/b64.h"
#include "common/err.h"
#include "common/http.h"
#include "common/xml.h"
#include "tests/lib/tap.h"

/* Feed in pieces of `step` bytes; returns the last code. *left: bytes the
 * parser did not want. */
static int
feed(struct http_req *r, struct span in, size_t step, size_t *left)
{
	int rc = E_AGAIN;
	while (in.n > 0 && rc == E_AGAIN) {
		size_t k = in.n < step ? in.n : step;
		struct span piece = span_of(in.p, k);
		rc = http_req_feed(r, &piece);
		in = span_of(in.p + k - piece.n, in.n - k + piece.n);
	}
	*left = in.n;
	return rc;
}

static bool
header_is(struct http_req *r, const char *name, const char *want)
{
	struct span v;
	return http_req_header(r, name, &v) && span_is(v, want);
}

static void
bad_requests_are_refused_with_the_right_status(void)
{
	static const struct {
		const char *why;
		struct span in;
		int status;
	} cases[] = {
		{ "TLS hello", SPAN("\x16\x03\x01\x02\0\1\0\1\xfc\3\3"), 400 },
		{ "junk", SPAN("asdf qwer\r\n\r\n"), 501 },
		{ "junk line", SPAN("\x01\x02\x03 / HTTP/1.1\r\n\r\n"), 400 },
		{ "NUL", SPAN("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"), 400 },
		{ "bare LF", SPAN("GET / HTTP/1.1\nA: b\n\n"), 400 },
		{ "bare CR", SPAN("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), 400 },
		{ "obs-fold", SPAN("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), 400 },
		{ "fold first", SPAN("GET / HTTP/1.1\r\n A: b\r\n\r\n"), 400 },
		{ "blank before colon", SPAN("GET / HTTP/1.1\r\nA : b\r\n\r\n"), 400 },
		{ "no colon", SPAN("GET / HTTP/1.1\r\nAbc\r\n\r\n"), 400 },
		{ "no name", SPAN("GET / HTTP/1.1\r\n: b\r\n\r\n"), 400 },
		{ "no target", SPAN("GET  HTTP/1.1\r\n\r\n"), 400 },
		{ "version junk", SPAN("GET / HTTP/2x\r\n\r\n"), 505 },
		{ "HTTP/2", SPAN("GET / HTTP/2.0\r\n\r\n"), 505 },
		{ "HTTP/0.9", SPAN("GET /\r\n\r\n"), 505 },
		{ "HTTP/2 preface", SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 501 },
		{ "unknown verb", SPAN("BREW / HTTP/1.1\r\n\r\n"), 501 },
		{ "two lengths",
		  SPAN("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: "
		       "2\r\n\r\nab"),
		  400 },
		{ "length and chunked",
		  SPAN("POST / HTTP/1.1\r\nContent-Length: 1\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		  400 },
		{ "negative length",
		  SPAN("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400 },
		{ "huge length",
		  SPAN("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n"), 413 },
		{ "overflowing length",
		  SPAN("POST / HTTP/1.1\r\nContent-Length: "
		       "99999999999999999999999\r\n\r\n"),
		  400 },
		{ "trailer",
		  SPAN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "0\r\nX: y\r\n\r\n"),
		  400 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 4096; step += 4094) {
			struct http_req *r;
			size_t left;
			http_req_new(&r);
			int rc = feed(r, cases[i].in, step, &left);
			ok(rc == E_PROTO || rc == E_LIMIT, "%s: refused", cases[i].why);
			is_int(http_req_status(r), cases[i].status, "%s: status",
			       cases[i].why);
			struct span more = SPAN("GET / HTTP/1.1\r\n\r\n");
			is_int(http_req_feed(r, &more), E_PROTO, "%s: stays refused",
			       cases[i].why);
			http_req_free(r);
		}
	}
}

static int
status_of_repeated(const char *head, const char *unit, size_t times, const char *tail,
		   size_t step)
{
	size_t cap = strlen(head) + times * strlen(unit) + strlen(tail);
	uint8_t *buf = malloc(cap);
	struct wr w = wr_open(buf, cap);
	struct http_req *r;
	size_t left;

	wr_str(&w, head);
	for (size_t i = 0; i < times; i++)
		wr_str(&w, unit);
	wr_str(&w, tail);
	http_req_new(&r);
	int rc = feed(r, wr_span(&w), step, &left);
	int status = rc == 0 ? 200 : rc == E_AGAIN ? 0 : http_req_status(r);
	http_req_free(r);
	free(buf);
	return status;
}

static void
every_size_has_a_bound(void)
{
	is_int(status_of_repeated("GET /", "a", 8000, " HTTP/1.1\r\n\r\n", 999), 200,
	       "a line of 8000 passes");
	is_int(status_of_repeated("GET /", "a", 9000, "", 999), 414,
	       "a line of 9000 is refused before it ends");
	is_int(status_of_repeated("GET / HTTP/1.1\r\n", "A: b\r\n", 64, "\r\n", 7), 200,
	       "64 headers pass");
	is_int(status_of_repeated("GET / HTTP/1.1\r\n", "A: b\r\n", 65, "\r\n", 7), 431,
	       "65 headers do not");
	is_int(status_of_repeated("GET / HTTP/1.1\r\nA: ", "x", 16000, "\r\n\r\n",
				  4096),
	       200, "16000 bytes of headers pass");
	is_int(status_of_repeated("GET / HTTP/1.1\r\nA: ", "x", 17000, "", 4096), 431,
	       "17000 do not");
	is_int(status_of_repeated("POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n",
				  "x", 65536, "", 1000),
	       200, "a body of 64 KiB passes");
	is_int(status_of_repeated(
		       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		       "4000\r\n", 0, "10001\r\n", 1000),
	       0, "a chunk header alone is not judged");
	is_int(status_of_repeated(
		       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "10001\r\n",
		       "x", 65537, "", 1000),
	       413, "chunks beyond 64 KiB are refused");
	is_int(status_of_repeated(
		       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		       "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n", 6000, "", 1000),
	       413, "so is a body that is all framing");
	is_int(status_of_repeated("", "\r\n", 9, "GET / HTTP/1.1\r\n\r\n", 1), 400,
	       "endless blank lines are refused");
}

static const char login[] = "POST /staff?x=1 HTTP/1.1\r\nHost: vpn.test.example\r\n"
			    "User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n"
			    "Cookie: webvpncontext=abc=; webvpn=TOK; webvpn=second\r\n"
			    "X-Aggregate-Auth: 1\r\nX-Empty:\r\nX-Pad:  00 \t\r\n"
			    "Content-Length: 5\r\n\r\nhello";

static void
a_login_post_reads_the_same_in_any_pieces(void)
{
	for (size_t step = 1; step <= sizeof(login); step++) {
		struct http_req *r;
		struct span v;
		size_t left;
		http_req_new(&r);
		int rc = feed(r, span_of(login, sizeof(login) - 1), step, &left);
		bool all = rc == 0 && left == 0 && http_req_verb(r) == VERB_POST &&
			   span_is(http_req_path(r), "/staff") &&
			   span_is(http_req_query(r), "x=1") &&
			   span_is(http_req_body(r), "hello") &&
			   header_is(r, "x-aggregate-auth", "1") &&
			   header_is(r, "X-Pad", "00") && header_is(r, "X-Empty", "") &&
			   http_req_headers(r) == 7 && http_req_keep_alive(r) &&
			   http_req_cookie(r, "webvpn", &v) && span_is(v, "TOK") &&
			   http_req_cookie(r, "webvpncontext", &v) &&
			   span_is(v, "abc=") && !http_req_cookie(r, "web", &v) &&
			   v.n == 0 && !http_req_header(r, "Nope", &v);
		if (!all || step == 1)
			ok(all, "step %zu (rc %d, status %d)", step, rc,
			   http_req_status(r));
		http_req_free(r);
	}
}

static void
connect_stops_after_the_blank_line(void)
{
	static const struct {
		struct span in;
		const char *path;
	} cases[] = {
		{ SPAN("CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\n"
		       "Cookie: webvpn=T\r\n\r\nSTF\1\0\0\3\0"),
		  "/CSCOSSLC/tunnel" },
		{ SPAN("CONNECT CSCOSSLC/tunnel HTTP/1.1\r\nHost: a\r\n"
		       "Cookie: webvpn=T\r\n\r\nSTF\1\0\0\3\0"),
		  "CSCOSSLC/tunnel" },
		{ SPAN("CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nContent-Length: 4\r\n"
		       "Cookie: webvpn=T\r\n\r\nSTF\1\0\0\3\0"),
		  "/CSCOSSLC/tunnel" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 2000; step += 1998) {
			struct http_req *r;
			struct span v;
			size_t left;
			http_req_new(&r);
			is_int(feed(r, cases[i].in, step, &left), 0, "%s step %zu",
			       cases[i].path, step);
			is_int(left, 8, "the frame behind it is untouched");
			is_int(http_req_verb(r), VERB_CONNECT, "verb");
			ok(span_is(http_req_path(r), cases[i].path), "path");
			ok(http_req_cookie(r, "webvpn", &v) && span_is(v, "T"),
			   "token");
			http_req_free(r);
		}
	}
}

static void
pipelined_requests_come_out_one_by_one(void)
{
	struct span in = SPAN("\r\nGET /a HTTP/1.1\r\n\r\n"
			      "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
			      "HEAD https://vpn.example/c?q HTTP/1.1\r\n\r\n"
			      "GET /d HTTP/1.0\r\n\r\n"
			      "PUT /e HTTP/1.1\r\nConnection: close\r\n\r\n");
	struct http_req *r;
	http_req_new(&r);
	ok(!http_req_begun(r), "nothing has begun");
	is_int(http_req_feed(r, &in), 0, "first");
	ok(http_req_begun(r) && span_is(http_req_path(r), "/a"), "its path");
	is_int(http_req_body(r).n, 0, "no body");
	http_req_reset(r);
	is_int(http_req_feed(r, &in), 0, "second");
	ok(span_is(http_req_path(r), "/b") && span_is(http_req_body(r), "abcde"),
	   "chunks are joined");
	http_req_reset(r);
	is_int(http_req_feed(r, &in), 0, "third");
	ok(span_is(http_req_path(r), "/c") && span_is(http_req_query(r), "q"),
	   "absolute form is reduced to its path");
	is_int(http_req_verb(r), VERB_HEAD, "HEAD");
	http_req_reset(r);
	is_int(http_req_feed(r, &in), 0, "fourth");
	ok(!http_req_keep_alive(r), "HTTP/1.0 closes");
	http_req_reset(r);
	is_int(http_req_feed(r, &in), 0, "fifth");
	ok(!http_req_keep_alive(r) && http_req_verb(r) == VERB_OTHER, "PUT, close");
	is_int(in.n, 0, "nothing left");
	http_req_free(r);
	http_req_free(NULL);
}

static void
a_response_is_one_buffer(void)
{
	char buf[512];
	struct wr w = wr_open(buf, sizeof(buf));
	http_res_begin(&w, 200, true);
	http_res_header(&w, "X-Reason", SPAN("a\r\nSet-Cookie: b"));
	http_res_end(&w, "text/xml; charset=UTF-8", SPAN("<a/>"), false);
	ok(span_is(wr_span(&w), "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n"
				"X-Reason: a  Set-Cookie: b\r\n"
				"Content-Type: text/xml; charset=UTF-8\r\n"
				"Content-Length: 4\r\n\r\n<a/>"),
	   "and no value can start a header");
	w = wr_open(buf, sizeof(buf));
	http_res_begin(&w, 404, false);
	http_res_end(&w, NULL, SPAN("gone"), true);
	ok(span_is(wr_span(&w), "HTTP/1.1 404 Not Found\r\nConnection: close\r\n"
				"Content-Length: 4\r\n\r\n"),
	   "HEAD announces the body only");
	w = wr_open(buf, 20);
	http_res_begin(&w, 200, true);
	ok(wr_full(&w), "a small buffer is noticed");
}

static const char *
escaped(void (*f)(struct wr *, struct span), struct span in)
{
	static char buf[256];
	struct wr w = wr_open(buf, sizeof(buf) - 1);
	f(&w, in);
	buf[w.n] = 0;
	return buf;
}

static void
any_bytes_become_well_formed_xml_text(void)
{
#define BAD "\xef\xbf\xbd"
	is_str(escaped(xml_text, SPAN("<a b=\"c\">&'")),
	       "&lt;a b=&quot;c&quot;&gt;&amp;&apos;", "markup");
	is_str(escaped(xml_text, SPAN("a\0\1\x1f\x7f\n\t\r")),
	       "a" BAD BAD BAD "\x7f\n\t&#13;", "controls");
	is_str(escaped(xml_attr, SPAN("a\n\tb")), "a&#10;&#9;b",
	       "breaks in attributes");
	is_str(escaped(xml_text,
		       SPAN("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")),
	       "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "UTF-8 stays");
	is_str(escaped(xml_text, SPAN("\xff"
				      "a\xc3")),
	       BAD "a" BAD, "broken UTF-8");
	is_str(escaped(xml_text, SPAN("\xc0\xaf")), BAD BAD, "overlong");
	is_str(escaped(xml_text, SPAN("\xed\xa0\x80")), BAD BAD BAD, "surrogate");
	is_str(escaped(xml_text, SPAN("\xef\xbf\xbf")), BAD, "U+FFFF");
	is_str(escaped(xml_text, SPAN("\xf4\x90\x80\x80")), BAD BAD BAD BAD, "beyond");
}

static void
base64_and_hex_go_there_and_back(void)
{
	uint8_t in[67], back[67];
	char text[140];
	bool same = true;
	for (size_t n = 0; n <= sizeof(in); n++) {
		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)(i * 37 + n * 11 + 250);
		for (int form = 0; form < 2; form++) {
			struct wr w = wr_open(text, sizeof(text));
			(form ? b64_encode : b64url_encode)(&w, span_of(in, n));
			struct wr o = wr_open(back, n);
			int rc = (form ? b64_decode : b64url_decode)(&o, wr_span(&w));
			same = same && rc == 0 && o.n == n && memcmp(in, back, n) == 0;
		}
		struct wr w = wr_open(text, sizeof(text));
		(n % 2 ? hex_encode : hex_encode_upper)(&w, span_of(in, n));
		same = same && hex_decode(back, n, wr_span(&w)) == 0 &&
		       memcmp(in, back, n) == 0;
	}
	ok(same, "all lengths");
	struct wr o = wr_open(back, sizeof(back));
	static const struct span bad[] = { SPAN("A"),    SPAN("AB="), SPAN("AA=="),
					   SPAN("A B"),  SPAN("AB"),  SPAN("A+/_"),
					   SPAN("AAAAA") };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(b64url_decode(&o, bad[i]), E_PROTO, "not base64url: %.*s",
		       (int)bad[i].n, (const char *)bad[i].p);
	is_int(b64_decode(&o, SPAN("AA=")), E_PROTO, "padding must be whole");
	is_int(b64_decode(&o, SPAN("A===")), E_PROTO, "at most two");
	o = wr_open(back, 2);
	is_int(b64_decode(&o, SPAN("AAAA")), E_LIMIT, "no room is noticed");
	is_int(hex_decode(back, 1, SPAN("0g")), E_PROTO, "g is no digit");
	is_int(hex_decode(back, 1, SPAN("012")), E_PROTO, "length must fit");
	is_int(hex_decode(back, 1, SPAN("@0")), E_PROTO, "@ is not a backtick's twin");
}

int
main(void)
{
	bad_requests_are_refused_with_the_right_status();
	every_size_has_a_bound();
	a_login_post_reads_the_same_in_any_pieces();
	connect_stops_after_the_blank_line();
	pipelined_requests_come_out_one_by_one();
	a_response_is_one_buffer();
	any_bytes_become_well_formed_xml_text();
	base64_and_hex_go_there_and_back();
	return done_testing();
}
