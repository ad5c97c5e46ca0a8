/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* certswap.c -- what acmed puts into STATEDIR/certs reaches keys and the workers.
 *
 * live.pem: key, certificate and chain that this node is to serve. When it appears,
 * changes or goes, keys loads what follows from that, and if it can, the workers get
 * the chain: new handshakes see it, live sessions keep theirs, nobody restarts. A file
 * that cannot serve is refused with one line and one event, and what runs stays. The
 * configuration is not read for it, and the operator's own files win over it.
 *
 * forget-own: the key and certificate that we made ourselves are to be forgotten;
 * others are made when they are needed next, at once if they are being served.
 *
 * alpn-NAME.pem: what a worker shows to an ACME server that asks for NAME.
 *
 * A swap and a reload never load at the same time: each waits for the other.
 */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/watch.h"
#include "vpnd/parent/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_BYTES = 512,
	QUIET_MS = 20,  /* a rename is whole; this is for several of them */
	RETRY_MS = 500, /* after keys died of it, or did not answer */
	TRIES_MAX = 3,  /* then it is the file's fault */
	LOAD_MS = 5000,
	NAMES_MAX = 64, /* of a folder that is not ours to fill */
};

static void on_settled(uv_timer_t *t);

static void
settle(struct parent *p, unsigned ms)
{
	if (!p->is_stopping)
		uv_timer_start(&p->certswap.settle, on_settled, ms, 0);
}

static const char *
path_of(const struct parent *p, const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/certs%s%s", p->opt->state_dir,
		 *name != '\0' ? "/" : "", name);
	return path;
}

/* ---- live.pem */

/* The end of an attempt, either way. */
static void
finish(struct parent *p)
{
	struct certswap *s = &p->certswap;

	uv_timer_stop(&s->deadline);
	certificate_close(&s->cert);
	s->is_loading = false;
	reload_resume(p);
}

void
certswap_refuse(struct parent *p, const char *why, int pem_fd)
{
	struct certswap *s = &p->certswap;

	if (s->refused_fd >= 0)
		close(s->refused_fd);
	s->refused_fd = pem_fd;
	log_err(0, "certificate " CERT_LIVE " refused, what runs stays: %s", why);
	event_send(p, EV_CERT_REFUSED, "", why, 0);
}

static void
again(struct parent *p, const char *why)
{
	struct certswap *s = &p->certswap;

	if (++s->tries < TRIES_MAX) {
		s->is_due = true;
	} else {
		certswap_refuse(p, why, s->cert.pem_fd);
		s->cert.pem_fd = -1;
		s->tries = 0;
	}
	finish(p);
}

static void
on_deadline(uv_timer_t *t)
{
	again(t->data, "it was not loaded in time");
}

static bool
was_refused(const struct certswap *s, const struct certificate *cert)
{
	const struct certificate refused = { .pem_fd = s->refused_fd };

	return s->refused_fd >= 0 && certificate_same(&refused, cert);
}

static void
check_live(struct parent *p)
{
	struct certswap *s = &p->certswap;
	char why[WHY_MAX] = "";

	if (parent_config(p)->certificate_file[0] != '\0')
		return;
	/* The first one must be there before it can be swapped. */
	if (p->cert.chain_fd < 0 || s->is_loading || p->reload.step == RELOAD_CERT) {
		s->is_due = true;
		return;
	}
	s->is_due = false;
	if (certificate_read(&s->cert, p, why) < 0) {
		certificate_close(&s->cert);
		why[sizeof(s->refused_why) - 1] = '\0';
		if (strcmp(why, s->refused_why) != 0)
			certswap_refuse(p, why, -1);
		memcpy(s->refused_why, why, sizeof(s->refused_why));
		return;
	}
	s->refused_why[0] = '\0';
	bool is_anew = s->wants_own && !s->cert.is_live;
	s->wants_own = false;
	if (!is_anew &&
	    ((!s->cert.is_live && !p->cert.is_live) ||
	     certificate_same(&s->cert, &p->cert) || was_refused(s, &s->cert))) {
		certificate_close(&s->cert);
		return;
	}
	s->is_loading = true;
	s->cert.generation = ++p->last_cert;
	certificate_load(p, &s->cert);
	uv_timer_start(&s->deadline, on_deadline, LOAD_MS, 0);
}

