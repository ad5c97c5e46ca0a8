/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/order.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

enum {
	POLLS_MAX = 120,     /* about ten minutes */
	ARI_FAILED_S = 3600, /* renewal information: asked again after a failure */
	TIME_TEXT = 32,
};

static const char *const state_name[ORDER_STATES] = {
	[ORDER_OFF] = "off",
	[ORDER_STANDBY] = "standby",
	[ORDER_WAITING] = "waiting",
	[ORDER_DIRECTORY] = "directory",
	[ORDER_REGISTERING] = "registering",
	[ORDER_ORDERING] = "ordering",
	[ORDER_AUTHORIZING] = "authorizing",
	[ORDER_PRESENTING] = "presenting",
	[ORDER_VALIDATING] = "validating",
	[ORDER_FINALIZING] = "finalizing",
	[ORDER_FETCHING] = "fetching",
	[ORDER_STORING] = "storing",
	[ORDER_LIVE] = "live",
	[ORDER_FAILED] = "failed",
};

static const char *const event_name[ORDER_EVENTS] = {
	[ORDER_EV_OFF] = "off",     [ORDER_EV_STANDBY] = "standby",
	[ORDER_EV_WAIT] = "wait",   [ORDER_EV_HAVE] = "have",
	[ORDER_EV_GO] = "go",       [ORDER_EV_KNOWN] = "known",
	[ORDER_EV_NEW] = "new",     [ORDER_EV_NEXT] = "next",
	[ORDER_EV_ASKED] = "asked", [ORDER_EV_SHOWN] = "shown",
	[ORDER_EV_POLL] = "poll",   [ORDER_EV_AGAIN] = "again",
	[ORDER_EV_READY] = "ready", [ORDER_EV_ISSUED] = "issued",
	[ORDER_EV_OTHER] = "other", [ORDER_EV_GOT] = "got",
	[ORDER_EV_FAIL] = "fail",
};

static void order_event(struct order *o, enum order_event ev);
static void on_answer(void *arg, const struct client_answer *a);

/* ---- small things ---- */

/* The reason, for people. Returns E_INVAL, what an action that fails returns. */
__attribute__((format(printf, 2, 3))) static int
because(struct order *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o->why, sizeof(o->why), fmt, ap);
	va_end(ap);
	return E_INVAL;
}

static enum order_event
refused(struct order *o, const char *what, const struct answer_problem *p)
{
	because(o, "%s: %s%s%s%s", what, p->detail[0] ? p->detail : "no reason given",
		p->type[0] ? " (" : "", p->type, p->type[0] ? ")" : "");
	return ORDER_EV_FAIL;
}

static enum order_event
refused_by(struct order *o, const char *what, const struct client_answer *a)
{
	struct answer_problem p;

	answer_problem(&p, a->body);
	if (p.type[0] == '\0' && p.detail[0] == '\0')
		snprintf(p.detail, sizeof(p.detail), "HTTP status %d", a->status);
	return refused(o, what, &p);
}

static enum order_event
nonsense(struct order *o, const char *what)
{
	because(o, "%s: the authority's answer cannot be understood", what);
	return ORDER_EV_FAIL;
}

static const char *
time_text(int64_t t, char buf[TIME_TEXT])
{
	time_t at = (time_t)t;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(buf, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buf, TIME_TEXT, "?");
	return buf;
}

static size_t
name_list(const struct order *o, const char *list[ORDER_NAMES])
{
	for (size_t i = 0; i < o->n_names; i++)
		list[i] = o->names[i];
	return o->n_names;
}

bool
order_is_busy(const struct order *o)
{
	return o->state >= ORDER_DIRECTORY && o->state <= ORDER_STORING;
}

const char *
order_state_name(enum order_state s)
{
	return state_name[s];
}

/* What belongs to one order and not to the next. */
static void
drop(struct order *o)
{
	o->host->timer(o->host->arg, 0);
	o->host->withdraw(o->host->arg);
	account_cancel(o->account);
	EVP_PKEY_free(o->key);
	free(o->chain);
	o->key = NULL;
	o->chain = NULL;
	o->url[0] = '\0';
	o->at = o->polls = 0;
	o->n_alternates = 0;
	o->has_registered = o->was_refused_name = false;
}

/* Nothing more for now; answered again after a while. */
static void
wait_a_while(struct order *o)
{
	o->host->timer(o->host->arg, renew_poll_ms(++o->polls, o->retry_after_s));
}

