/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* downlink.c -- packets from the TUN device to their clients.
 *
 * The kernel's host route brought each packet to the worker that carries the
 * session's better channel, up to 64 KiB of one flow at a time. A read is cut into
 * packets of the session's MTU straight where they are sealed: behind a DTLS record
 * header in the socket's batch, or behind a CSTP header. A pass reads until the
 * device is empty or the budget is used; what was sealed leaves in batches
 * (worker_flush).
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/split.h"
#include "vpnd/worker/vnet.h"

#include <unistd.h>

enum { PASS_READS = 64, PASS_BYTES = 512 * 1024, ECN_MASK = 3 };

static void
count_sent(struct worker *w, struct counters *k, size_t n)
{
	k->tx_pkts++;
	k->tx_bytes += n;
	k->active_ms = w->now_ms;
}

/* May this packet, which lies where it will be sealed, go now? */
static bool
goes_now(struct worker *w, struct tunnel *t, struct span packet, uint8_t tos)
{
	switch (shaper_take(&t->down, packet, tos, w->now_ms, &w->pace_budget)) {
	case SHAPER_PASS: return true;
	case SHAPER_QUEUED: pace_start(t); break;
	case SHAPER_DROPPED: tunnel_counters(w, t)->dropped++; break;
	}
	return false;
}

/* A packet of n bytes lies behind the type byte of the slot. */
static void
send_dtls(struct worker *w, struct tunnel *t, uint8_t *slot, size_t n, uint8_t tos)
{
	struct counters *k = tunnel_counters(w, t);

	slot[RECORD_HEADROOM] = CSTP_DATA;
	if (dchan_send(t->dchan, slot, n + 1, tos & ECN_MASK) < 0) {
		k->dropped++;
		return;
	}
	count_sent(w, k, n);
	k->dtls_tx_pkts++;
}

static void
by_dtls(struct worker *w, struct tunnel *t, struct split *s)
{
	size_t n;

	for (;;) {
		uint8_t *slot = dchan_slot(t->dchan);
		uint8_t *packet = slot + RECORD_HEADROOM + 1;
		if (split_next(s, packet, BATCH_SLOT_BYTES - RECORD_OVERHEAD - 1, &n) <
		    0)
			return;
		if (goes_now(w, t, span_of(packet, n), s->inner.tos))
			send_dtls(w, t, slot, n, s->inner.tos);
	}
}

/* A packet of n bytes lies in the frame, behind room for the header. The newest is
 * dropped when the client does not keep up: what waits is bounded, and the inner
 * transport slows down. */
static void
send_tls(struct worker *w, struct tunnel *t, uint8_t *frame, size_t n)
{
	struct counters *k = tunnel_counters(w, t);
	struct conn *c = t->conn;

	cstp_header(frame, CSTP_DATA, n);
	if (!conn_has_room(c, n + CSTP_HEADER) ||
	    conn_write(c, span_of(frame, n + CSTP_HEADER)) < 0)
		k->dropped++;
	else
		count_sent(w, k, n);
}

static void
by_tls(struct worker *w, struct tunnel *t, struct split *s)
{
	struct conn *c = t->conn;
	size_t n, most = s->inner.packet.n < t->mtu ? s->inner.packet.n : t->mtu;

	conn_expect_much(c);
	while (!s->is_done) {
		if (!conn_has_room(c, most + CSTP_HEADER))
			conn_flush(c);
		if (t->conn != c) /* the flush found the connection dead */
			return;
		uint8_t *frame = conn_slot(c, most + CSTP_HEADER);
		uint8_t *packet = frame + CSTP_HEADER;
		if (split_next(s, packet, most, &n) < 0)
			return;
		if (goes_now(w, t, span_of(packet, n), s->inner.tos))
			send_tls(w, t, frame, n);
	}
}

void
downlink_paced(struct worker *w, struct tunnel *t)
{
	size_t n;
	uint8_t tos;

	while (t->dchan != NULL) {
		uint8_t *slot = dchan_slot(t->dchan);
		if (!shaper_next(&t->down, w->now_ms, slot + RECORD_HEADROOM + 1,
				 BATCH_SLOT_BYTES - RECORD_OVERHEAD - 1, &n, &tos,
				 &w->pace_budget))
			return;
		send_dtls(w, t, slot, n, tos);
	}
	while (t->conn != NULL &&
	       shaper_next(&t->down, w->now_ms, w->text + CSTP_HEADER, CSTP_BODY_MAX,
			   &n, &tos, &w->pace_budget))
		send_tls(w, t, w->text, n);
}

static struct tunnel *
tunnel_of(struct worker *w, const struct inner *in)
{
	uint32_t slot;

	if (map_find(w->by_inner, &in->dst, &slot) < 0)
		return NULL;
	return w->tunnel[slot];
}

/* One read; without a vnet header of the device's, an empty one stands before it. */
static void
one_read(struct worker *w, struct span read)
{
	struct split s;

	if (split_open(&s, read) < 0)
		return; /* not for a client: neighbour discovery and the like */
	struct tunnel *t = tunnel_of(w, &s.inner);
	if (t == NULL)
		return;
	/* The host route carries the MTU, so only a change on the way gets here. */
	if (split_begin(&s, t->mtu) < 0)
		tunnel_counters(w, t)->dropped++;
	else if (t->dchan != NULL)
		by_dtls(w, t, &s);
	else if (t->conn != NULL)
		by_tls(w, t, &s);
	else
		tunnel_counters(w, t)->dropped += split_count(&s);
}

void
downlink_readable(struct worker *w)
{
	size_t offset = w->has_vnet ? 0 : VNET_HEADER, bytes = 0;

	memset(w->read, 0, VNET_HEADER);
	for (int i = 0; i < PASS_READS && bytes < PASS_BYTES; i++) {
		ssize_t n = read(w->tun, w->read + offset, SPLIT_READ_MAX - offset);
		if (n <= 0)
			return;
		bytes += (size_t)n;
		one_read(w, span_of(w->read, offset + (size_t)n));
	}
}
