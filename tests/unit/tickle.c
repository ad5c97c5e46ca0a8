/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/tickle.h"

#include "common/cluster.h"
#include "common/err.h"
#include "tests/lib/tap.h"
#include "vpnd/parent/endpoints.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct ip_addr
host(const char *text, uint16_t port)
{
	struct ip_addr a;

	if (ip_parse(text, &a) < 0)
		abort();
	a.port = port;
	return a;
}

static struct endpoint
between(const char *client, uint16_t port, const char *local)
{
	return (struct endpoint){ host(client, port), host(local, 443) };
}

/* The checksums were computed by another program, over the pseudo-headers of RFC 9293
 * 3.1 and RFC 8200 8.1. */
static void
the_segment_is_a_bare_ack_with_the_right_checksum(void)
{
	static const uint8_t want4[TICKLE_SEGMENT] = { 0x01, 0xbb, 0xc3, 0x50, 0, 0,
						       0,    0,    0,    0,    0, 0,
						       0x50, 0x10, 0,    0 };
	struct endpoint e = between("203.0.113.11", 50000, "192.0.2.10");
	uint8_t got[TICKLE_SEGMENT];

	tickle_segment(&e, got);
	is_mem(got, want4, 16, "ports, numbers 0, flag ACK");
	is_int(got[16] << 8 | got[17], 0xecb2, "checksum over IPv4");
	is_int(got[18] << 8 | got[19], 0, "not urgent");
	e = between("2001:db8:3::11", 50000, "2001:db8:1::10");
	tickle_segment(&e, got);
	is_mem(got, want4, 16, "the same for IPv6");
	is_int(got[16] << 8 | got[17], 0x8f32, "checksum over IPv6");
}

/* A receiver adds up everything, the checksum too, and gets all ones. */
static void
a_receiver_finds_no_error_in_any(void)
{
	unsigned bad = 0;

	for (unsigned i = 1; i < 65536; i += 7) {
		struct endpoint e = between("203.0.113.11", (uint16_t)i, "192.0.2.10");
		uint8_t got[TICKLE_SEGMENT];
		uint32_t s = 6 + TICKLE_SEGMENT;

		e.client.b[3] = (uint8_t)i;
		tickle_segment(&e, got);
		for (int k = 0; k < 4; k += 2)
			s += (unsigned)(e.client.b[k] << 8 | e.client.b[k + 1]) +
			     (unsigned)(e.local.b[k] << 8 | e.local.b[k + 1]);
		for (int k = 0; k < TICKLE_SEGMENT; k += 2)
			s += (unsigned)(got[k] << 8 | got[k + 1]);
		while (s >> 16)
			s = (s & 0xffff) + (s >> 16);
		bad += s != 0xffff;
	}
	is_int(bad, 0, "9000 ports and hosts");
}

static void
a_value_is_read_as_it_was_written(void)
{
	const struct endpoint in[] = { between("203.0.113.11", 50000, "192.0.2.10"),
				       between("2001:db8::11", 1, "2001:db8:1::10") };

	for (int i = 0; i < 2; i++) {
		uint8_t v[ENDPOINT_VALUE];
		struct endpoint out;

		is_int(endpoint_write(&in[i], v), ENDPOINT_VALUE, "its length");
		is_int(endpoint_read(span_of(v, sizeof(v)), &out), 0, "it is read");
		ok(ip_eq(&in[i].client, &out.client) && ip_eq(&in[i].local, &out.local),
		   "the same addresses and ports");
	}
}

