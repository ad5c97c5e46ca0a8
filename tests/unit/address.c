/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Which address to publish: what cannot be true is refused, two must agree, and a
 * dead uplink's name follows. The STUN servers are stand-ins in the same loop; some of
 * them lie. */
#include "common/err.h"
#include "ddns/address.h"
#include "ddns/stun.h"
#include "tests/lib/tap.h"

static struct ip_addr
ip(const char *text)
{
	struct ip_addr a = { 0 };
	(void)ip_parse(text, &a);
	return a;
}

static void
reachability(void)
{
	static const struct {
		const char *addr, *why; /* NULL: public */
	} cases[] = {
		{ "0.0.0.0", "no address" },
		{ "9.255.255.255", NULL },
		{ "10.0.0.0", "private" },
		{ "10.255.255.255", "private" },
		{ "11.0.0.0", NULL },
		{ "100.63.255.255", NULL },
		{ "100.64.0.0", "shared by customers of a provider (CGNAT)" },
		{ "100.127.255.255", "shared by customers of a provider (CGNAT)" },
		{ "100.128.0.0", NULL },
		{ "127.0.0.1", "loopback" },
		{ "169.254.0.1", "link-local" },
		{ "172.15.255.255", NULL },
		{ "172.16.0.0", "private" },
		{ "172.31.255.255", "private" },
		{ "172.32.0.0", NULL },
		{ "192.0.0.8", "reserved for protocols" },
		{ "192.0.0.9", NULL },
		{ "192.0.2.1", NULL },
		{ "192.88.99.1", "reserved for 6to4" },
		{ "192.167.255.255", NULL },
		{ "192.168.0.0", "private" },
		{ "192.169.0.0", NULL },
		{ "198.17.255.255", NULL },
		{ "198.18.0.0", "reserved for benchmarks" },
		{ "198.19.255.255", "reserved for benchmarks" },
		{ "198.20.0.0", NULL },
		{ "198.51.100.1", NULL },
		{ "203.0.113.1", NULL },
		{ "223.255.255.255", NULL },
		{ "224.0.0.1", "multicast" },
		{ "240.0.0.1", "reserved" },
		{ "255.255.255.255", "reserved" },
		{ "::", "no address" },
		{ "::1", "loopback" },
		{ "::ffff:203.0.113.1", "an IPv4 address in disguise" },
		{ "64:ff9b::1", "not of the global range" },
		{ "fe80::1", "link-local" },
		{ "fc00::1", "private (unique local)" },
		{ "fd12::1", "private (unique local)" },
		{ "ff02::1", "multicast" },
		{ "2000::1", NULL },
		{ "2001::1", "reserved for protocols" },
		{ "2001:1ff:ffff::", "reserved for protocols" },
		{ "2001:200::", NULL },
		{ "2001:db8::1", NULL },
		{ "2002:cb00:7101::", "reserved for 6to4" },
		{ "2a00::1", NULL },
		{ "3fff::1", NULL },
		{ "4000::1", "not of the global range" },
	};
	const char *why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_addr a = ip(cases[i].addr);
		bool is = address_is_public(&a, &why);
		ok(is == (cases[i].why == NULL) &&
			   (is || (why != NULL && strcmp(why, cases[i].why) == 0)),
		   "%s: %s", cases[i].addr, cases[i].why ? cases[i].why : "public");
	}
	struct ip_addr none = { 0 };
	ok(!address_is_public(&none, NULL), "nothing");
}

static void
pages(void)
{
	static const struct {
		const char *body, *addr;
	} cases[] = {
		{ "203.0.113.7", "203.0.113.7" },
		{ " \t203.0.113.7\r\n", "203.0.113.7" },
		{ "2001:db8::7\n", "2001:db8::7" },
		{ "", NULL },
		{ "\n", NULL },
		{ "<html>203.0.113.7</html>", NULL },
		{ "203.0.113.7 203.0.113.8", NULL },
		{ "203.0.113.256", NULL },
		{ "203.0.113", NULL },
	};
	struct ip_addr a, want;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = address_parse_page(span_str(cases[i].body), &a);
		if (cases[i].addr)
			want = ip(cases[i].addr);
		ok(cases[i].addr ? rc == 0 && ip_eq(&a, &want) : rc == E_INVAL,
		   "page \"%.20s\"", cases[i].body);
	}
	is_int(address_parse_page(span_of("1.2.3.4\0005", 9), &a), E_INVAL, "a NUL");
}

