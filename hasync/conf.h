/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* conf.h -- hasync.conf: what hasync has to know of this node. See hasync(8). */
#ifndef HASYNC_CONF_H
#define HASYNC_CONF_H

#include "common/ip.h"
#include "hasync/control.h"
#include "hasync/pair.h"

#include <sys/types.h>

enum { CONF_LINKS_MAX = 8, CONF_ADDRS_MAX = 8, CONF_USERS_MAX = 16, CONF_PATH = 256 };

struct conf_address {
	struct ip_addr ip;
	unsigned prefix;
};

/* A segment that carries virtual addresses. */
struct conf_link {
	char name[32], interface[16];
	bool is_wan;
	struct ip_addr gateways[CONF_ADDRS_MAX];
	size_t n_gateways;
	struct conf_address addresses[CONF_ADDRS_MAX];
	size_t n_addresses;
};

struct conf {
	struct pair_config pair;
	bool has_keepalived, watch_vpnd;
	char fifo[CONF_PATH], pid_file[CONF_PATH], track[CONF_PATH], group[64];
	uint64_t keepalived_grace_ms;
	struct conf_link links[CONF_LINKS_MAX];
	size_t n_links;
	struct control_user users[CONF_USERS_MAX];
	size_t n_users;
	char key_file[CONF_PATH];
};

/* A missing file is a node of its own. E_INVAL: `why` (n bytes) has the first mistake,
 * with file and line where there is one. */
int conf_load(struct conf *c, const char *path, char *why, size_t n);

#endif
