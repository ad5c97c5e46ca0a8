/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Batches over loopback sockets. The loopback device passes a joined message on as
 * it is, so a socket with UDP_GRO shows which runs were built. */
#include "vpnd/worker/batch.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ip_addr
addr(const char *text, uint16_t port)
{
	struct ip_addr a = { 0 };
	ip_parse(text, &a);
	a.port = port;
	return a;
}

/* A socket bound to this address; *at gets what it really is. */
static int
socket_at(const char *text, struct ip_addr *at)
{
	struct ip_addr want = addr(text, 0);
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(&want, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	n = sizeof(ss);
	getsockname(fd, (struct sockaddr *)&ss, &n);
	*at = ip_of_sockaddr((struct sockaddr *)&ss);
	return fd;
}

static struct batch_rx *rx;
static struct batch_tx *tx, *plain; /* with and without UDP_SEGMENT */

static struct {
	int calls;
	uint32_t tag;
	size_t n;
	int rc;
} failed;

static bool fragments;

static bool
on_error(void *arg, uint32_t tag, size_t n, int rc)
{
	failed.calls++;
	failed.tag = tag;
	failed.n = n;
	failed.rc = rc;
	return fragments;
}

static uint8_t text[BATCH_SLOT_BYTES];

/* A datagram of n bytes, the first of them `mark`. False: the batch is full. */
static bool
push(struct batch_tx *to, const struct batch_path *path, size_t n, uint8_t mark,
     uint8_t tos, uint32_t tag)
{
	uint8_t *slot = batch_tx_slot(to, path);

	if (slot == NULL)
		return false;
	memset(slot, mark, n);
	batch_tx_push(to, slot, n, tos, tag);
	return true;
}

/* What arrives as one message: its bytes, and *seg if it was joined, else 0. */
static ssize_t
message(int fd, size_t *seg)
{
	static uint8_t buf[65536];
	_Alignas(struct cmsghdr) uint8_t control[256];
	struct iovec v = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, 0);
	int size;

	*seg = 0;
	if (n < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*seg = (size_t)size;
		}
	return n;
}

/* Datagrams of seg bytes as one message, n bytes together. */
static ssize_t
send_joined(int fd, const struct ip_addr *to, size_t n, uint16_t seg)
{
	static uint8_t buf[65536];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(seg))] = { 0 };
	struct sockaddr_storage ss;
	struct iovec v = { .iov_base = buf, .iov_len = n };
	struct msghdr m = { .msg_name = &ss,
			    .msg_namelen = ip_to_sockaddr(to, &ss),
			    .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i / seg);
	*c = (struct cmsghdr){ .cmsg_level = SOL_UDP,
			       .cmsg_type = UDP_SEGMENT,
			       .cmsg_len = CMSG_LEN(sizeof(seg)) };
	memcpy(CMSG_DATA(c), &seg, sizeof(seg));
	return sendmsg(fd, &m, 0);
}

