/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* OpenSSL begins, tlstx goes on, and an OpenSSL client notices nothing. */
#include "vpnd/worker/tlstx.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <openssl/ssl.h>

enum { ROUNDS = 300, ROOM = TLSTX_HEAD + TLSTX_TEXT_MAX + TLSTX_TAIL };

struct pair {
	SSL_CTX *server_ctx, *client_ctx;
	SSL *server, *client;
	struct tlstx_secret secret;
};

static uint8_t record[ROOM], got[TLSTX_TEXT_MAX];

static void
on_secret(const SSL *ssl, const char *line)
{
	struct pair *p = SSL_get_app_data(ssl);
	struct tlstx_secret s;

	if (tlstx_secret_read(line, &s) == 0)
		p->secret = s;
}

static void
move_bytes(SSL *from, SSL *to)
{
	uint8_t b[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), b, sizeof(b))) > 0)
		BIO_write(SSL_get_rbio(to), b, n);
}

static SSL *
end_new(SSL_CTX *ctx)
{
	SSL *s = SSL_new(ctx);

	SSL_set_bio(s, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return s;
}

static void
pair_open(struct pair *p, const char *suite)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	*p = (struct pair){ .server_ctx = SSL_CTX_new(TLS_server_method()),
			    .client_ctx = SSL_CTX_new(TLS_client_method()) };
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	SSL_CTX_use_certificate(p->server_ctx, cert);
	SSL_CTX_use_PrivateKey(p->server_ctx, key);
	SSL_CTX_set_ciphersuites(p->server_ctx, suite);
	SSL_CTX_set_num_tickets(p->server_ctx, 0);
	SSL_CTX_set_keylog_callback(p->server_ctx, on_secret);
	X509_free(cert);
	EVP_PKEY_free(key);
	p->server = end_new(p->server_ctx);
	p->client = end_new(p->client_ctx);
	SSL_set_app_data(p->server, p);
	SSL_set_accept_state(p->server);
	SSL_set_connect_state(p->client);
	for (int i = 0; i < 4; i++) {
		SSL_do_handshake(p->client);
		move_bytes(p->client, p->server);
		SSL_do_handshake(p->server);
		move_bytes(p->server, p->client);
	}
}

static void
pair_close(struct pair *p)
{
	SSL_free(p->server);
	SSL_free(p->client);
	SSL_CTX_free(p->server_ctx);
	SSL_CTX_free(p->client_ctx);
}

