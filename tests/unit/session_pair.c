/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "tests/lib/session_lab.h"

static struct session *
only_session(void)
{
	for (uint32_t i = 0; i < session_table_slots(lab.t); i++)
		if (session_at(lab.t, i) != NULL)
			return session_at(lab.t, i);
	return NULL;
}

static unsigned
last_host(const char *token)
{
	lab_connect(0, token);
	return lab_grant().addr4.b[3];
}

static void
restart_as(enum node_role role)
{
	lab.config.node_role = role;
	lab_restart();
}

static void
each_node_leases_its_half(void)
{
	char token[IPC_TOKEN_MAX + 1];

	lab_up();
	restart_as(NODE_PRIMARY);
	ok(lab_login("a", token) && last_host(token) % 2 == 0, "the primary: even");
	ok(lab_login("b", token) && last_host(token) % 2 == 0, "again");
	restart_as(NODE_SPARE);
	ok(lab_login("c", token) && last_host(token) % 2 == 1, "the spare: odd");
	restart_as(NODE_SINGLE);
	is_int(pool_size(session_pool(lab.t)), 253, "alone: all of them");
	lab_down();
}

static void
a_session_of_the_other_half_stays_valid(void)
{
	char token[IPC_TOKEN_MAX + 1], mine[IPC_TOKEN_MAX + 1];

	lab_up();
	restart_as(NODE_PRIMARY);
	lab_login("a", token);
	unsigned host = last_host(token);
	lab_down();

	lab_up(); /* another disk */
	restart_as(NODE_SPARE);
	session_peer(lab.t, true, 0, lab.now);
	lab_wait(100);
	lab_login("b", mine);
	is_int(lab_connect(1, token), TOKEN_OK, "the other node's token is taken");
	is_int(lab_grant().addr4.b[3], host, "with its address");
	is_int(lab_grant().session_left_s, 28800 - 100, "the time left goes on");
	ok(lab_grant().is_reconnect, "it is a reconnect");
	is_int(lab.events[EV_CLIENT_RECONNECTED], 1, "and is told so");
	ok(strcmp(lab.reason[EV_CLIENT_RECONNECTED], "failover") == 0,
	   "because of a failover");
	lab_connect(1, token);
	ok(lab.reason[EV_CLIENT_RECONNECTED][0] == '\0',
	   "the next one is an ordinary one");
	lab_down();
}

static unsigned
logins_until_full(void)
{
	char token[IPC_TOKEN_MAX + 1], user[16];
	unsigned n = 0;

	for (; n < 300; n++) {
		snprintf(user, sizeof(user), "u%u", n);
		if (!lab_login(user, token))
			break;
	}
	return n;
}

static void
the_other_half_is_borrowed_only_in_need(void)
{
	lab_up();
	inet_pton(AF_INET, "10.9.0.0", &lab.config.pool4.addr);
	lab.config.pool4.len = 27; /* hosts 2 to 30: 15 even, 14 odd */
	lab.config.session_limit = 1000;
	lab.config.session_timeout_s = 3600;
	restart_as(NODE_PRIMARY);
	is_int(logins_until_full(), 15, "our half");
	is_int(lab.events[EV_POOL_EXHAUSTED], 1, "is full");
	session_peer(lab.t, false, 0, lab.now);
	is_int(logins_until_full(), 0, "with the peer there, that is all");
	session_peer(lab.t, true, POOL_NONE, lab.now);
	is_int(logins_until_full(), 0, "nor when we do not know what it leased");
	/* Below 20 it leased; 3 more it may have leased since it said so. */
	session_peer(lab.t, true, 20, lab.now);
	is_int(logins_until_full(), 4, "23, 25, 27, 29 were never leased");
	lab.now.mono_ms += 200 * 1000; /* pending ones stay for 5 minutes */
	is_int(logins_until_full(), 0, "and no more");
	is_int((int)lab.told_borrowed, 4, "the peer is told of each");
	for (uint32_t i = 0; i < session_table_slots(lab.t); i++) {
		struct session *s = session_at(lab.t, i);
		if (s != NULL)
			session_end(lab.t, s, "admin", NULL, lab.now);
	}
	lab.now.mono_ms += 3601 * 1000;
	is_int(logins_until_full(), 29, "older than any session: the whole pool");
	lab_down();
}

