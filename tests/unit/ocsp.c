/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* OCSP: addresses, HTTP answers in pieces, whose word is believed, and a responder
 * on the loop that answers, is silent, or is not there. */
#include "common/err.h"
#include "tests/lib/certs.h"
#include "tests/lib/tap.h"
#include "vpnd/auth/ocsp.h"

#include <openssl/ocsp.h>

#define EXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CA_EXTS EXTS("basicConstraints", "critical,CA:TRUE")

static struct made root, ca, twin, helper, stranger, leaf;
static uv_loop_t loop;
static char port[8];

static void
addresses(void)
{
	static const struct {
		const char *in, *host, *port, *path;
	} good[] = {
		{ "http://ocsp.example", "ocsp.example", "80", "/" },
		{ "HTTP://ocsp.example/", "ocsp.example", "80", "/" },
		{ "http://192.0.2.1:2560", "192.0.2.1", "2560", "/" },
		{ "http://[2001:db8::1]:81/a/b?c=d", "2001:db8::1", "81", "/a/b?c=d" },
		{ "http://[::1]/x#y", "::1", "80", "/x" },
	};
	static const char *const bad[] = {
		"https://ocsp.example/",
		"ldap://x/",
		"http://",
		"http:///path",
		"http://:80/",
		"http://a:/",
		"http://a:b/",
		"http://a:123456/",
		"http://user@host/",
		"http://[::1/",
		"http://a b/",
		"http://a/\r\nHost: b",
		"http://a?x",
		"http://[::1]x/",
	};
	struct ocsp_url u;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		is_int(ocsp_url_parse(good[i].in, &u), 0, "%s", good[i].in);
		is_str(u.host, good[i].host, "host");
		is_str(u.port, good[i].port, "port");
		is_str(u.path, good[i].path, "path");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(ocsp_url_parse(bad[i], &u), E_INVAL, "not %s", bad[i]);
	is_int(ocsp_url_of(leaf.x, &u), 0, "the leaf's");
	is_str(u.port, port, "is the first that speaks http");
	is_int(ocsp_url_of(root.x, &u), E_NOENT, "the root has none");
}

static int
fed(struct ocsp_reply *r, const char *text, size_t piece)
{
	size_t n = strlen(text);
	int rc = E_AGAIN;

	ocsp_reply_begin(r);
	for (size_t at = 0; at < n && rc == E_AGAIN; at += piece)
		rc = ocsp_reply_feed(
			r, span_of(text + at, n - at < piece ? n - at : piece));
	if (rc == E_AGAIN)
		rc = ocsp_reply_feed(r, (struct span){ 0 });
	return rc;
}

static void
answers_in_pieces(void)
{
	static struct ocsp_reply r;
	static const char length[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	static const char chunks[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
				     "\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
	static const char to_the_end[] = "HTTP/1.0 200 OK\r\n\r\nhello";
	static const char two[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
				  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
	const char *const good[] = { length, chunks, to_the_end, two };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		for (size_t piece = 1; piece < 90; piece += 11) {
			bool is = fed(&r, good[i], piece) == 0 && r.n == 5 &&
				  memcmp(r.body, "hello", 5) == 0;
			if (!is || piece == 1)
				ok(is, "answer %zu in pieces of %zu", i, piece);
		}
	is_int(fed(&r, "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nhello", 9), E_PROTO,
	       "404");
	is_int(fed(&r, "HTTP/1.1 302 Go\r\nLocation: http://x/\r\n\r\n", 99), E_PROTO,
	       "a redirect");
	is_int(fed(&r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 99),
	       E_PROTO, "cut");
	is_int(fed(&r, "SSH-2.0-x\r\n", 99), E_PROTO, "another protocol");
	is_int(fed(&r, "", 1), E_PROTO, "nothing");

	static char big[200000];
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "HTTP/1.0 200 OK\r\n\r\n", 19);
	is_int(fed(&r, big, 4096), E_LIMIT, "200 KB");
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "HTTP/1.0 200 OK\r\nA: ", 20);
	ok(fed(&r, big, 4096) < 0, "200 KB of header");
}

/* An answer about `m` by `by`, for whom `vouch` is sent along. Days from now. */
static uint8_t der[8192];
static struct span
answer(const struct made *m, const struct made *issuer, int status,
       const struct made *by, X509 *vouch, int from, int to)
{
	OCSP_BASICRESP *b = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), m->x, issuer->x);
	ASN1_TIME *t1 = X509_gmtime_adj(NULL, (long)from * DAY_S),
		  *t2 = to ? X509_gmtime_adj(NULL, (long)to * DAY_S) : NULL;
	unsigned char *p = der;

	must(OCSP_basic_add1_status(b, id, status, 0, t1, t1, t2) != NULL);
	must(vouch == NULL || OCSP_basic_add1_cert(b, vouch));
	must(OCSP_basic_sign(b, by->x, by->key, EVP_sha256(), NULL, OCSP_NOCERTS) ||
	     true);
	OCSP_RESPONSE *r = OCSP_response_create(0, b);
	int n = i2d_OCSP_RESPONSE(r, NULL);
	must(n > 0 && (size_t)n < sizeof(der));
	i2d_OCSP_RESPONSE(r, &p);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(b);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(t1);
	ASN1_TIME_free(t2);
	return span_of(der, (size_t)n);
}

