/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What each child is given, and what the parent does at a child's request. */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/pairkey.h"
#include "vpnd/parent/state.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MTU_MIN = 576, MTU6_MIN = 1280 };

/* ---- memfds */

int
memfd_of(const char *name, const void *bytes, size_t n, int *fd)
{
	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return -errno;
	if ((n > 0 && write(*fd, bytes, n) != (ssize_t)n) ||
	    fcntl(*fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		int rc = errno != 0 ? -errno : -EIO;
		close(*fd);
		*fd = -1;
		return rc;
	}
	return 0;
}

static void
replace_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

/* ---- certificate and token keys */

static int
read_pem(const char *path, uint8_t **p, size_t *n, char *why)
{
	int rc = file_read(AT_FDCWD, path, IPC_PEM_MAX, p, n);

	if (rc < 0 && rc != -ENOENT)
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
	return rc;
}

static int
read_configured(int *fd, const struct config *c, char *why)
{
	uint8_t *key = NULL, *cert = NULL, *both = NULL;
	size_t key_n = 0, cert_n = 0;
	int rc = read_pem(c->key_file, &key, &key_n, why);

	if (rc == 0)
		rc = read_pem(c->certificate_file, &cert, &cert_n, why);
	if (rc == -ENOENT)
		snprintf(why, WHY_MAX, "%s: no such file",
			 key == NULL ? c->key_file : c->certificate_file);
	if (rc == 0 && (both = OPENSSL_malloc(key_n + cert_n + 1)) == NULL)
		rc = E_NOMEM;
	if (rc == 0) {
		/* A file that ends without a newline must not glue two PEM lines. */
		memcpy(both, key, key_n);
		both[key_n] = '\n';
		memcpy(both + key_n + 1, cert, cert_n);
		rc = memfd_of("tandem-cert", both, key_n + cert_n + 1, fd);
		OPENSSL_clear_free(both, key_n + cert_n + 1);
	}
	if (key != NULL)
		OPENSSL_cleanse(key, key_n);
	free(key);
	free(cert);
	return rc;
}

/* A file of STATEDIR/keys as a memfd; an empty one when there is no file. */
static int
read_stored(const struct parent *p, const char *name, int *fd, bool *is_there,
	    char *why)
{
	char path[512];
	uint8_t *bytes = NULL;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/keys/%s", p->opt->state_dir, name);
	int rc = read_pem(path, &bytes, &n, why);
	if (rc == -ENOENT)
		rc = 0;
	*is_there = n > 0;
	if (rc == 0)
		rc = memfd_of(name, bytes, n, fd);
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	return rc;
}

int
certificate_read_own(struct certificate *cert, const struct parent *p, char *why)
{
	bool is_there;

	*cert = (struct certificate){ .pem_fd = -1, .chain_fd = -1 };
	int rc = read_stored(p, "tls.pem", &cert->pem_fd, &is_there, why);
	cert->source = is_there ? CERT_STORED : CERT_SELF_SIGNED;
	return rc;
}

/* The folder belongs to acmed's user: whatever it puts there, a link or a pipe too,
 * must not get more of us than a refusal. */
static int
read_live(const struct parent *p, int *memfd, char *why)
{
	char path[512];
	struct stat st;
	uint8_t *bytes = NULL;
	size_t n = 0;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/certs/" CERT_LIVE, p->opt->state_dir);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		rc = -errno;
	else if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = E_INVAL;
	if (rc == 0)
		rc = file_read_fd(fd, IPC_PEM_MAX, &bytes, &n);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && n == 0) /* to keys that would mean: make one */
		rc = E_NOENT;
	if (rc == 0)
		rc = memfd_of("tandem-live", bytes, n, memfd);
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	if (rc < 0 && rc != -ENOENT)
		snprintf(why, WHY_MAX, "%s: %s", path,
			 rc == E_INVAL   ? "is not a plain file"
			 : rc == E_NOENT ? "is empty"
					 : err_text(rc));
	return rc;
}

