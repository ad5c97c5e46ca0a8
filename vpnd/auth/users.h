/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* users.h -- the local users: a table in memory, a file of one JSON object a
 * line, and the rules a user's fields obey.
 *
 * The TOTP secret is written sealed under the pair key, for this user's name alone:
 * "sealed:" and base64 of what pairkey_seal gives. Plain base32 is what a node
 * without a key writes; users_seal turns it into the other as soon as there is one.
 *
 * Units: wall-clock seconds. Names are compared byte by byte.
 * Ownership: the table owns its strings; users_find's result lives until the
 * table changes.
 */
#ifndef VPND_AUTH_USERS_H
#define VPND_AUTH_USERS_H

#include "common/pairkey.h"
#include "common/span.h"
#include "vpnd/ipc/messages.h"

/* Base64 of the longest secret with what sealing adds. */
enum { TOTP_MAX = 127, TOTP_SEALED = 7 + (TOTP_MAX + PAIRKEY_EXTRA + 2) / 3 * 4 };
enum { USERS_MAX = 100000, USERS_FILE_MAX = 64 * 1024 * 1024 };

struct user {
	char name[IPC_USER_MAX + 1];
	char hash[256];
	char totp[TOTP_MAX + 1];      /* base32; "" = none, or not opened */
	char sealed[TOTP_SEALED + 1]; /* as in the file; "" = none, or not sealed yet */
	bool is_authorised;
	uint64_t wall_changed_s;
	uint64_t totp_used; /* latest counter that logged in; not in the file */
};

struct users {
	struct user *u; /* sorted by name */
	size_t n, cap;
};

/* All of them or none. E_PROTO with the number of the line that is wrong. */
int users_read(struct users *t, struct span text, unsigned *line);
/* Text for the file; the caller wipes and frees it. */
int users_write(const struct users *t, char **text, size_t *n);
int users_copy(struct users *to, const struct users *from);
void users_free(struct users *t);

struct user *users_find(const struct users *t, const char *name);

/* Create, update or remove. E_INVAL, E_EXIST, E_NOENT or E_LIMIT with one
 * sentence in why, which is never longer than 255 bytes. */
int users_apply(struct users *t, const struct ipc_user_put *m, uint64_t wall_s,
		char *why, size_t why_n);

/* 1 to 255 bytes of UTF-8, no control characters, no space at either end. */
bool users_name_is_good(const char *name);
/* A whole hash of yescrypt, sha512crypt, bcrypt or md5crypt, whose cost does
 * not hold up other logins (at most about half a second). */
bool users_hash_is_good(const char *hash);
/* Base32 of 10 to 64 bytes (RFC 4226 4 R6 wants 16; many tools give 10). */
bool users_totp_is_good(const char *totp);

struct users_sealing {
	size_t sealed;   /* were plain, or under another key */
	size_t unopened; /* cannot be opened with this key: their users cannot log in */
};
/* Open what is sealed, seal what is plain. anew: seal everything that is open, since
 * the key is another one than before. */
int users_seal(struct users *t, const uint8_t key[PAIRKEY], bool anew,
	       struct users_sealing *s);
/* Also when the secret cannot be opened: the password alone is not enough then. */
bool users_has_totp(const struct user *u);

/* Is this code right at that time, within one step of 30 s (RFC 6238 5.2), and
 * later than the last one used? Then it is used up. */
bool users_totp_check(struct user *u, const char *code, uint64_t wall_s);

/* From when on the code of this counter is wrong for everyone. */
uint64_t users_totp_end_s(uint64_t counter);

#endif
