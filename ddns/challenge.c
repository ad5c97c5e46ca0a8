/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/challenge.h"

#include "common/err.h"
#include "common/log.h"
#include "ddns/rfc2136.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	CHALLENGES = 32, /* at the same time; more are not heard of */
	ID_TEXT = 64,
	OBJECT_MAX = 4096,
	TTL_S = 60,
	TRIES = 8,      /* of all steps together, before it is given up */
	AGAIN_MS = 250, /* doubles */
	RETRY_REMOVE_MS = 30 * 1000,
};

static const char asked_prefix[] = "acme/challenge/",
		  answer_prefix[] = "ddns/challenge/", label[] = "_acme-challenge.";

enum step { STEP_IDLE, STEP_PROVE, STEP_ADD, STEP_LOOK, STEP_PROVE_DROP, STEP_DROP };

struct text {
	char name[MESSAGE_NAME], value[MESSAGE_TEXT];
};

struct entry {
	struct challenges *all;
	char id[ID_TEXT]; /* "": free */
	bool is_asked, is_answered;
	struct text asked, answered;
	enum step step;
	unsigned tries;
	uint64_t epoch;
	struct account account;
	struct call *call;
	struct store_wait *wait;
	uv_timer_t timer;
};

struct challenges {
	uv_loop_t *loop;
	struct store *store;
	struct exchange_counts *counts;
	const struct config *config;
	bool is_active;
	unsigned open; /* timers not closed yet */
	struct entry entry[CHALLENGES];
};

static void step_on(struct entry *e);

static void
let_go(struct entry *e)
{
	call_cancel(e->call);
	store_cancel(e->wait);
	e->call = NULL;
	e->wait = NULL;
	e->step = STEP_IDLE;
	uv_timer_stop(&e->timer);
}

/* ---- where the name is kept ---- */

static bool
is_in(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	return z > 0 && n >= z && strcasecmp(name + n - z, zone) == 0 &&
	       (n == z || name[n - z - 1] == '.');
}

/* The section of that name, else any whose zone has it. */
static const struct config_ddns *
section_for(const struct config *c, const char *name)
{
	const struct config_ddns *any = NULL;
	size_t n = sizeof(label) - 1;
	const char *host = strncasecmp(name, label, n) == 0 ? name + n : name;

	for (unsigned i = 0; c != NULL && i < c->n_ddns; i++) {
		const struct config_ddns *d = &c->ddns[i];
		const char *kept = config_wan_name(c, d->wan);
		if (d->provider != DDNS_RFC2136 || !is_in(name, d->zone))
			continue;
		if (kept != NULL && strcasecmp(kept, host) == 0)
			return d;
		any = d;
	}
	return any;
}

/* ---- answers ---- */

static void
put_answer(struct entry *e, const char *error)
{
	char object[CLUSTER_NAME_MAX + 1];
	json_t *o =
		json_pack("{ss ss}", "name", e->asked.name, "value", e->asked.value);

	if (error != NULL)
		json_object_set_new(o, "error", json_string(error));
	else
		json_object_set_new(o, "done", json_true());
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	snprintf(object, sizeof(object), "%s%s", answer_prefix, e->id);
	if (text != NULL)
		(void)store_put(e->all->store, object, text, NULL, NULL, NULL);
	free(text);
	json_decref(o);
	e->answered = e->asked;
	e->is_answered = true;
	if (error != NULL)
		log_warn(0, "challenge %s: %s TXT: %s", e->id, e->asked.name, error);
	else
		log_info(0, "challenge %s: %s TXT is there", e->id, e->asked.name);
}

static void
remove_answer(struct entry *e)
{
	char object[CLUSTER_NAME_MAX + 1];

	snprintf(object, sizeof(object), "%s%s", answer_prefix, e->id);
	(void)store_put(e->all->store, object, NULL, NULL, NULL, NULL);
	log_info(0, "challenge %s: %s TXT is gone", e->id, e->answered.name);
	e->is_answered = false;
}

/* ---- steps ---- */

static void
on_timer(uv_timer_t *t)
{
	step_on(t->data);
}

static void
again(struct entry *e, uint64_t ms)
{
	uv_timer_start(&e->timer, on_timer, ms, 0);
}

static bool
is_adding(const struct entry *e)
{
	return e->step == STEP_PROVE || e->step == STEP_ADD || e->step == STEP_LOOK;
}

/* Adding is given up after a while, so that acmed hears of it; removing never is. */
static void
failed(struct entry *e, const char *why, bool is_final)
{
	bool was_adding = is_adding(e);

	let_go(e);
	if (!was_adding) {
		log_limited(LOG_L_WARN, 0, "challenge %s: %s TXT is not removed: %s",
			    e->id, e->answered.name, why);
		again(e, RETRY_REMOVE_MS);
		return;
	}
	if (is_final || ++e->tries >= TRIES) {
		put_answer(e, why);
		step_on(e);
		return;
	}
	again(e, (uint64_t)AGAIN_MS << e->tries);
}

