/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/ocspwire.h"

#include "common/err.h"
#include "common/wr.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_MAX = 2048 };

/* ---- where */

static bool
is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return false; /* it goes into a request line */
	return true;
}

int
ocsp_url_parse(const char *text, struct ocsp_url *u)
{
	static const char scheme[] = "http://";

	*u = (struct ocsp_url){ .port = "80", .path = "/" };
	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0 || !is_clean(text))
		return E_INVAL;
	const char *host = text + sizeof(scheme) - 1, *end;
	size_t n = strcspn(host, "/?#");
	if (memchr(host, '@', n) != NULL)
		return E_INVAL;
	if (host[0] == '[') {
		end = memchr(host, ']', n);
		if (end == NULL)
			return E_INVAL;
		host++;
	} else {
		const char *colon = memchr(host, ':', n);
		end = colon ? colon : host + n;
	}
	if (end == host || (size_t)(end - host) >= sizeof(u->host))
		return E_INVAL;
	memcpy(u->host, host, (size_t)(end - host));
	end += *end == ']';
	if (*end == ':') {
		size_t k = strspn(end + 1, "0123456789");
		if (k == 0 || k >= sizeof(u->port))
			return E_INVAL;
		memcpy(u->port, end + 1, k);
		u->port[k] = '\0';
		end += 1 + k;
	}
	if (*end != '\0' && *end != '/')
		return E_INVAL;
	n = strcspn(end, "#");
	if (n >= sizeof(u->path))
		return E_INVAL;
	if (n > 0) {
		memcpy(u->path, end, n);
		u->path[n] = '\0';
	}
	return 0;
}

int
ocsp_url_of(X509 *leaf, struct ocsp_url *u)
{
	STACK_OF(OPENSSL_STRING) *list = X509_get1_ocsp(leaf);
	int rc = E_NOENT;

	for (int i = 0; rc < 0 && i < sk_OPENSSL_STRING_num(list); i++)
		rc = ocsp_url_parse(sk_OPENSSL_STRING_value(list, i), u);
	X509_email_free(list);
	return rc;
}

/* ---- what is sent */

static OCSP_CERTID *
id_of(X509 *leaf, X509 *issuer)
{
	/* SHA-1 names the certificate here, nothing more; it is the one digest that
	 * every responder knows (RFC 5019 2.1.1). */
	return OCSP_cert_to_id(EVP_sha1(), leaf, issuer);
}

