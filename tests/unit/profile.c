/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The profile: ours is one, other files are told apart. */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "common/profile.h"

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
		is_int(profile_check(cases[i].in, NULL), cases[i].want, "%s",
		       cases[i].why);
}

/* What the operator is told. */
static void
reasons_are_told(void)
{
	static const struct {
		struct span in;
		const char *why;
		unsigned line;
	} cases[] = {
		{ SPAN(""), "it is empty", 0 },
		{ SPAN("<AnyConnectProfile>\n<a>\n</b></AnyConnectProfile>"),
		  "mismatched tag", 3 },
		{ SPAN("<!DOCTYPE a>\n<AnyConnectProfile/>"), "it has a DOCTYPE", 1 },
		{ SPAN("\n\n<UmbrellaProfile/>"),
		  "its outermost element is another one", 3 },
	};
	static uint8_t big[PROFILE_MAX + 1];
	struct profile_facts f;
	char deep[400] = "<AnyConnectProfile>";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(profile_check(cases[i].in, &f), E_INVAL, "refused");
		is_str(f.why, cases[i].why, "R109 why");
		is_int(f.line, cases[i].line, "and where");
	}
	memset(big, ' ', sizeof(big));
	is_int(profile_check(span_of(big, sizeof(big)), &f), E_INVAL, "too big");
	is_str(f.why, "it is above 192 KiB", "why");
	for (size_t i = 0; i < 40; i++)
		memcpy(deep + 19 + 3 * i, "<a>", 4);
	is_int(profile_check(span_str(deep), &f), E_INVAL, "too deep");
	is_str(f.why, "its elements are nested too deep", "why");
}

static void
the_generated_profile_is_one(void)
{
	char buf[4096];
	struct profile_facts facts;
	struct profile p = { .alias = "R&D <office>",
			     .hostname = "vpn.example:8443",
			     .backup = "vpn2.example:8443",
			     .group = "staff",
			     .local_lan = true };
	struct wr w = wr_open(buf, sizeof(buf) - 1);
	profile_write(&w, &p);
	is_int(profile_check(wr_span(&w), &facts), 0, "checked by ourselves");
	buf[w.n] = 0;
	ok(strstr(buf, "<HostName>R&amp;D &lt;office&gt;</HostName>"),
	   "alias, escaped");
	ok(strstr(buf, "<HostAddress>vpn.example:8443</HostAddress>"), "address");
	ok(strstr(buf, "<UserGroup>staff</UserGroup>"), "group");
	ok(strstr(buf, "<BackupServerList>\n<HostAddress>vpn2.example:8443</"
		       "HostAddress>\n</BackupServerList>"),
	   "R31 the second name is the backup");
	/* The elements of a HostEntry are a sequence in Cisco's schema. */
	static const char *const order[] = { "<HostEntry>",        "<HostName>",
					     "<HostAddress>",      "<UserGroup>",
					     "<BackupServerList>", "<PrimaryProtocol>",
					     "</HostEntry>" };
	const char *at = buf;
	for (size_t i = 0; at != NULL && i < sizeof(order) / sizeof(order[0]); i++)
		at = strstr(at, order[i]);
	ok(at != NULL, "in the schema's order");
	ok(strstr(buf, "<LocalLanAccess UserControllable=\"true\">true<"), "local LAN");
	ok(facts.local_lan && facts.why == NULL, "which the check sees");

	p = (struct profile){ .alias = "", .hostname = "vpn.example" };
	w = wr_open(buf, sizeof(buf) - 1);
	profile_write(&w, &p);
	buf[w.n] = 0;
	ok(strstr(buf, "<HostName>vpn.example</HostName>") &&
		   !strstr(buf, "UserGroup") && !strstr(buf, "BackupServerList") &&
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
	reasons_are_told();
	the_generated_profile_is_one();
	sha1_is_sha1();
	return done_testing();
}
