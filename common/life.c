/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/life.h"

#include "common/log.h"

#include <signal.h>

enum { KEY_LOOK_MS = 1000 };

static void
end(struct life *l)
{
	l->is_ending = true;
	uv_stop(l->term.loop);
}

static void
on_signal(uv_signal_t *s, int signum)
{
	end(s->data);
}

static void
on_key(uv_fs_poll_t *p, int status, const uv_stat_t *was, const uv_stat_t *is)
{
	struct life *l = p->data;

	if (status < 0 ||
	    (was->st_ino == is->st_ino && was->st_mtim.tv_sec == is->st_mtim.tv_sec &&
	     was->st_mtim.tv_nsec == is->st_mtim.tv_nsec))
		return;
	log_info(0, "%s was replaced: starting again", l->key_file);
	end(l);
}

int
life_start(struct life *l, uv_loop_t *loop, const char *key_file)
{
	*l = (struct life){ .key_file = key_file };
	uv_signal_init(loop, &l->term);
	uv_signal_init(loop, &l->intr);
	uv_fs_poll_init(loop, &l->key);
	l->term.data = l->intr.data = l->key.data = l;
	uv_signal_start(&l->term, on_signal, SIGTERM);
	uv_signal_start(&l->intr, on_signal, SIGINT);
	return uv_fs_poll_start(&l->key, on_key, key_file, KEY_LOOK_MS);
}

void
life_stop(struct life *l)
{
	uv_close((uv_handle_t *)&l->term, NULL);
	uv_close((uv_handle_t *)&l->intr, NULL);
	uv_close((uv_handle_t *)&l->key, NULL);
}
