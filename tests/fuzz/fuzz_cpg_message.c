/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A batch from the peer: as it comes, and its items properly signed, into a store. */
#include "hasync/pair.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t clock_ms = 1000;

static uint64_t
now_ms(void *arg)
{
	return clock_ms;
}

static int
on_send(void *arg, struct span batch)
{
	return 0;
}

static void
on_changed(void *arg, const struct object *o, struct span delta)
{
}

static void
on_result(void *arg, uint64_t ticket, const struct pair_result *r)
{
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
}

static void
get_state(void *arg, struct wire_state *s)
{
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
static const struct pair_config config = {
	.node = "a", .peer = "b", .is_primary = true, .is_clustered = true
};

static void
on_durable(void *arg, uint64_t ticket, int rc)
{
	pair_durable(*(struct pair **)arg, ticket, rc);
}

static void
on_store_event(void *arg, const char *event, const char *object, const char *file)
{
}

static const struct store_handlers store_handlers = { on_durable, on_store_event };

static void
empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
}

/* A new store for each input: one that fills up would hide what comes after. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct pair_member both[] = { { 1, 10, true }, { 2, 20, false } };
	static uint8_t buf[WIRE_BATCH_MAX];
	static char folder[64];
	static uv_loop_t loop;
	static bool is_ready;
	struct store *store;
	struct pair *pair = NULL;

	if (!is_ready) {
		snprintf(folder, sizeof(folder), "/dev/shm/fuzz-cpg-%d", (int)getpid());
		uv_loop_init(&loop);
		is_ready = true;
	}
	if (store_open(&store, &loop, folder, 1, &store_handlers, &pair) < 0 ||
	    pair_new(&pair, &config, store, &handlers, NULL) < 0)
		abort();
	pair_members(pair, both, 2, both, 2);
	pair_deliver(pair, 2, 20, span_of(p, n));
	struct wr w = wr_open(buf, sizeof(buf) - WIRE_MAC);
	struct wire_head head = { .node = SPAN("b"), .incarnation = 3, .seq = 1 };
	wire_open(&w, config.pair, &head);
	wr_bytes(&w, p, n);
	if (!wr_full(&w)) {
		w.cap += WIRE_MAC;
		wire_close(&w, config.key);
		pair_deliver(pair, 2, 20, wr_span(&w));
		clock_ms += 200;
		pair_tick(pair);
		uv_run(&loop, UV_RUN_DEFAULT);
	}
	store_free(store);
	pair_free(pair);
	empty(folder);
	return 0;
}
