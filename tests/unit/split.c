/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Super-packets against the packets a sender without offload would have sent. */
#include "vpnd/worker/split.h"

#include "common/err.h"
#include "vpnd/worker/vnet.h"

#include "tests/lib/packets.h"
#include "tests/lib/tap.h"

static uint8_t in[SPLIT_READ_MAX], out[66000], want[66000];

static const struct pkt tcp4 = { .version = 4,
				 .proto = 6,
				 .src = 1,
				 .dst = 2,
				 .sport = 443,
				 .dport = 50000,
				 .tos = 2,
				 .ttl = 64,
				 .id = 65530,
				 .frag = 0x4000,
				 .seq = 0xffffff00,
				 .ack = 77,
				 .flags = 0x10,
				 .window = 501,
				 .tcp_options = 12,
				 .option_fill = 1,
				 .fill = 3 };

static struct pkt
of_kind(int version, int proto)
{
	struct pkt k = tcp4;

	k.version = version;
	k.proto = proto;
	k.tcp_options = proto == 6 ? 12 : 0;
	return k;
}

static int
open_super(struct split *s, const struct pkt *k, size_t step)
{
	size_t v = pk_vnet(in, k, pk_gso(k), (uint16_t)step);
	size_t n = pk_make(in + v, k, true);

	return split_open(s, span_of(in, v + n));
}

/* Does split make exactly these segments? */
static bool
cuts_right(const struct pkt *k, size_t step, size_t mtu)
{
	struct split s;
	size_t room = mtu - pk_header(k), n;
	unsigned i = 0;

	if (open_super(&s, k, step) < 0 || split_begin(&s, mtu) < 0)
		return false;
	step = step < room ? step : room;
	for (;; i++) {
		int rc = split_next(&s, out, sizeof(out), &n);
		if (rc == E_NOENT)
			break;
		struct pkt seg = pk_segment(k, step, i);
		size_t w = pk_make(want, &seg, false);
		if (rc < 0 || n != w || n > mtu || memcmp(out, want, w) != 0) {
			diag("segment %u: rc %d, %zu bytes, want %zu", i, rc, n, w);
			return false;
		}
	}
	if (i != split_count(&s))
		diag("made %u, said %u", i, split_count(&s));
	return i == split_count(&s) && i * step >= k->payload;
}

static void
segments_are_what_the_sender_would_have_sent(void)
{
	static const size_t steps[] = { 1, 3, 100, 536, 1001, 1360, 1400 };
	static const size_t payloads[] = { 1,    2,    999,   1400, 1401,
					   2800, 7777, 30001, 65000 };

	for (int kind = 0; kind < 4; kind++) {
		struct pkt k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
		bool is_right = true;
		for (size_t s = 0; s < sizeof(steps) / sizeof(*steps); s++)
			for (size_t p = 0; p < sizeof(payloads) / sizeof(*payloads);
			     p++) {
				k.payload = payloads[p];
				k.fill++;
				if (k.payload / steps[s] < 3000)
					is_right &= cuts_right(&k, steps[s], 1500);
			}
		ok(is_right, "IPv%d, protocol %d", k.version, k.proto);
	}
}

static void
headers_are_repeated_with_their_options(void)
{
	struct pkt k = of_kind(4, 6);

	k.payload = 5000;
	k.ip_options = 40;
	k.tcp_options = 40;
	ok(cuts_right(&k, 1000, 1500), "IPv4 options and 40 bytes of TCP options");
	k = of_kind(6, 6);
	k.payload = 5000;
	k.ext = true;
	ok(cuts_right(&k, 1333, 1500), "IPv6 extension headers before TCP");
	k = of_kind(6, 17);
	k.payload = 5001;
	k.ext = true;
	ok(cuts_right(&k, 1333, 1500), "IPv6 extension headers before UDP");
	k = of_kind(4, 17);
	k.payload = 5001;
	k.ip_options = 8;
	ok(cuts_right(&k, 1333, 1500), "IPv4 options before UDP");
}

static void
flags_are_where_they_belong(void)
{
	struct pkt k = of_kind(4, 6);
	struct split s;
	uint8_t seen[3];
	size_t n;

	k.payload = 300;
	k.flags = 0x10 | 0x80 | 0x40 | 0x08 | 0x01; /* ACK CWR ECE PSH FIN */
	ok(cuts_right(&k, 100, 1500), "IPv4");
	open_super(&s, &k, 100);
	split_begin(&s, 1500);
	for (int i = 0; i < 3; i++) {
		split_next(&s, out, sizeof(out), &n);
		seen[i] = out[20 + 13];
	}
	is_int(seen[0], 0x10 | 0x80 | 0x40, "CWR on the first, no FIN, no PSH");
	is_int(seen[1], 0x10 | 0x40, "none in the middle");
	is_int(seen[2], 0x10 | 0x40 | 0x08 | 0x01, "FIN and PSH on the last");
	k.version = 6;
	ok(cuts_right(&k, 100, 1500), "IPv6");
	in[1] |= VIRTIO_NET_HDR_GSO_ECN;
	is_int(split_open(&s, span_of(in, 10 + 40 + 32 + 300)), 0,
	       "the ECN bit is known");
}

