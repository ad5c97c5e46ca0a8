/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/dtls.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/time.h>

#define RESUME_CIPHERS                                                                 \
	"AES256-GCM-SHA384:AES128-GCM-SHA256:"                                         \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
#define PSK_CIPHERS "PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256"
#define PSK_IDENTITY "psk"
#define VERSION_10 0xfeffu
#define VERSION_12 0xfefdu
#define CLIENT_HELLO 1u
#define HELLO_VERIFY 3u
#define RANDOM_BYTES 32u
#define SESSION_S (30L * 24 * 3600)

/* In an abbreviated handshake the key exchange in a name means nothing: only
 * cipher and PRF hash count. */
static const struct {
	const char *name;
	uint16_t suite;
} suites[] = {
	{ "AES256-GCM-SHA384", 0x009d },
	{ "OC-DTLS1_2-AES256-GCM", 0x009d },
	{ "AES128-GCM-SHA256", 0x009c },
	{ "OC-DTLS1_2-AES128-GCM", 0x009c },
	{ "ECDHE-RSA-AES256-GCM-SHA384", 0xc030 },
	{ "ECDHE-RSA-AES128-GCM-SHA256", 0xc02f },
};

static const uint8_t id_context[] = "tandem";

struct dtls_ctx {
	SSL_CTX *resume;
	SSL_CTX *psk;
	BIO_METHOD *bio;
};

struct dtls {
	SSL *ssl;           /* NULL once settled */
	const char *cipher; /* OpenSSL's own text */
	dtls_send *send;
	void *arg;
	struct span in; /* the datagram being fed; empty outside dtls_feed */
	size_t mtu;
	enum dtls_mode mode;
	uint16_t suite;
	bool is_fed; /* the hello has been given to OpenSSL */
	bool is_done;
	bool has_finished; /* `finished` is set */
	bool has_given;    /* dtls_keys was called: two senders would share nonces */
	uint8_t finished[RECORD_NONCE]; /* explicit nonce of our Finished */
	uint8_t id[DTLS_ID];
	uint8_t secret[DTLS_MASTER];
};

uint16_t
dtls_suite_by_name(struct span name)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (span_is(name, suites[i].name))
			return suites[i].suite;
	return 0;
}

/* ---- the transport OpenSSL sees: one read, one write is one datagram ---- */

/* Our Finished is the first record of epoch 1 that leaves; its explicit nonce
 * tells record_tx where not to count (record.h). */
static void
note_finished(struct dtls *d, struct span datagram)
{
	struct record_head h;

	for (; record_peek(datagram, &h) == 0;
	     datagram = span_of(datagram.p + h.total, datagram.n - h.total)) {
		if (h.epoch == 0 || h.total < RECORD_HEADROOM)
			continue;
		memcpy(d->finished, datagram.p + RECORD_HEADER, RECORD_NONCE);
		d->has_finished = true;
		return;
	}
}

static int
bio_write(BIO *b, const char *p, int n)
{
	struct dtls *d = BIO_get_data(b);
	struct span out = span_of(p, (size_t)n);

	BIO_clear_retry_flags(b);
	if (!d->has_finished)
		note_finished(d, out);
	/* A datagram that cannot leave is a datagram lost: the retransmission
	 * timer is the remedy for both. */
	(void)d->send(d->arg, out);
	return n;
}

static int
bio_read(BIO *b, char *p, int cap)
{
	struct dtls *d = BIO_get_data(b);
	size_t n = d->in.n;

	BIO_clear_retry_flags(b);
	if (n == 0 || cap <= 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)cap)
		n = (size_t)cap;
	memcpy(p, d->in.p, n);
	d->in = (struct span){ 0 };
	return (int)n;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	struct dtls *d = BIO_get_data(b);

	switch (cmd) {
	case BIO_CTRL_FLUSH: return 1;
	case BIO_CTRL_DGRAM_QUERY_MTU: return (long)d->mtu;
	case BIO_CTRL_DGRAM_GET_FALLBACK_MTU: return (long)d->mtu;
	case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD: return 28; /* IPv4 and UDP */
	default: return 0;
	}
}

static int
bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* ---- contexts ---- */

