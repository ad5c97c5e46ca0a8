/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "tests/lib/session_lab.h"

static char token[IPC_TOKEN_MAX + 1], other[IPC_TOKEN_MAX + 1];

static void
is_addr(struct ip_addr a, const char *want, const char *why)
{
	char text[IP_TEXT];
	is_str(ip_text(&a, text), want, "%s", why);
}

static struct ipc_route_set
route(void)
{
	return lab.last[IPC_route_set].route_set;
}

static void
dtls_up(unsigned w, struct ipc_tunnel_grant g)
{
	struct ipc_dtls_up m = { .slot = g.slot, .gen = g.gen, .cipher = 0x1301 };
	memcpy(m.dtls_id, g.dtls_id, sizeof(m.dtls_id));
	session_dtls_up(lab.t, w, &m);
}

/* A worker met this tunnel's DTLS id in a hello; what it is told. */
static struct ipc_dtls_secret
dtls_ask(unsigned w, struct ipc_tunnel_grant g)
{
	struct ipc_dtls_ask m = { .id = 5 };
	memcpy(m.dtls_id, g.dtls_id, sizeof(m.dtls_id));
	session_dtls_ask(lab.t, w, &m);
	return lab.last[IPC_dtls_secret].dtls_secret;
}

static void
a_login_becomes_a_tunnel_with_both_addresses(void)
{
	lab_up();
	ok(lab_login("alice", token), "login gives a token");
	is_int(session_count(lab.t, SESSION_PENDING), 1, "pending");
	is_int(lab_connect(1, token), TOKEN_OK, "connect");
	struct ipc_tunnel_grant g = lab_grant();
	is_int(lab.to[IPC_tunnel_grant], 1, "the worker that asked is told");
	is_addr(g.addr4, "10.9.0.2", "IPv4");
	is_addr(g.addr6, "2001:db8::2", "IPv6");
	is_str(g.user, "alice", "whose it is");
	is_int(g.session_left_s, 28800, "all the time is left");
	is_int(g.is_reconnect, 0, "the first time");
	is_int(lab.sent[IPC_route_set], 2, "a route for each address");
	is_int(route().worker, 1, "to that worker");
	is_int(route().mtu, 1400, "with its MTU");
	is_int(lab.events[EV_CLIENT_CONNECTED], 1, "an event");
	session_mtu(
		lab.t, 1,
		&(struct ipc_tunnel_mtu){ .slot = g.slot, .gen = g.gen, .mtu = 1300 });
	is_int(route().mtu, 1300, "a smaller path is in the route");
	lab_down();
}

static void
a_reconnect_keeps_everything_and_changes_the_dtls_id(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant a = lab_grant();
	lab_drop(0, a, TUNNEL_LOST);
	is_int(session_count(lab.t, SESSION_AWAY), 1, "away");
	is_int(lab.sent[IPC_route_del], 0, "the route stays");
	lab_wait(60);
	is_int(lab_connect(1, token), TOKEN_OK, "back at another worker");
	struct ipc_tunnel_grant b = lab_grant();
	ok(ip_eq(&a.addr4, &b.addr4) && ip_eq(&a.addr6, &b.addr6),
	   "the same addresses");
	ok(a.slot == b.slot && a.gen == b.gen, "the same name");
	ok(memcmp(a.dtls_id, b.dtls_id, IPC_DTLS_ID) != 0, "a new DTLS id");
	is_int(b.session_left_s, 28740, "the clock ran on");
	is_int(b.is_reconnect, 1, "it says so");
	is_int(route().worker, 1, "the route follows");
	is_int(lab.events[EV_CLIENT_CONNECTED], 1, "connected once");
	is_int(lab.events[EV_CLIENT_RECONNECTED], 1, "reconnected once");
	is_int(lab.events[EV_CLIENT_DISCONNECTED], 0, "never disconnected");
	lab_down();
}

static void
a_newer_connection_displaces_the_older(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	uint32_t first = lab.next_id;
	struct ipc_tunnel_grant g = lab_grant();
	dtls_up(2, g);
	lab_connect(1, token);
	struct ipc_tunnel_close c = lab.last[IPC_tunnel_close].tunnel_close;
	is_int(lab.sent[IPC_tunnel_close], 1, "one is closed");
	is_int(lab.to[IPC_tunnel_close], 0, "at the old worker");
	is_int(c.conn, first, "named by its ask");
	is_int(c.say, 0, "without a word");
	is_int(lab.sent[IPC_dtls_drop], 1, "its DTLS too");
	is_int(lab.to[IPC_dtls_drop], 2, "where that was");
	lab_drop(0, g, TUNNEL_LOST);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1,
	       "news of the old one does not hit the new one");
	lab_down();
}

