/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* child.h -- what a child process is told on its command line: who it is, and
 * which inherited descriptor leads to whom.
 *
 *   vpnd --process worker --index 0 --peer parent:0:3 --peer keys:0:4 ...
 *
 * Everything else comes by message. Each process folder offers one function
 *
 *   int NAME_main(const struct child *c);
 *
 * that drops privileges (common/proc.h), opens its peers, sends `ready`, takes
 * `config` first, and runs its loop. Its value is the exit code.
 */
#ifndef VPND_IPC_CHILD_H
#define VPND_IPC_CHILD_H

#include "vpnd/ipc/messages.h"

enum { CHILD_WORKERS = 64, CHILD_PEERS = CHILD_WORKERS + IPC_PROCESSES };

struct child_peer {
	enum ipc_process who;
	unsigned index;
	int fd;
};

struct child {
	enum ipc_process self;
	unsigned index;
	unsigned uid, gid;
	char root[256]; /* directory to be confined to */
	bool is_debug;
	struct child_peer peer[CHILD_PEERS];
	unsigned n_peer;
};

/* E_INVAL when the words are not those of a child. */
int child_parse(struct child *c, int argc, char **argv);
/* The descriptor that leads there, or -1. */
int child_fd(const struct child *c, enum ipc_process who, unsigned index);

int keys_main(const struct child *c);
int auth_main(const struct child *c);
int session_main(const struct child *c);
int worker_main(const struct child *c);

#endif
