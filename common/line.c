/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/line.h"

#include "common/err.h"
#include "common/log.h"

enum { RETRY_MS = 500 };

static void
take_text(char *to, size_t cap, struct span s)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

static void
take_role(struct line *l, const struct cluster_msg *m)
{
	bool is_active = m->flags & CLUSTER_ACTIVE;

	take_text(l->role.node, sizeof(l->role.node), m->name);
	take_text(l->role.peer, sizeof(l->role.peer), m->writer);
	/* Active again under another epoch: in between it was someone else. */
	if (is_active && l->role.is_active && m->generation != l->role.epoch) {
		l->role.is_active = false;
		l->rules->on_role(l->arg);
	}
	l->role.epoch = m->generation;
	l->role.is_active = is_active;
	l->rules->on_role(l->arg);
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	struct line *l = arg;

	if (m->type == CLUSTER_ROLE)
		take_role(l, m);
	else if (m->type == CLUSTER_CHANGED)
		l->rules->on_object(l->arg, m);
}

static void
on_watched(void *arg, const struct cluster_msg *m)
{
	struct line *l = arg;

	if (m->status != CLUSTER_OK || l->rules->watched[++l->n_told] != NULL)
		return;
	l->is_ready = true;
	l->said_down = false;
	log_info(0, "hasync: connected node=%s", l->role.node);
	l->rules->on_ready(l->arg);
}

static void
on_up(void *arg)
{
	struct line *l = arg;
	struct cluster_msg m = { .type = CLUSTER_HELLO,
				 .name = span_str(l->rules->kind) };
	int rc = cluster_call(l->cluster, &m, NULL, NULL);

	if (l->rules->on_up != NULL)
		l->rules->on_up(l->arg);
	m.type = CLUSTER_WATCH;
	for (const char *const *w = l->rules->watched; rc == 0 && *w != NULL; w++) {
		m.name = span_str(*w);
		rc = cluster_call(l->cluster, &m, on_watched, l);
	}
	if (rc < 0)
		log_warn(0, "hasync: %s", err_text(rc));
}

static void on_retry(uv_timer_t *t);

static void
on_down(void *arg, int rc)
{
	struct line *l = arg;
	bool was_active = l->role.is_active;

	if (!l->said_down)
		log_warn(0,
			 "hasync is not reached (%s): %s; nothing is written until it "
			 "is",
			 l->path, err_text(rc));
	l->said_down = true;
	cluster_free(l->cluster);
	l->cluster = NULL;
	l->n_told = 0;
	l->is_ready = l->role.is_active = false;
	uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
	if (was_active)
		l->rules->on_role(l->arg);
}

static void
on_retry(uv_timer_t *t)
{
	static const struct cluster_handlers handlers = { on_up, on_push, on_down };
	struct line *l = t->data;
	int rc = cluster_new(&l->cluster, t->loop, &handlers, l);

	if (rc == 0)
		rc = cluster_connect(l->cluster, l->path);
	if (rc < 0)
		on_down(l, rc);
}

int
line_open(struct line *l, uv_loop_t *loop, const char *path,
	  const struct line_rules *rules, void *arg)
{
	*l = (struct line){ .rules = rules, .arg = arg };
	if (strlen(path) >= sizeof(l->path))
		return -ENAMETOOLONG;
	memcpy(l->path, path, strlen(path) + 1);
	uv_timer_init(loop, &l->retry);
	l->retry.data = l;
	return uv_timer_start(&l->retry, on_retry, 0, 0);
}

void
line_close(struct line *l, uv_close_cb closed)
{
	cluster_free(l->cluster);
	l->cluster = NULL;
	l->is_ready = l->role.is_active = false;
	uv_close((uv_handle_t *)&l->retry, closed);
}

int
line_call(struct line *l, const struct cluster_msg *m, cluster_done done, void *arg)
{
	return l->cluster == NULL ? E_CLOSED : cluster_call(l->cluster, m, done, arg);
}

void
line_event(struct line *l, const char *name, const char *text)
{
	struct cluster_msg m = { .type = CLUSTER_EVENT,
				 .name = span_str(name),
				 .bytes = span_str(text) };

	(void)line_call(l, &m, NULL, NULL);
}
