/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/control_state.h"

#include "common/err.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	STATUS_MS = 3000, /* the parent should answer at once */
	ANSWER_MS = 30000,
};

struct write {
	uv_write_t req;
	char bytes[];
};

/* ---- one client ---- */

static void on_connection(uv_stream_t *listener, int status);
static void take_lines(struct client *k);

static void
on_closed(uv_handle_t *h)
{
	struct client *k = h->data;

	OPENSSL_cleanse(k->in, sizeof(k->in)); /* password hashes pass here */
	k->is_used = k->is_closing = false;
	if (k->c->has_waiting)
		on_connection((uv_stream_t *)&k->c->listener, 0);
}

static void
client_close(struct client *k)
{
	if (k->is_closing)
		return;
	for (int i = 0; i < PENDING_MAX; i++)
		if (k->c->pending[i].client == k)
			k->c->pending[i].client = NULL;
	k->is_closing = true;
	k->follows = false;
	uv_close((uv_handle_t *)&k->pipe, on_closed);
}

static void
on_written(uv_write_t *req, int status)
{
	free(req);
}

static void
send_line(struct client *k, const char *line, size_t n)
{
	if (k->is_closing)
		return;
	/* One answer may be larger than the bound; a second behind it may not. */
	struct write *w = uv_stream_get_write_queue_size((uv_stream_t *)&k->pipe) >
					  CONTROL_QUEUE_MAX
				  ? NULL
				  : malloc(sizeof(*w) + n + 1);
	if (w == NULL) {
		client_close(k);
		return;
	}
	memcpy(w->bytes, line, n);
	w->bytes[n] = '\n';
	uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n + 1);
	if (uv_write(&w->req, (uv_stream_t *)&k->pipe, &buf, 1, on_written) < 0) {
		free(w);
		client_close(k);
	}
}

/* Takes the object. */
void
client_answer(struct client *k, json_t *o)
{
	char *line = o != NULL && k != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	if (line != NULL)
		send_line(k, line, strlen(line));
	free(line);
	json_decref(o);
}

void
client_refuse(struct client *k, const char *code, const char *text)
{
	client_answer(k, json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code));
}

/* ---- questions to others ---- */

struct pending *
pending_new(struct client *k, enum ipc_type asked)
{
	struct control *c = k->c;

	for (int i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &c->pending[i];
		if (p->asked != IPC_NONE)
			continue;
		*p = (struct pending){ .asked = asked,
				       .id = ++c->next_id,
				       .client = k,
				       .since_ms = c->host->now(c->host->arg).mono_ms };
		k->is_waiting = true;
		return p;
	}
	client_refuse(k, "busy", "too many questions are open, try again");
	return NULL;
}

struct pending *
pending_find(struct control *c, enum ipc_type asked, uint32_t id)
{
	for (int i = 0; i < PENDING_MAX; i++)
		if (c->pending[i].asked == asked && c->pending[i].id == id)
			return &c->pending[i];
	return NULL;
}

/* Answers (takes o) and lets the client ask on. */
void
pending_done(struct pending *p, json_t *o)
{
	struct client *k = p->client;

	json_decref(p->rows);
	*p = (struct pending){ 0 };
	client_answer(k, o);
	if (k == NULL)
		return;
	k->is_waiting = false;
	take_lines(k);
}

json_t *
command_refusal(const char *code, const char *text)
{
	return json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code);
}

/* ---- lines ---- */

static void
take_lines(struct client *k)
{
	char *end;

	if (k->is_taking)
		return;
	k->is_taking = true;
	while (!k->is_waiting && !k->is_closing &&
	       (end = memchr(k->in, '\n', k->n)) != NULL) {
		size_t n = (size_t)(end - k->in);
		command_take(k, span_of(k->in, n));
		k->n -= n + 1;
		memmove(k->in, end + 1, k->n);
	}
	k->is_taking = false;
	if (k->n == sizeof(k->in) && !k->is_waiting && !k->is_closing) {
		client_refuse(k, "bad_request", "the line is too long");
		client_close(k);
	}
}

/* ---- answers of other processes ---- */

void
control_event(struct control *c, const char *line, size_t n)
{
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *k = &c->client[i];
		if (k->is_used && k->follows && command_word_matches(k->filter, line))
			send_line(k, line, n);
	}
}

/* ---- the socket ---- */

static void
on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct client *k = h->data;

	*buf = uv_buf_init(k->in + k->n, (unsigned)(sizeof(k->in) - k->n));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *k = stream->data;

	/* No room (UV_ENOBUFS) means that it went on talking without waiting. */
	if (n < 0) {
		client_close(k);
		return;
	}
	k->n += (size_t)n;
	k->active_ms = k->c->host->now(k->c->host->arg).mono_ms;
	take_lines(k);
}

static bool
is_allowed(const uv_pipe_t *pipe)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	struct client *k = NULL;

	if (status < 0)
		return;
	for (int i = 0; i < CONTROL_CLIENTS && k == NULL; i++)
		if (!c->client[i].is_used)
			k = &c->client[i];
	/* libuv asks no more until this one is accepted. */
	c->has_waiting = k == NULL;
	if (k == NULL)
		return;
	k->is_used = true;
	k->is_closing = k->is_waiting = k->is_taking = k->follows = false;
	k->n = 0;
	k->c = c;
	k->active_ms = c->host->now(c->host->arg).mono_ms;
	uv_pipe_init(listener->loop, &k->pipe, 0);
	k->pipe.data = k;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe) < 0) {
		client_close(k);
		return;
	}
	if (!is_allowed(&k->pipe)) {
		client_refuse(k, "not_permitted",
			      "only root may use the control socket");
		client_close(k);
		return;
	}
	uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read);
}

void
control_tick(struct control *c)
{
	uint64_t now_ms = c->host->now(c->host->arg).mono_ms;

	for (int i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &c->pending[i];
		uint64_t limit = p->asked == IPC_status_ask ? STATUS_MS : ANSWER_MS;
		if (p->asked == IPC_NONE || now_ms - p->since_ms < limit)
			continue;
		if (p->asked == IPC_status_ask)
			pending_done(p, command_status(c));
		else
			pending_done(p,
				     command_refusal("no_answer",
						     "the process in charge does not "
						     "answer; look into the log"));
	}
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *k = &c->client[i];
		if (k->is_used && !k->is_closing && !k->is_waiting && !k->follows &&
		    now_ms - k->active_ms > CONTROL_IDLE_MS)
			client_close(k);
	}
}

int
control_open(struct control **out, uv_loop_t *loop, int fd,
	     const struct control_host *host)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	c->host = host;
	/* libuv writes without MSG_NOSIGNAL: a client that left would end us. */
	signal(SIGPIPE, SIG_IGN);
	/* Answers to our predecessor's questions must not find ours. */
	c->next_id = (uint32_t)host->now(host->arg).mono_ms;
	int rc = uv_pipe_init(loop, &c->listener, 0);
	if (rc == 0)
		rc = uv_pipe_open(&c->listener, fd);
	c->listener.data = c;
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&c->listener, 64, on_connection);
	if (rc < 0) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}
