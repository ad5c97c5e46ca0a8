/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_main.c -- the process around the session table: peers, files, time.
 *
 * Order at start: the configuration, then control_listen, which says how many
 * slots there are; only then are workers, auth and keys listened to. What they
 * sent meanwhile has waited in their sockets.
 */
#include "common/err.h"
#include "common/log.h"
#include "common/proc.h"
#include "vpnd/ipc/bundle.h"
#include "vpnd/ipc/child.h"
#include "vpnd/ipc/peer.h"
#include "vpnd/session/cluster.h"
#include "vpnd/session/control.h"
#include "vpnd/session/session.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

struct desk {
	const struct child *child;
	uv_loop_t loop;
	uv_timer_t tick;
	uv_work_t sync;
	int sync_fd; /* -1: no sync under way */
	int dir_fd;
	struct peer parent, keys, auth, worker[SESSION_WORKERS_MAX];
	struct config *config;
	struct bundle bundle;
	struct session_table *table; /* NULL until control_listen */
	struct events *events;
	struct control *control;
	struct control_host host;
	struct pair *pair; /* NULL until control_listen */
	struct pair_host pair_host;
	int cluster_fd; /* came before that; -1: none */
	struct {
		const struct counters *at;
		unsigned n;
	} counters[SESSION_WORKERS_MAX];
};

static struct now
now_of(void *arg)
{
	struct timespec mono, wall;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct now){ .mono_ms = (uint64_t)mono.tv_sec * 1000 +
					(uint64_t)mono.tv_nsec / 1000000,
			     .wall_ms = (uint64_t)wall.tv_sec * 1000 +
					(uint64_t)wall.tv_nsec / 1000000 };
}

static struct peer *
peer_of(struct desk *d, enum ipc_process who, unsigned index)
{
	switch (who) {
	case IPC_PARENT: return &d->parent;
	case IPC_KEYS: return &d->keys;
	case IPC_AUTH: return &d->auth;
	default: return index < SESSION_WORKERS_MAX ? &d->worker[index] : NULL;
	}
}

static void
send_out(void *arg, enum ipc_process to, unsigned index, enum ipc_type type,
	 const void *body)
{
	struct peer *p = peer_of(arg, to, index);
	int rc = p == NULL || p->self != IPC_SESSION ? E_NOENT
						     : peer_send(p, type, body);

	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "%s to %s%u: %s", ipc_row[type].name,
			    ipc_process_name[to], index, err_text(rc));
}

/* The text rides in a memfd: it may be longer than a packet. */
static void
config_put_out(void *arg, uint32_t id, enum config_put how, const char *text)
{
	struct desk *d = arg;
	struct ipc_config_put m = { .id = id, .how = (uint8_t)how };
	size_t n = strlen(text);
	int fd = memfd_create("tandem.conf", MFD_CLOEXEC), rc = fd < 0 ? -errno : 0;

	if (rc == 0 && write(fd, text, n) != (ssize_t)n)
		rc = E_NOMEM;
	if (rc == 0)
		rc = peer_send_fds(&d->parent, IPC_config_put, &m, &fd, 1);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		log_err(0, "config_put to parent: %s", err_text(rc));
}

static void
pair_answer_out(void *arg, uint32_t id, json_t *o)
{
	struct desk *d = arg;

	if (d->control != NULL)
		control_pair_done(d->control, id, o);
	else
		json_decref(o);
}

static void
pair_ask_in(void *arg, uint32_t id, const json_t *q)
{
	struct desk *d = arg;

	pair_ask(d->pair, id, q);
}

static json_t *
pair_status_in(void *arg)
{
	struct desk *d = arg;

	return pair_status(d->pair);
}

/* The table restores itself before there is a pair: what it says then is said
 * again when the connection comes. */
static void
revoked_out(void *arg, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s)
{
	struct desk *d = arg;

	if (d->pair != NULL)
		pair_revoked(d->pair, sid, wall_expiry_s);
}

static void
borrowed_out(void *arg, const struct session *s)
{
	struct desk *d = arg;

	if (d->pair != NULL)
		pair_borrowed(d->pair, s);
}

static void
tunnel_out(void *arg, const struct session *s, bool is_up)
{
	struct desk *d = arg;

	if (d->pair != NULL)
		pair_tunnel(d->pair, s, is_up);
}

static void
event_out(void *arg, const struct event *e)
{
	struct desk *d = arg;

	if (d->events != NULL)
		events_add(d->events, e, now_of(d).wall_ms);
}

static void
on_event_line(void *arg, const char *line, size_t n)
{
	struct desk *d = arg;

	if (d->control != NULL)
		control_event(d->control, line, n);
}

