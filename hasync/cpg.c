/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/cpg.h"

#include "common/err.h"
#include "common/log.h"

#include <corosync/cpg.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RETRY_MIN_MS = 100, RETRY_MAX_MS = 1000, SEND_RETRY_MS = 10 };

struct cpg {
	uv_loop_t *loop;
	const struct cpg_handlers *h;
	void *arg;
	cpg_handle_t handle;
	uint32_t self;
	bool is_joined, is_lost, is_joining, is_closing, has_poll, is_dispatching;
	cs_error_t join_rc;
	uint64_t retry_ms;
	uv_poll_t *poll; /* one for each life of the connection */
	uv_timer_t again, resend;
	uv_work_t work;
};

static const struct cpg_name group = { .length = 6, .value = "tandem" };

static struct cpg *
of(cpg_handle_t handle)
{
	void *context = NULL;

	return cpg_context_get(handle, &context) == CS_OK ? context : NULL;
}

static size_t
list(struct pair_member *to, const struct cpg_address *from, size_t n, uint32_t self)
{
	if (n > PAIR_NODES_MAX)
		n = PAIR_NODES_MAX;
	for (size_t i = 0; i < n; i++)
		to[i] = (struct pair_member){
			from[i].nodeid, from[i].pid,
			from[i].nodeid == self && from[i].pid == (uint32_t)getpid()
		};
	return n;
}

static void
on_confchg(cpg_handle_t handle, const struct cpg_name *name,
	   const struct cpg_address *all, size_t n, const struct cpg_address *left,
	   size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
	struct pair_member a[PAIR_NODES_MAX], j[PAIR_NODES_MAX];
	struct cpg *c = of(handle);

	if (c == NULL)
		return;
	n = list(a, all, n, c->self);
	n_joined = list(j, joined, n_joined, c->self);
	c->h->on_members(c->arg, a, n, j, n_joined);
}

static void
on_deliver(cpg_handle_t handle, const struct cpg_name *name, uint32_t nodeid,
	   uint32_t pid, void *msg, size_t n)
{
	struct cpg *c = of(handle);

	if (c != NULL)
		c->h->on_message(c->arg, nodeid, pid, span_of(msg, n));
}

static void
join(uv_work_t *work)
{
	struct cpg *c = work->data;
	cpg_model_v1_data_t model = { CPG_MODEL_V1, on_deliver, on_confchg, NULL, 0 };
	struct cpg_name name = group;
	unsigned self = 0;

	c->join_rc = cpg_model_initialize(&c->handle, CPG_MODEL_V1,
					  (cpg_model_data_t *)&model, c);
	if (c->join_rc != CS_OK)
		return;
	c->join_rc = cpg_local_get(c->handle, &self);
	c->self = self;
	if (c->join_rc == CS_OK)
		c->join_rc = cpg_join(c->handle, &name);
	if (c->join_rc != CS_OK)
		cpg_finalize(c->handle);
}

static void lose(struct cpg *c);

static void
dispatch(struct cpg *c)
{
	c->is_dispatching = true;
	cs_error_t rc = cpg_dispatch(c->handle, CS_DISPATCH_ALL);
	c->is_dispatching = false;
	if (c->is_lost || (rc != CS_OK && rc != CS_ERR_TRY_AGAIN))
		lose(c);
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct cpg *c = poll->data;

	if (c->is_joined)
		dispatch(c);
}

static void start_join(struct cpg *c);

static void
on_again(uv_timer_t *t)
{
	start_join(t->data);
}

static void
later(struct cpg *c)
{
	if (c->is_closing)
		return;
	uv_timer_start(&c->again, on_again, c->retry_ms, 0);
	c->retry_ms = c->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : c->retry_ms * 2;
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(h);
}

/* Stop watching before finalize closes the descriptor, or the loop spins on it. */
static void
lose(struct cpg *c)
{
	if (!c->is_joined)
		return;
	c->is_joined = false;
	c->is_lost = false;
	uv_poll_stop(c->poll);
	uv_close((uv_handle_t *)c->poll, on_poll_closed);
	c->poll = NULL;
	cpg_finalize(c->handle);
	uv_timer_stop(&c->resend);
	log_warn(0, "corosync is gone");
	c->h->on_lost(c->arg);
	later(c);
}

static void
after_join(uv_work_t *work, int status)
{
	struct cpg *c = work->data;
	int fd;

	c->is_joining = false;
	if (c->join_rc != CS_OK) {
		log_debug(0, "corosync: not yet (%d)", (int)c->join_rc);
		if (c->join_rc == CS_ERR_ACCESS)
			log_limited(LOG_L_ERR, 0, "corosync does not let this user in");
		later(c);
		return;
	}
	if (c->is_closing || cpg_fd_get(c->handle, &fd) != CS_OK ||
	    (c->poll = calloc(1, sizeof(*c->poll))) == NULL) {
		cpg_finalize(c->handle);
		later(c);
		return;
	}
	uv_poll_init(c->loop, c->poll, fd);
	c->poll->data = c;
	c->is_joined = true;
	c->retry_ms = RETRY_MIN_MS;
	uv_poll_start(c->poll, UV_READABLE, on_readable);
	log_info(0, "corosync joined nodeid=%u", c->self);
	dispatch(c);
}

static void
start_join(struct cpg *c)
{
	if (c->is_joining || c->is_joined || c->is_closing)
		return;
	c->work.data = c;
	c->is_joining = uv_queue_work(c->loop, &c->work, join, after_join) == 0;
	if (!c->is_joining)
		later(c);
}

static void
on_resend(uv_timer_t *t)
{
	struct cpg *c = t->data;

	if (c->is_lost)
		lose(c);
	else if (c->is_joined)
		c->h->on_retry(c->arg);
}

int
cpg_send(struct cpg *c, struct span m)
{
	struct iovec iov = { .iov_base = (void *)m.p, .iov_len = m.n };

	if (!c->is_joined || c->is_lost)
		return E_CLOSED;
	cs_error_t rc = cpg_mcast_joined(c->handle, CPG_TYPE_AGREED, &iov, 1);
	if (rc == CS_OK)
		return 0;
	/* The caller is in the middle of something: lose it from the timer. */
	c->is_lost = rc != CS_ERR_TRY_AGAIN;
	uv_timer_start(&c->resend, on_resend, c->is_lost ? 0 : SEND_RETRY_MS, 0);
	return c->is_lost ? E_CLOSED : E_AGAIN;
}

int
cpg_open(struct cpg **out, uv_loop_t *loop, const struct cpg_handlers *h, void *arg)
{
	struct cpg *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	c->loop = loop;
	c->h = h;
	c->arg = arg;
	c->retry_ms = RETRY_MIN_MS;
	uv_timer_init(loop, &c->again);
	uv_timer_init(loop, &c->resend);
	c->again.data = c->resend.data = c;
	*out = c;
	start_join(c);
	return 0;
}

void
cpg_close(struct cpg *c)
{
	if (c == NULL)
		return;
	c->is_closing = true;
	if (c->is_joined) {
		uv_poll_stop(c->poll);
		uv_close((uv_handle_t *)c->poll, on_poll_closed);
		c->is_joined = false;
		/* No goodbye: that would wait for a corosync that may stand still. The
		 * others see PROCDOWN when we exit. */
	}
	uv_close((uv_handle_t *)&c->again, NULL);
	uv_close((uv_handle_t *)&c->resend, NULL);
}

void
cpg_free(struct cpg *c)
{
	free(c);
}