static enum ocsp_status
judged(struct span s, unsigned *keep)
{
	const char *why = "";
	enum ocsp_status st = ocsp_judge(s, leaf.x, ca.x, keep, &why);

	diag("%s", why);
	return st;
}

static void
whose_word_counts(void)
{
	unsigned keep;

	is_int(judged(answer(&leaf, &ca, 0, &ca, NULL, 0, 9), &keep), OCSP_IS_GOOD,
	       "the issuer says good");
	is_int(keep, OCSP_KEEP_MAX_S, "kept for an hour at most");
	is_int(judged(answer(&leaf, &ca, 1, &ca, NULL, 0, 9), &keep), OCSP_IS_REVOKED,
	       "R76 revoked");
	is_int(judged(answer(&leaf, &ca, 2, &ca, NULL, 0, 9), &keep), OCSP_IS_UNKNOWN,
	       "unknown");
	is_int(judged(answer(&leaf, &ca, 0, &ca, NULL, 0, 0), &keep), OCSP_IS_GOOD,
	       "without an end");
	is_int(keep, OCSP_KEEP_MIN_S, "kept for a minute");
	is_int(judged(answer(&leaf, &ca, 0, &helper, helper.x, 0, 9), &keep),
	       OCSP_IS_GOOD, "one whom the issuer gave the job");
	is_int(judged(answer(&leaf, &ca, 0, &stranger, stranger.x, 0, 9), &keep),
	       OCSP_NO_ANSWER, "one whom the issuer gave no such job");
	is_int(judged(answer(&leaf, &ca, 0, &twin, twin.x, 0, 9), &keep),
	       OCSP_NO_ANSWER, "one of the issuer's name");
	is_int(judged(answer(&leaf, &ca, 0, &root, root.x, 0, 9), &keep),
	       OCSP_NO_ANSWER, "the issuer's issuer is not asked");
	is_int(judged(answer(&helper, &ca, 0, &ca, NULL, 0, 9), &keep), OCSP_NO_ANSWER,
	       "about another certificate");
	is_int(judged(answer(&leaf, &ca, 0, &ca, NULL, -9, -1), &keep), OCSP_NO_ANSWER,
	       "an old one");
	is_int(judged(answer(&leaf, &ca, 0, &ca, NULL, -1, 0), &keep), OCSP_NO_ANSWER,
	       "of yesterday, without an end");
	is_int(judged(answer(&leaf, &ca, 0, &ca, NULL, 1, 9), &keep), OCSP_NO_ANSWER,
	       "of the future");
	is_int(judged(SPAN("rubbish"), &keep), OCSP_NO_ANSWER, "rubbish");
	struct span s = answer(&leaf, &ca, 1, &ca, NULL, 0, 9);
	unsigned taken = 0, bent = 0;
	const char *why;
	for (size_t i = 0; i < s.n; i++) {
		taken += ocsp_judge(span_of(s.p, i), leaf.x, ca.x, &keep, &why) !=
			 OCSP_NO_ANSWER;
		der[i] ^= 0x20;
		enum ocsp_status st = ocsp_judge(s, leaf.x, ca.x, &keep, &why);
		bent += st == OCSP_IS_REVOKED;
		taken += st != OCSP_NO_ANSWER && st != OCSP_IS_REVOKED;
		der[i] ^= 0x20;
	}
	/* Some bits of the wrapping are in no signature. */
	ok(bent < 5, "bent anywhere it is the same or nothing (%u)", bent);
	is_int(taken, 0, "bent or cut anywhere it says nothing");
}

/* -- on the loop -- */

static struct responder {
	uv_tcp_t listen, conn;
	bool is_silent, has_conn;
	unsigned asked;
	uint8_t text[10000];
	size_t n;
} far;

static void
on_wrote(uv_write_t *w, int status)
{
}

static void
on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	static uv_write_t w;
	uv_buf_t out = uv_buf_init((char *)far.text, (unsigned)far.n);

	if (n > 0 && !far.is_silent)
		uv_write(&w, s, &out, 1, on_wrote);
}

static void
on_buffer(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
	static char room[4096];

	*b = uv_buf_init(room, sizeof(room));
}

static void
on_conn_closed(uv_handle_t *h)
{
	far.has_conn = false;
}

static void
on_connection(uv_stream_t *s, int status)
{
	if (far.has_conn)
		return;
	far.asked++;
	far.has_conn = true;
	uv_tcp_init(s->loop, &far.conn);
	uv_accept(s, (uv_stream_t *)&far.conn);
	uv_read_start((uv_stream_t *)&far.conn, on_buffer, on_bytes);
}

static struct {
	unsigned n;
	enum ocsp_status s;
	uint64_t id;
} told;

