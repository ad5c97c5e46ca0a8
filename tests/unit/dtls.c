/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Handshakes and data against OpenSSL's own DTLS client in the same process. */
#include "vpnd/worker/dtls.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

/* ---- a wire that keeps datagram borders ---- */

struct wire {
	uint8_t d[16][2048];
	size_t n[16];
	unsigned in, out;
	int lose; /* drop that many next datagrams */
};

static int
wire_send(void *arg, struct span datagram)
{
	struct wire *w = arg;

	if (w->lose > 0) {
		w->lose--;
		return 0;
	}
	memcpy(w->d[w->in % 16], datagram.p, datagram.n);
	w->n[w->in++ % 16] = datagram.n;
	return 0;
}

static bool
wire_take(struct wire *w, uint8_t **p, size_t *n)
{
	*p = NULL;
	*n = 0;
	if (w->in == w->out)
		return false;
	*p = w->d[w->out % 16];
	*n = w->n[w->out++ % 16];
	return true;
}

struct peer {
	struct wire to_server, to_client;
	SSL_CTX *ctx;
	SSL *ssl;
};

static int
client_write(BIO *b, const char *p, int n)
{
	struct peer *c = BIO_get_data(b);
	wire_send(&c->to_server, span_of(p, (size_t)n));
	return n;
}

static int
client_read(BIO *b, char *p, int cap)
{
	struct peer *c = BIO_get_data(b);
	uint8_t *from;
	size_t n;

	BIO_clear_retry_flags(b);
	if (!wire_take(&c->to_client, &from, &n)) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(p, from, n < (size_t)cap ? n : (size_t)cap);
	return (int)n;
}

static long
client_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static int
client_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* ---- the client ---- */

static const uint8_t id[DTLS_ID] = "the id of this session, 32 byte";
static const uint8_t secret[DTLS_MASTER] =
	"forty-eight bytes agreed upon inside of TLS....";
static struct dtls_ctx *ctx;
static BIO_METHOD *client_bio;

struct how {
	enum dtls_mode mode;
	const char *cipher;
	uint16_t suite;
	bool has_ems;
	const uint8_t *key; /* the client's; NULL: the right one */
	const char *identity;
};

static const struct how *current;

static unsigned
client_psk(SSL *ssl, const char *hint, char *identity, unsigned max_id,
	   unsigned char *psk, unsigned max)
{
	snprintf(identity, max_id, "%s", current->identity ? current->identity : "psk");
	memcpy(psk, current->key ? current->key : secret, DTLS_PSK_KEY);
	return DTLS_PSK_KEY;
}

/* 20 ms, so that a lost datagram costs the test next to nothing. (OpenSSL takes
 * less than 15 for "now".) */
static unsigned
short_timer(SSL *ssl, unsigned was_us)
{
	return 20000;
}

static void
peer_new(struct peer *c, const struct how *how)
{
	memset(c, 0, sizeof(*c));
	current = how;
	c->ctx = SSL_CTX_new(DTLS_client_method());
	SSL_CTX_set_min_proto_version(c->ctx, DTLS1_2_VERSION);
	SSL_CTX_set_cipher_list(c->ctx, how->cipher);
	SSL_CTX_set_ciphersuites(c->ctx, "");
	SSL_CTX_set_psk_client_callback(c->ctx,
					how->mode == DTLS_PSK ? client_psk : NULL);
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_QUERY_MTU);
	if (!how->has_ems)
		SSL_CTX_set_options(c->ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	c->ssl = SSL_new(c->ctx);
	BIO *b = BIO_new(client_bio);
	BIO_set_data(b, c);
	SSL_set_bio(c->ssl, b, b);
	SSL_set_mtu(c->ssl, 1400);

	SSL_SESSION *s = SSL_SESSION_new();
	SSL_SESSION_set1_id(s, id, DTLS_ID);
	SSL_SESSION_set1_master_key(s, how->key ? how->key : secret, DTLS_MASTER);
	SSL_SESSION_set_cipher(s, sk_SSL_CIPHER_value(SSL_get_ciphers(c->ssl), 0));
	SSL_SESSION_set_protocol_version(s, DTLS1_2_VERSION);
	SSL_set_session(c->ssl, s);
	SSL_SESSION_free(s);
	SSL_set_connect_state(c->ssl);
}