int
certificate_read(struct certificate *cert, const struct parent *p, char *why)
{
	const struct config *c =
		p->reload.setup ? p->reload.setup->config : parent_config(p);

	*cert = (struct certificate){ .pem_fd = -1, .chain_fd = -1 };
	if (c->certificate_file[0] != '\0') {
		cert->source = CERT_FILE;
		return read_configured(&cert->pem_fd, c, why);
	}
	cert->source = CERT_STORED;
	cert->is_live = true;
	int rc = read_live(p, &cert->pem_fd, why);
	return rc == -ENOENT ? certificate_read_own(cert, p, why) : rc;
}

void
certificate_take(struct parent *p, struct certificate *cert)
{
	certificate_close(&p->previous);
	p->previous = p->cert;
	p->cert = *cert;
	*cert = (struct certificate){ .pem_fd = -1, .chain_fd = -1 };
	log_info(0, "certificate: swapped generation=%u, valid until %s",
		 p->cert.generation, p->cert.not_after);
	event_send(p, EV_CERT_SWAPPED, "", p->cert.not_after, p->cert.generation);
}

void
certificate_close(struct certificate *cert)
{
	replace_fd(&cert->pem_fd, -1);
	replace_fd(&cert->chain_fd, -1);
}

bool
certificate_same(const struct certificate *a, const struct certificate *b)
{
	uint8_t *x = NULL, *y = NULL;
	size_t xn = 0, yn = 0;
	bool same = file_read_fd(a->pem_fd, 3 * IPC_PEM_MAX, &x, &xn) == 0 &&
		    file_read_fd(b->pem_fd, 3 * IPC_PEM_MAX, &y, &yn) == 0 &&
		    xn == yn && memcmp(x, y, xn) == 0;

	if (x != NULL)
		OPENSSL_cleanse(x, xn);
	if (y != NULL)
		OPENSSL_cleanse(y, yn);
	free(x);
	free(y);
	return same;
}

int
token_keys_read(struct parent *p, char *why)
{
	bool is_there;

	return read_stored(p, "token-keys", &p->token_keys_fd, &is_there, why);
}

/* What status and log say about it. One from our store may have been uploaded
 * or be our own: the certificate itself tells. */
static void
note_facts(struct certificate *cert, const void *pem, size_t n)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)n);
	X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	struct tm tm;

	cert->not_after[0] = '\0';
	if (x != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
		strftime(cert->not_after, sizeof(cert->not_after), "%Y-%m-%dT%H:%M:%SZ",
			 &tm);
	if (x != NULL && cert->source != CERT_FILE)
		cert->source =
			X509_self_signed(x, 0) == 1 ? CERT_SELF_SIGNED : CERT_STORED;
	X509_free(x);
	BIO_free(bio);
}

bool
certificate_note(struct certificate *cert, const struct ipc_keys_loaded *m)
{
	int fd;

	if (memfd_of("tandem-chain", m->chain.p, m->chain.n, &fd) < 0)
		return false;
	replace_fd(&cert->chain_fd, fd);
	cert->is_rsa = m->is_rsa;
	note_facts(cert, m->chain.p, m->chain.n);
	return true;
}

static const char *
load_name(const struct parent *p)
{
	const struct config *c =
		p->reload.setup ? p->reload.setup->config : parent_config(p);

	return c->hostname[0] != '\0' ? c->hostname : c->node_name;
}

static void
load(struct parent *p, enum load_what what, uint32_t generation, int fd)
{
	struct process *keys = process_of(p, IPC_KEYS, 0);
	struct ipc_keys_load m = { .what = (uint8_t)what, .generation = generation };

	snprintf(m.name, sizeof(m.name), "%s", load_name(p));
	if (keys->peer != NULL)
		(void)peer_send_fds(keys->peer, IPC_keys_load, &m, &fd, 1);
}

void
certificate_load(struct parent *p, const struct certificate *cert)
{
	load(p, LOAD_CERT, cert->generation, cert->pem_fd);
}

