/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/challenge.h"

#include "acme/http01.h"
#include "common/b64.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { ID_BYTES = 8, OBJECT = CLUSTER_NAME_MAX + 1, PATH = ACMED_PATH + 300 };

/* What this node answers now. */
struct open_challenge {
	bool is_used, is_seen;
	enum answer_type type;
	uint64_t generation;
	char object[OBJECT], name[ANSWER_NAME];
	char token[ANSWER_TOKEN], answer[JWS_KEYAUTH]; /* http-01 */
};

struct challenges {
	struct acmed *a;
	struct http01 *http;
	challenge_shown shown;
	void *arg;
	uv_timer_t timer;
	bool is_waiting;  /* for whom we show something: not told yet */
	bool is_put;      /* the store has it */
	bool was_cleaned; /* what an earlier one of us left has been removed */
	enum answer_type type;
	char object[OBJECT]; /* "" nothing is shown by us */
	char reply[OBJECT];  /* ddns/challenge/ID */
	struct open_challenge open[CHALLENGES_MAX];
};

/* ---- pure ---- */

int
challenge_txt(const char *keyauth, char out[64])
{
	uint8_t sha[32];
	struct wr w = wr_open(out, 64);
	int rc = jws_sha256(span_str(keyauth), sha);

	b64url_encode(&w, span_of(sha, sizeof(sha)));
	wr_u8(&w, '\0');
	return rc;
}

bool
challenge_file(const char *name, char *out, size_t n)
{
	if (name[0] == '\0' || name[0] == '.' || strlen(name) >= ANSWER_NAME)
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if (!isalnum((uint8_t)*p) && *p != '-' && *p != '.')
			return false;
	int k = snprintf(out, n, "alpn-%s.pem", name);
	for (char *p = out; *p != '\0'; p++)
		*p = (char)tolower((uint8_t)*p);
	return k > 0 && (size_t)k < n;
}

/* ---- every node: what is open ---- */

static const char *
find_answer(void *arg, struct span token)
{
	struct challenges *c = arg;

	for (size_t i = 0; i < CHALLENGES_MAX; i++)
		if (c->open[i].is_used && c->open[i].type == TYPE_HTTP &&
		    span_is(token, c->open[i].token))
			return c->open[i].answer;
	return NULL;
}

static int
write_alpn(struct challenges *c, const char *name, const uint8_t digest[32])
{
	char file[300], path[PATH], *pem;

	if (!challenge_file(name, file, sizeof(file)))
		return E_PROTO;
	int rc = cert_alpn(name, digest, &pem);
	snprintf(path, sizeof(path), "%s/%s", c->a->folder, file);
	if (rc == 0)
		rc = file_replace(AT_FDCWD, path, span_str(pem), 0600);
	cert_wipe(pem);
	return rc;
}

/* From the store; nothing of it is taken that is not of the right form. */
static int
open_one(struct challenges *c, struct open_challenge *o, const json_t *j)
{
	const char *type = json_string_value(json_object_get(j, "type"));
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *token = json_string_value(json_object_get(j, "token"));
	const char *answer = json_string_value(json_object_get(j, "answer"));
	const char *hex = json_string_value(json_object_get(j, "digest"));
	uint8_t digest[32];

	if (type == NULL || name == NULL || strlen(name) >= sizeof(o->name))
		return E_PROTO;
	strcpy(o->name, name);
	if (strcmp(type, "dns-01") == 0) {
		o->type = TYPE_DNS;
		return 0;
	}
	if (strcmp(type, "http-01") == 0) {
		if (token == NULL || answer == NULL || strlen(token) == 0 ||
		    strlen(token) >= sizeof(o->token) ||
		    strlen(answer) >= sizeof(o->answer))
			return E_PROTO;
		o->type = TYPE_HTTP;
		strcpy(o->token, token);
		strcpy(o->answer, answer);
		return 0;
	}
	if (strcmp(type, "tls-alpn-01") != 0 || hex == NULL ||
	    hex_decode(digest, sizeof(digest), span_str(hex)) < 0)
		return E_PROTO;
	o->type = TYPE_ALPN;
	return write_alpn(c, name, digest);
}

