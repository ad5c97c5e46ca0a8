/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vpnload.c -- an AnyConnect client for load: it batches as the server may, so that
 * it is not what limits a measurement.
 *
 *   vpnload tunnel ADDRESS PORT USER PASSWORD dtls|tls DEVICE
 *       One session with a TUN that takes and gives super-packets (TSO, USO); UDP
 *       with UDP_SEGMENT and UDP_GRO, many TLS records per write. Prints
 *       "up INNER-ADDRESS MTU", then carries until SIGINT or SIGTERM and says
 *       "carried up=N down=N", in packets. The device is to be configured by the
 *       caller.
 *
 *   vpnload many ADDRESS PORT USER PASSWORD dtls|tls|plain COUNT RATE BYTES SECONDS
 * ECHO COUNT sessions in this process, each sending RATE packets of BYTES a second to
 * UDP port 7 of the host ECHO and waiting for them to come back; no device. `plain` is
 * the same traffic without a VPN: what the path itself costs. RATE may be several, with
 * commas: they are run one after the other. The first second of each is not counted.
 * For each one line: many sessions=N sent=N received=N lost_pct=X rate=X p50_ms=X
 * p99_ms=X max_ms=X min_share=X (min_share: received by sent of the session that fared
 * worst.)
 *
 *   vpnload flood ADDRESS PORT USER PASSWORD dtls KIND RATE SECONDS
 *       One session that misbehaves, RATE datagrams a second: tag (does not verify),
 *       dpd (a full-size request), foreign (somebody else's inner address), malformed
 *       (no IP packet), giant (a record of 2,000 bytes), tiny (a record of one). Says
 *       "flood KIND sent=N".
 *
 *   vpnload echo BYTES
 *       Answers UDP port 7 with the datagram's first BYTES (0: all of them).
 *
 * Records are sealed and opened by the product's own record.h, super-packets cut and
 * joined by split.h and merge.h; whether those are right is for other tests to say.
 */
#include "common/err.h"
#include "tests/perf/anyconnect.h"
#include "vpnd/worker/checksum.h"
#include "vpnd/worker/cstp.h"
#include "vpnd/worker/merge.h"
#include "vpnd/worker/record.h"
#include "vpnd/worker/split.h"
#include "vpnd/worker/vnet.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	RUN_RECORDS = 64, /* the kernel's bound for UDP_SEGMENT */
	RUN_BYTES = 65000,
	ROOM = 2048, /* for one record; no packet of ours is longer */
	RX_MESSAGES = 16,
	RX_BYTES = 65536,
	ARENA = 512 * 1024, /* TLS text of one round, and bytes of one recv */
	TUN_READS = 64,     /* before the other direction has its turn */
	SOCKET_BYTES = 1 << 20,
	ECHO_PORT = 7,
	LOGIN_THREADS = 4,
	SERIAL = 16, /* bytes of serial number and time in a packet of `many` */
	INNER_UDP = 28,
	NS = 1000000000,
};

static volatile sig_atomic_t is_over;

static void
on_signal(int sig)
{
	is_over = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "vpnload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static void
socket_prepare(int fd)
{
	int bytes = SOCKET_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* --- one session's keys */

struct session {
	struct tunnel u;
	struct record_tx tx;
	struct record_rx rx;
	bool is_dtls;
	/* many */
	uint32_t source;
	uint64_t sent, received;
	bool is_stuck; /* OpenSSL has a record it could not send */
};

/* The client's half of RFC 5246 6.3, from OpenSSL's finished handshake. */
static int
take_keys(struct session *s)
{
	uint8_t master[MASTER], seed[13 + 64], block[2 * (32 + RECORD_SALT)], taken[8];
	SSL *ssl = s->u.dtls;
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
	struct record_key ours = { .key_bytes = 32 }, theirs = { .key_bytes = 32 };

	SSL_SESSION_get_master_key(SSL_get_session(ssl), master, MASTER);
	memcpy(seed, "key expansion", 13);
	SSL_get_server_random(ssl, seed + 13, 32);
	SSL_get_client_random(ssl, seed + 45, 32);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master,
						  MASTER),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed,
						  sizeof(seed)),
		OSSL_PARAM_END,
	};
	int rc = EVP_KDF_derive(c, block, sizeof(block), params);
	EVP_KDF_CTX_free(c);
	EVP_KDF_free(kdf);
	if (rc != 1)
		return -1;
	memcpy(ours.key, block, 32);
	memcpy(theirs.key, block + 32, 32);
	memcpy(ours.salt, block + 64, RECORD_SALT);
	memcpy(theirs.salt, block + 64 + RECORD_SALT, RECORD_SALT);
	/* OpenSSL's few nonces start at random: a random start of ours meets them
	 * once in 2^60 runs, which will do for a benchmark. */
	RAND_bytes(taken, sizeof(taken));
	if (record_tx_init(&s->tx, &ours, taken) < 0 ||
	    record_rx_init(&s->rx, &theirs) < 0)
		return -1;
	SSL_free(ssl);
	s->u.dtls = NULL;
	return 0;
}

