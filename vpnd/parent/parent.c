/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/parent.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "vpnd/ipc/counters.h"
#include "vpnd/parent/firewall.h"
#include "vpnd/parent/state.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	FILES_MAX = 65536, /* a worker's share of connections, and our dups */
	PATH_BYTES = 512,
	SOCKET_MODE = 0660,
};

/* ---- start */

static int
check_privilege(char *why)
{
	if (geteuid() == 0 && capng_get_caps_process() == 0 &&
	    capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
		return 0;
	snprintf(why, WHY_MAX, "%s",
		 geteuid() != 0
			 ? "must be started as root"
			 : "the capability CAP_NET_ADMIN is missing (a container "
			   "needs --cap-add NET_ADMIN)");
	return -EPERM;
}

static int
make_dir(const char *base, const char *name, mode_t mode, uid_t uid, gid_t gid,
	 char *why)
{
	char path[PATH_BYTES];
	int rc = 0;

	snprintf(path, sizeof(path), "%s%s%s", base, name[0] != '\0' ? "/" : "", name);
	/* Parents of the base directory, as mkdir -p makes them. */
	for (char *s = path + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		(void)mkdir(path, 0755); /* the last mkdir tells what went wrong */
		*s = '/';
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		rc = -errno;
	else if (name[0] != '\0' &&
		 (chown(path, uid, gid) < 0 || chmod(path, mode) < 0))
		rc = -errno;
	if (rc < 0)
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
	return rc;
}

/* The lock, not the file, says that a vpnd runs: it goes with the process. */
static int
take_lock(struct parent *p, char *why)
{
	char path[PATH_BYTES], text[16] = "";
	int rc;

	if ((rc = make_dir(p->opt->run_dir, "", 0755, 0, 0, why)) < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/vpnd.pid", p->opt->run_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		rc = -errno;
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
		return rc;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		rc = -errno;
		if (read(fd, text, sizeof(text) - 1) > 0)
			text[strcspn(text, "\n")] = '\0';
		snprintf(why, WHY_MAX, "vpnd runs already, pid %s (%s)", text, path);
		close(fd);
		return rc;
	}
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n) {
		rc = -errno;
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
		close(fd);
		return rc;
	}
	p->lock_fd = fd;
	return 0;
}

/* As many as cores up to 4, one less up to 16, two less beyond: the kernel and
 * the other processes want some too. */
static unsigned
worker_count(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	long n = c->workers > 0 ? (long)c->workers
		 : cores <= 4   ? cores
		 : cores <= 16  ? cores - 1
				: cores - 2;

	return n < 1 ? 1 : n > CHILD_WORKERS ? CHILD_WORKERS : (unsigned)n;
}

static void
list_processes(struct parent *p)
{
	static const enum ipc_process one[] = { IPC_KEYS, IPC_AUTH, IPC_SESSION };
	static const enum proc_user user[IPC_PROCESSES] = { [IPC_KEYS] = PROC_KEYS,
							    [IPC_AUTH] = PROC_AUTH,
							    [IPC_SESSION] =
								    PROC_SESSION,
							    [IPC_WORKER] =
								    PROC_WORKER };
	bool is_missing = false;

	p->n_process = 3 + p->workers;
	for (unsigned i = 0; i < p->n_process; i++) {
		struct process *c = &p->process[i];
		c->parent = p;
		c->who = i < 3 ? one[i] : IPC_WORKER;
		c->index = i < 3 ? 0 : i - 3;
		snprintf(c->name, sizeof(c->name), i < 3 ? "%s" : "%s%u",
			 ipc_process_name[c->who], c->index);
		is_missing |= !proc_user(user[c->who], &c->uid, &c->gid);
		if (c->who == IPC_SESSION || c->who == IPC_AUTH)
			snprintf(c->root, sizeof(c->root), "%s/%s", p->opt->state_dir,
				 c->name);
		else
			snprintf(c->root, sizeof(c->root), "%s/empty", p->opt->run_dir);
	}
	if (is_missing)
		log_info(
			0,
			"no users tandem-keys, -auth, -session, -worker: the processes "
			"run as %d..%d",
			PROC_UID_FIRST, PROC_UID_FIRST + 3);
}

static int
give_folder(const struct process *c, char *why)
{
	int rc = folder_give(c->root, c->uid, c->gid);

	if (rc < 0)
		snprintf(why, WHY_MAX, "%s: %s", c->root, err_text(rc));
	return rc;
}

static int
make_dirs(struct parent *p, char *why)
{
	const char *state = p->opt->state_dir;
	int rc;

	if ((rc = make_dir(p->opt->run_dir, "empty", 0555, 0, 0, why)) < 0 ||
	    (rc = make_dir(state, "", 0755, 0, 0, why)) < 0 ||
	    (rc = make_dir(state, "keys", 0700, 0, 0, why)) < 0 ||
	    (rc = give_folder(process_of(p, IPC_AUTH, 0), why)) < 0 ||
	    (rc = give_folder(process_of(p, IPC_SESSION, 0), why)) < 0 ||
	    (rc = certswap_make_folder(p, why)) < 0)
		return rc;
	return 0;
}

static void
raise_file_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	if (r.rlim_max < FILES_MAX)
		r.rlim_max = FILES_MAX;
	r.rlim_cur = r.rlim_max < FILES_MAX ? r.rlim_max : FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &r) == 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

