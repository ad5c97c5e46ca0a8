/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/keys/share.h"

#include "common/cluster.h"
#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#define OBJECT "token-keys"

enum { SEALED_MAX = TOKENKEYS_BYTES + PAIRKEY_EXTRA };

static void ask(struct share *s);

/* ---- to the store ---- */

static void
on_put(void *arg, const struct cluster_msg *m)
{
	struct share *s = arg;
	bool again = s->is_again;

	s->is_putting = s->is_again = false;
	switch (m->status) {
	case CLUSTER_OK: /* a newer one may have been told of meanwhile */
		if (m->generation > s->generation)
			s->generation = m->generation;
		log_info(0, "token keys stored for the pair generation=%llu copies=%u",
			 (unsigned long long)m->generation, m->copies);
		if (again)
			share_publish(s);
		break;
	case CLUSTER_CONFLICT: /* the other node was first: unite with its set */
		s->generation = m->generation;
		ask(s);
		break;
	case CLUSTER_LOST: break; /* the next connection starts anew */
	default:
		log_err(0, "keys: token keys not stored for the pair: %s",
			cluster_status_text((enum cluster_status)m->status));
	}
}

void
share_publish(struct share *s)
{
	uint8_t plain[TOKENKEYS_BYTES], sealed[SEALED_MAX];
	struct cluster_msg m = { .type = CLUSTER_PUT,
				 .name = SPAN(OBJECT),
				 .generation = s->generation };
	size_t n;

	if (s->cluster == NULL || s->pair_key == NULL || *s->tokens == NULL)
		return;
	if (s->is_putting) {
		s->is_again = true;
		return;
	}
	size_t plain_n = tokenkeys_write(*s->tokens, plain);
	int rc = pairkey_seal(s->pair_key, OBJECT, span_of(plain, plain_n), sealed,
			      sizeof(sealed), &n);
	OPENSSL_cleanse(plain, sizeof(plain));
	if (rc == 0) {
		m.bytes = span_of(sealed, n);
		rc = cluster_call(s->cluster, &m, on_put, s);
	}
	if (rc < 0)
		log_err(0, "keys: token keys not stored for the pair: %s",
			err_text(rc));
	s->is_putting = rc == 0;
}

/* ---- from the store ---- */

static bool
is_same(const struct tokenkeys *a, const struct tokenkeys *b)
{
	uint8_t x[TOKENKEYS_BYTES], y[TOKENKEYS_BYTES];
	size_t n = tokenkeys_write(a, x), k = tokenkeys_write(b, y);
	bool same = n == k && memcmp(x, y, n) == 0;

	OPENSSL_cleanse(x, sizeof(x));
	OPENSSL_cleanse(y, sizeof(y));
	return same;
}

static int
open_set(const struct share *s, struct span sealed, struct tokenkeys *t)
{
	uint8_t plain[TOKENKEYS_BYTES];
	size_t n = 0;
	int rc = pairkey_open(s->pair_key, OBJECT, sealed, plain, sizeof(plain), &n);

	if (rc == 0)
		rc = tokenkeys_read(t, span_of(plain, n));
	OPENSSL_cleanse(plain, sizeof(plain));
	return rc;
}

static void
unite(struct share *s, struct span sealed)
{
	/* [0] what the store has, [1] what it becomes. */
	struct tokenkeys *t = OPENSSL_secure_zalloc(2 * sizeof(*t));
	time_t now = time(NULL);
	int rc = t == NULL ? E_NOMEM : open_set(s, sealed, &t[0]);

	if (rc < 0) {
		log_err(0, "keys: the pair's token keys cannot be used, ours stay: %s",
			err_text(rc));
		OPENSSL_secure_clear_free(t, 2 * sizeof(*t));
		return;
	}
	t[1] = **s->tokens;
	bool lacks = tokenkeys_unite(&t[1], &t[0], now > 0 ? (uint64_t)now : 0) > 0;
	bool changed = !is_same(&t[1], *s->tokens);
	**s->tokens = t[1];
	OPENSSL_secure_clear_free(t, 2 * sizeof(*t));
	if (changed) {
		log_info(0, "token keys taken from the pair generation=%llu retired=%u",
			 (unsigned long long)s->generation, (*s->tokens)->n_old);
		s->on_change(s->arg);
	}
	if (lacks)
		share_publish(s);
}