/* Text of n bytes, sealed; what does the client read? */
static bool
arrives(struct pair *p, struct tlstx *tx, size_t n, uint8_t fill)
{
	uint8_t *text = record + TLSTX_HEAD;
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		text[i] = (uint8_t)(fill + i * 7);
	if (tlstx_seal(tx, TLSTX_DATA, text, n, &total) != 0 ||
	    total != TLSTX_HEAD + n + TLSTX_TAIL)
		return false;
	BIO_write(SSL_get_rbio(p->client), record, (int)total);
	int r = SSL_read(p->client, got, sizeof(got));
	if (r != (int)n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (got[i] != (uint8_t)(fill + i * 7))
			return false;
	return true;
}

static void
a_client_notices_nothing(const char *suite)
{
	struct pair p;
	struct tlstx *tx = NULL;
	size_t good = 0, bad_n = 0;

	pair_open(&p, suite);
	is_str(SSL_get_cipher(p.client), suite, "%s: handshake", suite);
	for (int i = 0; i < 3; i++)
		SSL_write(p.server, "hello", 5);
	move_bytes(p.server, p.client);
	for (int i = 0; i < 3; i++)
		SSL_read(p.client, got, sizeof(got));
	is_int(tlstx_new(&tx, &p.secret, 3), 0, "%s: taken over after three records",
	       suite);
	for (size_t i = 1; i <= ROUNDS; i++) {
		size_t n = i < 200 ? i : i == ROUNDS ? TLSTX_TEXT_MAX : i * 50;
		if (arrives(&p, tx, n, (uint8_t)i))
			good++;
		else if (bad_n == 0)
			bad_n = n;
	}
	is_int(good, ROUNDS, "%s: all arrive (first bad one: %zu bytes)", suite, bad_n);

	/* New keys, three times. */
	for (int i = 0; i < 3; i++) {
		uint8_t update[TLSTX_UPDATE];
		is_int(tlstx_update(tx, update), 0, "%s: KeyUpdate", suite);
		BIO_write(SSL_get_rbio(p.client), update, sizeof(update));
		ok(arrives(&p, tx, 1400, (uint8_t)i) && arrives(&p, tx, 1, 9),
		   "%s: and what follows it arrives", suite);
	}

	/* What the client says is still OpenSSL's to read. */
	SSL_write(p.client, "upwards", 7);
	move_bytes(p.client, p.server);
	is_int(SSL_read(p.server, got, sizeof(got)), 7, "%s: the client is heard",
	       suite);

	uint8_t *alert = record + TLSTX_HEAD;
	size_t total;
	alert[0] = 1;
	alert[1] = 0;
	tlstx_seal(tx, TLSTX_ALERT, alert, 2, &total);
	BIO_write(SSL_get_rbio(p.client), record, (int)total);
	int n = SSL_read(p.client, got, sizeof(got));
	is_int(SSL_get_error(p.client, n), SSL_ERROR_ZERO_RETURN, "%s: close_notify",
	       suite);
	tlstx_free(tx);
	pair_close(&p);
}

static void
a_wrong_count_is_not_taken(void)
{
	struct pair p;
	struct tlstx *tx = NULL;

	pair_open(&p, "TLS_AES_256_GCM_SHA384");
	is_int(tlstx_new(&tx, &p.secret, 1), 0, "one too many");
	ok(!arrives(&p, tx, 10, 0), "the client refuses it");
	tlstx_free(tx);
	pair_close(&p);
}

static void
a_key_has_an_end(void)
{
	struct tlstx_secret s = { .n = 32 };
	struct tlstx *tx = NULL;
	const uint64_t most = UINT64_C(1) << 24;
	uint8_t update[TLSTX_UPDATE];
	size_t total;
	unsigned sealed = 0;

	is_int(tlstx_new(&tx, &s, most), E_TLS, "not after the last record of a key");
	is_int(tlstx_new(&tx, &s, most - 1030), 0, "shortly before");
	while (!tlstx_is_due(tx) && sealed < 100) {
		tlstx_seal(tx, TLSTX_DATA, record + TLSTX_HEAD, 10, &total);
		sealed++;
	}
	is_int(sealed, 6, "in time it says that it needs another");
	while (tlstx_seal(tx, TLSTX_DATA, record + TLSTX_HEAD, 10, &total) == 0 &&
	       sealed < 5000)
		sealed++;
	is_int(sealed, 1030, "and ends, should nobody listen");
	is_int(tlstx_update(tx, update), E_LIMIT, "for good");
	tlstx_free(tx);
}

static void
lines_of_the_key_log(void)
{
#define RANDOM "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	static const struct {
		const char *line;
		int rc;
		size_t n;
	} cases[] = {
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM " " RANDOM, 0, 32 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM " " RANDOM
		  "00112233445566778899AABBCCDDEEFF",
		  0, 48 },
		{ "CLIENT_TRAFFIC_SECRET_0 " RANDOM " " RANDOM, E_PROTO, 0 },
		{ "SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " RANDOM, E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM, E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM " ", E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM " " RANDOM "0", E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM " " RANDOM "00", E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 " RANDOM
		  " x0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		  E_PROTO, 0 },
		{ "SERVER_TRAFFIC_SECRET_0 ", E_PROTO, 0 },
		{ "", E_PROTO, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tlstx_secret s = { 0 };
		is_int(tlstx_secret_read(cases[i].line, &s), cases[i].rc, "line %zu",
		       i);
		if (cases[i].rc == 0)
			ok(s.n == cases[i].n && s.b[1] == 0x11 && s.b[15] == 0xff,
			   "line %zu: its secret", i);
	}
}

int
main(void)
{
	a_client_notices_nothing("TLS_AES_128_GCM_SHA256");
	a_client_notices_nothing("TLS_AES_256_GCM_SHA384");
	a_wrong_count_is_not_taken();
	a_key_has_an_end();
	lines_of_the_key_log();
	return done_testing();
}
