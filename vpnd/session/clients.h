/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* clients.h -- the client list: who is connected, one entry per user.
 *
 * Several devices of one user are one entry, which shows the most recently
 * connected one; when that goes, the entry follows to the next, and ends with
 * the last. Sessions without a tunnel are not in it.
 *
 * Ownership: clients_list gives an array of borrowed sessions, valid until the
 * table is touched; the caller frees the array.
 */
#ifndef VPND_SESSION_CLIENTS_H
#define VPND_SESSION_CLIENTS_H

#include "vpnd/session/session.h"

enum { CLIENT_MAC = 18, CLIENT_VERSION = 32 }; /* text with NUL */

struct client_entry {
	const struct session *latest;
	unsigned devices; /* sessions of this user with a tunnel */
};

/* Sorted by user. E_NOMEM. */
int clients_list(struct session_table *t, struct client_entry **out, unsigned *n);

/* No client tells its MAC address to a VPN gateway, but lists want one. So it is
 * made from the user name alone, and is the same on every node: the first bytes
 * of the name's SHA-256, marked as locally administered and unicast. */
void client_mac(char out[CLIENT_MAC], const char *user);

/* "4.8.02042" of "AnyConnect Windows 4.8.02042"; "" if there is none. */
void client_version(char out[CLIENT_VERSION], const char *agent);

#endif
