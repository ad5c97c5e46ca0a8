/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/automatic.h"

#include "acme/challenge.h"
#include "acme/control.h"
#include "acme/object.h"
#include "acme/order.h"
#include "common/config/diff.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { TRUST_MAX = 1024 * 1024, SECRET_MAX = 4096, HTTPS_PORT = 443 };

struct automatic {
	struct acmed *a;
	struct client *client;
	struct challenges *challenges;
	struct account_host account_host;
	struct order_host order_host;
	struct account account;
	struct order order;
	uv_timer_t poll;
	uint64_t epoch;           /* in which the order began */
	uint64_t account_read;    /* generation of the account object that we have */
	uint64_t cert_generation; /* of cert/auto when the order began */
	uint8_t *bytes;           /* what is being stored */
	size_t n_bytes;
	struct object cert; /* what is in the store */
	uint64_t cert_read; /* its generation; 0 none */
	bool cert_is_rsa;
	bool is_trust_bad; /* ca_file cannot be read */
	char trust_why[512], trust_path[256];
	ino_t trust_ino;
	time_t trust_time;
	/* a command under way */
	uint32_t command;
	json_int_t reason; /* of the revocation */
	EVP_PKEY *next_key;
};

/* ---- the order's host ---- */

/* Each request anew: is it still ours to make? */
static bool
is_ours(const struct automatic *m)
{
	const struct line_role *r = store_role(m->a->store);

	return store_is_ready(m->a->store) && r->is_active && r->epoch == m->epoch;
}

static int
host_send(void *arg, const struct client_request *q)
{
	struct automatic *m = arg;

	return is_ours(m) ? client_send(m->client, q) : E_STALE;
}

static void
host_cancel(void *arg)
{
	struct automatic *m = arg;

	client_cancel(m->client);
}

static void
on_poll(uv_timer_t *t)
{
	struct automatic *m = t->data;

	order_poll(&m->order);
}

static void
host_timer(void *arg, uint64_t ms)
{
	struct automatic *m = arg;

	if (ms == 0)
		uv_timer_stop(&m->poll);
	else
		uv_timer_start(&m->poll, on_poll, ms, 0);
}

static uint32_t
host_random(void *arg)
{
	uint32_t v = 0;

	if (RAND_bytes((uint8_t *)&v, sizeof(v)) != 1)
		log_fatal("no random numbers");
	return v;
}

/* A renewal keeps the key: clients may have pinned it. */
static EVP_PKEY *
host_old_key(void *arg)
{
	struct automatic *m = arg;
	EVP_PKEY *key = NULL;
	bool wants_rsa = m->a->config->cert_key_type == CERT_RSA2048;

	if (m->cert.key == NULL || m->cert_is_rsa != wants_rsa)
		return NULL;
	(void)cert_key_read(&key, span_str(m->cert.key));
	return key;
}

static void
on_secret(void *arg, const struct cluster_msg *answer)
{
	struct automatic *m = arg;
	char name[CLUSTER_NAME_MAX + 1];
	uint8_t plain[SECRET_MAX + 1];
	size_t n = 0;
	int rc = E_NOENT;

	snprintf(name, sizeof(name), "secret/%s", m->a->config->cert_eab_secret);
	if (answer->status == CLUSTER_OK)
		rc = pairkey_open(m->a->pair_key, name, answer->bytes, plain,
				  SECRET_MAX, &n);
	if (rc < 0 && rc != E_NOENT)
		log_err(0, "%s: %s", name, err_text(rc));
	plain[n] = '\0';
	order_secret(&m->order, rc == 0 ? (const char *)plain : NULL);
	OPENSSL_cleanse(plain, sizeof(plain));
}

static int
host_secret(void *arg)
{
	struct automatic *m = arg;
	char name[CLUSTER_NAME_MAX + 1];

	snprintf(name, sizeof(name), "secret/%s", m->a->config->cert_eab_secret);
	return store_get(m->a->store, name, on_secret, m);
}

static int
host_show(void *arg, const struct order_challenge *q)
{
	struct automatic *m = arg;

	return is_ours(m) ? challenge_show(m->challenges, q) : E_STALE;
}

static void
host_withdraw(void *arg)
{
	struct automatic *m = arg;

	challenge_withdraw(m->challenges);
}

