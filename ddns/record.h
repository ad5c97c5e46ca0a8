/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* record.h -- a DNS record that is ours to keep, with everything needed to write it.
 *
 * Also to remove it when the configuration does not know it any more: each record
 * that was written is remembered in the store (object ddns/published/WAN) with its
 * account, so that either node can take it back. An account has the name of its
 * secret, never the secret.
 */
#ifndef DDNS_RECORD_H
#define DDNS_RECORD_H

#include "common/config/config.h"
#include "common/ip.h"

#include <jansson.h>

enum { RECORDS_MAX = 8 }; /* remembered per uplink */

/* Where and as whom to write. */
struct account {
	enum ddns_provider provider;
	char server[CONFIG_HOST];
	uint16_t port;
	char zone[CONFIG_HOST];
	char key_name[CONFIG_HOST];
	enum ddns_algorithm algorithm;
	char secret[64];
	char user[128], url[256], ca_file[256];
};

struct record {
	struct account account;
	char name[CONFIG_HOST];
	struct ip_addr address; /* its family is the record's */
	/* What the zone may hold as well, while the write is not confirmed; family 0:
	 * nothing else. */
	struct ip_addr previous;
	unsigned ttl_s;
};

struct published {
	struct record at[RECORDS_MAX];
	unsigned n;
};

void account_of(struct account *a, const struct config_ddns *d);

/* The same record of the same server, whatever its address. */
bool record_same(const struct record *a, const struct record *b);
/* The same in everything. */
bool record_equal(const struct record *a, const struct record *b);
/* An address that we have published there. */
bool record_is_ours(const struct record *r, const struct ip_addr *a);
struct record *published_find(struct published *p, const struct record *r);
/* Replaces the same record; the oldest goes when there is no room. */
void published_add(struct published *p, const struct record *r);
void published_drop(struct published *p, const struct record *r);

/* The object's text. The caller frees; NULL without memory. */
char *published_text(const struct published *p);
/* E_INVAL: not such a text; p is empty then. */
int published_parse(struct published *p, const char *text, size_t n);

/* "A" or "AAAA". */
const char *record_type(const struct record *r);

#endif
