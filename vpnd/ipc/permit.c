/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/ipc/permit.h"

#include "common/err.h"

int
permit_check(enum ipc_type type, enum ipc_process from, enum ipc_process to,
	     unsigned n_fds)
{
	if (type <= IPC_NONE || type >= IPC_TYPES)
		return E_PROTO;
	const struct ipc_row *row = &ipc_row[type];
	if (row->from != IPC_ANY && row->from != from)
		return E_PROTO;
	if (row->to != IPC_ANY && row->to != to)
		return E_PROTO;
	return row->fds == n_fds ? 0 : E_PROTO;
}
