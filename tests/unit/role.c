/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "hasync/role.h"
#include "tests/lib/tap.h"

static const struct role_config primary = { .is_primary = true,
					    .has_peer = true,
					    .has_keepalived = true,
					    .keepalived_grace_ms = 2000 };
static const struct role_peer well = { .gateways_ok = 2, .gateways = 2 };

/* Ticks as hasync does, so that nothing looks like a freeze. */
static void
pass(struct role *r, uint64_t *t, uint64_t ms)
{
	for (uint64_t end = *t + ms; *t < end;) {
		*t += 100;
		if (r->keepalived_alive)
			role_set_keepalived(r, true, *t);
		role_tick(r, *t);
	}
}

static struct role
started(const struct role_config *c, uint64_t *t)
{
	struct role r;

	*t = 1000000;
	role_init(&r, c, *t);
	role_set_keepalived(&r, true, *t);
	role_set_gateways(&r, 2, 2);
	role_set_peer(&r, &well);
	return r;
}

static struct role
active(uint64_t *t)
{
	struct role r = started(&primary, t);

	role_set_group(&r, ROLE_MASTER);
	pass(&r, t, 1100);
	return r;
}

static void
lines_of_the_fifo_are_understood(void)
{
	static const struct {
		const char *text;
		enum role_line want;
		enum role_group state;
	} cases[] = {
		{ "GROUP \"VG\" MASTER 0", ROLE_LINE_GROUP, ROLE_MASTER },
		{ "GROUP \"VG\" BACKUP 0", ROLE_LINE_GROUP, ROLE_BACKUP },
		{ "GROUP \"VG\" FAULT 0", ROLE_LINE_GROUP, ROLE_FAULT },
		{ "GROUP \"VG\" STOP 0", ROLE_LINE_GROUP, ROLE_STOP },
		{ "GROUP \"XX\" MASTER 0", ROLE_LINE_OTHER, 0 },
		{ "INSTANCE \"WAN1\" MASTER 201", ROLE_LINE_OTHER, 0 },
		{ "INSTANCE \"LAN\" MASTER_RX_LOWER_PRI 221", ROLE_LINE_TWO, 0 },
		{ "GROUP \"VG\" MAST", ROLE_LINE_OTHER, 0 },
		{ "GROUP \"VG", ROLE_LINE_OTHER, 0 },
		{ "GROUP \" MASTER", ROLE_LINE_OTHER, 0 },
		{ "", ROLE_LINE_OTHER, 0 },
		{ "GROUP", ROLE_LINE_OTHER, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum role_group g = ROLE_UNKNOWN;
		is_int(role_line(span_str(cases[i].text), "VG", &g), cases[i].want,
		       "%s", cases[i].text);
		is_int(g, cases[i].state, "its state");
	}
}

static void
master_is_active_with_the_next_epoch(void)
{
	uint64_t t;
	struct role r = started(&primary, &t);
	struct role_peer p = well;

	p.epoch = 7;
	role_set_peer(&r, &p);
	role_set_group(&r, ROLE_MASTER);
	ok(role_tick(&r, t), "a change");
	ok(r.out.is_active, "active");
	is_int(r.out.epoch, 8, "one more than any seen");
	is_int(r.out.role_value, 20, "and means to stay");
	role_set_group(&r, ROLE_BACKUP);
	role_tick(&r, t);
	ok(!r.out.is_active, "not any more");
	is_int(r.out.role_value, 0, "nothing added");
	role_set_group(&r, ROLE_MASTER);
	role_tick(&r, t);
	is_int(r.out.epoch, 9, "the next time counts again");
}

static void
a_node_without_keepalived_is_active_if_it_is_the_primary(void)
{
	struct role_config c = { .is_primary = true };
	struct role r;

	role_init(&r, &c, 1000);
	role_tick(&r, 1000);
	ok(r.out.is_active, "alone");
	is_int(r.out.epoch, 1, "first epoch");
	ok(!r.out.remove_addresses, "no keepalived to be dead");
}

static void
fewer_gateways_than_the_peer_cost_priority_after_a_second(void)
{
	uint64_t t;
	struct role r = active(&t);

	role_set_gateways(&r, 1, 2);
	pass(&r, &t, 500);
	is_int(r.out.role_value, 20, "not at once");
	pass(&r, &t, 700);
	is_int(r.out.role_value, -40, "one less");
	role_set_gateways(&r, 0, 2);
	pass(&r, &t, 1200);
	is_int(r.out.role_value, -100, "none");
	role_set_gateways(&r, 2, 2);
	pass(&r, &t, 1200);
	is_int(r.out.role_value, 20, "well again");
}

static void
when_nobody_reaches_a_gateway_nothing_moves(void)
{
	uint64_t t;
	struct role r = active(&t);
	struct role_peer p = { .gateways = 2 };

	role_set_gateways(&r, 0, 2);
	pass(&r, &t, 300);
	role_set_peer(&r, &p);
	pass(&r, &t, 3000);
	is_int(r.out.role_value, 20, "stays");
}

static void
cut_off_from_all_it_gives_its_bonus_away(void)
{
	uint64_t t;
	struct role r = active(&t);

	role_set_peer(&r, NULL);
	role_set_gateways(&r, 0, 2);
	pass(&r, &t, 1200);
	is_int(r.out.role_value, -100, "the peer, if it lives, wins at the heal");
}

/* The same with a vpnd that beats. */
static void
beat(struct role *r, uint64_t *t, uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 100) {
		role_set_vpnd(r, true, false, *t);
		pass(r, t, 100);
	}
}

