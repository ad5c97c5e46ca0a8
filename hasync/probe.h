/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* probe.h -- do the gateways of a link answer? ARP for IPv4, echo for IPv6.
 *
 * A link is lost when PROBE_LOST probes in a row had no answer. Probes are counted, not
 * time: when this process was held up, that is no fault of the gateway. ARP, since
 * every router answers that, also one that drops pings.
 */
#ifndef HASYNC_PROBE_H
#define HASYNC_PROBE_H

#include "hasync/conf.h"

#include <uv.h>

enum { PROBE_EVERY_MS = 300, PROBE_LOST = 4 };

struct probe;

/* The link is borrowed. Sockets are made when its interface is there. */
int probe_open(struct probe **out, uv_loop_t *loop, const struct conf_link *l);
void probe_send(struct probe *);
bool probe_is_ok(const struct probe *);
bool probe_has_carrier(const struct probe *);
void probe_close(struct probe *); /* free after the loop has run dry */
void probe_free(struct probe *);

#endif
