/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/pool.h"

#include "common/err.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_HOST = 2 };        /* 0 is the network, 1 the gateway */
enum { RESERVED = 0xfffffffe }; /* an owner, for us alone */

/* Free hosts of our residue are in one list, longest free first; host 0, which
 * is never given, is its head. */
struct host {
	uint32_t owner, next, prev;
};

struct pool {
	struct prefix4 net4;
	struct prefix6 net6;
	unsigned residue, modulo;
	uint32_t n; /* host numbers are below this */
	uint32_t mark, next_foreign;
	unsigned size, used;
	struct host host[];
};

static bool
is_ours(const struct pool *p, uint32_t host)
{
	return host % p->modulo == p->residue;
}

static bool
is_host(const struct pool *p, uint32_t host)
{
	return host >= FIRST_HOST && host < p->n;
}

static void
link_last(struct pool *p, uint32_t host)
{
	p->host[host].next = 0;
	p->host[host].prev = p->host[0].prev;
	p->host[p->host[0].prev].next = host;
	p->host[0].prev = host;
}

static void
unlink_host(struct pool *p, uint32_t host)
{
	p->host[p->host[host].prev].next = p->host[host].next;
	p->host[p->host[host].next].prev = p->host[host].prev;
}

int
pool_new(struct pool **out, const struct prefix4 *net4, const struct prefix6 *net6,
	 unsigned residue, unsigned modulo)
{
	assert(modulo > 0 && residue < modulo && net4->len <= 32);
	uint64_t total = (uint64_t)1 << (32 - net4->len);
	/* The last number is the broadcast address. */
	uint32_t n = total <= FIRST_HOST ? 1 : (uint32_t)(total - 1);
	if (n > POOL_HOSTS_MAX)
		n = POOL_HOSTS_MAX;

	struct pool *p = calloc(1, sizeof(*p) + n * sizeof(p->host[0]));
	if (p == NULL)
		return E_NOMEM;
	*p = (struct pool){ .net4 = *net4,
			    .net6 = *net6,
			    .residue = residue,
			    .modulo = modulo,
			    .n = n };
	for (uint32_t i = 0; i < n; i++) {
		p->host[i].owner = POOL_NONE;
		if (is_host(p, i) && is_ours(p, i)) {
			link_last(p, i);
			p->size++;
		}
	}
	*out = p;
	return 0;
}

void
pool_free(struct pool *p)
{
	free(p);
}

int
pool_lease(struct pool *p, uint32_t owner, uint32_t *host)
{
	uint32_t first = p->host[0].next;

	if (first == 0)
		return E_LIMIT;
	*host = first;
	return pool_take(p, first, owner);
}

int
pool_borrow(struct pool *p, uint32_t from, uint32_t owner, uint32_t *host)
{
	if (from < FIRST_HOST)
		from = FIRST_HOST;
	/* On from where the last one was found: a full share is not walked anew. */
	for (int again = 0; again < 2; again++) {
		uint32_t at =
			again == 0 && p->next_foreign > from ? p->next_foreign : from;
		for (; at < p->n; at++) {
			if (is_ours(p, at) || p->host[at].owner != POOL_NONE)
				continue;
			p->next_foreign = at + 1;
			*host = at;
			return pool_take(p, at, owner);
		}
	}
	return E_LIMIT;
}

uint32_t
pool_mark(const struct pool *p)
{
	return p->mark;
}

int
pool_take(struct pool *p, uint32_t host, uint32_t owner)
{
	if (!is_host(p, host))
		return E_NOENT;
	if (p->host[host].owner == owner)
		return 0;
	if (pool_owner(p, host) != POOL_NONE)
		return E_EXIST;
	if (is_ours(p, host) && p->host[host].owner != RESERVED)
		unlink_host(p, host);
	p->host[host].owner = owner;
	p->used++;
	if (is_ours(p, host) && host >= p->mark)
		p->mark = host + 1;
	return 0;
}

void
pool_return(struct pool *p, uint32_t host)
{
	if (pool_owner(p, host) == POOL_NONE)
		return;
	p->host[host].owner = POOL_NONE;
	p->used--;
	if (is_ours(p, host))
		link_last(p, host);
}

uint32_t
pool_owner(const struct pool *p, uint32_t host)
{
	return is_host(p, host) && p->host[host].owner != RESERVED ? p->host[host].owner
								   : POOL_NONE;
}

void
pool_reserve(struct pool *p, uint32_t host, bool on)
{
	if (!pool_is_ours(p, host) ||
	    p->host[host].owner != (on ? POOL_NONE : (uint32_t)RESERVED))
		return;
	p->host[host].owner = on ? (uint32_t)RESERVED : POOL_NONE;
	if (on)
		unlink_host(p, host);
	else
		link_last(p, host);
}

bool
pool_is_ours(const struct pool *p, uint32_t host)
{
	return is_host(p, host) && is_ours(p, host);
}

struct ip_addr
pool_addr4(const struct pool *p, uint32_t host)
{
	struct in_addr a = { .s_addr = htonl(ntohl(p->net4.addr.s_addr) + host) };

	return is_host(p, host) ? ip_of4(a, 0) : (struct ip_addr){ 0 };
}

struct ip_addr
pool_addr6(const struct pool *p, uint32_t host)
{
	struct in6_addr a = p->net6.addr;

	if (!is_host(p, host) || p->net6.len == 0 ||
	    (p->net6.len > 96 && (uint64_t)host >> (128 - p->net6.len) != 0))
		return (struct ip_addr){ 0 };
	for (int i = 0; i < 4; i++)
		a.s6_addr[15 - i] |= (uint8_t)(host >> (8 * i));
	return ip_of6(a, 0);
}

uint32_t
pool_host(const struct pool *p, const struct ip_addr *a)
{
	uint32_t host = POOL_NONE;
	struct ip_addr back = { 0 };

	if (a->family == 4) {
		host = ntohl(ip_v4(a).s_addr) - ntohl(p->net4.addr.s_addr);
		back = pool_addr4(p, host);
	} else if (a->family == 6) {
		host = (uint32_t)a->b[12] << 24 | (uint32_t)a->b[13] << 16 |
		       (uint32_t)a->b[14] << 8 | a->b[15];
		/* A prefix longer than 96 has bits of its own down there. */
		if (p->net6.len > 96)
			host &= p->net6.len >= 128 ? 0
						   : UINT32_MAX >> (p->net6.len - 96);
		back = pool_addr6(p, host);
	}
	return back.family != 0 && ip_same_host(&back, a) ? host : POOL_NONE;
}

unsigned
pool_size(const struct pool *p)
{
	return p->size;
}

unsigned
pool_used(const struct pool *p)
{
	return p->used;
}
