/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* state.h -- everything ddnsd has, for the parts that see all of it. */
#ifndef DDNS_STATE_H
#define DDNS_STATE_H

#include "common/config/running.h"
#include "common/life.h"
#include "ddns/links.h"
#include "ddns/paths.h"
#include "ddns/uplink.h"

enum { DAEMON_PATH = 256 };

struct challenges;
struct control;

struct daemon {
	uv_loop_t loop;
	const char *conf_file, *node_file, *state_dir, *run_dir;
	char hasync_path[DAEMON_PATH];
	struct config *config; /* NULL: none could be read yet */
	struct store *store;
	struct fetch *fetch;
	struct exchange_counts counts;
	struct uplink uplink[CONFIG_WANS];
	struct paths paths;
	struct challenges *challenges;
	struct control *control;
	struct links links;
	struct running_watch watch;
	struct life life;
};

#endif
