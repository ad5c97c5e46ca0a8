/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Two pairs over a group that is a list in memory: total order, cuts and heals as CPG
 * has them, and a time that only moves when told. */
#include "common/err.h"
#include "hasync/pair.h"
#include "tests/lib/tap.h"

#include <unistd.h>

enum { NODES = 2, OPS = 4096, QUEUE = 4096 };

struct answer {
	bool is_answered;
	unsigned times;
	struct pair_result r;
};

struct sim_node {
	struct sim *sim;
	unsigned index;
	char folder[64];
	struct store *store;
	struct pair *pair;
	struct answer answers[OPS];
	uint64_t last_ticket;
	unsigned refused;
	char last_event[64];
	unsigned watched; /* entries that a watcher of endpoints/a has been told */
};

struct in_flight {
	unsigned from;
	size_t n;
	uint8_t *bytes;
};

struct sim {
	uv_loop_t loop;
	uint64_t now;
	bool is_cut;
	struct sim_node node[NODES];
	struct in_flight queue[QUEUE];
	size_t head, tail;
	uint32_t random;
};

static uint32_t
random_of(struct sim *s, uint32_t n)
{
	s->random = s->random * 1664525 + 1013904223;
	return (s->random >> 8) % n;
}

static int
on_send(void *arg, struct span batch)
{
	struct sim_node *n = arg;
	struct sim *s = n->sim;

	if (random_of(s, 16) == 0)
		return E_AGAIN; /* back-pressure; pair_tick tries again */
	struct in_flight *f = &s->queue[s->tail++ % QUEUE];
	if (s->tail - s->head > QUEUE)
		abort();
	*f = (struct in_flight){ n->index, batch.n, malloc(batch.n) };
	memcpy(f->bytes, batch.p, batch.n);
	return 0;
}

static uint64_t
now_ms(void *arg)
{
	return ((struct sim_node *)arg)->sim->now;
}

static void
on_changed(void *arg, const struct object *o, struct span delta)
{
	struct sim_node *n = arg;
	struct cluster_entry e;

	if (strcmp(o->name, "endpoints/a") != 0)
		return;
	if (delta.p == NULL)
		n->watched = (unsigned)o->set.n;
	while (delta.p != NULL && cluster_entry_decode(&delta, &e) == 0)
		n->watched++;
}

static void
on_result(void *arg, uint64_t ticket, const struct pair_result *r)
{
	struct answer *a = &((struct sim_node *)arg)->answers[ticket];

	a->is_answered = true;
	a->times++;
	a->r = *r;
}

static void
on_state(void *arg, const char *node, const struct wire_state *s)
{
}

static void
on_hold(void *arg, uint64_t ms, bool on, bool force)
{
}

static void
on_event(void *arg, const char *event, const char *detail)
{
	struct sim_node *n = arg;

	n->refused += strcmp(event, "peer_refused") == 0;
	snprintf(n->last_event, sizeof(n->last_event), "%s", event);
}

static void
get_state(void *arg, struct wire_state *s)
{
	s->version = SPAN("1");
}

static const struct pair_handlers handlers = {
	.send = on_send,
	.now_ms = now_ms,
	.wall_ms = now_ms,
	.on_changed = on_changed,
	.on_result = on_result,
	.on_state = on_state,
	.on_hold = on_hold,
	.on_event = on_event,
	.get_state = get_state,
};

static void
on_durable(void *arg, uint64_t ticket, int rc)
{
	pair_durable(((struct sim_node *)arg)->pair, ticket, rc);
}

static void
on_store_event(void *arg, const char *event, const char *object, const char *file)
{
}

static const struct store_handlers store_handlers = { on_durable, on_store_event };

static const struct pair_member all[NODES] = { { 1, 100, false }, { 2, 200, false } };

static void
tell_members(struct sim *s, unsigned i, bool both, bool joined)
{
	struct pair_member m[NODES];

	memcpy(m, all, sizeof(m));
	m[i].is_self = true;
	if (both)
		pair_members(s->node[i].pair, m, 2, &m[1 - i], joined);
	else
		pair_members(s->node[i].pair, &m[i], 1, NULL, 0);
}

