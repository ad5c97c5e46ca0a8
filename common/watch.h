/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* watch.h -- tells when a file in a folder changed: was written, replaced, made or
 * removed.
 *
 * Changes are told when the folder has been quiet for quiet_ms, but not later than
 * a second after the first, each name once. A folder that is removed and made again,
 * or takes another's place, is watched within a second; its end and its beginning are
 * told as "anything may have changed".
 *
 * Links in the folder are not followed: a change of what they point to is not seen.
 */
#ifndef COMMON_WATCH_H
#define COMMON_WATCH_H

#include <uv.h>

struct watch;

/* name NULL: anything in the folder may have changed. */
typedef void (*watch_changed)(void *arg, const char *name);

/* The folder need not exist yet; where the kernel has no watch to give, that is logged
 * and tried again. E_NOMEM, or -errno of the loop. */
int watch_new(struct watch **out, uv_loop_t *loop, const char *folder,
	      unsigned quiet_ms, watch_changed changed, void *arg);
/* Memory goes when the loop has closed its handles. NULL is allowed. */
void watch_free(struct watch *w);

#endif
