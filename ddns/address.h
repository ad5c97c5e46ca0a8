/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* address.h -- which address to publish for an uplink and family.
 *
 * In this order: what the operator has set; what clients dial on the interface (the
 * virtual address in a pair), if the world can reach it; what two STUN servers agree
 * on, asked from that uplink; what a web page says. An answer that cannot be true is
 * refused with its reason and the next source is asked: another family, or an address
 * that nobody outside can reach.
 *
 * Also here: whose address the name of a dead uplink has meanwhile.
 *
 * Ownership: what address_ask points to is copied.
 */
#ifndef DDNS_ADDRESS_H
#define DDNS_ADDRESS_H

#include "common/ip.h"
#include "common/span.h"
#include "common/wan.h"
#include "ddns/fetch.h"

#include <uv.h>

enum { ADDRESS_STUNS = 2, ADDRESS_WHY = 512, ADDRESS_URL = 512 };

/* May the world reach it? If not, *why (may be NULL) is a short reason such as
 * "private". By the IANA special-purpose registries (RFC 6890), with one exception: the
 * documentation ranges (RFC 5737, 3849, 9637) pass. Nobody owns them, so no NAT and no
 * liar gains by them, and examples and tests have nothing else. */
bool address_is_public(const struct ip_addr *a, const char **why);

/* What a what-is-my-address page said: one address, blanks around it. E_INVAL. */
int address_parse_page(struct span body, struct ip_addr *out);

enum address_source { ADDRESS_FIXED, ADDRESS_INTERFACE, ADDRESS_STUN, ADDRESS_PAGE };
/* "set", "interface", "stun", "lookup" */
const char *address_source_text(enum address_source);

struct address_ask {
	uint8_t family; /* 4 or 6 */
	char ifname[IF_NAMESIZE];
	struct ip_addr fixed;          /* family 0: not set */
	struct ip_addr own[WAN_ADDRS]; /* wan_addresses(), both families */
	unsigned n_own;
	/* "stun.example.com", with ":3478" if it is another port, or an address. One
	 * alone is believed; two must agree. "" or NULL: none. */
	const char *stun[ADDRESS_STUNS];
	const char *page_url;     /* "" or NULL: none */
	const char *page_ca_file; /* "" or NULL: the system's */
};

struct address_found {
	struct ip_addr addr; /* port 0; family 0: none found */
	enum address_source source;
	char why[ADDRESS_WHY]; /* nothing found: what each source said; else "" */
};

struct address_job;
/* Called once, from the loop, never from within address_find. */
typedef void (*address_done)(void *arg, const struct address_found *found);

/* Takes at most 24 s. E_NOMEM: done is not called. */
int address_find(struct address_job **out, uv_loop_t *loop, struct fetch *fetch,
		 const struct address_ask *ask, address_done done, void *arg);
/* done is not called any more. Not after done; NULL is fine. */
void address_cancel(struct address_job *);

/* ---- the name of a dead uplink
 *
 * openconnect dials one name for the life of a session and looks it up again when it
 * comes back, but never another name. So while an uplink is dead its name means the
 * address of one that lives. */
enum {
	FOLLOW_DEAD_MS = 2000,  /* an uplink that was dead so long is given up */
	FOLLOW_BACK_MS = 30000, /* and must live so long to have its name again */
};

/* Of one uplink. All zero to begin with: not away. */
struct follow {
	bool is_away;
	unsigned to;       /* while away */
	bool differs;      /* from what is_away says */
	uint64_t since_ms; /* differs since */
};

/* The uplink whose address the name of `wan` is to have. alive[i]: its gateway
 * answers. now_ms: a clock that never goes back. If none lives, nothing changes. */
unsigned follow_step(struct follow *f, unsigned wan, const bool *alive, unsigned n,
		     uint64_t now_ms);

#endif
