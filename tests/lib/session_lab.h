/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* session_lab.h -- a session table among fakes: `keys` answers at once with a
 * "seal" that is hexadecimal, everything else is counted and kept.
 *
 * Time stands still unless a test moves lab.now.
 */
#ifndef TESTS_LIB_SESSION_LAB_H
#define TESTS_LIB_SESSION_LAB_H

#include "common/log.h"
#include "tests/lib/tap.h"
#include "vpnd/session/session.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

static struct lab {
	struct session_table *t;
	struct config config;
	int dir;
	char path[64];
	struct now now;
	bool keys_are_silent, keys_are_bad;
	union ipc_body last[IPC_TYPES]; /* the last of each kind sent */
	unsigned sent[IPC_TYPES], to[IPC_TYPES];
	unsigned events[EVENTS];
	char reason[EVENTS][64];
	struct event usage;
	uint32_t next_id;
	unsigned told_revoked, told_up, told_down; /* to the other node */
	struct claims borrowed; /* the last address of the other half, and how many */
	unsigned told_borrowed;
	const char *device; /* of the next logins; NULL: none */
	bool wants4_only;   /* the next tunnels */
} lab;

static void
lab_seal(const struct ipc_token_seal *m)
{
	struct ipc_token_sealed a = { .id = m->id, .is_bad = lab.keys_are_bad };

	for (uint32_t i = 0; i < m->claims.n; i++)
		snprintf(a.token + 2 * i, 3, "%02x", m->claims.p[i]);
	session_sealed(lab.t, &a, lab.now);
}

static void
lab_open(const struct ipc_token_open *m)
{
	struct ipc_token_opened a = { .id = m->id };
	unsigned byte;

	while (sscanf(m->token + 2 * a.claims.n, "%2x", &byte) == 1)
		a.claims.p[a.claims.n++] = (uint8_t)byte;
	a.is_bad = a.claims.n == 0;
	session_opened(lab.t, &a, lab.now);
}

static void
lab_send(void *arg, enum ipc_process to, unsigned index, enum ipc_type type,
	 const void *body)
{
	static uint8_t buf[IPC_PACKET_MAX];
	enum ipc_type back;
	size_t n;

	lab.sent[type]++;
	lab.to[type] = index;
	if (ipc_encode(type, body, buf, sizeof(buf), &n) < 0 ||
	    ipc_decode(span_of(buf, n), &back, &lab.last[type]) < 0)
		ok(false, "%s does not go over the wire", ipc_row[type].name);
	if (type == IPC_token_seal && !lab.keys_are_silent)
		lab_seal(&lab.last[type].token_seal);
	if (type == IPC_token_open && !lab.keys_are_silent)
		lab_open(&lab.last[type].token_open);
}

static void
lab_event(void *arg, const struct event *e)
{
	lab.events[e->what]++;
	snprintf(lab.reason[e->what], sizeof(lab.reason[0]), "%s",
		 e->reason ? e->reason : "");
	if (e->has_usage)
		lab.usage = *e;
}

static void
lab_revoked(void *arg, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s)
{
	lab.told_revoked++;
}

static void
lab_tunnel(void *arg, const struct session *s, bool is_up)
{
	lab.told_up += is_up;
	lab.told_down += !is_up;
}

static void
lab_borrowed(void *arg, const struct session *s)
{
	lab.borrowed = s->claims;
	lab.told_borrowed++;
}

static void
lab_forget(void)
{
	memset(lab.sent, 0, sizeof(lab.sent));
	memset(lab.events, 0, sizeof(lab.events));
	lab.told_revoked = lab.told_up = lab.told_down = 0;
}

static void
lab_start(void)
{
	static const struct session_out out = { .send = lab_send,
						.event = lab_event,
						.revoked = lab_revoked,
						.tunnel = lab_tunnel,
						.borrowed = lab_borrowed };

	is_int(session_table_new(&lab.t, &lab.config,
				 session_slots(lab.config.session_limit), lab.dir, &out,
				 lab.now),
	       0, "the table starts");
	lab_forget();
}

