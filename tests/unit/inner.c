/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/inner.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>

/* 28 bytes from 10.9.0.2 to 10.1.2.3, TOS 0xb8, UDP. */
static const uint8_t good4[] = {
	0x45, 0xb8, 0,  28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9,
	0,    2,    10, 1,  2, 3, 1,    2, 3,  4,  5, 6, 7,  8
};

/* 44 bytes from 2001:db8::2 to 2001:db8::1, class 0xb8, ICMPv6. */
static const uint8_t good6[] = {
	0x6b, 0x80, 0, 0, 0, 4, 58, 64, 0x20, 1,    0x0d, 0xb8, 0,    0, 0,
	0,    0,    0, 0, 0, 0, 0,  0,  2,    0x20, 1,    0x0d, 0xb8, 0, 0,
	0,    0,    0, 0, 0, 0, 0,  0,  0,    1,    128,  0,    0,    0,
};

static struct in_addr
v4(const char *s)
{
	struct in_addr a;
	inet_pton(AF_INET, s, &a);
	return a;
}

static struct in6_addr
v6(const char *s)
{
	struct in6_addr a;
	inet_pton(AF_INET6, s, &a);
	return a;
}

static void
good_packets_are_read(void)
{
	struct inner p;
	struct in6_addr want = v6("::ffff:10.9.0.2");

	is_int(inner_parse(span_of(good4, sizeof(good4)), &p), 0, "IPv4");
	ok(p.version == 4 && p.tos == 0xb8 && p.proto == 17 && p.packet.n == 28,
	   "its fields");
	is_mem(&p.src, &want, 16, "source, mapped");
	want = inner_mapped(v4("10.1.2.3"));
	is_mem(&p.dst, &want, 16, "destination, mapped");

	is_int(inner_parse(span_of(good6, sizeof(good6)), &p), 0, "IPv6");
	ok(p.version == 6 && p.tos == 0xb8 && p.proto == 58 && p.packet.n == 44,
	   "its fields");
	want = v6("2001:db8::2");
	is_mem(&p.src, &want, 16, "source");
	want = v6("2001:db8::1");
	is_mem(&p.dst, &want, 16, "destination");
}

static void
trailing_bytes_are_cut_off(void)
{
	uint8_t buf[100] = { 0 };
	struct inner p;

	memcpy(buf, good4, sizeof(good4));
	is_int(inner_parse(span_of(buf, 100), &p), 0, "IPv4");
	is_int(p.packet.n, 28, "cut");
	memcpy(buf, good6, sizeof(good6));
	is_int(inner_parse(span_of(buf, 100), &p), 0, "IPv6");
	is_int(p.packet.n, 44, "cut");
}

static void
malformed_packets_are_refused(void)
{
	static const struct {
		const uint8_t *from;
		size_t at;
		uint8_t v;
		const char *why;
	} cases[] = {
		{ good4, 0, 0x44, "short IPv4 header" },
		{ good4, 0, 0x48, "header beyond the packet" },
		{ good4, 0, 0x55, "version 5" },
		{ good4, 0, 0x05, "version 0" },
		{ good4, 3, 29, "longer than what came" },
		{ good4, 3, 19, "shorter than its header" },
		{ good6, 5, 5, "payload longer than what came" },
	};
	uint8_t bad[64];
	struct inner p;
	int refused = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = cases[i].from == good4 ? sizeof(good4) : sizeof(good6);
		memcpy(bad, cases[i].from, n);
		bad[cases[i].at] = cases[i].v;
		is_int(inner_parse(span_of(bad, n), &p), E_PROTO, "%s", cases[i].why);
	}
	memcpy(bad, good6, sizeof(good6));
	bad[5] = bad[6] = 0;
	is_int(inner_parse(span_of(bad, sizeof(good6)), &p), E_PROTO, "jumbogram");
	for (size_t cut = 0; cut < sizeof(good4); cut++)
		refused += inner_parse(span_of(good4, cut), &p) == E_PROTO;
	for (size_t cut = 0; cut < sizeof(good6); cut++)
		refused += inner_parse(span_of(good6, cut), &p) == E_PROTO;
	is_int(refused, sizeof(good4) + sizeof(good6), "cut anywhere");
}

static void
only_the_sessions_own_source_passes(void)
{
	static const struct {
		const char *src;
		enum inner_source want;
	} cases[] = {
		{ "10.9.0.2", INNER_OWN },
		{ "10.9.0.3", INNER_FOREIGN },
		{ "0.0.0.0", INNER_QUIET },
		{ "169.254.7.7", INNER_QUIET },
		{ "224.0.0.1", INNER_FOREIGN },
		{ "127.0.0.1", INNER_FOREIGN },
		{ "2001:db8::2", INNER_OWN },
		{ "2001:db8::3", INNER_FOREIGN },
		{ "fe80::1", INNER_QUIET },
		{ "::", INNER_QUIET },
		{ "ff02::1", INNER_FOREIGN },
		{ "::1", INNER_FOREIGN },
		/* An IPv6 packet that says it is our IPv4 address. */
		{ "::ffff:10.9.0.2", INNER_FOREIGN },
	};
	struct in_addr own4 = v4("10.9.0.2");
	struct in6_addr own6 = v6("2001:db8::2");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is6 = strchr(cases[i].src, ':') != NULL;
		struct inner p;
		inner_parse(is6 ? span_of(good6, sizeof(good6))
				: span_of(good4, sizeof(good4)),
			    &p);
		p.src = is6 ? v6(cases[i].src) : inner_mapped(v4(cases[i].src));
		is_int(inner_check_source(&p, &own4, &own6), cases[i].want, "%s",
		       cases[i].src);
		ok(inner_check_source(&p, NULL, NULL) != INNER_OWN,
		   "no address owns none");
	}
}

int
main(void)
{
	good_packets_are_read();
	trailing_bytes_are_cut_off();
	malformed_packets_are_refused();
	only_the_sessions_own_source_passes();
	return done_testing();
}
