/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cpg.h -- the line to corosync: joins, comes back when corosync does, never blocks.
 *
 * Connecting and joining wait for corosync without a limit (a frozen one accepts the
 * connection and then says nothing), so they happen in the thread pool.
 */
#ifndef HASYNC_CPG_H
#define HASYNC_CPG_H

#include "hasync/pair.h"

struct cpg;

struct cpg_handlers {
	void (*on_members)(void *arg, const struct pair_member *all, size_t n,
			   const struct pair_member *joined, size_t n_joined);
	void (*on_message)(void *arg, uint32_t nodeid, uint32_t pid, struct span m);
	void (*on_lost)(void *arg);
	void (*on_retry)(void *arg); /* what cpg_send refused may go now */
};

int cpg_open(struct cpg **out, uv_loop_t *loop, const struct cpg_handlers *h,
	     void *arg);
/* 0; E_AGAIN: on_retry follows; E_CLOSED: not joined, or lost (on_lost follows). */
int cpg_send(struct cpg *, struct span m);
/* Handles are closed by the loop; free after it has run dry. */
void cpg_close(struct cpg *);
void cpg_free(struct cpg *);

#endif
