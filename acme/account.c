/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/account.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { EAB_KEY_MAX = 512 };

void
account_init(struct account *a, const struct account_host *host)
{
	*a = (struct account){ .host = host };
}

void
account_free(struct account *a)
{
	EVP_PKEY_free(a->key);
	free(a->payload);
	*a = (struct account){ .host = a->host };
}

void
account_forget(struct account *a)
{
	EVP_PKEY_free(a->key);
	a->key = NULL;
	a->kid[0] = '\0';
}

void
account_point(struct account *a, const char *url)
{
	if (strcmp(a->url, url) == 0)
		return;
	account_forget(a);
	a->nonce[0] = '\0';
	a->has_directory = false;
	snprintf(a->url, sizeof(a->url), "%s", url);
}

int
account_take(struct account *a, EVP_PKEY *key, const char *kid)
{
	char thumbprint[JWS_THUMBPRINT];
	int rc = jws_thumbprint(key, thumbprint);

	if (rc < 0)
		return rc;
	if (a->key != key)
		EVP_PKEY_free(a->key);
	a->key = key;
	memcpy(a->thumbprint, thumbprint, sizeof(thumbprint));
	snprintf(a->kid, sizeof(a->kid), "%s", kid);
	return 0;
}

/* ---- sending ---- */

static int
fetch_nonce(struct account *a)
{
	struct client_request q = { .verb = CLIENT_HEAD, .url = a->directory.nonce };

	a->is_nonce = true;
	return a->host->send(a->host->arg, &q);
}

static int
send_signed(struct account *a)
{
	struct client_request q = { .verb = CLIENT_POST, .url = a->target };
	json_t *head = json_pack("{s:s,s:s}", "nonce", a->nonce, "url", a->target);
	char *jws = NULL;

	/* A nonce is good for one request. */
	a->nonce[0] = '\0';
	a->is_nonce = false;
	if (a->by_key)
		json_object_set_new(head, "jwk", jws_jwk(a->key));
	else
		json_object_set_new(head, "kid", json_string(a->kid));
	int rc = jws_sign(a->key, head, span_str(a->payload), &jws);
	if (rc == 0) {
		q.body = span_str(jws);
		rc = a->host->send(a->host->arg, &q);
	}
	json_decref(head);
	free(jws);
	return rc;
}

static int
go(struct account *a)
{
	a->tries++;
	return a->nonce[0] == '\0' ? fetch_nonce(a) : send_signed(a);
}

static void
end(struct account *a)
{
	a->is_open = false;
	free(a->payload);
	a->payload = NULL;
}

int
account_get(struct account *a, const char *url, client_done done, void *arg)
{
	struct client_request q = { .verb = CLIENT_GET, .url = url };

	if (a->is_open)
		return E_EXIST;
	a->is_open = true;
	a->is_nonce = false;
	a->payload = NULL;
	a->done = done;
	a->arg = arg;
	int rc = a->host->send(a->host->arg, &q);
	if (rc < 0)
		end(a);
	return rc;
}

int
account_post(struct account *a, const char *url, const char *payload, bool by_key,
	     client_done done, void *arg)
{
	if (a->is_open)
		return E_EXIST;
	a->payload = strdup(payload != NULL ? payload : "");
	if (a->payload == NULL)
		return E_NOMEM;
	snprintf(a->target, sizeof(a->target), "%s", url);
	a->is_open = true;
	a->by_key = by_key;
	a->tries = 0;
	a->done = done;
	a->arg = arg;
	int rc = go(a);
	if (rc < 0)
		end(a);
	return rc;
}

static bool
is_bad_nonce(const struct client_answer *answer)
{
	struct answer_problem p;

	if (answer->rc < 0 || answer->status < 400)
		return false;
	answer_problem(&p, answer->body);
	return strcmp(p.type, "badNonce") == 0;
}

/* The open request ends with this answer. */
static void
deliver(struct account *a, const struct client_answer *answer)
{
	client_done done = a->done;
	void *arg = a->arg;

	end(a);
	done(arg, answer);
}

