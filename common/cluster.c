/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/cluster.h"

#include "common/err.h"
#include "common/rd.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	FIXED = 4 + 4 + 8 + 8 + 1 + 1 + 4,
	ENTRY_GONE = 0xff,
	QUEUE_MAX = 16 * 1024 * 1024, /* bytes hasync has not read yet */
};

static bool
char_ok(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool
cluster_node_ok(struct span node)
{
	if (node.n == 0 || node.n > CLUSTER_NODE_MAX)
		return false;
	for (size_t i = 0; i < node.n; i++)
		if (!char_ok(node.p[i]))
			return false;
	return true;
}

static bool
starts(struct span name, const char *with)
{
	size_t n = strlen(with);
	return name.n > n && memcmp(name.p, with, n) == 0;
}

enum cluster_class
cluster_class(struct span name)
{
	if (name.n == 0 || name.n > CLUSTER_NAME_MAX || name.p[name.n - 1] == '/')
		return CLUSTER_BAD;
	bool was_slash = true;
	for (size_t i = 0; i < name.n; i++) {
		bool is_slash = name.p[i] == '/';
		if (is_slash ? was_slash : !char_ok(name.p[i]))
			return CLUSTER_BAD;
		was_slash = is_slash;
	}
	if (span_is(name, "revoked") || span_is(name, "bans") ||
	    span_is(name, "codes") || span_is(name, "borrowed"))
		return CLUSTER_SET;
	if (starts(name, "endpoints/"))
		return CLUSTER_OWN_SET;
	if (starts(name, "counts/") || starts(name, "node/"))
		return CLUSTER_OWN;
	return CLUSTER_WHOLE;
}

const char *
cluster_status_text(enum cluster_status s)
{
	static const char *const text[CLUSTER_STATUSES] = {
		[CLUSTER_OK] = "ok",
		[CLUSTER_NOENT] = "not there",
		[CLUSTER_CONFLICT] = "changed by somebody else meanwhile",
		[CLUSTER_INVALID] = "not allowed for this name or size",
		[CLUSTER_LIMIT] = "the store is full",
		[CLUSTER_LATER] = "not possible now",
		[CLUSTER_IO] = "cannot write to disk",
		[CLUSTER_LOST] = "connection to hasync lost",
	};
	return s < CLUSTER_STATUSES ? text[s] : "unknown status";
}

size_t
cluster_encoded_size(const struct cluster_msg *m)
{
	return 4 + FIXED + m->name.n + m->writer.n + m->bytes.n;
}

void
cluster_encode(struct wr *w, const struct cluster_msg *m)
{
	if (m->name.n > 255 || m->writer.n > 255 || m->bytes.n > CLUSTER_SET_MAX) {
		w->is_full = true;
		return;
	}
	wr_u32(w, (uint32_t)(cluster_encoded_size(m) - 4));
	wr_u8(w, m->type);
	wr_u8(w, m->status);
	wr_u8(w, m->flags);
	wr_u8(w, m->copies);
	wr_u32(w, m->id);
	wr_u64(w, m->generation);
	wr_u64(w, m->wall_ms);
	wr_u8(w, (uint8_t)m->name.n);
	wr_put(w, m->name);
	wr_u8(w, (uint8_t)m->writer.n);
	wr_put(w, m->writer);
	wr_u32(w, (uint32_t)m->bytes.n);
	wr_put(w, m->bytes);
}

int
cluster_decode(struct span *in, struct cluster_msg *m)
{
	struct rd r = rd_open(*in);
	uint32_t n = rd_u32(&r);

	if (rd_short(&r))
		return E_AGAIN;
	/* Before waiting for it: nobody parks a connection on a length we refuse. */
	if (n < FIXED || n > CLUSTER_FRAME_MAX)
		return E_PROTO;
	struct rd b = rd_open(rd_take(&r, n));
	if (rd_short(&r))
		return E_AGAIN;
	m->type = rd_u8(&b);
	m->status = rd_u8(&b);
	m->flags = rd_u8(&b);
	m->copies = rd_u8(&b);
	m->id = rd_u32(&b);
	m->generation = rd_u64(&b);
	m->wall_ms = rd_u64(&b);
	m->name = rd_take(&b, rd_u8(&b));
	m->writer = rd_take(&b, rd_u8(&b));
	m->bytes = rd_take(&b, rd_u32(&b));
	if (rd_short(&b) || rd_left(&b) > 0)
		return E_PROTO;
	*in = rd_rest(&r);
	return 0;
}

void
cluster_entry_encode(struct wr *w, const struct cluster_entry *e)
{
	wr_u8(w, e->key_n);
	wr_bytes(w, e->key, e->key_n);
	wr_u8(w, e->is_gone ? ENTRY_GONE : e->value_n);
	if (!e->is_gone)
		wr_bytes(w, e->value, e->value_n);
	wr_u64(w, e->expires_s);
}

int
cluster_entry_decode(struct span *in, struct cluster_entry *e)
{
	struct rd r = rd_open(*in);

	if (in->n == 0)
		return E_AGAIN;
	*e = (struct cluster_entry){ .key_n = rd_u8(&r) };
	if (e->key_n == 0 || e->key_n > CLUSTER_KEY_MAX)
		return E_PROTO;
	rd_copy(&r, e->key, e->key_n);
	uint8_t n = rd_u8(&r);
	e->is_gone = n == ENTRY_GONE;
	e->value_n = e->is_gone ? 0 : n;
	if (e->value_n > CLUSTER_VALUE_MAX)
		return E_PROTO;
	rd_copy(&r, e->value, e->value_n);
	e->expires_s = rd_u64(&r);
	if (rd_short(&r))
		return E_PROTO;
	*in = rd_rest(&r);
	return 0;
}

/* ---- the client ---- */

struct call {
	uint32_t id; /* 0: free */
	cluster_done done;
	void *arg;
};

struct cluster {
	uv_pipe_t pipe;
	uv_connect_t connect;
	const struct cluster_handlers *h;
	void *arg;
	bool is_up, is_down, is_freed;
	uint32_t last_id;
	uint8_t *buf;
	size_t n, cap;
	struct call calls[CLUSTER_CALLS_MAX];
};

struct outgoing {
	uv_write_t req;
	uint8_t bytes[];
};

int
cluster_new(struct cluster **out, uv_loop_t *loop, const struct cluster_handlers *h,
	    void *arg)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	int rc = uv_pipe_init(loop, &c->pipe, 0);
	if (rc < 0) {
		free(c);
		return rc;
	}
	c->h = h;
	c->arg = arg;
	c->pipe.data = c;
	*out = c;
	return 0;
}

