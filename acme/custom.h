/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* custom.h -- certificates that an administrator uploads, one per node.
 *
 * Each node makes its own key, which never leaves it, and a request (CSR) for it. The
 * administrator may ask either node for either request and upload to either node:
 *
 *   csr/SLOT            {"csr":PEM,"fields":{..},"made":T}; SLOT primary or spare
 *   acme/request/SLOT   {"id":ID,"fields":{..},"asked":T}: the node of that slot makes
 *   acme/reply/SLOT     {"id":ID,"error":TEXT} or {"id":ID}: it has, or will not
 *   cert/SLOT           {"device":PEM,"chain":PEM,"served":PEM,"uploaded":T}
 *
 * Files of this node in STATEDIR/certs, mode 0600: custom-next.key, the key of the
 * current request; custom-new.key, while one is being made; custom.pem, key and chain
 * of the upload that is served.
 *
 * A new request overrides the one before; what is served goes on. With method auto the
 * uploads, requests and keys of both nodes are deleted.
 */
#ifndef ACME_CUSTOM_H
#define ACME_CUSTOM_H

#include "acme/acmed.h"

struct custom;

int custom_new(struct custom **out, struct acmed *a);
void custom_free(struct custom *c);

/* Do what the configuration, the store and open questions ask for. */
void custom_look(struct custom *c);

/* What this node serves with method custom, as PEM: key, certificate, chain. E_NOENT:
 * nothing was uploaded. The caller frees (cert_wipe). */
int custom_live(const struct acmed *a, char **pem);

/* Where each slot stands: {"primary":{"state":..,"text":..,...},"spare":...}; the spare
 * only in a pair. */
json_t *custom_status(const struct acmed *a);

enum custom_slot { SLOT_PRIMARY, SLOT_SPARE, SLOTS };
const char *custom_slot_name(enum custom_slot s);
enum custom_slot custom_own_slot(const struct acmed *a);
bool custom_in_pair(const struct acmed *a);
/* The slot that "node" names: "primary", "spare" or a node's own name; absent: this
 * node's. False: refused already. */
bool custom_take_slot(struct acmed *a, uint32_t id, const json_t *q,
		      enum custom_slot *slot);

/* {"cmd":"csr","node":SLOT, and the members of csr.h} -> "node", "csr"
 * {"cmd":"csr_show","node":SLOT} -> the same, of the current request
 * {"cmd":"upload","node":SLOT,"device":base64,"chain":base64} -> "node", "warning",
 *     "copies", "peer_away"; refused with "error", "code" (chain_fault_code), "detail"
 * {"cmd":"factory_reset"}: keys and certificates of this node are forgotten
 * SLOT may be absent: this node's. */
void custom_csr(struct acmed *a, uint32_t id, const json_t *q);
void custom_csr_show(struct acmed *a, uint32_t id, const json_t *q);
void custom_upload(struct acmed *a, uint32_t id, const json_t *q);
void custom_factory_reset(struct acmed *a, uint32_t id, const json_t *q);

#endif
