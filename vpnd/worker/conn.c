/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* conn.c -- one TCP connection: bytes in, TLS, bytes out, and its states. */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUSY_MS = 1000, PLAIN_BYTES = 16384 + 256, PEND_MAX = 65536, SPARE_MAX = 64 };
enum { PATH_MIN4 = 576, PATH_MIN6 = 1280 };

static const char *const state_name[CONN_STATES] = {
	[CONN_HANDSHAKE] = "handshake", [CONN_REQUEST] = "request",
	[CONN_WAIT] = "wait",           [CONN_TUNNEL] = "tunnel",
	[CONN_CLOSING] = "closing",     [CONN_CLOSED] = "closed",
};

/* The moves a connection makes: a row is where it is, a bit where it may go. */
#define TO(s) (1u << CONN_##s)
static const unsigned moves[CONN_STATES] = {
	[CONN_HANDSHAKE] = TO(REQUEST) | TO(CLOSED),
	[CONN_REQUEST] = TO(WAIT) | TO(CLOSING) | TO(CLOSED),
	[CONN_WAIT] = TO(REQUEST) | TO(TUNNEL) | TO(CLOSING) | TO(CLOSED),
	[CONN_TUNNEL] = TO(CLOSING) | TO(CLOSED),
	[CONN_CLOSING] = TO(CLOSED),
};
#undef TO

void
conn_move(struct conn *c, enum conn_state to)
{
	if (!(moves[c->state] & 1u << to))
		log_fatal("conn: no move from %s to %s", state_name[c->state],
			  state_name[to]);
	log_debug(c->tunnel ? c->tunnel->sid32 : 0, "conn %08x: %s -> %s", c->id,
		  state_name[c->state], state_name[to]);
	c->state = to;
}

/* Strangers are all connections that are no tunnel yet, oldest first: under
 * pressure the oldest one makes room. */
static void
stranger_add(struct conn *c)
{
	struct worker *w = c->w;

	c->is_stranger = true;
	c->prev = w->strangers_last;
	c->next = NULL;
	if (w->strangers_last != NULL)
		w->strangers_last->next = c;
	else
		w->strangers = c;
	w->strangers_last = c;
	w->n_strangers++;
}

static void
stranger_remove(struct conn *c)
{
	struct worker *w = c->w;

	if (!c->is_stranger)
		return;
	c->is_stranger = false;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		w->strangers = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		w->strangers_last = c->prev;
	w->n_strangers--;
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void
watch(struct conn *c, int events)
{
	if (c->state == CONN_CLOSED || events == c->poll_events)
		return;
	c->poll_events = events;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_ready);
}

/* While someone is being asked, nothing is read, so that a stranger cannot fill
 * our memory meanwhile. But who does not speak then, which is everybody well
 * behaved, need not be watched differently: that would cost four system calls
 * per question. What waits to be written goes out in this turn of the loop; it
 * is watched only if that did not do. */
static void
rewatch(struct conn *c)
{
	int events;

	if (c->state != CONN_WAIT)
		c->is_held = false;
	events = c->is_held ? 0 : UV_READABLE;
	if (c->out != NULL && c->blocked_ms != 0)
		events |= UV_WRITABLE;
	if (events == 0)
		events = UV_DISCONNECT;
	watch(c, events);
}

static struct out *
out_take(struct worker *w)
{
	struct out *o = w->spare;

	if (o != NULL) {
		w->spare = o->next;
		w->n_spare--;
	} else if ((o = malloc(sizeof(*o))) == NULL) {
		return NULL;
	}
	o->next = NULL;
	o->at = o->n = 0;
	return o;
}

static void
out_give(struct worker *w, struct out *o)
{
	if (w->n_spare >= SPARE_MAX) {
		free(o);
		return;
	}
	o->next = w->spare;
	w->spare = o;
	w->n_spare++;
}

static void
mark_dirty(struct conn *c)
{
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	c->next_dirty = c->w->dirty;
	c->w->dirty = c;
}

static void
unmark_dirty(struct conn *c)
{
	struct conn **at = &c->w->dirty;

	if (!c->is_dirty)
		return;
	while (*at != c)
		at = &(*at)->next_dirty;
	*at = c->next_dirty;
	c->is_dirty = false;
}