/* 10.9.0.0/27: hosts 2 to 30, 15 even, 14 odd. */
static void
small_pool_as(enum node_role role)
{
	lab_up();
	inet_pton(AF_INET, "10.9.0.0", &lab.config.pool4.addr);
	lab.config.pool4.len = 27;
	lab.config.session_limit = 1000;
	restart_as(role);
}

static void
borrowed_there(const struct claims *c)
{
	session_borrowed_there(lab.t, &c->addr4, c->sid, c->wall_expiry_s, lab.now);
}

static void
what_was_borrowed_there_is_not_leased_here(void)
{
	char token[IPC_TOKEN_MAX + 1];

	small_pool_as(NODE_SPARE);
	logins_until_full();
	session_peer(lab.t, true, 0, lab.now);
	ok(lab_login("late", token), "the primary is away, its half is borrowed from");
	struct claims c = lab.borrowed, mine;
	is_int(c.addr4.b[3] % 2, 0, "an even host");
	lab_down();

	small_pool_as(NODE_PRIMARY); /* it comes back, and is told */
	borrowed_there(&c);
	borrowed_there(&c);
	is_int(logins_until_full(), 14, "one of its 15 is not leased");
	is_int(lab_connect(0, token), TOKEN_OK, "it is whose it is");
	is_int(lab_grant().addr4.b[3], c.addr4.b[3], "the same address");
	lab_wait(61);
	session_end(lab.t, session_by_sid(lab.t, c.sid), "admin", NULL, lab.now);
	is_int(logins_until_full(), 1, "when it has ended, the address is free");
	lab_down();

	small_pool_as(NODE_PRIMARY);
	borrowed_there(&c);
	lab_wait(60);
	is_int(logins_until_full(), 14, "a sweep changes nothing");
	session_revoked_there(lab.t, c.sid, c.wall_expiry_s, lab.now);
	lab_wait(60);
	is_int(logins_until_full(), 1, "a logout there does");
	lab_down();

	small_pool_as(NODE_PRIMARY);
	borrowed_there(&c);
	lab_wait(28801);
	is_int(logins_until_full(), 15, "or the token's end");
	borrowed_there(&c);
	mine = c;
	mine.addr4.b[3] = 23;
	borrowed_there(&mine);
	mine.addr4.b[0] = 99;
	borrowed_there(&mine);
	ok(true, "what is over, not ours or no host is nothing");
	lab_down();
}

static void
what_ends_is_told_to_the_other_node(void)
{
	char token[IPC_TOKEN_MAX + 1];

	lab_up();
	lab_login("a", token);
	lab_connect(0, token);
	is_int(lab.told_up, 1, "a connection is told");
	lab_drop(0, lab_grant(), TUNNEL_LOST);
	is_int(lab.told_down, 1, "and its end");
	lab_connect(0, token);
	is_int(lab.told_up, 2, "and its return");
	session_end(lab.t, only_session(), "admin", "x", lab.now);
	is_int(lab.told_down, 2, "a kick ends it");
	is_int(lab.told_revoked, 1, "and revokes its token");
	lab_down();
}

static void
what_ends_there_ends_here(void)
{
	char token[IPC_TOKEN_MAX + 1];

	lab_up();
	lab_login("a", token);
	lab_connect(0, token);
	struct claims c = only_session()->claims;
	session_revoked_there(lab.t, c.sid, c.wall_expiry_s, lab.now);
	ok(only_session() == NULL, "the session ends");
	is_int(lab.told_revoked, 0, "it is no news to the other node");
	is_int(lab.last[IPC_tunnel_close].tunnel_close.say, 1, "the client is told");
	is_int(lab_connect(0, token), TOKEN_REFUSED, "its token is refused");
	lab_down();
}