bool
certswap_loaded(struct parent *p, const struct ipc_keys_loaded *m)
{
	struct certswap *s = &p->certswap;

	if (!s->is_loading || m->generation != s->cert.generation)
		return false;
	s->tries = 0;
	if (m->is_bad) {
		certswap_refuse(p, m->text, s->cert.pem_fd);
		s->cert.pem_fd = -1;
	} else if (!certificate_note(&s->cert, m)) {
		log_err(0, "certificate: %s", err_text(E_NOMEM));
		s->is_due = true;
	} else {
		if (s->refused_fd >= 0)
			close(s->refused_fd);
		s->refused_fd = -1;
		certificate_take(p, &s->cert);
		for (unsigned i = 0; i < p->n_process; i++)
			if (p->process[i].is_equipped)
				handout_cert(&p->process[i]);
	}
	finish(p);
	return true;
}

/* Its successor is given what runs; then we try again. */
void
certswap_child_died(struct parent *p, struct process *c)
{
	if (c->who == IPC_KEYS && p->certswap.is_loading)
		again(p, "the keys process died of it");
}

void
certswap_resume(struct parent *p)
{
	if (p->certswap.is_due && p->certswap.has_handles)
		settle(p, p->certswap.tries > 0 ? RETRY_MS : 0);
}

static void
check_own(struct parent *p)
{
	char path[PATH_BYTES], own[PATH_BYTES];

	if (unlink(path_of(p, CERT_FORGET, path)) < 0)
		return;
	snprintf(own, sizeof(own), "%s/keys/tls.pem", p->opt->state_dir);
	if (unlink(own) < 0 && errno != ENOENT)
		log_err(0, "%s: %s", own, err_text(-errno));
	else
		log_info(0, "our own certificate and key are forgotten");
	p->certswap.wants_own = true;
}

/* ---- challenges */

static void
tell_workers(struct parent *p, const char *name, int fd)
{
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].who == IPC_WORKER && p->process[i].is_equipped)
			handout_challenge(&p->process[i], name, fd);
}

/* NAME of alpn-NAME.pem, or false. */
static bool
challenge_name(const char *file, char name[254])
{
	size_t n = strlen(file);

	if (n < 10 || n > 9 + 253 || memcmp(file, "alpn-", 5) != 0 ||
	    strcmp(file + n - 4, ".pem") != 0)
		return false;
	memcpy(name, file + 5, n - 9);
	name[n - 9] = '\0';
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n - 9;
}

