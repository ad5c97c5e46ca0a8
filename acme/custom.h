/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* custom.h -- certificates that an administrator uploads, one per node. */
#ifndef ACME_CUSTOM_H
#define ACME_CUSTOM_H

#include "acme/acmed.h"

/* What this node serves with method custom, as PEM: key, certificate, chain. E_NOENT:
 * nothing was uploaded. The caller frees (cert_wipe). */
int custom_live(const struct acmed *a, char **pem);

#endif
