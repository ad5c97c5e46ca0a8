/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pace.c -- packets that waited for their session's bandwidth go on, once a
 * millisecond while there are any. */
#include "vpnd/worker/worker.h"

enum { PACE_MS = 1, PACE_BYTES = 64 * 1024 * 1024 };

int
pace_init(struct worker *w)
{
	w->pace_budget = PACE_BYTES;
	w->pace.data = w;
	return uv_timer_init(&w->loop, &w->pace);
}

static bool
go_on(struct tunnel *t)
{
	struct worker *w = t->w;

	uplink_paced(w, t);
	downlink_paced(w, t);
	return shaper_waits(&t->up) || shaper_waits(&t->down);
}

static void
on_pace(uv_timer_t *timer)
{
	struct worker *w = timer->data;
	struct tunnel **at = &w->paced;

	w->now_ms = uv_now(&w->loop);
	while (*at != NULL) {
		struct tunnel *t = *at;
		if (go_on(t)) {
			at = &t->next_paced;
		} else {
			*at = t->next_paced;
			t->is_paced = false;
		}
	}
	if (w->paced == NULL)
		uv_timer_stop(timer);
}

void
pace_start(struct tunnel *t)
{
	struct worker *w = t->w;

	if (t->is_paced)
		return;
	if (w->paced == NULL)
		uv_timer_start(&w->pace, on_pace, PACE_MS, PACE_MS);
	t->is_paced = true;
	t->next_paced = w->paced;
	w->paced = t;
}

void
pace_forget(struct tunnel *t)
{
	struct worker *w = t->w;
	struct tunnel **at = &w->paced;

	shaper_free(&t->up, &w->pace_budget);
	shaper_free(&t->down, &w->pace_budget);
	if (!t->is_paced)
		return;
	while (*at != t)
		at = &(*at)->next_paced;
	*at = t->next_paced;
	t->is_paced = false;
}
