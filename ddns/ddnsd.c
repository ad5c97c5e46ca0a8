/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ddnsd -- keeps the DNS records of the uplinks' names right. See ddnsd(8). */
#include "ddns/state.h"

#include "common/config/report.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proc.h"
#include "ddns/challenge.h"
#include "ddns/control.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static void
usage(FILE *to)
{
	fputs("usage: ddnsd [-f FILE] [-n NODEFILE] [-s STATEDIR] [-r RUNDIR] [-d] "
	      "[-t] "
	      "[-V] [-h]\n"
	      "  -f FILE      configuration of the service (/etc/tandem/tandem.conf)\n"
	      "  -n NODEFILE  configuration of this node (/etc/tandem/node.conf)\n"
	      "  -s STATEDIR  where vpnd tells what it runs (/var/lib/tandem)\n"
	      "  -r RUNDIR    control socket (/run/tandem)\n"
	      "  --hasync SOCKET  where hasync listens (RUNDIR/hasync.sock)\n"
	      "  --pair-key FILE  opens the secrets (/etc/tandem/pair.key)\n"
	      "  -d           log every state change\n"
	      "  -t           check the configuration, print every finding, and exit\n"
	      "  -V           print the version\n"
	      "  -h           print this\n"
	      "Runs in the foreground. SIGTERM stops.\n",
	      to);
}

/* ---- configuration ---- */

static int
read_config(struct daemon *d, struct config **out, bool says_all)
{
	struct config_report report = { 0 };
	int rc = running_read(out, d->state_dir, d->conf_file, d->node_file, &report);

	for (size_t i = 0; i < report.n; i++) {
		const struct config_finding *f = &report.finding[i];
		char line[16] = "";
		if (f->is_warning && !says_all)
			continue;
		if (f->line > 0)
			snprintf(line, sizeof(line), "%u:", f->line);
		fprintf(stderr, "%s:%s %s: %s%s\n", f->file, line, f->setting,
			f->is_warning ? "warning: " : "", f->text);
	}
	config_report_free(&report);
	return rc;
}

static void
use_config(struct daemon *d)
{
	struct config *c, *was = d->config;

	int rc = read_config(d, &c, false);
	if (rc < 0) {
		log_warn(0,
			 "the configuration cannot be used: %s; the one before stays",
			 err_text(rc));
		return;
	}
	d->config = c;
	for (unsigned i = 0; i < CONFIG_WANS; i++)
		uplink_configure(&d->uplink[i], c);
	paths_configure(&d->paths, c);
	challenges_configure(d->challenges, c);
	config_free(was);
}

static void
on_config(void *arg)
{
	use_config(arg);
}

static void
on_links(void *arg)
{
	struct daemon *d = arg;

	for (unsigned i = 0; i < CONFIG_WANS; i++)
		uplink_kick(&d->uplink[i]);
}

static void
on_paths(void *arg, unsigned wan, unsigned to)
{
	struct daemon *d = arg;

	uplink_follow(&d->uplink[wan], paths_wan_name(to));
}

/* ---- the store ---- */

static void
on_role(void *arg, bool is_active)
{
	struct daemon *d = arg;

	if (d->life.is_ending)
		return;
	log_info(0, "this node is %s epoch=%llu", is_active ? "active" : "not active",
		 (unsigned long long)store_epoch(d->store));
	for (unsigned i = 0; i < CONFIG_WANS; i++)
		uplink_role(&d->uplink[i], is_active);
	challenges_role(d->challenges, is_active);
}

static bool
is_of(const char *name, const char *kind, const char *wan)
{
	size_t n = strlen(kind);

	return strncmp(name, kind, n) == 0 && strcmp(name + n, wan) == 0;
}

static void
on_object(void *arg, const char *name, struct span bytes, bool is_ours)
{
	struct daemon *d = arg;

	if (d->life.is_ending)
		return;
	for (unsigned i = 0; i < CONFIG_WANS; i++) {
		if (is_of(name, "ddns/published/", paths_wan_name(i)))
			uplink_heard(&d->uplink[i], bytes, is_ours);
		else if (is_of(name, "ddns/status/", paths_wan_name(i)))
			uplink_status_heard(&d->uplink[i], bytes);
	}
	challenges_heard(d->challenges, name, bytes);
	if (is_of(name, "node/", store_node(d->store)))
		paths_heard(&d->paths, bytes);
}

static void
on_secret(void *arg)
{
	struct daemon *d = arg;

	for (unsigned i = 0; !d->life.is_ending && i < CONFIG_WANS; i++)
		uplink_forgive(&d->uplink[i]);
}

static const struct store_handlers store_handlers = { on_role, on_object, on_secret };

/* ---- life ---- */

