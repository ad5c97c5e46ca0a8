/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/session/pool.h"

#include <arpa/inet.h>

static struct prefix4
net4(const char *text, uint8_t len)
{
	struct prefix4 p = { .len = len };
	inet_pton(AF_INET, text, &p.addr);
	return p;
}

static struct prefix6
net6(const char *text, uint8_t len)
{
	struct prefix6 p = { .len = len };
	inet_pton(AF_INET6, text, &p.addr);
	return p;
}

static struct pool *
pool_of(const char *text, uint8_t len, unsigned residue, unsigned modulo)
{
	struct pool *p = NULL;
	struct prefix4 n4 = net4(text, len);
	struct prefix6 n6 = net6("2001:db8:1::", 64);
	pool_new(&p, &n4, &n6, residue, modulo);
	return p;
}

static void
is_addr(struct ip_addr a, const char *want, const char *why)
{
	char text[IP_TEXT];
	is_str(ip_text(&a, text), want, "%s", why);
}

static void
network_gateway_and_broadcast_are_never_given(void)
{
	struct pool *p = pool_of("10.9.0.0", 29, 0, 1);
	uint32_t host;

	is_int(pool_size(p), 5, "a /29 has five addresses for clients");
	for (uint32_t i = 2; i <= 6; i++) {
		is_int(pool_lease(p, i, &host), 0, "lease");
		is_int(host, i, "host %u", i);
	}
	is_int(pool_lease(p, 9, &host), E_LIMIT, "then none is free");
	is_int(pool_take(p, 0, 1), E_NOENT, "not the network");
	is_int(pool_take(p, 1, 1), E_NOENT, "not the gateway");
	is_int(pool_take(p, 7, 1), E_NOENT, "not the broadcast");
	is_addr(pool_addr4(p, 2), "10.9.0.2", "the first client");
	is_addr(pool_addr6(p, 2), "2001:db8:1::2", "and its IPv6 twin");
	pool_free(p);
}

static void
small_subnets_have_no_address_and_do_no_harm(void)
{
	for (uint8_t len = 30; len <= 32; len++) {
		struct pool *p = pool_of("10.9.0.0", len, 0, 1);
		uint32_t host;
		is_int(pool_size(p), len == 30 ? 1 : 0, "/%u", len);
		is_int(pool_lease(p, 1, &host), len == 30 ? 0 : E_LIMIT, "lease of /%u",
		       len);
		pool_free(p);
	}
	struct pool *p = pool_of("10.0.0.0", 8, 0, 1);
	is_int(pool_size(p), POOL_HOSTS_MAX - 2, "a huge one is bounded");
	pool_free(p);
}

static void
the_address_free_for_longest_is_given_first(void)
{
	struct pool *p = pool_of("10.9.0.0", 29, 0, 1);
	uint32_t host;

	for (int i = 0; i < 5; i++)
		pool_lease(p, 1, &host);
	pool_return(p, 5);
	pool_return(p, 3);
	pool_return(p, 3);
	is_int(pool_used(p), 3, "returning twice counts once");
	pool_lease(p, 1, &host);
	is_int(host, 5, "first back, first out");
	pool_lease(p, 1, &host);
	is_int(host, 3, "then the other");
	pool_free(p);
}

static void
halves_do_not_collide_but_tokens_of_the_other_are_honoured(void)
{
	struct pool *even = pool_of("10.9.0.0", 28, 0, 2);
	uint32_t host;

	is_int(pool_size(even), 7, "2, 4 .. 14");
	while (pool_lease(even, 7, &host) == 0)
		is_int(host % 2, 0, "%u is even", host);
	is_int(pool_take(even, 5, 8), 0, "an odd one from a token");
	is_int(pool_owner(even, 5), 8, "is held");
	is_int(pool_take(even, 5, 8), 0, "again by the same");
	is_int(pool_take(even, 5, 9), E_EXIST, "but not by another");
	pool_return(even, 5);
	is_int(pool_lease(even, 7, &host), E_LIMIT, "and never leased here");
	pool_free(even);
}

static void
addresses_lead_back_to_hosts(void)
{
	struct pool *p = pool_of("10.9.0.0", 20, 0, 1);
	struct ip_addr a;

	a = pool_addr4(p, 300);
	is_int(pool_host(p, &a), 300, "IPv4");
	a = pool_addr6(p, 300);
	is_int(pool_host(p, &a), 300, "IPv6");
	ip_parse("10.8.255.255", &a);
	is_int(pool_host(p, &a), POOL_NONE, "below the subnet");
	ip_parse("10.9.16.5", &a);
	is_int(pool_host(p, &a), POOL_NONE, "above the subnet");
	ip_parse("2001:db8:2::5", &a);
	is_int(pool_host(p, &a), POOL_NONE, "another prefix");
	a = (struct ip_addr){ 0 };
	is_int(pool_host(p, &a), POOL_NONE, "no address");
	pool_free(p);
}

static void
a_long_prefix_gives_ipv6_only_where_it_fits(void)
{
	struct pool *p;
	struct prefix4 n4 = net4("10.9.0.0", 20);
	struct prefix6 n6 = net6("2001:db8::a00", 120);

	pool_new(&p, &n4, &n6, 0, 1);
	is_addr(pool_addr6(p, 255), "2001:db8::aff", "the last that fits");
	is_int(pool_addr6(p, 256).family, 0, "none beyond");
	struct ip_addr a = pool_addr6(p, 77);
	is_int(pool_host(p, &a), 77, "and back");
	pool_free(p);
}

int
main(void)
{
	network_gateway_and_broadcast_are_never_given();
	small_subnets_have_no_address_and_do_no_harm();
	the_address_free_for_longest_is_given_first();
	halves_do_not_collide_but_tokens_of_the_other_are_honoured();
	addresses_lead_back_to_hosts();
	a_long_prefix_gives_ipv6_only_where_it_fits();
	return done_testing();
}
