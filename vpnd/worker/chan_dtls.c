/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* chan_dtls.c -- the life of DTLS channels: hello, handshake, open, gone.
 *
 *   hello --(session knows its id)--> HANDSHAKE --(Finished)--> KEYED
 *   KEYED --(first record that verifies)--> OPEN --> closed
 *
 * Only OPEN carries the downlink. A handshake that comes from the address and
 * port of a channel (a client that binds its socket) hangs on it as `successor`
 * and takes its place when it opens; until then the old one works on.
 *
 * Timers, all looked at once a second: the handshake's retransmission (OpenSSL),
 * its end after DTLS_HANDSHAKE_MS, DPD after dpd seconds of silence, and the end
 * after two and a half times that; then the downlink goes by TLS.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/gcm.h"

#include <openssl/rand.h>
#include <stdlib.h>

enum {
	HELLO_BYTES = 640,
	HELLOS = 256, /* waiting for session at once */
	HELLO_WAIT_MS = 3000,
	COOKIE_ABOVE = 64, /* unfinished handshakes; then hellos need a cookie */
	STRAYS_PER_S = 200,
	ANSWERS_PER_S = 200, /* to a client's DPD; its search for the MTU takes 50 */
	STRAYS_ASKED_PER_S = 50, /* other workers, by way of session */
	STRAY_CANDIDATES = 8,
	DTLS_UDP_MTU = 1400, /* of handshake datagrams */
	MTU_FLOOR = 576,     /* inner, without IPv6; clients and kernels go no lower */
	IP6_MTU_MIN = 1280,  /* RFC 8200 5 */
};

/* In a datagram's tag, beside the slot: never in fragments. */
#define TAG_WHOLE (UINT32_C(1) << 31)

struct hello_wait {
	bool is_used;
	uint16_t gen;
	uint64_t since_ms;
	unsigned listener;
	struct batch_path path;
	uint8_t id[IPC_DTLS_ID];
	size_t n;
	uint8_t bytes[HELLO_BYTES];
};

int
dchan_init(struct worker *w)
{
	(void)gcm_best(); /* sets it up, while the sandbox is open */
	w->hello = calloc(HELLOS, sizeof(*w->hello));
	if (w->hello == NULL)
		return E_NOMEM;
	int rc = dtls_cookie_keys_init(&w->cookies);
	if (rc == 0)
		rc = dtls_ctx_new(&w->dtls);
	return rc;
}

struct dchan *
dchan_by_peer(struct worker *w, const struct ip_addr *peer)
{
	uint8_t key[BATCH_KEY];
	uint32_t i;

	if (w->last_dchan != NULL && ip_eq(&w->last_peer, peer))
		return w->last_dchan;
	batch_key(peer, key);
	w->last_dchan = map_find(w->by_peer, key, &i) == 0 ? w->dchan[i] : NULL;
	w->last_peer = *peer;
	return w->last_dchan;
}

static void
remember_peer(struct dchan *d)
{
	uint8_t key[BATCH_KEY];

	d->w->last_dchan = NULL;
	batch_key(&d->path.peer, key);
	map_remove(d->w->by_peer, key);
	map_insert(d->w->by_peer, key, d->index);
}

static void
forget_peer(struct dchan *d)
{
	uint8_t key[BATCH_KEY];
	uint32_t i;

	d->w->last_dchan = NULL;
	batch_key(&d->path.peer, key);
	if (map_find(d->w->by_peer, key, &i) == 0 && i == d->index)
		map_remove(d->w->by_peer, key);
}

static void
dchan_free(struct dchan *d)
{
	struct worker *w = d->w;

	w->dchan[d->index] = NULL;
	w->n_dchan--;
	d->tunnel->n_dchans--;
	if (d->state == DCHAN_HANDSHAKE)
		w->n_handshakes--;
	dtls_free(d->hs);
	record_tx_free(&d->tx);
	record_rx_free(&d->rx);
	OPENSSL_cleanse(&d->keys, sizeof(d->keys));
	free(d);
}

