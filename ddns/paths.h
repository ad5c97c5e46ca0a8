/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* paths.h -- which uplinks live, as this node's hasync sees it (object node/NODE), and
 * what follows: whose address each uplink's name has, and by which uplink name servers
 * are asked while another one is dead. The default route may be the dead one's.
 *
 * An uplink lives when its gateway answers and its cable is in. One that hasync knows
 * nothing about, a single node's for example, is taken to live.
 */
#ifndef DDNS_PATHS_H
#define DDNS_PATHS_H

#include "common/config/config.h"
#include "ddns/address.h"
#include "ddns/exchange.h"

#include <uv.h>

struct paths {
	bool is_known[CONFIG_WANS], is_dead[CONFIG_WANS]; /* as heard */
	bool alive[CONFIG_WANS]; /* and may carry the service */
	struct follow follow[CONFIG_WANS];
	unsigned to[CONFIG_WANS]; /* the uplink whose address this name has */
	struct egress egress;
	const struct config *config; /* borrowed; NULL: none */
	uv_timer_t timer;
	/* A name means another uplink's address, or its own again. */
	void (*on_change)(void *arg, unsigned wan, unsigned to);
	void *arg;
};

/* "wan1", "wan2"; NULL past them. */
const char *paths_wan_name(unsigned wan);

void paths_start(struct paths *p, uv_loop_t *loop);
void paths_configure(struct paths *p, const struct config *c);
/* node/NODE of this node; bytes.p NULL: gone. Anything else is as if nothing is
 * known. */
void paths_heard(struct paths *p, struct span json);
void paths_stop(struct paths *p);

/* The part without a loop: look at everything again. True while time will tell. */
bool paths_step(struct paths *p, uint64_t now_ms);

#endif
