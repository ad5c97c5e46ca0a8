/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control.h -- the control socket RUNDIR/acmed.sock: what vpnctl may ask.
 *
 * {"cmd":"status", ...}, as common/ctlsock.h says it. A command is a row in commands.c.
 * It answers through ctlsock_answer or ctlsock_refuse of acmed's `control`, at once or
 * later; the id says whom.
 */
#ifndef ACME_CONTROL_H
#define ACME_CONTROL_H

#include "acme/acmed.h"
#include "common/ctlsock.h"

enum {
	CONTROL_LINE_MAX = 256 * 1024, /* uploads fit in */
	CONTROL_IDLE_MS = 120 * 1000,
};

struct command {
	const char *name;
	void (*run)(struct acmed *a, uint32_t id, const json_t *question);
};
extern const struct command commands[];
extern const size_t n_commands;

/* Makes the socket, a->control; before root's rights are given away. */
int control_open(struct acmed *a, const char *path);

/* A file in a question, as base64; the caller frees. NULL: it is none. */
uint8_t *control_file(const json_t *q, const char *key, size_t *n);

#endif
