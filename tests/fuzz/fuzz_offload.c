/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* split and merge, against the plain path: what goes in comes out, as packets or at
 * least as the same stream, and hostile headers break nothing.
 *
 * Byte 0 even: the rest is an MTU (2) and a read of the TUN. Odd: a list of packets,
 * 8 bytes each of what makes them, for merge and then split. 3 modulo 4: raw packets,
 * a length (2) before each. */
#include "common/err.h"
#include "vpnd/worker/merge.h"
#include "vpnd/worker/split.h"
#include "vpnd/worker/vnet.h"

#include "tests/lib/packets.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { PACKETS = 200, SIZE = 2048 };

static void
cut(const uint8_t *p, size_t n, size_t mtu)
{
	/* Exact copies, so that one byte too far is seen. */
	uint8_t *read = malloc(n + 1), *out = malloc(mtu + 1);
	struct split s;
	size_t one, payload = 0;
	unsigned made = 0;

	assert(read != NULL && out != NULL);
	memcpy(read, p, n);
	if (split_open(&s, span_of(read, n)) == 0 && split_begin(&s, mtu) == 0) {
		struct span whole = s.inner.packet;
		int rc;
		while ((rc = split_next(&s, out, mtu, &one)) == 0) {
			struct inner in;
			assert(one <= mtu);
			assert(inner_parse(span_of(out, one), &in) == 0);
			assert(in.packet.n == one);
			if (s.kind == SPLIT_SINGLE) {
				assert(one == whole.n);
			} else {
				size_t here = one - s.header;
				assert(payload + here <= whole.n - s.header);
				assert(memcmp(out + s.header,
					      whole.p + s.header + payload, here) == 0);
				payload += here;
				uint8_t *t = out + s.transport;
				bool tcp = s.kind == SPLIT_TCP;
				uint32_t sum = pk_pseudo(out, in.version, tcp ? 6 : 17,
							 one - s.transport);
				if (s.has_check)
					assert(pk_sum(t, one - s.transport, sum) %
						       0xffff ==
					       0);
				if (in.version == 4)
					assert(pk_sum(out, s.transport, 0) == 0xffff);
			}
			made++;
		}
		assert(rc == E_NOENT && made == split_count(&s));
		assert(s.kind == SPLIT_SINGLE || payload == whole.n - s.header);
	}
	free(read);
	free(out);
}

static bool
same_flow(const uint8_t *a, size_t n, const uint8_t *b, size_t bn)
{
	size_t at = a[0] >> 4 == 4 ? 9 : 6;

	if (a[0] >> 4 != b[0] >> 4 || a[at] != b[at])
		return false;
	/* Without ports in their usual place: by the whole. */
	if ((a[at] != 6 && a[at] != 17) || a[0] != b[0] || (at == 9 && a[0] != 0x45) ||
	    n < (at == 9 ? 24 : 44) || bn < (at == 9 ? 24 : 44))
		return n == bn && memcmp(a, b, n) == 0;
	return at == 9 ? memcmp(a + 12, b + 12, 12) == 0
		       : memcmp(a + 8, b + 8, 36) == 0;
}

/* Equal, but for what RFC 6864 makes meaningless: the identification with DF. */
static bool
same_packet(uint8_t *a, const uint8_t *b, size_t n)
{
	if (a[0] >> 4 == 4 && (b[6] & 0x40) && memcmp(a + 4, b + 4, 2) != 0) {
		if (pk_sum(a, (a[0] & 15u) * 4u, 0) != 0xffff)
			return false;
		memcpy(a + 4, b + 4, 2);
		memcpy(a + 10, b + 10, 2);
	}
	return memcmp(a, b, n) == 0;
}

static uint8_t buf[PACKETS][SIZE], whole[SPLIT_READ_MAX], out[SPLIT_READ_MAX];
static size_t len[PACKETS];
static bool seen[PACKETS];

/* May a later acknowledgement have taken this one's place? */
static bool
is_bare_ack(const uint8_t *p, size_t n)
{
	size_t t = p[0] == 0x45 && p[9] == 6     ? 20
		   : p[0] >> 4 == 6 && p[6] == 6 ? 40
						 : n;

	return n >= t + 20 && p[t + 13] == 0x10 && n == t + (p[t + 12] >> 4) * 4u;
}