static void
names_follow(void)
{
	struct follow f = { 0 };
	bool alive[2] = { true, true };
	uint64_t t = 1000;

	is_int(follow_step(&f, 0, alive, 2, t), 0, "alive: its own");
	alive[0] = false;
	is_int(follow_step(&f, 0, alive, 2, t), 0, "R163 dead for a moment: its own");
	is_int(follow_step(&f, 0, alive, 2, t + FOLLOW_DEAD_MS - 1), 0, "still");
	alive[0] = true;
	(void)follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS);
	alive[0] = false;
	is_int(follow_step(&f, 0, alive, 2, ++t), 0,
	       "alive in between: from the start");
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS), 1,
	       "R163 dead: the other's");
	alive[0] = true;
	is_int(follow_step(&f, 0, alive, 2, ++t), 1, "back for a moment: not yet");
	alive[0] = false;
	(void)follow_step(&f, 0, alive, 2, t += FOLLOW_BACK_MS);
	alive[0] = true;
	is_int(follow_step(&f, 0, alive, 2, ++t), 1, "flapping: not at all");
	alive[0] = alive[1] = false;
	is_int(follow_step(&f, 0, alive, 2, ++t), 1, "none lives: nothing changes");
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_BACK_MS), 1, "nor later");
	alive[0] = alive[1] = true;
	(void)follow_step(&f, 0, alive, 2, ++t);
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_BACK_MS), 0,
	       "back for long: its own");

	alive[0] = false;
	(void)follow_step(&f, 0, alive, 2, ++t);
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS), 1, "away again");
	alive[0] = true;
	(void)follow_step(&f, 0, alive, 2, ++t);
	alive[1] = false;
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS), 0,
	       "the other is dead now: home without that wait");
	f = (struct follow){ 0 };
	alive[0] = alive[1] = false;
	(void)follow_step(&f, 0, alive, 2, t);
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS), 0,
	       "nobody to follow: its own");
	alive[1] = true;
	(void)follow_step(&f, 0, alive, 2, t);
	is_int(follow_step(&f, 0, alive, 2, t += FOLLOW_DEAD_MS), 1,
	       "until there is one");
	f = (struct follow){ 0 };
	alive[0] = false;
	(void)follow_step(&f, 0, alive, 1, t);
	is_int(follow_step(&f, 0, alive, 1, t += FOLLOW_DEAD_MS), 0, "one uplink");
}

/* ---- the wire */

static const uint8_t id[STUN_ID] = { 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
				     0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae };

/* RFC 5769 2.2 and 2.3: the sample responses. */
static const uint8_t sample4[] = {
	0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01,
	0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b,
	0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
	0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
	0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3,
	0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7,
	0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
};
static const uint8_t sample6[] = {
	0x01, 0x01, 0x00, 0x18, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7,
	0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20,
	0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5,
	0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
};

static void
the_wire(void)
{
	uint8_t req[STUN_REQUEST], m[sizeof(sample4)];
	struct ip_addr a = { 0 }, want4 = ip("192.0.2.1");
	struct ip_addr want6 = ip("2001:db8:1234:5678:11:2233:4455:6677");

	stun_request(req, id);
	ok(memcmp(req, "\0\1\0\0\x21\x12\xa4\x42", 8) == 0 &&
		   memcmp(req + 8, id, sizeof(id)) == 0,
	   "the request");
	is_int(stun_parse(span_of(sample4, sizeof(sample4)), id, &a), 0,
	       "RFC 5769 2.2");
	ok(ip_eq(&a, &want4), "192.0.2.1");
	is_int(stun_parse(span_of(sample6, sizeof(sample6)), id, &a), 0,
	       "RFC 5769 2.3");
	ok(ip_eq(&a, &want6), "IPv6");

	static const struct {
		const char *what;
		size_t at;
		uint8_t byte;
		int want;
	} cases[] = {
		{ "another id", 19, 0, E_AGAIN },
		{ "another cookie", 4, 0, E_AGAIN },
		{ "our own request, echoed", 0, 0, E_AGAIN },
		{ "an error response", 1, 0x11, E_PROTO },
		{ "too short a length", 3, 0x38, E_PROTO },
		{ "too long a length", 3, 0x40, E_PROTO },
		{ "an attribute past the end", 23, 0xff, E_PROTO },
		{ "no address: an unknown kind", 36, 0x80, E_PROTO },
		{ "an attribute that must be understood", 20, 0x40, E_PROTO },
		{ "an address of family 3", 41, 3, E_PROTO },
		{ "an IPv6 address of 4 bytes", 41, 2, E_PROTO },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(m, sample4, sizeof(m));
		m[cases[i].at] = cases[i].byte;
		is_int(stun_parse(span_of(m, sizeof(m)), id, &a), cases[i].want, "%s",
		       cases[i].what);
	}
	for (size_t n = 0; n < sizeof(sample4); n++)
		if (stun_parse(span_of(sample4, n), id, &a) == 0)
			ok(false, "cut after %zu bytes", n);
	ok(true, "cut anywhere: refused");
}

/* ---- a search, with stand-ins for the servers */

