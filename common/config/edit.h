/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* edit.h -- one setting changed in a text that a person wrote: the rest of it,
 * comments and all, stays as it is.
 *
 * Only the place is found here; whether the new text is a good configuration is
 * for config_load to say.
 */
#ifndef COMMON_CONFIG_EDIT_H
#define COMMON_CONFIG_EDIT_H

#include "common/config/schema.h"

/* "addressing.dns" or "wan.wan2.service". */
struct config_target {
	enum config_file file;
	const struct option *option;
	char title[64]; /* "" when the section has none */
};

/* 0, or E_NOENT with a text for people. */
int config_target_parse(struct config_target *t, const char *path, char *why, size_t n);

/* The text with this setting; a list's values are joined by commas. text may be
 * NULL. *out is the caller's to free. E_INVAL: the text cannot be read, as
 * config_load will say in detail; E_NOMEM. */
int config_edit(char **out, const char *text, const struct config_target *t,
		const char *value);

#endif