/* A worker keeps the packets of who has IPv6 at 1280 bytes and more. */
static void
a_worker_of_dtls_learns_the_addresses_that_were_granted(void)
{
	for (int only4 = 0; only4 < 2; only4++) {
		lab_up();
		lab.wants4_only = only4;
		lab_login("alice", token);
		lab_connect(0, token);
		struct ipc_tunnel_grant g = lab_grant();
		struct ipc_dtls_secret s = dtls_ask(2, g);
		ok(ip_eq(&s.addr4, &g.addr4) && g.addr4.family == 4, "IPv4");
		ok(ip_eq(&s.addr6, &g.addr6), "IPv6, or none");
		is_int(s.addr6.family, only4 ? 0 : 6, "as it was asked for");
		dtls_up(2, g);
		struct ipc_dtls_give m = { .worker = 1, .slot = g.slot, .gen = g.gen };
		memcpy(m.dtls_id, g.dtls_id, IPC_DTLS_ID);
		session_dtls_give(lab.t, 2, &m);
		struct ipc_dtls_take a = lab.last[IPC_dtls_take].dtls_take;
		is_int(a.slot, g.slot, "given to another worker");
		ok(ip_eq(&a.addr4, &g.addr4) && ip_eq(&a.addr6, &g.addr6),
		   "which learns the same");
		lab.wants4_only = false;
		lab_down();
	}
}

static void
dtls_steers_the_route_and_gives_it_back(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant g = lab_grant();
	struct ipc_dtls_secret s = dtls_ask(2, g);
	is_int(s.is_bad, 0, "the id is known");
	is_int(s.mode, DTLS_PSK, "with its mode");
	is_str(s.token, token, "and the token for a report");
	struct ipc_tunnel_grant odd = g;
	odd.dtls_id[5] ^= 1;
	is_int(dtls_ask(2, odd).is_bad, 1, "another is not");

	dtls_up(2, g);
	is_int(route().worker, 2, "DTLS carries the downlink");
	dtls_up(3, g);
	is_int(route().worker, 3, "it moved");
	is_int(lab.to[IPC_dtls_drop], 2, "and is forgotten where it was");
	struct ipc_dtls_down d = { .slot = g.slot, .gen = g.gen };
	memcpy(d.dtls_id, g.dtls_id, IPC_DTLS_ID);
	session_dtls_down(lab.t, 2, &d);
	is_int(route().worker, 3, "the old worker's news is late");
	session_dtls_down(lab.t, 3, &d);
	is_int(route().worker, 0, "without DTLS it is TLS again");
	lab_connect(0, token);
	dtls_up(3, g);
	is_int(route().worker, 0, "an id of an older connection moves nothing");
	is_int(lab.to[IPC_dtls_drop], 3, "and is dropped");
	lab_down();
}

static void
a_dead_worker_takes_only_what_it_carried(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	dtls_up(1, lab_grant());
	lab_login("bob", other);
	lab_connect(1, other);
	session_worker_new(lab.t, 1, lab.now);
	is_int(session_count(lab.t, SESSION_AWAY), 2, "bob is away, and alice");
	is_int(lab.to[IPC_tunnel_close], 0, "her TLS connection is closed on worker 0");
	is_int(lab.last[IPC_tunnel_close].tunnel_close.say, 0, "without goodbye");
	is_int(lab.sent[IPC_route_del], 0, "their routes wait for them");
	is_int(lab_connect(0, other), TOKEN_OK, "he comes back");
	lab_down();
}

