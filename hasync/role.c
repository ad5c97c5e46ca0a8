/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/role.h"

#include "common/err.h"

static struct span
word(struct span *in)
{
	struct span w = { .p = in->p };

	while (in->n > 0 && *in->p != ' ') {
		in->p++;
		in->n--;
		w.n++;
	}
	while (in->n > 0 && *in->p == ' ') {
		in->p++;
		in->n--;
	}
	return w;
}

enum role_line
role_line(struct span line, const char *group, enum role_group *state)
{
	static const struct {
		const char *text;
		enum role_group state;
	} states[] = { { "MASTER", ROLE_MASTER },
		       { "BACKUP", ROLE_BACKUP },
		       { "FAULT", ROLE_FAULT },
		       { "STOP", ROLE_STOP },
		       { "DELETED", ROLE_STOP } };
	struct span kind = word(&line), name = word(&line), what = word(&line);

	if (span_is(kind, "INSTANCE"))
		return span_is(what, "MASTER_RX_LOWER_PRI") ? ROLE_LINE_TWO
							    : ROLE_LINE_OTHER;
	if (!span_is(kind, "GROUP") || name.n < 2 || name.p[0] != '"' ||
	    name.p[name.n - 1] != '"' ||
	    !span_is(span_of(name.p + 1, name.n - 2), group))
		return ROLE_LINE_OTHER;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (span_is(what, states[i].text)) {
			*state = states[i].state;
			return ROLE_LINE_GROUP;
		}
	return ROLE_LINE_OTHER;
}

void
role_init(struct role *r, const struct role_config *c, uint64_t now_ms)
{
	*r = (struct role){ .c = *c,
			    .why = "start",
			    .start_ms = now_ms,
			    .tick_ms = now_ms,
			    .beat_ms = now_ms,
			    .keepalived_seen_ms = now_ms,
			    .yield_ms = ROLE_YIELD_MS };
}

void
role_set_group(struct role *r, enum role_group g)
{
	r->group = g;
	r->is_suspect = false;
}

void
role_set_two(struct role *r)
{
	r->is_suspect = true;
}

void
role_set_peer(struct role *r, const struct role_peer *peer)
{
	r->has_peer_state = peer != NULL;
	if (peer == NULL)
		return;
	r->peer = *peer;
	if (peer->epoch > r->max_epoch)
		r->max_epoch = peer->epoch;
}

void
role_set_gateways(struct role *r, unsigned ok, unsigned n)
{
	r->gateways_ok = ok;
	r->gateways = n;
}

void
role_set_vpnd(struct role *r, bool is_there, bool is_sick, uint64_t now_ms)
{
	r->vpnd_there = is_there;
	r->vpnd_sick = is_sick;
	r->vpnd_seen = true;
	if (is_there)
		r->beat_ms = now_ms;
}

void
role_set_keepalived(struct role *r, bool is_alive, uint64_t now_ms)
{
	r->keepalived_alive = is_alive;
	if (is_alive)
		r->keepalived_seen_ms = now_ms;
}

int
role_set_hold(struct role *r, bool on, bool force, uint64_t ms, uint64_t now_ms)
{
	if (!on) {
		r->is_held = false;
		return 0;
	}
	/* The spare is ready first, then the address moves. */
	if (!force && (!r->has_peer_state || r->peer.vpnd_bad || r->peer.hold ||
		       (r->gateways_ok > 0 && r->peer.gateways_ok < r->gateways_ok)))
		return E_AGAIN;
	r->is_held = true;
	r->hold_since_ms = now_ms;
	r->hold_until_ms = now_ms + (ms < ROLE_HOLD_MAX_MS ? ms : ROLE_HOLD_MAX_MS);
	r->moved_since_ms = 0;
	return 0;
}

static bool
keepalived_dead(const struct role *r, uint64_t now)
{
	return r->c.has_keepalived && !r->keepalived_alive &&
	       now - r->keepalived_seen_ms >= r->c.keepalived_grace_ms;
}

static bool
elected(const struct role *r, uint64_t now)
{
	if (!r->c.has_keepalived)
		return !r->c.has_peer || r->c.is_primary;
	return r->group == ROLE_MASTER && !keepalived_dead(r, now);
}

