/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/config.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/lib/tap.h"
#include "common/config/diff.h"
#include "common/config/schema.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char dynamic_routing[] =
	"The AnyConnect traffic destination (Dynamic Client Routing) must contain at "
	"least one valid destination.";
static const char client_routing[] =
	"The AnyConnect traffic destination (Client Routing) must contain at least one "
	"valid subnet in CIDR format.";

/* The report of a text; config or NULL. */
static struct config *
load(const char *text, const char *node, struct config_report *r)
{
	struct config *c;

	*r = (struct config_report){ 0 };
	int rc = config_load(&c, "tandem.conf", text, "node.conf", node, r);
	if ((rc == 0) != (c != NULL) || (rc == 0) != (r->n_error == 0))
		ok(false, "return code, configuration and report agree");
	return c;
}

static void
drop(struct config *c, struct config_report *r)
{
	config_free(c);
	config_report_free(r);
}

static const struct config_finding *
find(const struct config_report *r, bool is_warning, const char *setting,
     const char *part)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->finding[i].is_warning == is_warning &&
		    strcmp(r->finding[i].setting, setting) == 0 &&
		    strstr(r->finding[i].text, part) != NULL)
			return &r->finding[i];
	return NULL;
}

static void
show(const struct config_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		diag("%s:%u: %s: %s", r->finding[i].file, r->finding[i].line,
		     r->finding[i].setting, r->finding[i].text);
}