static void
logout_ends_at_once_or_lingers(void)
{
	struct ipc_tunnel_grant g;

	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	g = lab_grant();
	lab_drop(0, g, TUNNEL_LOGOUT);
	is_int(session_count(lab.t, SESSION_CONNECTED), 0, "openconnect means it");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "client_logout", "says the event");
	is_int(lab.sent[IPC_route_del], 2, "the routes are gone");
	is_int(lab_connect(0, token), TOKEN_REFUSED, "the token is dead");
	is_str(lab.reason[EV_TOKEN_REFUSED], "revoked", "because it was revoked");

	lab_login("bob", other);
	lab_connect(0, other);
	g = lab_grant();
	snprintf(session_at(lab.t, g.slot)->agent, IPC_AGENT_MAX,
		 "AnyConnect Windows 4.10");
	lab_drop(0, g, TUNNEL_LOGOUT);
	is_int(session_count(lab.t, SESSION_LINGER), 1, "a Cisco client may come back");
	lab_wait(10);
	is_int(lab_connect(1, other), TOKEN_OK, "within 15 seconds");
	g = lab_grant();
	snprintf(session_at(lab.t, g.slot)->agent, IPC_AGENT_MAX,
		 "AnyConnect Windows 4.10");
	lab_drop(1, g, TUNNEL_LOGOUT);
	lab_wait(15);
	is_int(session_count(lab.t, SESSION_LINGER), 0, "not later");
	is_int(lab.events[EV_CLIENT_DISCONNECTED], 2, "one event each");
	lab_down();
}

static void
a_logout_by_form_ends_the_session(void)
{
	struct ipc_token_check m = { .id = 1 };

	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	memcpy(m.token, token, sizeof(m.token));
	session_check(lab.t, 1, &m, lab.now);
	is_int(lab.last[IPC_token_checked].token_checked.verdict, TOKEN_OK, "a check");
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "changes nothing");
	m.is_logout = 1;
	session_check(lab.t, 1, &m, lab.now);
	is_int(session_count(lab.t, SESSION_CONNECTED), 0, "a logout does");
	session_check(lab.t, 1, &m, lab.now);
	is_int(lab.last[IPC_token_checked].token_checked.verdict, TOKEN_REFUSED,
	       "for good");
	lab_down();
}

static void
time_runs_out(void)
{
	struct counters mem[200] = { 0 };

	lab_up();
	lab.config.idle_timeout_s = 100;
	session_counters(lab.t, 0, mem, 200);
	lab_login("alice", token);
	lab_connect(0, token);
	uint32_t slot = lab_grant().slot;
	lab_wait(99);
	mem[slot].active_ms = lab.now.mono_ms;
	mem[slot].rx_bytes = 77;
	lab_wait(99);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "data keeps it alive");
	lab_wait(1);
	is_int(session_count(lab.t, SESSION_CONNECTED), 0, "silence ends it");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "idle_timeout", "for that reason");
	is_str(lab.last[IPC_tunnel_close].tunnel_close.reason, "Idle timeout",
	       "the user reads");
	is_int(lab.last[IPC_tunnel_close].tunnel_close.say, 1, "said aloud");
	is_int(lab.usage.rx_bytes, 77, "with its bytes");
	is_int(lab.usage.duration_s, 199, "and its duration");

	lab.config.idle_timeout_s = 0;
	lab.config.session_timeout_s = 50;
	lab_login("bob", other);
	lab_connect(0, other);
	lab_drop(0, lab_grant(), TUNNEL_LOST);
	lab_wait(40);
	is_int(lab_connect(0, other), TOKEN_OK, "back before the end");
	is_int(lab_grant().session_left_s, 10, "with what is left");
	lab_wait(10);
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "session_timeout", "that was all");
	is_int(lab_connect(0, other), TOKEN_REFUSED, "the token expired");
	is_str(lab.reason[EV_TOKEN_REFUSED], "expired", "and that is the reason");

	lab.config.session_timeout_s = 28800;
	lab_login("carol", token);
	lab_wait(299);
	is_int(session_count(lab.t, SESSION_PENDING), 1, "a token waits five minutes");
	lab_wait(1);
	is_int(session_count(lab.t, SESSION_PENDING), 0, "for its first use");
	lab_login("dave", token);
	lab_connect(0, token);
	lab_drop(0, lab_grant(), TUNNEL_DEAD);
	lab_wait(1800);
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "dead_peer", "nobody came back");
	lab_down();
}

static void
a_clock_that_jumps_ends_nothing(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	lab.now.wall_ms += 86400 * 1000ull;
	lab_wait(1);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "a day ahead");
	lab_drop(0, lab_grant(), TUNNEL_LOST);
	is_int(lab_connect(0, token), TOKEN_OK, "and it may come back");
	lab.now.wall_ms -= 3 * 86400 * 1000ull;
	lab_wait(1);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "two days back");
	lab_down();
}