static void
peer_free(struct peer *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	ERR_clear_error();
}

static struct dtls *
server_new(struct peer *c, const struct how *how)
{
	struct dtls *d = NULL;
	size_t n = how->mode == DTLS_PSK ? DTLS_PSK_KEY : DTLS_MASTER;
	int rc = dtls_new(&d, ctx, how->mode, how->suite, id, span_of(secret, n),
			  wire_send, &c->to_client, 1400);
	is_int(rc, 0, "handshake object");
	return d;
}

/* Let both ends talk until neither has news. Returns the server's last word. */
static int
talk(struct peer *c, struct dtls *d)
{
	int rc = E_AGAIN;
	uint8_t *p;
	size_t n;

	for (int i = 0; i < 20; i++) {
		SSL_do_handshake(c->ssl);
		bool any = false;
		while (rc != E_TLS && wire_take(&c->to_server, &p, &n)) {
			rc = dtls_feed(d, span_of(p, n));
			any = true;
		}
		if (!any)
			break;
	}
	ERR_clear_error();
	return rc;
}

/* Fifty sizes either way, and the client's goodbye. */
static void
records_flow(struct peer *c, struct record_tx *tx, struct record_rx *rx,
	     const char *why)
{
	uint8_t buf[2048], got[2048], *p, type;
	struct span out;
	size_t n;
	int same = 0;

	for (int i = 0; i < 50; i++) {
		size_t len = (size_t)(1 + i * 27);
		memset(buf + RECORD_HEADROOM, i, len);
		if (record_seal(tx, buf + RECORD_HEADROOM, len, &n) < 0)
			break;
		wire_send(&c->to_client, span_of(buf, n));
		int rc = SSL_read(c->ssl, got, sizeof(got));
		same += rc == (int)len && !memcmp(got, memset(buf, i, len), len);
	}
	is_int(same, 50, "%s: SSL_read reads what we seal", why);
	same = 0;
	for (int i = 0; i < 50; i++) {
		int len = 1 + i * 27;
		memset(buf, i, (size_t)len);
		SSL_write(c->ssl, buf, len);
		if (wire_take(&c->to_server, &p, &n) &&
		    record_open(rx, p, n, &type, &out) == 0)
			same += type == RECORD_DATA && out.n == (size_t)len &&
				!memcmp(out.p, buf, out.n);
	}
	is_int(same, 50, "%s: we open what SSL_write writes", why);

	SSL_shutdown(c->ssl);
	ok(wire_take(&c->to_server, &p, &n) &&
		   record_open(rx, p, n, &type, &out) == 0 && type == RECORD_ALERT &&
		   out.n == 2 && out.p[1] == 0,
	   "%s: its close_notify is an alert we can read", why);
	record_tx_free(tx);
	record_rx_free(rx);
}

static void
data_flows(struct peer *c, struct dtls *d, const char *why)
{
	struct record_tx tx;
	struct record_rx rx;
	int rc = dtls_keys(d, &tx, &rx);

	is_int(rc, 0, "%s: keys", why);
	if (rc == 0)
		records_flow(c, &tx, &rx, why);
}

static const struct how resume = { .mode = DTLS_RESUME,
				   .cipher = "AES256-GCM-SHA384",
				   .suite = 0x009d };
static const struct how psk = { .mode = DTLS_PSK, .cipher = "PSK-AES256-GCM-SHA384" };

