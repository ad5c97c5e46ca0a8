/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ocsp.h -- asks responders whether certificates are revoked, and remembers what
 * they say for as long as they allow.
 *
 * Only certificates that a worker has verified come here. Bounded: 5 s per
 * question, 64 KB per answer, OCSP_FETCHES at once; who asks about the same
 * certificate meanwhile waits for the same answer. A responder that is silent is
 * not asked about that certificate again for OCSP_SILENT_S.
 *
 * Nothing blocks; names are resolved on the thread pool.
 */
#ifndef VPND_AUTH_OCSP_H
#define VPND_AUTH_OCSP_H

#include "vpnd/auth/ocspwire.h"

#include <uv.h>

enum {
	OCSP_WAIT_MS = 5000,
	OCSP_FETCHES = 32,
	OCSP_ASKERS = 128, /* for one answer */
	OCSP_CACHE = 1024,
	OCSP_SILENT_S = 30,
};

struct ocsp;

int ocsp_new(struct ocsp **out, uv_loop_t *loop);
/* No question is under way. */
bool ocsp_is_idle(const struct ocsp *o);
/* Nobody is told any more. Memory goes when the loop has closed its handles. */
void ocsp_free(struct ocsp *o);

/* done is told once, perhaps before this returns. text is for people. */
typedef void (*ocsp_done)(void *arg, uint64_t id, enum ocsp_status s, const char *text);
void ocsp_check(struct ocsp *o, struct span leaf, struct span issuer, ocsp_done done,
		void *arg, uint64_t id);

#endif
