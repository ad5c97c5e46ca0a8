/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/control.h"

#include "common/err.h"
#include "ddns/diagnose.h"
#include "ddns/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CLIENTS = 8,
	LINE_MAX_BYTES = 4096,
	IDLE_MS = 60 * 1000,
	UPDATE_MS = 20 * 1000,
	LOOK_MS = 50, /* has it settled? */
};

struct client {
	struct control *c;
	uv_pipe_t pipe;
	uv_timer_t timer;
	unsigned handles;
	size_t n;
	bool is_busy, is_closing;
	/* update */
	uint64_t deadline_ms;
	/* diagnose */
	struct diagnose *diagnose;
	int wan, last; /* the one at work; the last one wanted */
	json_t *steps;
	char in[LINE_MAX_BYTES];
};

struct control {
	struct daemon *d;
	uv_pipe_t listener;
	struct client *client[CLIENTS];
	char path[DAEMON_PATH];
};

struct outgoing {
	uv_write_t req;
	char bytes[];
};

/* ---- one client ---- */

static void
on_closed(uv_handle_t *h)
{
	struct client *k = h->data;

	if (--k->handles == 0) {
		json_decref(k->steps);
		free(k);
	}
}

static void
client_close(struct client *k)
{
	if (k->is_closing)
		return;
	k->is_closing = true;
	diagnose_cancel(k->diagnose);
	k->diagnose = NULL;
	for (int i = 0; i < CLIENTS; i++)
		if (k->c->client[i] == k)
			k->c->client[i] = NULL;
	uv_close((uv_handle_t *)&k->pipe, on_closed);
	uv_close((uv_handle_t *)&k->timer, on_closed);
}

static void
on_idle(uv_timer_t *t)
{
	client_close(t->data);
}

static void
on_written(uv_write_t *w, int status)
{
	free(w->data);
}

static void take_lines(struct client *k);

/* Takes the object, and lets the client ask on. */
static void
answer(struct client *k, json_t *o)
{
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t n = text != NULL ? strlen(text) : 0;
	struct outgoing *out = text != NULL ? malloc(sizeof(*out) + n + 1) : NULL;

	json_decref(o);
	if (out == NULL) {
		free(text);
		client_close(k);
		return;
	}
	memcpy(out->bytes, text, n);
	out->bytes[n] = '\n';
	free(text);
	out->req.data = out;
	uv_buf_t b = uv_buf_init(out->bytes, (unsigned)n + 1);
	if (uv_write(&out->req, (uv_stream_t *)&k->pipe, &b, 1, on_written) < 0) {
		free(out);
		client_close(k);
		return;
	}
	k->is_busy = false;
	uv_timer_start(&k->timer, on_idle, IDLE_MS, 0);
}

static void
refuse(struct client *k, const char *code, const char *text)
{
	answer(k, json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code));
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
	struct client *k = t->data;
	struct daemon *d = k->c->d;
	bool is_settled = true;

	for (int i = 0; i < CONFIG_WANS; i++)
		is_settled &= uplink_is_settled(&d->uplink[i]);
	if (!is_settled && uv_now(&d->loop) < k->deadline_ms)
		return;
	answer(k, make_status(d));
	take_lines(k);
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
cmd_update(struct client *k, const json_t *q)
{
	struct daemon *d = k->c->d;
	int wan = wan_of(d, q);

	if (wan == -2) {
		refuse(k, "not_found",
		       "there is no such uplink; wan1 and wan2 have names");
		return;
	}
	if (!store_is_active(d->store)) {
		refuse(k, "not_active",
		       store_is_ready(d->store)
			       ? "this node is not the active one: ask the other node"
			       : "hasync is not reached: nobody knows whether this "
				 "node may write");
		return;
	}
	for (int i = 0; i < CONFIG_WANS; i++)
		if (wan == -1 || wan == i)
			uplink_force(&d->uplink[i]);
	k->deadline_ms = uv_now(&d->loop) + UPDATE_MS;
	uv_timer_start(&k->timer, look_whether_settled, LOOK_MS, LOOK_MS);
}

/* ---- diagnose ---- */

static void diagnose_next(struct client *k);

static void
on_diagnosed(void *arg, json_t *steps)
{
	struct client *k = arg;

	k->diagnose = NULL;
	json_array_extend(k->steps, steps);
	json_decref(steps);
	k->wan++;
	diagnose_next(k);
}

/* Deferred: a diagnosis may be over before it has begun. */
static void
on_diagnose(uv_timer_t *t)
{
	struct client *k = t->data;

	if (diagnose_start(&k->diagnose, k->c->d, k->wan, on_diagnosed, k) < 0)
		client_close(k);
}

