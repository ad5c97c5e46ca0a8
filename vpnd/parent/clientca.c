/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The client CA, STATEDIR/certs/client-ca.pem, and authentication.client_crl: read,
 * watched, handed to the workers. They are not parsed here: lists come from CAs, and
 * root is the last one who should read them. */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/watch.h"
#include "vpnd/parent/state.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CRL_MAX = 8 << 20, QUIET_MS = 100 };
static const char ca_name[] = "client-ca.pem";

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Regular files only: a pipe would hold root up for ever. how: more flags for open;
 * the folder of the client CA is acmed's, who must not point us elsewhere. */
static int
read_file(const char *path, size_t max, int how, uint8_t **bytes, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | how), rc = E_INVAL;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		rc = file_read_fd(fd, max, bytes, n);
	close(fd);
	return rc;
}

/* The file as a memfd in *slot, if it is another one than before; an empty one if
 * there is no file. True: it changed. */
static bool
take_file(int *slot, const char *path, size_t max, int how, bool may_go)
{
	uint8_t *now = NULL, *was = NULL;
	size_t now_n = 0, was_n = 0;
	int fd = -1,
	    rc = path[0] != '\0' ? read_file(path, max, how, &now, &now_n) : -ENOENT;

	if (rc == -ENOENT && may_go)
		rc = 0;
	bool is_same = rc == 0 && *slot >= 0 &&
		       file_read_fd(*slot, max, &was, &was_n) == 0 && was_n == now_n &&
		       (now_n == 0 || memcmp(was, now, now_n) == 0);
	if (rc == 0 && !is_same)
		rc = memfd_of("tandem-client-ca", now, now_n, &fd);
	free(now);
	free(was);
	if (rc < 0)
		log_err(0, "%s: %s; what was read before stays", path,
			rc == E_LIMIT ? "too large" : err_text(rc));
	/* A first one that cannot be read is as good as none. */
	if (rc < 0 && *slot < 0 && memfd_of("tandem-client-ca", NULL, 0, &fd) == 0)
		rc = 0;
	if (rc < 0 || is_same)
		return false;
	close_fd(slot);
	*slot = fd;
	return true;
}

static void
on_certs(void *arg, const char *name)
{
	if (name == NULL || strcmp(name, ca_name) == 0)
		client_ca_read(arg);
}

static void
on_crls(void *arg, const char *name)
{
	struct parent *p = arg;
	const char *path = parent_config(p)->client_crl, *slash = strrchr(path, '/');

	if (name == NULL || slash == NULL || strcmp(name, slash + 1) == 0)
		client_ca_read(p);
}

static void
watch_files(struct parent *p)
{
	struct client_ca *ca = &p->client_ca;
	const char *crl = parent_config(p)->client_crl;
	char folder[512];
	int rc = 0;

	if (ca->certs == NULL) {
		snprintf(folder, sizeof(folder), "%s/certs", p->opt->state_dir);
		rc = watch_new(&ca->certs, &p->loop, folder, QUIET_MS, on_certs, p);
	}
	snprintf(folder, sizeof(folder), "%s", crl);
	const char *of_crl = crl[0] != '\0' ? dirname(folder) : "";
	if (rc == 0 && strcmp(of_crl, ca->crl_folder) != 0) {
		watch_free(ca->crls);
		ca->crls = NULL;
		snprintf(ca->crl_folder, sizeof(ca->crl_folder), "%s", of_crl);
		if (of_crl[0] != '\0')
			rc = watch_new(&ca->crls, &p->loop, of_crl, QUIET_MS, on_crls,
				       p);
	}
	if (rc < 0)
		log_err(0,
			"client CA: its files cannot be watched (%s): reload after "
			"each change",
			err_text(rc));
}

void
client_ca_handout(struct process *c)
{
	const struct client_ca *ca = &c->parent->client_ca;
	struct ipc_client_ca m = { .wants_crl = ca->wants_crl };
	const int fds[2] = { ca->ca_fd, ca->crl_fd };

	if (c->peer != NULL && ca->ca_fd >= 0 && ca->crl_fd >= 0)
		(void)peer_send_fds(c->peer, IPC_client_ca, &m, fds, 2);
}

void
client_ca_read(struct parent *p)
{
	struct client_ca *ca = &p->client_ca;
	const struct config *cfg = parent_config(p);
	char path[512];
	bool wants_crl = cfg->client_crl[0] != '\0';

	if (cfg->client_certificate == CLIENT_CERT_OFF) {
		client_ca_close(p);
		return;
	}
	watch_files(p);
	snprintf(path, sizeof(path), "%s/certs/%s", p->opt->state_dir, ca_name);
	/* A CA that is removed is trusted no more. A list that is removed says nothing
	 * new: the old one holds until its own end. */
	bool is_new = take_file(&ca->ca_fd, path, IPC_PEM_MAX, O_NOFOLLOW, true);
	is_new |= take_file(&ca->crl_fd, cfg->client_crl, CRL_MAX, 0, !wants_crl);
	is_new |= wants_crl != ca->wants_crl;
	ca->wants_crl = wants_crl;
	if (!is_new)
		return;
	if (lseek(ca->ca_fd, 0, SEEK_END) == 0)
		log_warn(0,
			 "authentication.client_certificate: there is no %s: no client "
			 "certificate is accepted until one is uploaded with 'vpnctl "
			 "cert "
			 "client-ca upload FILE'",
			 path);
	log_info(0, "client CA: read%s", wants_crl ? ", with revocation lists" : "");
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].is_equipped)
			client_ca_handout(&p->process[i]);
}

void
client_ca_close(struct parent *p)
{
	struct client_ca *ca = &p->client_ca;

	close_fd(&ca->ca_fd);
	close_fd(&ca->crl_fd);
	watch_free(ca->certs);
	watch_free(ca->crls);
	ca->certs = ca->crls = NULL;
	ca->crl_folder[0] = '\0';
}
