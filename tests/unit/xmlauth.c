/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Login documents: ugly ones, captured ones, and our own read back by expat. */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/worker/xmlauth.h"

#include <expat.h>

static int
parse(struct auth_doc **d, const char *s)
{
	return auth_doc_parse(d, span_str(s));
}

#define INIT "<config-auth client=\"vpn\" type=\"init\" aggregate-auth-version=\"2\">"
#define END "</config-auth>"

static void
hostile_documents_are_refused(void)
{
	static const struct {
		const char *why, *in;
		int want;
	} cases[] = {
		{ "nothing", "", E_PROTO },
		{ "blanks", " \r\n ", E_PROTO },
		{ "no document", "<", E_PROTO },
		{ "unclosed", INIT, E_PROTO },
		{ "another root", "<html></html>", E_PROTO },
		{ "no type", "<config-auth></config-auth>", E_PROTO },
		{ "another type", "<config-auth type=\"complete\"/>", E_PROTO },
		{ "DTD", "<!DOCTYPE a>" INIT END, E_PROTO },
		{ "billion laughs",
		  "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]>" INIT
		  "<version>&c;</version>" END,
		  E_PROTO },
		{ "external entity",
		  "<!DOCTYPE a SYSTEM \"file:///etc/passwd\">" INIT END, E_PROTO },
		{ "unknown entity", INIT "<version>&foo;</version>" END, E_PROTO },
		{ "control character", INIT "<version>&#1;</version>" END, E_PROTO },
		{ "broken UTF-8", INIT "<version>\xff</version>" END, E_PROTO },
		{ "two documents", INIT END INIT END, E_PROTO },
		{ "mere text", "hello", E_PROTO },
		{ "bad escape", "username=%zz", E_PROTO },
		{ "cut escape", "username=%4", E_PROTO },
		{ "NUL in a form", "username=a%00b", E_PROTO },
		{ "bad UTF-8 in a form", "username=%ff", E_PROTO },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_doc *d = (struct auth_doc *)1;
		is_int(parse(&d, cases[i].in), cases[i].want, "%s", cases[i].why);
		ok(d == NULL, "%s: nothing is given", cases[i].why);
	}
}

static int
repeated(const char *head, const char *unit, size_t times, const char *tail)
{
	size_t cap = strlen(head) + strlen(unit) * times + strlen(tail);
	char *buf = malloc(cap);
	struct wr w = wr_open(buf, cap);
	struct auth_doc *d;

	wr_str(&w, head);
	for (size_t i = 0; i < times; i++)
		wr_str(&w, unit);
	wr_str(&w, tail);
	int rc = auth_doc_parse(&d, wr_span(&w));
	auth_doc_free(d);
	free(buf);
	return rc;
}

static void
every_count_has_a_bound(void)
{
	is_int(repeated(INIT, "<a>", 16, ""), E_LIMIT, "depth 17");
	is_int(repeated(INIT, "<a/>", 400, END), 0, "400 elements pass");
	is_int(repeated(INIT, "<a/>", 600, END), E_LIMIT, "600 do not");
	is_int(repeated(INIT "<version>", "x", 8192, "</version>" END), 0,
	       "a text of 8 KiB passes");
	is_int(repeated(INIT "<version>", "x", 8193, "</version>" END), E_LIMIT,
	       "a longer one does not");
	is_int(repeated(INIT "<auth>", "<a>b</a>", 16, "</auth>" END), 0, "16 fields");
	is_int(repeated(INIT "<auth>", "<a>b</a>", 17, "</auth>" END), E_LIMIT, "17");
	is_int(repeated(INIT "<", "x", 200, "/>" END), E_LIMIT, "a long name");
	is_int(repeated(INIT "<mac>", "x", 60000, "</mac>" END), 0,
	       "what we do not keep may be long");
	is_int(repeated(INIT "<device-id computer-name=\"", "x", 9000, "\"/>" END),
	       E_LIMIT, "a long attribute");
	is_int(repeated("username=", "x", 9000, ""), E_LIMIT, "a long form value");
	is_int(repeated("", "a=b&", 17, ""), E_LIMIT, "17 form fields");
	is_int(repeated(INIT, "<!-- -->", 9000, END), E_LIMIT, "more than 64 KiB");
}