static void
on_broken(void *arg, struct peer *p, int rc)
{
	/* A worker that breaks the rules must not take us along: it is not heard
	 * until it is replaced. The others are as much ours as we are. */
	if (p->who != IPC_WORKER)
		log_fatal("%s broke the message table: %s", ipc_process_name[p->who],
			  err_text(rc));
	log_err(0, "worker%u broke the message table (%s) and is not heard any more",
		p->index, err_text(rc));
}

/* ---- messages ---- */

#define HANDLER(name)                                                                  \
	static void on_##name(void *arg, struct peer *from, const union ipc_body *m,   \
			      const int *fds)

HANDLER(ping)
{
	struct ipc_pong pong = { .id = m->ping.id };

	peer_send(from, IPC_pong, &pong);
}

static void
note_config(struct desk *d, uint32_t generation)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	const char *text = d->bundle.conf != NULL ? d->bundle.conf : "";

	d->host.config = d->config;
	d->host.text = d->bundle.conf;
	d->host.node_text = d->bundle.node;
	d->host.generation = generation;
	SHA256((const uint8_t *)text, strlen(text), sum);
	for (int i = 0; i < 8; i++)
		snprintf(d->host.hash + 2 * i, 3, "%02x", sum[i]);
	log_set_level(d->child->is_debug || d->config->log_debug ? LOG_L_DEBUG
								 : LOG_L_INFO);
	if (d->events != NULL)
		events_node(d->events, d->config->node_name);
}

HANDLER(config)
{
	struct desk *d = arg;
	struct ipc_config_done done = { .generation = m->config.generation };
	struct bundle bundle;
	struct config *config = NULL, *old = d->config;
	int rc = bundle_load(fds[0], &bundle, &config);

	if (rc < 0) {
		done.is_bad = 1;
		snprintf(done.text, sizeof(done.text), "session: %s", err_text(rc));
		peer_send(&d->parent, IPC_config_done, &done);
		return;
	}
	if (old != NULL)
		bundle_free(&d->bundle);
	d->bundle = bundle;
	d->config = config;
	note_config(d, m->config.generation);
	if (d->table != NULL)
		session_config(d->table, config, now_of(d));
	config_free(old);
	if (d->pair != NULL)
		pair_config_loaded(d->pair);
	peer_send(&d->parent, IPC_config_done, &done);
}

HANDLER(counters)
{
	struct desk *d = arg;
	unsigned w = m->counters.worker;
	size_t n = m->counters.slots, size = n * sizeof(struct counters);
	struct stat st;
	void *at = MAP_FAILED;

	if (w < SESSION_WORKERS_MAX && n > 0 && n <= SESSION_SLOTS_MAX &&
	    fstat(fds[0], &st) == 0 && (size_t)st.st_size >= size)
		at = mmap(NULL, size, PROT_READ, MAP_SHARED, fds[0], 0);
	close(fds[0]);
	if (at == MAP_FAILED)
		log_fatal("counters of worker %u cannot be mapped", w);
	if (d->counters[w].at != NULL) {
		if (d->table != NULL)
			session_counters(d->table, w, NULL, 0);
		munmap((void *)(uintptr_t)d->counters[w].at,
		       d->counters[w].n * sizeof(struct counters));
	}
	d->counters[w].at = at;
	d->counters[w].n = (unsigned)n;
	if (d->table != NULL)
		session_counters(d->table, w, at, (unsigned)n);
}

static void open_others(struct desk *d);

HANDLER(control_listen)
{
	struct desk *d = arg;
	struct session_out out = { .arg = d,
				   .send = send_out,
				   .event = event_out,
				   .revoked = revoked_out,
				   .tunnel = tunnel_out,
				   .borrowed = borrowed_out };
	unsigned slots = m->control_listen.slots;

	if (d->config == NULL || d->table != NULL || slots > SESSION_SLOTS_MAX)
		log_fatal("control_listen came at the wrong moment");
	if (slots == 0)
		slots = session_slots(d->config->session_limit);
	int rc = events_open(&d->events, d->dir_fd, EVENTS_FILE_MAX,
			     d->config->node_name, on_event_line, d);
	if (rc < 0)
		log_fatal("events: %s", err_text(rc));
	rc = session_table_new(&d->table, d->config, slots, d->dir_fd, &out, now_of(d));
	if (rc < 0)
		log_fatal("session table: %s", err_text(rc));
	for (unsigned w = 0; w < SESSION_WORKERS_MAX; w++)
		if (d->counters[w].at != NULL)
			session_counters(d->table, w, d->counters[w].at,
					 d->counters[w].n);
	d->host.table = d->table;
	d->host.events = d->events;
	if ((rc = pair_new(&d->pair, &d->loop, &d->pair_host)) < 0)
		log_fatal("pair: %s", err_text(rc));
	d->host.pair_ask = pair_ask_in;
	d->host.pair_status = pair_status_in;
	if (d->cluster_fd >= 0)
		pair_connect(d->pair, d->cluster_fd);
	d->cluster_fd = -1;
	rc = control_open(&d->control, &d->loop, fds[0], &d->host);
	if (rc < 0)
		log_fatal("control socket: %s", err_text(rc));
	log_info(0, "sessions restored=%u slots=%u limit=%u",
		 slots - session_count(d->table, SESSION_FREE), slots,
		 d->config->session_limit);
	open_others(d);
}

