/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* life.h -- when a daemon beside vpnd ends: at SIGTERM or SIGINT, and when the pair key
 * was replaced (this node joined a pair): the key is root's, so the next of us reads
 * it.
 */
#ifndef COMMON_LIFE_H
#define COMMON_LIFE_H

#include <stdbool.h>
#include <uv.h>

struct life {
	bool is_ending; /* and the loop was stopped */
	uv_signal_t term, intr;
	uv_fs_poll_t key;
	const char *key_file;
};

/* key_file is borrowed. -errno. */
int life_start(struct life *l, uv_loop_t *loop, const char *key_file);
void life_stop(struct life *l);

#endif
