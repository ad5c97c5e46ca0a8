/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* profile.h -- the AnyConnect profile a client fetches after its login.
 *
 * Generated from the configuration, or a file of the operator's, which must be a
 * VPN profile: Cisco's tools write other kinds of XML too, and a client that gets
 * one of those drops its settings.
 *
 * Errors: 0, E_INVAL (not a VPN profile), E_NOMEM. Writers: wr_full().
 */
#ifndef COMMON_PROFILE_H
#define COMMON_PROFILE_H

#include "common/span.h"
#include "common/wr.h"

enum {
	PROFILE_MAX = 192 * 1024, /* bytes of a profile file */
	PROFILE_SHA1_HEX = 41,    /* with its NUL */
};

struct profile {
	const char *alias;    /* what the user sees; NULL or "": the host name */
	const char *hostname; /* with ":port" when it is not 443 */
	const char *backup;   /* the same of the second uplink; NULL or "": none */
	const char *group;    /* appended as a path; NULL or "": none */
	bool local_lan;       /* the user may reach the local network */
};

void profile_write(struct wr *w, const struct profile *p);

/* What a check found. */
struct profile_facts {
	const char *why; /* it is none, in words to follow "is no VPN profile" */
	unsigned line;   /* where that was seen; 0: at no line */
	bool local_lan;  /* LocalLanAccess is true somewhere in it */
};

/* Well-formed, no DTD, not too big, and its root is AnyConnectProfile, in any name
 * space: profile editors differ in it. facts may be NULL. */
int profile_check(struct span file, struct profile_facts *facts);

/* Upper-case hex SHA-1 of bytes, with NUL: of a profile as served, of a
 * certificate's DER. SHA-1 is the protocol's name for a file, not a safeguard. */
void profile_sha1(char out[PROFILE_SHA1_HEX], struct span bytes);

#endif
