/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/ipc/child.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
process_named(const char *name, enum ipc_process *who)
{
	for (int i = 0; i < IPC_PROCESSES; i++)
		if (strcmp(name, ipc_process_name[i]) == 0) {
			*who = (enum ipc_process)i;
			return 0;
		}
	return E_INVAL;
}

static int
parse_peer(struct child *c, const char *word)
{
	char name[16];
	struct child_peer p;

	if (c->n_peer == CHILD_PEERS ||
	    sscanf(word, "%15[a-z]:%u:%d", name, &p.index, &p.fd) != 3 ||
	    process_named(name, &p.who) < 0)
		return E_INVAL;
	c->peer[c->n_peer++] = p;
	return 0;
}

int
child_parse(struct child *c, int argc, char **argv)
{
	*c = (struct child){ 0 };
	if (argc < 3 || strcmp(argv[1], "--process") != 0)
		return E_INVAL;
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *opt = argv[i], *value = argv[i + 1];
		int rc = 0;
		if (strcmp(opt, "--process") == 0)
			rc = process_named(value, &c->self);
		else if (strcmp(opt, "--index") == 0)
			c->index = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(opt, "--uid") == 0)
			c->uid = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(opt, "--gid") == 0)
			c->gid = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(opt, "--root") == 0)
			snprintf(c->root, sizeof(c->root), "%s", value);
		else if (strcmp(opt, "--debug") == 0)
			c->is_debug = value[0] == '1';
		else if (strcmp(opt, "--peer") == 0)
			rc = parse_peer(c, value);
		else
			rc = E_INVAL;
		if (rc < 0)
			return rc;
	}
	return argc % 2 == 1 ? 0 : E_INVAL;
}

int
child_fd(const struct child *c, enum ipc_process who, unsigned index)
{
	for (unsigned i = 0; i < c->n_peer; i++)
		if (c->peer[i].who == who && c->peer[i].index == index)
			return c->peer[i].fd;
	return -1;
}
