/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* routing.h -- what the kernel's routing tables say (rtnetlink, RFC 3549).
 *
 * Errors: -errno. The kernel answers at once; nothing here blocks or needs a privilege.
 */
#ifndef COMMON_ROUTING_H
#define COMMON_ROUTING_H

#include <net/if.h>

struct nlmsghdr;

/* Show each route of AF_INET or AF_INET6, of every table, to on_route: an RTM_NEWROUTE
 * with its struct rtmsg whole. on_route may change routes, over a socket of its own:
 * answers to that do not mix with these. */
int routing_dump(int family, void (*on_route)(const struct nlmsghdr *route, void *arg),
		 void *arg);

/* Name of the interface of the default route (IPv4 first, best metric first).
 * -ENOENT when there is none. */
int routing_default_ifname(char ifname[IF_NAMESIZE]);

#endif
