/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* proc.h -- start a process with chosen descriptors; give privileges away.
 *
 * Errors: -errno.
 */
#ifndef COMMON_PROC_H
#define COMMON_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* fork and exec argv[0] (argv ends in NULL). Of all descriptors only 0, 1, 2
 * and fds[0..n_fds) stay open, renumbered to 3, 4, ... in that order. The child
 * dies with its parent (PR_SET_PDEATHSIG) and has default signals. */
int proc_spawn(pid_t *pid, char *const argv[], const int *fds, size_t n_fds);

/* The users that processes become; without them (no package was installed) fixed
 * numbers, in this order. */
enum proc_user {
	PROC_KEYS,
	PROC_AUTH,
	PROC_SESSION,
	PROC_WORKER,
	PROC_ACME,
	PROC_DDNS,
	PROC_USERS
};
enum { PROC_UID_FIRST = 61701 };
/* false: there is no such user, and the number is the fixed one. */
bool proc_user(enum proc_user who, uid_t *uid, gid_t *gid);

enum { PROC_NO_CAP = -1 };
/* Become uid:gid without supplementary groups, with no capability but cap (CAP_* of
 * linux/capability.h, or PROC_NO_CAP), and no way to gain more. */
int proc_drop(uid_t uid, gid_t gid, int cap);

/* The same for a child that lives no longer than its parent (PR_SET_PDEATHSIG), in
 * root ("" = stay) by chroot. */
int proc_confine(const char *root, uid_t uid, gid_t gid, int cap);

#endif
