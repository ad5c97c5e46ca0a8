/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* firewall.h -- our own nftables table `inet tandem`: silence, masquerade,
 * MSS clamp, anti-spoofing.
 *
 * The table is replaced as a whole, in one transaction. It outlives a killed
 * vpnd on purpose: the refusals of the time without one must not be heard.
 *
 * Errors: -errno or E_*; `why` has what nftables said.
 */
#ifndef VPND_PARENT_FIREWALL_H
#define VPND_PARENT_FIREWALL_H

#include "vpnd/config/config.h"

#include <stddef.h>

enum { FIREWALL_TEXT = 8192 };

/* The nft commands that make the table for this configuration (uplinks with
 * their interfaces) and so many workers. E_LIMIT when buf is too small, E_INVAL
 * for an interface name that cannot be quoted. */
int firewall_text(const struct config *c, unsigned workers, char *buf, size_t cap);

int firewall_apply(const struct config *c, unsigned workers, char *why);
int firewall_remove(char *why);

#endif
