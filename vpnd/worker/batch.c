/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/batch.h"

#include "common/err.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/socket.h>

#define RX_MESSAGES 16u
/* The kernel joins at most this many: 64 from a device, 128 that were sent so by
 * this host. */
#define RX_SEGMENTS 128u
#define RX_LIST (RX_MESSAGES * RX_SEGMENTS)

/* A full message and the slot behind it fit into a lane, any message into a
 * buffer. No multiple of 4096, or the fronts of all would share cache lines. */
#define LANE_BYTES 67072u
#define LANE_HASH 256u
_Static_assert(LANE_BYTES >= BATCH_RUN_BYTES + BATCH_SLOT_BYTES, "lane");
_Static_assert(BATCH_MESSAGES >= BATCH_LANES, "a lane holds a message");

/* The larger pktinfo, and an int each for TOS and segment size. */
#define CONTROL_BYTES                                                                  \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)))

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct control {
	_Alignas(struct cmsghdr) uint8_t b[CONTROL_BYTES];
};

struct batch_rx {
	uint64_t oversize;
	bool is_full;
	struct mmsghdr msgs[RX_MESSAGES];
	struct iovec iov[RX_MESSAGES];
	union address from[RX_MESSAGES];
	struct control control[RX_MESSAGES];
	struct batch_datagram list[RX_LIST];
	uint8_t bytes[RX_MESSAGES][LANE_BYTES];
};

/* Datagrams of `seg` bytes one behind the other; the last may be shorter. */
struct run {
	uint8_t *p;
	size_t n, seg;
	unsigned count;
	bool is_ended; /* by a shorter one */
	uint8_t tos;
	uint32_t tag;
	unsigned lane;
};

struct lane {
	struct batch_path path;
	size_t used;
	struct run *open; /* the last run in it; NULL: none yet */
};

/* A message on its way to the kernel: a run, or one datagram of it. */
struct piece {
	const struct run *run;
	unsigned count;
};

struct batch_tx {
	batch_on_error *on_error;
	void *arg;
	uint64_t dropped;
	bool has_gso;
	unsigned queued; /* datagrams */
	unsigned n_lanes, n_runs;
	struct lane *asked; /* whose slot was asked for last */
	struct lane lane[BATCH_LANES];
	struct run run[BATCH_MESSAGES];
	/* Path to lane, by a hash. Who loses his place to another starts a new
	 * lane: messages leave in the order they began, so that is right too. */
	uint8_t place[LANE_HASH];

	/* What a flush works with. */
	bool is_stuck; /* the socket is full */
	unsigned n_pieces, sent, failed;
	struct piece piece[BATCH_MESSAGES];
	struct mmsghdr msgs[BATCH_MESSAGES];
	struct iovec iov[BATCH_MESSAGES];
	union address to[BATCH_MESSAGES];
	struct control control[BATCH_MESSAGES];

	uint8_t bytes[BATCH_LANES][LANE_BYTES];
};

void
batch_key(const struct ip_addr *peer, uint8_t key[BATCH_KEY])
{
	memset(key, 0, BATCH_KEY);
	if (peer->family == 4) {
		key[10] = key[11] = 0xff;
		memcpy(key + 12, peer->b, 4);
	} else {
		memcpy(key, peer->b, 16);
	}
	key[16] = (uint8_t)(peer->port >> 8);
	key[17] = (uint8_t)peer->port;
}

static int
option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* IP_PMTUDISC_DO, not PROBE: what ICMP tells the kernel about the path comes back
 * to us as EMSGSIZE. */
static int
prepare_v4(int fd)
{
	int rc = option(fd, IPPROTO_IP, IP_PKTINFO, 1);

	if (rc == 0)
		rc = option(fd, IPPROTO_IP, IP_RECVTOS, 1);
	return rc < 0 ? rc : option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
}

static int
prepare_v6(int fd)
{
	int rc = option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);

	if (rc == 0)
		rc = option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	if (rc == 0)
		rc = option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	return rc < 0 ? rc : option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

