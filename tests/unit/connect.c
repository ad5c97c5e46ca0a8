/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* CONNECT: headers as clients send them, the answer as they insist on it. */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/worker/connect.h"

#include <arpa/inet.h>

#define HEX48                                                                          \
	"A80666B1000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"     \
	"202122232425262728292a2b"

/* Parse a CONNECT with these header lines; the request outlives the result. */
static struct http_req *req;

static int
parse(struct connect_req *c, const char *headers)
{
	static char buf[8192];
	struct wr w = wr_open(buf, sizeof(buf));
	http_req_free(req);
	http_req_new(&req);
	wr_fmt(&w, "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\n%s\r\nSTF",
	       headers);
	struct span in = wr_span(&w);
	if (http_req_feed(req, &in) != 0 || in.n != 3)
		return -1;
	return connect_req_parse(c, req);
}

static void
no_token_means_401(void)
{
	static const char *const cases[] = {
		"",
		"Cookie: webvpncontext=abc\r\n",
		"Cookie: webvpn=\r\n",
		"Cookie: webvpn=a b\r\n",
		"Cookie: webvpn=a%20\r\n",
		"Cookie: WEBVPN=abc\r\n",
		"X-Cookie: webvpn=abc\r\n",
	};
	struct connect_req c;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(parse(&c, cases[i]), E_AUTH, "\"%.30s\"", cases[i]);
	char line[1200];
	for (size_t n = 1024; n <= 1025; n++) {
		snprintf(line, sizeof(line), "Cookie: webvpn=%0*d\r\n", (int)n, 0);
		is_int(parse(&c, line), n == 1024 ? 0 : E_AUTH, "a token of %zu", n);
	}
}

static void
odd_values_count_as_absent(void)
{
	struct connect_req c;
	is_int(parse(&c, "Cookie: webvpn=T\r\nX-CSTP-Hostname: lap$(rm)top\r\n"
			 "X-CSTP-Base-MTU: 99999\r\nX-CSTP-MTU: -1\r\n"
			 "X-CSTP-Address-Type: IPv5\r\nX-CSTP-Address: 10.0.0\r\n"
			 "X-DTLS-Master-Secret: A806\r\n"
			 "X-DTLS12-CipherSuite: AES256-GCM-SHA384\r\n"
			 "X-CSTP-Full-IPv6-Capability: 1\r\n"),
	       0, "parses");
	is_str(c.hostname, "", "host name");
	ok(c.base_mtu == 0 && c.mtu == 0, "MTUs");
	ok(!c.wants_v4 && !c.wants_v6 && !c.full_ipv6, "families");
	ok(!c.is_reconnect && !c.has_master, "address, secret");
	is_int(c.cipher, CIPHER_NONE, "no secret, no cipher");
	is_int(parse(&c, "Cookie: webvpn=T\r\nX-CSTP-Hostname: -x\r\n"), 0, "parses");
	is_str(c.hostname, "", "no leading dash");
	ok(c.wants_v4 && !c.wants_v6, "no address type: IPv4");
}

static const char oc_reconnect[] =
	"User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n"
	"Cookie: a=b; webvpn=TOK-en_\r\nX-CSTP-Version: 1\r\nX-CSTP-Hostname: "
	"laptop\r\n"
	"X-AnyConnect-STRAP-Verify: MEUCIF\r\nX-CSTP-Accept-Encoding: oc-lz4,lzs\r\n"
	"X-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1390\r\n"
	"X-CSTP-Address-Type: IPv6,IPv4\r\nX-CSTP-Address: 10.77.0.50\r\n"
	"X-CSTP-Address: fd77::5\r\nX-CSTP-Full-IPv6-Capability: true\r\n"
	"X-DTLS-Master-Secret: " HEX48 "\r\n"
	"X-DTLS-CipherSuite: PSK-NEGOTIATE:OC-DTLS1_2-AES256-GCM:"
	"OC2-DTLS1_2-CHACHA20-POLY1305:OC-DTLS1_2-AES128-GCM:DHE-RSA-AES256-SHA:"
	"AES128-SHA\r\n"
	"X-DTLS12-CipherSuite: ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"
	"AES256-GCM-SHA384:AES128-GCM-SHA256:AES128-SHA\r\n";

