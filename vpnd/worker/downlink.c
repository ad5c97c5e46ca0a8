/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* downlink.c -- packets from the TUN device to their clients.
 *
 * The kernel's host route brought each packet to the worker that carries the
 * session's better channel. A pass reads until the device is empty or the
 * budget is used; what was sealed leaves in batches (worker_flush).
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/inner.h"

#include <unistd.h>

/* Room for the packet, a DTLS record around it, or a CSTP header before it. */
enum { PASS_PACKETS = 128, PACKET_MAX = 1900, HEADROOM = 64 };

static void
by_dtls(struct worker *w, struct tunnel *t, const uint8_t *packet, size_t n)
{
	struct counters *k = tunnel_counters(w, t);
	uint8_t *slot = dchan_slot(t->dchan);

	slot[RECORD_HEADROOM] = CSTP_DATA;
	memcpy(slot + RECORD_HEADROOM + 1, packet, n);
	if (dchan_send(t->dchan, slot, n + 1) < 0) {
		k->dropped++;
		return;
	}
	k->tx_pkts++;
	k->tx_bytes += n;
	k->dtls_tx_pkts++;
	k->active_ms = w->now_ms;
}

/* packet has CSTP_HEADER bytes of room in front. The newest is dropped when the
 * client does not keep up. */
static void
by_tls(struct worker *w, struct tunnel *t, uint8_t *packet, size_t n)
{
	struct conn *c = t->conn;
	struct counters *k = tunnel_counters(w, t);

	if (!conn_has_room(c, n + CSTP_HEADER))
		conn_flush(c);
	if (t->conn != c) /* the flush found the connection dead */
		return;
	if (!conn_has_room(c, n + CSTP_HEADER)) {
		k->dropped++;
		return;
	}
	cstp_header(packet - CSTP_HEADER, CSTP_DATA, n);
	if (conn_write(c, span_of(packet - CSTP_HEADER, n + CSTP_HEADER)) < 0) {
		k->dropped++;
		return;
	}
	k->tx_pkts++;
	k->tx_bytes += n;
	k->active_ms = w->now_ms;
}

static struct tunnel *
tunnel_of(struct worker *w, const struct inner *in)
{
	uint32_t slot;

	if (map_find(w->by_inner, &in->dst, &slot) < 0)
		return NULL;
	return w->tunnel[slot];
}

void
downlink_readable(struct worker *w)
{
	uint8_t buf[HEADROOM + PACKET_MAX];

	for (int i = 0; i < PASS_PACKETS; i++) {
		uint8_t *packet = buf + HEADROOM;
		ssize_t n = read(w->tun, packet, PACKET_MAX);
		struct inner in;
		if (n <= 0)
			return;
		if (inner_parse(span_of(packet, (size_t)n), &in) < 0)
			continue; /* not for a client: neighbour discovery and the like
				   */
		struct tunnel *t = tunnel_of(w, &in);
		if (t == NULL)
			continue;
		if (t->dchan != NULL)
			by_dtls(w, t, packet, (size_t)n);
		else if (t->conn != NULL)
			by_tls(w, t, packet, (size_t)n);
		else
			tunnel_counters(w, t)->dropped++;
	}
}
