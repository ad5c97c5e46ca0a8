/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_dtls.c -- a channel's news. */
#include "vpnd/session/session_state.h"

#include <openssl/crypto.h>

/* As the grant had it: a worker keeps the packets of who has IPv6 at 1280 bytes and
 * more, however small the path is. */
static struct ip_addr
granted6(const struct session *s)
{
	const struct ip_addr none = { .family = 0 };

	return s->lacks6 ? none : s->claims.addr6;
}

void
session_dtls_ask(struct session_table *t, unsigned w, const struct ipc_dtls_ask *m)
{
	struct session *s = session_by_dtls(t, m->dtls_id);
	struct ipc_dtls_secret a = { .id = m->id, .is_bad = 1 };

	memcpy(a.dtls_id, m->dtls_id, sizeof(a.dtls_id));
	if (s != NULL && s->state == SESSION_CONNECTED) {
		a.is_bad = 0;
		a.slot = s->slot;
		a.gen = s->gen;
		a.mode = s->dtls_mode;
		a.cipher = s->dtls_cipher;
		a.addr4 = s->claims.addr4;
		a.addr6 = granted6(s);
		a.mtu = s->mtu;
		a.platform = s->claims.platform;
		memcpy(a.sid, s->claims.sid, sizeof(a.sid));
		memcpy(a.secret, s->dtls_secret, sizeof(a.secret));
		memcpy(a.token, s->token, sizeof(a.token));
	}
	table_send(t, IPC_WORKER, w, IPC_dtls_secret, &a);
	OPENSSL_cleanse(&a, sizeof(a));
}

void
session_dtls_up(struct session_table *t, unsigned w, const struct ipc_dtls_up *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || s->state != SESSION_CONNECTED || !session_has_dtls(s) ||
	    memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0) {
		struct ipc_dtls_drop drop = { .slot = m->slot, .gen = m->gen };
		memcpy(drop.dtls_id, m->dtls_id, sizeof(drop.dtls_id));
		table_send(t, IPC_WORKER, w, IPC_dtls_drop, &drop);
		return;
	}
	if (s->has_dtls && s->dtls_worker != w)
		session_drop_dtls(t, s);
	s->has_dtls = true;
	s->dtls_worker = w;
	s->dtls_peer = m->peer;
	s->dtls_cipher = m->cipher;
	session_steer(t, s);
	session_event(t, s, EV_DTLS_UP, NULL);
}

void
session_dtls_down(struct session_table *t, unsigned w, const struct ipc_dtls_down *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || !s->has_dtls || s->dtls_worker != w ||
	    memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0)
		return;
	s->has_dtls = false;
	session_steer(t, s);
	session_event(t, s, EV_DTLS_DOWN, m->reason);
}

void
session_dtls_stray(struct session_table *t, unsigned w, const struct ipc_dtls_stray *m)
{
	uint64_t asked = 0; /* a bit per worker */

	for (uint32_t i = 0; i < t->n_slots; i++) {
		struct session *s = session_at(t, i);
		if (s == NULL || !s->has_dtls || s->dtls_worker == w ||
		    s->dtls_worker >= 64 || asked >> s->dtls_worker & 1 ||
		    !ip_same_host(&s->dtls_peer, &m->peer))
			continue;
		struct ipc_dtls_try a = { .worker = (uint8_t)w,
					  .wan = m->wan,
					  .peer = m->peer,
					  .local = m->local };
		a.datagram.n = m->datagram.n;
		memcpy(a.datagram.p, m->datagram.p, m->datagram.n);
		asked |= UINT64_C(1) << s->dtls_worker;
		table_send(t, IPC_WORKER, s->dtls_worker, IPC_dtls_try, &a);
	}
}

void
session_dtls_give(struct session_table *t, unsigned w, const struct ipc_dtls_give *m)
{
	struct session *s = session_named(t, m->slot, m->gen);

	if (s == NULL || !s->has_dtls || s->dtls_worker != w || m->worker == w ||
	    m->worker >= 64 || memcmp(s->dtls_id, m->dtls_id, IPC_DTLS_ID) != 0)
		return;
	struct ipc_dtls_take a = { .worker = m->worker,
				   .wan = m->wan,
				   .peer = m->peer,
				   .local = m->local,
				   .slot = m->slot,
				   .gen = m->gen,
				   .cipher = m->cipher,
				   .tx_seq = m->tx_seq,
				   .rx_top = m->rx_top,
				   .addr4 = s->claims.addr4,
				   .addr6 = granted6(s),
				   .mtu = s->mtu,
				   .platform = s->claims.platform };
	memcpy(a.dtls_id, m->dtls_id, sizeof(a.dtls_id));
	memcpy(a.material, m->material, sizeof(a.material));
	memcpy(a.sid, s->claims.sid, sizeof(a.sid));
	memcpy(a.token, s->token, sizeof(a.token));
	s->dtls_worker = m->worker;
	s->dtls_peer = m->peer;
	table_send(t, IPC_WORKER, m->worker, IPC_dtls_take, &a);
	OPENSSL_cleanse(&a, sizeof(a));
	session_steer(t, s);
}
