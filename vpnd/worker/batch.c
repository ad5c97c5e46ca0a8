/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/batch.h"

#include "common/err.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The larger pktinfo, and an int beside it for UDP_GRO or UDP_SEGMENT. */
#define CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)))

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
	struct mmsghdr msgs[BATCH_SLOTS];
	struct iovec iov[BATCH_SLOTS];
	union address from[BATCH_SLOTS];
	struct control control[BATCH_SLOTS];
	struct batch_datagram list[BATCH_SLOTS];
	uint8_t bytes[BATCH_SLOTS * BATCH_SLOT_BYTES];
};

struct batch_tx {
	batch_on_error *on_error;
	void *arg;
	uint64_t dropped;
	unsigned queued;
	struct mmsghdr msgs[BATCH_SLOTS];
	struct iovec iov[BATCH_SLOTS];
	union address to[BATCH_SLOTS];
	struct control control[BATCH_SLOTS];
	uint32_t tag[BATCH_SLOTS];
	uint8_t bytes[BATCH_SLOTS * BATCH_SLOT_BYTES];
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

int
batch_prepare(int fd)
{
	int family, rc;
	socklen_t n = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0)
		return -errno;
	/* IP_PMTUDISC_DO, not PROBE: what ICMP tells the kernel about the path
	 * comes back to us as EMSGSIZE. */
	if (family == AF_INET) {
		rc = option(fd, IPPROTO_IP, IP_PKTINFO, 1);
		return rc < 0 ? rc
			      : option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	}
	rc = option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (rc == 0)
		rc = option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	return rc < 0 ? rc : option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

/* ---- receiving ---- */

int
batch_rx_new(struct batch_rx **out)
{
	struct batch_rx *rx = calloc(1, sizeof(*rx));

	if (!rx)
		return E_NOMEM;
	for (size_t i = 0; i < BATCH_SLOTS; i++) {
		rx->iov[i] =
			(struct iovec){ .iov_base = rx->bytes + i * BATCH_SLOT_BYTES,
					.iov_len = BATCH_SLOT_BYTES };
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

static struct ip_addr
local_of(struct msghdr *m)
{
	struct ip_addr none = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo i;
			memcpy(&i, CMSG_DATA(c), sizeof(i));
			return ip_of4(i.ipi_addr, 0);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo i;
			memcpy(&i, CMSG_DATA(c), sizeof(i));
			return ip_of6(i.ipi6_addr, 0);
		}
	}
	return none;
}

int
batch_rx_read(struct batch_rx *rx, int fd, struct batch_datagram **list)
{
	int got, whole = 0;

	/* The kernel has overwritten these with what it delivered last time. */
	for (size_t i = 0; i < BATCH_SLOTS; i++) {
		rx->msgs[i].msg_hdr.msg_namelen = sizeof(union address);
		rx->msgs[i].msg_hdr.msg_controllen = CONTROL_BYTES;
	}
	do
		got = recvmmsg(fd, rx->msgs, BATCH_SLOTS, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	*list = rx->list;
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;

	for (int i = 0; i < got; i++) {
		struct msghdr *m = &rx->msgs[i].msg_hdr;
		if (m->msg_flags & MSG_TRUNC) {
			rx->oversize++;
			continue;
		}
		rx->list[whole++] = (struct batch_datagram){
			.p = rx->iov[i].iov_base,
			.n = rx->msgs[i].msg_len,
			.path = { .peer = ip_of_sockaddr(&rx->from[i].sa),
				  .local = local_of(m) },
		};
	}
	return whole;
}

uint64_t
batch_rx_oversize(const struct batch_rx *rx)
{
	return rx->oversize;
}

/* ---- sending ---- */

int
batch_tx_new(struct batch_tx **out, batch_on_error *on_error, void *arg)
{
	struct batch_tx *tx = calloc(1, sizeof(*tx));

	if (!tx)
		return E_NOMEM;
	tx->on_error = on_error;
	tx->arg = arg;
	for (size_t i = 0; i < BATCH_SLOTS; i++)
		tx->msgs[i].msg_hdr = (struct msghdr){ .msg_name = &tx->to[i],
						       .msg_iov = &tx->iov[i],
						       .msg_iovlen = 1 };
	*out = tx;
	return 0;
}

void
batch_tx_free(struct batch_tx *tx)
{
	free(tx);
}

uint8_t *
batch_tx_slot(struct batch_tx *tx)
{
	return tx->queued < BATCH_SLOTS ? tx->bytes + tx->queued * BATCH_SLOT_BYTES
					: NULL;
}

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

static void
control_put(struct msghdr *m, int level, int type, const void *p, size_t n)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	m->msg_controllen = CMSG_SPACE(n);
}

/* Leave from this address. No interface: routing decides as for any packet. */
static void
local_write(struct msghdr *m, struct control *buf, const struct ip_addr *local)
{
	m->msg_control = buf;
	m->msg_controllen = CONTROL_BYTES;
	if (local->family == 4) {
		struct in_pktinfo i = { .ipi_spec_dst = ip_v4(local) };
		control_put(m, IPPROTO_IP, IP_PKTINFO, &i, sizeof(i));
	} else if (local->family == 6) {
		struct in6_pktinfo i = { .ipi6_addr = ip_v6(local) };
		control_put(m, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof(i));
	} else {
		m->msg_control = NULL;
		m->msg_controllen = 0;
	}
}

void
batch_tx_push(struct batch_tx *tx, const uint8_t *p, size_t n,
	      const struct batch_path *path, uint32_t tag)
{
	unsigned i = tx->queued;
	const uint8_t *slot = tx->bytes + i * BATCH_SLOT_BYTES;
	struct msghdr *m = &tx->msgs[i].msg_hdr;

	assert(i < BATCH_SLOTS);
	assert(p >= slot && n <= (size_t)(slot + BATCH_SLOT_BYTES - p));
	tx->iov[i] = (struct iovec){ .iov_base = (void *)p, .iov_len = n };
	m->msg_namelen = peer_write(&tx->to[i], &path->peer);
	local_write(m, &tx->control[i], &path->local);
	tx->tag[i] = tag;
	tx->queued++;
}

int
batch_tx_copy(struct batch_tx *tx, struct span datagram, const struct batch_path *path,
	      uint32_t tag)
{
	uint8_t *slot = batch_tx_slot(tx);

	if (!slot)
		return E_LIMIT;
	if (datagram.n > BATCH_SLOT_BYTES)
		return E_INVAL;
	if (datagram.n > 0)
		memcpy(slot, datagram.p, datagram.n);
	batch_tx_push(tx, slot, datagram.n, path, tag);
	return 0;
}

unsigned
batch_tx_queued(const struct batch_tx *tx)
{
	return tx->queued;
}

int
batch_tx_flush(struct batch_tx *tx, int fd)
{
	unsigned at = 0, end = tx->queued;
	int sent = 0;

	/* sendmmsg stops at the first message that fails; called again it starts
	 * with that one and says why. */
	while (at < end) {
		int n = sendmmsg(fd, tx->msgs + at, end - at, MSG_DONTWAIT);
		if (n > 0) {
			at += (unsigned)n;
			sent += n;
			continue;
		}
		int why = errno;
		if (why == EINTR)
			continue;
		if (why == EAGAIN || why == EWOULDBLOCK || why == ENOBUFS) {
			tx->dropped += end - at;
			break;
		}
		if (tx->on_error)
			tx->on_error(tx->arg, tx->tag[at], tx->iov[at].iov_len, -why);
		at++;
	}
	tx->queued = 0;
	return sent;
}

uint64_t
batch_tx_dropped(const struct batch_tx *tx)
{
	return tx->dropped;
}