static void
a_user_change_ends_all_that_users_sessions(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	lab_login("alice", other);
	lab_login("bob", other);
	lab_connect(0, other);
	is_int(session_end_user(lab.t, "alice", "password_changed", "Password changed",
				lab.now),
	       2, "both of hers");
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "not his");
	is_int(lab.events[EV_SESSION_REVOKED], 2, "events");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "password_changed",
	       "with the reason");
	is_int(lab_connect(0, token), TOKEN_REFUSED, "the old token is dead");
	lab.config.enabled = false;
	session_config(lab.t, &lab.config, lab.now);
	is_int(session_count(lab.t, SESSION_CONNECTED), 0,
	       "switched off: nobody is left");
	is_str(lab.last[IPC_tunnel_close].tunnel_close.reason, "Service disabled",
	       "told so");
	ok(!lab_login("carol", token), "and nobody comes in");
	lab_down();
}

static struct ipc_tunnel_report
report_of(struct ipc_tunnel_grant g, const char *t, bool has_tls, bool has_dtls)
{
	struct ipc_tunnel_report r = { .slot = g.slot,
				       .gen = g.gen,
				       .has_tls = has_tls,
				       .has_dtls = has_dtls,
				       .mtu = 1400,
				       .dtls_mode = DTLS_PSK };
	memcpy(r.dtls_id, g.dtls_id, IPC_DTLS_ID);
	snprintf(r.token, sizeof(r.token), "%s", t);
	return r;
}

static void
a_restart_of_ours_is_not_noticed(bool with_leases)
{
	lab_up();
	lab_login("zoe", other);
	lab_connect(0, other);
	lab_login("alice", token);
	lab_connect(1, token);
	struct ipc_tunnel_grant g = lab_grant();
	dtls_up(2, g);
	if (!with_leases)
		unlinkat(lab.dir, "leases", 0);
	lab_restart();
	is_int(session_count(lab.t, SESSION_AWAY), with_leases ? 2 : 0,
	       "what the disk knew");
	struct ipc_tunnel_report r = report_of(g, token, false, true);
	session_report(lab.t, 2, &r, lab.now);
	r = report_of(g, token, true, false);
	session_report(lab.t, 1, &r, lab.now);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "it is there again");
	struct session *s = session_at(lab.t, g.slot);
	ok(s != NULL && s->gen == g.gen, "under its name");
	ok(s != NULL && s->has_tls && s->tls_worker == 1 && s->has_dtls &&
		   s->dtls_worker == 2,
	   "with both channels");
	for (int i = 0; i < EVENTS; i++)
		if (lab.events[i] > 0)
			ok(false, "%s was told", event_name[i]);
	is_int(lab.sent[IPC_route_set] + lab.sent[IPC_route_del] +
		       lab.sent[IPC_tunnel_close] + lab.sent[IPC_dtls_drop],
	       0, "nobody is disturbed");
	is_int(dtls_ask(2, g).is_bad, 0, "DTLS may start over");
	lab_login("new", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant next = lab_grant();
	ok(!ip_same_host(&next.addr4, &g.addr4), "its address is not given again");
	lab_down();
}

static void
an_ended_session_stays_ended_after_a_restart(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	session_end(lab.t, session_at(lab.t, lab_grant().slot), "admin", "bye",
		    lab.now);
	/* Killed before the tick could write the set of revoked ids. */
	lab_restart();
	is_int(session_count(lab.t, SESSION_AWAY), 0, "it is not restored");
	is_int(lab_connect(0, token), TOKEN_REFUSED, "its token is refused");
	is_str(lab.reason[EV_TOKEN_REFUSED], "revoked", "as revoked");
	lab_wait(1);
	unlinkat(lab.dir, "leases", 0);
	lab_restart();
	is_int(lab_connect(0, token), TOKEN_REFUSED, "also when only the set is left");
	lab_down();
}

