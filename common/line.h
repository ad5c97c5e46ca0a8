/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* line.h -- a daemon's lasting line to hasync: it connects, says hello, watches, and
 * comes back by itself. While it is down this node is not active: nobody can say that
 * it is.
 */
#ifndef COMMON_LINE_H
#define COMMON_LINE_H

#include "common/cluster.h"

enum { LINE_PATH = 512 };

struct line_rules {
	const char *kind;           /* of program, for the hello */
	const char *const *watched; /* prefixes; NULL ends them */
	/* It is up: what is there of the watched is told from now on. May be NULL. */
	void (*on_up)(void *arg);
	/* A CHANGED of cluster.h. */
	void (*on_object)(void *arg, const struct cluster_msg *m);
	/* All that is there has been told. */
	void (*on_ready)(void *arg);
	/* The role may be another. Active under a new epoch, it was not active in
	 * between: that is told too. */
	void (*on_role)(void *arg);
};

struct line_role {
	bool is_active;
	uint64_t epoch;
	/* node "": nobody said it yet; peer "": alone. */
	char node[CLUSTER_NODE_MAX + 1], peer[CLUSTER_NODE_MAX + 1];
};

struct line {
	struct line_role role;
	bool is_ready; /* up, and all that is there has been told */
	/* its own */
	const struct line_rules *rules;
	void *arg;
	struct cluster *cluster; /* NULL: down */
	uv_timer_t retry;
	unsigned n_told;
	bool said_down;
	char path[LINE_PATH];
};

/* From the loop; nothing is told before this returned. The rules are borrowed.
 * -ENAMETOOLONG: nothing is to be closed. */
int line_open(struct line *l, uv_loop_t *loop, const char *path,
	      const struct line_rules *rules, void *arg);
/* No more callbacks but this one (its handle's data is the line), when the memory may
 * go. closed may be NULL. */
void line_close(struct line *l, uv_close_cb closed);

/* As cluster_call; E_CLOSED: the line is down. */
int line_call(struct line *l, const struct cluster_msg *m, cluster_done done,
	      void *arg);
/* For `vpnctl events`, if somebody can hear it. */
void line_event(struct line *l, const char *name, const char *text);

#endif
