/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cluster_config.c -- one configuration on both nodes.
 *
 * The store's object `config` is what both nodes run. A change is checked here,
 * proposed to the other node, which asks its own parent, and committed when that
 * one agrees. Each node loads what is committed by itself, so that the death of
 * the one who applied it changes nothing; the same with a change that nobody
 * confirmed in time.
 *
 * A plain reload of an edited file also becomes `config`: files that differ for
 * long would be worse than a change the other node has to refuse on its own.
 */
#include "common/err.h"
#include "common/log.h"
#include "vpnd/session/cluster_state.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void feed(struct pair *p, enum apply_event e);

/* ---- small things ---- */

static void
copy_free(struct copy *c)
{
	free(c->text);
	*c = (struct copy){ 0 };
}

static void
copy_take(struct copy *c, const struct cluster_msg *m)
{
	copy_free(c);
	c->generation = m->generation;
	if (m->flags & CLUSTER_REMOVE || (c->text = malloc(m->bytes.n + 1)) == NULL)
		return;
	memcpy(c->text, m->bytes.p, m->bytes.n);
	c->text[m->bytes.n] = '\0';
	c->n = m->bytes.n;
	c->is_there = true;
}

/* The generation a put has to name. */
static uint64_t
copy_expected(const struct copy *c)
{
	return c->generation;
}

static json_t *
copy_json(const struct copy *c)
{
	return c->is_there ? json_loadb(c->text, c->n, 0, NULL) : NULL;
}

