/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* running.h -- the configuration that vpnd runs, for the programs beside it.
 *
 * /etc/tandem/tandem.conf is the operator's draft; what counts is what vpnd took. Its
 * parent writes both texts, as they were taken, to STATEDIR/running/tandem.conf and
 * node.conf, each whole or not at all, tandem.conf last. acmed and ddnsd read them
 * there and watch that file. Before vpnd's first start the drafts are read instead.
 *
 * Errors: E_INVAL (the report says why), -errno.
 */
#ifndef COMMON_CONFIG_RUNNING_H
#define COMMON_CONFIG_RUNNING_H

#include "common/config/config.h"

#include <uv.h>

/* Either text may be NULL: no such file. */
int running_write(const char *state_dir, const char *conf, const char *node);

/* conf and node: the drafts. *out is NULL on error. */
int running_read(struct config **out, const char *state_dir, const char *conf,
		 const char *node, struct config_report *report);

/* Tells of each change; several at once may be one. */
struct running_watch {
	struct watch *watch;
	void (*on_change)(void *arg);
	void *arg;
};

/* on_change and arg are set before. The folder is made when it is missing. */
int running_watch_start(struct running_watch *w, uv_loop_t *loop,
			const char *state_dir);
void running_watch_stop(struct running_watch *w);

#endif