static int
make_counters(struct parent *p, char *why)
{
	for (unsigned w = 0; w < p->workers; w++) {
		int fd = memfd_create("tandem-counters",
				      MFD_CLOEXEC | MFD_ALLOW_SEALING);
		p->counters[w] = fd;
		if (fd < 0 ||
		    ftruncate(fd, (off_t)(p->slots * sizeof(struct counters))) < 0 ||
		    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
			    0) {
			int rc = -errno;
			snprintf(why, WHY_MAX, "counters: %s", err_text(rc));
			return rc;
		}
	}
	return 0;
}

static int
make_control_socket(struct parent *p, char *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int rc, n, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/vpnd.sock",
		     p->opt->run_dir);
	if (n >= (int)sizeof(sun.sun_path)) {
		rc = -ENAMETOOLONG;
		goto close_fd;
	}
	(void)unlink(sun.sun_path); /* of a killed predecessor; we hold the lock */
	mode_t was = umask(0777);
	rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno : 0;
	umask(was);
	if (rc < 0)
		goto close_fd;
	if (chown(sun.sun_path, 0, 0) < 0 || chmod(sun.sun_path, SOCKET_MODE) < 0 ||
	    listen(fd, 64) < 0) {
		rc = -errno;
		goto close_fd;
	}
	p->control_fd = fd;
	return 0;

close_fd:
	snprintf(why, WHY_MAX, "control socket %s/vpnd.sock: %s", p->opt->run_dir,
		 err_text(rc));
	close(fd);
	return rc;
}

/* Routes and addresses: those of a killed predecessor go first. */
static int
make_routes(struct parent *p, char *why)
{
	const struct config *c = parent_config(p);
	struct ip_addr gateway4 = pool4_gateway(c), gateway6 = pool6_gateway(c);
	int rc;

	p->has_routes = true;
	if ((rc = route_flush(&p->router)) < 0 ||
	    (rc = route_address(&p->router, &gateway4, p->tun[0].ifindex)) < 0 ||
	    (c->pool6.len > 0 &&
	     (rc = route_address(&p->router, &gateway6, p->tun[0].ifindex)) < 0) ||
	    (rc = route_pools(&p->router, c)) < 0)
		snprintf(why, WHY_MAX, "routes of the client subnet: %s", err_text(rc));
	return rc;
}

static int
make_network(struct parent *p, char *why)
{
	const struct config *c = parent_config(p);
	char keep[PATH_BYTES];
	int rc;

	snprintf(keep, sizeof(keep), "%s/forwarding.old", p->opt->run_dir);
	/* First what somebody else may have taken. */
	if ((rc = sockets_open(&p->sockets, c, p->workers, NULL, &p->last_handle,
			       why)) < 0)
		return rc;
	for (unsigned w = 0; w < p->workers; w++)
		if ((rc = tun_open(&p->tun[w], w, c->pool6.len > 0, why)) < 0)
			return rc;
	if ((rc = router_open(&p->router)) < 0) {
		snprintf(why, WHY_MAX, "netlink: %s", err_text(rc));
		return rc;
	}
	if ((rc = make_routes(p, why)) < 0 ||
	    (rc = forwarding_on(&p->forwarding, c, keep, why)) < 0)
		return rc;
	p->has_firewall = true;
	return firewall_apply(c, p->workers, p->pairing.has_peer, why);
}