static const char *
text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static json_int_t
number_in(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void
answer_error(struct pair *p, uint32_t id, const char *code, const char *text)
{
	p->host->answer(p->host->arg, id,
			json_pack("{sb ss ss}", "ok", 0, "error", text, "code", code));
}

static const char *
running_text(const struct pair *p)
{
	const char *text = p->host->control->text;

	return text != NULL ? text : "";
}

static void
put_json(struct pair *p, const char *name, uint64_t generation, json_t *o,
	 cluster_done done)
{
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	if (text != NULL)
		(void)pair_call(p, CLUSTER_PUT, name, generation, 0, text, done);
	free(text);
	json_decref(o);
}

static void
remove_object(struct pair *p, const char *name, uint64_t generation)
{
	(void)pair_call(p, CLUSTER_PUT, name, generation, CLUSTER_REMOVE, NULL, NULL);
}

/* ---- our parent ---- */

/* Rules that need no file are checked here; false: `why` says what is wrong. */
static bool
text_is_good(struct pair *p, const char *text, char *why, size_t cap)
{
	struct config_report report = { 0 };
	struct config *c = NULL;
	size_t n = 0;
	int rc = config_load(&c, "tandem.conf", text, "node.conf",
			     p->host->control->node_text, &report);

	why[0] = '\0';
	for (size_t i = 0; i < report.n && n < cap; i++) {
		const struct config_finding *f = &report.finding[i];
		if (!f->is_warning)
			n += (size_t)snprintf(why + n, cap - n, "%s%s:%u: %s: %s",
					      n > 0 ? "\n" : "", f->file, f->line,
					      f->setting, f->text);
	}
	config_report_free(&report);
	config_free(c);
	return rc == 0;
}

static void
ask_parent(struct pair *p, enum put_kind kind, const char *text)
{
	if (++p->last_put == 0)
		p->last_put = 1;
	p->put_id[kind] = p->last_put;
	p->host->config_put(p->host->arg, p->last_put,
			    kind == PUT_ADOPT ? CONFIG_TAKE : CONFIG_CHECK, text);
}

/* ---- what is in force ---- */

/* Run what the store has, unless we do or were told to already. */
static void
adopt(struct pair *p)
{
	char hash[PAIR_HASH + 1];

	if (!p->config.is_there)
		return;
	pair_hash_text(p->config.text, p->config.n, hash);
	if (strcmp(hash, pair_running_hash(p)) == 0) {
		p->adopt_hash[0] = p->refused_hash[0] = '\0';
		p->retry_ms = 0;
	}
	if (strcmp(hash, pair_running_hash(p)) == 0 || strcmp(hash, p->adopt_hash) == 0)
		return;
	memcpy(p->adopt_hash, hash, sizeof(hash));
	p->retry_ms = 0;
	p->adopt_deadline_ms = pair_now(p).mono_ms + PAIR_LOAD_MS;
	log_info(0, "configuration %s of the pair is taken", hash);
	ask_parent(p, PUT_ADOPT, p->config.text);
}

/* What cannot be run here today may be tomorrow: a file it names comes later, say.
 * Told once for each reason. */
static void
adopt_failed(struct pair *p, const char *why)
{
	bool is_same = strcmp(p->refused_hash, p->adopt_hash) == 0;
	struct event e = { .what = EV_CONFIG_REFUSED,
			   .reason = "pair",
			   .text = why,
			   .number = p->config.generation };

	p->retry_wait_ms = !is_same ? PAIR_RETRY_MS
			   : p->retry_wait_ms * 2 > PAIR_RETRY_MAX_MS
				   ? PAIR_RETRY_MAX_MS
				   : p->retry_wait_ms * 2;
	p->retry_ms = pair_now(p).mono_ms + p->retry_wait_ms;
	log_err(0, "configuration of the pair is refused here, again in %u s: %.*s",
		(unsigned)(p->retry_wait_ms / 1000), (int)strcspn(why, "\n"), why);
	if ((!is_same || strcmp(p->refused_why, why) != 0) &&
	    p->host->control->events != NULL)
		events_add(p->host->control->events, &e, pair_now(p).wall_ms);
	memcpy(p->refused_hash, p->adopt_hash, sizeof(p->refused_hash));
	snprintf(p->refused_why, sizeof(p->refused_why), "%s", why);
	p->adopt_hash[0] = '\0';
}

/* One more line of history, the newest last. */
static void
remember(struct pair *p, const char *text, uint64_t generation, const char *why)
{
	enum { HISTORY_BYTES = CLUSTER_OBJECT_MAX - 64 * 1024 };
	json_t *rows = copy_json(&p->history);
	char hash[PAIR_HASH + 1], *dump;
	size_t n;

	if (!json_is_array(rows)) {
		json_decref(rows);
		rows = json_array();
	}
	pair_hash_text(text, strlen(text), hash);
	json_array_append_new(rows, json_pack("{sI sI ss ss ss ss}", "generation",
					      (json_int_t)generation, "time_s",
					      (json_int_t)(pair_now(p).wall_ms / 1000),
					      "node", p->node, "hash", hash, "why", why,
					      "text", text));
	while (json_array_size(rows) > PAIR_HISTORY)
		json_array_remove(rows, 0);
	while ((dump = json_dumps(rows, JSON_COMPACT)) != NULL) {
		n = strlen(dump);
		free(dump);
		if (n < HISTORY_BYTES || json_array_size(rows) < 2)
			break;
		json_array_remove(rows, 0);
	}
	put_json(p, "config-history", CLUSTER_ANY, rows, NULL);
}

static void
on_own_stored(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;

	if (a->status == CLUSTER_OK)
		remember(p, running_text(p), a->generation, "file");
	else if (a->status != CLUSTER_LOST)
		log_warn(0, "hasync: the configuration was not stored: %s",
			 cluster_status_text(a->status));
}

/* What this node runs becomes what the pair runs. */
static void
store_running(struct pair *p)
{
	(void)pair_call(p, CLUSTER_PUT, "config", copy_expected(&p->config), 0,
			running_text(p), on_own_stored);
}

void
pair_config_loaded(struct pair *p)
{
	char hash[PAIR_HASH + 1];

	if (p->apply.state == APPLY_LOAD &&
	    strcmp(p->apply.hash, pair_running_hash(p)) == 0)
		feed(p, APPLY_LOADED);
	/* Both nodes show one hash as soon as they run one text. */
	pair_put_counts(p);
	if (p->c == NULL || !p->has_synced)
		return;
	if (p->config.is_there)
		pair_hash_text(p->config.text, p->config.n, hash);
	/* Ours by the store's wish is no news; an operator's reload is. */
	if (p->config.is_there && (strcmp(hash, pair_running_hash(p)) == 0 ||
				   strcmp(p->adopt_hash, pair_running_hash(p)) == 0))
		return;
	store_running(p);
}

/* A node of a pair runs what the pair runs, whatever its file says; a gateway of
 * its own is what its file says. */
void
pair_config_synced(struct pair *p)
{
	char hash[PAIR_HASH + 1] = "";

	p->has_synced = true;
	if (p->config.is_there)
		pair_hash_text(p->config.text, p->config.n, hash);
	if (strcmp(hash, pair_running_hash(p)) == 0)
		return;
	enum node_role role = p->host->control->config->node_role;
	/* A spare that comes first waits for what its primary has. */
	if (!p->config.is_there && role == NODE_SPARE)
		return;
	/* A reload while the store was away, on top of what it has. */
	bool is_news = p->down_generation != 0 &&
		       p->down_generation == p->config.generation &&
		       strcmp(p->down_hash, pair_running_hash(p)) != 0;
	if (!p->config.is_there || role == NODE_SINGLE || is_news)
		store_running(p);
	else
		adopt(p);
}

/* ---- a proposal of the other node ---- */

static void
vote(struct pair *p, bool is_yes, const char *why)
{
	p->has_voted = true;
	p->is_yes = is_yes;
	p->put_id[PUT_VOTE] = 0;
	snprintf(p->vote_text, sizeof(p->vote_text), "%s", why);
	log_info(0, "proposed configuration %s: %s%s", p->vote_id,
		 is_yes ? "yes" : "no: ", why);
	pair_put_counts(p);
}

static void
take_proposal(struct pair *p, const struct cluster_msg *m)
{
	struct copy c = { 0 };
	char why[PAIR_REASON];

	copy_take(&c, m);
	json_t *o = copy_json(&c);
	const char *id = text_in(o, "id");
	/* Our own needs no vote; one that is over must not be voted on again. */
	if (*id != '\0' && strlen(id) < sizeof(p->vote_id) && p->has_synced &&
	    strcmp(text_in(o, "node"), p->node) != 0 && strcmp(id, p->vote_id) != 0) {
		snprintf(p->vote_id, sizeof(p->vote_id), "%s", id);
		p->has_voted = false;
		p->vote_deadline_ms = pair_now(p).mono_ms + PAIR_CHECK_MS;
		if (text_is_good(p, text_in(o, "text"), why, sizeof(why)))
			ask_parent(p, PUT_VOTE, text_in(o, "text"));
		else
			vote(p, false, why);
	}
	json_decref(o);
	copy_free(&c);
}

/* What the other node says about ours; and is it there? */
void
pair_config_peer(struct pair *p)
{
	const json_t *counts = json_object_get(p->counts, p->peer);

	if (p->apply.state != APPLY_VOTE)
		return;
	if (p->peer[0] == '\0' || p->is_peer_away) {
		feed(p, APPLY_PEER_AWAY);
	} else if (strcmp(text_in(counts, "vote"), p->apply.id) == 0) {
		bool is_yes = json_is_true(json_object_get(counts, "yes"));
		if (!is_yes)
			snprintf(p->apply.why, sizeof(p->apply.why), "%s: %.900s",
				 p->peer, text_in(counts, "why"));
		feed(p, is_yes ? APPLY_PEER_YES : APPLY_PEER_NO);
	}
}

/* ---- ours ---- */

static void
apply_over(struct pair *p, json_t *o)
{
	struct apply *a = &p->apply;
	uint32_t id = a->ask_id;

	free(a->text);
	*a = (struct apply){ .state = APPLY_IDLE };
	if (id != 0)
		p->host->answer(p->host->arg, id, o);
	else
		json_decref(o);
}

static void
do_check(struct pair *p)
{
	struct apply *a = &p->apply;

	a->deadline_ms = pair_now(p).mono_ms + PAIR_CHECK_MS;
	if (text_is_good(p, a->text, a->why, sizeof(a->why)))
		ask_parent(p, PUT_CHECK, a->text);
	else
		feed(p, APPLY_OWN_NO);
}

static void
on_proposed(void *arg, const struct cluster_msg *m)
{
	struct pair *p = arg;

	if (m->status == CLUSTER_OK || p->apply.state != APPLY_VOTE)
		return;
	snprintf(p->apply.why, sizeof(p->apply.why),
		 "the store refused the proposal: %s", cluster_status_text(m->status));
	feed(p, APPLY_NOT_STORED);
}

static void
do_propose(struct pair *p)
{
	struct apply *a = &p->apply;

	a->deadline_ms = pair_now(p).mono_ms + PAIR_VOTE_MS;
	if (p->c == NULL || p->peer[0] == '\0' || p->is_peer_away) {
		feed(p, APPLY_PEER_AWAY);
		return;
	}
	put_json(p, "config-proposal", CLUSTER_ANY,
		 json_pack("{ss ss ss}", "id", a->id, "node", p->node, "text", a->text),
		 on_proposed);
}

static void
on_committed(void *arg, const struct cluster_msg *m)
{
	struct pair *p = arg;
	struct apply *a = &p->apply;

	if (a->state != APPLY_COMMIT)
		return;
	if (m->status != CLUSTER_OK) {
		snprintf(a->why, sizeof(a->why), "the configuration was not stored: %s",
			 cluster_status_text(m->status));
		feed(p, APPLY_NOT_STORED);
		return;
	}
	a->base = m->generation;
	a->copies = m->copies;
	remember(p, a->text, m->generation, "apply");
	feed(p, APPLY_STORED);
}

/* What undoes it is stored before it is: whoever dies now leaves nothing that
 * nobody takes back. */
static void
put_confirm(struct pair *p)
{
	struct apply *a = &p->apply;
	json_t *before = copy_json(&p->confirm);
	char hash[PAIR_HASH + 1] = "";

	/* On top of one that is not confirmed either: back to before both. */
	if (p->config.is_there)
		pair_hash_text(p->config.text, p->config.n, hash);
	const char *back = before != NULL && strcmp(text_in(before, "hash"), hash) == 0
				   ? text_in(before, "back")
			   : p->config.is_there ? p->config.text
						: running_text(p);
	uint64_t until_ms = pair_now(p).wall_ms + (uint64_t)a->confirm_s * 1000;
	put_json(p, "config-confirm", CLUSTER_ANY,
		 json_pack("{ss sI ss ss}", "hash", a->hash, "until_ms",
			   (json_int_t)until_ms, "back", back, "node", p->node),
		 NULL);
	json_decref(before);
}

static void
do_commit(struct pair *p)
{
	struct apply *a = &p->apply;

	a->deadline_ms = pair_now(p).mono_ms + PAIR_VOTE_MS;
	if (p->c == NULL) {
		/* No store: our own file is all there is. */
		feed(p, APPLY_STORED);
		return;
	}
	if (a->confirm_s > 0)
		put_confirm(p);
	else if (p->confirm.is_there)
		remove_object(p, "config-confirm", p->confirm.generation);
	if (pair_call(p, CLUSTER_PUT, "config", a->base, 0, a->text, on_committed) < 0)
		feed(p, APPLY_NOT_STORED);
}

static void
do_load(struct pair *p)
{
	struct apply *a = &p->apply;

	a->deadline_ms = pair_now(p).mono_ms + PAIR_LOAD_MS;
	if (strcmp(a->hash, pair_running_hash(p)) == 0) {
		feed(p, APPLY_LOADED);
	} else if (strcmp(a->hash, p->adopt_hash) != 0) {
		memcpy(p->adopt_hash, a->hash, sizeof(a->hash));
		p->adopt_deadline_ms = a->deadline_ms;
		ask_parent(p, PUT_ADOPT, a->text);
	} else if (p->put_id[PUT_ADOPT] == 0) {
		/* It was told when the store said so, and has answered. */
		feed(p, APPLY_NOT_LOADED);
	}
}

static void
withdraw(struct pair *p)
{
	if (p->c == NULL)
		return;
	/* What was to undo it stays: it names what it undoes, and the store may
	 * have taken that after all. */
	remove_object(p, "config-proposal", CLUSTER_ANY);
}

static void
feed(struct pair *p, enum apply_event e)
{
	struct apply *a = &p->apply;
	struct apply_edge edge = apply_step(a->state, e);

	if (e == APPLY_TIMEOUT && edge.action != APPLY_NOTHING)
		snprintf(a->why, sizeof(a->why), "%s does not answer",
			 a->state == APPLY_VOTE     ? p->peer
			 : a->state == APPLY_COMMIT ? "the store"
						    : "the parent process");
	a->state = edge.next;
	switch (edge.action) {
	case APPLY_NOTHING: break;
	case APPLY_DO_CHECK: do_check(p); break;
	case APPLY_DO_PROPOSE: do_propose(p); break;
	case APPLY_DO_COMMIT: do_commit(p); break;
	case APPLY_DO_LOAD: do_load(p); break;
	case APPLY_DO_ANSWER:
		apply_over(p, json_pack("{sb ss sI si si}", "ok", 1, "hash", a->hash,
					"generation", (json_int_t)a->base, "copies",
					a->copies, "confirm_s", a->confirm_s));
		break;
	case APPLY_DO_WITHDRAW:
		withdraw(p);
		/* fallthrough */
	case APPLY_DO_REFUSE:
		apply_over(p, json_pack("{sb ss ss}", "ok", 0, "error", a->why, "code",
					"config_refused"));
		break;
	case APPLY_DO_COMPLAIN:
		apply_over(p, json_pack("{sb ss ss}", "ok", 0, "error", a->why, "code",
					"config_not_loaded"));
		break;
	}
}

static void
apply_begin(struct pair *p, uint32_t id, const char *text, unsigned confirm_s)
{
	struct apply *a = &p->apply;
	uint8_t random[16];

	if (a->state != APPLY_IDLE) {
		answer_error(p, id, "busy",
			     "another configuration is just being applied");
		return;
	}
	if (confirm_s > 0 && p->c == NULL) {
		answer_error(p, id, "no_store",
			     "--confirm needs hasync, and it does not run");
		return;
	}
	if (strlen(text) >= CONFIG_TEXT_MAX ||
	    RAND_bytes(random, sizeof(random)) != 1 ||
	    (a->text = strdup(text)) == NULL) {
		answer_error(p, id, "bad_request", "the text is too long");
		return;
	}
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(a->id + 2 * i, 3, "%02x", random[i]);
	pair_hash_text(text, strlen(text), a->hash);
	a->ask_id = id;
	a->confirm_s = confirm_s;
	a->base = copy_expected(&p->config);
	/* What was refused before may be repaired now: ask again. */
	p->adopt_hash[0] = '\0';
	feed(p, APPLY_ASKED);
}

void
pair_config_put_done(struct pair *p, const struct ipc_config_put_done *m)
{
	char why[PAIR_REASON];
	size_t n = m->text.n < sizeof(why) - 1 ? m->text.n : sizeof(why) - 1;

	memcpy(why, m->text.p, n);
	why[n] = '\0';
	if (m->id == p->put_id[PUT_VOTE] && m->id != 0) {
		vote(p, !m->is_bad, m->is_bad ? why : "");
	} else if (m->id == p->put_id[PUT_CHECK] && m->id != 0) {
		p->put_id[PUT_CHECK] = 0;
		if (m->is_bad)
			snprintf(p->apply.why, sizeof(p->apply.why), "%s", why);
		feed(p, m->is_bad ? APPLY_OWN_NO : APPLY_OWN_YES);
	} else if (m->id == p->put_id[PUT_ADOPT] && m->id != 0) {
		p->put_id[PUT_ADOPT] = 0;
		if (m->is_bad) {
			snprintf(p->apply.why, sizeof(p->apply.why), "%s", why);
			adopt_failed(p, why);
		}
		if (p->apply.state == APPLY_LOAD)
			feed(p, m->is_bad ? APPLY_NOT_LOADED : APPLY_LOADED);
	}
}

/* ---- unconfirmed ones return ---- */

static void
on_returned(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;

	if (a->status != CLUSTER_OK)
		return; /* the other node was first */
	json_t *o = copy_json(&p->confirm);
	remember(p, text_in(o, "back"), a->generation, "unconfirmed");
	json_decref(o);
	if (p->confirm.is_there)
		remove_object(p, "config-confirm", p->confirm.generation);
}

static void
check_confirm(struct pair *p)
{
	char hash[PAIR_HASH + 1] = "";
	json_t *o = copy_json(&p->confirm);

	if (o == NULL || number_in(o, "until_ms") > (json_int_t)pair_now(p).wall_ms) {
		json_decref(o);
		return;
	}
	if (p->config.is_there)
		pair_hash_text(p->config.text, p->config.n, hash);
	if (strcmp(hash, text_in(o, "hash")) == 0) {
		log_warn(0,
			 "configuration %s was not confirmed; the one before returns",
			 hash);
		(void)pair_call(p, CLUSTER_PUT, "config", p->config.generation, 0,
				text_in(o, "back"), on_returned);
	} else {
		/* It was never committed, or replaced since. */
		remove_object(p, "config-confirm", p->confirm.generation);
	}
	json_decref(o);
}

/* ---- from the store ---- */

void
pair_config_changed(struct pair *p, const struct cluster_msg *m)
{
	if (span_is(m->name, "config")) {
		copy_take(&p->config, m);
		if (p->has_synced)
			adopt(p);
	} else if (span_is(m->name, "config-confirm")) {
		copy_take(&p->confirm, m);
	} else if (span_is(m->name, "config-history")) {
		copy_take(&p->history, m);
	} else if (span_is(m->name, "config-proposal")) {
		take_proposal(p, m);
	}
}

void
pair_config_tick(struct pair *p)
{
	uint64_t now_ms = pair_now(p).mono_ms;

	if (p->apply.state != APPLY_IDLE && now_ms >= p->apply.deadline_ms)
		feed(p, APPLY_TIMEOUT);
	if (p->put_id[PUT_VOTE] != 0 && now_ms >= p->vote_deadline_ms)
		vote(p, false, "the parent process does not answer");
	if (p->put_id[PUT_ADOPT] != 0 && now_ms >= p->adopt_deadline_ms) {
		p->put_id[PUT_ADOPT] = 0;
		adopt_failed(p, "the parent process does not answer");
	}
	if (p->c == NULL || !p->has_synced || p->apply.state != APPLY_IDLE)
		return;
	check_confirm(p);
	if (p->retry_ms != 0 && now_ms >= p->retry_ms) {
		p->retry_ms = 0;
		adopt(p);
	}
}

void
pair_config_down(struct pair *p)
{
	if (p->has_synced) {
		p->down_generation = p->config.generation;
		snprintf(p->down_hash, sizeof(p->down_hash), "%s",
			 pair_running_hash(p));
	}
	p->has_synced = false;
	copy_free(&p->config);
	copy_free(&p->confirm);
	copy_free(&p->history);
	if (p->confirm_id != 0)
		answer_error(p, p->confirm_id, "refused", "hasync is gone");
	p->confirm_id = 0;
	if (p->apply.state == APPLY_VOTE || p->apply.state == APPLY_COMMIT) {
		snprintf(p->apply.why, sizeof(p->apply.why), "hasync is gone");
		feed(p, APPLY_NOT_STORED);
	}
}

void
pair_config_free(struct pair *p)
{
	copy_free(&p->config);
	copy_free(&p->confirm);
	copy_free(&p->history);
	free(p->apply.text);
	p->apply = (struct apply){ 0 };
}

/* ---- commands ---- */

static void
show_history(struct pair *p, uint32_t id)
{
	json_t *rows = copy_json(&p->history), *row, *confirm = copy_json(&p->confirm);
	size_t i;

	if (!json_is_array(rows)) {
		json_decref(rows);
		rows = json_array();
	}
	json_array_foreach(rows, i, row)
	{
		time_t at = (time_t)number_in(row, "time_s");
		char text[32];
		struct tm tm;
		json_object_del(row, "text");
		json_object_del(row, "time_s");
		if (gmtime_r(&at, &tm) == NULL)
			continue;
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		json_object_set_new(row, "time", json_string(text));
	}
	json_t *o = json_pack("{sb so}", "ok", 1, "history", rows);
	if (confirm != NULL) {
		json_int_t left = number_in(confirm, "until_ms") -
				  (json_int_t)pair_now(p).wall_ms;
		json_object_set_new(o, "confirm_left_s",
				    json_integer(left > 0 ? left / 1000 : 0));
	}
	json_decref(confirm);
	p->host->answer(p->host->arg, id, o);
}

static void
roll_back(struct pair *p, uint32_t id, const json_t *q)
{
	json_t *rows = copy_json(&p->history), *row;
	const json_t *wanted = json_object_get(q, "generation");
	const char *text = NULL;
	char hash[PAIR_HASH + 1] = "";
	size_t i;

	if (p->config.is_there)
		pair_hash_text(p->config.text, p->config.n, hash);
	/* The newest that differs, or the one that is named. */
	json_array_foreach(rows, i, row)
	{
		bool is_it = json_is_integer(wanted)
				     ? number_in(row, "generation") ==
					       json_integer_value(wanted)
				     : strcmp(text_in(row, "hash"), hash) != 0;
		if (is_it)
			text = text_in(row, "text");
	}
	if (text != NULL)
		apply_begin(p, id, text, 0);
	else
		answer_error(p, id, "not_found",
			     "the history has no such configuration");
	json_decref(rows);
}

static void
on_confirmed(void *arg, const struct cluster_msg *a)
{
	struct pair *p = arg;
	uint32_t id = p->confirm_id;

	p->confirm_id = 0;
	if (id == 0)
		return;
	if (a->status == CLUSTER_OK)
		p->host->answer(p->host->arg, id,
				json_pack("{sb si}", "ok", 1, "copies", a->copies));
	else
		answer_error(p, id, "refused",
			     cluster_status_text((enum cluster_status)a->status));
}

static void
confirm(struct pair *p, uint32_t id)
{
	if (p->c == NULL || !p->confirm.is_there) {
		answer_error(p, id, "not_found",
			     "no configuration waits to be confirmed");
	} else if (p->confirm_id != 0 ||
		   pair_call(p, CLUSTER_PUT, "config-confirm", p->confirm.generation,
			     CLUSTER_REMOVE, NULL, on_confirmed) < 0) {
		answer_error(p, id, "busy", "the store takes no more questions");
	} else {
		p->confirm_id = id;
	}
}

bool
pair_config_ask(struct pair *p, uint32_t id, const char *cmd, const json_t *q)
{
	const json_t *text = json_object_get(q, "text"),
		     *seconds = json_object_get(q, "confirm_s");
	json_int_t s = json_integer_value(seconds);

	if (strcmp(cmd, "config_apply") == 0) {
		if (!json_is_string(text) || (seconds != NULL && (s < 1 || s > 86400)))
			answer_error(
				p, id, "bad_request",
				"config_apply wants a text, and confirm_s from 1 to "
				"86400");
		else
			apply_begin(p, id, json_string_value(text), (unsigned)s);
	} else if (strcmp(cmd, "config_history") == 0) {
		show_history(p, id);
	} else if (strcmp(cmd, "config_rollback") == 0) {
		roll_back(p, id, q);
	} else if (strcmp(cmd, "config_confirm") == 0) {
		confirm(p, id);
	} else {
		return false;
	}
	return true;
}
