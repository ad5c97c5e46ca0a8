/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* users.h -- the local users: a table in memory, a file of one JSON object a
 * line, and the rules a user's fields obey.
 *
 * Units: wall-clock seconds. Names are compared byte by byte.
 * Ownership: the table owns its strings; users_find's result lives until the
 * table changes.
 */
#ifndef VPND_AUTH_USERS_H
#define VPND_AUTH_USERS_H

#include "common/span.h"
#include "vpnd/ipc/messages.h"

enum { USERS_MAX = 100000, USERS_FILE_MAX = 64 * 1024 * 1024 };

struct user {
	char name[IPC_USER_MAX + 1];
	char hash[256];
	char totp[128]; /* base32; "" = no second factor */
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

/* Is this code right at that time, within one step of 30 s (RFC 6238 5.2), and
 * later than the last one used? Then it is used up. */
bool users_totp_check(struct user *u, const char *code, uint64_t wall_s);

#endif
