/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* clientca.h -- the authorities whose client certificates are trusted: uploaded as PEM,
 * object cert/client-ca of the store, mirrored by each node's acmed to
 * STATEDIR/certs/client-ca.pem, where vpnd finds them.
 *
 *   {"cmd":"client_ca"}                       -> "pem", "certificates":[{subject,
 * issuer, not_before, not_after, sha256}]
 *   {"cmd":"client_ca_set","file":base64}     -> "copies", "peer_away"
 *   {"cmd":"client_ca_remove"}
 */
#ifndef ACME_CLIENTCA_H
#define ACME_CLIENTCA_H

#include "acme/acmed.h"

#define CLIENTCA_OBJECT "cert/client-ca"
#define CLIENTCA_FILE "client-ca.pem"

void clientca_look(struct acmed *a);

void clientca_command(struct acmed *a, uint32_t id, const json_t *q);
void clientca_set_command(struct acmed *a, uint32_t id, const json_t *q);
void clientca_remove_command(struct acmed *a, uint32_t id, const json_t *q);

#endif