static void
a_bad_text_is_refused_with_line_setting_and_rule(void)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *setting, *part;
	} cases[] = {
		/* syntax */
		{ "server {", 1, "server", "}" },
		{ "}", 1, "syntax", "section" },
		{ "server {\n banner = \"x", 2, "syntax", "closing quote" },
		{ "/* for ever", 1, "syntax", "*/" },
		{ "server { port = }", 1, "server.port", "name = value" },
		{ "server { port 443 }", 1, "server", "name = value" },
		{ "server { port = 443; }", 1, "syntax", "quotes" },
		{ "addressing { suffix = *.x }", 1, "syntax", "quotes" },
		{ "client_connection { banner = \"\\400\" }", 1, "syntax", "\\\\" },
		{ "client_connection { banner = \"\\x00\" }", 1, "syntax", "\\\\" },
		{ "client_connection { banner = ${HOME} }", 1, "syntax", "quotes" },
		{ "\ninclude(\"/etc/passwd\")", 2, "include", "not supported" },
		{ "a { a { a { a { a { a { } } } } } }", 1, "syntax", "expected" },
		{ "server { }\x01", 1, "file", "control character" },
		{ "authentication { session_timeout = 8 hours }", 1, "authentication",
		  "quotes" },
		/* names */
		{ "sever { }", 1, "sever", "there are server" },
		{ "server {\n prot = 1\n}", 2, "server.prot",
		  "server knows: enabled port" },
		{ "server {\n x { port = 5 }\n}", 2, "server.x", "no such option" },
		{ "port = 443", 1, "port", "put it into server" },
		{ "wan \"wan1\" { }", 1, "wan", "node.conf" },
		{ "server { __report = 5 }", 1, "server.__report", "no such option" },
		/* twice */
		{ "server {\n port = 1\n port = 1 }", 3, "server.port", "line 2" },
		{ "server { }\nserver { }", 2, "server", "line 1" },
		{ "group a { }\ngroup a { }", 2, "group", "line 1" },
		{ "addressing { dns = { 1.1.1.1 }\n dns = { 8.8.8.8 } }", 2,
		  "addressing.dns", "before" },
		{ "addressing { dns += { 1.1.1.1 } }", 1, "addressing.dns", "+=" },
		{ "group { }", 1, "group", "needs a name" },
		{ "group \"\" { }", 1, "group", "needs a name" },
		{ "group 'a\"b' { }", 1, "group", "needs a name" },
		{ "server \"a\" { }", 1, "server", "takes no name" },
		/* one subnet, no VLAN */
		{ "addressing { subnet = 10.0.0.0/24\nsubnet = 10.1.0.0/24 }", 2,
		  "addressing.subnet", "only one client subnet" },
		{ "addressing { subnet = { 10.0.0.0/24, 10.1.0.0/24 } }", 1,
		  "addressing.subnet", "all but one subnet" },
		{ "addressing { subnet2 = 10.0.0.0/24 }", 1, "addressing.subnet2",
		  "pools" },
		{ "group a { vlan = 5 }", 1, "group.vlan", "no VLANs" },
		{ "group a { subnet = 10.0.0.0/24 }", 1, "group.subnet", "per-group" },
		/* ranges */
		{ "server { enabled = maybe }", 1, "server.enabled", "true or false" },
		{ "server { port = 0 }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = 65536 }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = -1 }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = 0x1bb }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = \" 443\" }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = \"\" }", 1, "server.port", "from 1 to 65535" },
		{ "server { port = 99999999999999999999 }", 1, "server.port", "65535" },
		{ "server { port = { 443 } }", 1, "server.port", "one value" },
		{ "server { workers = 65 }", 1, "server.workers", "from 0 to 64" },
		{ "server { tls_max = 1.1 }", 1, "server.tls_max", "1.2, 1.3" },
		{ "server { tls_max = 1 }", 1, "server.tls_max", "1.2, 1.3" },
		{ "server { hostname = \"*.x.test\" }", 1, "server.hostname",
		  "no wildcard" },
		{ "server { hostname = 192.0.2.1 }", 1, "server.hostname",
		  "no address" },
		{ "server { hostname = a..b }", 1, "server.hostname", "DNS name" },
		{ "server { hostname = \"-a\" }", 1, "server.hostname", "DNS name" },
		{ "server { backup_hostname = a.test }", 1, "server.backup_hostname",
		  "set server.hostname too" },
		{ "server { hostname = a.test\n backup_hostname = A.test }", 2,
		  "server.backup_hostname", "same name as server.hostname" },
		{ "server { certificate = cert.pem key = /k }", 1, "server.certificate",
		  "full path" },
		{ "server { certificate = /c }", 1, "server.certificate", "neither" },
		{ "server { key = /k }", 1, "server.key", "neither" },
		{ "server { session_limit = 0 }", 1, "server.session_limit", "from 1" },
		{ "server { model = MX999 }", 1, "server.model", "MX450" },
		{ "server { model = Z3 session_limit = 5 }", 1, "server.model",
		  "not both" },
		{ "client_connection { dpd = 0 }", 1, "client_connection.dpd",
		  "1 second" },
		{ "client_connection { mtu = 1279 }", 1, "client_connection.mtu",
		  "1280" },
		{ "client_connection { mtu = 1501 }", 1, "client_connection.mtu",
		  "1500" },
		{ "client_connection { profile_alias = \"a\nb\" }", 1,
		  "client_connection.profile_alias", "one line" },
		{ "client_connection { banner = \"\xc3\" }", 1,
		  "client_connection.banner", "UTF-8" },
		{ "client_connection { banner = \"\xed\xa0\x80\" }", 1,
		  "client_connection.banner", "UTF-8" },
		{ "addressing { subnet = 10.0.0.0/7 }", 1, "addressing.subnet",
		  "/8 to /29" },
		{ "addressing { subnet = 10.0.0.0/30 }", 1, "addressing.subnet",
		  "/8 to /29" },
		{ "addressing { subnet = 10.0.0.0 }", 1, "addressing.subnet", "CIDR" },
		{ "addressing { subnet = 224.0.0.0/24 }", 1, "addressing.subnet",
		  "unicast" },
		{ "addressing { subnet = 127.0.0.0/24 }", 1, "addressing.subnet",
		  "unicast" },
		{ "addressing { subnet = \"\" }", 1, "addressing.subnet", "CIDR" },
		{ "addressing { ipv6_prefix = fd00::/47 }", 1, "addressing.ipv6_prefix",
		  "/48 to /120" },
		{ "addressing { ipv6_prefix = fd00::/121 }", 1,
		  "addressing.ipv6_prefix", "/48 to /120" },
		{ "addressing { ipv6_prefix = fe80::/64 }", 1, "addressing.ipv6_prefix",
		  "unicast" },
		{ "addressing { ipv6_prefix = 10.0.0.0/24 }", 1,
		  "addressing.ipv6_prefix", "IPv6" },
		{ "addressing { dns = {\n 1.1.1.1,\n dns.google\n} }", 3,
		  "addressing.dns", "addresses" },
		{ "addressing { dns = { 0.0.0.0 } }", 1, "addressing.dns",
		  "addresses" },
		{ "addressing { dns = { 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, 1.1.1.1, "
		  "1.1.1.1, "
		  "1.1.1.1, 1.1.1.1, 1.1.1.1 } }",
		  1, "addressing.dns", "too many" },
		{ "addressing { routing = some }", 1, "addressing.routing",
		  "all, exclude, include" },
		{ "authentication { session_timeout = \"257 hours\" }", 1,
		  "authentication.session_timeout", "256 hours" },
		{ "authentication { session_timeout = 921601 }", 1,
		  "authentication.session_timeout", "256 hours" },
		{ "authentication { session_timeout = \"11 days\" }", 1,
		  "authentication.session_timeout", "256 hours" },
		{ "authentication { session_timeout = 0 }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { session_timeout = -1 }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { session_timeout = long }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { session_timeout = \"8 \" }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { session_timeout = \"hours\" }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { session_timeout = \"8 hours 5\" }", 1,
		  "authentication.session_timeout", "from 1 second" },
		{ "authentication { login_timeout = 4 }", 1,
		  "authentication.login_timeout", "from 5 seconds" },
		{ "authentication { max_attempts = 0 }", 1,
		  "authentication.max_attempts", "from 1" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		struct config *c = load(cases[i].text, NULL, &r);
		bool good = c == NULL && r.n_error == 1 && r.n == 1 &&
			    (!*cases[i].setting ||
			     strcmp(r.finding[0].setting, cases[i].setting) == 0) &&
			    r.finding[0].line == cases[i].line &&
			    strcmp(r.finding[0].file, "tandem.conf") == 0 &&
			    strstr(r.finding[0].text, cases[i].part) != NULL;

		/* Two cases say more than one thing by nature. */
		if (!good && c == NULL) {
			const struct config_finding *f =
				find(&r, false, cases[i].setting, cases[i].part);
			good = f != NULL && f->line == cases[i].line && r.n <= 2;
		}
		if (!ok(good, "refused: %.*s", (int)strcspn(cases[i].text, "\n"),
			cases[i].text[0] == '\n' ? "(after an empty line)"
						 : cases[i].text))
			show(&r);
		drop(c, &r);
	}
}

