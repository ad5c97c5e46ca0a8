/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/ipc/peer.h"

#include "common/err.h"
#include "common/log.h"
#include "vpnd/ipc/permit.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PASS_PACKETS = 256 }; /* read at most so many before the loop goes on */

struct peer_packet {
	struct peer_packet *next;
	size_t n;
	unsigned n_fds;
	int fds[IPC_FDS_MAX];
	uint8_t bytes[];
};

union fd_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
};

static int
write_packet(int fd, const void *buf, size_t n, const int *fds, unsigned n_fds)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_control control;

	if (n_fds > 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EAGAIN || errno == ENOBUFS)
			return E_AGAIN;
		if (errno != EINTR)
			return -errno;
	}
}

/* The bytes of one packet and its descriptors. E_AGAIN when there is none. */
static int
read_packet(int fd, void *buf, size_t cap, size_t *n, int *fds, unsigned *n_fds)
{
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	union fd_control control;
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space) };
	ssize_t got;

	do
		got = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? E_AGAIN : -errno;
	*n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
	}
	*n = (size_t)got;
	if (got == 0)
		return E_CLOSED; /* our packets are never empty */
	return mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? E_PROTO : 0;
}

static void
close_fds(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void
drain_queue(struct peer *p)
{
	while (p->first != NULL) {
		struct peer_packet *k = p->first;
		if (write_packet(p->fd, k->bytes, k->n, k->fds, k->n_fds) == E_AGAIN)
			return;
		close_fds(k->fds, k->n_fds);
		p->first = k->next;
		if (p->first == NULL)
			p->last = NULL;
		p->queued -= k->n;
		free(k);
	}
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void
watch(struct peer *p)
{
	if (p->in_loop)
		uv_poll_start(&p->poll, UV_READABLE | (p->first ? UV_WRITABLE : 0),
			      on_ready);
}

static int
receive(struct peer *p, enum ipc_type *type, union ipc_body *body, int *fds)
{
	static uint8_t buf[IPC_PACKET_MAX]; /* scratch, used up before we return */
	size_t n = 0;
	unsigned n_fds = 0;
	int rc = read_packet(p->fd, buf, sizeof(buf), &n, fds, &n_fds);

	if (rc == 0)
		rc = ipc_decode(span_of(buf, n), type, body);
	explicit_bzero(buf, n);
	if (rc == 0)
		rc = permit_check(*type, p->who, p->self, n_fds);
	if (rc < 0)
		close_fds(fds, n_fds);
	return rc;
}

static void
broken(struct peer *p, int rc)
{
	p->is_broken = true;
	if (p->in_loop)
		uv_poll_stop(&p->poll);
	if (p->on_broken != NULL)
		p->on_broken(p->arg, p, rc);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct peer *p = poll->data;
	static union ipc_body body; /* too large for a stack; one message at a time */

	if (p->first != NULL) {
		drain_queue(p);
		watch(p);
	}
	for (int i = 0; i < PASS_PACKETS && !p->is_broken; i++) {
		enum ipc_type type = IPC_NONE;
		int fds[IPC_FDS_MAX];
		int rc = receive(p, &type, &body, fds);
		if (rc == E_AGAIN)
			return;
		if (rc == 0 && p->handlers[type] == NULL) {
			close_fds(fds, ipc_row[type].fds);
			rc = E_PROTO;
		}
		if (rc < 0) {
			broken(p, rc);
			return;
		}
		p->handlers[type](p->arg, p, &body, fds);
		explicit_bzero(&body, ipc_body_size(type));
	}
}

int
peer_open(struct peer *p, uv_loop_t *loop, int fd, enum ipc_process self,
	  enum ipc_process who, unsigned index, const peer_handler *handlers,
	  peer_broken on_broken, void *arg)
{
	*p = (struct peer){ .fd = fd,
			    .self = self,
			    .who = who,
			    .index = index,
			    .handlers = handlers,
			    .on_broken = on_broken,
			    .arg = arg };
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	if (loop == NULL)
		return 0;
	int rc = uv_poll_init(loop, &p->poll, fd);
	if (rc < 0)
		return rc;
	p->poll.data = p;
	p->in_loop = true;
	watch(p);
	return 0;
}

static int
enqueue(struct peer *p, const void *buf, size_t n, const int *fds, unsigned n_fds)
{
	if (p->queued + n > PEER_QUEUE_MAX) {
		p->dropped++;
		return E_LIMIT;
	}
	struct peer_packet *k = malloc(sizeof(*k) + n);
	if (k == NULL)
		return E_NOMEM;
	*k = (struct peer_packet){ .n = n };
	memcpy(k->bytes, buf, n);
	for (; k->n_fds < n_fds; k->n_fds++) {
		k->fds[k->n_fds] = fcntl(fds[k->n_fds], F_DUPFD_CLOEXEC, 3);
		if (k->fds[k->n_fds] < 0) {
			int rc = -errno;
			close_fds(k->fds, k->n_fds);
			free(k);
			return rc;
		}
	}
	if (p->last != NULL)
		p->last->next = k;
	else
		p->first = k;
	p->last = k;
	p->queued += n;
	watch(p);
	return 0;
}

int
peer_send_fds(struct peer *p, enum ipc_type type, const void *body, const int *fds,
	      unsigned n_fds)
{
	static uint8_t buf[IPC_PACKET_MAX]; /* scratch, as above */
	size_t n;
	int rc = ipc_encode(type, body, buf, sizeof(buf), &n);

	if (rc < 0)
		log_fatal("ipc: %s does not fit its own limits", ipc_row[type].name);
	rc = p->first == NULL ? write_packet(p->fd, buf, n, fds, n_fds) : E_AGAIN;
	if (rc == E_AGAIN)
		rc = enqueue(p, buf, n, fds, n_fds);
	explicit_bzero(buf, n); /* it may have been a password or a key */
	return rc;
}

int
peer_send(struct peer *p, enum ipc_type type, const void *body)
{
	return peer_send_fds(p, type, body, NULL, 0);
}

int
peer_receive(struct peer *p, int timeout_ms, enum ipc_type *type, union ipc_body *body)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	int fds[IPC_FDS_MAX];
	int rc = receive(p, type, body, fds);

	if (rc == E_AGAIN && poll(&pfd, 1, timeout_ms) > 0)
		rc = receive(p, type, body, fds);
	if (rc == 0)
		close_fds(fds, ipc_row[*type].fds);
	return rc;
}

void
peer_flush(struct peer *p, int timeout_ms)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

	while (p->first != NULL && poll(&pfd, 1, timeout_ms) > 0)
		drain_queue(p);
}

void
peer_close(struct peer *p, uv_close_cb on_closed)
{
	while (p->first != NULL) {
		struct peer_packet *k = p->first;
		p->first = k->next;
		close_fds(k->fds, k->n_fds);
		free(k);
	}
	if (p->in_loop && !uv_is_closing((uv_handle_t *)&p->poll))
		uv_close((uv_handle_t *)&p->poll, on_closed);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->in_loop = false;
}