static void
both_modes_and_key_sizes_shake_hands_and_carry_data(void)
{
	static const struct how table[] = {
		{ .mode = DTLS_RESUME, .cipher = "AES256-GCM-SHA384", .suite = 0x009d },
		{ .mode = DTLS_RESUME, .cipher = "AES128-GCM-SHA256", .suite = 0x009c },
		{ .mode = DTLS_RESUME,
		  .cipher = "ECDHE-RSA-AES256-GCM-SHA384",
		  .suite = 0xc030 },
		{ .mode = DTLS_RESUME,
		  .cipher = "ECDHE-RSA-AES128-GCM-SHA256",
		  .suite = 0xc02f },
		{ .mode = DTLS_RESUME,
		  .cipher = "AES256-GCM-SHA384",
		  .suite = 0x009d,
		  .has_ems = true },
		{ .mode = DTLS_PSK, .cipher = "PSK-AES256-GCM-SHA384" },
		{ .mode = DTLS_PSK, .cipher = "PSK-AES128-GCM-SHA256" },
		{ .mode = DTLS_PSK,
		  .cipher = "PSK-AES256-GCM-SHA384",
		  .has_ems = true },
		{ .mode = DTLS_PSK,
		  .cipher = "PSK-AES128-CCM:PSK-AES128-GCM-SHA256:PSK-AES256-CBC-SHA",
		  .has_ems = true },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct how *how = &table[i];
		struct peer c;
		peer_new(&c, how);
		struct dtls *d = server_new(&c, how);
		ok(!dtls_is_done(d), "not done at first");
		is_int(talk(&c, d), 0, "%s%s: server done", how->cipher,
		       how->has_ems ? ", EMS offered" : "");
		ok(dtls_is_done(d) && SSL_is_init_finished(c.ssl), "both sides done");
		is_int(SSL_session_reused(c.ssl), how->mode == DTLS_RESUME,
		       "reused or not");
		is_int(dtls_next_timeout_ms(d), -1, "no timer left");
		is_int(c.to_client.out, how->mode == DTLS_RESUME ? 1 : 2,
		       "as few datagrams as there can be");
		is_str(dtls_cipher_name(d), SSL_get_cipher_name(c.ssl), "one cipher");
		data_flows(&c, d, how->cipher);
		dtls_free(d);
		peer_free(&c);
	}
}

static void
our_nonces_stay_clear_of_openssls(void)
{
	static const struct how *both[] = { &resume, &psk };

	for (size_t i = 0; i < 2; i++) {
		struct peer c;
		peer_new(&c, both[i]);
		struct dtls *d = server_new(&c, both[i]);
		talk(&c, d);
		/* The Finished is the last 61 bytes of the last datagram: 13 header,
		 * 8 nonce, 24 message, 16 tag. */
		unsigned last = (c.to_client.in - 1) % 16;
		const uint8_t *fin = c.to_client.d[last] + c.to_client.n[last] - 61;
		ok(fin[0] == RECORD_HANDSHAKE && fin[4] == 1, "the Finished");

		struct record_tx tx;
		struct record_rx rx;
		uint8_t buf[64];
		size_t n;
		is_int(dtls_keys(d, &tx, &rx), 0, "keys");
		record_seal(&tx, buf + RECORD_HEADROOM, 1, &n);
		ok((buf[13] ^ fin[13]) == 0x80 && !memcmp(buf + 14, fin + 14, 7),
		   "half the number space away");
		ok(!memcmp(buf + 5, "\0\0\0\0\x03\xe8", 6), "record number 1000");
		record_tx_free(&tx);
		record_rx_free(&rx);
		dtls_free(d);
		peer_free(&c);
	}
}

/* The nonces of all records that left under one key. */
struct nonces {
	uint64_t n[64];
	unsigned count;
	bool is_unique;
};

static void
note_nonce(struct nonces *all, const uint8_t *explicit_part)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | explicit_part[i];
	for (unsigned i = 0; i < all->count; i++)
		all->is_unique &= all->n[i] != v;
	all->n[all->count++ % 64] = v;
}

static void
seal_some(struct peer *c, struct record_tx *tx, struct nonces *all, const char *why)
{
	uint8_t buf[256], got[256];
	int same = 0;
	size_t n;

	for (uint8_t i = 0; i < 8; i++) {
		memset(buf + RECORD_HEADROOM, 1 + i, 20);
		record_seal(tx, buf + RECORD_HEADROOM, 20, &n);
		note_nonce(all, buf + 13);
		wire_send(&c->to_client, span_of(buf, n));
		same += SSL_read(c->ssl, got, sizeof(got)) == 20 && got[0] == 1 + i;
	}
	ERR_clear_error();
	is_int(same, 8, "%s: OpenSSL reads them", why);
}

