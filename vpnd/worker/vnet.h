/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vnet.h -- what a TUN with IFF_VNET_HDR speaks: a struct virtio_net_hdr (10 bytes,
 * the machine's byte order) in front of every packet, and where in a packet the
 * offloads read and write.
 *
 * The numbers missing from older headers are the kernel's (Linux 6.2). A kernel
 * that does not know TUN_F_USO4 and TUN_F_USO6 answers TUNSETOFFLOAD with EINVAL:
 * ask again without them. Ask for TUN_F_TSO_ECN too, or the kernel cuts segments
 * with CWR itself.
 */
#ifndef WORKER_VNET_H
#define WORKER_VNET_H

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdint.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define VNET_HEADER 10u
_Static_assert(sizeof(struct virtio_net_hdr) == VNET_HEADER, "the TUN's default size");

/* Offsets. IPv4 (RFC 791 3.1), IPv6 (RFC 8200 3), TCP (RFC 9293 3.1), UDP (RFC 768). */
enum {
	IP4_TOTAL = 2,
	IP4_ID = 4,
	IP4_FRAGMENT = 6,
	IP4_CHECK = 10,
	IP4_ADDRESSES = 12,
	IP6_PAYLOAD = 4,
	IP6_ADDRESSES = 8,
	TCP_SEQ = 4,
	TCP_ACK = 8,
	TCP_OFFSET = 12, /* and the flags behind it */
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_CHECK = 16,
	TCP_MIN = 20,
	UDP_LENGTH = 4,
	UDP_CHECK = 6,
	UDP_MIN = 8
};

enum {
	IP4_DF = 0x4000,
	IP4_PIECE = 0x3fff, /* more fragments, or an offset */
	TCP_F_FIN = 0x01,
	TCP_F_PSH = 0x08,
	TCP_F_ACK = 0x10,
	TCP_F_CWR = 0x80
};

/* For offsets already checked against the packet's length. */
static inline uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static inline void
put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

#endif
