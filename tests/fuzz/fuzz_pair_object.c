/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What the other node writes and session reads: counts, states, proposals,
 * configurations, endpoints, revocations. An input is a list of
 *
 *   name 8 (which object) | flags 8 | length 16 | bytes
 *
 * pushed as hasync would, then a second passes. */
#include "vpnd/session/cluster.h"

#include "common/rd.h"
#include "tests/lib/session_lab.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { RUNS_MAX = 2000 }; /* with one table: what was revoked stays */
enum { LAST_WATCH = 7 };  /* HELLO is 1, the watches follow */

static struct control_host control;
static struct pair_host host;
static uv_loop_t loop;

static struct now
lab_now(void *arg)
{
	return lab.now;
}

/* Our parent says no, late or never; it does not matter here. */
static void
on_config_put(void *arg, uint32_t id, enum config_put how, const char *text)
{
}

static void
on_answer(void *arg, uint32_t id, json_t *o)
{
	json_decref(o);
}

static void
prepare(void)
{
	static unsigned runs;

	if (runs++ % RUNS_MAX != 0)
		return;
	if (runs > 1) {
		lab_down();
	} else {
		uv_loop_init(&loop);
		freopen("/dev/null", "w", stdout);
	}
	lab_up();
	control = (struct control_host){ .table = lab.t,
					 .config = &lab.config,
					 .now = lab_now,
					 .generation = 1,
					 .text = "" };
	host = (struct pair_host){ .control = &control,
				   .config_put = on_config_put,
				   .answer = on_answer };
}

static void
push(int store, uint8_t type, struct span name, uint8_t flags, struct span bytes)
{
	static uint8_t buf[80000];
	struct wr w = wr_open(buf, sizeof(buf));
	struct cluster_msg m = { .type = type,
				 .name = name,
				 .flags = flags,
				 .generation = 7,
				 .bytes = bytes };

	if (type == CLUSTER_ROLE)
		m.writer = SPAN("b");
	if (type == CLUSTER_ANSWER)
		m.id = LAST_WATCH;
	cluster_encode(&w, &m);
	(void)!send(store, buf, w.n, MSG_DONTWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	(void)recv(store, buf, sizeof(buf), MSG_DONTWAIT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const name[] = {
		"counts/b",       "node/b",         "config",   "config-proposal",
		"config-confirm", "config-history", "revoked",  "endpoints/b",
		"endpoints/a",    "counts/a",       "borrowed", "counts/c",
	};
	struct rd r = rd_open(span_of(p, n));
	struct pair *pair;
	int fd[2];

	prepare();
	if (pair_new(&pair, &loop, &host) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		abort();
	pair_connect(pair, fd[0]);
	push(fd[1], CLUSTER_ROLE, SPAN("a"), CLUSTER_ACTIVE, (struct span){ 0 });
	/* The store has said what it has. */
	push(fd[1], CLUSTER_ANSWER, (struct span){ 0 }, 0, (struct span){ 0 });
	while (rd_left(&r) >= 4) {
		uint8_t which = rd_u8(&r), flags = rd_u8(&r);
		struct span bytes = rd_take(&r, rd_u16(&r));
		if (rd_short(&r))
			break;
		push(fd[1], CLUSTER_CHANGED,
		     span_str(name[which % (sizeof(name) / sizeof(name[0]))]), flags,
		     bytes);
	}
	static const char *const ask[] = { "nodes", "config_history", "config_rollback",
					   "config_confirm" };
	for (size_t i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
		json_t *q = json_pack("{ss}", "cmd", ask[i]);
		pair_ask(pair, 5, q);
		json_decref(q);
	}
	lab.now.wall_ms += 1000;
	lab.now.mono_ms += 1000;
	pair_tick(pair);
	json_decref(pair_status(pair));
	pair_free(pair);
	close(fd[1]);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
