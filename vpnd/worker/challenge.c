/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* challenge.c -- which certificate a ClientHello gets.
 *
 * An ACME server that validates by RFC 8737 offers the protocol "acme-tls/1" and names
 * the host; it is shown the throw-away certificate that acmed made for that name, and
 * the connection ends. Who offers that protocol for any other name is refused; nobody
 * else ever sees such a certificate.
 *
 * Everybody else gets the chain that is served now: a connection that was opened before
 * a swap and speaks after it does not ask keys for a signature of the old one.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "common/rd.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <strings.h>

static const char acme_tls[] = "acme-tls/1"; /* RFC 8737 6.2 */

/* The selected protocol is told back, as RFC 8737 3 demands. */
static int
on_select(SSL *ssl, const unsigned char **out, unsigned char *out_n,
	  const unsigned char *in, unsigned in_n, void *arg)
{
	*out = (const unsigned char *)acme_tls;
	*out_n = sizeof(acme_tls) - 1;
	return SSL_TLSEXT_ERR_OK; /* on_hello has seen it among those offered */
}

static struct challenge *
find(struct worker *w, struct span name)
{
	for (unsigned i = 0; i < w->n_challenge && name.n > 0; i++) {
		struct challenge *c = &w->challenge[i];
		if (strlen(c->name) == name.n &&
		    strncasecmp(c->name, (const char *)name.p, name.n) == 0)
			return c;
	}
	return NULL;
}

static SSL_CTX *
make_context(struct span pem)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)"") : NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *x = NULL;

	BIO_free(b); /* key and certificate may come in either order */
	b = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (b != NULL)
		x = PEM_read_bio_X509(b, NULL, NULL, (void *)"");
	if (ctx == NULL || key == NULL || x == NULL ||
	    SSL_CTX_use_certificate(ctx, x) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	} else {
		SSL_CTX_set_alpn_select_cb(ctx, on_select, NULL);
	}
	ERR_clear_error();
	X509_free(x);
	EVP_PKEY_free(key);
	BIO_free(b);
	return ctx;
}

int
challenge_set(struct worker *w, const char *name, struct span pem)
{
	struct challenge *c = find(w, span_str(name));
	SSL_CTX *ctx = NULL;

	if (pem.n > 0 && (ctx = make_context(pem)) == NULL)
		return E_INVAL;
	if (c == NULL && ctx == NULL)
		return 0;
	if (c == NULL) {
		if (w->n_challenge == IPC_CHALLENGES) {
			SSL_CTX_free(ctx);
			return E_LIMIT;
		}
		c = &w->challenge[w->n_challenge++];
		snprintf(c->name, sizeof(c->name), "%s", name);
	}
	SSL_CTX_free(c->ctx);
	c->ctx = ctx;
	if (ctx == NULL) {
		*c = w->challenge[--w->n_challenge];
		w->challenge[w->n_challenge] = (struct challenge){ 0 };
	}
	return 0;
}

static struct span
extension(SSL *ssl, unsigned type)
{
	const unsigned char *p;
	size_t n;

	return SSL_client_hello_get0_ext(ssl, type, &p, &n) == 1 ? span_of(p, n)
								 : (struct span){ 0 };
}

/* RFC 7301 3.1: a list of strings, length 16 in front; each string has length 8. */
bool
challenge_is_offered(struct span alpn)
{
	struct rd r = rd_open(alpn);
	struct span list = rd_take(&r, rd_u16(&r));

	if (rd_short(&r))
		return false;
	r = rd_open(list);
	while (rd_left(&r) > 0) {
		struct span one = rd_take(&r, rd_u8(&r));
		if (rd_short(&r))
			return false;
		if (one.n == sizeof(acme_tls) - 1 &&
		    memcmp(one.p, acme_tls, one.n) == 0)
			return true;
	}
	return false;
}

/* RFC 6066 3: a list with one entry of type host_name (0). */
struct span
challenge_host(struct span server_name)
{
	struct rd r = rd_open(server_name);
	struct span list = rd_take(&r, rd_u16(&r));

	if (rd_short(&r))
		return (struct span){ 0 };
	r = rd_open(list);
	if (rd_u8(&r) != 0)
		return (struct span){ 0 };
	struct span name = rd_take(&r, rd_u16(&r));
	if (rd_short(&r))
		return (struct span){ 0 };
	return name;
}

int
challenge_on_hello(SSL *ssl, int *alert, void *arg)
{
	struct conn *c = BIO_get_data(SSL_get_rbio(ssl));
	struct worker *w = c->w;

	if (!challenge_is_offered(extension(
		    ssl, TLSEXT_TYPE_application_layer_protocol_negotiation))) {
		if (SSL_get_SSL_CTX(ssl) != w->tls)
			SSL_set_SSL_CTX(ssl, w->tls);
		return SSL_CLIENT_HELLO_SUCCESS;
	}
	struct challenge *found =
		find(w, challenge_host(extension(ssl, TLSEXT_TYPE_server_name)));
	if (found == NULL) {
		*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
		return SSL_CLIENT_HELLO_ERROR;
	}
	SSL_set_SSL_CTX(ssl, found->ctx);
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	c->is_challenge = true;
	return SSL_CLIENT_HELLO_SUCCESS;
}