static void
a_small_mtu_cuts_tcp_smaller_and_refuses_datagrams(void)
{
	struct pkt k = of_kind(4, 6);
	struct split s;

	k.payload = 20000;
	ok(cuts_right(&k, 1448, 1280), "TCP over IPv4, at 1280");
	ok(cuts_right(&k, 1448, 100), "at 100");
	k.version = 6;
	ok(cuts_right(&k, 1428, 1280), "TCP over IPv6");
	open_super(&s, &k, 1428);
	is_int(split_begin(&s, 72), E_LIMIT, "no room behind the headers");
	is_int(split_begin(&s, 73), 0, "room for one byte");
	k = of_kind(4, 17);
	k.payload = 20000;
	is_int(open_super(&s, &k, 1400), 0, "datagrams of 1428");
	is_int(split_begin(&s, 1427), E_LIMIT, "do not fit 1427");
	is_int(split_begin(&s, 1428), 0, "fit 1428");
	is_int(split_next(&s, out, 1427, &(size_t){ 0 }), E_LIMIT,
	       "no room in the buffer");
	is_int(split_next(&s, out, 1428, &(size_t){ 0 }), 0, "asked again");
}

static void
a_single_packet_is_completed(void)
{
	for (int kind = 0; kind < 4; kind++) {
		struct pkt k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
		bool is_right = true;
		for (k.payload = 0; k.payload < 400; k.payload++) {
			struct split s;
			size_t n = 0, v = pk_vnet(in, &k, 0, 0);
			k.ext = k.version == 6 && k.payload % 2;
			v = pk_vnet(in, &k, 0, 0);
			size_t w = pk_make(in + v, &k, true);
			pk_make(want, &k, false);
			/* The kernel may leave something behind the packet. */
			is_right &= split_open(&s, span_of(in, v + w + 3)) == 0 &&
				    split_begin(&s, w) == 0 && split_count(&s) == 1 &&
				    split_next(&s, out, w, &n) == 0 && n == w &&
				    memcmp(out, want, w) == 0 &&
				    split_next(&s, out, w, &n) == E_NOENT;
			is_right &= split_begin(&s, w - 1) == E_LIMIT;
			/* No flag: not touched, right or wrong. */
			in[0] = 0;
			in[v + w - 1] ^= 1;
			is_right &= split_open(&s, span_of(in, v + w)) == 0 &&
				    split_begin(&s, w) == 0 &&
				    split_next(&s, out, w, &n) == 0 &&
				    memcmp(out, in + v, w) == 0;
		}
		ok(is_right, "IPv%d, protocol %d", k.version, k.proto);
	}
}

static void
datagrams_without_a_checksum_stay_so(void)
{
	struct pkt k = of_kind(4, 17);
	struct split s;
	size_t n;

	k.payload = 2000;
	k.no_check = true;
	pk_vnet(in, &k, 5, 1000);
	in[0] = 0;
	size_t w = pk_make(in + 10, &k, false);
	is_int(split_open(&s, span_of(in, 10 + w)), 0, "taken");
	split_begin(&s, 1500);
	split_next(&s, out, sizeof(out), &n);
	struct pkt seg = pk_segment(&k, 1000, 0);
	is_int(n, pk_make(want, &seg, false), "length");
	is_mem(out, want, n, "a segment with checksum 0");
}

