/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/provider.h"

#include <stdarg.h>
#include <stdio.h>

const struct provider *
provider_of(enum ddns_provider which)
{
	static const struct provider *const all[] = { [DDNS_NONE] = NULL,
						      [DDNS_RFC2136] =
							      &provider_rfc2136,
						      [DDNS_DYNDNS2] =
							      &provider_dyndns2 };

	return all[which];
}

void
call_cancel(struct call *c)
{
	if (c != NULL)
		c->cancel(c);
}

void
verdict_say(struct verdict *v, enum verdict_kind kind, const char *fmt, ...)
{
	va_list ap;

	*v = (struct verdict){ .kind = kind };
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
}