static int
session_open(struct session *s, const struct target *t)
{
	if (tunnel_open(&s->u, t) < 0)
		return -1;
	if (t->wants_dtls) {
		if (!s->u.has_id || dtls_open(&s->u, t) < 0 || take_keys(s) < 0)
			return complain("DTLS");
		s->is_dtls = true;
		socket_prepare(s->u.udp);
	}
	socket_prepare(s->u.tcp);
	return 0;
}

static void
session_end(struct session *s)
{
	fcntl(s->u.tcp, F_SETFL, fcntl(s->u.tcp, F_GETFL) & ~O_NONBLOCK);
	if (s->u.ssl != NULL)
		tunnel_end(&s->u);
	record_tx_free(&s->tx);
	record_rx_free(&s->rx);
}

/* Seal n bytes of text, with its type byte, behind RECORD_HEADROOM; send it alone. */
static void
dtls_send_one(struct session *s, uint8_t *text, size_t n)
{
	size_t total;

	if (record_seal(&s->tx, text, n, &total) == 0 &&
	    send(s->u.udp, text - RECORD_HEADROOM, total, 0) < 0 &&
	    errno == ECONNREFUSED)
		is_over = 1;
}

/* A control frame; true: the server said goodbye. */
static bool
dtls_control(struct session *s, struct span text)
{
	uint8_t room[ROOM];

	if (text.p[0] == CSTP_DPD_REQ && text.n < ROOM - RECORD_OVERHEAD) {
		memcpy(room + RECORD_HEADROOM, text.p, text.n);
		room[RECORD_HEADROOM] = CSTP_DPD_RESP;
		dtls_send_one(s, room + RECORD_HEADROOM, text.n);
	}
	return text.p[0] == CSTP_DISCONNECT;
}

/* --- mode tunnel */

struct run { /* of equal records, sent by one call */
	uint8_t p[RUN_BYTES + ROOM];
	size_t n, step;
	unsigned count;
};

struct carrier {
	struct session s;
	int tun;
	size_t mtu;
	uint64_t up, down; /* packets */
	struct merge *merge;
	struct run run;
	struct mmsghdr msgs[RX_MESSAGES];
	struct iovec iov[RX_MESSAGES];
	struct {
		_Alignas(struct cmsghdr) uint8_t b[CMSG_SPACE(sizeof(int))];
	} control[RX_MESSAGES];
	uint8_t *rx;    /* RX_MESSAGES x RX_BYTES, or ARENA */
	uint8_t *input; /* TLS: ARENA */
	BIO *in, *out;  /* TLS */
	uint8_t read[SPLIT_READ_MAX];
};

static int
device_open(const char *name, unsigned *kinds)
{
	static const struct {
		unsigned offload, kinds;
	} asks[] = {
		{ TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 |
			  TUN_F_USO6,
		  MERGE_TCP4 | MERGE_TCP6 | MERGE_UDP4 | MERGE_UDP6 },
		{ TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
		  MERGE_TCP4 | MERGE_TCP6 },
		{ 0, 0 },
	};
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		die(name);
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		*kinds = asks[i].kinds;
		if (ioctl(fd, TUNSETOFFLOAD, asks[i].offload) == 0)
			break;
	}
	return fd;
}

/* The socket is full: wait. What the TUN holds meanwhile is its queue's to drop. */
static void
wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	poll(&p, 1, 1000);
}

