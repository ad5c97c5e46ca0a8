/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Batches over loopback sockets. */
#include "vpnd/worker/batch.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
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
static struct batch_tx *tx;

static struct {
	int calls;
	uint32_t tag;
	size_t n;
	int rc;
} failed;

static void
on_error(void *arg, uint32_t tag, size_t n, int rc)
{
	failed.calls++;
	failed.tag = tag;
	failed.n = n;
	failed.rc = rc;
}

/* A server on the wildcard address, a client talking to one of many local ones. */
static void
answers_leave_from_the_address_that_was_asked(const char *any, const char *client_at,
					      const char *asked)
{
	struct ip_addr server, client, from;
	int s = socket_at(any, &server), c = socket_at(client_at, &client);

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no %s here", client_at);
		return;
	}
	is_int(batch_prepare(s), 0, "%s: prepared", any);
	struct ip_addr to = addr(asked, server.port);
	struct sockaddr_storage ss;
	socklen_t len = ip_to_sockaddr(&to, &ss);
	for (int i = 0; i < 10; i++) {
		char text[2] = { 'a', (char)('0' + i) };
		sendto(c, text, 2, 0, (struct sockaddr *)&ss, len);
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
		batch_tx_copy(tx, span_of(list[i].p, list[i].n), &list[i].path, 0);
	}
	ok(good, "in order, with peer and local address");
	is_int(batch_rx_read(rx, s, &list), 0, "nothing more");
	is_int(batch_tx_queued(tx), 10, "answers queued");
	is_int(batch_tx_flush(tx, s), 10, "and sent");
	is_int(batch_tx_queued(tx), 0, "none left");
	for (int i = 0; i < 10; i++) {
		char text[8];
		len = sizeof(ss);
		ssize_t n = recvfrom(c, text, sizeof(text), 0, (struct sockaddr *)&ss,
				     &len);
		from = ip_of_sockaddr((struct sockaddr *)&ss);
		good = good && n == 2 && text[0] == 'b' && text[1] == '0' + i &&
		       ip_eq(&from, &to);
	}
	ok(good, "from %s", asked);
	close(s);
	close(c);
}

static void
slots_leave_headroom_to_the_caller(void)
{
	struct ip_addr a, b;
	int s = socket_at("127.0.0.1", &a), c = socket_at("127.0.0.1", &b);
	struct batch_path path = { .peer = b };
	char got[16];

	uint8_t *slot = batch_tx_slot(tx);
	ok(slot && slot == batch_tx_slot(tx), "the same slot until it is used");
	memcpy(slot + 100, "late start", 10);
	batch_tx_push(tx, slot + 100, 10, &path, 0);
	ok(batch_tx_slot(tx) == slot + BATCH_SLOT_BYTES, "then the next");
	is_int(batch_tx_flush(tx, s), 1, "sent");
	ok(recv(c, got, sizeof(got), 0) == 10 && !memcmp(got, "late start", 10),
	   "as built");
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
	while (batch_tx_copy(tx, SPAN("x"), &path, 0) == 0)
		queued++;
	is_int(queued, BATCH_SLOTS, "slots");
	ok(batch_tx_slot(tx) == NULL, "no more");
	is_int(batch_tx_copy(tx, SPAN("x"), &path, 0), E_LIMIT, "no more");
	is_int(batch_tx_flush(tx, s), BATCH_SLOTS, "all sent");
	struct batch_datagram *list;
	is_int(batch_rx_read(rx, c, &list), BATCH_SLOTS, "all received");
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

	batch_prepare(s);
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
	close(s);
	close(c);
}

/* Loopback takes 64 KiB, so tell the socket that its path takes 1280. */
static void
a_datagram_too_long_for_the_path_is_reported(void)
{
	struct ip_addr a, b;
	int s = socket_at("::1", &a), c = socket_at("::1", &b);
	struct batch_path path = { .peer = b };
	struct batch_datagram *list;
	int mtu = 1280;
	static const uint8_t big[BATCH_SLOT_BYTES];

	if (s < 0 || c < 0) {
		ok(true, "# SKIP no IPv6 here");
		return;
	}
	batch_prepare(s);
	setsockopt(s, IPPROTO_IPV6, IPV6_MTU, &mtu, sizeof(mtu));
	memset(&failed, 0, sizeof(failed));
	batch_tx_copy(tx, span_of(big, 1280 - 48), &path, 1);
	batch_tx_copy(tx, span_of(big, 1280 - 47), &path, 2);
	batch_tx_copy(tx, span_of(big, 100), &path, 3);
	is_int(batch_tx_flush(tx, s), 2, "two of three leave");
	is_int(failed.calls, 1, "one does not");
	is_int(failed.rc, -EMSGSIZE, "EMSGSIZE");
	ok(failed.tag == 2 && failed.n == 1280 - 47, "which, and its size");
	is_int(batch_rx_read(rx, c, &list), 2, "none came in fragments");
	close(s);
	close(c);
}

/* UDP over loopback never pushes back; a full unix socket does. */
static void
a_full_socket_drops_the_newest(void)
{
	int pair[2], small = 1;
	struct batch_path path = { 0 };
	uint64_t before = batch_tx_dropped(tx);
	uint8_t big[1400] = { 0 };

	is_int(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0, "sockets");
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(&failed, 0, sizeof(failed));
	for (uint8_t i = 0; i < BATCH_SLOTS; i++) {
		big[0] = i;
		batch_tx_copy(tx, span_of(big, sizeof(big)), &path, i);
	}
	int sent = batch_tx_flush(tx, pair[0]);
	ok(sent > 0 && sent < (int)BATCH_SLOTS, "%d fit", sent);
	is_int(batch_tx_dropped(tx) - before, (int)BATCH_SLOTS - sent,
	       "the rest is counted");
	is_int(failed.calls, 0, "and no error");
	is_int(batch_tx_queued(tx), 0, "the batch is empty");
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
	is_int(batch_tx_new(&tx, on_error, NULL), 0, "sender");
	answers_leave_from_the_address_that_was_asked("0.0.0.0", "127.0.0.1",
						      "127.0.0.77");
	answers_leave_from_the_address_that_was_asked("::", "::1", "::1");
	slots_leave_headroom_to_the_caller();
	a_full_batch_says_so();
	one_bad_message_does_not_stop_the_others();
	a_datagram_too_long_for_the_path_is_reported();
	a_full_socket_drops_the_newest();
	long_datagrams_are_left_out_and_counted();
	keys_tell_peers_apart();
	batch_rx_free(rx);
	batch_tx_free(tx);
	return done_testing();
}