static void
openconnects_init_is_understood(void)
{
	struct auth_doc *d;
	char group[64];
	is_int(parse(&d, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config-auth "
			 "client=\"vpn\" type=\"init\" aggregate-auth-version=\"2\">"
			 "<version who=\"vpn\">v9.01-3</version><device-id>linux-64"
			 "</device-id><capabilities><auth-method>single-sign-on-v2"
			 "</auth-method><auth-method>single-sign-on-external-browser"
			 "</auth-method></capabilities><group-access>"
			 "https://vpn.test.example/sta%66f</group-access><group-select>"
			 "R&amp;D</group-select></config-auth>\n"),
	       0, "parses");
	is_int(d->type, AUTH_DOC_INIT, "init");
	is_str(d->version, "v9.01-3", "version");
	is_str(d->device_id, "linux-64", "device");
	is_int(d->can, AUTH_CAN_SSO_V2 | AUTH_CAN_SSO_EXTERNAL, "capabilities");
	is_int(auth_group_from_url(d->group_access, group, sizeof(group)), 0, "path");
	is_str(group, "staff", "is a group, decoded");
	is_str(d->group_select, "R&D", "entities are decoded");
	ok(!d->client_cert_fail && d->n_field == 0 && !d->is_legacy, "nothing else");
	ok(d->computer_name == NULL && d->auth_state == NULL, "absent is NULL");
	auth_doc_free(d);
}

static void
anyconnects_reply_is_understood_in_any_case(void)
{
	struct auth_doc *d;
	is_int(parse(&d,
		     "<Config-Auth Client=\"vpn\" Type=\"Auth-Reply\">\n"
		     " <device-id computer-name=\"PC&quot;1\" device-type=\"Dell\" "
		     "platform-version=\"10.0\" unique-id=\"AB\">win</device-id>\n"
		     " <mac-address-list><mac-address>00-11</mac-address>"
		     "</mac-address-list><session-token></session-token>\n"
		     " <OPAQUE is-for=\"sg\"><tunnel-group>staff</tunnel-group>"
		     "<auth-state>SEALED</auth-state><auth-state>FORGED</auth-state>"
		     "</OPAQUE>\n <AUTH><Username>al<!-- -->ice</Username>"
		     "<password><![CDATA[p<&>w]]></password><empty/>"
		     "<deep><username>mallory</username></deep></AUTH>\n"
		     " <client-cert-fail/></Config-Auth>\r\n"),
	       0, "parses");
	is_int(d->type, AUTH_DOC_REPLY, "auth-reply");
	is_str(d->device_id, "win", "device");
	is_str(d->computer_name, "PC\"1", "computer");
	is_str(d->unique_id, "AB", "unique id");
	is_str(d->session_token, "", "an empty element is an empty text");
	is_str(d->tunnel_group, "staff", "group");
	is_str(d->auth_state, "SEALED", "the first of two counts");
	is_str(auth_doc_field(d, "username"), "alice", "user");
	is_str(auth_doc_field(d, "PASSWORD"), "p<&>w", "password");
	is_str(auth_doc_field(d, "empty"), "", "an empty field is there");
	ok(auth_doc_field(d, "answer") == NULL, "others are not");
	is_int(d->n_field, 3, "nested ones are not fields");
	ok(d->client_cert_fail, "client-cert-fail");
	auth_doc_free(d);

	is_int(parse(&d, "<config-auth "
			 "type=\"logout\"><session-token>T</session-token>" END),
	       0, "a logout parses");
	ok(d->type == AUTH_DOC_LOGOUT && strcmp(d->session_token, "T") == 0,
	   "with token");
	auth_doc_free(d);
	auth_doc_free(NULL);
}

static void
the_old_form_is_understood(void)
{
	struct auth_doc *d;
	is_int(parse(&d, "username=b+ob&password=%26%3d%2B%c3%bc&tgroup=x&&=y&z&e="
			 "&auth_state=S"),
	       0, "parses");
	ok(d->is_legacy && d->type == AUTH_DOC_REPLY, "as a legacy reply");
	is_str(auth_doc_field(d, "username"), "b ob", "plus is a blank");
	is_str(auth_doc_field(d, "password"), "&=+\xc3\xbc", "escapes");
	is_str(auth_doc_field(d, "e"), "", "empty value");
	is_str(d->group_select, "x", "group");
	is_str(d->auth_state, "S", "state");
	is_int(d->n_field, 3, "fields");
	auth_doc_free(d);
}

