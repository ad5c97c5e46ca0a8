/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* status.h -- {"cmd":"status"}: what is live, and how the next one is coming.
 *
 *   {"method":"auto","node":"a","role":"active","store":true,
 *    "live":{"source":"auto","subject":...,"issuer":...,"names":[...],"not_before":T,
 *            "not_after":T,"serial":...,"sha256":...,"chain":N},   (null: vpnd's own)
 *    "auto":{"state":"live","text":"...","reason":...,"next":T,...}}
 *
 * Times are seconds since 1970.
 */
#ifndef ACME_STATUS_H
#define ACME_STATUS_H

#include "acme/control.h"
#include "acme/cert.h"

void status_command(struct acmed *a, uint32_t id, const json_t *question);

/* {"subject":...} as above. */
json_t *status_cert(const struct cert_facts *f);

#endif
