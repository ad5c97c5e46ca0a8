/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* explain.c -- the schema, for people and for scripts. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "vpnd/config/schema.h"

static void
explain_json(void (*line)(void *arg, const char *text), void *arg)
{
	json_t *all = json_array();

	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		char path[96], rule[300];

		option_path(o, path, sizeof(path));
		o->type->rule(o, rule, sizeof(rule));
		json_array_append_new(
			all,
			json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "setting", path,
				  "file",
				  config_sections[o->section].file == CONFIG_FILE_MAIN
					  ? "tandem.conf"
					  : "node.conf",
				  "type", o->type->name, "rule", rule, "unit", o->unit,
				  "default", o->initial ? o->initial : "", "effect",
				  effect_text(o->effect), "help", o->help));
	}
	char *text = json_dumps(all, JSON_INDENT(1));
	if (text != NULL)
		line(arg, text);
	free(text);
	json_decref(all);
}

void
config_explain(void (*line)(void *arg, const char *text), void *arg, bool json)
{
	if (json) {
		explain_json(line, arg);
		return;
	}
	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		char path[96], rule[300], text[800];

		option_path(o, path, sizeof(path));
		o->type->rule(o, rule, sizeof(rule));
		snprintf(text, sizeof(text),
			 "%-38s %-17s default \"%s\"%s%s; %s; change: %s. %s", path,
			 o->type->name, o->initial ? o->initial : "",
			 *o->unit ? " " : "", o->type->name[0] == 'd' ? "" : o->unit,
			 rule, effect_text(o->effect), o->help);
		line(arg, text);
	}
}