/* ---- what was chosen */

static void
say_addresses(const struct config_wan *w, char *buf, size_t cap)
{
	struct ifaddrs *list, *i;
	char text[IP_TEXT];
	size_t n = 0;

	buf[0] = '\0';
	if (getifaddrs(&list) < 0)
		return;
	for (i = list; i != NULL; i = i->ifa_next) {
		struct ip_addr a = { 0 };
		if (i->ifa_addr != NULL && strcmp(i->ifa_name, w->ifname) == 0)
			a = ip_of_sockaddr(i->ifa_addr);
		if (a.family == 0 ||
		    (a.family == 6 && a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80))
			continue;
		a.port = 0;
		int k = snprintf(buf + n, cap - n, "%s%s", n > 0 ? " " : "",
				 ip_text(&a, text));
		if (k < 0 || (size_t)k >= cap - n)
			break;
		n += (size_t)k;
	}
	freeifaddrs(list);
}

static void
say_choices(const struct parent *p)
{
	const struct config *c = parent_config(p);
	char text[512], a[INET6_ADDRSTRLEN];

	log_info(0, "vpnd %s node=%s workers=%u sessions=%u", TANDEM_VERSION,
		 c->node_name, p->workers, c->session_limit);
	for (unsigned i = 0; i < c->n_wan; i++) {
		const struct config_wan *w = &c->wan[i];
		say_addresses(w, text, sizeof(text));
		log_info(0, "%s: interface=%s addresses=\"%s\" service=%s nat=%s",
			 w->name, w->ifname, text,
			 !wan_serves(w)
				 ? w->type == UPLINK_CELLULAR ? "no (cellular)" : "no"
			 : c->enabled ? "yes"
				      : "no (disabled)",
			 w->nat ? "yes" : "no");
	}
	inet_ntop(AF_INET, &c->pool4.addr, a, sizeof(a));
	snprintf(text, sizeof(text), "%s/%u", a, c->pool4.len);
	if (c->pool6.len > 0) {
		inet_ntop(AF_INET6, &c->pool6.addr, a, sizeof(a));
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s/%u", a,
			 c->pool6.len);
	}
	log_info(0, "port=%u clients=\"%s\" control=%s/vpnd.sock", c->port, text,
		 p->opt->run_dir);
	if (strcmp(p->opt->run_dir, "/run/tandem") == 0)
		log_info(0, "add a user with: vpnctl user add NAME");
	else
		log_info(0, "add a user with: vpnctl -S %s/vpnd.sock user add NAME",
			 p->opt->run_dir);
}

/* ---- run */

static void
on_child(uv_signal_t *s, int number)
{
	process_reap(s->data);
}

static void
on_hup(uv_signal_t *s, int number)
{
	log_info(0, "reload: by signal");
	reload_ask(s->data, false, 0);
}

static void
on_term(uv_signal_t *s, int number)
{
	parent_stop(s->data);
}

static void
on_ping(uv_timer_t *t)
{
	process_ping(t->data);
	certswap_tick(t->data);
}

static void
watch_signal(struct parent *p, uv_signal_t *s, uv_signal_cb cb, int number)
{
	uv_signal_init(&p->loop, s);
	s->data = p;
	uv_signal_start(s, cb, number);
}

static int
start_loop(struct parent *p, char *why)
{
	int rc = uv_loop_init(&p->loop);

	if (rc < 0) {
		snprintf(why, WHY_MAX, "event loop: %s", err_text(rc));
		return rc;
	}
	p->has_loop = true;
	signal(SIGPIPE, SIG_IGN);
	watch_signal(p, &p->sig_child, on_child, SIGCHLD);
	watch_signal(p, &p->sig_hup, on_hup, SIGHUP);
	watch_signal(p, &p->sig_term, on_term, SIGTERM);
	watch_signal(p, &p->sig_int, on_term, SIGINT);
	uv_timer_init(&p->loop, &p->ping);
	uv_timer_init(&p->loop, &p->stop_timer);
	uv_timer_init(&p->loop, &p->reload.deadline);
	p->ping.data = p->stop_timer.data = p->reload.deadline.data = p;
	for (unsigned i = 0; i < p->n_process; i++) {
		uv_timer_init(&p->loop, &p->process[i].respawn);
		p->process[i].respawn.data = &p->process[i];
	}
	pairing_init(p);
	certswap_init(p);
	p->pinged_ms = now_ms();
	uv_timer_start(&p->ping, on_ping, PING_MS, PING_MS);
	return 0;
}

