/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/tickle.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <linux/filter.h>
#include <unistd.h>

enum {
	FLAG_ACK = 0x10,
	HEADER_WORDS = TICKLE_SEGMENT / 4,
	CHECKSUM_AT = 16,
};

/* ---- the value ---- */

/* Nobody to send anything to, or from. */
static bool
is_host(const struct ip_addr *a)
{
	static const uint8_t zero[16];
	const struct in6_addr v6 = ip_v6(a);

	if (a->port == 0)
		return false;
	if (a->family == 4) /* 0/8, 127/8, multicast and above */
		return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224 &&
		       memcmp(a->b + 4, zero, 12) == 0;
	return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_LOOPBACK(&v6) &&
	       !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_V4MAPPED(&v6) &&
	       !IN6_IS_ADDR_LINKLOCAL(&v6); /* needs an interface to mean anything */
}

static struct ip_addr
read_address(struct rd *r, uint8_t family)
{
	struct ip_addr a = { .family = family };

	rd_copy(r, a.b, sizeof(a.b));
	a.port = rd_u16(r);
	return a;
}

int
endpoint_read(struct span value, struct endpoint *e)
{
	struct rd r = rd_open(value);
	uint8_t family = rd_u8(&r);
	struct endpoint got = { .client = read_address(&r, family) };

	got.local = read_address(&r, family);
	if (rd_short(&r) || rd_left(&r) > 0 || (family != 4 && family != 6) ||
	    !is_host(&got.client) || !is_host(&got.local))
		return E_INVAL;
	*e = got;
	return 0;
}

size_t
endpoint_write(const struct endpoint *e, uint8_t out[ENDPOINT_VALUE])
{
	struct wr w = wr_open(out, ENDPOINT_VALUE);

	wr_u8(&w, e->client.family);
	wr_bytes(&w, e->client.b, sizeof(e->client.b));
	wr_u16(&w, e->client.port);
	wr_bytes(&w, e->local.b, sizeof(e->local.b));
	wr_u16(&w, e->local.port);
	return w.n;
}

/* ---- the segment ---- */

/* RFC 1071, over the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) and the segment. All
 * parts have even length. */
static uint32_t
sum(uint32_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		at += (uint32_t)(p[i] << 8 | p[i + 1]);
	return at;
}

void
tickle_segment(const struct endpoint *e, uint8_t out[TICKLE_SEGMENT])
{
	struct wr w = wr_open(out, TICKLE_SEGMENT);
	size_t address = e->local.family == 4 ? 4 : 16;

	wr_u16(&w, e->local.port);
	wr_u16(&w, e->client.port);
	wr_u32(&w, 0); /* sequence: any that is not in the client's window */
	wr_u32(&w, 0); /* acknowledgement */
	wr_u8(&w, HEADER_WORDS << 4);
	wr_u8(&w, FLAG_ACK);
	wr_u16(&w, 0); /* window */
	wr_u16(&w, 0); /* checksum */
	wr_u16(&w, 0); /* urgent */

	uint32_t s = IPPROTO_TCP + TICKLE_SEGMENT;
	s = sum(s, e->local.b, address);
	s = sum(s, e->client.b, address);
	s = sum(s, out, TICKLE_SEGMENT);
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	out[CHECKSUM_AT] = (uint8_t)(~s >> 8);
	out[CHECKSUM_AT + 1] = (uint8_t)~s;
}

/* ---- sending ---- */

/* A raw socket is given a copy of every TCP packet of the machine: not this one. */
static int
open_deaf(int family)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &nothing };
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
				 sizeof(program));
	return fd;
}

int
tickler_open(struct tickler *t)
{
	t->fd4 = open_deaf(AF_INET);
	t->fd6 = open_deaf(AF_INET6);
	return t->fd4 < 0 && t->fd6 < 0 ? -errno : 0;
}

void
tickler_close(struct tickler *t)
{
	if (t->fd4 >= 0)
		close(t->fd4);
	if (t->fd6 >= 0)
		close(t->fd6);
	t->fd4 = t->fd6 = -1;
}

/* The kernel makes the IP header. The source given here must be an address of this
 * host, which is how we learn whether it is. */
int
tickler_send(const struct tickler *t, const struct endpoint *e)
{
	uint8_t segment[TICKLE_SEGMENT];
	struct ip_addr to_host = e->client;
	struct sockaddr_storage to;
	struct iovec iov = { .iov_base = segment, .iov_len = sizeof(segment) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
	struct msghdr mh = { .msg_name = &to,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space };
	bool is_v4 = e->local.family == 4;
	struct in_pktinfo from4 = { .ipi_spec_dst = ip_v4(&e->local) };
	struct in6_pktinfo from6 = { .ipi6_addr = ip_v6(&e->local) };
	size_t n = is_v4 ? sizeof(from4) : sizeof(from6);

	memset(&control, 0, sizeof(control));
	mh.msg_controllen = CMSG_SPACE(n);
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	c->cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = is_v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), is_v4 ? (const void *)&from4 : (const void *)&from6, n);

	to_host.port = 0; /* a raw socket has none */
	mh.msg_namelen = ip_to_sockaddr(&to_host, &to);
	tickle_segment(e, segment);
	if (sendmsg(is_v4 ? t->fd4 : t->fd6, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	switch (errno) {
	case EINVAL:
	case EADDRNOTAVAIL:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EAGAIN:
	case ENOBUFS: return E_AGAIN;
	default: return -errno;
	}
}