/* The session the client "resumes": made here from what TLS handed over. */
static SSL_SESSION *
on_session_wanted(SSL *ssl, const unsigned char *id, int len, int *copy)
{
	struct dtls *d = SSL_get_app_data(ssl);
	const uint8_t suite[2] = { d->suite >> 8, d->suite & 0xff };
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
	SSL_SESSION *s;

	*copy = 0; /* the reference becomes OpenSSL's */
	if (len != DTLS_ID || CRYPTO_memcmp(id, d->id, DTLS_ID) != 0 || !cipher)
		return NULL;
	if (!(s = SSL_SESSION_new()))
		return NULL;
	if (SSL_SESSION_set1_id(s, d->id, DTLS_ID) != 1 ||
	    SSL_SESSION_set1_master_key(s, d->secret, DTLS_MASTER) != 1 ||
	    SSL_SESSION_set_cipher(s, cipher) != 1 ||
	    SSL_SESSION_set_protocol_version(s, DTLS1_2_VERSION) != 1 ||
	    /* Must equal the context's, or the session is silently ignored. */
	    SSL_SESSION_set1_id_context(s, id_context, sizeof(id_context)) != 1) {
		SSL_SESSION_free(s);
		return NULL;
	}
	SSL_SESSION_set_timeout(s, SESSION_S);
	return s;
}

static unsigned
on_psk_wanted(SSL *ssl, const char *identity, unsigned char *psk, unsigned max)
{
	const struct dtls *d = SSL_get_app_data(ssl);

	if (!identity || strcmp(identity, PSK_IDENTITY) != 0 || max < DTLS_PSK_KEY)
		return 0;
	memcpy(psk, d->secret, DTLS_PSK_KEY);
	return DTLS_PSK_KEY;
}

/* Asked only through DTLSv1_listen, for a hello whose cookie the caller has
 * verified already (or did not care about). */
static int
on_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	return 1;
}

