/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* inspect.c -- questions about configuration that need no running daemon. */
#include "common/err.h"
#include "vpnd/config/diff.h"
#include "vpnd/parent/parent.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static void
print_line(void *arg, const char *text)
{
	puts(text);
}

int
parent_explain(bool json)
{
	config_explain(print_line, NULL, json);
	return EX_OK;
}

static int
load(const char *conf, const char *node, struct config **out)
{
	struct config_report report = { 0 };
	char *text = NULL, *node_text = NULL;
	int rc = config_read(conf, &text);

	*out = NULL;
	if (rc == 0)
		rc = config_read(node, &node_text);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", conf, err_text(rc));
	else
		rc = config_load(out, conf, text, node, node_text, &report);
	for (size_t i = 0; i < report.n; i++)
		if (!report.finding[i].is_warning)
			fprintf(stderr, "%s:%u: %s: %s\n", report.finding[i].file,
			        report.finding[i].line, report.finding[i].setting,
			        report.finding[i].text);
	config_report_free(&report);
	free(text);
	free(node_text);
	return rc;
}

static void
print_change(void *arg, const struct config_change *ch)
{
	printf("%s: %s -> %s (%s)\n", ch->path, ch->was ? ch->was : "-", ch->is ? ch->is : "-",
	       effect_text(ch->effect));
}

int
parent_diff(const struct parent_options *o, const char *running)
{
	struct config *was = NULL, *is = NULL;
	int rc = load(running, o->node_path, &was);

	if (rc == 0)
		rc = load(o->conf_path, o->node_path, &is);
	if (rc == 0)
		rc = config_diff(was, is, print_change, NULL);
	if (rc == 0)
		puts("no difference");
	config_free(was);
	config_free(is);
	return rc < 0 ? EX_CONFIG : EX_OK;
}
