/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/map.h"

#include "common/err.h"
#include "tests/lib/tap.h"

static const uint8_t seed[MAP_SEED] = { 0, 1, 2,  3,  4,  5,  6,  7,
					8, 9, 10, 11, 12, 13, 14, 15 };

static void
the_hash_is_siphash(void)
{
	uint8_t in[15];
	for (int i = 0; i < 15; i++)
		in[i] = (uint8_t)i;
	/* The test values of its authors. */
	ok(map_siphash(seed, in, 15) == UINT64_C(0xa129ca6149be45e5), "15 bytes");
	ok(map_siphash(seed, in, 0) == UINT64_C(0x726fdb47dd0e0e31), "none");
	ok(map_siphash(seed, in, 8) == UINT64_C(0x93f5f5799a932462), "8 bytes");
}

static void
what_goes_in_comes_out(void)
{
	struct map *m;
	uint32_t v = 99;

	is_int(map_new(&m, 18, 3, seed), 0, "new");
	is_int(map_find(m, "0123456789abcdefgh", &v), E_NOENT, "empty");
	is_int(v, 99, "value untouched");
	is_int(map_insert(m, "0123456789abcdefgh", 7), 0, "insert");
	is_int(map_insert(m, "0123456789abcdefgh", 8), E_EXIST, "again");
	is_int(map_find(m, "0123456789abcdefgh", &v), 0, "find");
	is_int(v, 7, "the first value");
	is_int(map_find(m, "0123456789abcdefgH", &v), E_NOENT, "the last byte counts");
	is_int(map_insert(m, "1123456789abcdefgh", 1), 0, "second");
	is_int(map_insert(m, "2123456789abcdefgh", 2), 0, "third");
	is_int(map_insert(m, "3123456789abcdefgh", 3), E_LIMIT, "full");
	is_int(map_count(m), 3, "three");
	is_int(map_remove(m, "0123456789abcdefgh"), 0, "remove");
	is_int(map_remove(m, "0123456789abcdefgh"), E_NOENT, "again");
	is_int(map_insert(m, "3123456789abcdefgh", 3), 0, "room again");
	map_free(m);
	map_free(NULL);
}

static void
bad_sizes_are_refused(void)
{
	struct map *m;
	is_int(map_new(&m, 0, 1, seed), E_INVAL, "no key");
	is_int(map_new(&m, 33, 1, seed), E_INVAL, "long key");
	is_int(map_new(&m, 4, 0, seed), E_INVAL, "no room");
	is_int(map_new(&m, 4, (size_t)1 << 31, seed), E_INVAL, "too much room");
}

static void
it_agrees_with_an_array_through_a_long_life(void)
{
	enum { KEYS = 700, CAP = 300 };
	static uint32_t want[KEYS]; /* 0: absent */
	struct map *m;
	uint64_t rnd = 88172645463325252u;
	size_t count = 0;
	bool agree = true;

	map_new(&m, 4, CAP, seed);
	for (uint32_t i = 1; i <= 400000 && agree; i++) {
		rnd ^= rnd << 13, rnd ^= rnd >> 7, rnd ^= rnd << 17;
		uint32_t k = (uint32_t)(rnd >> 8) % KEYS, v = 0;
		int rc;
		switch (rnd % 3) {
		case 0:
			rc = map_insert(m, &k, i);
			agree = rc == (want[k] ? E_EXIST : count == CAP ? E_LIMIT : 0);
			if (rc == 0)
				want[k] = i, count++;
			break;
		case 1:
			rc = map_remove(m, &k);
			agree = rc == (want[k] ? 0 : E_NOENT);
			if (rc == 0)
				want[k] = 0, count--;
			break;
		default:
			rc = map_find(m, &k, &v);
			agree = rc == (want[k] ? 0 : E_NOENT) && v == want[k];
		}
		agree = agree && map_count(m) == count;
	}
	ok(agree, "400,000 steps alike");
	for (uint32_t k = 0; k < KEYS && agree; k++) {
		uint32_t v = 0;
		agree = map_find(m, &k, &v) == (want[k] ? 0 : E_NOENT) && v == want[k];
	}
	ok(agree, "and every key at the end");
	map_free(m);
}

int
main(void)
{
	the_hash_is_siphash();
	what_goes_in_comes_out();
	bad_sizes_are_refused();
	it_agrees_with_an_array_through_a_long_life();
	return done_testing();
}
