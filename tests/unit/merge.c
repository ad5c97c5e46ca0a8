/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What is merged, what is not, and that cutting it again gives the same packets. */
#include "vpnd/worker/merge.h"

#include "common/err.h"
#include "vpnd/worker/split.h"
#include "vpnd/worker/vnet.h"

#include "tests/lib/packets.h"
#include "tests/lib/tap.h"

#include <stddef.h>

enum { ALL = MERGE_TCP4 | MERGE_TCP6 | MERGE_UDP4 | MERGE_UDP6, MOST = 1100 };

static uint8_t buf[MOST][2048], whole[SPLIT_READ_MAX];
static size_t len[MOST];
static unsigned packets;
static struct merge *m;

/* What a round of writes looked like: "3 1 2" packets each. */
static char shape[8192];

static const struct pkt data4 = { .version = 4,
				  .proto = 6,
				  .src = 1,
				  .dst = 2,
				  .sport = 50000,
				  .dport = 443,
				  .tos = 2,
				  .ttl = 64,
				  .id = 65533,
				  .frag = 0x4000,
				  .seq = 0xfffffe00,
				  .ack = 77,
				  .flags = 0x10,
				  .window = 501,
				  .tcp_options = 12,
				  .option_fill = 1,
				  .payload = 1000,
				  .fill = 3 };

static struct pkt
of_kind(int version, int proto)
{
	struct pkt k = data4;

	k.version = version;
	k.proto = proto;
	k.tcp_options = proto == 6 ? 12 : 0;
	return k;
}

/* The i-th packet of a stream of packets like this one. */
static struct pkt
nth(struct pkt k, unsigned i)
{
	k.seq += i * (uint32_t)k.payload;
	k.id = (uint16_t)(k.id + i);
	k.from = i * k.payload;
	return k;
}

static void
start(void)
{
	packets = 0;
}

static int
add_bytes(const uint8_t *p, size_t n)
{
	struct inner in;

	memcpy(buf[packets], p, n);
	len[packets] = n;
	if (inner_parse(span_of(buf[packets], n), &in) < 0)
		return E_PROTO;
	return merge_add(m, &in, packets++);
}

static int
add(struct pkt k)
{
	uint8_t p[2048];

	return add_bytes(p, pk_make(p, &k, false));
}

/* The flow a packet is of, as far as order matters. */
static bool
same_flow(const uint8_t *a, const uint8_t *b)
{
	size_t n = a[0] >> 4 == 4 ? 12 : 8, bytes = n == 12 ? 8 : 32;

	return a[0] == b[0] && a[n == 12 ? 9 : 6] == b[n == 12 ? 9 : 6] &&
	       memcmp(a + n, b + n, bytes) == 0 &&
	       memcmp(a + n + bytes, b + n + bytes, 4) == 0;
}

/* Write all, cut again, compare: each packet once, whole, in its flow's order. */
static bool
comes_out_the_same(void)
{
	static uint8_t out[66000];
	static bool seen[MOST];
	struct merge_write w;
	size_t at = 0;
	bool is_right = true;
	unsigned n = 0;

	memset(seen, 0, sizeof(seen));
	shape[0] = '\0';
	while (merge_next(m, &w)) {
		size_t total = 0, one;
		unsigned made = 0;
		struct split s;
		at += (size_t)sprintf(shape + at, at ? " %u" : "%u", w.packets);
		for (int i = 0; i < w.iovs; i++) {
			memcpy(whole + total, w.iov[i].iov_base, w.iov[i].iov_len);
			total += w.iov[i].iov_len;
		}
		is_right &= w.iovs <= MERGE_IOVS && w.iov[0].iov_len == VNET_HEADER;
		is_right &= split_open(&s, span_of(whole, total)) == 0 &&
			    split_begin(&s, 65535) == 0;
		size_t bytes = 0;
		while (is_right && split_next(&s, out, sizeof(out), &one) == 0) {
			unsigned i;
			/* The oldest of this flow that is still to come. */
			for (i = 0; i < packets; i++)
				if (!seen[i] && same_flow(buf[i], out))
					break;
			if (i == packets || len[i] != one ||
			    memcmp(buf[i], out, one) != 0) {
				diag("packet %u of write %s differs from %u", made,
				     shape, i);
				is_right = false;
				break;
			}
			if (made == 0)
				is_right &= w.tag == i;
			seen[i] = true;
			bytes += one;
			made++;
			n++;
		}
		is_right &= made == w.packets && bytes == w.bytes;
	}
	return is_right && n == packets;
}

