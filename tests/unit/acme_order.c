/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The life of the automatic certificate, with answers by script: the authority here is
 * a few functions, time and chance are arguments. */
#include "acme/order.h"
#include "common/b64.h"
#include "common/err.h"
#include "tests/lib/tap.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { NOW = 1900000000 };

static const char dir_url[] = "https://ca.test/dir";
static const char dir_json[] =
	"{\"newNonce\":\"https://ca.test/n\",\"newAccount\":\"https://ca.test/a\","
	"\"newOrder\":\"https://ca.test/o\",\"revokeCert\":\"https://ca.test/r\","
	"\"keyChange\":\"https://ca.test/k\"}";

/* What the order asked its host for. */
struct world {
	struct account account;
	struct order order;
	struct account_host account_host;
	struct order_host host;
	struct order_situation s;
	int send_rc;
	unsigned sent, shown, withdrawn, kept, stored, secrets;
	enum client_verb verb;
	char url[ANSWER_URL], body[8192];
	uint64_t timer_ms;
	uint32_t random;
	enum answer_type type;
	char name[ANSWER_NAME], events[2048], chain[8192];
	bool is_first;
	int64_t renew_at;
};

static int
send_it(void *arg, const struct client_request *q)
{
	struct world *w = arg;

	if (w->send_rc < 0)
		return w->send_rc;
	w->sent++;
	w->verb = q->verb;
	snprintf(w->url, sizeof(w->url), "%s", q->url);
	snprintf(w->body, sizeof(w->body), "%.*s", (int)q->body.n,
		 q->body.n > 0 ? (const char *)q->body.p : "");
	return 0;
}

static void
cancel_it(void *arg)
{
}

static void
set_timer(void *arg, uint64_t ms)
{
	((struct world *)arg)->timer_ms = ms;
}

static uint32_t
get_random(void *arg)
{
	return ((struct world *)arg)->random;
}

static EVP_PKEY *
old_key(void *arg)
{
	return NULL;
}

static int
secret(void *arg)
{
	((struct world *)arg)->secrets++;
	return 0;
}

static int
show_it(void *arg, const struct order_challenge *c)
{
	struct world *w = arg;

	w->shown++;
	w->type = c->type;
	snprintf(w->name, sizeof(w->name), "%s", c->name);
	return 0;
}

static void
withdraw_it(void *arg)
{
	((struct world *)arg)->withdrawn++;
}

static void
keep_it(void *arg, const struct account *a)
{
	((struct world *)arg)->kept++;
}

static int
store_it(void *arg, const struct order_result *r)
{
	struct world *w = arg;

	w->stored++;
	w->is_first = r->is_first;
	w->renew_at = r->renew_at;
	snprintf(w->chain, sizeof(w->chain), "%s", r->chain);
	return 0;
}

static void
event_it(void *arg, const char *event, const char *text)
{
	struct world *w = arg;
	size_t n = strlen(w->events);

	snprintf(w->events + n, sizeof(w->events) - n, "%s ", event);
}

static struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		exit(1);
	w->account_host = (struct account_host){ w, send_it, cancel_it };
	w->host = (struct order_host){ w,        set_timer, get_random,  old_key,
				       secret,   show_it,   withdraw_it, keep_it,
				       store_it, event_it };
	w->s = (struct order_situation){
		.now_s = NOW,
		.is_auto = true,
		.is_ready = true,
		.is_active = true,
		.names = { "vpn.test" },
		.n_names = 1,
		.directory = dir_url,
		.types = { [TYPE_ALPN] = true, [TYPE_HTTP] = true },
		.preferred = "",
		.email = "",
		.eab_id = "",
		.agreed = true,
	};
	account_init(&w->account, &w->account_host);
	order_init(&w->order, &w->host, &w->account);
	return w;
}

static void
world_free(struct world *w)
{
	order_free(&w->order);
	account_free(&w->account);
	free(w);
}