void
handout_pair_key(struct process *c)
{
	struct parent *p = c->parent;
	struct ipc_pair_key m = { .generation = 0 };
	uint8_t key[PAIRKEY];
	int fd, rc = pairkey_load(p->opt->pair_key, key);

	if (rc == 0 && (rc = memfd_of("tandem-pair-key", key, sizeof(key), &fd)) == 0) {
		if (c->who == IPC_KEYS)
			load(p, LOAD_PAIR_KEY, 0, fd);
		else if (c->peer != NULL)
			(void)peer_send_fds(c->peer, IPC_pair_key, &m, &fd, 1);
		close(fd);
	} else if (rc != -ENOENT) {
		log_limited(LOG_L_ERR, 0, "%s: %s", p->opt->pair_key, err_text(rc));
	}
	OPENSSL_cleanse(key, sizeof(key));
}

/* ---- to a child */

void
handout_config(struct process *c)
{
	struct ipc_config m = { .generation = c->parent->generation };

	if (c->peer != NULL)
		(void)peer_send_fds(c->peer, IPC_config, &m, &c->parent->config_fd, 1);
}

void
handout_cert(struct process *c)
{
	const struct certificate *cert = &c->parent->cert;
	struct ipc_cert m = { .generation = cert->generation, .is_rsa = cert->is_rsa };

	if (c->peer != NULL)
		(void)peer_send_fds(c->peer, IPC_cert, &m, &cert->chain_fd, 1);
}

void
handout_challenge(struct process *c, const char *name, int fd)
{
	struct ipc_challenge m = { 0 };

	snprintf(m.name, sizeof(m.name), "%s", name);
	if (c->peer != NULL)
		(void)peer_send_fds(c->peer, IPC_challenge, &m, &fd, 1);
}

void
handout_listener(struct process *c, const struct listener *l)
{
	struct ipc_listener m = { .handle = l->handle,
				  .wan = (uint8_t)l->wan,
				  .family = l->family,
				  .port = l->port };
	const int fds[2] = { l->tcp, l->udp };

	if (c->peer != NULL)
		(void)peer_send_fds(c->peer, IPC_listener, &m, fds, 2);
}

/* All a worker needs to serve, once there is a certificate to show. */
void
handout_worker(struct process *c)
{
	struct parent *p = c->parent;
	struct ipc_tun tun = { .mtu = TUN_MTU,
			       .has_vnet = 1,
			       .kinds = p->tun[c->index].kinds };
	struct ipc_counters counters = { .worker = (uint8_t)c->index,
					 .slots = p->slots };

	if (c->peer == NULL || c->is_equipped || p->cert.chain_fd < 0)
		return;
	(void)peer_send_fds(c->peer, IPC_tun, &tun, &p->tun[c->index].fd, 1);
	(void)peer_send_fds(c->peer, IPC_counters, &counters, &p->counters[c->index],
			    1);
	handout_cert(c);
	certswap_handout(c);
	client_ca_handout(c);
	for (size_t i = 0; i < p->sockets.n; i++)
		if (p->sockets.listener[i].worker == c->index)
			handout_listener(c, &p->sockets.listener[i]);
	c->is_equipped = true;
	pairing_check(p);
}

/* session only reads the counters: a new description of the same memory,
 * opened for reading, cannot be mapped for writing. */
static void
handout_counters(struct process *c, unsigned worker)
{
	struct parent *p = c->parent;
	struct ipc_counters m = { .worker = (uint8_t)worker, .slots = p->slots };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->counters[worker]);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		log_err(0, "%s: counters of worker%u: %s", c->name, worker,
			err_text(-errno));
		return;
	}
	(void)peer_send_fds(c->peer, IPC_counters, &m, &fd, 1);
	close(fd);
}

