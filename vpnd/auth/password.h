/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* password.h -- does this password belong to this hash? Slow on purpose, mostly:
 * call it from the thread pool; from the loop only what is quick. */
#ifndef VPND_AUTH_PASSWORD_H
#define VPND_AUTH_PASSWORD_H

#include <stdbool.h>

/* crypt(3) in memory of its own, wiped. False without memory. */
bool password_matches(const char *secret, const char *hash);

/* Whether checking it costs less than handing it to a thread (0.1 ms): goes by the
 * method and by what was typed, not by the user. */
bool password_is_quick(const char *secret, const char *hash);

/* A hash of what `vpnctl user add` makes by default (yescrypt cost 5), of a
 * password nobody knows: what an unknown user is checked against when there is
 * no user to borrow a hash from. */
extern const char password_decoy[];

#endif
