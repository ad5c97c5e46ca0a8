/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* keys.c -- the process that holds the private key and the token keys.
 *
 * Life: confine; take both loads from the parent; touch once everything that
 * OpenSSL would load late; shut the sandbox; only then look at what session
 * and the workers ask. Before that moment their requests wait in the sockets.
 */
#include "vpnd/ipc/child.h"
#include "vpnd/ipc/peer.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "vpnd/keys/certs.h"
#include "vpnd/keys/sandbox.h"
#include "vpnd/keys/share.h"
#include "vpnd/keys/tokenkeys.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CERTS = 3,          /* workers swap one after the other: the last two, and one
			     * that was loaded and may never be shown */
	SIGNS_PER_S = 5000, /* a worker's handshakes are a tenth of this */
	ROTATE_CHECK_MS = 60000,
};

struct rate {
	uint64_t window_ms;
	unsigned n;
};

struct keys {
	const struct child *child;
	uv_loop_t loop;
	uv_timer_t rotation;
	struct peer parent;
	struct peer others[CHILD_PEERS];
	unsigned n_others;
	struct rate rate[CHILD_WORKERS];
	struct cert *cert[CERTS]; /* [0] is the latest */
	struct tokenkeys *tokens; /* in secure memory; NULL until loaded */
	struct share share;
	bool is_serving;
	struct ipc_keys_loaded loaded; /* scratch: too large for a stack */
	struct ipc_keys_store store;   /* scratch, wiped after use */
};

static uint64_t
wall_now(void)
{
	time_t t = time(NULL);
	return t > 0 ? (uint64_t)t : 0;
}

static void
send_store(struct keys *k, enum load_what what, const void *bytes, size_t n)
{
	k->store.what = (uint8_t)what;
	k->store.bytes.n = (uint32_t)n;
	memcpy(k->store.bytes.p, bytes, n);
	if (peer_send(&k->parent, IPC_keys_store, &k->store) < 0)
		log_err(0, "keys: cannot hand the %s to the parent for keeping",
			what == LOAD_CERT ? "certificate" : "token keys");
	OPENSSL_cleanse(&k->store, sizeof(k->store));
}

static void
store_tokens(struct keys *k)
{
	uint8_t buf[TOKENKEYS_BYTES];
	size_t n = tokenkeys_write(k->tokens, buf);

	send_store(k, LOAD_TOKEN_KEYS, buf, n);
	OPENSSL_cleanse(buf, sizeof(buf));
}

/* -- loading ---------------------------------------------------------------- */

/* The certificate that a worker is presenting, or NULL if too old. */
static const struct cert *
cert_of(const struct keys *k, uint32_t generation)
{
	for (unsigned i = 0; i < CERTS; i++)
		if (k->cert[i] != NULL && k->cert[i]->generation == generation)
			return k->cert[i];
	return NULL;
}

static void
take_cert(struct keys *k, struct cert *c)
{
	cert_free(k->cert[CERTS - 1]);
	memmove(k->cert + 1, k->cert, (CERTS - 1) * sizeof(struct cert *));
	k->cert[0] = c;
}

static int
load_cert(struct keys *k, const struct ipc_keys_load *m, struct span pem)
{
	char *made = NULL;
	size_t made_n = 0;
	struct cert *c = NULL;
	int rc = 0;

	if (pem.n == 0) {
		rc = cert_make(m->name, &made, &made_n);
		if (rc < 0)
			snprintf(k->loaded.text, sizeof(k->loaded.text),
				 "cannot make a certificate for this name: %s",
				 err_text(rc));
		pem = span_of(made, made_n);
	}
	if (rc == 0)
		rc = cert_new(&c, pem, m->generation, k->loaded.text,
			      sizeof(k->loaded.text));
	if (rc == 0) {
		if (made != NULL)
			send_store(k, LOAD_CERT, made, made_n);
		take_cert(k, c);
		k->loaded.is_rsa = c->is_rsa;
		k->loaded.chain.n = (uint32_t)c->chain_n;
		memcpy(k->loaded.chain.p, c->chain, c->chain_n);
		log_info(0, "certificate generation=%u type=%s self_signed=%s",
			 m->generation, c->is_rsa ? "rsa" : "ec", made ? "new" : "no");
	}
	if (made != NULL)
		OPENSSL_cleanse(made, made_n);
	free(made);
	return rc;
}

