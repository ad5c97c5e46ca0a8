/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tokenkeys.h -- the keys under which session tokens are sealed.
 *
 * One key is current and seals. The next one exists already, so that it is on
 * disk (and on the other node) a whole period before the first token needs it.
 * A retired key still opens tokens for as long as the longest session lasts.
 * Token: seal.h with head = version 1 | key id 4.
 *
 * Units: times are wall-clock seconds.
 * Errors: as seal.h; E_STALE for a key id that is not (any more) in the set;
 *         E_PROTO for a stored set that is not one.
 */
#ifndef VPND_KEYS_TOKENKEYS_H
#define VPND_KEYS_TOKENKEYS_H

#include "common/seal.h"

enum {
	TOKENKEYS_PERIOD_S = 24 * 3600,
	TOKENKEYS_KEEP_S = 256 * 3600, /* the longest session there can be */
	TOKENKEYS_OLD =
		32, /* 256 h / 24 h, of two nodes that became a pair, and some */
	TOKENKEYS_BYTES = 5 + (TOKENKEYS_OLD + 2) * (1 + 4 + 8 + SEAL_KEY),
	TOKENKEYS_VERSION = 1,
	TOKENKEYS_HEAD = 5,
};

struct tokenkey {
	uint32_t id;     /* random, never 0, different in one set */
	uint64_t wall_s; /* current: in use since; next: made; old: retired */
	uint8_t key[SEAL_KEY];
};

/* Secret: lives in secure memory, wiped by its owner. */
struct tokenkeys {
	struct tokenkey current, next;
	struct tokenkey old[TOKENKEYS_OLD]; /* latest first */
	unsigned n_old;
};

/* A fresh set: current and next. */
int tokenkeys_make(struct tokenkeys *t, uint64_t wall_s);
/* What is due by now: next becomes current, keys past their time are wiped.
 * 1 when something changed (store it before sealing again), 0 when not. */
int tokenkeys_rotate(struct tokenkeys *t, uint64_t wall_s);

/* A pair has one set, in the store. current and next become the store's; keys of ours
 * that it lacks stay as retired, so that tokens of both nodes open. 1 when the result
 * has keys that the store's has not: it has to be stored there again. 0 when it is
 * the store's. What is past its time is left out on our side. */
int tokenkeys_unite(struct tokenkeys *t, const struct tokenkeys *store,
		    uint64_t wall_s);

/* buf has TOKENKEYS_BYTES; returns how many are used. */
size_t tokenkeys_write(const struct tokenkeys *t, uint8_t *buf);
int tokenkeys_read(struct tokenkeys *t, struct span bytes);

int tokenkeys_seal(const struct tokenkeys *t, struct span claims, char *text,
		   size_t cap);
int tokenkeys_open(const struct tokenkeys *t, struct span text, uint8_t *claims,
		   size_t cap, size_t *n);

#endif