/* Encrypted bytes on their way out. */
static int
put_out(struct conn *c, const uint8_t *p, size_t n)
{
	unsigned pieces = 1;

	if (c->state == CONN_CLOSED)
		return E_CLOSED;
	if (c->out == NULL && (c->out = out_take(c->w)) == NULL)
		return E_NOMEM;
	struct out *o = c->out;
	for (; o->next != NULL; o = o->next)
		pieces++;
	while (n > 0) {
		size_t k = OUT_BYTES - o->n < n ? OUT_BYTES - o->n : n;
		memcpy(o->b + o->n, p, k);
		o->n += k;
		p += k;
		n -= k;
		if (n == 0)
			break;
		if (++pieces > OUT_PIECES)
			return E_LIMIT;
		if ((o->next = out_take(c->w)) == NULL)
			return E_NOMEM;
		o = o->next;
	}
	mark_dirty(c);
	return 0;
}

bool
conn_has_room(const struct conn *c, size_t n)
{
	const struct out *o = c->out;
	/* 128: record header, nonce, tag, padding of either TLS version. */
	return o == NULL || (o->next == NULL && OUT_BYTES - o->n >= n + 128);
}

void
conn_flush(struct conn *c)
{
	while (c->out != NULL && c->state != CONN_CLOSED) {
		struct out *o = c->out;
		ssize_t n = o->n == 0 ? 0
				      : send(c->fd, o->b + o->at, o->n - o->at,
					     MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (c->blocked_ms == 0)
				c->blocked_ms = c->w->now_ms;
			break;
		}
		if (n < 0) {
			conn_close(c, "write failed");
			return;
		}
		c->blocked_ms = 0;
		o->at += (size_t)n;
		if (o->at == o->n) {
			c->out = o->next;
			out_give(c->w, o);
		}
	}
	if (c->state == CONN_CLOSED)
		return;
	if (c->out != NULL && c->out->at > 0 && c->out->next == NULL) {
		/* Make the room that was freed usable again. */
		struct out *o = c->out;
		memmove(o->b, o->b + o->at, o->n - o->at);
		o->n -= o->at;
		o->at = 0;
	}
	if (c->out == NULL && c->state == CONN_CLOSING)
		conn_close(c, c->ended);
	else
		rewatch(c);
}

/* ---- sealing ourselves: tlstx.h ---- */

int
conn_tls_record(struct conn *c, const uint8_t *p, size_t n)
{
	if (c->tx != NULL) /* it may not send; what it means, we say */
		return 0;
	int rc = put_out(c, p, n);
	if (rc == 0 && c->state != CONN_HANDSHAKE)
		c->tls_sent++;
	return rc;
}

/* Where the text of the next record goes: behind what waits already. Room that stays
 * empty is given back by the flush. */
static uint8_t *
next_text(struct conn *c)
{
	if (c->out == NULL && (c->out = out_take(c->w)) == NULL)
		return NULL;
	mark_dirty(c);
	return c->out->b + c->out->n + TLSTX_HEAD;
}

/* Should it fail half-way, the client cannot open what follows, ends the connection
 * and comes back with its token. */
static void
update(struct conn *c)
{
	uint8_t record[TLSTX_UPDATE];

	if (conn_has_room(c, sizeof(record)) && tlstx_update(c->tx, record) == 0)
		(void)put_out(c, record, sizeof(record));
}

static int
seal(struct conn *c, enum tlstx_type type, struct span text)
{
	size_t total;

	if (!conn_has_room(c, text.n))
		return E_LIMIT;
	uint8_t *at = next_text(c);
	if (at == NULL)
		return E_NOMEM;
	if (text.p != at)
		memcpy(at, text.p, text.n);
	int rc = tlstx_seal(c->tx, type, at, text.n, &total);
	if (rc < 0)
		return rc;
	c->out->n += total;
	if (tlstx_is_due(c->tx))
		update(c);
	return 0;
}

/* Before we seal, OpenSSL does it, and the secret that we know is void: so it goes on.
 */
void
conn_tls_update(struct conn *c)
{
	if (c->tx != NULL)
		update(c);
	else
		c->tls_secret.n = 0;
}

