/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pair.c -- the commands about the configuration that both nodes run. */
#include "ctl/ctl.h"
#include "ctl/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 256 * 1024, APPLY_WAIT_S = 40 };

static const char default_file[] = "/etc/tandem/tandem.conf";

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "-";
}

static long long
number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* A number in min..max, or a complaint. */
static bool
take_number(const char *what, const char *word, unsigned long min, unsigned long max,
	    unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(word, &end, 10);
	if (errno == 0 && *end == '\0' && end != word && word[0] != '-' &&
	    *out >= min && *out <= max)
		return true;
	ctl_complain("%s wants a number from %lu to %lu, not '%s'", what, min, max,
		     word);
	return false;
}

static json_t *
read_text(const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *text = malloc(TEXT_MAX);
	json_t *s = NULL;
	size_t n = 0;

	if (f != NULL && text != NULL)
		n = fread(text, 1, TEXT_MAX, f);
	if (f == NULL || text == NULL || ferror(f))
		ctl_complain("%s: %s", path, strerror(errno));
	else if (n == TEXT_MAX)
		ctl_complain("%s is too long for a configuration", path);
	else if ((s = json_stringn(text, n)) == NULL)
		ctl_complain("%s is not UTF-8 text", path);
	if (f != NULL && f != stdin)
		fclose(f);
	free(text);
	return s;
}

static void
print_applied(const json_t *answer, unsigned long confirm_s)
{
	long long copies = number_of(answer, "copies");

	printf("in force: hash %s", text_of(answer, "hash"));
	if (copies > 0)
		printf(", generation %lld, on %lld node%s",
		       number_of(answer, "generation"), copies, copies == 1 ? "" : "s");
	putchar('\n');
	if (confirm_s > 0)
		printf("the one before returns in %lu s unless you say: vpnctl config "
		       "confirm\n",
		       confirm_s);
}

int
pair_config_apply(struct ctl *c, struct args *a)
{
	const char *confirm = NULL;
	unsigned long confirm_s = 0;
	json_t *answer, *text;

	args_value(a, "--confirm", &confirm);
	if (!args_end(c, a, 0, 1) ||
	    (confirm != NULL &&
	     !take_number("--confirm", confirm, 1, 86400, &confirm_s)))
		return CTL_USAGE;
	if ((text = read_text(a->n == 1 ? a->v[0] : default_file)) == NULL)
		return CTL_REFUSED;
	json_t *q = json_pack("{ss so}", "cmd", "config_apply", "text", text);
	if (confirm_s > 0)
		json_object_set_new(q, "confirm_s",
				    json_integer((json_int_t)confirm_s));
	int rc = ctl_ask(c, q, APPLY_WAIT_S, &answer);
	if (rc == CTL_OK && !c->is_json)
		print_applied(answer, confirm_s);
	json_decref(answer);
	return rc;
}

int
pair_config_confirm(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "config_confirm"), 15, &answer);
	if (rc == CTL_OK && !c->is_json)
		puts("confirmed");
	json_decref(answer);
	return rc;
}

static void
print_history(const struct ctl *c, const json_t *answer)
{
	static const struct table_col col[] = {
		{ "GENERATION", true }, { "TIME", false }, { "NODE", false },
		{ "HASH", false },      { "BY", false },
	};
	struct table t;
	json_t *row;
	size_t i;

	table_open(&t, col, sizeof(col) / sizeof(col[0]));
	json_array_foreach(json_object_get(answer, "history"), i, row)
	{
		char generation[24];
		snprintf(generation, sizeof(generation), "%lld",
			 number_of(row, "generation"));
		table_add(&t,
			  (const char *[]){ generation, text_of(row, "time"),
					    text_of(row, "node"), text_of(row, "hash"),
					    text_of(row, "why") });
	}
	table_print(&t, stdout, c->has_colour ? "\033[1m" : "");
	table_free(&t);
	if (json_object_get(answer, "confirm_left_s") != NULL)
		printf("not confirmed: the one before returns in %lld s\n",
		       number_of(answer, "confirm_left_s"));
}

int
pair_config_history(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "config_history"), 10, &answer);
	if (rc == CTL_OK && !c->is_json)
		print_history(c, answer);
	json_decref(answer);
	return rc;
}

int
pair_config_rollback(struct ctl *c, struct args *a)
{
	unsigned long generation = 0;
	json_t *answer;

	if (!args_end(c, a, 0, 1) ||
	    (a->n == 1 &&
	     !take_number("config rollback", a->v[0], 1, INT64_MAX, &generation)))
		return CTL_USAGE;
	json_t *q = json_pack("{ss}", "cmd", "config_rollback");
	if (a->n == 1)
		json_object_set_new(q, "generation",
				    json_integer((json_int_t)generation));
	int rc = ctl_ask(c, q, APPLY_WAIT_S, &answer);
	if (rc == CTL_OK && !c->is_json)
		print_applied(answer, 0);
	json_decref(answer);
	return rc;
}

int
pair_config_hash(struct ctl *c, struct args *a)
{
	json_t *answer, *node;
	size_t i;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "nodes"), 10, &answer);
	if (rc == CTL_OK && !c->is_json) {
		json_array_foreach(json_object_get(answer, "nodes"), i, node)
			printf("%s  %s\n", text_of(node, "config_hash"),
			       text_of(node, "name"));
	}
	json_decref(answer);
	return rc;
}
