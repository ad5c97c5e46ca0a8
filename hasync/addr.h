/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* addr.h -- take an address off an interface. */
#ifndef HASYNC_ADDR_H
#define HASYNC_ADDR_H

#include "common/ip.h"

/* -EADDRNOTAVAIL when it is not there, -ENODEV, -errno. */
int addr_remove(const char *interface, const struct ip_addr *ip, unsigned prefix);

#endif
