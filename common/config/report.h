/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* report.h -- adding findings to a config_report; for this folder only. */
#ifndef COMMON_CONFIG_REPORT_H
#define COMMON_CONFIG_REPORT_H

#include "common/config/config.h"

enum { REPORT_MAX = 200 }; /* then one last line says that more was left out */

/* line 0: belongs to no line. Too long texts are cut, never an error. */
__attribute__((format(printf, 5, 6))) void report_error(struct config_report *r,
							const char *file, unsigned line,
							const char *setting,
							const char *fmt, ...);
__attribute__((format(printf, 5, 6))) void
report_warning(struct config_report *r, const char *file, unsigned line,
	       const char *setting, const char *fmt, ...);

#endif
