/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* map.h -- a hash map from keys of one fixed size to small numbers.
 *
 * Keys are bytes (address and port, inner address, session id), values index
 * somebody's array. Open addressing with linear probing, at most half full;
 * removal shifts back, so there are no tombstones and a long life costs nothing.
 * The hash is SipHash under a key of the caller's: strangers choose our keys and
 * must not be able to choose collisions.
 *
 * Capacity is set once; after map_new nothing allocates.
 *
 * Errors: E_EXIST, E_NOENT, E_LIMIT (full), E_NOMEM, E_INVAL.
 */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include <stddef.h>
#include <stdint.h>

#define MAP_KEY_MAX 32u
#define MAP_SEED 16u

struct map;

/* A map for up to `capacity` (1 to 2^30) keys of key_bytes (1 to MAP_KEY_MAX)
 * each. `seed` is random. */
int map_new(struct map **out, size_t key_bytes, size_t capacity,
	    const uint8_t seed[MAP_SEED]);
void map_free(struct map *);

/* E_EXIST leaves the old value. */
int map_insert(struct map *, const void *key, uint32_t value);

/* *value is untouched on E_NOENT. */
int map_find(const struct map *, const void *key, uint32_t *value);

int map_remove(struct map *, const void *key);

size_t map_count(const struct map *);

/* SipHash-2-4 of n bytes, for whoever needs a hash strangers cannot aim at. */
uint64_t map_siphash(const uint8_t seed[MAP_SEED], const void *p, size_t n);

#endif
