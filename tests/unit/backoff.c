/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/auth/backoff.h"

#include <arpa/inet.h>

static struct ip_addr
address(const char *text)
{
	struct ip_addr a;
	if (ip_parse(text, &a) < 0)
		exit(1);
	return a;
}

static void
five_quick_typos_cost_nothing(void)
{
	struct backoff *b = backoff_new();
	struct ip_addr home = address("192.0.2.7");

	for (int i = 0; i < 5; i++) {
		struct backoff_verdict v =
			backoff_judge(b, &home, "alice", false, 1000);
		ok(v.delay_ms == 0 && v.wait_s == 0, "try %d is judged at once", i + 1);
		backoff_failed(b, &home, "alice", false, 1000);
	}
	is_int(backoff_judge(b, &home, "alice", false, 1000).delay_ms, 250,
	       "the sixth waits");
	backoff_failed(b, &home, "alice", false, 1000);
	is_int(backoff_judge(b, &home, "alice", false, 1000).delay_ms, 500,
	       "the next twice that");
	for (int i = 0; i < 9; i++)
		backoff_failed(b, &home, "alice", false, 1000);
	is_int(backoff_judge(b, &home, "alice", false, 1000).delay_ms, 8000,
	       "up to 8 s");
	is_int(backoff_judge(b, &home, "alice", false, 1000 + 600000).delay_ms, 0,
	       "ten minutes later all is forgotten");
	backoff_free(b);
}

static void
a_guesser_gets_less_than_one_try_a_second(void)
{
	struct backoff *b = backoff_new();
	struct ip_addr bad = address("198.51.100.1"), good = address("192.0.2.7");
	unsigned tries = 0, news = 0;
	uint64_t now = 1;

	for (uint64_t tick = 0; tick < 36000;
	     tick++, now += 100) { /* an hour, ten a second */
		struct backoff_verdict v = backoff_judge(b, &bad, "alice", false, now);
		news += v.is_news;
		if (v.wait_s > 0)
			continue;
		tries++;
		backoff_failed(b, &bad, "alice", false, now);
	}
	ok(tries < 300, "one source gets %u tries in an hour", tries);
	ok(news > 10 && news <= 61, "and raises %u events, not thousands", news);
	struct backoff_verdict v = backoff_judge(b, &good, "alice", false, now);
	is_int(v.wait_s, 0, "the user himself is not refused elsewhere");
	ok(v.delay_ms <= 2000, "and waits %u ms at most", v.delay_ms);
	v = backoff_judge(b, &good, "bob", false, now);
	ok(v.delay_ms == 0 && v.wait_s == 0, "nobody else waits");
	for (int i = 0; i < 1000; i++)
		backoff_failed(b, &bad, "alice", false, now);
	v = backoff_judge(b, &bad, "x", false, now);
	ok(v.wait_s > 0 && v.wait_s <= 330, "the longest wait is %u s", v.wait_s);
	is_int(backoff_judge(b, &bad, "x", false, now + 1000ULL * v.wait_s).wait_s, 0,
	       "and is as long as was said");
	backoff_free(b);
}

static void
sources_are_hosts_and_networks(void)
{
	struct backoff *b = backoff_new();
	struct ip_addr a = address("2001:db8::1"), same = address("2001:db8::ffff:1"),
		       other = address("2001:db8:0:1::1"), v4 = address("192.0.2.1"),
		       next4 = address("192.0.2.2");

	a.port = 1000;
	for (int i = 0; i < 25; i++) {
		backoff_failed(b, &a, "u", false, 1);
		backoff_failed(b, &v4, "u", false, 1);
	}
	ok(backoff_judge(b, &same, "x", false, 1).wait_s > 0, "a /64 is one source");
	ok(backoff_judge(b, &other, "x", false, 1).wait_s == 0,
	   "the next /64 is another");
	v4.port = 99;
	ok(backoff_judge(b, &v4, "x", false, 1).wait_s > 0, "a port makes no source");
	ok(backoff_judge(b, &next4, "x", false, 1).wait_s == 0,
	   "an IPv4 address is one source");
	backoff_free(b);
}

static void
success_forgives_the_user_and_not_the_source(void)
{
	struct backoff *b = backoff_new();
	struct ip_addr a = address("192.0.2.1"), c = address("192.0.2.2");

	for (int i = 0; i < 15; i++)
		backoff_failed(b, &a, "alice", false, 1);
	ok(backoff_judge(b, &c, "alice", false, 1).delay_ms > 0,
	   "the user is slow everywhere");
	backoff_passed(b, "alice", 1);
	is_int(backoff_judge(b, &c, "alice", false, 1).delay_ms, 0,
	       "until a login is right");
	ok(backoff_judge(b, &a, "bob", false, 1).delay_ms > 0, "the source stays slow");
	backoff_free(b);
}

static void
codes_are_guessed_from_many_sources_in_vain(void)
{
	struct backoff *b = backoff_new();
	unsigned tries = 0;

	for (unsigned i = 0; i < 3600; i++) {
		struct ip_addr a = address("10.0.0.0");
		a.b[2] = (uint8_t)(i >> 8);
		a.b[3] = (uint8_t)i;
		if (backoff_judge(b, &a, "alice", true, 1 + 1000ULL * i).wait_s > 0)
			continue;
		tries++;
		backoff_failed(b, &a, "alice", true, 1 + 1000ULL * i);
	}
	ok(tries < 150, "%u codes tried in an hour", tries);
	struct ip_addr home = address("192.0.2.1");
	is_int(backoff_judge(b, &home, "alice", false, 3600001).wait_s, 0,
	       "the password is still asked for");
	backoff_free(b);
}

static void
a_flood_of_sources_does_not_free_the_worst(void)
{
	struct backoff *b = backoff_new();
	struct ip_addr bad = address("192.0.2.66");

	for (int i = 0; i < 30; i++)
		backoff_failed(b, &bad, "alice", false, 1);
	for (uint32_t i = 0; i < 100000; i++) {
		struct ip_addr a = address("2001:db8::");
		memcpy(a.b + 4, &i, 4);
		char name[16];
		snprintf(name, sizeof(name), "u%u", i);
		backoff_failed(b, &a, name, false, 2);
	}
	ok(backoff_judge(b, &bad, "x", false, 3).wait_s > 0,
	   "a hundred thousand others later it is still known");
	backoff_free(b);
}

int
main(void)
{
	five_quick_typos_cost_nothing();
	a_guesser_gets_less_than_one_try_a_second();
	sources_are_hosts_and_networks();
	success_forgives_the_user_and_not_the_source();
	codes_are_guessed_from_many_sources_in_vain();
	a_flood_of_sources_does_not_free_the_worst();
	return done_testing();
}
