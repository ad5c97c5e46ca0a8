/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
add(struct config_report *r, bool is_warning, const char *file, unsigned line,
    const char *setting, const char *fmt, va_list ap)
{
	struct config_finding *f;

	/* Counted even when it cannot be kept: a refusal must not be lost. */
	if (!is_warning)
		r->n_error++;
	if (r->n > REPORT_MAX)
		return;
	f = realloc(r->finding, (r->n + 1) * sizeof(*f));
	if (f == NULL)
		return;
	r->finding = f;
	f += r->n++;
	*f = (struct config_finding){ .is_warning = is_warning, .line = line };
	snprintf(f->file, sizeof(f->file), "%s", file);
	snprintf(f->setting, sizeof(f->setting), "%s", setting);
	if (r->n > REPORT_MAX)
		snprintf(f->text, sizeof(f->text),
			 "more than %d findings, the rest is not shown", REPORT_MAX);
	else
		vsnprintf(f->text, sizeof(f->text), fmt, ap);
}

void
report_error(struct config_report *r, const char *file, unsigned line,
	     const char *setting, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, false, file, line, setting, fmt, ap);
	va_end(ap);
}

void
report_warning(struct config_report *r, const char *file, unsigned line,
	       const char *setting, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add(r, true, file, line, setting, fmt, ap);
	va_end(ap);
}

void
config_report_free(struct config_report *r)
{
	free(r->finding);
	*r = (struct config_report){ 0 };
}
