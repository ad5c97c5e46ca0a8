/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Messages between processes: the whole table both ways, and what a hostile
 * sender can make of it; the socket under them with a slow reader. */
#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"
#include "tests/lib/tap.h"
#include "vpnd/ipc/peer.h"
#include "vpnd/ipc/permit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static union ipc_body sent, got;
static uint8_t packet[IPC_PACKET_MAX + 64], again[IPC_PACKET_MAX + 64];

/* --- a body full of values that are all different, fields full or short */

static unsigned seed;

static uint64_t
next_value(void)
{
	seed = seed * 1103515245u + 12345u;
	return (uint64_t)seed << 32 | (seed ^ 0x5a5a5a5au);
}

static void
fill_bytes(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(next_value() >> 40);
}

static void
fill_addr(struct ip_addr *a)
{
	a->family = next_value() & 1 ? 4 : 6;
	fill_bytes(a->b, sizeof(a->b));
	a->port = (uint16_t)next_value();
}

static void
fill_text(char *s, size_t n)
{
	memset(s, 'a' + (int)(next_value() % 26), n);
	s[n] = '\0';
}

/* clang-format off */
#define FILL_u8(f, max)   m->f = (uint8_t)next_value();
#define FILL_u16(f, max)  m->f = (uint16_t)next_value();
#define FILL_u32(f, max)  m->f = (uint32_t)next_value();
#define FILL_u64(f, max)  m->f = next_value();
#define FILL_addr(f, max) fill_addr(&m->f);
#define FILL_raw(f, max)  fill_bytes(m->f, max);
#define FILL_var(f, max)  m->f.n = is_full ? (max) : 3; fill_bytes(m->f.p, m->f.n);
#define FILL_str(f, max)  fill_text(m->f, is_full ? (max) : 2);
#define FILL(kind, f, max) FILL_##kind(f, max)

#define SAME_u8(f, max)   && a->f == b->f
#define SAME_u16(f, max)  && a->f == b->f
#define SAME_u32(f, max)  && a->f == b->f
#define SAME_u64(f, max)  && a->f == b->f
#define SAME_addr(f, max) && a->f.family == b->f.family && a->f.port == b->f.port && \
                             memcmp(a->f.b, b->f.b, sizeof(a->f.b)) == 0
#define SAME_raw(f, max)  && memcmp(a->f, b->f, max) == 0
#define SAME_var(f, max)  && a->f.n == b->f.n && memcmp(a->f.p, b->f.p, a->f.n) == 0
#define SAME_str(f, max)  && strcmp(a->f, b->f) == 0
#define SAME(kind, f, max) SAME_##kind(f, max)

/* The same bytes once more, written by this test, with one thing wrong in the
 * field number `bad`; false when that field cannot have this fault. */
enum fault { NOTHING, TOO_LONG, LENGTH_HUGE, HAS_NUL, FAMILY_5 };
struct forge { struct wr w; int at, bad; enum fault fault; bool is_done; };

static bool
hit(struct forge *g)
{
	return g->at++ == g->bad && g->fault != NOTHING;
}

static void
forge_counted(struct forge *g, const void *p, size_t n, size_t max, bool is_text)
{
	static const uint8_t zeroes[IPC_PACKET_MAX] = "ab";
	bool now = hit(g);

	if (now && g->fault == TOO_LONG) {
		wr_u32(&g->w, (uint32_t)max + 1);
		for (size_t i = 0; i <= max; i++)
			wr_u8(&g->w, 'x');
	} else if (now && g->fault == LENGTH_HUGE) {
		wr_u32(&g->w, 0xffffffff);
		wr_bytes(&g->w, p, n);
	} else if (now && g->fault == HAS_NUL && is_text) {
		wr_u32(&g->w, 4);
		wr_bytes(&g->w, zeroes, 4);
	} else {
		wr_u32(&g->w, (uint32_t)n);
		wr_bytes(&g->w, p, n);
		return;
	}
	g->is_done = true;
}

static void
forge_addr(struct forge *g, const struct ip_addr *a)
{
	bool now = hit(g) && g->fault == FAMILY_5;

	wr_u8(&g->w, now ? 5 : a->family);
	wr_bytes(&g->w, a->b, 16);
	wr_u16(&g->w, a->port);
	g->is_done |= now;
}

