/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/replica.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define USERS "users"
#define CODES "codes"

struct replica {
	uv_loop_t *loop;
	const struct replica_host *host;
	struct cluster *c;
	bool is_synced;      /* the store has said what it has */
	bool is_there;       /* and it has the object */
	uint64_t generation; /* which we hold; what a put expects */
	bool is_putting;
	uint64_t down_generation; /* which we held when the store was lost */
	bool has_news;            /* we changed something since */
	replica_done done;
	void *arg;
};

static void
put_over(struct replica *r, int rc, const struct cluster_msg *a, bool is_news)
{
	replica_done done = r->done;

	r->is_putting = false;
	r->done = NULL;
	if (done != NULL)
		done(r->arg, rc, a->copies, a->flags & CLUSTER_PEER_AWAY, is_news);
}

static void
on_put(void *arg, const struct cluster_msg *a)
{
	struct replica *r = arg;
	bool is_news = false;
	int rc = E_INVAL;

	if (a->status == CLUSTER_OK) {
		rc = 0;
		is_news = a->generation > r->generation;
		if (is_news)
			r->generation = a->generation;
		r->is_there = true;
	} else if (a->status == CLUSTER_CONFLICT) {
		rc = E_STALE;
	} else if (a->status == CLUSTER_LOST) {
		rc = E_CLOSED;
	} else if (a->status == CLUSTER_LIMIT) {
		rc = E_LIMIT;
	}
	put_over(r, rc, a, is_news);
}

int
replica_put(struct replica *r, struct span text, replica_done done, void *arg)
{
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .name = SPAN(USERS),
				 .generation = r->generation,
				 .bytes = text };

	if (r->is_putting)
		return E_AGAIN;
	if (!replica_is_up(r))
		return E_CLOSED;
	if (text.n > CLUSTER_OBJECT_MAX)
		return E_LIMIT;
	int rc = cluster_call(r->c, &m, on_put, r);
	if (rc < 0)
		return rc;
	r->is_putting = true;
	r->done = done;
	r->arg = arg;
	return 0;
}

int
replica_code(struct replica *r, const struct cluster_entry *e)
{
	uint8_t buf[CLUSTER_KEY_MAX + CLUSTER_VALUE_MAX + 32];
	struct wr w = wr_open(buf, sizeof(buf));
	struct cluster_msg m = { .type = CLUSTER_SET_ADD, .name = SPAN(CODES) };

	if (r->c == NULL)
		return E_CLOSED;
	cluster_entry_encode(&w, e);
	m.bytes = wr_span(&w);
	return wr_full(&w) ? E_LIMIT : cluster_call(r->c, &m, NULL, NULL);
}

/* The first node that comes gives what it has. */
static void
put_first(struct replica *r)
{
	char *text = NULL;
	size_t n = 0;

	if (r->host->text(r->host->arg, &text, &n) < 0)
		return;
	/* Nothing is no news: the other node may have all of them. */
	int rc = n == 0 ? 0 : replica_put(r, span_of(text, n), NULL, NULL);
	if (rc < 0)
		log_err(0, "users: cannot be given to hasync: %s", err_text(rc));
	OPENSSL_cleanse(text, n);
	free(text);
}

static void
on_watched(void *arg, const struct cluster_msg *a)
{
	struct replica *r = arg;

	if (a->status != CLUSTER_OK)
		return;
	r->is_synced = true;
	if (!r->is_there || r->has_news)
		put_first(r);
	r->has_news = false;
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	struct replica *r = arg;

	if (m->type == CLUSTER_CHANGED && span_is(m->name, CODES))
		r->host->codes(r->host->arg, m->bytes);
	if (m->type != CLUSTER_CHANGED || !span_is(m->name, USERS))
		return;
	/* Changes made without the store, on top of what it has: they are put when
	 * it has said everything. */
	if (!r->is_synced && r->has_news && r->down_generation == m->generation) {
		r->generation = m->generation;
		r->is_there = true;
		return;
	}
	if (r->has_news)
		log_warn(0, "users: changes made here without hasync give way to later "
			    "ones of the other node");
	r->has_news = false;
	r->generation = m->generation;
	r->is_there = !(m->flags & CLUSTER_REMOVE);
	/* Nobody removes it; a store that lost it gets it from our next change. */
	if (r->is_there)
		r->host->adopt(r->host->arg, m->bytes);
}

static void
on_up(void *arg)
{
	struct replica *r = arg;
	struct cluster_msg hello = { .type = CLUSTER_HELLO, .name = SPAN("auth") },
			   codes = { .type = CLUSTER_WATCH, .name = SPAN(CODES) },
			   watch = { .type = CLUSTER_WATCH, .name = SPAN(USERS) };

	(void)cluster_call(r->c, &hello, NULL, NULL);
	(void)cluster_call(r->c, &codes, NULL, NULL);
	(void)cluster_call(r->c, &watch, on_watched, r);
}

static void
go_down(struct replica *r)
{
	struct cluster *c = r->c;

	r->c = NULL;
	if (r->is_synced)
		r->down_generation = r->generation;
	r->is_synced = r->is_there = false;
	r->generation = 0;
	cluster_free(c);
	if (r->is_putting)
		put_over(r, E_CLOSED, &(struct cluster_msg){ 0 }, false);
}

static void
on_down(void *arg, int rc)
{
	log_warn(0, "hasync: connection lost: %s", err_text(rc));
	go_down(arg);
}

static const struct cluster_handlers handlers = { on_up, on_push, on_down };

int
replica_new(struct replica **out, uv_loop_t *loop, const struct replica_host *host)
{
	struct replica *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return E_NOMEM;
	r->loop = loop;
	r->host = host;
	*out = r;
	return 0;
}

void
replica_connect(struct replica *r, int fd)
{
	if (r->c != NULL)
		go_down(r);
	int rc = cluster_adopt(&r->c, r->loop, fd, &handlers, r);
	if (rc < 0)
		log_err(0, "hasync: %s", err_text(rc));
}

void
replica_changed_alone(struct replica *r)
{
	r->has_news = true;
}

bool
replica_is_up(const struct replica *r)
{
	return r->c != NULL && r->is_synced;
}

void
replica_free(struct replica *r)
{
	if (r == NULL)
		return;
	cluster_free(r->c);
	free(r);
}
