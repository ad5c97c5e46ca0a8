/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The path table: what a stranger, a browser and each client get. */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/worker/routes.h"

static char out[4096];

static struct route_match
find(const char *line, const char *headers)
{
	static char buf[2048];
	struct http_req *r;
	struct wr w = wr_open(buf, sizeof(buf));
	struct route_match m = { .status = -1 };

	wr_fmt(&w, "%s HTTP/1.1\r\nHost: vpn\r\n%s\r\n", line, headers);
	struct span in = wr_span(&w);
	http_req_new(&r);
	if (http_req_feed(r, &in) == 0)
		m = routes_find(r);
	http_req_free(r);
	memset(out, 0, sizeof(out));
	w = wr_open(out, sizeof(out) - 1);
	if (m.body)
		routes_write_static(&w, &m, true);
	return m;
}

static void
every_path_has_its_route(void)
{
#define VPN "X-Transcend-Version: 1\r\n"
#define OC "User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n"
#define LEN "Content-Length: 0\r\n"
	static const struct {
		const char *line, *headers;
		enum route route;
		int status;
	} cases[] = {
		{ "GET /../../etc/passwd", "", ROUTE_STATIC, 404 },
		{ "GET /CACHE/stc/1/index.html", VPN, ROUTE_STATIC, 404 },
		{ "GET /+CSCOE+/logon.html", VPN, ROUTE_STATIC, 404 },
		{ "GET /favicon.ico", VPN, ROUTE_STATIC, 404 },
		{ "GET /staff", "", ROUTE_STATIC, 404 },
		{ "GET /profiles/other.xml", VPN, ROUTE_STATIC, 404 },
		{ "GET /1/", "", ROUTE_STATIC, 404 },
		{ "PUT /", "", ROUTE_STATIC, 405 },
		{ "DELETE /logout", "", ROUTE_STATIC, 405 },
		{ "OPTIONS *", "", ROUTE_STATIC, 405 },
		{ "TRACE /", "", ROUTE_STATIC, 405 },
		{ "CONNECT example.com:443", "", ROUTE_STATIC, 404 },
		{ "CONNECT /CSCOSSLC/tunnel", "", ROUTE_TUNNEL, 0 },
		{ "CONNECT CSCOSSLC/tunnel", "", ROUTE_TUNNEL, 0 },
		{ "POST /", LEN, ROUTE_AUTH, 0 },
		{ "POST /staff", LEN, ROUTE_AUTH, 0 },
		{ "POST /+webvpn+/index.html", LEN, ROUTE_AUTH, 0 },
		{ "POST /a/b/c", LEN, ROUTE_AUTH, 0 },
		{ "GET /", "", ROUTE_STATIC, 200 },
		{ "GET /?x", "Connection: close\r\n", ROUTE_STATIC, 200 },
		{ "HEAD /", "", ROUTE_STATIC, 200 },
		{ "HEAD /", VPN, ROUTE_STATIC, 200 },
		{ "HEAD /logout", "", ROUTE_STATIC, 200 },
		{ "HEAD /x", "", ROUTE_STATIC, 404 },
		{ "GET /", VPN, ROUTE_LEGACY_FORM, 0 },
		{ "GET /", OC LEN, ROUTE_LEGACY_FORM, 0 },
		{ "GET /staff", VPN, ROUTE_LEGACY_FORM, 0 },
		{ "GET /profiles/vpn.xml", "", ROUTE_PROFILE, 404 },
		{ "GET /profiles%2Fvpn.xml", OC, ROUTE_PROFILE, 404 },
		{ "GET /profiles%2fvpn.xml", OC, ROUTE_PROFILE, 404 },
		{ "GET /logout", "", ROUTE_LOGOUT, 200 },
		{ "GET /+webvpn+/webvpn_logout.html", "", ROUTE_LOGOUT, 200 },
		{ "GET /1/Windows_ARM64", VPN, ROUTE_STATIC, 200 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_match m = find(cases[i].line, cases[i].headers);
		is_int(m.route, cases[i].route, "%s", cases[i].line);
		is_int(m.status, cases[i].status, "its status");
		ok(m.body == NULL || (!strstr(out, "Set-Cookie") &&
				      !strstr(out, "Location") && !strstr(out, "href")),
		   "no cookie, redirect or link");
	}
}

static void
the_downloader_is_kept_quiet(void)
{
	static const struct {
		const char *line, *body;
	} cases[] = {
		{ "GET /1/binaries/update.txt", "0,0,0000\n" },
		{ "GET /1/VPNManifest.xml",
		  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vpn "
		  "rev=\"1.0\"></vpn>\n" },
		{ "GET /+CSCOT+/translation-table?textdomain=AnyConnect",
		  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vpn "
		  "rev=\"1.0\"></vpn>\n" },
		{ "GET /1/binaries/vpndownloader.sh", "#!/bin/sh\nexit 0\n" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		find(cases[i].line, VPN);
		char *body = strstr(out, "\r\n\r\n");
		ok(memcmp(out, "HTTP/1.1 200 ", 13) == 0, "%s: 200", cases[i].line);
		is_str(body ? body + 4 : NULL, cases[i].body, "its body");
	}
	find("HEAD /1/binaries/update.txt", VPN);
	ok(strstr(out, "Content-Length: 9\r\n\r\n") && !strstr(out, "0,0,0000"),
	   "HEAD has the length and no body");
	find("PATCH /", "");
	ok(strstr(out, "Allow: GET, HEAD, POST, CONNECT\r\n"),
	   "405 says what is allowed");
}

int
main(void)
{
	every_path_has_its_route();
	the_downloader_is_kept_quiet();
	return done_testing();
}
