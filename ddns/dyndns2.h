/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* dyndns2.h -- what a dyndns2 provider's answer means. */
#ifndef DDNS_DYNDNS2_H
#define DDNS_DYNDNS2_H

#include "ddns/provider.h"

/* status: of HTTP; body: as it came. For the texts: the record and its account. */
void dyndns2_judge(const struct record *r, long status, struct span body,
		   struct verdict *v);

/* URL?hostname=NAME&myip=ADDRESS; false when it does not fit. */
bool dyndns2_url(const struct record *r, char *buf, size_t n);

#endif