/* A server on the wildcard address, a client talking to one of many local ones. */
static void
answers_leave_from_the_address_that_was_asked(const char *any, const char *client_at,
					      const char *asked, unsigned offloads)
{
	struct ip_addr server, client, from;
	int s = socket_at(any, &server), c = socket_at(client_at, &client);

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no %s here", client_at);
		return;
	}
	struct batch_tx *out = offloads ? tx : plain;
	is_int(batch_prepare(s, offloads), offloads, "%s: prepared", any);
	struct ip_addr to = addr(asked, server.port);
	struct sockaddr_storage ss;
	socklen_t len = ip_to_sockaddr(&to, &ss);
	for (int i = 0; i < 10; i++) {
		char said[2] = { 'a', (char)('0' + i) };
		sendto(c, said, 2, 0, (struct sockaddr *)&ss, len);
	}

	struct batch_datagram *list;
	is_int(batch_rx_read(rx, s, &list), 10, "ten at once");
	bool good = true;
	for (int i = 0; i < 10; i++) {
		struct ip_addr asked_for = addr(asked, 0);
		good = good && list[i].n == 2 && list[i].p[1] == '0' + i &&
		       ip_eq(&list[i].path.peer, &client) &&
		       ip_eq(&list[i].path.local, &asked_for);
		list[i].p[0] = 'b';
		batch_tx_copy(out, span_of(list[i].p, list[i].n), &list[i].path, 0);
	}
	ok(good, "in order, with peer and local address");
	is_int(batch_rx_read(rx, s, &list), 0, "nothing more");
	is_int(batch_tx_queued(out), 10, "answers queued");
	is_int(batch_tx_flush(out, s), 10, "and sent");
	is_int(batch_tx_queued(out), 0, "none left");
	for (int i = 0; i < 10; i++) {
		char got[8];
		len = sizeof(ss);
		ssize_t n =
			recvfrom(c, got, sizeof(got), 0, (struct sockaddr *)&ss, &len);
		from = ip_of_sockaddr((struct sockaddr *)&ss);
		good = good && n == 2 && got[0] == 'b' && got[1] == '0' + i &&
		       ip_eq(&from, &to);
	}
	ok(good, "from %s", asked);
	close(s);
	close(c);
}

static void
slots_of_one_path_lie_behind_each_other(void)
{
	struct batch_path a = { .peer = addr("127.0.0.1", 9) };
	struct batch_path b = { .peer = addr("127.0.0.1", 10) };
	struct batch_path c = a;
	uint8_t *slot = batch_tx_slot(tx, &a);

	c.local = addr("127.0.0.2", 0);
	ok(slot && slot == batch_tx_slot(tx, &a), "the same slot until it is used");
	batch_tx_push(tx, slot, 100, 0, 0);
	ok(batch_tx_slot(tx, &b) != slot + 100, "another's is elsewhere");
	ok(batch_tx_slot(tx, &a) == slot + 100, "the next is right behind");
	ok(batch_tx_slot(tx, &c) != slot + 100, "from another address: elsewhere");
	batch_tx_flush(tx, -1);
}

/* What is pushed, and the messages it makes. */
static void
equal_neighbours_make_one_message(void)
{
	static const struct {
		const char *why;
		struct {
			unsigned times;
			size_t n;
			uint8_t tos;
			uint32_t tag;
		} push[4];
		struct {
			size_t n, seg;
		} want[4];
	} cases[] = {
		{ "one alone", { { 1, 100, 0, 0 } }, { { 100, 0 } } },
		{ "three equal", { { 3, 100, 0, 0 } }, { { 300, 100 } } },
		{ "a shorter one ends it",
		  { { 2, 100, 0, 0 }, { 1, 40, 0, 0 }, { 1, 100, 0, 0 } },
		  { { 240, 100 }, { 100, 0 } } },
		{ "two shorter ones are the next run",
		  { { 2, 100, 0, 0 }, { 3, 40, 0, 0 } },
		  { { 240, 100 }, { 80, 40 } } },
		{ "a longer one begins another",
		  { { 1, 100, 0, 0 }, { 2, 200, 0, 0 }, { 1, 1, 0, 0 } },
		  { { 100, 0 }, { 401, 200 } } },
		{ "nothing is a datagram too",
		  { { 1, 50, 0, 0 }, { 2, 0, 0, 0 }, { 1, 50, 0, 0 } },
		  { { 50, 0 }, { 0, 0 }, { 0, 0 }, { 50, 0 } } },
		{ "another TOS",
		  { { 2, 9, 0, 0 }, { 2, 9, 4, 0 } },
		  { { 18, 9 }, { 18, 9 } } },
		{ "another tag",
		  { { 2, 9, 0, 0 }, { 2, 9, 0, 1 } },
		  { { 18, 9 }, { 18, 9 } } },
		{ "64 segments", { { 65, 100, 0, 0 } }, { { 6400, 100 }, { 100, 0 } } },
		{ "65,000 bytes",
		  { { 48, 1400, 0, 0 } },
		  { { 64400, 1400 }, { 2800, 1400 } } },
		{ "65,000 bytes of large ones",
		  { { 32, 2048, 0, 0 } },
		  { { 31 * 2048, 2048 }, { 2048, 0 } } },
	};
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	struct batch_path path = { .peer = b };

	batch_prepare(c, BATCH_GRO);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned pushed = 0, same = 0, messages = 0;
		for (int k = 0; k < 4; k++)
			for (unsigned j = 0; j < cases[i].push[k].times; j++)
				pushed += push(tx, &path, cases[i].push[k].n, 'x',
					       cases[i].push[k].tos,
					       cases[i].push[k].tag);
		is_int(batch_tx_queued(tx), pushed, "%s: queued", cases[i].why);
		is_int(batch_tx_flush(tx, s), pushed, "%s: sent", cases[i].why);
		for (ssize_t n; messages < 5; messages++) {
			size_t seg;
			n = message(c, &seg);
			if (n < 0)
				break;
			same += messages < 4 &&
				(size_t)n == cases[i].want[messages].n &&
				seg == cases[i].want[messages].seg;
		}
		unsigned want = 4;
		if (cases[i].push[1].n || !cases[i].push[1].times)
			while (want > 0 && cases[i].want[want - 1].n == 0)
				want--;
		is_int(messages, want, "%s: messages", cases[i].why);
		is_int(same, want, "%s: their sizes", cases[i].why);
	}
	ok(batch_tx_has_gso(tx), "nothing was refused");
	close(s);
	close(c);
}

