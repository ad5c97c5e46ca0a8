/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The session process's part in a pair, against a store that is this test. */
#include "vpnd/session/cluster.h"

#include "common/err.h"
#include "tests/lib/session_lab.h"
#include "vpnd/session/cluster_state.h"

#include <sys/socket.h>

static uv_loop_t loop;
static struct pair *pair;
static struct control_host control;
static struct pair_host host;
static int store = -1; /* its end of the connection */
static bool store_is_silent, peer_is_away;
static enum cluster_status put_status;
static uint64_t generation;

static char put_name[8][CLUSTER_NAME_MAX + 1], *put_text[8]; /* by name, the last */
static unsigned watches, hellos, added, gone, removed;
static struct cluster_entry last_entry;

static uint32_t asked_id;
static enum config_put asked_how;
static char asked_text[4096];
static unsigned asked;
static json_t *answered;

static struct now
lab_now(void *arg)
{
	return lab.now;
}

static void
on_config_put(void *arg, uint32_t id, enum config_put how, const char *text)
{
	asked++;
	asked_id = id;
	asked_how = how;
	snprintf(asked_text, sizeof(asked_text), "%s", text);
}

static void
on_answer(void *arg, uint32_t id, json_t *o)
{
	json_decref(answered);
	answered = o;
}

static const char *
answer_code(void)
{
	const char *s = json_string_value(json_object_get(answered, "code"));

	return s != NULL                                       ? s
	       : json_is_true(json_object_get(answered, "ok")) ? "ok"
							       : "none";
}

static const char *
text_of(const char *name)
{
	for (int i = 0; i < 8; i++)
		if (put_text[i] != NULL && strcmp(put_name[i], name) == 0)
			return put_text[i];
	return "";
}

static void
store_text(const struct cluster_msg *m)
{
	int at = -1;

	for (int i = 7; i >= 0; i--)
		if (put_text[i] == NULL ||
		    (m->name.n == strlen(put_name[i]) && span_is(m->name, put_name[i])))
			at = i;
	if (at < 0)
		return;
	free(put_text[at]);
	snprintf(put_name[at], sizeof(put_name[at]), "%.*s", (int)m->name.n,
		 (const char *)m->name.p);
	put_text[at] = strndup((const char *)m->bytes.p, m->bytes.n);
}

static void
store_send(const struct cluster_msg *m)
{
	static uint8_t buf[65536];
	struct wr w = wr_open(buf, sizeof(buf));

	cluster_encode(&w, m);
	ok(!wr_full(&w) && write(store, buf, w.n) == (ssize_t)w.n, "the store speaks");
}

static void
store_take(const struct cluster_msg *m)
{
	struct cluster_msg a = { .type = CLUSTER_ANSWER, .id = m->id, .copies = 2 };
	struct span in = m->bytes;

	hellos += m->type == CLUSTER_HELLO && span_is(m->name, "session");
	watches += m->type == CLUSTER_WATCH;
	/* What the real store refuses: our own set is put, the others are added to. */
	enum cluster_class class = cluster_class(m->name);
	bool is_set = (m->type == CLUSTER_SET_ADD && class == CLUSTER_SET) ||
		      (m->type == CLUSTER_OWN_PUT && class == CLUSTER_OWN_SET);
	if (!is_set && (m->type == CLUSTER_PUT || m->type == CLUSTER_OWN_PUT)) {
		removed += (m->flags & CLUSTER_REMOVE) != 0;
		if (m->type == CLUSTER_PUT && put_status != CLUSTER_OK)
			a.status = (uint8_t)put_status;
		else
			store_text(m);
		a.generation = ++generation;
	}
	while (is_set && cluster_entry_decode(&in, &last_entry) == 0) {
		added += !last_entry.is_gone;
		gone += last_entry.is_gone;
	}
	if (!store_is_silent)
		store_send(&a);
}

/* Until nobody has anything to say. */
static void
turn(void)
{
	static uint8_t buf[262144];

	for (int quiet = 0; quiet < 4; quiet++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		ssize_t n = recv(store, buf, sizeof(buf), MSG_DONTWAIT);
		struct span in = span_of(buf, n > 0 ? (size_t)n : 0);
		struct cluster_msg m;
		while (cluster_decode(&in, &m) == 0) {
			store_take(&m);
			quiet = -1;
		}
	}
}

