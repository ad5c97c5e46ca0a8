/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* lease.h -- who has which address, in a file that survives us.
 *
 * A journal: each change is one checksummed record, in the kernel's hands before
 * lease_put returns, so that killing the process loses nothing; what a power
 * cut may take is bounded by lease_sync, which the caller runs off its loop.
 * A tail cut short is dropped at the last good record. A file that is not ours
 * at all is put aside as leases.bad.
 *
 *   file:   "TLS1" then records
 *   record: u8 op, u16 n, n bytes, u32 crc of all before it
 *
 * The caller's session table is the truth; this is its memory.
 *
 * Errors: -errno, E_NOMEM, E_LIMIT.
 */
#ifndef VPND_SESSION_LEASE_H
#define VPND_SESSION_LEASE_H

#include "vpnd/session/token.h"

struct lease {
	struct claims claims;
	uint32_t slot, gen;
	bool has_connected; /* a tunnel was up at least once */
	uint64_t wall_connected_s;
	struct ip_addr source;
	char agent[IPC_AGENT_MAX + 1];
	char hostname[IPC_NAME_MAX + 1];
};

struct lease_file;

/* Called in the order of the journal: on_put for a new or changed lease,
 * on_drop for one that ended. */
struct lease_replay {
	void *arg;
	void (*on_put)(void *arg, const struct lease *l);
	void (*on_drop)(void *arg, const uint8_t sid[IPC_SID]);
};

/* Opens or makes the file `leases` in dir_fd, which is borrowed. */
int lease_open(struct lease_file **out, int dir_fd, const struct lease_replay *replay);
void lease_close(struct lease_file *f);

int lease_put(struct lease_file *f, const struct lease *l);
int lease_drop(struct lease_file *f, const uint8_t sid[IPC_SID]);

/* The descriptor to fdatasync, as a duplicate the caller closes. */
int lease_dup(const struct lease_file *f);
/* True when dead records outweigh the n_live leases: rewrite. */
bool lease_is_fat(const struct lease_file *f, unsigned n_live);
/* The whole file anew: begin, add each live lease, end. Until end nothing has
 * changed on disk; after a failure the old file stays. */
int lease_rewrite_begin(struct lease_file *f);
void lease_rewrite_add(struct lease_file *f, const struct lease *l);
int lease_rewrite_end(struct lease_file *f);

#endif
