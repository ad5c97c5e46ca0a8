/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/line.h"

#include "common/err.h"
#include "common/log.h"
#include "tests/lib/tap.h"

#include <unistd.h>

/* A hasync of one client, and a daemon: both write down what they hear. */
struct both {
	uv_loop_t loop;
	uv_pipe_t server, client;
	bool is_connected;
	uint32_t watch[2]; /* ids, to be answered by the test */
	unsigned n_watch;
	uint8_t in[4096];
	size_t n;
	struct line line;
	char heard[512], told[512];
};

static char path[64];

__attribute__((format(printf, 2, 3))) static void
note(char to[512], const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to + n, 512 - n, fmt, ap);
	va_end(ap);
}

/* ---- hasync ---- */

static void
push(struct both *b, const struct cluster_msg *m)
{
	uint8_t buf[256];
	struct wr w = wr_open(buf, sizeof(buf));

	cluster_encode(&w, m);
	uv_buf_t out = uv_buf_init((char *)buf, (unsigned)wr_span(&w).n);
	if (uv_try_write((uv_stream_t *)&b->client, &out, 1) != (int)out.len)
		abort();
}

static void
push_role(struct both *b, bool is_active, uint64_t epoch)
{
	push(b, &(struct cluster_msg){ .type = CLUSTER_ROLE,
				       .flags = is_active ? CLUSTER_ACTIVE : 0,
				       .generation = epoch,
				       .name = SPAN("gw1"),
				       .writer = SPAN("gw2") });
}

static void
answer(struct both *b, uint32_t id, enum cluster_status status)
{
	push(b, &(struct cluster_msg){
			.type = CLUSTER_ANSWER, .id = id, .status = (uint8_t)status });
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct both *b = h->data;

	*out = uv_buf_init((char *)b->in + b->n, (unsigned)(sizeof(b->in) - b->n));
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct both *b = s->data;
	struct cluster_msg m;

	if (n <= 0)
		return;
	b->n += (size_t)n;
	struct span in = span_of(b->in, b->n);
	while (cluster_decode(&in, &m) == 0) {
		note(b->heard, "%s%.*s ", m.type == CLUSTER_EVENT ? "event " : "",
		     (int)m.name.n, (const char *)m.name.p);
		if (m.type == CLUSTER_WATCH && b->n_watch < 2)
			b->watch[b->n_watch++] = m.id;
	}
	memmove(b->in, in.p, in.n);
	b->n = in.n;
}

static void
on_connection(uv_stream_t *server, int status)
{
	struct both *b = server->data;

	uv_pipe_init(&b->loop, &b->client, 0);
	b->client.data = b;
	b->is_connected = uv_accept(server, (uv_stream_t *)&b->client) == 0;
	b->n = b->n_watch = 0;
	uv_read_start((uv_stream_t *)&b->client, on_alloc, on_read);
}

static void
hasync_begin(struct both *b)
{
	unlink(path);
	uv_pipe_init(&b->loop, &b->server, 0);
	b->server.data = b;
	if (uv_pipe_bind(&b->server, path) < 0 ||
	    uv_listen((uv_stream_t *)&b->server, 1, on_connection) < 0)
		abort();
}

static void
hasync_end(struct both *b)
{
	uv_close((uv_handle_t *)&b->server, NULL);
	if (b->is_connected)
		uv_close((uv_handle_t *)&b->client, NULL);
	b->is_connected = false;
}

/* ---- the daemon ---- */

static void
on_up(void *arg)
{
	note(((struct both *)arg)->told, "up ");
}

static void
on_object(void *arg, const struct cluster_msg *m)
{
	note(((struct both *)arg)->told, "%.*s ", (int)m->name.n,
	     (const char *)m->name.p);
}

static void
on_ready(void *arg)
{
	note(((struct both *)arg)->told, "ready ");
}

static void
on_role(void *arg)
{
	struct both *b = arg;

	note(b->told, "%s%llu ", b->line.role.is_active ? "active" : "standby",
	     (unsigned long long)b->line.role.epoch);
}

