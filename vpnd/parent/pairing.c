/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* hasync, when there is one: our life line, the children's connections, the role,
 * and what a takeover or a worker's death asks for in a pair. */
#include "common/err.h"
#include "common/log.h"
#include "vpnd/parent/firewall.h"
#include "vpnd/parent/orphans.h"
#include "vpnd/parent/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	RETRY_MS = 200,
	RETRY_MAX_MS = 2000,
	BEAT_MS = 250,     /* hasync takes a second of silence for the end (role.h) */
	ASLEEP_MS = 2000,  /* a beat so late: we stood still */
	HANG_MS = 5000,    /* two pings without an answer */
	RESTARTS_SICK = 3, /* quick deaths in a row */
	RESTART_MS = 500,  /* a worker is replaced within */
	YIELD_MS = 700,    /* how long a stop waits for the other node */
	TICK_MS = 10,      /* 5 each: 500 a second, so that no storm comes back */
	TICK_BATCH = 5,
	TICK_MISSES = 8,
	ADDRESS_MS = 1000, /* an address that is not here by then does not come */
	ROUNDS = 4,
	STRAY_MS = 5000,
	ORPHANS_MAX = ENDPOINTS_MAX,
	LOST_S = 5,
};

/* When each round begins. The first may meet a router that has not heard of the new
 * node; a kernel answers such a segment once in 500 ms (tcp_invalid_ratelimit). */
static const unsigned round_at_ms[ROUNDS] = { 0, 550, 1200, 2500 };

struct tickle_job {
	struct endpoint e;
	bool is_done;
};

/* A child's connection to hasync. We keep a copy only to hear of its end. */
struct line {
	uv_poll_t poll;
	struct process *c;
	int fd;
};

static void connect_later(struct parent *p);

/* ---- tickling ---- */

static void
tickling_end(struct tickling *k)
{
	uv_timer_stop(&k->timer);
	if (k->n > 0) {
		tickler_close(&k->socket);
		log_info(0, "%s: %u clients told rounds=%u failed=%u", k->what, k->sent,
			 k->round, k->failed);
	}
	free(k->job);
	k->job = NULL;
	k->n = k->left = k->cursor = 0;
	k->sent = k->failed = k->round = 0;
	k->ours = (struct ip_addr){ 0 };
}

/* All of them again, also who is back: its kernel answers for the old port with an RST
 * that nobody minds, and no list has to know who is. */
static void
begin_round(struct tickling *k)
{
	k->round++;
	k->left = k->n;
	for (size_t i = 0; i < k->n; i++)
		k->job[i].is_done = false;
}

/* Before that the kernel asks for the gateway's link address but passes over the
 * answer, and asks again a second later: all wait for that, the segments too. */
static bool
is_here(struct tickling *k, const struct endpoint *e)
{
	if (e->local.family == 4 || ip_same_host(&k->ours, &e->local))
		return true;
	if (!route_is_local(&k->parent->router, &e->local))
		return false;
	k->ours = e->local;
	return true;
}

static void
on_tickle(uv_timer_t *t)
{
	struct tickling *k = t->data;
	unsigned sent = 0, misses = 0;
	uint64_t now = now_ms();

	if (k->left == 0) {
		if (now - k->start_ms < round_at_ms[k->round])
			return;
		begin_round(k);
	}
	for (size_t i = 0; i < k->n && k->left > 0; i++) {
		struct tickle_job *j = &k->job[k->cursor];
		if (sent == TICK_BATCH || misses == TICK_MISSES)
			break;
		k->cursor = (k->cursor + 1) % k->n;
		if (j->is_done)
			continue;
		int rc = is_here(k, &j->e) ? tickler_send(&k->socket, &j->e) : E_AGAIN;
		if (rc == E_AGAIN && now - k->start_ms < ADDRESS_MS) {
			misses++;
			continue;
		}
		j->is_done = true;
		k->left--;
		sent += rc == 0;
		k->sent += rc == 0 && k->round == 1;
		k->failed += rc < 0 && k->round == 1;
	}
	if (k->left == 0 && k->round == ROUNDS)
		tickling_end(k);
}

/* One more for the list. */
static bool
tickling_add(struct tickling *k, const struct endpoint *e)
{
	struct tickle_job *j;

	if (k->n == 0 && tickler_open(&k->socket) < 0)
		return false;
	j = realloc(k->job, (k->n + 1) * sizeof(*j));
	if (j == NULL) {
		if (k->n == 0)
			tickler_close(&k->socket);
		return false;
	}
	k->job = j;
	k->job[k->n++] = (struct tickle_job){ .e = *e };
	return true;
}