/* While we are root: the key, and what is watched or listened to. */
static int
open_all(struct daemon *d, const char *key_file)
{
	uint8_t key[PAIRKEY];
	int rc = pairkey_load(key_file, key);

	if (rc < 0) {
		log_err(0, "%s: %s; hasync makes it when it starts", key_file,
			err_text(rc));
		return rc;
	}
	rc = store_new(&d->store, &d->loop, d->hasync_path, key, &store_handlers, d);
	OPENSSL_cleanse(key, sizeof(key));
	if (rc == 0)
		rc = life_start(&d->life, &d->loop, key_file);
	d->watch.on_change = on_config;
	d->watch.arg = d;
	if (rc == 0 &&
	    (rc = running_watch_start(&d->watch, &d->loop, d->state_dir)) < 0)
		log_err(0, "%s: %s", d->state_dir, err_text(rc));
	d->links.on_change = on_links;
	d->links.arg = d;
	if (rc == 0)
		rc = links_start(&d->links, &d->loop);
	if (rc == 0 && (rc = control_open(&d->control, d)) < 0)
		log_err(0, "%s/" CONTROL_SOCKET ": %s", d->run_dir, err_text(rc));
	return rc;
}

static int
drop_root(void)
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return 0;
	if (!proc_user(PROC_DDNS, &uid, &gid))
		log_info(0, "no user tandem-ddns: runs as %u", (unsigned)uid);
	return proc_drop(uid, gid, PROC_NO_CAP);
}

static int
start(struct daemon *d)
{
	int rc = fetch_new(&d->fetch, &d->loop);

	d->paths.on_change = on_paths;
	d->paths.arg = d;
	d->counts.egress = &d->paths.egress;
	paths_start(&d->paths, &d->loop);
	for (unsigned i = 0; rc == 0 && i < CONFIG_WANS; i++)
		rc = uplink_init(&d->uplink[i], paths_wan_name(i), &d->loop, d->store,
				 d->fetch, &d->counts);
	if (rc == 0)
		rc = challenges_new(&d->challenges, &d->loop, d->store, &d->counts);
	if (rc < 0)
		return rc;
	use_config(d);
	return 0;
}

static void
end(struct daemon *d)
{
	control_close(d->control);
	for (unsigned i = 0; i < CONFIG_WANS; i++)
		uplink_close(&d->uplink[i]);
	challenges_free(d->challenges);
	links_stop(&d->links);
	paths_stop(&d->paths);
	running_watch_stop(&d->watch);
	fetch_close(d->fetch);
	store_free(d->store);
	life_stop(&d->life);
	/* A resolver's thread may take its time; exit does not wait for it. */
	for (int i = 0; i < 100 && uv_run(&d->loop, UV_RUN_NOWAIT) != 0; i++)
		;
	control_free(d->control);
	config_free(d->config);
}

int
main(int argc, char **argv)
{
	enum { WORD_HASYNC = 256, WORD_KEY };
	static const struct option words[] = {
		{ "hasync", required_argument, NULL, WORD_HASYNC },
		{ "pair-key", required_argument, NULL, WORD_KEY },
		{ NULL, 0, NULL, 0 },
	};
	const char *key_file = "/etc/tandem/pair.key", *hasync = NULL;
	enum log_level level = LOG_L_INFO;
	bool only_check = false;
	int o, rc;

	static struct daemon all; /* large; lives as long as the process */
	struct daemon *d = &all;

	d->conf_file = "/etc/tandem/tandem.conf";
	d->node_file = "/etc/tandem/node.conf";
	d->state_dir = "/var/lib/tandem";
	d->run_dir = "/run/tandem";
	while ((o = getopt_long(argc, argv, "f:n:s:r:dtVh", words, NULL)) != -1)
		switch (o) {
		case 'f': d->conf_file = optarg; break;
		case 'n': d->node_file = optarg; break;
		case 's': d->state_dir = optarg; break;
		case 'r': d->run_dir = optarg; break;
		case 'd': level = LOG_L_DEBUG; break;
		case 't': only_check = true; break;
		case 'V': puts("ddnsd " TANDEM_VERSION); return EX_OK;
		case 'h': usage(stdout); return EX_OK;
		case WORD_HASYNC: hasync = optarg; break;
		case WORD_KEY: key_file = optarg; break;
		default: usage(stderr); return EX_USAGE;
		}
	if (optind < argc) {
		usage(stderr);
		return EX_USAGE;
	}
	log_open("ddnsd", "", level);
	signal(SIGPIPE, SIG_IGN);
	rc = read_config(d, &d->config, only_check);
	config_free(d->config);
	d->config = NULL;
	if (rc < 0 || only_check)
		return rc < 0 ? EX_CONFIG : EX_OK;
	if (hasync != NULL)
		snprintf(d->hasync_path, sizeof(d->hasync_path), "%s", hasync);
	else
		snprintf(d->hasync_path, sizeof(d->hasync_path), "%s/" CLUSTER_SOCKET,
			 d->run_dir);
	uv_loop_init(&d->loop);
	if ((rc = open_all(d, key_file)) < 0 || (rc = drop_root()) < 0 ||
	    (rc = start(d)) < 0) {
		log_err(0, "cannot start: %s", err_text(rc));
		return EX_OSERR;
	}
	log_info(0, "started");
	uv_run(&d->loop, UV_RUN_DEFAULT);
	end(d);
	log_info(0, "ended");
	return EX_OK;
}
