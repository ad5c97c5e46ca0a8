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

#include "common/config/config.h"
#include "vpnd/parent/tickle.h"

#include <stddef.h>

enum { FIREWALL_TEXT = 12288, FIREWALL_LOST = 256 };

/* The nft commands that make the table for this configuration (uplinks with
 * their interfaces) and so many workers. is_pair: another node takes the addresses
 * when this one dies, so a dying connection is silent, and nothing is forwarded to
 * the virtual addresses. E_LIMIT when buf is too small, E_INVAL for an interface
 * name that cannot be quoted. */
int firewall_text(const struct config *c, unsigned workers, bool is_pair, char *buf,
		  size_t cap);

int firewall_apply(const struct config *c, unsigned workers, bool is_pair, char *why);
int firewall_remove(char *why);

/* In a pair: what these clients (up to FIREWALL_LOST) send to the service within
 * `seconds` is answered by an RST with the client's own numbers. For connections
 * whose worker is dead, of which the kernel keeps a remnant that would not. */
int firewall_lost_text(const struct endpoint *e, size_t n, unsigned seconds, char *buf,
		       size_t cap);
int firewall_lost(const struct endpoint *e, size_t n, unsigned seconds, char *why);

/* In a pair, on the node that is not active: nobody new at its own addresses, who
 * would have to move when that node is needed. A table of its own. */
int firewall_spare_text(const struct config *c, char *buf, size_t cap);
int firewall_spare(const struct config *c, char *why);
int firewall_spare_remove(char *why);

/* After a takeover, until it is removed: a DTLS record to a virtual address from
 * whom we have said nothing to yet is answered by ICMP port unreachable. A table of
 * its own. Nothing is done without virtual addresses. */
int firewall_stray_text(const struct config *c, char *buf, size_t cap);
int firewall_stray(const struct config *c, char *why);
int firewall_stray_remove(char *why);

#endif
