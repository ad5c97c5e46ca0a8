/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* uplink.h -- an uplink's name: its A and its AAAA record, the memory of what was
 * published, and the removal of what is not to be there any more.
 *
 * Two objects of the store: ddns/published/WAN (record.h) and ddns/status/WAN, JSON
 * for whoever wants to know how the name stands:
 *
 *   {"name":"vpn.example.com","node":"a","state":"published","records":[
 *     {"type":"A","address":"192.0.2.1","state":"published","text":"...",
 *      "updated":"2026-01-02T03:04:05Z","error":""}]}
 *
 * and "follows":"wan2" while the name has that uplink's address, its own being dead.
 * state: "published" when each record that is kept is right and there is one;
 * "failed", "working", or "none" with a "reason".
 */
#ifndef DDNS_UPLINK_H
#define DDNS_UPLINK_H

#include "ddns/removal.h"
#include "ddns/updater.h"

enum { UPLINK_FAMILIES = 2 };

struct uplink {
	char name[16]; /* "wan1" */
	struct updater_host host;
	struct updater updater[UPLINK_FAMILIES]; /* IPv4, IPv6 */
	struct removal removal;
	struct published published;
	const struct config *config; /* in force; NULL: none */
	char via[16]; /* the uplink whose address the name has; usually itself */
	char ifname[IF_NAMESIZE]; /* of that one */
	char reason[160];         /* why there is no record; "" there is */
	char *status;             /* as last put, to put changes only; owned */
	bool is_active;
};

int uplink_init(struct uplink *l, const char *name, uv_loop_t *loop,
		struct store *store, struct fetch *fetch,
		struct exchange_counts *counts);
/* The configuration is borrowed until the next one. */
void uplink_configure(struct uplink *l, const struct config *c);
/* The name is to have the address of this uplink, while its own is dead. */
void uplink_follow(struct uplink *l, const char *via);
void uplink_role(struct uplink *l, bool is_active);
/* ddns/published/WAN, by whoever wrote it; p NULL: gone. */
void uplink_heard(struct uplink *l, struct span text, bool is_ours);
void uplink_status_heard(struct uplink *l, struct span text);
/* Addresses of the machine changed; a secret; the operator's wish. */
void uplink_kick(struct uplink *l);
void uplink_forgive(struct uplink *l);
void uplink_force(struct uplink *l);
bool uplink_is_settled(const struct uplink *l);
/* As in the object; on a node that is not active as the other one told. NULL: there
 * is nothing to say. The caller owns it. */
json_t *uplink_status(const struct uplink *l);
void uplink_close(struct uplink *l);

#endif
