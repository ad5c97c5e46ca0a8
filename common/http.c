/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/http.h"

#include "common/err.h"

#include <http_parser.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <strings.h>

enum {
	/* The head buffer holds line and headers, and the CRLF of each part. */
	HEAD_CAP = HTTP_LINE_MAX + HTTP_HEAD_MAX + 4,
	HEAD_FIRST = 2048,
	BODY_FIRST = 2048,
	/* A chunked body may be mostly framing; no client of ours sends one, so
	 * half of it is plenty. */
	BODY_RAW_MAX = 2 * HTTP_BODY_MAX,
	LEADING_BLANKS_MAX = 8, /* CRLFs before the request line, RFC 9112 2.2 */
};

struct header {
	struct span name, value;
};

struct http_req {
	http_parser parser;
	enum { IN_HEAD, IN_BODY, COMPLETE, BROKEN } state;
	int status;
	uint8_t *head;
	size_t head_n, head_cap;
	size_t line_n;     /* bytes of the request line, 0 while it is incomplete */
	size_t line_start; /* where the current line begins in head */
	unsigned blanks;
	uint8_t *body;
	size_t body_n, body_cap, body_raw;
	struct span target, path, query;
	struct header header[HTTP_HEADERS_MAX];
	size_t n_header;
	bool keep_alive, too_many;
	bool no_memory;
};

static int
refuse(struct http_req *r, int status, int rc)
{
	r->state = BROKEN;
	r->status = status;
	return rc;
}

/* Grow by doubling, wiping what is left behind: realloc would not. */
static int
grow(uint8_t **p, size_t n, size_t *cap, size_t need, size_t first, size_t max)
{
	size_t want = *cap ? *cap : first;
	while (want < need)
		want *= 2;
	if (want > max)
		want = max;
	if (want <= *cap)
		return 0;
	uint8_t *to = malloc(want);
	if (to == NULL)
		return E_NOMEM;
	if (n > 0)
		memcpy(to, *p, n);
	if (*p) {
		explicit_bzero(*p, *cap);
		free(*p);
	}
	*p = to;
	*cap = want;
	return 0;
}

/* RFC 9110 5.6.2 */
static bool
is_tchar(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_of(s.p + 1, s.n - 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct http_req *r = p->data;
	if (r->target.n > 0 && r->target.p + r->target.n == (const uint8_t *)at)
		r->target.n += n;
	else
		r->target = span_of(at, n);
	return 0;
}

static int
on_field(http_parser *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	/* Trailers of a chunked body: nobody has a use for them. */
	if (r->state != IN_HEAD)
		return -1;
	if (r->n_header == HTTP_HEADERS_MAX) {
		r->too_many = true;
		return -1;
	}
	r->header[r->n_header++] =
		(struct header){ .name = span_of(at, n), .value = span_of(at, 0) };
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	if (r->state != IN_HEAD || r->n_header == 0)
		return -1;
	r->header[r->n_header - 1].value = trim(span_of(at, n));
	return 0;
}

static int
on_headers_complete(http_parser *p)
{
	struct http_req *r = p->data;
	r->state = IN_BODY;
	r->keep_alive = http_should_keep_alive(p);
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct http_req *r = p->data;

	if (n > HTTP_BODY_MAX - r->body_n) {
		r->status = 413;
		return -1;
	}
	if (grow(&r->body, r->body_n, &r->body_cap, r->body_n + n, BODY_FIRST,
		 HTTP_BODY_MAX) < 0) {
		r->no_memory = true;
		return -1;
	}
	memcpy(r->body + r->body_n, at, n);
	r->body_n += n;
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct http_req *r = p->data;
	r->state = COMPLETE;
	/* Stop here: the next bytes belong to the next request. */
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings callbacks = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* Does the line look like HTTP with a verb nobody knows? Then 501, not 400. */
static bool
verb_is_plausible(const struct http_req *r)
{
	size_t n = 0;
	while (n < r->line_n && is_tchar(r->head[n]))
		n++;
	return n > 0 && n < 32 && n < r->line_n && r->head[n] == ' ';
}

static int
parser_error(struct http_req *r)
{
	enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);

	if (r->no_memory)
		return refuse(r, 500, E_NOMEM);
	if (r->status == 413)
		return refuse(r, 413, E_LIMIT);
	if (r->too_many)
		return refuse(r, 431, E_LIMIT);
	switch (e) {
	case HPE_INVALID_METHOD:
		return refuse(r, verb_is_plausible(r) ? 501 : 400, E_PROTO);
	case HPE_INVALID_VERSION: return refuse(r, 505, E_PROTO);
	case HPE_HEADER_OVERFLOW: return refuse(r, 431, E_LIMIT);
	case HPE_INVALID_TRANSFER_ENCODING: return refuse(r, 501, E_PROTO);
	default: return refuse(r, 400, E_PROTO);
	}
}

/* Run the parser over bytes; *used says how many it took. */
static int
execute(struct http_req *r, const uint8_t *p, size_t n, size_t *used)
{
	*used = http_parser_execute(&r->parser, &callbacks, (const char *)p, n);
	enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);
	if (e == HPE_PAUSED && r->state == COMPLETE)
		return 0;
	if (e != HPE_OK)
		return parser_error(r);
	if (r->state == COMPLETE)
		return 0;
	return E_AGAIN;
}

