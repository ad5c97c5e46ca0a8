/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* scan.h -- what libconfuse does not tell us, found before it parses.
 *
 * libconfuse stops at the first unknown option, takes duplicates in silence,
 * loses count of lines in comments, drops characters it does not like from
 * unquoted words, replaces ${NAME} by the environment, and keeps its lexer in
 * the middle of a string after a broken one. So this pass walks the text once,
 * reports what is unknown, repeated or malformed, notes the line of every
 * value, and makes a copy in which all that and the comments are blanks.
 *
 * Ownership: scan_text gives, scan_free ends.
 */
#ifndef COMMON_CONFIG_SCAN_H
#define COMMON_CONFIG_SCAN_H

#include "common/config/schema.h"

enum {
	SCAN_TITLE = 64,
	/* Stands between $ and { in the copy; undone by scan_unmask. The text
	 * itself may hold no control character, so it cannot be forged. */
	SCAN_MASK = 1,
};

struct scan_value {
	enum config_section section;
	unsigned instance; /* nth section of this name, from 0 */
	const struct option *option;
	unsigned index; /* of the value in its list */
	unsigned line;
};

struct scan_title {
	enum config_section section;
	unsigned instance;
	char text[SCAN_TITLE];
	unsigned line;
};

/* Where something stands in the text, for an edit: bytes from `from` to before
 * `to` are name = value; option NULL: `from` is the } of the section. */
struct scan_place {
	enum config_section section;
	unsigned instance;
	const struct option *option;
	size_t from, to;
};
enum { SCAN_PLACES = 256 };

struct scan {
	char *clean; /* NULL: nothing worth giving to libconfuse */
	struct scan_value *value;
	size_t n_value;
	struct scan_title title[CONFIG_GROUPS + CONFIG_DDNS + CONFIG_WANS];
	size_t n_title;
	struct scan_place place[SCAN_PLACES];
	size_t n_place;
	unsigned section_line[SECTIONS]; /* 0: not there */
	unsigned n_section[SECTIONS];
};

/* 0 or E_NOMEM; mistakes are in the report. */
int scan_text(struct scan *out, enum config_file file, const char *name,
	      const char *text, struct config_report *report);
void scan_free(struct scan *s);

/* Line of a value; 0 when it is not set. */
unsigned scan_line(const struct scan *s, const struct option *o, unsigned instance,
		   unsigned index);

/* In place: "$<mask>{" becomes "${" again. */
void scan_unmask(char *s);

#endif