/* Deliver up to n batches: to both, or when cut to the sender's side only. */
static void
deliver(struct sim *s, size_t n)
{
	for (; n > 0 && s->head != s->tail; n--) {
		struct in_flight f = s->queue[s->head++ % QUEUE];
		for (unsigned i = 0; i < NODES; i++)
			if (i == f.from || !s->is_cut)
				pair_deliver(s->node[i].pair, all[f.from].nodeid,
					     all[f.from].pid, span_of(f.bytes, f.n));
		free(f.bytes);
	}
}

static void
pass(struct sim *s, uint64_t ms)
{
	for (uint64_t end = s->now + ms; s->now < end;) {
		s->now += 50;
		for (unsigned i = 0; i < NODES; i++)
			pair_tick(s->node[i].pair);
		deliver(s, QUEUE);
		uv_run(&s->loop, UV_RUN_NOWAIT);
	}
}

/* Until the disk is quiet too. */
static void
settle(struct sim *s)
{
	for (int i = 0; i < 20; i++) {
		uv_run(&s->loop, UV_RUN_DEFAULT);
		pass(s, 200);
	}
}

static void
cut(struct sim *s)
{
	s->is_cut = true; /* what is in flight reaches its own side, after the change */
	for (unsigned i = 0; i < NODES; i++)
		tell_members(s, i, false, false);
}

static void
heal(struct sim *s)
{
	s->is_cut = false;
	for (unsigned i = 0; i < NODES; i++)
		tell_members(s, i, true, true);
}

static struct sim *
sim_new(uint32_t seed)
{
	struct sim *s = calloc(1, sizeof(*s));

	uv_loop_init(&s->loop);
	s->random = seed;
	s->now = 100000;
	for (unsigned i = 0; i < NODES; i++) {
		struct sim_node *n = &s->node[i];
		struct pair_config c = { .is_primary = i == 0, .is_clustered = true };
		snprintf(c.node, sizeof(c.node), i == 0 ? "a" : "b");
		snprintf(c.peer, sizeof(c.peer), i == 0 ? "b" : "a");
		n->sim = s;
		n->index = i;
		snprintf(n->folder, sizeof(n->folder), "/dev/shm/pair-test-XXXXXX");
		if (mkdtemp(n->folder) == NULL ||
		    store_open(&n->store, &s->loop, n->folder, 1, &store_handlers, n) <
			    0 ||
		    pair_new(&n->pair, &c, n->store, &handlers, n) < 0)
			abort();
	}
	heal(s);
	pass(s, 500);
	return s;
}

static void
sim_free(struct sim *s)
{
	char command[128];

	for (unsigned i = 0; i < NODES; i++) {
		store_free(s->node[i].store);
		pair_free(s->node[i].pair);
		snprintf(command, sizeof(command), "rm -rf %s", s->node[i].folder);
		if (system(command) != 0)
			abort();
	}
	for (; s->head != s->tail; s->head++)
		free(s->queue[s->head % QUEUE].bytes);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	free(s);
}

static uint64_t
put(struct sim *s, unsigned i, const char *name, const char *bytes, uint64_t base)
{
	struct sim_node *n = &s->node[i];

	pair_put(n->pair, span_str(name), span_str(bytes), false, base,
		 ++n->last_ticket);
	return n->last_ticket;
}

static unsigned
differences(struct sim *s)
{
	unsigned bad = 0;
	struct object *o;

	for (unsigned i = 0; i < NODES; i++)
		for (size_t k = 0; (o = store_at(s->node[i].store, k)) != NULL; k++) {
			uint8_t mine[CLUSTERFILE_SHA], theirs[CLUSTERFILE_SHA];
			struct object *p =
				store_find(s->node[1 - i].store, span_str(o->name));
			if (o->class != CLUSTER_SET && o->generation == 0)
				continue;
			object_digest(o, mine);
			if (p != NULL)
				object_digest(p, theirs);
			bad += p == NULL || memcmp(mine, theirs, sizeof(mine)) != 0 ||
			       (o->class != CLUSTER_SET &&
				o->generation != p->generation);
		}
	return bad;
}

