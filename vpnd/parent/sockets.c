/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/sockets.h"

#include "common/err.h"
#include "vpnd/parent/setup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, UDP_BUFFER = 1024 * 1024 };

static int
set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* What TCP and UDP have in common. */
static int
bound(int type, const struct listener *l)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len;
	int rc, fd = socket(l->family == 4 ? AF_INET : AF_INET6,
			    type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (l->family == 4) {
		struct sockaddr_in *sin = (struct sockaddr_in *)&ss;
		sin->sin_family = AF_INET;
		sin->sin_port = htons(l->port);
		len = sizeof(*sin);
	} else {
		struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&ss;
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(l->port);
		len = sizeof(*sin6);
		if ((rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) < 0)
			goto close_fd;
	}
	/* A successor must bind while connections of the last run are in
	 * TIME_WAIT. */
	if ((rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1)) < 0 ||
	    (rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0)
		goto close_fd;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->ifname,
		       (socklen_t)strlen(l->ifname)) < 0 ||
	    bind(fd, (struct sockaddr *)&ss, len) < 0) {
		rc = -errno;
		goto close_fd;
	}
	return fd;

close_fd:
	close(fd);
	return rc;
}

static int
open_tcp(const struct listener *l)
{
	int rc, fd = bound(SOCK_STREAM, l);

	if (fd < 0)
		return fd;
	/* Accepted connections inherit it. */
	rc = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int
open_udp(const struct listener *l)
{
	int rc, fd = bound(SOCK_DGRAM, l);
	bool is4 = l->family == 4;

	if (fd < 0)
		return fd;
	/* The destination address comes with each datagram, so that the answer
	 * leaves from it. PROBE: DF is set, and the size is what MTU probing says,
	 * not what a (perhaps forged) ICMP said. */
	if ((rc = is4 ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
		      : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)) < 0 ||
	    (rc = is4 ? set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
		      : set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
				IPV6_PMTUDISC_PROBE)) < 0)
		goto close_fd;
	/* Bounded on purpose: 8 MiB looks better in a benchmark and holds 190 ms
	 * of queue. */
	if ((rc = set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER)) < 0 ||
	    (rc = set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER)) < 0)
		goto close_fd;
	return fd;

close_fd:
	close(fd);
	return rc;
}

static const struct listener *
find_same(const struct sockets *s, const struct listener *l)
{
	for (size_t i = 0; s != NULL && i < s->n; i++) {
		const struct listener *o = &s->listener[i];
		if (o->worker == l->worker && o->wan == l->wan &&
		    o->family == l->family && o->port == l->port &&
		    strcmp(o->ifname, l->ifname) == 0)
			return o;
	}
	return NULL;
}

static int
take_over(struct listener *l, const struct listener *o)
{
	l->handle = o->handle;
	if ((l->tcp = fcntl(o->tcp, F_DUPFD_CLOEXEC, 3)) < 0)
		return -errno;
	if ((l->udp = fcntl(o->udp, F_DUPFD_CLOEXEC, 3)) < 0)
		return -errno;
	return 0;
}

static int
open_pair(struct listener *l, const char *wan_name, char *why)
{
	char holder[64] = "";
	const char *proto = "TCP";
	int rc = l->tcp = open_tcp(l);

	if (rc >= 0) {
		proto = "UDP";
		rc = l->udp = open_udp(l);
	}
	if (rc >= 0 || rc == -EAFNOSUPPORT)
		return rc < 0 ? rc : 0;
	if (rc == -EADDRINUSE && l->tcp < 0)
		port_holder(l->port, holder, sizeof(holder));
	if (rc == -ENODEV)
		snprintf(why, WHY_MAX, "%s: there is no interface \"%s\"", wan_name,
			 l->ifname);
	else
		snprintf(why, WHY_MAX, "%s (%s): %s port %u: %s%s%s", wan_name,
			 l->ifname, proto, l->port,
			 rc == -EADDRINUSE ? "in use" : err_text(rc),
			 holder[0] != '\0' ? " by " : "", holder);
	return rc;
}

int
sockets_open(struct sockets *s, const struct config *c, unsigned workers,
	     const struct sockets *old, uint32_t *last_handle, char *why)
{
	*s = (struct sockets){ 0 };
	if (!c->enabled)
		return 0;
	s->listener = calloc((size_t)workers * CONFIG_WANS * 2, sizeof(*s->listener));
	if (s->listener == NULL)
		return E_NOMEM;
	for (unsigned worker = 0; worker < workers; worker++)
		for (unsigned i = 0; i < 2 * c->n_wan; i++) {
			const struct config_wan *w = &c->wan[i / 2];
			struct listener *l = &s->listener[s->n];
			if (!wan_serves(w))
				continue;
			*l = (struct listener){ .worker = worker,
						.wan = i / 2,
						.family = i % 2 == 0 ? 4 : 6,
						.port = c->port,
						.tcp = -1,
						.udp = -1 };
			memcpy(l->ifname, w->ifname, sizeof(l->ifname));
			s->n++;
			const struct listener *same = find_same(old, l);
			int rc = same ? take_over(l, same) : open_pair(l, w->name, why);
			if (rc == -EAFNOSUPPORT && l->family == 6) {
				s->n--; /* a kernel without IPv6 */
				continue;
			}
			if (rc < 0) {
				sockets_close(s);
				return rc;
			}
			if (same == NULL)
				l->handle = ++*last_handle;
		}
	return 0;
}

void
sockets_close(struct sockets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->listener[i].tcp >= 0)
			close(s->listener[i].tcp);
		if (s->listener[i].udp >= 0)
			close(s->listener[i].udp);
	}
	free(s->listener);
	*s = (struct sockets){ 0 };
}

const struct listener *
sockets_find(const struct sockets *s, uint32_t handle)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->listener[i].handle == handle)
			return &s->listener[i];
	return NULL;
}

/* ---- who has the port */

/* The inode of the socket that listens there, from the kernel's table. */
static uint64_t
listening_inode(const char *table, uint16_t port)
{
	FILE *f = fopen(table, "re");
	char line[512];
	uint64_t found = 0;

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		unsigned p, state;
		uint64_t inode;
		if (sscanf(line,
			   " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s "
			   "%" SCNu64,
			   &p, &state, &inode) == 3 &&
		    p == port && state == TCP_LISTEN)
			found = inode;
	}
	fclose(f);
	return found;
}

static bool
has_socket(int pid, const char *want)
{
	char path[64], link[64];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		found = n > 0 && (size_t)n == strlen(want) &&
			memcmp(link, want, (size_t)n) == 0;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static void
name_process(int pid, char *buf, size_t n)
{
	char path[64], name[32] = "?";

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	FILE *f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(name, sizeof(name), f) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(f);
	}
	snprintf(buf, n, "%s (pid %d)", name, pid);
}

void
port_holder(uint16_t port, char *buf, size_t n)
{
	char want[40];
	uint64_t inode = listening_inode("/proc/net/tcp", port);

	buf[0] = '\0';
	if (inode == 0)
		inode = listening_inode("/proc/net/tcp6", port);
	if (inode == 0)
		return;
	snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
	DIR *d = opendir("/proc");
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		int pid = atoi(e->d_name);
		if (pid > 0 && has_socket(pid, want)) {
			name_process(pid, buf, n);
			break;
		}
	}
	if (d != NULL)
		closedir(d);
}