void
dchan_close(struct dchan *d, const char *why, bool tell)
{
	struct worker *w = d->w;
	struct tunnel *t = d->tunnel;
	char peer[IP_TEXT];

	log_debug(t->sid32, "dtls %s: closed: %s", ip_text(&d->path.peer, peer), why);
	if (d->is_successor) {
		struct dchan *old = dchan_by_peer(w, &d->path.peer);
		if (old != NULL && old->successor == d)
			old->successor = NULL;
	} else {
		forget_peer(d);
		if (d->successor != NULL) {
			d->successor->is_successor = false;
			remember_peer(d->successor);
		}
	}
	if (t->dchan == d) {
		t->dchan = NULL;
		if (tell) {
			struct ipc_dtls_down m = { .slot = t->slot, .gen = t->gen };
			memcpy(m.dtls_id, d->id, IPC_DTLS_ID);
			snprintf(m.reason, sizeof(m.reason), "%s", why);
			peer_send(&w->session, IPC_dtls_down, &m);
		}
	}
	dchan_free(d);
	tunnel_drop_if_empty(w, t);
}

/* OpenSSL's flights leave at once: they are few, and their datagrams must keep
 * their borders. */
static int
send_flight(void *arg, struct span datagram)
{
	struct dchan *d = arg;
	struct listener *l = &d->w->listener[d->listener];

	if (batch_tx_copy(l->tx, datagram, &d->path, d->tunnel->slot) == E_LIMIT) {
		batch_tx_flush(l->tx, l->udp);
		return batch_tx_copy(l->tx, datagram, &d->path, d->tunnel->slot);
	}
	return 0;
}

uint8_t *
dchan_slot(struct dchan *d)
{
	struct listener *l = &d->w->listener[d->listener];
	uint8_t *slot = batch_tx_slot(l->tx, &d->path);

	if (slot == NULL) {
		batch_tx_flush(l->tx, l->udp);
		slot = batch_tx_slot(l->tx, &d->path);
	}
	return slot;
}

static int
seal_and_queue(struct dchan *d, uint8_t *slot, size_t n, uint8_t tos, uint32_t tag)
{
	struct listener *l = &d->w->listener[d->listener];
	size_t total;
	if (n > BATCH_SLOT_BYTES - RECORD_OVERHEAD)
		return E_LIMIT;
	int rc = record_seal(&d->tx, slot + RECORD_HEADROOM, n, &total);

	if (rc == 0)
		batch_tx_push(l->tx, slot, total, tos, tag);
	return rc;
}

int
dchan_send(struct dchan *d, uint8_t *slot, size_t n, uint8_t tos)
{
	return seal_and_queue(d, slot, n, tos, d->tunnel->slot);
}

/* The kernel learnt a smaller path. The TCP connection to the same host knows how
 * small; without one here, a step down. The inner hosts hear of it through the host
 * route. False: it cannot become smaller. An MTU below 1280 says that there is no IPv6
 * inside, whatever addresses were given. */
static bool
shrink(struct tunnel *t, size_t sent)
{
	bool has_v6 = t->addr6.family != 0 && t->mtu >= IP6_MTU_MIN;
	size_t floor = has_v6 ? IP6_MTU_MIN : MTU_FLOOR, mtu = sent * 3 / 4;
	unsigned path = t->conn != NULL ? conn_path_mtu(t->conn) : 0;
	size_t outer = t->conn != NULL && t->conn->local.family == 6 ? 40 : 20;

	if (path > 0 && path < sent + outer + 8)
		mtu = path - outer - 8;
	mtu = mtu > RECORD_OVERHEAD + 1 + floor ? mtu - RECORD_OVERHEAD - 1 : floor;
	if (mtu >= t->mtu)
		return t->mtu > floor;
	t->mtu = (uint16_t)mtu;
	struct ipc_tunnel_mtu m = { .slot = t->slot, .gen = t->gen, .mtu = t->mtu };
	peer_send(&t->w->session, IPC_tunnel_mtu, &m);
	log_info(t->sid32, "path became smaller: tunnel MTU %u", t->mtu);
	return true;
}

/* What cannot be smaller leaves in fragments; but not the answer to a client's probe,
 * which would learn from it that the path is wide. */