static size_t
client_says(struct peer *c, const char *what, uint8_t out[256])
{
	uint8_t *p;
	size_t n;

	SSL_write(c->ssl, what, (int)strlen(what));
	if (!wire_take(&c->to_server, &p, &n) || n > 256)
		return 0;
	memcpy(out, p, n);
	return n;
}

static void
a_channel_that_moves_takes_no_nonce_and_no_record_twice(const struct how *how)
{
	struct peer c;
	struct record_material m = { 0 }, as_read = { 0 };
	struct record_tx tx, tx2;
	struct record_rx rx, rx2;
	struct nonces all = { .is_unique = true };
	uint8_t bytes[RECORD_MATERIAL], late[256], last[256], next[256], copy[256],
		type;
	struct span out;

	peer_new(&c, how);
	struct dtls *d = server_new(&c, how);
	is_int(dtls_material(d, &m), E_INVAL, "%s: no keys before the handshake",
	       how->cipher);
	talk(&c, d);
	unsigned fin = (c.to_client.in - 1) % 16;
	note_nonce(&all, c.to_client.d[fin] + c.to_client.n[fin] - 61 + 13);
	is_int(dtls_material(d, &m), 0, "%s: its keys", how->cipher);
	is_int(dtls_keys(d, &tx, &rx), 0, "are in use");
	record_material_write(&m, bytes);
	is_int(record_material_read(bytes, &as_read), 0, "and travel");
	for (int move = 0; move < 4; move++) {
		seal_some(&c, &tx, &all, how->cipher);
		size_t late_n = client_says(&c, "late", late);
		size_t n = client_says(&c, "last", last);
		memcpy(copy, last, n);
		is_int(record_open(&rx, copy, n, &type, &out), 0, "the last one here");
		is_int(record_resume(&tx2, &rx2, &as_read, tx.seq, record_rx_top(&rx)),
		       0, "move %d", move);
		is_int(record_open(&rx2, last, n, &type, &out), E_STALE,
		       "what was taken there is not taken here");
		is_int(record_open(&rx2, late, late_n, &type, &out), E_STALE,
		       "nor what may have been");
		n = client_says(&c, "next", next);
		is_int(record_open(&rx2, next, n, &type, &out), 0, "the next one is");
		ok(span_is(out, "next"), "as it was said");
		record_tx_free(&tx);
		record_rx_free(&rx);
		tx = tx2;
		rx = rx2;
	}
	seal_some(&c, &tx, &all, how->cipher);
	ok(all.is_unique, "%s: no nonce of %u was used twice, OpenSSL's own included",
	   how->cipher, all.count);
	is_int(record_resume(&tx2, &rx2, &m, 0, 0), E_PROTO, "a number before ours");
	is_int(record_resume(&tx2, &rx2, &m, UINT64_MAX, 0), E_PROTO, "none is left");
	bytes[0] = 24;
	is_int(record_material_read(bytes, &m), E_PROTO, "a key of 24 bytes");
	record_tx_free(&tx);
	record_rx_free(&rx);
	dtls_free(d);
	peer_free(&c);
}