static void
values_that_name_no_connection_are_refused(void)
{
	static const char *const no[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1",
					  "224.0.0.1", "255.255.255.255" };
	static const char *const no6[] = { "::", "::1", "ff02::1", "fe80::1",
					   "::ffff:192.0.2.1" };
	uint8_t v[ENDPOINT_VALUE + 1] = { 0 };
	struct endpoint e = between("203.0.113.11", 50000, "192.0.2.10"), out;

	endpoint_write(&e, v);
	for (size_t n = 0; n <= sizeof(v); n++)
		if (n != ENDPOINT_VALUE && endpoint_read(span_of(v, n), &out) == 0)
			ok(false, "%zu bytes are taken", n);
	for (unsigned f = 0; f < 256; f++) {
		v[0] = (uint8_t)f;
		if (f != 4 && f != 6 &&
		    endpoint_read(span_of(v, ENDPOINT_VALUE), &out) == 0)
			ok(false, "family %u is taken", f);
	}
	for (int i = 0; i < 10; i++) {
		struct endpoint bad =
			i < 5 ? e : between("2001:db8::1", 1, "2001:db8::2");
		uint16_t port = bad.client.port;
		/* ip_parse may make IPv4 of a mapped one: write its bytes. */
		if (i < 5)
			bad.client = host(no[i], port);
		else
			inet_pton(AF_INET6, no6[i - 5], bad.client.b);
		endpoint_write(&bad, v);
		is_int(endpoint_read(span_of(v, ENDPOINT_VALUE), &out), E_INVAL, "%s",
		       i < 5 ? no[i] : no6[i - 5]);
	}
	endpoint_write(&e, v);
	v[16] = 1;
	is_int(endpoint_read(span_of(v, ENDPOINT_VALUE), &out), E_INVAL,
	       "an IPv4 address with something behind it");
	e.local.port = 0;
	endpoint_write(&e, v);
	is_int(endpoint_read(span_of(v, ENDPOINT_VALUE), &out), E_INVAL, "port 0");
}

/* ---- the set ---- */

static void
add(struct wr *w, unsigned id, uint16_t port, bool is_gone)
{
	struct endpoint e = between("203.0.113.11", port, "192.0.2.10");
	struct cluster_entry k = { .key_n = ENDPOINT_KEY, .is_gone = is_gone };

	memcpy(k.key, &id, sizeof(id));
	k.value_n = (uint8_t)endpoint_write(&e, k.value);
	cluster_entry_encode(w, &k);
}

static const struct endpoint *
row_of(const struct endpoints *s, unsigned id)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (memcmp(s->row[i].sid, &id, sizeof(id)) == 0)
			return &s->row[i].e;
	return NULL;
}

static void
a_set_follows_what_the_node_says(void)
{
	struct endpoints s = { 0 };
	uint8_t buf[4096], sid[ENDPOINT_KEY] = { 2 };
	struct wr w = wr_open(buf, sizeof(buf));

	for (unsigned i = 1; i <= 5; i++)
		add(&w, i, (uint16_t)(1000 + i), false);
	is_int(endpoints_apply(&s, wr_span(&w), false), 0, "all of it");
	is_int(s.n, 5, "five");
	ok(endpoints_find(&s, sid), "the second is there");

	w = wr_open(buf, sizeof(buf));
	add(&w, 2, 0x7fff, true);
	add(&w, 3, 2003, false);
	add(&w, 6, 1006, false);
	add(&w, 9, 1009, true);
	is_int(endpoints_apply(&s, wr_span(&w), true), 0, "a change");
	is_int(s.n, 5, "one less, one more");
	ok(!endpoints_find(&s, sid) && row_of(&s, 2) == NULL, "the second is gone");
	ok(row_of(&s, 3) && row_of(&s, 3)->client.port == 2003, "the third moved");
	for (unsigned i = 4; i <= 6; i++)
		ok(row_of(&s, i) && row_of(&s, i)->client.port == 1000 + i,
		   "%u is what it was", i);
	/* Every removal must find its row where the map says. */
	for (unsigned i = 0; i < 7; i++) {
		w = wr_open(buf, sizeof(buf));
		add(&w, i, 1, true);
		endpoints_apply(&s, wr_span(&w), true);
	}
	is_int(s.n, 0, "all are removed one by one");

	w = wr_open(buf, sizeof(buf));
	add(&w, 7, 1007, false);
	endpoints_apply(&s, wr_span(&w), false);
	is_int(s.n, 1, "a whole set replaces");
	endpoints_apply(&s, span_of(buf, 0), false);
	is_int(s.n, 0, "an empty one, too");
	endpoints_free(&s);
}

