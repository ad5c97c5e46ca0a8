/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/route.h"

#include "common/err.h"
#include "common/routing.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { BUF = 8192, METRIC_HOST = 0, METRIC_POOL = 4096 };

struct request {
	union {
		struct nlmsghdr align;
		char bytes[1024];
	};
	struct nlmsghdr *h;
};

int
router_open(struct router *r)
{
	r->seq = 0;
	r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (r->nl == NULL)
		return -errno;
	if (mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int rc = -errno;
		router_close(r);
		return rc;
	}
	return 0;
}

void
router_close(struct router *r)
{
	if (r->nl != NULL)
		mnl_socket_close(r->nl);
	r->nl = NULL;
}

/* Send one request, show its answers to cb (may be NULL), take the kernel's verdict. */
static int
talk_to(struct router *r, struct request *q, mnl_cb_t cb, void *arg)
{
	union {
		struct nlmsghdr align;
		char bytes[BUF];
	} in;
	unsigned port = mnl_socket_get_portid(r->nl);

	q->h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	q->h->nlmsg_seq = ++r->seq;
	if (mnl_socket_sendto(r->nl, q->h, q->h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(r->nl, in.bytes, sizeof(in.bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		int rc = mnl_cb_run(in.bytes, (size_t)n, r->seq, port, cb, arg);
		if (rc < 0)
			return -errno;
		if (rc == MNL_CB_STOP)
			return 0;
	}
}

static int
talk(struct router *r, struct request *q)
{
	return talk_to(r, q, NULL, NULL);
}

static struct rtmsg *
request_route(struct request *q, uint16_t type, int family, uint8_t len)
{
	memset(q->bytes, 0, sizeof(q->bytes));
	q->h = mnl_nlmsg_put_header(q->bytes);
	q->h->nlmsg_type = type;
	struct rtmsg *m = mnl_nlmsg_put_extra_header(q->h, sizeof(*m));
	m->rtm_family = (uint8_t)family;
	m->rtm_dst_len = len;
	m->rtm_protocol = ROUTE_PROTO;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_type = RTN_UNICAST;
	m->rtm_scope = RT_SCOPE_LINK;
	return m;
}

static void
put_host(struct request *q, const struct ip_addr *a, uint16_t attr)
{
	mnl_attr_put(q->h, attr, a->family == 4 ? 4 : 16, a->b);
}

int
route_set(struct router *r, const struct ip_addr *dst, unsigned ifindex,
	  unsigned mtu_bytes)
{
	struct request q;

	request_route(&q, RTM_NEWROUTE, dst->family == 4 ? AF_INET : AF_INET6,
		      dst->family == 4 ? 32 : 128);
	q.h->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	put_host(&q, dst, RTA_DST);
	mnl_attr_put_u32(q.h, RTA_OIF, ifindex);
	if (mtu_bytes > 0) {
		struct nlattr *metrics = mnl_attr_nest_start(q.h, RTA_METRICS);
		mnl_attr_put_u32(q.h, RTAX_MTU, mtu_bytes);
		mnl_attr_nest_end(q.h, metrics);
	}
	return talk(r, &q);
}

int
route_del(struct router *r, const struct ip_addr *dst)
{
	struct request q;
	struct rtmsg *m =
		request_route(&q, RTM_DELROUTE, dst->family == 4 ? AF_INET : AF_INET6,
			      dst->family == 4 ? 32 : 128);

	m->rtm_scope = RT_SCOPE_NOWHERE; /* any */
	put_host(&q, dst, RTA_DST);
	int rc = talk(r, &q);
	return rc == -ESRCH ? 0 : rc;
}

static int
on_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type == RTM_NEWROUTE && mnl_nlmsg_get_payload_len(h) >= sizeof(*m))
		*(bool *)arg = m->rtm_type == RTN_LOCAL;
	return MNL_CB_OK;
}

bool
route_is_local(struct router *r, const struct ip_addr *a)
{
	struct request q;
	bool is_local = false;

	request_route(&q, RTM_GETROUTE, a->family == 4 ? AF_INET : AF_INET6,
		      a->family == 4 ? 32 : 128);
	put_host(&q, a, RTA_DST);
	return talk_to(r, &q, on_route, &is_local) == 0 && is_local;
}

static int
pool_route(struct router *r, int family, uint8_t len, const void *addr, size_t n)
{
	struct request q;
	struct rtmsg *m = request_route(&q, RTM_NEWROUTE, family, len);

	m->rtm_type = RTN_UNREACHABLE;
	m->rtm_scope = RT_SCOPE_UNIVERSE;
	q.h->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	mnl_attr_put(q.h, RTA_DST, n, addr);
	mnl_attr_put_u32(q.h, RTA_PRIORITY, METRIC_POOL);
	return talk(r, &q);
}

int
route_pools(struct router *r, const struct config *c)
{
	int rc = pool_route(r, AF_INET, c->pool4.len, &c->pool4.addr, 4);

	if (rc == 0 && c->pool6.len > 0)
		rc = pool_route(r, AF_INET6, c->pool6.len, &c->pool6.addr, 16);
	return rc;
}

int
route_address(struct router *r, const struct ip_addr *a, unsigned ifindex)
{
	struct request q;

	memset(q.bytes, 0, sizeof(q.bytes));
	q.h = mnl_nlmsg_put_header(q.bytes);
	q.h->nlmsg_type = RTM_NEWADDR;
	q.h->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(q.h, sizeof(*m));
	m->ifa_family = a->family == 4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = a->family == 4 ? 32 : 128;
	m->ifa_flags = a->family == 4 ? 0 : IFA_F_NODAD;
	m->ifa_index = ifindex;
	put_host(&q, a, IFA_LOCAL);
	put_host(&q, a, IFA_ADDRESS);
	return talk(r, &q);
}

struct flush {
	struct router *r;
	int rc;
};

/* Delete a dumped route by sending it back. */
static void
flush_one(const struct nlmsghdr *h, void *arg)
{
	struct flush *f = arg;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	struct request q;

	if (m->rtm_protocol != ROUTE_PROTO || (m->rtm_flags & RTM_F_CLONED))
		return;
	struct rtmsg *d =
		request_route(&q, RTM_DELROUTE, m->rtm_family, m->rtm_dst_len);
	d->rtm_type = m->rtm_type;
	d->rtm_scope = m->rtm_scope;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		uint16_t t = mnl_attr_get_type(a);
		if (t == RTA_DST || t == RTA_OIF || t == RTA_PRIORITY)
			mnl_attr_put(q.h, t, mnl_attr_get_payload_len(a),
				     mnl_attr_get_payload(a));
	}
	int rc = talk(f->r, &q);
	if (rc < 0 && rc != -ESRCH)
		f->rc = rc;
}

