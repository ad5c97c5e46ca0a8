/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/addr.h"

#include "common/err.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

int
addr_remove(const char *interface, const struct ip_addr *ip, unsigned prefix)
{
	char buf[1024];
	unsigned index = if_nametoindex(interface);

	if (index == 0)
		return -ENODEV;
	memset(buf, 0, sizeof(buf));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = RTM_DELADDR;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));
	a->ifa_family = ip->family == 4 ? AF_INET : AF_INET6;
	a->ifa_prefixlen = (uint8_t)prefix;
	a->ifa_index = index;
	mnl_attr_put(h, IFA_LOCAL, ip->family == 4 ? 4 : 16, ip->b);
	struct mnl_socket *s = mnl_socket_open(NETLINK_ROUTE);
	if (s == NULL)
		return -errno;
	int rc = 0;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		rc = -errno;
	ssize_t n = rc < 0 ? 0 : mnl_socket_recvfrom(s, buf, sizeof(buf));
	if (rc == 0 && (n < 0 || mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s),
					    NULL, NULL) < 0))
		rc = -errno;
	mnl_socket_close(s);
	return rc;
}
