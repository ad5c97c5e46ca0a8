/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/tun.h"

#include "common/err.h"
#include "common/file.h"
#include "vpnd/ipc/messages.h"
#include "vpnd/parent/setup.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Debian 12's headers are older than its newest kernels */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { BUSY_TRIES = 40, BUSY_WAIT_MS = 50 };

static int
sysctl_read(const char *path, char *value, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, value, cap - 1);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	value[n > 0 ? n : 0] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return rc;
}

static int
sysctl_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int rc = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int
sysctl_device(const char *family, const char *ifname, const char *name,
	      const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, ifname,
		 name);
	return sysctl_write(path, value);
}

static int
attach(int fd, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL |
					  IFF_VNET_HDR };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

/* After a kill -9 the old device goes when the last of the old processes has
 * closed it, a moment after they died. */
static int
attach_patiently(int fd, const char *name)
{
	const struct timespec wait = { .tv_nsec = BUSY_WAIT_MS * 1000000L };
	int rc = attach(fd, name);

	for (int i = 0; rc == -EBUSY && i < BUSY_TRIES; i++) {
		nanosleep(&wait, NULL);
		rc = attach(fd, name);
	}
	return rc;
}

/* Super-packets in both directions, as far as this kernel has them: datagrams since
 * Linux 6.2. Without any, each packet still has a vnet header, which is then empty. */
static void
set_offload(struct tun *t)
{
	static const struct {
		unsigned flags;
		uint8_t kinds;
		const char *text;
	} tries[] = {
		{ TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 |
			  TUN_F_USO6,
		  TUN_TCP4 | TUN_TCP6 | TUN_UDP4 | TUN_UDP6, "tso uso" },
		{ TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
		  TUN_TCP4 | TUN_TCP6, "tso" },
	};

	t->kinds = 0;
	t->offload = "plain";
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		if (ioctl(t->fd, TUNSETOFFLOAD, tries[i].flags) == 0) {
			t->kinds = tries[i].kinds;
			t->offload = tries[i].text;
			return;
		}
}

static int
bring_up(const char *name)
{
	struct ifreq ifr = { .ifr_mtu = TUN_MTU };
	int rc = 0, s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(s, SIOCSIFMTU, &ifr) < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		rc = -errno;
	ifr.ifr_flags |= IFF_UP;
	if (rc == 0 && ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		rc = -errno;
	close(s);
	return rc;
}

/* Written only where needed: a container may have /proc/sys read-only. */
static int
enable_ipv6(const char *name)
{
	char path[96], value[16];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	int rc = sysctl_read(path, value, sizeof(value));
	if (rc == 0 && strcmp(value, "0") != 0)
		rc = sysctl_write(path, "0");
	return rc;
}

int
tun_open(struct tun *t, unsigned index, bool has_ipv6, char *why)
{
	int rc;

	*t = (struct tun){ .fd = open("/dev/net/tun",
				      O_RDWR | O_CLOEXEC | O_NONBLOCK) };
	snprintf(t->name, sizeof(t->name), "vpn%u", index);
	if (t->fd < 0) {
		rc = -errno;
		snprintf(why, WHY_MAX, "/dev/net/tun: %s; is the tun module there?",
			 err_text(rc));
		return rc;
	}
	if ((rc = attach_patiently(t->fd, t->name)) < 0) {
		snprintf(why, WHY_MAX, "%s: %s%s", t->name, err_text(rc),
			 rc == -EBUSY ? "; another program has a device of this name"
				      : "");
		goto close_fd;
	}
	set_offload(t);
	/* The inner source address is checked by the worker; the return route may
	 * be on another worker's device, which strict filtering would not stand. */
	(void)sysctl_device("ipv4", t->name, "rp_filter", "2");
	/* No link-local address: clients would get the kernel's multicast. */
	(void)sysctl_device("ipv6", t->name, "addr_gen_mode", "1");
	(void)sysctl_device("ipv6", t->name, "accept_ra", "0");
	if (has_ipv6 && (rc = enable_ipv6(t->name)) < 0) {
		snprintf(why, WHY_MAX,
			 "%s: IPv6 is off in this kernel, but addressing.ipv6_prefix "
			 "is set",
			 t->name);
		goto close_fd;
	}
	if ((rc = bring_up(t->name)) < 0) {
		snprintf(why, WHY_MAX, "%s: %s", t->name, err_text(rc));
		goto close_fd;
	}
	t->ifindex = if_nametoindex(t->name);
	return 0;

close_fd:
	tun_close(t);
	return rc;
}

void
tun_close(struct tun *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static bool
is_kept(const struct forwarding *f, const char *path)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->old[i].path, path) == 0)
			return true;
	return false;
}

/* Set a value and remember what was there. Nothing to do is fine. */
static int
change(struct forwarding *f, const char *path, const char *value, const char *only_from)
{
	struct sysctl_old old;
	int rc = sysctl_read(path, old.value, sizeof(old.value));

	if (rc < 0)
		return rc;
	if (strcmp(old.value, value) == 0 ||
	    (only_from != NULL && strcmp(old.value, only_from) != 0))
		return 0;
	if ((rc = sysctl_write(path, value)) < 0)
		return rc;
	snprintf(old.path, sizeof(old.path), "%s", path);
	if (!is_kept(f, path) && f->n < sizeof(f->old) / sizeof(f->old[0]))
		f->old[f->n++] = old;
	return 0;
}

/* What a killed predecessor left to put back. */
static void
read_kept(struct forwarding *f)
{
	FILE *in = fopen(f->keep, "re");
	struct sysctl_old old;

	while (in != NULL && f->n < sizeof(f->old) / sizeof(f->old[0]) &&
	       fscanf(in, "%95s %15s", old.path, old.value) == 2)
		f->old[f->n++] = old;
	if (in != NULL)
		fclose(in);
}

static void
write_kept(const struct forwarding *f)
{
	char text[sizeof(f->old) + sizeof(f->old) / sizeof(f->old[0]) * 2];
	size_t n = 0;

	for (unsigned i = 0; i < f->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s\n",
				      f->old[i].path, f->old[i].value);
	if (f->n > 0)
		(void)file_replace(AT_FDCWD, f->keep, span_of(text, n), 0600);
}

int
forwarding_on(struct forwarding *f, const struct config *c, const char *keep, char *why)
{
	static const char v4[] = "/proc/sys/net/ipv4/ip_forward";
	static const char v6[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	char path[96];
	int rc;

	f->n = 0;
	snprintf(f->keep, sizeof(f->keep), "%s", keep);
	read_kept(f);
	if ((rc = change(f, v4, "1", NULL)) < 0) {
		snprintf(why, WHY_MAX, "%s: %s", v4, err_text(rc));
		return rc;
	}
	for (unsigned i = 0; c->pool6.len > 0 && i < c->n_wan; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra",
			 c->wan[i].ifname);
		(void)change(f, path, "2", "1");
	}
	if (c->pool6.len > 0 && (rc = change(f, v6, "1", NULL)) < 0)
		snprintf(why, WHY_MAX, "%s: %s", v6, err_text(rc));
	write_kept(f);
	return rc;
}

/* Backwards: accept_ra only after forwarding is off again. */
void
forwarding_restore(struct forwarding *f)
{
	while (f->n > 0) {
		f->n--;
		(void)sysctl_write(f->old[f->n].path, f->old[f->n].value);
	}
	if (f->keep[0] != '\0')
		(void)unlink(f->keep);
}
