/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* xmlauth.h -- the documents of a login: what clients post, what we answer.
 *
 * Clients post config-auth documents (or a urlencoded form in the old flow); we
 * answer a form, a refusal, or "complete" with the token. Which step of a login
 * this is, and whether a password is right, is not known here.
 *
 * Units:      bytes.
 * Ownership:  a parsed document owns its texts; auth_doc_free wipes and ends it.
 *             Do not copy the struct. Writers borrow everything.
 * Errors:     0, E_PROTO (not such a document), E_LIMIT (a bound below),
 *             E_NOMEM. Writers: ask wr_full() at the end.
 */
#ifndef VPND_WORKER_XMLAUTH_H
#define VPND_WORKER_XMLAUTH_H

#include "common/http.h"
#include "common/span.h"
#include "common/wr.h"
#include "vpnd/ipc/messages.h"

enum {
	AUTH_BODY_MAX = HTTP_BODY_MAX,
	AUTH_DEPTH_MAX = 16,
	AUTH_ELEMENTS_MAX = 512,
	AUTH_ATTRS_MAX = 16,      /* per element */
	AUTH_TEXT_MAX = 8 * 1024, /* one value */
	AUTH_ARENA = 24 * 1024,   /* all kept values together */
	AUTH_FIELDS_MAX = 16,
	AUTH_INPUTS_MAX = 8,
};

enum auth_doc_type { AUTH_DOC_INIT, AUTH_DOC_REPLY, AUTH_DOC_LOGOUT };

/* capabilities/auth-method */
enum {
	AUTH_CAN_SSO = 1 << 0,          /* single-sign-on */
	AUTH_CAN_SSO_V2 = 1 << 1,       /* single-sign-on-v2 */
	AUTH_CAN_SSO_EXTERNAL = 1 << 2, /* single-sign-on-external-browser */
	AUTH_CAN_MULTI_CERT = 1 << 3,   /* multiple-cert */
};

struct auth_field {
	const char *name;  /* as the client spelled it */
	const char *value; /* may be a secret */
};

/* Absent texts are NULL, never "". Empty ones are "". */
struct auth_doc {
	enum auth_doc_type type;
	bool is_legacy; /* came as a urlencoded form: answer in that style */
	const char *version;
	const char *device_id; /* "win", "linux-64", ... */
	const char *computer_name, *device_type, *platform_version, *unique_id;
	unsigned can;             /* AUTH_CAN_* */
	const char *group_access; /* the URL the user typed */
	const char *group_select;
	bool client_cert_fail;
	const char *session_token;             /* logout */
	const char *tunnel_group, *auth_state; /* our opaque, echoed */
	struct auth_field field[AUTH_FIELDS_MAX];
	size_t n_field;

	size_t arena_n;
	char arena[AUTH_ARENA];
};

/* XML or urlencoded, told apart by the first byte. *out is NULL on error. */
int auth_doc_parse(struct auth_doc **out, struct span body);
void auth_doc_free(struct auth_doc *d);
/* Value of the first field of that name whatever the case, or NULL. */
const char *auth_doc_field(const struct auth_doc *d, const char *name);

/* Group asked for in a URL path: "/staff" -> "staff", percent-decoded. E_NOENT:
 * the path names none ("/"); E_PROTO: it cannot be a group name. */
int auth_group_from_path(struct span path, char *out, size_t cap);
/* The same from group-access, "https://vpn.example/staff". */
int auth_group_from_url(const char *url, char *out, size_t cap);

bool auth_platform_is_mobile(enum platform p);
/* From device-id (NULL if there is no document), then the identifier headers,
 * X-AnyConnect-Platform, User-Agent. */
enum platform auth_platform_of(const struct http_req *req, const char *device_id);

/* A Cisco client, by its User-Agent. openconnect calls itself "Open AnyConnect
 * VPN Agent" or "AnyConnect-compatible OpenConnect VPN Agent", so that is looked
 * for first. */
bool auth_is_anyconnect(struct span user_agent);
/* AnyConnect older than 4.8 cannot form a tunnel; nobody else is gated. version
 * (may be NULL) is the document's; it counts when the User-Agent has none. */
bool auth_version_ok(struct span user_agent, const char *version);
#define AUTH_VERSION_REFUSED                                                           \
	"This AnyConnect version is too old for this server. Install AnyConnect 4.8 "  \
	"or "                                                                          \
	"newer."

struct auth_input {
	const char *type;  /* "text", "password", "hidden" */
	const char *name;  /* becomes an element name: letters, digits, - and _ */
	const char *label; /* always set but for hidden: clients print "(null)" */
	const char *value; /* NULL none */
};

struct auth_option {
	const char *name, *label;
};

/* Texts may be NULL. */
struct auth_form {
	const char *id; /* "main", "challenge", "new-pass"; NULL: "main" */
	const char *title, *message, *banner;
	const char *error;  /* shown above the prompt */
	const char *action; /* NULL: "/" */
	const char *group;  /* opaque tunnel-group */
	const char *state;  /* opaque auth-state */
	struct auth_input input[AUTH_INPUTS_MAX];
	size_t n_input;
	const struct auth_option *option; /* the group list; n_option 0: none */
	size_t n_option;
	size_t selected; /* index; written first, because AnyConnect wants it so */
	bool is_legacy;
};

/* Ask, or ask again. */
void auth_write_form(struct wr *w, const struct auth_form *f);
/* Refuse for good: an error and no form; the client shows it and gives up. Any
 * HTTP status but 200 would be shown as something else. */
void auth_write_refusal(struct wr *w, const char *error, bool is_legacy);
/* Come again with a certificate: the client then does, or says that it has none. */
void auth_write_cert_request(struct wr *w, const char *group);
/* Answer to a logout document. */
void auth_write_bye(struct wr *w);

struct auth_success {
	const char *session_id;
	const char *token; /* base64url */
	const char *banner;
	const char *cert_sha1; /* upper-case hex of the certificate's DER; NULL none */
	const char *profile_uri;  /* "/profiles/vpn.xml"; NULL: no profile */
	const char *profile_sha1; /* hex of the exact bytes served */
	bool is_legacy;
};

void auth_write_complete(struct wr *w, const struct auth_success *s);
/* The Set-Cookie lines that go with it: webvpn (same value as session-token, as
 * some clients read only one of the two), webvpnc with the profile hint. */
void auth_write_cookies(struct wr *w, const struct auth_success *s);
/* Content type and the two headers Cisco head-ends put on every XML answer. */
#define AUTH_CONTENT_TYPE "text/xml; charset=UTF-8"
void auth_write_headers(struct wr *w);

#endif