static void
a_broken_set_does_no_harm(void)
{
	struct endpoints s = { 0 };
	uint8_t buf[4096];
	struct wr w = wr_open(buf, sizeof(buf));
	struct cluster_entry odd = { .key_n = 15, .value_n = ENDPOINT_VALUE };

	cluster_entry_encode(&w, &odd); /* a key too short */
	odd.key_n = ENDPOINT_KEY;
	cluster_entry_encode(&w, &odd); /* family 0 */
	add(&w, 1, 1001, false);
	is_int(endpoints_apply(&s, wr_span(&w), false), 0, "odd entries are skipped");
	is_int(s.n, 1, "the good one counts");
	is_int(s.skipped, 2, "the others are counted");
	for (size_t i = 1; i < w.n; i++)
		(void)endpoints_apply(&s, span_of(buf, i), i & 1);
	ok(true, "cut anywhere");
	endpoints_free(&s);
	static uint8_t big[(ENDPOINTS_MAX + 10) * 64];
	w = wr_open(big, sizeof(big));
	for (unsigned i = 0; i < ENDPOINTS_MAX + 10; i++)
		add(&w, i, 1, false);
	is_int(endpoints_apply(&s, wr_span(&w), false), 0, "too many");
	ok(s.n == ENDPOINTS_MAX && s.skipped >= 10, "the rest is skipped");
	endpoints_free(&s);
}

/* In a network namespace of our own, to ourselves by a documentation address. */
static void
the_kernel_sends_it_only_from_an_address_of_its_own(void)
{
	struct endpoint e = between("192.0.2.77", 50000, "192.0.2.10");
	struct endpoint away = between("192.0.2.77", 50000, "192.0.2.99");
	struct endpoint e6 = between("2001:db8::77", 50000, "2001:db8::10");
	struct endpoint away6 = between("2001:db8::77", 50000, "2001:db8::99");
	struct tickler t;
	uint8_t got[128];

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
	    system("ip link set lo up; for a in 10 77; do ip addr add 192.0.2.$a dev "
		   "lo; "
		   "ip addr add 2001:db8::$a/128 dev lo nodad; done; "
		   /* the kernel settles an address in its own time, and then its
		    * route, without which what is sent to it arrives nowhere */
		   "while ip -6 addr show dev lo tentative | grep -q . || "
		   "[ $(ip -6 route show table local | grep -c 2001:db8:) -lt 2 ]; "
		   "do :; done") != 0) {
		ok(true, "sending # SKIP needs root");
		return;
	}
	int hear = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	int hear6 = socket(AF_INET6, SOCK_RAW, IPPROTO_TCP);
	struct timeval patience = { .tv_sec = 5 };
	setsockopt(hear, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(hear6, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	is_int(tickler_open(&t), 0, "raw sockets");
	is_int(tickler_send(&t, &e), 0, "IPv4");
	is_int(tickler_send(&t, &away), E_AGAIN, "an address that is not here");
	is_int(tickler_send(&t, &e6), 0, "IPv6");
	is_int(tickler_send(&t, &away6), E_AGAIN, "an address that is not here");
	ssize_t n = recv(hear, got, sizeof(got), 0);
	ok(n == 40 && got[12] == 192 && got[15] == 10 && got[33] == 0x10,
	   "it arrives (%zd bytes)", n);
	/* The RST that answers a bare ACK is the proof that the checksum is right. */
	n = recv(hear, got, sizeof(got), 0);
	ok(n == 40 && got[33] == 0x04, "and is answered by a plain RST");
	n = recv(hear6, got, sizeof(got), 0);
	ok(n == 20 && got[13] == 0x10, "IPv6 arrives (%zd bytes)", n);
	n = recv(hear6, got, sizeof(got), 0);
	ok(n == 20 && got[13] == 0x04, "and is answered by a plain RST");
	struct pollfd p = { .fd = t.fd4, .events = POLLIN };
	is_int(poll(&p, 1, 0), 0, "our own sockets hear nothing");
	tickler_close(&t);
	close(hear);
	close(hear6);
}

int
main(void)
{
	the_segment_is_a_bare_ack_with_the_right_checksum();
	a_receiver_finds_no_error_in_any();
	a_value_is_read_as_it_was_written();
	values_that_name_no_connection_are_refused();
	a_set_follows_what_the_node_says();
	a_broken_set_does_no_harm();
	the_kernel_sends_it_only_from_an_address_of_its_own();
	return done_testing();
}
