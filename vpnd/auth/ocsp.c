/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/ocsp.h"

#include "common/err.h"
#include "common/log.h"

#include <netdb.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 32, TEXT = 128 };

struct known {
	uint8_t key[KEY];
	uint64_t until_ms; /* 0: empty */
	enum ocsp_status status;
	char text[TEXT];
};

struct asker {
	ocsp_done done;
	void *arg;
	uint64_t id;
};

/* One question under way. It is freed when its handles are closed and the resolver
 * has let go of it, which may be after the answer was given. */
struct fetch {
	struct ocsp *o;
	struct fetch *next;
	uint8_t key[KEY];
	X509 *leaf, *issuer;
	struct ocsp_url url;
	uint8_t *request;
	size_t request_n;
	struct addrinfo *list, *at;
	uv_getaddrinfo_t dns;
	uv_timer_t timer;
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	bool is_over, has_dns, has_tcp;
	unsigned holds;
	struct ocsp_reply reply;
	char in[4096];
	unsigned n_asker;
	struct asker asker[OCSP_ASKERS];
};

struct ocsp {
	uv_loop_t *loop;
	struct fetch *first;
	unsigned fetches, next;
	struct known known[OCSP_CACHE];
};

/* ---- what is known */

static const struct known *
find(const struct ocsp *o, const uint8_t key[KEY])
{
	uint64_t now = uv_now(o->loop);

	for (unsigned i = 0; i < OCSP_CACHE; i++)
		if (o->known[i].until_ms > now &&
		    memcmp(o->known[i].key, key, KEY) == 0)
			return &o->known[i];
	return NULL;
}

static void
keep(struct ocsp *o, const struct fetch *f, enum ocsp_status s, unsigned keep_s,
     const char *text)
{
	if (keep_s == 0)
		return;
	struct known *k = &o->known[o->next++ % OCSP_CACHE];
	k->until_ms = uv_now(o->loop) + (uint64_t)keep_s * 1000;
	k->status = s;
	memcpy(k->key, f->key, KEY);
	snprintf(k->text, sizeof(k->text), "%s", text);
}

/* ---- the end of a question */

static void
let_go(struct fetch *f)
{
	if (--f->holds > 0)
		return;
	if (f->list != NULL)
		uv_freeaddrinfo(f->list);
	X509_free(f->leaf);
	X509_free(f->issuer);
	free(f->request);
	free(f);
}

static void
on_closed(uv_handle_t *h)
{
	let_go(h->data);
}

static void
unlink_fetch(struct fetch *f)
{
	struct fetch **at = &f->o->first;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->o->fetches--;
}

static void
close_fetch(struct fetch *f)
{
	f->is_over = true;
	unlink_fetch(f);
	if (f->has_dns)
		uv_cancel((uv_req_t *)&f->dns);
	if (f->has_tcp)
		uv_close((uv_handle_t *)&f->tcp, on_closed);
	f->has_tcp = false;
	uv_close((uv_handle_t *)&f->timer, on_closed);
}

static void
finish(struct fetch *f, enum ocsp_status s, unsigned keep_s, const char *why)
{
	char text[TEXT];

	if (f->is_over)
		return;
	snprintf(text, sizeof(text), "OCSP %.60s: %s", f->url.host, why);
	keep(f->o, f, s, s == OCSP_NO_ANSWER ? OCSP_SILENT_S : keep_s, text);
	log_limited(LOG_L_INFO, 0, "%s", text);
	close_fetch(f);
	for (unsigned i = 0; i < f->n_asker; i++)
		f->asker[i].done(f->asker[i].arg, f->asker[i].id, s, text);
}

static void
on_late(uv_timer_t *t)
{
	finish(t->data, OCSP_NO_ANSWER, 0, "no answer in time");
}

/* ---- the exchange */

static void try_next(struct fetch *f, const char *why);

static void
on_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct fetch *f = h->data;

	*buf = uv_buf_init(f->in, sizeof(f->in));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct fetch *f = s->data;
	unsigned keep_s;
	const char *why;

	if (f->is_over || n == 0)
		return;
	int rc = ocsp_reply_feed(&f->reply,
				 span_of(f->in, n > 0 ? (size_t)n : (size_t)0));
	if (rc == E_AGAIN)
		return;
	if (rc < 0) {
		finish(f, OCSP_NO_ANSWER, 0,
		       rc == E_LIMIT ? "the answer is too large"
				     : "the answer is not one of OCSP over HTTP");
		return;
	}
	enum ocsp_status status = ocsp_judge(span_of(f->reply.body, f->reply.n),
					     f->leaf, f->issuer, &keep_s, &why);
	finish(f, status, keep_s, why);
}

static void
on_written(uv_write_t *w, int status)
{
	struct fetch *f = w->data;

	if (!f->is_over && status < 0)
		try_next(f, "the connection broke");
}

static void
on_connected(uv_connect_t *c, int status)
{
	struct fetch *f = c->data;

	if (f->is_over || status == UV_ECANCELED)
		return;
	if (status < 0) {
		try_next(f, uv_strerror(status));
		return;
	}
	uv_buf_t b = uv_buf_init((char *)f->request, (unsigned)f->request_n);
	f->write.data = f;
	if (uv_read_start((uv_stream_t *)&f->tcp, on_room, on_read) < 0 ||
	    uv_write(&f->write, (uv_stream_t *)&f->tcp, &b, 1, on_written) < 0)
		finish(f, OCSP_NO_ANSWER, 0, "the connection broke");
}