static void
a_session_that_lives_elsewhere_is_not_ended(void)
{
	char token[IPC_TOKEN_MAX + 1];

	lab_up();
	lab_login("a", token);
	session_peer(lab.t, false, 0, lab.now);
	struct claims c = only_session()->claims;
	session_there(lab.t, c.sid, true, lab.now.wall_ms / 1000, true, lab.now);
	lab_wait(301);
	ok(only_session() != NULL, "a token used there is not forgotten as never used");
	lab_wait(1801);
	ok(only_session() != NULL, "nor one away for long");
	is_int(lab.told_revoked, 0, "nor is it revoked");
	session_there(lab.t, c.sid, false, 0, true, lab.now);
	lab_wait(1799);
	ok(only_session() != NULL, "when it left there, the time begins");
	lab_wait(2);
	ok(only_session() == NULL, "and ends");
	is_int(lab.told_revoked, 1, "with its token");
	lab_down();
}

static void
a_dead_node_keeps_nobody(void)
{
	char token[IPC_TOKEN_MAX + 1];

	lab_up();
	lab_login("a", token);
	session_peer(lab.t, false, 0, lab.now);
	session_there(lab.t, only_session()->claims.sid, true, lab.now.wall_ms / 1000,
		      true, lab.now);
	lab_wait(4000);
	session_peer(lab.t, true, 0, lab.now);
	lab_wait(1799);
	ok(only_session() != NULL, "its clients have their time to come here");
	lab_wait(2);
	ok(only_session() == NULL, "and no more than that");
	lab_down();
}

static void
the_newer_connection_wins(void)
{
	static const struct {
		int64_t their_s; /* against ours */
		bool is_active, yields;
		const char *text;
	} row[] = {
		{ -5, true, false, "theirs is older: we keep it" },
		{ 5, true, true, "theirs is newer: we let go" },
		{ 0, true, false, "at the same second the active node keeps it" },
		{ 0, false, true, "and the other lets go" },
		{ -29, false, true, "also when its clock is late" },
		{ -31, false, false, "but not for a connection long before" },
	};
	char token[IPC_TOKEN_MAX + 1];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		lab_up();
		lab_login("a", token);
		lab_connect(0, token);
		session_peer(lab.t, false, 0, lab.now);
		lab_forget();
		struct session *s = only_session();
		session_there(
			lab.t, s->claims.sid, true,
			(uint64_t)((int64_t)(lab.now.wall_ms / 1000) + row[i].their_s),
			row[i].is_active, lab.now);
		is_int(s->state, row[i].yields ? SESSION_AWAY : SESSION_CONNECTED,
		       row[i].text);
		is_int(lab.sent[IPC_tunnel_close], row[i].yields, "closed or not");
		is_int(lab.last[IPC_tunnel_close].tunnel_close.say, 0,
		       "without a word");
		is_int(lab.told_revoked, 0, "nothing is revoked");
		if (row[i].yields) {
			is_int(lab_connect(0, token), TOKEN_OK, "it may come back");
			ok(strcmp(lab.reason[EV_CLIENT_RECONNECTED], "failover") == 0,
			   "as from the other node");
		}
		lab_down();
	}
}

int
main(void)
{
	each_node_leases_its_half();
	a_session_of_the_other_half_stays_valid();
	the_other_half_is_borrowed_only_in_need();
	what_was_borrowed_there_is_not_leased_here();
	what_ends_is_told_to_the_other_node();
	what_ends_there_ends_here();
	a_session_that_lives_elsewhere_is_not_ended();
	a_dead_node_keeps_nobody();
	the_newer_connection_wins();
	return done_testing();
}