static void
go_down(struct cluster *c, int rc)
{
	if (c->is_down || c->is_freed)
		return;
	c->is_down = true;
	c->is_up = false;
	uv_read_stop((uv_stream_t *)&c->pipe);
	for (size_t i = 0; i < CLUSTER_CALLS_MAX && !c->is_freed; i++) {
		struct call k = c->calls[i];
		c->calls[i].id = 0;
		if (k.id == 0 || k.done == NULL)
			continue;
		k.done(k.arg, &(struct cluster_msg){ .type = CLUSTER_ANSWER,
						     .status = CLUSTER_LOST,
						     .id = k.id });
	}
	if (!c->is_freed && c->h->on_down != NULL)
		c->h->on_down(c->arg, rc);
}

static void
take(struct cluster *c, const struct cluster_msg *m)
{
	if (m->type != CLUSTER_ANSWER) {
		if (c->h->on_push != NULL)
			c->h->on_push(c->arg, m);
		return;
	}
	struct call *k = &c->calls[m->id % CLUSTER_CALLS_MAX];
	if (k->id != m->id || m->id == 0)
		return;
	struct call was = *k;
	k->id = 0;
	if (was.done != NULL)
		was.done(was.arg, m);
}

static void
on_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct cluster *c = h->data;

	if (c->cap - c->n < 65536) {
		size_t cap = c->cap == 0 ? 131072 : c->cap * 2;
		uint8_t *p = realloc(c->buf, cap);
		if (p == NULL) {
			*out = uv_buf_init(NULL, 0);
			return;
		}
		c->buf = p;
		c->cap = cap;
	}
	*out = uv_buf_init((char *)c->buf + c->n, (unsigned)(c->cap - c->n));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct cluster *c = s->data;
	struct cluster_msg m;
	int rc;

	if (n == 0)
		return;
	if (n < 0) {
		go_down(c, n == UV_EOF ? E_CLOSED : (int)n);
		return;
	}
	c->n += (size_t)n;
	struct span in = span_of(c->buf, c->n);
	while ((rc = cluster_decode(&in, &m)) == 0 && !c->is_freed && !c->is_down)
		take(c, &m);
	if (c->is_freed || c->is_down)
		return;
	memmove(c->buf, in.p, in.n);
	c->n = in.n;
	if (rc != E_AGAIN)
		go_down(c, rc);
}

static int
begin(struct cluster *c)
{
	int rc = uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read);

	if (rc < 0)
		return rc;
	c->is_up = true;
	if (c->h->on_up != NULL)
		c->h->on_up(c->arg);
	return 0;
}

static void
on_connected(uv_connect_t *req, int status)
{
	struct cluster *c = req->data;

	if (c->is_freed || status == UV_ECANCELED)
		return;
	int rc = status < 0 ? status : begin(c);
	if (rc < 0)
		go_down(c, rc);
}

int
cluster_connect(struct cluster *c, const char *path)
{
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	c->connect.data = c;
	uv_pipe_connect(&c->connect, &c->pipe, path, on_connected);
	return 0;
}