static void
take_epoch(struct role *r, uint64_t now)
{
	r->out.epoch = ++r->max_epoch;
	r->active_since_ms = now;
}

static void
judge_active(struct role *r, uint64_t now)
{
	static const char *const why[] = { [ROLE_UNKNOWN] = "start",
					   [ROLE_MASTER] = "elected",
					   [ROLE_BACKUP] = "the peer has more to offer",
					   [ROLE_FAULT] = "told to let go",
					   [ROLE_STOP] = "keepalived stopped" };
	bool is = elected(r, now);

	if (is != r->out.is_active) {
		r->why = keepalived_dead(r, now) ? "keepalived is dead" : why[r->group];
		r->out.is_active = is;
		if (is)
			take_epoch(r, now);
		r->has_taken = is && r->peer.is_active; /* as far as we heard */
	}
	if (r->has_peer_state && !r->peer.is_active)
		r->has_taken = false;
	/* The other had it in between and let go again: those who followed it must be
	 * able to tell that we are the newer one. */
	bool wants = is && r->max_epoch > r->out.epoch &&
		     !(r->has_peer_state && r->peer.is_active);
	if (!wants || !r->wants_epoch)
		r->epoch_since_ms = now;
	r->wants_epoch = wants;
	if (wants && now - r->epoch_since_ms >= ROLE_TWO_MS)
		take_epoch(r, now);
}

/* What fewer gateways than the peer's cost. Both without any is no reason to move. */
static void
judge_gateways(struct role *r, uint64_t now)
{
	int cost = 0;

	if (r->gateways > 0 && r->has_peer_state && r->peer.gateways > 0) {
		if (r->peer.gateways_ok > r->gateways_ok)
			cost = r->gateways_ok == 0
				       ? ROLE_NONE_COST
				       : ROLE_GATEWAY_COST * (int)(r->peer.gateways_ok -
								   r->gateways_ok);
	} else if (r->c.has_peer && r->gateways > 0 && r->gateways_ok == 0) {
		cost = ROLE_NONE_COST;
	}
	if (cost > 200)
		cost = 200;
	if (cost != r->cost_wanted) {
		r->cost_wanted = cost;
		r->cost_since_ms = now;
	}
	if (now - r->cost_since_ms >= ROLE_SETTLE_MS)
		r->cost = r->cost_wanted;
}

static void
judge_yield(struct role *r, uint64_t now)
{
	const struct role_peer *p = &r->peer;
	bool two = r->out.is_active && r->has_peer_state && p->is_active;
	/* Nobody gives way to a node that cannot serve. */
	bool is_better = r->has_peer_state && p->vpnd_bad && !r->out.vpnd_bad;
	bool is_worse = r->out.vpnd_bad && !p->vpnd_bad;
	bool mine = two && !is_better &&
		    (is_worse || r->gateways_ok < p->gateways_ok ||
		     (r->gateways_ok == p->gateways_ok &&
		      (r->out.epoch < p->epoch ||
		       (r->out.epoch == p->epoch && !r->c.is_primary))));

	if (!mine || !r->wants_yield)
		r->two_since_ms = now;
	r->wants_yield = mine;
	if (!r->is_yielding && mine &&
	    (r->is_suspect || now - r->two_since_ms >= ROLE_TWO_MS)) {
		/* Soon after the last time: it did not help, so stay away longer. */
		bool is_again = r->yield_end_ms != 0 && now - r->yield_end_ms < 30000;
		r->yield_ms = !is_again                             ? ROLE_YIELD_MS
			      : r->yield_ms * 2 > ROLE_YIELD_MAX_MS ? ROLE_YIELD_MAX_MS
								    : r->yield_ms * 2;
		r->is_yielding = true;
		r->yield_since_ms = now;
	}
	if (!r->is_yielding)
		return;
	bool peer_gone = !r->has_peer_state || !p->is_active;
	if (is_better || (peer_gone && now - r->yield_since_ms >= ROLE_TWO_MS) ||
	    (r->gateways_ok >= p->gateways_ok &&
	     now - r->yield_since_ms >= r->yield_ms)) {
		r->is_yielding = false;
		r->yield_end_ms = now;
	}
}