static int
post(struct order *o, const char *url, json_t *payload)
{
	char *text = payload != NULL ? json_dumps(payload, JSON_COMPACT) : NULL;
	int rc = payload != NULL && text == NULL
			 ? E_NOMEM
			 : account_post(o->account, url, text, false, on_answer, o);

	json_decref(payload);
	free(text);
	return rc;
}

/* ---- actions: what a move begins ---- */

static int
abandon(struct order *o)
{
	drop(o);
	return 0;
}

static int
rest(struct order *o)
{
	drop(o);
	o->failures = o->rounds = 0;
	o->why[0] = '\0';
	return 0;
}

static int
ask_directory(struct order *o)
{
	drop(o);
	o->why[0] = '\0';
	o->was_reached = false;
	o->is_forced = false;
	account_point(o->account, o->directory);
	return account_get(o->account, o->directory, on_answer, o);
}

static int
send_registration(struct order *o, const char *secret)
{
	char *payload;
	int rc = account_registration(o->account, o->email, o->agreed, o->eab_id,
				      secret, &payload);

	if (rc == E_PROTO)
		return because(o, "the stored secret that certificate.eab_secret names "
				  "is no base64url: store it again as the authority "
				  "shows it");
	if (rc == 0)
		rc = account_post(o->account, o->account->directory.account, payload,
				  true, on_answer, o);
	free(payload);
	return rc;
}

static int
new_account(struct order *o)
{
	EVP_PKEY *key = NULL;
	int rc = 0;

	if (o->has_registered)
		return because(o, "the authority does not know the account it has just "
				  "made");
	o->has_registered = true;
	if (o->account->key == NULL) {
		rc = cert_key_new(&key, CERT_KEY_P256);
		if (rc == 0)
			rc = account_take(o->account, key, "");
	}
	if (rc < 0)
		return rc;
	return o->eab_id[0] != '\0' ? o->host->secret(o->host->arg)
				    : send_registration(o, "");
}

static int
new_order(struct order *o)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < o->n_names; i++)
		json_array_append_new(ids, json_pack("{s:s,s:s}", "type", "dns",
						     "value", o->names[i]));
	json_t *p = json_pack("{s:o}", "identifiers", ids);
	/* RFC 9773 5: a renewal that says so is not counted against limits. */
	if (o->replaces[0] != '\0' && o->account->directory.renewal[0] != '\0')
		json_object_set_new(p, "replaces", json_string(o->replaces));
	o->url[0] = '\0';
	o->at = o->polls = 0;
	return post(o, o->account->directory.order, p);
}

static int
poll_order(struct order *o)
{
	return post(o, o->url, NULL);
}

static int
read_authorization(struct order *o)
{
	o->host->withdraw(o->host->arg);
	o->polls = 0;
	return post(o, o->order.authorizations[o->at], NULL);
}

static int
poll_authorization(struct order *o)
{
	return post(o, o->order.authorizations[o->at], NULL);
}

static int
show(struct order *o)
{
	char keyauth[JWS_KEYAUTH];
	struct order_challenge c = { .type = o->challenge.type,
				     .name = o->authorization.name,
				     .token = o->challenge.token,
				     .keyauth = keyauth };
	int rc = jws_keyauth(span_str(c.token), o->account->thumbprint, keyauth);

	return rc < 0 ? rc : o->host->show(o->host->arg, &c);
}

/* RFC 8555 7.5.1: exactly an empty object. */
static int
answer_challenge(struct order *o)
{
	o->polls = 0;
	return post(o, o->challenge.url, json_object());
}

static int
ask_again(struct order *o)
{
	o->host->withdraw(o->host->arg);
	o->polls = 0;
	return poll_order(o);
}

static int
finalize(struct order *o)
{
	const char *names[ORDER_NAMES];
	size_t n = name_list(o, names), der_n = 0;
	uint8_t *der = NULL;
	int rc = 0;

	o->host->withdraw(o->host->arg);
	o->polls = 0;
	if (o->key == NULL)
		o->key = o->host->old_key(o->host->arg);
	if (o->key == NULL)
		rc = cert_key_new(&o->key, o->key_type);
	if (rc == 0)
		rc = cert_request(o->key, names, n, &der, &der_n);
	char *text = rc < 0 ? NULL : malloc(der_n * 4 / 3 + 4);
	if (rc == 0 && text == NULL)
		rc = E_NOMEM;
	if (rc == 0) {
		struct wr w = wr_open(text, der_n * 4 / 3 + 4);
		b64url_encode(&w, span_of(der, der_n));
		wr_u8(&w, '\0');
		rc = post(o, o->order.finalize, json_pack("{s:s}", "csr", text));
	}
	OPENSSL_free(der);
	free(text);
	return rc;
}

