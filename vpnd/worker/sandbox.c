/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* sandbox.c -- what a worker may ask of the kernel. Everything else kills it.
 *
 * No open, socket, connect, bind, exec, fork, ptrace: a worker that is taken over
 * has the descriptors it was handed and nothing more.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"

#include <seccomp.h>

#if !defined(__SANITIZE_ADDRESS__)
static const struct {
	int call;
	const char *why;
} allowed[] = {
	{ SCMP_SYS(read), "TUN device" },
	{ SCMP_SYS(write), "TUN device, log, loop wake-up" },
	{ SCMP_SYS(writev), "TUN device, merged packets" },
	{ SCMP_SYS(recvfrom), "TCP" },
	{ SCMP_SYS(sendto), "TCP" },
	{ SCMP_SYS(recvmsg), "messages from the other processes" },
	{ SCMP_SYS(sendmsg), "messages to them" },
	{ SCMP_SYS(recvmmsg), "DTLS batches" },
	{ SCMP_SYS(sendmmsg), "DTLS batches" },
	{ SCMP_SYS(accept4), "new clients" },
	{ SCMP_SYS(shutdown), "end of a connection" },
	{ SCMP_SYS(getsockname), "which address the client dialled" },
	{ SCMP_SYS(getsockopt), "path MTU" },
	{ SCMP_SYS(setsockopt), "TCP_NODELAY, SO_MARK; others need rights we lack" },
	{ SCMP_SYS(close), "end of a connection" },
	{ SCMP_SYS(epoll_ctl), "the loop" },
	{ SCMP_SYS(epoll_wait), "the loop" },
	{ SCMP_SYS(epoll_pwait), "the loop" },
	{ SCMP_SYS(poll), "waiting for a signature" },
	{ SCMP_SYS(clock_gettime), "time, where the vDSO has none" },
	{ SCMP_SYS(clock_nanosleep), "nothing of ours; libc's own waits" },
	{ SCMP_SYS(gettimeofday), "time" },
	{ SCMP_SYS(getrandom), "keys, nonces" },
	{ SCMP_SYS(getpid), "OpenSSL's fork check" },
	{ SCMP_SYS(brk), "malloc" },
	{ SCMP_SYS(mmap), "malloc; counters, configuration" },
	{ SCMP_SYS(mremap), "realloc" },
	{ SCMP_SYS(munmap), "free" },
	{ SCMP_SYS(madvise), "free" },
	{ SCMP_SYS(mprotect), "malloc arenas" },
	{ SCMP_SYS(uname), "the node name, when the configuration has none" },
	{ SCMP_SYS(fstat), "size of a handed-down memfd" },
	{ SCMP_SYS(newfstatat), "the same, as libc calls it" },
	{ SCMP_SYS(lseek), "reading a memfd" },
	{ SCMP_SYS(pread64), "reading a memfd" },
	{ SCMP_SYS(fcntl), "non-blocking descriptors" },
	{ SCMP_SYS(ioctl), "FIONBIO by libuv" },
	{ SCMP_SYS(futex), "locks inside libraries" },
	{ SCMP_SYS(rt_sigaction), "libc on its way out" },
	{ SCMP_SYS(rt_sigprocmask), "libc" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(restart_syscall), "SIGSTOP and SIGCONT" },
	{ SCMP_SYS(sched_yield), "locks inside libraries" },
	{ SCMP_SYS(gettid), "abort()" },
	{ SCMP_SYS(tgkill), "abort()" },
	{ SCMP_SYS(exit), "end" },
	{ SCMP_SYS(exit_group), "end" },
};
#endif

int
sandbox_worker(void)
{
#if defined(__SANITIZE_ADDRESS__)
	log_warn(0, "sanitizer build: no seccomp");
	return 0;
#else
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = f ? 0 : E_NOMEM;

	for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i].call, 0);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	return rc;
#endif
}
