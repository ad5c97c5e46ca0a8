/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* schema.h -- every option once: name, type, range, unit, default, effect.
 *
 * The rows make the libconfuse options, the range checks, the error texts,
 * `explain`, the diff, the printed configuration, and the test that the man
 * pages and the samples name every option.
 *
 * A new option is a row in schema.c, a field in struct config, a line in the
 * sample and in the man page.
 */
#ifndef COMMON_CONFIG_SCHEMA_H
#define COMMON_CONFIG_SCHEMA_H

#include "common/config/config.h"

enum config_file { CONFIG_FILE_MAIN, CONFIG_FILE_NODE }; /* tandem.conf, node.conf */

/* What a change of the option does to a running service. */
enum config_effect { EFFECT_LIVE, EFFECT_NEW, EFFECT_RESTART };

enum config_section {
	SECTION_SERVER,
	SECTION_CERTIFICATE,
	SECTION_CLIENT,
	SECTION_ADDRESSING,
	SECTION_AUTH,
	SECTION_GROUP,
	SECTION_DDNS,
	SECTION_NODE,
	SECTION_WAN,
	SECTIONS
};

struct section {
	const char *name;
	enum config_file file;
	bool is_titled;    /* `wan "wan1" { }`, several of them */
	unsigned max;      /* how many of them */
	size_t title_size; /* of the field the title goes into, NUL counted */
	const char *help;
	const char *group; /* of settings, as administrators look for them */
};

struct option;

/* A kind of value. `base` is what option.offset counts from: struct config,
 * or for a titled section its struct config_group, config_ddns or config_wan. */
struct option_type {
	const char *name;
	bool is_list;
	/* Take one value; lists append. 0; 1: taken, but host bits were cleared;
	 * E_INVAL: breaks the rule; E_LIMIT: the list is full. */
	int (*parse)(const struct option *o, const char *text, void *base);
	/* Value i as text that parse() takes. False past the last one. */
	bool (*print)(const struct option *o, const void *base, unsigned i, char *buf,
		      size_t n);
	/* What is allowed, to follow "must be". */
	void (*rule)(const struct option *o, char *buf, size_t n);
};

struct option {
	enum config_section section;
	const char *name;
	const struct option_type *type;
	long min, max;
	const char *unit;    /* "" when it has none */
	const char *initial; /* the default, as text; NULL: empty */
	const char *words;   /* enumerations: "a|b|c", in the order of the enum */
	enum config_effect effect;
	bool is_secret;      /* never printed, compared only as changed or not */
	size_t offset, size; /* of the field */
	const char *help;
};

extern const struct section config_sections[SECTIONS];
extern const struct option config_options[];
extern const size_t config_n_options;

const struct section *section_find(enum config_file file, const char *name);
const struct option *option_find(enum config_section section, const char *name);

/* "addressing.subnet" */
void option_path(const struct option *o, char *buf, size_t n);
const char *effect_text(enum config_effect e);

/* Give every field of this section its default. */
void section_reset(enum config_section section, void *base);

/* Sessions a model carries; 0: no such model. `canon` (may be NULL) gets the
 * table's spelling. */
unsigned model_limit(const char *name, const char **canon);
/* Model i of the table; NULL past the last one. */
const char *model_at(size_t i, unsigned *limit);

/* True when it is UTF-8 without control characters (newline and tab allowed
 * when is_multiline). Browsers and XML parsers would choke on the rest. */
bool text_ok(const char *s, bool is_multiline);

/* A title of a group or a wan. */
bool title_ok(enum config_section section, const char *title);

#endif
