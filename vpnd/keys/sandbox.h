/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* sandbox.h -- what keys may still ask of the kernel once it holds the keys. */
#ifndef VPND_KEYS_SANDBOX_H
#define VPND_KEYS_SANDBOX_H

/* Before any key is read: no core dump, no debugger, no swap file copy of the
 * secure heap. -errno. */
int sandbox_hide(void);
/* For good: every system call that is not listed ends the process. A sanitizer
 * needs more calls than it tells, so there this only logs. -errno. */
int sandbox_enter(void);

#endif
