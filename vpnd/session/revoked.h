/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* revoked.h -- session ids whose token must not work again though it is sealed
 * and not expired: logout, kick, password change, disabled user.
 *
 * Entries expire with their token. The file `revoked` is written whole. Callers
 * use add, has and each only, so that a replicated store can stand behind it.
 *
 * Units: wall seconds. Errors: -errno, E_NOMEM; a set that could not be written
 * still holds in memory, and revoked_save tries again.
 */
#ifndef VPND_SESSION_REVOKED_H
#define VPND_SESSION_REVOKED_H

#include "vpnd/ipc/messages.h"

struct revoked;

/* Loads what has not expired. A damaged file is put aside as revoked.bad. */
int revoked_open(struct revoked **out, int dir_fd, uint64_t wall_now_s);
void revoked_close(struct revoked *r);

int revoked_add(struct revoked *r, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s);
bool revoked_has(const struct revoked *r, const uint8_t sid[IPC_SID]);
void revoked_each(const struct revoked *r,
		  void (*each)(void *arg, const uint8_t sid[IPC_SID],
			       uint64_t wall_expiry_s),
		  void *arg);
/* Forget what has expired; write the file if anything changed since. */
int revoked_save(struct revoked *r, uint64_t wall_now_s);
unsigned revoked_count(const struct revoked *r);

#endif