static int
challenge_read(struct parent *p, const char *file, int *memfd)
{
	char path[PATH_BYTES];
	uint8_t *bytes = NULL;
	struct stat st = { 0 };
	size_t n = 0;
	int fd = open(path_of(p, file, path),
		      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc = fd < 0 ? -errno : fstat(fd, &st) < 0 ? -errno : 0;

	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = E_INVAL;
	if (rc == 0)
		rc = file_read_fd(fd, IPC_CHALLENGE_PEM, &bytes, &n);
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = memfd_of("tandem-challenge", bytes, n, memfd);
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	return rc;
}

static bool
same_bytes(int a, int b)
{
	const struct certificate x = { .pem_fd = a }, y = { .pem_fd = b };

	return certificate_same(&x, &y);
}

/* What `file` holds now, in place of what the slot held. */
static void
challenge_take(struct parent *p, const char *file, const char *name, bool *is_kept)
{
	struct certswap *s = &p->certswap;
	unsigned i = 0;
	int fd = -1, rc = challenge_read(p, file, &fd);

	if (rc < 0) {
		log_limited(LOG_L_WARN, 0, "challenge for %s: %s", name, err_text(rc));
		return;
	}
	while (i < s->n_challenge && strcmp(s->challenge[i].name, name) != 0)
		i++;
	if (i == IPC_CHALLENGES) {
		log_limited(LOG_L_WARN, 0, "challenge for %s: more than %d at once",
			    name, IPC_CHALLENGES);
		close(fd);
		return;
	}
	is_kept[i] = true;
	if (i < s->n_challenge && same_bytes(s->challenge[i].fd, fd)) {
		close(fd);
		return;
	}
	if (i == s->n_challenge)
		s->n_challenge++;
	else
		close(s->challenge[i].fd);
	snprintf(s->challenge[i].name, sizeof(s->challenge[i].name), "%s", name);
	s->challenge[i].fd = fd;
	tell_workers(p, name, fd);
	log_debug(0, "challenge for %s", name);
}

static void
challenge_drop(struct parent *p, unsigned i)
{
	struct certswap *s = &p->certswap;
	int none;

	if (memfd_of("tandem-no-challenge", NULL, 0, &none) == 0) {
		tell_workers(p, s->challenge[i].name, none);
		close(none);
	}
	close(s->challenge[i].fd);
	s->challenge[i] = s->challenge[--s->n_challenge];
}

static void
check_challenges(struct parent *p)
{
	struct certswap *s = &p->certswap;
	bool is_kept[IPC_CHALLENGES] = { false };
	char path[PATH_BYTES], name[254];
	unsigned seen = 0;
	DIR *d = opendir(path_of(p, "", path));

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		if (challenge_name(e->d_name, name) && seen++ < NAMES_MAX)
			challenge_take(p, e->d_name, name, is_kept);
	if (d != NULL)
		closedir(d);
	for (unsigned i = s->n_challenge; i-- > 0;)
		if (!is_kept[i]) /* the one that takes its place was looked at */
			challenge_drop(p, i);
}

void
certswap_handout(struct process *c)
{
	const struct certswap *s = &c->parent->certswap;

	for (unsigned i = 0; i < s->n_challenge; i++)
		handout_challenge(c, s->challenge[i].name, s->challenge[i].fd);
}

/* ---- the folder */

static void
on_settled(uv_timer_t *t)
{
	struct parent *p = t->data;

	if (p->is_stopping)
		return;
	check_challenges(p);
	check_own(p);
	check_live(p);
}

int
certswap_make_folder(struct parent *p, char *why)
{
	char path[PATH_BYTES];
	uid_t uid;
	gid_t gid;

	(void)proc_user(PROC_ACME, &uid, &gid);
	path_of(p, "", path);
	if ((mkdir(path, 0700) < 0 && errno != EEXIST) || chown(path, uid, gid) < 0 ||
	    chmod(path, 0700) < 0) {
		int rc = -errno;
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
		return rc;
	}
	return 0;
}

static void
keep_folder(struct parent *p)
{
	char why[WHY_MAX];

	if (certswap_make_folder(p, why) < 0)
		log_limited(LOG_L_WARN, 0, "%s", why);
}

/* No name: it may be another folder, as of a restored backup, or none. */
static void
on_folder(void *arg, const char *name)
{
	struct parent *p = arg;

	if (name == NULL && !p->is_stopping)
		keep_folder(p);
	if (!uv_is_active((uv_handle_t *)&p->certswap.settle))
		settle(p, 0); /* once for several names */
}

void
certswap_init(struct parent *p)
{
	struct certswap *s = &p->certswap;

	uv_timer_init(&p->loop, &s->settle);
	uv_timer_init(&p->loop, &s->deadline);
	s->settle.data = s->deadline.data = p;
	s->has_handles = true;
}

void
certswap_start(struct parent *p)
{
	char path[PATH_BYTES];

	keep_folder(p);
	path_of(p, "", path);
	int rc = watch_new(&p->certswap.folder, &p->loop, path, QUIET_MS, on_folder, p);
	if (rc < 0)
		log_err(0, "%s: cannot be watched: %s", path, err_text(rc));
	settle(p, 0);
}

void
certswap_tick(struct parent *p)
{
	struct certswap *s = &p->certswap;
	char path[PATH_BYTES];
	struct stat st;

	if (p->is_stopping)
		return;
	if (stat(path_of(p, "", path), &st) < 0)
		keep_folder(p);
	uint64_t stamp = 0;
	if (lstat(path_of(p, CERT_LIVE, path), &st) == 0)
		stamp = (uint64_t)st.st_ino * 1000003 + (uint64_t)st.st_mtim.tv_sec +
			(uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_size;
	if (stamp != s->live_stamp)
		settle(p, 0);
	s->live_stamp = stamp;
}

void
certswap_close(struct parent *p)
{
	struct certswap *s = &p->certswap;

	s->has_handles = false;
	watch_free(s->folder);
	s->folder = NULL;
	certificate_close(&s->cert);
	while (s->n_challenge > 0)
		close(s->challenge[--s->n_challenge].fd);
	if (s->refused_fd >= 0)
		close(s->refused_fd);
	s->refused_fd = -1;
}
