/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* explain.c -- the schema, for people and for scripts: every limit and default,
 * and what no setting changes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/schema.h"

/* What is as it is, because clients or the protocol want it so. */
static const struct {
	const char *name, *value, *help;
} fixed[] = {
	{ "fixed.tls_min", "1.2", "Lowest TLS version." },
	{ "fixed.dtls_min", "1.2", "Lowest DTLS version." },
	{ "fixed.client_version_min", "4.8",
	  "AnyConnect clients older than this form no tunnel." },
	{ "fixed.session_timeout_presets", "8 hours, 1 day, 7 days",
	  "Usual values of authentication.session_timeout; any other up to its limit "
	  "is possible." },
	{ "fixed.client_netmask", "255.255.255.255",
	  "Each client has one address and a host mask." },
	{ "fixed.dynamic_platforms", "Windows, macOS",
	  "Clients that get addressing.dynamic." },
	{ "fixed.exclude_platforms", "all but Android",
	  "Clients that get addressing.routing = exclude; the others send "
	  "everything." },
	{ "fixed.certificate_methods", "file, self-signed",
	  "A certificate of server.certificate, else one made at the start." },
	{ "fixed.place_s", "60", "Seconds a login keeps its place without a tunnel." },
	{ "fixed.linger_s", "15",
	  "Seconds in which a Cisco client may come back after its goodbye." },
	{ "fixed.licence", "none", "No licence key is needed." },
};
enum { FIXED = sizeof(fixed) / sizeof(fixed[0]) };

static const char *
file_of(const struct option *o)
{
	return config_sections[o->section].file == CONFIG_FILE_MAIN ? "tandem.conf"
								    : "node.conf";
}

static json_t *
models_json(void)
{
	json_t *all = json_object();
	const char *name;
	unsigned limit;

	for (size_t i = 0; (name = model_at(i, &limit)) != NULL; i++)
		json_object_set_new(all, name, json_integer(limit));
	return all;
}

static json_t *
option_json(const struct option *o)
{
	char path[96], rule[300];

	option_path(o, path, sizeof(path));
	o->type->rule(o, rule, sizeof(rule));
	json_t *row =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "setting", path,
			  "group", config_sections[o->section].group, "file",
			  file_of(o), "type", o->type->name, "rule", rule, "unit",
			  o->unit, "default", o->initial ? o->initial : "", "effect",
			  effect_text(o->effect), "help", o->help);
	if (o->max > 0) {
		json_object_set_new(row, "min", json_integer(o->min));
		json_object_set_new(row, "max", json_integer(o->max));
	}
	if (strcmp(o->type->name, "model") == 0)
		json_object_set_new(row, "limits", models_json());
	return row;
}

static void
explain_json(void (*line)(void *arg, const char *text), void *arg)
{
	json_t *all = json_array();

	for (size_t i = 0; i < config_n_options; i++)
		json_array_append_new(all, option_json(&config_options[i]));
	for (size_t i = 0; i < FIXED; i++)
		json_array_append_new(all,
				      json_pack("{s:s,s:s,s:s,s:s,s:s}", "setting",
						fixed[i].name, "group", "fixed", "type",
						"fixed", "default", fixed[i].value,
						"help", fixed[i].help));
	char *text = json_dumps(all, JSON_INDENT(1));
	if (text != NULL)
		line(arg, text);
	free(text);
	json_decref(all);
}

static void
explain_option(void (*line)(void *arg, const char *text), void *arg,
	       const struct option *o)
{
	char path[96], rule[300], text[800];

	option_path(o, path, sizeof(path));
	o->type->rule(o, rule, sizeof(rule));
	snprintf(text, sizeof(text),
		 "%-38s %-17s default \"%s\"%s%s; %s; change: %s. %s", path,
		 o->type->name, o->initial ? o->initial : "", *o->unit ? " " : "",
		 o->type->name[0] == 'd' ? "" : o->unit, rule, effect_text(o->effect),
		 o->help);
	line(arg, text);
}

void
config_explain(void (*line)(void *arg, const char *text), void *arg, bool json)
{
	const char *group = "", *name;
	char text[300];
	unsigned limit;

	if (json) {
		explain_json(line, arg);
		return;
	}
	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];

		if (strcmp(config_sections[o->section].group, group) != 0) {
			group = config_sections[o->section].group;
			snprintf(text, sizeof(text), "# %s", group);
			line(arg, text);
		}
		explain_option(line, arg, o);
	}
	line(arg, "# session limits of the models");
	for (size_t i = 0; (name = model_at(i, &limit)) != NULL; i++) {
		snprintf(text, sizeof(text), "server.model = %-23s %u sessions", name,
			 limit);
		line(arg, text);
	}
	line(arg, "# fixed");
	for (size_t i = 0; i < FIXED; i++) {
		snprintf(text, sizeof(text), "%-38s %s. %s", fixed[i].name,
			 fixed[i].value, fixed[i].help);
		line(arg, text);
	}
}