static void
host_keep_account(void *arg, const struct account *k)
{
	struct automatic *m = arg;
	char *pem = NULL, *sealed = NULL;
	int rc = cert_key_pem(k->key, &pem);

	if (rc == 0)
		rc = object_seal(OBJECT_ACCOUNT, m->a->pair_key, span_str(pem),
				 &sealed);
	json_t *j = rc < 0 ? NULL
			   : json_pack("{s:s,s:s,s:s}", "directory", k->url, "kid",
				       k->kid, "key", sealed);
	char *text = json_dumps(j, JSON_COMPACT);
	if (text != NULL)
		rc = store_put(m->a->store, OBJECT_ACCOUNT, span_str(text), CLUSTER_ANY,
			       NULL, NULL);
	if (rc < 0)
		log_warn(0, "the account is not kept: %s", err_text(rc));
	json_decref(j);
	free(text);
	free(sealed);
	cert_wipe(pem);
}

static void on_stored(void *arg, const struct cluster_msg *answer);

static int
put_cert(struct automatic *m, uint64_t generation)
{
	return store_put(m->a->store, OBJECT_AUTO, span_of(m->bytes, m->n_bytes),
			 generation, on_stored, m);
}

static void
stored(struct automatic *m, int rc)
{
	free(m->bytes);
	m->bytes = NULL;
	if (rc == E_EXIST)
		log_warn(0,
			 "another certificate was stored meanwhile: ours is dropped");
	order_stored(&m->order, rc);
	acmed_look(m->a);
}

static void
on_stored(void *arg, const struct cluster_msg *answer)
{
	struct automatic *m = arg;
	bool is_conflict = answer->status == CLUSTER_CONFLICT;

	if (m->bytes == NULL)
		return;
	/* What is there is only the memory of one that was removed. */
	if (is_conflict && store_find(m->a->store, OBJECT_AUTO) == NULL &&
	    answer->generation != m->cert_generation && is_ours(m)) {
		m->cert_generation = answer->generation;
		if (put_cert(m, answer->generation) == 0)
			return;
	}
	stored(m, answer->status == CLUSTER_OK ? 0 : is_conflict ? E_EXIST : E_CLOSED);
}

/* Only in place of the one that was there when the order began. */
static int
host_store(void *arg, const struct order_result *r)
{
	struct automatic *m = arg;
	struct object o = { .renew_at = r->renew_at };

	if (!is_ours(m))
		return E_STALE;
	free(m->bytes);
	m->bytes = NULL;
	o.chain = strdup(r->chain);
	o.key = strdup(r->key);
	snprintf(o.directory, sizeof(o.directory), "%s", r->directory);
	o.facts = *r->facts;
	int rc = o.chain == NULL || o.key == NULL
			 ? E_NOMEM
			 : object_write(&o, OBJECT_AUTO, m->a->pair_key, &m->bytes,
					&m->n_bytes);
	if (rc == 0)
		rc = put_cert(m, m->cert_generation);
	object_free(&o);
	return rc;
}

static void
host_event(void *arg, const char *event, const char *text)
{
	struct automatic *m = arg;

	store_event(m->a->store, event, text);
}

static void
on_shown(void *arg, int rc, const char *why)
{
	struct automatic *m = arg;

	order_shown(&m->order, rc, why);
}

static void
on_client(void *arg, const struct client_answer *answer)
{
	struct automatic *m = arg;

	account_answer(&m->account, answer);
}

/* ---- what is in the store ---- */

static void
read_cert(struct automatic *m)
{
	const struct store_object *s = store_find(m->a->store, OBJECT_AUTO);
	EVP_PKEY *key = NULL;

	if ((s == NULL ? 0 : s->generation) == m->cert_read)
		return;
	object_free(&m->cert);
	m->cert_read = s == NULL ? 0 : s->generation;
	if (s == NULL ||
	    object_read(&m->cert, OBJECT_AUTO, m->a->pair_key,
			span_of(s->bytes, s->n)) < 0 ||
	    cert_key_read(&key, span_str(m->cert.key)) < 0)
		return;
	m->cert_is_rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
	EVP_PKEY_free(key);
}

