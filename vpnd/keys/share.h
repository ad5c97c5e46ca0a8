/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* share.h -- the token keys of a pair: the object `token-keys` of the store, sealed
 * under the pair key.
 *
 * What is there is united with our own (tokenkeys_unite) whenever it changes; what it
 * lacks is put there. Without a pair key or a connection nothing happens, and the own
 * set goes on. An object that cannot be opened is left alone.
 */
#ifndef VPND_KEYS_SHARE_H
#define VPND_KEYS_SHARE_H

#include "common/pairkey.h"
#include "vpnd/keys/tokenkeys.h"

#include <uv.h>

struct cluster;

struct share {
	uv_loop_t *loop;
	struct tokenkeys **tokens;    /* NULL until loaded; owned by the caller */
	void (*on_change)(void *arg); /* *tokens is another set now */
	void *arg;
	uv_pipe_t first;
	uint8_t *pair_key; /* secure memory; NULL: none */
	struct cluster *cluster;
	uint64_t generation; /* of the object, 0: none */
	bool is_putting, is_again;
	bool has_role, is_active;
};

/* tokens, on_change and arg are set by the caller before. -errno */
int share_init(struct share *s, uv_loop_t *loop);
/* E_INVAL for a key of another length. */
int share_key(struct share *s, struct span key);
/* A connection to hasync in place of the one before; takes fd over. */
void share_connect(struct share *s, int fd);
/* Our own set has changed (rotation). */
void share_publish(struct share *s);
/* Only the active node rotates; alone, this one does. */
bool share_may_rotate(const struct share *s);
/* Everything that OpenSSL loads late, before the sandbox. */
int share_touch(void);
void share_close(struct share *s);

#endif