static void
openconnects_reconnect_is_understood(void)
{
	struct connect_req c;
	is_int(parse(&c, oc_reconnect), 0, "parses");
	ok(span_is(c.token, "TOK-en_"), "token");
	is_str(c.hostname, "laptop", "host name");
	is_str(c.user_agent, "Open AnyConnect VPN Agent v9.01-3", "agent");
	ok(c.base_mtu == 1500 && c.mtu == 1390, "MTUs");
	ok(c.wants_v4 && c.wants_v6 && c.full_ipv6, "families");
	ok(c.is_reconnect && c.has_prev4 && c.has_prev6 &&
		   c.prev4.s_addr == inet_addr("10.77.0.50"),
	   "previous addresses");
	ok(c.has_master && c.master[0] == 0xa8 && c.master[47] == 0x2b,
	   "master secret");
	is_int(c.cipher, CIPHER_AES256_GCM, "cipher");
	ok(!c.is_anyconnect && !c.is_mobile, "not Cisco's");
	connect_req_wipe(&c);
	ok(c.master[0] == 0 && !c.has_master, "wiped");
	ok(connect_is_tunnel(SPAN("/CSCOSSLC/tunnel")) &&
		   connect_is_tunnel(SPAN("CSCOSSLC/tunnel")) &&
		   !connect_is_tunnel(SPAN("//CSCOSSLC/tunnel")) &&
		   !connect_is_tunnel(SPAN("")),
	   "slash or none");
}

static void
the_cipher_is_our_first_among_the_offers(void)
{
#define MS "Cookie: webvpn=T\r\nX-DTLS-Master-Secret: " HEX48 "\r\n"
	static const struct {
		const char *headers;
		enum connect_cipher want;
	} cases[] = {
		{ MS, CIPHER_NONE },
		{ MS "X-DTLS12-CipherSuite: AES128-GCM-SHA256:AES256-GCM-SHA384\r\n",
		  CIPHER_AES256_GCM },
		{ MS "X-DTLS12-CipherSuite: AES128-GCM-SHA256\r\n"
		     "X-DTLS-CipherSuite: OC-DTLS1_2-AES256-GCM\r\n",
		  CIPHER_OC_AES256_GCM },
		{ MS "X-DTLS-CipherSuite: PSK-NEGOTIATE:OC-DTLS1_2-AES128-GCM\r\n",
		  CIPHER_OC_AES128_GCM },
		{ MS "X-DTLS-CipherSuite: AES256-SHA:PSK-NEGOTIATE\r\n", CIPHER_PSK },
		{ "Cookie: webvpn=T\r\nX-DTLS12-CipherSuite: AES256-GCM-SHA384\r\n"
		  "X-DTLS-CipherSuite: PSK-NEGOTIATE\r\n",
		  CIPHER_PSK },
		{ MS "X-DTLS-CipherSuite: AES256-GCM-SHA384\r\n", CIPHER_NONE },
		{ MS
		  "X-DTLS12-CipherSuite: XAES256-GCM-SHA384:AES256-GCM-SHA3849::\r\n",
		  CIPHER_NONE },
		{ MS "User-Agent: AnyConnect Windows 4.10\r\nX-DTLS12-CipherSuite: "
		     "AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384\r\n",
		  CIPHER_ECDHE_AES256_GCM },
		{ MS "X-DTLS12-CipherSuite: ECDHE-RSA-AES128-GCM-SHA256\r\n",
		  CIPHER_ECDHE_AES128_GCM },
	};
	struct connect_req c;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(parse(&c, cases[i].headers), 0, "case %zu parses", i);
		is_int(c.cipher, cases[i].want, "case %zu: cipher", i);
	}
	ok(connect_cipher_info(CIPHER_NONE) == NULL, "none has no name");
	is_int(connect_cipher_info(CIPHER_OC_AES256_GCM)->suite, 0x009d,
	       "suite number");
}