bool
dchan_on_send_error(void *arg, uint32_t tag, size_t n, int rc)
{
	struct worker *w = arg;
	uint32_t slot = tag & ~TAG_WHOLE;
	struct tunnel *t = slot < w->slots ? w->tunnel[slot] : NULL;

	if (t == NULL)
		return false;
	if (rc == -EMSGSIZE && !(tag & TAG_WHOLE) && n > RECORD_OVERHEAD + 1 &&
	    !shrink(t, n))
		return true;
	tunnel_counters(w, t)->dropped++;
	return false;
}

/* -- hello -- */

static struct hello_wait *
waiting_for(struct worker *w, const uint8_t id[IPC_DTLS_ID], const struct ip_addr *peer)
{
	for (unsigned i = 0; i < HELLOS; i++) {
		struct hello_wait *h = &w->hello[i];
		if (h->is_used && memcmp(h->id, id, IPC_DTLS_ID) == 0 &&
		    ip_eq(&h->path.peer, peer))
			return h;
	}
	return NULL;
}

static struct hello_wait *
free_wait(struct worker *w)
{
	for (unsigned i = 0; i < HELLOS; i++) {
		struct hello_wait *h = &w->hello[i];
		if (!h->is_used || w->now_ms - h->since_ms > HELLO_WAIT_MS)
			return h;
	}
	return NULL;
}

/* Under load a hello must come back with our cookie before anyone is asked. */
static bool
demand_cookie(struct worker *w, struct listener *l, const struct batch_path *path,
	      struct span datagram)
{
	struct dtls_hello hello;
	uint8_t key[BATCH_KEY], out[DTLS_VERIFY_BYTES];

	if (w->n_handshakes < COOKIE_ABOVE)
		return false;
	batch_key(&path->peer, key);
	if (dtls_hello_parse(datagram, &hello) < 0)
		return true;
	if (dtls_cookie_ok(&w->cookies, span_of(key, sizeof(key)), &hello))
		return false;
	int n = dtls_hello_verify(&w->cookies, span_of(key, sizeof(key)), &hello, out);
	if (n > 0 &&
	    batch_tx_copy(l->tx, span_of(out, (size_t)n), path, UINT32_MAX) < 0)
		batch_tx_flush(l->tx, l->udp); /* it will ask again */
	return true;
}

void
dchan_hello(struct worker *w, unsigned listener, const struct batch_path *path,
	    struct span datagram)
{
	uint8_t id[IPC_DTLS_ID];
	struct dchan *d = dchan_by_peer(w, &path->peer);

	dtls_hello_id(datagram, id);
	struct dchan *target = d != NULL && d->successor != NULL ? d->successor : d;
	if (target != NULL && memcmp(target->id, id, IPC_DTLS_ID) == 0 &&
	    target->state != DCHAN_OPEN) {
		if (target->state == DCHAN_HANDSHAKE &&
		    dtls_feed(target->hs, datagram) == E_TLS)
			dchan_close(target, "handshake failed", false);
		return; /* a hello repeated */
	}
	if (demand_cookie(w, &w->listener[listener], path, datagram))
		return;
	if (datagram.n > HELLO_BYTES || w->n_handshakes >= WORKER_HANDSHAKES ||
	    waiting_for(w, id, &path->peer) != NULL)
		return;
	struct hello_wait *h = free_wait(w);
	if (h == NULL)
		return; /* it will ask again */
	h->is_used = true;
	h->gen++;
	h->since_ms = w->now_ms;
	h->listener = listener;
	h->path = *path;
	memcpy(h->id, id, IPC_DTLS_ID);
	memcpy(h->bytes, datagram.p, datagram.n);
	h->n = datagram.n;
	struct ipc_dtls_ask ask = { .id = (uint32_t)h->gen << 16 |
					  (uint32_t)(h - w->hello) };
	memcpy(ask.dtls_id, id, IPC_DTLS_ID);
	peer_send(&w->session, IPC_dtls_ask, &ask);
}

