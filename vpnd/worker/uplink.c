/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* uplink.c -- packets from clients to the TUN device.
 *
 * The kernel's reverse-path filter is loose on our devices; the real check, that
 * the inner source is the session's address, is here. What passes waits in
 * w->merge, in the buffer it was opened in, until uplink_flush: neighbours of a
 * flow then leave as one write. Whoever reuses a buffer flushes first.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "vpnd/worker/checksum.h"
#include "vpnd/worker/inner.h"
#include "vpnd/worker/merge.h"
#include "vpnd/worker/vnet.h"

#include <sys/uio.h>

enum { TELL_AGAIN_MS = 60000, ECN_MASK = 3, ECN_NONE = 0, ECN_CE = 3 };

_Static_assert((int)MERGE_TCP4 == TUN_TCP4 && (int)MERGE_TCP6 == TUN_TCP6 &&
		       (int)MERGE_UDP4 == TUN_UDP4 && (int)MERGE_UDP6 == TUN_UDP6,
	       "the parent's words are merge.h's");

int
uplink_init(struct worker *w, unsigned kinds)
{
	return merge_new(&w->merge, kinds | MERGE_ACKS);
}

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

/* RFC 6040 4.2: congestion that the outer network marked must reach the inner
 * transport; a packet whose sender cannot hear of it is dropped instead. The
 * packet lies in our own buffer. */
static bool
carry_congestion(struct inner *in)
{
	uint8_t *p = (uint8_t *)(uintptr_t)in->packet.p;

	if ((in->tos & ECN_MASK) == ECN_NONE)
		return false;
	if (in->version == 4) {
		uint16_t was = get16(p), is = (uint16_t)(was | ECN_CE);
		put16(p, is);
		checksum_update(p + 10, was, is);
	} else {
		p[1] |= ECN_CE << 4;
	}
	in->tos |= ECN_CE;
	return true;
}

static void
go_on(struct worker *w, struct tunnel *t, const struct inner *in, bool by_dtls)
{
	struct counters *k = tunnel_counters(w, t);

	if (merge_add(w->merge, in, t->slot) == E_LIMIT) {
		uplink_flush(w);
		merge_add(w->merge, in, t->slot);
	}
	k->rx_pkts++;
	k->rx_bytes += in->packet.n;
	if (by_dtls)
		k->dtls_rx_pkts++;
	k->active_ms = w->now_ms;
}

void
uplink_packet(struct worker *w, struct tunnel *t, struct span packet, uint8_t outer_tos,
	      bool by_dtls)
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
	if ((outer_tos & ECN_MASK) == ECN_CE && !carry_congestion(&in)) {
		k->dropped++;
		return;
	}
	switch (shaper_take(&t->up, in.packet, by_dtls, w->now_ms, &w->pace_budget)) {
	case SHAPER_PASS: go_on(w, t, &in, by_dtls); break;
	case SHAPER_QUEUED: pace_start(t); break;
	case SHAPER_DROPPED: k->dropped++; break;
	}
}

/* They are collected in w->text, which must not be used until they are written. */
void
uplink_paced(struct worker *w, struct tunnel *t)
{
	size_t at = 0, n;
	uint8_t by_dtls;
	struct inner in;

	while (shaper_next(&t->up, w->now_ms, w->text + at, RECV_BYTES - at, &n,
			   &by_dtls, &w->pace_budget)) {
		if (inner_parse(span_of(w->text + at, n), &in) == 0)
			go_on(w, t, &in, by_dtls);
		at += n;
	}
	uplink_flush(w);
}

/* Some kernels take the offload and refuse the merged write: then never again. */
static void
refused(struct worker *w, const struct merge_write *m)
{
	if (errno == EINVAL && m->packets > 1) {
		log_warn(0,
			 "the TUN device refuses merged packets; writing them singly");
		merge_allow(w->merge, MERGE_ACKS);
		merge_again(w->merge);
	} else if (m->tag < w->slots) {
		w->counters[m->tag].dropped += m->packets;
	}
}

void
uplink_flush(struct worker *w)
{
	struct merge_write m;

	if (w->merge == NULL || merge_is_empty(w->merge))
		return;
	while (merge_next(w->merge, &m)) {
		const struct iovec *iov = w->has_vnet ? m.iov : m.iov + 1;
		int n = w->has_vnet ? m.iovs : m.iovs - 1;
		if (writev(w->tun, iov, n) < 0)
			refused(w, &m);
	}
}