/* What the other node registered is ours too. */
static void
read_account(struct automatic *m)
{
	const struct store_object *s = store_find(m->a->store, OBJECT_ACCOUNT);
	EVP_PKEY *key = NULL;
	char *pem = NULL;

	if (s == NULL || s->generation == m->account_read || m->account.is_open)
		return;
	m->account_read = s->generation;
	json_t *j = json_loadb((const char *)s->bytes, s->n, 0, NULL);
	const char *url = json_string_value(json_object_get(j, "directory"));
	const char *kid = json_string_value(json_object_get(j, "kid"));
	const char *sealed = json_string_value(json_object_get(j, "key"));
	int rc = url == NULL || kid == NULL || sealed == NULL || !answer_url_ok(kid)
			 ? E_PROTO
			 : object_open(OBJECT_ACCOUNT, m->a->pair_key, sealed, &pem);
	if (rc == 0)
		rc = cert_key_read(&key, span_str(pem));
	if (rc == 0) {
		account_point(&m->account, url);
		rc = account_take(&m->account, key, kid);
	}
	if (rc < 0) {
		EVP_PKEY_free(key);
		log_warn(0, "%s in the store cannot be used: %s", OBJECT_ACCOUNT,
			 err_text(rc));
	}
	cert_wipe(pem);
	json_decref(j);
}

/* Anew when the setting or the file is another one. */
static void
read_trust(struct automatic *m)
{
	const char *path = m->a->config->cert_ca_file;
	struct stat st = { .st_ino = 0 };
	uint8_t *pem = NULL;
	size_t n;

	if (path[0] != '\0' && stat(path, &st) < 0)
		st.st_ino = 0;
	if (!m->is_trust_bad && strcmp(m->trust_path, path) == 0 &&
	    m->trust_ino == st.st_ino && m->trust_time == st.st_mtim.tv_sec)
		return;
	int rc = path[0] == '\0' ? 0 : file_read(AT_FDCWD, path, TRUST_MAX, &pem, &n);
	m->is_trust_bad = rc < 0;
	m->trust_ino = st.st_ino;
	m->trust_time = st.st_mtim.tv_sec;
	snprintf(m->trust_path, sizeof(m->trust_path), "%s", path);
	if (rc < 0)
		snprintf(m->trust_why, sizeof(m->trust_why),
			 "certificate.ca_file: %.300s: %s", path, err_text(rc));
	else
		(void)client_trust(m->client, (const char *)pem);
	free(pem);
}

/* ---- how things are ---- */

/* The section that keeps the record of an uplink's name, or NULL. */
static const struct config_ddns *
ddns_of(const struct config *c, unsigned wan)
{
	char title[16];

	snprintf(title, sizeof(title), "wan%u", wan + 1);
	for (unsigned i = 0; i < c->n_ddns; i++)
		if (strcmp(c->ddns[i].wan, title) == 0 &&
		    c->ddns[i].provider != DDNS_NONE)
			return &c->ddns[i];
	return NULL;
}

/* Is the record of the hostname kept? And does the server of every name that is to be
 * certified take updates of its zone? */
static bool
has_ddns(const struct config *c, bool *takes_updates)
{
	*takes_updates = true;
	for (unsigned i = 0; i < CONFIG_WANS; i++) {
		const char *name = i == 0 ? c->hostname : c->backup_hostname;
		const struct config_ddns *d = ddns_of(c, i);
		if (name[0] != '\0' && (d == NULL || d->provider != DDNS_RFC2136))
			*takes_updates = false;
	}
	return ddns_of(c, 0) != NULL;
}

static void
choose_types(const struct config *c, bool takes_updates, struct order_situation *s)
{
	bool is_any = c->cert_challenge == CHALLENGE_AUTO;

	s->types[TYPE_DNS] =
		c->cert_challenge == CHALLENGE_DNS || (is_any && takes_updates);
	s->types[TYPE_ALPN] = c->cert_challenge == CHALLENGE_ALPN ||
			      (is_any && c->port == HTTPS_PORT);
	s->types[TYPE_HTTP] = c->cert_challenge == CHALLENGE_HTTP || is_any;
}