static void
judge_hold(struct role *r, uint64_t now)
{
	bool has_moved = r->has_peer_state && r->peer.is_active && !r->out.is_active;

	if (!has_moved)
		r->moved_since_ms = 0;
	else if (r->moved_since_ms == 0)
		r->moved_since_ms = now;
	if (r->is_held && (now >= r->hold_until_ms ||
			   (has_moved && now - r->moved_since_ms >= ROLE_MOVE_MS)))
		r->is_held = false;
}

/* A dead vpnd serves nobody: let go at once, which is quicker than being outvoted.
 * Only if the peer could take over; a sick one keeps the milder way. */
static void
judge_death(struct role *r, uint64_t now)
{
	bool is_there = r->vpnd_seen && r->vpnd_there;

	if (r->c.watch_vpnd && r->was_there && !is_there && r->out.is_active &&
	    r->c.has_peer)
		(void)role_set_hold(r, true, false, ROLE_DEATH_HOLD_MS, now);
	r->was_there = is_there;
}

/* Stuck, or not long enough back to believe that it will stay. */
static bool
is_silent(struct role *r, uint64_t now)
{
	if (now - r->beat_ms >= ROLE_BEAT_MS) {
		r->was_silent = true;
		r->silent_ms = now;
	} else if (now - r->silent_ms >= ROLE_WELL_MS) {
		r->was_silent = false;
	}
	return r->was_silent;
}

static bool
vpnd_is_bad(struct role *r, uint64_t now)
{
	if (!r->c.watch_vpnd)
		return false;
	if (!r->vpnd_seen) /* just started: give it the time to find us */
		return now - r->start_ms >= ROLE_FIND_MS;
	if (!r->vpnd_there) { /* its successor is another process */
		r->was_silent = false;
		return true;
	}
	return is_silent(r, now) || r->vpnd_sick;
}

const char *
role_vpnd_why(const struct role *r)
{
	if (!r->out.vpnd_bad)
		return "";
	return !r->vpnd_seen    ? "it was not seen yet"
	       : !r->vpnd_there ? "it is gone"
	       : r->vpnd_sick   ? "it says that it is not well"
				: "it is stuck";
}

bool
role_tick(struct role *r, uint64_t now)
{
	struct role_out was = r->out;
	uint64_t gap = now - r->tick_ms;

	r->tick_ms = now;
	/* We were stopped or had to wait, and so had who beats. */
	if (gap > ROLE_TICK_MS)
		r->beat_ms += gap - ROLE_TICK_MS;
	if (r->beat_ms > now)
		r->beat_ms = now;
	/* Claim nothing until the peer had time to say what became of the addresses. */
	if (gap >= ROLE_FROZEN_MS)
		r->thaw_ms = now;
	/* Just started beside a running keepalived: it was asked how things are. Until
	 * it answers the files keep what our predecessor wrote. */
	bool is_asking = r->c.has_keepalived && r->group == ROLE_UNKNOWN &&
			 r->keepalived_alive && now - r->start_ms < ROLE_ASK_MS;
	judge_active(r, now);
	judge_gateways(r, now);
	judge_yield(r, now);
	judge_death(r, now);
	judge_hold(r, now);
	bool is_thawing =
		r->c.has_peer && r->thaw_ms != 0 && now - r->thaw_ms < ROLE_SETTLE_MS;
	int bonus = r->has_taken && r->cost == 0 ? ROLE_TAKEN_BONUS : ROLE_ACTIVE_BONUS;
	if (!is_asking)
		r->out.role_value =
			(r->out.is_active && !is_thawing && !r->is_yielding ? bonus
									    : 0) -
			r->cost;
	r->out.vpnd_bad = vpnd_is_bad(r, now);
	r->out.hold = r->is_held || r->is_yielding;
	r->out.remove_addresses = keepalived_dead(r, now);
	return was.is_active != r->out.is_active || was.epoch != r->out.epoch ||
	       was.role_value != r->out.role_value || was.vpnd_bad != r->out.vpnd_bad ||
	       was.hold != r->out.hold ||
	       was.remove_addresses != r->out.remove_addresses;
}
