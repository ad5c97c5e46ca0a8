/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* live.h -- which certificate this node serves: STATEDIR/certs/live.pem.
 *
 * Key, certificate and chain in one file that is replaced as a whole, so that no moment
 * has the key of one and the chain of another. vpnd watches the folder. Without the
 * file vpnd serves a certificate of its own.
 *
 *   method self-signed   cert/self in a pair, else vpnd's own
 *   method auto          cert/auto; until there is one, as self-signed
 *   method custom        the upload for this node; until there is one, as self-signed
 *
 * cert/self is one for both nodes, made by the active one: clients that remember it
 * meet the same after a failover.
 */
#ifndef ACME_LIVE_H
#define ACME_LIVE_H

#include "acme/acmed.h"
#include "acme/cert.h"

enum live_source { LIVE_OWN, LIVE_SELF, LIVE_AUTO, LIVE_CUSTOM, LIVE_SOURCES };

struct live;

int live_new(struct live **out);
void live_free(struct live *l);

/* Choose again, and write when it is another one. Also makes cert/self. */
void live_look(struct live *l, struct acmed *a);

enum live_source live_source(const struct live *l);
const char *live_source_text(enum live_source s);
/* Of what is served; NULL for LIVE_OWN. */
const struct cert_facts *live_facts(const struct live *l);

/* The greatest of 30, 14, 7, 3, 1 (days) not greater than what is left is still to
 * come; the one that was passed last is returned, 0 for none, 1 also when it is over.
 */
unsigned live_days_passed(int64_t left_s);

#endif
