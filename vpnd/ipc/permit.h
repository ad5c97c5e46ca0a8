/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* permit.h -- who may send what to whom, with how many descriptors. */
#ifndef VPND_IPC_PERMIT_H
#define VPND_IPC_PERMIT_H

#include "vpnd/ipc/messages.h"

/* 0, or E_PROTO when the table does not have this direction. */
int permit_check(enum ipc_type type, enum ipc_process from, enum ipc_process to,
		 unsigned n_fds);

#endif
