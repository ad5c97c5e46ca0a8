/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* worker.c -- set-up in the right order, messages from the others, the loop. */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/profile.h"
#include "vpnd/ipc/child.h"
#include "vpnd/worker/split.h"

#include <linux/capability.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COOKIE_ROTATE_TICKS = 300 };

void
worker_event(struct worker *w, enum event_what what, const struct ip_addr *source,
	     const char *user, const char *reason, const char *text)
{
	static struct log_limit limit; /* a stranger must not fill the event ring */
	struct ipc_event m = { .what = (uint8_t)what, .source = *source };

	if (!log_allowed(&limit))
		return;
	snprintf(m.user, sizeof(m.user), "%s", user ? user : "");
	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	snprintf(m.text, sizeof(m.text), "%s", text);
	peer_send(&w->session, IPC_event, &m);
}

void
worker_flush(struct worker *w)
{
	while (w->dirty != NULL) {
		struct conn *c = w->dirty;
		w->dirty = c->next_dirty;
		c->is_dirty = false;
		conn_flush(c);
	}
	for (unsigned i = 0; i < WORKER_LISTENERS; i++)
		if (w->listener[i].is_open && batch_tx_queued(w->listener[i].tx) > 0)
			batch_tx_flush(w->listener[i].tx, w->listener[i].udp);
}

static void
on_prepare(uv_prepare_t *p)
{
	worker_flush(p->data);
}

/* The time is read once per turn of the loop. */
static void
on_check(uv_check_t *p)
{
	struct worker *w = p->data;
	w->now_ms = uv_now(&w->loop);
}

static void
on_tick(uv_timer_t *t)
{
	struct worker *w = t->data;
	static unsigned ticks; /* only paces the cookie keys */

	w->now_ms = uv_now(&w->loop);
	for (unsigned i = 0; i < WORKER_CONNS && w->n_conn > 0; i++)
		if (w->conn[i] != NULL)
			conn_tick(w->conn[i]);
	dchan_tick(w);
	if (++ticks % COOKIE_ROTATE_TICKS == 0)
		dtls_cookie_keys_rotate(&w->cookies);
}

static void
on_tun(uv_poll_t *p, int status, int events)
{
	struct worker *w = p->data;

	if (status < 0) {
		log_err(0, "TUN device: %s", err_text(status));
		uv_poll_stop(p);
		return;
	}
	downlink_readable(w);
}

/* -- from the parent -- */

static const char *
host_port(const struct config *cfg, const char *name, char *buf, size_t n)
{
	if (name[0] == '\0')
		buf[0] = '\0';
	else if (cfg->port == 443)
		snprintf(buf, n, "%s", name);
	else
		snprintf(buf, n, "%s:%u", name, cfg->port);
	return buf;
}

static void
make_profile(struct worker *w)
{
	const struct config *cfg = w->cfg;
	char host[280], backup[280];

	free(w->profile);
	w->profile = NULL;
	w->profile_n = 0;
	if (w->bundle.profile != NULL) {
		w->profile = malloc(w->bundle.profile_n + 1);
		if (w->profile == NULL)
			return;
		memcpy(w->profile, w->bundle.profile, w->bundle.profile_n);
		w->profile_n = w->bundle.profile_n;
	} else if (cfg->hostname[0] != '\0') {
		struct profile p = {
			.alias = cfg->profile_alias,
			.hostname = host_port(cfg, cfg->hostname, host, sizeof(host)),
			.backup = host_port(cfg, cfg->backup_hostname, backup,
					    sizeof(backup)),
			.local_lan = cfg->local_lan_access,
		};
		struct wr wr = wr_open(w->text, RECV_BYTES);
		profile_write(&wr, &p);
		if (wr_full(&wr) || (w->profile = malloc(wr.n)) == NULL)
			return;
		memcpy(w->profile, wr.p, wr.n);
		w->profile_n = wr.n;
	}
	if (w->profile != NULL)
		profile_sha1(w->profile_sha1, span_of(w->profile, w->profile_n));
}

static int
init_tables(struct worker *w)
{
	uint8_t seed[MAP_SEED];

	if (RAND_bytes(seed, sizeof(seed)) != 1)
		return E_TLS;
	int rc = map_new(&w->by_peer, BATCH_KEY, WORKER_DCHANS, seed);
	if (rc == 0)
		rc = batch_rx_new(&w->rx);
	if (rc == 0)
		rc = dchan_init(w);
	return rc;
}

