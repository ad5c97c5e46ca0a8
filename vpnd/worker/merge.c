/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/merge.h"

#include "common/err.h"
#include "vpnd/worker/ack.h"
#include "vpnd/worker/checksum.h"
#include "vpnd/worker/vnet.h"

#include <assert.h>
#include <stdlib.h>

enum {
	BUCKET_BITS = 8,
	BARRIER_BITS = 6,
	HEADER_MAX = INNER_MIN6 + 60,
	DUPLICATES = 3, /* that make a sender repeat (RFC 5681 3.2) */
	NONE = 0        /* writes are numbered from 1 */
};

/* One packet, and the next one of the same write. */
struct piece {
	const uint8_t *p;
	uint16_t n;
	uint16_t next;
};

/* One write to be. What all its packets have in common is read from the first. */
struct unit {
	uint32_t tag;
	uint32_t seq; /* of the packet that would be next */
	uint32_t bytes;
	uint16_t first, last; /* pieces, numbered from 1 */
	uint16_t count;
	uint16_t transport, header; /* where the transport header is; all headers */
	uint16_t step;              /* payload of all but the last */
	uint8_t kind;               /* MERGE_*, or 0: stays alone */
	bool is_open;               /* may grow */
	bool is_verified;           /* the first packet's checksums are right */
	bool has_push;
	bool is_ack;   /* one that a newer one may replace */
	uint8_t again; /* so many of its number wait before it, up to DUPLICATES */
};

struct merge {
	unsigned kinds;
	uint64_t acks;
	unsigned pieces, units;
	unsigned at;       /* the unit merge_next gave last */
	bool is_merged;    /* ... and it was a merged write */
	unsigned again_at; /* merge_again: the piece to give next, or 0 */
	/* The newest unit of each flow, by a hash. Two flows that meet here end
	 * each other's units, which costs but breaks nothing. */
	uint16_t bucket[1 << BUCKET_BITS];
	/* A packet whose ports cannot be seen ends what its source has begun: the
	 * number of units there were. */
	uint16_t barrier[1 << BARRIER_BITS];
	struct piece piece[MERGE_PACKETS + 1];
	struct unit unit[MERGE_PACKETS + 1];
	struct virtio_net_hdr vnet;
	uint8_t header[HEADER_MAX];
	struct iovec iov[MERGE_IOVS];
};

/* Where does a packet belong? */
struct place {
	uint16_t transport, header;
	uint8_t kind;   /* it may be merged, or start a merged write */
	bool has_flow;  /* the ports are known */
	bool ends_flow; /* nothing is appended after it */
	bool is_ack;    /* an acknowledgement and nothing else */
	uint32_t seq;
	uint16_t payload;
};

int
merge_new(struct merge **out, unsigned kinds)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return E_NOMEM;
	(*out)->kinds = kinds;
	return 0;
}

void
merge_free(struct merge *m)
{
	free(m);
}

void
merge_allow(struct merge *m, unsigned kinds)
{
	m->kinds = kinds;
}

uint64_t
merge_acks(const struct merge *m)
{
	return m->acks;
}

/* ---- what kind of packet ---- */

static void
place_tcp(struct span packet, bool is4, struct place *pl)
{
	const uint8_t *t = packet.p + pl->transport;
	size_t left = packet.n - pl->transport;

	if (left < TCP_MIN)
		return;
	size_t header = (t[TCP_OFFSET] >> 4) * 4u;
	pl->seq = get32(t + TCP_SEQ);
	if (header < TCP_MIN || header > left)
		return;
	if (header == left) {
		pl->is_ack = ack_is_bare(t);
		return;
	}
	/* The low four bits of the offset's byte are flags too (AccECN). */
	if ((t[TCP_FLAGS] & ~TCP_F_PSH) != TCP_F_ACK || (t[TCP_OFFSET] & 15u) != 0)
		return;
	pl->ends_flow = (t[TCP_FLAGS] & TCP_F_PSH) != 0;
	pl->header = (uint16_t)(pl->transport + header);
	pl->payload = (uint16_t)(left - header);
	pl->kind = is4 ? MERGE_TCP4 : MERGE_TCP6;
}