/* R27, and what else has to be so before anything is asked. */
static const char *
precondition(struct automatic *m, const struct config *c, size_t n_names, bool has_dns,
	     bool takes_updates)
{
	if (n_names == 0)
		return "server.hostname: the certificate needs a name that clients "
		       "dial";
	if (!has_dns && !c->cert_without_ddns)
		return "a ddns section: nothing keeps the record of the hostname; add "
		       "one, or set certificate.without_ddns = true if the record is "
		       "kept elsewhere";
	if (c->cert_challenge == CHALLENGE_DNS && !takes_updates)
		return "a ddns section with provider rfc2136 for each name: challenge "
		       "dns-01 needs its zone";
	return m->is_trust_bad ? m->trust_why : NULL;
}

static void
situation(struct automatic *m, struct order_situation *s)
{
	const struct config *c = m->a->config;
	bool takes_updates, has_dns = has_ddns(c, &takes_updates);

	if (!order_is_busy(&m->order))
		read_trust(m);
	read_cert(m);
	read_account(m);
	*s = (struct order_situation){
		.now_s = (int64_t)acmed_wall_s(),
		.is_auto = c->cert_method == METHOD_AUTO && !c->certificate_file[0],
		.off_why = c->certificate_file[0]
				   ? "server.certificate names a file"
				   : (c->cert_method == METHOD_CUSTOM
					      ? "certificate.method is custom"
					      : "certificate.method is self-signed"),
		.is_ready = store_is_ready(m->a->store),
		.is_active = store_role(m->a->store)->is_active,
		.directory = c->cert_directory,
		.key_type = c->cert_key_type == CERT_RSA2048 ? CERT_KEY_RSA2048
							     : CERT_KEY_P256,
		.preferred = c->cert_chain,
		.email = c->cert_email,
		.agreed = c->cert_agree_tos,
		.eab_id = c->cert_eab_key_id,
		.has_cert = m->cert.chain != NULL,
		.facts = &m->cert.facts,
		.cert_directory = m->cert.directory,
		.cert_is_rsa = m->cert_is_rsa,
		.renew_at = m->cert.renew_at,
	};
	s->n_names = acmed_names(c, s->names);
	choose_types(c, takes_updates, s);
	s->waiting_for = precondition(m, c, s->n_names, has_dns, takes_updates);
	/* Requests of an order belong to the epoch it began in. */
	if (!order_is_busy(&m->order)) {
		m->epoch = store_role(m->a->store)->epoch;
		m->cert_generation = m->cert_read;
	}
}

void
automatic_look(struct automatic *m)
{
	struct order_situation s;

	challenge_look(m->challenges);
	if (m->a->config == NULL)
		return;
	situation(m, &s);
	order_look(&m->order, &s);
}

/* ---- life ---- */

static void
note_change(void *arg, const struct config_change *ch)
{
	static const char *const ours[] = { "certificate.",    "ddns.",
					    "server.hostname", "server.backup_hostname",
					    "server.port",     "server.certificate" };
	bool *is_ours_too = arg;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strncmp(ch->path, ours[i], strlen(ours[i])) == 0)
			*is_ours_too = true;
}

static bool
is_about_us(const struct config *was, const struct config *is)
{
	bool is_it = false;

	return config_diff(was, is, note_change, &is_it) < 0 || is_it;
}

void
automatic_changed(struct automatic *m, const struct config *was)
{
	if (m->a->config != NULL && (was == NULL || is_about_us(was, m->a->config)))
		order_changed(&m->order);
}

int
automatic_new(struct automatic **out, struct acmed *a)
{
	struct automatic *m = calloc(1, sizeof(*m));
	int rc;

	*out = m;
	if (m == NULL)
		return E_NOMEM;
	m->a = a;
	m->account_host = (struct account_host){ m, host_send, host_cancel };
	m->order_host = (struct order_host){
		.arg = m,
		.timer = host_timer,
		.random = host_random,
		.old_key = host_old_key,
		.secret = host_secret,
		.show = host_show,
		.withdraw = host_withdraw,
		.keep_account = host_keep_account,
		.store = host_store,
		.event = host_event,
	};
	uv_timer_init(&a->loop, &m->poll);
	m->poll.data = m;
	account_init(&m->account, &m->account_host);
	order_init(&m->order, &m->order_host, &m->account);
	if ((rc = client_new(&m->client, &a->loop, on_client, m)) < 0)
		return rc;
	return challenge_new(&m->challenges, a, on_shown, m);
}

