/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/node.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "hasync/addr.h"
#include "hasync/probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 256,
	ASK_EVERY_MS = 2000,
	REMOVE_EVERY_MS = 1000, /* somebody may put them back by hand */
};

struct node {
	uv_loop_t *loop;
	const struct conf *c;
	const struct node_handlers *h;
	void *arg;
	struct role role;
	int fifo;
	uv_poll_t poll;
	bool has_poll;
	char line[LINE_MAX_BYTES];
	size_t line_n;
	struct probe *probes[CONF_LINKS_MAX];
	uint64_t probed_ms, removed_ms, asked_ms;
	uint64_t changed_s; /* wall time */
	pid_t keepalived;
	bool was_removing, was_ok[CONF_LINKS_MAX];
};

static uint64_t
now(const struct node *n)
{
	return uv_hrtime() / 1000000;
}

static void
event(struct node *n, const char *what, const char *detail)
{
	n->h->on_event(n->arg, what, detail);
}

/* ---- track files ---- */

/* In place, as the kernel tells keepalived at the close; a rename would end the watch.
 */
static void
write_track(const struct node *n, const char *name, int value)
{
	char path[CONF_PATH + 32], text[16];

	snprintf(path, sizeof(path), "%s/%s", n->c->track, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	int k = snprintf(text, sizeof(text), "%d\n", value);
	if (fd < 0 || write(fd, text, (size_t)k) != k || ftruncate(fd, k) < 0)
		log_limited(LOG_L_ERR, 0, "%s: %s", path, err_text(-errno));
	if (fd >= 0)
		close(fd);
}

static int
read_track(const struct node *n, const char *name)
{
	char path[CONF_PATH + 32];
	uint8_t *text;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", n->c->track, name);
	if (file_read(AT_FDCWD, path, 64, &text, &size) < 0)
		return 0;
	int v = (int)strtol((char *)text, NULL, 10);
	free(text);
	return v;
}

static void
apply(struct node *n, const struct role_out *was, bool all)
{
	const struct role_out *is = &n->role.out;

	if (!n->c->has_keepalived)
		return;
	if (all || was->role_value != is->role_value)
		write_track(n, "role", is->role_value);
	if (all || was->vpnd_bad != is->vpnd_bad)
		write_track(n, "vpnd.bad", is->vpnd_bad);
	if (all || was->hold != is->hold)
		write_track(n, "hold", is->hold);
}

static void
think(struct node *n)
{
	struct role_out was = n->role.out;
	char detail[128];

	if (!role_tick(&n->role, now(n)))
		return;
	apply(n, &was, false);
	const struct role_out *is = &n->role.out;
	if (was.is_active != is->is_active || was.epoch != is->epoch) {
		n->changed_s = (uint64_t)time(NULL);
		snprintf(detail, sizeof(detail), "%s epoch %" PRIu64 ": %s",
			 is->is_active ? "active" : "standby", is->epoch, n->role.why);
		event(n, "role_changed", detail);
	}
	if (was.vpnd_bad != is->vpnd_bad)
		event(n, is->vpnd_bad ? "vpnd_bad" : "vpnd_good",
		      role_vpnd_why(&n->role));
	if (was.hold != is->hold)
		event(n, is->hold ? "hold_on" : "hold_off",
		      n->role.is_yielding ? "two nodes were active" : "");
	if (was.role_value != is->role_value)
		log_info(0, "role value %d -> %d gateways %u/%u", was.role_value,
			 is->role_value, n->role.gateways_ok, n->role.gateways);
	n->h->on_role(n->arg);
}

/* ---- keepalived ---- */

static void
take_line(struct node *n, struct span line)
{
	enum role_group g = ROLE_UNKNOWN;

	switch (role_line(line, n->c->group, &g)) {
	case ROLE_LINE_GROUP:
		log_debug(0, "keepalived: %.*s", (int)line.n, (const char *)line.p);
		role_set_group(&n->role, g);
		break;
	case ROLE_LINE_TWO: role_set_two(&n->role); break;
	default: break;
	}
}

static void
read_fifo(struct node *n)
{
	char buf[4096];
	ssize_t k;

	while ((k = read(n->fifo, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < k; i++) {
			if (buf[i] != '\n') {
				if (n->line_n < sizeof(n->line))
					n->line[n->line_n++] = buf[i];
				continue;
			}
			if (n->line_n < sizeof(n->line)) /* else no line of theirs */
				take_line(n, span_of(n->line, n->line_n));
			n->line_n = 0;
		}
}

static void
on_fifo(uv_poll_t *poll, int status, int events)
{
	struct node *n = poll->data;

	read_fifo(n);
	think(n);
}

static pid_t
keepalived_pid(const struct node *n)
{
	uint8_t *text;
	size_t size;

	if (file_read(AT_FDCWD, n->c->pid_file, 64, &text, &size) < 0)
		return 0;
	long pid = strtol((char *)text, NULL, 10);
	free(text);
	return pid > 1 && kill((pid_t)pid, 0) == 0 ? (pid_t)pid : 0;
}

static void
check_keepalived(struct node *n)
{
	pid_t pid = keepalived_pid(n);

	role_set_keepalived(&n->role, pid != 0, now(n));
	n->keepalived = pid;
}

/* On HUP it writes the group's state again, and nothing else happens. Asked again
 * while there is no answer: a HUP during its own start or reload is lost. */
static void
ask_keepalived(struct node *n)
{
	if (n->keepalived == 0 || n->role.group != ROLE_UNKNOWN ||
	    (n->asked_ms != 0 && now(n) - n->asked_ms < ASK_EVERY_MS))
		return;
	n->asked_ms = now(n);
	kill(n->keepalived, SIGHUP);
}

static void
remove_addresses(struct node *n)
{
	unsigned removed = 0;
	char detail[64];

	if (!n->role.out.remove_addresses) {
		n->was_removing = false;
		return;
	}
	if (n->was_removing && now(n) - n->removed_ms < REMOVE_EVERY_MS)
		return;
	n->was_removing = true;
	n->removed_ms = now(n);
	for (size_t i = 0; i < n->c->n_links; i++)
		for (size_t k = 0; k < n->c->links[i].n_addresses; k++)
			removed += addr_remove(n->c->links[i].interface,
					       &n->c->links[i].addresses[k].ip,
					       n->c->links[i].addresses[k].prefix) == 0;
	if (removed == 0)
		return;
	snprintf(detail, sizeof(detail), "%u left by a dead keepalived", removed);
	event(n, "addresses_removed", detail);
}

/* ---- gateways ---- */

static void
check_gateways(struct node *n)
{
	unsigned ok = 0, all = 0;
	uint64_t t = now(n);
	bool due = t - n->probed_ms >= PROBE_EVERY_MS;

	if (due)
		n->probed_ms = t;
	for (size_t i = 0; i < n->c->n_links; i++) {
		struct probe *p = n->probes[i];
		if (p == NULL)
			continue;
		if (due)
			probe_send(p);
		bool is_ok = probe_is_ok(p);
		if (is_ok != n->was_ok[i])
			event(n, is_ok ? "gateway_up" : "gateway_down",
			      n->c->links[i].name);
		n->was_ok[i] = is_ok;
		ok += is_ok;
		all++;
	}
	bool is_news = ok != n->role.gateways_ok || all != n->role.gateways;
	role_set_gateways(&n->role, ok, all);
	/* The peer compares with its own: a state of a second ago would look like a
	 * difference when both lose the same gateway. */
	if (is_news)
		n->h->on_role(n->arg);
}

void
node_tick(struct node *n)
{
	if (n->c->has_keepalived) {
		check_keepalived(n);
		ask_keepalived(n);
	}
	check_gateways(n);
	think(n);
	remove_addresses(n);
}

/* ---- the rest of hasync ---- */

const struct role *
node_role(const struct node *n)
{
	return &n->role;
}

void
node_get_state(const struct node *n, struct wire_state *s)
{
	const struct role_out *o = &n->role.out;

	s->is_active = o->is_active;
	s->epoch = o->epoch > n->role.max_epoch ? o->epoch : n->role.max_epoch;
	if (o->is_active)
		s->epoch = o->epoch;
	s->changed_s = n->changed_s;
	s->why = span_str(n->role.why);
	s->vpnd_bad = o->vpnd_bad;
	s->hold = o->hold;
	s->gateways_ok = (uint8_t)n->role.gateways_ok;
	s->gateways = (uint8_t)n->role.gateways;
	for (size_t i = 0; i < n->c->n_links && s->n_wans < WIRE_WANS_MAX; i++) {
		const struct probe *p = n->probes[i];
		s->wans[s->n_wans].name = span_str(n->c->links[i].name);
		s->wans[s->n_wans].has_carrier = p == NULL || probe_has_carrier(p);
		s->wans[s->n_wans].gateway_ok = p == NULL || n->was_ok[i];
		s->n_wans++;
	}
}

void
node_set_peer(struct node *n, const struct wire_state *s)
{
	struct role_peer p;

	if (s != NULL)
		p = (struct role_peer){ .is_active = s->is_active,
					.vpnd_bad = s->vpnd_bad,
					.hold = s->hold,
					.epoch = s->epoch,
					.gateways_ok = s->gateways_ok,
					.gateways = s->gateways };
	role_set_peer(&n->role, s != NULL ? &p : NULL);
	think(n);
}

void
node_set_vpnd(struct node *n, bool is_there, bool is_sick)
{
	role_set_vpnd(&n->role, is_there, is_sick, now(n));
	think(n);
}

int
node_hold(struct node *n, bool on, bool force, uint64_t ms)
{
	int rc = role_set_hold(&n->role, on, force, ms, now(n));

	think(n);
	return rc;
}

static int
open_fifo(struct node *n)
{
	/* Ours, before keepalived starts: one it makes itself is gone when it stops. */
	if (mkfifo(n->c->fifo, 0600) < 0 && errno != EEXIST)
		return -errno;
	n->fifo = open(n->c->fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (n->fifo < 0 || fstat(n->fifo, &st) < 0)
		return -errno;
	if (!S_ISFIFO(st.st_mode))
		return -EEXIST;
	read_fifo(n); /* what waits is old, its last GROUP line may still be true */
	int rc = uv_poll_init(n->loop, &n->poll, n->fifo);
	if (rc < 0)
		return rc;
	n->has_poll = true;
	n->poll.data = n;
	uv_poll_start(&n->poll, UV_READABLE, on_fifo);
	check_keepalived(n);
	ask_keepalived(n);
	return 0;
}

int
node_open(struct node **out, uv_loop_t *loop, const struct conf *c,
	  const struct node_handlers *h, void *arg)
{
	struct role_config rc = { .is_primary = c->pair.is_primary,
				  .has_peer = c->pair.is_clustered,
				  .has_keepalived = c->has_keepalived,
				  .watch_vpnd = c->watch_vpnd,
				  .keepalived_grace_ms = c->keepalived_grace_ms };
	struct node *n = calloc(1, sizeof(*n));
	int r = 0;

	if (n == NULL)
		return E_NOMEM;
	*out = n;
	*n = (struct node){ .loop = loop, .c = c, .h = h, .arg = arg, .fifo = -1 };
	role_init(&n->role, &rc, now(n));
	for (size_t i = 0; i < c->n_links && r == 0; i++) {
		n->was_ok[i] = true;
		if (c->links[i].n_gateways > 0)
			r = probe_open(&n->probes[i], loop, &c->links[i]);
	}
	if (r == 0 && c->has_keepalived) {
		/* What our predecessor said stands until we know better; what it said
		 * of vpnd and of a move in progress does not outlive it. */
		n->role.out.role_value = read_track(n, "role");
		n->role.out.vpnd_bad = read_track(n, "vpnd.bad") > 0;
		apply(n, &n->role.out, true);
		r = open_fifo(n);
	}
	return r;
}

void
node_close(struct node *n)
{
	if (n == NULL)
		return;
	if (n->has_poll)
		uv_close((uv_handle_t *)&n->poll, NULL);
	for (size_t i = 0; i < CONF_LINKS_MAX; i++)
		probe_close(n->probes[i]);
}

void
node_free(struct node *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < CONF_LINKS_MAX; i++)
		probe_free(n->probes[i]);
	if (n->fifo >= 0)
		close(n->fifo);
	free(n);
}