/* The 100 ms in which changes are collected. */
static void
turn_long(void)
{
	for (int i = 0; i < 30; i++) {
		turn();
		usleep(5000);
		if (i > 22)
			uv_update_time(&loop);
	}
	turn();
}

static void
push(const char *name, uint8_t flags, struct span bytes)
{
	store_send(&(struct cluster_msg){ .type = CLUSTER_CHANGED,
					  .name = span_str(name),
					  .flags = flags,
					  .generation = ++generation,
					  .bytes = bytes });
	turn();
}

static void
push_role(void)
{
	store_send(&(struct cluster_msg){
		.type = CLUSTER_ROLE,
		.generation = 7,
		.name = SPAN("a"),
		.writer = SPAN("b"),
		.flags = (uint8_t)(CLUSTER_ACTIVE |
				   (peer_is_away ? CLUSTER_PEER_AWAY : 0)) });
	turn();
}

static void
pair_up(enum node_role role, const char *running)
{
	int fd[2];

	lab_up();
	lab.config.node_role = role;
	lab_restart();
	uv_loop_init(&loop);
	control = (struct control_host){ .table = lab.t,
					 .config = &lab.config,
					 .now = lab_now,
					 .generation = 1,
					 .text = running };
	host = (struct pair_host){ .control = &control,
				   .config_put = on_config_put,
				   .answer = on_answer };
	/* SHA-256, the first 8 bytes: what session_main makes of the text. */
	snprintf(control.hash, sizeof(control.hash), "%s",
		 strcmp(running, "") == 0 ? "e3b0c44298fc1c14" : "0000000000000000");
	watches = hellos = added = gone = removed = asked = 0;
	put_status = CLUSTER_OK;
	store_is_silent = peer_is_away = false;
	for (int i = 0; i < 8; i++) {
		free(put_text[i]);
		put_text[i] = NULL;
	}
	is_int(pair_new(&pair, &loop, &host), 0, "the pair starts");
	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "a connection");
	store = fd[1];
	pair_connect(pair, fd[0]);
	turn();
}

static void
pair_down(void)
{
	close(store);
	pair_free(pair);
	turn();
	is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
	lab_down();
}

static void
parent_says(bool is_bad, const char *text)
{
	struct ipc_config_put_done m = { .id = asked_id, .is_bad = is_bad };

	m.text.n = (uint32_t)strlen(text);
	memcpy(m.text.p, text, m.text.n);
	pair_config_put_done(pair, &m);
	turn();
}

static void
ask(const char *json)
{
	json_t *q = json_loads(json, 0, NULL);

	json_decref(answered);
	answered = NULL;
	pair_ask(pair, 5, q);
	json_decref(q);
	turn();
}

static void
it_says_what_it_has(void)
{
	char token[IPC_TOKEN_MAX + 1];

	pair_up(NODE_PRIMARY, "");
	is_int(hellos, 1, "it says hello");
	is_int(watches, 6, "and watches");
	push_role();
	ok(strstr(text_of("counts/a"), "\"connected\":0") != NULL, "counts: %s",
	   text_of("counts/a"));
	ok(strcmp(text_of("config"), "") == 0, "the primary gives its configuration");
	ok(strstr(text_of("config-history"), "\"generation\"") != NULL,
	   "which begins a history");
	lab_login("u", token);
	lab_connect(0, token);
	struct session *s = session_at(lab.t, lab_grant().slot);
	s->source = s->local =
		(struct ip_addr){ .family = 4, .port = 443, .b = { 192, 0, 2, 1 } };
	pair_tunnel(pair, s, true);
	turn_long();
	is_int(added, 1, "an endpoint is told");
	is_int(last_entry.value_n, ENDPOINT_SIZE, "with both addresses");
	pair_tunnel(pair, s, false);
	pair_revoked(pair, s->claims.sid, lab.now.wall_ms / 1000 + 100);
	turn_long();
	is_int(gone, 1, "its end too");
	is_int(added, 2, "and a revocation");
	ask("{\"cmd\":\"nodes\"}");
	is_int((int)json_integer_value(json_object_get(answered, "total_connected")), 1,
	       "nodes: the sum");
	is_int((int)json_array_size(json_object_get(answered, "nodes")), 2,
	       "of two nodes");
	pair_down();
}

