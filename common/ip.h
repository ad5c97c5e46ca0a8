/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ip.h -- an address with a port, of either family, as one small value.
 *
 * Units: port in host order; bytes of the address in network order, IPv4 in
 * the first four. family is 4, 6, or 0 for "none".
 */
#ifndef COMMON_IP_H
#define COMMON_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip_addr {
	uint8_t family;
	uint8_t b[16];
	uint16_t port;
};

enum { IP_TEXT = 64 }; /* room for any ip_text */

struct ip_addr ip_of4(struct in_addr a, uint16_t port);
struct ip_addr ip_of6(struct in6_addr a, uint16_t port);
/* From a kernel address; an IPv4-mapped one becomes IPv4. family 0 if neither. */
struct ip_addr ip_of_sockaddr(const struct sockaddr *sa);
/* The length of what was written to *ss; 0 for family 0. */
socklen_t ip_to_sockaddr(const struct ip_addr *a, struct sockaddr_storage *ss);
struct in_addr ip_v4(const struct ip_addr *a);
struct in6_addr ip_v6(const struct ip_addr *a);
bool ip_eq(const struct ip_addr *a, const struct ip_addr *b);        /* with port */
bool ip_same_host(const struct ip_addr *a, const struct ip_addr *b); /* without */
/* "192.0.2.1", "2001:db8::1"; with a port "192.0.2.1:443", "[2001:db8::1]:443".
 * buf has IP_TEXT bytes; returns buf. */
const char *ip_text(const struct ip_addr *a, char *buf);
/* Text without port into *a; E_INVAL if it is no address. */
int ip_parse(const char *text, struct ip_addr *a);

#endif
