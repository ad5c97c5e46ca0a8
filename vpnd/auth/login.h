/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* login.h -- a login between two of its steps, as the client carries it.
 *
 * Steps may come over different connections and workers, so the state travels
 * with the client, sealed (seal.h) under a key that this process made at start.
 * A text that does not open, or is too old, just means: start over.
 *
 * A state can be sent twice, so it bounds nothing by itself: guesses are
 * bounded by backoff.h, reuse of a code by users_totp_check.
 */
#ifndef VPND_AUTH_LOGIN_H
#define VPND_AUTH_LOGIN_H

#include "common/seal.h"
#include "vpnd/ipc/messages.h"

enum { LOGIN_LIFE_MS = 10 * 60 * 1000, LOGIN_TEXT = 1025 };

enum login_at { LOGIN_AT_PASSWORD, LOGIN_AT_CODE };

struct login_state {
	uint64_t attempt;            /* random id, in every process's lines */
	uint64_t created_ms;         /* monotonic */
	uint8_t tries;               /* wrong answers so far */
	uint8_t at;                  /* enum login_at: what was asked */
	uint64_t wall_changed_s;     /* of the user whose password was right */
	char user[IPC_USER_MAX + 1]; /* "" before the password was right */
	char group[IPC_NAME_MAX + 1];
	bool has_cert; /* a good certificate came with a step before */
	char cert_user[IPC_USER_MAX + 1];
};

/* text has LOGIN_TEXT bytes. */
int login_seal(const uint8_t key[SEAL_KEY], const struct login_state *s, char *text);
/* E_AUTH when it does not open, E_STALE when it is too old. */
int login_open(const uint8_t key[SEAL_KEY], struct span text, uint64_t now_ms,
	       struct login_state *s);

#endif