static void
it_takes_what_the_other_says(void)
{
	uint8_t buf[256];
	char token[IPC_TOKEN_MAX + 1];
	static const char counts[] = "{\"connected\":5,\"hash\":\"x\",\"pool_mark\":9}";

	pair_up(NODE_PRIMARY, "");
	push_role();
	lab_login("u", token);
	struct session *s = session_at(lab.t, 0);
	struct cluster_entry e = { .key_n = IPC_SID,
				   .value_n = ENDPOINT_SIZE,
				   .expires_s =
					   endpoint_expiry_s(lab.now.wall_ms / 1000) };
	memcpy(e.key, s->claims.sid, IPC_SID);
	struct wr w = wr_open(buf, sizeof(buf));
	cluster_entry_encode(&w, &e);
	push("endpoints/b", CLUSTER_DELTA, wr_span(&w));
	ok(s->is_elsewhere, "a session is there");
	push("endpoints/b", 0, (struct span){ 0 });
	ok(!s->is_elsewhere, "a whole list without it: no more");
	push("endpoints/c", CLUSTER_DELTA, wr_span(&w));
	ok(!s->is_elsewhere, "a node that is not our peer is not heard");
	push("counts/b", 0, span_of(counts, sizeof(counts) - 1));
	push("node/b", 0, span_of("{\"role\":\"standby\"}", 18));
	ask("{\"cmd\":\"nodes\"}");
	is_int((int)json_integer_value(json_object_get(answered, "total_connected")), 5,
	       "its sessions count");
	e.value_n = 0;
	e.expires_s = s->claims.wall_expiry_s;
	w = wr_open(buf, sizeof(buf));
	cluster_entry_encode(&w, &e);
	push("revoked", CLUSTER_DELTA, wr_span(&w));
	is_int((int)session_count(lab.t, SESSION_FREE), (int)session_table_slots(lab.t),
	       "what it revoked ends here");
	push("endpoints/b", CLUSTER_DELTA, span_of("\377\377nonsense", 10));
	push("counts/b", 0, span_of("[1", 2));
	push("config-proposal", 0, span_of("\"x\"", 3));
	ok(true, "nonsense is survived");
	pair_down();
}

/* Up to the vote: our parent has said yes. */
static void
apply_to_vote(const char *json)
{
	pair_up(NODE_PRIMARY, "");
	push_role();
	ask(json);
	is_int(asked_how, CONFIG_CHECK, "our own parent is asked first");
	parent_says(false, "");
}

static void
peer_votes(const char *id, bool is_yes, const char *why)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "{\"vote\":\"%s\",\"yes\":%s,\"why\":\"%s\"}", id,
			 is_yes ? "true" : "false", why);

	push("counts/b", 0, span_of(text, (size_t)n));
}

static const char *
proposal_id(void)
{
	static char id[64];
	json_t *o = json_loads(text_of("config-proposal"), 0, NULL);
	const char *s = json_string_value(json_object_get(o, "id"));

	snprintf(id, sizeof(id), "%s", s != NULL ? s : "");
	json_decref(o);
	return id;
}

static const char apply_json[] =
	"{\"cmd\":\"config_apply\",\"text\":\"server { port = 444 }\\n\"}";

static void
both_must_agree(void)
{
	apply_to_vote(apply_json);
	ok(proposal_id()[0] != '\0', "it is proposed");
	ok(strcmp(text_of("config"), "") == 0, "and not committed");
	peer_votes("another", true, "");
	ok(strcmp(text_of("config"), "") == 0, "a vote on something else is none");
	peer_votes(proposal_id(), true, "");
	ok(strstr(text_of("config"), "444") != NULL, "with its yes it is");
	is_int(asked_how, CONFIG_TAKE, "and our parent takes it");
	ok(answered == NULL, "no answer before it runs");
	parent_says(false, "");
	is_str(answer_code(), "ok", "then it is said");
	pair_down();

	apply_to_vote(apply_json);
	peer_votes(proposal_id(), false, "certificate.pem: no such file");
	is_str(answer_code(), "config_refused", "with its no it is refused");
	ok(strstr(json_string_value(json_object_get(answered, "error")),
		  "b: certificate.pem") != NULL,
	   "naming the node");
	ok(strcmp(text_of("config"), "") == 0, "nothing is committed");
	pair_down();

	apply_to_vote(apply_json);
	lab_wait(6);
	pair_tick(pair);
	turn();
	is_str(answer_code(), "config_refused", "silence is a no");
	pair_down();

	apply_to_vote(apply_json);
	peer_is_away = true;
	push_role();
	ok(strstr(text_of("config"), "444") != NULL, "who left is not waited for");
	pair_down();
}

