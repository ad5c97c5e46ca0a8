/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* uplink.c -- one packet from a client to the TUN device.
 *
 * The kernel's reverse-path filter is loose on our devices; the real check, that
 * the inner source is the session's address, is here. Merging of neighbours into
 * one write goes between the check and the write.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "vpnd/worker/inner.h"

#include <unistd.h>

enum { TELL_AGAIN_MS = 60000 };

/* Counted always, told at most once a minute and session. */
static void
refuse(struct worker *w, struct tunnel *t, const char *why)
{
	tunnel_counters(w, t)->dropped++;
	if (t->quiet_ms != 0 && w->now_ms - t->quiet_ms < TELL_AGAIN_MS)
		return;
	t->quiet_ms = w->now_ms;
	log_limited(LOG_L_WARN, t->sid32, "inner packet dropped: %s", why);
}

void
uplink_packet(struct worker *w, struct tunnel *t, struct span packet, bool by_dtls)
{
	struct inner in;
	struct counters *k = tunnel_counters(w, t);

	if (inner_parse(packet, &in) < 0) {
		refuse(w, t, "malformed");
		return;
	}
	switch (inner_check_source(&in, t->addr4.family ? &t->inner4 : NULL,
				   t->addr6.family ? &t->inner6 : NULL)) {
	case INNER_OWN: break;
	case INNER_QUIET: k->dropped++; return;
	case INNER_FOREIGN: refuse(w, t, "foreign source address"); return;
	}
	packet = in.packet;
	ssize_t n = write(w->tun, packet.p, packet.n);
	if (n < 0) {
		k->dropped++;
		return;
	}
	k->rx_pkts++;
	k->rx_bytes += packet.n;
	if (by_dtls)
		k->dtls_rx_pkts++;
	k->active_ms = w->now_ms;
}