static void
a_bad_node_text_is_refused(void)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *setting, *part;
	} cases[] = {
		{ "server { }", 1, "server", "tandem.conf" },
		{ "node { name = \"a b\" }", 1, "node.name", "DNS name" },
		{ "wan \"a b\" { }", 1, "wan", "letters, digits" },
		{ "wan \"wan1234567890123\" { }", 1, "wan", "at most 15" },
		{ "wan \"w\" { interface = \"../x\" }", 1, "wan.w.interface",
		  "interface" },
		{ "wan \"w\" { interface = abcdefghijklmnop }", 1, "wan.w.interface",
		  "15" },
		{ "wan \"w\" { type = dsl }", 1, "wan.w.type", "wired, cellular" },
		{ "wan a { interface = e0 }\nwan b { interface = e1 }\nwan c { }", 3,
		  "wan", "at most 2" },
		{ "wan a { interface = e0 }\nwan b { interface = e0 }", 2,
		  "wan.b.interface", "same interface" },
		{ "wan a { }\nwan b { }", 0, "wan.b.interface", "both have none" },
		{ "wan a { interface = e0 }\nwan b { interface = e1\nnat = no }", 3,
		  "wan.b.nat", "uplink \"b\" has the service and no-NAT" },
		{ "wan a { interface = e0 }\nwan b { interface = e1 type = cellular\n"
		  "service = true }",
		  3, "wan.b.service", "never carries the service" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		struct config *c = load(NULL, cases[i].text, &r);
		bool good = c == NULL && r.n == 1 &&
			    r.finding[0].line == cases[i].line &&
			    strcmp(r.finding[0].setting, cases[i].setting) == 0 &&
			    strcmp(r.finding[0].file, "node.conf") == 0 &&
			    strstr(r.finding[0].text, cases[i].part) != NULL;
		if (!ok(good, "refused: %s: %s", cases[i].setting, cases[i].part))
			show(&r);
		drop(c, &r);
	}
}

/* R114, R115: one sentence, word for word. */
static void
split_routing_needs_a_valid_subnet(void)
{
	static const char *const lists[] = {
		"",
		"destinations = { }",
		"destinations = { 300.1.1.0/24 }",
		"destinations = { 10.0.0.0/33 }",
		"destinations = { 10.0.0.0 }",
		"destinations = { \"\" }",
		"destinations = { \"10.0.0.0/\" }",
		"destinations = { \"10.0.0.0/ 8\" }",
		"destinations = { \"/8\" }",
		"destinations = { fd00::/129 }",
		"destinations = { 10.0.0.0/8, 10.0.0/24 }"
	};
	static const char *const modes[] = { "exclude", "include" };

	for (size_t m = 0; m < COUNT(modes); m++)
		for (size_t i = 0; i < COUNT(lists); i++) {
			struct config_report r;
			char text[200];

			snprintf(text, sizeof(text),
				 "addressing {\n routing = %s\n%s\n}", modes[m],
				 lists[i]);
			struct config *c = load(text, NULL, &r);
			is_int(r.n, 1, "%s with \"%s\": one finding", modes[m],
			       lists[i]);
			is_str(r.n ? r.finding[0].text : "", client_routing,
			       "word for word");
			is_int(r.n ? r.finding[0].line : 0,
			       strchr(lists[i], '/') || strchr(lists[i], '.') ||
					       strchr(lists[i], '"')
				       ? 3
				       : 2,
			       "at its line");
			drop(c, &r);
		}
}

static void
all_mistakes_are_reported_at_once(void)
{
	static const char text[] = "# ${HOME} \" { /*\n"
				   "server { /* two\n"
				   "lines */ port = 99999\n"
				   "  hostnam = x // typo\n"
				   "  port = 8443\n"
				   "  certificate = /c\n"
				   "}\n"
				   "client_connection { banner = \"one\n"
				   "two\" mtu = 9\n"
				   "}\n"
				   "server { enabled = false }\n"
				   "addressing { routing = include destinations = {\n"
				   " 10.0.0.0/33,\n"
				   " 10.0.0.0 } }\n"
				   "nonsense { a = { b, c } d { e = 'f' } }\n"
				   "group a { label = A lable = B }\n";
	static const struct {
		unsigned line;
		const char *setting;
	} want[] = {
		{ 3, "server.port" },
		{ 4, "server.hostnam" },
		{ 5, "server.port" },
		{ 6, "server.certificate" },
		{ 9, "client_connection.mtu" },
		{ 11, "server" },
		{ 13, "addressing.destinations" },
		{ 14, "addressing.destinations" },
		{ 15, "nonsense" },
		{ 16, "group.lable" },
		{ 1, "node.nmae" },
		{ 2, "wan.w.nat" },
	};
	struct config_report r;
	struct config *c = load(text, "node { nmae = x }\nwan w { nat = 7 }", &r);

	if (!ok(r.n_error == COUNT(want), "as many errors as mistakes"))
		show(&r);
	for (size_t i = 0; i < COUNT(want); i++) {
		bool is_there = false;
		for (size_t k = 0; k < r.n; k++)
			is_there |=
				r.finding[k].line == want[i].line &&
				strcmp(r.finding[k].setting, want[i].setting) == 0 &&
				r.finding[k].text[0] && r.finding[k].file[0];
		ok(is_there, "%s in line %u is reported", want[i].setting,
		   want[i].line);
	}
	drop(c, &r);
}

static void
after_a_broken_text_a_good_one_loads(void)
{
	static const char *const bad[] = { "server { hostname = \"abc", "server { /* ",
					   "client_connection { banner = \"\\777\" }",
					   "client_connection { banner = 'abc" };

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct config_report r;
		drop(load(bad[i], NULL, &r), &r);
		struct config *c = load("server { port = 1 }", NULL, &r);
		ok(c != NULL && c->port == 1, "good after bad %zu", i);
		drop(c, &r);
	}
}

