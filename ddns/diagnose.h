/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* diagnose.h -- walks the way of one uplink's record and says of each step how it went:
 * role, address, server, key, zone, name. Changes nothing: the update that shows
 * whether the key is taken has no changes in it. */
#ifndef DDNS_DIAGNOSE_H
#define DDNS_DIAGNOSE_H

#include <jansson.h>

struct daemon;
struct diagnose;

/* [{"wan":..., "step":..., "ok":bool, "text":...}, ...]; done owns it. */
typedef void (*diagnose_done)(void *arg, json_t *steps);

/* wan: index of the uplink. Takes at most some 30 s. */
int diagnose_start(struct diagnose **out, struct daemon *d, int wan, diagnose_done done,
		   void *arg);
void diagnose_cancel(struct diagnose *g); /* NULL is fine */

#endif
