/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* store.h -- ddnsd's line to hasync: the role of this node, objects, secrets, events.
 *
 * Comes back by itself. While it is down this node counts as not active: nobody can
 * say that it is. "Ready" means that all objects were heard: only then a role counts.
 */
#ifndef DDNS_STORE_H
#define DDNS_STORE_H

#include "common/secret.h"

struct store;

struct store_handlers {
	/* The role, or whether it is known, changed. */
	void (*on_role)(void *arg, bool is_active);
	/* An object of ddns/, acme/challenge/ or node/; bytes.p NULL: it is gone.
	 * is_ours: written by this node. */
	void (*on_object)(void *arg, const char *name, struct span bytes, bool is_ours);
	void (*on_secret)(void *arg);
};

/* path: hasync's socket. The key is copied. */
int store_new(struct store **out, uv_loop_t *loop, const char *path,
	      const uint8_t key[PAIRKEY], const struct store_handlers *h, void *arg);
void store_free(struct store *s); /* memory goes when the loop has run dry */

bool store_is_ready(const struct store *s);
bool store_is_active(const struct store *s);
uint64_t store_epoch(const struct store *s); /* of being active */
const char *store_node(const struct store *s);

/* Errors of secrets_open. */
int store_secret(const struct store *s, const char *name,
		 char value[SECRET_VALUE_MAX + 1]);

/* What asks hasync and waits. ok: this node is active now, as hasync sees it; or the
 * object is durable. Called once, never from within; not after cancel. */
struct store_wait;
typedef void (*store_done)(void *arg, bool ok);
int store_prove(struct store *s, struct store_wait **out, store_done done, void *arg);
/* text NULL: remove. out and done may be NULL. */
int store_put(struct store *s, const char *name, const char *text,
	      struct store_wait **out, store_done done, void *arg);
void store_cancel(struct store_wait *w); /* NULL is fine */

__attribute__((format(printf, 3, 4))) void
store_event(struct store *s, const char *name, const char *fmt, ...);

#endif