static void
the_environment_and_files_do_not_leak_in(void)
{
	struct config_report r;
	struct config *c;

	setenv("TANDEM_TEST", "leaked", 1);
	c = load("client_connection { banner = \"a ${TANDEM_TEST} ${X:-y} $ { ~\"\n"
		 "profile_alias = '${TANDEM_TEST}' }\ngroup \"${TANDEM_TEST}\" { }",
		 NULL, &r);
	is_str(c ? c->banner : NULL, "a ${TANDEM_TEST} ${X:-y} $ { ~", "double quotes");
	is_str(c ? c->profile_alias : NULL, "${TANDEM_TEST}", "single quotes");
	is_str(c ? c->group[0].name : NULL, "${TANDEM_TEST}", "a title");
	show(&r);
	drop(c, &r);
}

static void
dynamic_routing_needs_a_valid_domain(void)
{
	static const struct {
		const char *text, *part;
		unsigned line;
	} bad[] = {
		{ "dynamic = include", "", 2 },
		{ "dynamic = exclude domains = { }", "", 2 },
		{ "dynamic = exclude\ndomains = { \"*.cisco.com\" }", "no wildcard",
		  3 },
		{ "domains = { \"cisco.com\", \"*.cisco.com\" }", "no wildcard", 2 },
		{ "domains = { \"cisco..com\" }", "no wildcard", 2 },
		{ "domains = { \"10.1.2.3\" }", "no wildcard", 2 },
		{ "domains = { \"a,b\" }", "no wildcard", 2 },
		{ "domains = { \"]]>\" }", "no wildcard", 2 },
	};
	static const char *const good[] = {
		"dynamic = include domains = { cisco.com }",
		"dynamic = exclude domains = { cisco.com, a.b.example }",
		"routing = include destinations = { 10.0.0.0/8 } dynamic = include "
		"domains = { cisco.com }",
		"routing = exclude destinations = { 10.0.0.0/8 } dynamic = exclude "
		"domains = { cisco.com }",
	};
	char text[600];

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct config_report r;

		snprintf(text, sizeof(text), "addressing {\n%s\n}", bad[i].text);
		struct config *c = load(text, NULL, &r);
		bool is_empty = bad[i].part[0] == '\0';
		ok(c == NULL, "%s refused: %s", is_empty ? "R119" : "R118",
		   bad[i].text);
		const char *got = r.n ? r.finding[0].text : "";
		if (is_empty)
			is_str(got, dynamic_routing, "R119 word for word");
		else
			ok(strstr(got, bad[i].part) != NULL, "R118 with the rule");
		is_int(r.n ? r.finding[0].line : 0, bad[i].line, "at its line");
		drop(c, &r);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		struct config_report r;

		snprintf(text, sizeof(text), "addressing { %s }", good[i]);
		struct config *c = load(text, NULL, &r);
		ok(c != NULL && r.n == 0, "R120 loads: %s", good[i]);
		drop(c, &r);
	}
}

static void
a_passthrough_node_hides_nobody(void)
{
	struct config_report r;
	struct config *c = load(NULL, "node { mode = passthrough }", &r);

	ok(c && r.n == 0 && !c->wan[0].nat && c->wan[0].service, "without a word");
	drop(c, &r);
	c = load(NULL, "node { mode = passthrough } wan a { nat = yes }", &r);
	ok(c && r.n == 0 && c->wan[0].nat, "unless it is told to");
	drop(c, &r);
	c = load(NULL,
		 "wan a { interface = e0 } wan b { interface = e1 service = no nat = "
		 "no }",
		 &r);
	ok(c && r.n == 0, "R15 the service and no-NAT on different uplinks");
	drop(c, &r);
}

static void
defaults_are_those_of_the_manual(void)
{
	static const char *const none[] = { NULL, "", "\n# nothing\n", "server { }" };

	for (size_t i = 0; i < COUNT(none); i++) {
		struct config_report r;
		struct config *c =
			load(none[i], none[i] && *none[i] == 's' ? "" : none[i], &r);
		char pool[32];

		ok(c != NULL && r.n == 0, "nothing to complain about");
		if (c == NULL)
			continue;
		inet_ntop(AF_INET, &c->pool4.addr, pool, sizeof(pool));
		ok(c->enabled && c->port == 443 && c->workers == 0, "server");
		is_int(c->tls_max, TLS_MAX_13, "TLS 1.3");
		is_int(c->session_limit, 1500, "1,500 sessions");
		is_int(c->user_sessions, 0, "no limit per user");
		is_int(c->user_sessions_policy, DISPLACE_NONE,
		       "the next one is refused");
		is_int(c->dynamic, DYNAMIC_OFF, "no dynamic routing");
		is_str(pool, "10.200.0.0", "pool");
		is_int(c->pool4.len, 20, "its length");
		is_int(c->pool6.len, 0, "no IPv6");
		is_int(c->dpd_s, 5, "dpd");
		is_int(c->dpd_mobile_s, 60, "dpd of mobiles");
		is_int(c->keepalive_s, 20, "keepalive");
		is_int(c->rekey_s, 86400, "rekey");
		is_int(c->mtu, 1434, "mtu");
		is_int(c->disconnected_s, 1800, "disconnected");
		is_int(c->session_timeout_s, 28800, "session");
		is_int(c->idle_timeout_s, 1800, "idle");
		is_int(c->login_timeout_s, 300, "login");
		is_int(c->max_attempts, 3, "attempts");
		is_int(c->routing, ROUTING_FULL, "everything is tunnelled");
		is_int(c->n_wan, 1, "one uplink");
		is_str(c->wan[0].name, "wan1", "its name");
		ok(c->wan[0].service && c->wan[0].nat && !c->wan[0].ifname[0],
		   "its options");
		ok(c->node_name[0] != '\0', "the node has a name");
		drop(c, &r);
	}
}

