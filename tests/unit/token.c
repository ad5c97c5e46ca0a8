/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/session/token.h"

static struct claims
claims_full(void)
{
	struct claims c = { .len4 = 32,
			    .len6 = 128,
			    .wall_login_s = 1700000000,
			    .wall_expiry_s = 1700028800,
			    .method = 1,
			    .platform = 3 };

	memset(c.sid, 0x5a, sizeof(c.sid));
	memset(c.user, 'u', IPC_USER_MAX);
	memset(c.group, 'g', IPC_NAME_MAX);
	memset(c.policy, 'p', IPC_NAME_MAX);
	memset(c.device, 'd', IPC_NAME_MAX);
	ip_parse("10.9.0.2", &c.addr4);
	ip_parse("2001:db8::2", &c.addr6);
	return c;
}

static void
the_longest_claims_fit_and_come_back(void)
{
	struct claims c = claims_full(), d;
	uint8_t buf[IPC_CLAIMS_MAX];
	size_t n = 0;

	is_int(claims_encode(&c, buf, sizeof(buf), &n), 0, "encode");
	is_int(claims_decode(span_of(buf, n), &d), 0, "decode");
	ok(memcmp(&c, &d, sizeof(c)) == 0, "nothing is lost");
	is_int(claims_encode(&c, buf, n - 1, &n), E_LIMIT, "a byte less is too small");
}

static void
a_missing_family_stays_missing(void)
{
	struct claims c = claims_full(), d;
	uint8_t buf[IPC_CLAIMS_MAX];
	size_t n;

	c.addr6 = (struct ip_addr){ 0 };
	claims_encode(&c, buf, sizeof(buf), &n);
	is_int(claims_decode(span_of(buf, n), &d), 0, "decode");
	is_int(d.addr6.family, 0, "no IPv6");
	is_int(d.addr4.family, 4, "but IPv4");
}

static void
every_cut_is_refused(void)
{
	struct claims c = claims_full(), d;
	uint8_t buf[IPC_CLAIMS_MAX + 1];
	size_t n, bad = 0;

	claims_encode(&c, buf, IPC_CLAIMS_MAX, &n);
	for (size_t i = 0; i < n; i++)
		bad += claims_decode(span_of(buf, i), &d) == E_PROTO;
	is_int(bad, n, "shorter ones are no claims");
	buf[n] = 0;
	is_int(claims_decode(span_of(buf, n + 1), &d), E_PROTO, "a longer one neither");
	buf[0] = CLAIMS_VERSION + 1;
	is_int(claims_decode(span_of(buf, n), &d), E_PROTO, "nor another version");
}

static void
nonsense_inside_is_refused(void)
{
	struct claims c = claims_full(), d;
	uint8_t buf[IPC_CLAIMS_MAX];
	size_t n;

	c.user[0] = '\0';
	claims_encode(&c, buf, sizeof(buf), &n);
	is_int(claims_decode(span_of(buf, n), &d), E_PROTO, "nobody");
	c = claims_full();
	c.wall_expiry_s = c.wall_login_s - 1;
	claims_encode(&c, buf, sizeof(buf), &n);
	is_int(claims_decode(span_of(buf, n), &d), E_PROTO, "over before it began");
	c = claims_full();
	c.len4 = 33;
	claims_encode(&c, buf, sizeof(buf), &n);
	is_int(claims_decode(span_of(buf, n), &d), E_PROTO, "mask of 33 bits");
	c = claims_full();
	claims_encode(&c, buf, sizeof(buf), &n);
	buf[20] = '\0';
	is_int(claims_decode(span_of(buf, n), &d), E_PROTO, "NUL in the name");
}

int
main(void)
{
	the_longest_claims_fit_and_come_back();
	a_missing_family_stays_missing();
	every_cut_is_refused();
	nonsense_inside_is_refused();
	return done_testing();
}
