/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "tests/lib/session_lab.h"

static char token[8][IPC_TOKEN_MAX + 1];

static const char *
refusal(void)
{
	return lab.last[IPC_token_issued].token_issued.reason;
}

static void
the_gateway_is_full_at_its_limit_and_a_place_is_free_at_once(void)
{
	struct ipc_tunnel_grant g[5];

	lab_up();
	lab.config.session_limit = 5;
	for (int i = 0; i < 5; i++) {
		ok(lab_login("alice", token[i]), "login %d", i);
		is_int(lab_connect(0, token[i]), TOKEN_OK, "connect %d", i);
		g[i] = lab_grant();
	}
	ok(!lab_login("frank", token[5]), "the sixth is refused");
	is_str(refusal(),
	       "The session limit of this gateway is reached. Try again later.",
	       "with a reason one can read");
	is_int(lab.events[EV_SESSION_LIMIT], 1, "and one event");
	is_int(session_count(lab.t, SESSION_CONNECTED), 5, "the others stay");
	lab_drop(0, g[3], TUNNEL_LOST);
	is_int(lab_connect(1, token[3]), TOKEN_OK, "a known one needs no second place");
	lab_drop(0, g[1], TUNNEL_LOGOUT);
	ok(lab_login("frank", token[5]), "the freed place is usable at once");
	lab_down();
}

static void
a_login_holds_its_place_for_a_minute(void)
{
	lab_up();
	lab.config.session_limit = 1;
	ok(lab_login("alice", token[0]), "login");
	ok(!lab_login("bob", token[1]), "the place is hers");
	lab_wait(60);
	ok(lab_login("bob", token[1]), "for a minute");
	is_int(lab_connect(0, token[0]), TOKEN_OK, "her token still works");
	lab_down();
}

static void
a_lost_client_gives_its_place_away(void)
{
	lab_up();
	lab.config.session_limit = 1;
	lab_login("alice", token[0]);
	lab_connect(0, token[0]);
	lab_drop(0, lab_grant(), TUNNEL_DEAD);
	ok(lab_login("bob", token[1]), "the place is free");
	lab_down();
}

static void
a_user_has_a_limit_of_his_own(void)
{
	lab_up();
	lab.config.user_sessions = 2;
	ok(lab_login("alice", token[0]) && lab_login("alice", token[1]),
	   "two are fine");
	ok(!lab_login("alice", token[2]), "not three");
	is_str(refusal(), "You have too many sessions. Disconnect one and try again.",
	       "why");
	ok(lab_login("bob", token[3]), "another user may");
	lab_down();
}

static void
the_newest_session_of_a_user_wins(void)
{
	lab_up();
	lab.config.user_sessions = 2;
	lab.config.user_sessions_policy = DISPLACE_OLDEST;
	for (int i = 0; i < 2; i++) {
		ok(lab_login("alice", token[i]), "login %d", i);
		is_int(lab_connect(0, token[i]), TOKEN_OK, "connect %d", i);
		lab_wait(1);
	}
	lab_login("bob", token[3]);
	lab_connect(0, token[3]);
	ok(lab_login("alice", token[2]), "the third gets in");
	is_int(lab.events[EV_CLIENT_DISCONNECTED], 1, "one session ends");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "displaced_limit",
	       "for this reason");
	const struct ipc_tunnel_close *c = &lab.last[IPC_tunnel_close].tunnel_close;
	ok(c->say && strstr(c->reason, "the limit is 2 sessions"),
	   "its client is told");
	is_int(lab_connect(0, token[0]), TOKEN_REFUSED, "it was the oldest");
	is_int(lab_connect(0, token[1]), TOKEN_OK, "the second stays");
	is_int(lab_connect(0, token[2]), TOKEN_OK, "the third connects");
	is_int(lab_connect(0, token[3]), TOKEN_OK, "nobody else is touched");
	lab.config.session_limit = 3;
	ok(lab_login("alice", token[4]), "also when the gateway is full");
	ok(!lab_login("carol", token[5]), "which it stays");
	lab.config.user_sessions = 1;
	ok(lab_login("alice", token[4]),
	   "a lowered limit holds from the next login on");
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "bob");
	is_int(session_count(lab.t, SESSION_PENDING), 1, "and one of alice");
	lab_down();
}

static void
the_same_device_takes_its_place_again(void)
{
	lab_up();
	lab.config.user_sessions = 2;
	lab.config.user_sessions_policy = DISPLACE_DEVICE;
	lab.device = "laptop";
	lab_login("alice", token[0]);
	lab_connect(0, token[0]);
	lab.device = "desktop";
	lab_login("alice", token[1]);
	lab_connect(0, token[1]);
	lab.device = "phone";
	ok(!lab_login("alice", token[2]), "a third device is refused");
	is_str(refusal(), "You have too many sessions. Disconnect one and try again.",
	       "why");
	lab.device = NULL;
	ok(!lab_login("alice", token[2]), "and one without a name");
	is_int(lab.events[EV_CLIENT_DISCONNECTED], 0, "nothing has ended");
	lab.device = "laptop";
	ok(lab_login("alice", token[2]), "the laptop may come again");
	is_int(lab_connect(0, token[2]), TOKEN_OK, "it connects");
	is_int(lab_connect(0, token[0]), TOKEN_REFUSED, "in place of its old session");
	is_int(lab_connect(0, token[1]), TOKEN_OK, "the desktop stays");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "displaced_limit", "the reason");
	lab_down();
}

static void
an_empty_pool_refuses_the_next_and_harms_nobody(void)
{
	lab_up();
	session_table_free(lab.t);
	lab.config.pool4.len = 29;
	lab_start();
	for (int i = 0; i < 5; i++)
		ok(lab_login("alice", token[i]) && lab_connect(0, token[i]) == TOKEN_OK,
		   "client %d", i);
	ok(!lab_login("bob", token[5]), "no address is left");
	is_str(refusal(), "No address is free in the client pool.", "why");
	is_int(lab.events[EV_POOL_EXHAUSTED], 1, "one event");
	is_int(session_count(lab.t, SESSION_CONNECTED), 5, "the others stay");
	is_int(session_count(lab.t, SESSION_PENDING), 0, "and nothing is left behind");
	lab_down();
}

static void
slots_have_headroom_and_a_bound(void)
{
	is_int(session_slots(5), 74, "small");
	is_int(session_slots(1500), 3064, "usual");
	is_int(session_slots(50000), 65536, "large");
}

int
main(void)
{
	the_gateway_is_full_at_its_limit_and_a_place_is_free_at_once();
	a_login_holds_its_place_for_a_minute();
	a_lost_client_gives_its_place_away();
	a_user_has_a_limit_of_his_own();
	the_newest_session_of_a_user_wins();
	the_same_device_takes_its_place_again();
	an_empty_pool_refuses_the_next_and_harms_nobody();
	slots_have_headroom_and_a_bound();
	return done_testing();
}
