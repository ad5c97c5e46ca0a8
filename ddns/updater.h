/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* updater.h -- keeps one record right: one uplink, one address family.
 *
 * Find the address, ask the authoritative server what it holds, write when that is
 * something else, read back. Writing needs this node to be the active one: hasync is
 * asked right before, and the role is looked at before each datagram.
 *
 *   OFF       this node is not active, or there is no such record to keep
 *   FINDING   which address should be published?
 *   ASKING    what does the zone hold?
 *   WAITING   something else; the schedule says when it may be written
 *   PROVING   remember in the store what will be published; are we still active?
 *   WRITING   the update is on its way
 *   VERIFYING read back
 *   KEPT      right; look again later, or when an address of the machine changes
 *   FAILED    look again later; error says why
 *
 * Ownership: an updater is part of its uplink and outlives all it starts.
 */
#ifndef DDNS_UPDATER_H
#define DDNS_UPDATER_H

#include "ddns/address.h"
#include "ddns/provider.h"
#include "ddns/schedule.h"
#include "ddns/store.h"

enum updater_state {
	UPDATER_OFF,
	UPDATER_FINDING,
	UPDATER_ASKING,
	UPDATER_WAITING,
	UPDATER_PROVING,
	UPDATER_WRITING,
	UPDATER_VERIFYING,
	UPDATER_KEPT,
	UPDATER_FAILED,
	UPDATER_STATES
};

enum updater_event {
	UPDATER_NONE,
	UPDATER_START,
	UPDATER_STOP,
	UPDATER_KICK, /* look again now */
	UPDATER_TIMER,
	UPDATER_FOUND,
	UPDATER_SAME,
	UPDATER_OTHER,
	UPDATER_PROVEN,
	UPDATER_TAKEN,
	UPDATER_ERROR,
	UPDATER_EVENTS
};

struct updater;

/* What the uplink gives its updaters. */
struct updater_host {
	uv_loop_t *loop;
	struct store *store;
	struct fetch *fetch;
	struct exchange_counts *counts;
	void (*on_change)(void *arg, struct updater *u); /* something to show */
	void (*on_published)(
		void *arg); /* the memory of the uplink changed: store it,
			     * and tell updater_stored when it is durable */
	void *arg;
};

/* What is to be kept. */
struct updater_want {
	struct record record; /* its address has the family and nothing else */
	struct config_ddns conf;
	struct address_ask ask; /* its texts point into conf */
};

struct updater {
	const struct updater_host *host;
	const char *wan;
	struct published *published;
	bool is_wanted;
	struct updater_want want;
	struct record record; /* with the address that was found; family as wanted */
	bool has_address;
	enum address_source source;
	enum updater_state state;
	enum updater_event posted;
	struct schedule schedule;
	uint64_t epoch, not_before_ms, checked_ms;
	bool is_confirmed; /* the zone held this address when last asked */
	bool is_forced, is_again, has_written;
	bool has_none;      /* no address to publish was found */
	bool was_unchanged; /* nochg was the last answer */
	unsigned reads;     /* after a write */
	struct address_job *find;
	struct call *call;
	struct store_wait *wait;
	uv_timer_t timer, watchdog;
	/* For people. */
	char text[200], error[400], told[400], foreign[200];
	struct ip_addr accepted; /* by the provider, last */
	struct ip_addr shown;    /* last known to be in the zone */
	uint64_t updated_s;      /* wall clock; 0: never by this process */
	unsigned updates;        /* since the start */
};

/* Once. wan and published are borrowed for ever. */
void updater_init(struct updater *u, const struct updater_host *host, const char *wan,
		  uint8_t family, struct published *published);
/* NULL: nothing is to be kept. The same want as before changes nothing. */
void updater_want(struct updater *u, const struct updater_want *want);
void updater_event(struct updater *u, enum updater_event ev);
/* A secret is another one, or the operator says so: earlier failures do not count. */
void updater_forgive(struct updater *u);
/* Now, whatever the schedule says. */
void updater_force(struct updater *u);
/* Nothing under way. */
bool updater_is_settled(const struct updater *u);
const char *updater_state_text(const struct updater *u);
void updater_close(struct updater *u);

#endif