/* The closed socket of the address before holds f, too. */
static void
on_tcp_closed(uv_handle_t *h)
{
	struct fetch *f = h->data;

	if (!f->is_over)
		try_next(f, NULL);
	let_go(f);
}

static void
try_next(struct fetch *f, const char *why)
{
	if (f->has_tcp) { /* the handle must be closed before it is used again */
		f->has_tcp = false;
		f->at = f->at->ai_next;
		if (f->at == NULL) {
			f->has_tcp = true;
			finish(f, OCSP_NO_ANSWER, 0, why);
			return;
		}
		uv_close((uv_handle_t *)&f->tcp, on_tcp_closed);
		return;
	}
	ocsp_reply_begin(&f->reply);
	uv_tcp_init(f->o->loop, &f->tcp);
	f->tcp.data = f->connect.data = f;
	f->has_tcp = true;
	f->holds++;
	int rc = uv_tcp_connect(&f->connect, &f->tcp, f->at->ai_addr, on_connected);
	if (rc < 0)
		try_next(f, uv_strerror(rc));
}

static void
on_resolved(uv_getaddrinfo_t *q, int status, struct addrinfo *list)
{
	struct fetch *f = q->data;

	f->has_dns = false;
	f->list = f->at = status == 0 ? list : NULL;
	if (!f->is_over && f->at == NULL)
		finish(f, OCSP_NO_ANSWER, 0, "its name is not known");
	else if (!f->is_over)
		try_next(f, NULL);
	let_go(f);
}

static int
begin(struct fetch *f)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct ocsp *o = f->o;

	f->next = o->first;
	o->first = f;
	o->fetches++;
	uv_timer_init(o->loop, &f->timer);
	f->timer.data = f->dns.data = f;
	f->holds = 1; /* the timer */
	uv_timer_start(&f->timer, on_late, OCSP_WAIT_MS, 0);
	int rc = uv_getaddrinfo(o->loop, &f->dns, on_resolved, f->url.host, f->url.port,
				&hints);
	if (rc == 0) {
		f->has_dns = true;
		f->holds++;
	}
	return rc;
}

/* ---- in and out */

static int
key_of(struct span leaf, struct span issuer, uint8_t key[KEY])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const uint32_t n = (uint32_t)leaf.n; /* where one ends and the other begins */
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(md, &n, sizeof(n)) == 1 &&
		  EVP_DigestUpdate(md, leaf.p, leaf.n) == 1 &&
		  EVP_DigestUpdate(md, issuer.p, issuer.n) == 1 &&
		  EVP_DigestFinal_ex(md, key, NULL) == 1;

	EVP_MD_CTX_free(md);
	return ok ? 0 : E_NOMEM;
}

static X509 *
x509_of(struct span der)
{
	const unsigned char *p = der.p;

	return d2i_X509(NULL, &p, (long)der.n);
}

static struct fetch *
fetch_of(struct ocsp *o, const uint8_t key[KEY])
{
	struct fetch *f = o->first;

	while (f != NULL && memcmp(f->key, key, KEY) != 0)
		f = f->next;
	return f;
}

/* A question that can be asked, or NULL with the reason. */
static struct fetch *
fetch_new(struct ocsp *o, struct span leaf, struct span issuer, const uint8_t key[KEY],
	  const char **why)
{
	struct fetch *f = o->fetches < OCSP_FETCHES ? calloc(1, sizeof(*f)) : NULL;

	*why = "too many questions at once";
	if (f == NULL)
		return NULL;
	f->o = o;
	f->holds = 1;
	memcpy(f->key, key, KEY);
	f->leaf = x509_of(leaf);
	f->issuer = x509_of(issuer);
	*why = "the certificate cannot be read";
	if (f->leaf != NULL && f->issuer != NULL) {
		*why = "the certificate names no responder that is asked by http";
		if (ocsp_url_of(f->leaf, &f->url) == 0 &&
		    ocsp_request(&f->url, f->leaf, f->issuer, &f->request,
				 &f->request_n) == 0)
			return f;
	}
	let_go(f);
	return NULL;
}

void
ocsp_check(struct ocsp *o, struct span leaf, struct span issuer, ocsp_done done,
	   void *arg, uint64_t id)
{
	uint8_t key[KEY];
	const char *why = "no memory";
	const struct known *k;

	if (key_of(leaf, issuer, key) < 0) {
		done(arg, id, OCSP_NO_ANSWER, why);
		return;
	}
	if ((k = find(o, key)) != NULL) {
		done(arg, id, k->status, k->text);
		return;
	}
	struct fetch *f = fetch_of(o, key);
	bool is_new = f == NULL;
	if (is_new)
		f = fetch_new(o, leaf, issuer, key, &why);
	if (f == NULL || f->n_asker == OCSP_ASKERS) {
		done(arg, id, OCSP_NO_ANSWER, why);
		return;
	}
	f->asker[f->n_asker++] = (struct asker){ done, arg, id };
	if (is_new && begin(f) < 0)
		finish(f, OCSP_NO_ANSWER, 0, "no resolver");
}

int
ocsp_new(struct ocsp **out, uv_loop_t *loop)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return E_NOMEM;
	(*out)->loop = loop;
	return 0;
}

bool
ocsp_is_idle(const struct ocsp *o)
{
	return o->first == NULL;
}

void
ocsp_free(struct ocsp *o)
{
	if (o == NULL)
		return;
	while (o->first != NULL)
		close_fetch(o->first);
	free(o);
}