/* Path and query of the target. */
static int
split_target(struct http_req *r)
{
	struct span t = r->target;
	static const char *const schemes[] = { "https://", "http://" };

	for (size_t i = 0; i < 2 && r->parser.method != HTTP_CONNECT; i++) {
		size_t k = strlen(schemes[i]);
		if (t.n < k || strncasecmp((const char *)t.p, schemes[i], k) != 0)
			continue;
		t = span_of(t.p + k, t.n - k);
		while (t.n > 0 && t.p[0] != '/' && t.p[0] != '?')
			t = span_of(t.p + 1, t.n - 1);
		if (t.n == 0)
			t = SPAN("/");
		break;
	}
	const uint8_t *hash = t.n ? memchr(t.p, '#', t.n) : NULL;
	if (hash)
		t.n = (size_t)(hash - t.p);
	const uint8_t *q = t.n ? memchr(t.p, '?', t.n) : NULL;
	r->query = q ? span_of(q + 1, t.n - (size_t)(q - t.p) - 1) : span_of(t.p, 0);
	r->path = q ? span_of(t.p, (size_t)(q - t.p)) : t;
	return r->path.n == 0 ? E_PROTO : 0;
}

/* libhttp-parser lets obs-fold and a blank before the colon pass; both are how
 * requests are smuggled (RFC 9112 5.1, 5.2). `line` is without its CRLF. */
static bool
header_line_ok(struct span line)
{
	size_t i = 0;
	while (i < line.n && is_tchar(line.p[i]))
		i++;
	return i > 0 && i < line.n && line.p[i] == ':';
}

/* One line of the head is complete (without CRLF). 0 when the head is. */
static int
line_done(struct http_req *r)
{
	struct span line =
		span_of(r->head + r->line_start, r->head_n - r->line_start - 2);
	size_t used;
	int rc;

	if (r->line_n == 0 && line.n == 0) {
		r->head_n = 0;
		return ++r->blanks > LEADING_BLANKS_MAX ? refuse(r, 400, E_PROTO)
							: E_AGAIN;
	}
	r->line_start = r->head_n;
	if (r->line_n == 0) {
		r->line_n = line.n;
		return E_AGAIN;
	}
	if (line.n > 0)
		return header_line_ok(line) ? E_AGAIN : refuse(r, 400, E_PROTO);

	rc = execute(r, r->head, r->head_n, &used);
	if (rc < 0 && rc != E_AGAIN)
		return rc;
	if (r->parser.http_major != 1)
		return refuse(r, 505, E_PROTO);
	if (split_target(r) < 0)
		return refuse(r, 400, E_PROTO);
	if (rc == E_AGAIN && r->state != IN_BODY)
		return refuse(r, 400, E_PROTO);
	/* Refuse a body we would not keep before it arrives. */
	if (rc == E_AGAIN && !(r->parser.flags & F_CHUNKED) &&
	    r->parser.content_length != (uint64_t)-1 &&
	    r->parser.content_length > HTTP_BODY_MAX)
		return refuse(r, 413, E_LIMIT);
	return rc;
}

static int
feed_head(struct http_req *r, struct span *in)
{
	while (in->n > 0) {
		uint8_t c = in->p[0];
		bool after_cr =
			r->head_n > r->line_start && r->head[r->head_n - 1] == '\r';

		if (r->line_n == 0 && r->head_n - r->line_start > HTTP_LINE_MAX)
			return refuse(r, 414, E_LIMIT);
		if (r->line_n > 0 && r->head_n - r->line_n > HTTP_HEAD_MAX)
			return refuse(r, 431, E_LIMIT);
		/* Lines end in CRLF and nothing else (RFC 9112 2.2): what one end
		 * sees as a line and the other does not is an attack. The same
		 * byte test turns TLS and other noise away early. */
		if (c == 0 || (c == '\n') != after_cr)
			return refuse(r, 400, E_PROTO);
		if (r->head_n == r->head_cap &&
		    grow(&r->head, r->head_n, &r->head_cap, r->head_n + 1, HEAD_FIRST,
			 HEAD_CAP) < 0)
			return refuse(r, 500, E_NOMEM);
		r->head[r->head_n++] = c;
		*in = span_of(in->p + 1, in->n - 1);
		if (c == '\n') {
			int rc = line_done(r);
			if (rc != E_AGAIN || r->state != IN_HEAD)
				return rc;
		}
	}
	return E_AGAIN;
}

static int
feed_body(struct http_req *r, struct span *in)
{
	size_t used;

	if (in->n == 0)
		return E_AGAIN;
	int rc = execute(r, in->p, in->n, &used);
	if (rc < 0 && rc != E_AGAIN)
		return rc;
	*in = span_of(in->p + used, in->n - used);
	r->body_raw += used;
	if (rc == E_AGAIN && r->body_raw > BODY_RAW_MAX)
		return refuse(r, 413, E_LIMIT);
	return rc;
}