struct server { /* one that says `says`, true or not */
	uv_udp_t udp;
	struct ip_addr at, says;
	bool wrong_id;
	unsigned asked, deaf; /* requests not to be answered */
	uint8_t buf[600];
};

static void
server_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
	struct server *s = h->data;
	*b = uv_buf_init((char *)s->buf, sizeof(s->buf));
}

static void
server_answer(uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from,
	      unsigned flags)
{
	struct server *s = u->data;
	uint8_t m[64] = { 1, 1 };
	size_t len = s->says.family == 4 ? 4 : 16;

	if (n < STUN_REQUEST || from == NULL)
		return;
	if (s->asked++ < s->deaf)
		return;
	m[3] = (uint8_t)(8 + len);
	memcpy(m + 4, b->base + 4, 16);
	m[21] = 0x20;
	m[23] = (uint8_t)(4 + len);
	m[25] = s->says.family == 4 ? 1 : 2;
	for (size_t i = 0; i < len; i++)
		m[28 + i] = s->says.b[i] ^ m[4 + i];
	if (s->wrong_id)
		m[10] ^= 1;
	uv_buf_t out = uv_buf_init((char *)m, (unsigned)(28 + len));
	uv_udp_try_send(u, &out, 1, from);
}

static void
server_up(struct server *s, uv_loop_t *loop, const char *at, const char *says)
{
	struct sockaddr_storage ss;
	int n = sizeof(ss);
	struct ip_addr any = ip(at);

	*s = (struct server){ .says = ip(says) };
	uv_udp_init(loop, &s->udp);
	s->udp.data = s;
	ip_to_sockaddr(&any, &ss);
	uv_udp_bind(&s->udp, (struct sockaddr *)&ss, 0);
	uv_udp_getsockname(&s->udp, (struct sockaddr *)&ss, &n);
	s->at = ip_of_sockaddr((struct sockaddr *)&ss);
	uv_udp_recv_start(&s->udp, server_alloc, server_answer);
}

struct search {
	struct server a, b;
	struct address_found found;
	unsigned calls;
	uint64_t ms;
};

static void
on_found(void *arg, const struct address_found *f)
{
	struct search *s = arg;

	s->found = *f;
	s->calls++;
	uv_close((uv_handle_t *)&s->a.udp, NULL);
	uv_close((uv_handle_t *)&s->b.udp, NULL);
}

/* Both servers, as set by `prepare`, and an interface that has `own`. */
static const struct address_found *
search(struct search *s, uint8_t family, const char *fixed, const char *own,
       const char *says_a, const char *says_b, void (*prepare)(struct search *))
{
	struct address_ask ask = { .family = family };
	struct address_job *job;
	const char *at = own != NULL && strchr(own, ':') ? "::1" : "127.0.0.1";
	char a[IP_TEXT], b[IP_TEXT];
	uv_loop_t loop;

	*s = (struct search){ 0 };
	uv_loop_init(&loop);
	server_up(&s->a, &loop, at, says_a ? says_a : "192.0.2.9");
	server_up(&s->b, &loop, at, says_b ? says_b : "192.0.2.9");
	snprintf(ask.ifname, sizeof(ask.ifname), "lo");
	if (fixed)
		ask.fixed = ip(fixed);
	if (own) {
		ask.own[0] = ip(own);
		ask.n_own = 1;
	}
	ask.stun[0] = says_a ? ip_text(&s->a.at, a) : "";
	ask.stun[1] = says_b ? ip_text(&s->b.at, b) : NULL;
	if (prepare)
		prepare(s);
	uint64_t t = uv_hrtime();
	if (address_find(&job, &loop, NULL, &ask, on_found, s) < 0)
		return &s->found;
	ok(s->calls == 0, "the answer comes later");
	uv_run(&loop, UV_RUN_DEFAULT);
	s->ms = (uv_hrtime() - t) / 1000000;
	is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
	is_int(s->calls, 1, "and once");
	return &s->found;
}

static bool
is_found(const struct address_found *f, const char *addr, enum address_source source)
{
	struct ip_addr want = ip(addr);
	char text[IP_TEXT];

	if (f->addr.family != 0 && ip_eq(&f->addr, &want) && f->source == source)
		return true;
	diag("got %s by %s, %s", ip_text(&f->addr, text),
	     address_source_text(f->source), f->why);
	return false;
}

static bool
is_refused(const struct address_found *f, const char *part)
{
	if (f->addr.family == 0 && strstr(f->why, part))
		return true;
	diag("why: %s", f->why);
	return false;
}

static void
b_has_another_id(struct search *s)
{
	s->b.wrong_id = true;
}

static void
both_lose_two(struct search *s)
{
	s->a.deaf = s->b.deaf = 2;
}

