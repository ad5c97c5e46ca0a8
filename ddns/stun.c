/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/stun.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"
#include "ddns/egress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* RFC 8489 5, 14.2, 18. */
enum {
	BINDING_REQUEST = 0x0001,
	BINDING_SUCCESS = 0x0101,
	BINDING_ERROR = 0x0111,
	COOKIE = 0x2112a442,
	XOR_MAPPED_ADDRESS = 0x0020,
};

void
stun_request(uint8_t out[STUN_REQUEST], const uint8_t id[STUN_ID])
{
	struct wr w = wr_open(out, STUN_REQUEST);

	wr_u16(&w, BINDING_REQUEST);
	wr_u16(&w, 0); /* no attributes */
	wr_u32(&w, COOKIE);
	wr_bytes(&w, id, STUN_ID);
}

/* RFC 8489 14.2: the address is masked by the cookie and, beyond, by the id. */
static int
take_address(struct span value, const uint8_t id[STUN_ID], struct ip_addr *out)
{
	struct rd r = rd_open(value);
	struct ip_addr a = { 0 };
	uint8_t mask[4 + STUN_ID];
	struct wr m = wr_open(mask, sizeof(mask));

	(void)rd_u8(&r);
	uint8_t family = rd_u8(&r);
	(void)rd_u16(&r); /* the port does not matter here */
	struct span masked = rd_rest(&r);
	if (rd_short(&r) ||
	    !((family == 1 && masked.n == 4) || (family == 2 && masked.n == 16)))
		return E_PROTO;
	wr_u32(&m, COOKIE);
	wr_bytes(&m, id, STUN_ID);
	for (size_t i = 0; i < masked.n; i++)
		a.b[i] = masked.p[i] ^ mask[i];
	a.family = family == 1 ? 4 : 6;
	*out = a;
	return 0;
}

int
stun_parse(struct span datagram, const uint8_t id[STUN_ID], struct ip_addr *mapped)
{
	struct rd r = rd_open(datagram);
	uint16_t type = rd_u16(&r), length = rd_u16(&r);
	uint32_t cookie = rd_u32(&r);
	struct span echo = rd_take(&r, STUN_ID);
	struct ip_addr found = { 0 };

	if (rd_short(&r) || cookie != COOKIE || !span_eq(echo, span_of(id, STUN_ID)) ||
	    (type != BINDING_SUCCESS && type != BINDING_ERROR))
		return E_AGAIN;
	if (type == BINDING_ERROR || length != rd_left(&r) || length % 4 != 0)
		return E_PROTO;
	while (rd_left(&r) > 0) {
		uint16_t kind = rd_u16(&r), n = rd_u16(&r);
		struct span value = rd_take(&r, n);
		(void)rd_take(&r, (4 - n % 4) % 4);
		if (rd_short(&r))
			return E_PROTO;
		/* The first counts. Below 0x8000 an attribute that is not
		 * understood makes the answer useless; the old ones are known. */
		if (kind == XOR_MAPPED_ADDRESS && found.family == 0) {
			if (take_address(value, id, &found) < 0)
				return E_PROTO;
		} else if (kind > XOR_MAPPED_ADDRESS && kind < 0x8000) {
			return E_PROTO;
		}
	}
	if (found.family == 0)
		return E_PROTO;
	*mapped = found;
	return 0;
}

/* ---- asking */

struct stun {
	uv_udp_t udp;
	uv_timer_t timer;
	unsigned open; /* handles to be closed before the memory goes */
	unsigned tries;
	struct ip_addr server;
	uint8_t id[STUN_ID];
	uint8_t request[STUN_REQUEST];
	uint8_t buf[STUN_ANSWER_MAX + 1];
	stun_done done;
	void *arg;
};

static void
on_closed(uv_handle_t *h)
{
	struct stun *s = h->data;

	if (--s->open == 0)
		free(s);
}

static void
stop(struct stun *s)
{
	s->done = NULL;
	if (!uv_is_closing((uv_handle_t *)&s->timer))
		uv_close((uv_handle_t *)&s->timer, on_closed);
	if (!uv_is_closing((uv_handle_t *)&s->udp))
		uv_close((uv_handle_t *)&s->udp, on_closed);
}

static void
finish(struct stun *s, int rc, const struct ip_addr *mapped)
{
	stun_done done = s->done;
	void *arg = s->arg;

	stop(s);
	if (done != NULL)
		done(arg, rc, mapped);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct stun *s = h->data;

	*buf = uv_buf_init((char *)s->buf, sizeof(s->buf));
}

static void
on_datagram(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
	    unsigned flags)
{
	struct stun *s = h->data;
	struct ip_addr source, mapped;

	/* Refused may mean a server that starts: the next try will tell. */
	if (n < 0 && s->tries < STUN_TRIES)
		return;
	if (n < 0) {
		finish(s, (int)n, NULL);
		return;
	}
	if (n == 0 || from == NULL || s->done == NULL)
		return;
	/* The socket is connected, so the kernel has looked already. */
	source = ip_of_sockaddr(from);
	if (!ip_eq(&source, &s->server))
		return;
	int rc = (size_t)n > STUN_ANSWER_MAX
			 ? E_AGAIN
			 : stun_parse(span_of(buf->base, (size_t)n), s->id, &mapped);
	if (rc == E_AGAIN)
		return;
	if (rc == 0 && mapped.family != s->server.family)
		rc = E_PROTO;
	finish(s, rc, rc == 0 ? &mapped : NULL);
}

static void
on_timer(uv_timer_t *t)
{
	struct stun *s = t->data;
	uv_buf_t b = uv_buf_init((char *)s->request, sizeof(s->request));

	if (s->tries == STUN_TRIES) {
		finish(s, -ETIMEDOUT, NULL);
		return;
	}
	/* A failed send is a lost datagram; what it says comes by the next one. */
	(void)uv_udp_try_send(&s->udp, &b, 1, NULL);
	uv_timer_start(t, on_timer, (uint64_t)STUN_FIRST_MS << s->tries++, 0);
}

int
stun_ask(struct stun **out, uv_loop_t *loop, const char *ifname,
	 const struct ip_addr *local, const struct ip_addr *server, stun_done done,
	 void *arg)
{
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(server, &ss);
	struct stun *s = calloc(1, sizeof(*s));
	int fd, rc;

	if (s == NULL)
		return E_NOMEM;
	s->server = *server;
	s->done = done;
	s->arg = arg;
	if (getrandom(s->id, sizeof(s->id), 0) != sizeof(s->id)) {
		free(s);
		return -EIO;
	}
	stun_request(s->request, s->id);
	fd = uplink_socket(SOCK_DGRAM, ifname, local, server->family);
	if (fd < 0) {
		free(s);
		return fd;
	}
	if (connect(fd, (const struct sockaddr *)&ss, n) < 0) {
		rc = -errno;
		close(fd);
		free(s);
		return rc;
	}
	s->udp.data = s->timer.data = s;
	uv_udp_init(loop, &s->udp);
	uv_timer_init(loop, &s->timer);
	s->open = 2;
	rc = uv_udp_open(&s->udp, fd);
	if (rc < 0)
		close(fd);
	else
		rc = uv_udp_recv_start(&s->udp, on_alloc, on_datagram);
	if (rc < 0) {
		stop(s);
		return rc;
	}
	uv_timer_start(&s->timer, on_timer, 0, 0);
	*out = s;
	return 0;
}

void
stun_cancel(struct stun *s)
{
	if (s != NULL)
		stop(s);
}