static void
on_object(struct share *s, const struct cluster_msg *m)
{
	if (*s->tokens == NULL || s->pair_key == NULL)
		return;
	s->generation = m->generation;
	if (m->flags & CLUSTER_REMOVE)
		share_publish(s);
	else
		unite(s, m->bytes);
}

static void
on_got(void *arg, const struct cluster_msg *m)
{
	struct share *s = arg;

	if (m->status == CLUSTER_OK) {
		on_object(s, m);
	} else if (m->status == CLUSTER_NOENT) {
		s->generation = m->generation;
		share_publish(s);
	}
}

static void
ask(struct share *s)
{
	struct cluster_msg m = { .type = CLUSTER_GET, .name = SPAN(OBJECT) };

	if (s->cluster != NULL)
		(void)cluster_call(s->cluster, &m, on_got, s);
}

/* What there is was told before this answer; if nothing was, ask which generation a
 * first one has to replace. */
static void
on_watched(void *arg, const struct cluster_msg *m)
{
	struct share *s = arg;

	if (m->status == CLUSTER_OK && s->generation == 0)
		ask(s);
}

static void
on_push(void *arg, const struct cluster_msg *m)
{
	if (m->type == CLUSTER_CHANGED && span_is(m->name, OBJECT))
		on_object(arg, m);
}

static void
on_up(void *arg)
{
	struct share *s = arg;
	struct cluster_msg hello = { .type = CLUSTER_HELLO, .name = SPAN("keys") };
	struct cluster_msg watch = { .type = CLUSTER_WATCH, .name = SPAN(OBJECT) };

	if (cluster_call(s->cluster, &hello, NULL, NULL) == 0)
		(void)cluster_call(s->cluster, &watch, on_watched, s);
}

static void
drop(struct share *s)
{
	cluster_free(s->cluster);
	s->cluster = NULL;
	s->generation = 0;
	s->is_putting = s->is_again = false;
}

static void
on_down(void *arg, int rc)
{
	log_debug(0, "connection to hasync ended: %s", err_text(rc));
	drop(arg); /* the parent brings another one */
}

static const struct cluster_handlers handlers = { on_up, on_push, on_down };

void
share_connect(struct share *s, int fd)
{
	drop(s);
	int rc = cluster_adopt(&s->cluster, s->loop, fd, &handlers, s);
	if (rc < 0)
		log_err(0, "keys: connection to hasync: %s", err_text(rc));
}

/* ---- the rest ---- */

/* With the first stream of a loop libuv opens a file it wants in reserve: before the
 * sandbox. */
int
share_init(struct share *s, uv_loop_t *loop)
{
	s->loop = loop;
	int rc = uv_pipe_init(loop, &s->first, 0);
	if (rc == 0)
		uv_close((uv_handle_t *)&s->first, NULL);
	return rc;
}

int
share_key(struct share *s, struct span key)
{
	if (key.n != PAIRKEY)
		return E_INVAL;
	if (s->pair_key == NULL &&
	    (s->pair_key = OPENSSL_secure_malloc(PAIRKEY)) == NULL)
		return E_NOMEM;
	memcpy(s->pair_key, key.p, PAIRKEY);
	return 0;
}

bool
share_may_rotate(const struct share *s)
{
	return !s->has_role || s->is_active;
}

int
share_touch(void)
{
	static const uint8_t key[PAIRKEY];
	uint8_t sealed[PAIRKEY_EXTRA + 4], plain[8];
	size_t n = 0;
	int rc = pairkey_seal(key, OBJECT, SPAN("warm"), sealed, sizeof(sealed), &n);

	return rc < 0 ? rc
		      : pairkey_open(key, OBJECT, span_of(sealed, n), plain,
				     sizeof(plain), &n);
}

void
share_close(struct share *s)
{
	drop(s);
	OPENSSL_secure_clear_free(s->pair_key, PAIRKEY);
	s->pair_key = NULL;
}