static int
fetch(struct order *o)
{
	o->at = o->polls = 0;
	o->n_alternates = 0;
	return post(o, o->order.certificate, NULL);
}

static int
fetch_other(struct order *o)
{
	return post(o, o->alternates[o->at++], NULL);
}

static int
store(struct order *o)
{
	struct cert_facts *f = malloc(sizeof(*f));
	char *key = NULL;
	int rc = f == NULL ? E_NOMEM : cert_read(f, span_str(o->chain));

	if (rc == 0)
		rc = cert_key_pem(o->key, &key);
	if (rc == 0) {
		struct order_result r = {
			.chain = o->chain,
			.key = key,
			.directory = o->directory,
			.renew_at = renew_at(f->not_before, f->not_after,
					     o->host->random(o->host->arg)),
			.facts = f,
			.is_first = !o->is_renewal,
		};
		rc = o->host->store(o->host->arg, &r);
	}
	cert_wipe(key);
	free(f);
	return rc;
}

/* The wait grows with each failure. A name that was refused with one challenge is soon
 * tried with another, but each only once. */
static int
note_failure(struct order *o)
{
	enum renew_failure kind = o->was_reached ? RENEW_REFUSED : RENEW_UNREACHED;
	unsigned n_types = 0, failures = ++o->failures;
	char next[TIME_TEXT], text[ORDER_WHY + ANSWER_NAME + 64];

	for (size_t i = 0; i < TYPES; i++)
		n_types += o->types[i];
	if (o->was_refused_name && ++o->rounds < n_types) {
		kind = RENEW_UNREACHED;
		failures = 1;
	}
	o->next_s =
		o->now_s + (int64_t)renew_backoff_s(kind, failures, o->retry_after_s,
						    o->host->random(o->host->arg));
	drop(o);
	snprintf(text, sizeof(text), "%s: %s; next try at %s",
		 o->n_names > 0 ? o->names[0] : "", o->why, time_text(o->next_s, next));
	o->host->event(o->host->arg, "cert_failed", text);
	return 0;
}

/* ---- the table ---- */

struct edge {
	int (*act)(struct order *);
	enum order_state next;
};

/* From anywhere: what is outside has changed. */
#define OUTSIDE                                                                        \
	[ORDER_EV_OFF] = { abandon, ORDER_OFF },                                       \
	[ORDER_EV_STANDBY] = { abandon, ORDER_STANDBY },                               \
	[ORDER_EV_WAIT] = { abandon, ORDER_WAITING }
#define IDLE                                                                           \
	OUTSIDE, [ORDER_EV_HAVE] = { rest, ORDER_LIVE },                               \
		 [ORDER_EV_GO] = { ask_directory, ORDER_DIRECTORY }
#define BUSY OUTSIDE, [ORDER_EV_FAIL] = { note_failure, ORDER_FAILED }

/* clang-format off */
/* An empty cell is a move we do not make. */
static const struct edge edges[ORDER_STATES][ORDER_EVENTS] = {
	[ORDER_OFF]         = { IDLE },
	[ORDER_STANDBY]     = { IDLE },
	[ORDER_WAITING]     = { IDLE },
	[ORDER_LIVE]        = { IDLE },
	[ORDER_FAILED]      = { IDLE },
	[ORDER_DIRECTORY]   = { BUSY,
		[ORDER_EV_KNOWN]  = { new_order,          ORDER_ORDERING },
		[ORDER_EV_NEW]    = { new_account,        ORDER_REGISTERING } },
	[ORDER_REGISTERING] = { BUSY,
		[ORDER_EV_KNOWN]  = { new_order,          ORDER_ORDERING } },
	[ORDER_ORDERING]    = { BUSY,
		[ORDER_EV_NEW]    = { new_account,        ORDER_REGISTERING },
		[ORDER_EV_KNOWN]  = { new_order,          ORDER_ORDERING },
		[ORDER_EV_NEXT]   = { read_authorization, ORDER_AUTHORIZING },
		[ORDER_EV_POLL]   = { poll_order,         ORDER_ORDERING },
		[ORDER_EV_READY]  = { finalize,           ORDER_FINALIZING },
		[ORDER_EV_ISSUED] = { fetch,              ORDER_FETCHING } },
	[ORDER_AUTHORIZING] = { BUSY,
		[ORDER_EV_NEXT]   = { read_authorization, ORDER_AUTHORIZING },
		[ORDER_EV_ASKED]  = { show,               ORDER_PRESENTING },
		[ORDER_EV_AGAIN]  = { ask_again,          ORDER_ORDERING } },
	[ORDER_PRESENTING]  = { BUSY,
		[ORDER_EV_SHOWN]  = { answer_challenge,   ORDER_VALIDATING } },
	[ORDER_VALIDATING]  = { BUSY,
		[ORDER_EV_POLL]   = { poll_authorization, ORDER_VALIDATING },
		[ORDER_EV_NEXT]   = { read_authorization, ORDER_AUTHORIZING },
		[ORDER_EV_AGAIN]  = { ask_again,          ORDER_ORDERING } },
	[ORDER_FINALIZING]  = { BUSY,
		[ORDER_EV_POLL]   = { poll_order,         ORDER_FINALIZING },
		[ORDER_EV_ISSUED] = { fetch,              ORDER_FETCHING } },
	[ORDER_FETCHING]    = { BUSY,
		[ORDER_EV_OTHER]  = { fetch_other,        ORDER_FETCHING },
		[ORDER_EV_GOT]    = { store,              ORDER_STORING } },
	[ORDER_STORING]     = { BUSY,
		[ORDER_EV_HAVE]   = { rest,               ORDER_LIVE } },
};
/* clang-format on */

