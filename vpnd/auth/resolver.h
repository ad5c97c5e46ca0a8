/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* resolver.h -- names can be looked up although the file system is gone: the C
 * library reads /etc/resolv.conf and /etc/hosts at each lookup, so copies of them are
 * put into the new root. A later change of the originals counts when this process
 * starts again.
 */
#ifndef VPND_AUTH_RESOLVER_H
#define VPND_AUTH_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

enum { RESOLVER_FILES = 2 };

struct resolver {
	uint8_t *bytes[RESOLVER_FILES];
	size_t n[RESOLVER_FILES];
};

/* Before the root changes. Files that are missing are left out. */
void resolver_read(struct resolver *r);
/* After it: into /etc there, and the copies are freed. root "" means that the root is
 * still the machine's: nothing is written. */
void resolver_write(struct resolver *r, const char *root);

#endif