static int
load_tokens(struct keys *k, struct span bytes)
{
	struct tokenkeys *t = OPENSSL_secure_zalloc(sizeof(*t));
	int rc = E_NOMEM;

	if (t != NULL && bytes.n > 0)
		rc = tokenkeys_read(t, bytes);
	bool is_fresh =
		t != NULL && (bytes.n == 0 || (rc == E_PROTO && k->tokens == NULL));
	/* At start a damaged file costs everyone one login; without keys nobody
	 * would ever get in. Later the set in memory is better than the file. */
	if (is_fresh && bytes.n > 0)
		log_err(0,
			"keys: the stored token keys are damaged: new ones are made, "
			"clients have to log in again");
	if (is_fresh)
		rc = tokenkeys_make(t, wall_now());
	/* What passed while we were away is due now; < 0 leaves the set usable. */
	int changed = rc == 0 ? tokenkeys_rotate(t, wall_now()) : 0;
	if (rc < 0) {
		snprintf(k->loaded.text, sizeof(k->loaded.text),
			 "the stored token keys cannot be used: %s", err_text(rc));
		OPENSSL_secure_clear_free(t, sizeof(*t));
		return rc;
	}
	OPENSSL_secure_clear_free(k->tokens, sizeof(*k->tokens));
	k->tokens = t;
	if (is_fresh || changed > 0)
		store_tokens(k);
	return 0;
}

static int
load_pair_key(struct keys *k, struct span key)
{
	int rc = share_key(&k->share, key);

	if (rc < 0)
		snprintf(k->loaded.text, sizeof(k->loaded.text), "%s", err_text(rc));
	return rc;
}

/* Everything that OpenSSL and libuv set up at first use, while files can still
 * be opened: our own requests, once each. */
static void
touch_everything(struct keys *k)
{
	char text[IPC_TOKEN_MAX + 1], why[256];
	uint8_t out[1024] = { 0 };
	size_t n = 0;
	char *pem = NULL;
	struct cert *c = NULL;

	OPENSSL_init_crypto(
		OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_ADD_ALL_CIPHERS |
			OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CONFIG,
		NULL);
	if (tokenkeys_seal(k->tokens, SPAN("warm"), text, sizeof(text)) < 0 ||
	    tokenkeys_open(k->tokens, span_str(text), out, sizeof(out), &n) < 0 ||
	    n != 4)
		log_fatal("keys: a token does not survive seal and open");
	if (share_touch() < 0)
		log_fatal("keys: a secret does not survive seal and open");
	if (cert_make("warm.example", &pem, &n) < 0 ||
	    cert_new(&c, span_of(pem, n), 0, why, sizeof(why)) < 0 ||
	    cert_sign(c, SIGN_ECDSA, span_of(out, 32), out, sizeof(out), &n) < 0)
		log_fatal("keys: cannot make a certificate and sign with it");
	cert_free(c);
	free(pem);
	/* A broken upload later takes the error paths: load their texts too. */
	if (cert_new(&c,
		     SPAN("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE "
			  "KEY-----\n"),
		     0, why, sizeof(why)) == 0)
		log_fatal("keys: four zero bytes are no private key");
	(void)cert_block_is_padded(span_of(out, 256), 2048);
	if (k->cert[0]->is_rsa) {
		static const struct span info =
			SPAN("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01"
			     "\x65\x03\x04\x02\x01\x05\x00\x04\x20");
		size_t size = (size_t)EVP_PKEY_get_size(k->cert[0]->key);
		uint8_t *block = malloc(size), *sig = malloc(size);
		if (block == NULL || sig == NULL)
			log_fatal("keys: no memory");
		memset(block, 0xff, size);
		block[0] = 0;
		block[1] = 1;
		block[size - 33 - info.n] = 0;
		memcpy(block + size - 32 - info.n, info.p, info.n);
		if (cert_sign(k->cert[0], SIGN_RSA_PAD, span_of(block, size), sig, size,
			      &n) < 0)
			log_fatal("keys: the private key does not sign");
		free(block);
		free(sig);
	} else if (cert_sign(k->cert[0], SIGN_ECDSA, span_of(out, 32), out, sizeof(out),
			     &n) < 0) {
		log_fatal("keys: the private key does not sign");
	}
}

static void on_broken(void *arg, struct peer *from, int rc);
static const peer_handler from_others[IPC_TYPES];