static void
clients_may_take_turns(void)
{
	enum { CLIENTS = 3, ROUNDS = 30 };
	struct ip_addr a, at[CLIENTS];
	int s = socket_at("::1", &a), c[CLIENTS];
	struct batch_path path[CLIENTS] = { 0 };
	unsigned good = 0;
	size_t seg;

	if (s < 0) {
		ok(true, "# SKIP no IPv6 here");
		return;
	}
	/* Ports that share a place in the table of lanes displace each other: others,
	 * then. */
	for (int tries = 0; tries < 10 && good < CLIENTS * ROUNDS; tries++) {
		if (tries > 0)
			(void)batch_tx_flush(tx, s);
		good = 0;
		for (int i = 0; i < CLIENTS; i++) {
			if (tries > 0)
				close(c[i]);
			c[i] = socket_at("::1", &at[i]);
			batch_prepare(c[i], i == 2 ? 0 : BATCH_GRO);
			path[i].peer = at[i];
		}
		for (int k = 0; k < ROUNDS; k++)
			for (int i = 0; i < CLIENTS; i++)
				good += push(tx, &path[i], 1000 + (size_t)i, (uint8_t)k,
					     0, 0);
	}
	is_int(good, CLIENTS * ROUNDS, "all fit");
	is_int(batch_tx_flush(tx, s), CLIENTS * ROUNDS, "all sent");
	for (int i = 0; i < 2; i++) {
		is_int(message(c[i], &seg), ROUNDS * (1000 + i),
		       "client %d: one message", i);
		is_int(seg, 1000 + i, "client %d: cut so", i);
	}
	struct batch_datagram *list;
	int n = 0;
	good = 0;
	do {
		int got = batch_rx_read(rx, c[2], &list);
		for (int k = 0; k < got; k++)
			good += list[k].n == 1002 && list[k].p[0] == n++;
	} while (batch_rx_more(rx));
	is_int(good, ROUNDS, "a client without UDP_GRO: each alone, in order");
	for (int i = 0; i < CLIENTS; i++)
		close(c[i]);
	close(s);
}

