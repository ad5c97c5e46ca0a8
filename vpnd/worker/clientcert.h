/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* clientcert.h -- is this client's certificate one of ours, and whose is it?
 *
 * TLS has proven that the client holds the key; nothing else is decided in the
 * handshake, so that a client with a bad certificate can be told what is wrong.
 * Here the chain is built to the installed client CA and to nothing else: the
 * system's store is never looked at. RFC 5280.
 *
 * Every certificate in the CA file may be part of a chain; a chain ends in one that
 * is self-signed. With revocation lists, each certificate's issuer must have one
 * that is in force.
 *
 * Units:      times are the system clock's.
 * Ownership:  clientcert_new gives, clientcert_free ends. Facts own their issuer;
 *             facts_clear ends that.
 * Errors:     E_PROTO (not such a file), E_LIMIT, E_NOMEM.
 */
#ifndef VPND_WORKER_CLIENTCERT_H
#define VPND_WORKER_CLIENTCERT_H

#include "common/config/config.h"
#include "common/span.h"
#include "vpnd/ipc/messages.h"

#include <openssl/x509.h>

enum {
	CLIENTCERT_CHAIN = 8,           /* certificates from client to root */
	CLIENTCERT_LIST = 32 * 1024,    /* bytes of a client's Certificate message */
	CLIENTCERT_KEY_BITS = 4096,     /* of RSA; larger ones end the handshake */
	CLIENTCERT_CAS = 64,            /* certificates in the CA file */
	CLIENTCERT_CRLS = 64,           /* lists in one file */
	CLIENTCERT_CRL_BYTES = 8 << 20, /* of that file */
	CLIENTCERT_LEVEL = 2,           /* OpenSSL's: 112 bits, no SHA-1 */
};

struct clientcert;

/* ca: PEM certificates; empty: no certificate is trusted. crl: lists, PEM or DER,
 * looked at if wants_crl; empty then: nobody passes. why has one sentence on error. */
int clientcert_new(struct clientcert **out, struct span ca, struct span crl,
		   bool wants_crl, char *why, size_t why_n);
void clientcert_free(struct clientcert *c);

/* What the server tells clients it would accept. Borrowed. */
const STACK_OF(X509_NAME) * clientcert_names(const struct clientcert *c);

struct cert_facts {
	enum cert_verdict verdict;
	char user[IPC_USER_MAX + 1]; /* "" if it names none; not verified unless GOOD */
	char text[256];              /* which one, and what is wrong; printable ASCII */
	X509 *issuer;                /* when GOOD */
};

/* leaf NULL: none was presented. sent: the rest of what the client sent, may be NULL
 * and may hold the leaf too. */
void clientcert_judge(const struct clientcert *c, X509 *leaf,
		      const STACK_OF(X509) * sent, enum cert_user which,
		      struct cert_facts *facts);
void cert_facts_clear(struct cert_facts *facts);

/* The user's name as UTF-8 without control characters. E_NOENT: it has none there,
 * or one that cannot be a name. */
int clientcert_user(const X509 *leaf, enum cert_user which,
		    char user[IPC_USER_MAX + 1]);
/* Subject, serial and issuer for logs. */
void clientcert_text(const X509 *leaf, char *text, size_t n);

/* Lists, PEM or DER. NULL with *rc. */
STACK_OF(X509_CRL) * clientcert_crls(struct span file, int *rc);

#endif
