/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/keys/sandbox.h"

#include "common/log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#endif

enum { SECURE_HEAP = 256 * 1024, SECURE_MIN = 32 };

#if !defined(UNDER_SANITIZER)
/* clang-format off */
static const struct { int nr; const char *why; } allowed[] = {
	{ SCMP_SYS(read),            "libuv's wake-up descriptors" },
	{ SCMP_SYS(write),           "the log, libuv's wake-up" },
	{ SCMP_SYS(recvmsg),         "requests" },
	{ SCMP_SYS(sendmsg),         "answers" },
	{ SCMP_SYS(pread64),         "a reloaded certificate from its memfd" },
	{ SCMP_SYS(fstat),           "size of a memfd" },
	{ SCMP_SYS(newfstatat),      "the same, as newer C libraries spell it" },
	{ SCMP_SYS(lseek),           "a memfd read from its start" },
	{ SCMP_SYS(close),           "a memfd that has been read" },
	{ SCMP_SYS(epoll_wait),      "the loop" },
	{ SCMP_SYS(epoll_pwait),     "the loop" },
	{ SCMP_SYS(epoll_ctl),       "the loop: a peer's queue fills or drains" },
	{ SCMP_SYS(poll),            "a last word to the parent" },
	{ SCMP_SYS(futex),           "locks inside OpenSSL" },
	{ SCMP_SYS(clock_gettime),   "time, where the vDSO cannot tell it" },
	{ SCMP_SYS(clock_getres),    "libuv picks a clock" },
	{ SCMP_SYS(gettimeofday),    "as above" },
	{ SCMP_SYS(time),            "as above" },
	{ SCMP_SYS(getrandom),       "nonces, rotation, ECDSA's blinding" },
	{ SCMP_SYS(brk),             "malloc" },
	{ SCMP_SYS(munmap),          "free" },
	{ SCMP_SYS(mremap),          "realloc" },
	{ SCMP_SYS(madvise),         "free" },
	{ SCMP_SYS(munlock),         "OpenSSL returns its secure heap at exit" },
	{ SCMP_SYS(getpid),          "OpenSSL's generator looks whether we forked" },
	{ SCMP_SYS(gettid),          "abort" },
	{ SCMP_SYS(tgkill),          "abort: an assertion must end us" },
	{ SCMP_SYS(rt_sigaction),    "abort" },
	{ SCMP_SYS(rt_sigprocmask),  "libuv around epoll, abort" },
	{ SCMP_SYS(rt_sigreturn),    "after a signal" },
	{ SCMP_SYS(restart_syscall), "after a stop and continue" },
	{ SCMP_SYS(sigaltstack),     "abort handlers" },
	{ SCMP_SYS(exit),            "the end" },
	{ SCMP_SYS(exit_group),      "the end" },
};
/* clang-format on */
#endif

int
sandbox_hide(void)
{
	const struct rlimit none = { 0, 0 };

	/* The secure heap locks its pages and keeps them out of core dumps; 2
	 * says that locking failed for want of RLIMIT_MEMLOCK, and we go on. */
	if (!CRYPTO_secure_malloc_initialized() &&
	    CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN) == 0)
		return -ENOMEM;
#if !defined(UNDER_SANITIZER) /* its leak check attaches like a debugger */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
#else
	(void)none;
#endif
	return 0;
}

int
sandbox_enter(void)
{
#if defined(UNDER_SANITIZER)
	log_warn(0, "sandbox: not entered, this is a sanitizer build");
	return 0;
#else
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = f == NULL ? -ENOMEM : 0;

	for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i].nr, 0);
	if (rc == 0) /* malloc: memory of its own, never executable */
		rc = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	/* libuv takes a connection to hasync that the parent made. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				      SCMP_A1(SCMP_CMP_EQ, F_GETFL));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_EQ, FIONBIO));
	if (rc == 0)
		rc = seccomp_load(f);
	if (f != NULL)
		seccomp_release(f);
	return rc;
#endif
}
