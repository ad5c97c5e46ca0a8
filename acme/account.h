/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* account.h -- an account at a certificate authority, and the signed requests it makes
 * (RFC 8555 6, 7.3).
 *
 * One request at a time. Nonces are this module's: it fetches one when there is none,
 * keeps the one of each answer, and repeats a request that was refused for its nonce
 * with the one that came with the refusal, up to ACCOUNT_TRIES times.
 *
 * How bytes travel is the host's business, so that tests answer by script.
 *
 * Ownership: account_free ends and wipes. Payloads are freed by the caller.
 * Errors:    E_EXIST a request is open; what the host's send returned; E_TLS, E_NOMEM.
 */
#ifndef ACME_ACCOUNT_H
#define ACME_ACCOUNT_H

#include "acme/client.h"
#include "acme/jws.h"

enum { ACCOUNT_TRIES = 30 };

struct account_host {
	void *arg;
	/* The answer comes through account_answer, later. */
	int (*send)(void *arg, const struct client_request *q);
	void (*cancel)(void *arg);
};

struct account {
	const struct account_host *host;
	EVP_PKEY *key; /* NULL: none yet */
	char thumbprint[JWS_THUMBPRINT];
	char url[ANSWER_URL]; /* of the directory it belongs to */
	char kid[ANSWER_URL]; /* "" not registered (any more) */
	struct answer_directory directory;
	bool has_directory;
	char nonce[256];
	/* the open request */
	bool is_open, is_nonce, by_key;
	unsigned tries;
	char *payload;
	char target[ANSWER_URL];
	client_done done;
	void *arg;
};

void account_init(struct account *a, const struct account_host *host);
void account_free(struct account *a);

/* The authority it is at; another one means that key and account are forgotten. */
void account_point(struct account *a, const char *url);
/* The account and its key are of no use any more. */
void account_forget(struct account *a);
/* Take this key (ownership too), and the URL of its account ("" none yet). */
int account_take(struct account *a, EVP_PKEY *key, const char *kid);

/* A request without a signature: the directory, renewal information. */
int account_get(struct account *a, const char *url, client_done done, void *arg);
/* payload NULL: POST-as-GET. by_key: signed by the key itself, not by account. */
int account_post(struct account *a, const char *url, const char *payload, bool by_key,
		 client_done done, void *arg);
/* From the host. */
void account_answer(struct account *a, const struct client_answer *answer);
/* The open request is not answered any more. */
void account_cancel(struct account *a);

/* newAccount (7.3); eab_id "" for no external account binding (7.3.4), its key as
 * base64url. E_PROTO: that key is none. */
int account_registration(struct account *a, const char *email, bool agreed,
			 const char *eab_id, const char *eab_key, char **payload);
/* keyChange (7.3.5): the new key signs for the old one. */
int account_roll(struct account *a, EVP_PKEY *key, char **payload);

#endif
