/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/exchange.h"

#include "common/err.h"
#include "common/log.h"
#include "common/rd.h"
#include "common/wr.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ADDRESSES = 4,
	UDP_TRIES = 3,
	TCP_MS = 3000, /* connecting, writing and reading together */
	LENGTH = 2,    /* in front of a message on TCP, RFC 1035 4.2.2 */
};

static const unsigned udp_ms[UDP_TRIES] = { 500, 1000, 1500 };

/* Lives on its own: the resolver's thread cannot be called back. */
struct lookup {
	uv_getaddrinfo_t req;
	struct exchange *x; /* NULL: nobody waits any more */
};

struct tcp {
	uv_tcp_t handle;
	uv_connect_t connect;
	uv_write_t write;
	bool is_open;
};

struct exchange {
	struct exchange_ask ask;
	struct message message;
	struct message_key key;
	char key_name[MESSAGE_NAME], secret[EXCHANGE_SECRET], server[MESSAGE_NAME];
	struct lookup *lookup;
	struct ip_addr addr[ADDRESSES];
	unsigned n_addr, at, tries; /* which address; datagrams sent to it */
	uv_timer_t timer;
	uv_udp_t udp[2]; /* IPv4, IPv6 */
	bool has_udp[2];
	struct tcp tcp[ADDRESSES];
	unsigned handles; /* not closed yet */
	bool is_over, by_tcp, saw_forged;
	int rc; /* of the last failure */
	struct answer answer;
	uint8_t udp_in[MESSAGE_REPLY_MAX + 1];
	uint8_t tcp_in[LENGTH + MESSAGE_REPLY_MAX], tcp_out[LENGTH + MESSAGE_MAX];
	size_t tcp_n;
};

static void try_now(struct exchange *x);

/* ---- the end ---- */

static void
on_closed(uv_handle_t *h)
{
	struct exchange *x = h->data;

	if (--x->handles > 0)
		return;
	OPENSSL_cleanse(x->secret, sizeof(x->secret));
	free(x);
}

static void
shut(struct exchange *x, uv_handle_t *h)
{
	h->data = x;
	uv_close(h, on_closed);
}

void
exchange_cancel(struct exchange *x)
{
	if (x == NULL || x->is_over)
		return;
	x->is_over = true;
	if (x->lookup != NULL) {
		x->lookup->x = NULL;
		(void)uv_cancel((uv_req_t *)&x->lookup->req);
	}
	for (int i = 0; i < 2; i++)
		if (x->has_udp[i])
			shut(x, (uv_handle_t *)&x->udp[i]);
	for (int i = 0; i < ADDRESSES; i++)
		if (x->tcp[i].is_open)
			shut(x, (uv_handle_t *)&x->tcp[i].handle);
	shut(x, (uv_handle_t *)&x->timer);
}

static void
finish(struct exchange *x, int rc)
{
	struct exchange_ask ask = x->ask;

	if (x->is_over)
		return;
	exchange_cancel(x); /* x lives until the loop has closed its handles */
	ask.done(ask.arg, rc, rc == 0 ? &x->answer : NULL);
}

static uint64_t
wall_s(void)
{
	return (uint64_t)time(NULL);
}

static bool
may_send(struct exchange *x)
{
	if (x->ask.may_send != NULL && !x->ask.may_send(x->ask.arg)) {
		finish(x, E_STALE);
		return false;
	}
	x->ask.counts->sent++;
	return true;
}

/* ---- answers ---- */

/* E_AGAIN: not this one. */
static int
take(struct exchange *x, struct span reply, bool *is_truncated)
{
	const struct message_key *key = x->ask.key != NULL ? &x->key : NULL;
	int rc = message_is_answer(&x->message, reply, is_truncated);

	if (rc < 0 || *is_truncated)
		return rc;
	rc = message_read(&x->message, key, reply, wall_s(), &x->answer);
	if (rc == 0 && x->answer.kind == ANSWER_FORGED) {
		x->saw_forged = true;
		return E_AGAIN;
	}
	return rc;
}

static void
ignore(struct exchange *x, const char *why)
{
	x->ask.counts->ignored++;
	log_limited(LOG_L_WARN, 0, "dns %s: answer ignored: %s", x->server, why);
}

/* ---- TCP ---- */

static void
next_address(struct exchange *x, int rc)
{
	/* An answer with a wrong signature says more than silence. */
	x->rc = x->saw_forged ? E_AUTH : rc;
	x->at++;
	x->tries = 0;
	x->by_tcp = false;
	x->tcp_n = 0;
	try_now(x);
}

static void
tcp_failed(struct exchange *x, int rc)
{
	struct tcp *t = &x->tcp[x->at];

	uv_timer_stop(&x->timer);
	t->is_open = false;
	shut(x, (uv_handle_t *)&t->handle);
	next_address(x, rc);
}