int
route_flush(struct router *r)
{
	struct flush f = { .r = r };
	int rc = routing_dump(AF_INET, flush_one, &f);
	int rc6 = routing_dump(AF_INET6, flush_one, &f);

	if (rc == 0)
		rc = rc6;
	return rc == 0 ? f.rc : rc;
}

/* ---- what is ours */

static bool
in_prefix(const uint8_t *a, const uint8_t *prefix, unsigned len)
{
	unsigned whole = len / 8, rest = len % 8;

	if (memcmp(a, prefix, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ prefix[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

struct ip_addr
pool4_gateway(const struct config *c)
{
	return ip_of4((struct in_addr){ htonl(ntohl(c->pool4.addr.s_addr) + 1) }, 0);
}

struct ip_addr
pool6_gateway(const struct config *c)
{
	struct in6_addr a = c->pool6.addr;

	a.s6_addr[15] |= 1;
	return ip_of6(a, 0);
}

bool
route_permitted(const struct config *c, const struct ip_addr *dst)
{
	struct ip_addr gateway;

	if (dst->family == 4) {
		gateway = pool4_gateway(c);
		return in_prefix(dst->b, (const uint8_t *)&c->pool4.addr,
				 c->pool4.len) &&
		       !ip_same_host(dst, &gateway);
	}
	if (dst->family == 6 && c->pool6.len > 0) {
		gateway = pool6_gateway(c);
		return in_prefix(dst->b, c->pool6.addr.s6_addr, c->pool6.len) &&
		       !ip_same_host(dst, &gateway);
	}
	return false;
}