static struct dchan *
dchan_new(struct worker *w, struct tunnel *t, const struct hello_wait *h)
{
	for (uint32_t i = 0; i < WORKER_DCHANS; i++) {
		uint32_t k = (w->dchan_next + i) % WORKER_DCHANS;
		if (w->dchan[k] != NULL)
			continue;
		struct dchan *d = calloc(1, sizeof(*d));
		if (d == NULL)
			return NULL;
		d->w = w;
		d->index = k;
		d->tunnel = t;
		d->path = h->path;
		d->listener = h->listener;
		d->since_ms = d->heard_ms = w->now_ms;
		memcpy(d->id, h->id, IPC_DTLS_ID);
		w->dchan[k] = d;
		w->dchan_next = k + 1;
		w->n_dchan++;
		w->n_handshakes++;
		t->n_dchans++;
		return d;
	}
	return NULL;
}

/* A tunnel whose TLS channel is another worker's. */
static void
tunnel_of_elsewhere(struct tunnel *t, const uint8_t sid[IPC_SID], uint16_t mtu,
		    uint8_t platform, const char *token)
{
	t->sid32 = tunnel_sid32(sid);
	t->mtu = mtu;
	t->dpd_s = auth_platform_is_mobile(platform) ? t->w->cfg->dpd_mobile_s
						     : t->w->cfg->dpd_s;
	t->report->platform = platform;
	snprintf(t->report->token, sizeof(t->report->token), "%s", token);
}

static void
start_handshake(struct worker *w, const struct hello_wait *h,
		const struct ipc_dtls_secret *m)
{
	struct tunnel *t = tunnel_take(w, m->slot, m->gen, &m->addr4, &m->addr6);
	struct dchan *d = t ? dchan_new(w, t, h) : NULL;

	if (d == NULL) {
		if (t != NULL)
			tunnel_drop_if_empty(w, t);
		return;
	}
	if (t->conn == NULL)
		tunnel_of_elsewhere(t, m->sid, m->mtu, m->platform, m->token);
	t->report->dtls_mode = m->mode;
	t->report->dtls_cipher = m->cipher;
	memcpy(t->report->dtls_secret, m->secret, IPC_DTLS_SECRET);
	d->cipher = m->cipher;
	struct dchan *old = dchan_by_peer(w, &h->path.peer);
	if (old != NULL) {
		if (old->successor != NULL)
			dchan_close(old->successor, "superseded", false);
		old->successor = d;
		d->is_successor = true;
	} else {
		remember_peer(d);
	}
	size_t n = m->mode == DTLS_PSK ? DTLS_PSK_KEY : DTLS_MASTER;
	int rc = dtls_new(&d->hs, w->dtls, m->mode, m->cipher, d->id,
			  span_of(m->secret, n), send_flight, d, DTLS_UDP_MTU);
	if (rc == 0)
		rc = dtls_feed(d->hs, span_of(h->bytes, h->n));
	if (rc < 0 && rc != E_AGAIN)
		dchan_close(d, "handshake failed", false);
}

void
dchan_on_secret(struct worker *w, const struct ipc_dtls_secret *m)
{
	struct hello_wait *h = &w->hello[m->id & 0xffff];

	if ((m->id & 0xffff) >= HELLOS || !h->is_used || h->gen != m->id >> 16 ||
	    !w->listener[h->listener].is_open)
		return;
	h->is_used = false;
	if (!m->is_bad)
		start_handshake(w, h, m);
}

/* -- records -- */

static void
become_keyed(struct dchan *d)
{
	if (dtls_material(d->hs, &d->keys) < 0 ||
	    dtls_keys(d->hs, &d->tx, &d->rx) < 0) {
		dchan_close(d, "no keys", false);
		return;
	}
	d->state = DCHAN_KEYED;
	d->w->n_handshakes--;
}

static void
feed_handshake(struct dchan *d, struct span record)
{
	if (d->hs == NULL)
		return; /* came from another worker, long after its handshake */
	int rc = dtls_feed(d->hs, record);

	if (d->state != DCHAN_HANDSHAKE)
		return;
	if (rc == 0)
		become_keyed(d);
	else if (rc != E_AGAIN)
		dchan_close(d, "handshake failed", false);
}