static void
run_send(struct carrier *c)
{
	struct run *r = &c->run;
	struct iovec iov = { .iov_base = r->p, .iov_len = r->n };
	struct {
		_Alignas(struct cmsghdr) uint8_t b[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (r->count > 1) {
		uint16_t step = (uint16_t)r->step;
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = IPPROTO_UDP;
		h->cmsg_type = UDP_SEGMENT;
		h->cmsg_len = CMSG_LEN(sizeof(step));
		memcpy(CMSG_DATA(h), &step, sizeof(step));
	}
	while (r->count > 0 && sendmsg(c->s.u.udp, &m, 0) < 0 && !is_over) {
		if (errno != EAGAIN && errno != ENOBUFS) {
			if (errno != EINTR)
				complain("send");
			break;
		}
		wait_for(c->s.u.udp, POLLOUT);
	}
	r->n = r->count = 0;
}

/* A packet of n bytes lies at run.p + run.n + RECORD_HEADROOM + 1. */
static void
run_add(struct carrier *c, size_t n)
{
	struct run *r = &c->run;
	uint8_t *text = r->p + r->n + RECORD_HEADROOM;
	size_t total;

	text[0] = CSTP_DATA;
	if (record_seal(&c->s.tx, text, n + 1, &total) < 0)
		die("seal");
	if (r->count > 0 && total > r->step) {
		uint8_t *rec = r->p + r->n;
		run_send(c);
		memmove(r->p, rec, total);
	}
	if (r->count == 0)
		r->step = total;
	r->n += total;
	r->count++;
	if (total < r->step || r->count == RUN_RECORDS || r->n + r->step > RUN_BYTES)
		run_send(c);
}

static void
tls_flush(struct carrier *c)
{
	char *p;
	long n = BIO_get_mem_data(c->out, &p);

	while (n > 0 && !is_over) {
		ssize_t done = send(c->s.u.tcp, p, (size_t)n, MSG_NOSIGNAL);
		if (done > 0) {
			p += done;
			n -= done;
		} else if (errno == EAGAIN) {
			wait_for(c->s.u.tcp, POLLOUT);
		} else if (errno != EINTR) {
			is_over = 1;
		}
	}
	(void)BIO_reset(c->out);
}

/* From the device to the server, until it is empty or has had its turn. */
static void
carry_up(struct carrier *c)
{
	uint8_t frame[CSTP_HEADER + ROOM];

	for (int i = 0; i < TUN_READS; i++) {
		struct split s;
		ssize_t got = read(c->tun, c->read, sizeof(c->read));
		if (got <= 0)
			break;
		if (split_open(&s, span_of(c->read, (size_t)got)) < 0 ||
		    split_begin(&s, c->mtu) < 0)
			continue;
		for (;;) {
			size_t n;
			uint8_t *at =
				c->s.is_dtls ? c->run.p + c->run.n + RECORD_HEADROOM + 1
					     : frame + CSTP_HEADER;
			if (split_next(&s, at, ROOM - RECORD_OVERHEAD - 1, &n) < 0)
				break;
			c->up++;
			if (c->s.is_dtls) {
				run_add(c, n);
				continue;
			}
			cstp_header(frame, CSTP_DATA, n);
			if (SSL_write(c->s.u.ssl, frame, (int)(CSTP_HEADER + n)) <= 0)
				is_over = 1;
		}
		if (!c->s.is_dtls && BIO_pending(c->out) > 128 * 1024)
			tls_flush(c);
	}
	if (c->s.is_dtls)
		run_send(c);
	else
		tls_flush(c);
}

static void
deliver_all(struct carrier *c)
{
	struct merge_write w;

	while (merge_next(c->merge, &w)) {
		while (writev(c->tun, w.iov, w.iovs) < 0) {
			if (errno == EINVAL && w.packets > 1) {
				merge_again(c->merge);
				break;
			}
			if (errno != EINTR)
				break;
		}
	}
}

static void
deliver(struct carrier *c, struct span packet)
{
	struct inner in;

	if (inner_parse(packet, &in) < 0)
		return;
	c->down++;
	if (merge_add(c->merge, &in, 0) == E_LIMIT) {
		deliver_all(c);
		merge_add(c->merge, &in, 0);
	}
}

static void
datagram_take(struct session *s, struct carrier *c, uint8_t *p, size_t n)
{
	struct record_head h;
	struct span text;
	uint8_t type;

	for (; record_peek(span_of(p, n), &h) == 0; p += h.total, n -= h.total) {
		if (record_open(&s->rx, p, h.total, &type, &text) < 0 ||
		    type != RECORD_DATA || text.n == 0)
			continue;
		if (text.p[0] == CSTP_DATA)
			deliver(c, span_of(text.p + 1, text.n - 1));
		else if (dtls_control(s, text))
			is_over = 1;
	}
}

static size_t
segment_of(struct msghdr *m, size_t whole)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level == IPPROTO_UDP && h->cmsg_type == UDP_GRO) {
			int step;
			memcpy(&step, CMSG_DATA(h), sizeof(step));
			return step > 0 ? (size_t)step : whole;
		}
	}
	return whole;
}