static void
on_told(void *arg, uint64_t id, enum ocsp_status s, const char *text)
{
	diag("%s", text);
	told.n++;
	told.s = s;
	told.id = id;
}

static void
run_until(unsigned n)
{
	uint64_t end = uv_hrtime() + 8000000000u;

	while (told.n < n && uv_hrtime() < end)
		uv_run(&loop, UV_RUN_ONCE);
}

static void
questions_on_the_loop(void)
{
	struct ocsp *o;
	uint8_t *l = NULL, *i = NULL;
	struct span s = answer(&leaf, &ca, 1, &ca, NULL, 0, 9);

	far.n = (size_t)snprintf((char *)far.text, sizeof(far.text),
				 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", s.n);
	memcpy(far.text + far.n, s.p, s.n);
	far.n += s.n;
	struct span leaf_der = { .n = (size_t)i2d_X509(leaf.x, &l) },
		    ca_der = { .n = (size_t)i2d_X509(ca.x, &i) };
	leaf_der.p = l;
	ca_der.p = i;

	is_int(ocsp_new(&o, &loop), 0, "begins");
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 7);
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 8);
	is_int(told.n, 0, "nothing is known yet");
	run_until(2);
	ok(told.n == 2 && told.s == OCSP_IS_REVOKED && told.id == 8,
	   "both are told that it is revoked");
	is_int(far.asked, 1, "by one question");
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 9);
	ok(told.n == 3 && told.s == OCSP_IS_REVOKED && told.id == 9,
	   "the next one at once");
	ok(ocsp_is_idle(o), "no question is under way");
	ocsp_check(o, ca_der, leaf_der, on_told, NULL, 10);
	ok(told.n == 4 && told.s == OCSP_NO_ANSWER, "no responder is named");
	ocsp_check(o, SPAN("x"), ca_der, on_told, NULL, 11);
	ok(told.n == 5 && told.s == OCSP_NO_ANSWER, "no certificate");
	ocsp_free(o);
	uv_close((uv_handle_t *)&far.conn, on_conn_closed);
	uv_run(&loop, UV_RUN_NOWAIT);

	far.is_silent = true;
	ocsp_new(&o, &loop);
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 12);
	uint64_t t = uv_hrtime();
	run_until(6);
	t = (uv_hrtime() - t) / 1000000;
	ok(told.n == 6 && told.s == OCSP_NO_ANSWER && t > 4000 && t < 7500,
	   "a silent one is left after 5 s (%llu ms)", (unsigned long long)t);
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 13);
	ok(told.n == 7 && told.s == OCSP_NO_ANSWER, "and not asked again at once");
	ocsp_free(o);
	uv_close((uv_handle_t *)&far.conn, on_conn_closed);
	uv_close((uv_handle_t *)&far.listen, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);

	ocsp_new(&o, &loop);
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 14);
	run_until(8);
	ok(told.n == 8 && told.s == OCSP_NO_ANSWER, "nobody is there");
	ocsp_free(o);
	ocsp_new(&o, &loop);
	ocsp_check(o, leaf_der, ca_der, on_told, NULL, 15);
	ocsp_free(o);
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(told.n, 8, "freed in the middle: nobody is told");
	is_int(uv_loop_close(&loop), 0, "and nothing is left");
	OPENSSL_free(l);
	OPENSSL_free(i);
}

static void
listen_somewhere(void)
{
	struct sockaddr_in at;
	int n = sizeof(at);

	uv_loop_init(&loop);
	uv_tcp_init(&loop, &far.listen);
	uv_ip4_addr("127.0.0.1", 0, &at);
	must(uv_tcp_bind(&far.listen, (struct sockaddr *)&at, 0) == 0 &&
	     uv_listen((uv_stream_t *)&far.listen, 8, on_connection) == 0 &&
	     uv_tcp_getsockname(&far.listen, (struct sockaddr *)&at, &n) == 0);
	snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
}

int
main(void)
{
	char aia[96];

	listen_somewhere();
	snprintf(aia, sizeof(aia),
		 "OCSP;URI:https://127.0.0.1/,OCSP;URI:http://127.0.0.1:%s/x", port);
	root = cert_make("Root", NULL, 1, -9, 99, CA_EXTS);
	ca = cert_make("CA", &root, 2, -9, 99, CA_EXTS);
	twin = cert_make("CA", &root, 2, -9, 99, CA_EXTS);
	helper = cert_make("helper", &ca, 3, -9, 99,
			   EXTS("extendedKeyUsage", "OCSPSigning"));
	stranger = cert_make("stranger", &ca, 4, -9, 99,
			     EXTS("extendedKeyUsage", "clientAuth"));
	leaf = cert_make("leaf", &ca, 5, -9, 99, EXTS("authorityInfoAccess", aia));
	addresses();
	answers_in_pieces();
	whose_word_counts();
	questions_on_the_loop();
	made_free(&root);
	made_free(&ca);
	made_free(&twin);
	made_free(&helper);
	made_free(&stranger);
	made_free(&leaf);
	return done_testing();
}