/* OpenSSL's buffers: an idle connection's are given back after every record, but
 * while much is sent that would be 16 KiB to find and to free for each. */
static void
keep_buffers(struct conn *c)
{
	if (!c->keeps_buffers)
		SSL_clear_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
	c->keeps_buffers = true;
}

static void
release_buffers(struct conn *c)
{
	SSL_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_free_buffers(c->ssl);
	c->keeps_buffers = false;
}

/* What it cannot seal OpenSSL goes on to seal: TLS 1.2, ChaCha20. */
void
conn_expect_much(struct conn *c)
{
	if (c->tx != NULL)
		return;
	if (c->tls_secret.n != 0 &&
	    tlstx_new(&c->tx, &c->tls_secret, c->tls_sent) == 0) {
		OPENSSL_cleanse(&c->tls_secret, sizeof(c->tls_secret));
		log_debug(c->tunnel->sid32, "conn %08x: seals its own records", c->id);
	} else {
		keep_buffers(c);
	}
}

uint8_t *
conn_slot(struct conn *c, size_t n)
{
	uint8_t *at = c->tx != NULL && conn_has_room(c, n) ? next_text(c) : NULL;

	return at != NULL ? at : c->w->text;
}

static int
write_record(struct conn *c, struct span text)
{
	if (c->tx != NULL)
		return seal(c, TLSTX_DATA, text);
	if (SSL_write(c->ssl, text.p, (int)text.n) == (int)text.n)
		return 0;
	ERR_clear_error();
	return E_LIMIT;
}

int
conn_write(struct conn *c, struct span text)
{
	while (text.n > 0) {
		size_t n = text.n < TLSTX_TEXT_MAX ? text.n : TLSTX_TEXT_MAX;
		int rc = write_record(c, span_of(text.p, n));
		if (rc < 0)
			return rc;
		text.p += n;
		text.n -= n;
	}
	c->sent_ms = c->w->now_ms;
	return 0;
}

/* close_notify, into the queue. */
static void
say_closing(struct conn *c)
{
	static const uint8_t alert[] = { 1, 0 }; /* warning, close_notify */

	if (c->tx != NULL)
		(void)seal(c, TLSTX_ALERT, span_of(alert, sizeof(alert)));
	SSL_shutdown(c->ssl);
	ERR_clear_error();
}

static void
on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct worker *w = c->w;

	close(c->fd);
	/* libuv closes at the end of the turn in which it was asked, before the
	 * next flush: what was marked in this turn is still in the list. */
	unmark_dirty(c);
	w->conn[c->id & 0xffff] = NULL;
	w->n_conn--;
	free(c);
}

/* Let the dying connection say its FIN although refusals and deaths of processes
 * are silenced: the firewall lets marked sockets speak. */
static void
mark_on_purpose(int fd)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)) < 0)
		log_limited(LOG_L_WARN, 0, "cannot mark a socket: %s",
			    err_text(-errno));
}

void
conn_close(struct conn *c, const char *why)
{
	char peer[IP_TEXT];

	if (c->state == CONN_CLOSED)
		return;
	log_debug(c->tunnel ? c->tunnel->sid32 : 0, "conn %08x from %s ends: %s", c->id,
		  ip_text(&c->source, peer), why);
	if (c->tunnel != NULL)
		tunnel_detach(c, TUNNEL_LOST);
	conn_move(c, CONN_CLOSED);
	mark_on_purpose(c->fd);
	stranger_remove(c);
	while (c->out != NULL) {
		struct out *o = c->out;
		c->out = o->next;
		out_give(c->w, o);
	}
	login_free(c->login);
	c->login = NULL;
	if (c->pend != NULL)
		OPENSSL_cleanse(c->pend, c->pend_n);
	free(c->pend);
	c->pend = NULL;
	SSL_free(c->ssl);
	c->ssl = NULL;
	tlstx_free(c->tx);
	c->tx = NULL;
	OPENSSL_cleanse(&c->tls_secret, sizeof(c->tls_secret));
	shutdown(c->fd, SHUT_RDWR);
	uv_close((uv_handle_t *)&c->poll, on_closed);
}

