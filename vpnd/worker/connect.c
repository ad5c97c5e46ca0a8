/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/connect.h"

#include "common/b64.h"
#include "common/err.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>

/* Record header 13, explicit nonce 8, tag 16, type byte 1 (RFC 6347, RFC 5288). */
enum { DTLS_OVERHEAD = 38, UDP_HEADER = 8, IP4_HEADER = 20, IP6_HEADER = 40 };

static const char dtls12[] = "X-DTLS12-CipherSuite";
static const char dtls[] = "X-DTLS-CipherSuite";

/* clang-format off */
static const struct connect_cipher_info ciphers[CIPHERS] = {
	[CIPHER_AES256_GCM]       = { dtls12, "AES256-GCM-SHA384",           "AES256-GCM-SHA384",           0x009d, 32 },
	[CIPHER_ECDHE_AES256_GCM] = { dtls12, "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 0xc030, 32 },
	[CIPHER_OC_AES256_GCM]    = { dtls,   "OC-DTLS1_2-AES256-GCM",       "AES256-GCM-SHA384",           0x009d, 32 },
	[CIPHER_AES128_GCM]       = { dtls12, "AES128-GCM-SHA256",           "AES128-GCM-SHA256",           0x009c, 16 },
	[CIPHER_ECDHE_AES128_GCM] = { dtls12, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, 16 },
	[CIPHER_OC_AES128_GCM]    = { dtls,   "OC-DTLS1_2-AES128-GCM",       "AES128-GCM-SHA256",           0x009c, 16 },
	[CIPHER_PSK]              = { dtls,   "PSK-NEGOTIATE",               NULL,                          0,      0 },
};
/* Our order. Cisco's clients prefer the ECDHE spelling of the same cipher. */
static const enum connect_cipher order[] = {
	CIPHER_AES256_GCM, CIPHER_ECDHE_AES256_GCM, CIPHER_OC_AES256_GCM,
	CIPHER_AES128_GCM, CIPHER_ECDHE_AES128_GCM, CIPHER_OC_AES128_GCM,
};
static const enum connect_cipher order_cisco[] = {
	CIPHER_ECDHE_AES256_GCM, CIPHER_AES256_GCM, CIPHER_OC_AES256_GCM,
	CIPHER_ECDHE_AES128_GCM, CIPHER_AES128_GCM, CIPHER_OC_AES128_GCM,
};
/* clang-format on */

const struct connect_cipher_info *
connect_cipher_info(enum connect_cipher c)
{
	return c > CIPHER_NONE && c < CIPHERS ? &ciphers[c] : NULL;
}

/* Does a colon-separated list hold the name? Case counts, as it does there. */
static bool
offers(const struct http_req *req, enum connect_cipher c)
{
	struct span list;

	http_req_header(req, ciphers[c].header, &list);
	while (list.n > 0) {
		const uint8_t *colon = memchr(list.p, ':', list.n);
		size_t n = colon ? (size_t)(colon - list.p) : list.n;
		if (span_is(span_of(list.p, n), ciphers[c].name))
			return true;
		list = colon ? span_of(colon + 1, list.n - n - 1) : span_of(list.p, 0);
	}
	return false;
}

static enum connect_cipher
choose(const struct connect_req *c, const struct http_req *req)
{
	const enum connect_cipher *o = c->is_anyconnect ? order_cisco : order;

	for (size_t i = 0; c->has_master && i < sizeof(order) / sizeof(order[0]); i++)
		if (offers(req, o[i]))
			return o[i];
	return offers(req, CIPHER_PSK) ? CIPHER_PSK : CIPHER_NONE;
}

static unsigned
number(const struct http_req *req, const char *name)
{
	struct span v;
	unsigned n = 0;

	http_req_header(req, name, &v);
	if (v.n > 5)
		return 0;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(v.p[i] - '0');
	}
	return n <= 65535 ? n : 0;
}

static bool
is_token(struct span t)
{
	if (t.n == 0 || t.n > CONNECT_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < t.n; i++) {
		uint8_t c = t.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		      (c >= 'A' && c <= 'Z') || c == '-' || c == '_'))
			return false;
	}
	return true;
}

