/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/routes.h"

#include "vpnd/worker/connect.h"

#include <strings.h>

static const char html[] = "text/html; charset=UTF-8";
static const char xml[] = "text/xml; charset=UTF-8";

static const char page[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<title>VPN</title></head>\n<body><p>This is a VPN server. Connect to it with "
	"your VPN client.</p></body></html>\n";
static const char empty_page[] =
	"<!DOCTYPE html>\n<html><head><title>VPN</title></head><body></body></html>\n";
static const char no_manifest[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vpn rev=\"1.0\"></vpn>\n";

/* What AnyConnect's downloader asks for after a login. These answers say
 * "nothing newer here" and keep it quiet. A final * matches any rest. */
static const struct {
	const char *path;
	enum route route;
	int status;
	const char *type, *body;
} gets[] = {
	/* clang-format off */
	{ "/1/binaries/update.txt", ROUTE_STATIC, 200, xml, "0,0,0000\n" },
	{ "/1/binaries/vpndownloader.sh", ROUTE_STATIC, 200, "application/x-shellscript",
	  "#!/bin/sh\nexit 0\n" },
	{ "/1/VPNManifest.xml", ROUTE_STATIC, 200, xml, no_manifest },
	{ "/VPNManifest.xml", ROUTE_STATIC, 200, xml, no_manifest },
	{ "/+CSCOT+/*", ROUTE_STATIC, 200, xml, no_manifest },
	{ "/1/index.html", ROUTE_STATIC, 200, html, empty_page },
	{ "/1/Linux", ROUTE_STATIC, 200, html, empty_page },
	{ "/1/Linux_64", ROUTE_STATIC, 200, html, empty_page },
	{ "/1/Windows", ROUTE_STATIC, 200, html, empty_page },
	{ "/1/Windows_ARM64", ROUTE_STATIC, 200, html, empty_page },
	{ "/1/Darwin_i386", ROUTE_STATIC, 200, html, empty_page },
	{ "/logout", ROUTE_LOGOUT, 200, html, empty_page },
	{ "/+webvpn+/webvpn_logout.html", ROUTE_LOGOUT, 200, html, empty_page },
	/* openconnect glues the hint together without decoding it. */
	{ PROFILE_PATH, ROUTE_PROFILE, 404, html, empty_page },
	{ "/profiles%2Fvpn.xml", ROUTE_PROFILE, 404, html, empty_page },
	{ "/profiles%2fvpn.xml", ROUTE_PROFILE, 404, html, empty_page },
	/* clang-format on */
};

static bool
path_is(struct span path, const char *pattern)
{
	size_t k = strlen(pattern);
	if (k > 0 && pattern[k - 1] == '*')
		return path.n >= k - 1 && memcmp(path.p, pattern, k - 1) == 0;
	return span_is(path, pattern);
}

static bool
is_vpn_client(const struct http_req *req)
{
	struct span v;

	if (http_req_header(req, "X-Transcend-Version", &v))
		return true;
	http_req_header(req, "User-Agent", &v);
	return http_contains(v, "openconnect") || http_contains(v, "Open AnyConnect");
}

/* "/" or "/group": where a login may start. */
static bool
is_login_path(struct span path)
{
	return path.n > 0 && path.p[0] == '/' &&
	       memchr(path.p + 1, '/', path.n - 1) == NULL &&
	       memchr(path.p, '.', path.n) == NULL;
}

static const struct route_match not_found = { .status = 404,
					      .type = html,
					      .body = empty_page };
static const struct route_match no_method = { .status = 405,
					      .type = html,
					      .body = empty_page };

static struct route_match
get(const struct http_req *req)
{
	struct span path = http_req_path(req);

	for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++)
		if (path_is(path, gets[i].path))
			return (struct route_match){ .route = gets[i].route,
						     .status = gets[i].status,
						     .type = gets[i].type,
						     .body = gets[i].body };
	if (is_login_path(path) && is_vpn_client(req))
		return (struct route_match){ .route = ROUTE_LEGACY_FORM };
	if (span_is(path, "/"))
		return (struct route_match){ .status = 200,
					     .type = html,
					     .body = page };
	return not_found;
}

struct route_match
routes_find(const struct http_req *req)
{
	struct route_match m = no_method;

	switch (http_req_verb(req)) {
	/* Clients post to whatever path the user typed or a form named. */
	case VERB_POST: return (struct route_match){ .route = ROUTE_AUTH };
	case VERB_CONNECT:
		if (connect_is_tunnel(http_req_path(req)))
			return (struct route_match){ .route = ROUTE_TUNNEL };
		return not_found; /* we are nobody's proxy */
	case VERB_GET: return get(req);
	case VERB_HEAD: m = get(req); break;
	case VERB_OTHER: break;
	}
	m.is_head = http_req_verb(req) == VERB_HEAD;
	/* A probe must change nothing. */
	if (m.is_head && (m.route == ROUTE_LEGACY_FORM || m.route == ROUTE_LOGOUT)) {
		m = (struct route_match){ .status = 200,
					  .type = html,
					  .body = empty_page };
		m.is_head = true;
	}
	return m;
}

void
routes_write_static(struct wr *w, const struct route_match *m, bool keep_alive)
{
	http_res_begin(w, m->status, keep_alive);
	if (m->status == 405)
		http_res_header(w, "Allow", SPAN("GET, HEAD, POST, CONNECT"));
	http_res_end(w, m->type, span_str(m->body), m->is_head);
}