static void
on_config(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	struct bundle bundle;
	struct config *cfg;
	struct ipc_config_done done = { .generation = m->config.generation };
	int rc = bundle_load(fds[0], &bundle, &cfg);

	if (rc < 0) {
		done.is_bad = 1;
		snprintf(done.text, sizeof(done.text), "worker %u: %s", w->index,
			 err_text(rc));
	} else {
		bundle_free(&w->bundle);
		config_free(w->cfg);
		w->bundle = bundle;
		w->cfg = cfg;
		if (cfg->log_debug)
			log_set_level(LOG_L_DEBUG);
		make_profile(w);
		tunnel_limit_all(w);
		if (w->tls == NULL)
			rc = tls_init(w);
		else
			rc = tls_versions(w);
		if (rc == 0)
			rc = tls_client_certs(w);
		if (rc < 0)
			log_fatal("TLS: %s", err_text(rc));
	}
	peer_send(&w->parent, IPC_config_done, &done);
}

static void
on_cert(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	uint8_t *pem;
	size_t n;
	int rc = file_read_fd(fds[0], IPC_PEM_MAX, &pem, &n);

	close(fds[0]);
	if (rc == 0) {
		rc = tls_chain(w, span_of(pem, n), m->cert.generation);
		free(pem);
	}
	if (rc < 0)
		log_err(0, "the new certificate cannot be used: %s; the old one stays",
			err_text(rc));
	else
		log_debug(0, "certificate generation %u", m->cert.generation);
}

static void
on_challenge(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	uint8_t *pem = NULL;
	size_t n = 0;
	int rc = file_read_fd(fds[0], IPC_CHALLENGE_PEM, &pem, &n);

	close(fds[0]);
	if (rc == 0)
		rc = challenge_set(w, m->challenge.name, span_of(pem, n));
	if (pem != NULL)
		OPENSSL_cleanse(pem, n);
	free(pem);
	if (rc < 0)
		log_err(0, "the challenge for %s cannot be shown: %s",
			m->challenge.name, err_text(rc));
}

static int
read_client_ca(struct clientcert **out, const struct ipc_client_ca *m, const int *fds,
	       char *why, size_t why_n)
{
	uint8_t *ca = NULL, *crl = NULL;
	size_t ca_n = 0, crl_n = 0;
	int rc = file_read_fd(fds[0], IPC_PEM_MAX, &ca, &ca_n);

	if (rc == 0)
		rc = file_read_fd(fds[1], CLIENTCERT_CRL_BYTES, &crl, &crl_n);
	if (rc < 0)
		snprintf(why, why_n, "%s", err_text(rc));
	else
		rc = clientcert_new(out, span_of(ca, ca_n), span_of(crl, crl_n),
				    m->wants_crl, why, why_n);
	free(ca);
	free(crl);
	return rc;
}

/* A file that cannot be used changes nothing. Without one before, nobody passes. */
static void
on_client_ca(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	struct clientcert *next = NULL;
	char why[160] = "";
	int rc = read_client_ca(&next, &m->client_ca, fds, why, sizeof(why));

	close(fds[0]);
	close(fds[1]);
	if (rc < 0) {
		log_err(0, "%s; %s", why,
			w->client_ca ? "what was there before stays"
				     : "no client certificate is accepted");
		/* All workers read the same: one event is enough. */
		if (w->index == 0)
			worker_event(w, EV_CONFIG_REFUSED, &(struct ip_addr){ 0 }, "",
				     "client_ca", why);
		return;
	}
	clientcert_free(w->client_ca);
	w->client_ca = next;
	if (w->tls != NULL && tls_client_certs(w) < 0)
		log_fatal("no memory");
	log_debug(0, "client CA and revocation lists loaded");
}

/* Packets may wait in the device from before: not one is read until there are
 * tables to find its session in. */
static void
start_downlink(struct worker *w)
{
	if (w->tun < 0 || w->by_inner == NULL)
		return;
	if (uv_poll_init(&w->loop, &w->poll_tun, w->tun) < 0)
		log_fatal("TUN device cannot be watched");
	w->poll_tun.data = w;
	uv_poll_start(&w->poll_tun, UV_READABLE, on_tun);
}