static void
a_dead_or_stuck_vpnd_is_bad(void)
{
	struct role_config c = primary;
	uint64_t t;

	c.watch_vpnd = true;
	struct role r = started(&c, &t);
	pass(&r, &t, 1000);
	ok(!r.out.vpnd_bad, "it has time to find us");
	pass(&r, &t, 2500);
	ok(r.out.vpnd_bad, "not for ever");
	role_set_vpnd(&r, true, false, t);
	role_tick(&r, t);
	ok(!r.out.vpnd_bad, "here it is");
	role_set_vpnd(&r, false, false, t);
	role_tick(&r, t);
	ok(r.out.vpnd_bad, "gone: at once");
	role_set_vpnd(&r, true, false, t);
	pass(&r, &t, 900);
	ok(!r.out.vpnd_bad, "three beats did not come");
	pass(&r, &t, 200);
	ok(r.out.vpnd_bad, "silent for a second");
	is_str(role_vpnd_why(&r), "it is stuck", "and said to be");
	beat(&r, &t, 1900);
	ok(r.out.vpnd_bad, "it beats again: once is not enough");
	beat(&r, &t, 300);
	ok(!r.out.vpnd_bad, "two seconds are");
	role_set_vpnd(&r, true, true, t);
	role_tick(&r, t);
	ok(r.out.vpnd_bad, "says itself that it is sick");
	role_set_vpnd(&r, true, false, t);
	role_tick(&r, t + 4000); /* we were frozen, not it */
	ok(!r.out.vpnd_bad, "our own freeze is not its fault");
	role_set_vpnd(&r, true, false, t + 8000); /* the beat is read before the tick */
	role_tick(&r, t + 8000);
	ok(!r.out.vpnd_bad, "whichever is handled first");
}

/* Both wait for a processor, as long as the other or longer: nobody is stuck. */
static void
a_busy_machine_is_not_a_stuck_vpnd(void)
{
	struct role_config c = primary;
	uint64_t t, last;
	unsigned bad = 0;

	c.watch_vpnd = true;
	struct role r = started(&c, &t);
	role_set_vpnd(&r, true, false, t);
	last = t;
	srand(7);
	for (int i = 0; i < 10000; i++) {
		t += 100 + (uint64_t)(rand() % 900); /* each tick up to 0.9 s late */
		if (t - last >= 2000) {              /* one beat in eight comes */
			role_set_vpnd(&r, true, false, t);
			last = t;
		}
		role_set_keepalived(&r, true, t);
		role_tick(&r, t);
		bad += r.out.vpnd_bad;
	}
	is_int((int)bad, 0, "a crawling machine: never bad");
	bad = 0;
	for (int i = 0; i < 10000; i++) {
		pass(&r, &t, 100);
		if (i % 8 == 0) /* on time here, 0.8 s apart there */
			role_set_vpnd(&r, true, false, t);
		bad += r.out.vpnd_bad;
	}
	is_int((int)bad, 0, "beats that come 550 ms late: never bad");
	for (int i = 0; i < 40; i++) {
		t += 200;
		role_tick(&r, t);
	}
	ok(r.out.vpnd_bad, "but one who does not beat at all is, if a little later");
}