static int
start_children(struct parent *p, char *why)
{
	for (unsigned i = 0; i < p->n_process; i++) {
		int rc = process_spawn(&p->process[i]);
		if (rc < 0) {
			snprintf(why, WHY_MAX, "%s: cannot start: %s",
				 p->process[i].name, err_text(rc));
			return rc;
		}
	}
	return 0;
}

/* ---- stop */

static void
tell_stop(struct parent *p, bool workers)
{
	struct ipc_stop m = { 0 };

	for (unsigned i = 0; i < p->n_process; i++) {
		struct process *c = &p->process[i];
		if ((c->who == IPC_WORKER) == workers && c->peer != NULL)
			(void)peer_send(c->peer, IPC_stop, &m);
	}
}

static bool
workers_gone(const struct parent *p)
{
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].who == IPC_WORKER && p->process[i].pid != 0)
			return false;
	return true;
}

static void
on_stop_late(uv_timer_t *t)
{
	struct parent *p = t->data;

	for (unsigned i = 0; i < p->n_process; i++)
		process_kill(&p->process[i], "did not stop in time");
}

/* The door first, for all workers at one moment: a client whose connection is
 * closed dials again within a round trip, and must not land in the queue of a
 * worker that is about to go. With no listener its SYN meets silence (the
 * table is still there), and a second later a restarted vpnd. */
static void
stop_listening(struct parent *p)
{
	for (size_t i = 0; i < p->sockets.n; i++) /* in every process that has it */
		(void)shutdown(p->sockets.listener[i].tcp, SHUT_RDWR);
	sockets_close(&p->sockets);
}

void
parent_stop(struct parent *p)
{
	if (p->is_stopping)
		return;
	p->is_stopping = true;
	log_info(0, "stopping");
	event_send(p, EV_SERVICE_STOPPING, "", "", 0);
	if (!pairing_yield(p))
		parent_stop_serving(p);
}

/* Workers first: what they report while closing is for session to hear. */
void
parent_stop_serving(struct parent *p)
{
	stop_listening(p);
	tell_stop(p, true);
	uv_timer_start(&p->stop_timer, on_stop_late, STOP_MS, 0);
	parent_gone(p);
}

void
parent_gone(struct parent *p)
{
	if (workers_gone(p) && !p->workers_told) {
		p->workers_told = true;
		tell_stop(p, false);
	}
	if (process_all_gone(p))
		uv_stop(&p->loop);
}

static void
remove_file(const struct parent *p, const char *name)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", p->opt->run_dir, name);
	(void)unlink(path);
}

static void
close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void
close_loop(struct parent *p)
{
	for (unsigned i = 0; i < p->n_process; i++)
		process_close(&p->process[i]);
	pairing_close(p);
	certswap_close(p);
	client_ca_close(p);
	uv_walk(&p->loop, close_handle, NULL);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&p->loop);
}

/* Undo whatever was done, in whatever state the start was left. */
static void
undo(struct parent *p)
{
	char why[WHY_MAX];

	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].pid != 0)
			kill(p->process[i].pid, SIGKILL);
	sockets_close(&p->sockets);
	if (p->has_firewall && firewall_remove(why) < 0)
		log_warn(0, "%s", why);
	if (p->has_routes)
		(void)route_flush(&p->router);
	router_close(&p->router);
	for (unsigned w = 0; w < p->workers; w++)
		tun_close(&p->tun[w]);
	forwarding_restore(&p->forwarding);
	if (p->control_fd >= 0)
		remove_file(p, "vpnd.sock");
	if (p->lock_fd >= 0)
		remove_file(p, "vpnd.pid");
	setup_free(p->setup);
	if (p->has_loop)
		close_loop(p);
	free(p->pair);
	/* Descriptors go with the process. */
}

/* ---- main */

/* Without a good one of acmed's we serve our own: it is only one service of two that
 * has trouble then. */
