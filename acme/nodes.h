/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* nodes.h -- what each node serves, visible from either.
 *
 * A node writes cert/live/SLOT when that changes:
 *
 *   {"node":NAME,"source":TEXT,"live":status_cert(),"served":PEM,"root":PEM}
 *
 * served: what clients are shown, leaf first, without the key; root: the certificate
 * that it ends in, of the upload or of those this system trusts; both absent when
 * vpnd's own is served.
 */
#ifndef ACME_NODES_H
#define ACME_NODES_H

#include "acme/acmed.h"

void nodes_look(struct acmed *a);

/* Into the answer to "status": "nodes": these objects by slot, without the PEM, and
 * "own": this node's slot, "pair", "names": what clients dial. */
void nodes_status(const struct acmed *a, json_t *o);

/* {"cmd":"show","node":SLOT} -> the object of that slot */
void nodes_show_command(struct acmed *a, uint32_t id, const json_t *q);

#endif