static void
start_serving(struct keys *k)
{
	const struct child *c = k->child;
	int rc;

	if (k->is_serving || k->cert[0] == NULL || k->tokens == NULL)
		return;
	touch_everything(k);
	for (unsigned i = 0; i < c->n_peer; i++) {
		const struct child_peer *p = &c->peer[i];
		if (p->who != IPC_SESSION &&
		    (p->who != IPC_WORKER || p->index >= CHILD_WORKERS))
			continue;
		rc = peer_open(&k->others[k->n_others++], &k->loop, p->fd, IPC_KEYS,
			       p->who, p->index, from_others, on_broken, k);
		if (rc < 0)
			log_fatal("keys: peer %s: %s", ipc_process_name[p->who],
				  err_text(rc));
	}
	/* Opened, not yet read: that is the loop's business, after this. */
	if ((rc = sandbox_enter()) < 0)
		log_fatal("keys: sandbox: %s", err_text(rc));
	k->is_serving = true;
	log_info(0, "keys serving peers=%u", k->n_others);
}

static void
on_keys_load(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int rc = file_read_fd(fds[0], IPC_PEM_MAX, &bytes, &n);

	close(fds[0]);
	memset(&k->loaded, 0, sizeof(k->loaded));
	k->loaded.what = m->keys_load.what;
	k->loaded.generation = m->keys_load.generation;
	if (rc < 0)
		snprintf(k->loaded.text, sizeof(k->loaded.text), "cannot read it: %s",
			 err_text(rc));
	else if (m->keys_load.what == LOAD_CERT)
		rc = load_cert(k, &m->keys_load, span_of(bytes, n));
	else if (m->keys_load.what == LOAD_TOKEN_KEYS)
		rc = load_tokens(k, span_of(bytes, n));
	else if (m->keys_load.what == LOAD_PAIR_KEY)
		rc = load_pair_key(k, span_of(bytes, n));
	else
		log_fatal("keys: the parent asks to load %u", m->keys_load.what);
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	k->loaded.is_bad = rc < 0;
	/* The parent says what becomes of a certificate that is refused. */
	if (rc < 0 && m->keys_load.what != LOAD_CERT)
		log_err(0, "keys: %s not loaded: %s",
			m->keys_load.what == LOAD_TOKEN_KEYS ? "token keys"
							     : "pair key",
			k->loaded.text);
	start_serving(k);
	peer_send(from, IPC_keys_loaded, &k->loaded);
}

static void
rotate(struct keys *k)
{
	if (k->tokens == NULL || !share_may_rotate(&k->share))
		return;
	/* The key that becomes current was stored a period ago as `next`. */
	int rc = tokenkeys_rotate(k->tokens, wall_now());
	if (rc < 0)
		log_err(0, "keys: token keys not rotated: %s", err_text(rc));
	if (rc > 0) {
		store_tokens(k);
		share_publish(&k->share);
		log_info(0, "token keys rotated retired=%u", k->tokens->n_old);
	}
}

static void
on_rotation_check(uv_timer_t *t)
{
	rotate(t->data);
}

/* -- the pair --------------------------------------------------------------- */

static void
on_shared(void *arg)
{
	store_tokens(arg); /* a start without hasync must open the same tokens */
}

static void
on_cluster(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;

	share_connect(&k->share, fds[0]);
}

static void
on_role(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;

	k->share.has_role = true;
	k->share.is_active = m->role.is_active;
}

/* -- requests --------------------------------------------------------------- */

static bool
rate_allows(struct keys *k, unsigned worker)
{
	struct rate *r = &k->rate[worker];
	uint64_t now_ms = uv_now(&k->loop);

	if (now_ms - r->window_ms >= 1000)
		*r = (struct rate){ .window_ms = now_ms };
	return r->n++ < SIGNS_PER_S;
}

static void
on_key_sign(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;
	const struct ipc_key_sign *q = &m->key_sign;
	const struct cert *c = cert_of(k, q->generation);
	struct ipc_key_signed a = { .id = q->id };
	size_t n = 0;
	int rc = c == NULL ? E_STALE : rate_allows(k, from->index) ? 0 : E_LIMIT;

	if (rc == 0)
		rc = cert_sign(c, (enum sign_scheme)q->scheme,
			       span_of(q->data.p, q->data.n), a.signature.p,
			       sizeof(a.signature.p), &n);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0,
			    "keys: signature refused worker=%u generation=%u: %s",
			    from->index, q->generation, err_text(rc));
	a.is_bad = rc < 0;
	a.signature.n = rc < 0 ? 0 : (uint32_t)n;
	peer_send(from, IPC_key_signed, &a);
}

static void
on_token_seal(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;
	struct ipc_token_sealed a = { .id = m->token_seal.id };
	struct span claims = span_of(m->token_seal.claims.p, m->token_seal.claims.n);
	int rc = tokenkeys_seal(k->tokens, claims, a.token, sizeof(a.token));

	if (rc < 0) {
		log_err(0, "keys: token not sealed: %s", err_text(rc));
		a.is_bad = 1;
		a.token[0] = '\0';
	}
	peer_send(from, IPC_token_sealed, &a);
}