static void
on_tcp_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct exchange *x = h->data;

	*out = uv_buf_init((char *)x->tcp_in + x->tcp_n,
			   (unsigned)(sizeof(x->tcp_in) - x->tcp_n));
}

static void
on_tcp_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct exchange *x = s->data;
	bool is_truncated = false;

	if (n == 0 || x->is_over || s != (uv_stream_t *)&x->tcp[x->at].handle)
		return;
	if (n < 0) {
		tcp_failed(x, n == UV_EOF ? E_CLOSED : (int)n);
		return;
	}
	x->tcp_n += (size_t)n;
	struct rd r = rd_open(span_of(x->tcp_in, x->tcp_n));
	size_t size = rd_u16(&r);
	if (!rd_short(&r) && size > MESSAGE_REPLY_MAX) {
		tcp_failed(x, E_LIMIT);
		return;
	}
	struct span reply = rd_take(&r, size);
	if (rd_short(&r))
		return;
	int rc = take(x, reply, &is_truncated);
	if (rc == 0 && !is_truncated) {
		finish(x, 0);
		return;
	}
	if (rc == E_AGAIN)
		ignore(x, x->saw_forged ? "its signature is missing or wrong"
					: "not to our question");
	tcp_failed(x, x->saw_forged ? E_AUTH : E_PROTO);
}

static void
on_tcp_written(uv_write_t *w, int status)
{
	struct exchange *x = w->handle->data;

	if (status < 0 && status != UV_ECANCELED && !x->is_over &&
	    w == &x->tcp[x->at].write)
		tcp_failed(x, status);
}

static void
on_tcp_connected(uv_connect_t *req, int status)
{
	struct exchange *x = req->handle->data;

	if (status == UV_ECANCELED || x->is_over || req != &x->tcp[x->at].connect)
		return;
	if (status < 0) {
		tcp_failed(x, status);
		return;
	}
	if (!may_send(x))
		return;
	struct tcp *t = &x->tcp[x->at];
	struct wr w = wr_open(x->tcp_out, sizeof(x->tcp_out));
	wr_u16(&w, (uint16_t)x->message.n);
	wr_bytes(&w, x->message.wire, x->message.n);
	uv_buf_t b = uv_buf_init((char *)x->tcp_out, (unsigned)w.n);
	int rc = uv_read_start((uv_stream_t *)&t->handle, on_tcp_room, on_tcp_read);
	if (rc == 0)
		rc = uv_write(&t->write, (uv_stream_t *)&t->handle, &b, 1,
			      on_tcp_written);
	if (rc < 0)
		tcp_failed(x, rc);
}

static void
on_tcp_late(uv_timer_t *timer)
{
	tcp_failed(timer->data, -ETIMEDOUT);
}

/* A socket that leaves by an uplink that lives; -1: any will do. */
static int
way_out(const struct exchange *x, int type, uint8_t family)
{
	const struct egress *e = x->ask.counts->egress;

	if (e == NULL || e->ifname[0] == '\0')
		return -1;
	int fd = uplink_socket(type, e->ifname, &e->local[family == 6], family);
	if (fd < 0)
		log_debug(0, "dns %s by %s: %s", x->server, e->ifname, err_text(fd));
	return fd < 0 ? -1 : fd;
}

static void
start_tcp(struct exchange *x)
{
	struct tcp *t = &x->tcp[x->at];
	struct sockaddr_storage ss;

	x->by_tcp = true;
	x->ask.counts->by_tcp++;
	(void)ip_to_sockaddr(&x->addr[x->at], &ss);
	if (uv_tcp_init(x->timer.loop, &t->handle) < 0) {
		next_address(x, E_NOMEM);
		return;
	}
	t->handle.data = x;
	t->is_open = true;
	x->handles++;
	uv_timer_start(&x->timer, on_tcp_late, TCP_MS, 0);
	int fd = way_out(x, SOCK_STREAM, x->addr[x->at].family);
	if (fd >= 0 && uv_tcp_open(&t->handle, fd) < 0)
		close(fd);
	int rc = uv_tcp_connect(&t->connect, &t->handle, (struct sockaddr *)&ss,
				on_tcp_connected);
	if (rc < 0)
		tcp_failed(x, rc);
}

/* ---- UDP ---- */

static void
on_udp_late(uv_timer_t *timer)
{
	struct exchange *x = timer->data;

	if (x->tries < UDP_TRIES)
		try_now(x);
	else
		start_tcp(x);
}

static void
on_udp_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct exchange *x = h->data;

	*out = uv_buf_init((char *)x->udp_in, sizeof(x->udp_in));
}

