/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* wan.h -- the addresses of an uplink that clients dial.
 *
 * In a pair these are the virtual ones, whichever node holds them at the moment: those
 * of the configured virtual addresses that lie in a network of the uplink's interface.
 * Where a family has none, they are the interface's own. Behind a NAT clients dial yet
 * others, which only the outside knows.
 */
#ifndef COMMON_WAN_H
#define COMMON_WAN_H

#include "common/ip.h"
#include "common/config/config.h"

enum { WAN_ADDRS = 8 }; /* of one uplink; more are left out */

/* An address that an interface has. */
struct wan_own {
	char ifname[IF_NAMESIZE];
	struct ip_addr addr;
	uint8_t len;     /* of its network's prefix */
	bool is_passing; /* it will go, or is not certain yet: nothing to dial */
};

/* Port 0; no link-local and no loopback addresses. How many were written. */
unsigned wan_addresses_of(const struct config *c, const char *ifname,
			  const struct wan_own *own, size_t n,
			  struct ip_addr out[WAN_ADDRS]);
/* With the addresses that this machine's interfaces have now. */
unsigned wan_addresses(const struct config *c, const char *ifname,
		       struct ip_addr out[WAN_ADDRS]);

/* Does this prefix cover this address? */
bool wan_covers(const struct ip_addr *net, unsigned len, const struct ip_addr *a);

#endif