static const char full[] =
	"server { enabled = off port = 8443 workers = 4 tls_max = \"1.2\"\n"
	" hostname = vpn.example.com backup_hostname = vpn2.example.com\n"
	" certificate = /etc/c.pem key = '/etc/k.pem'\n"
	" model = z4c user_sessions = 3 user_sessions_policy = device log_debug = yes "
	" spare_serves = on "
	"}\n"
	"client_connection { banner = \"Gr\xc3\xbc\xc3\x9f Gott,\n\\\"you\\\" \\\\ $ { "
	"${X}\\n\"\n"
	" profile_alias = 'The Office' local_lan_access = on dpd = 10 dpd_mobile = \"2 "
	"m\"\n"
	" keepalive = 0 rekey = 0 mtu = 1300 disconnected_timeout = 90 }\n"
	"addressing { subnet = 10.9.0.0/24 ipv6_prefix = \"fd00:9::/64\"\n"
	" dns = { 10.9.0.53, fd00::53, 10.9.0.54 } suffix = corp.example.com\n"
	" routing = EXCLUDE destinations = { 0.0.0.0/32, 10.0.0.0/8, fd00::/8 }\n"
	" dynamic = exclude domains = { example.com, \"b.example\" }\n"
	" client_bypass = true tunnel_all_dns = true }\n"
	"authentication { session_timeout = \"256 hours\" idle_timeout = 0\n"
	" login_timeout = 60 max_attempts = 5 }\n"
	"group \"staff\" { label = \"Staff & Co\" }\ngroup guests { }\n";
static const char full_node[] =
	"node { name = gw1 mode = passthrough }\nwan wan1 { interface = eth0 nat = "
	"false }\n"
	"wan \"wan2\" { interface = \"wwan0\" type = cellular service = false }\n";

static void
every_value_arrives(void)
{
	struct config_report r;
	struct config *c = load(full, full_node, &r);
	char text[INET6_ADDRSTRLEN];

	show(&r);
	if (!ok(c != NULL && r.n == 0, "loads without a word"))
		return;
	ok(!c->enabled && c->port == 8443 && c->workers == 4 && c->log_debug, "server");
	is_int(c->tls_max, TLS_MAX_12, "tls_max");
	is_str(c->backup_hostname, "vpn2.example.com", "the second name");
	is_str(c->key_file, "/etc/k.pem", "key");
	is_str(c->model, "Z4C", "model, as the table spells it");
	is_int(c->session_limit, 100, "the model's limit");
	is_str(c->banner, "Gr\xc3\xbc\xc3\x9f Gott,\n\"you\" \\ $ { ${X}\n", "banner");
	is_int(c->dpd_mobile_s, 120, "2 m");
	is_int(c->session_timeout_s, 921600, "256 hours");
	is_int(c->n_dns4, 2, "IPv4 servers");
	is_int(c->n_dns6, 1, "IPv6 servers");
	is_str(inet_ntop(AF_INET, &c->dns4[1], text, sizeof(text)), "10.9.0.54",
	       "in order");
	is_int(c->pool6.len, 64, "prefix");
	is_int(c->routing, ROUTING_EXCLUDE, "exclude, in any case");
	is_int(c->n_route, 3, "destinations");
	is_int(c->route[0].v4.len, 32, "0.0.0.0/32 is valid");
	is_int(c->route[2].family, AF_INET6, "the third is IPv6");
	is_int(c->dynamic, DYNAMIC_EXCLUDE, "dynamic");
	is_str(c->domains, "example.com,b.example",
	       "R117 domains, as clients take them");
	is_int(c->n_domain, 2, "two of them");
	is_int(c->user_sessions_policy, DISPLACE_DEVICE, "policy");
	ok(c->spare_serves, "the spare serves");
	is_int(c->n_group, 2, "groups");
	is_str(c->group[0].label, "Staff & Co", "label");
	is_str(c->group[1].label, "guests", "a missing label is the name");
	is_int(c->n_wan, 2, "uplinks");
	is_int(c->wan[1].type, UPLINK_CELLULAR, "type");
	ok(!c->wan[1].service && c->wan[0].service && !c->wan[0].nat, "switches");
	drop(c, &r);
}

/* R34. */
static void
names_are_dynamic_with_a_section(void)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "", false },
		{ "server { hostname = a.test }", false },
		{ "server { hostname = a.test backup_hostname = b.test }", false },
		{ "server { hostname = a.test } ddns wan1 { }", true },
		{ "server { hostname = a.test } ddns wan2 { }", false },
		{ "server { hostname = a.test backup_hostname = b.test } ddns wan2 { }",
		  true },
		{ "ddns wan1 { }", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		struct config *c = load(cases[i].text, NULL, &r);

		show(&r);
		ok(c != NULL && config_names_dynamic(c) == cases[i].want, "R34 %s",
		   cases[i].text);
		drop(c, &r);
	}
}

