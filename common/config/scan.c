/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/scan.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/config/report.h"

/* Room for one line number per option; scan_text asserts that it is enough. */
enum { SEEN = 128 };

enum token_kind { END, WORD, STRING, PUNCT, BROKEN };

struct token {
	enum token_kind kind;
	size_t at, n; /* in the copy, quotes counted */
	unsigned line;
	char punct; /* for `+=` it is '+' */
};

struct scanner {
	char *s; /* the copy being cleaned, size n */
	size_t n, at;
	unsigned line;
	struct token tok; /* the one being looked at */
	size_t past;      /* end of the token before it */
	enum config_file file;
	const char *name;
	struct config_report *report;
	struct scan *out;
	/* Options seen in the section being read, to find the second one. */
	unsigned seen_line[SEEN];
	bool is_broken; /* syntax: the rest makes no sense */
};

/* The copy stays the same length and keeps its lines. */
static void
blank(struct scanner *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (p->s[i] != '\n')
			p->s[i] = ' ';
}

static void
broken(struct scanner *p, unsigned line, const char *setting, const char *what)
{
	static const char prefix[] = "syntax: ";

	/* Outside of any section the word takes the setting's place. */
	if (*setting == '\0') {
		setting = "syntax";
		if (strncmp(what, prefix, sizeof(prefix) - 1) == 0)
			what += sizeof(prefix) - 1;
	}
	if (!p->is_broken)
		report_error(p->report, p->name, line, setting, "%s", what);
	p->is_broken = true;
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("._:/-@%", c));
}

static void
skip_comment(struct scanner *p)
{
	size_t from = p->at;
	unsigned line = p->line;

	if (p->s[p->at] == '/' && p->s[p->at + 1] == '*') {
		char *end = strstr(p->s + p->at + 2, "*/");
		if (end == NULL) {
			broken(p, line, "", "this comment has no end: add */");
			p->at = p->n;
		} else {
			p->at = (size_t)(end - p->s) + 2;
		}
	} else {
		p->at += strcspn(p->s + p->at, "\n");
	}
	for (size_t i = from; i < p->at; i++)
		p->line += p->s[i] == '\n';
	blank(p, from, p->at);
}

/* Judge a quoted string and move behind it. */
static void
take_string(struct scanner *p)
{
	char quote = p->s[p->at++];

	for (; p->at < p->n && p->s[p->at] != quote; p->at++) {
		if (p->s[p->at] == '\n')
			p->line++;
		if (p->s[p->at] != '\\')
			continue;
		p->at++;
		if (p->s[p->at] == '\n')
			p->line++;
		/* libconfuse knows \0, \x00 and more: they could cut a value short
		 * or leave its lexer inside the string. Nobody needs them. */
		else if (quote == '"' &&
			 (p->at >= p->n || !strchr("\\\"nt", p->s[p->at])))
			broken(p, p->line, "",
			       "inside \" \" only \\\\ \\\" \\n and \\t are known: "
			       "write "
			       "\\\\ for a backslash");
	}
	if (p->at >= p->n) {
		broken(p, p->tok.line, "",
		       "this string has no end: add the closing quote");
		p->at = p->n;
		return;
	}
	p->at++;
}

