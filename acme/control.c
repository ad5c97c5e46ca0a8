/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/control.h"

#include "common/b64.h"
#include "common/err.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLOSE_AFTER_QUEUE = 4 * 1024 * 1024, ERROR_TEXT = 2048 };

struct client {
	uv_pipe_t pipe;
	uv_timer_t idle;
	uv_shutdown_t shutdown;
	struct control *control;
	bool is_closing, is_waiting, is_taking, is_last;
	uint8_t n_closed;
	uint32_t id; /* of the open question */
	size_t n;
	char in[CONTROL_LINE_MAX];
};

struct control {
	uv_pipe_t listener;
	struct acmed *a;
	uint32_t last_id;
	struct client *client[CONTROL_CLIENTS];
};

struct outgoing {
	uv_write_t req;
	char bytes[];
};

static void take_lines(struct client *k);

static void
on_client_closed(uv_handle_t *h)
{
	struct client *k = h->data;

	if (++k->n_closed < 2) /* pipe and timer */
		return;
	OPENSSL_cleanse(k->in, sizeof(k->in));
	free(k);
}

static void
client_close(struct client *k)
{
	if (k->is_closing)
		return;
	k->is_closing = true;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (k->control->client[i] == k)
			k->control->client[i] = NULL;
	uv_close((uv_handle_t *)&k->pipe, on_client_closed);
	uv_close((uv_handle_t *)&k->idle, on_client_closed);
}

static void
on_idle(uv_timer_t *t)
{
	client_close(t->data);
}

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

/* When all that was answered has been written. */
static void
end_soon(struct client *k)
{
	if (uv_shutdown(&k->shutdown, (uv_stream_t *)&k->pipe, on_shut) < 0)
		client_close(k);
}

void
control_answer(struct control *c, uint32_t id, json_t *o)
{
	struct client *k = NULL;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (c->client[i] != NULL && c->client[i]->is_waiting &&
		    c->client[i]->id == id)
			k = c->client[i];
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
		if (!k->is_closing)
			take_lines(k);
		if (k->is_last && !k->is_waiting && !k->is_closing) {
			k->is_last = false;
			end_soon(k);
		}
	}
	json_decref(o);
}

void
control_refuse(struct control *c, uint32_t id, const char *code, const char *fmt, ...)
{
	char text[ERROR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	control_answer(
		c, id,
		json_pack("{s:b,s:s,s:s}", "ok", 0, "error", text, "code", code));
}

static void
take_line(struct client *k, struct span line)
{
	struct control *c = k->control;
	json_t *q =
		json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(q, "cmd"));
	const struct command *found = NULL;

	k->is_waiting = true;
	k->id = ++c->last_id;
	for (size_t i = 0; name != NULL && i < n_commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			found = &commands[i];
	if (name == NULL)
		control_refuse(c, k->id, "bad_request",
			       "this line is no JSON object with \"cmd\"");
	else if (found == NULL)
		control_refuse(c, k->id, "unknown_command",
			       "acmed does not know this command");
	else
		found->run(c->a, k->id, q);
	json_decref(q);
}

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
		take_line(k, span_of(k->in, n));
		k->n -= n + 1;
		memmove(k->in, end + 1, k->n);
	}
	k->is_taking = false;
	if (k->n == sizeof(k->in) && !k->is_waiting && !k->is_closing)
		client_close(k);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct client *k = h->data;

	*out = uv_buf_init(k->in + k->n, (unsigned)(sizeof(k->in) - k->n));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct client *k = s->data;

	/* Who has said all may still wait for the answer. */
	if (n == UV_EOF && k->is_waiting) {
		k->is_last = true;
		uv_read_stop(s);
		return;
	}
	if (n < 0) {
		client_close(k);
		return;
	}
	k->n += (size_t)n;
	uv_timer_start(&k->idle, on_idle, CONTROL_IDLE_MS, 0);
	take_lines(k);
}

static bool
is_allowed(const uv_pipe_t *pipe)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.uid == 0;
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	struct client *k = status < 0 ? NULL : calloc(1, sizeof(*k));
	size_t i = 0;

	if (k == NULL)
		return;
	k->control = c;
	uv_pipe_init(listener->loop, &k->pipe, 0);
	uv_timer_init(listener->loop, &k->idle);
	k->pipe.data = k->idle.data = k;
	while (i < CONTROL_CLIENTS && c->client[i] != NULL)
		i++;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe) < 0 || i == CONTROL_CLIENTS ||
	    !is_allowed(&k->pipe)) {
		client_close(k);
		return;
	}
	c->client[i] = k;
	uv_timer_start(&k->idle, on_idle, CONTROL_IDLE_MS, 0);
	uv_read_start((uv_stream_t *)&k->pipe, on_alloc, on_read);
}

int
control_open(struct control **out, struct acmed *a, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	c->a = a;
	uv_pipe_init(&a->loop, &c->listener, 0);
	c->listener.data = c;
	unlink(path);
	int rc = uv_pipe_bind(&c->listener, path);
	if (rc == 0 && chmod(path, 0600) < 0)
		rc = -errno;
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&c->listener, 16, on_connection);
	*out = c;
	return rc;
}

void
control_close(struct control *c)
{
	if (c == NULL)
		return;
	uv_close((uv_handle_t *)&c->listener, NULL);
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (c->client[i] != NULL)
			client_close(c->client[i]);
}

void
control_free(struct control *c)
{
	free(c);
}

uint8_t *
control_file(const json_t *q, const char *key, size_t *n)
{
	const json_t *j = json_object_get(q, key);
	struct span in = span_of(json_string_value(j),
				 json_is_string(j) ? json_string_length(j) : 0);
	size_t cap = in.n / 4 * 3 + 3;
	uint8_t *out = json_is_string(j) ? malloc(cap) : NULL;

	if (out == NULL)
		return NULL;
	struct wr w = wr_open(out, cap);
	if (b64_decode(&w, in) < 0) {
		free(out);
		return NULL;
	}
	*n = wr_span(&w).n;
	return out;
}