static void
a_put_is_answered_when_both_have_it(void)
{
	struct sim *s = sim_new(1);
	uint64_t t = put(s, 0, "users", "x", 0);
	struct answer *a = &s->node[0].answers[t];

	ok(!a->is_answered, "not when sent");
	settle(s);
	ok(a->is_answered && a->r.status == CLUSTER_OK, "answered");
	is_int(a->r.copies, 2, "on two");
	is_int(a->r.generation, 1, "the first generation");
	cut(s);
	t = put(s, 0, "users", "y", 1);
	settle(s);
	is_int(s->node[0].answers[t].r.copies, 1, "on one when cut");
	ok(s->node[0].answers[t].r.peer_away, "and says so");
	sim_free(s);
}

static void
a_batch_heard_twice_is_refused(void)
{
	struct sim *s = sim_new(2);

	put(s, 0, "users", "x", 0);
	while (s->head == s->tail)
		pair_retry(s->node[0].pair);
	struct in_flight f = s->queue[s->head % QUEUE];
	uint8_t *copy = malloc(f.n);
	memcpy(copy, f.bytes, f.n);
	settle(s);
	uint64_t was = pair_refused(s->node[1].pair);
	pair_deliver(s->node[1].pair, 1, 100, span_of(copy, f.n));
	is_int(pair_refused(s->node[1].pair), was + 1, "counted");
	cut(s);
	heal(s);
	settle(s);
	pair_deliver(s->node[1].pair, 1, 100, span_of(copy, f.n));
	is_int(pair_refused(s->node[1].pair), was + 2, "after a heal too");
	free(copy);
	sim_free(s);
}

static void
clocks_that_differ_are_told_once(void)
{
	struct sim *s = sim_new(3);
	uint8_t buf[1024], state[256];
	struct pair_config zero = { 0 };

	s->node[0].last_event[0] = '\0';
	for (uint64_t k = 0; k < 3; k++) {
		struct wr sw = wr_open(state, sizeof(state));
		struct wire_state st = { .version = SPAN("1") };
		wire_state_encode(&sw, &st);
		struct wr w = wr_open(buf, sizeof(buf));
		struct wire_head h = { .node = SPAN("b"),
				       .incarnation = 77,
				       .seq = k + 1 };
		struct wire_item i = { .type = WIRE_STATE,
				       .wall_ms = s->now + 40000,
				       .bytes = wr_span(&sw) };
		wire_open(&w, zero.pair, &h);
		wire_item_encode(&w, &i);
		wire_close(&w, zero.key);
		if (k == 2)
			s->node[0].last_event[0] = '\0';
		pair_deliver(s->node[0].pair, 2, 200, wr_span(&w));
		if (k == 0)
			is_str(s->node[0].last_event, "", "one late state is no clock");
		if (k == 1)
			is_str(s->node[0].last_event, "clock_difference", "two are");
	}
	is_str(s->node[0].last_event, "", "once");
	sim_free(s);
}

/* A node that joins hears of everybody the other one serves, not only of who comes
 * later: it may have to wake them. */
static void
own_sets_are_told_whole_after_a_join(void)
{
	struct sim *s = sim_new(4);
	uint8_t buf[256];
	struct wr w = wr_open(buf, sizeof(buf));

	cut(s);
	for (uint8_t k = 0; k < 3; k++) {
		struct cluster_entry e = { .key_n = 1, .expires_s = 1000000 };
		e.key[0] = k;
		cluster_entry_encode(&w, &e);
	}
	pair_own_put(s->node[0].pair, SPAN("endpoints/a"), wr_span(&w));
	settle(s);
	is_int(s->node[1].watched, 0, "nothing is heard over a cut");
	heal(s);
	settle(s);
	is_int(s->node[1].watched, 3, "a watcher on the other node has all after it");
	sim_free(s);
}

