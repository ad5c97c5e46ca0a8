/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tls.c -- the TLS context: versions, the served chain, signatures asked of
 * `keys`, and the BIO that joins an SSL to its connection.
 *
 * The private key is never here. The key objects hold the public half and a
 * method whose sign function asks `keys` and waits: a P-256 signature and the
 * way there and back take some 30 us, less than any scheme to do something else
 * meanwhile would cost. The functions for such methods are deprecated in OpenSSL
 * 3; their successor is a provider of ten times the size, to be written when the
 * methods go away.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { SIGN_WAIT_MS = 300, SIGN_TRIES = 10 };
/* RFC 8446 B.4 */
enum { TLS_AES_128_GCM_ID = 0x1301, TLS_AES_256_GCM_ID = 0x1302 };

/* AES-128 first, as RFC 8446 9.1 has it: the processor does its SHA-256 many times
 * faster than SHA-384, of which a handshake's key schedule is made. */
#define SUITES_13                                                                      \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct key_owner {
	struct worker *w;
	uint32_t generation;
	EVP_PKEY *public_half;
};

/* keys may be restarted under our request: ask again. */
static int
ask_keys(struct key_owner *o, enum sign_scheme scheme, const uint8_t *data, size_t n,
	 uint8_t *sig, size_t cap, size_t *sig_n)
{
	static uint32_t last_id; /* names our question on this one line */
	static union ipc_body answer;
	struct ipc_key_sign ask = { .id = ++last_id,
				    .generation = o->generation,
				    .scheme = (uint8_t)scheme };

	if (n > sizeof(ask.data.p))
		return E_INVAL;
	memcpy(ask.data.p, data, n);
	ask.data.n = (uint32_t)n;
	for (int i = 0; i < SIGN_TRIES; i++) {
		enum ipc_type type;
		int rc = peer_send(&o->w->keys, IPC_key_sign, &ask);
		while (rc == 0) {
			rc = peer_receive(&o->w->keys, SIGN_WAIT_MS, &type, &answer);
			if (rc == 0 && type == IPC_key_signed &&
			    answer.key_signed.id == ask.id)
				break;
		}
		if (rc == E_AGAIN)
			continue;
		if (rc < 0)
			return rc;
		const struct ipc_key_signed *a = &answer.key_signed;
		if (a->is_bad || a->signature.n > cap)
			return E_TLS;
		memcpy(sig, a->signature.p, a->signature.n);
		*sig_n = a->signature.n;
		return 0;
	}
	log_limited(LOG_L_ERR, 0, "keys does not answer; a handshake fails");
	return E_AGAIN;
}

static int
sign_ec(int type, const unsigned char *digest, int n, unsigned char *sig,
	unsigned *sig_n, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *key)
{
	struct key_owner *o = EC_KEY_get_ex_data(key, 0);
	size_t got;

	if (o == NULL || ask_keys(o, SIGN_ECDSA, digest, (size_t)n, sig,
				  (size_t)ECDSA_size(key), &got) < 0)
		return 0;
	*sig_n = (unsigned)got;
	return 1;
}

/* OpenSSL pads PSS by itself and comes here with the whole block; for PKCS#1 it
 * leaves the padding to us. keys signs padded blocks only. */
static int
sign_rsa(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	struct key_owner *o = RSA_get_ex_data(rsa, 0);
	uint8_t block[1024];
	size_t size = (size_t)RSA_size(rsa), got;

	if (o == NULL || size > sizeof(block))
		return -1;
	if (padding == RSA_PKCS1_PADDING) {
		if (RSA_padding_add_PKCS1_type_1(block, (int)size, from, n) != 1)
			return -1;
	} else if (padding == RSA_NO_PADDING && (size_t)n == size) {
		memcpy(block, from, size);
	} else {
		return -1;
	}
	if (ask_keys(o, SIGN_RSA_PAD, block, size, to, size, &got) < 0 || got != size)
		return -1;
	return (int)got;
}

static void
free_owner(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	OPENSSL_free(ptr);
}