static void
take_hostname(struct connect_req *c, struct span v)
{
	if (v.n == 0 || v.n >= sizeof(c->hostname))
		return;
	for (size_t i = 0; i < v.n; i++) {
		uint8_t b = v.p[i];
		if (!((b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') ||
		      (b >= 'A' && b <= 'Z') || b == '_' ||
		      ((b == '-' || b == '.') && i > 0)))
			return;
	}
	memcpy(c->hostname, v.p, v.n);
}

static void
take_user_agent(struct connect_req *c, struct span v)
{
	for (size_t i = 0; i < v.n && i < sizeof(c->user_agent) - 1; i++)
		c->user_agent[i] = v.p[i] >= ' ' && v.p[i] < 0x7f ? (char)v.p[i] : '?';
}

static void
take_previous(struct connect_req *c, struct span v)
{
	char text[64];

	if (v.n >= sizeof(text))
		return;
	memcpy(text, v.p, v.n);
	text[v.n] = 0;
	if (!c->has_prev4 && inet_pton(AF_INET, text, &c->prev4) == 1)
		c->has_prev4 = true;
	else if (!c->has_prev6 && inet_pton(AF_INET6, text, &c->prev6) == 1)
		c->has_prev6 = true;
}

bool
connect_is_tunnel(struct span path)
{
	if (path.n > 0 && path.p[0] == '/')
		path = span_of(path.p + 1, path.n - 1);
	return span_is(path, "CSCOSSLC/tunnel");
}

int
connect_req_parse(struct connect_req *c, const struct http_req *req)
{
	struct span v, name;

	*c = (struct connect_req){ 0 };
	http_req_header(req, "User-Agent", &v);
	take_user_agent(c, v);
	c->is_anyconnect = auth_is_anyconnect(v);
	http_req_header(req, "X-CSTP-Hostname", &v);
	take_hostname(c, v);
	c->base_mtu = number(req, "X-CSTP-Base-MTU");
	c->mtu = number(req, "X-CSTP-MTU");
	if (http_req_header(req, "X-CSTP-Address-Type", &v)) {
		c->wants_v4 = http_contains(v, "IPv4");
		c->wants_v6 = http_contains(v, "IPv6");
	} else {
		c->wants_v4 = true;
	}
	http_req_header(req, "X-CSTP-Full-IPv6-Capability", &v);
	c->full_ipv6 = http_name_is(v, "true");
	for (size_t i = 0; i < http_req_headers(req); i++) {
		http_req_header_at(req, i, &name, &v);
		if (http_name_is(name, "X-CSTP-Address"))
			take_previous(c, v);
	}
	c->is_reconnect = c->has_prev4 || c->has_prev6;
	http_req_header(req, "X-DTLS-Master-Secret", &v);
	c->has_master = hex_decode(c->master, sizeof(c->master), v) == 0;
	c->platform = auth_platform_of(req, NULL);
	http_req_header(req, "X-CSTP-License", &v);
	c->is_mobile =
		auth_platform_is_mobile(c->platform) || http_name_is(v, "mobile");
	c->cipher = choose(c, req);

	http_req_cookie(req, "webvpn", &v);
	if (!is_token(v))
		return E_AUTH;
	c->token = v;
	return 0;
}

void
connect_req_wipe(struct connect_req *c)
{
	explicit_bzero(c, sizeof(*c));
}

unsigned
connect_mtu(unsigned base_mtu, bool outer_is_v6, unsigned cap, bool with_v6)
{
	unsigned over =
		DTLS_OVERHEAD + UDP_HEADER + (outer_is_v6 ? IP6_HEADER : IP4_HEADER);
	unsigned most = base_mtu ? (base_mtu > over ? base_mtu - over : 0)
				 : CONNECT_MTU_DEFAULT;
	unsigned limit = cap ? cap : CONNECT_MTU_MAX;
	unsigned mtu = limit < most ? limit : most;
	unsigned least = with_v6 && most >= CONNECT_MTU_MIN_V6 ? CONNECT_MTU_MIN_V6
							       : CONNECT_MTU_MIN;

	/* A link too small for 576 is a lie or beyond help: let it fragment. */
	return mtu < least ? least : mtu;
}

/* ---- writing ---- */

static void
text(struct wr *w, const char *name, const char *value)
{
	if (value && value[0])
		http_res_header(w, name, span_str(value));
}

static void
num(struct wr *w, const char *name, unsigned v)
{
	wr_fmt(w, "%s: %u\r\n", name, v);
}

static void
flag(struct wr *w, const char *name, bool v)
{
	text(w, name, v ? "true" : "false");
}

static void
num_or_none(struct wr *w, const char *name, unsigned v)
{
	if (v)
		num(w, name, v);
	else
		text(w, name, "none");
}

static void
ip4(struct wr *w, const char *name, struct in_addr a)
{
	char s[INET_ADDRSTRLEN];
	text(w, name, inet_ntop(AF_INET, &a, s, sizeof(s)));
}

static void
ip6(struct wr *w, const char *name, const struct in6_addr *a, int len)
{
	char s[INET6_ADDRSTRLEN];
	inet_ntop(AF_INET6, a, s, sizeof(s));
	if (len < 0)
		text(w, name, s);
	else
		wr_fmt(w, "%s: %s/%d\r\n", name, s, len);
}

/* Cisco's clients read dotted masks only. */
static void
net4(struct wr *w, const char *name, struct in_addr a, unsigned len)
{
	char s[INET_ADDRSTRLEN], m[INET_ADDRSTRLEN];
	struct in_addr mask = { htonl(len ? 0xffffffffu << (32 - len) : 0) };

	inet_ntop(AF_INET, &a, s, sizeof(s));
	inet_ntop(AF_INET, &mask, m, sizeof(m));
	wr_fmt(w, "%s: %s/%s\r\n", name, s, m);
}

static void
addresses(struct wr *w, const struct connect_answer *a)
{
	if (a->has_v4) {
		ip4(w, "X-CSTP-Address", a->addr4);
		text(w, "X-CSTP-Netmask", "255.255.255.255");
	}
	if (a->has_v6 && a->full_ipv6) {
		ip6(w, "X-CSTP-Address-IP6", &a->addr6, 128);
	} else if (a->has_v6) {
		ip6(w, "X-CSTP-Address", &a->addr6, -1);
		ip6(w, "X-CSTP-Netmask", &a->addr6, 128);
	}
}

static void
names(struct wr *w, const struct connect_answer *a)
{
	for (size_t i = 0; i < a->n_dns4; i++)
		ip4(w, "X-CSTP-DNS", a->dns4[i]);
	for (size_t i = 0; i < a->n_dns6; i++)
		ip6(w, a->full_ipv6 ? "X-CSTP-DNS-IP6" : "X-CSTP-DNS", &a->dns6[i], -1);
	text(w, "X-CSTP-Default-Domain", a->domain);
	for (size_t i = 0; i < a->n_split_dns; i++)
		text(w, "X-CSTP-Split-DNS", a->split_dns[i]);
	flag(w, "X-CSTP-Tunnel-All-DNS", a->tunnel_all_dns);
}

/* How many of each family were written. */
struct written {
	unsigned v4, v6;
};

static struct written
route_list(struct wr *w, bool is_include, const struct config_route *r, size_t n)
{
	struct written did = { 0 };

	for (size_t i = 0; i < n; i++) {
		/* "The local network" was written already, as the first. */
		if (!is_include && r[i].family == AF_INET && r[i].v4.len == 32 &&
		    r[i].v4.addr.s_addr == 0)
			continue;
		if (r[i].family == AF_INET) {
			net4(w,
			     is_include ? "X-CSTP-Split-Include"
					: "X-CSTP-Split-Exclude",
			     r[i].v4.addr, r[i].v4.len);
			did.v4++;
		} else {
			ip6(w,
			    is_include ? "X-CSTP-Split-Include-IP6"
				       : "X-CSTP-Split-Exclude-IP6",
			    &r[i].v6.addr, r[i].v6.len);
			did.v6++;
		}
	}
	return did;
}

static void
routes(struct wr *w, const struct connect_answer *a)
{
	if (a->routing == ROUTING_INCLUDE) {
		struct written did = route_list(w, true, a->route, a->n_route);
		/* A family with an address and no include gets a default route
		 * from the clients: name the tunnel's own address instead. */
		if (a->has_v4 && did.v4 == 0)
			net4(w, "X-CSTP-Split-Include", a->addr4, 32);
		if (a->has_v6 && did.v6 == 0)
			ip6(w, "X-CSTP-Split-Include-IP6", &a->addr6, 128);
		/* Only with reason: mobile clients refuse includes mixed with it. */
		route_list(w, false, a->gateway, a->n_gateway);
		return;
	}
	/* iOS takes no IPv6 default route from silence. */
	if (a->has_v6 && a->platform == PLATFORM_IOS)
		text(w, "X-CSTP-Split-Include-IP6", "2000::/3");
	/* "The local network", whatever it is. Must be the first exclude. */
	if (a->local_lan && a->has_v4)
		text(w, "X-CSTP-Split-Exclude", "0.0.0.0/255.255.255.255");
	route_list(w, false, a->gateway, a->n_gateway);
	if (a->routing == ROUTING_EXCLUDE)
		route_list(w, false, a->route, a->n_route);
}

static void
timers(struct wr *w, const struct connect_answer *a)
{
	num(w, "X-CSTP-DPD", a->dpd_s);
	num(w, "X-CSTP-Keepalive", a->keepalive_s);
	if (a->rekey_s)
		num(w, "X-CSTP-Rekey-Time", a->rekey_s);
	text(w, "X-CSTP-Rekey-Method", a->rekey_s ? "new-tunnel" : "none");
	num_or_none(w, "X-CSTP-Idle-Timeout", a->idle_s);
	num_or_none(w, "X-CSTP-Session-Timeout", a->session_s);
	if (a->session_s) {
		num(w, "X-CSTP-Session-Timeout-Remaining", a->remaining_s);
		if (a->alert_s)
			num(w, "X-CSTP-Session-Timeout-Alert-Interval", a->alert_s);
	}
	num(w, "X-CSTP-Disconnected-Timeout", a->disconnected_s);
}

/* Clients decode %XX; a line break can travel in no other way. */
static void
banner(struct wr *w, const char *s)
{
	if (s == NULL || s[0] == 0)
		return;
	wr_str(w, "X-CSTP-Banner: ");
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;
		if (c == '\r')
			continue;
		if (c < ' ' || c == '%' || c == 0x7f)
			wr_fmt(w, "%%%02X", c);
		else
			wr_u8(w, c);
	}
	wr_str(w, "\r\n");
}