/* More addresses than lanes, so that they lose their places to each other. */
static void
order_is_kept_however_many_take_turns(struct batch_tx *to)
{
	enum { HOSTS = 3 * BATCH_LANES, ROUNDS = 20 };
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("0.0.0.0", &b);
	int big = 8 << 20;
	static uint8_t next[HOSTS];
	struct batch_datagram *list;
	unsigned pushed = 0, sent = 0, good = 0;

	setsockopt(c, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	batch_prepare(c, BATCH_GRO);
	memset(next, 0, sizeof(next));
	for (unsigned k = 0; k < ROUNDS; k++) {
		for (unsigned i = 0; i < HOSTS; i++) {
			struct batch_path path = { .peer = b };
			unsigned host = (i * 7 + k * k) % HOSTS;
			path.peer.b[0] = 127;
			path.peer.b[2] = 1;
			path.peer.b[3] = (uint8_t)(host + 1);
			for (unsigned twice = 0; twice < 2; twice++) {
				uint8_t mark = (uint8_t)(2 * k + twice);
				size_t n = 20 + (k + i) % 3;
				if (push(to, &path, n, mark, 0, 0))
					continue;
				sent += (unsigned)batch_tx_flush(to, s);
				push(to, &path, n, mark, 0, 0);
			}
			pushed += 2;
		}
		sent += (unsigned)batch_tx_flush(to, s);
		do {
			int got = batch_rx_read(rx, c, &list);
			for (int j = 0; j < got; j++) {
				unsigned host = list[j].path.local.b[3] - 1u;
				good += list[j].p[0] == next[host]++;
			}
		} while (batch_rx_more(rx));
	}
	is_int(sent, pushed, "all sent");
	is_int(good, pushed, "each host got its own in order");
	close(s);
	close(c);
}

static void
a_full_batch_says_so(void)
{
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	struct batch_path path = { .peer = b };
	static const uint8_t big[BATCH_SLOT_BYTES + 1];
	unsigned queued = 0;

	is_int(batch_tx_copy(tx, span_of(big, sizeof(big)), &path, 0), E_INVAL,
	       "too long");
	while (push(tx, &path, 1, 'x', 0, queued))
		queued++;
	is_int(queued, BATCH_MESSAGES, "messages");
	ok(batch_tx_slot(tx, &path) == NULL, "no more");
	is_int(batch_tx_copy(tx, SPAN("x"), &path, 0), E_LIMIT, "no more");
	is_int(batch_tx_flush(tx, s), BATCH_MESSAGES, "all sent");
	struct batch_datagram *list;
	batch_prepare(c, BATCH_GRO);
	queued = 0;
	do {
		queued += (unsigned)batch_rx_read(rx, c, &list);
	} while (batch_rx_more(rx));
	is_int(queued, BATCH_MESSAGES, "all received");

	for (queued = 0; push(tx, &path, 2048, 'x', 0, 0); queued++)
		;
	is_int(queued, BATCH_LANES * 31, "full-size datagrams of one path: all lanes");
	path.peer.port++;
	ok(batch_tx_slot(tx, &path) == NULL, "no room for another path either");
	batch_tx_flush(tx, -1);
	ok(batch_tx_slot(tx, &path) != NULL, "after the flush there is");
	close(s);
	close(c);
}

static void
one_bad_message_does_not_stop_the_others(void)
{
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	struct batch_path path = { .peer = b }, nowhere = { .peer = addr("::1", 9) };
	struct batch_path foreign = { .peer = b, .local = addr("192.0.2.99", 0) };
	struct batch_datagram *list;

	batch_prepare(s, BATCH_OFFLOADS);
	memset(&failed, 0, sizeof(failed));
	batch_tx_copy(tx, SPAN("1"), &path, 1);
	batch_tx_copy(tx, SPAN("22"), &nowhere, 2);
	batch_tx_copy(tx, SPAN("3"), &path, 3);
	is_int(batch_tx_flush(tx, s), 2, "two of three");
	is_int(failed.calls, 1, "one reported");
	ok(failed.tag == 2 && failed.n == 2 && failed.rc < 0,
	   "which, how long, why: %s", err_text(failed.rc));
	is_int(batch_rx_read(rx, c, &list), 2, "two arrived");

	batch_tx_copy(tx, SPAN("4"), &foreign, 4);
	batch_tx_copy(tx, SPAN("5"), &path, 5);
	is_int(batch_tx_flush(tx, s), 1, "no sending from an address we lack");
	is_int(failed.tag, 4, "reported");
	memset(&failed, 0, sizeof(failed));
	for (int i = 0; i < 5; i++)
		batch_tx_copy(tx, SPAN("6"), &foreign, 6);
	batch_tx_copy(tx, SPAN("5"), &path, 5);
	is_int(batch_tx_flush(tx, s), 1, "nor a run");
	ok(failed.calls == 5 && failed.tag == 6 && failed.n == 1, "each is reported");
	ok(batch_tx_has_gso(tx), "which says nothing about the device");
	close(s);
	close(c);
}

/* Loopback takes 64 KiB, so tell the socket that its path takes 1280. */
static void
datagrams_too_long_for_the_path_are_reported(struct batch_tx *to)
{
	struct ip_addr a, b;
	int s = socket_at("::1", &a), c = socket_at("::1", &b);
	struct batch_path path = { .peer = b };
	struct batch_datagram *list;
	int mtu = 1280;
	bool had_gso = batch_tx_has_gso(to);

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no IPv6 here");
		return;
	}
	batch_prepare(s, BATCH_OFFLOADS);
	setsockopt(s, IPPROTO_IPV6, IPV6_MTU, &mtu, sizeof(mtu));
	memset(&failed, 0, sizeof(failed));
	batch_tx_copy(to, span_of(text, 1280 - 48), &path, 1);
	batch_tx_copy(to, span_of(text, 1280 - 47), &path, 2);
	batch_tx_copy(to, span_of(text, 100), &path, 3);
	is_int(batch_tx_flush(to, s), 2, "two of three leave");
	is_int(failed.calls, 1, "one does not");
	is_int(failed.rc, -EMSGSIZE, "EMSGSIZE");
	ok(failed.tag == 2 && failed.n == 1280 - 47, "which, and its size");
	is_int(batch_rx_read(rx, c, &list), 2, "none came in fragments");

	memset(&failed, 0, sizeof(failed));
	for (int i = 0; i < 3; i++)
		push(to, &path, 1280 - 47, 'x', 0, 7);
	push(to, &path, 100, 'x', 0, 7);
	for (int i = 0; i < 3; i++)
		push(to, &path, 1280 - 48, 'x', 0, 8);
	is_int(batch_tx_flush(to, s), 4, "runs: four of seven leave");
	is_int(failed.calls, 3, "three do not");
	ok(failed.rc == -EMSGSIZE && failed.tag == 7 && failed.n == 1280 - 47,
	   "which, and their size");
	is_int(batch_rx_read(rx, c, &list), 4, "the others arrived");
	ok(list[0].n == 100 && list[1].n == 1280 - 48, "the shorter last one first");
	is_int(batch_tx_has_gso(to), had_gso, "a small path does not end UDP_SEGMENT");

	fragments = true;
	for (int i = 0; i < 3; i++)
		push(to, &path, 1280 - 47, 'x', 0, 7);
	is_int(batch_tx_flush(to, s), 3, "in fragments, if that is wanted");
	is_int(batch_rx_read(rx, c, &list), 3, "they arrive whole");
	fragments = false;
	push(to, &path, 1280 - 47, 'x', 0, 7);
	is_int(batch_tx_flush(to, s), 0, "the next one not");
	close(s);
	close(c);
}

