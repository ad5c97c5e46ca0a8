/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/links.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE_MS = 200, DATAGRAM = 8192 };

static void
on_settled(uv_timer_t *t)
{
	struct links *l = t->data;

	l->on_change(l->arg);
}

/* What is in them does not matter, nor that some were lost. */
static void
on_readable(uv_poll_t *p, int status, int events)
{
	struct links *l = p->data;
	char buf[DATAGRAM];

	while (recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	if (!uv_is_active((uv_handle_t *)&l->settle))
		uv_timer_start(&l->settle, on_settled, SETTLE_MS, 0);
}

int
links_start(struct links *l, uv_loop_t *loop)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups =
					  RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };

	l->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       NETLINK_ROUTE);
	if (l->fd < 0)
		return -errno;
	int rc = bind(l->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	if (rc == 0)
		rc = uv_poll_init(loop, &l->poll, l->fd);
	if (rc < 0) {
		close(l->fd);
		l->fd = -1;
		return rc;
	}
	uv_timer_init(loop, &l->settle);
	l->poll.data = l->settle.data = l;
	return uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

void
links_stop(struct links *l)
{
	if (l->fd < 0)
		return;
	uv_close((uv_handle_t *)&l->poll, NULL);
	uv_close((uv_handle_t *)&l->settle, NULL);
	close(l->fd);
	l->fd = -1;
}
