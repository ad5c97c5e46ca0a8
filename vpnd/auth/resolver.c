/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/resolver.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 256 * 1024 };
static const char *const files[RESOLVER_FILES] = { "/etc/resolv.conf", "/etc/hosts" };
/* Without it names are asked of DNS first. */
static const struct span order = SPAN("hosts: files dns\n");

void
resolver_read(struct resolver *r)
{
	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < RESOLVER_FILES; i++)
		(void)file_read(AT_FDCWD, files[i], FILE_MAX, &r->bytes[i], &r->n[i]);
}

void
resolver_write(struct resolver *r, const char *root)
{
	int rc = 0;

	if (root[0] != '\0' && mkdir("/etc", 0700) < 0 && errno != EEXIST)
		rc = -errno;
	for (unsigned i = 0; i < RESOLVER_FILES; i++) {
		if (root[0] != '\0' && rc == 0 && r->bytes[i] != NULL)
			rc = file_replace(AT_FDCWD, files[i],
					  span_of(r->bytes[i], r->n[i]), 0600);
		free(r->bytes[i]);
		r->bytes[i] = NULL;
	}
	if (root[0] != '\0' && rc == 0)
		rc = file_replace(AT_FDCWD, "/etc/nsswitch.conf", order, 0600);
	if (rc < 0)
		log_warn(0, "names cannot be looked up here: %s", err_text(rc));
}