/* The one place that moves. Actions do not call it. */
static void
order_event(struct order *o, enum order_event ev)
{
	const struct edge *e = &edges[o->state][ev];
	enum order_state was = o->state;

	if (e->act == NULL) {
		log_debug(0, "order: %s ignored in %s", event_name[ev],
			  state_name[was]);
		return;
	}
	int rc = e->act(o);
	o->state = e->next;
	o->since_s = o->now_s;
	if (rc == E_STALE) {
		/* Not active any more: the other node goes on. */
		drop(o);
		o->state = ORDER_STANDBY;
	} else if (rc < 0) {
		if (rc != E_INVAL || o->why[0] == '\0')
			because(o, "%s", err_text(rc));
		note_failure(o);
		o->state = ORDER_FAILED;
	}
	log_debug(0, "order: %s: %s -> %s", event_name[ev], state_name[was],
		  state_name[o->state]);
}

/* ---- answers: which event they are ---- */

static int
not_an_event(void)
{
	return -1;
}

static int
take_directory(struct order *o, const struct client_answer *a)
{
	struct account *k = o->account;

	if (a->status != 200)
		return refused_by(o, "the authority's directory", a);
	if (answer_directory(&k->directory, a->body) < 0)
		return nonsense(o, "directory");
	k->has_directory = true;
	if (k->directory.terms[0] != '\0' && !o->agreed) {
		because(o,
			"the authority has terms of service, %.300s: read them and "
			"set certificate.agree_tos = true",
			k->directory.terms);
		return ORDER_EV_FAIL;
	}
	if (k->directory.wants_eab && o->eab_id[0] == '\0' && k->kid[0] == '\0') {
		because(o, "the authority wants an account of its own to be named: set "
			   "certificate.eab_key_id and eab_secret");
		return ORDER_EV_FAIL;
	}
	return k->kid[0] != '\0' ? ORDER_EV_KNOWN : ORDER_EV_NEW;
}

static int
take_registration(struct order *o, const struct client_answer *a)
{
	if (a->status != 200 && a->status != 201)
		return refused_by(o, "registering", a);
	if (a->location[0] == '\0')
		return nonsense(o, "registering");
	memcpy(o->account->kid, a->location, sizeof(o->account->kid));
	o->host->keep_account(o->host->arg, o->account);
	return ORDER_EV_KNOWN;
}

/* An order as it is now, in ORDERING and FINALIZING. */
static int
judge_order(struct order *o)
{
	switch (o->order.status) {
	case ANSWER_VALID: return ORDER_EV_ISSUED;
	case ANSWER_INVALID: return refused(o, "order", &o->order.problem);
	case ANSWER_READY:
		if (o->state == ORDER_ORDERING)
			return ORDER_EV_READY;
		break;
	case ANSWER_PENDING:
		if (o->state == ORDER_ORDERING && o->at < o->order.n)
			return ORDER_EV_NEXT;
		break;
	default: break;
	}
	if (o->polls >= POLLS_MAX) {
		because(o, "the authority does not get the order done");
		return ORDER_EV_FAIL;
	}
	wait_a_while(o);
	return not_an_event();
}