void
automatic_close(struct automatic *m)
{
	if (m == NULL)
		return;
	account_cancel(&m->account);
	challenge_close(m->challenges);
	client_close(m->client);
	uv_close((uv_handle_t *)&m->poll, NULL);
}

void
automatic_free(struct automatic *m)
{
	if (m == NULL)
		return;
	order_free(&m->order);
	account_free(&m->account);
	EVP_PKEY_free(m->next_key);
	object_free(&m->cert);
	free(m->bytes);
	challenge_free(m->challenges);
	client_free(m->client);
	free(m);
}

json_t *
automatic_status(const struct automatic *m)
{
	const struct order *o = &m->order;
	char text[ORDER_WHY + 128];
	json_t *j;

	order_text(o, text, sizeof(text));
	j = json_pack("{s:s,s:s}", "state", order_state_name(o->state), "text", text);
	if (o->why[0] != '\0')
		json_object_set_new(j, "reason", json_string(o->why));
	if (o->state == ORDER_FAILED) {
		json_object_set_new(j, "next", json_integer(o->next_s));
		json_object_set_new(j, "failures", json_integer(o->failures));
	}
	if (m->cert.chain != NULL) {
		json_object_set_new(j, "not_after",
				    json_integer(m->cert.facts.not_after));
		json_object_set_new(j, "renewal",
				    json_integer(o->state == ORDER_LIVE
							 ? o->renew_at
							 : m->cert.renew_at));
	}
	if (m->account.kid[0] != '\0')
		json_object_set_new(j, "account", json_string(m->account.kid));
	return j;
}

/* ---- commands ---- */

void
automatic_renew_command(struct acmed *a, uint32_t id, const json_t *q)
{
	struct automatic *m = a->automatic;
	struct order_situation s;

	if (a->config == NULL) {
		ctlsock_refuse(a->control, id, "no_config", "no configuration yet");
		return;
	}
	situation(m, &s);
	order_now(&m->order, &s, json_is_true(json_object_get(q, "force")));
	ctlsock_answer(a->control, id, automatic_status(m));
}

/* May a command use the account now? Says why not. */
static bool
is_free(struct automatic *m, uint32_t id)
{
	struct ctlsock *c = m->a->control;
	struct order_situation s = { .is_auto = false };

	if (m->a->config != NULL)
		situation(m, &s);
	if (m->a->config == NULL || !s.is_auto)
		ctlsock_refuse(c, id, "not_auto",
			       "certificate.method is not auto: there is no account");
	else if (!s.is_ready || !s.is_active)
		ctlsock_refuse(c, id, "not_active",
			       "this node is not the active one: ask the other");
	else if (order_is_busy(&m->order) || m->account.is_open || m->command != 0)
		ctlsock_refuse(c, id, "busy",
			       "the account is in use just now: try again in a minute");
	else if (m->account.kid[0] == '\0')
		ctlsock_refuse(c, id, "no_account",
			       "there is no account at the authority yet");
	else
		return true;
	return false;
}

static void
command_refuse(struct automatic *m, const struct client_answer *answer)
{
	struct answer_problem p;

	answer_problem(&p, answer->body);
	if (answer->rc < 0)
		ctlsock_refuse(m->a->control, m->command, "no_answer", "%s",
			       answer->why);
	else
		ctlsock_refuse(m->a->control, m->command, "refused",
			       "the authority refuses: %s (%s)", p.detail, p.type);
	m->command = 0;
}

static void
on_revoked(void *arg, const struct client_answer *answer)
{
	struct automatic *m = arg;
	struct answer_problem p;

	answer_problem(&p, answer->body);
	if (answer->rc < 0 ||
	    (answer->status != 200 && strcmp(p.type, "alreadyRevoked") != 0)) {
		command_refuse(m, answer);
		return;
	}
	store_event(m->a->store, "cert_revoked", m->cert.facts.serial);
	/* Gone, with its key: both nodes serve something else at once, and the next
	 * order makes a new one. */
	(void)store_remove(m->a->store, OBJECT_AUTO, NULL, NULL);
	ctlsock_answer(m->a->control, m->command,
		       json_pack("{s:s}", "serial", m->cert.facts.serial));
	m->command = 0;
}

