/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "tests/lib/session_lab.h"
#include "vpnd/session/clients.h"

static char token[4][IPC_TOKEN_MAX + 1];

static void
a_mac_is_made_from_the_user_name(void)
{
	char a[CLIENT_MAC], b[CLIENT_MAC];
	unsigned first;

	/* printf xyz.test@example.com | sha256sum, two bits set */
	client_mac(a, "xyz.test@example.com");
	client_mac(b, "xyz.test@example.com");
	is_str(a, b, "R153 the same for the same name");
	is_str(a, "c2:ee:34:91:db:83", "R153 known to other nodes");
	for (int i = 0; i < 300; i++) {
		char user[16];
		snprintf(user, sizeof(user), "user%d", i);
		client_mac(b, user);
		if (sscanf(b, "%2x", &first) != 1 || (first & 3) != 2 ||
		    strcmp(a, b) == 0)
			break;
		if (i == 299)
			ok(true,
			   "R153 unicast, locally administered, another for another");
	}
}

static void
versions_are_found_in_agents(void)
{
	static const struct {
		const char *agent, *version;
	} cases[] = {
		{ "AnyConnect Windows 4.8.02042", "4.8.02042" },
		{ "AnyConnect AppleSSLVPN_Darwin_ARM (iPhone) 5.0.00246", "5.0.00246" },
		{ "Open AnyConnect VPN Agent v9.01-3", "9.01-3" },
		{ "Cisco Secure Client 5", "" },
		{ "", "" },
		{ "   v. 7", "" },
		{ "x 1.000000000000000000000000000000000000000000",
		  "1.00000000000000000000000000000" },
	};
	char out[CLIENT_VERSION];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		client_version(out, cases[i].agent);
		is_str(out, cases[i].version, "of \"%s\"", cases[i].agent);
	}
}

static void
a_user_is_one_entry_that_follows_the_devices(void)
{
	static const char *const user[] = { "zoe", "alice", "alice", "bob" };
	struct ipc_tunnel_grant g[4];
	struct client_entry *e;
	unsigned n;

	lab_up();
	for (int i = 0; i < 4; i++) {
		lab_login(user[i], token[i]);
		lab_wait(1);
		is_int(lab_connect(0, token[i]), TOKEN_OK, "%s connects", user[i]);
		g[i] = lab_grant();
	}
	lab_login("carol", token[0]);
	is_int(clients_list(lab.t, &e, &n), 0, "lists");
	is_int(n, 3, "R154 one entry per user, none without a tunnel");
	is_str(e[0].latest->claims.user, "alice", "by name");
	is_int(e[0].devices, 2, "with two devices");
	is_int(e[0].latest->slot, g[2].slot, "R154 the most recent one");
	is_str(e[2].latest->claims.user, "zoe", "the last");
	free(e);
	lab_drop(0, g[2], TUNNEL_LOGOUT);
	clients_list(lab.t, &e, &n);
	is_int(e[0].latest->slot, g[1].slot, "R154 the entry follows to the other");
	is_int(e[0].devices, 1, "which is alone");
	free(e);
	lab_drop(0, g[1], TUNNEL_DEAD);
	clients_list(lab.t, &e, &n);
	is_int(n, 2, "R154 and ends with the last");
	free(e);
	lab_down();
}

int
main(void)
{
	a_mac_is_made_from_the_user_name();
	versions_are_found_in_agents();
	a_user_is_one_entry_that_follows_the_devices();
	return done_testing();
}
