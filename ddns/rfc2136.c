/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* rfc2136.c -- signed dynamic updates (RFC 2136, RFC 8945). */
#include "ddns/rfc2136.h"

#include "common/err.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
	CLOCK_WAIT_S = 60,
	SERVER_WAIT_S = 600, /* somebody has to change something at the server */
	SECRET_WAIT_S = 1800,
};

enum step { STEP_LOOK, STEP_UPDATE, STEP_PROBE };

struct update {
	struct call call;
	struct rfc2136_ask ask;
	struct account account;
	char secret[EXCHANGE_SECRET];
	struct message_key key;
	struct message message;
	char name[CONFIG_HOST]; /* the one it is about, for the text */
	enum step step;
	struct exchange *x;
};

/* ---- what an answer means ---- */

static const char *
time_text(uint64_t s, char buf[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return buf;
}

static void
judge_failure(const struct account *a, int rc, struct verdict *v)
{
	switch (rc) {
	case E_STALE:
		verdict_say(v, VERDICT_STALE, "this node is not the active one");
		break;
	case E_AUTH:
		verdict_say(v, VERDICT_RETRY,
			    "answers of server %s were not signed with key %s and not "
			    "believed",
			    a->server, a->key_name);
		break;
	case E_NOENT:
		verdict_say(v, VERDICT_RETRY,
			    "the name of server %s has no address: check the setting "
			    "server and this machine's resolver",
			    a->server);
		break;
	case E_PROTO:
	case E_LIMIT:
		verdict_say(v, VERDICT_RETRY, "server %s port %u answered no DNS: %s",
			    a->server, a->port, err_text(rc));
		break;
	default:
		verdict_say(v, VERDICT_RETRY,
			    "server %s port %u does not answer by UDP or TCP: %s",
			    a->server, a->port, err_text(rc));
	}
}

static void
wait_for(struct verdict *v, unsigned wait_s)
{
	v->kind = VERDICT_SLOW;
	v->wait_s = wait_s;
}

void
rfc2136_judge(const struct account *acc, const char *name, int rc,
	      const struct answer *a, bool key_is_known, uint64_t now_s,
	      struct verdict *v)
{
	const char *server = acc->server, *key = acc->key_name, *zone = acc->zone;
	char ours[32], theirs[32], code[24];

	if (rc < 0) {
		judge_failure(acc, rc, v);
		return;
	}
	switch (a->kind) {
	case ANSWER_GOOD: verdict_say(v, VERDICT_GOOD, "%s", ""); break;
	case ANSWER_UNKNOWN_KEY:
		if (key_is_known)
			goto not_allowed;
		verdict_say(v, VERDICT_SLOW,
			    "server %s does not know the key %s, or lets it change "
			    "nothing in zone %s: add it there, or set key_name and "
			    "key_algorithm as they are there",
			    server, key, zone);
		wait_for(v, SERVER_WAIT_S);
		break;
	case ANSWER_WRONG_SECRET:
		verdict_say(v, VERDICT_SLOW,
			    "server %s has another secret for key %s: store the right "
			    "one with \"vpnctl secret set %s\"",
			    server, key, acc->secret);
		wait_for(v, SECRET_WAIT_S);
		break;
	case ANSWER_CLOCK: {
		uint64_t apart =
			a->server_s > now_s ? a->server_s - now_s : now_s - a->server_s;
		verdict_say(v, VERDICT_SLOW,
			    "the clocks differ by %llu s, %d s are allowed: here it is "
			    "%s, at server %s %s; set the wrong one",
			    (unsigned long long)apart, MESSAGE_FUDGE_S,
			    time_text(now_s, ours), server,
			    time_text(a->server_s, theirs));
		wait_for(v, CLOCK_WAIT_S);
		break;
	}
	case ANSWER_REFUSED:
	not_allowed:
		verdict_say(v, VERDICT_SLOW,
			    "key %s may not change %s at server %s: allow it there%s",
			    key, name, server,
			    a->kind == ANSWER_REFUSED && !a->is_signed
				    ? " (the refusal was not signed)"
				    : "");
		wait_for(v, SERVER_WAIT_S);
		break;
	case ANSWER_NOT_AUTH:
		verdict_say(
			v, VERDICT_SLOW,
			"server %s is not the primary of zone %s: check the settings "
			"server and zone",
			server, zone);
		wait_for(v, SERVER_WAIT_S);
		break;
	case ANSWER_NOT_ZONE:
		verdict_say(v, VERDICT_SLOW,
			    "%s is outside of zone %s at server %s: check the setting "
			    "zone",
			    name, zone, server);
		wait_for(v, SERVER_WAIT_S);
		break;
	case ANSWER_TRUNCATED_MAC:
	case ANSWER_NO_NAME:
	case ANSWER_FAILED:
	case ANSWER_OTHER:
	default:
		verdict_say(v, VERDICT_RETRY, "server %s could not do it: %s%s", server,
			    message_rcode_text(a->rcode, code),
			    a->kind == ANSWER_TRUNCATED_MAC ? " (BADTRUNC)" : "");
	}
}

static void
judge_look(const struct update *u, int rc, const struct answer *a, struct verdict *v)
{
	const struct account *acc = &u->account;
	char code[24];

	if (rc < 0) {
		judge_failure(acc, rc, v);
		return;
	}
	if ((a->kind == ANSWER_GOOD || a->kind == ANSWER_NO_NAME) &&
	    a->is_authoritative) {
		verdict_say(v, VERDICT_GOOD, "%s", "");
		return;
	}
	if (a->kind == ANSWER_FAILED || a->kind == ANSWER_OTHER) {
		verdict_say(v, VERDICT_RETRY,
			    "server %s could not tell what zone %s holds: %s",
			    acc->server, acc->zone, message_rcode_text(a->rcode, code));
		return;
	}
	verdict_say(v, VERDICT_SLOW,
		    "server %s is not authoritative for zone %s (%s): check the "
		    "settings server and zone",
		    acc->server, acc->zone, message_rcode_text(a->rcode, code));
	wait_for(v, SERVER_WAIT_S);
}

/* ---- one question ---- */

static void
update_free(struct update *u)
{
	OPENSSL_cleanse(u->secret, sizeof(u->secret));
	free(u);
}

static void
cancel(struct call *c)
{
	struct update *u = (struct update *)c;

	exchange_cancel(u->x);
	update_free(u);
}

static void
finish(struct update *u, const struct verdict *v, const struct answer *a)
{
	struct rfc2136_ask ask = u->ask;

	u->x = NULL;
	update_free(u);
	ask.done(ask.arg, v, a);
}

static void on_answer(void *arg, int rc, const struct answer *a);

/* The exchange's arg is ours, so the caller's question goes by way of us. */
static bool
may_send(void *arg)
{
	struct update *u = arg;

	return u->ask.may_send == NULL || u->ask.may_send(u->ask.arg);
}

static int
send_message(struct update *u)
{
	struct exchange_ask ask = {
		.server = u->account.server,
		.port = u->account.port,
		.message = &u->message,
		.key = u->step == STEP_LOOK ? NULL : &u->key,
		.may_send = u->step != STEP_LOOK ? may_send : NULL,
		.done = on_answer,
		.arg = u,
		.counts = u->ask.counts,
	};

	return exchange_start(&u->x, u->ask.loop, &ask);
}

static uint16_t
new_id(void)
{
	uint16_t id = 0;

	/* Both are unpredictable; getrandom does not fail once the machine is up. */
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		id = (uint16_t)(uv_hrtime() >> 3);
	return id;
}

/* knot says BADKEY also to a key it knows when that may not do what it asks for. An
 * update without changes tells the two apart, where the key may do anything at all. */
static int
probe(struct update *u)
{
	int rc = message_update(&u->message, u->account.zone, NULL, 0, new_id(),
				&u->key);

	u->step = STEP_PROBE;
	return rc < 0 ? rc : send_message(u);
}

static void
on_answer(void *arg, int rc, const struct answer *a)
{
	struct update *u = arg;
	uint64_t now_s = (uint64_t)time(NULL);
	struct verdict v;

	u->x = NULL;
	if (u->step == STEP_UPDATE && rc == 0 && a->kind == ANSWER_UNKNOWN_KEY &&
	    probe(u) == 0)
		return;
	if (u->step == STEP_LOOK) {
		judge_look(u, rc, a, &v);
		finish(u, &v, v.kind == VERDICT_GOOD ? a : NULL);
		return;
	}
	if (u->step == STEP_PROBE) {
		struct answer was = { .kind = ANSWER_UNKNOWN_KEY };
		bool is_known = rc == 0 && a->is_signed;
		rfc2136_judge(&u->account, u->name, 0, &was, is_known, now_s, &v);
	} else {
		rfc2136_judge(&u->account, u->name, rc, a, false, now_s, &v);
	}
	finish(u, &v, NULL);
}

static int
begin(struct update **out, const struct rfc2136_ask *ask, enum step step)
{
	struct update *u = calloc(1, sizeof(*u));

	*out = NULL;
	if (u == NULL)
		return E_NOMEM;
	u->call.cancel = cancel;
	u->ask = *ask;
	u->account = *ask->account;
	u->step = step;
	snprintf(u->secret, sizeof(u->secret), "%s", ask->secret ? ask->secret : "");
	u->key = (struct message_key){ u->account.key_name,
				       u->account.algorithm == DDNS_SHA512, u->secret };
	*out = u;
	return 0;
}

int
rfc2136_update(struct call **out, const struct rfc2136_ask *ask,
	       const struct change *change, size_t n)
{
	struct update *u;
	int rc = begin(&u, ask, STEP_UPDATE);

	*out = NULL;
	if (rc < 0)
		return rc;
	snprintf(u->name, sizeof(u->name), "%s",
		 n > 0 ? change[0].name : ask->account->zone);
	rc = message_update(&u->message, u->account.zone, change, n, new_id(), &u->key);
	if (rc == 0)
		rc = send_message(u);
	if (rc < 0) {
		update_free(u);
		return rc;
	}
	*out = &u->call;
	return 0;
}

int
rfc2136_look(struct call **out, const struct rfc2136_ask *ask, const char *name,
	     enum message_type type)
{
	struct update *u;
	int rc = begin(&u, ask, STEP_LOOK);

	*out = NULL;
	if (rc < 0)
		return rc;
	snprintf(u->name, sizeof(u->name), "%s", name);
	rc = message_query(&u->message, name, type, new_id(), NULL);
	if (rc == 0)
		rc = send_message(u);
	if (rc < 0) {
		update_free(u);
		return rc;
	}
	*out = &u->call;
	return 0;
}

/* ---- the provider ---- */

/* A call around a call: it knows whose record it is. */
struct job {
	struct call call;
	struct provider_ask ask;
	struct call *inner;
};

static void
job_cancel(struct call *c)
{
	struct job *j = (struct job *)c;

	call_cancel(j->inner);
	free(j);
}

static bool
job_may_send(void *arg)
{
	struct job *j = arg;

	return j->ask.may_send == NULL || j->ask.may_send(j->ask.arg);
}

static void
on_job(void *arg, const struct verdict *v, const struct answer *a)
{
	struct job *j = arg;
	struct provider_ask ask = j->ask;
	struct holding h = { .n = 0 };

	free(j);
	if (a != NULL) {
		h = (struct holding){ .is_authoritative = a->is_authoritative,
				      .is_alias = a->is_alias,
				      .n = a->n_addr,
				      .ttl_s = a->ttl_s };
		memcpy(h.addr, a->addr, sizeof(h.addr));
	}
	ask.done(ask.arg, v, a != NULL ? &h : NULL);
}

static int
job_begin(struct call **out, const struct provider_ask *ask, struct job **job,
	  struct rfc2136_ask *inner)
{
	struct job *j = calloc(1, sizeof(*j));

	*out = NULL;
	*job = j;
	if (j == NULL)
		return E_NOMEM;
	j->call.cancel = job_cancel;
	j->ask = *ask;
	*inner = (struct rfc2136_ask){ .loop = ask->loop,
				       .account = &ask->record->account,
				       .secret = ask->secret,
				       .may_send = job_may_send,
				       .done = on_job,
				       .arg = j,
				       .counts = ask->counts };
	return 0;
}

static int
job_end(struct call **out, struct job *j, int rc)
{
	if (rc < 0)
		free(j);
	else
		*out = &j->call;
	return rc;
}

static enum message_type
type_of(const struct record *r)
{
	return r->address.family == 6 ? MESSAGE_AAAA : MESSAGE_A;
}

static int
zone_read(struct call **out, const struct provider_ask *ask)
{
	struct rfc2136_ask inner;
	struct job *j;
	int rc = job_begin(out, ask, &j, &inner);

	if (rc < 0)
		return rc;
	return job_end(out, j,
		       rfc2136_look(&j->inner, &inner, ask->record->name,
				    type_of(ask->record)));
}

static int
zone_change(struct call **out, const struct provider_ask *ask, size_t n)
{
	const struct record *r = ask->record;
	struct rfc2136_ask inner;
	char address[IP_TEXT];
	struct change change[] = {
		{ .kind = CHANGE_CLEAR, .name = r->name, .type = type_of(r) },
		{ .kind = CHANGE_ADD,
		  .name = r->name,
		  .type = type_of(r),
		  .ttl_s = r->ttl_s,
		  .data = address },
	};
	struct job *j;
	int rc = job_begin(out, ask, &j, &inner);

	if (rc < 0)
		return rc;
	ip_text(&r->address, address);
	return job_end(out, j, rfc2136_update(&j->inner, &inner, change, n));
}

/* Old out and new in with one packet: there is no moment without a record. */
static int
zone_write(struct call **out, const struct provider_ask *ask)
{
	return zone_change(out, ask, 2);
}

static int
zone_remove(struct call **out, const struct provider_ask *ask)
{
	return zone_change(out, ask, 1);
}

const struct provider provider_rfc2136 = { .name = "rfc2136",
					   .can_remove = true,
					   .read = zone_read,
					   .write = zone_write,
					   .remove = zone_remove };