/* kill -9 and a new process: what is not on disk is gone. */
__attribute__((unused)) static void
lab_restart(void)
{
	session_table_free(lab.t);
	lab_start();
}

static void
lab_up(void)
{
	memset(&lab, 0, sizeof(lab));
	log_set_fd(open("/dev/null", O_WRONLY));
	snprintf(lab.path, sizeof(lab.path), "/tmp/session-test.XXXXXX");
	lab.dir = open(mkdtemp(lab.path), O_RDONLY | O_DIRECTORY);
	lab.now = (struct now){ .mono_ms = 1000000, .wall_ms = 1700000000000 };
	lab.config = (struct config){ .enabled = true,
				      .session_limit = 50,
				      .session_timeout_s = 28800,
				      .disconnected_s = 1800 };
	inet_pton(AF_INET, "10.9.0.0", &lab.config.pool4.addr);
	lab.config.pool4.len = 24;
	inet_pton(AF_INET6, "2001:db8::", &lab.config.pool6.addr);
	lab.config.pool6.len = 64;
	lab_start();
}

static void
lab_down(void)
{
	session_table_free(lab.t);
	unlinkat(lab.dir, "leases", 0);
	unlinkat(lab.dir, "revoked", 0);
	close(lab.dir);
	rmdir(lab.path);
}

__attribute__((unused)) static void
lab_wait(unsigned s)
{
	lab.now.mono_ms += s * 1000ull;
	lab.now.wall_ms += s * 1000ull;
	session_tick(lab.t, lab.now);
}

/* A proven login by worker 0; true if it got a token. */
__attribute__((unused)) static bool
lab_login(const char *user, char token[IPC_TOKEN_MAX + 1])
{
	struct ipc_login_proven m = { .worker = 0, .id = ++lab.next_id, .attempt = 1 };

	snprintf(m.user, sizeof(m.user), "%s", user);
	snprintf(m.device, sizeof(m.device), "%s", lab.device ? lab.device : "");
	unsigned before = lab.sent[IPC_token_issued];
	session_login(lab.t, &m, lab.now);
	if (lab.sent[IPC_token_issued] == before)
		return false;
	const struct ipc_token_issued *a = &lab.last[IPC_token_issued].token_issued;
	snprintf(token, IPC_TOKEN_MAX + 1, "%s", a->token);
	return a->id == m.id && a->verdict == TOKEN_OK;
}

/* A tunnel by worker w. The verdict. */
__attribute__((unused)) static int
lab_connect(unsigned w, const char *token)
{
	struct ipc_tunnel_ask m = { .id = ++lab.next_id,
				    .wants4 = 1,
				    .wants6 = !lab.wants4_only,
				    .mtu = 1400,
				    .dtls_mode = DTLS_PSK,
				    .agent = "Open AnyConnect VPN Agent v9.01" };

	snprintf(m.token, sizeof(m.token), "%.*s", IPC_TOKEN_MAX, token);
	unsigned before = lab.sent[IPC_tunnel_grant];
	session_ask(lab.t, w, &m, lab.now);
	const struct ipc_tunnel_grant *g = &lab.last[IPC_tunnel_grant].tunnel_grant;
	return lab.sent[IPC_tunnel_grant] == before || g->id != m.id ? -1 : g->verdict;
}

__attribute__((unused)) static struct ipc_tunnel_grant
lab_grant(void)
{
	return lab.last[IPC_tunnel_grant].tunnel_grant;
}

__attribute__((unused)) static void
lab_drop(unsigned w, struct ipc_tunnel_grant g, enum tunnel_end why)
{
	session_down(lab.t, w,
		     &(struct ipc_tunnel_down){
			     .slot = g.slot, .gen = g.gen, .conn = g.id, .why = why },
		     lab.now);
}

#endif