static void
mistakes_are_refused_at_once(void)
{
	pair_up(NODE_PRIMARY, "");
	push_role();
	ask("{\"cmd\":\"config_apply\",\"text\":\"nonsense = 1\\n\"}");
	is_str(answer_code(), "config_refused", "an unknown setting");
	is_int(asked, 0, "the parent is not even asked");
	ask(apply_json);
	parent_says(true, "key.pem: no such file");
	is_str(answer_code(), "config_refused", "a missing file");
	is_str(proposal_id(), "", "nothing is proposed");
	put_status = CLUSTER_CONFLICT;
	peer_is_away = true;
	push_role();
	ask(apply_json);
	parent_says(false, "");
	is_str(answer_code(), "config_refused", "somebody else was faster");
	ask("{\"cmd\":\"config_apply\"}");
	is_str(answer_code(), "bad_request", "no text");
	ask("{\"cmd\":\"config_confirm\"}");
	is_str(answer_code(), "not_found", "nothing to confirm");
	ask("{\"cmd\":\"config_rollback\",\"generation\":99}");
	is_str(answer_code(), "not_found", "no such generation");
	ask("{\"cmd\":\"config_what\"}");
	is_str(answer_code(), "unknown_command", "no such command");
	pair_down();
}

static void
a_proposal_is_voted_on(void)
{
	static const char good[] =
		"{\"id\":\"1\",\"node\":\"b\",\"text\":\"server { }\\n\"}",
			  bad[] = "{\"id\":\"2\",\"node\":\"b\",\"text\":\"x = 1\\n\"}";

	pair_up(NODE_SPARE, "");
	push_role();
	push("config-proposal", 0, span_of(good, sizeof(good) - 1));
	is_int(asked_how, CONFIG_CHECK, "our parent is asked");
	parent_says(false, "");
	ok(strstr(text_of("counts/a"), "\"vote\":\"1\",\"yes\":true") != NULL,
	   "yes: %s", text_of("counts/a"));
	push("config-proposal", 0, span_of(bad, sizeof(bad) - 1));
	ok(strstr(text_of("counts/a"), "\"vote\":\"2\",\"yes\":false") != NULL,
	   "no: %s", text_of("counts/a"));
	is_int(asked, 1, "for a mistake nobody is asked");
	push("config", 0, SPAN("server { port = 445 }\n"));
	is_int(asked, 2, "what is committed");
	is_int(asked_how, CONFIG_TAKE, "is taken");
	push("config", 0, SPAN("server { port = 445 }\n"));
	is_int(asked, 2, "once");
	pair_down();
}

static void
what_is_refused_here_is_tried_again(void)
{
	unsigned was;

	pair_up(NODE_SPARE, "");
	push_role();
	push("config", 0, SPAN("server { port = 447 }\n"));
	parent_says(true, "key.pem: no such file");
	is_int(asked, 1, "refused: not at once again");
	lab_wait(4);
	pair_tick(pair);
	is_int(asked, 1, "nor after 4 s");
	lab_wait(2);
	pair_tick(pair);
	ok(asked == 2 && asked_how == CONFIG_TAKE && strstr(asked_text, "447") != NULL,
	   "after 5 s it is");
	parent_says(true, "key.pem: no such file");
	lab_wait(8);
	pair_tick(pair);
	is_int(asked, 2, "then less often");
	lab_wait(3);
	pair_tick(pair);
	is_int(asked, 3, "each time");
	for (int i = 0; i < 200; i++) { /* nobody answers: the parent died, say */
		lab_wait(10);
		pair_tick(pair);
	}
	ok(asked > 6 && asked < 15, "and never stops (%u)", asked);
	was = asked;
	push("config", 0, SPAN("server { port = 448 }\n"));
	is_int((int)asked, (int)was + 1, "another one is taken at once");
	parent_says(false, "");
	lab_wait(400);
	pair_tick(pair);
	is_int((int)asked, (int)was + 1, "and once");
	pair_down();
}