static void
reply(struct world *w, int status, const char *location, const char *body)
{
	struct client_answer a = { .status = status, .body = span_str(body) };

	if (strcmp(w->url, dir_url) != 0)
		strcpy(a.nonce, "nonce");
	snprintf(a.location, sizeof(a.location), "%s", location);
	account_answer(&w->account, &a);
}

static void
reply_unreached(struct world *w)
{
	struct client_answer a = { .rc = E_CLOSED, .why = "no route" };

	account_answer(&w->account, &a);
}

static void
problem(struct world *w, int status, const char *type)
{
	char body[256];

	snprintf(body, sizeof(body),
		 "{\"type\":\"urn:ietf:params:acme:error:%s\",\"detail\":\"because\"}",
		 type);
	reply(w, status, "", body);
}

/* The payload of the last request. */
static json_t *
sent(const struct world *w)
{
	static uint8_t text[8192];
	json_t *o = json_loads(w->body, 0, NULL), *p;
	struct wr out = wr_open(text, sizeof(text));

	b64url_decode(&out, span_str(json_string_value(json_object_get(o, "payload"))));
	p = json_loadb((char *)text, out.n, 0, NULL);
	json_decref(o);
	return p;
}

#define ORDER(status, more)                                                            \
	"{\"status\":\"" status "\",\"authorizations\":[\"https://ca.test/z1\"],"      \
	"\"finalize\":\"https://ca.test/f\"" more "}"
#define AUTHZ(status, more)                                                            \
	"{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":"       \
	"\"vpn.test\"},\"challenges\":[{\"type\":\"http-01\",\"url\":"                 \
	"\"https://ca.test/c1\",\"token\":\"tokenhttp\"" more "},{\"type\":"           \
	"\"tls-alpn-01\",\"url\":\"https://ca.test/c2\",\"token\":\"tokenalpn\"}]}"

/* Up to an order that is there. */
static void
to_ordering(struct world *w)
{
	order_look(&w->order, &w->s);
	reply(w, 200, "", dir_json);
	reply(w, 200, "", ""); /* a nonce */
	reply(w, 201, "https://ca.test/acct/1", "{\"status\":\"valid\"}");
}

static void
to_validating(struct world *w)
{
	to_ordering(w);
	reply(w, 201, "https://ca.test/o/1", ORDER("pending", ""));
	reply(w, 200, "", AUTHZ("pending", ""));
	order_shown(&w->order, 0, "");
}

static enum order_state
state(const struct world *w)
{
	return w->order.state;
}

/* The certificate that an honest authority would make of the request. */
static char *
issue(const struct world *w, EVP_PKEY *key, int64_t now)
{
	static const char *const names[] = { "vpn.test" };
	char *pem = NULL;

	if (cert_self_signed(key, names, 1, now, 90, &pem) < 0)
		exit(1);
	return pem;
}

static void
to_live(struct world *w)
{
	to_validating(w);
	reply(w, 200, "", "{}");
	order_poll(&w->order);
	reply(w, 200, "", AUTHZ("valid", ""));
	reply(w, 200, "", ORDER("ready", ""));
	reply(w, 200, "", ORDER("valid", ",\"certificate\":\"https://ca.test/cert\""));
	char *pem = issue(w, w->order.key, NOW);
	reply(w, 200, "", pem);
	free(pem);
}