static void
next(struct scanner *p)
{
	p->past = p->at;
	for (;;) {
		const char *s = p->s + p->at;

		if (*s == '\n')
			p->line++;
		if (*s && strchr(" \t\r\n", *s))
			p->at++;
		else if (*s == '#' || (s[0] == '/' && (s[1] == '/' || s[1] == '*')))
			skip_comment(p);
		else
			break;
	}
	p->tok = (struct token){ .kind = END, .at = p->at, .line = p->line };
	if (p->at >= p->n || p->is_broken)
		return;

	char c = p->s[p->at];
	if (c == '"' || c == '\'') {
		p->tok.kind = STRING;
		take_string(p);
	} else if (is_word(c)) {
		p->tok.kind = WORD;
		while (is_word(p->s[p->at]) &&
		       !(p->s[p->at] == '/' && p->s[p->at + 1] == '/'))
			p->at++;
	} else if (c == '+' && p->s[p->at + 1] == '=') {
		p->tok.kind = PUNCT;
		p->tok.punct = '+';
		p->at += 2;
	} else if (strchr("{}=,()", c)) {
		p->tok.kind = PUNCT;
		p->tok.punct = c;
		p->at++;
	} else {
		p->tok.kind = BROKEN;
		broken(p, p->line, "",
		       "a character that means nothing here: put the value "
		       "in quotes");
	}
	p->tok.n = p->at - p->tok.at;
	if (p->is_broken)
		p->tok.kind = END;
}

static bool
is_punct(const struct scanner *p, char c)
{
	return p->tok.kind == PUNCT && p->tok.punct == c;
}

static void
copy(const struct scanner *p, const struct token *t, char *buf, size_t n)
{
	size_t quote = t->kind == STRING;

	snprintf(buf, n, "%.*s", (int)(t->n - 2 * quote), p->s + t->at + quote);
}

static int
note_value(struct scanner *p, const struct option *o, unsigned instance, unsigned index,
	   unsigned line)
{
	struct scan *out = p->out;

	/* Grow by doubling: at every power of two the array is full. */
	if ((out->n_value & (out->n_value - 1)) == 0) {
		size_t room = out->n_value ? out->n_value * 2 : 1;
		void *v = realloc(out->value, room * sizeof(*out->value));
		if (v == NULL)
			return E_NOMEM;
		out->value = v;
	}
	out->value[out->n_value++] =
		(struct scan_value){ o->section, instance, o, index, line };
	return 0;
}

/* After `=`: one value or { list }. Number of values; -1 when malformed. o NULL:
 * nobody wants to know. */
static int
take_values(struct scanner *p, const struct option *o, unsigned instance)
{
	unsigned n = 0;

	if (p->tok.kind == WORD || p->tok.kind == STRING) {
		if (o != NULL && note_value(p, o, instance, 0, p->tok.line) < 0)
			return -1;
		next(p);
		return 1;
	}
	if (!is_punct(p, '{'))
		return -1;
	next(p);
	while (!is_punct(p, '}')) {
		if (p->tok.kind != WORD && p->tok.kind != STRING)
			return -1;
		if (o != NULL && note_value(p, o, instance, n, p->tok.line) < 0)
			return -1;
		n++;
		next(p);
		if (is_punct(p, ','))
			next(p);
		else if (!is_punct(p, '}'))
			return -1;
	}
	next(p);
	return (int)n;
}

static void
say_unknown(struct scanner *p, const struct section *sec, const char *name,
	    unsigned line)
{
	char path[96], known[200] = "";
	size_t at = 0;

	snprintf(path, sizeof(path), "%s.%s", sec->name, name);
	if (strcasestr(name, "vlan") || strcasestr(name, "pool") ||
	    (strcasestr(name, "subnet") && strcmp(sec->name, "wan") != 0)) {
		report_error(
			p->report, p->name, line, path,
			"no such option: there are no VLANs and no second or per-group "
			"pools, every client is in addressing.subnet; remove it");
		return;
	}
	for (size_t i = 0; i < config_n_options && at < sizeof(known); i++)
		if (&config_sections[config_options[i].section] == sec)
			at += (size_t)snprintf(known + at, sizeof(known) - at, " %s",
					       config_options[i].name);
	report_error(p->report, p->name, line, path, "no such option; %s knows:%s",
		     sec->name, known);
}

/* Every option once per section and every section within its max: there is room. */
static void
note_place(struct scanner *p, enum config_section id, unsigned instance,
	   const struct option *o, size_t from, size_t to)
{
	if (p->out->n_place < SCAN_PLACES)
		p->out->place[p->out->n_place++] =
			(struct scan_place){ id, instance, o, from, to };
}