static void
on_looked(void *arg, const struct verdict *v, const struct answer *a)
{
	struct entry *e = arg;

	e->call = NULL;
	if (v->kind != VERDICT_GOOD) {
		failed(e, v->text, v->kind != VERDICT_RETRY);
		return;
	}
	for (unsigned i = 0; a != NULL && i < a->n_text; i++)
		if (strcmp(a->text[i], e->asked.value) == 0) {
			let_go(e);
			put_answer(e, NULL);
			step_on(e);
			return;
		}
	failed(e, "the update was taken, but the server does not show the record",
	       false);
}

static void
on_updated(void *arg, const struct verdict *v, const struct answer *a)
{
	struct entry *e = arg;

	e->call = NULL;
	if (v->kind == VERDICT_STALE) {
		let_go(e);
		return;
	}
	if (v->kind != VERDICT_GOOD) {
		failed(e, v->text, v->kind != VERDICT_RETRY);
		return;
	}
	if (e->step == STEP_ADD) {
		e->step = STEP_LOOK;
		step_on(e);
		return;
	}
	let_go(e);
	remove_answer(e);
	step_on(e);
}

static bool
may_send(void *arg)
{
	const struct entry *e = arg;

	return store_is_active(e->all->store) && store_epoch(e->all->store) == e->epoch;
}

static int
change(struct entry *e, enum change_kind kind, const struct text *t)
{
	char secret[SECRET_VALUE_MAX + 1];
	struct change one = { .kind = kind,
			      .name = t->name,
			      .type = MESSAGE_TXT,
			      .ttl_s = TTL_S,
			      .data = t->value };
	struct rfc2136_ask ask = { .loop = e->all->loop,
				   .account = &e->account,
				   .secret = secret,
				   .may_send = may_send,
				   .done = on_updated,
				   .arg = e,
				   .counts = e->all->counts };
	int rc = store_secret(e->all->store, e->account.secret, secret);

	if (rc == 0 && !message_secret_ok(secret))
		rc = E_INVAL;
	if (rc == 0)
		rc = rfc2136_update(&e->call, &ask, &one, 1);
	OPENSSL_cleanse(secret, sizeof(secret));
	return rc;
}

static void
on_proven(void *arg, bool ok)
{
	struct entry *e = arg;

	e->wait = NULL;
	if (!ok || !store_is_active(e->all->store)) {
		let_go(e);
		return;
	}
	e->epoch = store_epoch(e->all->store);
	e->step = e->step == STEP_PROVE ? STEP_ADD : STEP_DROP;
	step_on(e);
}

static bool
find_account(struct entry *e, const char *name)
{
	const struct config_ddns *d = section_for(e->all->config, name);

	if (d != NULL)
		account_of(&e->account, d);
	return d != NULL;
}

/* The answer is to another value, or to nothing any more. */
static bool
is_stale(const struct entry *e)
{
	return e->is_answered &&
	       (!e->is_asked || strcmp(e->asked.value, e->answered.value) != 0 ||
		strcasecmp(e->asked.name, e->answered.name) != 0);
}

static int
begin(struct entry *e)
{
	if (is_stale(e)) {
		if (!find_account(e, e->answered.name)) {
			remove_answer(e);
			again(e, 0);
			return 0;
		}
		e->step = STEP_PROVE_DROP;
	} else if (e->is_asked && !e->is_answered) {
		if (!find_account(e, e->asked.name)) {
			put_answer(e, "no ddns section with provider rfc2136 keeps the "
				      "zone of this name: add one, or use another "
				      "kind of challenge");
			return 0;
		}
		e->step = STEP_PROVE;
	} else {
		if (!e->is_asked && !e->is_answered)
			e->id[0] = '\0';
		return 0;
	}
	return store_prove(e->all->store, &e->wait, on_proven, e);
}

static void
step_on(struct entry *e)
{
	struct rfc2136_ask look = { .loop = e->all->loop,
				    .account = &e->account,
				    .done = on_looked,
				    .arg = e,
				    .counts = e->all->counts };
	int rc = 0;

	if (!e->all->is_active || e->id[0] == '\0')
		return;
	switch (e->step) {
	case STEP_IDLE: rc = begin(e); break;
	case STEP_ADD: rc = change(e, CHANGE_ADD, &e->asked); break;
	case STEP_LOOK:
		rc = rfc2136_look(&e->call, &look, e->asked.name, MESSAGE_TXT);
		break;
	case STEP_DROP: rc = change(e, CHANGE_DROP, &e->answered); break;
	case STEP_PROVE:
	case STEP_PROVE_DROP: break; /* hasync has not answered yet */
	}
	if (rc == E_NOENT || rc == E_AUTH) {
		char why[160];
		snprintf(why, sizeof(why),
			 rc == E_NOENT
				 ? "there is no secret %s: store it with \"vpnctl "
				   "secret set\""
				 : "the secret %s does not open with this pair key",
			 e->account.secret);
		failed(e, why, true);
	} else if (rc < 0) {
		failed(e, err_text(rc), false);
	}
}

