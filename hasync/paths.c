/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/paths.h"

#include "common/err.h"

#include <corosync/cmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 1000, OLD_MS = 3000, NODES_MAX = 16 };

/* What a thread works on, and nobody else meanwhile. */
struct asked {
	struct path at[PATHS_MAX];
	size_t n;
	bool is_good;
};

struct paths {
	uv_loop_t *loop;
	uv_work_t work;
	bool is_asking;
	uint64_t asked_ms, answered_ms; /* 0: never */
	struct asked asked;
	struct path at[PATHS_MAX];
	size_t n;
};

static void
add(struct asked *a, unsigned link, const char *address, bool is_up)
{
	static const char *const name[] = { "heartbeat", "lan" };

	if (a->n == PATHS_MAX)
		return;
	struct path *p = &a->at[a->n++];
	if (link < 2)
		snprintf(p->name, sizeof(p->name), "%s", name[link]);
	else
		snprintf(p->name, sizeof(p->name), "link%u", link);
	snprintf(p->address, sizeof(p->address), "%.63s", address);
	p->is_up = is_up;
}

/* The node at this place of corosync's list. */
static void
ask_node(struct asked *a, cmap_handle_t config, cmap_handle_t stats, unsigned place,
	 uint32_t self)
{
	char key[CMAP_KEYNAME_MAXLEN + 1], *address;
	uint32_t id;
	uint8_t up;

	snprintf(key, sizeof(key), "nodelist.node.%u.nodeid", place);
	if (cmap_get_uint32(config, key, &id) != CS_OK || id == self)
		return;
	for (unsigned link = 0; link < PATHS_MAX; link++) {
		snprintf(key, sizeof(key), "nodelist.node.%u.ring%u_addr", place, link);
		if (cmap_get_string(config, key, &address) != CS_OK)
			continue;
		snprintf(key, sizeof(key), "stats.knet.node%u.link%u.connected", id,
			 link);
		bool is_up = cmap_get_uint8(stats, key, &up) == CS_OK && up != 0;
		add(a, link, address, is_up);
		free(address);
	}
}

static void
ask(uv_work_t *work)
{
	struct paths *p = work->data;
	struct asked *a = &p->asked;
	cmap_handle_t config, stats;
	uint32_t self;

	*a = (struct asked){ 0 };
	if (cmap_initialize(&config) != CS_OK)
		return;
	if (cmap_initialize_map(&stats, CMAP_MAP_STATS) == CS_OK) {
		a->is_good = cmap_get_uint32(config, "runtime.votequorum.this_node_id",
					     &self) == CS_OK;
		for (unsigned i = 0; a->is_good && i < NODES_MAX; i++)
			ask_node(a, config, stats, i, self);
		(void)cmap_finalize(stats);
	}
	(void)cmap_finalize(config);
}

static void
on_answer(uv_work_t *work, int status)
{
	struct paths *p = work->data;

	p->is_asking = false;
	if (status < 0 || !p->asked.is_good)
		return;
	p->answered_ms = uv_now(p->loop);
	memcpy(p->at, p->asked.at, sizeof(p->at));
	p->n = p->asked.n;
}

int
paths_open(struct paths **out, uv_loop_t *loop)
{
	struct paths *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return E_NOMEM;
	p->loop = loop;
	p->work.data = p;
	*out = p;
	return 0;
}

void
paths_tick(struct paths *p)
{
	uint64_t now = uv_now(p->loop);

	if (p->is_asking || (p->asked_ms != 0 && now - p->asked_ms < ASK_MS))
		return;
	p->asked_ms = now;
	p->is_asking = uv_queue_work(p->loop, &p->work, ask, on_answer) == 0;
}

size_t
paths_get(const struct paths *p, const struct path **at, bool *is_old)
{
	*at = p->at;
	*is_old = p->answered_ms == 0 || uv_now(p->loop) - p->answered_ms > OLD_MS;
	return p->n;
}

void
paths_free(struct paths *p)
{
	free(p);
}
