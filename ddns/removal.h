/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* removal.h -- takes back records that were published and are wanted no more: the name
 * is another one, its section is gone, the family is not kept.
 *
 * One at a time. A record goes only while the zone holds what we had published there;
 * what somebody else put there meanwhile is left. The same care as for writing: active
 * node only, asked right before. What cannot be removed is tried again, ever more
 * rarely, and stays in the memory.
 */
#ifndef DDNS_REMOVAL_H
#define DDNS_REMOVAL_H

#include "ddns/provider.h"
#include "ddns/schedule.h"
#include "ddns/store.h"

struct removal {
	uv_loop_t *loop;
	struct store *store;
	struct exchange_counts *counts;
	/* The next record to remove; false: none now. */
	bool (*next)(void *arg, struct record *r);
	/* It is gone, or not ours any more: forget it. */
	void (*forget)(void *arg, const struct record *r);
	void *arg;
	struct record record;
	enum {
		REMOVAL_IDLE,
		REMOVAL_READ,
		REMOVAL_PROVE,
		REMOVAL_WRITE,
		REMOVAL_CHECK
	} step;
	struct call *call;
	struct store_wait *wait;
	uv_timer_t timer;
	struct schedule schedule;
	uint64_t epoch;
	unsigned looks; /* at what seems not to be ours */
	char told[400];
};

/* The functions and arg are set before. */
void removal_init(struct removal *r);
/* There may be something to do now. */
void removal_look(struct removal *r);
/* Not active any more. */
void removal_stop(struct removal *r);
void removal_close(struct removal *r);

#endif