/* name = value, the name already taken. sec NULL: inside something unknown. */
static void
take_option(struct scanner *p, const struct section *sec, unsigned instance,
	    const struct token *name)
{
	enum config_section id = sec ? (enum config_section)(sec - config_sections) : 0;
	const struct option *o = NULL;
	size_t was = p->out->n_value;
	bool is_list, is_append;
	char word[64], path[96];
	int n;

	copy(p, name, word, sizeof(word));
	snprintf(path, sizeof(path), "%s.%s", sec ? sec->name : "", word);
	is_append = is_punct(p, '+');
	next(p);
	is_list = is_punct(p, '{');
	if (sec != NULL)
		o = option_find(id, word);
	n = take_values(p, o, instance);
	if (n < 0) {
		broken(p, p->tok.line, path,
		       "syntax: expected name = value or name = { value, value }; "
		       "quote a value that has spaces or signs");
		return;
	}
	if (sec == NULL)
		return;
	if (o == NULL)
		say_unknown(p, sec, word, name->line);
	else if (is_append)
		report_error(p->report, p->name, name->line, path,
			     "+= is not supported: write the whole list after one =");
	else if (p->seen_line[o - config_options])
		report_error(
			p->report, p->name, name->line, path,
			"set before in line %u: there may be only one%s; remove one",
			p->seen_line[o - config_options],
			strcmp(word, "subnet") == 0 ? " client subnet" : "");
	else if (is_list && !o->type->is_list)
		report_error(p->report, p->name, name->line, path,
			     "takes one value, not a list: remove the braces%s",
			     strcmp(word, "subnet") == 0 ? " and all but one subnet"
							 : "");
	else {
		p->seen_line[o - config_options] = name->line;
		note_place(p, id, instance, o, name->at, p->past);
		return;
	}
	p->out->n_value = was;
	blank(p, name->at, p->tok.at);
}

/* What stands between { and }, the { already taken. */
static void
take_body(struct scanner *p, const struct section *sec, unsigned instance,
	  unsigned depth)
{
	memset(p->seen_line, 0, sizeof(p->seen_line));
	while (p->tok.kind == WORD) {
		struct token name = p->tok;

		next(p);
		if (is_punct(p, '=') || is_punct(p, '+')) {
			take_option(p, sec, instance, &name);
			continue;
		}
		/* A section inside a section: none of ours has one. */
		if (p->tok.kind == WORD || p->tok.kind == STRING)
			next(p);
		if (!is_punct(p, '{') || depth >= 4) {
			broken(p, name.line, sec ? sec->name : "",
			       "syntax: expected name = value; put a value of several "
			       "words "
			       "in quotes");
			return;
		}
		next(p);
		if (sec != NULL) {
			char word[64];
			unsigned seen[SEEN];

			copy(p, &name, word, sizeof(word));
			say_unknown(p, sec, word, name.line);
			memcpy(seen, p->seen_line, sizeof(seen));
			take_body(p, NULL, 0, depth + 1);
			memcpy(p->seen_line, seen, sizeof(seen));
			blank(p, name.at, p->tok.at);
		} else {
			take_body(p, NULL, 0, depth + 1);
		}
	}
	if (!is_punct(p, '}')) {
		broken(p, p->tok.line, sec ? sec->name : "",
		       "syntax: expected an option or the } that ends the section");
		return;
	}
	if (sec != NULL)
		note_place(p, (enum config_section)(sec - config_sections), instance,
			   NULL, p->tok.at, p->tok.at + 1);
	next(p);
}