static void
handout_session(struct process *c)
{
	struct parent *p = c->parent;
	struct ipc_control_listen m = { .workers = p->workers, .slots = p->slots };

	(void)peer_send_fds(c->peer, IPC_control_listen, &m, &p->control_fd, 1);
	for (unsigned w = 0; w < p->workers; w++)
		handout_counters(c, w);
}

void
handout_start(struct process *c)
{
	struct parent *p = c->parent;

	handout_config(c);
	if (c->who == IPC_KEYS) {
		/* It serves once it has token keys: what workers may ask to be signed
		 * by must be there before. */
		if (p->previous.pem_fd >= 0)
			certificate_load(p, &p->previous);
		certificate_load(p, &p->cert);
		load(p, LOAD_TOKEN_KEYS, 0, p->token_keys_fd);
	} else if (c->who == IPC_AUTH) { /* it may have to do without hasync */
		handout_pair_key(c);
	} else if (c->who == IPC_SESSION) {
		handout_session(c);
	} else if (c->who == IPC_WORKER) {
		handout_worker(c);
	}
	pairing_handout(c);
}

/* ---- from a child */

static void
on_ready(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;

	c->heard_ms = now_ms();
	log_debug(0, "%s: ready", c->name);
}

static void
on_pong(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;

	c->heard_ms = now_ms();
}

static void
on_config_done(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;

	c->heard_ms = now_ms();
	c->config_done = m->config_done.generation;
	if (m->config_done.is_bad)
		log_err(0, "%s: cannot take configuration %u: %s", c->name,
			m->config_done.generation, m->config_done.text);
	reload_config_done(c->parent, c, &m->config_done);
}

static void
on_keys_store(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;
	struct parent *p = c->parent;
	bool is_cert = m->keys_store.what == LOAD_CERT;
	struct certificate *cert = p->reload.has_cert && p->reload.step == RELOAD_CERT
					   ? &p->reload.cert
				   : p->certswap.is_loading ? &p->certswap.cert
							    : &p->cert;
	char path[512];
	int fd;

	if (!is_cert && m->keys_store.what != LOAD_TOKEN_KEYS)
		return;
	snprintf(path, sizeof(path), "%s/keys/%s", p->opt->state_dir,
		 is_cert ? "tls.pem" : "token-keys");
	int rc = file_replace(AT_FDCWD, path,
			      span_of(m->keys_store.bytes.p, m->keys_store.bytes.n),
			      0600);
	if (rc < 0)
		log_err(0,
			"%s: cannot be written: %s; it will be lost at the next start",
			path, err_text(rc));
	/* A restarted keys must get the same bytes, written or not. */
	rc = memfd_of(is_cert ? "tls.pem" : "token-keys", m->keys_store.bytes.p,
		      m->keys_store.bytes.n, &fd);
	if (rc < 0)
		log_err(0, "keys: no memory for what it made: %s", err_text(rc));
	else
		replace_fd(is_cert ? &cert->pem_fd : &p->token_keys_fd, fd);
}

static void
first_certificate(struct parent *p)
{
	static const char *const kind[] = { "from the configured file", "stored",
					    "self-signed" };

	log_info(0, "certificate: %s, %s, valid until %s", kind[p->cert.source],
		 p->cert.is_rsa ? "RSA" : "ECDSA", p->cert.not_after);
	if (p->sockets.n == 0)
		log_info(0, "not serving: %s",
			 parent_config(p)->enabled ? "no uplink carries the service"
						   : "server.enabled is false");
	event_send(p, EV_SERVICE_STARTED, "", TANDEM_VERSION, 0);
}