/* The same on IPv4, where only a device can be made small: in a network of our own,
 * by a child whose exit code counts what was wrong. */
static int
in_a_small_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct ip_addr a, b;
	struct batch_datagram *list;
	struct batch_path path = { 0 };
	int wrong = 0, s = socket_at("0.0.0.0", &a);

	if (s < 0 || ioctl(s, SIOCSIFFLAGS, &lo) < 0)
		return 100;
	lo.ifr_mtu = 1300;
	if (ioctl(s, SIOCSIFMTU, &lo) < 0)
		return 100;
	int c = socket_at("127.0.0.1", &b);
	path.peer = b;
	batch_prepare(s, BATCH_OFFLOADS);
	memset(&failed, 0, sizeof(failed));
	for (int i = 0; i < 3; i++)
		push(tx, &path, 1300 - 27, 'x', 0, 7);
	for (int i = 0; i < 3; i++)
		push(tx, &path, 1300 - 28, 'x', 0, 8);
	/* Joined with the first of these: it leaves alone when they are refused. */
	wrong += batch_tx_flush(tx, s) != 3;
	wrong += failed.calls != 3 || failed.tag != 7 || failed.rc != -EMSGSIZE;
	wrong += batch_rx_read(rx, c, &list) != 3 || list[2].n != 1300 - 28;
	wrong += !batch_tx_has_gso(tx);
	fragments = true;
	for (int i = 0; i < 3; i++)
		push(tx, &path, 1300 - 27, 'x', 0, 7);
	wrong += batch_tx_flush(tx, s) != 3;
	wrong += batch_rx_read(rx, c, &list) != 3 || list[2].n != 1300 - 27;
	fragments = false;
	push(tx, &path, 1300 - 27, 'x', 0, 7);
	wrong += batch_tx_flush(tx, s) != 0;
	return wrong;
}