/* An EVP_PKEY with the public key of the certificate and our method. */
static EVP_PKEY *
remote_key(struct worker *w, X509 *cert, uint32_t generation)
{
	static EC_KEY_METHOD *ec_method;
	static RSA_METHOD *rsa_method;
	EVP_PKEY *public_half = X509_get0_pubkey(cert), *key = EVP_PKEY_new();
	struct key_owner *o = OPENSSL_zalloc(sizeof(*o));
	bool done = false;

	if (public_half == NULL || key == NULL || o == NULL)
		goto out;
	*o = (struct key_owner){ .w = w, .generation = generation };
	if (EVP_PKEY_get_base_id(public_half) == EVP_PKEY_EC) {
		EC_KEY *ec = EVP_PKEY_get1_EC_KEY(public_half);
		EC_KEY *copy = ec ? EC_KEY_dup(ec) : NULL;
		EC_KEY_free(ec);
		if (copy == NULL)
			goto out;
		if (ec_method == NULL) {
			EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, free_owner);
			ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
			EC_KEY_METHOD_set_sign(ec_method, sign_ec, NULL, NULL);
		}
		EC_KEY_set_method(copy, ec_method);
		EC_KEY_set_ex_data(copy, 0, o);
		done = EVP_PKEY_assign_EC_KEY(key, copy) == 1;
	} else if (EVP_PKEY_get_base_id(public_half) == EVP_PKEY_RSA) {
		RSA *rsa = EVP_PKEY_get1_RSA(public_half);
		RSA *copy = rsa ? RSAPublicKey_dup(rsa) : NULL;
		RSA_free(rsa);
		if (copy == NULL)
			goto out;
		if (rsa_method == NULL) {
			RSA_get_ex_new_index(0, NULL, NULL, NULL, free_owner);
			rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
			RSA_meth_set_priv_enc(rsa_method, sign_rsa);
			RSA_meth_set_flags(rsa_method, RSA_METHOD_FLAG_NO_CHECK);
		}
		RSA_set_method(copy, rsa_method);
		RSA_set_ex_data(copy, 0, o);
		done = EVP_PKEY_assign_RSA(key, copy) == 1;
	}
out:
	if (!done) {
		OPENSSL_free(o);
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static int
wire_read(BIO *b, char *to, int n)
{
	struct conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (c->in.n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	size_t k = c->in.n < (size_t)n ? c->in.n : (size_t)n;
	memcpy(to, c->in.p, k);
	c->in.p += k;
	c->in.n -= k;
	return (int)k;
}

static int
wire_write(BIO *b, const char *from, int n)
{
	struct conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	return conn_tls_record(c, (const uint8_t *)from, (size_t)n) < 0 ? -1 : n;
}

static long
wire_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int
wire_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *
wire_method(void)
{
	static BIO_METHOD *m; /* made once, the same for all */

	if (m == NULL && (m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire")) != NULL) {
		BIO_meth_set_read(m, wire_read);
		BIO_meth_set_write(m, wire_write);
		BIO_meth_set_ctrl(m, wire_ctrl);
		BIO_meth_set_create(m, wire_create);
	}
	return m;
}

int
tls_versions(struct worker *w)
{
	int max = w->cfg->tls_max == TLS_MAX_12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	return SSL_CTX_set_min_proto_version(w->tls, TLS1_2_VERSION) == 1 &&
			       SSL_CTX_set_max_proto_version(w->tls, max) == 1
		       ? 0
		       : E_TLS;
}

/* Nearly every certificate passes here, so that its owner can be told what is wrong
 * with it: clientcert.h judges before any form is sent. But the next thing in the
 * handshake is to verify with its key, and a stranger's huge one would cost us a
 * hundred times what a handshake does. */
static int
let_pass(X509_STORE_CTX *ctx, void *arg)
{
	EVP_PKEY *key = X509_get0_pubkey(X509_STORE_CTX_get0_cert(ctx));

	if (key != NULL && EVP_PKEY_get_bits(key) <= CLIENTCERT_KEY_BITS)
		return 1;
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
	return 0;
}

int
tls_client_certs(struct worker *w)
{
	bool is_asked = w->cfg->client_certificate != CLIENT_CERT_OFF;
	STACK_OF(X509_NAME) *names = NULL;

	if (is_asked && w->client_ca != NULL &&
	    (names = SSL_dup_CA_list(clientcert_names(w->client_ca))) == NULL)
		return E_NOMEM;
	SSL_CTX_set_client_CA_list(w->tls, names); /* takes it */
	/* Without fail-if-none: most connections of a session have no need of one. */
	SSL_CTX_set_verify(w->tls, is_asked ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return 0;
}

/* Of all secrets the one that tlstx may need. */
static void
on_secret(const SSL *ssl, const char *line)
{
	struct conn *c = BIO_get_data(SSL_get_rbio(ssl));
	struct tlstx_secret secret;

	if (tlstx_secret_read(line, &secret) < 0)
		return;
	SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(ssl), NULL);
	/* Who wants smaller records (RFC 6066 4) gets OpenSSL's. */
	if (SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl)) !=
	    TLSEXT_max_fragment_length_DISABLED)
		return;
	switch (SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))) {
	case TLS_AES_128_GCM_ID:
	case TLS_AES_256_GCM_ID: c->tls_secret = secret; break;
	default: break; /* ChaCha20's is as long as one of these */
	}
	OPENSSL_cleanse(&secret, sizeof(secret));
}

