/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* answers.h -- what an ACME server says (RFC 8555 7.1, RFC 9773 4.2): its JSON read
 * into structs of fixed size, everything bounded and checked. Pure.
 *
 * URLs are https and have no odd characters; texts for people have no control
 * characters. Errors: E_PROTO for what is not such an answer.
 */
#ifndef ACME_ANSWERS_H
#define ACME_ANSWERS_H

#include "common/span.h"

enum {
	ANSWER_MAX = 1024 * 1024, /* bytes of one */
	ANSWER_URL = 512,
	ANSWER_TEXT = 512,
	ANSWER_TOKEN = 200,
	ANSWER_NAME = 254,
	ANSWER_AUTHORIZATIONS = 8,
	ANSWER_CHALLENGES = 8,
};

enum answer_status {
	ANSWER_PENDING,
	ANSWER_READY,
	ANSWER_PROCESSING,
	ANSWER_VALID,
	ANSWER_INVALID, /* also deactivated, expired, revoked */
	ANSWER_OTHER,
};

struct answer_problem {
	char type[64]; /* without urn:ietf:params:acme:error: ; "" none */
	char detail[ANSWER_TEXT];
};

struct answer_directory {
	char nonce[ANSWER_URL], account[ANSWER_URL], order[ANSWER_URL],
		revoke[ANSWER_URL], key_change[ANSWER_URL];
	char renewal[ANSWER_URL]; /* "" if it has none */
	char terms[ANSWER_URL];   /* "" if it has none; any kind of URL */
	bool wants_eab;
};

struct answer_order {
	enum answer_status status;
	char authorizations[ANSWER_AUTHORIZATIONS][ANSWER_URL];
	size_t n;
	char finalize[ANSWER_URL];
	char certificate[ANSWER_URL]; /* "" before valid */
	struct answer_problem problem;
};

enum answer_type { TYPE_DNS, TYPE_ALPN, TYPE_HTTP, TYPES };
const char *answer_type_name(enum answer_type t);

struct answer_challenge {
	enum answer_type type;
	enum answer_status status;
	char url[ANSWER_URL], token[ANSWER_TOKEN];
	struct answer_problem problem;
};

struct answer_authorization {
	enum answer_status status;
	char name[ANSWER_NAME];
	struct answer_challenge challenges[ANSWER_CHALLENGES]; /* of known types */
	size_t n;
};

/* Seconds since 1970. */
struct answer_window {
	int64_t start, end;
};

int answer_directory(struct answer_directory *d, struct span json);
int answer_order(struct answer_order *o, struct span json);
int answer_authorization(struct answer_authorization *a, struct span json);
int answer_window(struct answer_window *w, struct span json);
/* Also when it is no problem document: then type is "". The first subproblem is told
 * where there are some: it names the host name. */
void answer_problem(struct answer_problem *p, struct span json);

/* A URL we would ask. */
bool answer_url_ok(const char *url);
/* A header `Link: <URL>;rel="REL"`: its URL, if rel is this. */
bool answer_link(struct span header, const char *rel, char url[ANSWER_URL]);

#endif