static void
on_udp_read(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
	    unsigned flags)
{
	struct exchange *x = u->data;
	bool is_truncated = false;

	if (n <= 0 || from == NULL || x->is_over)
		return;
	struct ip_addr source = ip_of_sockaddr(from);
	if (x->at >= x->n_addr || !ip_eq(&source, &x->addr[x->at])) {
		ignore(x, "from another address than it was asked");
		return;
	}
	if (x->by_tcp)
		return; /* late; the other way is being tried */
	bool forged_before = x->saw_forged;
	int rc = (flags & UV_UDP_PARTIAL) || n > MESSAGE_REPLY_MAX
			 ? E_AGAIN
			 : take(x, span_of(buf->base, (size_t)n), &is_truncated);
	if (rc == E_AGAIN || rc == E_PROTO)
		ignore(x, x->saw_forged && !forged_before
				  ? "its signature is missing or wrong"
			  : rc == E_PROTO ? "not a DNS message"
					  : "not to our question");
	else if (is_truncated)
		start_tcp(x);
	else
		finish(x, rc);
}

static int
open_udp(struct exchange *x, int i)
{
	int rc = x->has_udp[i] ? 0 : uv_udp_init(x->timer.loop, &x->udp[i]);

	if (rc < 0 || x->has_udp[i])
		return rc;
	x->has_udp[i] = true;
	x->handles++;
	x->udp[i].data = x;
	/* The kernel chooses the port, another one for each exchange. */
	struct ip_addr any = { .family = i == 0 ? 4 : 6 };
	struct sockaddr_storage ss;
	(void)ip_to_sockaddr(&any, &ss);
	int fd = way_out(x, SOCK_DGRAM, any.family);
	if (fd < 0)
		rc = uv_udp_bind(&x->udp[i], (struct sockaddr *)&ss, 0);
	else if ((rc = uv_udp_open(&x->udp[i], fd)) < 0)
		close(fd);
	return rc < 0 ? rc : uv_udp_recv_start(&x->udp[i], on_udp_room, on_udp_read);
}

static void
try_now(struct exchange *x)
{
	struct sockaddr_storage ss;

	if (x->at == x->n_addr) {
		finish(x, x->rc);
		return;
	}
	const struct ip_addr *to = &x->addr[x->at];
	int i = to->family == 4 ? 0 : 1, rc = open_udp(x, i);
	uv_buf_t b = uv_buf_init((char *)x->message.wire, (unsigned)x->message.n);
	(void)ip_to_sockaddr(to, &ss);
	if (!may_send(x))
		return;
	/* A datagram that cannot be sent now is one that was lost. */
	if (rc == 0)
		rc = uv_udp_try_send(&x->udp[i], &b, 1, (struct sockaddr *)&ss);
	if (rc < 0)
		log_debug(0, "dns %s: %s", x->server, err_text(rc));
	uv_timer_start(&x->timer, on_udp_late, udp_ms[x->tries++], 0);
}

/* ---- the start ---- */

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct lookup *l = req->data;
	struct exchange *x = l->x;

	if (x != NULL) {
		x->lookup = NULL;
		for (struct addrinfo *i = list; i != NULL && x->n_addr < ADDRESSES;
		     i = i->ai_next) {
			x->addr[x->n_addr] = ip_of_sockaddr(i->ai_addr);
			x->addr[x->n_addr].port = x->ask.port;
			x->n_addr += x->addr[x->n_addr].family != 0;
		}
		if (x->n_addr == 0)
			finish(x, E_NOENT);
		else
			try_now(x);
	}
	uv_freeaddrinfo(list);
	free(l);
}

static void
on_begin(uv_timer_t *timer)
{
	try_now(timer->data);
}

static int
resolve(struct exchange *x, uv_loop_t *loop)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };

	if (ip_parse(x->server, &x->addr[0]) == 0) {
		x->addr[0].port = x->ask.port;
		x->n_addr = 1;
		return uv_timer_start(&x->timer, on_begin, 0, 0);
	}
	struct lookup *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return E_NOMEM;
	l->x = x;
	l->req.data = l;
	int rc = uv_getaddrinfo(loop, &l->req, on_resolved, x->server, NULL, &hints);
	if (rc < 0)
		free(l);
	else
		x->lookup = l;
	return rc;
}

int
exchange_start(struct exchange **out, uv_loop_t *loop, const struct exchange_ask *ask)
{
	struct exchange *x = calloc(1, sizeof(*x));

	*out = NULL;
	if (x == NULL)
		return E_NOMEM;
	x->ask = *ask;
	x->message = *ask->message;
	snprintf(x->server, sizeof(x->server), "%s", ask->server);
	if (ask->key != NULL) {
		snprintf(x->key_name, sizeof(x->key_name), "%s", ask->key->name);
		snprintf(x->secret, sizeof(x->secret), "%s", ask->key->secret);
		x->key = (struct message_key){ x->key_name, ask->key->is_sha512,
					       x->secret };
	}
	uv_timer_init(loop, &x->timer);
	x->timer.data = x;
	x->handles = 1;
	x->rc = -ETIMEDOUT;
	int rc = resolve(x, loop);
	if (rc < 0) {
		exchange_cancel(x);
		return rc;
	}
	*out = x;
	return 0;
}