static void
durations_are_read_in_words(void)
{
	static const struct {
		const char *text;
		unsigned seconds;
	} cases[] = {
		{ "8 hours", 28800 },   { "1 day", 86400 },      { "7 days", 604800 },
		{ "90 minutes", 5400 }, { "256 hours", 921600 }, { "1", 1 },
		{ "25", 25 },           { "30s", 30 },           { "8h", 28800 },
		{ "1 Hour", 3600 }
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		char text[100];

		snprintf(text, sizeof(text),
			 "authentication { session_timeout = \"%s\" }", cases[i].text);
		struct config *c = load(text, NULL, &r);
		is_int(c ? c->session_timeout_s : 0, cases[i].seconds, "%s",
		       cases[i].text);
		drop(c, &r);
	}
}

/* R143, R146. */
static void
models_have_their_limits(void)
{
	static const struct {
		const char *model;
		unsigned limit;
	} cases[] = {
		{ "MX450", 1500 }, { "MX250", 1000 }, { "MX105", 750 },
		{ "MX100", 250 },  { "MX95", 500 },   { "MX85", 250 },
		{ "MX84", 100 },   { "MX75", 250 },   { "MX67", 100 },
		{ "MX68", 100 },   { "MX64", 50 },    { "MX65", 50 },
		{ "Z3", 5 },       { "vMX-S", 100 },  { "vMX-M", 250 },
		{ "vMX-L", 500 },  { "vMX100", 250 }, { "MX600", 1000 },
		{ "MX400", 750 },  { "Z4", 100 },     { "z4c", 100 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		char text[100];

		snprintf(text, sizeof(text), "server { model = %s }", cases[i].model);
		struct config *c = load(text, NULL, &r);
		is_int(c ? c->session_limit : 0, cases[i].limit, "R143%s %s",
		       cases[i].model[0] == 'Z' || cases[i].model[0] == 'z' ? " R146"
									    : "",
		       cases[i].model);
		drop(c, &r);
	}
}

static void
doubtful_texts_load_with_a_warning(void)
{
	static const struct {
		const char *text, *node, *setting, *part;
		unsigned line;
	} cases[] = {
		{ "addressing { routing = exclude\n destinations = { 0.0.0.0/32 } }",
		  NULL, "client_connection.local_lan_access", "profile", 2 },
		{ "addressing { routing = include\n destinations = { 0.0.0.0/32 } }",
		  NULL, "addressing.destinations", "exclude", 2 },
		{ "addressing {\n destinations = { 10.0.0.0/8 } }", NULL,
		  "addressing.destinations", "no effect", 2 },
		{ "addressing { routing = include\n destinations = { 10.1.2.3/8 } }",
		  NULL, "addressing.destinations", "outside of its mask", 2 },
		{ "addressing { subnet = 10.1.2.3/16 }", NULL, "addressing.subnet",
		  "outside of its mask", 1 },
		{ "server { session_limit = 6 }\naddressing { subnet = 10.1.2.0/29 }",
		  NULL, "addressing.subnet", "5 client addresses", 2 },
		{ NULL,
		  "wan a { interface = e0 }\nwan b { interface = e1\n type = cellular "
		  "}",
		  "wan.b.service", "never carries", 3 },
		{ NULL, "wan a { service = false }", "wan", "nobody can connect", 0 },
		/* R48: custom is recommended to a pair behind a NAT device. */
		{ NULL, "node { role = spare\n behind_nat = true }", "node.behind_nat",
		  "custom is recommended", 2 },
		{ "certificate { method = self-signed }", NULL, "certificate.method",
		  "for tests only", 1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report r;
		struct config *c = load(cases[i].text, cases[i].node, &r);
		const struct config_finding *f =
			find(&r, true, cases[i].setting, cases[i].part);

		if (!ok(c != NULL && r.n == 1 && f && f->line == cases[i].line,
			"%s%s: %s",
			strstr(cases[i].setting, "behind_nat")           ? "R48 "
			: strstr(cases[i].setting, "certificate.method") ? "R69 "
									 : "",
			cases[i].setting, cases[i].part))
			show(&r);
		drop(c, &r);
	}
}

static void
sizes_are_bounded(void)
{
	struct config_report r;
	struct config *c;
	char *big = malloc(CONFIG_TEXT_MAX + 100);
	size_t at;

	memset(big, ' ', CONFIG_TEXT_MAX + 1);
	big[CONFIG_TEXT_MAX + 1] = '\0';
	c = load(big, NULL, &r);
	ok(c == NULL && find(&r, false, "file", "larger"), "a text too long");
	drop(c, &r);
	big[CONFIG_TEXT_MAX] = '\0';
	c = load(big, NULL, &r);
	ok(c != NULL, "a text just not too long");
	drop(c, &r);

	at = (size_t)sprintf(big, "client_connection { banner = \"");
	memset(big + at, 'x', CONFIG_BANNER - 1);
	strcpy(big + at + CONFIG_BANNER - 1, "\" }");
	c = load(big, NULL, &r);
	is_int(c ? strlen(c->banner) : 0, CONFIG_BANNER - 1, "the longest banner");
	drop(c, &r);
	strcpy(big + at + CONFIG_BANNER - 1, "x\" }");
	c = load(big, NULL, &r);
	ok(c == NULL && find(&r, false, "client_connection.banner", "at most"),
	   "one more");
	drop(c, &r);

	for (unsigned n = CONFIG_ROUTES; n <= CONFIG_ROUTES + 1; n++) {
		at = (size_t)sprintf(big,
				     "addressing { routing = include destinations = {");
		for (unsigned i = 0; i < n; i++)
			at += (size_t)sprintf(big + at, "%s10.%u.%u.0/24", i ? "," : "",
					      i / 256, i % 256);
		strcpy(big + at, "} }");
		c = load(big, NULL, &r);
		is_int(c != NULL, n == CONFIG_ROUTES, "%u destinations", n);
		drop(c, &r);
	}

	at = 0;
	for (unsigned i = 0; i <= CONFIG_GROUPS; i++)
		at += (size_t)sprintf(big + at, "group g%u { }\n", i);
	c = load(big, NULL, &r);
	ok(c == NULL && find(&r, false, "group", "at most 32"), "too many groups");
	drop(c, &r);

	at = 0;
	while (at < CONFIG_TEXT_MAX - 10)
		at += (size_t)sprintf(big + at, "x = y\n");
	c = load(big, NULL, &r);
	ok(c == NULL && r.n_error > 40000 && r.n <= 201, "the report has an end");
	drop(c, &r);
	free(big);
}

static void
on_change(void *arg, const struct config_change *ch)
{
	char line[1000];

	snprintf(line, sizeof(line), "%s: %s -> %s (%s)\n", ch->path,
		 ch->was ? ch->was : "(none)", ch->is ? ch->is : "(none)",
		 effect_text(ch->effect));
	strncat(arg, line, 7999 - strlen(arg));
}

static void
what_is_printed_loads_to_the_same(void)
{
	static const char *const texts[][2] = { { NULL, NULL }, { full, full_node } };

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct config_report r, r2;
		struct config *a = load(texts[i][0], texts[i][1], &r), *b;
		char *text, *node, *again, diff[8000] = "";

		is_int(config_print(a, CONFIG_FILE_MAIN, &text), 0, "prints");
		is_int(config_print(a, CONFIG_FILE_NODE, &node), 0, "prints the node");
		b = load(text, node, &r2);
		show(&r2);
		if (ok(b != NULL && r2.n == 0, "loads without a word")) {
			is_int(config_diff(a, b, on_change, diff), 0, "no difference");
			is_str(diff, "", "none said");
			is_mem(a, b, sizeof(*a), "the same bytes");
			config_print(b, CONFIG_FILE_MAIN, &again);
			is_str(again, text, "and prints the same again");
			free(again);
		}
		free(text);
		free(node);
		drop(a, &r);
		drop(b, &r2);
	}
}

static void
a_difference_is_named_with_its_effect(void)
{
	struct config_report r, r2;
	struct config *a = load("server { port = 443 }\ngroup a { }", NULL, &r);
	struct config *b =
		load("server { port = 8443 enabled = false model = Z3 }\n"
		     "addressing { dns = { 1.1.1.1, ::1 } }\ngroup b { }",
		     "node { mode = passthrough } wan wan1 { nat = off }", &r2);
	char diff[8000] = "";

	is_int(config_diff(a, b, on_change, diff), 9, "as many as there are");
	is_str(diff,
	       "server.enabled: true -> false (live)\n"
	       "server.port: 443 -> 8443 (restart)\n"
	       "server.session_limit: 1500 -> 5 (live)\n"
	       "server.model:  -> Z3 (live)\n"
	       "addressing.dns:  -> 1.1.1.1, ::1 (new connections)\n"
	       "group.a.label: a -> (none) (new connections)\n"
	       "group.b.label: (none) -> b (new connections)\n"
	       "node.mode: routed -> passthrough (restart)\n"
	       "wan.wan1.nat: true -> false (restart)\n",
	       "each with old, new and effect");
	drop(a, &r);
	drop(b, &r2);
}

/* A file of the source tree, which is where tests run. */
static char *
slurp(const char *path)
{
	char *text;

	if (config_read(path, &text) < 0 || text == NULL) {
		ok(false, "%s can be read", path);
		exit(1);
	}
	return text;
}

/* "\t#port = 443" -> "\tport = 443", while "# prose" stays. */
static void
uncomment(char *text)
{
	for (char *p = text; p != NULL && *p;
	     p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		while (*p == '\t')
			p++;
		if (p[0] == '#' && p[1] != ' ' && p[1] != '\n' && p[1] != '\0')
			*p = ' ';
	}
}

static void
samples_hold_every_option_with_its_default(void)
{
	char *text = slurp("deploy/tandem.conf"), *node = slurp("deploy/node.conf");
	struct config_report r, r2;
	struct config *plain = load(NULL, NULL, &r), *c;
	char diff[8000] = "";

	drop(NULL, &r);
	c = load(text, node, &r2);
	show(&r2);
	ok(c && r2.n == 0 && memcmp(c, plain, sizeof(*c)) == 0,
	   "as they are: the defaults");
	drop(c, &r2);

	uncomment(text);
	uncomment(node);
	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		const char *in = config_sections[o->section].file == CONFIG_FILE_MAIN
					 ? text
					 : node;
		char section[80], line[200];

		snprintf(section, sizeof(section), "%s ",
			 config_sections[o->section].name);
		snprintf(line, sizeof(line), "\t %s = ", o->name);
		const char *at = strstr(in, section),
			   *end = at ? strstr(at, "}\n") : NULL;
		while (at && at > in && at[-1] != '\n' && at[-1] != ' ')
			at = strstr(at + 1, section);
		const char *hit = at ? strstr(at, line) : NULL;
		ok(hit && end, "%s%s is there", section, o->name);
	}
	/* Giving both session_limit and a model would be refused; model = "" is none,
	 * and its neighbour stays. */
	c = load(text, node, &r2);
	show(&r2);
	ok(c != NULL && r2.n == 0, "uncommented: no complaint");
	if (c != NULL) {
		config_diff(plain, c, on_change, diff);
		const char first[] = "group.staff.label: (none) -> staff (new "
				     "connections)\n";
		bool is_example = strncmp(diff, first, sizeof(first) - 1) == 0;
		for (char *p = diff + sizeof(first) - 1; is_example && *p;
		     p = strchr(p, '\n') + 1)
			is_example = strncmp(p, "ddns.wan1.", 10) == 0;
		if (!ok(is_example,
			"uncommented: the defaults, and the example sections"))
			diag("%s", diff);
	}
	drop(c, &r2);
	config_free(plain);
	free(text);
	free(node);
}