static void
carry_down_dtls(struct carrier *c)
{
	for (int i = 0; i < RX_MESSAGES; i++) {
		c->iov[i] = (struct iovec){ c->rx + i * RX_BYTES, RX_BYTES };
		c->msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &c->iov[i],
			.msg_iovlen = 1,
			.msg_control = &c->control[i],
			.msg_controllen = sizeof(c->control[i]),
		};
	}
	int got = recvmmsg(c->s.u.udp, c->msgs, RX_MESSAGES, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++) {
		size_t n = c->msgs[i].msg_len,
		       step = segment_of(&c->msgs[i].msg_hdr, n);
		for (size_t at = 0; at < n; at += step)
			datagram_take(&c->s, c, c->rx + i * RX_BYTES + at,
				      n - at < step ? n - at : step);
	}
	deliver_all(c);
}

/* DTLS mode carries control on TLS as well. */
static void
carry_down_tls(struct carrier *c)
{
	ssize_t got = recv(c->s.u.tcp, c->input, ARENA, 0);
	size_t used = 0;
	int n;

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		is_over = 1;
	if (got <= 0)
		return;
	BIO_write(c->in, c->input, (int)got);
	/* One record is one frame with both servers. */
	while ((n = SSL_read(c->s.u.ssl, c->rx + used, 16384 + CSTP_HEADER)) > 0) {
		struct span in = span_of(c->rx + used, (size_t)n);
		struct cstp_frame f;
		if (cstp_parse(&in, &f) < 0)
			continue;
		if (f.type == CSTP_DATA) {
			deliver(c, f.body);
			used += (size_t)n;
		} else if (f.type == CSTP_DPD_REQ) {
			c->rx[used + 6] = CSTP_DPD_RESP;
			SSL_write(c->s.u.ssl, c->rx + used, n);
		} else if (f.type == CSTP_DISCONNECT || f.type == CSTP_TERMINATE) {
			is_over = 1;
		}
		if (used + 16384 + CSTP_HEADER > ARENA) {
			deliver_all(c);
			used = 0;
		}
	}
	deliver_all(c);
	tls_flush(c);
}