static void
an_order_goes_from_nothing_to_a_certificate(void)
{
	struct world *w = world_new();

	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_DIRECTORY, "the directory first");
	is_str(w->url, dir_url, "is asked for");
	reply(w, 200, "", dir_json);
	is_int(state(w), ORDER_REGISTERING, "then an account is made");
	is_str(w->url, "https://ca.test/n", "with a nonce that is fetched");
	reply(w, 200, "", "");
	is_str(w->url, "https://ca.test/a", "at the directory's place for it");
	reply(w, 201, "https://ca.test/acct/1", "{}");
	is_int(w->kept, 1, "which is kept");
	is_int(state(w), ORDER_ORDERING, "then the order");
	json_t *p = sent(w);
	is_str(json_string_value(json_object_get(
		       json_array_get(json_object_get(p, "identifiers"), 0), "value")),
	       "vpn.test", "for the name");
	json_decref(p);
	reply(w, 201, "https://ca.test/o/1", ORDER("pending", ""));
	is_int(state(w), ORDER_AUTHORIZING, "what is to be proved?");
	reply(w, 200, "", AUTHZ("pending", ""));
	is_int(state(w), ORDER_PRESENTING, "something");
	ok(w->shown == 1 && w->type == TYPE_ALPN, "tls-alpn-01 comes before http-01");
	unsigned before = w->sent;
	reply(w, 200, "", AUTHZ("valid", ""));
	is_int(w->sent, before, "nobody is told before it is in place");
	order_shown(&w->order, 0, "");
	is_int(state(w), ORDER_VALIDATING, "then the authority is");
	is_str(w->url, "https://ca.test/c2", "at the challenge");
	p = sent(w);
	ok(json_is_object(p) && json_object_size(p) == 0, "with an empty object");
	json_decref(p);
	reply(w, 200, "", "{\"status\":\"processing\"}");
	is_int(w->timer_ms, 200, "looked at again after 200 ms");
	order_poll(&w->order);
	reply(w, 200, "", AUTHZ("pending", ""));
	is_int(w->timer_ms, 400, "then 400");
	order_poll(&w->order);
	unsigned withdrawn = w->withdrawn;
	reply(w, 200, "", AUTHZ("valid", ""));
	ok(w->withdrawn > withdrawn, "proved: the answer is taken away");
	is_str(w->url, "https://ca.test/o/1", "and the order looked at");
	reply(w, 200, "", ORDER("pending", ""));
	is_int(state(w), ORDER_ORDERING, "which takes a moment");
	order_poll(&w->order);
	reply(w, 200, "", ORDER("ready", ""));
	is_int(state(w), ORDER_FINALIZING, "the request is sent");
	p = sent(w);
	ok(json_is_string(json_object_get(p, "csr")), "as csr");
	json_decref(p);
	reply(w, 200, "", ORDER("processing", ""));
	order_poll(&w->order);
	reply(w, 200, "", ORDER("valid", ",\"certificate\":\"https://ca.test/cert\""));
	is_int(state(w), ORDER_FETCHING, "issued");
	char *pem = issue(w, w->order.key, NOW);
	reply(w, 200, "", pem);
	is_int(state(w), ORDER_STORING, "and stored");
	ok(w->is_first && strcmp(w->chain, pem) == 0, "as the first one");
	ok(w->renew_at > NOW + 55LL * 86400 && w->renew_at <= NOW + 60LL * 86400,
	   "R42 to be renewed before two thirds of its life");
	order_stored(&w->order, 0);
	is_int(state(w), ORDER_LIVE, "R39 live");
	is_str(w->events, "cert_enrolled ", "one event");
	free(pem);
	world_free(w);
}

static void
preconditions_hold_it_back(void)
{
	struct world *w = world_new();
	char text[ORDER_WHY];

	w->s.waiting_for = "a ddns section";
	order_look(&w->order, &w->s);
	order_text(&w->order, text, sizeof(text));
	is_str(text, "waiting for a ddns section", "R27 said so");
	is_int(w->sent, 0, "R27 nothing is asked");
	w->s.waiting_for = NULL;
	w->s.is_active = false;
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_STANDBY, "not the active node");
	w->s.is_ready = false;
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_STANDBY, "nor without hasync");
	w->s.is_auto = false;
	w->s.off_why = "method custom";
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_OFF, "nor with another method");
	is_int(w->sent, 0, "still nothing");
	world_free(w);
}

