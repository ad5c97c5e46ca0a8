/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/orphans.h"

#include "common/err.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

enum { MARK_ON_PURPOSE = 1, BUF = 32768 };

struct search {
	struct endpoint *e;
	size_t max, n;
	uint16_t port;
};

static int
on_attr(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == INET_DIAG_MARK &&
	    mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
		*(uint32_t *)arg = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

static struct ip_addr
address_of(uint8_t family, const void *p, uint16_t port_be)
{
	struct in_addr v4;
	struct in6_addr v6;

	memcpy(&v4, p, sizeof(v4));
	memcpy(&v6, p, sizeof(v6));
	return family == AF_INET ? ip_of4(v4, ntohs(port_be))
				 : ip_of6(v6, ntohs(port_be));
}

static int
on_socket(const struct nlmsghdr *h, void *arg)
{
	struct search *s = arg;
	const struct inet_diag_msg *d = mnl_nlmsg_get_payload(h);
	uint32_t mark = 0;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*d) || s->n == s->max ||
	    d->idiag_inode != 0 || ntohs(d->id.idiag_sport) != s->port)
		return MNL_CB_OK;
	mnl_attr_parse(h, sizeof(*d), on_attr, &mark);
	if (mark == MARK_ON_PURPOSE)
		return MNL_CB_OK;
	s->e[s->n++] = (struct endpoint){
		.client =
			address_of(d->idiag_family, d->id.idiag_dst, d->id.idiag_dport),
		.local =
			address_of(d->idiag_family, d->id.idiag_src, d->id.idiag_sport),
	};
	return MNL_CB_OK;
}

static int
ask(struct mnl_socket *nl, uint8_t family, struct search *s)
{
	char buf[BUF];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *q;
	ssize_t n;
	int more = MNL_CB_OK;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = family;
	q = mnl_nlmsg_put_extra_header(h, sizeof(*q));
	q->sdiag_family = family;
	q->sdiag_protocol = IPPROTO_TCP;
	q->idiag_states = 1u << TCP_FIN_WAIT1 | 1u << TCP_CLOSING | 1u << TCP_LAST_ACK;
	q->id.idiag_sport = htons(s->port);
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		if ((n = mnl_socket_recvfrom(nl, buf, sizeof(buf))) < 0)
			return -errno;
		more = mnl_cb_run(buf, (size_t)n, family, 0, on_socket, s);
	}
	return more < 0 ? -errno : 0;
}

int
orphans_find(uint16_t port, struct endpoint *e, size_t max, size_t *n)
{
	struct search s = { .e = e, .max = max, .port = port };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int rc = nl == NULL ? -errno : 0;

	if (rc == 0 && (rc = ask(nl, AF_INET, &s)) == 0)
		rc = ask(nl, AF_INET6, &s);
	if (nl != NULL)
		mnl_socket_close(nl);
	*n = s.n;
	return rc;
}
