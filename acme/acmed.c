/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* acmed -- sees to the server's certificate: enrols and renews it, and decides which
 * one this node serves. Ties its parts together; see acmed.h. */
#include "acme/acmed.h"

#include "acme/automatic.h"
#include "acme/control.h"
#include "acme/custom.h"
#include "acme/live.h"
#include "common/config/running.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"

#include <getopt.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EXIT_OK,
	EXIT_USAGE = 64,
	EXIT_SOFTWARE = 70,
	EXIT_OSERR = 71,
	EXIT_CONFIG = 78
};
enum { TICK_MS = 1000, KEY_WAIT_MS = 10000, KEY_POLL_US = 50000 };

static void
on_tick(uv_timer_t *t)
{
	acmed_look(t->data);
}

static void
on_store_change(void *arg, const char *name)
{
	acmed_look(arg);
}

static void
on_role(void *arg)
{
	acmed_look(arg);
}

static const struct store_handlers store_handlers = { on_store_change, on_role };

/* ---- the configuration ---- */

/* One line per mistake. */
static void
log_report(const struct config_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->finding[i].is_warning)
			log_err(0, "config: %s:%u: %s: %s", r->finding[i].file,
				r->finding[i].line, r->finding[i].setting,
				r->finding[i].text);
}

/* *was: the one before, the caller's now. */
static int
read_config(struct acmed *a, struct config **was)
{
	struct config_report report = { .n = 0 };
	struct config *c = NULL;
	int rc = running_read(&c, a->state_dir, a->conf_file, a->node_file, &report);

	log_report(&report);
	if (rc < 0 && report.n_error == 0)
		log_err(0, "config: %s: %s", a->conf_file, err_text(rc));
	config_report_free(&report);
	if (rc < 0)
		return rc;
	*was = a->config;
	a->config = c;
	return 0;
}

static void
on_config(void *arg)
{
	struct acmed *a = arg;
	struct config *was;

	/* What is not understood changes nothing: vpnd would not have taken it. */
	if (read_config(a, &was) < 0)
		return;
	automatic_changed(a->automatic, was);
	config_free(was);
	acmed_look(a);
}

/* ---- rights ---- */

/* hasync makes it at its first start, which may be now. */
static int
wait_key(struct acmed *a)
{
	int rc;

	for (int ms = 0;; ms += KEY_POLL_US / 1000) {
		rc = pairkey_load(a->key_file, a->pair_key);
		if (rc != -ENOENT || ms >= KEY_WAIT_MS)
			return rc;
		usleep(KEY_POLL_US);
	}
}

/* ---- life ---- */