static void
is_shape(const char *want, const char *why)
{
	bool same = comes_out_the_same();

	is_str(shape, want, "%s", why);
	ok(same, "... and cut again it is the same");
}

static void
a_stream_becomes_one_write(void)
{
	for (int kind = 0; kind < 4; kind++) {
		struct pkt k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
		char why[64];
		sprintf(why, "IPv%d, protocol %d", k.version, k.proto);
		start();
		for (unsigned i = 0; i < 20; i++)
			add(nth(k, i));
		struct pkt last = nth(k, 20);
		last.payload = 333;
		add(last);
		is_shape("21", why);
		start();
		for (k.payload = 1; k.payload < 1400; k.payload += 13)
			for (unsigned i = 0; i < 3; i++)
				add(nth(k, i)); /* each trio's sequence breaks */
		ok(comes_out_the_same(), "%s: every length", why);
	}
}

static void
a_merged_write_says_what_the_kernel_wants(void)
{
	static const uint8_t gso[] = { 1, 4, 5, 5 };

	for (int kind = 0; kind < 4; kind++) {
		struct pkt k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6), super = k;
		struct merge_write w;
		struct virtio_net_hdr v;
		uint8_t want[8192];

		start();
		for (unsigned i = 0; i < 3; i++)
			add(nth(k, i));
		merge_next(m, &w);
		memcpy(&v, w.iov[0].iov_base, 10);
		is_int(v.flags, 1, "IPv%d, protocol %d: NEEDS_CSUM", k.version,
		       k.proto);
		is_int(v.gso_type, gso[kind], "type");
		is_int(v.gso_size, 1000, "size");
		is_int(v.hdr_len, pk_header(&k), "headers");
		is_int(v.csum_start, pk_transport(&k), "checksum from");
		is_int(v.csum_offset, k.proto == 6 ? 16 : 6, "checksum at");
		super.payload = 3000;
		pk_make(want, &super, true);
		ok(w.iov[1].iov_len == pk_header(&k) &&
			   memcmp(w.iov[1].iov_base, want, pk_header(&k)) == 0,
		   "headers are those of the whole, with a partial checksum");
		ok(!merge_next(m, &w), "no more");
		ok(merge_is_empty(m), "and nothing left");
	}
}