static void
a_small_device_is_no_reason_to_stop(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) < 0 ? 100 : in_a_small_network());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 100)
		ok(true, "# SKIP no network of our own");
	else
		is_int(status, 0, "what is too long is reported, the rest leaves");
}

/* A socket without checksums is refused as a device without the offload is. */
static void
a_device_without_the_offload_costs_nothing_but_speed(const char *at)
{
	struct ip_addr a, b;
	int s = socket_at(at, &a), c = socket_at(at, &b), one = 1;
	struct batch_path path = { .peer = b };
	struct batch_datagram *list;
	struct batch_tx *mine;
	bool good = true;

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no %s here", at);
		return;
	}
	int rc = batch_prepare(s, BATCH_OFFLOADS);
	batch_prepare(c, 0);
	if (b.family == 4) {
		setsockopt(s, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one));
	} else {
		setsockopt(s, SOL_UDP, UDP_NO_CHECK6_TX, &one, sizeof(one));
		setsockopt(c, SOL_UDP, UDP_NO_CHECK6_RX, &one, sizeof(one));
	}
	batch_tx_new(&mine, (unsigned)rc, on_error, NULL);
	ok(batch_tx_has_gso(mine), "%s: it has UDP_SEGMENT", at);
	memset(&failed, 0, sizeof(failed));
	for (int round = 0; round < 2; round++) {
		for (uint8_t i = 0; i < 12; i++)
			push(mine, &path, i < 5 ? 700 : 600, i, 0, i >= 8);
		is_int(batch_tx_flush(mine, s), 12, "all leave");
		ok(!batch_tx_has_gso(mine), "UDP_SEGMENT is off");
		is_int(batch_rx_read(rx, c, &list), 12, "all arrive");
		for (uint8_t i = 0; i < 12; i++)
			good = good && list[i].p[0] == i &&
			       list[i].n == (i < 5 ? 700 : 600);
	}
	ok(good, "in order");
	is_int(failed.calls, 0, "no error");
	is_int(batch_tx_dropped(mine), 0, "no drop");
	batch_tx_free(mine);
	close(s);
	close(c);
}

/* UDP over loopback never pushes back; a full unix socket does. */
static void
a_full_socket_drops_the_newest(void)
{
	int pair[2], small = 1;
	struct batch_path path = { 0 };
	uint64_t before = batch_tx_dropped(plain);
	uint8_t big[1400] = { 0 };
	enum { N = 150 }; /* more than one sendmmsg of them */

	is_int(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0, "sockets");
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(&failed, 0, sizeof(failed));
	for (uint8_t i = 0; i < N; i++) {
		big[0] = i;
		batch_tx_copy(plain, span_of(big, sizeof(big)), &path, i / 3);
	}
	int sent = batch_tx_flush(plain, pair[0]);
	ok(sent > 0 && sent < N, "%d fit", sent);
	is_int(batch_tx_dropped(plain) - before, N - sent, "the rest is counted");
	is_int(failed.calls, 0, "and no error");
	is_int(batch_tx_queued(plain), 0, "the batch is empty");
	ok(recv(pair[1], big, sizeof(big), 0) > 0 && big[0] == 0,
	   "the oldest got through");
	close(pair[0]);
	close(pair[1]);
}