void
conn_finish(struct conn *c, const char *why)
{
	if (c->state == CONN_CLOSED || c->state == CONN_CLOSING)
		return;
	snprintf(c->ended, sizeof(c->ended), "%s", why);
	if (c->tunnel != NULL)
		tunnel_detach(c, TUNNEL_LOST);
	say_closing(c);
	conn_move(c, CONN_CLOSING);
	c->deadline_ms = c->w->now_ms + 5000;
	if (c->out == NULL)
		conn_close(c, why);
	else
		mark_dirty(c);
}

struct conn *
conn_by_id(struct worker *w, uint32_t id)
{
	struct conn *c = (id & 0xffff) < WORKER_CONNS ? w->conn[id & 0xffff] : NULL;

	return c != NULL && c->id == id && c->state != CONN_CLOSED ? c : NULL;
}

static int
free_index(struct worker *w, unsigned *index)
{
	for (unsigned i = 0; i < WORKER_CONNS; i++) {
		unsigned k = (w->conn_next + i) % WORKER_CONNS;
		if (w->conn[k] == NULL) {
			w->conn_next = k + 1;
			*index = k;
			return 0;
		}
	}
	return E_LIMIT;
}

int
conn_new(struct worker *w, int fd, const struct ip_addr *source)
{
	unsigned index;
	struct sockaddr_storage ss;
	socklen_t ss_n = sizeof(ss);

	if (w->n_strangers >= WORKER_STRANGERS)
		conn_close(w->strangers, "too many unfinished connections");
	if (free_index(w, &index) < 0)
		return E_LIMIT;
	struct conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return E_NOMEM;
	c->w = w;
	c->fd = fd;
	c->id = (uint32_t)++w->conn_gen[index] << 16 | index;
	c->source = *source;
	if (getsockname(fd, (struct sockaddr *)&ss, &ss_n) == 0)
		c->local = ip_of_sockaddr((struct sockaddr *)&ss);
	c->since_ms = c->heard_ms = w->now_ms;
	c->deadline_ms = w->now_ms + HANDSHAKE_MS;
	int rc = tls_attach(c);
	if (rc == 0)
		rc = uv_poll_init(&w->loop, &c->poll, fd);
	if (rc < 0) {
		SSL_free(c->ssl);
		free(c);
		return rc;
	}
	c->poll.data = c;
	w->conn[index] = c;
	w->n_conn++;
	stranger_add(c);
	watch(c, UV_READABLE);
	return 0;
}

static void
tls_failed(struct conn *c)
{
	unsigned long e = ERR_peek_last_error();
	const char *text = e ? ERR_reason_error_string(e) : NULL;

	/* A connection that just goes away is no event: scanners and probes do. */
	if (e != 0)
		worker_event(c->w, EV_TLS_REJECT, &c->source, "", "handshake",
			     text ? text : "TLS error");
	ERR_clear_error();
	if (c->out != NULL) {
		/* Our alert tells the client why. */
		conn_flush(c);
	}
	conn_close(c, "TLS handshake failed");
}

static bool
handshake(struct conn *c)
{
	int rc = SSL_accept(c->ssl);

	if (rc == 1) {
		conn_move(c, CONN_REQUEST);
		if (c->is_challenge) {
			conn_finish(c, "an ACME server has seen its challenge");
			return false;
		}
		c->deadline_ms =
			c->w->now_ms + (uint64_t)c->w->cfg->login_timeout_s * 1000;
		return true;
	}
	if (SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ)
		return false;
	tls_failed(c);
	return false;
}

static int
pend(struct conn *c, struct span s)
{
	if (s.n == 0)
		return 0;
	if (c->pend_n + s.n > PEND_MAX)
		return E_LIMIT;
	uint8_t *p = realloc(c->pend, c->pend_n + s.n);
	if (p == NULL)
		return E_NOMEM;
	memcpy(p + c->pend_n, s.p, s.n);
	c->pend = p;
	c->pend_n += s.n;
	return 0;
}

/* Decrypted bytes, to whoever the state says. */
static void
take_plain(struct conn *c, struct span in)
{
	if (c->state == CONN_REQUEST)
		login_feed(c, &in);
	if (c->state == CONN_TUNNEL)
		tunnel_feed(c, in);
	else if (c->state == CONN_WAIT && pend(c, in) < 0)
		conn_close(c, "sent too much while it had to wait");
}

