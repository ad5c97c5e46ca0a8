/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "tests/lib/tap.h"
#include "common/config/edit.h"

static void
one_setting_changes_and_the_rest_stays(void)
{
	static const struct {
		const char *path, *value, *before, *after;
	} cases[] = {
		{ "server.enabled", "false", NULL, "server {\n\tenabled = false\n}\n" },
		{ "server.enabled", "false",
		  "# mine\nserver {\n\tport = 1 # one\n}\n# end",
		  "# mine\nserver {\n\tport = 1 # one\n\tenabled = false\n}\n# end" },
		{ "server.enabled", "true",
		  "server { port = 1 enabled = no /* ${X} } */ workers = 2 }\n",
		  "server { port = 1 enabled = true /* ${X} } */ workers = 2 }\n" },
		{ "server.enabled", "true", "server { port = 1 }",
		  "server { port = 1  enabled = true }" },
		{ "server.enabled", "true", "# ${A} ${B}\nserver { enabled = no }",
		  "# ${A} ${B}\nserver { enabled = true }" },
		{ "server.port", "8443",
		  "client_connection { banner = \"${A} ${B}\" }\n"
		  "server\n{\nport=443\n}",
		  "client_connection { banner = \"${A} ${B}\" }\n"
		  "server\n{\nport = 8443\n}" },
		{ "client_connection.banner", "a \"b\"\nc\\",
		  "client_connection { banner = \"x\ny\" }",
		  "client_connection { banner = \"a \\\"b\\\"\\nc\\\\\" }" },
		{ "addressing.dns", "10.0.0.1, 10.0.0.2",
		  "addressing {\n\tdns = { 1.1.1.1,\n\t\t1.1.1.2 }\n}\n",
		  "addressing {\n\tdns = { \"10.0.0.1\", \"10.0.0.2\" }\n}\n" },
		{ "addressing.domains", "", "addressing { domains = { a.b } }",
		  "addressing { domains = { } }" },
		{ "group.staff.label", "Us",
		  "group guests { label = x }\ngroup \"staff\" { }",
		  "group guests { label = x }\ngroup \"staff\" {  label = Us }" },
		{ "group.a.b.label", "Us", "group guests { }",
		  "group guests { }\ngroup \"a.b\" {\n\tlabel = Us\n}\n" },
		{ "wan.wan2.service", "false",
		  "wan wan1 { service = true }\n"
		  "wan wan2 { service = true }\n",
		  "wan wan1 { service = true }\nwan wan2 { service = false }\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_target t;
		char why[200], *out;

		is_int(config_target_parse(&t, cases[i].path, why, sizeof(why)), 0,
		       "%s", cases[i].path);
		is_int(config_edit(&out, cases[i].before, &t, cases[i].value), 0,
		       "edits");
		is_str(out, cases[i].after, "as expected");
		free(out);
	}
}

static void
what_is_no_setting_is_refused(void)
{
	static const char *const bad[] = { "",
					   "server",
					   "server.x",
					   "x.enabled",
					   "server.a.enabled",
					   "group.label",
					   "wan.a b.nat",
					   "serve.enabled",
					   ".",
					   "wan..nat" };
	struct config_target t;
	char why[200], *out;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(config_target_parse(&t, bad[i], why, sizeof(why)) == E_NOENT &&
			   strstr(why, bad[i]) != NULL,
		   "\"%s\"", bad[i]);
	config_target_parse(&t, "server.port", why, sizeof(why));
	is_int(config_edit(&out, "server { port = \"1 }", &t, "2"), E_INVAL,
	       "a broken text stays as it is");
}

int
main(void)
{
	one_setting_changes_and_the_rest_stays();
	what_is_no_setting_is_refused();
	return done_testing();
}
