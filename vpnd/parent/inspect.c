/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* inspect.c -- questions about configuration that need no running daemon. */
#include "common/err.h"
#include "common/config/diff.h"
#include "common/config/edit.h"
#include "vpnd/parent/parent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	printf("%s: %s -> %s (%s)\n", ch->path, ch->was ? ch->was : "-",
	       ch->is ? ch->is : "-", effect_text(ch->effect));
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

/* One "PATH=VALUE" into the text that it belongs to. */
static bool
set_one(const struct parent_options *o, const char *word, char *text[2], bool is_new[2])
{
	const char *equals = strchr(word, '=');
	char path[200], why[300], *out;
	struct config_target t;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(word, "="), word);
	if (equals == NULL) {
		fprintf(stderr, "%s: write PATH=VALUE\n", path);
		return false;
	}
	if (config_target_parse(&t, path, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return false;
	}
	int rc = config_edit(&out, text[t.file], &t, equals + 1);
	if (rc < 0) {
		fprintf(stderr, "%s: cannot be edited (%s): vpnd -t says more\n",
			t.file == CONFIG_FILE_MAIN ? o->conf_path : o->node_path,
			err_text(rc));
		return false;
	}
	free(text[t.file]);
	text[t.file] = out;
	is_new[t.file] = true;
	return true;
}

/* One arm only: what the name is for is switched off with the service. */
static bool
is_name_idle(const struct config *c, char *const *words)
{
	static const char path[] = "server.hostname=";

	if (c == NULL || c->enabled || c->mode != MODE_PASSTHROUGH)
		return false;
	for (; *words != NULL; words++)
		if (strncmp(*words, path, strlen(path)) == 0)
			return true;
	return false;
}

/* All findings; false with an error among them. */
static bool
is_good(const struct parent_options *o, char *text[2], char *const *words)
{
	struct config_report report = { 0 };
	struct config *c;

	if (config_load(&c, o->conf_path, text[0], o->node_path, text[1], &report) == 0)
		(void)config_check_files(c, &report);
	for (size_t i = 0; i < report.n; i++)
		fprintf(stderr, "%s:%u: %s: %s%s\n", report.finding[i].file,
			report.finding[i].line, report.finding[i].setting,
			report.finding[i].is_warning ? "warning: " : "",
			report.finding[i].text);
	bool good = report.n_error == 0;
	if (good && is_name_idle(c, words)) {
		fprintf(stderr,
			"server.hostname: can be set in mode passthrough only "
			"while the service is on: set server.enabled=true, too\n");
		good = false;
	}
	config_free(c);
	config_report_free(&report);
	return good;
}

int
parent_set(const struct parent_options *o, char *const *words)
{
	const char *name[2] = { o->conf_path, o->node_path };
	char *text[2] = { NULL, NULL };
	bool is_new[2] = { false, false }, good = true;

	for (int i = 0; i < 2; i++) {
		int rc = config_read(name[i], &text[i]);
		if (rc < 0) {
			fprintf(stderr, "%s: %s\n", name[i], err_text(rc));
			good = false;
		}
	}
	for (char *const *word = words; good && *word != NULL; word++)
		good = set_one(o, *word, text, is_new);
	good = good && is_good(o, text, words);
	for (int i = 0; good && i < 2; i++)
		if (is_new[i])
			printf("%zu %s\n%s", strlen(text[i]), name[i], text[i]);
	free(text[0]);
	free(text[1]);
	return good ? EX_OK : EX_CONFIG;
}
