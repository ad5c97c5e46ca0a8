/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* probe.h -- do the gateways of a link answer? ARP for IPv4, echo for IPv6.
 *
 * A link is well when one of its gateways has answered within PROBE_LOST_MS. ARP,
 * since every router answers that, also one that drops pings.
 */
#ifndef HASYNC_PROBE_H
#define HASYNC_PROBE_H

#include "hasync/conf.h"

#include <uv.h>

enum { PROBE_EVERY_MS = 300, PROBE_LOST_MS = 1000 };

struct probe;

/* The link is borrowed. Sockets are made when its interface is there. */
int probe_open(struct probe **out, uv_loop_t *loop, const struct conf_link *l,
	       uint64_t now_ms);
void probe_send(struct probe *, uint64_t now_ms);
bool probe_is_ok(const struct probe *, uint64_t now_ms);
bool probe_has_carrier(const struct probe *);
void probe_close(struct probe *); /* free after the loop has run dry */
void probe_free(struct probe *);

#endif
