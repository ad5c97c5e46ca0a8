/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/route.h"

#include "tests/lib/tap.h"
#include "vpnd/parent/setup.h"
#include "vpnd/parent/tun.h"

#include <errno.h>

#include <arpa/inet.h>
#include <sched.h>
#include <unistd.h>

static struct config
pools(void)
{
	struct config c = { .n_wan = 0 };

	inet_pton(AF_INET, "10.200.16.0", &c.pool4.addr);
	c.pool4.len = 20;
	inet_pton(AF_INET6, "fd00:200::", &c.pool6.addr);
	c.pool6.len = 68;
	return c;
}

static struct ip_addr
addr(const char *text)
{
	struct ip_addr a = { 0 };

	ip_parse(text, &a);
	return a;
}

static void
session_may_only_route_addresses_of_the_pools(void)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "10.200.16.2", true },
		{ "10.200.31.254", true },
		{ "10.200.32.1", false },
		{ "10.200.15.255", false },
		{ "10.200.16.1", false }, /* the gateway's own */
		{ "0.0.0.0", false },
		{ "192.0.2.1", false },
		{ "fd00:200::2", true },
		{ "fd00:200::fff:ffff:ffff:ffff", true },
		{ "fd00:200:0:0:1000::", false },
		{ "fd00:200::1", false },
		{ "fd00:201::2", false },
		{ "::", false },
	};
	struct config c = pools();
	struct ip_addr none = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_addr a = addr(cases[i].text);
		is_int(route_permitted(&c, &a), cases[i].want, "%s", cases[i].text);
	}
	ok(!route_permitted(&c, &none), "no family");
	c.pool6.len = 0;
	none = addr("fd00:200::2");
	ok(!route_permitted(&c, &none), "IPv6 without a pool");
}

static bool
ip_says(const char *command, const char *what)
{
	char out[4096];
	FILE *f = popen(command, "r");
	size_t n = f != NULL ? fread(out, 1, sizeof(out) - 1, f) : 0;

	out[n] = '\0';
	if (f != NULL)
		pclose(f);
	return strstr(out, what) != NULL;
}

/* In a network namespace of our own. */
static void
a_session_moves_from_device_to_device(void)
{
	struct config c = pools();
	struct tun t[2];
	struct router r;
	char why[WHY_MAX] = "";
	struct ip_addr four = addr("10.200.16.7"), six = addr("fd00:200::7");

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
	    access("/dev/net/tun", W_OK) < 0) {
		ok(true, "a session moves # SKIP needs root and TUN");
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		is_int(tun_open(&t[i], i, true, why), 0, "vpn%u %s", i, why);
	is_int(router_open(&r), 0, "netlink");
	is_int(route_pools(&r, &c), 0, "pools");
	for (unsigned i = 0; i < 2; i++) {
		is_int(route_set(&r, &four, t[i].ifindex, 1390 + i), 0, "IPv4 to vpn%u",
		       i);
		is_int(route_set(&r, &six, t[i].ifindex, 1390 + i), 0, "IPv6 to vpn%u",
		       i);
	}
	ok(ip_says("ip -4 route", "10.200.16.7 dev vpn1 proto 84 scope link mtu 1391"),
	   "IPv4 is there");
	ok(!ip_says("ip -4 route", "dev vpn0"), "and only there");
	ok(ip_says("ip -6 route", "fd00:200::7 dev vpn1 proto 84"), "IPv6 is there");
	ok(!ip_says("ip -6 route", "fd00:200::7 dev vpn0"), "and only there");
	struct ip_addr mine = addr("2001:db8::7"), mine4 = addr("192.0.2.7");
	ok(!route_is_local(&r, &mine) && !route_is_local(&r, &mine4) &&
		   !route_is_local(&r, &six),
	   "others' addresses are not local");
	(void)ip_says("ip link set lo up; ip addr add 2001:db8::7/64 dev lo nodad; "
		      "ip addr add 192.0.2.7/24 dev lo",
		      "");
	bool is_local = false;
	for (unsigned i = 0; i < 200 && !is_local; i++, usleep(5000))
		is_local = route_is_local(&r, &mine);
	ok(is_local && route_is_local(&r, &mine4), "ours are");
	is_int(route_del(&r, &six), 0, "delete");
	is_int(route_del(&r, &six), 0, "delete again");
	ok(!ip_says("ip -6 route", "fd00:200::7"), "IPv6 is gone");
	is_int(route_flush(&r), 0, "flush");
	ok(!ip_says("ip route; ip -6 route", "proto 84"), "nothing of ours is left");
	router_close(&r);
	for (unsigned i = 0; i < 2; i++)
		tun_close(&t[i]);
}

int
main(void)
{
	session_may_only_route_addresses_of_the_pools();
	a_session_moves_from_device_to_device();
	return done_testing();
}
