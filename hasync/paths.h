/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* paths.h -- on which of corosync's links the other node is heard: heartbeat and LAN.
 *
 * corosync is asked once a second, on libuv's thread pool: when it stands still, so
 * does the question, and the last answer is shown as old.
 */
#ifndef HASYNC_PATHS_H
#define HASYNC_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum { PATHS_MAX = 8 };

struct path {
	char name[16];    /* "heartbeat" (link 0), "lan" (link 1), "link2", ... */
	char address[64]; /* the other node's */
	bool is_up;
};

struct paths;

int paths_open(struct paths **out, uv_loop_t *loop);
/* Often; asks when it is time. */
void paths_tick(struct paths *p);
/* How many; is_old: corosync did not answer for a while, or does not run. */
size_t paths_get(const struct paths *p, const struct path **at, bool *is_old);
/* With no question under way. NULL is fine. */
void paths_free(struct paths *p);

#endif
