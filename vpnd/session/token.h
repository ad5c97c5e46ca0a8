/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* token.h -- what a webvpn token says, and its bytes before they are sealed.
 *
 * The token is all a node needs to carry on a session it has never seen, and it
 * never changes: a client does not take a second one. Sealing (AES-256-GCM) is
 * the business of `keys`; this module knows the claims and nothing else.
 *
 *   u8 version, sid 16, u8 n + user, u8 n + group, u8 n + policy, u8 n + device,
 *   u8 has4 [4 bytes, u8 mask length], u8 has6 [16 bytes, u8 prefix length],
 *   u64 login, u64 expiry (wall seconds), u8 method, u8 platform, u32 flags
 *
 * Errors: E_PROTO for bytes that are not claims; E_LIMIT if they do not fit.
 */
#ifndef VPND_SESSION_TOKEN_H
#define VPND_SESSION_TOKEN_H

#include "common/ip.h"
#include "common/span.h"
#include "vpnd/ipc/messages.h"

enum { CLAIMS_VERSION = 1 };

struct claims {
	uint8_t sid[IPC_SID];
	char user[IPC_USER_MAX + 1];
	char group[IPC_NAME_MAX + 1];
	char policy[IPC_NAME_MAX + 1];
	char device[IPC_NAME_MAX + 1];
	struct ip_addr addr4, addr6; /* family 0: none; never a port */
	uint8_t len4, len6; /* mask (32) and prefix (128) the client was told */
	uint64_t wall_login_s, wall_expiry_s;
	uint8_t method, platform;
	uint32_t flags; /* 0 so far */
};

int claims_encode(const struct claims *c, void *buf, size_t cap, size_t *n);
int claims_decode(struct span in, struct claims *c);

#endif