static void
group_paths_are_names_or_nothing(void)
{
	static const struct {
		const char *path;
		int rc;
		const char *group;
	} cases[] = {
		{ "/", E_NOENT, "" },
		{ "", E_NOENT, "" },
		{ "/staff", 0, "staff" },
		{ "/staff/", 0, "staff" },
		{ "/R%26D%20x", 0, "R&D x" },
		{ "/a+b", 0, "a+b" },
		{ "/gr%C3%BCn", 0, "gr\xc3\xbcn" },
		{ "/a/b", E_PROTO, "" },
		{ "/a%2fb", E_PROTO, "" },
		{ "/%00", E_PROTO, "" },
		{ "/%0a", E_PROTO, "" },
		{ "/%ff", E_PROTO, "" },
		{ "/%4", E_PROTO, "" },
		{ "/+webvpn+", E_PROTO, "" },
		{ "/0123456789012345678901234567890123456789", E_PROTO, "" },
	};
	char g[32];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(auth_group_from_path(span_str(cases[i].path), g, sizeof(g)),
		       cases[i].rc, "path %s", cases[i].path);
		is_str(cases[i].rc ? "" : g, cases[i].group, "its group");
	}
	is_int(auth_group_from_url("https://vpn.example", g, sizeof(g)), E_NOENT,
	       "no path");
	is_int(auth_group_from_url("https://vpn.example/?x", g, sizeof(g)), E_NOENT,
	       "query");
	is_int(auth_group_from_url("https://[::1]:443/a?x", g, sizeof(g)), 0,
	       "v6 literal");
	is_str(g, "a", "its group");
}

