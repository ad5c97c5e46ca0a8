/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The profile: ours is one, other files are told apart. */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/worker/profile.h"

static void
other_files_are_refused(void)
{
	static const struct {
		const char *why;
		struct span in;
		int want;
	} cases[] = {
		{ "nothing", SPAN(""), E_INVAL },
		{ "an Umbrella profile (JSON)", SPAN("{\"organizationId\":\"1\"}"),
		  E_INVAL },
		{ "another client module's",
		  SPAN("<?xml version=\"1.0\"?><networkAccessManager/>"), E_INVAL },
		{ "a VPN profile deeper down", SPAN("<x><AnyConnectProfile/></x>"),
		  E_INVAL },
		{ "cut short", SPAN("<AnyConnectProfile><ServerList>"), E_INVAL },
		{ "a DTD", SPAN("<!DOCTYPE a><AnyConnectProfile/>"), E_INVAL },
		{ "trailing junk", SPAN("<AnyConnectProfile/>x"), E_INVAL },
		{ "a binary",
		  SPAN("\x7f"
		       "ELF\0\1"),
		  E_INVAL },
		{ "the smallest profile", SPAN("<AnyConnectProfile/>"), 0 },
		{ "a BOM in front", SPAN("\xef\xbb\xbf<AnyConnectProfile/>"), 0 },
		{ "a prefix", SPAN("<c:AnyConnectProfile xmlns:c=\"u\"/>"), 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(profile_check(cases[i].in), cases[i].want, "%s", cases[i].why);
}

static void
the_generated_profile_is_one(void)
{
	char buf[4096];
	struct profile p = { .alias = "R&D <office>",
			     .hostname = "vpn.example:8443",
			     .group = "staff",
			     .local_lan = true };
	struct wr w = wr_open(buf, sizeof(buf) - 1);
	profile_write(&w, &p);
	is_int(profile_check(wr_span(&w)), 0, "checked by ourselves");
	buf[w.n] = 0;
	ok(strstr(buf, "<HostName>R&amp;D &lt;office&gt;</HostName>"),
	   "alias, escaped");
	ok(strstr(buf, "<HostAddress>vpn.example:8443</HostAddress>"), "address");
	ok(strstr(buf, "<UserGroup>staff</UserGroup>"), "group");
	ok(strstr(buf, "<LocalLanAccess UserControllable=\"true\">true<"), "local LAN");

	p = (struct profile){ .alias = "", .hostname = "vpn.example" };
	w = wr_open(buf, sizeof(buf) - 1);
	profile_write(&w, &p);
	buf[w.n] = 0;
	ok(strstr(buf, "<HostName>vpn.example</HostName>") &&
		   !strstr(buf, "UserGroup") &&
		   strstr(buf, "<LocalLanAccess UserControllable=\"false\">false<"),
	   "the host name stands in for the alias");
}

static void
sha1_is_sha1(void)
{
	char hex[PROFILE_SHA1_HEX];
	profile_sha1(hex, SPAN("abc")); /* RFC 3174 7.3 */
	is_str(hex, "A9993E364706816ABA3E25717850C26C9CD0D89D", "of abc");
}

int
main(void)
{
	other_files_are_refused();
	the_generated_profile_is_one();
	sha1_is_sha1();
	return done_testing();
}