static void
nonsense_is_refused(void)
{
	static const struct {
		const char *why;
		int version, proto, at;
		uint8_t value;
	} cases[] = {
		{ "unknown segmentation", 4, 6, 1, 2 },
		{ "UDP fragmentation offload", 4, 17, 1, 3 },
		{ "ECN on nothing", 4, 6, 1, 0x80 },
		{ "ECN on UDP", 4, 17, 1, 0x85 },
		{ "TSO6 over IPv4", 4, 6, 1, 4 },
		{ "TSO4 over IPv6", 6, 6, 1, 1 },
		{ "TSO of UDP", 4, 17, 1, 1 },
		{ "USO of TCP", 4, 6, 1, 5 },
		{ "headers longer than the packet", 4, 6, 3, 0xff },
		{ "checksum from elsewhere", 4, 6, 6, 21 },
		{ "checksum from outside", 4, 6, 7, 0x80 },
		{ "checksum to elsewhere", 4, 6, 8, 6 },
		{ "TCP header of 16", 4, 6, 10 + 20 + 12, 0x40 },
		{ "a fragment", 4, 6, 10 + 6, 0x20 },
		{ "IPv4 header of 16", 4, 6, 10, 0x44 },
		{ "longer than what was read", 4, 6, 10 + 2, 0xff },
		{ "IPv6 fragment header", 6, 6, 10 + 6, 44 },
		{ "IPv6 ICMP", 6, 6, 10 + 6, 58 },
		{ "version 5", 4, 6, 10, 0x55 },
	};
	struct split s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pkt k = of_kind(cases[i].version, cases[i].proto);
		k.payload = 3000;
		is_int(open_super(&s, &k, 1000), 0, "%s: right before", cases[i].why);
		in[cases[i].at] = cases[i].value;
		size_t n = 10 + pk_header(&k) + k.payload;
		is_int(split_open(&s, span_of(in, n)), E_PROTO, "%s", cases[i].why);
	}
	struct pkt k = of_kind(4, 6);
	k.payload = 3000;
	is_int(open_super(&s, &k, 0), E_PROTO, "segments of nothing");
	open_super(&s, &k, 1000);
	for (size_t n = 0, bad = 0; n <= 3062; n++) {
		bad += split_open(&s, span_of(in, n)) == 0;
		if (n == 3061)
			is_int(bad, 0, "cut anywhere");
	}
	/* A header that says it is longer than what is left of the packet. */
	k.payload = 0;
	k.tcp_options = 0;
	pk_vnet(in, &k, 1, 1000);
	size_t n = pk_make(in + 10, &k, true);
	in[10 + 20 + 12] = 0xf0;
	is_int(split_open(&s, span_of(in, 10 + n)), E_PROTO,
	       "TCP header beyond the end");
}

static void
a_partial_checksum_lies_inside_the_packet(void)
{
	static const struct {
		uint16_t from, offset;
		int want;
	} cases[] = {
		{ 20, 16, 0 },
		{ 20, 30, 0 },
		{ 20, 31, E_PROTO },
		{ 34, 16, 0 },
		{ 35, 16, E_PROTO },
		{ 50, 0, 0 },
		{ 51, 0, E_PROTO },
		{ 19, 16, E_PROTO },
		{ 0, 16, E_PROTO },
		{ 0, 0, E_PROTO },
		{ 0xfff0, 16, E_PROTO },
		{ 20, 0xfff0, E_PROTO },
		{ 0xffff, 0xffff, E_PROTO },
	};
	struct pkt k = of_kind(4, 6);
	struct split s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t got, v = pk_vnet(in, &k, 0, 0), n = pk_make(in + v, &k, true);
		memcpy(in + 6, &cases[i].from, 2);
		memcpy(in + 8, &cases[i].offset, 2);
		int rc = split_open(&s, span_of(in, v + n));
		is_int(rc, cases[i].want, "52 bytes: from %u, at %u", cases[i].from,
		       cases[i].offset);
		if (rc == 0)
			is_int(split_next(&s, out, n, &got), 0, "and can be done");
	}
}

static void
a_route_still_to_travel_is_refused(void)
{
	struct pkt k = of_kind(6, 6);
	struct split s;

	k.ext = true;
	k.payload = 3000;
	open_super(&s, &k, 1000);
	in[10 + 40] = 43; /* the second header is a routing header */
	in[10 + 48 + 3] = 0;
	size_t n = 10 + pk_header(&k) + k.payload;
	is_int(split_open(&s, span_of(in, n)), 0, "arrived");
	in[10 + 48 + 3] = 1;
	is_int(split_open(&s, span_of(in, n)), E_PROTO, "one segment left");
	in[10 + 48 + 3] = 0;
	in[10 + 48 + 1] = 255;
	is_int(split_open(&s, span_of(in, 10 + 40 + 60)), E_PROTO,
	       "longer than the packet");
}

int
main(void)
{
	segments_are_what_the_sender_would_have_sent();
	headers_are_repeated_with_their_options();
	flags_are_where_they_belong();
	a_small_mtu_cuts_tcp_smaller_and_refuses_datagrams();
	a_single_packet_is_completed();
	datagrams_without_a_checksum_stay_so();
	nonsense_is_refused();
	a_partial_checksum_lies_inside_the_packet();
	a_route_still_to_travel_is_refused();
	return done_testing();
}