int
cluster_adopt(struct cluster **out, uv_loop_t *loop, int fd,
	      const struct cluster_handlers *h, void *arg)
{
	int rc = cluster_new(out, loop, h, arg);

	if (rc < 0) {
		close(fd);
		return rc;
	}
	if ((rc = uv_pipe_open(&(*out)->pipe, fd)) < 0)
		close(fd);
	else
		rc = begin(*out);
	if (rc < 0) {
		cluster_free(*out);
		*out = NULL;
	}
	return rc;
}

static void
on_written(uv_write_t *req, int status)
{
	struct cluster *c = req->handle->data;

	free(req->data);
	if (status < 0 && status != UV_ECANCELED)
		go_down(c, status);
}

int
cluster_call(struct cluster *c, const struct cluster_msg *m, cluster_done done,
	     void *arg)
{
	struct cluster_msg k = *m;
	size_t size = cluster_encoded_size(m);

	if (!c->is_up)
		return E_CLOSED;
	if (++c->last_id == 0)
		c->last_id = 1;
	k.id = c->last_id;
	struct call *slot = &c->calls[k.id % CLUSTER_CALLS_MAX];
	bool is_answered = k.type != CLUSTER_BEAT && k.type != CLUSTER_EVENT;
	if ((is_answered && slot->id != 0) ||
	    uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > QUEUE_MAX)
		return E_LIMIT;
	struct outgoing *o = malloc(sizeof(*o) + size);
	if (o == NULL)
		return E_NOMEM;
	struct wr w = wr_open(o->bytes, size);
	cluster_encode(&w, &k);
	if (wr_full(&w)) {
		free(o);
		return E_INVAL;
	}
	o->req.data = o;
	uv_buf_t b = uv_buf_init((char *)o->bytes, (unsigned)w.n);
	int rc = uv_write(&o->req, (uv_stream_t *)&c->pipe, &b, 1, on_written);
	if (rc < 0) {
		free(o);
		return rc;
	}
	if (is_answered)
		*slot = (struct call){ .id = k.id, .done = done, .arg = arg };
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct cluster *c = h->data;

	free(c->buf);
	free(c);
}

void
cluster_free(struct cluster *c)
{
	if (c == NULL || c->is_freed)
		return;
	c->is_freed = true;
	uv_close((uv_handle_t *)&c->pipe, on_closed);
}

/* ---- one question, no loop ---- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline_ms - now_ms();

	int rc = left <= 0 ? 0 : poll(&p, 1, (int)left);
	return rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
}

static int
send_msg(int fd, const struct cluster_msg *m, int64_t deadline_ms)
{
	size_t size = cluster_encoded_size(m);
	uint8_t *p = malloc(size);
	int rc = 0;

	if (p == NULL)
		return E_NOMEM;
	struct wr w = wr_open(p, size);
	cluster_encode(&w, m);
	if (wr_full(&w))
		rc = E_INVAL;
	for (size_t at = 0; rc == 0 && at < size;) {
		ssize_t n = send(fd, p + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN || errno == EINTR)
			rc = wait_for(fd, POLLOUT, deadline_ms);
		else
			rc = -errno;
	}
	free(p);
	return rc;
}

static int
await_answer(int fd, uint32_t id, int64_t deadline_ms, struct cluster_msg *answer,
	     uint8_t **buf)
{
	size_t cap = 65536, n = 0;
	uint8_t *p = malloc(cap);
	int rc;

	if (p == NULL)
		return E_NOMEM;
	for (;;) {
		struct span in = span_of(p, n);
		while ((rc = cluster_decode(&in, answer)) == 0)
			if (answer->type == CLUSTER_ANSWER && answer->id == id) {
				*buf = p;
				return 0;
			}
		if (rc != E_AGAIN)
			break;
		memmove(p, in.p, in.n);
		n = in.n;
		if (n == cap) {
			uint8_t *q = realloc(p, cap *= 2);
			if (q == NULL) {
				rc = E_NOMEM;
				break;
			}
			p = q;
		}
		if ((rc = wait_for(fd, POLLIN, deadline_ms)) < 0)
			break;
		ssize_t k = recv(fd, p + n, cap - n, MSG_DONTWAIT);
		if (k > 0)
			n += (size_t)k;
		else if (k == 0 || (errno != EAGAIN && errno != EINTR)) {
			rc = k == 0 ? E_CLOSED : -errno;
			break;
		}
	}
	free(p);
	return rc;
}

int
cluster_ask(const char *path, const char *kind, const struct cluster_msg *m,
	    int timeout_ms, struct cluster_msg *answer, uint8_t **buf)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct cluster_msg hello = { .type = CLUSTER_HELLO,
				     .id = 1,
				     .name = span_str(kind) };
	struct cluster_msg k = *m;
	int64_t deadline_ms = now_ms() + timeout_ms;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	k.id = 2;
	int rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	if (rc == 0)
		rc = send_msg(fd, &hello, deadline_ms);
	if (rc == 0)
		rc = send_msg(fd, &k, deadline_ms);
	if (rc == 0)
		rc = await_answer(fd, k.id, deadline_ms, answer, buf);
	close(fd);
	return rc;
}
