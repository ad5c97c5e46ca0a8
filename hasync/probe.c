/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/probe.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct probe {
	const struct conf_link *l;
	uv_loop_t *loop;
	unsigned ifindex;
	int arp, icmp;
	uv_poll_t *arp_poll, *icmp_poll;
	unsigned unanswered; /* probes in a row */
	uint16_t seq;
};

static void
on_arp(uv_poll_t *poll, int status, int events)
{
	struct probe *p = poll->data;
	uint8_t buf[128];
	ssize_t n;

	while ((n = recv(p->arp, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		struct rd r = rd_open(span_of(buf, (size_t)n));
		(void)rd_u64(&r); /* hardware, protocol, sizes, operation */
		(void)rd_take(&r, 6);
		struct span from = rd_take(&r, 4);
		for (size_t i = 0;
		     !rd_short(&r) && buf[7] == ARPOP_REPLY && i < p->l->n_gateways;
		     i++)
			if (p->l->gateways[i].family == 4 &&
			    memcmp(p->l->gateways[i].b, from.p, 4) == 0)
				p->unanswered = 0;
	}
}

static void
on_icmp(uv_poll_t *poll, int status, int events)
{
	struct probe *p = poll->data;
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	uint8_t buf[128];

	while (recvfrom(p->icmp, buf, sizeof(buf), MSG_DONTWAIT,
			(struct sockaddr *)&from, &len) > 0) {
		for (size_t i = 0; i < p->l->n_gateways; i++)
			if (p->l->gateways[i].family == 6 &&
			    memcmp(p->l->gateways[i].b, &from.sin6_addr, 16) == 0)
				p->unanswered = 0;
		len = sizeof(from);
	}
}

static uv_poll_t *
watch(struct probe *p, int fd, uv_poll_cb cb)
{
	uv_poll_t *poll = fd < 0 ? NULL : calloc(1, sizeof(*poll));

	if (poll == NULL || uv_poll_init(p->loop, poll, fd) < 0) {
		free(poll);
		return NULL;
	}
	poll->data = p;
	uv_poll_start(poll, UV_READABLE, cb);
	return poll;
}

static int
open_arp(const struct probe *p)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = (int)p->ifindex };
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int
open_icmp(const struct probe *p)
{
	struct icmp6_filter f;
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			IPPROTO_ICMPV6);

	ICMP6_FILTER_SETBLOCKALL(&f);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f);
	if (fd >= 0 &&
	    (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof(f)) < 0 ||
	     setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, p->l->interface,
			(socklen_t)strlen(p->l->interface)) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void
close_sockets(struct probe *p)
{
	if (p->arp_poll != NULL)
		uv_close((uv_handle_t *)p->arp_poll, on_poll_closed);
	if (p->icmp_poll != NULL)
		uv_close((uv_handle_t *)p->icmp_poll, on_poll_closed);
	p->arp_poll = p->icmp_poll = NULL;
	if (p->arp >= 0)
		close(p->arp);
	if (p->icmp >= 0)
		close(p->icmp);
	p->arp = p->icmp = -1;
}

/* An interface may come, go and come back under another number. */
static void
follow_interface(struct probe *p)
{
	unsigned index = if_nametoindex(p->l->interface);

	if (index == p->ifindex)
		return;
	close_sockets(p);
	p->ifindex = index;
	if (index == 0)
		return;
	p->arp = open_arp(p);
	p->icmp = open_icmp(p);
	p->arp_poll = watch(p, p->arp, on_arp);
	p->icmp_poll = watch(p, p->icmp, on_icmp);
}

static bool
ask_interface(const struct probe *p, unsigned long what, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*ifr = (struct ifreq){ 0 };
	memcpy(ifr->ifr_name, p->l->interface, sizeof(p->l->interface));
	bool ok = fd >= 0 && ioctl(fd, what, ifr) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

bool
probe_has_carrier(const struct probe *p)
{
	struct ifreq ifr;

	return ask_interface(p, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_RUNNING;
}

static void
send_arp(struct probe *p, const struct ip_addr *to)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = (int)p->ifindex,
				  .sll_halen = 6,
				  .sll_addr = { 255, 255, 255, 255, 255, 255 } };
	uint8_t buf[28];
	struct wr w = wr_open(buf, sizeof(buf));
	struct ifreq hw, ip;

	if (!ask_interface(p, SIOCGIFHWADDR, &hw))
		return;
	bool has_ip = ask_interface(p, SIOCGIFADDR, &ip);
	wr_u16(&w, ARPHRD_ETHER);
	wr_u16(&w, ETHERTYPE_IP);
	wr_u8(&w, 6);
	wr_u8(&w, 4);
	wr_u16(&w, ARPOP_REQUEST);
	wr_bytes(&w, hw.ifr_hwaddr.sa_data, 6);
	if (has_ip)
		wr_bytes(&w, &((struct sockaddr_in *)&ip.ifr_addr)->sin_addr, 4);
	else
		wr_u32(&w, 0);
	wr_uint(&w, 0, 6);
	wr_bytes(&w, to->b, 4);
	/* Lost is what silence means; an error is silence too. */
	(void)!sendto(p->arp, buf, w.n, MSG_DONTWAIT, (struct sockaddr *)&sa,
		      sizeof(sa));
}

static void
send_echo(struct probe *p, const struct ip_addr *to)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	struct icmp6_hdr h = { .icmp6_type = ICMP6_ECHO_REQUEST };

	memcpy(&sa.sin6_addr, to->b, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&sa.sin6_addr))
		sa.sin6_scope_id = p->ifindex;
	h.icmp6_id = htons((uint16_t)getpid());
	h.icmp6_seq = htons(++p->seq);
	(void)!sendto(p->icmp, &h, sizeof(h), MSG_DONTWAIT, (struct sockaddr *)&sa,
		      sizeof(sa));
}

void
probe_send(struct probe *p)
{
	follow_interface(p);
	if (p->unanswered < PROBE_LOST)
		p->unanswered++;
	for (size_t i = 0; i < p->l->n_gateways; i++)
		if (p->l->gateways[i].family == 4 && p->arp >= 0)
			send_arp(p, &p->l->gateways[i]);
		else if (p->l->gateways[i].family == 6 && p->icmp >= 0)
			send_echo(p, &p->l->gateways[i]);
}

bool
probe_is_ok(const struct probe *p)
{
	return p->unanswered < PROBE_LOST;
}

int
probe_open(struct probe **out, uv_loop_t *loop, const struct conf_link *l)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return E_NOMEM;
	*p = (struct probe){ .l = l, .loop = loop, .arp = -1, .icmp = -1 };
	*out = p;
	return 0;
}

void
probe_close(struct probe *p)
{
	if (p != NULL)
		close_sockets(p);
}

void
probe_free(struct probe *p)
{
	free(p);
}