static int
request_der(X509 *leaf, X509 *issuer, uint8_t **der)
{
	OCSP_REQUEST *q = OCSP_REQUEST_new();
	OCSP_CERTID *id = id_of(leaf, issuer);
	int n = -1;

	*der = NULL;
	if (q != NULL && id != NULL && OCSP_request_add0_id(q, id) != NULL) {
		id = NULL; /* the request's now */
		n = i2d_OCSP_REQUEST(q, der);
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(q);
	ERR_clear_error();
	return n;
}

int
ocsp_request(const struct ocsp_url *u, X509 *leaf, X509 *issuer, uint8_t **bytes,
	     size_t *n)
{
	uint8_t *der;
	int der_n = request_der(leaf, issuer, &der);
	bool is_v6 = strchr(u->host, ':') != NULL;

	*bytes = der_n > 0 ? malloc(REQUEST_MAX) : NULL;
	if (*bytes == NULL) {
		OPENSSL_free(der);
		return E_NOMEM;
	}
	struct wr w = wr_open(*bytes, REQUEST_MAX);
	wr_fmt(&w, "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\n", u->path, is_v6 ? "[" : "",
	       u->host, is_v6 ? "]" : "", u->port);
	wr_fmt(&w,
	       "Content-Type: application/ocsp-request\r\nContent-Length: %d\r\n"
	       "Accept: application/ocsp-response\r\nConnection: close\r\n\r\n",
	       der_n);
	wr_bytes(&w, der, (size_t)der_n);
	OPENSSL_free(der);
	if (wr_full(&w)) {
		free(*bytes);
		*bytes = NULL;
		return E_LIMIT;
	}
	*n = w.n;
	return 0;
}

/* ---- what comes back */

static int
on_headers(http_parser *p)
{
	struct ocsp_reply *r = p->data;

	/* A redirect, too: who the CA named is who is asked. */
	if (p->status_code != 200)
		r->rc = E_PROTO;
	return r->rc < 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct ocsp_reply *r = p->data;

	if (n > sizeof(r->body) - r->n) {
		r->rc = E_LIMIT;
		return 1;
	}
	memcpy(r->body + r->n, at, n);
	r->n += n;
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct ocsp_reply *r = p->data;

	r->is_complete = true;
	http_parser_pause(p, 1); /* a second message is none of ours */
	return 0;
}

static const http_parser_settings settings = {
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void
ocsp_reply_begin(struct ocsp_reply *r)
{
	r->is_complete = false;
	r->rc = 0;
	r->n = r->taken = 0;
	http_parser_init(&r->parser, HTTP_RESPONSE);
	r->parser.data = r;
}

int
ocsp_reply_feed(struct ocsp_reply *r, struct span bytes)
{
	if (r->rc < 0)
		return r->rc;
	if (r->is_complete)
		return 0;
	r->taken += bytes.n;
	if (r->taken > OCSP_ANSWER_MAX + OCSP_ANSWER_MAX / 4)
		return r->rc = E_LIMIT;
	http_parser_execute(&r->parser, &settings, (const char *)bytes.p, bytes.n);
	if (r->rc < 0)
		return r->rc;
	if (r->is_complete)
		return 0;
	if (HTTP_PARSER_ERRNO(&r->parser) != HPE_OK || bytes.n == 0)
		return r->rc = E_PROTO;
	return E_AGAIN;
}

/* ---- what it says */

/* The issuer is all that is trusted here, whatever stands above it. */
static bool
is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool ok = false;

	if (store != NULL && certs != NULL && sk_X509_push(certs, issuer) > 0 &&
	    X509_STORE_add_cert(store, issuer) == 1) {
		X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
		ok = OCSP_basic_verify(basic, certs, store, OCSP_PARTIAL_CHAIN) == 1;
	}
	sk_X509_free(certs);
	X509_STORE_free(store);
	return ok;
}

static unsigned
keep_for(const ASN1_GENERALIZEDTIME *next)
{
	int days = 0, seconds = 0;

	if (next == NULL)
		return OCSP_KEEP_MIN_S;
	if (ASN1_TIME_diff(&days, &seconds, NULL, next) != 1 || days < 0 || seconds < 0)
		return 0;
	return days > 0 || seconds > OCSP_KEEP_MAX_S ? OCSP_KEEP_MAX_S
						     : (unsigned)seconds;
}

static enum ocsp_status
status_in(OCSP_BASICRESP *basic, OCSP_CERTID *id, unsigned *keep_s, const char **why)
{
	ASN1_GENERALIZEDTIME *revoked, *from, *next;
	int status, reason;

	*why = "the answer is about another certificate";
	if (OCSP_resp_find_status(basic, id, &status, &reason, &revoked, &from,
				  &next) != 1)
		return OCSP_NO_ANSWER;
	*why = "the answer is too old, or of the future";
	if (OCSP_check_validity(from, next, OCSP_SKEW_S,
				next != NULL ? -1 : OCSP_KEEP_MAX_S) != 1)
		return OCSP_NO_ANSWER;
	*keep_s = keep_for(next);
	switch (status) {
	case V_OCSP_CERTSTATUS_GOOD: *why = "good"; return OCSP_IS_GOOD;
	case V_OCSP_CERTSTATUS_REVOKED: *why = "revoked"; return OCSP_IS_REVOKED;
	default: *why = "unknown to the responder"; return OCSP_IS_UNKNOWN;
	}
}

enum ocsp_status
ocsp_judge(struct span der, X509 *leaf, X509 *issuer, unsigned *keep_s,
	   const char **why)
{
	const unsigned char *p = der.p;
	OCSP_RESPONSE *answer = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
	OCSP_BASICRESP *basic = NULL;
	OCSP_CERTID *id = id_of(leaf, issuer);
	enum ocsp_status s = OCSP_NO_ANSWER;

	*keep_s = 0;
	*why = "the answer cannot be read";
	if (answer != NULL && p == der.p + der.n && id != NULL) {
		*why = "the responder refuses to answer";
		if (OCSP_response_status(answer) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
			basic = OCSP_response_get1_basic(answer);
	}
	if (basic != NULL) {
		*why = "the answer is not signed by the issuer or its responder";
		if (is_signed(basic, issuer))
			s = status_in(basic, id, keep_s, why);
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(answer);
	OCSP_CERTID_free(id);
	ERR_clear_error();
	return s;
}
