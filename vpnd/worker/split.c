/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/split.h"

#include "common/err.h"
#include "common/rd.h"
#include "vpnd/worker/checksum.h"
#include "vpnd/worker/vnet.h"

/* Where does the transport header of an IPv6 packet start? RFC 8200 4.1. Headers a
 * segment could not simply repeat are refused: fragments, authentication, and a
 * route still to travel, whose pseudo-header has another destination (8.1). */
static int
transport6(struct span packet, uint8_t *proto, size_t *at)
{
	struct rd r = rd_open(packet);

	(void)rd_take(&r, INNER_MIN6);
	for (;;) {
		if (rd_short(&r))
			return E_PROTO;
		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_DSTOPTS &&
		    *proto != IPPROTO_ROUTING)
			break;
		bool is_route = *proto == IPPROTO_ROUTING;
		*proto = rd_u8(&r);
		size_t rest = rd_u8(&r) * 8u + 6u;
		struct span body = rd_take(&r, rest);
		if (rd_short(&r) || (is_route && body.p[1] != 0))
			return E_PROTO;
	}
	*at = packet.n - rd_left(&r);
	return 0;
}

static int
transport4(struct span packet, size_t *at)
{
	if (get16(packet.p + IP4_FRAGMENT) & IP4_PIECE)
		return E_PROTO;
	*at = (packet.p[0] & 15u) * 4u;
	return 0;
}

static int
open_single(struct split *s, const struct virtio_net_hdr *v)
{
	size_t min = s->inner.version == 4 ? INNER_MIN4 : INNER_MIN6;

	s->kind = SPLIT_SINGLE;
	if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	if (v->csum_start < min ||
	    (size_t)v->csum_start + v->csum_offset + 2 > s->inner.packet.n)
		return E_PROTO;
	s->has_check = true;
	s->check_from = v->csum_start;
	s->check_at = (uint16_t)(v->csum_start + v->csum_offset);
	return 0;
}

/* What every segment's headers have in common is summed once. */
static void
sum_headers(struct split *s, uint8_t proto)
{
	const uint8_t *p = s->inner.packet.p, *t = p + s->transport;
	bool is4 = s->inner.version == 4;

	if (is4)
		s->ip_sum =
			checksum_sum(p, IP4_TOTAL) +
			checksum_sum(p + IP4_FRAGMENT, IP4_CHECK - IP4_FRAGMENT) +
			checksum_sum(p + IP4_ADDRESSES, s->transport - IP4_ADDRESSES);
	s->transport_sum = is4 ? checksum_pseudo(p + IP4_ADDRESSES, 8, proto, 0)
			       : checksum_pseudo(p + IP6_ADDRESSES, 32, proto, 0);
	if (s->kind == SPLIT_TCP)
		s->transport_sum +=
			checksum_sum(t, TCP_SEQ) + checksum_sum(t + TCP_ACK, 4) +
			checksum_sum(t + TCP_WINDOW, 2) +
			checksum_sum(t + TCP_CHECK + 2,
				     s->header - s->transport - (TCP_CHECK + 2));
	else
		s->transport_sum += checksum_sum(t, UDP_LENGTH);
}