static void
on_keys_loaded(void *arg, struct peer *from, const union ipc_body *body, const int *fds)
{
	struct process *c = arg;
	struct parent *p = c->parent;
	const struct ipc_keys_loaded *m = &body->keys_loaded;
	bool is_first = p->cert.chain_fd < 0;
	char why[WHY_MAX] = "";

	c->heard_ms = now_ms();
	if (m->what != LOAD_CERT) {
		if (m->is_bad)
			log_err(0, "keys: %s: %s",
				m->what == LOAD_PAIR_KEY ? "pair key" : "token keys",
				m->text);
		return;
	}
	if (p->reload.step == RELOAD_CERT &&
	    m->generation == p->reload.cert.generation) {
		if (!m->is_bad)
			(void)certificate_note(&p->reload.cert, m);
		reload_cert_loaded(p, m);
		return;
	}
	if (certswap_loaded(p, m) || m->generation != p->cert.generation)
		return;
	if (m->is_bad && is_first && p->cert.is_live) {
		/* Whatever acmed left behind: the service has a certificate (R35). */
		certswap_refuse(p, m->text, p->cert.pem_fd);
		if (certificate_read_own(&p->cert, p, why) == 0) {
			p->cert.generation = ++p->last_cert;
			certificate_load(p, &p->cert);
			return;
		}
	}
	if (m->is_bad) {
		log_err(0, "certificate: %s", why[0] != '\0' ? why : m->text);
		if (is_first) {
			p->exit_code = 78;
			parent_stop(p);
		}
		return;
	}
	if (!certificate_note(&p->cert, m)) {
		log_err(0, "certificate: %s", err_text(E_NOMEM));
		return;
	}
	if (is_first)
		first_certificate(p);
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].who == IPC_WORKER)
			handout_worker(&p->process[i]);
	certswap_resume(p);
}

/* The *when* of permission: only addresses of our own pools, only our own
 * devices, whoever has taken over session. */
static void
on_route_set(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;
	struct parent *p = c->parent;
	const struct ipc_route_set *r = &m->route_set;
	unsigned min = r->dst.family == 6 ? MTU6_MIN : MTU_MIN;
	unsigned mtu = r->mtu < min ? min : r->mtu > TUN_MTU ? TUN_MTU : r->mtu;
	char text[IP_TEXT];

	if (!route_permitted(parent_config(p), &r->dst) || r->worker >= p->workers) {
		log_err(0, "session: asks for a route outside the pool: %s worker=%u",
			ip_text(&r->dst, text), r->worker);
		process_kill(c, "forbidden route");
		return;
	}
	int rc = route_set(&p->router, &r->dst, p->tun[r->worker].ifindex, mtu);
	log_debug(0, "route %s dev %s mtu %u: %s", ip_text(&r->dst, text),
		  p->tun[r->worker].name, mtu, err_text(rc));
	if (rc < 0)
		log_limited(LOG_L_ERR, 0, "route %s: %s", ip_text(&r->dst, text),
			    err_text(rc));
}

static void
on_route_del(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;
	struct parent *p = c->parent;
	char text[IP_TEXT];

	if (!route_permitted(parent_config(p), &m->route_del.dst)) {
		process_kill(c, "forbidden route");
		return;
	}
	int rc = route_del(&p->router, &m->route_del.dst);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "route %s: cannot delete: %s",
			    ip_text(&m->route_del.dst, text), err_text(rc));
}

static void
on_reload(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;

	reload_ask(c->parent, true, m->reload.id);
}

static void
on_config_put(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;

	reload_put(c->parent, &m->config_put, fds[0]);
}

static void
on_status_ask(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct process *c = arg;
	struct ipc_status_text *answer = calloc(1, sizeof(*answer));

	if (answer == NULL)
		return;
	answer->id = m->status_ask.id;
	status_write(c->parent, answer);
	(void)peer_send(from, IPC_status_text, answer);
	free(answer);
}

const peer_handler parent_handlers[IPC_TYPES] = {
	[IPC_ready] = on_ready,
	[IPC_pong] = on_pong,
	[IPC_config_done] = on_config_done,
	[IPC_keys_store] = on_keys_store,
	[IPC_config_put] = on_config_put,
	[IPC_keys_loaded] = on_keys_loaded,
	[IPC_route_set] = on_route_set,
	[IPC_route_del] = on_route_del,
	[IPC_reload] = on_reload,
	[IPC_status_ask] = on_status_ask,
};
