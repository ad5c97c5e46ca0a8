/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What a ClientHello says about ALPN and the server's name. */
#include "tests/lib/tap.h"
#include "vpnd/worker/worker.h"

static void
only_the_whole_protocol_name_counts(void)
{
	static const struct {
		const char *what;
		struct span in;
		bool want;
	} cases[] = {
		{ "nothing", SPAN(""), false },
		{ "alone",
		  SPAN("\0\x0b\x0a"
		       "acme-tls/1"),
		  true },
		{ "second",
		  SPAN("\0\x0e\x02h2\x0a"
		       "acme-tls/1"),
		  true },
		{ "longer",
		  SPAN("\0\x0c\x0b"
		       "acme-tls/1x"),
		  false },
		{ "shorter",
		  SPAN("\0\x0a\x09"
		       "acme-tls/"),
		  false },
		{ "other case",
		  SPAN("\0\x0b\x0a"
		       "ACME-TLS/1"),
		  false },
		{ "list cut",
		  SPAN("\0\x0c\x0a"
		       "acme-tls/1"),
		  false },
		{ "string cut",
		  SPAN("\0\x05\x0a"
		       "acme"),
		  false },
		{ "empty strings", SPAN("\0\x03\0\0\0"), false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(challenge_is_offered(cases[i].in), cases[i].want, "ALPN: %s",
		       cases[i].what);
}

static void
the_name_is_the_first_of_type_host(void)
{
	static const struct {
		const char *what;
		struct span in;
		size_t want;
	} cases[] = {
		{ "nothing", SPAN(""), 0 },
		{ "a name",
		  SPAN("\0\x07\0\0\x04"
		       "a.bc"),
		  4 },
		{ "another type",
		  SPAN("\0\x07\1\0\x04"
		       "a.bc"),
		  0 },
		{ "cut",
		  SPAN("\0\x07\0\0\x05"
		       "a.bc"),
		  0 },
		{ "list cut",
		  SPAN("\0\x09\0\0\x04"
		       "a.bc"),
		  0 },
		{ "empty", SPAN("\0\x03\0\0\0"), 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(challenge_host(cases[i].in).n, cases[i].want, "server name: %s",
		       cases[i].what);
}

int
main(void)
{
	only_the_whole_protocol_name_counts();
	the_name_is_the_first_of_type_host();
	return done_testing();
}
