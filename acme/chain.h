/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* chain.h -- the verdict on a certificate that an administrator uploads. Pure: bytes
 * and a time in, a verdict out; nothing is stored and no file is read.
 *
 * A device certificate comes with the chain of its authority up to the root, both as
 * PEM. It has to be for the key that this node holds, valid today, for servers, without
 * wildcards; the chain has to verify it and end in a certificate that signed itself.
 * Whatever fails, `why` is one sentence with the remedy; for everything that is wrong
 * with a chain it is the fixed text CHAIN_FAILED, and what exactly is in `detail`.
 *
 * Nothing may depend on clientAuth: from June 2026 public authorities issue
 * certificates for servers only.
 *
 * Ownership: chain_verdict_free ends what a good verdict holds.
 * Errors:    E_INVAL refused, E_NOMEM.
 */
#ifndef ACME_CHAIN_H
#define ACME_CHAIN_H

#include "common/span.h"

#include <openssl/evp.h>
#include <stdint.h>

enum {
	CHAIN_FILE_MAX = 64 * 1024, /* bytes of one file */
	CHAIN_CERTS_MAX = 8,        /* certificates in one file */
	CHAIN_TEXT = 512,
};

#define CHAIN_FAILED "Failed verifying Device Cert with Cert Chain"

/* What is wrong, for programs. */
enum chain_fault {
	CHAIN_OK,
	CHAIN_NOT_PEM,
	CHAIN_TOO_LARGE,
	CHAIN_IS_CA,
	CHAIN_OTHER_KEY,
	CHAIN_NO_CSR,
	CHAIN_WILDCARD,
	CHAIN_DATES,
	CHAIN_PURPOSE,
	CHAIN_UNVERIFIED,
	CHAIN_FAULTS
};
/* "not_pem" ... */
const char *chain_fault_code(enum chain_fault f);

struct chain_question {
	struct span device, chain; /* the two files */
	EVP_PKEY *key;             /* of the current request; NULL: there is none */
	const char *const *names;  /* what clients dial */
	size_t n_names;
	int64_t now_s;
};

struct chain_verdict {
	enum chain_fault fault;
	char why[CHAIN_TEXT];     /* refused: the reason and what to do */
	char detail[CHAIN_TEXT];  /* more on it, or "" */
	char warning[CHAIN_TEXT]; /* accepted, but; "" if nothing is to be said */
	char *device, *chain;     /* accepted: PEM of the leaf; of all above it, the
				   * root last */
	char *served;             /* leaf and intermediates: what clients are shown */
};

int chain_judge(const struct chain_question *q, struct chain_verdict *v);

/* Authorities whose clients' certificates are trusted: PEM, at least one of them a
 * root. Accepted: chain is the PEM, newly written. */
int chain_judge_client_ca(struct span file, int64_t now_s, struct chain_verdict *v);

void chain_verdict_free(struct chain_verdict *v);

#endif
