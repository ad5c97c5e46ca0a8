/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* bundle.h -- the configuration as it travels to the children: the texts that
 * the parent has already loaded and checked, in one sealed memfd.
 *
 * Ownership: bundle_read gives memory that bundle_free ends.
 */
#ifndef VPND_IPC_BUNDLE_H
#define VPND_IPC_BUNDLE_H

#include "common/ip.h"
#include "common/span.h"
#include "common/config/config.h"

enum { BUNDLE_GATEWAYS = 28 };

struct bundle {
	char *conf, *node; /* texts; NULL = no such file */
	uint8_t *profile;  /* VPN profile to push; NULL = none */
	size_t profile_n;
	char wan_ifname[CONFIG_WANS][IF_NAMESIZE]; /* as resolved by the parent */
	struct ip_addr gateway[BUNDLE_GATEWAYS];   /* what clients dial; port 0 */
	unsigned n_gateway;
};

/* A new memfd, sealed against change. -errno on failure. */
int bundle_make(const struct bundle *b, int *fd);
/* Read and close fd. E_PROTO if it is not ours. */
int bundle_read(int fd, struct bundle *b);
void bundle_free(struct bundle *b);

/* bundle_read plus config_load, with the resolved interface names filled in. */
int bundle_load(int fd, struct bundle *b, struct config **config);

#endif