int
batch_prepare(int fd, unsigned want)
{
	int family, rc, has = 0;
	socklen_t n = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0)
		return -errno;
	rc = family == AF_INET ? prepare_v4(fd) : prepare_v6(fd);
	if (rc < 0)
		return rc;
	/* Size 0 changes nothing; a kernel that does not know the option says so. */
	if ((want & BATCH_GSO) && option(fd, SOL_UDP, UDP_SEGMENT, 0) == 0)
		has |= BATCH_GSO;
	if ((want & BATCH_GRO) && option(fd, SOL_UDP, UDP_GRO, 1) == 0)
		has |= BATCH_GRO;
	return has;
}

/* ---- receiving ---- */

int
batch_rx_new(struct batch_rx **out)
{
	struct batch_rx *rx = calloc(1, sizeof(*rx));

	if (!rx)
		return E_NOMEM;
	for (size_t i = 0; i < RX_MESSAGES; i++) {
		rx->iov[i] = (struct iovec){ .iov_base = rx->bytes[i],
					     .iov_len = LANE_BYTES };
		rx->msgs[i].msg_hdr = (struct msghdr){ .msg_name = &rx->from[i],
						       .msg_iov = &rx->iov[i],
						       .msg_iovlen = 1,
						       .msg_control = &rx->control[i] };
	}
	*out = rx;
	return 0;
}

void
batch_rx_free(struct batch_rx *rx)
{
	free(rx);
}

/* What the control messages say: our address, TOS, and how large the datagrams
 * are that were joined. Returns the last, 0: one datagram. */
static size_t
control_read(struct msghdr *m, struct batch_datagram *out)
{
	int seg = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo i;
			memcpy(&i, CMSG_DATA(c), sizeof(i));
			out->path.local = ip_of4(i.ipi_addr, 0);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			out->tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
			   c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo i;
			memcpy(&i, CMSG_DATA(c), sizeof(i));
			out->path.local = ip_of6(i.ipi6_addr, 0);
		} else if (c->cmsg_level == IPPROTO_IPV6 &&
			   c->cmsg_type == IPV6_TCLASS) {
			int tclass;
			memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
			out->tos = (uint8_t)tclass;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
		}
	}
	return seg > 0 ? (size_t)seg : 0;
}

/* One message into the list from `at` on; returns where the next one goes. */
static int
cut(struct batch_rx *rx, int message, int at)
{
	struct msghdr *m = &rx->msgs[message].msg_hdr;
	size_t n = rx->msgs[message].msg_len;
	struct batch_datagram d = { .p = rx->iov[message].iov_base,
				    .path.peer =
					    ip_of_sockaddr(&rx->from[message].sa) };
	size_t seg = control_read(m, &d);

	if (m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		rx->oversize++;
		return at;
	}
	if (seg == 0)
		seg = n;
	do {
		d.n = n < seg ? n : seg;
		if (d.n > BATCH_SLOT_BYTES || at == (int)RX_LIST)
			rx->oversize++;
		else
			rx->list[at++] = d;
		d.p += d.n;
		n -= d.n;
	} while (n > 0);
	return at;
}