HANDLER(process_new)
{
	struct desk *d = arg;
	unsigned w = m->process_new.index;

	if (m->process_new.process != IPC_WORKER || w >= SESSION_WORKERS_MAX)
		return;
	if (d->worker[w].is_broken)
		log_fatal("worker%u is replaced; starting over to hear it", w);
	if (d->table != NULL)
		session_worker_new(d->table, w, now_of(d));
}

HANDLER(cluster)
{
	struct desk *d = arg;

	if (d->pair != NULL) {
		pair_connect(d->pair, fds[0]);
		return;
	}
	if (d->cluster_fd >= 0)
		close(d->cluster_fd);
	d->cluster_fd = fds[0];
}

HANDLER(role)
{
	struct desk *d = arg;

	if (d->pair != NULL)
		pair_role(d->pair, &m->role);
}

HANDLER(config_put_done)
{
	struct desk *d = arg;

	if (d->pair != NULL)
		pair_config_put_done(d->pair, &m->config_put_done);
}

HANDLER(stop)
{
	struct desk *d = arg;

	/* Sessions stay: their leases are on disk and their clients come back. */
	if (d->events != NULL)
		events_flush(d->events);
	if (d->table != NULL)
		session_tick(d->table, now_of(d));
	uv_stop(&d->loop);
}

HANDLER(event)
{
	struct desk *d = arg;
	const struct ipc_event *v = &m->event;

	if (v->what >= EVENTS) {
		on_broken(d, from, E_PROTO);
		return;
	}
	/* auth heard it from the other node; here are his sessions, if any. */
	if (v->what == EV_USER_CHANGED && from->who == IPC_AUTH && d->table != NULL)
		session_end_user(d->table, v->user, v->reason, v->text, now_of(d));
	struct event e = { .what = v->what,
			   .attempt = v->attempt,
			   .user = v->user,
			   .source = v->source,
			   .reason = v->reason,
			   .text = v->text,
			   .number = v->number };
	event_out(d, &e);
}

/* The table hears it: T(session, with the sender's number and the time). */
#define PASS(name, function, ...)                                                      \
	HANDLER(name)                                                                  \
	{                                                                              \
		struct desk *d = arg;                                                  \
		function(d->table, __VA_ARGS__);                                       \
	}

/* A proof is the event as well: auth need not say it twice. */
HANDLER(login_proven)
{
	struct desk *d = arg;
	const struct ipc_login_proven *p = &m->login_proven;
	struct event e = { .what = EV_AUTH_SUCCESS,
			   .attempt = p->attempt,
			   .user = p->user,
			   .source = p->source };
	char text[IPC_USER_MAX + 32];

	if (p->cert_user[0] != '\0') {
		snprintf(text, sizeof(text), "certificate of %s", p->cert_user);
		e.text = text;
	}
	event_out(d, &e);
	session_login(d->table, p, now_of(d));
}

PASS(token_sealed, session_sealed, &m->token_sealed, now_of(d))
PASS(token_opened, session_opened, &m->token_opened, now_of(d))
PASS(tunnel_ask, session_ask, from->index, &m->tunnel_ask, now_of(d))
PASS(token_check, session_check, from->index, &m->token_check, now_of(d))
PASS(tunnel_report, session_report, from->index, &m->tunnel_report, now_of(d))
PASS(tunnel_down, session_down, from->index, &m->tunnel_down, now_of(d))
PASS(tunnel_mtu, session_mtu, from->index, &m->tunnel_mtu)
PASS(dtls_ask, session_dtls_ask, from->index, &m->dtls_ask)
PASS(dtls_up, session_dtls_up, from->index, &m->dtls_up)
PASS(dtls_stray, session_dtls_stray, from->index, &m->dtls_stray)
PASS(dtls_give, session_dtls_give, from->index, &m->dtls_give)
PASS(dtls_down, session_dtls_down, from->index, &m->dtls_down)

/* The answers to the control socket's questions. */
#define ANSWER(name, function)                                                         \
	HANDLER(name)                                                                  \
	{                                                                              \
		struct desk *d = arg;                                                  \
		if (d->control != NULL)                                                \
			function(d->control, &m->name);                                \
	}
ANSWER(status_text, control_status)
ANSWER(reload_done, control_reloaded)
ANSWER(user_done, control_user_done)
ANSWER(user_row, control_user_row)