static void
what_differs_is_not_merged(void)
{
	static const struct {
		const char *why;
		size_t at, bytes;
		uint32_t value;
		int version;
	} cases[] = {
#define F(field) offsetof(struct pkt, field), sizeof(((struct pkt *)0)->field)
		{ "source", F(src), 9, 0 },
		{ "destination", F(dst), 9, 0 },
		{ "source port", F(sport), 9, 0 },
		{ "destination port", F(dport), 9, 0 },
		{ "DSCP", F(tos), 0x22, 0 },
		{ "ECN", F(tos), 3, 0 },
		{ "TTL", F(ttl), 63, 0 },
		{ "flow label", F(label), 9, 6 },
		{ "DF", F(frag), 0, 4 },
		{ "reserved bit", F(frag), 0xc000, 4 },
		{ "fragment", F(frag), 0x2000, 4 },
		{ "later fragment", F(frag), 1, 4 },
		{ "IPv4 options", F(ip_options), 4, 4 },
		{ "acknowledgement", F(ack), 78, 0 },
		{ "window", F(window), 500, 0 },
		{ "TCP options", F(option_fill), 2, 0 },
		{ "length of TCP options", F(tcp_options), 8, 0 },
		{ "duplicate", F(seq), 0xfffffe00, 0 },
		{ "gap", F(seq), 0xfffffe00 + 1001, 0 },
		{ "SYN", F(flags), 0x12, 0 },
		{ "FIN", F(flags), 0x11, 0 },
		{ "RST", F(flags), 0x14, 0 },
		{ "URG", F(flags), 0x30, 0 },
		{ "ECE", F(flags), 0x50, 0 },
		{ "CWR", F(flags), 0x90, 0 },
		{ "no ACK", F(flags), 0, 0 },
		{ "no data", F(payload), 0, 0 },
		{ "longer", F(payload), 1001, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (int version = 4; version <= 6; version += 2) {
			struct pkt k = of_kind(version, 6), other = nth(k, 1);
			if (cases[i].version && cases[i].version != version)
				continue;
			memcpy((uint8_t *)&other + cases[i].at, &cases[i].value,
			       cases[i].bytes < 4 ? cases[i].bytes : 4);
			start();
			add(k);
			add(other);
			is_shape("1 1", cases[i].why);
		}
	struct pkt k = of_kind(6, 17), other = nth(k, 1);
	other.ext = true;
	start();
	add(k);
	add(other);
	is_shape("1 1", "IPv6 extension headers");
	start();
	add(other);
	add(other);
	is_shape("1 1", "nor two of them");
	k = of_kind(4, 17);
	k.payload = 0;
	start();
	add(k);
	add(nth(k, 1));
	is_shape("1 1", "empty datagrams");
	k = of_kind(4, 17);
	k.no_check = true;
	start();
	add(k);
	add(nth(k, 1));
	is_shape("1 1", "datagrams without checksum");
}

/* Two packets with the same byte changed and the checksum right for it. */
static void
add_two_odd(struct pkt k, size_t at, uint8_t value)
{
	size_t t = pk_transport(&k), check = t + (k.proto == 6 ? 16 : 6);

	start();
	for (unsigned i = 0; i < 2; i++) {
		struct pkt one = nth(k, i);
		uint8_t p[2048];
		size_t n = pk_make(p, &one, false);
		p[t + at] = value;
		pk_16(p + check, 0);
		uint32_t sum = pk_pseudo(p, k.version, k.proto, n - t);
		pk_16(p + check, 0xffff - pk_sum(p + t, n - t, sum));
		add_bytes(p, n);
	}
}

static void
oddities_stay_alone_even_among_themselves(void)
{
	struct pkt k = of_kind(4, 6);

	add_two_odd(k, 12, 0x81);
	is_shape("1 1", "the flag beside the TCP header's length");
	add_two_odd(k, 12, 0x40);
	is_shape("1 1", "a TCP header of 16");
	add_two_odd(of_kind(4, 17), 5, 0xee);
	is_shape("1 1", "a UDP length that is not the packet's");
	k.frag = 0xc000;
	start();
	add(k);
	add(nth(k, 1));
	is_shape("1 1", "the reserved bit");
	k = of_kind(4, 6);
	k.ip_options = 4;
	start();
	add(k);
	add(nth(k, 1));
	is_shape("1 1", "IPv4 options");
}

static void
push_and_a_short_segment_end_a_write(void)
{
	struct pkt k = of_kind(4, 6), p;

	start();
	add(nth(k, 0));
	p = nth(k, 1);
	p.flags |= 8;
	add(p);
	add(nth(k, 2));
	add(nth(k, 3));
	is_shape("2 2", "PSH");
	start();
	k.flags |= 8;
	add(nth(k, 0));
	add(nth(k, 1));
	is_shape("1 1", "PSH on each");
	for (int kind = 0; kind < 4; kind++) {
		k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
		start();
		add(nth(k, 0));
		p = nth(k, 1);
		p.payload = 999;
		add(p);
		p = nth(k, 2);
		p.seq--;
		add(p);
		p.seq += 1000;
		p.id++;
		add(p);
		is_shape("2 2", "a short one");
	}
}

static void
identifications_count_up_or_do_not_matter(void)
{
	struct pkt k = of_kind(4, 6), p = nth(k, 1);
	struct merge_write w;

	k.frag = p.frag = 0;
	start();
	add(k);
	add(p);
	is_shape("2", "without DF, the next one");
	p.id++;
	start();
	add(k);
	add(p);
	is_shape("1 1", "without DF, another");
	k.frag = p.frag = 0x4000;
	start();
	add(k);
	add(p);
	merge_next(m, &w);
	is_int(w.packets, 2, "with DF, another");
	ok(!merge_next(m, &w), "in one write");
}

static void
a_wrong_checksum_is_not_covered_up(void)
{
	for (int kind = 0; kind < 4; kind++)
		for (int which = 0; which < 3; which++) {
			struct pkt k = of_kind(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
			uint8_t p[2048];
			start();
			for (int i = 0; i < 3; i++) {
				struct pkt one = nth(k, (unsigned)i);
				size_t n = pk_make(p, &one, false);
				if (i == which)
					p[n - 1] ^= 4;
				add_bytes(p, n);
			}
			is_shape(which == 0   ? "1 2"
				 : which == 1 ? "1 1 1"
					      : "2 1",
				 "one bit wrong");
		}
	struct pkt k = of_kind(4, 6);
	uint8_t p[2048];
	start();
	add(k);
	k = nth(k, 1);
	size_t n = pk_make(p, &k, false);
	p[10] ^= 1;
	add_bytes(p, n);
	is_shape("1 1", "nor one of the IPv4 header");
}

static void
flows_are_interleaved(void)
{
	struct pkt k[4] = { of_kind(4, 6), of_kind(6, 6), of_kind(4, 17),
			    of_kind(6, 17) };

	start();
	for (unsigned i = 0; i < 40; i++)
		add(nth(k[i % 4], i / 4));
	is_shape("10 10 10 10", "four flows");
	struct pkt a = k[0], b = k[0];
	b.sport++;
	start();
	for (unsigned i = 0; i < 10; i++) {
		add(nth(a, i));
		if (i == 4) { /* repeated out of order */
			add(nth(a, 2));
			add(nth(a, 9));
		}
		add(nth(b, i));
	}
	is_shape("5 10 1 1 5", "one with holes, one without");
}

static void
nothing_overtakes_its_flow(void)
{
	struct pkt k = of_kind(4, 17), f = k;

	f.frag = 0x2000;
	f.dst = 77;
	start();
	add(nth(k, 0));
	add(f); /* a fragment: whose is it? */
	add(nth(k, 1));
	add(nth(k, 2));
	is_shape("1 1 2", "a fragment of the same source");
	f.src = 99;
	start();
	add(nth(k, 0));
	add(f);
	add(nth(k, 1));
	is_shape("2 1", "one of another source");
	k = of_kind(4, 6);
	f = k;
	f.payload = 0;
	f.flags = 0x12;
	start();
	add(nth(k, 0));
	add(f);
	add(nth(k, 1));
	is_shape("1 1 1", "a packet of the flow itself");
	uint8_t ping[28] = "\x45\0\0\x1c\0\0\0\0\x40\1\0\0\x0a\x09\0\1\x0a\x0a\0\2\x08";
	start();
	add(nth(k, 0));
	add_bytes(ping, 28);
	add(nth(k, 1));
	struct merge_write w;
	merge_next(m, &w);
	is_int(w.packets, 2, "a ping is of no flow");
	while (merge_next(m, &w))
		;
}

static void
a_write_has_its_limits(void)
{
	struct pkt k = of_kind(4, 17);

	k.payload = 100;
	start();
	for (unsigned i = 0; i < 130; i++)
		add(nth(k, i));
	is_shape("62 62 6", "64 iovecs");
	k.payload = 1400;
	start();
	for (unsigned i = 0; i < 100; i++)
		add(nth(k, i));
	is_shape("46 46 8", "below 64 KiB");
	start();
	int rc = 0;
	unsigned n;
	for (n = 0; rc == 0; n++)
		rc = add(nth(k, n));
	is_int(rc, E_LIMIT, "a full batch says so");
	packets--; /* the one refused */
	is_int(n - 1, MERGE_PACKETS, "after that many");
	ok(comes_out_the_same(), "and has lost nothing");
	start();
	is_int(add(k), 0, "then there is room again");
	is_shape("1", "for a new round");
}

static void
a_refused_write_is_given_again_one_by_one(void)
{
	struct pkt k = of_kind(4, 6), b = k;
	struct merge_write w;
	bool is_same = true;
	unsigned i = 0;

	b.src++;
	start();
	for (; i < 5; i++)
		add(nth(k, i));
	add(b);
	merge_next(m, &w);
	is_int(w.packets, 5, "five");
	merge_again(m);
	merge_allow(m, 0);
	for (i = 0; i < 6; i++) {
		is_same &= merge_next(m, &w) && w.packets == 1 && w.iovs == 2 &&
			   w.iov[1].iov_base == buf[i] && w.bytes == len[i] &&
			   w.tag == (i < 5 ? 0 : 5);
		merge_again(m); /* no effect on a single one */
	}
	ok(is_same, "each, then the next write");
	ok(!merge_next(m, &w), "and no more");
	merge_again(m);
	ok(!merge_next(m, &w), "never from nothing");
	start();
	add(nth(k, 0));
	add(nth(k, 1));
	is_shape("1 1", "nothing is merged any more");
	merge_allow(m, MERGE_TCP4);
	start();
	add(nth(k, 0));
	add(nth(k, 1));
	k = of_kind(4, 17);
	add(nth(k, 0));
	add(nth(k, 1));
	k = of_kind(6, 6);
	add(nth(k, 0));
	add(nth(k, 1));
	is_shape("2 1 1 1 1", "or only what is allowed");
	merge_allow(m, ALL);
}

/* Many rounds of whatever: streams with losses, repeats, changes, wrong bytes. */
static void
whatever_comes_goes_out_in_order(void)
{
	uint32_t r = 1;
	bool is_right = true;
	unsigned merged = 0;

	for (int round = 0; round < 1500 && is_right; round++) {
		struct pkt flow[6];
		unsigned count[6] = { 0 };
		for (unsigned f = 0; f < 6; f++) {
			flow[f] = of_kind(f & 1 ? 6 : 4, f & 2 ? 17 : 6);
			flow[f].sport = (uint16_t)(1000 + f);
			flow[f].payload = 1 + (r >> 7) % 1300;
			flow[f].frag = 0;
			r = r * 1664525 + 1013904223;
		}
		start();
		unsigned n = 1 + (r >> 9) % 100;
		for (unsigned i = 0; i < n; i++) {
			r = r * 1664525 + 1013904223;
			unsigned f = (r >> 20) % 6, what = (r >> 10) % 32;
			struct pkt k = nth(flow[f], count[f]);
			uint8_t p[2048];
			if (what == 0)
				count[f]++; /* lost */
			if (what == 1)
				k.flags |= (uint8_t)(r >> 24);
			if (what == 2)
				k.payload = k.payload * 2 / 3;
			if (what == 3)
				flow[f].window++;
			if (what == 4)
				k.ext = true;
			if (what == 5)
				k.frag = 0x2000;
			if (what == 6)
				k.tos ^= 1;
			size_t size = pk_make(p, &k, false);
			if (what == 7)
				p[(r >> 3) % 20 + 20] ^= 1;
			if (what != 8)
				count[f]++;
			if (add_bytes(p, size) != 0)
				packets -= packets > i;
		}
		is_right = comes_out_the_same();
		merged += strlen(shape) < 2 * packets - 1;
	}
	ok(is_right, "1500 rounds");
	ok(merged > 1000, "most of them merged something");
}

/* The ACK numbers that are written, in order: "100 300". */
static const char *
acks_out(void)
{
	struct merge_write w;
	size_t at = 0;

	shape[0] = '\0';
	while (merge_next(m, &w)) {
		const uint8_t *p = w.iov[1].iov_base;
		size_t t = p[0] >> 4 == 4 ? 20 : 40;
		at += (size_t)sprintf(shape + at, "%s%u", at ? " " : "",
				      get32(p + t + TCP_ACK));
	}
	return shape;
}

static struct pkt
ack_of(int version, uint32_t number)
{
	struct pkt k = of_kind(version, 6);

	k.payload = 0;
	k.ack = number;
	k.tcp_options = 12;
	k.stamp = 4711 + number;
	k.id = (uint16_t)number; /* counts as it likes */
	return k;
}

static void
the_newest_acknowledgement_speaks_for_all(void)
{
	for (int version = 4; version <= 6; version += 2) {
		start();
		for (uint32_t i = 1; i <= 20; i++)
			add(ack_of(version, i * 1000));
		is_str(acks_out(), "20000", "IPv%d: one of 20", version);
		start();
		for (uint32_t i = 0; i < 4; i++)
			add(ack_of(version, 0xfffffff0u + i * 8));
		is_str(acks_out(), "8", "IPv%d: around the end of the numbers",
		       version);
		start();
		for (uint32_t i = 1; i <= 6; i++) {
			struct pkt k = ack_of(version, i * 1000);
			k.sport = (uint16_t)(k.sport + i % 2);
			add(k);
		}
		is_str(acks_out(), "5000 6000", "IPv%d: of each flow", version);
	}
}

/* 1000, then the odd one with 2000, then 3000. */
static void
an_acknowledgement_that_says_more_is_kept(void)
{
	static const struct {
		const char *why, *want;
		struct pkt odd; /* what differs, where it is not 0 */
	} cases[] = {
		{ "nothing odd", "3000", { 0 } },
		{ "duplicate", "1000 3000", { .ack = 1000 } },
		{ "an older one", "1000 3000", { .ack = 900 } },
		{ "a malformed option",
		  "1000 2000 3000",
		  { .tcp_options = 24, .option_fill = 5 } },
		{ "an option of another kind",
		  "1000 2000 3000",
		  { .stamp = 1, .option_fill = 30 } },
		{ "no options", "3000", { .tcp_options = 1 } },
		{ "ECE", "1000 2000 3000", { .flags = 0x50 } },
		{ "CWR", "1000 2000 3000", { .flags = 0x90 } },
		{ "FIN", "1000 2000 3000", { .flags = 0x11 } },
		{ "RST", "1000 2000 3000", { .flags = 0x14 } },
		{ "URG", "1000 2000 3000", { .flags = 0x30 } },
		{ "PSH", "1000 2000 3000", { .flags = 0x18 } },
		{ "window closed", "1000 2000 3000", { .window = 0xffff } },
		{ "data", "1000 2000 3000", { .payload = 1 } },
		{ "another sequence number", "1000 2000 3000", { .seq = 77 } },
		{ "CE", "1000 2000 3000", { .tos = 3 } },
		{ "another TTL", "1000 2000 3000", { .ttl = 9 } },
		{ "a window that opens", "3000", { .window = 9999 } },
		{ "a wrong checksum: replaces nothing", "1000 3000", { .fill = 99 } },
	};

	for (int version = 4; version <= 6; version += 2)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct pkt k = ack_of(version, 2000);
			const struct pkt *o = &cases[i].odd;
			uint8_t p[2048];
			k.ack = o->ack ? o->ack : k.ack;
			k.seq = o->seq ? o->seq : k.seq;
			k.flags = o->flags ? o->flags : k.flags;
			k.tos = o->tos ? o->tos : k.tos;
			k.ttl = o->ttl ? o->ttl : k.ttl;
			k.payload = o->payload;
			k.tcp_options =
				o->tcp_options ? o->tcp_options & ~3u : k.tcp_options;
			k.stamp = o->stamp || k.tcp_options < 12 ? 0 : k.stamp;
			k.option_fill = o->option_fill;
			k.window = o->window == 0xffff ? 0
				   : o->window         ? o->window
						       : k.window;
			start();
			add(ack_of(version, 1000));
			size_t n = pk_make(p, &k, false);
			p[pk_transport(&k) + 17] ^= (uint8_t)(o->fill == 99);
			add_bytes(p, n);
			add(ack_of(version, 3000));
			is_str(acks_out(), cases[i].want, "IPv%d: %s", version,
			       cases[i].why);
		}
}

/* An acknowledgement of 1000 with one SACK block up to this number. */
static void
add_sack(int version, uint32_t number, uint32_t right)
{
	struct pkt k = ack_of(version, number);
	uint8_t p[2048];

	k.tcp_options = 24;
	size_t n = pk_make(p, &k, false), t = pk_transport(&k);
	memcpy(p + t + 32, "\1\1\5\12", 4);
	pk_32(p + t + 36, 2000);
	pk_32(p + t + 40, right);
	pk_16(p + t + 16, 0);
	pk_16(p + t + 16,
	      0xffff - pk_sum(p + t, n - t, pk_pseudo(p, version, 6, n - t)));
	add_bytes(p, n);
}

static void
duplicates_arrive_until_a_sender_must_act(void)
{
	for (int version = 4; version <= 6; version += 2) {
		start();
		add(ack_of(version, 1000));
		for (uint32_t i = 1; i <= 20; i++)
			add_sack(version, 1000, 2000 + i * 100);
		is_str(acks_out(), "1000 1000 1000 1000",
		       "IPv%d: three duplicates, then the newest of them", version);
		start();
		for (uint32_t i = 1; i <= 20; i++)
			add_sack(version, 1000 + i, 2000 + i * 100);
		is_str(acks_out(), "1020", "IPv%d: numbers that rise: the newest",
		       version);
		start();
		for (uint32_t i = 1; i <= 6; i++)
			add_sack(version, 1000, 2100);
		is_str(acks_out(), "1000 1000 1000 1000 1000 1000",
		       "IPv%d: the same again and again says how often", version);
		start();
		add(ack_of(version, 1000));
		for (uint32_t i = 1; i <= 3; i++)
			add_sack(version, 1000, 2000 + i * 100);
		add(ack_of(version, 2300));
		add_sack(version, 2300, 3000);
		is_str(acks_out(), "1000 1000 1000 2300 2300",
		       "IPv%d: with a new number the count begins again", version);
	}
}

static void
acknowledgements_do_not_overtake_data(void)
{
	struct pkt data = data4;

	start();
	add(ack_of(4, 1000));
	add(data); /* of the same flow */
	add(ack_of(4, 2000));
	is_str(acks_out(), "1000 77 2000", "data between stays between");
	start();
	add(ack_of(4, 1000));
	data.frag = 0x2000; /* its ports may be any */
	add(data);
	add(ack_of(4, 2000));
	is_str(acks_out(), "1000 77 2000", "so does a fragment");
	start();
	uint64_t before = merge_acks(m);
	merge_allow(m, ALL);
	add(ack_of(4, 1000));
	add(ack_of(4, 2000));
	is_str(acks_out(), "1000 2000", "not asked for: all are written");
	is_int(merge_acks(m) - before, 0, "and none counted");
}

int
main(void)
{
	is_int(merge_new(&m, ALL), 0, "made");
	a_stream_becomes_one_write();
	a_merged_write_says_what_the_kernel_wants();
	what_differs_is_not_merged();
	oddities_stay_alone_even_among_themselves();
	push_and_a_short_segment_end_a_write();
	identifications_count_up_or_do_not_matter();
	a_wrong_checksum_is_not_covered_up();
	flows_are_interleaved();
	nothing_overtakes_its_flow();
	a_write_has_its_limits();
	a_refused_write_is_given_again_one_by_one();
	whatever_comes_goes_out_in_order();
	merge_allow(m, ALL | MERGE_ACKS);
	the_newest_acknowledgement_speaks_for_all();
	an_acknowledgement_that_says_more_is_kept();
	duplicates_arrive_until_a_sender_must_act();
	acknowledgements_do_not_overtake_data();
	merge_free(m);
	merge_free(NULL);
	return done_testing();
}