static void
an_unknown_token_that_opens_makes_its_session_anew(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant g = lab_grant();
	unlinkat(lab.dir, "leases", 0);
	lab_restart();
	is_int(lab_connect(0, token), TOKEN_OK, "admitted");
	struct ipc_tunnel_grant back = lab_grant();
	ok(ip_eq(&g.addr4, &back.addr4), "with the address of the token");
	is_int(lab.events[EV_CLIENT_RECONNECTED], 1, "as a reconnect");

	unlinkat(lab.dir, "leases", 0);
	lab_restart();
	lab_login("bob", other);
	is_int(lab_connect(0, token), TOKEN_REFUSED, "not if the address is another's");
	is_str(lab.reason[EV_TOKEN_REFUSED], "foreign_address", "for that reason");
	is_int(lab_connect(0, "zz"), TOKEN_REFUSED, "nor what does not open");
	is_str(lab.reason[EV_TOKEN_REFUSED], "bad_seal", "for its reason");
	lab_down();
}

static void
a_session_taken_over_logs_on_and_off_once(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	is_int(lab.events[EV_CLIENT_CONNECTED], 1, "R157 one log-on");
	unlinkat(lab.dir, "leases", 0);
	lab_restart();
	lab_wait(10);
	is_int(lab_connect(0, token), TOKEN_OK, "the token is taken over");
	is_int(lab.events[EV_CLIENT_CONNECTED], 0, "R157 without a second log-on");
	lab_wait(30);
	lab_drop(0, lab_grant(), TUNNEL_LOGOUT);
	is_int(lab.events[EV_CLIENT_DISCONNECTED], 1, "R157 one log-off");
	is_int(lab.usage.duration_s, 40, "R157 which tells the whole length");
	lab_down();
}

static void
silent_keys_hold_nobody_for_ever(void)
{
	lab_up();
	lab_login("alice", token);
	lab.keys_are_silent = true;
	char bent[IPC_TOKEN_MAX + 1];
	snprintf(bent, sizeof(bent), "%s", token);
	bent[0] ^= 1;
	is_int(lab_connect(0, bent), -1, "no answer yet");
	ok(!lab_login("bob", other), "nor here");
	lab_wait(3);
	is_int(lab.sent[IPC_tunnel_grant], 1, "an answer after all");
	is_int(lab_grant().verdict, TOKEN_LATER, "later");
	is_int(lab.last[IPC_token_issued].token_issued.verdict, TOKEN_REFUSED,
	       "the login too");
	is_int(session_count(lab.t, SESSION_PENDING), 1, "bob's place is free again");
	is_int(lab_connect(0, token), TOKEN_OK, "who is known needs no keys");
	lab_restart();
	is_int(lab_connect(0, token), -1, "but we forget who had which token");
	lab.keys_are_silent = false;
	is_int(lab_connect(0, token), TOKEN_OK, "then it works");
	lab_down();
}

static void
late_messages_hit_nobody(void)
{
	lab_up();
	lab_login("alice", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant g = lab_grant();
	g.gen--;
	lab_drop(0, g, TUNNEL_LOGOUT);
	g.gen++;
	lab_drop(1, g, TUNNEL_LOGOUT);
	g.slot = 0xffffff;
	lab_drop(0, g, TUNNEL_LOGOUT);
	session_opened(lab.t, &(struct ipc_token_opened){ .id = 12345 }, lab.now);
	session_sealed(lab.t, &(struct ipc_token_sealed){ .id = 12345 }, lab.now);
	is_int(session_count(lab.t, SESSION_CONNECTED), 1, "the session is as it was");
	lab_down();
}

int
main(void)
{
	a_login_becomes_a_tunnel_with_both_addresses();
	a_reconnect_keeps_everything_and_changes_the_dtls_id();
	a_newer_connection_displaces_the_older();
	a_worker_of_dtls_learns_the_addresses_that_were_granted();
	dtls_steers_the_route_and_gives_it_back();
	a_dead_worker_takes_only_what_it_carried();
	logout_ends_at_once_or_lingers();
	a_logout_by_form_ends_the_session();
	time_runs_out();
	a_clock_that_jumps_ends_nothing();
	a_user_change_ends_all_that_users_sessions();
	a_restart_of_ours_is_not_noticed(true);
	a_restart_of_ours_is_not_noticed(false);
	an_ended_session_stays_ended_after_a_restart();
	an_unknown_token_that_opens_makes_its_session_anew();
	a_session_taken_over_logs_on_and_off_once();
	silent_keys_hold_nobody_for_ever();
	late_messages_hit_nobody();
	return done_testing();
}
