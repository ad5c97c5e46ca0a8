/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/map.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

/* Entries are one flat array: hash, value, key, rounded up to 4 bytes. A hash of
 * 0 marks an empty one. */
struct entry {
	uint32_t hash;
	uint32_t value;
	uint8_t key[];
};

struct map {
	uint8_t *entries;
	size_t stride;
	size_t key_bytes;
	size_t mask; /* slots - 1, slots a power of two >= 2 * capacity */
	size_t capacity;
	size_t count;
	uint8_t seed[MAP_SEED];
};

/* ---- SipHash-2-4 (Aumasson, Bernstein 2012) ---- */

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t
rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void
sip_rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->a += s->b, s->b = rotate(s->b, 13) ^ s->a, s->a = rotate(s->a, 32);
		s->c += s->d, s->d = rotate(s->d, 16) ^ s->c;
		s->a += s->d, s->d = rotate(s->d, 21) ^ s->a;
		s->c += s->b, s->b = rotate(s->b, 17) ^ s->c, s->c = rotate(s->c, 32);
	}
}

static uint64_t
little(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint64_t
map_siphash(const uint8_t seed[MAP_SEED], const void *in, size_t n)
{
	const uint8_t *p = in;
	uint64_t k0 = little(seed, 8), k1 = little(seed + 8, 8);
	struct sip s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			 k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	uint64_t last = (uint64_t)n << 56;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t m = little(p, 8);
		s.d ^= m;
		sip_rounds(&s, 2);
		s.a ^= m;
	}
	last |= little(p, n);
	s.d ^= last;
	sip_rounds(&s, 2);
	s.a ^= last;
	s.c ^= 0xff;
	sip_rounds(&s, 4);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/* ---- the map ---- */

static struct entry *
at(const struct map *m, size_t slot)
{
	return (struct entry *)(m->entries + slot * m->stride);
}

static uint32_t
hash_of(const struct map *m, const void *key)
{
	uint32_t h = (uint32_t)map_siphash(m->seed, key, m->key_bytes);
	return h ? h : 1;
}

/* The slot of this key, or the empty one where it would go. Half of the slots
 * are empty, so the walk ends. */
static size_t
probe(const struct map *m, const void *key, uint32_t hash)
{
	size_t slot = hash & m->mask;

	for (;; slot = (slot + 1) & m->mask) {
		const struct entry *e = at(m, slot);
		if (e->hash == 0)
			return slot;
		if (e->hash == hash && memcmp(e->key, key, m->key_bytes) == 0)
			return slot;
	}
}

int
map_new(struct map **out, size_t key_bytes, size_t capacity,
	const uint8_t seed[MAP_SEED])
{
	if (key_bytes < 1 || key_bytes > MAP_KEY_MAX || capacity < 1 ||
	    capacity > (size_t)1 << 30)
		return E_INVAL;
	struct map *m = calloc(1, sizeof(*m));
	if (!m)
		return E_NOMEM;
	size_t slots = 4;
	while (slots < 2 * capacity)
		slots *= 2;
	m->stride = (sizeof(struct entry) + key_bytes + 3) & ~(size_t)3;
	m->entries = calloc(slots, m->stride);
	if (!m->entries) {
		free(m);
		return E_NOMEM;
	}
	m->key_bytes = key_bytes;
	m->mask = slots - 1;
	m->capacity = capacity;
	memcpy(m->seed, seed, MAP_SEED);
	*out = m;
	return 0;
}

void
map_free(struct map *m)
{
	if (!m)
		return;
	free(m->entries);
	free(m);
}

int
map_insert(struct map *m, const void *key, uint32_t value)
{
	uint32_t hash = hash_of(m, key);
	struct entry *e = at(m, probe(m, key, hash));

	if (e->hash != 0)
		return E_EXIST;
	if (m->count == m->capacity)
		return E_LIMIT;
	e->hash = hash;
	e->value = value;
	memcpy(e->key, key, m->key_bytes);
	m->count++;
	return 0;
}

int
map_find(const struct map *m, const void *key, uint32_t *value)
{
	const struct entry *e = at(m, probe(m, key, hash_of(m, key)));

	if (e->hash == 0)
		return E_NOENT;
	*value = e->value;
	return 0;
}

/* Close the gap: pull back each follower that may stand here, that is whose own
 * place is not behind the gap on its way. */
static void
shift_back(struct map *m, size_t gap)
{
	for (size_t slot = (gap + 1) & m->mask;; slot = (slot + 1) & m->mask) {
		struct entry *e = at(m, slot);
		if (e->hash == 0)
			break;
		size_t home = e->hash & m->mask;
		if (((slot - home) & m->mask) < ((slot - gap) & m->mask))
			continue;
		memcpy(at(m, gap), e, m->stride);
		gap = slot;
	}
	at(m, gap)->hash = 0;
}

int
map_remove(struct map *m, const void *key)
{
	size_t slot = probe(m, key, hash_of(m, key));

	if (at(m, slot)->hash == 0)
		return E_NOENT;
	shift_back(m, slot);
	m->count--;
	return 0;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}