static void
diagnose_next(struct client *k)
{
	if (k->wan <= k->last) {
		uv_timer_start(&k->timer, on_diagnose, 0, 0);
		return;
	}
	answer(k, json_pack("{sb so}", "ok", 1, "steps", k->steps));
	k->steps = NULL;
	take_lines(k);
}

static void
cmd_diagnose(struct client *k, const json_t *q)
{
	int wan = wan_of(k->c->d, q);

	if (wan == -2) {
		refuse(k, "not_found",
		       "there is no such uplink; wan1 and wan2 have names");
		return;
	}
	json_decref(k->steps);
	k->steps = json_array();
	k->wan = wan >= 0 ? wan : 0;
	k->last = wan >= 0 ? wan : CONFIG_WANS - 1;
	diagnose_next(k);
}

/* ---- lines ---- */

static void
take_line(struct client *k, const char *line, size_t n)
{
	json_t *q = json_loadb(line, n, 0, NULL);
	const char *cmd = json_string_value(json_object_get(q, "cmd"));

	k->is_busy = true;
	uv_timer_stop(&k->timer);
	if (cmd == NULL)
		refuse(k, "syntax", "not a JSON object with a cmd");
	else if (strcmp(cmd, "status") == 0)
		answer(k, make_status(k->c->d));
	else if (strcmp(cmd, "update") == 0)
		cmd_update(k, q);
	else if (strcmp(cmd, "diagnose") == 0)
		cmd_diagnose(k, q);
	else
		refuse(k, "unknown", "no such cmd; there are status, update, diagnose");
	json_decref(q);
}

static void
take_lines(struct client *k)
{
	char *end;

	while (!k->is_closing && !k->is_busy &&
	       (end = memchr(k->in, '\n', k->n)) != NULL) {
		size_t n = (size_t)(end - k->in);
		char line[LINE_MAX_BYTES];
		memcpy(line, k->in, n);
		memmove(k->in, end + 1, k->n - n - 1);
		k->n -= n + 1;
		take_line(k, line, n);
	}
	if (!k->is_closing && !k->is_busy && k->n == sizeof(k->in))
		client_close(k);
}

static void
on_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct client *k = h->data;

	*out = uv_buf_init(k->in + k->n, (unsigned)(sizeof(k->in) - k->n));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct client *k = s->data;

	if (n == 0)
		return;
	/* ENOBUFS: more was sent than we read while an answer is made. */
	if (n < 0) {
		client_close(k);
		return;
	}
	k->n += (size_t)n;
	take_lines(k);
}

/* The folder and the mode keep others out; this says so once more. */
static bool
is_root(uv_pipe_t *pipe)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	int fd;

	return uv_fileno((uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == 0;
}

static void
on_connection(uv_stream_t *server, int status)
{
	struct control *c = server->data;
	struct client *k = status == 0 ? calloc(1, sizeof(*k)) : NULL;
	int i = 0;

	if (k == NULL)
		return;
	k->c = c;
	k->handles = 2;
	uv_pipe_init(&c->d->loop, &k->pipe, 0);
	uv_timer_init(&c->d->loop, &k->timer);
	k->pipe.data = k->timer.data = k;
	while (i < CLIENTS && c->client[i] != NULL)
		i++;
	if (uv_accept(server, (uv_stream_t *)&k->pipe) < 0 || i == CLIENTS ||
	    !is_root(&k->pipe)) {
		client_close(k);
		return;
	}
	c->client[i] = k;
	uv_timer_start(&k->timer, on_idle, IDLE_MS, 0);
	uv_read_start((uv_stream_t *)&k->pipe, on_room, on_read);
}

int
control_open(struct control **out, struct daemon *d)
{
	struct control *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return E_NOMEM;
	c->d = d;
	snprintf(c->path, sizeof(c->path), "%s/" CONTROL_SOCKET, d->run_dir);
	if (mkdir(d->run_dir, 0755) < 0 && errno != EEXIST) {
		free(c);
		return -errno;
	}
	(void)unlink(c->path);
	uv_pipe_init(&d->loop, &c->listener, 0);
	c->listener.data = c;
	mode_t was = umask(0177);
	int rc = uv_pipe_bind(&c->listener, c->path);
	umask(was);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&c->listener, CLIENTS, on_connection);
	*out = c;
	return rc;
}

static void
on_listener_closed(uv_handle_t *h)
{
	free(h->data);
}

void
control_close(struct control *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < CLIENTS; i++)
		if (c->client[i] != NULL)
			client_close(c->client[i]);
	uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}
