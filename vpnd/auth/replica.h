/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* replica.h -- the local users as an object of the store, the same on all nodes.
 *
 * With a connection to hasync the object `users` is the truth and the file is what
 * we start with when hasync is not there. Its bytes are those of the file. A change
 * names the generation it was made on; if somebody was faster it is made again.
 * The set `codes` (codes.h) rides on the same connection.
 */
#ifndef VPND_AUTH_REPLICA_H
#define VPND_AUTH_REPLICA_H

#include "common/cluster.h"

struct replica;

struct replica_host {
	void *arg;
	/* The users as text for the store; the caller wipes and frees. 0, -errno. */
	int (*text)(void *arg, char **text, size_t *n);
	/* The store has this text now: make it ours. */
	void (*adopt)(void *arg, struct span text);
	/* Entries of `codes`, whoever wrote them: ours come back when they are kept. */
	void (*codes)(void *arg, struct span entries);
};

/* rc 0: durable on so many nodes; is_news: adopt was not called with it, and
 * nothing later was adopted. E_STALE: somebody changed the users meanwhile;
 * what he wrote is adopted, try again. E_CLOSED: hasync is gone, the outcome is
 * not known. Others: refused. */
typedef void (*replica_done)(void *arg, int rc, unsigned copies, bool is_peer_away,
			     bool is_news);

int replica_new(struct replica **out, uv_loop_t *loop, const struct replica_host *host);
/* Closes its connection; the loop must run once more for that. NULL is fine. */
void replica_free(struct replica *r);
void replica_connect(struct replica *r, int fd);
/* Is the object what we answer by? False: the file is all there is. */
bool replica_is_up(const struct replica *r);
/* The users were changed without the store: it gets them when it is back, unless
 * the other node has changed them too. */
void replica_changed_alone(struct replica *r);
/* A code was used. E_CLOSED without a connection. */
int replica_code(struct replica *r, const struct cluster_entry *e);
/* One at a time; E_AGAIN while another is under way. */
int replica_put(struct replica *r, struct span text, replica_done done, void *arg);

#endif
