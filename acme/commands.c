/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* commands.c -- the rows of the control socket. */
#include "acme/automatic.h"
#include "acme/clientca.h"
#include "acme/control.h"
#include "acme/custom.h"
#include "acme/nodes.h"
#include "acme/status.h"

const struct command commands[] = {
	{ "status", status_command },
	{ "show", nodes_show_command },
	{ "csr", custom_csr },
	{ "csr_show", custom_csr_show },
	{ "upload", custom_upload },
	{ "factory_reset", custom_factory_reset },
	{ "client_ca", clientca_command },
	{ "client_ca_set", clientca_set_command },
	{ "client_ca_remove", clientca_remove_command },
	{ "renew", automatic_renew_command },
	{ "revoke", automatic_revoke_command },
	{ "new_account_key", automatic_key_command },
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);
