/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* sockets.h -- what the service listens on: per worker, serving uplink and
 * family one TCP listener and one UDP socket.
 *
 * Each is bound to any address of one interface (SO_BINDTODEVICE), so all
 * addresses of the uplink are served, those that come later too, and none of
 * the LAN side. The parent's copy keeps a dead worker's place in the
 * SO_REUSEPORT group: its backlog waits for the successor and no flow of the
 * others moves.
 *
 * Ownership: sockets_open gives, sockets_close ends.
 * Errors: -errno; `why` says it in one line.
 */
#ifndef VPND_PARENT_SOCKETS_H
#define VPND_PARENT_SOCKETS_H

#include "common/config/config.h"

struct listener {
	uint32_t handle; /* its name in messages; never used twice */
	unsigned worker, wan;
	char ifname[IF_NAMESIZE];
	uint8_t family; /* 4 or 6 */
	uint16_t port;
	int tcp, udp;
};

struct sockets {
	struct listener *listener;
	size_t n;
};

/* All sockets of this configuration, or none. What `old` (may be NULL) has
 * already is taken over as a duplicate under the same handle. */
int sockets_open(struct sockets *s, const struct config *c, unsigned workers,
		 const struct sockets *old, uint32_t *last_handle, char *why);
void sockets_close(struct sockets *s);

/* The entry with this handle, or NULL. */
const struct listener *sockets_find(const struct sockets *s, uint32_t handle);

/* Who listens on this TCP port? "name (pid N)", or "" when it cannot be told. */
void port_holder(uint16_t port, char *buf, size_t n);

#endif