/* What needs root, and then root no more. */
static int
prepare(struct acmed *a)
{
	char path[ACMED_PATH + 16];
	uid_t uid;
	gid_t gid;
	int rc;

	if (!proc_user(PROC_ACME, &uid, &gid))
		log_info(0, "no user tandem-acme: number %u is used", (unsigned)uid);
	snprintf(a->folder, sizeof(a->folder), "%s/certs", a->state_dir);
	if (mkdir(a->state_dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mkdir(a->run_dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	/* vpnd's, but it may come later, and we could not make it then. */
	snprintf(path, sizeof(path), "%s/running", a->state_dir);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if ((rc = wait_key(a)) < 0) {
		log_err(0,
			"%s: %s: hasync makes it at its start, or 'vpnctl node join'",
			a->key_file, err_text(rc));
		return rc;
	}
	snprintf(path, sizeof(path), "%s/acmed.sock", a->run_dir);
	if ((rc = folder_give(a->folder, uid, gid)) < 0) {
		log_err(0, "%s: %s", a->folder, err_text(rc));
		return rc;
	}
	if ((rc = control_open(a, path)) < 0) {
		log_err(0, "%s: %s", path, err_text(rc));
		return rc;
	}
	umask(077);
	/* Port 80 is the one thing left that is root's. */
	return geteuid() == 0 ? proc_drop(uid, gid, CAP_NET_BIND_SERVICE) : 0;
}

static int
run(struct acmed *a)
{
	struct running_watch watch = { .on_change = on_config, .arg = a };
	char path[ACMED_PATH + 16];
	int rc;

	snprintf(path, sizeof(path), "%s/" CLUSTER_SOCKET, a->run_dir);
	if ((rc = live_new(&a->live)) < 0 || (rc = custom_new(&a->custom, a)) < 0 ||
	    (rc = store_new(&a->store, &a->loop, path, &store_handlers, a)) < 0)
		return rc;
	uv_timer_init(&a->loop, &a->look);
	uv_timer_init(&a->loop, &a->tick);
	a->look.data = a->tick.data = a;
	if ((rc = automatic_new(&a->automatic, a)) < 0)
		return rc;
	on_config(a);
	rc = running_watch_start(&watch, &a->loop, a->state_dir);
	if (rc < 0)
		return rc;
	uv_timer_start(&a->tick, on_tick, TICK_MS, TICK_MS);
	if ((rc = life_start(&a->life, &a->loop, a->key_file)) < 0)
		return rc;
	log_info(0, "started");
	uv_run(&a->loop, UV_RUN_DEFAULT);

	running_watch_stop(&watch);
	automatic_close(a->automatic);
	store_close(a->store);
	ctlsock_close(a->control);
	uv_close((uv_handle_t *)&a->look, NULL);
	uv_close((uv_handle_t *)&a->tick, NULL);
	life_stop(&a->life);
	uv_run(&a->loop, UV_RUN_DEFAULT);
	return 0;
}

static void
acmed_free(struct acmed *a)
{
	ctlsock_free(a->control);
	store_free(a->store);
	live_free(a->live);
	custom_free(a->custom);
	automatic_free(a->automatic);
	config_free(a->config);
	uv_loop_close(&a->loop);
	OPENSSL_cleanse(a->pair_key, sizeof(a->pair_key));
	free(a);
}

static void
usage(FILE *to)
{
	fputs("usage: acmed [-f CONF] [-n NODECONF] [-s STATEDIR] [-r RUNDIR] [-k KEY] "
	      "[-d] [-t] [-V] [-h]\n",
	      to);
}

int
main(int argc, char **argv)
{
	const char *conf = "/etc/tandem/tandem.conf", *node = "/etc/tandem/node.conf",
		   *state = "/var/lib/tandem", *run_dir = "/run/tandem",
		   *key = "/etc/tandem/pair.key";
	enum log_level level = LOG_L_INFO;
	bool only_check = false;
	int o;

	while ((o = getopt(argc, argv, "f:n:s:r:k:dtVh")) != -1)
		switch (o) {
		case 'f': conf = optarg; break;
		case 'n': node = optarg; break;
		case 's': state = optarg; break;
		case 'r': run_dir = optarg; break;
		case 'k': key = optarg; break;
		case 'd': level = LOG_L_DEBUG; break;
		case 't': only_check = true; break;
		case 'V': puts("acmed " TANDEM_VERSION); return EXIT_OK;
		case 'h': usage(stdout); return EXIT_OK;
		default: usage(stderr); return EXIT_USAGE;
		}
	if (optind < argc || strlen(state) > ACMED_PATH - 64 ||
	    strlen(run_dir) > ACMED_PATH - 64) {
		usage(stderr);
		return EXIT_USAGE;
	}
	struct acmed *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return EXIT_OSERR;
	a->conf_file = conf;
	a->node_file = node;
	a->state_dir = state;
	a->run_dir = run_dir;
	a->key_file = key;
	log_open("acmed", "", level);
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&a->loop);
	if (only_check) {
		struct config *none;
		int rc = read_config(a, &none);
		acmed_free(a);
		return rc < 0 ? EXIT_CONFIG : EXIT_OK;
	}
	int rc = prepare(a);
	if (rc == 0)
		rc = run(a);
	if (rc < 0) {
		log_err(0, "cannot start: %s", err_text(rc));
		return EXIT_OSERR;
	}
	log_info(0, "ended");
	acmed_free(a);
	return EXIT_OK;
}