static void
place_udp(struct span packet, bool is4, struct place *pl)
{
	const uint8_t *t = packet.p + pl->transport;
	size_t left = packet.n - pl->transport;

	if (left <= UDP_MIN || get16(t + UDP_LENGTH) != left ||
	    get16(t + UDP_CHECK) == 0)
		return;
	pl->header = (uint16_t)(pl->transport + UDP_MIN);
	pl->payload = (uint16_t)(left - UDP_MIN);
	pl->kind = is4 ? MERGE_UDP4 : MERGE_UDP6;
}

/* Can something of a TCP or UDP flow be in this packet without our seeing its ports? */
static bool
is_opaque(const struct inner *in)
{
	switch (in->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP: return true; /* a fragment, or cut short */
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS: return in->version == 6;
	default: return false;
	}
}

static void
place_find(const struct inner *in, struct place *pl)
{
	struct span packet = in->packet;
	bool is4 = in->version == 4, is_plain = true;

	*pl = (struct place){ .transport = is4 ? INNER_MIN4 : INNER_MIN6 };
	if (in->proto != IPPROTO_TCP && in->proto != IPPROTO_UDP)
		return;
	if (is4) {
		pl->transport = (uint16_t)((packet.p[0] & 15u) * 4u);
		is_plain = pl->transport == INNER_MIN4;
		/* The reserved bit is nobody's to carry over. */
		if (packet.p[IP4_FRAGMENT] & 0x80)
			is_plain = false;
		if (get16(packet.p + IP4_FRAGMENT) & IP4_PIECE)
			return;
	}
	if (packet.n - pl->transport < UDP_MIN)
		return;
	pl->has_flow = true;
	if (!is_plain || packet.n > MERGE_BYTES_MAX)
		return;
	if (in->proto == IPPROTO_TCP)
		place_tcp(packet, is4, pl);
	else
		place_udp(packet, is4, pl);
}

/* ---- flows ---- */

static uint64_t
load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t
mix(uint64_t v)
{
	v *= UINT64_C(0x9e3779b97f4a7c15);
	return v ^ v >> 32;
}