static void
mobile_clients_say_so(void)
{
	struct connect_req c;
	parse(&c, "Cookie: webvpn=T\r\nX-CSTP-License: mobile\r\n");
	ok(c.is_mobile && c.platform == PLATFORM_UNKNOWN, "by licence");
	parse(&c,
	      "Cookie: webvpn=T\r\nX-AnyConnect-Identifier-Platform: apple-ios\r\n");
	ok(c.is_mobile && c.platform == PLATFORM_IOS, "by platform");
}

static void
the_mtu_fits_the_path(void)
{
	static const struct {
		unsigned base;
		bool outer6;
		unsigned cap;
		bool inner6;
		unsigned want;
	} cases[] = {
		{ 1500, false, 0, false, 1434 },    { 1500, true, 0, false, 1414 },
		{ 1500, false, 1400, false, 1400 }, { 0, false, 0, false, 1390 },
		{ 0, false, 1300, true, 1300 },     { 1500, false, 1200, true, 1280 },
		{ 1500, false, 1200, false, 1200 }, { 1280, false, 0, true, 1214 },
		{ 1346, false, 0, true, 1280 },     { 600, false, 0, false, 576 },
		{ 10, true, 0, true, 576 },         { 9000, false, 1500, false, 1500 },
		{ 1500, false, 100, false, 576 },   { 65535, false, 0, true, 1500 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(connect_mtu(cases[i].base, cases[i].outer6, cases[i].cap,
				   cases[i].inner6),
		       cases[i].want, "base %u cap %u", cases[i].base, cases[i].cap);
}

static char out[CONNECT_ANSWER_MAX];

static const char *
answer(const struct connect_answer *a)
{
	struct wr w = wr_open(out, sizeof(out) - 1);
	connect_write_answer(&w, a);
	out[w.n] = 0;
	return wr_full(&w) ? "full" : out;
}

static bool
has(const char *line)
{
	char l[400];
	snprintf(l, sizeof(l), "\r\n%s\r\n", line);
	return strstr(out, l) != NULL;
}

static struct connect_answer
sample(void)
{
	static struct in_addr dns4[1];
	static struct in6_addr dns6[1];
	struct connect_answer a = {
		.has_v4 = true,
		.has_v6 = true,
		.full_ipv6 = true,
		.dns4 = dns4,
		.dns6 = dns6,
		.n_dns4 = 1,
		.n_dns6 = 1,
		.domain = "corp.example",
		.client_bypass = true,
		.mtu = 1434,
		.base_mtu = 1500,
		.dpd_s = 10,
		.keepalive_s = 20,
		.disconnected_s = 1800,
		.cipher = CIPHER_AES256_GCM,
		.dtls_port = 443,
	};
	inet_pton(AF_INET, "10.77.0.50", &a.addr4);
	inet_pton(AF_INET6, "fd77::5", &a.addr6);
	inet_pton(AF_INET, "10.77.0.1", &dns4[0]);
	inet_pton(AF_INET6, "fd77::1", &dns6[0]);
	memset(a.dtls_id, 0xab, sizeof(a.dtls_id));
	return a;
}

static void
an_answer_is_exactly_this(void)
{
	struct connect_answer a = sample();
	is_str(answer(&a),
	       "HTTP/1.1 200 CONNECTED\r\nX-CSTP-Version: 1\r\n"
	       "X-CSTP-Address: 10.77.0.50\r\nX-CSTP-Netmask: 255.255.255.255\r\n"
	       "X-CSTP-Address-IP6: fd77::5/128\r\nX-CSTP-DNS: 10.77.0.1\r\n"
	       "X-CSTP-DNS-IP6: fd77::1\r\nX-CSTP-Default-Domain: corp.example\r\n"
	       "X-CSTP-Tunnel-All-DNS: false\r\nX-CSTP-Client-Bypass-Protocol: true\r\n"
	       "X-CSTP-MTU: 1434\r\nX-CSTP-Base-MTU: 1500\r\nX-CSTP-DPD: 10\r\n"
	       "X-CSTP-Keepalive: 20\r\nX-CSTP-Rekey-Method: none\r\n"
	       "X-CSTP-Idle-Timeout: none\r\nX-CSTP-Session-Timeout: none\r\n"
	       "X-CSTP-Disconnected-Timeout: 1800\r\nX-CSTP-Keep: true\r\n"
	       "X-CSTP-License: accept\r\nX-CSTP-TCP-Keepalive: true\r\n"
	       "X-DTLS-Session-ID: "
	       "abababababababababababababababababababababababababababab"
	       "abababab\r\nX-DTLS-Port: 443\r\nX-DTLS-DPD: 10\r\nX-DTLS-Keepalive: "
	       "20\r\n"
	       "X-DTLS-MTU: 1434\r\nX-DTLS12-CipherSuite: AES256-GCM-SHA384\r\n\r\n",
	       "a plain one");

	a.full_ipv6 = false;
	a.cipher = CIPHER_PSK;
	answer(&a);
	ok(has("X-CSTP-Address: fd77::5") && has("X-CSTP-Netmask: fd77::5/128") &&
		   has("X-CSTP-DNS: fd77::1"),
	   "an old client gets IPv6 the old way");
	ok(has("X-DTLS-CipherSuite: PSK-NEGOTIATE") &&
		   strstr(out, "X-DTLS-App-ID: abab") &&
		   !strstr(out, "X-DTLS-Session-ID"),
	   "PSK has an App-ID");

	a.cipher = CIPHER_OC_AES128_GCM;
	answer(&a);
	ok(has("X-DTLS-CipherSuite: OC-DTLS1_2-AES128-GCM"), "OC name, OC header");
	a.cipher = CIPHER_NONE;
	ok(!strstr(answer(&a), "X-DTLS"), "no cipher, no DTLS header");
}

static struct config_route
net(const char *addr, unsigned len)
{
	struct config_route r = { 0 };
	r.family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	if (r.family == AF_INET) {
		inet_pton(AF_INET, addr, &r.v4.addr);
		r.v4.len = (uint8_t)len;
	} else {
		inet_pton(AF_INET6, addr, &r.v6.addr);
		r.v6.len = (uint8_t)len;
	}
	return r;
}

static void
routes_follow_the_mode(void)
{
	struct config_route r[] = { net("10.88.0.0", 16), net("fd88::", 64) };
	struct config_route gw[] = { net("192.0.2.7", 32) };
	struct connect_answer a = sample();

	a.local_lan = true;
	a.gateway = gw;
	a.n_gateway = 1;
	a.route = r;
	a.n_route = 2;
	a.routing = ROUTING_EXCLUDE;
	answer(&a);
	char *lan = strstr(out, "X-CSTP-Split-Exclude: 0.0.0.0/255.255.255.255\r\n");
	ok(lan && strstr(out, "X-CSTP-Split-Exclude") == lan,
	   "local LAN is the first exclude");
	ok(has("X-CSTP-Split-Exclude: 192.0.2.7/255.255.255.255"),
	   "the gateway stays outside");
	ok(has("X-CSTP-Split-Exclude: 10.88.0.0/255.255.0.0") &&
		   has("X-CSTP-Split-Exclude-IP6: fd88::/64") &&
		   !strstr(out, "Include"),
	   "excludes, dotted masks");

	a.routing = ROUTING_FULL;
	answer(&a);
	ok(!strstr(out, "10.88") &&
		   has("X-CSTP-Split-Exclude: 192.0.2.7/255.255.255.255"),
	   "full: only the gateway");
	a.platform = PLATFORM_IOS;
	answer(&a);
	ok(has("X-CSTP-Split-Include-IP6: 2000::/3"), "iOS is told the Internet");

	a.routing = ROUTING_INCLUDE;
	answer(&a);
	ok(has("X-CSTP-Split-Exclude: 192.0.2.7/255.255.255.255") &&
		   !strstr(out, "0.0.0.0/255"),
	   "include: a gateway, if the caller wants it");
	a.n_gateway = 0;
	answer(&a);
	ok(has("X-CSTP-Split-Include: 10.88.0.0/255.255.0.0") &&
		   has("X-CSTP-Split-Include-IP6: fd88::/64") &&
		   !strstr(out, "Exclude") && !strstr(out, "2000::"),
	   "includes only");
	a.n_route = 1;
	answer(&a);
	ok(has("X-CSTP-Split-Include-IP6: fd77::5/128"),
	   "a family without includes gets no default route");
	struct config_route all[] = { net("0.0.0.0", 0) };
	a.route = all;
	answer(&a);
	ok(has("X-CSTP-Split-Include: 0.0.0.0/0.0.0.0"), "a mask of zero");
}

static void
texts_cannot_break_the_headers(void)
{
	static const char *const split[] = { "corp.example", "b.example" };
	struct connect_answer a = sample();
	a.server_name = "tandem 0.1";
	a.hostname = "laptop";
	a.split_dns = split;
	a.n_split_dns = 2;
	a.banner = "Hello\r\nworld 100%\ngr\xc3\xbc\xc3\x9f";
	a.domain = "a\r\nX-Evil: 1";
	a.post_auth_xml = "<a>\r\n\r\n</a>";
	a.rekey_s = 86400;
	a.idle_s = 1800;
	a.session_s = 28800;
	a.remaining_s = 100;
	a.alert_s = 60;
	a.dyndns = true;
	a.dtls_mtu = 1390;
	answer(&a);
	ok(has("X-CSTP-Banner: Hello%0Aworld 100%25%0Agr\xc3\xbc\xc3\x9f"), "banner");
	ok(has("X-CSTP-Default-Domain: a  X-Evil: 1"), "domain");
	ok(!strstr(out, "Post-Auth"), "XML of several lines is left out");
	ok(strstr(out, "\r\n\r\n") == out + strlen(out) - 4,
	   "one blank line, at the end");
	ok(has("X-CSTP-Split-DNS: corp.example") && has("X-CSTP-Split-DNS: b.example"),
	   "split DNS, one header each");
	ok(has("X-CSTP-Rekey-Time: 86400") && has("X-CSTP-Rekey-Method: new-tunnel"),
	   "rekey");
	ok(has("X-CSTP-Idle-Timeout: 1800") && has("X-CSTP-Session-Timeout: 28800") &&
		   has("X-CSTP-Session-Timeout-Remaining: 100") &&
		   has("X-CSTP-Session-Timeout-Alert-Interval: 60"),
	   "timeouts");
	ok(has("X-CSTP-DynDNS: true") && has("X-DTLS-MTU: 1390"), "DynDNS, DTLS MTU");
	ok(!strstr(out, "X-DTLS-Rekey"), "no DTLS rekey");
	a.post_auth_xml = "<a/>";
	answer(&a);
	ok(has("X-CSTP-Post-Auth-XML: <a/>"), "one line is sent");

	/* The largest configuration there is must fit. */
	static struct config_route many[CONFIG_ROUTES];
	static char long_banner[CONFIG_BANNER];
	for (size_t i = 0; i < CONFIG_ROUTES; i++)
		many[i] = net("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128);
	memset(long_banner, '%', sizeof(long_banner) - 1);
	a.banner = long_banner;
	a.routing = ROUTING_EXCLUDE;
	a.route = many;
	a.n_route = CONFIG_ROUTES;
	ok(strcmp(answer(&a), "full") != 0, "the largest answer fits");
	struct wr w = wr_open(out, 100);
	connect_write_answer(&w, &a);
	ok(wr_full(&w), "a small buffer is noticed");
}

static void
refusals_have_their_status(void)
{
	struct wr w = wr_open(out, sizeof(out));
	connect_write_401(&w);
	ok(span_is(wr_span(&w), "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n"
				"Content-Length: 0\r\n\r\n"),
	   "401");
	w = wr_open(out, sizeof(out));
	connect_write_503(&w, "Session\nlimit");
	ok(span_is(wr_span(&w),
		   "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
		   "X-Reason: Session limit\r\nContent-Length: 0\r\n\r\n"),
	   "503");
	w = wr_open(out, sizeof(out));
	connect_write_403(&w);
	ok(memcmp(out, "HTTP/1.1 403 ", 13) == 0, "403");
}

int
main(void)
{
	no_token_means_401();
	odd_values_count_as_absent();
	openconnects_reconnect_is_understood();
	the_cipher_is_our_first_among_the_offers();
	mobile_clients_say_so();
	the_mtu_fits_the_path();
	an_answer_is_exactly_this();
	routes_follow_the_mode();
	texts_cannot_break_the_headers();
	refusals_have_their_status();
	http_req_free(req);
	return done_testing();
}
