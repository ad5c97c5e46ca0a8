/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* links.h -- tells when an address of this machine came or went (rtnetlink).
 *
 * Several at once are told once. What changed is not said: who cares looks.
 * Errors: -errno.
 */
#ifndef DDNS_LINKS_H
#define DDNS_LINKS_H

#include <uv.h>

struct links {
	int fd;
	uv_poll_t poll;
	uv_timer_t settle;
	void (*on_change)(void *arg);
	void *arg;
};

/* on_change and arg are set before. */
int links_start(struct links *l, uv_loop_t *loop);
void links_stop(struct links *l);

#endif
