/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/apply.h"

/* clang-format off */
static const struct apply_edge edges[APPLY_STATES][APPLY_EVENTS] = {
	[APPLY_IDLE][APPLY_ASKED]        = { APPLY_DO_CHECK,    APPLY_CHECK },

	[APPLY_CHECK][APPLY_OWN_YES]     = { APPLY_DO_PROPOSE,  APPLY_VOTE },
	[APPLY_CHECK][APPLY_OWN_NO]      = { APPLY_DO_REFUSE,   APPLY_IDLE },
	[APPLY_CHECK][APPLY_TIMEOUT]     = { APPLY_DO_REFUSE,   APPLY_IDLE },

	[APPLY_VOTE][APPLY_PEER_YES]     = { APPLY_DO_COMMIT,   APPLY_COMMIT },
	[APPLY_VOTE][APPLY_PEER_AWAY]    = { APPLY_DO_COMMIT,   APPLY_COMMIT },
	[APPLY_VOTE][APPLY_PEER_NO]      = { APPLY_DO_WITHDRAW, APPLY_IDLE },
	[APPLY_VOTE][APPLY_NOT_STORED]   = { APPLY_DO_WITHDRAW, APPLY_IDLE },
	[APPLY_VOTE][APPLY_TIMEOUT]      = { APPLY_DO_WITHDRAW, APPLY_IDLE },

	[APPLY_COMMIT][APPLY_STORED]     = { APPLY_DO_LOAD,     APPLY_LOAD },
	[APPLY_COMMIT][APPLY_NOT_STORED] = { APPLY_DO_WITHDRAW, APPLY_IDLE },
	[APPLY_COMMIT][APPLY_TIMEOUT]    = { APPLY_DO_WITHDRAW, APPLY_IDLE },

	[APPLY_LOAD][APPLY_LOADED]       = { APPLY_DO_ANSWER,   APPLY_IDLE },
	[APPLY_LOAD][APPLY_NOT_LOADED]   = { APPLY_DO_COMPLAIN, APPLY_IDLE },
	[APPLY_LOAD][APPLY_TIMEOUT]      = { APPLY_DO_COMPLAIN, APPLY_IDLE },
};
/* clang-format on */

struct apply_edge
apply_step(enum apply_state s, enum apply_event e)
{
	struct apply_edge edge = edges[s][e];

	return edge.action == APPLY_NOTHING ? (struct apply_edge){ APPLY_NOTHING, s }
					    : edge;
}