static SSL_CTX *
context(uint64_t options, const char *ciphers)
{
	SSL_CTX *c = SSL_CTX_new(DTLS_server_method());

	if (!c)
		return NULL;
	/* NO_TICKET: clients do not expect the extra message. NO_RENEGOTIATION:
	 * all of record.h is about the one epoch. */
	SSL_CTX_set_options(c, options | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_NO_QUERY_MTU | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_cookie_verify_cb(c, on_cookie);
	if (SSL_CTX_set_min_proto_version(c, DTLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(c, DTLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_session_id_context(c, id_context, sizeof(id_context)) != 1 ||
	    SSL_CTX_set_cipher_list(c, ciphers) != 1) {
		SSL_CTX_free(c);
		return NULL;
	}
	return c;
}

static BIO_METHOD *
bio_method(void)
{
	BIO_METHOD *m =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "dtls");

	if (m && (BIO_meth_set_write(m, bio_write) != 1 ||
		  BIO_meth_set_read(m, bio_read) != 1 ||
		  BIO_meth_set_ctrl(m, bio_ctrl) != 1 ||
		  BIO_meth_set_create(m, bio_create) != 1)) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

int
dtls_ctx_new(struct dtls_ctx **out)
{
	struct dtls_ctx *c = calloc(1, sizeof(*c));

	if (!c)
		return E_NOMEM;
	/* Without NO_EXTENDED_MASTER_SECRET a client that offers it turns the
	 * resumption into a full handshake, takes that for an attack, and keeps
	 * off DTLS for good. */
	c->resume = context(SSL_OP_NO_EXTENDED_MASTER_SECRET, RESUME_CIPHERS);
	c->psk = context(0, PSK_CIPHERS);
	c->bio = bio_method();
	if (!c->resume || !c->psk || !c->bio) {
		dtls_ctx_free(c);
		ERR_clear_error();
		return E_TLS;
	}
	SSL_CTX_set_session_cache_mode(c->resume, SSL_SESS_CACHE_SERVER |
							  SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_get_cb(c->resume, on_session_wanted);
	SSL_CTX_set_session_cache_mode(c->psk, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_psk_server_callback(c->psk, on_psk_wanted);
	*out = c;
	return 0;
}

void
dtls_ctx_free(struct dtls_ctx *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->resume);
	SSL_CTX_free(c->psk);
	BIO_meth_free(c->bio);
	free(c);
}

/* ---- the first datagram ---- */

int
dtls_hello_parse(struct span datagram, struct dtls_hello *out)
{
	struct record_head h;
	struct dtls_hello hello = { 0 };

	if (record_peek(datagram, &h) < 0 || h.type != RECORD_HANDSHAKE ||
	    h.epoch != 0 || h.total != datagram.n)
		return E_PROTO;
	hello.seq = h.seq;

	struct rd r = rd_open(datagram);
	(void)rd_take(&r, RECORD_HEADER);
	uint8_t type = rd_u8(&r);
	uint32_t length = rd_u24(&r);
	uint16_t message_seq = rd_u16(&r);
	uint32_t frag_off = rd_u24(&r);
	uint32_t frag_len = rd_u24(&r);
	size_t body = rd_left(&r);
	uint16_t version = rd_u16(&r);
	(void)rd_take(&r, RANDOM_BYTES);
	uint8_t id_len = rd_u8(&r);
	rd_copy(&r, hello.id, DTLS_ID);
	hello.cookie = rd_take(&r, rd_u8(&r));

	if (rd_short(&r) || type != CLIENT_HELLO || frag_off != 0 ||
	    frag_len != length || length != body)
		return E_PROTO;
	if (version != VERSION_12 || id_len != DTLS_ID)
		return E_PROTO;
	/* A second hello answers a HelloVerifyRequest, and only that. */
	if (message_seq != (hello.cookie.n > 0 ? 1 : 0))
		return E_PROTO;
	*out = hello;
	return 0;
}

int
dtls_hello_id(struct span datagram, uint8_t id[DTLS_ID])
{
	struct dtls_hello h;
	int rc = dtls_hello_parse(datagram, &h);

	if (rc == 0)
		memcpy(id, h.id, DTLS_ID);
	return rc;
}

static bool
cookie_make(const uint8_t key[32], struct span address, const uint8_t id[DTLS_ID],
	    uint8_t out[DTLS_COOKIE])
{
	uint8_t text[128];
	struct wr w = wr_open(text, sizeof(text));
	unsigned n = 0;

	wr_bytes(&w, id, DTLS_ID); /* fixed length first: no two inputs read alike */
	wr_put(&w, address);
	return !wr_full(&w) && HMAC(EVP_sha256(), key, 32, text, w.n, out, &n) &&
	       n == DTLS_COOKIE;
}

int
dtls_cookie_keys_init(struct dtls_cookie_keys *k)
{
	return RAND_bytes(k->now, sizeof(k->now)) == 1 &&
			       RAND_bytes(k->before, sizeof(k->before)) == 1
		       ? 0
		       : E_TLS;
}

int
dtls_cookie_keys_rotate(struct dtls_cookie_keys *k)
{
	uint8_t next[sizeof(k->now)];

	if (RAND_bytes(next, sizeof(next)) != 1)
		return E_TLS;
	memcpy(k->before, k->now, sizeof(k->before));
	memcpy(k->now, next, sizeof(k->now));
	OPENSSL_cleanse(next, sizeof(next));
	return 0;
}

bool
dtls_cookie_ok(const struct dtls_cookie_keys *k, struct span address,
	       const struct dtls_hello *h)
{
	uint8_t want[DTLS_COOKIE];

	if (h->cookie.n != DTLS_COOKIE)
		return false;
	if (cookie_make(k->now, address, h->id, want) &&
	    CRYPTO_memcmp(want, h->cookie.p, DTLS_COOKIE) == 0)
		return true;
	return cookie_make(k->before, address, h->id, want) &&
	       CRYPTO_memcmp(want, h->cookie.p, DTLS_COOKIE) == 0;
}

int
dtls_hello_verify(const struct dtls_cookie_keys *k, struct span address,
		  const struct dtls_hello *h, uint8_t out[DTLS_VERIFY_BYTES])
{
	uint8_t cookie[DTLS_COOKIE];
	struct wr w = wr_open(out, DTLS_VERIFY_BYTES);

	if (!cookie_make(k->now, address, h->id, cookie))
		return E_TLS;
	wr_u8(&w, RECORD_HANDSHAKE);
	wr_u16(&w, VERSION_10); /* RFC 6347 4.2.1: whatever comes later */
	wr_u16(&w, 0);
	wr_u48(&w, h->seq);
	wr_u16(&w, 12 + 3 + DTLS_COOKIE);
	wr_u8(&w, HELLO_VERIFY);
	wr_u24(&w, 3 + DTLS_COOKIE);
	wr_u16(&w, 0);
	wr_u24(&w, 0);
	wr_u24(&w, 3 + DTLS_COOKIE);
	wr_u16(&w, VERSION_10);
	wr_u8(&w, DTLS_COOKIE);
	wr_bytes(&w, cookie, DTLS_COOKIE);
	return (int)w.n;
}

/* ---- one handshake ---- */

static bool
secret_fits(enum dtls_mode mode, uint16_t suite, size_t n)
{
	if (mode == DTLS_PSK)
		return suite == 0 && n == DTLS_PSK_KEY;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].suite == suite)
			return n == DTLS_MASTER;
	return false;
}

int
dtls_new(struct dtls **out, struct dtls_ctx *ctx, enum dtls_mode mode, uint16_t suite,
	 const uint8_t id[DTLS_ID], struct span secret, dtls_send *send, void *arg,
	 size_t mtu)
{
	if (!secret_fits(mode, suite, secret.n))
		return E_INVAL;
	struct dtls *d = calloc(1, sizeof(*d));
	if (!d)
		return E_NOMEM;
	d->send = send;
	d->arg = arg;
	d->mtu = mtu;
	d->mode = mode;
	d->suite = suite;
	memcpy(d->id, id, DTLS_ID);
	memcpy(d->secret, secret.p, secret.n);

	BIO *b = BIO_new(ctx->bio);
	d->ssl = SSL_new(mode == DTLS_PSK ? ctx->psk : ctx->resume);
	if (!b || !d->ssl || SSL_set_app_data(d->ssl, d) != 1) {
		BIO_free(b);
		dtls_free(d);
		ERR_clear_error();
		return E_NOMEM;
	}
	BIO_set_data(b, d);
	SSL_set_bio(d->ssl, b, b);
	SSL_set_mtu(d->ssl, (long)mtu);
	SSL_set_accept_state(d->ssl);
	*out = d;
	return 0;
}

/* Move the handshake as far as what is here allows. */
static int
step(struct dtls *d)
{
	ERR_clear_error();
	int rc = SSL_do_handshake(d->ssl);
	int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(d->ssl, rc);

	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return E_AGAIN;
	if (why != SSL_ERROR_NONE)
		return E_TLS;
	/* In resumption mode anything but a hit is a bug of ours, not a key. */
	if (d->mode == DTLS_RESUME && SSL_session_reused(d->ssl) != 1)
		return E_TLS;
	d->is_done = true;
	d->cipher = SSL_get_cipher_name(d->ssl);
	OPENSSL_cleanse(d->secret, sizeof(d->secret));
	SSL_free_buffers(d->ssl);
	return 0;
}

/* A hello with a cookie answers our HelloVerifyRequest, of which this SSL object
 * knows nothing: DTLSv1_listen sets its message numbers as if it did. */
static int
start_after_verify(struct dtls *d)
{
	BIO_ADDR *nobody = BIO_ADDR_new();
	if (!nobody)
		return E_NOMEM;
	ERR_clear_error();
	int rc = DTLSv1_listen(d->ssl, nobody);
	BIO_ADDR_free(nobody);
	ERR_clear_error();
	return rc == 1 ? 0 : E_TLS;
}

/* The channel is up; let OpenSSL repeat its last flight if that is what the peer
 * wants. */
static void
feed_finished(struct dtls *d)
{
	uint8_t sink[64];

	if (SSL_alloc_buffers(d->ssl) == 1)
		(void)SSL_read(d->ssl, sink, sizeof(sink));
	ERR_clear_error();
	SSL_free_buffers(d->ssl);
}

/* Data that overtook the client's Finished, or was sent after that was lost. Nobody
 * could read it yet, and it must not move OpenSSL's replay window past a repeated
 * Finished (dtls_keys tells where that was seen). */
static bool
is_early_data(struct span datagram)
{
	struct record_head h;

	return record_peek(datagram, &h) == 0 && h.type == RECORD_DATA;
}

int
dtls_feed(struct dtls *d, struct span datagram)
{
	struct dtls_hello h;
	int rc = 0;

	if (is_early_data(datagram))
		return d->is_done ? 0 : E_AGAIN;
	d->in = datagram;
	if (d->is_done) {
		if (d->ssl)
			feed_finished(d);
	} else {
		if (!d->is_fed && dtls_hello_parse(datagram, &h) == 0 && h.cookie.n > 0)
			rc = start_after_verify(d);
		d->is_fed = true;
		rc = rc == 0 ? step(d) : rc;
	}
	d->in = (struct span){ 0 };
	return rc;
}

bool
dtls_is_done(const struct dtls *d)
{
	return d->is_done;
}

int
dtls_next_timeout_ms(struct dtls *d)
{
	struct timeval tv;

	if (d->is_done || DTLSv1_get_timeout(d->ssl, &tv) != 1)
		return -1;
	/* Upwards: waking early would only find that it is not due yet. */
	return (int)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

int
dtls_on_timeout(struct dtls *d)
{
	if (d->is_done)
		return 0;
	ERR_clear_error();
	int rc = DTLSv1_handle_timeout(d->ssl);
	ERR_clear_error();
	return rc < 0 ? E_TLS : E_AGAIN;
}

/* ---- keys ---- */

/* RFC 5246 6.3, GCM has no MAC keys: client key, server key, client salt, server
 * salt. With or without extended master secret, the master is the final one. */
static int
key_block(const SSL *ssl, uint8_t *out, size_t n)
{
	static char label[] = "key expansion";
	uint8_t master[DTLS_MASTER], randoms[2 * RANDOM_BYTES];
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const EVP_MD *md = cipher ? SSL_CIPHER_get_handshake_digest(cipher) : NULL;
	const SSL_SESSION *s = SSL_get_session(ssl);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
	EVP_KDF_CTX *kc = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int rc = E_TLS;

	if (!md || !s || !kc ||
	    SSL_SESSION_get_master_key(s, master, sizeof(master)) != sizeof(master) ||
	    SSL_get_server_random(ssl, randoms, RANDOM_BYTES) != RANDOM_BYTES ||
	    SSL_get_client_random(ssl, randoms + RANDOM_BYTES, RANDOM_BYTES) !=
		    RANDOM_BYTES)
		goto free_kdf;

	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master,
						  sizeof(master)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label,
						  sizeof(label) - 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms,
						  sizeof(randoms)),
		OSSL_PARAM_construct_end(),
	};
	if (EVP_KDF_derive(kc, out, n, params) == 1)
		rc = 0;

free_kdf:
	OPENSSL_cleanse(master, sizeof(master));
	EVP_KDF_CTX_free(kc);
	EVP_KDF_free(kdf);
	ERR_clear_error();
	return rc;
}

static size_t
key_bytes(const SSL *ssl)
{
	const SSL_CIPHER *c = SSL_get_current_cipher(ssl);

	switch (c ? SSL_CIPHER_get_cipher_nid(c) : NID_undef) {
	case NID_aes_256_gcm: return 32;
	case NID_aes_128_gcm: return 16;
	default: return 0;
	}
}

int
dtls_material(const struct dtls *d, struct record_material *out)
{
	uint8_t block[2 * (RECORD_KEY_MAX + RECORD_SALT)];
	size_t k = d->is_done && d->ssl ? key_bytes(d->ssl) : 0;

	/* A server that is done has sent its Finished, so the nonce is known. */
	if (k == 0 || !d->has_finished)
		return E_INVAL;
	int rc = key_block(d->ssl, block, 2 * (k + RECORD_SALT));
	if (rc < 0)
		return rc;
	struct rd r = rd_open(span_of(block, sizeof(block)));
	*out = (struct record_material){ .tx.key_bytes = k, .rx.key_bytes = k };
	rd_copy(&r, out->rx.key, k); /* the client writes with the first */
	rd_copy(&r, out->tx.key, k);
	rd_copy(&r, out->rx.salt, RECORD_SALT);
	rd_copy(&r, out->tx.salt, RECORD_SALT);
	memcpy(out->taken, d->finished, RECORD_NONCE);
	OPENSSL_cleanse(block, sizeof(block));
	return 0;
}

int
dtls_keys(struct dtls *d, struct record_tx *tx, struct record_rx *rx)
{
	struct record_material m;

	if (d->has_given)
		return E_INVAL;
	int rc = dtls_material(d, &m);
	if (rc < 0)
		return rc;
	rc = record_tx_init(tx, &m.tx, m.taken);
	if (rc == 0 && (rc = record_rx_init(rx, &m.rx)) < 0)
		record_tx_free(tx);
	OPENSSL_cleanse(&m, sizeof(m));
	if (rc < 0)
		return rc;
	d->has_given = true;
	if (d->mode == DTLS_RESUME)
		dtls_settle(d);
	return 0;
}

void
dtls_settle(struct dtls *d)
{
	if (!d->has_given)
		return;
	SSL_free(d->ssl);
	d->ssl = NULL;
}

const char *
dtls_cipher_name(const struct dtls *d)
{
	return d->cipher ? d->cipher : "";
}

void
dtls_free(struct dtls *d)
{
	if (!d)
		return;
	SSL_free(d->ssl);
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}