static void
long_datagrams_are_left_out_and_counted(void)
{
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	static const uint8_t big[BATCH_SLOT_BYTES + 1];
	struct sockaddr_storage ss;
	socklen_t len = ip_to_sockaddr(&a, &ss);
	struct batch_datagram *list;

	sendto(c, "1", 1, 0, (struct sockaddr *)&ss, len);
	sendto(c, big, sizeof(big), 0, (struct sockaddr *)&ss, len);
	sendto(c, big, sizeof(big) - 1, 0, (struct sockaddr *)&ss, len);
	sendto(c, "", 0, 0, (struct sockaddr *)&ss, len);
	is_int(batch_rx_read(rx, s, &list), 3, "three of four");
	ok(list[0].n == 1 && list[1].n == BATCH_SLOT_BYTES && list[2].n == 0, "which");
	ok(list[0].path.local.family == 0, "not prepared: no local address");
	is_int(batch_rx_oversize(rx), 1, "one counted");
	is_int(batch_rx_read(rx, -1, &list), -EBADF, "a bad socket is an error");
	ok(!batch_rx_more(rx), "and there is no more");

	batch_prepare(s, BATCH_GRO);
	is_int(send_joined(c, &a, 7000, 3000), 7000, "joined ones");
	is_int(batch_rx_read(rx, s, &list), 1, "one of three is short enough");
	ok(list[0].n == 1000 && list[0].p[0] == 2, "the last");
	is_int(batch_rx_oversize(rx), 3, "two more counted");
	close(s);
	close(c);
}

/* Joined by the kernel, read back as they were sent, with and without UDP_GRO. */
static void
joined_datagrams_are_cut_again(const char *at, unsigned offloads)
{
	static const struct {
		size_t n;
		uint16_t seg;
		int want;
	} cases[] = {
		{ 10, 100, 1 },      { 300, 100, 3 }, { 301, 100, 4 },
		{ 64, 1, 64 },       { 399, 100, 4 }, { 6400, 100, 64 },
		{ 64000, 1400, 46 }, { 3, 2, 2 },     { 4095, 2048, 2 },
	};
	struct ip_addr a, b;
	int s = socket_at(at, &a), c = socket_at(at, &b);
	struct batch_datagram *list;

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no %s here", at);
		return;
	}
	is_int(batch_prepare(s, offloads), offloads, "%s: prepared", at);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = cases[i].n, seg = cases[i].seg;
		int count = 0, good = 0;
		is_int(send_joined(c, &a, n, cases[i].seg), n, "%zu by %zu", n, seg);
		do {
			int got = batch_rx_read(rx, s, &list);
			/* Writing to one, as opening does, leaves the others alone. */
			for (int k = 0; k < got; k++, count++) {
				size_t left = n - (size_t)count * seg;
				bool is_right =
					list[k].n == (left < seg ? left : seg) &&
					ip_eq(&list[k].path.peer, &b) &&
					ip_same_host(&list[k].path.local, &a);
				for (size_t j = 0; j < list[k].n; j++)
					is_right = is_right &&
						   list[k].p[j] == (uint8_t)count;
				memset(list[k].p, 0xff, list[k].n);
				good += is_right;
			}
		} while (batch_rx_more(rx));
		is_int(count, cases[i].want, "datagrams");
		is_int(good, cases[i].want, "as sent");
	}
	close(s);
	close(c);
}

static void
a_full_read_says_so(void)
{
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	struct batch_datagram *list;
	int calls = 0, n = 0, segments = 128, most;

	batch_prepare(s, BATCH_GRO);
	if (send_joined(c, &a, (size_t)segments, 1) < 0)
		segments = 64;
	else
		n = batch_rx_read(rx, s, &list);
	is_int(n, segments == 128 ? 128 : 0, "as many as this kernel joins");
	most = 18 * segments;
	for (int i = 0; i < 18; i++)
		send_joined(c, &a, (size_t)segments, 1);
	n = 0;
	do {
		n += batch_rx_read(rx, s, &list);
		calls++;
	} while (batch_rx_more(rx));
	is_int(n, most, "all are read");
	is_int(calls, 2, "in two calls");
	close(s);
	close(c);
}

