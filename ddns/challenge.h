/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* challenge.h -- TXT records that prove to a CA that a name is ours (RFC 8555 8.4).
 *
 * acmed puts acme/challenge/ID: {"type":"dns-01","name":"_acme-challenge.NAME",
 * "value":"..."}. The active node adds the record in the zone of the uplink with that
 * name, sees it at the authoritative server, and answers with ddns/challenge/ID:
 *
 *   {"name":...,"value":...,"done":true}  or  {...,"error":"why not"}
 *
 * Several values of a name stand side by side. When the challenge goes, so do its
 * record and then the answer; until then either node can remove it.
 */
#ifndef DDNS_CHALLENGE_H
#define DDNS_CHALLENGE_H

#include "ddns/exchange.h"
#include "ddns/record.h"
#include "ddns/store.h"

struct challenges;

int challenges_new(struct challenges **out, uv_loop_t *loop, struct store *store,
		   struct exchange_counts *counts);
/* Borrowed until the next one. */
void challenges_configure(struct challenges *c, const struct config *config);
void challenges_role(struct challenges *c, bool is_active);
/* Any object of the store; bytes.p NULL: gone. */
void challenges_heard(struct challenges *c, const char *name, struct span bytes);
void challenges_free(struct challenges *c); /* memory goes when the loop has run dry */

#endif
