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

static void
by_dtls(struct worker *w, struct tunnel *t, struct split *s)
{
	struct counters *k = tunnel_counters(w, t);
	struct dchan *d = t->dchan;
	size_t n;

	for (;;) {
		uint8_t *slot = dchan_slot(d);
		uint8_t *text = slot + RECORD_HEADROOM;
		if (split_next(s, text + 1, BATCH_SLOT_BYTES - RECORD_OVERHEAD - 1,
			       &n) < 0)
			return;
		text[0] = CSTP_DATA;
		if (!bucket_take(&t->down, n, w->now_ms) ||
		    dchan_send(d, slot, n + 1, s->inner.tos & ECN_MASK) < 0) {
			k->dropped++;
			continue;
		}
		count_sent(w, k, n);
		k->dtls_tx_pkts++;
	}
}

/* The newest is dropped when the client does not keep up: what waits is bounded,
 * and the inner transport slows down. */
static void
by_tls(struct worker *w, struct tunnel *t, struct split *s)
{
	struct counters *k = tunnel_counters(w, t);
	struct conn *c = t->conn;
	uint8_t *frame = w->text;
	size_t n;

	while (split_next(s, frame + CSTP_HEADER, CSTP_BODY_MAX, &n) == 0) {
		if (!conn_has_room(c, n + CSTP_HEADER))
			conn_flush(c);
		if (t->conn != c) /* the flush found the connection dead */
			return;
		cstp_header(frame, CSTP_DATA, n);
		if (!conn_has_room(c, n + CSTP_HEADER) ||
		    !bucket_take(&t->down, n, w->now_ms) ||
		    conn_write(c, span_of(frame, n + CSTP_HEADER)) < 0) {
			k->dropped++;
			continue;
		}
		count_sent(w, k, n);
	}
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
