/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tunnel.c -- this worker's part of a session, and the frames of its TLS channel. */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "common/rd.h"
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/inner.h"

#include <stdlib.h>

/* First byte of a client's DISCONNECT that means the user is leaving; others
 * are sent around network changes by clients that come back. */
enum { DISCONNECT_LOGOUT = 0xb0 };

#define BYTES_PER_KBIT UINT64_C(125)

static struct in6_addr
inner_key(const struct ip_addr *a)
{
	return a->family == 4 ? inner_mapped(ip_v4(a)) : ip_v6(a);
}

uint32_t
tunnel_sid32(const uint8_t sid[IPC_SID])
{
	struct rd r = rd_open(span_of(sid, IPC_SID));

	return rd_u32(&r);
}

struct counters *
tunnel_counters(struct worker *w, const struct tunnel *t)
{
	return &w->counters[t->slot];
}

struct tunnel *
tunnel_find(struct worker *w, uint32_t slot, uint32_t gen)
{
	struct tunnel *t = slot < w->slots ? w->tunnel[slot] : NULL;

	return t != NULL && t->gen == gen ? t : NULL;
}

static void
forget_address(struct worker *w, struct tunnel *t, const struct ip_addr *a)
{
	struct in6_addr key = inner_key(a);
	uint32_t slot;

	if (a->family != 0 && map_find(w->by_inner, &key, &slot) == 0 &&
	    slot == t->slot)
		map_remove(w->by_inner, &key);
}

static void
tunnel_free(struct worker *w, struct tunnel *t)
{
	pace_forget(t);
	forget_address(w, t, &t->addr4);
	forget_address(w, t, &t->addr6);
	w->tunnel[t->slot] = NULL;
	explicit_bzero(t->report, sizeof(*t->report));
	free(t->report);
	free(t->user);
	free(t);
}

void
tunnel_drop_if_empty(struct worker *w, struct tunnel *t)
{
	if (t->conn == NULL && t->n_dchans == 0)
		tunnel_free(w, t);
}

/* Nobody tells session: it knows, or it is the one who said so. */
static void
end_quietly(struct worker *w, struct tunnel *t)
{
	struct conn *c = t->conn;

	t->conn = NULL;
	if (c != NULL) {
		c->tunnel = NULL;
		conn_close(c, "replaced");
	}
	for (uint32_t i = 0; i < WORKER_DCHANS && t->n_dchans > 0; i++)
		if (w->dchan[i] != NULL && w->dchan[i]->tunnel == t) {
			uint32_t slot = t->slot, gen = t->gen;
			dchan_close(w->dchan[i], "session ended", false);
			if (tunnel_find(w, slot, gen) == NULL)
				return;
		}
	tunnel_free(w, t);
}

static int
learn_address(struct worker *w, struct tunnel *t, const struct ip_addr *a)
{
	struct in6_addr key = inner_key(a);

	if (a->family == 0)
		return 0;
	map_remove(w->by_inner, &key); /* an older session's, if any */
	return map_insert(w->by_inner, &key, t->slot);
}

static void
set_limits(struct tunnel *t)
{
	const struct worker *w = t->w;

	shaper_set(&t->up, w->cfg->bandwidth_up * BYTES_PER_KBIT, w->now_ms);
	shaper_set(&t->down, w->cfg->bandwidth_down * BYTES_PER_KBIT, w->now_ms);
}

void
tunnel_limit_all(struct worker *w)
{
	for (uint32_t i = 0; i < w->slots; i++)
		if (w->tunnel[i] != NULL)
			set_limits(w->tunnel[i]);
}

struct tunnel *
tunnel_take(struct worker *w, uint32_t slot, uint32_t gen, const struct ip_addr *addr4,
	    const struct ip_addr *addr6)
{
	if (slot >= w->slots)
		return NULL;
	struct tunnel *t = w->tunnel[slot];
	if (t != NULL && t->gen == gen)
		return t;
	if (t != NULL)
		end_quietly(w, t);
	t = calloc(1, sizeof(*t));
	if (t == NULL || (t->report = calloc(1, sizeof(*t->report))) == NULL) {
		free(t);
		return NULL;
	}
	t->w = w;
	t->slot = slot;
	t->gen = gen;
	t->addr4 = *addr4;
	t->addr6 = *addr6;
	t->inner4 = ip_v4(addr4);
	t->inner6 = ip_v6(addr6);
	set_limits(t);
	w->tunnel[slot] = t;
	if (learn_address(w, t, addr4) < 0 || learn_address(w, t, addr6) < 0) {
		tunnel_free(w, t);
		return NULL;
	}
	return t;
}

void
tunnel_attach(struct tunnel *t, struct conn *c)
{
	struct conn *old = t->conn;

	t->conn = c;
	c->tunnel = t;
	if (old != NULL && old != c) {
		old->tunnel = NULL;
		conn_close(old, "displaced by a newer connection");
	}
}

void
tunnel_detach(struct conn *c, enum tunnel_end why)
{
	struct tunnel *t = c->tunnel;
	struct worker *w = c->w;

	if (t == NULL)
		return;
	c->tunnel = NULL;
	if (t->conn != c)
		return;
	t->conn = NULL;
	struct ipc_tunnel_down m = {
		.slot = t->slot, .gen = t->gen, .conn = c->id, .why = (uint8_t)why
	};
	peer_send(&w->session, IPC_tunnel_down, &m);
	tunnel_drop_if_empty(w, t);
}

