/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cluster.h -- the session process's part in a pair: what it tells the other node
 * through hasync, and what it takes from it.
 *
 *   revoked          both ways: sessions that must not come back
 *   borrowed         both ways: addresses leased from the other one's half
 *   counts/NODE      once a second: sessions, places, pool, hash of the running
 *                    configuration, our vote on a proposal
 *   endpoints/NODE   who is connected here, so that the other node can wake them
 *   config           the configuration in force on both nodes
 *   config-proposal  one that is voted on
 *   config-confirm   what returns, and when, unless somebody confirms
 *   config-history   what was in force before
 *
 * Without hasync everything here is silent and vpnd is a gateway of its own.
 */
#ifndef VPND_SESSION_CLUSTER_H
#define VPND_SESSION_CLUSTER_H

#include "common/cluster.h"
#include "vpnd/session/control.h"

struct pair;

/* What the process around it offers; borrowed. */
struct pair_host {
	void *arg;
	const struct control_host *control; /* table, events, configuration, time */
	/* Ask the parent: config_put with this text. */
	void (*config_put)(void *arg, uint32_t id, enum config_put how,
			   const char *text);
	/* The answer to pair_ask; takes the object over. */
	void (*answer)(void *arg, uint32_t id, json_t *o);
};

int pair_new(struct pair **out, uv_loop_t *loop, const struct pair_host *host);
/* Its memory goes when the loop has turned. NULL is fine. */
void pair_free(struct pair *p);
/* A connection to hasync, instead of the one before. Takes fd over. */
void pair_connect(struct pair *p, int fd);
void pair_role(struct pair *p, const struct ipc_role *m);
void pair_config_put_done(struct pair *p, const struct ipc_config_put_done *m);
/* The parent loaded a configuration (control->text is the new one). */
void pair_config_loaded(struct pair *p);
/* Once a second. */
void pair_tick(struct pair *p);

/* What the table has to say (struct session_out). */
void pair_revoked(struct pair *p, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s);
void pair_borrowed(struct pair *p, const struct session *s);
void pair_tunnel(struct pair *p, const struct session *s, bool is_up);

/* The commands nodes, config_apply, config_confirm, config_history and
 * config_rollback: host->answer is called once, now or later. */
void pair_ask(struct pair *p, uint32_t id, const json_t *q);
/* Both nodes in a few numbers, for `status`; NULL without hasync. */
json_t *pair_status(struct pair *p);

/* ---- encodings, pure ---- */

enum { ENDPOINT_SIZE = 37 };

/* Value of an entry of endpoints/NODE, big-endian: family 8 (4 or 6), client
 * address 128 (IPv4 in the first 4 bytes), client port 16, local address 128,
 * local port 16. False if the addresses are not of one family. */
bool endpoint_encode(uint8_t value[ENDPOINT_SIZE], const struct ip_addr *client,
		     const struct ip_addr *local);
/* An entry's expiry says since when it is connected: no session lasts longer than
 * the longest timeout there is. */
uint64_t endpoint_expiry_s(uint64_t wall_since_s);
uint64_t endpoint_since_s(uint64_t wall_expiry_s);

#endif
