/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/firewall.h"

#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/parent/setup.h"

#include <arpa/inet.h>
#include <sched.h>
#include <unistd.h>

static char text[FIREWALL_TEXT];

static struct config
one_wan(void)
{
	struct config c = { .enabled = true, .port = 443, .n_wan = 1 };

	c.wan[0] = (struct config_wan){
		.name = "wan1", .ifname = "eth0", .service = true, .nat = true
	};
	inet_pton(AF_INET, "10.200.0.0", &c.pool4.addr);
	c.pool4.len = 20;
	return c;
}

static bool
has(const char *what)
{
	return strstr(text, what) != NULL;
}

static void
only_refusals_from_the_service_port_of_an_uplink_are_silenced(void)
{
	struct config c = one_wan();

	is_int(firewall_text(&c, 2, false, text, sizeof(text)), 0, "the text fits");
	ok(has("tcp sport 443 tcp flags & (rst | ack) == (rst | ack) tcp sequence 0 "
	       "meta mark != 1 oifname { \"eth0\" } drop"),
	   "a refusal is dropped");
	ok(!has("fin"), "a dying connection may say so");
}

static void
a_service_that_is_off_refuses(void)
{
	struct config c = one_wan();

	c.enabled = false;
	firewall_text(&c, 2, false, text, sizeof(text));
	ok(!has("silence"), "switched off");
	c = one_wan();
	c.wan[0].service = false;
	firewall_text(&c, 2, false, text, sizeof(text));
	ok(!has("silence"), "no service on this uplink");
	c = one_wan();
	c.wan[0].type = UPLINK_CELLULAR;
	firewall_text(&c, 2, false, text, sizeof(text));
	ok(!has("silence"), "cellular");
}

static void
clients_are_hidden_behind_the_uplinks_that_say_so(void)
{
	struct config c = one_wan();

	c.n_wan = 2;
	c.wan[1] = (struct config_wan){ .name = "wan2", .ifname = "eth1", .nat = true };
	firewall_text(&c, 1, false, text, sizeof(text));
	ok(has("ip saddr 10.200.0.0/20 oifname { \"eth0\", \"eth1\" } masquerade"),
	   "both");
	ok(!has("ip6 saddr"), "no IPv6 without a pool");
	inet_pton(AF_INET6, "fd00:200::", &c.pool6.addr);
	c.pool6.len = 64;
	c.wan[0].nat = false;
	firewall_text(&c, 1, false, text, sizeof(text));
	ok(has("ip6 saddr fd00:200::/64 oifname { \"eth1\" } masquerade"), "IPv6, one");
	c.wan[1].nat = false;
	firewall_text(&c, 1, false, text, sizeof(text));
	ok(!has("masquerade"), "none");
}

static void
odd_names_and_small_buffers_are_refused(void)
{
	struct config c = one_wan();

	is_int(firewall_text(&c, 1, false, text, 64), E_LIMIT, "small buffer");
	is_int(firewall_text(&c, 64, false, text, sizeof(text)), 0, "64 workers fit");
	strcpy(c.wan[0].ifname, "a\" drop");
	is_int(firewall_text(&c, 1, false, text, sizeof(text)), E_INVAL,
	       "a quote in a name");
	c.wan[0].ifname[0] = '\0';
	is_int(firewall_text(&c, 1, false, text, sizeof(text)), E_INVAL, "no name");
}

static void
add_virtual(struct config *c)
{
	inet_pton(AF_INET, "192.0.2.10", &c->virtual4[0]);
	inet_pton(AF_INET, "10.10.0.10", &c->virtual4[1]);
	inet_pton(AF_INET6, "2001:db8:1::10", &c->virtual6[0]);
	c->n_virtual4 = 2;
	c->n_virtual6 = 1;
}

