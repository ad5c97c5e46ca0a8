/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* acmed.h -- the daemon as its parts see it: what is configured, what the store says,
 * and how to ask for a new look at both.
 *
 * One thread, one loop. Nothing here is shared with other programs: what they see is
 * the folder STATEDIR/certs, the objects cert/ csr/ acme/ of the store, and the
 * control socket.
 *
 * A part that changes something calls acmed_look(); a moment later everything is
 * looked at once: which certificate this node serves, whether one has to be ordered,
 * which challenges are open. So no part has to know what depends on it.
 */
#ifndef ACME_ACMED_H
#define ACME_ACMED_H

#include "acme/store.h"
#include "common/config/config.h"
#include "common/life.h"
#include "common/pairkey.h"

#include <jansson.h>
#include <uv.h>

enum { ACMED_PATH = 512, ACMED_NAMES = CONFIG_WANS, ACMED_NAME = 254 };

struct acmed {
	uv_loop_t loop;
	const char *conf_file, *node_file, *state_dir, *run_dir, *key_file;
	char folder[ACMED_PATH]; /* STATEDIR/certs */
	uint8_t pair_key[PAIRKEY];
	struct config *config; /* NULL while there is no good one */
	struct store *store;
	struct ctlsock *control;
	struct live *live;
	struct custom *custom;
	struct automatic *automatic;
	uv_timer_t look, tick;
	struct life life;
};

/* Look at everything soon. */
void acmed_look(struct acmed *a);

/* What clients dial, as WAN 1's and WAN 2's name; how many of them are set. */
size_t acmed_names(const struct config *c, const char *names[ACMED_NAMES]);

uint64_t acmed_wall_s(void);

#endif