static void
losing_the_role_ends_it_anywhere(void)
{
	struct world *w = world_new();

	to_validating(w);
	w->s.is_active = false;
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_STANDBY, "at once");
	is_int(w->timer_ms, 0, "no timer is left");
	ok(!w->account.is_open, "no request is");
	order_poll(&w->order);
	order_shown(&w->order, 0, "");
	order_stored(&w->order, 0);
	is_int(state(w), ORDER_STANDBY, "what comes late changes nothing");
	is_str(w->events, "", "and is no failure");
	w->s.is_active = true;
	w->send_rc = E_STALE; /* another epoch, before we were told */
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_STANDBY,
	       "a request that is not ours to make is not one");
	world_free(w);
}

static void
nonces_are_repeated_from_the_refusal(void)
{
	struct world *w = world_new();

	to_ordering(w);
	for (int i = 0; i < 20; i++) {
		problem(w, 400, "badNonce");
		ok(w->verb == CLIENT_POST && strcmp(w->url, "https://ca.test/o") == 0,
		   "refusal %d: sent again, with the nonce that came with it", i + 1);
	}
	for (int i = 0; i < 20 && state(w) == ORDER_ORDERING; i++)
		problem(w, 400, "badNonce");
	is_int(state(w), ORDER_FAILED, "but not for ever");
	world_free(w);
}

static void
a_vanished_account_is_made_again(void)
{
	struct world *w = world_new();

	to_ordering(w);
	problem(w, 400, "accountDoesNotExist");
	is_int(state(w), ORDER_FAILED, "not by one that was made a moment ago");
	order_now(&w->order, &w->s, false);
	reply(w, 200, "", dir_json);
	is_int(state(w), ORDER_REGISTERING, "it is made again");
	reply(w, 201, "https://ca.test/acct/2", "{}");
	w->order.has_registered = false; /* as it would be on another day */
	problem(w, 400, "accountDoesNotExist");
	is_int(state(w), ORDER_REGISTERING, "and when it vanishes later");
	reply(w, 201, "https://ca.test/acct/3", "{}");
	is_int(state(w), ORDER_ORDERING, "the order goes on");
	w->order.has_registered = false;
	char was[JWS_THUMBPRINT];
	memcpy(was, w->account.thumbprint, sizeof(was));
	problem(w, 403, "unauthorized");
	is_int(state(w), ORDER_REGISTERING, "one that is not accepted is replaced");
	ok(strcmp(was, w->account.thumbprint) != 0, "with a new key");
	world_free(w);
}

static void
each_challenge_is_tried_once_then_waits_grow(void)
{
	struct world *w = world_new();
	static const char refused[] =
		AUTHZ("invalid", ",\"error\":{\"detail\":\"not found\"}");

	to_validating(w);
	reply(w, 200, "", "{}");
	order_poll(&w->order);
	reply(w, 200, "", refused);
	is_int(state(w), ORDER_FAILED, "refused");
	ok(strstr(w->order.why, "not found") != NULL, "with the authority's reason");
	is_int(w->order.next_s, NOW + 5, "the other challenge soon");
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_FAILED, "not before that");
	int64_t waits[3];
	for (int i = 0; i < 3; i++) {
		w->s.now_s = w->order.next_s;
		order_look(&w->order, &w->s);
		reply(w, 200, "", dir_json);
		reply(w, 201, "https://ca.test/o/2", ORDER("pending", ""));
		reply(w, 200, "", AUTHZ("pending", ""));
		if (i == 0)
			is_int(w->type, TYPE_HTTP, "it is http-01");
		order_shown(&w->order, 0, "");
		reply(w, 200, "", "{}");
		order_poll(&w->order);
		reply(w, 200, "", refused);
		waits[i] = w->order.next_s - w->s.now_s;
	}
	ok(waits[0] >= 60 && waits[1] > waits[0] && waits[2] > waits[1],
	   "then the wait is long and grows: %d %d %d", (int)waits[0], (int)waits[1],
	   (int)waits[2]);
	order_changed(&w->order);
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_DIRECTORY, "new settings end it");
	reply_unreached(w);
	is_int(w->order.next_s, w->s.now_s + 5, "nobody there: soon again");
	world_free(w);
}