/* What a node counted in its life before is no count of now. */
static void
a_node_begins_anew_without_its_old_counts(void)
{
	struct sim *s = sim_new(5);
	struct pair_config c = { .is_primary = true, .is_clustered = true };
	struct object *o;

	pair_own_put(s->node[0].pair, SPAN("counts/a"), SPAN("10"));
	settle(s);
	o = store_find(s->node[1].store, SPAN("counts/a"));
	ok(o != NULL && !(o->flags & CLUSTERFILE_REMOVED), "the other node has them");
	cut(s);
	settle(s);
	ok(!(o->flags & CLUSTERFILE_REMOVED), "while it is away, too");
	heal(s);
	settle(s);
	ok(!(o->flags & CLUSTERFILE_REMOVED), "and when it was only cut off");
	cut(s);
	pair_free(s->node[0].pair);
	snprintf(c.node, sizeof(c.node), "a");
	snprintf(c.peer, sizeof(c.peer), "b");
	if (pair_new(&s->node[0].pair, &c, s->node[0].store, &handlers, &s->node[0]) <
	    0)
		abort();
	store_find(s->node[0].store, SPAN("counts/a"))->generation = 0; /* no disk */
	tell_members(s, 0, false, false);
	heal(s);
	pass(s, 100);
	ok(o->flags & CLUSTERFILE_REMOVED, "not when it was started again");
	pair_own_put(s->node[0].pair, SPAN("counts/a"), SPAN("0"));
	settle(s);
	ok(!(o->flags & CLUSTERFILE_REMOVED) && o->n == 1, "until it has counted");
	sim_free(s);
}

/* Writers on both sides, cuts and heals at any moment: in the end both have the same,
 * every request got one answer, and nothing both had acknowledged went back. */
static void
both_are_equal_in_the_end(uint32_t seed)
{
	static const char *const names[] = { "users", "config", "cert/auto" };
	struct sim *s = sim_new(seed);
	uint64_t acked[3] = { 0 }, ticket_name[NODES][OPS] = { { 0 } };
	unsigned bad_answers = 0, lost = 0;

	for (int op = 0; op < 300; op++) {
		unsigned i = random_of(s, NODES), k = random_of(s, 3);
		char text[32];
		snprintf(text, sizeof(text), "%d", op);
		switch (random_of(s, 12)) {
		case 0:
			if (s->is_cut)
				heal(s);
			else
				cut(s);
			break;
		case 1: {
			uint8_t buf[64];
			struct wr w = wr_open(buf, sizeof(buf));
			struct cluster_entry e = { .key_n = 2, .expires_s = 1000000 };
			memcpy(e.key, &op, 2);
			cluster_entry_encode(&w, &e);
			pair_set_add(s->node[i].pair, SPAN("revoked"), wr_span(&w),
				     ++s->node[i].last_ticket);
			break;
		}
		case 2: pass(s, 50); break;
		case 3: deliver(s, 1 + random_of(s, 3)); break;
		case 4: uv_run(&s->loop, UV_RUN_NOWAIT); break;
		case 5: {
			struct object *o =
				store_find(s->node[i].store, span_str(names[k]));
			put(s, i, names[k], text, o == NULL ? 0 : o->generation);
			ticket_name[i][s->node[i].last_ticket] = k + 1;
			break;
		}
		default:
			put(s, i, names[k], text, CLUSTER_ANY);
			ticket_name[i][s->node[i].last_ticket] = k + 1;
		}
	}
	if (s->is_cut)
		heal(s);
	settle(s);
	pass(s, 5000);
	settle(s);
	is_int(differences(s), 0, "seed %u: equal", seed);
	for (unsigned i = 0; i < NODES; i++)
		for (uint64_t t = 1; t <= s->node[i].last_ticket; t++) {
			const struct answer *a = &s->node[i].answers[t];
			bad_answers += a->times != 1;
			uint64_t k = ticket_name[i][t];
			if (k > 0 && a->r.status == CLUSTER_OK && a->r.copies == 2 &&
			    a->r.generation > acked[k - 1])
				acked[k - 1] = a->r.generation;
		}
	for (unsigned k = 0; k < 3; k++) {
		struct object *o = store_find(s->node[0].store, span_str(names[k]));
		lost += o == NULL ? acked[k] > 0 : o->generation < acked[k];
	}
	is_int(bad_answers, 0, "seed %u: one answer each", seed);
	is_int(lost, 0, "seed %u: nothing acknowledged by both is lost", seed);
	sim_free(s);
}

int
main(void)
{
	a_put_is_answered_when_both_have_it();
	a_batch_heard_twice_is_refused();
	clocks_that_differ_are_told_once();
	own_sets_are_told_whole_after_a_join();
	a_node_begins_anew_without_its_old_counts();
	for (uint32_t seed = 1; seed <= 20; seed++)
		both_are_equal_in_the_end(seed);
	return done_testing();
}
