/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* challenge.h -- the answers that a certificate authority comes to look for, on both
 * nodes of a pair: it may reach either.
 *
 * The active node publishes what is to be answered as the object acme/challenge/ID:
 *
 *   {"type":"http-01","name":"vpn.example","token":"T","answer":"T.THUMBPRINT"}
 *   {"type":"tls-alpn-01","name":"vpn.example","digest":"64 hex digits"}
 *   {"type":"dns-01","name":"_acme-challenge.vpn.example","value":"TXT"}
 *
 * Every node answers the first at port 80 and writes STATEDIR/certs/alpn-NAME.pem for
 * the second, which vpnd presents. The third is ddnsd's: it puts ddns/challenge/ID,
 * {"done":true} or {"error":"text"}, and removes the record when the object goes.
 *
 * Nothing in them is a secret: they prove something only to who looks at our address.
 */
#ifndef ACME_CHALLENGE_H
#define ACME_CHALLENGE_H

#include "acme/acmed.h"
#include "acme/order.h"

enum {
	CHALLENGE_DNS_MS = 60 * 1000, /* for ddnsd */
	CHALLENGE_SETTLE_MS = 700,    /* for the other node and for vpnd */
	CHALLENGES_MAX = 8,
};

#define CHALLENGE_OBJECTS "acme/challenge/"

struct challenges;

/* 0, or why (text) it cannot be answered. */
typedef void (*challenge_shown)(void *arg, int rc, const char *why);

int challenge_new(struct challenges **out, struct acmed *a, challenge_shown shown,
		  void *arg);
void challenge_close(struct challenges *c);
void challenge_free(struct challenges *c); /* after the loop has ended */

/* The active node: publish, and say when it is in place. One at a time. */
int challenge_show(struct challenges *c, const struct order_challenge *q);
void challenge_withdraw(struct challenges *c);

/* Every node: answer what the store says. The active one also removes what nobody
 * waits for. */
void challenge_look(struct challenges *c);

/* RFC 8555 8.4: the value of the TXT record. */
int challenge_txt(const char *keyauth, char out[64]);
/* The file's name for a DNS name; false: it is none. Pure. */
bool challenge_file(const char *name, char *out, size_t n);

#endif
