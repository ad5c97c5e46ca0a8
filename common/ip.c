/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/ip.h"

#include "common/err.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct ip_addr
ip_of4(struct in_addr a, uint16_t port)
{
	struct ip_addr r = { .family = 4, .port = port };
	memcpy(r.b, &a, 4);
	return r;
}

struct ip_addr
ip_of6(struct in6_addr a, uint16_t port)
{
	struct ip_addr r = { .family = 6, .port = port };
	memcpy(r.b, &a, 16);
	return r;
}

struct ip_addr
ip_of_sockaddr(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in s;
		memcpy(&s, sa, sizeof(s));
		return ip_of4(s.sin_addr, ntohs(s.sin_port));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 s;
		memcpy(&s, sa, sizeof(s));
		if (IN6_IS_ADDR_V4MAPPED(&s.sin6_addr)) {
			struct in_addr a;
			memcpy(&a, s.sin6_addr.s6_addr + 12, 4);
			return ip_of4(a, ntohs(s.sin6_port));
		}
		return ip_of6(s.sin6_addr, ntohs(s.sin6_port));
	}
	return (struct ip_addr){ 0 };
}

socklen_t
ip_to_sockaddr(const struct ip_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in s = { .sin_family = AF_INET,
					 .sin_port = htons(a->port),
					 .sin_addr = ip_v4(a) };
		memcpy(ss, &s, sizeof(s));
		return sizeof(s);
	}
	if (a->family == 6) {
		struct sockaddr_in6 s = { .sin6_family = AF_INET6,
					  .sin6_port = htons(a->port),
					  .sin6_addr = ip_v6(a) };
		memcpy(ss, &s, sizeof(s));
		return sizeof(s);
	}
	return 0;
}

struct in_addr
ip_v4(const struct ip_addr *a)
{
	struct in_addr r;
	memcpy(&r, a->b, 4);
	return r;
}

struct in6_addr
ip_v6(const struct ip_addr *a)
{
	struct in6_addr r;
	memcpy(&r, a->b, 16);
	return r;
}

bool
ip_same_host(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family &&
	       memcmp(a->b, b->b, a->family == 4 ? 4 : 16) == 0;
}

bool
ip_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->port == b->port && ip_same_host(a, b);
}

const char *
ip_text(const struct ip_addr *a, char *buf)
{
	char host[INET6_ADDRSTRLEN] = "none";

	if (a->family != 0)
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, host,
			  sizeof(host));
	if (a->port == 0)
		snprintf(buf, IP_TEXT, "%s", host);
	else
		snprintf(buf, IP_TEXT, a->family == 6 ? "[%s]:%u" : "%s:%u", host,
			 a->port);
	return buf;
}

int
ip_parse(const char *text, struct ip_addr *a)
{
	struct ip_addr r = { 0 };

	if (inet_pton(AF_INET, text, r.b) == 1)
		r.family = 4;
	else if (inet_pton(AF_INET6, text, r.b) == 1)
		r.family = 6;
	else
		return E_INVAL;
	*a = r;
	return 0;
}