static void
read_plain(struct conn *c)
{
	while (c->state != CONN_CLOSED && c->state != CONN_CLOSING) {
		struct worker *w = c->w;
		/* Packets stay where they were decrypted until they are written. */
		if (w->plain_n + PLAIN_BYTES > RECV_BYTES) {
			uplink_flush(w);
			w->plain_n = 0;
		}
		uint8_t *plain = w->plain + w->plain_n;
		int n = SSL_read(c->ssl, plain, PLAIN_BYTES);
		if (n > 0) {
			w->plain_n += (size_t)n;
			take_plain(c, span_of(plain, (size_t)n));
			continue;
		}
		int e = SSL_get_error(c->ssl, n);
		if (e == SSL_ERROR_WANT_READ)
			return;
		if (e != SSL_ERROR_ZERO_RETURN)
			ERR_clear_error();
		conn_close(c, e == SSL_ERROR_ZERO_RETURN ? "closed by the client"
							 : "TLS error");
		return;
	}
}

void
conn_resume(struct conn *c)
{
	uint8_t *p = c->pend;
	size_t n = c->pend_n;

	c->pend = NULL;
	c->pend_n = 0;
	if (p != NULL) {
		take_plain(c, span_of(p, n));
		uplink_flush(c->w);
		OPENSSL_cleanse(p, n);
		free(p);
	}
	if (c->state != CONN_CLOSED)
		rewatch(c);
}

static void
on_readable(struct conn *c)
{
	struct worker *w = c->w;
	ssize_t n = recv(c->fd, w->recv, RECV_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(c, n == 0 ? "closed by the client" : "reset by the client");
		return;
	}
	c->heard_ms = w->now_ms;
	c->in = span_of(w->recv, (size_t)n);
	if (c->state != CONN_HANDSHAKE || handshake(c))
		read_plain(c);
	uplink_flush(w);
	w->plain_n = 0;
	c->in = (struct span){ 0 };
	if (c->state != CONN_CLOSED)
		rewatch(c);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	if (c->state == CONN_CLOSED)
		return;
	if (status < 0 || (events & UV_DISCONNECT)) {
		conn_close(c, "reset by the client");
		return;
	}
	if (events & UV_WRITABLE)
		conn_flush(c);
	if (!(events & UV_READABLE) || c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_WAIT) {
		c->is_held = true;
		rewatch(c);
	} else {
		on_readable(c);
	}
}

/* Of a connection that was idle while its route went away the kernel says 68, and an
 * IPv6 path is never smaller than 1280 (RFC 8200 5). What lies below these is no path
 * that DTLS would pass. */
unsigned
conn_path_mtu(const struct conn *c)
{
	int mtu = 0, least = c->local.family == 4 ? PATH_MIN4 : PATH_MIN6;
	socklen_t n = sizeof(mtu);
	int rc = c->local.family == 4
			 ? getsockopt(c->fd, IPPROTO_IP, IP_MTU, &mtu, &n)
			 : getsockopt(c->fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &n);

	return rc == 0 && mtu >= least ? (unsigned)mtu : 0;
}

void
conn_is_tunnel(struct conn *c)
{
	stranger_remove(c);
}

void
conn_tick(struct conn *c)
{
	uint64_t now = c->w->now_ms;

	if (c->state == CONN_CLOSED)
		return;
	if (c->keeps_buffers && now - c->sent_ms > BUSY_MS)
		release_buffers(c);
	if (c->blocked_ms != 0 && now - c->blocked_ms > SEND_MS) {
		if (c->tunnel != NULL)
			tunnel_detach(c, TUNNEL_STALLED);
		conn_close(c, "did not read");
	} else if (c->deadline_ms != 0 && now > c->deadline_ms) {
		if (c->state == CONN_WAIT)
			login_on_late(c);
		else
			conn_close(c, c->state == CONN_HANDSHAKE ? "handshake too slow"
								 : "request too slow");
	} else if (c->state == CONN_TUNNEL) {
		tunnel_tick(c);
	}
}
