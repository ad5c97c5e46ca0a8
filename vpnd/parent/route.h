/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* route.h -- host routes are the steering table of the downlink: the route of
 * a session's address names the worker's TUN device that carries it.
 *
 * All routes of ours carry protocol number ROUTE_PROTO, so that what a killed
 * predecessor left behind is found and removed.
 *
 * Errors: -errno. Calls are answered by the kernel at once; none blocks.
 */
#ifndef VPND_PARENT_ROUTE_H
#define VPND_PARENT_ROUTE_H

#include "common/ip.h"
#include "common/config/config.h"

struct mnl_socket;

enum { ROUTE_PROTO = 0x54 };

struct router {
	struct mnl_socket *nl;
	unsigned seq;
};

int router_open(struct router *r);
void router_close(struct router *r);

/* Add or move: dst goes to ifindex with this MTU (bytes, 0 = the device's). */
int route_set(struct router *r, const struct ip_addr *dst, unsigned ifindex,
	      unsigned mtu_bytes);
/* Deleting what is not there is fine. */
int route_del(struct router *r, const struct ip_addr *dst);

/* A free address of the pool must not follow the default route out: the whole
 * pool is unreachable, with a metric that any host route beats. */
int route_pools(struct router *r, const struct config *c);

/* Remove every route of ours, of both families. */
int route_flush(struct router *r);

/* An address on a device: host prefix, no duplicate address detection. */
int route_address(struct router *r, const struct ip_addr *a, unsigned ifindex);

/* Does the kernel take packets for it as its own? Of IPv6 that is so only a moment
 * after the address is there: its route is made by a worker of the kernel's. */
bool route_is_local(struct router *r, const struct ip_addr *a);

/* Is this address one that a client may have? */
bool route_permitted(const struct config *c, const struct ip_addr *dst);

/* The first address of a pool belongs to the gateway. */
struct ip_addr pool4_gateway(const struct config *c);
struct ip_addr pool6_gateway(const struct config *c);

#endif