int
batch_rx_read(struct batch_rx *rx, int fd, struct batch_datagram **list)
{
	int got, n = 0;

	/* The kernel has overwritten these with what it delivered last time. */
	for (size_t i = 0; i < RX_MESSAGES; i++) {
		rx->msgs[i].msg_hdr.msg_namelen = sizeof(union address);
		rx->msgs[i].msg_hdr.msg_controllen = CONTROL_BYTES;
	}
	do
		got = recvmmsg(fd, rx->msgs, RX_MESSAGES, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	*list = rx->list;
	rx->is_full = got == (int)RX_MESSAGES;
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	for (int i = 0; i < got; i++)
		n = cut(rx, i, n);
	return n;
}

bool
batch_rx_more(const struct batch_rx *rx)
{
	return rx->is_full;
}

uint64_t
batch_rx_oversize(const struct batch_rx *rx)
{
	return rx->oversize;
}

/* ---- sending: building runs ---- */

int
batch_tx_new(struct batch_tx **out, unsigned offloads, batch_on_error *on_error,
	     void *arg)
{
	struct batch_tx *tx = calloc(1, sizeof(*tx));

	if (!tx)
		return E_NOMEM;
	tx->has_gso = offloads & BATCH_GSO;
	tx->on_error = on_error;
	tx->arg = arg;
	*out = tx;
	return 0;
}

void
batch_tx_free(struct batch_tx *tx)
{
	free(tx);
}

static bool
path_eq(const struct batch_path *a, const struct batch_path *b)
{
	return ip_eq(&a->peer, &b->peer) && ip_same_host(&a->local, &b->local);
}

/* Only speed hangs on it, so a peer who can aim at another's place gains little. */
static unsigned
path_hash(const struct batch_path *path)
{
	uint32_t w[4] = { 0 };

	memcpy(w, path->peer.b, path->peer.family == 4 ? 4 : 16);
	uint32_t h = (w[0] ^ w[1] ^ w[2] ^ w[3]) + path->peer.port * 0x9e3779b1u;
	return (h * 0x85ebca6bu) >> 24;
}

/* No room for one more like the last: a run of few at the end of a lane would cost
 * a message of its own. */
static bool
is_spent(const struct lane *l)
{
	return l->used + (l->open ? l->open->seg : 0) > BATCH_RUN_BYTES;
}

uint8_t *
batch_tx_slot(struct batch_tx *tx, const struct batch_path *path)
{
	uint8_t *place = &tx->place[path_hash(path)];
	unsigned i = *place;

	tx->asked = NULL;
	if (tx->n_runs == BATCH_MESSAGES)
		return NULL; /* the next push may need one */
	/* What is left of earlier batches in `place` names no lane of this path:
	 * opening one writes it. */
	if (i >= tx->n_lanes || !path_eq(&tx->lane[i].path, path) ||
	    is_spent(&tx->lane[i])) {
		if (tx->n_lanes == BATCH_LANES)
			return NULL;
		i = tx->n_lanes++;
		*place = (uint8_t)i;
		tx->lane[i] = (struct lane){ .path = *path };
	}
	tx->asked = &tx->lane[i];
	return tx->bytes[i] + tx->asked->used;
}

static bool
fits(const struct run *r, size_t n, uint8_t tos, uint32_t tag)
{
	return r && !r->is_ended && n > 0 && n <= r->seg && r->tos == tos &&
	       r->tag == tag && r->count < BATCH_RUN && r->n + n <= BATCH_RUN_BYTES;
}

void
batch_tx_push(struct batch_tx *tx, const uint8_t *p, size_t n, uint8_t tos,
	      uint32_t tag)
{
	struct lane *l = tx->asked;

	assert(l && n <= BATCH_SLOT_BYTES);
	unsigned i = (unsigned)(l - tx->lane);
	uint8_t *slot = tx->bytes[i] + l->used;
	assert(p == slot);
	if (!fits(l->open, n, tos, tag)) {
		l->open = &tx->run[tx->n_runs++];
		*l->open = (struct run){
			.p = slot, .seg = n, .tos = tos, .tag = tag, .lane = i
		};
	}
	l->open->n += n;
	l->open->count++;
	l->open->is_ended = n < l->open->seg;
	l->used += n;
	tx->queued++;
	tx->asked = NULL;
}

int
batch_tx_copy(struct batch_tx *tx, struct span datagram, const struct batch_path *path,
	      uint32_t tag)
{
	uint8_t *slot;

	if (datagram.n > BATCH_SLOT_BYTES)
		return E_INVAL;
	slot = batch_tx_slot(tx, path);
	if (!slot)
		return E_LIMIT;
	if (datagram.n > 0)
		memcpy(slot, datagram.p, datagram.n);
	batch_tx_push(tx, slot, datagram.n, 0, tag);
	return 0;
}

unsigned
batch_tx_queued(const struct batch_tx *tx)
{
	return tx->queued;
}

/* ---- sending: the flush ---- */

/* The peer, in the family of its address: a socket of ours has one family. */
static socklen_t
peer_write(union address *to, const struct ip_addr *peer)
{
	if (peer->family == 4) {
		to->v4 = (struct sockaddr_in){ .sin_family = AF_INET,
					       .sin_port = htons(peer->port),
					       .sin_addr = ip_v4(peer) };
		return sizeof(to->v4);
	}
	if (peer->family == 0)
		return 0;
	to->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					.sin6_port = htons(peer->port),
					.sin6_addr = ip_v6(peer) };
	return sizeof(to->v6);
}

