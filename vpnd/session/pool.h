/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pool.h -- the inner addresses: one IPv4 subnet, and beside it an IPv6 prefix.
 *
 * Hosts are numbers within the subnet; the IPv6 address of a session has the
 * same host number as its IPv4 address. Network, first host (the gateway) and
 * broadcast are never given. A node leases only hosts of its residue (number
 * modulo `modulo`), so that the nodes of a pair never collide; it accepts any
 * host that a token names. The free address that was returned longest ago is
 * leased first.
 *
 * Each host has at most one owner, a number the caller gives (a session slot).
 *
 * Errors: E_LIMIT no free host; E_EXIST owned by another; E_NOENT not a host of
 * this pool; E_NOMEM.
 */
#ifndef VPND_SESSION_POOL_H
#define VPND_SESSION_POOL_H

#include "common/ip.h"
#include "common/config/config.h"

enum {
	POOL_HOSTS_MAX = 1 << 20, /* of a larger subnet only so many are used */
	POOL_NONE = 0xffffffff,
};

struct pool;

/* residue 0 of modulo 1: all hosts. prefix6 with len 0: no IPv6. */
int pool_new(struct pool **out, const struct prefix4 *net4, const struct prefix6 *net6,
	     unsigned residue, unsigned modulo);
void pool_free(struct pool *p);

int pool_lease(struct pool *p, uint32_t owner, uint32_t *host);
/* A host of another node's share, at or above `from`. For the caller to decide:
 * is that node away, and has nobody a token for it? */
int pool_borrow(struct pool *p, uint32_t from, uint32_t owner, uint32_t *host);
/* Hosts of our share at or above this one were never leased since pool_new. */
uint32_t pool_mark(const struct pool *p);
/* This very host: for a token that names it. Fine if `owner` has it already. */
int pool_take(struct pool *p, uint32_t host, uint32_t owner);
void pool_return(struct pool *p, uint32_t host);
/* Nobody has it, and pool_lease does not give it; pool_take does. Nothing happens to
 * a host that has an owner or is none of our share. */
void pool_reserve(struct pool *p, uint32_t host, bool on);
/* Is it a host of our share? */
bool pool_is_ours(const struct pool *p, uint32_t host);

/* POOL_NONE when nobody has it or it is no host of ours. */
uint32_t pool_owner(const struct pool *p, uint32_t host);
/* family 0 if the host has no address of that family. */
struct ip_addr pool_addr4(const struct pool *p, uint32_t host);
struct ip_addr pool_addr6(const struct pool *p, uint32_t host);
/* The host number of an address of either family, or POOL_NONE. */
uint32_t pool_host(const struct pool *p, const struct ip_addr *a);
/* Addresses this node may lease, and how many hosts have an owner. */
unsigned pool_size(const struct pool *p);
unsigned pool_used(const struct pool *p);

#endif