static const char *const watched[] = { "cert/", "node/", NULL };
static const struct line_rules rules = { "testd",   watched,  on_up,
					 on_object, on_ready, on_role };

/* What was told since the last time, when `what` is among it; or five seconds are over.
 */
static const char *
told(struct both *b, const char *what)
{
	static char all[512];
	uint64_t until = uv_hrtime() + 5000000000ULL;

	while (strstr(b->told, what) == NULL && uv_hrtime() < until)
		uv_run(&b->loop, UV_RUN_ONCE);
	memcpy(all, b->told, sizeof(all));
	b->told[0] = '\0';
	return all;
}

static void
heard(struct both *b, const char *what)
{
	uint64_t until = uv_hrtime() + 5000000000ULL;

	while (strstr(b->heard, what) == NULL && uv_hrtime() < until)
		uv_run(&b->loop, UV_RUN_ONCE);
}

int
main(void)
{
	char dir[] = "/tmp/line-XXXXXX", too_long[LINE_PATH + 2];
	static struct both both;
	struct both *b = &both;
	struct cluster_msg m = { .type = CLUSTER_INFO };

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	alarm(30); /* what is waited for never came */
	log_open("test", "", LOG_L_ERR);
	uv_loop_init(&b->loop);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	is_int(line_open(&b->line, &b->loop, too_long, &rules, b), -ENAMETOOLONG,
	       "a path that is too long is refused");
	is_int(line_open(&b->line, &b->loop, path, &rules, b), 0, "a line is begun");
	is_int(line_call(&b->line, &m, NULL, NULL), E_CLOSED, "nothing goes yet");
	for (int i = 0; i < 3; i++) /* the first attempt finds nobody */
		uv_run(&b->loop, UV_RUN_NOWAIT);
	hasync_begin(b);
	is_str(told(b, "up"), "up ", "it comes up when hasync does");
	heard(b, "node/");
	is_str(b->heard, "testd cert/ node/ ", "says hello and watches");
	push_role(b, true, 7);
	is_str(told(b, "active"), "active7 ", "the role is told");
	is_str(b->line.role.node, "gw1", "and the node");
	is_str(b->line.role.peer, "gw2", "and its peer");
	push(b,
	     &(struct cluster_msg){ .type = CLUSTER_CHANGED, .name = SPAN("cert/a") });
	answer(b, b->watch[0], CLUSTER_OK);
	is_str(told(b, "cert/a"), "cert/a ", "an object is told");
	push_role(b, true, 8);
	is_str(told(b, "active8"), "standby7 active8 ",
	       "under a new epoch it was not active in between");
	ok(!b->line.is_ready, "one watch of two is answered: not ready");
	answer(b, b->watch[1], CLUSTER_OK);
	is_str(told(b, "ready"), "ready ", "both: ready");
	ok(b->line.is_ready, "and it says so");
	line_event(&b->line, "something", "text");
	heard(b, "something");
	ok(strstr(b->heard, "event something") != NULL, "an event is said");

	hasync_end(b);
	is_str(told(b, "standby"), "standby8 ", "without hasync nobody is active");
	ok(!b->line.is_ready, "nor ready");
	is_int(line_call(&b->line, &m, NULL, NULL), E_CLOSED, "and nothing goes");
	b->heard[0] = '\0';
	hasync_begin(b);
	is_str(told(b, "up"), "up ", "it comes back by itself");
	heard(b, "node/");
	is_str(b->heard, "testd cert/ node/ ", "and begins anew");
	push_role(b, false, 9);
	is_str(told(b, "9"), "standby9 ", "with the role of now");
	answer(b, b->watch[0], CLUSTER_OK);
	answer(b, b->watch[1], CLUSTER_LATER);
	push_role(b, false, 10);
	is_str(told(b, "10"), "standby10 ", "a watch that was refused is not ready");
	line_close(&b->line, NULL);
	hasync_end(b);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&b->loop), 0, "nothing is left in the loop");
	is_str(b->told, "", "closed, it tells nothing");
	unlink(path);
	rmdir(dir);
	return done_testing();
}