/* One frame, one TLS record (clients take it so). */
static int
send_frame(struct conn *c, enum cstp_type type, struct span body)
{
	uint8_t *buf = c->w->text;

	if (body.n > CSTP_BODY_MAX || !conn_has_room(c, body.n + CSTP_HEADER))
		return E_LIMIT;
	cstp_header(buf, type, body.n);
	if (body.n > 0)
		memcpy(buf + CSTP_HEADER, body.p, body.n);
	return conn_write(c, span_of(buf, CSTP_HEADER + body.n));
}

static void
on_disconnect(struct conn *c, struct span body)
{
	bool is_logout = body.n > 0 && body.p[0] == DISCONNECT_LOGOUT;

	tunnel_detach(c, is_logout ? TUNNEL_LOGOUT : TUNNEL_PAUSED);
	conn_close(c, is_logout ? "logout" : "paused by the client");
}

static void
on_broken(struct conn *c, const char *what)
{
	worker_event(c->w, EV_PROTOCOL_ERROR, &c->source, c->tunnel->user, "cstp",
		     what);
	tunnel_detach(c, TUNNEL_BROKEN);
	conn_close(c, what);
}

static void
take_frame(struct conn *c, const struct cstp_frame *f)
{
	switch (f->type) {
	case CSTP_DATA: uplink_packet(c->w, c->tunnel, f->body, 0, false); break;
	case CSTP_DPD_REQ: send_frame(c, CSTP_DPD_RESP, f->body); break;
	case CSTP_DPD_RESP:
	case CSTP_KEEPALIVE: break;
	case CSTP_DISCONNECT: on_disconnect(c, f->body); break;
	case CSTP_COMPRESSED:
	case CSTP_TERMINATE: on_broken(c, "a frame type we did not agree on"); break;
	}
}

static void
take_frames(struct conn *c, struct span *in)
{
	while (c->state == CONN_TUNNEL && in->n > 0) {
		struct cstp_frame f;
		int rc = cstp_parse(in, &f);
		if (rc == E_AGAIN)
			return;
		if (rc < 0) {
			on_broken(c, "not a frame");
			return;
		}
		take_frame(c, &f);
	}
}

/* One record is one frame almost always; the rest of a split one waits. */
void
tunnel_feed(struct conn *c, struct span in)
{
	uint8_t *joined = NULL;
	struct span s = in;

	if (c->pend_n > 0) {
		joined = realloc(c->pend, c->pend_n + in.n);
		if (joined == NULL) {
			conn_close(c, "out of memory");
			return;
		}
		if (in.n > 0)
			memcpy(joined + c->pend_n, in.p, in.n);
		s = span_of(joined, c->pend_n + in.n);
		c->pend = NULL;
		c->pend_n = 0;
	}
	take_frames(c, &s);
	if (c->state == CONN_TUNNEL && s.n > 0) {
		c->pend = malloc(s.n);
		if (c->pend == NULL) {
			conn_close(c, "out of memory");
		} else {
			memcpy(c->pend, s.p, s.n);
			c->pend_n = s.n;
		}
	}
	if (joined != NULL)
		uplink_flush(c->w); /* packets may lie in it */
	free(joined);
}

/* RFC-less but universal: ask after dpd seconds of silence, and again, and give
 * up after three times that. Anything received proves life. */
void
tunnel_tick(struct conn *c)
{
	uint64_t now = c->w->now_ms, dpd = (uint64_t)c->tunnel->dpd_s * 1000;
	uint64_t silent = now - c->heard_ms;

	if (dpd == 0 || silent < dpd)
		return;
	if (silent >= 3 * dpd) {
		tunnel_detach(c, TUNNEL_DEAD);
		conn_close(c, "dead peer");
	} else if (now - c->dpd_ms >= dpd / 2) {
		c->dpd_ms = now;
		send_frame(c, CSTP_DPD_REQ, (struct span){ 0 });
	}
}

static void
say_goodbye(struct conn *c, const char *reason)
{
	uint8_t body[1 + 127];
	size_t n =
		strlen(reason) < sizeof(body) - 1 ? strlen(reason) : sizeof(body) - 1;

	body[0] = 0x01; /* shown by clients as "01", without further meaning */
	memcpy(body + 1, reason, n);
	send_frame(c, CSTP_DISCONNECT, span_of(body, 1 + n));
}

void
tunnel_on_close(struct worker *w, const struct ipc_tunnel_close *m)
{
	struct tunnel *t = tunnel_find(w, m->slot, m->gen);

	if (t == NULL)
		return;
	struct conn *c = t->conn;
	if (c != NULL && (m->conn == 0 || m->conn == c->id)) {
		t->conn = NULL;
		c->tunnel = NULL;
		if (m->say)
			say_goodbye(c, m->reason);
		conn_finish(c, m->reason);
	}
	if (m->say)
		end_quietly(w, t);
	else
		tunnel_drop_if_empty(w, t);
}

/* session was restarted and knows nothing: the tokens vouch for what lives. */
void
tunnel_report_all(struct worker *w)
{
	for (uint32_t i = 0; i < w->slots; i++) {
		struct tunnel *t = w->tunnel[i];
		if (t == NULL || (t->conn == NULL && t->dchan == NULL))
			continue;
		t->report->slot = t->slot;
		t->report->gen = t->gen;
		t->report->conn = t->conn != NULL ? t->conn->id : 0;
		t->report->has_tls = t->conn != NULL;
		t->report->has_dtls = t->dchan != NULL;
		t->report->mtu = t->mtu;
		if (t->dchan != NULL)
			memcpy(t->report->dtls_id, t->dchan->id, IPC_DTLS_ID);
		peer_send(&w->session, IPC_tunnel_report, t->report);
	}
}
