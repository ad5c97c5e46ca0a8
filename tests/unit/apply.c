/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/apply.h"

#include "tests/lib/tap.h"

/* Every cell that means something; all others must leave the state alone. */
static const struct {
	enum apply_state from;
	enum apply_event event;
	enum apply_action action;
	enum apply_state to;
} cell[] = {
	{ APPLY_IDLE, APPLY_ASKED, APPLY_DO_CHECK, APPLY_CHECK },
	{ APPLY_CHECK, APPLY_OWN_YES, APPLY_DO_PROPOSE, APPLY_VOTE },
	{ APPLY_CHECK, APPLY_OWN_NO, APPLY_DO_REFUSE, APPLY_IDLE },
	{ APPLY_CHECK, APPLY_TIMEOUT, APPLY_DO_REFUSE, APPLY_IDLE },
	{ APPLY_VOTE, APPLY_PEER_YES, APPLY_DO_COMMIT, APPLY_COMMIT },
	{ APPLY_VOTE, APPLY_PEER_AWAY, APPLY_DO_COMMIT, APPLY_COMMIT },
	{ APPLY_VOTE, APPLY_PEER_NO, APPLY_DO_WITHDRAW, APPLY_IDLE },
	{ APPLY_VOTE, APPLY_NOT_STORED, APPLY_DO_WITHDRAW, APPLY_IDLE },
	{ APPLY_VOTE, APPLY_TIMEOUT, APPLY_DO_WITHDRAW, APPLY_IDLE },
	{ APPLY_COMMIT, APPLY_STORED, APPLY_DO_LOAD, APPLY_LOAD },
	{ APPLY_COMMIT, APPLY_NOT_STORED, APPLY_DO_WITHDRAW, APPLY_IDLE },
	{ APPLY_COMMIT, APPLY_TIMEOUT, APPLY_DO_WITHDRAW, APPLY_IDLE },
	{ APPLY_LOAD, APPLY_LOADED, APPLY_DO_ANSWER, APPLY_IDLE },
	{ APPLY_LOAD, APPLY_NOT_LOADED, APPLY_DO_COMPLAIN, APPLY_IDLE },
	{ APPLY_LOAD, APPLY_TIMEOUT, APPLY_DO_COMPLAIN, APPLY_IDLE },
};

static void
each_event_means_one_thing_in_each_state(void)
{
	for (int s = 0; s < APPLY_STATES; s++)
		for (int e = 0; e < APPLY_EVENTS; e++) {
			struct apply_edge want = { APPLY_NOTHING, (enum apply_state)s };
			for (size_t i = 0; i < sizeof(cell) / sizeof(cell[0]); i++)
				if ((int)cell[i].from == s && (int)cell[i].event == e)
					want = (struct apply_edge){ cell[i].action,
								    cell[i].to };
			struct apply_edge got =
				apply_step((enum apply_state)s, (enum apply_event)e);
			ok(got.action == want.action && got.next == want.next,
			   "state %d event %d", s, e);
		}
}

/* From every state, along every path of three events: nothing is committed that
 * was not checked here, and voted on or nobody was there to vote. */
static void
nothing_is_committed_without_a_vote(void)
{
	unsigned commits = 0, bad = 0;

	for (int a = 0; a < APPLY_EVENTS; a++)
		for (int b = 0; b < APPLY_EVENTS; b++)
			for (int c = 0; c < APPLY_EVENTS; c++) {
				const int e[3] = { a, b, c };
				enum apply_state s = APPLY_IDLE;
				bool is_checked = false, is_voted = false;
				for (int i = 0; i < 3; i++) {
					struct apply_edge x =
						apply_step(s, (enum apply_event)e[i]);
					is_checked |= e[i] == APPLY_OWN_YES;
					is_voted |= e[i] == APPLY_PEER_YES ||
						    e[i] == APPLY_PEER_AWAY;
					if (x.action == APPLY_DO_COMMIT) {
						commits++;
						bad += !is_checked || !is_voted;
					}
					s = x.next;
				}
			}
	is_int(commits, 2, "two ways lead to a commit");
	is_int(bad, 0, "none without check and vote");
}

int
main(void)
{
	each_event_means_one_thing_in_each_state();
	nothing_is_committed_without_a_vote();
	return done_testing();
}