static void
on_tun_fd(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;

	if (w->tun >= 0)
		log_fatal("a second TUN device");
	w->tun = fds[0];
	w->has_vnet = m->tun.has_vnet;
	if (uplink_init(w, m->tun.kinds) < 0)
		log_fatal("no memory");
	start_downlink(w);
}

static void
on_counters(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	uint8_t seed[MAP_SEED];
	size_t bytes = (size_t)m->counters.slots * sizeof(struct counters);

	if (w->counters != NULL || m->counters.slots == 0)
		log_fatal("counters twice");
	w->counters = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	close(fds[0]);
	w->slots = m->counters.slots;
	w->tunnel = calloc(w->slots, sizeof(struct tunnel *));
	if (w->counters == MAP_FAILED || w->tunnel == NULL ||
	    RAND_bytes(seed, sizeof(seed)) != 1 ||
	    map_new(&w->by_inner, 16, (size_t)w->slots * 2, seed) < 0)
		log_fatal("no memory for %u sessions", w->slots);
	start_downlink(w);
}

static void
on_listener(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;

	if (w->tls == NULL || w->counters == NULL || w->tun < 0)
		log_fatal("a listener before its time");
	int rc = listener_add(w, &m->listener, fds[0], fds[1]);
	if (rc < 0) {
		log_err(0, "cannot listen: %s", err_text(rc));
		close(fds[0]);
		close(fds[1]);
	}
}

static void
on_unlisten(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	listener_remove(arg, m->unlisten.handle);
}

static void
on_ping(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct ipc_pong pong = { .id = m->ping.id };
	peer_send(from, IPC_pong, &pong);
}

static void
on_process_new(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;

	if (m->process_new.process == IPC_SESSION)
		tunnel_report_all(w);
}

/* Closing TCP is all: a DISCONNECT frame would end the clients for good. */
static void
on_stop(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;

	w->is_stopping = true;
	for (unsigned i = 0; i < WORKER_CONNS; i++)
		if (w->conn[i] != NULL)
			conn_close(w->conn[i], "service stops");
	worker_flush(w);
	uv_stop(&w->loop);
}

static const peer_handler from_parent[IPC_TYPES] = {
	[IPC_config] = on_config,       [IPC_cert] = on_cert,
	[IPC_tun] = on_tun_fd,          [IPC_counters] = on_counters,
	[IPC_client_ca] = on_client_ca, [IPC_challenge] = on_challenge,
	[IPC_listener] = on_listener,   [IPC_unlisten] = on_unlisten,
	[IPC_ping] = on_ping,           [IPC_process_new] = on_process_new,
	[IPC_stop] = on_stop,
};

/* -- from auth and session -- */

static void
on_login_ask(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct conn *c = conn_by_id(arg, m->login_ask.id);
	if (c != NULL && c->login != NULL)
		login_on_ask(c, &m->login_ask);
}

static void
on_ocsp_told(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct conn *c = conn_by_id(arg, m->ocsp_told.id);
	if (c != NULL && c->login != NULL)
		login_on_ocsp(c, &m->ocsp_told);
}

static void
on_token_issued(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct conn *c = conn_by_id(arg, m->token_issued.id);
	if (c != NULL && c->login != NULL)
		login_on_token(c, &m->token_issued);
}

static void
on_token_checked(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct conn *c = conn_by_id(arg, m->token_checked.id);
	if (c != NULL && c->login != NULL)
		login_on_checked(c, &m->token_checked);
}

/* The asker may be gone by now: then the session has no connection after all. */
static void
on_tunnel_grant(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct worker *w = arg;
	const struct ipc_tunnel_grant *g = &m->tunnel_grant;
	struct conn *c = conn_by_id(w, g->id);

	if (c != NULL && c->login != NULL) {
		login_on_grant(c, g);
	} else if (g->verdict == TOKEN_OK) {
		struct ipc_tunnel_down down = { .slot = g->slot,
						.gen = g->gen,
						.conn = g->id,
						.why = TUNNEL_LOST };
		peer_send(&w->session, IPC_tunnel_down, &down);
	}
}