/* The secret for what we send comes after our Finished, next but one, and OpenSSL is
 * not asked for the others: writing out all five as text costs 3 % of a login. A
 * KeyUpdate that asks for one in return (RFC 8446 4.6.3) OpenSSL would answer before
 * what it sends next. */
static void
on_message(int is_sent, int version, int type, const void *p, size_t n, SSL *ssl,
	   void *arg)
{
	const uint8_t *m = p;

	if (type != SSL3_RT_HANDSHAKE || n <= SSL3_HM_HEADER_LENGTH)
		return;
	if (is_sent && m[0] == SSL3_MT_FINISHED && SSL_version(ssl) == TLS1_3_VERSION)
		SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(ssl), on_secret);
	else if (!is_sent && m[0] == SSL3_MT_KEY_UPDATE &&
		 m[SSL3_HM_HEADER_LENGTH] == SSL_KEY_UPDATE_REQUESTED)
		conn_tls_update(BIO_get_data(SSL_get_rbio(ssl)));
}

int
tls_init(struct worker *w)
{
	w->tls = SSL_CTX_new(TLS_server_method());
	if (w->tls == NULL)
		return E_TLS;
	SSL_CTX_set_options(w->tls, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					    SSL_OP_CIPHER_SERVER_PREFERENCE |
					    SSL_OP_NO_COMPRESSION |
					    SSL_OP_PRIORITIZE_CHACHA |
					    SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* No tickets: a client's second connection follows a token, and ticket
	 * keys would have to be common to all workers. Nor can a resumed session
	 * skip the check of a client's certificate. */
	SSL_CTX_set_num_tickets(w->tls, 0);
	SSL_CTX_set_session_cache_mode(w->tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(w->tls, SSL_MODE_RELEASE_BUFFERS |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(w->tls, 0);
	SSL_CTX_set_client_hello_cb(w->tls, challenge_on_hello, NULL);
	SSL_CTX_set_cert_verify_callback(w->tls, let_pass, NULL);
	SSL_CTX_set_max_cert_list(w->tls, CLIENTCERT_LIST);
	SSL_CTX_set_msg_callback(w->tls, on_message);
	if (SSL_CTX_set_cipher_list(w->tls, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set_ciphersuites(w->tls, SUITES_13) != 1 ||
	    SSL_CTX_set1_groups_list(w->tls, "X25519:P-256:P-384") != 1)
		return E_TLS;
	int rc = tls_client_certs(w);
	return rc < 0 ? rc : tls_versions(w);
}

static void
fingerprint(X509 *cert, char hex[41])
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	X509_digest(cert, EVP_sha1(), md, &n);
	for (unsigned i = 0; i < n && i < 20; i++)
		snprintf(hex + 2 * i, 3, "%02X", md[i]);
}

/* SSL_CTX_use_certificate and the chain change together or not at all: a new
 * context is built and put in the place of the old one, which lives on in the
 * connections that began with it. */
int
tls_chain(struct worker *w, struct span pem, uint32_t generation)
{
	SSL_CTX *old = w->tls;
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *leaf = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL, *ca;
	EVP_PKEY *key = leaf ? remote_key(w, leaf, generation) : NULL;
	int rc = key ? tls_init(w) : E_TLS;

	if (rc == 0 && (SSL_CTX_use_certificate(w->tls, leaf) != 1 ||
			SSL_CTX_use_PrivateKey(w->tls, key) != 1))
		rc = E_TLS;
	while (rc == 0 && (ca = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(w->tls, ca) != 1) {
			X509_free(ca);
			rc = E_TLS;
		}
	ERR_clear_error(); /* the end of the PEM text is an error to OpenSSL */
	if (rc == 0) {
		SSL_CTX_free(old);
		w->cert_generation = generation;
		fingerprint(leaf, w->cert_sha1);
	} else if (w->tls != old) {
		SSL_CTX_free(w->tls);
		w->tls = old;
	}
	EVP_PKEY_free(key);
	X509_free(leaf);
	BIO_free(b);
	return rc;
}

int
tls_attach(struct conn *c)
{
	BIO *b = BIO_new(wire_method());

	c->ssl = b ? SSL_new(c->w->tls) : NULL;
	if (c->ssl == NULL) {
		BIO_free(b);
		return E_NOMEM;
	}
	BIO_set_data(b, c);
	SSL_set_bio(c->ssl, b, b);
	SSL_set_accept_state(c->ssl);
	return 0;
}
