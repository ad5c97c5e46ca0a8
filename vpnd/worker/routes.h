/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* routes.h -- which request is what: a table of paths.
 *
 * Requests that need a session or a login come out as a route; everything else
 * is answered here, from constants: the files AnyConnect's downloader asks for,
 * a short page for browsers (no download, no cookie), 404, 405. Never a redirect.
 *
 * Ownership:  static answers are constants and live for ever.
 */
#ifndef VPND_WORKER_ROUTES_H
#define VPND_WORKER_ROUTES_H

#include "common/http.h"

enum route {
	ROUTE_STATIC,      /* routes_write_static and done */
	ROUTE_AUTH,        /* POST: a login document, auth_doc_parse tells which */
	ROUTE_LEGACY_FORM, /* GET of a client without XML POST: a bare form */
	ROUTE_TUNNEL,      /* CONNECT to the tunnel */
	ROUTE_PROFILE,     /* GET of the profile; 404 when there is none */
	ROUTE_LOGOUT, /* GET: may end the cookie's session; then the static answer */
};

struct route_match {
	enum route route;
	bool is_head; /* send no body */
	/* For ROUTE_STATIC and ROUTE_LOGOUT; ROUTE_PROFILE holds its 404 here. */
	int status;
	const char *type;
	const char *body;
};

#define PROFILE_PATH "/profiles/vpn.xml"

struct route_match routes_find(const struct http_req *req);
/* The whole response. */
void routes_write_static(struct wr *w, const struct route_match *m, bool keep_alive);

#endif
