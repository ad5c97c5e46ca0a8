/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tun.h -- one TUN device per worker, and the kernel settings it needs.
 *
 * The parent holds the descriptor for ever, so a device outlives its worker
 * and its routes stay; when the parent dies, the device goes with it.
 *
 * Errors: -errno; `why` says it in one line.
 */
#ifndef VPND_PARENT_TUN_H
#define VPND_PARENT_TUN_H

#include "common/config/config.h"
#include "vpnd/parent/route.h"

enum { TUN_MTU = 1500, TUN_NAMES = 64 };

struct tun {
	int fd;
	unsigned ifindex;
	char name[IF_NAMESIZE];
	uint8_t kinds;       /* TUN_TCP4 ...: what may be merged into one write */
	const char *offload; /* for people: "tso uso", "tso" or "plain" */
};

/* vpnN, up, without an IPv6 link-local address. A device that a dying
 * predecessor still holds is waited for up to two seconds. */
int tun_open(struct tun *t, unsigned index, bool has_ipv6, char *why);
void tun_close(struct tun *t);

/* Kernel settings that forwarding needs, and what they were before. They are
 * kept in a file too: the successor of a killed vpnd finds its own values set,
 * and must still put back those of before. */
struct sysctl_old {
	char path[96];
	char value[16];
};
struct forwarding {
	struct sysctl_old old[2 + CONFIG_WANS];
	unsigned n;
	char keep[256]; /* path of that file */
};

/* Switch forwarding on. accept_ra=1 on an uplink becomes 2 first: a forwarding
 * host ignores router advertisements otherwise, and forgets its default route
 * the moment forwarding is switched on. `keep` lives in a directory that a
 * reboot empties. */
int forwarding_on(struct forwarding *f, const struct config *c, const char *keep,
		  char *why);
/* Put back what was there, and remove the file. */
void forwarding_restore(struct forwarding *f);

#endif