/* From the first; if some are under way already, they get another one. */
static void
tickling_start(struct tickling *k)
{
	if (k->n == 0)
		return;
	k->round = 0;
	k->start_ms = now_ms();
	begin_round(k);
	uv_timer_start(&k->timer, on_tickle, TICK_MS, TICK_MS);
	on_tickle(&k->timer);
}

/* ---- takeover ---- */

static bool
serves(const struct parent *p)
{
	if (p->cert.chain_fd < 0 || p->sockets.n == 0)
		return false;
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].who == IPC_WORKER && p->process[i].pid != 0 &&
		    p->process[i].is_equipped)
			return true;
	return false;
}

static void
on_stray_end(uv_timer_t *t)
{
	struct parent *p = t->data;
	char why[WHY_MAX];

	p->pairing.has_stray = false;
	if (firewall_stray_remove(why) < 0)
		log_warn(0, "%s", why);
}

static void
add_all(struct parent *p, const struct endpoints *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->row[i].e.local.port == parent_config(p)->port)
			(void)tickling_add(&p->pairing.takeover, &s->row[i].e);
}

/* The clients first: the firewall takes a few milliseconds. After a start of our own
 * those that the vpnd before us had are in the dark as well. */
static void
take_over(struct parent *p)
{
	struct pairing *q = &p->pairing;
	char why[WHY_MAX];

	if (!q->is_due || !q->is_active || !q->is_complete || p->is_stopping ||
	    !serves(p))
		return;
	q->is_due = false;
	tickling_end(&q->takeover);
	add_all(p, &q->of_peer);
	if (!q->has_served)
		add_all(p, &q->own);
	q->has_served = true;
	log_info(0, "takeover: epoch=%llu clients=%zu", (unsigned long long)q->epoch,
		 q->takeover.n);
	tickling_start(&q->takeover);
	if (firewall_stray(parent_config(p), why) < 0) {
		log_warn(0, "%s", why);
		return;
	}
	q->has_stray = true;
	uv_timer_start(&q->stray, on_stray_end, STRAY_MS, 0);
}

/* ---- health ---- */

static bool
is_ill(const struct process *c, uint64_t now)
{
	if (c->quick_deaths >= RESTARTS_SICK &&
	    (c->pid == 0 || now - c->started_ms < SILENT_MS))
		return true;
	return c->pid != 0 && now - c->heard_ms > HANG_MS;
}

static bool
is_sick(const struct parent *p, uint64_t now)
{
	if (p->is_stopping)
		return true;
	/* A worker that is being replaced is no reason to move the addresses. */
	if (parent_config(p)->enabled && !serves(p) &&
	    (p->pairing.served_ms == 0 || now - p->pairing.served_ms > RESTART_MS))
		return true;
	for (unsigned i = 0; i < p->n_process; i++)
		if (is_ill(&p->process[i], now))
			return true;
	return false;
}

static void
beat(struct parent *p)
{
	struct pairing *q = &p->pairing;
	struct cluster_msg m = { .type = CLUSTER_BEAT };
	uint64_t now = now_ms();

	/* If we were asleep ourselves, nobody's silence means anything yet. */
	for (unsigned i = 0;
	     q->beat_ms != 0 && now - q->beat_ms > ASLEEP_MS && i < p->n_process; i++)
		p->process[i].heard_ms = now;
	q->beat_ms = now;
	bool sick = is_sick(p, now);
	if (sick != q->is_sick)
		log_info(0, "pair: this vpnd is %s", sick ? "not well" : "well");
	q->is_sick = sick;
	m.flags = sick ? CLUSTER_SICK : 0;
	(void)cluster_call(q->cluster, &m, NULL, NULL);
}

void
pairing_check(struct parent *p)
{
	struct pairing *q = &p->pairing;

	if (q->is_up && is_sick(p, now_ms()) != q->is_sick)
		beat(p);
	take_over(p);
}

/* ---- what the children get ---- */

static bool
is_told(const struct process *c)
{
	return c->who == IPC_KEYS || c->who == IPC_AUTH || c->who == IPC_SESSION;
}

static void
on_line_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
line_close(struct process *c)
{
	struct line *l = c->line;

	if (l == NULL)
		return;
	c->line = NULL;
	uv_close((uv_handle_t *)&l->poll, on_line_closed);
	close(l->fd);
}