static const peer_handler handlers[IPC_TYPES] = {
	[IPC_ping] = on_ping,
	[IPC_config] = on_config,
	[IPC_counters] = on_counters,
	[IPC_control_listen] = on_control_listen,
	[IPC_process_new] = on_process_new,
	[IPC_stop] = on_stop,
	[IPC_cluster] = on_cluster,
	[IPC_role] = on_role,
	[IPC_config_put_done] = on_config_put_done,
	[IPC_event] = on_event,
	[IPC_status_text] = on_status_text,
	[IPC_reload_done] = on_reload_done,
	[IPC_user_done] = on_user_done,
	[IPC_user_row] = on_user_row,
	[IPC_login_proven] = on_login_proven,
	[IPC_token_sealed] = on_token_sealed,
	[IPC_token_opened] = on_token_opened,
	[IPC_token_check] = on_token_check,
	[IPC_tunnel_ask] = on_tunnel_ask,
	[IPC_tunnel_report] = on_tunnel_report,
	[IPC_tunnel_down] = on_tunnel_down,
	[IPC_tunnel_mtu] = on_tunnel_mtu,
	[IPC_dtls_ask] = on_dtls_ask,
	[IPC_dtls_up] = on_dtls_up,
	[IPC_dtls_stray] = on_dtls_stray,
	[IPC_dtls_give] = on_dtls_give,
	[IPC_dtls_down] = on_dtls_down,
};

static void
open_peer(struct desk *d, const struct child_peer *c)
{
	struct peer *p = peer_of(d, c->who, c->index);

	if (p == NULL)
		log_fatal("peer %s%u is one too many", ipc_process_name[c->who],
			  c->index);
	int rc = peer_open(p, &d->loop, c->fd, IPC_SESSION, c->who, c->index, handlers,
			   on_broken, d);
	if (rc < 0)
		log_fatal("peer %s%u: %s", ipc_process_name[c->who], c->index,
			  err_text(rc));
}

static void
open_others(struct desk *d)
{
	for (unsigned i = 0; i < d->child->n_peer; i++)
		if (d->child->peer[i].who != IPC_PARENT)
			open_peer(d, &d->child->peer[i]);
}

/* ---- time ---- */

static void
sync_work(uv_work_t *work)
{
	struct desk *d = work->data;

	fdatasync(d->sync_fd);
}

static void
sync_done(uv_work_t *work, int status)
{
	struct desk *d = work->data;

	close(d->sync_fd);
	d->sync_fd = -1;
}

static void
on_tick(uv_timer_t *timer)
{
	struct desk *d = timer->data;

	if (d->table == NULL)
		return;
	session_tick(d->table, now_of(d));
	control_tick(d->control);
	pair_tick(d->pair);
	events_flush(d->events);
	/* The disk may take its time; the loop does not wait for it. */
	if (d->sync_fd < 0 && (d->sync_fd = lease_dup(session_leases(d->table))) >= 0) {
		d->sync.data = d;
		if (uv_queue_work(&d->loop, &d->sync, sync_work, sync_done) < 0)
			sync_done(&d->sync, 0);
	}
}

int
session_main(const struct child *c)
{
	struct desk *d = calloc(1, sizeof(*d));
	struct ipc_ready ready = { .pid = (uint32_t)getpid() };
	int rc;

	log_open("vpnd", "session", c->is_debug ? LOG_L_DEBUG : LOG_L_INFO);
	if (d == NULL)
		return EX_OSERR;
	json_object_seed(0); /* from /dev/urandom, while we can see it */
	umask(077);
	if ((rc = proc_confine(c->root, c->uid, c->gid, PROC_NO_CAP)) < 0) {
		log_err(0, "cannot give up privileges: %s", err_text(rc));
		free(d);
		return EX_OSERR;
	}
	d->child = c;
	d->sync_fd = d->cluster_fd = -1;
	d->pair_host = (struct pair_host){ .arg = d,
					   .control = &d->host,
					   .config_put = config_put_out,
					   .answer = pair_answer_out };
	d->host.arg = d;
	d->host.send = send_out;
	d->host.now = now_of;
	d->dir_fd = open(c->root[0] != '\0' ? "/" : ".",
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd < 0 || uv_loop_init(&d->loop) < 0) {
		log_err(0, "cannot start: %s", err_text(-errno));
		free(d);
		return EX_OSERR;
	}
	for (unsigned i = 0; i < c->n_peer; i++)
		if (c->peer[i].who == IPC_PARENT)
			open_peer(d, &c->peer[i]);
	uv_timer_init(&d->loop, &d->tick);
	d->tick.data = d;
	uv_timer_start(&d->tick, on_tick, 1000, 1000);
	peer_send(&d->parent, IPC_ready, &ready);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	events_close(d->events);
	session_table_free(d->table);
	return 0;
}