static void
wipe(struct http_req *r)
{
	if (r->head)
		explicit_bzero(r->head, r->head_cap);
	if (r->body)
		explicit_bzero(r->body, r->body_cap);
}

int
http_req_new(struct http_req **out)
{
	struct http_req *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return E_NOMEM;
	*out = r;
	http_req_reset(r);
	return 0;
}

void
http_req_free(struct http_req *r)
{
	if (r == NULL)
		return;
	wipe(r);
	free(r->head);
	free(r->body);
	free(r);
}

void
http_req_reset(struct http_req *r)
{
	wipe(r);
	free(r->body);
	struct http_req fresh = { .head = r->head, .head_cap = r->head_cap };
	*r = fresh;
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
}

int
http_req_feed(struct http_req *r, struct span *in)
{
	int rc = r->state == COMPLETE ? 0 : r->state == BROKEN ? E_PROTO : E_AGAIN;

	if (r->state == IN_HEAD)
		rc = feed_head(r, in);
	if (r->state == IN_BODY)
		rc = feed_body(r, in);
	return rc;
}

bool
http_req_begun(const struct http_req *r)
{
	return r->head_n > 0 || r->state != IN_HEAD;
}

int
http_req_status(const struct http_req *r)
{
	return r->status ? r->status : 400;
}

enum http_verb
http_req_verb(const struct http_req *r)
{
	switch ((enum http_method)r->parser.method) {
	case HTTP_GET: return VERB_GET;
	case HTTP_HEAD: return VERB_HEAD;
	case HTTP_POST: return VERB_POST;
	case HTTP_CONNECT: return VERB_CONNECT;
	default: return VERB_OTHER;
	}
}

struct span
http_req_path(const struct http_req *r)
{
	return r->path;
}

struct span
http_req_query(const struct http_req *r)
{
	return r->query;
}

struct span
http_req_body(const struct http_req *r)
{
	return span_of(r->body, r->body_n);
}

bool
http_req_keep_alive(const struct http_req *r)
{
	return r->keep_alive;
}

size_t
http_req_headers(const struct http_req *r)
{
	return r->n_header;
}

void
http_req_header_at(const struct http_req *r, size_t i, struct span *name,
		   struct span *value)
{
	*name = r->header[i].name;
	*value = r->header[i].value;
}

bool
http_name_is(struct span a, const char *b)
{
	return a.n == strlen(b) && strncasecmp((const char *)a.p, b, a.n) == 0;
}

bool
http_contains(struct span in, const char *word)
{
	size_t k = strlen(word);
	for (size_t i = 0; k <= in.n && i <= in.n - k; i++)
		if (strncasecmp((const char *)in.p + i, word, k) == 0)
			return true;
	return false;
}

bool
http_req_header(const struct http_req *r, const char *name, struct span *value)
{
	for (size_t i = 0; i < r->n_header; i++) {
		if (http_name_is(r->header[i].name, name)) {
			*value = r->header[i].value;
			return true;
		}
	}
	*value = (struct span){ 0 };
	return false;
}

bool
http_req_cookie(const struct http_req *r, const char *name, struct span *value)
{
	for (size_t i = 0; i < r->n_header; i++) {
		struct span left = r->header[i].value;
		if (!http_name_is(r->header[i].name, "Cookie"))
			continue;
		while (left.n > 0) {
			const uint8_t *semi = memchr(left.p, ';', left.n);
			size_t n = semi ? (size_t)(semi - left.p) : left.n;
			struct span pair = trim(span_of(left.p, n));
			left = span_of(left.p + n, left.n - n);
			if (left.n > 0)
				left = span_of(left.p + 1, left.n - 1);
			const uint8_t *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
			if (eq == NULL ||
			    !span_is(span_of(pair.p, (size_t)(eq - pair.p)), name))
				continue;
			*value = span_of(eq + 1, pair.n - (size_t)(eq - pair.p) - 1);
			return true;
		}
	}
	*value = (struct span){ 0 };
	return false;
}

const char *
http_reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	default: return "Unknown";
	}
}

void
http_res_begin(struct wr *w, int status, bool keep_alive)
{
	wr_fmt(w, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	wr_fmt(w, "Connection: %s\r\n", keep_alive ? "Keep-Alive" : "close");
}

void
http_res_header(struct wr *w, const char *name, struct span value)
{
	wr_str(w, name);
	wr_str(w, ": ");
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];
		wr_u8(w, c == '\r' || c == '\n' || c == 0 ? ' ' : c);
	}
	wr_str(w, "\r\n");
}

void
http_res_end(struct wr *w, const char *type, struct span body, bool is_head)
{
	if (type)
		http_res_header(w, "Content-Type", span_str(type));
	wr_fmt(w, "Content-Length: %zu\r\n\r\n", body.n);
	if (!is_head)
		wr_put(w, body);
}