/* hasync has ended it: the next beat brings a new one, if ours lives. */
static void
on_line_end(uv_poll_t *poll, int status, int events)
{
	struct line *l = poll->data;

	log_debug(0, "%s: hasync has closed its connection", l->c->name);
	line_close(l->c);
}

static int
connect_line(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void
socket_path(const struct parent *p, char *buf, size_t n)
{
	if (p->opt->hasync_path != NULL)
		snprintf(buf, n, "%s", p->opt->hasync_path);
	else
		snprintf(buf, n, "%s/" CLUSTER_SOCKET, p->opt->run_dir);
}

static int
line_open(struct process *c, int fd)
{
	struct line *l = calloc(1, sizeof(*l));
	int rc = l == NULL ? E_NOMEM : uv_poll_init(&c->parent->loop, &l->poll, fd);

	if (rc < 0) {
		free(l);
		return rc;
	}
	l->poll.data = l;
	l->c = c;
	l->fd = fd;
	c->line = l;
	return uv_poll_start(&l->poll, UV_DISCONNECT, on_line_end);
}

static void
hand_line(struct process *c)
{
	struct parent *p = c->parent;
	struct pairing *q = &p->pairing;
	struct ipc_cluster m = { .generation = ++q->generation };
	char path[512];

	if (!q->is_up || !is_told(c) || c->peer == NULL || c->line != NULL)
		return;
	socket_path(p, path, sizeof(path));
	int fd = connect_line(path);
	if (fd < 0) { /* busy or gone: the next beat tries again */
		log_debug(0, "%s: connection to hasync: %s", c->name, err_text(fd));
		return;
	}
	if (line_open(c, fd) < 0) {
		if (c->line != NULL)
			line_close(c);
		else
			close(fd);
		return;
	}
	if (c->who == IPC_KEYS || c->who == IPC_AUTH)
		handout_pair_key(c);
	(void)peer_send_fds(c->peer, IPC_cluster, &m, &fd, 1);
}

static void
send_role(struct process *c)
{
	const struct pairing *q = &c->parent->pairing;
	struct ipc_role m = { .is_active = q->is_active,
			      .epoch = q->epoch,
			      .is_peer_away = q->is_peer_away };

	if (!q->has_role || !is_told(c) || c->peer == NULL)
		return;
	snprintf(m.node, sizeof(m.node), "%s", q->node);
	snprintf(m.peer, sizeof(m.peer), "%s", q->peer);
	(void)peer_send(c->peer, IPC_role, &m);
}

void
pairing_handout(struct process *c)
{
	send_role(c);
	hand_line(c);
}

/* ---- a worker's death ---- */

/* Alone, the kernel's FIN tells a dead worker's clients at once. In a pair it is
 * silenced, so each gets a bare ACK, and what it answers meets an RST. */
static void
tell_orphans(struct parent *p)
{
	struct pairing *q = &p->pairing;
	struct endpoint *e = calloc(ORPHANS_MAX, sizeof(*e));
	char why[WHY_MAX] = "";
	size_t n = 0;
	int rc = e == NULL ? E_NOMEM
			   : orphans_find(parent_config(p)->port, e, ORPHANS_MAX, &n);

	if (rc < 0)
		snprintf(why, sizeof(why), "%s", err_text(rc));
	for (size_t i = 0; rc == 0 && i < n; i += FIREWALL_LOST)
		rc = firewall_lost(e + i, n - i < FIREWALL_LOST ? n - i : FIREWALL_LOST,
				   LOST_S + (unsigned)n / 500, why);
	for (size_t i = 0; rc == 0 && i < n; i++)
		(void)tickling_add(&q->orphans, &e[i]);
	if (rc < 0)
		log_warn(0, "worker's clients cannot be told: %s", why);
	else
		tickling_start(&q->orphans);
	free(e);
}

void
pairing_child_died(struct process *c)
{
	struct parent *p = c->parent;

	line_close(c);
	if (c->is_equipped)
		p->pairing.served_ms = now_ms();
	if (c->who == IPC_WORKER && p->pairing.has_peer && !p->is_stopping)
		tell_orphans(p);
	pairing_check(p);
}

/* ---- what hasync says ---- */

static void
copy_name(char *to, struct span from)
{
	size_t n = from.n <= IPC_NAME_MAX ? from.n : 0;

	if (n > 0)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static void
use_pair_rules(struct parent *p)
{
	char why[WHY_MAX];

	p->pairing.has_peer = true;
	if (p->has_firewall &&
	    firewall_apply(parent_config(p), p->workers, true, why) < 0)
		log_err(0, "%s", why);
}

/* Not active: closed to who asks for this very node, unless that is wanted. */
static void
close_or_open(struct parent *p)
{
	const struct config *c = parent_config(p);
	struct pairing *q = &p->pairing;
	char why[WHY_MAX];
	bool wants = q->has_peer && q->has_role && !q->is_active && c->enabled &&
		     !c->spare_serves;
	int rc = 0;

	if (wants)
		rc = firewall_spare(c, why);
	else if (q->is_closed)
		rc = firewall_spare_remove(why);
	if (rc < 0)
		log_err(0, "%s", why);
	else
		q->is_closed = wants;
}

void
pairing_reloaded(struct parent *p)
{
	close_or_open(p);
	outside_reloaded(p);
}

static void
on_watched(void *arg, const struct cluster_msg *m)
{
	struct parent *p = arg;

	if (m->status != CLUSTER_OK)
		return; /* a lost connection; there is no other reason */
	p->pairing.is_complete = true;
	take_over(p);
}

static void
watch(struct parent *p)
{
	struct pairing *q = &p->pairing;
	struct cluster_msg m = { .type = CLUSTER_WATCH, .name = SPAN("endpoints/") };

	if (q->is_watching || cluster_call(q->cluster, &m, on_watched, p) < 0)
		return;
	q->is_watching = true;
	m.name = SPAN("ddns/published/");
	(void)cluster_call(q->cluster, &m, NULL, NULL);
}

static void
on_role(struct parent *p, const struct cluster_msg *m)
{
	struct pairing *q = &p->pairing;
	bool active = m->flags & CLUSTER_ACTIVE;
	bool was_active = q->is_active, is_first = !q->has_role;

	if (!cluster_node_ok(m->name) ||
	    (m->writer.n > 0 && !cluster_node_ok(m->writer)))
		return;
	if (is_first || active != was_active || m->generation != q->epoch)
		log_info(0, "pair: this node is %s epoch=%llu",
			 active ? "active" : "not active",
			 (unsigned long long)m->generation);
	/* The same epoch again: a connection that was back after a loss. */
	if (active && (is_first || !was_active || m->generation > q->epoch))
		q->is_due = true;
	q->has_role = true;
	q->is_active = active;
	q->epoch = m->generation;
	q->is_peer_away = m->flags & CLUSTER_PEER_AWAY;
	copy_name(q->node, m->name);
	copy_name(q->peer, m->writer);
	if (q->peer[0] != '\0' && !q->has_peer)
		use_pair_rules(p);
	for (unsigned i = 0; i < p->n_process; i++)
		send_role(&p->process[i]);
	watch(p);
	take_over(p);
	if (is_first || active != was_active)
		close_or_open(p);
	if (p->is_stopping && !active && uv_is_active((uv_handle_t *)&q->yield)) {
		uv_timer_stop(&q->yield);
		parent_stop_serving(p);
	}
}

static void
on_changed(struct parent *p, const struct cluster_msg *m)
{
	static const struct span prefix = SPAN("endpoints/");
	struct pairing *q = &p->pairing;

	if (span_has_prefix(m->name, "ddns/published/")) {
		if (!(m->flags & CLUSTER_REMOVE))
			outside_heard(p, m->bytes);
		return;
	}
	if (m->name.n <= prefix.n || memcmp(m->name.p, prefix.p, prefix.n) != 0)
		return;
	struct span node = span_of(m->name.p + prefix.n, m->name.n - prefix.n);
	struct endpoints *s = span_is(node, q->peer)   ? &q->of_peer
			      : span_is(node, q->node) ? &q->own
						       : NULL;
	if (s == NULL)
		return;
	/* Our session strikes out what its predecessor had; those are to be told yet.
	 */
	if (s == &q->own && q->is_due && !q->has_served &&
	    (m->flags & (CLUSTER_DELTA | CLUSTER_REMOVE)))
		return;
	if (m->flags & CLUSTER_REMOVE) {
		endpoints_free(s);
		return;
	}
	int rc = endpoints_apply(s, m->bytes, m->flags & CLUSTER_DELTA);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "pair: endpoints of a node: %s",
			    err_text(rc));
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	if (m->type == CLUSTER_ROLE)
		on_role(arg, m);
	else if (m->type == CLUSTER_CHANGED)
		on_changed(arg, m);
}

/* ---- the connection ---- */

static void
on_beat(uv_timer_t *t)
{
	struct parent *p = t->data;

	beat(p);
	for (unsigned i = 0; i < p->n_process; i++)
		hand_line(&p->process[i]);
}

static void
on_hello(void *arg, const struct cluster_msg *m)
{
	struct parent *p = arg;
	struct pairing *q = &p->pairing;

	if (m->status != CLUSTER_OK)
		return;
	log_info(0, "pair: connected to hasync");
	q->is_up = true;
	q->wait_ms = RETRY_MS;
	for (unsigned i = 0; i < p->n_process; i++)
		hand_line(&p->process[i]);
}

/* The first beat goes with the hello: hasync must not believe for a second that an
 * unfinished start can serve. */
static void
on_up(void *arg)
{
	struct parent *p = arg;
	struct pairing *q = &p->pairing;
	struct cluster_msg hello = { .type = CLUSTER_HELLO, .name = SPAN("vpnd") };

	if (cluster_call(q->cluster, &hello, on_hello, p) < 0)
		return;
	beat(p);
	uv_timer_start(&q->timer, on_beat, BEAT_MS, BEAT_MS);
}

static void
on_down(void *arg, int rc)
{
	struct parent *p = arg;
	struct pairing *q = &p->pairing;

	if (q->is_up)
		log_warn(0, "pair: hasync is gone: %s", err_text(rc));
	connect_later(p);
}

static const struct cluster_handlers handlers = { on_up, on_push, on_down };

static void
on_connect(uv_timer_t *t)
{
	struct parent *p = t->data;
	struct pairing *q = &p->pairing;
	char path[512];

	socket_path(p, path, sizeof(path));
	int rc = access(path, F_OK) < 0 /* a single node: not a word */
			 ? -errno
			 : cluster_new(&q->cluster, &p->loop, &handlers, p);
	if (rc == 0)
		rc = cluster_connect(q->cluster, path);
	if (rc < 0)
		connect_later(p);
}

static void
connect_later(struct parent *p)
{
	struct pairing *q = &p->pairing;

	cluster_free(q->cluster);
	q->cluster = NULL;
	q->is_up = q->is_watching = q->is_complete = false;
	q->beat_ms = 0;
	/* They end with it anyway; a new hasync must not find old ones kept. */
	for (unsigned i = 0; i < p->n_process; i++)
		line_close(&p->process[i]);
	if (p->is_stopping) {
		uv_timer_stop(&q->timer);
		return;
	}
	uv_timer_start(&q->timer, on_connect, q->wait_ms, 0);
	q->wait_ms = q->wait_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : q->wait_ms * 2;
}

/* ---- start and end ---- */

static void
init_timer(struct parent *p, uv_timer_t *t, void *data)
{
	uv_timer_init(&p->loop, t);
	t->data = data;
}

void
pairing_init(struct parent *p)
{
	struct pairing *q = &p->pairing;

	q->wait_ms = RETRY_MS;
	init_timer(p, &q->timer, p);
	init_timer(p, &q->stray, p);
	init_timer(p, &q->yield, p);
	init_timer(p, &q->takeover.timer, &q->takeover);
	init_timer(p, &q->orphans.timer, &q->orphans);
	q->takeover.what = "takeover";
	q->orphans.what = "dead worker";
	q->takeover.parent = q->orphans.parent = p;
}

void
pairing_start(struct parent *p)
{
	char why[WHY_MAX];

	(void)firewall_stray_remove(why); /* of a killed predecessor */
	(void)firewall_spare_remove(why);
	on_connect(&p->pairing.timer);
}

static void
on_yield_late(uv_timer_t *t)
{
	log_warn(0, "pair: the other node does not take over");
	parent_stop_serving(t->data);
}

bool
pairing_yield(struct parent *p)
{
	struct pairing *q = &p->pairing;

	if (!q->is_up || !q->is_active || !q->has_peer || q->is_peer_away)
		return false;
	beat(p); /* sick: is_stopping is set */
	uv_timer_start(&q->yield, on_yield_late, YIELD_MS, 0);
	return true;
}

void
pairing_close(struct parent *p)
{
	struct pairing *q = &p->pairing;
	char why[WHY_MAX];

	for (unsigned i = 0; i < p->n_process; i++)
		line_close(&p->process[i]);
	cluster_free(q->cluster);
	q->cluster = NULL;
	if (q->takeover.timer.data != NULL) {
		tickling_end(&q->takeover);
		tickling_end(&q->orphans);
	}
	endpoints_free(&q->of_peer);
	endpoints_free(&q->own);
	if (q->has_stray)
		(void)firewall_stray_remove(why);
	if (q->is_closed)
		(void)firewall_spare_remove(why);
}
