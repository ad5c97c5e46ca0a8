/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/control.h"

#include "common/ctlsock.h"
#include "common/err.h"
#include "ddns/diagnose.h"
#include "ddns/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LINE_MAX_BYTES = 4096,
	IDLE_MS = 60 * 1000,
	UPDATE_MS = 20 * 1000,
	LOOK_MS = 50, /* has it settled? */
};

/* A question whose answer takes its time. */
struct job {
	struct control *c;
	uint32_t id;
	uv_timer_t timer;
	/* update */
	uint64_t deadline_ms;
	/* diagnose */
	struct diagnose *diagnose;
	int wan, last; /* the one at work; the last one wanted */
	json_t *steps;
};

struct control {
	struct daemon *d;
	struct ctlsock *sock;
	struct job *job[CTLSOCK_CLIENTS]; /* a client has one question open */
};

/* ---- jobs ---- */

static void
on_job_closed(uv_handle_t *h)
{
	struct job *j = h->data;

	json_decref(j->steps);
	free(j);
}

static void
job_end(struct job *j)
{
	for (int i = 0; i < CTLSOCK_CLIENTS; i++)
		if (j->c->job[i] == j)
			j->c->job[i] = NULL;
	diagnose_cancel(j->diagnose);
	j->diagnose = NULL;
	uv_close((uv_handle_t *)&j->timer, on_job_closed);
}

/* NULL: refused. */
static struct job *
job_new(struct control *c, uint32_t id)
{
	struct job *j = calloc(1, sizeof(*j));
	int i = 0;

	while (i < CTLSOCK_CLIENTS && c->job[i] != NULL)
		i++;
	if (j == NULL || i == CTLSOCK_CLIENTS) {
		free(j);
		ctlsock_refuse(c->sock, id, "failed", "%s", err_text(E_NOMEM));
		return NULL;
	}
	c->job[i] = j;
	j->c = c;
	j->id = id;
	uv_timer_init(&c->d->loop, &j->timer);
	j->timer.data = j;
	return j;
}

/* Takes the object. */
static void
job_answer(struct job *j, json_t *o)
{
	struct ctlsock *sock = j->c->sock;
	uint32_t id = j->id;

	job_end(j);
	ctlsock_answer(sock, id, o);
}

static void
on_gone(void *arg, uint32_t id)
{
	struct control *c = arg;

	for (int i = 0; i < CTLSOCK_CLIENTS; i++)
		if (c->job[i] != NULL && c->job[i]->id == id)
			job_end(c->job[i]);
}

/* ---- status ---- */

static json_t *
make_status(const struct daemon *d)
{
	json_t *rows = json_array();

	for (int i = 0; i < CONFIG_WANS; i++) {
		json_t *row = uplink_status(&d->uplink[i]);
		if (row == NULL)
			continue;
		json_object_set_new(row, "wan", json_string(d->uplink[i].name));
		json_array_append_new(rows, row);
	}
	return json_pack(
		"{sb ss sb sb so s{sI sI sI}}", "ok", 1, "node", store_node(d->store),
		"active", store_is_active(d->store), "hasync", store_is_ready(d->store),
		"uplinks", rows, "dns", "sent", (json_int_t)d->counts.sent, "by_tcp",
		(json_int_t)d->counts.by_tcp, "ignored", (json_int_t)d->counts.ignored);
}

/* ---- update ---- */

static void
look_whether_settled(uv_timer_t *t)
{
	struct job *j = t->data;
	struct daemon *d = j->c->d;
	bool is_settled = true;

	for (int i = 0; i < CONFIG_WANS; i++)
		is_settled &= uplink_is_settled(&d->uplink[i]);
	if (is_settled || uv_now(&d->loop) >= j->deadline_ms)
		job_answer(j, make_status(d));
}

/* -1: all of them; -2: there is no such uplink. */
static int
wan_of(const struct daemon *d, const json_t *q)
{
	const char *name = json_string_value(json_object_get(q, "wan"));

	for (int i = 0; name != NULL && i < CONFIG_WANS; i++)
		if (strcmp(d->uplink[i].name, name) == 0)
			return i;
	return name == NULL ? -1 : -2;
}