static void
channels_move(void)
{
	static const struct how table[] = {
		{ .mode = DTLS_RESUME, .cipher = "AES256-GCM-SHA384", .suite = 0x009d },
		{ .mode = DTLS_RESUME, .cipher = "AES128-GCM-SHA256", .suite = 0x009c },
		{ .mode = DTLS_PSK, .cipher = "PSK-AES256-GCM-SHA384" },
		{ .mode = DTLS_PSK, .cipher = "PSK-AES128-GCM-SHA256" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		a_channel_that_moves_takes_no_nonce_and_no_record_twice(&table[i]);
}

static void
a_lost_final_flight_is_sent_again(void)
{
	struct peer c;
	peer_new(&c, &psk);
	struct dtls *d = server_new(&c, &psk);
	struct record_tx tx;
	struct record_rx rx;
	uint8_t *p;
	size_t n;

	SSL_do_handshake(c.ssl);
	wire_take(&c.to_server, &p, &n);
	is_int(dtls_feed(d, span_of(p, n)), E_AGAIN, "hello in, more to come");
	ok(dtls_next_timeout_ms(d) > 0, "the server would repeat its flight");
	is_int(dtls_on_timeout(d), E_AGAIN, "but not yet");
	DTLS_set_timer_cb(c.ssl, short_timer);
	SSL_do_handshake(c.ssl);
	c.to_client.lose = 1;
	while (wire_take(&c.to_server, &p, &n))
		dtls_feed(d, span_of(p, n));
	ok(dtls_is_done(d) && !SSL_is_init_finished(c.ssl),
	   "we are done, the client is not");
	is_int(c.to_client.lose, 0, "our Finished is lost");
	/* The worker takes its keys here; that must not end OpenSSL's part. */
	is_int(dtls_keys(d, &tx, &rx), 0, "keys");

	usleep(20000);
	is_int(DTLSv1_handle_timeout(c.ssl), 1, "the client repeats itself");
	while (wire_take(&c.to_server, &p, &n))
		is_int(dtls_feed(d, span_of(p, n)), 0, "and is fed");
	SSL_do_handshake(c.ssl);
	ok(SSL_is_init_finished(c.ssl), "the client is done too");
	while (wire_take(&c.to_server, &p, &n)) /* on a busy machine it repeats twice */
		(void)dtls_feed(d, span_of(p, n));
	records_flow(&c, &tx, &rx, "after the repeat");
	dtls_free(d);
	peer_free(&c);
}

static void
data_may_overtake_the_clients_finished(void)
{
	struct peer c;
	peer_new(&c, &resume);
	struct dtls *d = server_new(&c, &resume);
	uint8_t *p, flight[2048];
	size_t n, flight_n;

	SSL_do_handshake(c.ssl);
	wire_take(&c.to_server, &p, &n);
	dtls_feed(d, span_of(p, n));
	SSL_do_handshake(c.ssl);
	ok(SSL_is_init_finished(c.ssl), "the client is done");
	wire_take(&c.to_server, &p, &flight_n);
	memcpy(flight, p, flight_n);
	int waits = 0;
	for (int i = 0; i < 200; i++) {
		SSL_write(c.ssl, "x", 1);
		wire_take(&c.to_server, &p, &n);
		waits += dtls_feed(d, span_of(p, n)) == E_AGAIN;
	}
	is_int(waits, 200, "data is passed over");
	is_int(dtls_feed(d, span_of(flight, flight_n)), 0,
	       "a late Finished is welcome");
	data_flows(&c, d, "late Finished");
	dtls_free(d);
	peer_free(&c);
}

static void
a_lost_first_answer_is_sent_again_for_a_repeated_hello(void)
{
	static const struct how *both[] = { &resume, &psk };

	for (size_t i = 0; i < 2; i++) {
		struct peer c;
		peer_new(&c, both[i]);
		struct dtls *d = server_new(&c, both[i]);
		uint8_t *p;
		size_t n;
		DTLS_set_timer_cb(c.ssl, short_timer);
		SSL_do_handshake(c.ssl);
		c.to_client.lose = 1;
		wire_take(&c.to_server, &p, &n);
		dtls_feed(d, span_of(p, n));
		usleep(20000);
		DTLSv1_handle_timeout(c.ssl);
		/* The repeat is not answered at once; our own timer does that. */
		while (wire_take(&c.to_server, &p, &n))
			is_int(dtls_feed(d, span_of(p, n)), E_AGAIN, "the repeat");
		int ms = dtls_next_timeout_ms(d);
		ok(ms > 0 && ms <= 1000, "due in %d ms", ms);
		dtls_free(d);
		peer_free(&c);
	}
}

static void
wrong_secrets_end_the_handshake(void)
{
	static const uint8_t other[DTLS_MASTER] = { 1 };
	static const struct how wrong[] = {
		{ .mode = DTLS_RESUME,
		  .cipher = "AES256-GCM-SHA384",
		  .suite = 0x009d,
		  .key = other },
		{ .mode = DTLS_PSK, .cipher = "PSK-AES256-GCM-SHA384", .key = other },
		{ .mode = DTLS_PSK,
		  .cipher = "PSK-AES256-GCM-SHA384",
		  .identity = "root" },
		/* The client's suite is not the one we promised. */
		{ .mode = DTLS_RESUME, .cipher = "AES128-GCM-SHA256", .suite = 0x009d },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct peer c;
		struct record_tx tx;
		struct record_rx rx;
		peer_new(&c, &wrong[i]);
		struct dtls *d = server_new(&c, &wrong[i]);
		talk(&c, d);
		ok(!dtls_is_done(d), "case %zu: never done", i);
		is_int(dtls_keys(d, &tx, &rx), E_INVAL, "and no keys");
		dtls_free(d);
		peer_free(&c);
	}
}

static size_t
hello_of(const struct how *how, uint8_t out[2048])
{
	struct peer c;
	peer_new(&c, how);
	SSL_do_handshake(c.ssl);
	size_t n = c.to_server.n[0];
	memcpy(out, c.to_server.d[0], n);
	peer_free(&c);
	return n;
}

static void
a_hello_gives_its_id_and_nothing_else_does(void)
{
	uint8_t hello[2048], bad[2048], got[DTLS_ID];
	size_t n = hello_of(&resume, hello);
	struct {
		size_t at;
		uint8_t v;
		const char *why;
	} cases[] = {
		{ 0, 23, "not a handshake record" },
		{ 2, 0xfc, "record version" },
		{ 4, 1, "epoch 1" },
		{ 12, 0x10, "record length" },
		{ 13, 2, "server_hello" },
		{ 16, 1, "message length" },
		{ 18, 1, "second message, no cookie" },
		{ 21, 1, "fragment" },
		{ 24, 1, "fragment length" },
		{ 26, 0xff, "DTLS 1.0" },
		{ 25, 0x03, "TLS" },
		{ 59, 31, "short id" },
		{ 59, 0, "no id" },
		{ 92, 1, "cookie in a first hello" },
		{ 92, 255, "cookie beyond the end" },
	};
	int refused = 0;

	is_int(dtls_hello_id(span_of(hello, n), got), 0, "a hello");
	is_mem(got, id, DTLS_ID, "its id");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(bad, hello, n);
		bad[cases[i].at] = cases[i].v;
		is_int(dtls_hello_id(span_of(bad, n), got), E_PROTO, "%s",
		       cases[i].why);
	}
	for (size_t cut = 0; cut < n; cut++)
		refused += dtls_hello_id(span_of(hello, cut), got) == E_PROTO;
	is_int(refused, n, "cut anywhere");
	hello[n] = 0;
	is_int(dtls_hello_id(span_of(hello, n + 1), got), E_PROTO, "trailing byte");
}

static void
old_versions_are_refused_by_the_handshake_too(void)
{
	struct how how = resume;
	uint8_t hello[2048];
	struct peer c;
	size_t n = hello_of(&how, hello);

	hello[26] = 0xff;
	peer_new(&c, &how);
	struct dtls *d = server_new(&c, &how);
	is_int(dtls_feed(d, span_of(hello, n)), E_TLS, "DTLS 1.0");
	dtls_free(d);
	peer_free(&c);
}

static void
an_id_that_is_not_ours_gets_no_session(void)
{
	uint8_t hello[2048];
	size_t n = hello_of(&resume, hello);
	struct peer c;

	hello[60] ^= 1;
	peer_new(&c, &resume);
	struct dtls *d = server_new(&c, &resume);
	is_int(dtls_feed(d, span_of(hello, n)), E_TLS, "refused");
	ok(!dtls_is_done(d), "and not done");
	dtls_free(d);
	peer_free(&c);
}

static void
damaged_datagrams_harm_nobody(void)
{
	static const struct how *both[] = { &resume, &psk };
	uint64_t rnd = 88172645463325252u;

	for (int round = 0; round < 300; round++) {
		struct peer c;
		struct dtls *d = NULL;
		const struct how *how = both[round % 2];
		uint8_t *p, bad[2048];
		size_t n;
		peer_new(&c, how);
		dtls_new(&d, ctx, how->mode, how->suite, id,
			 span_of(secret, how->mode == DTLS_PSK ? 32 : 48), wire_send,
			 &c.to_client, 1400);
		for (int i = 0; i < 4; i++) {
			SSL_do_handshake(c.ssl);
			while (wire_take(&c.to_server, &p, &n)) {
				rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
				memcpy(bad, p, n);
				if (rnd % 3 == 0)
					dtls_feed(d, span_of(bad, rnd / 3 % n));
				bad[rnd / 16 % n] ^= (uint8_t)(1 << rnd % 8);
				if (rnd % 3 == 1)
					dtls_feed(d, span_of(bad, n));
				dtls_feed(d, span_of(p, n));
			}
		}
		dtls_free(d);
		peer_free(&c);
	}
	ok(true, "300 handshakes with flipped bits and cuts");
}

static void
a_channel_that_is_up_cannot_be_talked_down(void)
{
	struct peer c;
	uint8_t hello[2048], alert[] = "\x15\xfe\xfd\0\0\0\0\0\0\0\x09\0\x02\x02\x28";
	size_t n = hello_of(&psk, hello);

	peer_new(&c, &psk);
	struct dtls *d = server_new(&c, &psk);
	talk(&c, d);
	is_int(dtls_feed(d, span_of(hello, n)), 0, "a stray hello");
	is_int(dtls_feed(d, span_of(alert, sizeof(alert) - 1)), 0,
	       "a plain fatal alert");
	is_int(dtls_feed(d, SPAN("garbage")), 0, "garbage");
	is_int(dtls_feed(d, SPAN("")), 0, "nothing");
	is_int(dtls_on_timeout(d), 0, "a late timer");
	ok(dtls_is_done(d), "still up");
	unsigned before = c.to_client.in;
	is_int(before, c.to_client.out, "nothing was answered");
	data_flows(&c, d, "undisturbed");
	dtls_free(d);
	peer_free(&c);
}

static void
a_cookie_proves_the_address(void)
{
	static const struct how *both[] = { &resume, &psk };
	struct dtls_cookie_keys keys;
	struct span here = SPAN("\xc0\0\2\1\x30\x39"),
		    there = SPAN("\xc0\0\2\2\x30\x39");
	uint8_t out[DTLS_VERIFY_BYTES], *p;
	struct dtls_hello h;
	size_t n;

	is_int(dtls_cookie_keys_init(&keys), 0, "keys");
	for (size_t i = 0; i < 2; i++) {
		struct peer c;
		peer_new(&c, both[i]);
		SSL_do_handshake(c.ssl);
		wire_take(&c.to_server, &p, &n);
		is_int(dtls_hello_parse(span_of(p, n), &h), 0, "first hello");
		ok(!dtls_cookie_ok(&keys, here, &h), "has no cookie");
		is_int(dtls_hello_verify(&keys, here, &h, out), DTLS_VERIFY_BYTES,
		       "ask");
		ok(sizeof(out) < n, "with less than was sent");
		wire_send(&c.to_client, span_of(out, sizeof(out)));

		SSL_do_handshake(c.ssl);
		ok(wire_take(&c.to_server, &p, &n), "the client repeats its hello");
		is_int(dtls_hello_parse(span_of(p, n), &h), 0, "second hello");
		is_mem(h.id, id, DTLS_ID, "same id");
		ok(dtls_cookie_ok(&keys, here, &h), "with our cookie");
		ok(!dtls_cookie_ok(&keys, there, &h), "good for this address only");
		dtls_cookie_keys_rotate(&keys);
		ok(dtls_cookie_ok(&keys, here, &h), "good after one rotation");
		struct dtls_cookie_keys later = keys;
		dtls_cookie_keys_rotate(&later);
		ok(!dtls_cookie_ok(&later, here, &h), "but not after two");
		h.id[0] ^= 1;
		ok(!dtls_cookie_ok(&keys, here, &h), "nor for another id");

		struct dtls *d = server_new(&c, both[i]);
		is_int(dtls_feed(d, span_of(p, n)), E_AGAIN, "the handshake starts");
		is_int(talk(&c, d), 0, "and ends well");
		data_flows(&c, d, "after a cookie");
		dtls_free(d);
		peer_free(&c);
	}
}

static void
suites_have_their_names(void)
{
	is_int(dtls_suite_by_name(SPAN("AES256-GCM-SHA384")), 0x009d, "plain");
	is_int(dtls_suite_by_name(SPAN("OC-DTLS1_2-AES128-GCM")), 0x009c,
	       "openconnect's");
	is_int(dtls_suite_by_name(SPAN("AES256-SHA")), 0, "unknown");
	is_int(dtls_suite_by_name(SPAN("")), 0, "empty");
}

static void
nonsense_arguments_are_refused(void)
{
	struct dtls *d;
	struct span s48 = span_of(secret, 48), s32 = span_of(secret, 32);

	is_int(dtls_new(&d, ctx, DTLS_RESUME, 0x009d, id, s32, wire_send, NULL, 1400),
	       E_INVAL, "short master");
	is_int(dtls_new(&d, ctx, DTLS_RESUME, 0x1301, id, s48, wire_send, NULL, 1400),
	       E_INVAL, "unknown suite");
	is_int(dtls_new(&d, ctx, DTLS_PSK, 0, id, s48, wire_send, NULL, 1400), E_INVAL,
	       "long PSK");
	dtls_free(NULL);
}

static void
a_settled_channel_is_small_and_still_carries_data(void)
{
	static const struct how *both[] = { &resume, &psk };

	for (size_t i = 0; i < 2; i++) {
		struct peer c;
		struct record_tx tx;
		struct record_rx rx;
		uint8_t *p, type, hello[2048];
		struct span out;
		size_t n, hello_n = hello_of(both[i], hello);
		peer_new(&c, both[i]);
		struct dtls *d = server_new(&c, both[i]);
		talk(&c, d);
		size_t high = mallinfo2().uordblks;
		dtls_settle(d);
		ok(mallinfo2().uordblks == high, "not before the keys are out");
		is_int(dtls_keys(d, &tx, &rx), 0, "keys");
		SSL_write(c.ssl, "x", 1);
		wire_take(&c.to_server, &p, &n);
		is_int(record_open(&rx, p, n, &type, &out), 0, "a record verifies");
		dtls_settle(d);
		dtls_settle(d);
#if !defined(__SANITIZE_ADDRESS__)
		size_t low = mallinfo2().uordblks;
		diag("%zu bytes given back", high - low);
		ok(high > low + 10000, "most of it is given back");
#endif
		is_int(dtls_feed(d, span_of(hello, hello_n)), 0,
		       "handshake records: fine");
		is_int(dtls_next_timeout_ms(d), -1, "no timer");
		is_int(dtls_on_timeout(d), 0, "nothing to repeat");
		is_str(dtls_cipher_name(d), both[i]->cipher, "the name stays");
		is_int(dtls_keys(d, &tx, &rx), E_INVAL, "keys are given once");
		record_tx_free(&tx);
		record_rx_free(&rx);
		dtls_free(d);
		peer_free(&c);
	}
}

int
main(void)
{
	client_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client");
	BIO_meth_set_write(client_bio, client_write);
	BIO_meth_set_read(client_bio, client_read);
	BIO_meth_set_ctrl(client_bio, client_ctrl);
	BIO_meth_set_create(client_bio, client_create);
	is_int(dtls_ctx_new(&ctx), 0, "contexts");

	both_modes_and_key_sizes_shake_hands_and_carry_data();
	our_nonces_stay_clear_of_openssls();
	channels_move();
	a_lost_final_flight_is_sent_again();
	data_may_overtake_the_clients_finished();
	a_lost_first_answer_is_sent_again_for_a_repeated_hello();
	wrong_secrets_end_the_handshake();
	a_hello_gives_its_id_and_nothing_else_does();
	old_versions_are_refused_by_the_handshake_too();
	an_id_that_is_not_ours_gets_no_session();
	damaged_datagrams_harm_nobody();
	a_channel_that_is_up_cannot_be_talked_down();
	a_cookie_proves_the_address();
	suites_have_their_names();
	nonsense_arguments_are_refused();
	a_settled_channel_is_small_and_still_carries_data();

	dtls_ctx_free(ctx);
	BIO_meth_free(client_bio);
	return done_testing();
}