static void
man_pages_hold_every_option(void)
{
	char *man[] = { slurp("doc/man/tandem.conf.5"),
			slurp("doc/man/tandem-node.conf.5") };

	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		char section[80], item[80], value[200] = "Default:\n.Li ";
		const char *at, *end, *hit;

		snprintf(section, sizeof(section), "\n.Ss %s\n",
			 config_sections[o->section].name);
		snprintf(item, sizeof(item), "\n.It Ic %s\n", o->name);
		at = strstr(man[config_sections[o->section].file], section);
		end = at ? strstr(at, "\n.El") : NULL;
		hit = at ? strstr(at, item) : NULL;
		ok(hit && hit < end, "%s has %s", config_sections[o->section].name,
		   o->name);
		if (!hit || o->initial == NULL)
			continue;
		size_t n = strlen(value);
		for (const char *p = o->initial; *p; p++) {
			if (*p == ' ')
				value[n++] = '\\';
			value[n++] = *p;
		}
		value[n] = '\0';
		const char *next = strstr(hit + 1, "\n.It Ic ");
		at = strstr(hit, value);
		ok(at && (!next || at < next || next > end) && strchr(" \n", at[n]),
		   "with its default");
	}
	free(man[0]);
	free(man[1]);
}

static void
on_line(void *arg, const char *text)
{
	strncat(arg, text, 59999 - strlen(arg));
	strncat(arg, "\n", 59999 - strlen(arg));
}

