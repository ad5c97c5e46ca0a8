/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/ctlsock.h"

#include "common/err.h"

#include <openssl/crypto.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLOSE_AFTER_QUEUE = 4 * 1024 * 1024, ERROR_TEXT = 2048, BACKLOG = 16 };

struct client {
	struct ctlsock *s;
	uv_pipe_t pipe;
	uv_timer_t idle;
	uv_shutdown_t shutdown;
	uint8_t n_closed;
	bool is_closing, is_waiting, is_taking;
	bool is_last; /* it asks no more */
	uint32_t id;  /* of the open question */
	size_t n;
	char in[];
};

struct ctlsock {
	uv_pipe_t listener;
	const struct ctlsock_rules *rules;
	void *arg;
	uint32_t last_id;
	struct client *client[CTLSOCK_CLIENTS];
};

struct outgoing {
	uv_write_t req;
	char bytes[];
};

static void
on_client_closed(uv_handle_t *h)
{
	struct client *k = h->data;

	if (++k->n_closed < 2) /* pipe and timer */
		return;
	OPENSSL_cleanse(k->in, k->s->rules->line_max); /* keys pass here */
	free(k);
}

static void
client_close(struct client *k)
{
	struct ctlsock *s = k->s;

	if (k->is_closing)
		return;
	k->is_closing = true;
	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++)
		if (s->client[i] == k)
			s->client[i] = NULL;
	uv_close((uv_handle_t *)&k->pipe, on_client_closed);
	uv_close((uv_handle_t *)&k->idle, on_client_closed);
	if (k->is_waiting && s->rules->on_gone != NULL)
		s->rules->on_gone(s->arg, k->id);
}

/* ---- answers ---- */

static void
on_written(uv_write_t *req, int status)
{
	free(req);
}

static void
send_line(struct client *k, const char *line)
{
	size_t n = strlen(line);
	struct outgoing *o = uv_stream_get_write_queue_size((uv_stream_t *)&k->pipe) >
					     CLOSE_AFTER_QUEUE
				     ? NULL
				     : malloc(sizeof(*o) + n + 1);

	if (o == NULL) {
		client_close(k);
		return;
	}
	memcpy(o->bytes, line, n);
	o->bytes[n] = '\n';
	uv_buf_t b = uv_buf_init(o->bytes, (unsigned)n + 1);
	if (uv_write(&o->req, (uv_stream_t *)&k->pipe, &b, 1, on_written) < 0) {
		free(o);
		client_close(k);
	}
}

static void
on_shut(uv_shutdown_t *r, int status)
{
	if (status != UV_ECANCELED)
		client_close(r->handle->data);
}

static void
on_idle(uv_timer_t *t)
{
	client_close(t->data);
}

static void take_lines(struct client *k);

/* With no question open: wait for the next one, or for the last answer to be written.
 */
static void
rest(struct client *k)
{
	if (k->is_closing || k->is_waiting)
		return;
	uv_timer_start(&k->idle, on_idle, k->s->rules->idle_ms, 0);
	if (k->is_last &&
	    uv_shutdown(&k->shutdown, (uv_stream_t *)&k->pipe, on_shut) < 0)
		client_close(k);
}

static struct client *
client_of(const struct ctlsock *s, uint32_t id)
{
	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++) {
		struct client *k = s->client[i];
		if (k != NULL && k->is_waiting && k->id == id)
			return k;
	}
	return NULL;
}

void
ctlsock_answer(struct ctlsock *s, uint32_t id, json_t *o)
{
	struct client *k = client_of(s, id);

	if (k != NULL) {
		if (json_object_get(o, "ok") == NULL)
			json_object_set_new(o, "ok", json_true());
		char *line = json_dumps(o, JSON_COMPACT);
		k->is_waiting = false;
		if (line != NULL)
			send_line(k, line);
		else
			client_close(k);
		free(line);
		/* A second question may be there already. */
		take_lines(k);
	}
	json_decref(o);
}