static int
order_refused(struct order *o, const struct client_answer *a)
{
	struct answer_problem p;

	answer_problem(&p, a->body);
	if (strcmp(p.type, "accountDoesNotExist") == 0) {
		log_info(0, "the authority does not know the account any more");
		o->account->kid[0] = '\0';
		return ORDER_EV_NEW;
	}
	/* RFC 8555 7.3.6: so it is with one that was deactivated; it never comes back,
	 * and neither does its key. */
	if (strcmp(p.type, "unauthorized") == 0 && !o->has_registered) {
		log_info(0, "the authority does not accept the account: %s", p.detail);
		account_forget(o->account);
		return ORDER_EV_NEW;
	}
	if (o->replaces[0] != '\0' && strcmp(p.type, "alreadyReplaced") == 0) {
		o->replaces[0] = '\0';
		return ORDER_EV_KNOWN;
	}
	return refused_by(o, "ordering", a);
}

static int
take_order(struct order *o, const struct client_answer *a)
{
	if (a->status >= 400 && o->url[0] == '\0')
		return order_refused(o, a);
	if (a->status != 200 && a->status != 201)
		return refused_by(o, "ordering", a);
	if (answer_order(&o->order, a->body) < 0)
		return nonsense(o, "ordering");
	if (o->url[0] == '\0' && a->location[0] == '\0')
		return nonsense(o, "ordering");
	if (o->url[0] == '\0')
		memcpy(o->url, a->location, sizeof(o->url));
	return judge_order(o);
}

static bool
is_ours(const struct order *o, const char *name)
{
	for (size_t i = 0; i < o->n_names; i++)
		if (strcasecmp(o->names[i], name) == 0)
			return true;
	return false;
}

/* Of the types that are offered and may be used, in the order of their enum; after a
 * refusal the next one. */
static bool
choose_challenge(struct order *o)
{
	const struct answer_authorization *z = &o->authorization;
	const struct answer_challenge *fit[TYPES];
	unsigned n = 0;

	for (enum answer_type t = 0; t < TYPES; t++)
		for (size_t i = 0; o->types[t] && i < z->n; i++)
			if (z->challenges[i].type == t && n < TYPES) {
				fit[n++] = &z->challenges[i];
				break;
			}
	if (n == 0)
		return false;
	o->challenge = *fit[o->rounds % n];
	return true;
}

static int
authorization_done(struct order *o)
{
	o->at++;
	return o->at < o->order.n ? ORDER_EV_NEXT : ORDER_EV_AGAIN;
}

static int
authorization_refused(struct order *o)
{
	const struct answer_authorization *z = &o->authorization;
	struct answer_problem p = { .detail = "the authorization is not valid" };
	char what[ANSWER_NAME + 32];

	for (size_t i = 0; i < z->n; i++)
		if (z->challenges[i].problem.detail[0] != '\0')
			p = z->challenges[i].problem;
	snprintf(what, sizeof(what), "%s by %s", z->name,
		 answer_type_name(o->challenge.type));
	o->was_refused_name = true;
	return refused(o, what, &p);
}

static int
take_authorization(struct order *o, const struct client_answer *a)
{
	if (a->status != 200)
		return refused_by(o, "authorization", a);
	if (answer_authorization(&o->authorization, a->body) < 0)
		return nonsense(o, "authorization");
	if (!is_ours(o, o->authorization.name)) {
		because(o, "the authority wants another name to be proved: %s",
			o->authorization.name);
		return ORDER_EV_FAIL;
	}
	if (o->authorization.status == ANSWER_VALID)
		return authorization_done(o);
	if (o->authorization.status != ANSWER_PENDING)
		return authorization_refused(o);
	if (!choose_challenge(o)) {
		because(o,
			"%s: the authority offers no challenge that may be used here: "
			"see certificate.challenge",
			o->authorization.name);
		return ORDER_EV_FAIL;
	}
	return ORDER_EV_ASKED;
}

/* First the challenge itself answers, then the authorization is polled. */
static int
take_validation(struct order *o, const struct client_answer *a)
{
	if (a->status != 200)
		return refused_by(o, "challenge", a);
	if (o->polls > 0) {
		if (answer_authorization(&o->authorization, a->body) < 0)
			return nonsense(o, "authorization");
		if (o->authorization.status == ANSWER_VALID)
			return authorization_done(o);
		if (o->authorization.status == ANSWER_INVALID)
			return authorization_refused(o);
	}
	if (o->polls >= POLLS_MAX) {
		because(o, "%s: the authority does not get to a verdict",
			o->authorization.name);
		return ORDER_EV_FAIL;
	}
	wait_a_while(o);
	return not_an_event();
}