static void
refuse_wan(struct control *c, uint32_t id)
{
	ctlsock_refuse(c->sock, id, "not_found",
		       "there is no such uplink; wan1 and wan2 have names");
}

static void
cmd_update(struct control *c, uint32_t id, const json_t *q)
{
	struct daemon *d = c->d;
	int wan = wan_of(d, q);

	if (wan == -2) {
		refuse_wan(c, id);
		return;
	}
	if (!store_is_active(d->store)) {
		ctlsock_refuse(
			c->sock, id, "not_active", "%s",
			store_is_ready(d->store)
				? "this node is not the active one: ask the other node"
				: "hasync is not reached: nobody knows whether this "
				  "node may write");
		return;
	}
	struct job *j = job_new(c, id);
	if (j == NULL)
		return;
	for (int i = 0; i < CONFIG_WANS; i++)
		if (wan == -1 || wan == i)
			uplink_force(&d->uplink[i]);
	j->deadline_ms = uv_now(&d->loop) + UPDATE_MS;
	uv_timer_start(&j->timer, look_whether_settled, LOOK_MS, LOOK_MS);
}

/* ---- diagnose ---- */

static void diagnose_next(struct job *j);

static void
on_diagnosed(void *arg, json_t *steps)
{
	struct job *j = arg;

	j->diagnose = NULL;
	json_array_extend(j->steps, steps);
	json_decref(steps);
	j->wan++;
	diagnose_next(j);
}

/* Deferred: a diagnosis may be over before it has begun. */
static void
on_diagnose(uv_timer_t *t)
{
	struct job *j = t->data;
	struct ctlsock *sock = j->c->sock;
	uint32_t id = j->id;
	int rc = diagnose_start(&j->diagnose, j->c->d, j->wan, on_diagnosed, j);

	if (rc < 0) {
		job_end(j);
		ctlsock_refuse(sock, id, "failed", "%s", err_text(rc));
	}
}

static void
diagnose_next(struct job *j)
{
	if (j->wan <= j->last)
		uv_timer_start(&j->timer, on_diagnose, 0, 0);
	else
		job_answer(j, json_pack("{sb sO}", "ok", 1, "steps", j->steps));
}

static void
cmd_diagnose(struct control *c, uint32_t id, const json_t *q)
{
	int wan = wan_of(c->d, q);

	if (wan == -2) {
		refuse_wan(c, id);
		return;
	}
	struct job *j = job_new(c, id);
	if (j == NULL)
		return;
	j->steps = json_array();
	j->wan = wan >= 0 ? wan : 0;
	j->last = wan >= 0 ? wan : CONFIG_WANS - 1;
	diagnose_next(j);
}

/* ---- the socket ---- */

static void
on_question(void *arg, uint32_t id, const json_t *q)
{
	struct control *c = arg;
	const char *cmd = json_string_value(json_object_get(q, "cmd"));

	if (cmd == NULL)
		ctlsock_refuse(c->sock, id, "syntax", "not a JSON object with a cmd");
	else if (strcmp(cmd, "status") == 0)
		ctlsock_answer(c->sock, id, make_status(c->d));
	else if (strcmp(cmd, "update") == 0)
		cmd_update(c, id, q);
	else if (strcmp(cmd, "diagnose") == 0)
		cmd_diagnose(c, id, q);
	else
		ctlsock_refuse(c->sock, id, "unknown",
			       "no such cmd; there are status, update, diagnose");
}

int
control_open(struct control **out, struct daemon *d)
{
	static const struct ctlsock_rules rules = { .line_max = LINE_MAX_BYTES,
						    .idle_ms = IDLE_MS,
						    .on_question = on_question,
						    .on_gone = on_gone };
	char path[DAEMON_PATH];
	struct control *c = calloc(1, sizeof(*c));

	*out = c;
	if (c == NULL)
		return E_NOMEM;
	c->d = d;
	snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, d->run_dir);
	if (mkdir(d->run_dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	return ctlsock_open(&c->sock, &d->loop, path, &rules, c);
}

void
control_close(struct control *c)
{
	if (c != NULL)
		ctlsock_close(c->sock);
}

void
control_free(struct control *c)
{
	if (c != NULL)
		ctlsock_free(c->sock);
	free(c);
}
