/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* demux.c -- whose datagram is this?
 *
 *   1. from a known address and port: that channel's;
 *   2. a ClientHello: session knows the id in it, or nobody does;
 *   3. a record of epoch 1 from elsewhere: a client whose NAT moved it, if the
 *      keys of a session last seen at that address open it;
 *   4. anything else is dropped without a sound.
 *
 * A ClientHello from a known address is looked up too: it must not disturb the
 * channel that works there.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"

enum { PASS_BATCHES = 4 };

static void
one_datagram(struct listener *l, const struct batch_datagram *m)
{
	struct worker *w = l->w;
	struct span datagram = span_of(m->p, m->n);
	unsigned index = (unsigned)(l - w->listener);
	uint8_t id[DTLS_ID];

	if (dtls_hello_id(datagram, id) == 0) {
		dchan_hello(w, index, &m->path, datagram);
		return;
	}
	struct dchan *d = dchan_by_peer(w, &m->path.peer);
	if (d != NULL)
		dchan_datagram(d, &m->path.local, m->p, m->n, m->tos);
	else
		dchan_adopt(w, index, &m->path, datagram);
}

void
demux_readable(struct listener *l)
{
	for (int i = 0; i < PASS_BATCHES && l->is_open; i++) {
		struct batch_datagram *list;
		int n = batch_rx_read(l->w->rx, l->udp, &list);
		for (int k = 0; k < n && l->is_open; k++)
			one_datagram(l, &list[k]);
		uplink_flush(l->w); /* before the batch's buffers are reused */
		if (n < 0 || !batch_rx_more(l->w->rx))
			return;
	}
}
