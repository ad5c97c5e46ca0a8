/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* store.h -- acmed's view of the replicated store: a copy of the objects it needs, and
 * this node's role.
 *
 * Follows cert/ csr/ acme/ and ddns/challenge/. A lost connection is made again by
 * itself; meanwhile the copy stays, and this node counts as standby, because nobody
 * says otherwise.
 *
 * Ownership: objects and their bytes belong to the store and live until the next
 * on_change. Errors: enum cluster_status in answers; E_CLOSED, E_LIMIT, E_NOMEM.
 */
#ifndef ACME_STORE_H
#define ACME_STORE_H

#include "common/line.h"

enum { STORE_OBJECTS = 128 };

struct store;

struct store_object {
	char name[CLUSTER_NAME_MAX + 1];
	uint64_t generation;
	uint8_t *bytes; /* with a NUL behind them */
	size_t n;
};

struct store_handlers {
	/* An object came, changed or went; or, with NULL, all were read. */
	void (*on_change)(void *arg, const char *name);
	void (*on_role)(void *arg);
};

int store_new(struct store **out, uv_loop_t *loop, const char *socket,
	      const struct store_handlers *h, void *arg);
void store_close(struct store *s);
/* After the loop has ended. */
void store_free(struct store *s);

/* Connected, and everything there is was read. */
bool store_is_ready(const struct store *s);
const struct line_role *store_role(const struct store *s);

const struct store_object *store_find(const struct store *s, const char *name);
/* Object i whose name begins so; NULL past the last. */
const struct store_object *store_at(const struct store *s, const char *prefix,
				    size_t i);

/* generation: the one that is replaced, 0 for none yet, or CLUSTER_ANY. done may be
 * NULL. */
int store_put(struct store *s, const char *name, struct span bytes, uint64_t generation,
	      cluster_done done, void *arg);
int store_remove(struct store *s, const char *name, cluster_done done, void *arg);
/* Any object, also one that is not followed. */
int store_get(struct store *s, const char *name, cluster_done done, void *arg);
/* An event for `vpnctl events`. Also in the log. */
void store_event(struct store *s, const char *event, const char *text);

#endif