/* The client's keys are proven: from now on this channel is the session's. */
static void
become_open(struct dchan *d)
{
	struct worker *w = d->w;
	struct tunnel *t = d->tunnel;

	d->state = DCHAN_OPEN;
	/* The peer has our Finished: the handshake's memory is not needed. */
	dtls_settle(d->hs);
	if (d->is_successor) {
		struct dchan *old = dchan_by_peer(w, &d->path.peer);
		d->is_successor = false;
		if (old != NULL && old != d) {
			old->successor = NULL;
			forget_peer(old);
			if (old != t->dchan)
				dchan_close(old, "replaced", true);
		}
		remember_peer(d);
	}
	struct dchan *before = t->dchan;
	t->dchan = d;
	if (before != NULL)
		dchan_close(before, "replaced", false);
	struct ipc_dtls_up m = { .slot = t->slot,
				 .gen = t->gen,
				 .peer = d->path.peer,
				 .cipher = d->cipher };
	memcpy(m.dtls_id, d->id, IPC_DTLS_ID);
	peer_send(&w->session, IPC_dtls_up, &m);
}

static void
answer(struct dchan *d, enum cstp_type type, struct span body)
{
	uint8_t *slot = dchan_slot(d);

	if (body.n > BATCH_SLOT_BYTES - RECORD_OVERHEAD - 1)
		return;
	slot[RECORD_HEADROOM] = type;
	if (body.n > 0)
		memcpy(slot + RECORD_HEADROOM + 1, body.p, body.n);
	seal_and_queue(d, slot, body.n + 1, 0, d->tunnel->slot | TAG_WHOLE);
}

/* A packet as large as this one came through: the path carries it, and so it
 * does for us. */
static void
learn_mtu(struct dchan *d, size_t inner)
{
	struct tunnel *t = d->tunnel;

	if (inner <= t->mtu || t->conn == NULL || inner > t->report->mtu)
		return;
	t->mtu = (uint16_t)inner;
	struct ipc_tunnel_mtu m = { .slot = t->slot, .gen = t->gen, .mtu = t->mtu };
	peer_send(&d->w->session, IPC_tunnel_mtu, &m);
}

/* One verified text. False when the channel is gone. */
static bool
take_text(struct dchan *d, struct span text, uint8_t tos)
{
	if (text.n == 0)
		return true;
	struct span body = { text.p + 1, text.n - 1 };
	switch (text.p[0]) {
	case CSTP_DATA: uplink_packet(d->w, d->tunnel, body, tos, true); return true;
	case CSTP_DPD_REQ:
		if (d->answered++ >= ANSWERS_PER_S) {
			tunnel_counters(d->w, d->tunnel)->dropped++;
			return true;
		}
		/* The whole body back: clients measure the path with it. */
		answer(d, CSTP_DPD_RESP, body);
		learn_mtu(d, body.n);
		return true;
	case CSTP_DISCONNECT:
		dchan_close(d, "closed by the client", true);
		return false;
	default: return true; /* unknown types are ignored on DTLS */
	}
}

static bool
take_record(struct dchan *d, uint8_t *p, size_t n, uint8_t tos)
{
	struct span text;
	uint8_t type;

	if (d->state == DCHAN_HANDSHAKE)
		return true; /* too early */
	int rc = record_open(&d->rx, p, n, &type, &text);
	if (rc == E_AUTH)
		tunnel_counters(d->w, d->tunnel)->dropped++;
	if (rc < 0)
		return true; /* forged or old: not a word */
	d->heard_ms = d->w->now_ms;
	if (d->state == DCHAN_KEYED && type == RECORD_DATA)
		become_open(d);
	if (type == RECORD_ALERT) {
		dchan_close(d, "close_notify", true);
		return false;
	}
	return take_text(d, text, tos);
}

/* Does the record open under the successor's keys? Tried on a copy. */
static bool
successor_takes(struct dchan *s, const uint8_t *p, size_t n, uint8_t tos)
{
	struct span text;
	uint8_t type;

	if (s->state != DCHAN_KEYED || n > RECV_BYTES)
		return false;
	memcpy(s->w->text, p, n);
	if (record_open(&s->rx, s->w->text, n, &type, &text) < 0 || type != RECORD_DATA)
		return false;
	s->heard_ms = s->w->now_ms;
	become_open(s);
	take_text(s, text, tos);
	uplink_flush(s->w); /* it lies in w->text */
	return true;
}