static void
take_object(struct challenges *c, const struct store_object *s)
{
	struct open_challenge *o = NULL;
	int rc;

	for (size_t i = 0; i < CHALLENGES_MAX; i++) {
		struct open_challenge *k = &c->open[i];
		if (k->is_used && strcmp(k->object, s->name) == 0) {
			k->is_seen = true;
			if (k->generation == s->generation)
				return;
			o = k;
		}
	}
	for (size_t i = 0; o == NULL && i < CHALLENGES_MAX; i++)
		if (!c->open[i].is_used)
			o = &c->open[i];
	if (o == NULL)
		return;
	*o = (struct open_challenge){ .is_used = true,
				      .is_seen = true,
				      .generation = s->generation,
				      .type = TYPES };
	snprintf(o->object, sizeof(o->object), "%s", s->name);
	json_t *j = json_loadb((const char *)s->bytes, s->n, 0, NULL);
	if ((rc = open_one(c, o, j)) < 0) {
		log_warn(0, "%s: %s", s->name, err_text(rc));
		o->type = TYPES;
	} else if (o->type != TYPE_DNS) {
		log_info(0, "challenge %s for %s is answered here",
			 answer_type_name(o->type), o->name);
	}
	json_decref(j);
}

static bool
is_open_alpn(const struct challenges *c, const char *file)
{
	char own[300];

	for (size_t i = 0; i < CHALLENGES_MAX; i++)
		if (c->open[i].is_used && c->open[i].type == TYPE_ALPN &&
		    challenge_file(c->open[i].name, own, sizeof(own)) &&
		    strcmp(own, file) == 0)
			return true;
	return false;
}

/* Also what a process before us left. */
static void
remove_files(struct challenges *c)
{
	DIR *d = opendir(c->a->folder);
	struct dirent *e;
	char path[PATH];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "alpn-", 5) != 0 || is_open_alpn(c, e->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", c->a->folder, e->d_name);
		(void)unlink(path);
	}
	if (d != NULL)
		closedir(d);
}

static void
listen_if_needed(struct challenges *c)
{
	bool is_needed = false;

	for (size_t i = 0; i < CHALLENGES_MAX; i++)
		is_needed |= c->open[i].is_used && c->open[i].type == TYPE_HTTP;
	int rc = http01_listen(c->http, is_needed);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "http-01: nothing to listen on: %s",
			    err_text(rc));
}

/* ---- the active node: what is shown ---- */

static void
tell(struct challenges *c, int rc, const char *why)
{
	if (!c->is_waiting)
		return;
	c->is_waiting = false;
	uv_timer_stop(&c->timer);
	c->shown(c->arg, rc, why);
}

static void
on_settled(uv_timer_t *t)
{
	tell(t->data, 0, "");
}

static void
on_no_reply(uv_timer_t *t)
{
	tell(t->data, -ETIMEDOUT,
	     "ddnsd did not put the record into the zone in 60 seconds: does it run?");
}

static void
on_put(void *arg, const struct cluster_msg *m)
{
	struct challenges *c = arg;

	if (!c->is_waiting)
		return;
	c->is_put = m->status == CLUSTER_OK;
	if (!c->is_put)
		tell(c, E_CLOSED, cluster_status_text(m->status));
	else if (c->type == TYPE_DNS)
		uv_timer_start(&c->timer, on_no_reply, CHALLENGE_DNS_MS, 0);
	else
		uv_timer_start(&c->timer, on_settled, CHALLENGE_SETTLE_MS, 0);
}

/* ddnsd's word. */
static void
look_reply(struct challenges *c)
{
	const struct store_object *s;
	const char *error;

	if (!c->is_waiting || c->type != TYPE_DNS || !c->is_put ||
	    (s = store_find(c->a->store, c->reply)) == NULL)
		return;
	json_t *j = json_loadb((const char *)s->bytes, s->n, 0, NULL);
	error = json_string_value(json_object_get(j, "error"));
	if (json_is_true(json_object_get(j, "done")))
		tell(c, 0, "");
	else if (error != NULL)
		tell(c, E_PROTO, error);
	json_decref(j);
}

