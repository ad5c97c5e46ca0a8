/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* egress.h -- by which uplink something leaves.
 *
 * Both the device and the source are chosen: the routes of a machine with two uplinks
 * go by either.
 */
#ifndef DDNS_EGRESS_H
#define DDNS_EGRESS_H

#include "common/ip.h"

#include <net/if.h>

/* The way out. ifname "": as the kernel's routes have it. */
struct egress {
	char ifname[IF_NAMESIZE];
	struct ip_addr local[2]; /* IPv4, IPv6; family 0: the kernel's choice */
};

/* A socket of this type and family (4, 6), bound to the device ("": none) and the
 * address (family 0: none); -errno. */
int uplink_socket(int type, const char *ifname, const struct ip_addr *local,
		  uint8_t family);

#endif