static int
send_revocation(struct automatic *m)
{
	char *leaf = NULL, *payload = NULL;
	int rc = cert_leaf_b64(span_str(m->cert.chain), &leaf);
	json_t *j = rc < 0 ? NULL
			   : json_pack("{s:s,s:I}", "certificate", leaf, "reason",
				       m->reason);

	payload = json_dumps(j, JSON_COMPACT);
	if (rc == 0 && payload == NULL)
		rc = E_NOMEM;
	if (rc == 0)
		rc = account_post(&m->account, m->account.directory.revoke, payload,
				  false, on_revoked, m);
	json_decref(j);
	free(payload);
	free(leaf);
	return rc;
}

static int send_roll(struct automatic *m);

/* Both commands need the directory first; what they do then is in next_key. */
static void
on_command_directory(void *arg, const struct client_answer *answer)
{
	struct automatic *m = arg;
	struct account *k = &m->account;

	k->has_directory = answer->rc == 0 && answer->status == 200 &&
			   answer_directory(&k->directory, answer->body) == 0;
	if (!k->has_directory) {
		command_refuse(m, answer);
		return;
	}
	int rc = m->next_key != NULL ? send_roll(m) : send_revocation(m);
	if (rc < 0) {
		ctlsock_refuse(m->a->control, m->command, "failed", "%s", err_text(rc));
		m->command = 0;
	}
}

static void
begin_command(struct automatic *m, uint32_t id)
{
	m->command = id;
	int rc = account_get(&m->account, m->a->config->cert_directory,
			     on_command_directory, m);
	if (rc < 0) {
		ctlsock_refuse(m->a->control, id, "failed", "%s", err_text(rc));
		m->command = 0;
	}
}

void
automatic_revoke_command(struct acmed *a, uint32_t id, const json_t *q)
{
	struct automatic *m = a->automatic;
	const json_t *reason = json_object_get(q, "reason");
	json_int_t r = json_integer_value(reason);

	if (reason != NULL &&
	    (!json_is_integer(reason) || (r != 0 && r != 1 && r != 4 && r != 5))) {
		ctlsock_refuse(
			a->control, id, "bad_request",
			"reason must be 0, 1 (key compromise), 4 (superseded) or "
			"5 (no longer used)");
		return;
	}
	if (!is_free(m, id))
		return;
	if (m->cert.chain == NULL) {
		ctlsock_refuse(a->control, id, "no_certificate",
			       "there is no certificate to revoke");
		return;
	}
	EVP_PKEY_free(m->next_key);
	m->next_key = NULL;
	m->reason = r;
	begin_command(m, id);
}

static void
on_rolled(void *arg, const struct client_answer *answer)
{
	struct automatic *m = arg;
	struct account *k = &m->account;
	char kid[ANSWER_URL];

	if (answer->rc < 0 || answer->status != 200) {
		EVP_PKEY_free(m->next_key);
		m->next_key = NULL;
		command_refuse(m, answer);
		return;
	}
	memcpy(kid, k->kid, sizeof(kid));
	(void)account_take(k, m->next_key, kid);
	m->next_key = NULL;
	host_keep_account(m, k);
	ctlsock_answer(m->a->control, m->command, json_pack("{s:s}", "account", kid));
	m->command = 0;
}

static int
send_roll(struct automatic *m)
{
	char *payload = NULL;
	int rc = account_roll(&m->account, m->next_key, &payload);

	if (rc == 0)
		rc = account_post(&m->account, m->account.directory.key_change, payload,
				  false, on_rolled, m);
	free(payload);
	return rc;
}

void
automatic_key_command(struct acmed *a, uint32_t id, const json_t *q)
{
	struct automatic *m = a->automatic;

	if (!is_free(m, id))
		return;
	EVP_PKEY_free(m->next_key);
	m->next_key = NULL;
	if (cert_key_new(&m->next_key, CERT_KEY_P256) < 0) {
		ctlsock_refuse(a->control, id, "failed", "no key could be made");
		return;
	}
	begin_command(m, id);
}