static void
on_tunnel_close(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	tunnel_on_close(arg, &m->tunnel_close);
}

static void
on_dtls_secret(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	dchan_on_secret(arg, &m->dtls_secret);
}

static void
on_dtls_try(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	dchan_on_try(arg, &m->dtls_try);
}

static void
on_dtls_take(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	dchan_on_take(arg, &m->dtls_take);
}

static void
on_dtls_drop(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	dchan_on_drop(arg, &m->dtls_drop);
}

static const peer_handler from_auth[IPC_TYPES] = {
	[IPC_login_ask] = on_login_ask,
	[IPC_ocsp_told] = on_ocsp_told,
};

static const peer_handler from_session[IPC_TYPES] = {
	[IPC_token_issued] = on_token_issued, [IPC_token_checked] = on_token_checked,
	[IPC_tunnel_grant] = on_tunnel_grant, [IPC_tunnel_close] = on_tunnel_close,
	[IPC_dtls_secret] = on_dtls_secret,   [IPC_dtls_drop] = on_dtls_drop,
	[IPC_dtls_try] = on_dtls_try,         [IPC_dtls_take] = on_dtls_take,
};

static void
on_broken(void *arg, struct peer *from, int rc)
{
	log_fatal("message from %s: %s", ipc_process_name[from->who], err_text(rc));
}

static int
open_peers(struct worker *w, const struct child *c)
{
	const struct {
		struct peer *p;
		enum ipc_process who;
		const peer_handler *handlers;
		bool in_loop;
	} lines[] = {
		{ &w->parent, IPC_PARENT, from_parent, true },
		{ &w->keys, IPC_KEYS, NULL, false }, /* asked and awaited in tls.c */
		{ &w->auth, IPC_AUTH, from_auth, true },
		{ &w->session, IPC_SESSION, from_session, true },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int fd = child_fd(c, lines[i].who, 0);
		int rc = fd < 0 ? E_INVAL
				: peer_open(lines[i].p,
					    lines[i].in_loop ? &w->loop : NULL, fd,
					    IPC_WORKER, lines[i].who, 0,
					    lines[i].handlers, on_broken, w);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Everything that needs files or privileges happens before the sandbox closes;
 * OpenSSL reads its configuration and seeds itself here. */
int
worker_main(const struct child *c)
{
	static struct worker w; /* one per process; large */
	static char name[16];
	uv_check_t check;

	snprintf(name, sizeof(name), "worker%u", c->index);
	log_open("vpnd", name, c->is_debug ? LOG_L_DEBUG : LOG_L_INFO);
	w.index = c->index;
	w.tun = -1;
	w.recv = malloc(RECV_BYTES);
	w.plain = malloc(RECV_BYTES);
	w.text = malloc(RECV_BYTES);
	w.read = malloc(SPLIT_READ_MAX);
	if (w.recv == NULL || w.plain == NULL || w.text == NULL || w.read == NULL ||
	    uv_loop_init(&w.loop) < 0)
		log_fatal("no memory");
	w.loop.data = &w;
	OPENSSL_init_ssl(
		OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	int rc = init_tables(&w);
	/* The capability is for marking connections that it closes on purpose. */
	if (rc == 0)
		rc = proc_confine(c->root, c->uid, c->gid, CAP_NET_RAW);
	if (rc == 0)
		rc = sandbox_worker();
	if (rc == 0)
		rc = open_peers(&w, c);
	if (rc < 0)
		log_fatal("cannot start: %s", err_text(rc));

	uv_prepare_init(&w.loop, &w.prepare);
	w.prepare.data = &w;
	uv_prepare_start(&w.prepare, on_prepare);
	uv_check_init(&w.loop, &check);
	check.data = &w;
	uv_check_start(&check, on_check);
	pace_init(&w);
	uv_timer_init(&w.loop, &w.tick);
	w.tick.data = &w;
	uv_timer_start(&w.tick, on_tick, TICK_MS, TICK_MS);
	w.now_ms = uv_now(&w.loop);

	struct ipc_ready ready = { .pid = (uint32_t)getpid() };
	peer_send(&w.parent, IPC_ready, &ready);
	uv_run(&w.loop, UV_RUN_DEFAULT);
	peer_flush(&w.session, 200);
	return 0;
}