static void
the_order(void)
{
	struct search s;

	ok(is_found(search(&s, 4, "10.1.1.1", "192.0.2.1", NULL, NULL, NULL),
		    "10.1.1.1", ADDRESS_FIXED),
	   "what the operator sets, even a private one");
	ok(is_found(
		   search(&s, 4, NULL, "192.0.2.1", "203.0.113.1", "203.0.113.1", NULL),
		   "192.0.2.1", ADDRESS_INTERFACE),
	   "a public address of its own");
	is_int(s.a.asked, 0, "nobody is asked then");
	ok(is_found(
		   search(&s, 4, NULL, "127.0.0.1", "203.0.113.1", "203.0.113.1", NULL),
		   "203.0.113.1", ADDRESS_STUN),
	   "what two servers agree on");
	is_int(s.a.asked + s.b.asked, 2, "by one request each");
	ok(is_found(search(&s, 4, NULL, "127.0.0.1", "203.0.113.1", NULL, NULL),
		    "203.0.113.1", ADDRESS_STUN),
	   "one alone, if there is no other");
	ok(is_found(search(&s, 4, NULL, "127.0.0.1", "203.0.113.1", "203.0.113.1",
			   both_lose_two),
		    "203.0.113.1", ADDRESS_STUN),
	   "two datagrams are lost");
	/* libuv starts a timer at the time its loop last looked at. */
	ok(s.ms >= 1450 && s.ms < 3400, "found by the third, after %d ms", (int)s.ms);
	ok(is_found(search(&s, 6, NULL, "::1", "2001:db8::9", "2001:db8::9", NULL),
		    "2001:db8::9", ADDRESS_STUN),
	   "the same in IPv6");
	ok(is_refused(search(&s, 6, NULL, "::1", "fd00::9", "fd00::9", NULL),
		      "says fd00::9, which is private (unique local)"),
	   "where a NAT66 has nothing to say");
	ok(is_refused(search(&s, 4, NULL, "127.0.0.1", NULL, NULL, NULL),
		      "lo has 127.0.0.1, which is loopback"),
	   "nobody to ask");
	ok(is_refused(search(&s, 6, NULL, "127.0.0.1", "2001:db8::1", NULL, NULL),
		      "lo has no IPv6 address"),
	   "not the family");
}

static void
liars(void)
{
	struct search s;

	ok(is_refused(
		   search(&s, 4, NULL, "127.0.0.1", "203.0.113.1", "203.0.113.2", NULL),
		   "203.0.113.2: they must agree"),
	   "two that disagree");
	ok(is_refused(search(&s, 4, NULL, "127.0.0.1", "10.0.0.1", "10.0.0.1", NULL),
		      "says 10.0.0.1, which is private"),
	   "a private address, whoever agrees");
	ok(is_refused(
		   search(&s, 4, NULL, "127.0.0.1", "203.0.113.1", "127.0.0.1", NULL),
		   "says 127.0.0.1, which is loopback"),
	   "one of two lies");
	ok(is_refused(
		   search(&s, 4, NULL, "127.0.0.1", "2001:db8::1", "2001:db8::1", NULL),
		   "gives no address"),
	   "another family");
	ok(is_refused(search(&s, 4, NULL, "127.0.0.1", "100.64.1.1", NULL, NULL),
		      "shared by customers"),
	   "CGNAT: no client could dial it");
	/* Which is as good as silence, for as long as silence takes. */
	const struct address_found *f = search(&s, 4, NULL, "127.0.0.1", "203.0.113.1",
					       "203.0.113.1", b_has_another_id);
	ok(is_refused(f, "does not answer"), "an answer to another question is none");
	ok(is_refused(f, "alone says 203.0.113.1"), "one of two: no agreement");
	ok(s.ms >= 7400 && s.ms < 12000, "known after %d ms", (int)s.ms);
}

static void
never(void *arg, const struct address_found *f)
{
	*(unsigned *)arg += 1;
}

static void
searches_are_cancelled(void)
{
	struct address_ask ask = { .family = 4,
				   .own = { ip("127.0.0.1") },
				   .n_own = 1,
				   .stun = { "127.0.0.1:9", "localhost" } };
	unsigned calls = 0;
	struct address_job *job;
	uv_loop_t loop;

	snprintf(ask.ifname, sizeof(ask.ifname), "lo");
	for (unsigned turns = 0; turns < 4; turns++) {
		uv_loop_init(&loop);
		(void)address_find(&job, &loop, NULL, &ask, never, &calls);
		for (unsigned i = 0; i < turns; i++)
			uv_run(&loop, UV_RUN_ONCE);
		address_cancel(job);
		uv_run(&loop, UV_RUN_DEFAULT);
		is_int(uv_loop_close(&loop), 0, "cancelled after %u turns", turns);
	}
	is_int(calls, 0, "no answer after that");
}

int
main(void)
{
	reachability();
	pages();
	names_follow();
	the_wire();
	the_order();
	liars();
	searches_are_cancelled();
	return done_testing();
}