static void
what_nobody_confirms_returns(void)
{
	char text[512];

	/* This node did not apply it: the one that did is dead. */
	pair_up(NODE_SPARE, "");
	push_role();
	push("config", 0, SPAN("server { port = 446 }\n"));
	parent_says(false, "");
	char hash[PAIR_HASH + 1];
	pair_hash_text("server { port = 446 }\n", 22, hash);
	int n = snprintf(
		text, sizeof(text),
		"{\"hash\":\"%s\",\"until_ms\":%llu,\"back\":\"server { port = "
		"447 }\\n\",\"node\":\"b\"}",
		hash, (unsigned long long)lab.now.wall_ms + 5000);
	push("config-confirm", 0, span_of(text, (size_t)n));
	lab_wait(4);
	pair_tick(pair);
	turn();
	ok(strcmp(text_of("config"), "") == 0, "there is time to confirm");
	lab_wait(2);
	pair_tick(pair);
	turn();
	ok(strstr(text_of("config"), "447") != NULL, "then the one before returns");
	ok(removed > 0, "once");
	pair_down();
}

/* A new connection, to a store that has this configuration of that generation. */
static void
connect_again(const char *text, uint64_t config_generation)
{
	int fd[2];

	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "a new connection");
	close(store);
	store = fd[1];
	store_is_silent = true;
	pair_connect(pair, fd[0]);
	turn();
	store_send(&(struct cluster_msg){ .type = CLUSTER_CHANGED,
					  .name = SPAN("config"),
					  .generation = config_generation,
					  .bytes = span_str(text) });
	store_is_silent = false;
	/* HELLO is 1, the watches 2 to 7. */
	store_send(&(struct cluster_msg){ .type = CLUSTER_ANSWER, .id = 7 });
	turn();
}

static void
what_was_reloaded_without_the_store_is_news(void)
{
	pair_up(NODE_PRIMARY, "");
	push_role();
	push("config", 0, (struct span){ 0 });
	uint64_t seen = generation;
	close(store);
	store = -1;
	for (int i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	control.text = "server { port = 448 }\n";
	pair_hash_text(control.text, strlen(control.text), control.hash);
	connect_again("", seen);
	ok(strstr(text_of("config"), "448") != NULL, "it goes to the store");
	is_int(asked, 0, "and nothing comes from there");
	close(store);
	store = -1;
	for (int i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	connect_again("server { port = 449 }\n", seen + 50);
	is_int(asked_how, CONFIG_TAKE, "but what changed there meanwhile wins");
	pair_down();
}

static void
without_a_store_it_is_silent(void)
{
	pair_up(NODE_SINGLE, "");
	close(store);
	turn();
	ok(pair_status(pair) == NULL, "no pair in the status");
	pair_tick(pair);
	ask("{\"cmd\":\"nodes\"}");
	is_int((int)json_array_size(json_object_get(answered, "nodes")), 1, "one node");
	ask(apply_json);
	parent_says(false, "");
	is_int(asked_how, CONFIG_TAKE, "a configuration is applied here");
	parent_says(false, "");
	is_str(answer_code(), "ok", "alone");
	ask("{\"cmd\":\"config_apply\",\"text\":\"\",\"confirm_s\":5}");
	is_str(answer_code(), "no_store", "but nothing can return by itself");
	store = -1;
	pair_down();
}

static void
endpoints_are_what_the_waker_reads(void)
{
	static const uint8_t want[ENDPOINT_SIZE] = {
		4,   192, 0,   2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0xc3, 0x50,
		198, 51,  100, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xbb
	};
	struct ip_addr client = { .family = 4, .port = 50000, .b = { 192, 0, 2, 7 } },
		       local = { .family = 4, .port = 443, .b = { 198, 51, 100, 1 } };
	uint8_t value[ENDPOINT_SIZE];

	ok(endpoint_encode(value, &client, &local), "two addresses");
	is_mem(value, want, sizeof(want), "byte by byte");
	local.family = 6;
	ok(!endpoint_encode(value, &client, &local), "of one family");
	is_int((int)endpoint_since_s(endpoint_expiry_s(1000)), 1000, "and since when");
	is_int((int)endpoint_since_s(0), 0, "if it says");
}

int
main(void)
{
	it_says_what_it_has();
	it_takes_what_the_other_says();
	both_must_agree();
	mistakes_are_refused_at_once();
	a_proposal_is_voted_on();
	what_is_refused_here_is_tried_again();
	what_nobody_confirms_returns();
	what_was_reloaded_without_the_store_is_news();
	without_a_store_it_is_silent();
	endpoints_are_what_the_waker_reads();
	json_decref(answered);
	return done_testing();
}
