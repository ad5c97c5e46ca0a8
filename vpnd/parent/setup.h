/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* setup.h -- one configuration with all that belongs to it on disk: both
 * texts, the profile, the interfaces that were found for uplinks without one.
 *
 * Ownership: setup_load gives, setup_free ends.
 * Errors: -errno or E_*; `why` says in one line what an operator must know.
 */
#ifndef VPND_PARENT_SETUP_H
#define VPND_PARENT_SETUP_H

#include "common/config/config.h"
#include "vpnd/ipc/bundle.h"
#include "vpnd/parent/parent.h"

enum { WHY_MAX = 640 };

struct setup {
	struct config *config; /* ifnames filled in by setup_resolve */
	struct bundle bundle;
};

/* Read and check everything. E_INVAL: the report has the errors. `why` is ""
 * then; for other errors it says which file. */
int setup_load(struct setup **out, const struct parent_options *o,
	       struct config_report *report, char *why);
/* The same with this text in place of the configuration file; NULL: the file. */
int setup_load_text(struct setup **out, const struct parent_options *o,
		    const char *text, struct config_report *report, char *why);

/* Find the interface of each uplink that names none, and what clients dial there. */
int setup_resolve(struct setup *s, char *why);

/* Which addresses clients keep outside of their tunnels: our own as they are now, and
 * these. True when the bundle is another one now. */
bool setup_gateways(struct setup *s, const struct ip_addr *outside, unsigned n);

/* As the running configuration, for acmed and ddnsd; a failure is logged. */
void setup_publish(const struct setup *s, const struct parent_options *o);
/* The configuration as a child gets it: a sealed memfd. */
int setup_memfd(const struct setup *s, int *fd);

void setup_free(struct setup *s);

/* Does this uplink carry the service? A cellular one never does. */
bool wan_serves(const struct config_wan *w);

/* "file:line: setting: text", into buf. Returns buf. */
const char *finding_text(const struct config_finding *f, char *buf, size_t n);

#endif