static void
explain_names_every_option(void)
{
	char *text = calloc(1, 60000), *json = calloc(1, 60000);

	config_explain(on_line, text, false);
	config_explain(on_line, json, true);
	for (size_t i = 0; i < config_n_options; i++) {
		char path[96];
		option_path(&config_options[i], path, sizeof(path));
		ok(strstr(text, path) && strstr(json, path), "R178 %s", path);
	}
	ok(json[0] == '[', "an array");
	free(text);
	free(json);
}

static void
put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

static void
files_are_checked_where_they_are(void)
{
	char dir[] = "/tmp/tandem-config-XXXXXX", path[64], text[200], *back;
	struct config_report r;
	struct config *c;

	if (!ok(mkdtemp(dir) != NULL, "a place to write"))
		return;
	snprintf(path, sizeof(path), "%s/p.xml", dir);
	is_int(config_read(path, &back), 0, "an absent file is no error");
	ok(back == NULL, "but has no text");
	is_int(config_read(dir, &back), E_INVAL, "a folder is one");

	snprintf(text, sizeof(text), "client_connection { profile = %s }", path);
	c = load(text, NULL, &r);
	is_int(config_check_files(c, &r), E_INVAL, "no profile");
	ok(find(&r, false, "client_connection.profile", "cannot be read"), "says so");

	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "", E_INVAL },
		{ "<AnyConnectProfile>", E_INVAL },
		{ "<UmbrellaProfile/>", E_INVAL },
		{ "{\"organizationId\": 1}", E_INVAL },
		{ "<!DOCTYPE x [<!ENTITY a "
		  "\"b\">]><AnyConnectProfile>&a;</AnyConnectProfile>",
		  E_INVAL },
		{ "<?xml version=\"1.0\"?><AnyConnectProfile xmlns=\"u\"><a/>"
		  "</AnyConnectProfile>\n",
		  0 },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		put(path, cases[i].text);
		is_int(config_check_files(c, &r), cases[i].want, "profile \"%s\"",
		       cases[i].text);
	}
	drop(c, &r);

	snprintf(text, sizeof(text), "server { certificate = %s key = %s }", path,
		 path);
	c = load(text, NULL, &r);
	is_int(config_check_files(c, &r), 0, "certificate and key are there");
	is_int(r.n, 0, "nothing to say");
	chmod(path, 0644);
	is_int(config_check_files(c, &r), 0, "an open key is no error");
	ok(find(&r, true, "server.key", "chmod 600"), "but a warning");
	drop(c, &r);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	a_bad_text_is_refused_with_line_setting_and_rule();
	a_bad_node_text_is_refused();
	split_routing_needs_a_valid_subnet();
	all_mistakes_are_reported_at_once();
	after_a_broken_text_a_good_one_loads();
	the_environment_and_files_do_not_leak_in();
	dynamic_routing_needs_a_valid_domain();
	a_passthrough_node_hides_nobody();
	defaults_are_those_of_the_manual();
	every_value_arrives();
	names_are_dynamic_with_a_section();
	durations_are_read_in_words();
	models_have_their_limits();
	doubtful_texts_load_with_a_warning();
	sizes_are_bounded();
	what_is_printed_loads_to_the_same();
	a_difference_is_named_with_its_effect();
	samples_hold_every_option_with_its_default();
	man_pages_hold_every_option();
	explain_names_every_option();
	files_are_checked_where_they_are();
	return done_testing();
}