static json_t *
published(const struct order_challenge *q)
{
	char text[300], value[68];
	uint8_t sha[32];
	struct wr w = wr_open(value, sizeof(value));

	switch (q->type) {
	case TYPE_HTTP:
		return json_pack("{s:s,s:s,s:s,s:s}", "type", "http-01", "name",
				 q->name, "token", q->token, "answer", q->keyauth);
	case TYPE_ALPN:
		if (jws_sha256(span_str(q->keyauth), sha) < 0)
			return NULL;
		hex_encode(&w, span_of(sha, sizeof(sha)));
		wr_u8(&w, '\0');
		return json_pack("{s:s,s:s,s:s}", "type", "tls-alpn-01", "name",
				 q->name, "digest", value);
	case TYPE_DNS:
		if (challenge_txt(q->keyauth, value) < 0)
			return NULL;
		snprintf(text, sizeof(text), "_acme-challenge.%s", q->name);
		return json_pack("{s:s,s:s,s:s}", "type", "dns-01", "name", text,
				 "value", value);
	default: return NULL;
	}
}

int
challenge_show(struct challenges *c, const struct order_challenge *q)
{
	uint8_t random[ID_BYTES];
	char id[2 * ID_BYTES + 1];
	struct wr w = wr_open(id, sizeof(id));
	/* Never one that was used before: an old reply is none to this one. */
	int rc = RAND_bytes(random, sizeof(random)) == 1 ? 0 : E_TLS;

	challenge_withdraw(c);
	hex_encode(&w, span_of(random, sizeof(random)));
	wr_u8(&w, '\0');
	snprintf(c->object, sizeof(c->object), CHALLENGE_OBJECTS "%s", id);
	snprintf(c->reply, sizeof(c->reply), "ddns/challenge/%s", id);
	json_t *j = rc < 0 ? NULL : published(q);
	char *text = json_dumps(j, JSON_COMPACT);
	c->type = q->type;
	c->is_put = false;
	c->is_waiting = text != NULL;
	rc = text == NULL ? E_NOMEM
			  : store_put(c->a->store, c->object, span_str(text),
				      CLUSTER_ANY, on_put, c);
	if (rc < 0)
		c->is_waiting = false;
	json_decref(j);
	free(text);
	return rc;
}

void
challenge_withdraw(struct challenges *c)
{
	c->is_waiting = false;
	uv_timer_stop(&c->timer);
	if (c->object[0] != '\0')
		(void)store_remove(c->a->store, c->object, NULL, NULL);
	c->object[0] = '\0';
}

/* After a failover or a crash there are some that nobody waits for. */
static void
clean(struct challenges *c)
{
	const struct store_object *s;

	if (!store_role(c->a->store)->is_active) {
		c->was_cleaned = false;
		return;
	}
	if (c->was_cleaned)
		return;
	c->was_cleaned = true;
	for (size_t i = 0; (s = store_at(c->a->store, CHALLENGE_OBJECTS, i)) != NULL;
	     i++)
		if (strcmp(s->name, c->object) != 0)
			(void)store_remove(c->a->store, s->name, NULL, NULL);
}

void
challenge_look(struct challenges *c)
{
	const struct store_object *s;

	if (!store_is_ready(c->a->store)) {
		c->was_cleaned = false; /* what we took away meanwhile is still there */
		return;
	}
	clean(c);
	for (size_t i = 0; i < CHALLENGES_MAX; i++)
		c->open[i].is_seen = false;
	for (size_t i = 0; (s = store_at(c->a->store, CHALLENGE_OBJECTS, i)) != NULL;
	     i++)
		take_object(c, s);
	for (size_t i = 0; i < CHALLENGES_MAX; i++)
		if (c->open[i].is_used && !c->open[i].is_seen)
			c->open[i].is_used = false;
	remove_files(c);
	listen_if_needed(c);
	look_reply(c);
}

int
challenge_new(struct challenges **out, struct acmed *a, challenge_shown shown,
	      void *arg)
{
	struct challenges *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	*c = (struct challenges){ .a = a, .shown = shown, .arg = arg };
	uv_timer_init(&a->loop, &c->timer);
	c->timer.data = c;
	*out = c;
	return http01_new(&c->http, a, find_answer, c);
}

void
challenge_close(struct challenges *c)
{
	if (c == NULL)
		return;
	challenge_withdraw(c);
	http01_close(c->http);
	uv_close((uv_handle_t *)&c->timer, NULL);
}

void
challenge_free(struct challenges *c)
{
	if (c == NULL)
		return;
	http01_free(c->http);
	free(c);
}
