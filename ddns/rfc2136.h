/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* rfc2136.h -- what else than addresses is asked of a zone's server: the TXT records
 * of dns-01, and whether it takes our key.
 */
#ifndef DDNS_RFC2136_H
#define DDNS_RFC2136_H

#include "ddns/provider.h"

struct rfc2136_ask {
	uv_loop_t *loop;
	const struct account *account;
	const char *secret;
	bool (*may_send)(void *arg);
	/* a is NULL unless it was a question that was answered well. */
	void (*done)(void *arg, const struct verdict *v, const struct answer *a);
	void *arg;
	struct exchange_counts *counts;
};

/* Change records, all or none. None given: an update that changes nothing, to see
 * whether the server takes the key. */
int rfc2136_update(struct call **out, const struct rfc2136_ask *ask,
		   const struct change *change, size_t n);

/* What the authoritative server holds. */
int rfc2136_look(struct call **out, const struct rfc2136_ask *ask, const char *name,
		 enum message_type type);

/* What an update's answer means to people, and when to try again. now_s: wall clock. */
void rfc2136_judge(const struct account *account, const char *name, int rc,
		   const struct answer *a, bool key_is_known, uint64_t now_s,
		   struct verdict *v);

#endif
