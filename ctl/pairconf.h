/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* pairconf.h -- what two gateways need to be told to become a pair, and the files made
 * of it. Pure: text in, text out.
 *
 * The answers are lines KEY=VALUE, the same on both nodes; a value that has two words
 * with a comma between is "the primary's,the spare's":
 *
 *   primary=gw1
 *   spare=gw2
 *   pair=32 hexadecimal digits
 *   wan=wan1 interface=eth0 address=192.0.2.11,192.0.2.12
 *       virtual=192.0.2.10/24,2001:db8:1::10/64 gateway=192.0.2.1   (one line)
 *   lan=lan interface=eth2 address=10.10.0.11,10.10.0.12 virtual=10.10.0.10/24
 *   heartbeat=10.99.0.11,10.99.0.12
 *   vrid=51
 *   advert_ms=100
 *
 * Errors: E_INVAL with a text that names the line's key.
 */
#ifndef CTL_PAIRCONF_H
#define CTL_PAIRCONF_H

#include "common/join.h"

#include <stdbool.h>

enum {
	PAIR_SEGMENTS = 3, /* two uplinks and the LAN */
	PAIR_ADDRS = 4,
	PAIR_NAME = 64,
	PAIR_FILE = 16384,
	PAIR_WHY = 256,
};

enum pair_side { PAIR_PRIMARY, PAIR_SPARE };

struct pair_segment {
	char name[32], ifname[2][16];
	char own[2][48];              /* IPv4, of each node */
	char virtual[PAIR_ADDRS][64]; /* ADDRESS/PREFIX; the first is IPv4 */
	char gateway[PAIR_ADDRS][48];
	unsigned n_virtual, n_gateways;
	bool is_wan;
};

struct pair_answers {
	char name[2][PAIR_NAME]; /* of the nodes */
	char id[2 * JOIN_PAIR + 1];
	char heartbeat[2][48];
	struct pair_segment seg[PAIR_SEGMENTS];
	unsigned n_seg, vrid, advert_ms;
};

/* Defaults, nothing answered. */
void pair_answers_init(struct pair_answers *a);
/* One line without its end. Empty lines and those with # are fine. */
int pair_answer(struct pair_answers *a, const char *line, char why[PAIR_WHY]);
/* All lines of a text. */
int pair_answers_parse(struct pair_answers *a, const char *text, char why[PAIR_WHY]);
/* Is everything there, and does it fit together? */
int pair_answers_check(const struct pair_answers *a, char why[PAIR_WHY]);
/* Back to text; false when cap does not suffice. */
bool pair_answers_text(const struct pair_answers *a, char *buf, size_t cap);

/* The files of one node. */
bool pair_node_conf(const struct pair_answers *a, enum pair_side me, char *buf,
		    size_t cap);
bool pair_hasync_conf(const struct pair_answers *a, enum pair_side me, char *buf,
		      size_t cap);
bool pair_keepalived_conf(const struct pair_answers *a, enum pair_side me, char *buf,
			  size_t cap);
bool pair_corosync_conf(const struct pair_answers *a, char *buf, size_t cap);

#endif