/* ---- hearing ---- */

static struct entry *
entry_of(struct challenges *c, const char *id, bool is_new_ok)
{
	struct entry *room = NULL;

	for (int i = 0; i < CHALLENGES; i++) {
		if (strcmp(c->entry[i].id, id) == 0)
			return &c->entry[i];
		if (room == NULL && c->entry[i].id[0] == '\0')
			room = &c->entry[i];
	}
	if (!is_new_ok || room == NULL)
		return NULL;
	snprintf(room->id, sizeof(room->id), "%s", id);
	room->is_asked = room->is_answered = false;
	room->tries = 0;
	return room;
}

static bool
take_text(const json_t *o, struct text *t)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *value = json_string_value(json_object_get(o, "value"));

	if (name == NULL || value == NULL || *name == '\0' || *value == '\0' ||
	    strlen(name) >= sizeof(t->name) || strlen(value) >= sizeof(t->value))
		return false;
	memcpy(t->name, name, strlen(name) + 1);
	memcpy(t->value, value, strlen(value) + 1);
	return true;
}

static void
heard_question(struct challenges *c, const char *id, const json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	struct text t;
	bool is_ours = type != NULL && strcmp(type, "dns-01") == 0 &&
		       take_text(o, &t) &&
		       strncasecmp(t.name, label, sizeof(label) - 1) == 0;
	struct entry *e = entry_of(c, id, is_ours);

	if (e == NULL)
		return;
	if (is_ours && (!e->is_asked || strcmp(e->asked.value, t.value) != 0)) {
		let_go(e);
		e->tries = 0;
		e->asked = t;
	}
	if (!is_ours && e->is_asked)
		let_go(e);
	/* Asked and taken back before it was answered: its record may be there. */
	if (!is_ours && e->is_asked && !e->is_answered) {
		e->answered = e->asked;
		e->is_answered = true;
	}
	e->is_asked = is_ours;
	again(e, 0);
}

static void
heard_answer(struct challenges *c, const char *id, const json_t *o)
{
	struct text t;
	bool is_there = o != NULL && take_text(o, &t);
	struct entry *e = entry_of(c, id, is_there);

	/* While we are the writer we know better. */
	if (e == NULL || c->is_active)
		return;
	e->is_answered = is_there;
	if (is_there)
		e->answered = t;
}

void
challenges_heard(struct challenges *c, const char *name, struct span bytes)
{
	bool is_question = strncmp(name, asked_prefix, sizeof(asked_prefix) - 1) == 0;
	size_t n = is_question ? sizeof(asked_prefix) - 1 : sizeof(answer_prefix) - 1;

	if (!is_question && strncmp(name, answer_prefix, n) != 0)
		return;
	if (name[n] == '\0' || strlen(name + n) >= ID_TEXT)
		return;
	json_t *o = bytes.p != NULL && bytes.n <= OBJECT_MAX
			    ? json_loadb((const char *)bytes.p, bytes.n, 0, NULL)
			    : NULL;
	if (is_question)
		heard_question(c, name + n, o);
	else
		heard_answer(c, name + n, o);
	json_decref(o);
}

void
challenges_configure(struct challenges *c, const struct config *config)
{
	c->config = config;
}

void
challenges_role(struct challenges *c, bool is_active)
{
	c->is_active = is_active;
	for (int i = 0; i < CHALLENGES; i++) {
		struct entry *e = &c->entry[i];
		let_go(e);
		e->tries = 0;
		if (is_active && e->id[0] != '\0')
			again(e, 0);
	}
}

/* ---- life ---- */

int
challenges_new(struct challenges **out, uv_loop_t *loop, struct store *store,
	       struct exchange_counts *counts)
{
	struct challenges *c = calloc(1, sizeof(*c));

	*out = c;
	if (c == NULL)
		return E_NOMEM;
	c->loop = loop;
	c->store = store;
	c->counts = counts;
	for (int i = 0; i < CHALLENGES; i++) {
		struct entry *e = &c->entry[i];
		e->all = c;
		uv_timer_init(loop, &e->timer);
		e->timer.data = e;
		c->open++;
	}
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct entry *e = h->data;

	if (--e->all->open == 0)
		free(e->all);
}

void
challenges_free(struct challenges *c)
{
	for (int i = 0; c != NULL && i < CHALLENGES; i++) {
		let_go(&c->entry[i]);
		uv_close((uv_handle_t *)&c->entry[i].timer, on_closed);
	}
}
