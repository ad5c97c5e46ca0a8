/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* node.h -- this node's role in the world: keepalived's FIFO and pid, the track files,
 * the gateways, left-over addresses. The thinking is role.h's. */
#ifndef HASYNC_NODE_H
#define HASYNC_NODE_H

#include "hasync/conf.h"
#include "hasync/role.h"

struct node;

struct node_handlers {
	void (*on_role)(void *arg); /* role, epoch or health changed: tell everybody */
	void (*on_event)(void *arg, const char *event, const char *detail);
};

/* Makes FIFO and track files. -errno when it cannot. */
int node_open(struct node **out, uv_loop_t *loop, const struct conf *c,
	      const struct node_handlers *h, void *arg);
void node_close(struct node *); /* free after the loop has run dry */
void node_free(struct node *);

const struct role *node_role(const struct node *);
void node_get_state(const struct node *, struct wire_state *s);
void node_set_peer(struct node *, const struct wire_state *s); /* NULL: gone */
void node_set_vpnd(struct node *, bool is_there, bool is_sick);
int node_hold(struct node *, bool on, bool force, uint64_t ms);
void node_tick(struct node *); /* every 100 ms */

#endif
