/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/objects.h"

#include "common/err.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum { MAP_KEY = CLUSTER_KEY_MAX + 1 };

int
object_new(struct object **out, struct span name)
{
	enum cluster_class class = cluster_class(name);

	if (class == CLUSTER_BAD)
		return E_INVAL;
	struct object *o = calloc(1, sizeof(*o));
	if (o == NULL)
		return E_NOMEM;
	memcpy(o->name, name.p, name.n);
	o->class = class;
	SHA256(NULL, 0, o->sha);
	*out = o;
	return 0;
}

void
object_clear(struct object *o)
{
	free(o->set.at);
	map_free(o->set.index);
	o->set = (struct entries){ 0 };
}

void
object_free(struct object *o)
{
	if (o == NULL)
		return;
	object_clear(o);
	free(o->bytes);
	free(o);
}

bool
object_is_set(const struct object *o)
{
	return o->class == CLUSTER_SET || o->class == CLUSTER_OWN_SET;
}

int
object_set_bytes(struct object *o, struct span bytes)
{
	uint8_t *p = malloc(bytes.n + 1);

	if (bytes.n > CLUSTER_OBJECT_MAX || p == NULL) {
		free(p);
		return p == NULL ? E_NOMEM : E_LIMIT;
	}
	if (bytes.n > 0)
		memcpy(p, bytes.p, bytes.n);
	free(o->bytes);
	o->bytes = p;
	o->n = bytes.n;
	SHA256(p, bytes.n, o->sha);
	return 0;
}

static void
map_key(uint8_t key[MAP_KEY], const struct cluster_entry *e)
{
	memset(key, 0, MAP_KEY);
	key[0] = e->key_n;
	memcpy(key + 1, e->key, e->key_n);
}

static size_t
entry_size(const struct cluster_entry *e)
{
	return 1 + e->key_n + 1 + e->value_n + 8u;
}

static int
grow(struct entries *s)
{
	size_t cap = s->cap == 0 ? 64 : s->cap * 2;
	uint8_t seed[MAP_SEED], key[MAP_KEY];
	struct map *m;

	if (RAND_bytes(seed, sizeof(seed)) != 1)
		return E_TLS;
	struct cluster_entry *at = realloc(s->at, cap * sizeof(*at));
	if (at == NULL)
		return E_NOMEM;
	s->at = at;
	int rc = map_new(&m, MAP_KEY, cap, seed);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n; i++) {
		map_key(key, &s->at[i]);
		map_insert(m, key, (uint32_t)i);
	}
	map_free(s->index);
	s->index = m;
	s->cap = cap;
	return 0;
}

static void
drop(struct entries *s, uint32_t i)
{
	uint8_t key[MAP_KEY];

	map_key(key, &s->at[i]);
	map_remove(s->index, key);
	s->bytes -= entry_size(&s->at[i]);
	if (i != --s->n) {
		s->at[i] = s->at[s->n];
		map_key(key, &s->at[i]);
		map_remove(s->index, key);
		map_insert(s->index, key, i);
	}
}

static int
update(struct object *o, uint32_t i, const struct cluster_entry *e)
{
	struct cluster_entry *there = &o->set.at[i], was = *there;

	if (o->class == CLUSTER_OWN_SET) {
		if (e->is_gone) {
			drop(&o->set, i);
			return 1;
		}
		*there = *e;
	} else {
		there->expires_s = merge_expiry(there->expires_s, e->expires_s);
		/* Values of one key do not differ in practice; if they do, all nodes
		 * must still agree. */
		if (e->value_n > there->value_n ||
		    (e->value_n == there->value_n &&
		     memcmp(e->value, there->value, e->value_n) > 0)) {
			there->value_n = e->value_n;
			memcpy(there->value, e->value, sizeof(there->value));
		}
	}
	o->set.bytes = o->set.bytes - entry_size(&was) + entry_size(there);
	return was.expires_s != there->expires_s || was.value_n != there->value_n ||
	       memcmp(was.value, there->value, sizeof(was.value)) != 0;
}

int
object_add(struct object *o, const struct cluster_entry *e, uint64_t now_s)
{
	struct entries *s = &o->set;
	uint8_t key[MAP_KEY];
	uint32_t i;
	int rc;

	if (o->class == CLUSTER_SET &&
	    (e->is_gone || merge_is_expired(e->expires_s, now_s)))
		return 0;
	map_key(key, e);
	if (s->index != NULL && map_find(s->index, key, &i) == 0)
		return update(o, i, e);
	if (e->is_gone)
		return 0;
	if (s->n >= OBJECT_ENTRIES_MAX || s->bytes + entry_size(e) > CLUSTER_SET_MAX)
		return E_LIMIT;
	if (s->n == s->cap && (rc = grow(s)) < 0)
		return rc;
	if ((rc = map_insert(s->index, key, (uint32_t)s->n)) < 0)
		return rc;
	s->at[s->n++] = *e;
	s->bytes += entry_size(e);
	return 1;
}

size_t
object_expire(struct object *o, uint64_t now_s)
{
	size_t n = 0;

	for (size_t i = o->set.n; i-- > 0;)
		if (merge_is_expired(o->set.at[i].expires_s, now_s)) {
			drop(&o->set, (uint32_t)i);
			n++;
		}
	return n;
}

int
object_encode(const struct object *o, uint8_t **bytes, size_t *n)
{
	size_t size = object_is_set(o) ? o->set.bytes : o->n;
	uint8_t *p = malloc(size + 1);

	if (p == NULL)
		return E_NOMEM;
	struct wr w = wr_open(p, size + 1);
	if (!object_is_set(o))
		wr_bytes(&w, o->bytes, o->n);
	for (size_t i = 0; object_is_set(o) && i < o->set.n; i++)
		cluster_entry_encode(&w, &o->set.at[i]);
	*bytes = p;
	*n = w.n;
	return 0;
}

void
object_digest(const struct object *o, uint8_t sha[CLUSTERFILE_SHA])
{
	if (!object_is_set(o)) {
		memcpy(sha, o->sha, CLUSTERFILE_SHA);
		return;
	}
	memset(sha, 0, CLUSTERFILE_SHA);
	for (size_t i = 0; i < o->set.n; i++) {
		uint8_t buf[256], one[CLUSTERFILE_SHA];
		struct wr w = wr_open(buf, sizeof(buf));
		cluster_entry_encode(&w, &o->set.at[i]);
		SHA256(buf, w.n, one);
		for (size_t k = 0; k < CLUSTERFILE_SHA; k++)
			sha[k] ^= one[k];
	}
}