void
ctlsock_refuse(struct ctlsock *s, uint32_t id, const char *code, const char *fmt, ...)
{
	char text[ERROR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctlsock_answer(
		s, id,
		json_pack("{s:b,s:s,s:s}", "ok", 0, "error", text, "code", code));
}

/* ---- questions ---- */

static void
take_line(struct client *k, const char *line, size_t n)
{
	struct ctlsock *s = k->s;
	json_t *q = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);

	k->is_waiting = true;
	k->id = ++s->last_id;
	uv_timer_stop(&k->idle);
	s->rules->on_question(s->arg, k->id, q);
	json_decref(q);
}

static void
take_lines(struct client *k)
{
	char *end;

	if (k->is_taking) /* an answer given at once brought us here again */
		return;
	k->is_taking = true;
	while (!k->is_waiting && !k->is_closing &&
	       (end = memchr(k->in, '\n', k->n)) != NULL) {
		size_t n = (size_t)(end - k->in);
		take_line(k, k->in, n);
		k->n -= n + 1;
		memmove(k->in, end + 1, k->n);
	}
	k->is_taking = false;
	if (k->n == k->s->rules->line_max && !k->is_waiting && !k->is_closing)
		client_close(k);
	rest(k);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct client *k = h->data;

	*out = uv_buf_init(k->in + k->n, (unsigned)(k->s->rules->line_max - k->n));
}

static int
fd_of(const uv_pipe_t *pipe)
{
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 ? fd : -1;
}

/* It has left, and not only shut down its writing side. */
static bool
is_hung_up(const uv_pipe_t *pipe)
{
	struct pollfd p = { .fd = fd_of(pipe) };

	return poll(&p, 1, 0) != 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct client *k = stream->data;

	if (n == UV_EOF && !is_hung_up(&k->pipe)) {
		uv_read_stop(stream);
		k->is_last = true;
		rest(k);
		return;
	}
	/* ENOBUFS: more was sent than fits while an answer is made. */
	if (n < 0) {
		client_close(k);
		return;
	}
	k->n += (size_t)n;
	take_lines(k);
}

/* ---- the socket ---- */

/* The mode keeps others out; this says so once more. */
static bool
is_root(const uv_pipe_t *pipe)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(fd_of(pipe), SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
	       who.uid == 0;
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct ctlsock *s = listener->data;
	struct client *k =
		status < 0 ? NULL : calloc(1, sizeof(*k) + s->rules->line_max);
	size_t i = 0;

	if (k == NULL)
		return;
	k->s = s;
	uv_pipe_init(listener->loop, &k->pipe, 0);
	uv_timer_init(listener->loop, &k->idle);
	k->pipe.data = k->idle.data = k;
	while (i < CTLSOCK_CLIENTS && s->client[i] != NULL)
		i++;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe) < 0 || i == CTLSOCK_CLIENTS ||
	    !is_root(&k->pipe)) {
		client_close(k);
		return;
	}
	s->client[i] = k;
	uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read);
	rest(k);
}

int
ctlsock_open(struct ctlsock **out, uv_loop_t *loop, const char *path,
	     const struct ctlsock_rules *rules, void *arg)
{
	struct ctlsock *s = calloc(1, sizeof(*s));

	*out = s;
	if (s == NULL)
		return E_NOMEM;
	s->rules = rules;
	s->arg = arg;
	uv_pipe_init(loop, &s->listener, 0);
	s->listener.data = s;
	(void)unlink(path);
	int rc = uv_pipe_bind(&s->listener, path);
	if (rc == 0 && chmod(path, 0600) < 0) /* nobody connects before listen */
		rc = -errno;
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
	return rc;
}

void
ctlsock_close(struct ctlsock *s)
{
	if (s == NULL)
		return;
	uv_close((uv_handle_t *)&s->listener, NULL);
	for (size_t i = 0; i < CTLSOCK_CLIENTS; i++)
		if (s->client[i] != NULL)
			client_close(s->client[i]);
}

void
ctlsock_free(struct ctlsock *s)
{
	free(s);
}