#define FORGE_u8(f, max)   g->at++; wr_u8(&g->w, m->f);
#define FORGE_u16(f, max)  g->at++; wr_u16(&g->w, m->f);
#define FORGE_u32(f, max)  g->at++; wr_u32(&g->w, m->f);
#define FORGE_u64(f, max)  g->at++; wr_u64(&g->w, m->f);
#define FORGE_addr(f, max) forge_addr(g, &m->f);
#define FORGE_raw(f, max)  g->at++; wr_bytes(&g->w, m->f, max);
#define FORGE_var(f, max)  forge_counted(g, m->f.p, m->f.n, max, false);
#define FORGE_str(f, max)  forge_counted(g, m->f, strlen(m->f), max, true);
#define FORGE(kind, f, max) FORGE_##kind(f, max)

#define X(name, from, to, fds)                                                        \
	static void fill_##name(struct ipc_##name *m, bool is_full)                   \
	{ (void)is_full; IPC_FIELDS_##name(FILL) }                                    \
	static bool same_##name(const struct ipc_##name *a, const struct ipc_##name *b) \
	{ return true IPC_FIELDS_##name(SAME); }                                      \
	static void forge_##name(struct forge *g, const struct ipc_##name *m)         \
	{ IPC_FIELDS_##name(FORGE) }
IPC_MESSAGES(X)
#undef X

static const struct {
	void (*fill)(union ipc_body *, bool);
	bool (*same)(const union ipc_body *, const union ipc_body *);
	void (*forge)(struct forge *, const union ipc_body *);
} row[IPC_TYPES] = {
#define X(name, from, to, fds) [IPC_##name] = {                                       \
	(void (*)(union ipc_body *, bool))fill_##name,                                \
	(bool (*)(const union ipc_body *, const union ipc_body *))same_##name,        \
	(void (*)(struct forge *, const union ipc_body *))forge_##name },
IPC_MESSAGES(X)
#undef X
};
/* clang-format on */

static size_t
forged(int type, int bad, enum fault fault, bool *is_done)
{
	struct forge g = { .w = wr_open(again, sizeof(again)),
			   .bad = bad,
			   .fault = fault };

	wr_u16(&g.w, (uint16_t)type);
	wr_u32(&g.w, 0);
	row[type].forge(&g, &sent);
	struct wr len = wr_open(again + 2, 4);
	wr_u32(&len, (uint32_t)(g.w.n - IPC_HEADER));
	*is_done = g.is_done;
	return wr_full(&g.w) ? 0 : g.w.n;
}

static void
every_message_arrives_as_it_was_sent(void)
{
	for (int t = 1; t < IPC_TYPES; t++) {
		bool is_same = true;
		for (int is_full = 0; is_full < 2; is_full++) {
			enum ipc_type type = IPC_NONE;
			size_t n = 0, m;
			bool x;
			memset(&got, 0xee, sizeof(got));
			row[t].fill(&sent, is_full);
			is_same &=
				ipc_encode(t, &sent, packet, IPC_PACKET_MAX, &n) == 0;
			is_same &= ipc_decode(span_of(packet, n), &type, &got) == 0;
			is_same &= type == (enum ipc_type)t && row[t].same(&sent, &got);
			m = forged(t, -1, NOTHING, &x);
			is_same &= m == n && memcmp(packet, again, n) == 0;
		}
		ok(is_same, "%s: empty-ish and full", ipc_row[t].name);
	}
}

static void
set_length(size_t n)
{
	struct wr len = wr_open(packet + 2, 4);
	wr_u32(&len, (uint32_t)n);
}

static void
every_cut_and_every_extra_byte_is_refused(void)
{
	for (int t = 1; t < IPC_TYPES; t++) {
		enum ipc_type type;
		size_t n = 0, bad = 0;
		row[t].fill(&sent, false);
		if (ipc_encode(t, &sent, packet, IPC_PACKET_MAX, &n) < 0)
			continue;
		for (size_t cut = 0; cut < n; cut++) {
			/* In a block of its own size, so that asan sees a read behind
			 * it; once with the header's length as it was, once corrected.
			 */
			for (int honest = 0; honest < 2; honest++) {
				set_length(honest && cut >= IPC_HEADER
						   ? cut - IPC_HEADER
						   : n - IPC_HEADER);
				uint8_t *part = malloc(cut + !cut);
				memcpy(part, packet, cut);
				bad += ipc_decode(span_of(part, cut), &type, &got) !=
				       E_PROTO;
				free(part);
			}
		}
		packet[n] = 0;
		set_length(n - IPC_HEADER);
		bad += ipc_decode(span_of(packet, n + 1), &type, &got) != E_PROTO;
		set_length(n + 1 - IPC_HEADER);
		bad += ipc_decode(span_of(packet, n + 1), &type, &got) != E_PROTO;
		is_int(bad, 0, "%s: %zu cuts, one byte too many", ipc_row[t].name, n);
	}
}

static void
a_field_that_breaks_its_bound_spoils_the_packet(void)
{
	static const struct {
		enum fault fault;
		const char *why;
	} cases[] = { { TOO_LONG, "one byte over max" },
		      { LENGTH_HUGE, "length 2^32-1" },
		      { HAS_NUL, "NUL inside a text" },
		      { FAMILY_5, "address family 5" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t tried = 0, bad = 0;
		for (int t = 1; t < IPC_TYPES; t++) {
			row[t].fill(&sent, false);
			for (int field = 0; field < 40; field++) {
				enum ipc_type type;
				bool is_done;
				size_t n = forged(t, field, cases[i].fault, &is_done);
				if (!is_done || n == 0)
					continue;
				tried++;
				if (ipc_decode(span_of(again, n), &type, &got) !=
				    E_PROTO) {
					diag("%s: field %d", ipc_row[t].name, field);
					bad++;
				}
			}
		}
		ok(tried > 5 && bad == 0, "%s: refused in all of %zu fields",
		   cases[i].why, tried);
	}
}

static void
unknown_types_and_small_buffers_are_refused(void)
{
	static const unsigned types[] = { 0, IPC_TYPES, IPC_TYPES + 1, 0x7fff, 0xffff };
	enum ipc_type type;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint8_t head[IPC_HEADER] = { (uint8_t)(types[i] >> 8),
					     (uint8_t)types[i] };
		is_int(ipc_decode(span_of(head, sizeof(head)), &type, &got), E_PROTO,
		       "type %u", types[i]);
	}
	row[IPC_tunnel_ask].fill(&sent, true);
	is_int(ipc_encode(IPC_tunnel_ask, &sent, packet, 100, &n), E_LIMIT,
	       "a buffer too small is said, not overrun");
	sent.status_text.json.n = 16385;
	is_int(ipc_encode(IPC_status_text, &sent, packet, IPC_PACKET_MAX, &n), E_LIMIT,
	       "a var longer than its max is not sent");
	is_int(ipc_encode(IPC_NONE, &sent, packet, IPC_PACKET_MAX, &n), E_INVAL,
	       "no type, no packet");
}

static void
only_the_directions_of_the_table_are_permitted(void)
{
	static const struct {
		enum ipc_type type;
		enum ipc_process from, to;
		unsigned fds;
		int want;
	} cases[] = {
		{ IPC_key_sign, IPC_WORKER, IPC_KEYS, 0, 0 },
		{ IPC_key_sign, IPC_SESSION, IPC_KEYS, 0, E_PROTO },
		{ IPC_key_sign, IPC_KEYS, IPC_WORKER, 0, E_PROTO },
		{ IPC_route_set, IPC_WORKER, IPC_PARENT, 0, E_PROTO },
		{ IPC_login_proven, IPC_WORKER, IPC_SESSION, 0, E_PROTO },
		{ IPC_token_seal, IPC_WORKER, IPC_KEYS, 0, E_PROTO },
		{ IPC_ready, IPC_AUTH, IPC_PARENT, 0, 0 },
		{ IPC_config, IPC_PARENT, IPC_AUTH, 1, 0 },
		{ IPC_config, IPC_PARENT, IPC_AUTH, 0, E_PROTO },
		{ IPC_listener, IPC_PARENT, IPC_WORKER, 2, 0 },
		{ IPC_listener, IPC_PARENT, IPC_WORKER, 1, E_PROTO },
		{ IPC_event, IPC_WORKER, IPC_SESSION, 1, E_PROTO },
		{ IPC_NONE, IPC_PARENT, IPC_AUTH, 0, E_PROTO },
		{ IPC_TYPES, IPC_PARENT, IPC_AUTH, 0, E_PROTO },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(permit_check(cases[i].type, cases[i].from, cases[i].to,
				    cases[i].fds),
		       cases[i].want, "%s %s to %s with %u descriptors",
		       cases[i].type < IPC_TYPES && ipc_row[cases[i].type].name
			       ? ipc_row[cases[i].type].name
			       : "?",
		       ipc_process_name[cases[i].from], ipc_process_name[cases[i].to],
		       cases[i].fds);
}

/* --- sockets */

struct world {
	uv_loop_t loop;
	struct peer a, b; /* a is parent, b is session */
	unsigned heard, out_of_order, broken;
	int broken_rc;
	char from_fd[8];
};

static void
on_status_ask(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
}

static void
on_status_text(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct world *w = arg;
	w->out_of_order += m->status_text.id != w->heard;
	w->heard++;
}

static void
on_counters(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct world *w = arg;
	if (read(fds[0], w->from_fd, sizeof(w->from_fd) - 1) < 0)
		w->from_fd[0] = '!';
	close(fds[0]);
	w->heard++;
}

static void
on_broken(void *arg, struct peer *from, int rc)
{
	struct world *w = arg;
	w->broken++;
	w->broken_rc = rc;
}

static const peer_handler at_parent[IPC_TYPES] = { [IPC_status_ask] = on_status_ask };
static const peer_handler at_session[IPC_TYPES] = {
	[IPC_status_text] = on_status_text, [IPC_counters] = on_counters
};

static void
world_open(struct world *w)
{
	int fd[2];

	memset(w, 0, sizeof(*w));
	uv_loop_init(&w->loop);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		abort();
	peer_open(&w->a, &w->loop, fd[0], IPC_PARENT, IPC_SESSION, 0, at_parent,
		  on_broken, w);
	peer_open(&w->b, &w->loop, fd[1], IPC_SESSION, IPC_PARENT, 0, at_session,
		  on_broken, w);
}

static void
world_close(struct world *w)
{
	peer_close(&w->a, NULL);
	peer_close(&w->b, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&w->loop), 0, "nothing stays in the loop");
}

static void
turn(struct world *w, unsigned until)
{
	for (int i = 0; i < 1000 && w->heard < until && w->broken == 0; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void
more_than_the_socket_holds_arrives_in_order(void)
{
	static struct world w;
	static struct ipc_status_text m = { .json = { .n = 8000 } };
	unsigned sent_n = 0;

	world_open(&w);
	for (; w.a.queued < PEER_QUEUE_MAX / 2; sent_n++) {
		m.id = sent_n;
		if (peer_send(&w.a, IPC_status_text, &m) < 0)
			break;
	}
	ok(w.a.first != NULL, "the socket is full and %zu bytes wait", w.a.queued);
	turn(&w, sent_n);
	is_int(w.heard, sent_n, "all %u packets arrive", sent_n);
	is_int(w.out_of_order, 0, "in order");
	is_int(w.a.queued, 0, "nothing waits any more");
	world_close(&w);
}

static void
a_full_queue_refuses_and_counts(void)
{
	static struct world w;
	static struct ipc_status_text m = { .json = { .n = 16000 } };
	int rc = 0;

	world_open(&w);
	for (; rc == 0; m.id++)
		rc = peer_send(&w.a, IPC_status_text, &m);
	is_int(rc, E_LIMIT, "a reader that sleeps costs at most the queue");
	ok(w.a.queued <= PEER_QUEUE_MAX && w.a.dropped == 1, "bounded, and counted");
	world_close(&w);
}

static void
descriptors_arrive_also_through_the_queue(void)
{
	static struct world w;
	static struct ipc_status_text m = { .json = { .n = 16000 } };
	struct ipc_counters c = { .worker = 1, .slots = 2 };
	int fd[2];

	world_open(&w);
	while (w.a.first == NULL) {
		peer_send(&w.a, IPC_status_text, &m);
		m.id++;
	}
	if (pipe(fd) < 0 || write(fd[1], "hello", 5) != 5)
		abort();
	is_int(peer_send_fds(&w.a, IPC_counters, &c, &fd[0], 1), 0,
	       "queued behind the rest");
	close(fd[0]); /* ours to close: the queue has its own */
	close(fd[1]);
	turn(&w, m.id + 1);
	is_str(w.from_fd, "hello", "the descriptor works at the other end");
	world_close(&w);
}

static void
a_broken_sender_is_reported_once(void)
{
	static const struct {
		const char *why;
		struct span bytes;
		int want;
	} cases[] = {
		{ "garbage", SPAN("garbage"), E_PROTO },
		{ "a header only, length lies", SPAN("\0\1\0\0\0\x9"), E_PROTO },
		{ "an empty packet", SPAN(""), E_CLOSED },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct world w;
		struct ipc_status_text m = { .id = 0 };
		world_open(&w);
		if (send(w.a.fd, cases[i].bytes.p, cases[i].bytes.n, 0) < 0 ||
		    send(w.a.fd, cases[i].bytes.p, cases[i].bytes.n, 0) < 0)
			abort();
		peer_send(&w.a, IPC_status_text, &m);
		for (int k = 0; k < 10; k++)
			uv_run(&w.loop, UV_RUN_NOWAIT);
		ok(w.broken == 1 && w.heard == 0, "%s: once, and not read again",
		   cases[i].why);
		is_int(w.broken_rc, cases[i].want, "%s: the reason", cases[i].why);
		world_close(&w);
	}
}

static void
a_message_nobody_expects_here_breaks_the_sender(void)
{
	static struct world w;
	struct ipc_reload_done m = { .id = 1 };
	struct ipc_status_ask wrong = { .id = 1 };

	world_open(&w);
	peer_send(&w.a, IPC_reload_done, &m); /* right direction, no handler */
	for (int k = 0; k < 3; k++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	is_int(w.broken_rc, E_PROTO, "no handler");
	world_close(&w);

	world_open(&w);
	peer_send(&w.a, IPC_status_ask,
		  &wrong); /* session's question, from the parent */
	for (int k = 0; k < 3; k++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	is_int(w.broken_rc, E_PROTO, "wrong direction");
	world_close(&w);
}

static void
without_a_loop_one_packet_is_awaited(void)
{
	struct peer worker, keys;
	struct ipc_key_sign m = { .id = 7, .data = { .n = 3, .p = "abc" } };
	enum ipc_type type = IPC_NONE;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) < 0)
		abort();
	peer_open(&worker, NULL, fd[0], IPC_WORKER, IPC_KEYS, 0, NULL, NULL, NULL);
	peer_open(&keys, NULL, fd[1], IPC_KEYS, IPC_WORKER, 0, NULL, NULL, NULL);
	is_int(peer_receive(&keys, 0, &type, &got), E_AGAIN, "nothing yet");
	peer_send(&worker, IPC_key_sign, &m);
	is_int(peer_receive(&keys, 1000, &type, &got), 0, "the request comes");
	ok(type == IPC_key_sign && got.key_sign.id == 7 && got.key_sign.data.n == 3,
	   "and is whole");
	peer_close(&worker, NULL);
	is_int(peer_receive(&keys, 0, &type, &got), E_CLOSED, "an end is an end");
	peer_close(&keys, NULL);
}

static void
every_event_has_a_name(void)
{
	int missing = 0;

	for (int i = 0; i < EVENTS; i++)
		missing += event_name[i] == NULL;
	is_int(missing, 0, "all %d", EVENTS);
}

int
main(void)
{
	every_message_arrives_as_it_was_sent();
	every_cut_and_every_extra_byte_is_refused();
	a_field_that_breaks_its_bound_spoils_the_packet();
	unknown_types_and_small_buffers_are_refused();
	only_the_directions_of_the_table_are_permitted();
	more_than_the_socket_holds_arrives_in_order();
	a_full_queue_refuses_and_counts();
	descriptors_arrive_also_through_the_queue();
	a_broken_sender_is_reported_once();
	a_message_nobody_expects_here_breaks_the_sender();
	without_a_loop_one_packet_is_awaited();
	every_event_has_a_name();
	return done_testing();
}