/* One more control message behind those that are there. */
static void
control_put(struct msghdr *m, int level, int type, const void *p, size_t n)
{
	struct cmsghdr c = { .cmsg_len = CMSG_LEN(n),
			     .cmsg_level = level,
			     .cmsg_type = type };
	uint8_t *at = (uint8_t *)m->msg_control + m->msg_controllen;

	memcpy(at, &c, sizeof(c));
	memcpy(at + CMSG_LEN(0), p, n);
	m->msg_controllen += CMSG_SPACE(n);
}

/* Leave from this address. No interface: routing decides as for any packet. */
static void
local_put(struct msghdr *m, const struct ip_addr *local)
{
	if (local->family == 4) {
		struct in_pktinfo i = { .ipi_spec_dst = ip_v4(local) };
		control_put(m, IPPROTO_IP, IP_PKTINFO, &i, sizeof(i));
	} else if (local->family == 6) {
		struct in6_pktinfo i = { .ipi6_addr = ip_v6(local) };
		control_put(m, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof(i));
	}
}

static void
tos_put(struct msghdr *m, const struct ip_addr *peer, int tos)
{
	if (peer->family == 4)
		control_put(m, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else if (peer->family == 6)
		control_put(m, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

/* All of a message but its bytes. */
static void
address_piece(struct batch_tx *tx, unsigned at, const struct run *r, unsigned count)
{
	const struct batch_path *path = &tx->lane[r->lane].path;
	struct msghdr *m = &tx->msgs[at].msg_hdr;

	*m = (struct msghdr){ .msg_name = &tx->to[at],
			      .msg_iov = &tx->iov[at],
			      .msg_iovlen = 1,
			      .msg_control = &tx->control[at] };
	m->msg_namelen = peer_write(&tx->to[at], &path->peer);
	local_put(m, &path->local);
	if (r->tos)
		tos_put(m, &path->peer, r->tos);
	if (count > 1) {
		uint16_t seg = (uint16_t)r->seg;
		control_put(m, SOL_UDP, UDP_SEGMENT, &seg, sizeof(seg));
	}
	tx->piece[at] = (struct piece){ .run = r, .count = count };
}

/* The datagram at offset `at` of a run. */
static struct iovec
datagram_of(const struct run *r, size_t at)
{
	size_t n = r->n - at < r->seg ? r->n - at : r->seg;

	return (struct iovec){ .iov_base = r->p + at, .iov_len = n };
}

static bool
is_full(int why)
{
	return why == EAGAIN || why == EWOULDBLOCK || why == ENOBUFS;
}

/* For one message fragments are allowed; DF is the socket's, not a message's. */
static bool
send_in_fragments(struct batch_tx *tx, int fd, unsigned at)
{
	bool is6 = tx->to[at].sa.sa_family == AF_INET6;
	int level = is6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int name = is6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;

	(void)option(fd, level, name, is6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_DONT);
	if (is6)
		(void)option(fd, level, IPV6_DONTFRAG, 0);
	ssize_t n = sendmsg(fd, &tx->msgs[at].msg_hdr, MSG_DONTWAIT);
	(void)option(fd, level, name, is6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO);
	if (is6)
		(void)option(fd, level, IPV6_DONTFRAG, 1);
	return n >= 0;
}

/* The datagram that stands in message `at`, alone, could not be sent. */
static void
report(struct batch_tx *tx, int fd, unsigned at, const struct run *r, size_t n, int why)
{
	bool fragment = tx->on_error && tx->on_error(tx->arg, r->tag, n, -why);

	if (fragment && why == EMSGSIZE && send_in_fragments(tx, fd, at))
		tx->sent++;
	else
		tx->failed++;
}

/* The run was refused as one message, and nothing of it has left: send its
 * datagrams one by one. EMSGSIZE (EINVAL from older kernels) means that a segment
 * exceeds the path's MTU, EIO or EINVAL that the device cannot do it. Whether a
 * full-size one leaves alone tells these apart. */
static void
resend_singly(struct batch_tx *tx, int fd, unsigned at, int refused)
{
	const struct run *r = tx->piece[at].run;
	size_t off = 0;

	address_piece(tx, at, r, 1);
	do {
		struct iovec *v = &tx->iov[at];
		ssize_t n;
		*v = datagram_of(r, off);
		do
			n = sendmsg(fd, &tx->msgs[at].msg_hdr, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		if (n < 0 && is_full(errno)) {
			tx->is_stuck = true;
			return;
		}
		if (n < 0)
			report(tx, fd, at, r, v->iov_len, errno);
		else
			tx->sent++;
		if (n >= 0 && off == 0 && refused != EMSGSIZE)
			tx->has_gso = false;
		off += v->iov_len;
	} while (off < r->n);
}

static void
piece_failed(struct batch_tx *tx, int fd, unsigned at, int why)
{
	const struct piece *p = &tx->piece[at];

	if (p->count > 1 && (why == EMSGSIZE || why == EINVAL || why == EIO)) {
		resend_singly(tx, fd, at, why);
	} else if (p->count > 1) {
		for (size_t off = 0; off < p->run->n; off += p->run->seg)
			report(tx, fd, at, p->run, datagram_of(p->run, off).iov_len,
			       why);
	} else {
		report(tx, fd, at, p->run, tx->iov[at].iov_len, why);
	}
}

/* sendmmsg stops at the first message that fails; called again it starts with that
 * one and says why. */
static void
send_pieces(struct batch_tx *tx, int fd)
{
	unsigned at = 0;

	while (at < tx->n_pieces && !tx->is_stuck) {
		int n = sendmmsg(fd, tx->msgs + at, tx->n_pieces - at, MSG_DONTWAIT);
		int why = n < 0 ? errno : 0;
		for (; n > 0; n--)
			tx->sent += tx->piece[at++].count;
		if (is_full(why))
			tx->is_stuck = true;
		else if (why && why != EINTR)
			piece_failed(tx, fd, at++, why);
	}
	tx->n_pieces = 0;
}

static void
add_piece(struct batch_tx *tx, int fd, const struct run *r, struct iovec bytes,
	  unsigned count)
{
	if (tx->n_pieces == BATCH_MESSAGES)
		send_pieces(tx, fd);
	tx->iov[tx->n_pieces] = bytes;
	address_piece(tx, tx->n_pieces++, r, count);
}

int
batch_tx_flush(struct batch_tx *tx, int fd)
{
	tx->sent = tx->failed = 0;
	tx->is_stuck = false;
	for (unsigned i = 0; i < tx->n_runs; i++) {
		const struct run *r = &tx->run[i];
		if (tx->has_gso || r->count == 1) {
			struct iovec whole = { .iov_base = r->p, .iov_len = r->n };
			add_piece(tx, fd, r, whole, r->count);
			continue;
		}
		for (size_t off = 0; off < r->n; off += r->seg)
			add_piece(tx, fd, r, datagram_of(r, off), 1);
	}
	send_pieces(tx, fd);
	tx->dropped += tx->queued - tx->sent - tx->failed;
	tx->queued = tx->n_lanes = tx->n_runs = 0;
	tx->asked = NULL;
	return (int)tx->sent;
}

uint64_t
batch_tx_dropped(const struct batch_tx *tx)
{
	return tx->dropped;
}

bool
batch_tx_has_gso(const struct batch_tx *tx)
{
	return tx->has_gso;
}