void
dchan_datagram(struct dchan *d, const struct ip_addr *local, uint8_t *p, size_t n,
	       uint8_t tos)
{
	struct worker *w = d->w;
	struct ip_addr peer = d->path.peer;
	struct record_head h;

	d->path.local = *local;
	for (size_t at = 0; at < n && record_peek(span_of(p + at, n - at), &h) == 0;
	     at += h.total) {
		if (dchan_by_peer(w, &peer) != d)
			return; /* it was closed or replaced by an earlier record */
		struct dchan *s = d->successor;
		if (h.type == RECORD_CCS || h.type == RECORD_HANDSHAKE)
			feed_handshake(s != NULL ? s : d, span_of(p + at, h.total));
		else if (h.epoch == 1 && s != NULL &&
			 successor_takes(s, p + at, h.total, tos))
			continue;
		else if (h.epoch == 1 && !take_record(d, p + at, h.total, tos))
			return;
	}
}

/* RFC 6347 has no connection ids here: a client whose NAT gave it a new port is
 * known by its keys alone. Only channels last seen at the same host are tried,
 * few of them, and a higher record number than ever seen must come with it. The
 * text that opened lies in w->text. */
static struct dchan *
whose(struct worker *w, const struct ip_addr *peer, struct span datagram,
      struct span *text)
{
	struct record_head h;
	unsigned tried = 0;

	if (record_peek(datagram, &h) < 0 || h.epoch != 1 || h.type != RECORD_DATA ||
	    datagram.n > RECV_BYTES)
		return NULL;
	for (uint32_t i = 0; i < WORKER_DCHANS && tried < STRAY_CANDIDATES; i++) {
		struct dchan *d = w->dchan[i];
		uint8_t type;
		if (d == NULL || d->state != DCHAN_OPEN ||
		    !ip_same_host(&d->path.peer, peer) ||
		    h.seq <= record_rx_top(&d->rx))
			continue;
		tried++;
		memcpy(w->text, datagram.p, h.total);
		if (record_open(&d->rx, w->text, h.total, &type, text) == 0)
			return d;
	}
	return NULL;
}

static void
move_here(struct dchan *d, unsigned listener, const struct batch_path *path)
{
	forget_peer(d);
	d->path = *path;
	d->listener = listener;
	d->heard_ms = d->w->now_ms;
	remember_peer(d);
	log_info(d->tunnel->sid32, "dtls peer moved to another port");
}

/* None of ours: the kernel may have moved the client to our socket from another
 * worker's. */
static void
ask_others(struct worker *w, unsigned listener, const struct batch_path *path,
	   struct span datagram)
{
	struct ipc_dtls_stray m = { .worker = (uint8_t)w->index,
				    .wan = w->listener[listener].wan,
				    .peer = path->peer,
				    .local = path->local };

	if (datagram.n > sizeof(m.datagram.p))
		return;
	memcpy(m.datagram.p, datagram.p, datagram.n);
	m.datagram.n = (uint32_t)datagram.n;
	peer_send(&w->session, IPC_dtls_stray, &m);
}

void
dchan_adopt(struct worker *w, unsigned listener, const struct batch_path *path,
	    struct span datagram)
{
	struct record_head h;
	struct span text;

	if (record_peek(datagram, &h) < 0 || h.epoch != 1 || h.type != RECORD_DATA ||
	    w->strays >= STRAYS_PER_S)
		return;
	w->strays++;
	struct dchan *d = whose(w, &path->peer, datagram, &text);
	if (d != NULL) {
		move_here(d, listener, path);
		take_text(d, text, 0);
		uplink_flush(w); /* it lies in w->text */
	} else if (w->asked < STRAYS_ASKED_PER_S) {
		w->asked++;
		ask_others(w, listener, path, datagram);
	}
}

