/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/routing.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { BUF = 32768 };

struct shown {
	void (*on_route)(const struct nlmsghdr *route, void *arg);
	void *arg;
};

static int
on_message(const struct nlmsghdr *h, void *arg)
{
	const struct shown *s = arg;

	if (h->nlmsg_type == RTM_NEWROUTE &&
	    mnl_nlmsg_get_payload_len(h) >= sizeof(struct rtmsg))
		s->on_route(h, s->arg);
	return MNL_CB_OK;
}

static int
ask(struct mnl_socket *nl, int family)
{
	union {
		struct nlmsghdr align;
		char bytes[64];
	} out = { 0 };
	struct nlmsghdr *h = mnl_nlmsg_put_header(out.bytes);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	m->rtm_family = (unsigned char)family;
	return mnl_socket_sendto(nl, h, h->nlmsg_len) < 0 ? -errno : 0;
}

static int
take(struct mnl_socket *nl, struct shown *s)
{
	union {
		struct nlmsghdr align;
		char bytes[BUF];
	} in;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl, in.bytes, sizeof(in.bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		int rc = mnl_cb_run(in.bytes, (size_t)n, 1, mnl_socket_get_portid(nl),
				    on_message, s);
		if (rc < 0)
			return -errno;
		if (rc == MNL_CB_STOP)
			return 0;
	}
}

int
routing_dump(int family, void (*on_route)(const struct nlmsghdr *route, void *arg),
	     void *arg)
{
	struct shown s = { on_route, arg };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (nl == NULL)
		return -errno;
	int rc = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (rc == 0)
		rc = ask(nl, family);
	if (rc == 0)
		rc = take(nl, &s);
	mnl_socket_close(nl);
	return rc;
}

struct best {
	unsigned ifindex, metric;
};

static void
on_default(const struct nlmsghdr *h, void *arg)
{
	struct best *best = arg;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	unsigned oif = 0, metric = 0;

	if (m->rtm_dst_len != 0 || m->rtm_type != RTN_UNICAST ||
	    m->rtm_table != RT_TABLE_MAIN)
		return;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_OIF)
			oif = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_PRIORITY)
			metric = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_MULTIPATH) {
			const struct rtnexthop *hop = mnl_attr_get_payload(a);
			if (oif == 0)
				oif = (unsigned)hop->rtnh_ifindex;
		}
	}
	if (oif != 0 && (best->ifindex == 0 || metric < best->metric))
		*best = (struct best){ oif, metric };
}

int
routing_default_ifname(char ifname[IF_NAMESIZE])
{
	struct best best = { 0 };
	int rc = routing_dump(AF_INET, on_default, &best);

	if (rc == 0 && best.ifindex == 0)
		rc = routing_dump(AF_INET6, on_default, &best);
	if (rc < 0)
		return rc;
	if (best.ifindex == 0 || if_indextoname(best.ifindex, ifname) == NULL)
		return -ENOENT;
	return 0;
}