static void
deliver_error(struct account *a, int rc, const char *why)
{
	struct client_answer answer = { .rc = rc };

	snprintf(answer.why, sizeof(answer.why), "%s", why);
	deliver(a, &answer);
}

void
account_answer(struct account *a, const struct client_answer *answer)
{
	int rc = 0;

	if (!a->is_open)
		return;
	if (answer->rc == 0 && answer->nonce[0] != '\0')
		memcpy(a->nonce, answer->nonce, sizeof(a->nonce));
	bool is_again = a->payload != NULL &&
			(a->is_nonce ? answer->rc == 0 && a->nonce[0] != '\0'
				     : is_bad_nonce(answer));
	if (!is_again && a->is_nonce && answer->rc == 0) {
		deliver_error(a, E_PROTO, "it gives no nonce");
	} else if (!is_again) {
		deliver(a, answer);
	} else if (a->tries >= ACCOUNT_TRIES) {
		deliver_error(a, E_PROTO, "it refuses every nonce it gives");
	} else if ((rc = go(a)) < 0) {
		deliver_error(a, rc, err_text(rc));
	}
}

void
account_cancel(struct account *a)
{
	if (!a->is_open)
		return;
	a->host->cancel(a->host->arg);
	end(a);
}

/* ---- payloads ---- */

static int
dump(json_t *o, char **payload)
{
	*payload = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return *payload == NULL ? E_NOMEM : 0;
}

/* 7.3.4: the account's public key, signed with the key the authority gave. */
static int
add_binding(struct account *a, json_t *o, const char *id, const char *key)
{
	uint8_t mac[EAB_KEY_MAX];
	struct wr w = wr_open(mac, sizeof(mac));
	size_t n = strlen(key);
	char *jwk = NULL, *jws = NULL;
	json_t *head = json_pack("{s:s,s:s}", "kid", id, "url", a->directory.account);

	/* Some authorities show it with padding. */
	while (n > 0 && (key[n - 1] == '=' || key[n - 1] == '\n'))
		n--;
	int rc = b64url_decode(&w, span_of(key, n));
	if (rc == 0 && w.n == 0)
		rc = E_PROTO;
	if (rc == 0)
		rc = dump(jws_jwk(a->key), &jwk);
	if (rc == 0)
		rc = jws_hmac(wr_span(&w), head, span_str(jwk), &jws);
	if (rc == 0 && json_object_set_new(o, "externalAccountBinding",
					   json_loads(jws, 0, NULL)) < 0)
		rc = E_NOMEM;
	OPENSSL_cleanse(mac, sizeof(mac));
	json_decref(head);
	free(jwk);
	free(jws);
	return rc;
}

int
account_registration(struct account *a, const char *email, bool agreed,
		     const char *eab_id, const char *eab_key, char **payload)
{
	json_t *o = json_object();
	int rc = o == NULL ? E_NOMEM : 0;

	*payload = NULL;
	if (agreed)
		json_object_set_new(o, "termsOfServiceAgreed", json_true());
	if (email[0] != '\0')
		json_object_set_new(o, "contact", json_pack("[s+]", "mailto:", email));
	if (rc == 0 && eab_id[0] != '\0')
		rc = add_binding(a, o, eab_id, eab_key);
	if (rc < 0) {
		json_decref(o);
		return rc;
	}
	return dump(o, payload);
}

int
account_roll(struct account *a, EVP_PKEY *key, char **payload)
{
	char *inner = NULL;
	json_t *head = json_pack("{s:o?,s:s}", "jwk", jws_jwk(key), "url",
				 a->directory.key_change);
	int rc = head == NULL ? E_TLS
			      : dump(json_pack("{s:s,s:o?}", "account", a->kid,
					       "oldKey", jws_jwk(a->key)),
				     &inner);

	*payload = NULL;
	if (rc == 0)
		rc = jws_sign(key, head, span_str(inner), payload);
	json_decref(head);
	free(inner);
	return rc;
}