static void
only_old_anyconnect_is_gated(void)
{
	static const struct {
		const char *ua, *version;
		bool ok, is_cisco;
	} cases[] = {
		{ "AnyConnect Windows 4.7.00136", "4.7.00136", false, true },
		{ "AnyConnect Windows 4.8.00175", "4.8.00175", true, true },
		{ "AnyConnect Windows 4.10.05085", NULL, true, true },
		{ "AnyConnect Darwin_i386 4.7.04056", NULL, false, true },
		{ "AnyConnect Darwin_i386 3.1.14018", NULL, false, true },
		{ "AnyConnect Linux_64 5.1.2.42", NULL, true, true },
		{ "AnyConnect AppleSSLVPN_Darwin_ARM (iPhone) 4.0.05066", NULL, false,
		  true },
		{ "Cisco AnyConnect VPN Agent for Windows 4.7.00136", NULL, false,
		  true },
		{ "Cisco AnyConnect VPN Agent for Windows 10.1.0", NULL, true, true },
		{ "AnyConnect", "v4.6", false, true },
		{ "AnyConnect", NULL, true, true },
		{ "AnyConnect Windows 4.8.1", "4.7", true, true },
		{ "Open AnyConnect VPN Agent v9.01-3", "v4.7", true, false },
		{ "Open AnyConnect VPN Agent v3.20", NULL, true, false },
		{ "AnyConnect-compatible OpenConnect VPN Agent v9.21", NULL, true,
		  false },
		{ "OpenConnect VPN Agent (NetworkManager) v1.2", NULL, true, false },
		{ "Mozilla/5.0", NULL, true, false },
		{ "", NULL, true, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		is_int(auth_version_ok(span_str(cases[i].ua), cases[i].version),
		       cases[i].ok, "%s", cases[i].ua);
		is_int(auth_is_anyconnect(span_str(cases[i].ua)), cases[i].is_cisco,
		       "Cisco or not");
	}
}

static enum platform
platform(const char *device, const char *headers)
{
	struct http_req *r;
	char buf[512];
	struct wr w = wr_open(buf, sizeof(buf));
	http_req_new(&r);
	wr_fmt(&w, "POST / HTTP/1.1\r\nContent-Length: 0\r\n%s\r\n", headers);
	struct span in = wr_span(&w);
	int rc = http_req_feed(r, &in);
	enum platform p = rc < 0 ? (enum platform)99 : auth_platform_of(r, device);
	http_req_free(r);
	return p;
}

static void
platforms_are_recognised(void)
{
	is_int(platform("linux-64", ""), PLATFORM_LINUX, "device-id");
	is_int(platform("mac-intel", "User-Agent: x Windows\r\n"), PLATFORM_MAC,
	       "device-id first");
	is_int(platform(NULL, "X-AnyConnect-Identifier-Platform: apple-ios\r\n"
			      "X-AnyConnect-Platform: win\r\n"),
	       PLATFORM_IOS, "identifier next");
	is_int(platform(NULL, "X-AnyConnect-Platform: win\r\n"), PLATFORM_WIN,
	       "platform");
	is_int(platform("?", "User-Agent: AnyConnect Darwin_i386 4.9\r\n"),
	       PLATFORM_MAC, "Darwin is not Windows");
	is_int(platform(
		       NULL,
		       "User-Agent: Cisco AnyConnect VPN Agent for Apple iPhone 4\r\n"),
	       PLATFORM_IOS, "iPhone");
	is_int(platform(NULL, "User-Agent: AnyConnect Android 4.10\r\n"),
	       PLATFORM_ANDROID, "Android");
	is_int(platform(NULL, "User-Agent: curl\r\n"), PLATFORM_UNKNOWN, "unknown");
	ok(auth_platform_is_mobile(PLATFORM_IOS) &&
		   !auth_platform_is_mobile(PLATFORM_WIN),
	   "iOS is mobile, Windows is not");
}

/* ---- what we write ---- */

struct seen {
	char trace[4096];
	size_t n;
};

static void
note(struct seen *s, const char *p, size_t n)
{
	if (n < sizeof(s->trace) - s->n) {
		memcpy(s->trace + s->n, p, n);
		s->n += n;
	}
	s->trace[s->n] = 0;
}

static void
on_start(void *arg, const char *name, const char **atts)
{
	note(arg, "<", 1);
	note(arg, name, strlen(name));
	for (; *atts; atts += 2) {
		note(arg, " ", 1);
		note(arg, atts[0], strlen(atts[0]));
		note(arg, "=", 1);
		note(arg, atts[1], strlen(atts[1]));
	}
	note(arg, ">", 1);
}

static void
on_text(void *arg, const char *p, int n)
{
	if (n != 1 || *p != '\n')
		note(arg, p, (size_t)n);
}

/* The document as expat sees it: open tags and texts, or "invalid". */
static const char *
read_back(struct wr *w)
{
	static struct seen s;
	XML_Parser p = XML_ParserCreate(NULL);
	s.n = 0;
	s.trace[0] = 0;
	XML_SetUserData(p, &s);
	XML_SetStartElementHandler(p, on_start);
	XML_SetCharacterDataHandler(p, on_text);
	bool valid = !wr_full(w) &&
		     XML_Parse(p, (char *)w->p, (int)w->n, 1) == XML_STATUS_OK;
	XML_ParserFree(p);
	return valid ? s.trace : "invalid";
}

static uint8_t buf[8192];

static void
a_form_asks_for_what_it_should(void)
{
	static const struct auth_option groups[] = { { "staff", "Staff" },
						     { "R&D", "" },
						     { "guest", "Guest <users>" } };
	struct auth_form f = {
		.message = "Enter 100%sure & <go> %d",
		.error = "Login failed.",
		.group = "R&D",
		.state = "SEALED",
		.action = "/staff",
		.input = { { "text", "username", "Username:", NULL },
			   { "password", "password", "Password:", NULL } },
		.n_input = 2,
		.option = groups,
		.n_option = 3,
		.selected = 1,
	};
	struct wr w = wr_open(buf, sizeof(buf));
	auth_write_form(&w, &f);
	is_str(read_back(&w),
	       "<config-auth client=vpn type=auth-request aggregate-auth-version=2>"
	       "<opaque is-for=sg><tunnel-group>R&D<auth-state>SEALED<auth id=main>"
	       "<title>Login<message>Enter 100% sure & <go> %d<banner>"
	       "<error id=11 param1= param2=>Login failed."
	       "<form method=post action=/staff>"
	       "<input type=text name=username label=Username:>"
	       "<input type=password name=password label=Password:>"
	       "<select name=group_list label=GROUP:>"
	       "<option value=R&D selected=true>R&D<option value=staff>Staff"
	       "<option value=guest>Guest <users>",
	       "the selected group leads, texts are escaped, %%s is parted");

	struct auth_form old = { .id = "main",
				 .is_legacy = true,
				 .state = "S",
				 .group = "g",
				 .input = { { "text", "username", "U:", NULL } },
				 .n_input = 1 };
	w = wr_open(buf, sizeof(buf));
	auth_write_form(&w, &old);
	is_str(read_back(&w),
	       "<auth id=main><title>Login<message><banner>"
	       "<form method=post action=/+webvpn+/index.html>"
	       "<input type=text name=username label=U:>"
	       "<input type=hidden name=auth_state value=S>",
	       "the old flow gets a bare auth");
	w = wr_open(buf, 50);
	auth_write_form(&w, &f);
	ok(wr_full(&w), "a small buffer is noticed");
}

static void
any_text_stays_well_formed(void)
{
	char junk[257];
	for (int i = 0; i < 256; i++)
		junk[i] = (char)(i + 1);
	junk[255] = 0;
	struct auth_option g = { junk, junk };
	struct auth_form f = { .id = junk,
			       .title = junk,
			       .message = junk,
			       .error = junk,
			       .banner = junk,
			       .group = junk,
			       .state = junk,
			       .action = junk,
			       .input = { { "text", "x", junk, junk } },
			       .n_input = 1,
			       .option = &g,
			       .n_option = 1 };
	struct wr w = wr_open(buf, sizeof(buf));
	auth_write_form(&w, &f);
	ok(strcmp(read_back(&w), "invalid") != 0, "whatever it is");
}

static void
a_refusal_has_an_error_and_no_form(void)
{
	struct wr w = wr_open(buf, sizeof(buf));
	auth_write_refusal(&w, AUTH_VERSION_REFUSED, false);
	const char *s = read_back(&w);
	ok(strstr(s, "<error id=11 param1= param2=>This AnyConnect version") &&
		   !strstr(s, "<form") && strstr(s, "<auth id="),
	   "XML flow");
	w = wr_open(buf, sizeof(buf));
	auth_write_refusal(&w, "No.", true);
	is_str(read_back(&w),
	       "<auth id=failure><title>Login<error id=11 param1= param2=>No.",
	       "old flow");
	w = wr_open(buf, sizeof(buf));
	auth_write_bye(&w);
	ok(strstr(read_back(&w), "type=complete"), "a logout is answered");
	w = wr_open(buf, sizeof(buf));
	auth_write_cert_request(&w, "<staff>");
	s = read_back(&w);
	ok(strstr(s, "type=auth-request") && strstr(s, "<tunnel-group><staff>") &&
		   strstr(s, "<client-cert-request>") && !strstr(s, "<auth id"),
	   "R75 a certificate is asked for, and nothing else: %s", s);
}

static void
success_carries_the_token_twice(void)
{
	struct auth_success s = { .session_id = "32768",
				  .token = "TOK-en_1",
				  .banner = "Welcome & enjoy",
				  .cert_sha1 = "ABCD",
				  .profile_uri = "/profiles/vpn.xml",
				  .profile_sha1 = "1234" };
	struct wr w = wr_open(buf, sizeof(buf));
	auth_write_complete(&w, &s);
	is_str(read_back(&w),
	       "<config-auth client=vpn type=complete aggregate-auth-version=2>"
	       "<session-id>32768<session-token>TOK-en_1<auth id=success>"
	       "<banner>Welcome & enjoy<message id=0 param1= param2=>"
	       "<capabilities><crypto-supported>ssl-dhe"
	       "<config client=vpn type=private><vpn-base-config>"
	       "<server-cert-hash>ABCD<opaque is-for=vpn-client>"
	       "<vpn-profile-manifest><vpn rev=1.0>"
	       "<file type=profile service-type=user><uri>/profiles/vpn.xml"
	       "<hash type=sha1>1234",
	       "in the body");
	w = wr_open(buf, sizeof(buf));
	auth_write_cookies(&w, &s);
	wr_u8(&w, 0);
	ok(strstr((char *)buf, "Set-Cookie: webvpn=TOK-en_1; "), "and in the cookie");
	char *clear = strstr((char *)buf, "webvpnc=;");
	char *hint =
		strstr((char *)buf,
		       "webvpnc=bu:/&p:t&iu:1/&sh:ABCD&lu:/+CSCOT+/translation-table?"
		       "textdomain%3DAnyConnect%26type%3Dmanifest"
		       "&fu:profiles%2Fvpn.xml&fh:1234;");
	ok(clear && hint && clear < hint, "the hint comes after its eraser");

	s = (struct auth_success){ .token = "T", .is_legacy = true };
	w = wr_open(buf, sizeof(buf));
	auth_write_complete(&w, &s);
	is_str(read_back(&w),
	       "<auth id=success><title>SSL VPN Service<banner>"
	       "<message id=0 param1= param2=>",
	       "old flow");
	s.is_legacy = false;
	w = wr_open(buf, sizeof(buf));
	auth_write_complete(&w, &s);
	ok(!strstr(read_back(&w), "manifest"), "no profile, no manifest");
	ok(!strstr(read_back(&w), "csd") && !strstr(read_back(&w), "host-scan"),
	   "no host scan");
}

int
main(void)
{
	hostile_documents_are_refused();
	every_count_has_a_bound();
	openconnects_init_is_understood();
	anyconnects_reply_is_understood_in_any_case();
	the_old_form_is_understood();
	group_paths_are_names_or_nothing();
	only_old_anyconnect_is_gated();
	platforms_are_recognised();
	a_form_asks_for_what_it_should();
	any_text_stays_well_formed();
	a_refusal_has_an_error_and_no_form();
	success_carries_the_token_twice();
	return done_testing();
}
