/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* http.h -- one HTTP/1.1 request in, one response out, over plain buffers.
 *
 * The parser takes bytes as they come. It keeps the head (request line and
 * headers) in one buffer of its own until the blank line, checks it strictly
 * (RFC 9112: CRLF only, no obs-fold, no space before the colon), and hands it to
 * libhttp-parser, which also unpacks the body. CONNECT has no body: the request
 * is complete right after the blank line and what follows stays in the input.
 *
 * Units:      bytes.
 * Ownership:  http_req_new gives, http_req_free ends and wipes: heads carry
 *             cookies, bodies carry passwords. Spans handed out live until
 *             http_req_reset or http_req_free.
 * Errors:     E_AGAIN (feed more), E_PROTO or E_LIMIT (refuse: http_req_status
 *             says with which code; then close), E_NOMEM.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include "common/span.h"
#include "common/wr.h"

enum {
	HTTP_LINE_MAX = 8 * 1024,  /* request line */
	HTTP_HEAD_MAX = 16 * 1024, /* all header lines together */
	HTTP_HEADERS_MAX = 64,
	HTTP_BODY_MAX = 64 * 1024,
};

enum http_verb { VERB_OTHER, VERB_GET, VERB_HEAD, VERB_POST, VERB_CONNECT };

struct http_req;

int http_req_new(struct http_req **out);
void http_req_free(struct http_req *r);

/* Make ready for the next request of the same connection; wipes the last. */
void http_req_reset(struct http_req *r);

/* Take bytes off the front of `in`. 0: the request is complete and `in` holds
 * what follows it. E_AGAIN: all of `in` was taken. */
int http_req_feed(struct http_req *r, struct span *in);

/* True once a byte of a request has been taken: an idle keep-alive connection
 * and a half-sent request have different deadlines. */
bool http_req_begun(const struct http_req *r);

/* After an error: 400, 413, 414, 431, 501 or 505. */
int http_req_status(const struct http_req *r);

/* The rest is for complete requests. */
enum http_verb http_req_verb(const struct http_req *r);
/* As sent, still percent-encoded, without the query; an absolute-form target
 * (RFC 9112 3.2.2) is reduced to its path. "CSCOSSLC/tunnel" keeps its missing
 * slash. */
struct span http_req_path(const struct http_req *r);
struct span http_req_query(const struct http_req *r);
struct span http_req_body(const struct http_req *r);
bool http_req_keep_alive(const struct http_req *r);

size_t http_req_headers(const struct http_req *r);
void http_req_header_at(const struct http_req *r, size_t i, struct span *name,
			struct span *value);
/* First header of that name, whatever the case; surrounding blanks removed.
 * False, and an empty value, when there is none. */
bool http_req_header(const struct http_req *r, const char *name, struct span *value);
/* First cookie of that exact name in any Cookie header. */
bool http_req_cookie(const struct http_req *r, const char *name, struct span *value);

/* True when a and b are equal but for ASCII case. */
bool http_name_is(struct span a, const char *b);
/* True when `word` occurs in `in`, whatever the case. */
bool http_contains(struct span in, const char *word);

/* A response: begin, headers, end. Everything lands in one buffer so that the
 * caller does one write. CR, LF and NUL in values become blanks. */
void http_res_begin(struct wr *w, int status, bool keep_alive);
void http_res_header(struct wr *w, const char *name, struct span value);
/* Content-Type (unless NULL), Content-Length, blank line, body. For HEAD the
 * body is announced and not sent. */
void http_res_end(struct wr *w, const char *type, struct span body, bool is_head);

/* The standard reason phrase; never NULL. */
const char *http_reason(int status);

#endif