static void
the_outer_tos_goes_both_ways(const char *at, struct batch_tx *to)
{
	static const uint8_t tos[] = { 0, 0xb8 | 1, 3, 0, 2 };
	struct ip_addr a, b;
	int s = socket_at(at, &a), c = socket_at(at, &b);
	struct batch_path path = { .peer = b, .local = a };
	struct batch_datagram *list;
	int good = 0;

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no %s here", at);
		return;
	}
	path.local.port = 0;
	batch_prepare(s, BATCH_OFFLOADS);
	batch_prepare(c, BATCH_OFFLOADS);
	for (int i = 0; i < 15; i++)
		push(to, &path, 500, (uint8_t)i, tos[i / 3], 0);
	is_int(batch_tx_flush(to, s), 15, "%s: sent", at);
	is_int(batch_rx_read(rx, c, &list), 15, "received");
	for (int i = 0; i < 15; i++)
		good += list[i].tos == tos[i / 3] && list[i].p[0] == i &&
			ip_same_host(&list[i].path.peer, &a);
	is_int(good, 15, "each with its own");
	close(s);
	close(c);
}

static void
keys_tell_peers_apart(void)
{
	static const char *const hosts[] = { "192.0.2.1", "192.0.2.2", "2001:db8::1",
					     "c000:201::" };
	uint8_t keys[8][BATCH_KEY];
	int same = 0;

	for (int i = 0; i < 8; i++) {
		struct ip_addr a = addr(hosts[i / 2], i % 2 ? 443 : 444);
		batch_key(&a, keys[i]);
		for (int j = 0; j < i; j++)
			same += !memcmp(keys[i], keys[j], BATCH_KEY);
	}
	is_int(same, 0, "all different");
}

int
main(void)
{
	is_int(batch_rx_new(&rx), 0, "receiver");
	is_int(batch_tx_new(&tx, BATCH_OFFLOADS, on_error, NULL), 0, "sender");
	is_int(batch_tx_new(&plain, 0, on_error, NULL), 0, "sender without offload");
	ok(batch_tx_has_gso(tx) && !batch_tx_has_gso(plain), "which is which");
	for (unsigned o = 0; o <= BATCH_OFFLOADS; o += BATCH_OFFLOADS) {
		answers_leave_from_the_address_that_was_asked("0.0.0.0", "127.0.0.1",
							      "127.0.0.77", o);
		answers_leave_from_the_address_that_was_asked("::", "::1", "::1", o);
		joined_datagrams_are_cut_again("127.0.0.1", o);
		joined_datagrams_are_cut_again("::1", o);
	}
	slots_of_one_path_lie_behind_each_other();
	equal_neighbours_make_one_message();
	clients_may_take_turns();
	order_is_kept_however_many_take_turns(tx);
	order_is_kept_however_many_take_turns(plain);
	a_full_batch_says_so();
	one_bad_message_does_not_stop_the_others();
	datagrams_too_long_for_the_path_are_reported(tx);
	datagrams_too_long_for_the_path_are_reported(plain);
	a_small_device_is_no_reason_to_stop();
	a_device_without_the_offload_costs_nothing_but_speed("127.0.0.1");
	a_device_without_the_offload_costs_nothing_but_speed("::1");
	a_full_socket_drops_the_newest();
	long_datagrams_are_left_out_and_counted();
	a_full_read_says_so();
	the_outer_tos_goes_both_ways("127.0.0.1", tx);
	the_outer_tos_goes_both_ways("127.0.0.1", plain);
	the_outer_tos_goes_both_ways("::1", tx);
	keys_tell_peers_apart();
	batch_rx_free(rx);
	batch_tx_free(tx);
	batch_tx_free(plain);
	return done_testing();
}