static int
open_segments(struct split *s, const struct virtio_net_hdr *v, size_t read)
{
	struct span packet = s->inner.packet;
	uint8_t proto = s->inner.proto;
	size_t check;
	int rc;

	rc = s->inner.version == 4 ? transport4(packet, &s->transport)
				   : transport6(packet, &proto, &s->transport);
	if (rc < 0)
		return rc;
	const uint8_t *t = packet.p + s->transport;
	size_t left = packet.n - s->transport;
	switch (v->gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (proto != IPPROTO_TCP || left < TCP_MIN)
			return E_PROTO;
		if ((v->gso_type == VIRTIO_NET_HDR_GSO_TCPV4) !=
		    (s->inner.version == 4))
			return E_PROTO;
		s->kind = SPLIT_TCP;
		s->header = (t[TCP_OFFSET] >> 4) * 4u;
		if (s->header < TCP_MIN)
			return E_PROTO;
		check = TCP_CHECK;
		s->has_check = true;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (proto != IPPROTO_UDP || left < UDP_MIN)
			return E_PROTO;
		s->kind = SPLIT_UDP;
		s->header = UDP_MIN;
		check = UDP_CHECK;
		/* A sender over IPv4 may have chosen to have none (RFC 768). */
		s->has_check = (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
			       s->inner.version == 6 || get16(t + UDP_CHECK) != 0;
		break;
	default: return E_PROTO; /* whole-datagram fragmentation: never asked for */
	}
	if (s->header > left || v->gso_size == 0 || v->hdr_len > read)
		return E_PROTO;
	if ((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    (v->csum_start != s->transport || v->csum_offset != check))
		return E_PROTO;
	s->header += s->transport;
	s->step = v->gso_size;
	sum_headers(s, proto);
	return 0;
}

int
split_open(struct split *s, struct span read)
{
	struct virtio_net_hdr v;
	struct rd r = rd_open(read);
	int rc;

	rd_copy(&r, &v, sizeof(v));
	if (rd_short(&r))
		return E_PROTO;
	size_t n = rd_left(&r);
	*s = (struct split){ 0 };
	if ((rc = inner_parse(rd_rest(&r), &s->inner)) < 0)
		return rc;
	if (v.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return open_single(s, &v);
	/* ECN says that CWR may be set; we look for ourselves. */
	if ((v.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_UDP_L4)
		v.gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	return open_segments(s, &v, n);
}

int
split_begin(struct split *s, size_t mtu)
{
	size_t n = s->inner.packet.n;

	if (n <= mtu)
		return 0;
	if (s->kind == SPLIT_SINGLE)
		return E_LIMIT;
	if (s->header + s->step <= mtu)
		return 0;
	if (s->kind == SPLIT_UDP || mtu <= s->header)
		return E_LIMIT;
	s->step = mtu - s->header;
	return 0;
}

unsigned
split_count(const struct split *s)
{
	size_t payload = s->inner.packet.n - s->header;

	if (s->kind == SPLIT_SINGLE || payload == 0)
		return 1;
	return (unsigned)((payload + s->step - 1) / s->step);
}

static int
next_single(struct split *s, uint8_t *out, size_t cap, size_t *n)
{
	struct span packet = s->inner.packet;

	if (cap < packet.n)
		return E_LIMIT;
	if (s->has_check) {
		uint64_t sum;
		memcpy(out, packet.p, s->check_from);
		sum = checksum_copy(out + s->check_from, packet.p + s->check_from,
				    packet.n - s->check_from);
		/* The field holds the pseudo-header's sum, so it is part of this
		 * one. */
		if (s->check_at - s->check_from == UDP_CHECK)
			checksum_put_udp(out + s->check_at, sum);
		else
			checksum_put(out + s->check_at, sum);
	} else {
		memcpy(out, packet.p, packet.n);
	}
	s->is_done = true;
	*n = packet.n;
	return 0;
}

static void
finish_tcp(struct split *s, uint8_t *t, size_t length, uint64_t sum, bool is_last)
{
	uint32_t seq = get32(t + TCP_SEQ) + (uint32_t)s->at;
	uint8_t flags = t[TCP_FLAGS];

	if (!is_last)
		flags &= (uint8_t) ~(TCP_F_FIN | TCP_F_PSH);
	if (s->made > 0)
		flags &= (uint8_t)~TCP_F_CWR; /* RFC 3168 6.1.2: said once */
	put32(t + TCP_SEQ, seq);
	t[TCP_FLAGS] = flags;
	sum += s->transport_sum + checksum_word((uint16_t)length) +
	       checksum_word32(seq) + checksum_word(get16(t + TCP_OFFSET));
	checksum_put(t + TCP_CHECK, sum);
}

static void
finish_udp(struct split *s, uint8_t *t, size_t length, uint64_t sum)
{
	put16(t + UDP_LENGTH, length);
	if (!s->has_check)
		return;
	/* The length counts twice: in the header and in the pseudo-header. */
	sum += s->transport_sum + 2 * checksum_word((uint16_t)length);
	checksum_put_udp(t + UDP_CHECK, sum);
}

int
split_next(struct split *s, uint8_t *out, size_t cap, size_t *n)
{
	if (s->is_done)
		return E_NOENT;
	if (s->kind == SPLIT_SINGLE)
		return next_single(s, out, cap, n);

	struct span packet = s->inner.packet;
	size_t left = packet.n - s->header - s->at;
	size_t payload = left < s->step ? left : s->step;
	size_t total = s->header + payload, length = total - s->transport;

	if (cap < total)
		return E_LIMIT;
	memcpy(out, packet.p, s->header);
	uint64_t sum =
		checksum_copy(out + s->header, packet.p + s->header + s->at, payload);
	if (s->inner.version == 4) {
		uint16_t id = (uint16_t)(get16(out + IP4_ID) + s->made);
		put16(out + IP4_TOTAL, total);
		put16(out + IP4_ID, id);
		checksum_put(out + IP4_CHECK, s->ip_sum +
						      checksum_word((uint16_t)total) +
						      checksum_word(id));
	} else {
		put16(out + IP6_PAYLOAD, total - INNER_MIN6);
	}
	if (s->kind == SPLIT_TCP)
		finish_tcp(s, out + s->transport, length, sum, payload == left);
	else
		finish_udp(s, out + s->transport, length, sum);
	s->at += payload;
	s->made++;
	s->is_done = payload == left;
	*n = total;
	return 0;
}
