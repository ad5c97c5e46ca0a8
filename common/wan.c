/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/wan.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_MAX = 256 }; /* addresses of this machine that are looked at */

bool
wan_covers(const struct ip_addr *net, unsigned len, const struct ip_addr *a)
{
	unsigned whole = len / 8, rest = len % 8;

	if (net->family != a->family || len > (a->family == 4 ? 32u : 128u) ||
	    memcmp(net->b, a->b, whole) != 0)
		return false;
	return rest == 0 || ((net->b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}

static bool
is_dialable(const struct ip_addr *a)
{
	struct in6_addr six = ip_v6(a);

	if (a->family == 4)
		return a->b[0] != 127 && !(a->b[0] == 169 && a->b[1] == 254);
	return a->family == 6 && !IN6_IS_ADDR_LINKLOCAL(&six) &&
	       !IN6_IS_ADDR_LOOPBACK(&six);
}

/* The virtual addresses of one family that belong on this interface. */
static unsigned
take_virtual(const struct config *c, unsigned family, const char *ifname,
	     const struct wan_own *own, size_t n, struct ip_addr *out, unsigned room)
{
	unsigned total = family == 4 ? c->n_virtual4 : c->n_virtual6, did = 0;

	for (unsigned v = 0; v < total && did < room; v++) {
		struct ip_addr a = family == 4 ? ip_of4(c->virtual4[v], 0)
					       : ip_of6(c->virtual6[v], 0);
		for (size_t i = 0; i < n; i++)
			if (strcmp(own[i].ifname, ifname) == 0 &&
			    /* Itself as /32, when we hold it, says nothing. */
			    !ip_same_host(&own[i].addr, &a) &&
			    wan_covers(&own[i].addr, own[i].len, &a)) {
				out[did++] = a;
				break;
			}
	}
	return did;
}

static unsigned
take_own(unsigned family, const char *ifname, const struct wan_own *own, size_t n,
	 struct ip_addr *out, unsigned room)
{
	unsigned did = 0;

	for (size_t i = 0; i < n && did < room; i++)
		if (own[i].addr.family == family && !own[i].is_passing &&
		    strcmp(own[i].ifname, ifname) == 0 && is_dialable(&own[i].addr)) {
			out[did] = own[i].addr;
			out[did++].port = 0;
		}
	return did;
}

unsigned
wan_addresses_of(const struct config *c, const char *ifname, const struct wan_own *own,
		 size_t n, struct ip_addr out[WAN_ADDRS])
{
	unsigned total = 0;

	for (unsigned family = 4; family <= 6; family += 2) {
		unsigned did = take_virtual(c, family, ifname, own, n, out + total,
					    WAN_ADDRS - total);
		if (did == 0)
			did = take_own(family, ifname, own, n, out + total,
				       WAN_ADDRS - total);
		total += did;
	}
	return total;
}

static unsigned
mask_len(const struct sockaddr *sa)
{
	const uint8_t *p =
		sa->sa_family == AF_INET
			? (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr
			: ((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr;
	unsigned bytes = sa->sa_family == AF_INET ? 4 : 16, len = 0;

	while (len < 8 * bytes && (p[len / 8] & (0x80 >> (len % 8))))
		len++;
	return len;
}

/* Of IPv6: not one that is temporary (RFC 8981), deprecated, or not certain yet. What
 * the kernel shows of it: address, index, prefix length, scope, flags, name. */
static bool
is_lasting(const struct ip_addr *a)
{
	enum {
		TEMPORARY = 0x01,
		DAD_FAILED = 0x08,
		DEPRECATED = 0x20,
		TENTATIVE = 0x40
	};
	FILE *f = a->family == 6 ? fopen("/proc/net/if_inet6", "re") : NULL;
	char line[128], want[33];
	unsigned flags = 0, seen;

	for (unsigned i = 0; i < 16; i++)
		snprintf(want + 2 * i, 3, "%02x", a->b[i]);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, want, 32) == 0 &&
		    sscanf(line + 32, "%*x %*x %*x %x", &seen) == 1)
			flags = seen;
	if (f != NULL)
		fclose(f);
	return (flags & (TEMPORARY | DAD_FAILED | DEPRECATED | TENTATIVE)) == 0;
}

unsigned
wan_addresses(const struct config *c, const char *ifname, struct ip_addr out[WAN_ADDRS])
{
	struct wan_own *own = calloc(OWN_MAX, sizeof(*own));
	struct ifaddrs *list = NULL;
	size_t n = 0;
	unsigned did = 0;

	if (own == NULL || getifaddrs(&list) < 0)
		goto out;
	for (const struct ifaddrs *i = list; i != NULL && n < OWN_MAX;
	     i = i->ifa_next) {
		if (i->ifa_addr == NULL || i->ifa_netmask == NULL ||
		    strcmp(i->ifa_name, ifname) != 0)
			continue;
		own[n].addr = ip_of_sockaddr(i->ifa_addr);
		if (own[n].addr.family == 0)
			continue;
		own[n].addr.port = 0;
		own[n].is_passing = !is_lasting(&own[n].addr);
		/* The mask's own family field is not reliable. */
		struct sockaddr_storage mask = { 0 };
		memcpy(&mask, i->ifa_netmask,
		       i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6));
		mask.ss_family = i->ifa_addr->sa_family;
		own[n].len = (uint8_t)mask_len((const struct sockaddr *)&mask);
		memcpy(own[n].ifname, ifname, strnlen(ifname, IF_NAMESIZE - 1));
		n++;
	}
	did = wan_addresses_of(c, ifname, own, n, out);
out:
	if (list != NULL)
		freeifaddrs(list);
	free(own);
	return did;
}
