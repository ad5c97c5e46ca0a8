/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* orphans.h -- connections that a dead worker has left in the kernel.
 *
 * In a pair their FIN is silenced (firewall.h), so the kernel keeps them, waiting
 * for an answer, and would take the client's segments as an answer. Asked of the
 * kernel by sock_diag(7).
 */
#ifndef VPND_PARENT_ORPHANS_H
#define VPND_PARENT_ORPHANS_H

#include "vpnd/parent/tickle.h"

/* The TCP connections of this local port that nobody holds and nobody closed on
 * purpose (mark 1). At most max; *n says how many. -errno. */
int orphans_find(uint16_t port, struct endpoint *e, size_t max, size_t *n);

#endif
