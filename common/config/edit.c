/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/edit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/config/scan.h"

int
config_target_parse(struct config_target *t, const char *path, char *why, size_t n)
{
	const char *first = strchr(path, '.'), *last = strrchr(path, '.');
	size_t len = first != NULL ? (size_t)(first - path) : strlen(path);

	*t = (struct config_target){ 0 };
	for (enum config_section id = 0; first != NULL && id < SECTIONS; id++) {
		const struct section *s = &config_sections[id];

		if (strlen(s->name) != len || strncmp(s->name, path, len) != 0)
			continue;
		t->file = s->file;
		t->option = option_find(id, last + 1);
		if (s->is_titled)
			snprintf(t->title, sizeof(t->title), "%.*s",
				 last > first ? (int)(last - first - 1) : 0, first + 1);
		if (s->is_titled && !title_ok(id, t->title)) {
			snprintf(why, n, "%.100s: needs a name, as in %s.NAME.%s", path,
				 s->name, last + 1);
			return E_NOENT;
		}
		if (!s->is_titled && last != first)
			t->option = NULL;
	}
	if (t->option != NULL)
		return 0;
	snprintf(why, n, "%.100s: no such setting; \"vpnctl explain\" lists them",
		 path);
	return E_NOENT;
}

static void
put_value(FILE *f, const char *s, size_t n)
{
	bool is_plain = n > 0;

	for (size_t i = 0; i < n; i++)
		is_plain &= isalnum((unsigned char)s[i]) != 0;
	fputs(is_plain ? "" : "\"", f);
	for (size_t i = 0; i < n; i++)
		switch (s[i]) {
		case '\n': fputs("\\n", f); break;
		case '\t': fputs("\\t", f); break;
		case '"':
		case '\\': fputc('\\', f); /* fall through */
		default: fputc(s[i], f);
		}
	fputs(is_plain ? "" : "\"", f);
}

static void
put_setting(FILE *f, const struct option *o, const char *value)
{
	const char *comma = "";

	fprintf(f, "%s = ", o->name);
	if (!o->type->is_list) {
		put_value(f, value, strlen(value));
		return;
	}
	fputc('{', f);
	while (*value) {
		size_t n, len;

		value += strspn(value, " ");
		n = len = strcspn(value, ",");
		while (n > 0 && value[n - 1] == ' ')
			n--;
		if (n > 0 || value[len] == ',') {
			fprintf(f, "%s ", comma);
			put_value(f, value, n);
			comma = ",";
		}
		value += len + (value[len] == ',');
	}
	fputs(" }", f);
}

/* Which of the sections of this kind; -1: there is none yet. */
static int
instance_of(const struct scan *s, const struct config_target *t)
{
	enum config_section id = t->option->section;

	if (!config_sections[id].is_titled)
		return s->n_section[id] > 0 ? 0 : -1;
	for (size_t i = 0; i < s->n_title; i++)
		if (s->title[i].section == id &&
		    strcmp(s->title[i].text, t->title) == 0)
			return (int)s->title[i].instance;
	return -1;
}

static const struct scan_place *
place_of(const struct scan *s, enum config_section id, int instance,
	 const struct option *o)
{
	for (size_t i = 0; i < s->n_place; i++)
		if (s->place[i].section == id &&
		    (int)s->place[i].instance == instance && s->place[i].option == o)
			return &s->place[i];
	return NULL;
}

/* In front of the section's end: on a line of its own if the } has one. */
static void
put_last(FILE *f, const char *text, size_t end, const struct config_target *t,
	 const char *value)
{
	size_t line = end;

	while (line > 0 && (text[line - 1] == ' ' || text[line - 1] == '\t'))
		line--;
	bool is_alone = line == 0 || text[line - 1] == '\n';
	if (!is_alone)
		line = end;
	fprintf(f, "%.*s%s", (int)line, text, is_alone ? "\t" : " ");
	put_setting(f, t->option, value);
	fprintf(f, "%s%s", is_alone ? "\n" : " ", text + line);
}

static void
put_section(FILE *f, const char *text, const struct config_target *t, const char *value)
{
	size_t n = strlen(text);

	fprintf(f, "%s%s%s", text, n > 0 && text[n - 1] != '\n' ? "\n" : "",
		config_sections[t->option->section].name);
	if (t->title[0] != '\0')
		fprintf(f, " \"%s\"", t->title);
	fputs(" {\n\t", f);
	put_setting(f, t->option, value);
	fputs("\n}\n", f);
}

int
config_edit(char **out, const char *text, const struct config_target *t,
	    const char *value)
{
	struct config_report report = { 0 };
	const struct scan_place *at, *end = NULL;
	struct scan s;
	size_t n;
	int rc;

	*out = NULL;
	if (text == NULL)
		text = "";
	rc = scan_text(&s, t->file, "", text, &report);
	config_report_free(&report);
	if (rc == 0 && s.clean == NULL)
		rc = E_INVAL;
	FILE *f = rc == 0 ? open_memstream(out, &n) : NULL;
	if (f == NULL) {
		scan_free(&s);
		return rc < 0 ? rc : E_NOMEM;
	}
	enum config_section id = t->option->section;
	int instance = instance_of(&s, t);
	at = place_of(&s, id, instance, t->option);
	end = place_of(&s, id, instance, NULL);
	if (at != NULL) {
		fprintf(f, "%.*s", (int)at->from, text);
		put_setting(f, t->option, value);
		fputs(text + at->to, f);
	} else if (end != NULL) {
		put_last(f, text, end->from, t, value);
	} else {
		put_section(f, text, t, value);
	}
	scan_free(&s);
	if (fclose(f) == 0)
		return 0;
	free(*out);
	*out = NULL;
	return E_NOMEM;
}