/* Is this title good and new? Then it is kept. */
static bool
title_take(struct scanner *p, const struct section *sec, const struct token *t)
{
	enum config_section id = (enum config_section)(sec - config_sections);
	struct scan *out = p->out;
	char text[256];

	if (t->kind == STRING && memchr(p->s + t->at, '\\', t->n) == NULL)
		copy(p, t, text, sizeof(text));
	else if (t->kind == WORD)
		copy(p, t, text, sizeof(text));
	else
		text[0] = '\0';
	scan_unmask(text);
	if (!title_ok(id, text)) {
		report_error(p->report, p->name, t->line, sec->name,
			     "needs a name, as in %s \"name\" { }: at most %zu bytes%s",
			     sec->name, sec->title_size - 1,
			     id == SECTION_WAN
				     ? ", letters, digits, - and _"
				     : " on one line, no quotes, no backslash");
		return false;
	}
	for (size_t i = 0; i < out->n_title; i++)
		if (out->title[i].section == id &&
		    strcmp(out->title[i].text, text) == 0) {
			report_error(
				p->report, p->name, t->line, sec->name,
				"\"%s\" was described before in line %u: remove one",
				text, out->title[i].line);
			return false;
		}
	if (out->n_section[id] == sec->max) {
		report_error(p->report, p->name, t->line, sec->name,
			     "too many: at most %u %s sections", sec->max, sec->name);
		return false;
	}
	struct scan_title *keep = &out->title[out->n_title++];
	*keep = (struct scan_title){ .section = id,
				     .instance = out->n_section[id],
				     .line = t->line };
	memcpy(keep->text, text, strlen(text) + 1); /* title_ok has measured it */
	return true;
}

/* Which section is this, and may it be here? NULL after saying why not. */
static const struct section *
section_judge(struct scanner *p, const struct token *name, const struct token *title)
{
	const struct section *sec;
	char word[64];

	copy(p, name, word, sizeof(word));
	sec = section_find(p->file, word);
	if (sec == NULL) {
		bool is_other =
			section_find(p->file == CONFIG_FILE_MAIN ? CONFIG_FILE_NODE
								 : CONFIG_FILE_MAIN,
				     word);
		report_error(
			p->report, p->name, name->line, word, "%s",
			is_other ? (p->file == CONFIG_FILE_MAIN
					    ? "belongs into node.conf: move it there"
					    : "belongs into tandem.conf: move it there")
			: p->file == CONFIG_FILE_MAIN
				? "no such section; there are server, "
				  "client_connection, "
				  "addressing, authentication, group, ddns"
				: "no such section; there are node, wan");
		return NULL;
	}
	if (sec->is_titled)
		return title_take(p, sec, title) ? sec : NULL;
	if (title->kind != END) {
		report_error(p->report, p->name, name->line, sec->name,
			     "takes no name: write %s { }", sec->name);
		return NULL;
	}
	if (p->out->section_line[sec - config_sections]) {
		report_error(p->report, p->name, name->line, sec->name,
			     "this section began before in line %u: join the two",
			     p->out->section_line[sec - config_sections]);
		return NULL;
	}
	return sec;
}

static void
take_section(struct scanner *p)
{
	struct token name = p->tok, title = { .kind = END, .line = p->tok.line };
	const struct section *sec;
	size_t was = p->out->n_value;
	char word[64];

	copy(p, &name, word, sizeof(word));
	next(p);
	if (is_punct(p, '=') || is_punct(p, '+')) {
		/* An option outside of any section: say where it belongs. */
		const char *home = NULL;
		for (size_t i = 0; i < config_n_options; i++)
			if (home == NULL && strcmp(config_options[i].name, word) == 0)
				home = config_sections[config_options[i].section].name;
		if (home != NULL)
			report_error(p->report, p->name, name.line, word,
				     "stands outside of a section: put it into %s { }",
				     home);
		else
			report_error(
				p->report, p->name, name.line, word,
				"no such option, and it stands outside of a section: "
				"remove it");
		take_option(p, NULL, 0, &name);
		blank(p, name.at, p->tok.at);
		return;
	}
	if (p->tok.kind == WORD || p->tok.kind == STRING) {
		title = p->tok;
		next(p);
	}
	if (!is_punct(p, '{')) {
		broken(p, name.line, word,
		       is_punct(p, '(')
			       ? "functions such as include() are not supported: "
				 "write the settings here"
			       : "syntax: expected a section, name { }");
		return;
	}
	sec = section_judge(p, &name, &title);
	next(p);
	if (sec == NULL) {
		take_body(p, NULL, 0, 1);
		p->out->n_value = was;
		blank(p, name.at, p->tok.at);
		return;
	}
	unsigned id = (unsigned)(sec - config_sections);
	if (p->out->section_line[id] == 0)
		p->out->section_line[id] = name.line;
	take_body(p, sec, p->out->n_section[id]++, 1);
}

