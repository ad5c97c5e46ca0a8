/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* listener.c -- the sockets the parent hands down: accept, and read datagrams. */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_PASS = 64 }; /* then the tunnels get their turn */

static void
on_tcp(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	for (int i = 0; i < ACCEPT_PASS && status == 0; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		int fd = accept4(l->tcp, (struct sockaddr *)&ss, &n,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno == EINVAL) {
			uv_poll_stop(poll); /* the parent closed the door */
			return;
		}
		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				log_limited(LOG_L_ERR, 0, "accept: %s",
					    err_text(-errno));
			return;
		}
		int one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct ip_addr source = ip_of_sockaddr((struct sockaddr *)&ss);
		int rc = conn_new(l->w, fd, &source);
		if (rc < 0) {
			log_limited(LOG_L_WARN, 0, "a connection is refused: %s",
				    err_text(rc));
			close(fd);
		}
	}
}

static void
on_udp(uv_poll_t *poll, int status, int events)
{
	if (status == 0)
		demux_readable(poll->data);
}

static struct listener *
find(struct worker *w, uint32_t handle)
{
	for (unsigned i = 0; i < WORKER_LISTENERS; i++)
		if (w->listener[i].is_open && w->listener[i].handle == handle)
			return &w->listener[i];
	return NULL;
}

int
listener_add(struct worker *w, const struct ipc_listener *m, int tcp, int udp)
{
	struct listener *l = NULL;

	for (unsigned i = 0; i < WORKER_LISTENERS && l == NULL; i++)
		if (!w->listener[i].is_open && w->listener[i].w == NULL)
			l = &w->listener[i];
	if (l == NULL || find(w, m->handle) != NULL)
		return E_LIMIT;
	*l = (struct listener){ .handle = m->handle,
				.wan = m->wan,
				.family = m->family,
				.port = m->port,
				.tcp = tcp,
				.udp = udp,
				.is_open = true,
				.w = w };
	int rc = batch_prepare(udp, BATCH_OFFLOADS);
	if (rc >= 0)
		rc = batch_tx_new(&l->tx, (unsigned)rc, dchan_on_send_error, w);
	if (rc == 0)
		rc = uv_poll_init(&w->loop, &l->poll_tcp, tcp);
	if (rc == 0)
		rc = uv_poll_init(&w->loop, &l->poll_udp, udp);
	if (rc < 0)
		return rc;
	l->poll_tcp.data = l->poll_udp.data = l;
	uv_poll_start(&l->poll_tcp, UV_READABLE, on_tcp);
	uv_poll_start(&l->poll_udp, UV_READABLE, on_udp);
	log_debug(0, "listening on wan%u, family %u, port %u", m->wan + 1, m->family,
		  m->port);
	return 0;
}

static void
on_udp_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	close(l->udp);
	batch_tx_free(l->tx);
	*l = (struct listener){ 0 };
}

static void
on_tcp_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	close(l->tcp);
	uv_close((uv_handle_t *)&l->poll_udp, on_udp_closed);
}

void
listener_remove(struct worker *w, uint32_t handle)
{
	struct listener *l = find(w, handle);

	if (l == NULL)
		return;
	/* Channels that came this way cannot answer any more. */
	for (uint32_t i = 0; i < WORKER_DCHANS; i++)
		if (w->dchan[i] != NULL && &w->listener[w->dchan[i]->listener] == l)
			dchan_close(w->dchan[i], "listener removed", true);
	l->is_open = false;
	uv_close((uv_handle_t *)&l->poll_tcp, on_tcp_closed);
}
