/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Children: the pairs between them, birth, death, and birth again. */
#include "common/err.h"
#include "common/log.h"
#include "common/proc.h"
#include "vpnd/parent/state.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	QUICK_MS = 10000, /* a death so soon after birth makes the next one wait */
	PAIR_BUFFER = 1024 * 1024,
};

uint64_t
now_ms(void)
{
	return uv_hrtime() / 1000000;
}

struct process *
process_of(struct parent *p, enum ipc_process who, unsigned index)
{
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].who == who && p->process[i].index == index)
			return &p->process[i];
	return NULL;
}

/* ---- pairs */

static int
add_pair(struct parent *p, enum ipc_process a, unsigned ai, enum ipc_process b,
	 unsigned bi)
{
	struct pair *k = &p->pair[p->n_pair];
	const int size = PAIR_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       k->fd) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(k->fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &size,
				 sizeof(size));
	k->who[0] = a;
	k->index[0] = ai;
	k->who[1] = b;
	k->index[1] = bi;
	p->n_pair++;
	return 0;
}

int
process_pairs(struct parent *p, char *why)
{
	int rc;

	p->pair = calloc(5 + 4 * (size_t)p->workers, sizeof(*p->pair));
	if (p->pair == NULL)
		return E_NOMEM;
	for (unsigned i = 0; i < p->n_process; i++)
		if ((rc = add_pair(p, IPC_PARENT, 0, p->process[i].who,
				   p->process[i].index)) < 0)
			goto fail;
	if ((rc = add_pair(p, IPC_AUTH, 0, IPC_SESSION, 0)) < 0 ||
	    (rc = add_pair(p, IPC_SESSION, 0, IPC_KEYS, 0)) < 0)
		goto fail;
	for (unsigned w = 0; w < p->workers; w++)
		if ((rc = add_pair(p, IPC_WORKER, w, IPC_KEYS, 0)) < 0 ||
		    (rc = add_pair(p, IPC_WORKER, w, IPC_AUTH, 0)) < 0 ||
		    (rc = add_pair(p, IPC_WORKER, w, IPC_SESSION, 0)) < 0)
			goto fail;
	return 0;

fail:
	snprintf(why, WHY_MAX, "socket pairs between the processes: %s", err_text(rc));
	return rc;
}

/* Which end of this pair is c's: 0, 1, or -1. */
static int
end_of(const struct pair *k, const struct process *c)
{
	for (int i = 0; i < 2; i++)
		if (k->who[i] == c->who && k->index[i] == c->index)
			return i;
	return -1;
}

static struct pair *
line_to(struct parent *p, const struct process *c)
{
	for (unsigned i = 0; i < p->n_pair; i++)
		if (p->pair[i].who[0] == IPC_PARENT && end_of(&p->pair[i], c) == 1)
			return &p->pair[i];
	return NULL;
}

/* Throw away what waits to be read at this end, descriptors included (a
 * message read without room for them drops them). */
static void
drain(int fd)
{
	char byte;

	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		;
}

/* ---- birth */

static void
on_broken(void *arg, struct peer *from, int rc)
{
	struct process *c = arg;
	struct pair *k = line_to(c->parent, c);

	log_err(0, "%s: broke the message table (%s)", c->name, err_text(rc));
	drain(k->fd[0]);
	process_kill(c, "broken messages");
}

static void
on_peer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
process_close(struct process *c)
{
	if (c->peer != NULL)
		peer_close(c->peer, on_peer_closed);
	c->peer = NULL;
}

static int
open_line(struct process *c)
{
	struct parent *p = c->parent;
	struct pair *k = line_to(p, c);
	int fd, rc;

	drain(k->fd[1]);
	/* A worker's other lines only carry answers to its dead predecessor. The
	 * others keep theirs: those requests have askers that still wait. */
	for (unsigned i = 0; c->who == IPC_WORKER && i < p->n_pair; i++)
		if (end_of(&p->pair[i], c) >= 0 && p->pair[i].who[0] != IPC_PARENT)
			drain(p->pair[i].fd[end_of(&p->pair[i], c)]);
	if ((fd = fcntl(k->fd[0], F_DUPFD_CLOEXEC, 3)) < 0)
		return -errno;
	c->peer = calloc(1, sizeof(*c->peer));
	if (c->peer == NULL) {
		close(fd);
		return E_NOMEM;
	}
	rc = peer_open(c->peer, &p->loop, fd, IPC_PARENT, c->who, c->index,
		       parent_handlers, on_broken, c);
	if (rc < 0) {
		close(fd);
		free(c->peer);
		c->peer = NULL;
	}
	return rc;
}

static int
start(struct process *c)
{
	struct parent *p = c->parent;
	char index[8], uid[12], gid[12], word[CHILD_PEERS][24];
	char *argv[14 + 2 * CHILD_PEERS];
	int fds[CHILD_PEERS];
	size_t n = 0, a = 0;

	snprintf(index, sizeof(index), "%u", c->index);
	snprintf(uid, sizeof(uid), "%u", c->uid);
	snprintf(gid, sizeof(gid), "%u", c->gid);
	char *const fixed[] = {
		"/proc/self/exe",
		"--process",
		(char *)ipc_process_name[c->who],
		"--index",
		index,
		"--uid",
		uid,
		"--gid",
		gid,
		"--root",
		c->root,
		"--debug",
		p->opt->is_debug || parent_config(p)->log_debug ? "1" : "0",
	};
	for (; a < sizeof(fixed) / sizeof(fixed[0]); a++)
		argv[a] = fixed[a];
	for (unsigned i = 0; i < p->n_pair; i++) {
		const struct pair *k = &p->pair[i];
		int mine = end_of(k, c);
		if (mine < 0)
			continue;
		snprintf(word[n], sizeof(word[n]), "%s:%u:%zu",
			 ipc_process_name[k->who[!mine]], k->index[!mine], 3 + n);
		argv[a++] = "--peer";
		argv[a++] = word[n];
		fds[n++] = k->fd[mine];
	}
	argv[a] = NULL;
	return proc_spawn(&c->pid, argv, fds, n);
}

