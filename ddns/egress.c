/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/egress.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
uplink_socket(int type, const char *ifname, const struct ip_addr *local, uint8_t family)
{
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(local, &ss);
	int one = 1, rc = 0, fd;

	fd = socket(family == 4 ? AF_INET : AF_INET6,
		    type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family == 6)
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (rc == 0 && ifname[0] != '\0')
		rc = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname,
				(socklen_t)strlen(ifname));
	/* The device alone is not enough: policy routes go by the source. */
	if (rc == 0 && n > 0)
		rc = bind(fd, (const struct sockaddr *)&ss, n);
	if (rc < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