static int
take_finalized(struct order *o, const struct client_answer *a)
{
	if (a->status != 200 && a->status != 201)
		return refused_by(o, "finalizing", a);
	if (answer_order(&o->order, a->body) < 0)
		return nonsense(o, "finalizing");
	return judge_order(o);
}

static bool
has_root(const char *chain, const char *wanted)
{
	struct cert_facts *f = malloc(sizeof(*f));
	bool is_it = f != NULL && cert_read(f, span_str(chain)) == 0 &&
		     strcmp(f->root, wanted) == 0;

	free(f);
	return is_it;
}

static int
take_chain(struct order *o, const struct client_answer *a)
{
	const char *names[ORDER_NAMES];
	size_t n = name_list(o, names);
	char *chain = NULL;
	bool is_first = o->chain == NULL;

	if (a->status != 200)
		return refused_by(o, "fetching", a);
	if (cert_judge(a->body, o->key, names, n, o->now_s, o->why, sizeof(o->why)) <
		    0 ||
	    cert_normal(a->body, &chain) < 0)
		return ORDER_EV_FAIL;
	o->why[0] = '\0';
	if (is_first) {
		o->n_alternates = a->n_alternates;
		memcpy(o->alternates, a->alternates, sizeof(o->alternates));
	}
	bool is_wanted = o->preferred[0] == '\0' || has_root(chain, o->preferred);
	if (is_first || is_wanted) {
		free(o->chain);
		o->chain = chain;
	} else {
		free(chain);
	}
	if (is_wanted)
		return ORDER_EV_GOT;
	if (o->at < o->n_alternates)
		return ORDER_EV_OTHER;
	log_warn(0, "no chain ends in \"%s\": the authority's first one is taken",
		 o->preferred);
	return ORDER_EV_GOT;
}

static int (*const take[ORDER_STATES])(struct order *, const struct client_answer *) = {
	[ORDER_DIRECTORY] = take_directory,   [ORDER_REGISTERING] = take_registration,
	[ORDER_ORDERING] = take_order,        [ORDER_AUTHORIZING] = take_authorization,
	[ORDER_VALIDATING] = take_validation, [ORDER_FINALIZING] = take_finalized,
	[ORDER_FETCHING] = take_chain,
};

static void
on_answer(void *arg, const struct client_answer *a)
{
	struct order *o = arg;
	int ev = ORDER_EV_FAIL;

	o->retry_after_s = a->retry_after_s;
	if (take[o->state] == NULL)
		return;
	if (a->rc == E_STALE) {
		order_event(o, ORDER_EV_STANDBY);
		return;
	}
	if (a->rc < 0) {
		/* What answers wrongly was not reached in any useful sense, but is not
		 * to be asked every few seconds either. */
		o->was_reached = a->rc == E_PROTO || a->rc == E_LIMIT;
		because(o, "%s: %s", o->directory, a->why);
	} else {
		o->was_reached = true;
		ev = take[o->state](o, a);
	}
	if (ev >= 0)
		order_event(o, (enum order_event)ev);
}

/* ---- renewal information ---- */

static void
on_window(void *arg, const struct client_answer *a)
{
	struct order *o = arg;
	struct answer_window w;
	char at[TIME_TEXT];

	if (a->rc < 0 || a->status != 200 || answer_window(&w, a->body) < 0) {
		o->ari_next_s = o->now_s + ARI_FAILED_S;
		log_debug(0, "order: no renewal information: %s",
			  a->rc < 0 ? a->why : "not understood");
		return;
	}
	/* A moment once chosen stays, unless the window moves away from it. */
	if (o->ari_at < w.start || o->ari_at > w.end)
		o->ari_at = renew_in_window(w.start, w.end, o->now_s,
					    o->host->random(o->host->arg));
	o->ari_next_s = o->now_s + renew_ask_again_s(a->retry_after_s);
	log_debug(0, "order: the authority suggests renewal at %s",
		  time_text(o->ari_at, at));
}

static void
on_ari_directory(void *arg, const struct client_answer *a)
{
	struct order *o = arg;
	struct account *k = o->account;

	k->has_directory = a->rc == 0 && a->status == 200 &&
			   answer_directory(&k->directory, a->body) == 0;
	o->ari_next_s = o->now_s + (k->has_directory ? 0 : ARI_FAILED_S);
}

