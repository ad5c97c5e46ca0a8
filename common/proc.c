/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/proc.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FIRST_FD = 3, HIGH_FD = 512 };

/* In the child, before exec: only async-signal-safe calls. */
static void
become(char *const argv[], const int *high, size_t n)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	for (size_t i = 0; i < n; i++)
		dup2(high[i], FIRST_FD + (int)i); /* clears close-on-exec */
	close_range(FIRST_FD + (unsigned)n, ~0U, 0);
	execv(argv[0], argv);
	_exit(127);
}

int
proc_spawn(pid_t *pid, char *const argv[], const int *fds, size_t n_fds)
{
	int high[HIGH_FD];
	size_t n = 0;
	int rc = 0;

	if (n_fds > HIGH_FD)
		return -E2BIG;
	/* Copies above the target numbers, so that dup2 overwrites none. */
	for (; n < n_fds && rc == 0; n++)
		if ((high[n] = fcntl(fds[n], F_DUPFD_CLOEXEC, HIGH_FD)) < 0)
			rc = -errno;
	if (rc < 0)
		n--;
	if (rc == 0) {
		pid_t p = fork();
		if (p == 0)
			become(argv, high, n);
		if (p < 0)
			rc = -errno;
		else
			*pid = p;
	}
	for (size_t i = 0; i < n; i++)
		close(high[i]);
	return rc;
}

bool
proc_user(enum proc_user who, uid_t *uid, gid_t *gid)
{
	static const char *const name[PROC_USERS] = {
		[PROC_KEYS] = "tandem-keys",       [PROC_AUTH] = "tandem-auth",
		[PROC_SESSION] = "tandem-session", [PROC_WORKER] = "tandem-worker",
		[PROC_ACME] = "tandem-acme",       [PROC_DDNS] = "tandem-ddns",
	};
	const struct passwd *pw = getpwnam(name[who]);

	*uid = pw != NULL ? pw->pw_uid : PROC_UID_FIRST + who;
	*gid = pw != NULL ? pw->pw_gid : PROC_UID_FIRST + who;
	return pw != NULL;
}

int
proc_drop(uid_t uid, gid_t gid, int cap)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (cap != PROC_NO_CAP)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
			     (unsigned)cap);
	if (capng_change_id((int)uid, (int)gid,
			    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) < 0)
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int
proc_confine(const char *root, uid_t uid, gid_t gid, int cap)
{
	int rc;

	if (*root != '\0' && (chroot(root) < 0 || chdir("/") < 0))
		return -errno;
	if ((rc = proc_drop(uid, gid, cap)) < 0)
		return rc;
	/* Changing the uid made us undumpable and cleared the death signal. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}
