/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* commands.c -- the rows of the control socket. */
#include "acme/control.h"
#include "acme/status.h"

const struct command commands[] = {
	{ "status", status_command },
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);