static void
what_is_live_stays_until_it_is_due(void)
{
	struct world *w = world_new();
	struct cert_facts f = { .not_before = NOW,
				.not_after = NOW + 90LL * 86400,
				.names = { "vpn.test" },
				.n_names = 1 };

	w->s.has_cert = true;
	w->s.facts = &f;
	w->s.cert_directory = dir_url;
	w->s.renew_at = NOW + 1000;
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_LIVE, "live");
	w->s.now_s = NOW + 999;
	order_look(&w->order, &w->s);
	is_int(w->sent, 0, "nothing is asked");
	w->s.names[0] = "other.test";
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_DIRECTORY, "R28 another name: a new one");
	order_changed(&w->order);
	w->s.names[0] = "vpn.test";
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_LIVE, "and back");
	w->s.now_s = NOW + 1000;
	order_look(&w->order, &w->s);
	is_int(state(w), ORDER_DIRECTORY, "R42 due");
	ok(w->order.is_renewal, "a renewal");
	reply_unreached(w);
	is_int(state(w), ORDER_FAILED, "that fails");
	order_now(&w->order, &w->s, false);
	is_int(state(w), ORDER_DIRECTORY, "is tried again at the operator's word");
	world_free(w);
}

static void
what_others_stored_first_counts(void)
{
	struct world *w = world_new();

	to_live(w);
	is_int(state(w), ORDER_STORING, "about to be stored");
	order_stored(&w->order, E_EXIST);
	is_int(state(w), ORDER_LIVE, "the other one's is live");
	is_str(w->events, "", "ours is told to nobody");
	world_free(w);
	w = world_new();
	to_live(w);
	order_stored(&w->order, E_CLOSED);
	is_int(state(w), ORDER_FAILED, "a store that does not take it is a failure");
	world_free(w);
}

static void
bindings_and_terms_are_asked_for(void)
{
	struct world *w = world_new();

	w->s.agreed = false;
	order_look(&w->order, &w->s);
	char with_terms[512];
	snprintf(with_terms, sizeof(with_terms),
		 "%.*s,\"meta\":{\"termsOfService\":\"https://ca.test/t\"}}",
		 (int)strlen(dir_json) - 1, dir_json);
	reply(w, 200, "", with_terms);
	ok(state(w) == ORDER_FAILED && strstr(w->order.why, "agree_tos") != NULL,
	   "terms that are not agreed to");
	w->s.agreed = true;
	w->s.eab_id = "kid";
	order_now(&w->order, &w->s, false);
	reply(w, 200, "", with_terms);
	is_int(w->secrets, 1, "the binding's secret is asked for");
	order_secret(&w->order, NULL);
	ok(state(w) == ORDER_FAILED && strstr(w->order.why, "vpnctl secret") != NULL,
	   "it is not there");
	order_now(&w->order, &w->s, false);
	reply(w, 200, "", with_terms);
	order_secret(&w->order, "c2VjcmV0");
	reply(w, 200, "", "");
	json_t *p = sent(w);
	ok(json_is_true(json_object_get(p, "termsOfServiceAgreed")) &&
		   json_is_object(json_object_get(p, "externalAccountBinding")),
	   "both are sent");
	json_decref(p);
	world_free(w);
}

int
main(void)
{
	an_order_goes_from_nothing_to_a_certificate();
	preconditions_hold_it_back();
	losing_the_role_ends_it_anywhere();
	nonces_are_repeated_from_the_refusal();
	a_vanished_account_is_made_again();
	each_challenge_is_tried_once_then_waits_grow();
	what_is_live_stays_until_it_is_due();
	what_others_stored_first_counts();
	bindings_and_terms_are_asked_for();
	return done_testing();
}