static int
first_certificate(struct parent *p, char *why)
{
	int rc = certificate_read(&p->cert, p, why);

	if (rc < 0 && p->cert.is_live) {
		certswap_refuse(p, why, -1);
		why[0] = '\0';
		rc = certificate_read_own(&p->cert, p, why);
	}
	return rc;
}

static int
set_up(struct parent *p, char *why)
{
	int rc;

	p->workers = worker_count(parent_config(p));
	p->slots = parent_config(p)->session_limit;
	if (p->slots < SLOTS_MIN)
		p->slots = SLOTS_MIN;
	raise_file_limit();
	list_processes(p);
	if ((rc = make_dirs(p, why)) < 0 || (rc = start_loop(p, why)) < 0 ||
	    (rc = process_pairs(p, why)) < 0 || (rc = make_counters(p, why)) < 0 ||
	    (rc = first_certificate(p, why)) < 0 ||
	    (rc = token_keys_read(p, why)) < 0 ||
	    (rc = setup_memfd(p->setup, &p->config_fd)) < 0 ||
	    (rc = make_network(p, why)) < 0 || (rc = make_control_socket(p, why)) < 0)
		return rc;
	p->generation = p->cert.generation = p->last_cert = 1;
	setup_publish(p->setup, p->opt);
	client_ca_read(p);
	say_choices(p);
	pairing_start(p);
	certswap_start(p);
	return start_children(p, why);
}

static void
print_findings(const struct config_report *r, bool to_log)
{
	char line[640];

	for (size_t i = 0; i < r->n; i++) {
		finding_text(&r->finding[i], line, sizeof(line));
		if (!to_log)
			puts(line);
		else if (r->finding[i].is_warning)
			log_warn(0, "%s", line);
		else
			log_err(0, "%s", line);
	}
}

static struct parent *
parent_new(const struct parent_options *o)
{
	struct parent *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->opt = o;
	p->started_ms = now_ms();
	p->control_fd = p->lock_fd = p->config_fd = p->token_keys_fd = -1;
	p->cert.pem_fd = p->cert.chain_fd = -1;
	p->previous.pem_fd = p->previous.chain_fd = -1;
	p->certswap.refused_fd = -1;
	p->certswap.cert.pem_fd = p->certswap.cert.chain_fd = -1;
	p->reload.cert.pem_fd = p->reload.cert.chain_fd = -1;
	p->reload.config_fd = -1;
	p->client_ca.ca_fd = p->client_ca.crl_fd = -1;
	for (unsigned w = 0; w < CHILD_WORKERS; w++)
		p->tun[w].fd = p->counters[w] = -1;
	return p;
}

static int
run(struct parent *p)
{
	struct config_report report = { 0 };
	char why[WHY_MAX] = "";

	if (check_privilege(why) < 0 || take_lock(p, why) < 0) {
		log_err(0, "%s", why);
		return EX_OSERR;
	}
	int rc = setup_load(&p->setup, p->opt, &report, why);
	print_findings(&report, true);
	config_report_free(&report);
	if (rc < 0) {
		if (why[0] != '\0')
			log_err(0, "%s", why);
		return EX_CONFIG;
	}
	if (parent_config(p)->log_debug)
		log_set_level(LOG_L_DEBUG);
	if (setup_resolve(p->setup, why) < 0 || set_up(p, why) < 0) {
		log_err(0, "%s", why[0] != '\0' ? why : "out of memory");
		return EX_OSERR;
	}
	uv_run(&p->loop, UV_RUN_DEFAULT);
	log_info(0, "stopped");
	return p->exit_code;
}

int
parent_main(const struct parent_options *o)
{
	struct parent *p;

	log_open("vpnd", "", o->is_debug ? LOG_L_DEBUG : LOG_L_INFO);
	if ((p = parent_new(o)) == NULL)
		return EX_SOFTWARE;
	int code = run(p);
	undo(p);
	free(p);
	return code;
}

int
parent_check(const struct parent_options *o)
{
	struct config_report report = { 0 };
	struct setup *s = NULL;
	char why[WHY_MAX] = "";

	int rc = setup_load(&s, o, &report, why);
	print_findings(&report, false);
	if (why[0] != '\0')
		puts(why);
	config_report_free(&report);
	setup_free(s);
	return rc < 0 ? EX_CONFIG : EX_OK;
}
