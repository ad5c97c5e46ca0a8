/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The interface of the default route, in a network namespace of our own. */
#include "common/routing.h"

#include "tests/lib/tap.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static void
is_default(const char *commands, const char *want)
{
	char name[IF_NAMESIZE] = "";

	is_int(system(commands), 0, "%s", commands);
	is_int(routing_default_ifname(name), want != NULL ? 0 : -ENOENT, "%s",
	       want != NULL ? want : "none");
	if (want != NULL)
		is_str(name, want, "is it");
}

int
main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		ok(true, "the default route # SKIP needs root");
		return done_testing();
	}
	is_default("ip link add one type veth peer name two && "
		   "ip addr add 192.0.2.1/24 dev one && ip addr add 198.51.100.1/24 "
		   "dev two "
		   "&& ip link set one up && ip link set two up",
		   NULL);
	is_default("ip route add default via 192.0.2.2 dev one table 7", NULL);
	is_default("ip route add unreachable default metric 9", NULL);
	is_default("ip -6 route add default dev two", "two");
	is_default("ip route add default via 192.0.2.2 dev one metric 20", "one");
	is_default("ip route add default via 198.51.100.2 dev two metric 30", "one");
	is_default("ip route add default metric 10 nexthop via 198.51.100.3 dev two "
		   "nexthop via 192.0.2.3 dev one",
		   "two");
	return done_testing();
}