void
dchan_on_try(struct worker *w, const struct ipc_dtls_try *m)
{
	struct span text;
	struct dchan *d =
		whose(w, &m->peer, span_of(m->datagram.p, m->datagram.n), &text);

	if (d == NULL || d != d->tunnel->dchan)
		return;
	struct ipc_dtls_give give = { .worker = m->worker,
				      .wan = m->wan,
				      .peer = m->peer,
				      .local = m->local,
				      .slot = d->tunnel->slot,
				      .gen = d->tunnel->gen,
				      .cipher = d->cipher,
				      .tx_seq = d->tx.seq,
				      .rx_top = record_rx_top(&d->rx) };
	memcpy(give.dtls_id, d->id, IPC_DTLS_ID);
	record_material_write(&d->keys, give.material);
	if (text.n > 0 && text.p[0] == CSTP_DATA)
		uplink_packet(w, d->tunnel, span_of(text.p + 1, text.n - 1), 0, true);
	uplink_flush(w);
	peer_send(&w->session, IPC_dtls_give, &give);
	OPENSSL_cleanse(&give, sizeof(give));
	dchan_close(d, "moved to another worker", false);
}

static int
listener_for(const struct worker *w, uint8_t wan, uint8_t family)
{
	for (int i = 0; i < WORKER_LISTENERS; i++)
		if (w->listener[i].is_open && w->listener[i].wan == wan &&
		    w->listener[i].family == family)
			return i;
	return -1;
}

void
dchan_on_take(struct worker *w, const struct ipc_dtls_take *m)
{
	struct record_material keys;
	struct hello_wait h = { .path = { .peer = m->peer, .local = m->local } };
	int listener = listener_for(w, m->wan, m->peer.family);

	if (listener < 0 || record_material_read(m->material, &keys) < 0)
		return;
	struct tunnel *t = tunnel_take(w, m->slot, m->gen, &m->addr4, &m->addr6);
	if (t == NULL)
		return;
	if (t->conn == NULL)
		tunnel_of_elsewhere(t, m->sid, m->mtu, m->platform, m->token);
	h.listener = (unsigned)listener;
	memcpy(h.id, m->dtls_id, IPC_DTLS_ID);
	struct dchan *d = dchan_new(w, t, &h);
	if (d == NULL) {
		tunnel_drop_if_empty(w, t);
		return;
	}
	d->keys = keys;
	d->cipher = m->cipher;
	if (record_resume(&d->tx, &d->rx, &keys, m->tx_seq, m->rx_top) < 0) {
		dchan_close(d, "no keys", false);
		return;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	w->n_handshakes--;
	d->state = DCHAN_OPEN;
	struct dchan *before = t->dchan;
	t->dchan = d;
	if (before != NULL)
		dchan_close(before, "replaced", false);
	remember_peer(d);
	log_info(t->sid32, "dtls peer moved here from another worker");
}

void
dchan_on_drop(struct worker *w, const struct ipc_dtls_drop *m)
{
	for (uint32_t i = 0; i < WORKER_DCHANS; i++) {
		struct dchan *d = w->dchan[i];
		if (d != NULL && d->tunnel->slot == m->slot &&
		    d->tunnel->gen == m->gen &&
		    memcmp(d->id, m->dtls_id, IPC_DTLS_ID) == 0) {
			dchan_close(d, "dropped by session", false);
			return;
		}
	}
}

static void
tick(struct dchan *d)
{
	uint64_t now = d->w->now_ms, silent = now - d->heard_ms;
	uint64_t dpd = (uint64_t)d->tunnel->dpd_s * 1000;

	d->answered = 0;
	if (d->state != DCHAN_OPEN) {
		if (now - d->since_ms > DTLS_HANDSHAKE_MS)
			dchan_close(d, "handshake not finished", false);
		else if (d->state == DCHAN_HANDSHAKE &&
			 dtls_next_timeout_ms(d->hs) == 0 &&
			 dtls_on_timeout(d->hs) == E_TLS)
			dchan_close(d, "handshake failed", false);
	} else if (dpd != 0 && silent >= 2 * dpd + dpd / 2) {
		dchan_close(d, "silent", true);
	} else if (dpd != 0 && silent >= dpd && now - d->dpd_ms >= dpd / 2) {
		d->dpd_ms = now;
		answer(d, CSTP_DPD_REQ, (struct span){ 0 });
	}
}

void
dchan_tick(struct worker *w)
{
	w->strays = w->asked = 0;
	if (w->n_dchan == 0)
		return;
	for (uint32_t i = 0; i < WORKER_DCHANS; i++)
		if (w->dchan[i] != NULL)
			tick(w->dchan[i]);
}
