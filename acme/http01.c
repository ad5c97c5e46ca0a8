/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/http01.h"

#include "common/err.h"
#include "common/http.h"
#include "common/ip.h"
#include "common/log.h"
#include "common/routing.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 80, ANSWER_ROOM = 2048 };

static const char prefix[] = "/.well-known/acme-challenge/";

struct visitor {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_write_t write;
	struct http01 *h;
	struct http_req *req;
	size_t n;
	uint64_t number; /* of its arrival */
	uint8_t n_closed;
	bool is_closing;
	uint8_t in[2048], out[ANSWER_ROOM];
};

struct listener {
	uv_tcp_t tcp;
	struct http01 *h;
	struct ip_addr addr;
	bool is_wanted; /* in the round that is being made */
};

struct http01 {
	struct acmed *a;
	http01_find find;
	void *arg;
	struct listener *listeners[HTTP01_LISTENERS];
	struct visitor *visitors[HTTP01_CLIENTS];
	uint64_t n_came;
};

bool
http01_token(struct span path, struct span *token)
{
	size_t n = sizeof(prefix) - 1;

	if (!span_has_prefix(path, prefix) || path.n == n)
		return false;
	*token = span_of(path.p + n, path.n - n);
	return true;
}

/* ---- one visitor ---- */

static void
on_visitor_closed(uv_handle_t *handle)
{
	struct visitor *v = handle->data;

	if (++v->n_closed < 2)
		return;
	http_req_free(v->req);
	free(v);
}

static void
visitor_close(struct visitor *v)
{
	if (v->is_closing)
		return;
	v->is_closing = true;
	for (size_t i = 0; i < HTTP01_CLIENTS; i++)
		if (v->h->visitors[i] == v)
			v->h->visitors[i] = NULL;
	uv_close((uv_handle_t *)&v->tcp, on_visitor_closed);
	uv_close((uv_handle_t *)&v->timer, on_visitor_closed);
}

static void
on_late(uv_timer_t *t)
{
	visitor_close(t->data);
}

static void
on_written(uv_write_t *w, int status)
{
	visitor_close(w->data);
}

static void
respond(struct visitor *v, int status, const char *body, bool is_head)
{
	struct wr w = wr_open(v->out, sizeof(v->out));

	http_res_begin(&w, status, false);
	http_res_end(&w, "application/octet-stream", span_str(body), is_head);
	uv_buf_t b = uv_buf_init((char *)v->out, (unsigned)w.n);
	uv_read_stop((uv_stream_t *)&v->tcp);
	v->write.data = v;
	if (wr_full(&w) ||
	    uv_write(&v->write, (uv_stream_t *)&v->tcp, &b, 1, on_written) < 0)
		visitor_close(v);
}

static void
answer(struct visitor *v)
{
	enum http_verb verb = http_req_verb(v->req);
	const char *body = NULL;
	struct span token;

	if ((verb == VERB_GET || verb == VERB_HEAD) &&
	    http01_token(http_req_path(v->req), &token))
		body = v->h->find(v->h->arg, token);
	log_limited(LOG_L_INFO, 0, "http-01: a request was answered %d",
		    body != NULL ? 200 : 404);
	respond(v, body != NULL ? 200 : 404, body != NULL ? body : "",
		verb == VERB_HEAD);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct visitor *v = handle->data;

	*out = uv_buf_init((char *)v->in, sizeof(v->in));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct visitor *v = s->data;

	if (n < 0) {
		visitor_close(v);
		return;
	}
	struct span in = span_of(v->in, (size_t)n);
	v->n += (size_t)n;
	int rc = n == 0 ? E_AGAIN : http_req_feed(v->req, &in);
	if (rc == 0)
		answer(v);
	else if (rc != E_AGAIN)
		respond(v, http_req_status(v->req), "", false);
	else if (v->n > HTTP01_BYTES)
		visitor_close(v);
}

/* A place for one more: who says nothing does not keep others out, the one that came
 * first makes room. */
static size_t
make_room(struct http01 *h)
{
	size_t oldest = 0;

	for (size_t i = 0; i < HTTP01_CLIENTS; i++) {
		if (h->visitors[i] == NULL)
			return i;
		if (h->visitors[i]->number < h->visitors[oldest]->number)
			oldest = i;
	}
	visitor_close(h->visitors[oldest]);
	return oldest;
}

static void
on_connection(uv_stream_t *s, int status)
{
	struct listener *l = s->data;
	struct http01 *h = l->h;
	struct visitor *v = status < 0 ? NULL : calloc(1, sizeof(*v));

	if (v == NULL)
		return;
	v->h = h;
	v->number = ++h->n_came;
	uv_tcp_init(s->loop, &v->tcp);
	uv_timer_init(s->loop, &v->timer);
	v->tcp.data = v->timer.data = v;
	if (uv_accept(s, (uv_stream_t *)&v->tcp) < 0 || http_req_new(&v->req) < 0) {
		visitor_close(v);
		return;
	}
	h->visitors[make_room(h)] = v;
	uv_timer_start(&v->timer, on_late, HTTP01_MS, 0);
	uv_read_start((uv_stream_t *)&v->tcp, on_alloc, on_read);
}

/* ---- where ---- */

static void
on_listener_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* FREEBIND: a virtual address may arrive while we listen. V6ONLY: each family has
 * sockets of its own. */