static bool
is_one_line(const char *s)
{
	for (; *s; s++)
		if ((uint8_t)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void
dtls_headers(struct wr *w, const struct connect_answer *a)
{
	const struct connect_cipher_info *c = connect_cipher_info(a->cipher);

	if (c == NULL)
		return;
	wr_str(w, a->cipher == CIPHER_PSK ? "X-DTLS-App-ID: " : "X-DTLS-Session-ID: ");
	hex_encode(w, span_of(a->dtls_id, sizeof(a->dtls_id)));
	wr_str(w, "\r\n");
	num(w, "X-DTLS-Port", a->dtls_port);
	num(w, "X-DTLS-DPD", a->dpd_s);
	num(w, "X-DTLS-Keepalive", a->keepalive_s);
	num(w, "X-DTLS-MTU", a->dtls_mtu ? a->dtls_mtu : a->mtu);
	/* No X-DTLS-Rekey-*: clients would rekey in ways we do not offer. */
	text(w, c->header, c->name);
}

void
connect_write_answer(struct wr *w, const struct connect_answer *a)
{
	/* The blank after 200 and the case of every name are compared. */
	wr_str(w, "HTTP/1.1 200 CONNECTED\r\nX-CSTP-Version: 1\r\n");
	text(w, "X-CSTP-Server-Name", a->server_name);
	text(w, "X-CSTP-Hostname", a->hostname);
	addresses(w, a);
	names(w, a);
	routes(w, a);
	flag(w, "X-CSTP-Client-Bypass-Protocol", a->client_bypass);
	num(w, "X-CSTP-MTU", a->mtu);
	if (a->base_mtu)
		num(w, "X-CSTP-Base-MTU", a->base_mtu);
	timers(w, a);
	text(w, "X-CSTP-Keep", "true");
	text(w, "X-CSTP-License", "accept");
	text(w, "X-CSTP-TCP-Keepalive", "true");
	if (a->dyndns)
		text(w, "X-CSTP-DynDNS", "true");
	banner(w, a->banner);
	if (a->post_auth_xml && is_one_line(a->post_auth_xml))
		text(w, "X-CSTP-Post-Auth-XML", a->post_auth_xml);
	dtls_headers(w, a);
	wr_str(w, "\r\n");
}

void
connect_write_401(struct wr *w)
{
	http_res_begin(w, 401, false);
	http_res_end(w, NULL, SPAN(""), false);
}

void
connect_write_403(struct wr *w)
{
	http_res_begin(w, 403, false);
	http_res_end(w, NULL, SPAN(""), false);
}

void
connect_write_503(struct wr *w, const char *reason)
{
	http_res_begin(w, 503, false);
	text(w, "X-Reason", reason);
	http_res_end(w, NULL, SPAN(""), false);
}
