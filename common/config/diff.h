/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* diff.h -- what a loaded configuration says, and what another says otherwise.
 *
 * Driven by the schema, so no option can be forgotten. Secret options show as
 * "(secret)" and never as their value.
 */
#ifndef COMMON_CONFIG_DIFF_H
#define COMMON_CONFIG_DIFF_H

#include "common/config/schema.h"

/* One option that differs. path is "addressing.subnet" or "wan.wan2.nat"; texts
 * are as in the file, list values joined by ", "; was is NULL for a group or
 * wan that is new, is is NULL for one that is gone. All borrowed. */
struct config_change {
	const char *path;
	const char *was, *is;
	enum config_effect effect;
};

/* Calls change() per difference; returns how many there are, or E_NOMEM. */
int config_diff(const struct config *was, const struct config *is,
		void (*change)(void *arg, const struct config_change *ch), void *arg);

/* The canonical text: every option, defaults too. Loading it gives the same
 * configuration (except secrets, which are left out). *text is the caller's to
 * free. 0 or E_NOMEM. */
int config_print(const struct config *c, enum config_file file, char **text);

#endif