static void
ask_window(struct order *o, const struct order_situation *s)
{
	struct account *k = o->account;
	char url[ANSWER_URL + 160];

	if (strcmp(o->ari_id, s->facts->ari_id) != 0) {
		/* Another certificate. */
		snprintf(o->ari_id, sizeof(o->ari_id), "%s", s->facts->ari_id);
		o->ari_at = o->ari_next_s = 0;
	}
	if (k->is_open || o->now_s < o->ari_next_s || o->ari_id[0] == '\0')
		return;
	o->ari_next_s = o->now_s + ARI_FAILED_S;
	account_point(k, s->directory);
	if (!k->has_directory) {
		(void)account_get(k, s->directory, on_ari_directory, o);
		return;
	}
	if (k->directory.renewal[0] == '\0')
		return;
	snprintf(url, sizeof(url), "%s/%s", k->directory.renewal, o->ari_id);
	if (answer_url_ok(url))
		(void)account_get(k, url, on_window, o);
}

/* ---- looking ---- */

static bool
is_good(const struct order *o, const struct order_situation *s)
{
	return s->has_cert && cert_names_are(s->facts, s->names, s->n_names) &&
	       strcmp(s->cert_directory, s->directory) == 0 &&
	       s->cert_is_rsa == (s->key_type == CERT_KEY_RSA2048);
}

static int64_t
due_at(const struct order *o, const struct order_situation *s)
{
	bool has_window = o->ari_at > 0 && strcmp(o->ari_id, s->facts->ari_id) == 0;

	/* Never so late that it expires. */
	if (has_window && o->ari_at < s->facts->not_after)
		return o->ari_at;
	return s->renew_at;
}

/* An order lives for minutes: it has copies of what it is for. */
static void
remember(struct order *o, const struct order_situation *s)
{
	o->n_names = 0;
	for (size_t i = 0; i < s->n_names && i < ORDER_NAMES; i++) {
		char *to = o->names[o->n_names++];
		/* Authorities want them in small letters. */
		snprintf(to, sizeof(o->names[0]), "%s", s->names[i]);
		for (; *to != '\0'; to++)
			*to = (char)tolower((uint8_t)*to);
	}
	snprintf(o->directory, sizeof(o->directory), "%s", s->directory);
	snprintf(o->preferred, sizeof(o->preferred), "%s", s->preferred);
	snprintf(o->email, sizeof(o->email), "%s", s->email);
	snprintf(o->eab_id, sizeof(o->eab_id), "%s", s->eab_id);
	o->agreed = s->agreed;
	o->key_type = s->key_type;
	memcpy(o->types, s->types, sizeof(o->types));
	o->is_renewal = s->has_cert && cert_names_are(s->facts, s->names, s->n_names);
	o->replaces[0] = '\0';
	if (s->has_cert && strcmp(s->cert_directory, s->directory) == 0)
		snprintf(o->replaces, sizeof(o->replaces), "%s", s->facts->ari_id);
}

static void
go_to(struct order *o, enum order_event ev, enum order_state there, const char *why)
{
	snprintf(o->why, sizeof(o->why), "%s", why != NULL ? why : "");
	if (o->state != there)
		order_event(o, ev);
}

/* By a command of the operator's, which is not broken off. */
static bool
is_taken(const struct account *k)
{
	return k->is_open && k->done != on_window && k->done != on_ari_directory;
}

void
order_look(struct order *o, const struct order_situation *s)
{
	o->now_s = s->now_s;
	if (!s->is_auto) {
		go_to(o, ORDER_EV_OFF, ORDER_OFF, s->off_why);
	} else if (!s->is_ready || !s->is_active) {
		go_to(o, ORDER_EV_STANDBY, ORDER_STANDBY,
		      s->is_ready ? "the other node sees to it"
				  : "no connection to hasync");
	} else if (s->waiting_for != NULL) {
		go_to(o, ORDER_EV_WAIT, ORDER_WAITING, s->waiting_for);
	} else if (!order_is_busy(o)) {
		bool is_enough = is_good(o, s);
		bool is_resting = (o->state == ORDER_FAILED && s->now_s < o->next_s) ||
				  (o->state == ORDER_LIVE && is_enough &&
				   s->now_s < o->rest_s && !o->is_forced);

		if (is_enough)
			o->renew_at = due_at(o, s);
		is_enough = is_enough && s->now_s < o->renew_at && !o->is_forced;
		if (is_enough && !is_resting && o->state != ORDER_LIVE)
			order_event(o, ORDER_EV_HAVE);
		if (is_enough)
			ask_window(o, s);
		if (is_enough || is_resting || is_taken(o->account))
			return;
		remember(o, s);
		account_cancel(o->account); /* renewal information may be on its way */
		order_event(o, ORDER_EV_GO);
	}
}

