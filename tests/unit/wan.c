/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What clients dial on an uplink. */
#include "common/wan.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>

static struct ip_addr
ip(const char *text)
{
	struct ip_addr a = { 0 };
	(void)ip_parse(text, &a);
	return a;
}

static struct wan_own
own(const char *ifname, const char *addr, uint8_t len)
{
	struct wan_own o = { .addr = ip(addr), .len = len };
	snprintf(o.ifname, sizeof(o.ifname), "%s", ifname);
	return o;
}

/* The addresses as one text. */
static const char *
list(const struct config *c, const char *ifname, const struct wan_own *o, size_t n)
{
	static char text[WAN_ADDRS * (IP_TEXT + 1)];
	struct ip_addr out[WAN_ADDRS];
	unsigned did = wan_addresses_of(c, ifname, o, n, out);
	char one[IP_TEXT];

	text[0] = '\0';
	for (unsigned i = 0; i < did; i++) {
		strcat(text, i ? " " : "");
		strcat(text, ip_text(&out[i], one));
	}
	return text;
}

static void
of_a_pair(void)
{
	struct config c = { .n_virtual4 = 3, .n_virtual6 = 2 };
	const struct wan_own o[] = {
		own("lo", "127.0.0.1", 8),         own("wan1", "192.0.2.11", 24),
		own("wan1", "fe80::1", 64),        own("wan1", "2001:db8:1::11", 64),
		own("wan1", "192.0.2.10", 32),     own("wan2", "198.51.100.11", 24),
		own("wan2", "2001:db8:2::11", 64), own("lan", "10.10.0.11", 24),
		own("lan", "fd00:10::11", 64),
	};

	inet_pton(AF_INET, "192.0.2.10", &c.virtual4[0]);
	inet_pton(AF_INET, "198.51.100.10", &c.virtual4[1]);
	inet_pton(AF_INET, "10.10.0.10", &c.virtual4[2]);
	inet_pton(AF_INET6, "2001:db8:1::10", &c.virtual6[0]);
	inet_pton(AF_INET6, "fd00:10::10", &c.virtual6[1]);
	is_str(list(&c, "wan1", o, 9), "192.0.2.10 2001:db8:1::10",
	       "the virtual ones, held or not");
	is_str(list(&c, "wan2", o, 9), "198.51.100.10 2001:db8:2::11",
	       "a family without: the interface's own");
	is_str(list(&c, "lan", o, 9), "10.10.0.10 fd00:10::10",
	       "each interface its own");
	is_str(list(&c, "wwan0", o, 9), "", "none");
}

static void
of_one_alone(void)
{
	struct config c = { 0 };
	struct wan_own o[20] = { own("eth0", "169.254.7.7", 16),
				 own("eth0", "203.0.113.5", 24),
				 own("eth0", "fe80::5", 64),
				 own("eth0", "2001:db8::5", 64),
				 own("eth0", "::1", 128) };

	is_str(list(&c, "eth0", o, 5), "203.0.113.5 2001:db8::5",
	       "its own, without link-local and loopback");
	o[5] = own("eth0", "2001:db8::6", 64);
	o[3].is_passing = true;
	is_str(list(&c, "eth0", o, 6), "203.0.113.5 2001:db8::6",
	       "not a temporary one of privacy");
	for (unsigned i = 0; i < 20; i++)
		o[i] = own("eth0", "203.0.113.5", 24);
	struct ip_addr out[WAN_ADDRS];
	is_int(wan_addresses_of(&c, "eth0", o, 20, out), WAN_ADDRS, "bounded");
	/* No such interface in here; what matters is that it asks the kernel. */
	is_int(wan_addresses(&c, "nosuch0", out), 0, "of no interface: none");
	is_int(wan_addresses(&c, "lo", out), 0, "loopback: nobody dials it");
}

static void
prefixes_cover(void)
{
	struct ip_addr net = ip("10.16.0.0"), six = ip("2001:db8::"), a;

	a = ip("10.31.255.255");
	ok(wan_covers(&net, 12, &a) && !wan_covers(&net, 13, &a), "to the bit");
	ok(wan_covers(&net, 0, &a) && !wan_covers(&net, 33, &a), "the ends");
	ok(!wan_covers(&six, 0, &a), "not the other family");
	a = ip("2001:db8::1");
	ok(!wan_covers(&six, 128, &a) && wan_covers(&six, 127, &a), "IPv6");
	ok(wan_covers(&a, 128, &a), "itself");
}

int
main(void)
{
	of_a_pair();
	of_one_alone();
	prefixes_cover();
	return done_testing();
}