/* One finding per file is enough here: such a file is not what it seems. */
static bool
bytes_ok(const char *name, const char *text, struct config_report *report)
{
	unsigned line = 1;

	if (strlen(text) > CONFIG_TEXT_MAX) {
		report_error(report, name, 0, "file",
			     "the file is larger than %d bytes", CONFIG_TEXT_MAX);
		return false;
	}
	for (const char *p = text; *p; p++) {
		line += *p == '\n';
		if ((*p > 0 && *p < 0x20 && !strchr("\t\r\n", *p)) || *p == 0x7f) {
			report_error(report, name, line, "file",
				     "control character 0x%02x: remove it",
				     (unsigned)*p);
			return false;
		}
	}
	return true;
}

/* A copy in which no ${ is left for libconfuse to look up. */
static char *
masked_copy(const char *text, size_t *n)
{
	size_t extra = 0, at = 0;
	char *s;

	for (const char *p = text; *p; p++)
		extra += p[0] == '$' && p[1] == '{';
	s = calloc(1, strlen(text) + extra + 2);
	if (s == NULL)
		return NULL;
	for (const char *p = text; *p; p++) {
		s[at++] = *p;
		if (p[0] == '$' && p[1] == '{')
			s[at++] = SCAN_MASK;
	}
	*n = at;
	return s;
}

/* From places in the masked copy to places in the text. By the text: in the copy
 * the masks of comments are blank like the rest of them. */
static size_t
unmask_place(const char *text, size_t at)
{
	size_t i = 0;

	for (size_t masked = 0; text[i] && masked < at; i++)
		masked += text[i] == '$' && text[i + 1] == '{' ? 2 : 1;
	return i;
}

static void
unmask_places(struct scan *out, const char *text)
{
	for (size_t i = 0; i < out->n_place; i++) {
		struct scan_place *at = &out->place[i];

		at->from = unmask_place(text, at->from);
		at->to = unmask_place(text, at->to);
	}
}

int
scan_text(struct scan *out, enum config_file file, const char *name, const char *text,
	  struct config_report *report)
{
	struct scanner p = { .line = 1, .file = file, .name = name, .report = report };

	assert(config_n_options <= SEEN);
	*out = (struct scan){ 0 };
	p.out = out;
	if (!bytes_ok(name, text, report))
		return 0;
	p.s = masked_copy(text, &p.n);
	if (p.s == NULL)
		return E_NOMEM;
	next(&p);
	while (p.tok.kind == WORD)
		take_section(&p);
	if (p.tok.kind != END)
		broken(&p, p.tok.line, "", "syntax: expected a section, name { }");
	unmask_places(out, text);
	if (p.is_broken)
		free(p.s);
	else
		out->clean = p.s;
	return 0;
}

void
scan_free(struct scan *s)
{
	free(s->clean);
	free(s->value);
	*s = (struct scan){ 0 };
}

unsigned
scan_line(const struct scan *s, const struct option *o, unsigned instance,
	  unsigned index)
{
	for (size_t i = 0; i < s->n_value; i++) {
		const struct scan_value *v = &s->value[i];
		if (v->option == o && v->instance == instance && v->index == index)
			return v->line;
	}
	return 0;
}

void
scan_unmask(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (*s != SCAN_MASK)
			*to++ = *s;
	*to = '\0';
}