void
order_now(struct order *o, const struct order_situation *s, bool force)
{
	o->next_s = 0;
	o->is_forced = force;
	order_look(o, s);
	o->is_forced = false;
}

void
order_changed(struct order *o)
{
	o->failures = o->rounds = 0;
	o->next_s = o->rest_s = 0;
	if (order_is_busy(o)) {
		because(o, "the settings have changed");
		order_event(o, ORDER_EV_WAIT);
	}
}

/* ---- what the host brings ---- */

void
order_poll(struct order *o)
{
	order_event(o, ORDER_EV_POLL);
}

void
order_shown(struct order *o, int rc, const char *why)
{
	if (o->state != ORDER_PRESENTING)
		return;
	if (rc < 0) {
		because(o, "%s by %s: %s", o->authorization.name,
			answer_type_name(o->challenge.type), why);
		o->was_refused_name = true;
	}
	order_event(o, rc < 0 ? ORDER_EV_FAIL : ORDER_EV_SHOWN);
}

void
order_secret(struct order *o, const char *secret)
{
	if (o->state != ORDER_REGISTERING)
		return;
	int rc = secret == NULL
			 ? because(o, "the secret that certificate.eab_secret "
				      "names is not there: store it with 'vpnctl "
				      "secret set'")
			 : send_registration(o, secret);
	if (rc == E_STALE)
		order_event(o, ORDER_EV_STANDBY);
	else if (rc < 0) {
		if (o->why[0] == '\0')
			because(o, "%s", err_text(rc));
		order_event(o, ORDER_EV_FAIL);
	}
}

void
order_stored(struct order *o, int rc)
{
	char text[ORDER_WHY], until[TIME_TEXT];
	struct cert_facts *f;

	if (o->state != ORDER_STORING)
		return;
	if (rc < 0 && rc != E_EXIST) {
		because(o, "the certificate cannot be stored: %s", err_text(rc));
		order_event(o, ORDER_EV_FAIL);
		return;
	}
	f = malloc(sizeof(*f));
	if (f != NULL && cert_read(f, span_str(o->chain)) == 0)
		o->rest_s = o->now_s + renew_rest_s(f->not_after - o->now_s);
	if (rc == 0 && f != NULL && o->rest_s > 0) {
		snprintf(text, sizeof(text), "%s issuer=\"%s\" serial=%s until=%s",
			 o->names[0], f->issuer, f->serial,
			 time_text(f->not_after, until));
		o->host->event(o->host->arg,
			       o->is_renewal ? "cert_renewed" : "cert_enrolled", text);
	}
	free(f);
	order_event(o, ORDER_EV_HAVE);
}

/* ---- words ---- */

void
order_text(const struct order *o, char *text, size_t n)
{
	char at[TIME_TEXT];

	switch (o->state) {
	case ORDER_OFF: snprintf(text, n, "off: %s", o->why); break;
	case ORDER_STANDBY: snprintf(text, n, "standby: %s", o->why); break;
	case ORDER_WAITING: snprintf(text, n, "waiting for %s", o->why); break;
	case ORDER_DIRECTORY: snprintf(text, n, "asking the authority"); break;
	case ORDER_REGISTERING: snprintf(text, n, "registering"); break;
	case ORDER_ORDERING:
	case ORDER_AUTHORIZING: snprintf(text, n, "ordering"); break;
	case ORDER_PRESENTING:
		snprintf(text, n, "preparing %s for %s",
			 answer_type_name(o->challenge.type), o->authorization.name);
		break;
	case ORDER_VALIDATING:
		snprintf(text, n, "validating %s by %s", o->authorization.name,
			 answer_type_name(o->challenge.type));
		break;
	case ORDER_FINALIZING: snprintf(text, n, "finalizing"); break;
	case ORDER_FETCHING:
	case ORDER_STORING: snprintf(text, n, "fetching"); break;
	case ORDER_LIVE:
		snprintf(text, n, "live, renewal at %s", time_text(o->renew_at, at));
		break;
	case ORDER_FAILED:
		snprintf(text, n, "failed: %s; next try at %s", o->why,
			 time_text(o->next_s, at));
		break;
	default: snprintf(text, n, "?"); break;
	}
}

void
order_init(struct order *o, const struct order_host *host, struct account *a)
{
	*o = (struct order){ .host = host, .account = a, .state = ORDER_WAITING };
	snprintf(o->why, sizeof(o->why), "the first look");
}

void
order_free(struct order *o)
{
	EVP_PKEY_free(o->key);
	free(o->chain);
	o->key = NULL;
	o->chain = NULL;
}
