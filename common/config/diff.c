/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

/* The nth section of this kind, or NULL. */
static const void *
nth(const struct config *c, enum config_section id, unsigned i)
{
	if (id == SECTION_GROUP)
		return i < c->n_group ? &c->group[i] : NULL;
	if (id == SECTION_DDNS)
		return i < c->n_ddns ? &c->ddns[i] : NULL;
	if (id == SECTION_WAN)
		return i < c->n_wan ? &c->wan[i] : NULL;
	return i == 0 ? c : NULL;
}

/* The name a section has, "" when it needs none. */
static const char *
title(enum config_section id, const void *base)
{
	return id == SECTION_GROUP  ? ((const struct config_group *)base)->name
	       : id == SECTION_DDNS ? ((const struct config_ddns *)base)->wan
	       : id == SECTION_WAN  ? ((const struct config_wan *)base)->name
				    : "";
}

static const void *
named(const struct config *c, enum config_section id, const char *name)
{
	const void *base;

	for (unsigned i = 0; (base = nth(c, id, i)) != NULL; i++)
		if (strcmp(title(id, base), name) == 0)
			return base;
	return NULL;
}

/* All values of an option in one string. NULL without memory. */
static char *
value_text(const struct option *o, const void *base)
{
	char one[CONFIG_BANNER], *all = NULL;
	size_t n;
	FILE *f = open_memstream(&all, &n);

	if (f == NULL)
		return NULL;
	for (unsigned i = 0; o->type->print(o, base, i, one, sizeof(one)); i++)
		fprintf(f, "%s%s", i ? ", " : "", one);
	if (fclose(f) != 0) {
		free(all);
		return NULL;
	}
	return all;
}

/* One option of one section; either side may be missing. 1: differs. */
static int
compare(const struct option *o, const void *was, const void *is,
	void (*change)(void *, const struct config_change *), void *arg)
{
	const char *name = title(o->section, is ? is : was);
	char path[160], *a = NULL, *b = NULL;
	int rc = 0;

	if ((was && !(a = value_text(o, was))) || (is && !(b = value_text(o, is)))) {
		free(a);
		return E_NOMEM;
	}
	if (!a || !b || strcmp(a, b) != 0) {
		snprintf(path, sizeof(path), "%s%s%s.%s",
			 config_sections[o->section].name, *name ? "." : "", name,
			 o->name);
		change(arg, &(struct config_change){
				    .path = path,
				    .was = a && o->is_secret ? "(secret)" : a,
				    .is = b && o->is_secret ? "(secret)" : b,
				    .effect = o->effect });
		rc = 1;
	}
	free(a);
	free(b);
	return rc;
}

int
config_diff(const struct config *was, const struct config *is,
	    void (*change)(void *arg, const struct config_change *ch), void *arg)
{
	int n = 0, rc;

	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		const void *a, *b;

		for (unsigned k = 0; (a = nth(was, o->section, k)) != NULL; k++) {
			b = named(is, o->section, title(o->section, a));
			if ((rc = compare(o, a, b, change, arg)) < 0)
				return rc;
			n += rc;
		}
		for (unsigned k = 0; (b = nth(is, o->section, k)) != NULL; k++) {
			if (named(was, o->section, title(o->section, b)) != NULL)
				continue;
			if ((rc = compare(o, NULL, b, change, arg)) < 0)
				return rc;
			n += rc;
		}
	}
	return n;
}

static void
put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", f);
		else if (*s == '\t')
			fputs("\\t", f);
		else if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void
put_option(FILE *f, const struct config *c, const struct option *o, const void *base)
{
	char one[CONFIG_BANNER];

	/* The two say the same thing, and only one of them may be set. */
	if (o->offset == offsetof(struct config, session_limit) &&
	    o->section == SECTION_SERVER && c->model[0])
		return;
	if (o->is_secret) {
		fprintf(f, "\t# %s is secret\n", o->name);
		return;
	}
	fprintf(f, "\t%s = ", o->name);
	if (o->type->is_list) {
		fputc('{', f);
		for (unsigned i = 0; o->type->print(o, base, i, one, sizeof(one));
		     i++) {
			fputs(i ? ", " : " ", f);
			put_quoted(f, one);
		}
		fputs(" }\n", f);
		return;
	}
	(void)o->type->print(o, base, 0, one, sizeof(one));
	put_quoted(f, one);
	fputc('\n', f);
}

int
config_print(const struct config *c, enum config_file file, char **text)
{
	size_t n;
	FILE *f = open_memstream(text, &n);

	if (f == NULL) {
		*text = NULL;
		return E_NOMEM;
	}
	for (enum config_section id = 0; id < SECTIONS; id++) {
		const void *base;

		if (config_sections[id].file != file)
			continue;
		for (unsigned i = 0; (base = nth(c, id, i)) != NULL; i++) {
			fputs(config_sections[id].name, f);
			if (config_sections[id].is_titled) {
				fputc(' ', f);
				put_quoted(f, title(id, base));
			}
			fputs(" {\n", f);
			for (size_t k = 0; k < config_n_options; k++)
				if (config_options[k].section == id)
					put_option(f, c, &config_options[k], base);
			fputs("}\n", f);
		}
	}
	if (ferror(f) | fclose(f)) {
		free(*text);
		*text = NULL;
		return E_NOMEM;
	}
	return 0;
}