static int
mode_tunnel(const struct target *t, const char *device)
{
	struct carrier *c = calloc(1, sizeof(*c));
	unsigned kinds;
	int one = 1;

	if (c == NULL || session_open(&c->s, t) < 0) {
		fputs("vpnload: no session\n", stderr);
		return 1;
	}
	c->mtu = (size_t)(t->wants_dtls ? c->s.u.dtls_mtu : c->s.u.tls_mtu);
	if (c->mtu == 0 || c->mtu > ROOM - RECORD_OVERHEAD - 1)
		c->mtu = 1400;
	c->tun = device_open(device, &kinds);
	c->rx = malloc(RX_MESSAGES * RX_BYTES);
	c->input = malloc(ARENA);
	if (c->rx == NULL || c->input == NULL || merge_new(&c->merge, kinds) < 0)
		return 1;
	if (c->s.is_dtls)
		setsockopt(c->s.u.udp, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(c->in, -1);
	SSL_set_bio(c->s.u.ssl, c->in, c->out);
	printf("up %s %zu\n", c->s.u.address, c->mtu);
	fflush(stdout);

	struct pollfd p[] = { { .fd = c->tun, .events = POLLIN },
			      { .fd = c->s.u.tcp, .events = POLLIN },
			      { .fd = c->s.u.udp, .events = POLLIN } };
	while (!is_over && poll(p, 3, 1000) >= 0) {
		if (p[0].revents)
			carry_up(c);
		if (p[1].revents)
			carry_down_tls(c);
		if (p[2].revents)
			carry_down_dtls(c);
	}
	fcntl(c->s.u.tcp, F_SETFL, 0);
	SSL_set_fd(c->s.u.ssl, c->s.u.tcp);
	session_end(&c->s);
	printf("carried up=%llu down=%llu\n", (unsigned long long)c->up,
	       (unsigned long long)c->down);
	return 0;
}

/* --- mode many */

struct many {
	const struct target *t;
	struct session *s;
	unsigned count;
	atomic_uint next, failed;
	bool is_plain;
	size_t bytes;
	struct sockaddr_in echo;
	uint64_t from, until; /* what was sent in between counts */
	uint32_t *us;         /* round trips */
	size_t n_us, cap_us;
	uint64_t late; /* sent more than 5 ms behind time: we were the bottleneck */
};

static void *
open_thread(void *arg)
{
	struct many *m = arg;
	unsigned i;

	while ((i = atomic_fetch_add(&m->next, 1)) < m->count) {
		struct session *s = &m->s[i];
		if (m->failed > 0) {
			continue;
		} else if (m->is_plain) {
			s->u.tcp = -1;
			s->u.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			if (connect(s->u.udp, (struct sockaddr *)&m->echo,
				    sizeof(m->echo)) < 0)
				m->failed++;
			socket_prepare(s->u.udp);
		} else if (session_open(s, m->t) < 0) {
			m->failed++;
		} else {
			struct in_addr a = { 0 };
			inet_pton(AF_INET, s->u.address, &a);
			s->source = a.s_addr;
			if (!s->is_dtls)
				s->u.udp = -1;
		}
	}
	return NULL;
}

/* The echo's answer, its UDP payload. */
static void
echo_take(struct many *m, struct session *s, struct span payload)
{
	uint64_t at, now = now_ns();

	if (payload.n < SERIAL)
		return;
	memcpy(&at, payload.p, sizeof(at));
	if (at < m->from || at >= m->until || at > now)
		return;
	s->received++;
	if (m->n_us < m->cap_us)
		m->us[m->n_us++] = (uint32_t)((now - at) / 1000);
}

static void
inner_take(struct many *m, struct session *s, struct span packet)
{
	if (packet.n > INNER_UDP && packet.p[0] == 0x45 && packet.p[9] == IPPROTO_UDP)
		echo_take(m, s, span_of(packet.p + INNER_UDP, packet.n - INNER_UDP));
}

static void
many_receive(struct many *m, struct session *s)
{
	uint8_t p[16384 + CSTP_HEADER];
	ssize_t n;

	if (m->is_plain || s->is_dtls) {
		while ((n = recv(s->u.udp, p, sizeof(p), 0)) > 0) {
			struct span text;
			uint8_t type;
			if (m->is_plain)
				echo_take(m, s, span_of(p, (size_t)n));
			else if (record_open(&s->rx, p, (size_t)n, &type, &text) == 0 &&
				 type == RECORD_DATA && text.n > 0) {
				if (text.p[0] == CSTP_DATA)
					inner_take(m, s,
						   span_of(text.p + 1, text.n - 1));
				else
					dtls_control(s, text);
			}
		}
	}
	if (m->is_plain)
		return;
	while ((n = SSL_read(s->u.ssl, p, sizeof(p))) > 0) {
		struct span in = span_of(p, (size_t)n);
		struct cstp_frame f;
		if (cstp_parse(&in, &f) < 0)
			continue;
		if (f.type == CSTP_DATA) {
			inner_take(m, s, f.body);
		} else if (f.type == CSTP_DPD_REQ && !s->is_stuck) {
			p[6] = CSTP_DPD_RESP;
			SSL_write(s->u.ssl, p, (int)n);
		}
	}
	ERR_clear_error();
}

static void
packet_write(const struct many *m, const struct session *s, uint8_t *p, uint64_t at)
{
	uint8_t *payload = p + INNER_UDP;
	size_t udp = m->bytes - 20;
	uint64_t serial = s->sent;

	memset(p, 0, INNER_UDP);
	memcpy(payload, &at, 8);
	memcpy(payload + 8, &serial, 8);
	if (m->is_plain)
		return;
	p[0] = 0x45;
	put16(p + 2, m->bytes);
	put16(p + 6, IP4_DF);
	p[8] = 64;
	p[9] = IPPROTO_UDP;
	memcpy(p + 12, &s->source, 4);
	memcpy(p + 16, &m->echo.sin_addr, 4);
	checksum_put(p + IP4_CHECK, checksum_sum(p, 20));
	put16(p + 20, 40000);
	put16(p + 22, ECHO_PORT);
	put16(p + 24, udp);
	checksum_put_udp(p + 26, checksum_sum(p + 20, udp) +
					 checksum_pseudo(p + 12, 8, IPPROTO_UDP, udp));
}

static void
many_send(struct many *m, struct session *s, uint64_t at)
{
	uint8_t room[ROOM] = { 0 }, *text = room + RECORD_HEADROOM, *frame;

	if (at >= m->from && at < m->until)
		s->sent++;
	if (m->is_plain) {
		packet_write(m, s, room, at);
		send(s->u.udp, room + INNER_UDP, m->bytes - INNER_UDP, 0);
		return;
	}
	packet_write(m, s, text + 1, at);
	if (s->is_dtls) {
		text[0] = CSTP_DATA;
		dtls_send_one(s, text, m->bytes + 1);
		return;
	}
	/* A record that OpenSSL holds is finished first, in place of this one. */
	frame = text + 1 - CSTP_HEADER;
	cstp_header(frame, CSTP_DATA, m->bytes);
	s->is_stuck = SSL_write(s->u.ssl, frame, (int)(CSTP_HEADER + m->bytes)) <= 0;
	ERR_clear_error();
}

static void
many_watch(struct many *m, int ep)
{
	for (unsigned i = 0; i < m->count; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &m->s[i] };
		if (m->s[i].u.udp >= 0)
			epoll_ctl(ep, EPOLL_CTL_ADD, m->s[i].u.udp, &e);
		if (m->s[i].u.tcp >= 0)
			epoll_ctl(ep, EPOLL_CTL_ADD, m->s[i].u.tcp, &e);
		if (m->s[i].u.ssl != NULL)
			SSL_set_mode(m->s[i].u.ssl,
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	}
}

/* Packet k of all sessions together is due at start + k / rate. */
static void
many_loop(struct many *m, int ep, double rate, uint64_t start)
{
	struct epoll_event e[64];
	uint64_t k = 0, end = m->until + NS / 2; /* the last echoes */

	for (;;) {
		uint64_t now = now_ns(),
			 due = start + (uint64_t)((double)k * 1e9 / rate);
		for (int burst = 0; burst < 64 && due <= now && due < m->until;
		     burst++) {
			m->late += now - due > 5000000;
			many_send(m, &m->s[k++ % m->count], now_ns());
			due = start + (uint64_t)((double)k * 1e9 / rate);
		}
		now = now_ns();
		if (now >= end || is_over)
			return;
		uint64_t next = due < m->until ? due : end;
		uint64_t wait = next > now ? next - now : 0;
		struct timespec ts = { .tv_sec = (time_t)(wait / NS),
				       .tv_nsec = (long)(wait % NS) };
		int n = epoll_pwait2(ep, e, 64, &ts, NULL);
		for (int i = 0; i < n; i++)
			many_receive(m, e[i].data.ptr);
	}
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
many_report(struct many *m, double seconds)
{
	uint64_t sent = 0, received = 0;
	double worst = 1;

	for (unsigned i = 0; i < m->count; i++) {
		const struct session *s = &m->s[i];
		double share = s->sent ? (double)s->received / (double)s->sent : 1;
		worst = share < worst ? share : worst;
		sent += s->sent;
		received += s->received;
	}
	qsort(m->us, m->n_us, sizeof(*m->us), by_size);
	size_t n = m->n_us;
	printf("many sessions=%u sent=%llu received=%llu lost_pct=%.3f rate=%.0f "
	       "late=%llu "
	       "p50_ms=%.3f p99_ms=%.3f max_ms=%.3f min_share=%.3f\n",
	       m->count, (unsigned long long)sent, (unsigned long long)received,
	       sent ? 100.0 * (double)(sent - received) / (double)sent : 0,
	       (double)sent / seconds, (unsigned long long)m->late,
	       n ? m->us[n / 2] / 1e3 : 0, n ? m->us[n * 99 / 100] / 1e3 : 0,
	       n ? m->us[n - 1] / 1e3 : 0, worst);
}

static void
many_run(struct many *m, int ep, double rate, double seconds)
{
	uint64_t start = now_ns();

	for (unsigned i = 0; i < m->count; i++)
		m->s[i].sent = m->s[i].received = 0;
	m->n_us = m->late = 0;
	m->from = start + NS;
	m->until = m->from + (uint64_t)(seconds * 1e9);
	many_loop(m, ep, rate, start);
	many_report(m, seconds);
	fflush(stdout);
}

static int
mode_many(const struct target *t, bool is_plain, char **argv)
{
	struct many m = { .t = t, .is_plain = is_plain };
	pthread_t id[LOGIN_THREADS];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	m.count = (unsigned)strtoul(argv[0], NULL, 10);
	double seconds = strtod(argv[3], NULL), most = 0;
	for (const char *r = argv[1]; r != NULL;
	     r = strchr(r, ',') ? strchr(r, ',') + 1 : NULL) {
		double rate = strtod(r, NULL) * m.count;
		if (rate <= 0)
			return 2;
		most = rate > most ? rate : most;
	}
	m.bytes = strtoul(argv[2], NULL, 10);
	m.echo = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_port = htons(ECHO_PORT) };
	if (m.count == 0 || seconds <= 0 || m.bytes < INNER_UDP + SERIAL ||
	    m.bytes > 1500 || inet_pton(AF_INET, argv[4], &m.echo.sin_addr) != 1)
		return 2;
	m.cap_us = (size_t)(most * (seconds + 1)) + 1000;
	m.us = calloc(m.cap_us, sizeof(*m.us));
	m.s = calloc(m.count, sizeof(*m.s));
	if (m.us == NULL || m.s == NULL)
		return 1;
	for (int i = 0; i < LOGIN_THREADS; i++)
		if (pthread_create(&id[i], NULL, open_thread, &m) != 0)
			die("thread");
	for (int i = 0; i < LOGIN_THREADS; i++)
		pthread_join(id[i], NULL);
	if (m.failed > 0) {
		fputs("vpnload: not all sessions came up\n", stderr);
		return 1;
	}
	printf("ready sessions=%u\n", m.count);
	fflush(stdout);
	many_watch(&m, ep);
	for (const char *r = argv[1]; r != NULL;
	     r = strchr(r, ',') ? strchr(r, ',') + 1 : NULL)
		many_run(&m, ep, strtod(r, NULL) * m.count, seconds);
	for (unsigned i = 0; i < m.count && !is_plain; i++)
		session_end(&m.s[i]);
	return 0;
}

/* --- mode echo */

static int
mode_echo(size_t most)
{
	static uint8_t bytes[RX_MESSAGES * 4][ROOM];
	struct mmsghdr msgs[RX_MESSAGES * 4] = { 0 };
	struct iovec iov[RX_MESSAGES * 4];
	struct sockaddr_in from[RX_MESSAGES * 4],
		at = { .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 * SOCKET_BYTES;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("echo");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	while (!is_over) {
		for (int i = 0; i < RX_MESSAGES * 4; i++) {
			iov[i] = (struct iovec){ bytes[i], ROOM };
			msgs[i].msg_hdr =
				(struct msghdr){ .msg_name = &from[i],
						 .msg_namelen = sizeof(from[i]),
						 .msg_iov = &iov[i],
						 .msg_iovlen = 1 };
		}
		int n = recvmmsg(fd, msgs, RX_MESSAGES * 4, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			iov[i].iov_len = most > 0 && msgs[i].msg_len > most
						 ? most
						 : msgs[i].msg_len;
		if (n > 0)
			sendmmsg(fd, msgs, (unsigned)n, 0);
	}
	return 0;
}

/* --- mode flood */

/* One bad datagram's text, with its type byte. */
static size_t
flood_text(const char *kind, uint8_t *text)
{
	bool is_packet = strcmp(kind, "foreign") == 0 || strcmp(kind, "malformed") == 0;

	memset(text, 0, ROOM);
	if (strcmp(kind, "tiny") == 0)
		return 1;
	if (strcmp(kind, "dpd") == 0) {
		text[0] = CSTP_DPD_REQ;
		return 1400;
	}
	if (strcmp(kind, "giant") == 0)
		return 2000;
	if (is_packet) {
		text[1] = kind[0] == 'f' ? 0x45 : 0x95;
		put16(text + 1 + IP4_TOTAL, 100);
		text[1 + 8] = 64;
		text[1 + 9] = IPPROTO_UDP;
		put32(text + 1 + IP4_ADDRESSES, 0x0a090807);
		put32(text + 1 + IP4_ADDRESSES + 4, 0x0a0a0064);
		/* Nothing else may be wrong with it: a datagram to port 9, that would
		 * arrive. */
		if (kind[0] == 'f') {
			checksum_put(text + 1 + 10, checksum_sum(text + 1, 20));
			put32(text + 1 + 20, 9u << 16 | 9);
			put16(text + 1 + 24, 80);
		}
	}
	return 101;
}

static int
mode_flood(const struct target *t, const char *kind, double rate, double seconds)
{
	static uint8_t bytes[RECORD_HEADROOM + ROOM + RECORD_TAILROOM], bad[2 * ROOM];
	uint8_t *text = bytes + RECORD_HEADROOM;
	struct session s = { 0 };
	uint64_t sent = 0, start;

	if (session_open(&s, t) < 0 || !s.is_dtls)
		return 1;
	/* One good packet: until then the channel is not this session's. */
	text[0] = CSTP_DPD_REQ;
	dtls_send_one(&s, text, 1);
	start = now_ns();
	while (!is_over) {
		double past = (double)(now_ns() - start) / NS;
		if (past > seconds)
			break;
		for (; (double)sent < past * rate; sent++) {
			size_t n = flood_text(kind, text), total;
			if (strcmp(kind, "tag") != 0) {
				dtls_send_one(&s, text, n);
				continue;
			}
			if (record_seal(&s.tx, text, n, &total) < 0)
				break;
			bytes[total - 1] ^= 1;
			if (send(s.u.udp, bytes, total, 0) < 0)
				continue;
		}
		while (recv(s.u.udp, bad, sizeof(bad), MSG_DONTWAIT) > 0)
			;
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
	printf("flood %s sent=%llu\n", kind, (unsigned long long)sent);
	session_end(&s);
	return 0;
}

static int
usage(void)
{
	fputs("usage: vpnload tunnel ADDRESS PORT USER PASSWORD dtls|tls DEVICE\n"
	      "       vpnload many ADDRESS PORT USER PASSWORD dtls|tls|plain COUNT "
	      "RATE BYTES "
	      "SECONDS ECHO\n"
	      "       vpnload flood ADDRESS PORT USER PASSWORD dtls KIND RATE SECONDS\n"
	      "       vpnload echo BYTES\n",
	      stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	struct target t = { 0 };
	struct sigaction a = { .sa_handler = on_signal };
	struct rlimit files;

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return mode_echo(strtoul(argv[2], NULL, 10));
	if (argc < 8)
		return usage();
	target_open(&t, argv);
	t.wants_dtls = strcmp(argv[6], "dtls") == 0;
	if (argc == 8 && strcmp(argv[1], "tunnel") == 0)
		return mode_tunnel(&t, argv[7]);
	if (argc == 10 && strcmp(argv[1], "flood") == 0)
		return mode_flood(&t, argv[7], strtod(argv[8], NULL),
				  strtod(argv[9], NULL));
	if (argc == 12 && strcmp(argv[1], "many") == 0) {
		int rc = mode_many(&t, strcmp(argv[6], "plain") == 0, argv + 7);
		return rc == 2 ? usage() : rc;
	}
	return usage();
}