int
process_spawn(struct process *c)
{
	int rc = open_line(c);

	if (rc < 0)
		return rc;
	c->config_done = 0;
	c->is_equipped = false;
	c->started_ms = c->heard_ms = now_ms();
	if ((rc = start(c)) < 0) {
		c->pid = 0;
		process_close(c);
		return rc;
	}
	log_debug(0, "%s: started pid=%d", c->name, c->pid);
	handout_start(c);
	return 0;
}

/* ---- death */

static void on_respawn(uv_timer_t *t);

static void
respawn_later(struct process *c)
{
	static const unsigned wait_ms[] = { 0, 100, 500, 1000, 2000 };
	enum { WAITS = sizeof(wait_ms) / sizeof(wait_ms[0]) };
	unsigned i = c->quick_deaths < WAITS ? c->quick_deaths : WAITS - 1;

	uv_timer_start(&c->respawn, on_respawn, wait_ms[i], 0);
}

static void
on_respawn(uv_timer_t *t)
{
	struct process *c = t->data;
	struct parent *p = c->parent;

	if (p->is_stopping)
		return;
	c->restarts++;
	c->quick_deaths++;
	int rc = process_spawn(c);
	if (rc < 0) {
		log_err(0, "%s: cannot start: %s", c->name, err_text(rc));
		respawn_later(c);
		return;
	}
	log_info(0, "%s: restarted pid=%d restarts=%u", c->name, c->pid, c->restarts);
	for (unsigned i = 0; i < p->n_process; i++) {
		struct ipc_process_new m = { .process = (uint8_t)c->who,
					     .index = (uint8_t)c->index };
		if (&p->process[i] != c && p->process[i].peer != NULL)
			(void)peer_send(p->process[i].peer, IPC_process_new, &m);
	}
	if (c->who == IPC_SESSION) /* it could not be told of its own death */
		event_send(p, EV_PROCESS_DIED, c->died, c->name, 0);
	event_send(p, EV_PROCESS_RESTARTED, "", c->name, c->restarts);
}

static void
on_death(struct process *c, int status)
{
	struct parent *p = c->parent;
	char *how = c->died;

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(c->died), "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(c->died), "exit code %d", WEXITSTATUS(status));
	int pid = c->pid;
	c->pid = 0;
	process_close(c);
	if (p->is_stopping) {
		log_debug(0, "%s: gone, %s", c->name, how);
		parent_gone(p);
		return;
	}
	if (now_ms() - c->started_ms >= QUICK_MS)
		c->quick_deaths = 0;
	log_err(0, "%s: died pid=%d after_s=%llu: %s", c->name, pid,
		(unsigned long long)(now_ms() - c->started_ms) / 1000, how);
	event_send(p, EV_PROCESS_DIED, how, c->name, (uint64_t)pid);
	pairing_child_died(c);
	reload_child_died(p, c);
	certswap_child_died(p, c);
	respawn_later(c);
}

void
process_reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < p->n_process; i++)
			if (p->process[i].pid == pid)
				on_death(&p->process[i], status);
}

void
process_kill(struct process *c, const char *reason)
{
	if (c->pid == 0)
		return;
	log_warn(0, "%s: killed: %s", c->name, reason);
	kill(c->pid, SIGKILL);
}

bool
process_all_gone(const struct parent *p)
{
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].pid != 0)
			return false;
	return true;
}

/* A child that loops or hangs holds its sessions hostage: replace it. If we
 * were asleep ourselves (a stopped machine), nobody is to blame. */
void
process_ping(struct parent *p)
{
	uint64_t now = now_ms();
	bool overslept = now - p->pinged_ms > 2 * PING_MS;
	struct ipc_ping m = { .id = ++p->ping_id };

	p->pinged_ms = now;
	for (unsigned i = 0; i < p->n_process; i++) {
		struct process *c = &p->process[i];
		if (c->pid == 0 || c->peer == NULL)
			continue;
		if (overslept)
			c->heard_ms = now;
		if (now - c->heard_ms > SILENT_MS) {
			process_kill(c, "no answer for 10 s");
			c->heard_ms = now;
			continue;
		}
		(void)peer_send(c->peer, IPC_ping, &m);
	}
}

void
event_send(struct parent *p, enum event_what what, const char *reason, const char *text,
	   uint64_t number)
{
	struct ipc_event m = { .what = (uint8_t)what, .number = number };
	struct process *session = process_of(p, IPC_SESSION, 0);

	snprintf(m.reason, sizeof(m.reason), "%s", reason);
	snprintf(m.text, sizeof(m.text), "%s", text);
	if (session->peer != NULL)
		(void)peer_send(session->peer, IPC_event, &m);
}
