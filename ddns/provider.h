/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* provider.h -- whoever keeps a zone for us: one row of the table, one file each.
 *
 * A call is one question under way. It ends itself with done, once and never from
 * within the function that began it; or it is cancelled, and done is not called.
 *
 * Ownership: all that is asked is copied; the secret is wiped when the call ends.
 */
#ifndef DDNS_PROVIDER_H
#define DDNS_PROVIDER_H

#include "ddns/exchange.h"
#include "ddns/fetch.h"
#include "ddns/record.h"

enum verdict_kind {
	VERDICT_GOOD,
	VERDICT_RETRY, /* after the usual wait */
	VERDICT_SLOW,  /* after wait_s */
	VERDICT_STOP,  /* not before the configuration or a secret is another one */
	VERDICT_STALE, /* nothing was sent: this node is not the active one any more */
};

struct verdict {
	enum verdict_kind kind;
	unsigned wait_s;
	bool is_unchanged; /* the provider had that address: do not say it again */
	char text[400];    /* what went wrong and what helps, for people; "" if good */
};

/* What the zone holds for a record's name and family. */
struct holding {
	bool is_authoritative; /* else what a resolver told */
	bool is_alias;
	unsigned n;
	struct ip_addr addr[MESSAGE_ADDRS];
	uint32_t ttl_s;
};

struct call {
	void (*cancel)(struct call *c);
};

struct provider_ask {
	uv_loop_t *loop;
	struct fetch *fetch;
	const struct record *record;
	const char *secret;
	bool (*may_send)(void *arg); /* before each sending of a change */
	/* holding only from read, and only when good. */
	void (*done)(void *arg, const struct verdict *v, const struct holding *h);
	void *arg;
	struct exchange_counts *counts;
};

struct provider {
	const char *name;
	bool can_remove; /* else records stay until somebody removes them there */
	int (*read)(struct call **out, const struct provider_ask *ask);
	int (*write)(struct call **out, const struct provider_ask *ask);
	int (*remove)(struct call **out, const struct provider_ask *ask);
};

extern const struct provider provider_rfc2136, provider_dyndns2;

const struct provider *provider_of(enum ddns_provider which); /* NULL for none */
void call_cancel(struct call *c);                             /* NULL is fine */

__attribute__((format(printf, 3, 4))) void
verdict_say(struct verdict *v, enum verdict_kind kind, const char *fmt, ...);

#endif
