/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* far.h -- one of vpnd's processes in a child of its own, over real socket pairs: the
 * test is its parent, session and worker, and talks to it message by message.
 */
#ifndef TESTS_LIB_FAR_H
#define TESTS_LIB_FAR_H

#include "tests/lib/tap.h"
#include "vpnd/ipc/child.h"
#include "vpnd/ipc/peer.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAR_WAIT_MS = 20000 };

static struct {
	struct peer parent, session, worker;
	pid_t pid;
} far;
static union ipc_body body; /* of what was heard last */

/* A sanitizer's leak check needs /proc, which is not in there. */
static bool
is_confined(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return false;
#else
	return geteuid() == 0;
#endif
}

/* root: its root directory, if we may: as in life, another user in another root. */
static void
far_start(enum ipc_process self, int (*process)(const struct child *c),
	  const char *root)
{
	int pair[3][2];
	static const enum ipc_process who[] = { IPC_PARENT, IPC_SESSION, IPC_WORKER };
	struct peer *mine[] = { &far.parent, &far.session, &far.worker };
	static struct child c;

	c = (struct child){
		.self = self, .uid = getuid(), .gid = getgid(), .n_peer = 3
	};
	if (is_confined()) {
		c.uid = c.gid = 65534;
		snprintf(c.root, sizeof(c.root), "%s", root);
	}
	for (int i = 0; i < 3; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair[i]) < 0)
			exit(1);
		c.peer[i] = (struct child_peer){ .who = who[i], .fd = pair[i][1] };
	}
	fflush(stdout);
	if ((far.pid = fork()) == 0)
		_exit(process(&c));
	for (int i = 0; i < 3; i++) {
		close(pair[i][1]);
		peer_open(mine[i], NULL, pair[i][0], who[i], self, 0, NULL, NULL, NULL);
	}
}

/* Exit code, or minus the signal. */
static int
far_stop(void)
{
	int status = 0;

	peer_send(&far.parent, IPC_stop, &(struct ipc_stop){ 0 });
	waitpid(far.pid, &status, 0);
	peer_close(&far.parent, NULL);
	peer_close(&far.session, NULL);
	peer_close(&far.worker, NULL);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool
hear(struct peer *p, enum ipc_type want)
{
	enum ipc_type type = IPC_NONE;
	int rc = peer_receive(p, FAR_WAIT_MS, &type, &body);

	if (rc == 0 && type == want)
		return true;
	diag("wanted %s, got %s rc=%d", ipc_row[want].name,
	     type ? ipc_row[type].name : "nothing", rc);
	return false;
}

#endif