static void
of_two_active_nodes_one_yields(void)
{
	static const struct {
		const char *why;
		bool is_primary;
		uint64_t epoch; /* the peer's; ours is 1 */
		unsigned ours, theirs;
		bool yields;
	} cases[] = {
		{ "fewer gateways", true, 0, 1, 2, true },
		{ "more gateways", false, 9, 2, 1, false },
		{ "lower epoch", true, 9, 2, 2, true },
		{ "higher epoch", false, 0, 2, 2, false },
		{ "equal, primary", true, 1, 2, 2, false },
		{ "equal, spare", false, 1, 2, 2, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct role_config c = primary;
		uint64_t t;
		c.is_primary = cases[i].is_primary;
		struct role r = started(&c, &t);
		role_set_group(&r, ROLE_MASTER);
		role_tick(&r, t);
		struct role_peer p = { .is_active = true,
				       .epoch = cases[i].epoch,
				       .gateways_ok = cases[i].theirs,
				       .gateways = 2 };
		role_set_gateways(&r, cases[i].ours, 2);
		role_set_peer(&r, &p);
		pass(&r, &t, 200);
		ok(!r.out.hold, "%s: an overlap is normal", cases[i].why);
		pass(&r, &t, 300);
		is_int(r.out.hold, cases[i].yields, "%s", cases[i].why);
		if (!cases[i].yields)
			continue;
		role_set_group(&r, ROLE_FAULT);
		p.is_active = false;
		role_set_peer(&r, &p);
		pass(&r, &t, 400);
		ok(!r.out.hold, "%s: released when the peer has gone", cases[i].why);
	}
}

static void
nobody_gives_way_to_a_node_that_cannot_serve(void)
{
	struct role_config c = primary;
	struct role_peer p = {
		.is_active = true, .epoch = 9, .gateways_ok = 2, .gateways = 2
	};
	uint64_t t;

	c.watch_vpnd = true;
	struct role r = started(&c, &t);
	role_set_vpnd(&r, true, false, t);
	role_set_group(&r, ROLE_MASTER);
	role_tick(&r, t);
	role_set_peer(&r, &p);
	beat(&r, &t, 500);
	ok(r.out.hold, "the higher epoch is given way to");
	role_set_group(&r, ROLE_FAULT);
	beat(&r, &t, 500);
	ok(r.out.hold, "until it has settled");
	p.vpnd_bad = true;
	role_set_peer(&r, &p);
	beat(&r, &t, 100);
	ok(!r.out.hold, "or its vpnd is stuck: at once");
	role_set_group(&r, ROLE_MASTER);
	beat(&r, &t, 1000);
	ok(!r.out.hold, "and not again");

	r = started(&c, &t);
	role_set_vpnd(&r, true, false, t);
	role_set_group(&r, ROLE_MASTER);
	p = (struct role_peer){ .is_active = true, .gateways_ok = 2, .gateways = 2 };
	role_set_peer(&r, &p);
	beat(&r, &t, 500);
	ok(!r.out.hold, "ours is the higher epoch");
	role_set_vpnd(&r, true, true, t);
	pass(&r, &t, 500);
	ok(r.out.hold, "but we are not well, and it is");
}

static void
a_yielding_node_waits_for_its_gateways(void)
{
	uint64_t t;
	struct role r = active(&t);
	struct role_peer p = {
		.is_active = true, .epoch = 5, .gateways_ok = 2, .gateways = 2
	};

	role_set_gateways(&r, 0, 2);
	role_set_peer(&r, &p);
	pass(&r, &t, 500);
	role_set_group(&r, ROLE_FAULT);
	pass(&r, &t, 10000);
	ok(r.out.hold, "still cut off");
	role_set_gateways(&r, 2, 2);
	pass(&r, &t, 200);
	ok(!r.out.hold, "link healed");
}

static void
a_planned_move_needs_a_ready_peer_and_ends_by_itself(void)
{
	uint64_t t;
	struct role r = active(&t);
	struct role_peer p = well;

	role_set_peer(&r, NULL);
	is_int(role_set_hold(&r, true, false, 5000, t), E_AGAIN, "nobody to take over");
	p.vpnd_bad = true;
	role_set_peer(&r, &p);
	is_int(role_set_hold(&r, true, false, 5000, t), E_AGAIN, "a sick peer");
	p.vpnd_bad = false;
	role_set_peer(&r, &p);
	is_int(role_set_hold(&r, true, false, 5000, t), 0, "a ready one");
	role_tick(&r, t);
	ok(r.out.hold, "let go");
	role_set_group(&r, ROLE_FAULT);
	p.is_active = true;
	p.epoch = 2;
	role_set_peer(&r, &p);
	pass(&r, &t, 500);
	ok(!r.out.hold, "moved");
	ok(!r.out.is_active, "standby");
	is_int(role_set_hold(&r, true, true, 1000, t), 0, "force");
	pass(&r, &t, 1100);
	ok(!r.out.hold, "not longer than asked");
}

static void
a_dead_keepalived_leaves_addresses_to_remove(void)
{
	uint64_t t;
	struct role r = active(&t);

	role_set_keepalived(&r, false, t);
	pass(&r, &t, 1900);
	ok(!r.out.remove_addresses && r.out.is_active, "it may be restarting");
	pass(&r, &t, 300);
	ok(r.out.remove_addresses, "it is not");
	ok(!r.out.is_active, "not active without it");
	role_set_keepalived(&r, true, t);
	role_tick(&r, t);
	ok(!r.out.remove_addresses, "back");
}

static void
after_a_freeze_it_claims_nothing_for_a_second(void)
{
	uint64_t t;
	struct role r = active(&t);

	is_int(r.out.role_value, 20, "before");
	t += 5000;
	role_set_keepalived(&r, true, t);
	role_tick(&r, t);
	is_int(r.out.role_value, 0, "after");
	pass(&r, &t, 1200);
	is_int(r.out.role_value, 20, "nobody objected");
}

static void
a_restarted_hasync_keeps_the_files_until_keepalived_answers(void)
{
	uint64_t t;
	struct role r = started(&primary, &t);

	r.out.role_value = 20;
	pass(&r, &t, 500);
	is_int(r.out.role_value, 20, "asked");
	role_set_group(&r, ROLE_BACKUP);
	role_tick(&r, t);
	is_int(r.out.role_value, 0, "answered");
}

static void
who_is_active_again_after_the_other_takes_a_new_epoch(void)
{
	uint64_t t;
	struct role r = active(&t);
	struct role_peer p = well;

	is_int(r.out.epoch, 1, "first");
	p.epoch = 2; /* it was active while we were frozen, and let go */
	role_set_peer(&r, &p);
	pass(&r, &t, 500);
	is_int(r.out.epoch, 3, "newer than its");
}

static void
who_takes_over_from_one_that_did_not_let_go_stays(void)
{
	uint64_t t;
	struct role r = started(&primary, &t);
	struct role_peer was = {
		.is_active = true, .epoch = 3, .gateways_ok = 2, .gateways = 2
	};

	role_set_peer(&r, &was);
	pass(&r, &t, 1000);
	role_set_group(&r, ROLE_MASTER); /* its adverts have ended */
	role_tick(&r, t);
	is_int(r.out.epoch, 4, "the next epoch");
	is_int(r.out.role_value, 40, "above what a thawed one still claims");
	role_set_peer(&r, NULL);
	pass(&r, &t, 60000);
	is_int(r.out.role_value, 40, "however long it stands still");
	role_set_gateways(&r, 0, 2);
	pass(&r, &t, 2000);
	is_int(r.out.role_value, -100, "not without any gateway");
	role_set_gateways(&r, 2, 2);
	pass(&r, &t, 2000);
	was.is_active = false;
	role_set_peer(&r, &was);
	role_tick(&r, t);
	is_int(r.out.role_value, 20, "until it is heard to be standby");
	role_set_peer(&r, NULL);
	pass(&r, &t, 1000);
	is_int(r.out.role_value, 20, "and not again for its absence");
}

int
main(void)
{
	who_takes_over_from_one_that_did_not_let_go_stays();
	lines_of_the_fifo_are_understood();
	master_is_active_with_the_next_epoch();
	a_node_without_keepalived_is_active_if_it_is_the_primary();
	fewer_gateways_than_the_peer_cost_priority_after_a_second();
	when_nobody_reaches_a_gateway_nothing_moves();
	cut_off_from_all_it_gives_its_bonus_away();
	a_dead_or_stuck_vpnd_is_bad();
	a_busy_machine_is_not_a_stuck_vpnd();
	of_two_active_nodes_one_yields();
	nobody_gives_way_to_a_node_that_cannot_serve();
	a_yielding_node_waits_for_its_gateways();
	a_planned_move_needs_a_ready_peer_and_ends_by_itself();
	a_dead_keepalived_leaves_addresses_to_remove();
	after_a_freeze_it_claims_nothing_for_a_second();
	a_restarted_hasync_keeps_the_files_until_keepalived_answers();
	who_is_active_again_after_the_other_takes_a_new_epoch();
	return done_testing();
}