static void
on_token_open(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;
	struct ipc_token_opened a = { .id = m->token_open.id };
	size_t n = 0;
	int rc = tokenkeys_open(k->tokens, span_str(m->token_open.token), a.claims.p,
				sizeof(a.claims.p), &n);

	a.is_bad = rc < 0;
	a.claims.n = rc < 0 ? 0 : (uint32_t)n;
	peer_send(from, IPC_token_opened, &a);
	OPENSSL_cleanse(&a, sizeof(a));
}

static void
on_ping(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	peer_send(from, IPC_pong, &(struct ipc_pong){ .id = m->ping.id });
}

/* Nothing in the configuration concerns this process; not parsing it is one
 * parser less beside the keys. */
static void
on_config(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	close(fds[0]);
	peer_send(from, IPC_config_done,
		  &(struct ipc_config_done){ .generation = m->config.generation });
}

static void
on_process_new(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	/* What the old one asked is answered to the new one, which ignores it. */
}

static void
on_stop(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct keys *k = arg;

	peer_flush(&k->parent, 1000); /* a rotation may still be on its way to disk */
	uv_stop(&k->loop);
}

static void
on_broken(void *arg, struct peer *from, int rc)
{
	/* A peer is not read again after this, and its successor has the same
	 * socket: the parent starts us afresh, which costs no tunnel. */
	log_fatal("keys: %s %u breaks the message table: %s",
		  ipc_process_name[from->who], from->index, err_text(rc));
}

/* clang-format off */
static const peer_handler from_parent[IPC_TYPES] = {
	[IPC_ping]        = on_ping,
	[IPC_config]      = on_config,
	[IPC_process_new] = on_process_new,
	[IPC_stop]        = on_stop,
	[IPC_keys_load]   = on_keys_load,
	[IPC_cluster]     = on_cluster,
	[IPC_role]        = on_role,
};
/* permit.h keeps a worker from the token messages, and session from key_sign. */
static const peer_handler from_others[IPC_TYPES] = {
	[IPC_key_sign]    = on_key_sign,
	[IPC_token_seal]  = on_token_seal,
	[IPC_token_open]  = on_token_open,
};
/* clang-format on */

int
keys_main(const struct child *c)
{
	struct keys *k = calloc(1, sizeof(*k));
	int fd = child_fd(c, IPC_PARENT, 0), rc;

	log_open("vpnd", "keys", c->is_debug ? LOG_L_DEBUG : LOG_L_INFO);
	if (k == NULL || fd < 0 || uv_loop_init(&k->loop) < 0)
		log_fatal("keys: cannot start");
	k->child = c;
	if ((rc = proc_confine(c->root, c->uid, c->gid, PROC_NO_CAP)) < 0)
		log_fatal("keys: cannot drop privileges: %s", err_text(rc));
	if ((rc = sandbox_hide()) < 0)
		log_fatal("keys: cannot hide its memory: %s", err_text(rc));
	if ((rc = peer_open(&k->parent, &k->loop, fd, IPC_KEYS, IPC_PARENT, 0,
			    from_parent, on_broken, k)) < 0)
		log_fatal("keys: parent: %s", err_text(rc));
	k->share.tokens = &k->tokens;
	k->share.on_change = on_shared;
	k->share.arg = k;
	if ((rc = share_init(&k->share, &k->loop)) < 0)
		log_fatal("keys: event loop: %s", err_text(rc));
	uv_timer_init(&k->loop, &k->rotation);
	k->rotation.data = k;
	uv_timer_start(&k->rotation, on_rotation_check, ROTATE_CHECK_MS,
		       ROTATE_CHECK_MS);
	peer_send(&k->parent, IPC_ready,
		  &(struct ipc_ready){ .pid = (uint32_t)getpid() });
	uv_run(&k->loop, UV_RUN_DEFAULT);

	for (unsigned i = 0; i < k->n_others; i++)
		peer_close(&k->others[i], NULL);
	peer_close(&k->parent, NULL);
	share_close(&k->share);
	uv_close((uv_handle_t *)&k->rotation, NULL);
	uv_run(&k->loop, UV_RUN_DEFAULT);
	uv_loop_close(&k->loop);
	for (unsigned i = 0; i < CERTS; i++)
		cert_free(k->cert[i]);
	OPENSSL_secure_clear_free(k->tokens, sizeof(*k->tokens));
	free(k);
	log_info(0, "keys stopped");
	return 0;
}
