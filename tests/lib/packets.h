/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* packets.h -- packets for tests, made and judged byte by byte, slowly, without any
 * code of the product: what split and merge are compared with. */
#ifndef TESTS_LIB_PACKETS_H
#define TESTS_LIB_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pkt {
	int version;
	int proto; /* 6 or 17 */
	uint8_t src, dst;
	uint16_t sport, dport;
	uint8_t tos, ttl;
	uint16_t id, frag; /* frag: the whole field, 0x4000 is DF */
	uint32_t label;
	unsigned ip_options; /* IPv4: bytes, a multiple of 4 */
	bool ext;            /* IPv6: hop-by-hop and destination options */
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	unsigned tcp_options; /* bytes, a multiple of 4 */
	uint8_t option_fill;
	uint32_t stamp; /* not 0: timestamps in the first 12 bytes of the options */
	size_t payload, from; /* bytes `from`.. of the stream `fill` */
	uint32_t fill;
	bool no_check; /* UDP: leave 0 */
};

static inline uint32_t
pk_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static inline void
pk_16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8 & 255);
	p[1] = (uint8_t)(v & 255);
}

static inline void
pk_32(uint8_t *p, uint32_t v)
{
	pk_16(p, v >> 16);
	pk_16(p + 2, v);
}

static inline uint8_t
pk_byte(uint32_t fill, size_t i)
{
	uint32_t v = fill * 2654435761u + (uint32_t)i * 40503u;
	return (uint8_t)(v >> 13 ^ v >> 5);
}

static inline uint32_t
pk_pseudo(const uint8_t *p, int version, int proto, size_t n)
{
	uint8_t tail[4] = { (uint8_t)(n >> 8 & 255), (uint8_t)(n & 255), 0,
			    (uint8_t)proto };
	uint32_t sum = version == 4 ? pk_sum(p + 12, 8, 0) : pk_sum(p + 8, 32, 0);
	return pk_sum(tail, 4, sum);
}

/* Where the transport header of a packet made here starts. */
static inline size_t
pk_transport(const struct pkt *k)
{
	return k->version == 4 ? 20 + k->ip_options : k->ext ? 56 : 40;
}

static inline size_t
pk_header(const struct pkt *k)
{
	return pk_transport(k) + (k->proto == 6 ? 20 + k->tcp_options : 8);
}

/* Returns the length. `partial`: leave the transport checksum as the kernel does for
 * NEEDS_CSUM, the pseudo-header's sum. */
static inline size_t
pk_make(uint8_t *p, const struct pkt *k, bool partial)
{
	size_t t = pk_transport(k), h = pk_header(k), total = h + k->payload;

	memset(p, 0, h);
	if (k->version == 4) {
		p[0] = (uint8_t)(0x40 | (5 + k->ip_options / 4));
		p[1] = k->tos;
		pk_16(p + 2, (uint32_t)total);
		pk_16(p + 4, k->id);
		pk_16(p + 6, k->frag);
		p[8] = k->ttl;
		p[9] = (uint8_t)k->proto;
		pk_32(p + 12, 0x0a090000u + k->src);
		pk_32(p + 16, 0x0a0a0000u + k->dst);
		memset(p + 20, 1, k->ip_options); /* no-operation */
		pk_16(p + 10, 0xffff - pk_sum(p, t, 0));
	} else {
		pk_32(p, 0x60000000u | (uint32_t)k->tos << 20 | k->label);
		pk_16(p + 4, (uint32_t)(total - 40));
		p[6] = k->ext ? 0 : (uint8_t)k->proto;
		p[7] = k->ttl;
		pk_32(p + 8, 0xfd000000u);
		p[23] = k->src;
		pk_32(p + 24, 0xfd010000u);
		p[39] = k->dst;
		if (k->ext) { /* PadN in each */
			memcpy(p + 40, "\x3c\0\1\4\0\0\0\0", 8);
			memcpy(p + 48, "\0\0\1\4\0\0\0\0", 8);
			p[48] = (uint8_t)k->proto;
		}
	}
	pk_16(p + t, k->sport);
	pk_16(p + t + 2, k->dport);
	for (size_t i = 0; i < k->payload; i++)
		p[h + i] = pk_byte(k->fill, k->from + i);
	size_t at = t + 6;
	if (k->proto == 6) {
		at = t + 16;
		pk_32(p + t + 4, k->seq);
		pk_32(p + t + 8, k->ack);
		p[t + 12] = (uint8_t)((20 + k->tcp_options) / 4 << 4);
		p[t + 13] = k->flags;
		pk_16(p + t + 14, k->window);
		memset(p + t + 20, k->option_fill, k->tcp_options);
		if (k->stamp != 0 && k->tcp_options >= 12) {
			memcpy(p + t + 20, "\1\1\10\12", 4);
			pk_32(p + t + 24, k->stamp);
			pk_32(p + t + 28, 7);
		}
	} else {
		pk_16(p + t + 4, (uint32_t)(total - t));
	}
	if (k->proto == 17 && k->no_check)
		return total;
	uint32_t sum = pk_pseudo(p, k->version, k->proto, total - t);
	if (!partial) {
		sum = 0xffff - pk_sum(p + t, total - t, sum);
		if (k->proto == 17 && sum == 0)
			sum = 0xffff;
	}
	pk_16(p + at, sum);
	return total;
}

/* Segment i of `whole`, cut every `step` bytes: as a sender without offload would
 * have sent it. */
static inline struct pkt
pk_segment(const struct pkt *whole, size_t step, unsigned i)
{
	struct pkt k = *whole;
	size_t at = step * i;

	k.payload = whole->payload - at < step ? whole->payload - at : step;
	k.from = whole->from + at;
	k.seq += (uint32_t)at;
	k.id = (uint16_t)(k.id + i);
	if (at + k.payload < whole->payload)
		k.flags &= (uint8_t)~0x09; /* FIN, PSH */
	if (i > 0)
		k.flags &= 0x7f; /* CWR */
	return k;
}

/* The vnet header in front of a packet made with `partial`. gso 0: a single one. */
static inline size_t
pk_vnet(uint8_t *p, const struct pkt *k, uint8_t gso, uint16_t step)
{
	uint16_t v[4] = { gso ? (uint16_t)pk_header(k) : 0, gso ? step : 0,
			  (uint16_t)pk_transport(k), k->proto == 6 ? 16 : 6 };

	p[0] = 1; /* NEEDS_CSUM */
	p[1] = gso;
	memcpy(p + 2, v, 8);
	return 10;
}

static inline uint8_t
pk_gso(const struct pkt *k)
{
	return k->proto == 17 ? 5 : k->version == 4 ? 1 : 4;
}

#endif