static int
open_socket(const struct ip_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(a, &ss);
	int on = 1,
	    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	if (a->family == 6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int
add_listener(struct http01 *h, const struct ip_addr *a)
{
	size_t free_slot = HTTP01_LISTENERS;
	char text[IP_TEXT];

	for (size_t i = 0; i < HTTP01_LISTENERS; i++) {
		struct listener *l = h->listeners[i];
		if (l == NULL) {
			free_slot = i;
		} else if (ip_same_host(&l->addr, a)) {
			l->is_wanted = true;
			return 0;
		}
	}
	if (free_slot == HTTP01_LISTENERS)
		return E_LIMIT;
	int fd = open_socket(a);
	if (fd < 0) {
		log_warn(0, "http-01: %s port %d: %s", ip_text(a, text), PORT,
			 err_text(fd));
		return fd;
	}
	struct listener *l = calloc(1, sizeof(*l));
	if (l == NULL) {
		close(fd);
		return E_NOMEM;
	}
	*l = (struct listener){ .h = h, .addr = *a, .is_wanted = true };
	uv_tcp_init(&h->a->loop, &l->tcp);
	l->tcp.data = l;
	int rc = uv_tcp_open(&l->tcp, fd);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&l->tcp, 64, on_connection);
	if (rc < 0) {
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
		return rc;
	}
	h->listeners[free_slot] = l;
	return 0;
}

static bool
is_uplink(const struct config *c, const char *ifname)
{
	char own[IF_NAMESIZE];

	for (unsigned i = 0; i < c->n_wan; i++) {
		if (!c->wan[i].service)
			continue;
		snprintf(own, sizeof(own), "%s", c->wan[i].ifname);
		/* Without one in its settings: that of the default route. */
		if (own[0] == '\0' && routing_default_ifname(own) < 0)
			continue;
		if (strcmp(own, ifname) == 0)
			return true;
	}
	return false;
}

static bool
same_network(const void *a, const void *b, const void *mask, size_t n)
{
	const uint8_t *x = a, *y = b, *m = mask;

	for (size_t i = 0; i < n; i++)
		if ((x[i] ^ y[i]) & m[i])
			return false;
	return true;
}

/* The virtual addresses in the network of this one. */
static int
add_virtual(struct http01 *h, const struct ifaddrs *i, const struct config *c)
{
	int rc = E_NOENT;

	if (i->ifa_netmask == NULL)
		return rc;
	if (i->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)i->ifa_addr;
		const struct sockaddr_in *m = (const void *)i->ifa_netmask;
		for (unsigned k = 0; k < c->n_virtual4; k++) {
			struct ip_addr v = ip_of4(c->virtual4[k], PORT);
			if (same_network(&a->sin_addr, &c->virtual4[k], &m->sin_addr,
					 4) &&
			    add_listener(h, &v) == 0)
				rc = 0;
		}
		return rc;
	}
	const struct sockaddr_in6 *a = (const void *)i->ifa_addr;
	const struct sockaddr_in6 *m = (const void *)i->ifa_netmask;
	for (unsigned k = 0; k < c->n_virtual6; k++) {
		struct ip_addr v = ip_of6(c->virtual6[k], PORT);
		if (same_network(&a->sin6_addr, &c->virtual6[k], &m->sin6_addr, 16) &&
		    add_listener(h, &v) == 0)
			rc = 0;
	}
	return rc;
}

static int
add_addresses(struct http01 *h)
{
	const struct config *c = h->a->config;
	struct ifaddrs *all;
	int first = 0, n = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr == NULL || !is_uplink(c, i->ifa_name))
			continue;
		struct ip_addr a = ip_of_sockaddr(i->ifa_addr);
		struct in6_addr v6 = ip_v6(&a);
		if (a.family == 0 || (a.family == 6 && IN6_IS_ADDR_LINKLOCAL(&v6)))
			continue;
		a.port = PORT;
		int rc = add_listener(h, &a);
		if (rc == 0)
			n++;
		else if (first == 0)
			first = rc;
		n += add_virtual(h, i, c) == 0;
	}
	freeifaddrs(all);
	return n > 0 ? 0 : first < 0 ? first : E_NOENT;
}

int
http01_listen(struct http01 *h, bool on)
{
	int rc = 0;

	for (size_t i = 0; i < HTTP01_LISTENERS; i++)
		if (h->listeners[i] != NULL)
			h->listeners[i]->is_wanted = false;
	if (on && h->a->config != NULL)
		rc = add_addresses(h);
	for (size_t i = 0; i < HTTP01_LISTENERS; i++)
		if (h->listeners[i] != NULL && !h->listeners[i]->is_wanted) {
			uv_close((uv_handle_t *)&h->listeners[i]->tcp,
				 on_listener_closed);
			h->listeners[i] = NULL;
		}
	return rc;
}

int
http01_new(struct http01 **out, struct acmed *a, http01_find find, void *arg)
{
	struct http01 *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return E_NOMEM;
	*h = (struct http01){ .a = a, .find = find, .arg = arg };
	*out = h;
	return 0;
}

void
http01_close(struct http01 *h)
{
	if (h == NULL)
		return;
	(void)http01_listen(h, false);
	for (size_t i = 0; i < HTTP01_CLIENTS; i++)
		if (h->visitors[i] != NULL)
			visitor_close(h->visitors[i]);
}

void
http01_free(struct http01 *h)
{
	free(h);
}