static void
there_and_back(struct merge *m, unsigned packets)
{
	struct merge_write w;
	unsigned n = 0, replaced = 0;

	memset(seen, 0, sizeof(seen));
	while (merge_next(m, &w)) {
		size_t total = 0, one;
		unsigned made = 0;
		struct split s;
		assert(w.iovs >= 2 && w.iovs <= MERGE_IOVS && w.packets >= 1);
		for (int i = 0; i < w.iovs; i++) {
			memcpy(whole + total, w.iov[i].iov_base, w.iov[i].iov_len);
			total += w.iov[i].iov_len;
		}
		assert(split_open(&s, span_of(whole, total)) == 0);
		assert(split_begin(&s, 65535) == 0);
		while (split_next(&s, out, sizeof(out), &one) == 0) {
			unsigned i;
			for (i = 0; i < packets; i++) {
				if (seen[i] || !same_flow(buf[i], len[i], out, one))
					continue;
				if (!is_bare_ack(buf[i], len[i]) ||
				    (len[i] == one && same_packet(out, buf[i], one)))
					break;
				seen[i] = true;
				replaced++;
			}
			assert(i < packets && len[i] == one);
			assert(same_packet(out, buf[i], one));
			seen[i] = true;
			made++;
		}
		assert(made == w.packets);
		n += made;
	}
	assert(n + replaced == packets && replaced == merge_acks(m));
}

static size_t
make(uint8_t *p, const uint8_t *d, uint32_t *seq, uint16_t *id)
{
	unsigned flow = d[0] % 8;
	struct pkt k = { .version = flow & 1 ? 6 : 4,
			 .proto = flow & 2 ? 17 : 6,
			 .src = (uint8_t)(flow & 4),
			 .dst = 9,
			 .sport = 1,
			 .dport = 2,
			 .ttl = 64,
			 .tos = d[3] & 0x80 ? d[7] : 0,
			 .frag = d[0] & 0x80 ? 0 : 0x4000,
			 .flags = d[3] & 1 ? d[7] : 0x10,
			 .seq = seq[flow],
			 .ack = (uint32_t)(d[3] & 2 ? d[6] : 0) << 8,
			 .stamp = d[3] & 4 ? d[5] : 0,
			 .id = id[flow],
			 .window = d[3] & 2 ? d[7] : 9,
			 .tcp_options = d[3] & 4 ? d[7] % 11 * 4 : 0,
			 .ip_options = d[3] & 8 ? d[7] % 11 * 4 : 0,
			 .ext = d[3] & 16,
			 .no_check = d[3] & 32,
			 .payload = (size_t)(d[1] << 8 | d[2]) % 1500,
			 .fill = flow };
	size_t n;

	if (d[0] & 0x40)
		k.frag ^= (uint16_t)(d[6] << 8);
	n = pk_make(p, &k, false);
	seq[flow] += (uint32_t)k.payload + (d[0] & 0x10 ? d[4] : 0);
	id[flow] += d[0] & 0x20 ? d[5] : 1;
	if (d[3] & 64)
		p[d[6] % n] ^= d[5];
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *d, size_t n)
{
	struct merge *m;
	unsigned packets = 0;
	uint32_t seq[8] = { 0xfffff000 };
	uint16_t id[8] = { 0xfffe };

	if (n < 3)
		return 0;
	if (d[0] % 2 == 0) {
		cut(d + 3, n - 3, (size_t)(d[1] << 8 | d[2]));
		return 0;
	}
	bool is_raw = d[0] % 4 == 3;
	assert(merge_new(&m, d[0] & 4 ? d[1] : 15) == 0);
	for (d += 2, n -= 2; packets < PACKETS;) {
		struct inner in;
		size_t one;
		if (is_raw) {
			if (n < 2)
				break;
			one = (size_t)(d[0] << 8 | d[1]) % SIZE;
			d += 2;
			n -= 2;
			one = one < n ? one : n;
			memcpy(buf[packets], d, one);
			d += one;
			n -= one;
		} else {
			if (n < 8)
				break;
			one = make(buf[packets], d, seq, id);
			d += 8;
			n -= 8;
		}
		if (inner_parse(span_of(buf[packets], one), &in) < 0)
			continue;
		len[packets] = in.packet.n;
		assert(merge_add(m, &in, packets) == 0);
		packets++;
	}
	there_and_back(m, packets);
	merge_free(m);
	return 0;
}