static void
in_a_pair_a_dying_node_is_silent(void)
{
	struct config c = one_wan();

	firewall_text(&c, 1, true, text, sizeof(text));
	ok(has("tcp sport 443 tcp flags & (fin | ack) == (fin | ack) meta mark != 1 "
	       "oifname { \"eth0\" } drop"),
	   "no FIN");
	ok(has("tcp sport 443 tcp flags & (rst | ack) == (rst | ack) meta mark != 1 "
	       "oifname { \"eth0\" } drop"),
	   "no RST, whatever its number");
	ok(has("socket transparent 0 accept\n\t\tiifname { \"eth0\" } drop"),
	   "nothing is answered that nobody listens for");
	ok(!has("transit"), "no virtual address is known");
	add_virtual(&c);
	firewall_text(&c, 1, true, text, sizeof(text));
	ok(has("ip daddr { 192.0.2.10, 10.10.0.10 } drop"), "nothing is forwarded");
	ok(has("ip6 daddr { 2001:db8:1::10 } drop"), "IPv6");
	firewall_text(&c, 1, false, text, sizeof(text));
	ok(!has("transit") && !has("lost"), "alone, none of it");
}

static void
a_spare_is_closed_at_its_own_addresses(void)
{
	struct config c = one_wan();

	is_int(firewall_spare_text(&c, text, sizeof(text)), 0, "the text fits");
	ok(has("== syn meta nfproto ipv4 reject"), "no virtual address: all of it");
	add_virtual(&c);
	firewall_spare_text(&c, text, sizeof(text));
	ok(has("iifname { \"eth0\" } tcp dport 443 tcp flags & (fin | syn | rst | ack) "
	       "== syn ip daddr != { 192.0.2.10, 10.10.0.10 } reject"),
	   "new connections to others than the virtual addresses");
	ok(has("ip6 daddr != { 2001:db8:1::10 } reject"), "IPv6");
	is_int(firewall_spare_text(&c, text, 200), E_LIMIT, "a small buffer");
}

/* In a network namespace of our own. */
static void
the_kernel_takes_it_again_and_again(void)
{
	struct config c = one_wan();
	char why[WHY_MAX] = "";

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		ok(true, "the kernel takes it # SKIP needs root");
		return;
	}
	inet_pton(AF_INET6, "fd00:200::", &c.pool6.addr);
	c.pool6.len = 64;
	for (int i = 0; i < 2; i++)
		is_int(firewall_apply(&c, 64, false, why), 0, "apply %d: %s", i, why);
	add_virtual(&c);
	for (int i = 0; i < 2; i++)
		is_int(firewall_apply(&c, 64, true, why), 0, "a pair %d: %s", i, why);
	static struct endpoint e[FIREWALL_LOST];
	for (int i = 0; i < FIREWALL_LOST; i++) {
		e[i].client.family = i % 2 ? 4 : 6;
		e[i].client.port = (uint16_t)(65535 - i);
		memset(e[i].client.b, 0xdd, 16);
	}
	for (int i = 0; i < 2; i++)
		is_int(firewall_lost(e, FIREWALL_LOST, 2, why), 0, "lost %d: %s", i,
		       why);
	for (int i = 0; i < 2; i++)
		is_int(firewall_stray(&c, why), 0, "stray %d: %s", i, why);
	for (int i = 0; i < 2; i++)
		is_int(firewall_stray_remove(why), 0, "stray removed %d: %s", i, why);
	for (int i = 0; i < 2; i++)
		is_int(firewall_spare(&c, why), 0, "spare %d: %s", i, why);
	for (int i = 0; i < 2; i++)
		is_int(firewall_spare_remove(why), 0, "spare removed %d: %s", i, why);
	for (int i = 0; i < 2; i++)
		is_int(firewall_remove(why), 0, "remove %d: %s", i, why);
}

int
main(void)
{
	only_refusals_from_the_service_port_of_an_uplink_are_silenced();
	a_service_that_is_off_refuses();
	clients_are_hidden_behind_the_uplinks_that_say_so();
	odd_names_and_small_buffers_are_refused();
	in_a_pair_a_dying_node_is_silent();
	a_spare_is_closed_at_its_own_addresses();
	the_kernel_takes_it_again_and_again();
	return done_testing();
}