/* The upper bits of a product depend on all bits of its factors. */
static unsigned
mix_end(uint64_t v, unsigned bits)
{
	return (unsigned)(v * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

static unsigned
barrier_of(const struct inner *in)
{
	const uint8_t *a = in->src.s6_addr;

	return mix_end(mix(load64(a)) ^ load64(a + 8), BARRIER_BITS);
}

static unsigned
bucket_of(const struct inner *in, const struct place *pl)
{
	uint32_t ports = get32(in->packet.p + pl->transport);
	uint64_t h = mix(load64(in->src.s6_addr) ^ in->proto);

	h = mix(h ^ load64(in->src.s6_addr + 8));
	h = mix(h ^ load64(in->dst.s6_addr));
	h = mix(h ^ load64(in->dst.s6_addr + 8));
	return mix_end(h ^ ports, BUCKET_BITS);
}

/* Are both headers of one flow, and would cutting the merged packet make this one
 * again? `a` is the first packet of the unit. */
static bool
ip_fits(const uint8_t *a, const uint8_t *b, unsigned count, bool is4)
{
	if (!is4)
		return memcmp(a, b, IP6_PAYLOAD) == 0 &&
		       memcmp(a + 6, b + 6, INNER_MIN6 - 6) == 0;
	if (memcmp(a, b, IP4_TOTAL) != 0 || memcmp(a + 6, b + 6, 4) != 0 ||
	    memcmp(a + IP4_ADDRESSES, b + IP4_ADDRESSES, 8) != 0)
		return false;
	return (get16(a + IP4_FRAGMENT) & IP4_DF) ||
	       (uint16_t)(get16(a + IP4_ID) + count) == get16(b + IP4_ID);
}

static bool
tcp_fits(const uint8_t *a, const uint8_t *b, size_t header)
{
	return memcmp(a, b, TCP_SEQ) == 0 && memcmp(a + TCP_ACK, b + TCP_ACK, 5) == 0 &&
	       memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) == 0 &&
	       memcmp(a + TCP_CHECK + 2, b + TCP_CHECK + 2, header - TCP_CHECK - 2) ==
		       0;
}

static bool
is_tcp(unsigned kind)
{
	return kind & (MERGE_TCP4 | MERGE_TCP6);
}

static bool
is_v4(unsigned kind)
{
	return kind & (MERGE_TCP4 | MERGE_UDP4);
}

static bool
checks_hold(const uint8_t *p, size_t n, unsigned kind, size_t transport)
{
	uint8_t proto = is_tcp(kind) ? IPPROTO_TCP : IPPROTO_UDP;
	uint64_t sum;

	if (is_v4(kind)) {
		if (checksum_fold(checksum_sum(p, INNER_MIN4)) != 0xffff)
			return false;
		sum = checksum_pseudo(p + IP4_ADDRESSES, 8, proto, n - transport);
	} else {
		sum = checksum_pseudo(p + IP6_ADDRESSES, 32, proto, n - transport);
	}
	return checksum_fold(sum + checksum_sum(p + transport, n - transport)) ==
	       0xffff;
}

/* The same but for lengths, identification and checksum? */
static bool
ip_is_like(const uint8_t *a, const uint8_t *b, bool is4)
{
	if (is4)
		return memcmp(a, b, IP4_TOTAL) == 0 && memcmp(a + 6, b + 6, 4) == 0 &&
		       memcmp(a + IP4_ADDRESSES, b + IP4_ADDRESSES, 8) == 0;
	return memcmp(a, b, IP6_PAYLOAD) == 0 &&
	       memcmp(a + 6, b + 6, INNER_MIN6 - 6) == 0;
}

/* May this acknowledgement stand for the one that waits? The window is the newer
 * one's: that is what the receiver of both would go by (RFC 9293 3.10.7.4). Some
 * senders begin to repeat at the third duplicate, whatever the SACK blocks say:
 * so many arrive. If it may not, *again is how many of its number wait. */
static bool
ack_joins(struct merge *m, struct unit *u, const struct inner *in, size_t transport,
	  unsigned *again)
{
	struct piece *p = &m->piece[u->first];
	struct span packet = in->packet;
	bool is4 = in->version == 4;

	if (!(m->kinds & MERGE_ACKS) || !ip_is_like(p->p, packet.p, is4))
		return false;
	switch (ack_compare(p->p + transport, packet.p + transport)) {
	case ACK_UNLIKE: return false;
	case ACK_AGAIN:
		*again = u->again + 1;
		if (u->again < DUPLICATES)
			return false;
		break;
	case ACK_MORE: *again = 0; break;
	}
	if (!checks_hold(packet.p, packet.n, is4 ? MERGE_TCP4 : MERGE_TCP6, transport))
		return false;
	p->p = packet.p;
	p->n = (uint16_t)packet.n;
	u->bytes = (uint32_t)packet.n;
	u->again = (uint8_t)(*again < DUPLICATES ? *again : DUPLICATES);
	m->acks++;
	return true;
}

static bool
unit_fits(const struct merge *m, const struct unit *u, const struct place *pl,
	  struct span packet)
{
	const uint8_t *a = m->piece[u->first].p, *b = packet.p;

	if (!u->is_open || u->kind != pl->kind || u->header != pl->header ||
	    pl->payload > u->step || u->count >= MERGE_IOVS - 2 ||
	    (size_t)u->header + u->step * u->count + pl->payload > MERGE_BYTES_MAX)
		return false;
	if (!ip_fits(a, b, u->count, is_v4(u->kind)))
		return false;
	a += u->transport;
	b += u->transport;
	if (is_tcp(u->kind))
		return u->seq == pl->seq && tcp_fits(a, b, u->header - u->transport);
	return memcmp(a, b, UDP_LENGTH) == 0;
}

/* ---- queueing ---- */

static uint16_t
piece_new(struct merge *m, struct span packet)
{
	uint16_t i = (uint16_t)++m->pieces;

	m->piece[i] = (struct piece){ .p = packet.p, .n = (uint16_t)packet.n };
	return i;
}

static void
unit_new(struct merge *m, const struct place *pl, struct span packet, uint32_t tag)
{
	uint16_t i = piece_new(m, packet);

	m->unit[++m->units] = (struct unit){
		.tag = tag,
		.seq = pl->seq + pl->payload,
		.bytes = (uint32_t)packet.n,
		.first = i,
		.last = i,
		.count = 1,
		.transport = pl->transport,
		.header = pl->header,
		.step = pl->payload,
		.kind = pl->kind,
		.is_ack = pl->is_ack,
		.is_open = pl->kind != 0 && !pl->ends_flow,
	};
}

static void
unit_grow(struct merge *m, struct unit *u, const struct place *pl, struct span packet)
{
	uint16_t i = piece_new(m, packet);

	m->piece[u->last].next = i;
	u->last = i;
	u->count++;
	u->bytes += (uint32_t)packet.n;
	u->seq += pl->payload;
	u->has_push = pl->ends_flow;
	u->is_open = !pl->ends_flow && pl->payload == u->step;
}

/* The first packet's checksums are looked at when a second one comes. */
static bool
unit_verified(struct merge *m, struct unit *u)
{
	const struct piece *p = &m->piece[u->first];

	if (!u->is_verified) {
		u->is_verified = checks_hold(p->p, p->n, u->kind, u->transport);
		u->is_open = u->is_verified;
	}
	return u->is_verified;
}

int
merge_add(struct merge *m, const struct inner *in, uint32_t tag)
{
	struct span packet = in->packet;
	struct place pl;

	assert(m->at == 0 && packet.n >= INNER_MIN4 && packet.n <= UINT16_MAX);
	if (m->pieces == MERGE_PACKETS)
		return E_LIMIT;
	place_find(in, &pl);
	pl.kind &= m->kinds;
	if (!pl.has_flow) {
		unit_new(m, &pl, packet, tag);
		if (is_opaque(in))
			m->barrier[barrier_of(in)] = (uint16_t)m->units;
		return 0;
	}
	unsigned b = bucket_of(in, &pl), i = m->bucket[b], again = 0;
	if (i != NONE && i > m->barrier[barrier_of(in)]) {
		struct unit *u = &m->unit[i];
		if (pl.is_ack && u->is_ack && ack_joins(m, u, in, pl.transport, &again))
			return 0;
		if (pl.kind != 0 && unit_fits(m, u, &pl, packet) &&
		    unit_verified(m, u) &&
		    checks_hold(packet.p, packet.n, pl.kind, pl.transport)) {
			unit_grow(m, u, &pl, packet);
			return 0;
		}
	}
	unit_new(m, &pl, packet, tag);
	m->unit[m->units].again = (uint8_t)again;
	m->bucket[b] = (uint16_t)m->units;
	return 0;
}

/* ---- writing ---- */

bool
merge_is_empty(const struct merge *m)
{
	return m->units == 0;
}

static void
give_single(struct merge *m, unsigned i, uint32_t tag, struct merge_write *w)
{
	const struct piece *p = &m->piece[i];

	m->vnet = (struct virtio_net_hdr){ 0 };
	m->iov[0] = (struct iovec){ &m->vnet, sizeof(m->vnet) };
	m->iov[1] = (struct iovec){ (void *)(uintptr_t)p->p, p->n };
	m->is_merged = false;
	*w = (struct merge_write){
		.iov = m->iov, .iovs = 2, .packets = 1, .bytes = p->n, .tag = tag
	};
}

/* The headers of the whole, made from those of the first packet. The transport's
 * checksum is the pseudo-header's sum: the kernel, or the card, adds the rest. */
static void
make_header(struct merge *m, const struct unit *u, size_t total)
{
	uint8_t *h = m->header, *t = h + u->transport;
	size_t length = total - u->transport;
	uint64_t pseudo;

	assert(u->header <= HEADER_MAX);
	memcpy(h, m->piece[u->first].p, u->header);
	if (is_v4(u->kind)) {
		put16(h + IP4_TOTAL, total);
		put16(h + IP4_CHECK, 0);
		checksum_put(h + IP4_CHECK, checksum_sum(h, INNER_MIN4));
	} else {
		put16(h + IP6_PAYLOAD, total - INNER_MIN6);
	}
	pseudo = is_v4(u->kind) ? checksum_pseudo(h + IP4_ADDRESSES, 8, h[9], length)
				: checksum_pseudo(h + IP6_ADDRESSES, 32, h[6], length);
	if (is_tcp(u->kind)) {
		if (u->has_push)
			t[TCP_FLAGS] |= TCP_F_PSH;
		checksum_put_partial(t + TCP_CHECK, pseudo);
	} else {
		put16(t + UDP_LENGTH, length);
		checksum_put_partial(t + UDP_CHECK, pseudo);
	}
}

static void
give_merged(struct merge *m, const struct unit *u, struct merge_write *w)
{
	size_t payload = 0;
	int n = 2;

	for (unsigned i = u->first; i != NONE; i = m->piece[i].next) {
		const struct piece *p = &m->piece[i];
		m->iov[n++] = (struct iovec){ (void *)(uintptr_t)(p->p + u->header),
					      (size_t)p->n - u->header };
		payload += (size_t)p->n - u->header;
	}
	make_header(m, u, u->header + payload);
	m->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = u->kind == MERGE_TCP4   ? VIRTIO_NET_HDR_GSO_TCPV4
			    : u->kind == MERGE_TCP6 ? VIRTIO_NET_HDR_GSO_TCPV6
						    : VIRTIO_NET_HDR_GSO_UDP_L4,
		.hdr_len = u->header,
		.gso_size = u->step,
		.csum_start = u->transport,
		.csum_offset = is_tcp(u->kind) ? TCP_CHECK : UDP_CHECK,
	};
	m->iov[0] = (struct iovec){ &m->vnet, sizeof(m->vnet) };
	m->iov[1] = (struct iovec){ m->header, u->header };
	m->is_merged = true;
	*w = (struct merge_write){ .iov = m->iov,
				   .iovs = n,
				   .packets = u->count,
				   .bytes = u->bytes,
				   .tag = u->tag };
}

static void
start_afresh(struct merge *m)
{
	m->pieces = m->units = m->at = 0;
	m->is_merged = false;
	memset(m->bucket, 0, sizeof(m->bucket));
	memset(m->barrier, 0, sizeof(m->barrier));
}

bool
merge_next(struct merge *m, struct merge_write *w)
{
	if (m->again_at != NONE) {
		unsigned i = m->again_at;
		m->again_at = m->piece[i].next;
		give_single(m, i, m->unit[m->at].tag, w);
		return true;
	}
	if (m->at == m->units) {
		start_afresh(m);
		return false;
	}
	const struct unit *u = &m->unit[++m->at];
	if (u->count == 1)
		give_single(m, u->first, u->tag, w);
	else
		give_merged(m, u, w);
	return true;
}

void
merge_again(struct merge *m)
{
	if (m->is_merged)
		m->again_at = m->unit[m->at].first;
	m->is_merged = false;
}
