/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/custom.h"

#include "acme/cert.h"
#include "acme/chain.h"
#include "acme/control.h"
#include "acme/csr.h"
#include "acme/object.h"
#include "common/b64.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ASKED = 4,                /* open questions to the other node */
	ASK_MS = 10000,           /* then it is away */
	ASK_OLD_S = 60,           /* what a node finds when it comes back is not done */
	KEY_FILE_MAX = 16 * 1024, /* of a key */
	LIVE_FILE_MAX = 256 * 1024,
	REQUEST_ID = 32, /* hexadecimal digits */
};

#define FILE_KEY "custom-next.key"
#define FILE_NEW_KEY "custom-new.key"
#define FILE_LIVE "custom.pem"
#define FILE_FORGET "forget-own" /* vpnd makes itself another key */

static const char *const slot_name[SLOTS] = { "primary", "spare" };

/* A request that the other node was asked for. */
struct asked {
	bool is_open;
	uint32_t control_id;
	enum custom_slot slot;
	char id[REQUEST_ID + 1];
	uint64_t until_ms;
};

struct custom {
	struct acmed *a;
	struct asked asked[ASKED];
	bool is_making;               /* FILE_NEW_KEY belongs to somebody */
	char handled[REQUEST_ID + 1]; /* the last request of the other node */
	uint64_t paired;              /* generation of cert/SLOT that was looked at */
};

/* One request in the making: whom to tell. */
struct making {
	struct acmed *a;
	uint32_t control_id;     /* 0: the other node asked */
	char id[REQUEST_ID + 1]; /* of its question */
	char *pem;
};

const char *
custom_slot_name(enum custom_slot s)
{
	return slot_name[s];
}

bool
custom_in_pair(const struct acmed *a)
{
	return a->config->node_role != NODE_SINGLE;
}

enum custom_slot
custom_own_slot(const struct acmed *a)
{
	return a->config->node_role == NODE_SPARE ? SLOT_SPARE : SLOT_PRIMARY;
}

/* ---- objects ---- */

static const char *
object_name(const char *prefix, enum custom_slot s, char out[CLUSTER_NAME_MAX + 1])
{
	snprintf(out, CLUSTER_NAME_MAX + 1, "%s%s", prefix, slot_name[s]);
	return out;
}

/* NULL: there is none, or it is not understood. */
static json_t *
object_get(const struct acmed *a, const char *prefix, enum custom_slot s)
{
	char name[CLUSTER_NAME_MAX + 1];
	const struct store_object *o =
		store_find(a->store, object_name(prefix, s, name));
	json_t *j =
		o == NULL ? NULL : json_loadb((const char *)o->bytes, o->n, 0, NULL);

	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

/* Takes j over. */
static int
object_put(struct acmed *a, const char *prefix, enum custom_slot s, json_t *j,
	   cluster_done done, void *arg)
{
	char name[CLUSTER_NAME_MAX + 1];
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	int rc = text == NULL ? E_NOMEM
			      : store_put(a->store, object_name(prefix, s, name),
					  span_str(text), CLUSTER_ANY, done, arg);

	free(text);
	json_decref(j);
	return rc;
}

static void
object_drop(struct acmed *a, const char *prefix, enum custom_slot s)
{
	char name[CLUSTER_NAME_MAX + 1];

	if (store_find(a->store, object_name(prefix, s, name)) != NULL)
		(void)store_remove(a->store, name, NULL, NULL);
}

static const char *
text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* ---- files ---- */

static const char *
file_path(const struct acmed *a, const char *name, char path[ACMED_PATH + 32])
{
	snprintf(path, ACMED_PATH + 32, "%s/%s", a->folder, name);
	return path;
}

static void
file_drop(const struct acmed *a, const char *name)
{
	char path[ACMED_PATH + 32];

	if (unlink(file_path(a, name, path)) < 0 && errno != ENOENT)
		log_limited(LOG_L_ERR, 0, "%s: %s", path, err_text(-errno));
}

static EVP_PKEY *
key_of_file(const struct acmed *a, const char *name)
{
	char path[ACMED_PATH + 32];
	uint8_t *bytes;
	size_t n;
	EVP_PKEY *key = NULL;

	if (file_read(AT_FDCWD, file_path(a, name, path), KEY_FILE_MAX, &bytes, &n) < 0)
		return NULL;
	(void)cert_key_read(&key, span_of(bytes, n));
	OPENSSL_cleanse(bytes, n);
	free(bytes);
	return key;
}

/* The public key of a request. */
static EVP_PKEY *
key_of_csr(const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509_REQ *r =
		in != NULL ? PEM_read_bio_X509_REQ(in, NULL, NULL, (void *)"") : NULL;
	EVP_PKEY *key = r != NULL ? X509_REQ_get_pubkey(r) : NULL;

	X509_REQ_free(r);
	BIO_free(in);
	return key;
}

static bool
file_is_key_of(const struct acmed *a, const char *name, const char *csr)
{
	EVP_PKEY *have = key_of_file(a, name), *want = key_of_csr(csr);
	bool is = have != NULL && want != NULL && EVP_PKEY_eq(have, want) == 1;

	EVP_PKEY_free(have);
	EVP_PKEY_free(want);
	return is;
}

/* ---- which node is meant ---- */

/* "primary", "spare", a node's own name, or nothing: this one. */
bool
custom_take_slot(struct acmed *a, uint32_t id, const json_t *q, enum custom_slot *slot)
{
	const struct line_role *r = store_role(a->store);
	const char *node = text_in(q, "node");

	*slot = custom_own_slot(a);
	if (node[0] == '\0' || strcmp(node, r->node) == 0)
		return true;
	if (strcmp(node, slot_name[SLOT_PRIMARY]) == 0) {
		*slot = SLOT_PRIMARY;
		return true;
	}
	bool is_spare = strcmp(node, slot_name[SLOT_SPARE]) == 0;
	if (!custom_in_pair(a)) {
		ctlsock_refuse(a->control, id, is_spare ? "no_spare" : "no_node",
			       is_spare ? "there is no spare: this node is not part of "
					  "a pair"
					: "no node is called so: only 'primary' is "
					  "there");
		return false;
	}
	if (is_spare || strcmp(node, r->peer) == 0) {
		*slot = is_spare ? SLOT_SPARE : !*slot;
		return true;
	}
	ctlsock_refuse(a->control, id, "no_node",
		       "no node is called so: say 'primary' or 'spare'");
	return false;
}

/* Nothing of this is for a node that is configured otherwise. */
static bool
is_custom(struct acmed *a, uint32_t id)
{
	if (a->config == NULL)
		ctlsock_refuse(a->control, id, "no_config",
			       "there is no configuration yet: is vpnd running?");
	else if (!store_is_ready(a->store))
		ctlsock_refuse(a->control, id, "no_store",
			       "the store is not reached: is hasync running?");
	else if (a->config->cert_method != METHOD_CUSTOM)
		ctlsock_refuse(a->control, id, "method",
			       "certificate.method is %s: set it to custom first",
			       a->config->cert_method == METHOD_AUTO ? "auto"
								     : "self-signed");
	else
		return true;
	return false;
}

/* ---- making a request ---- */

static int
key_make(struct acmed *a, EVP_PKEY **key)
{
	char path[ACMED_PATH + 32], *pem = NULL;
	int rc = cert_key_new(key, CERT_KEY_P256);

	if (rc == 0)
		rc = cert_key_pem(*key, &pem);
	if (rc == 0)
		rc = file_replace(AT_FDCWD, file_path(a, FILE_NEW_KEY, path),
				  span_str(pem), 0600);
	cert_wipe(pem);
	return rc;
}

/* The key of the request that the store has is the current one. */
static int
key_promote(struct acmed *a)
{
	char from[ACMED_PATH + 32], to[ACMED_PATH + 32];

	file_path(a, FILE_NEW_KEY, from);
	file_path(a, FILE_KEY, to);
	return rename(from, to) < 0 ? -errno : 0;
}

static void
on_removed(void *arg, const struct cluster_msg *m)
{
}

/* The other node asked: its question is answered and gone. */
static void
tell_other(struct acmed *a, const char *id, const char *error)
{
	enum custom_slot s = custom_own_slot(a);
	json_t *j = json_pack("{s:s}", "id", id);

	if (error != NULL)
		json_object_set_new(j, "error", json_string(error));
	(void)object_put(a, "acme/reply/", s, j, NULL, NULL);
	object_drop(a, "acme/request/", s);
}

static void
made(struct making *m, const char *error)
{
	struct acmed *a = m->a;

	a->custom->is_making = false;
	if (error != NULL)
		log_err(0, "no signing request was made: %s", error);
	else
		log_info(0, "a signing request was made");
	if (m->control_id == 0)
		tell_other(a, m->id, error);
	else if (error != NULL)
		ctlsock_refuse(a->control, m->control_id, "failed",
			       "no signing request was made: %s", error);
	else
		ctlsock_answer(a->control, m->control_id,
			       json_pack("{s:s,s:s}", "node",
					 slot_name[custom_own_slot(a)], "csr", m->pem));
	free(m->pem);
	free(m);
}

static void
on_stored(void *arg, const struct cluster_msg *answer)
{
	struct making *m = arg;
	struct acmed *a = m->a;
	int rc = 0;

	if (answer->status == CLUSTER_OK)
		rc = key_promote(a);
	else
		file_drop(a, FILE_NEW_KEY);
	made(m, answer->status != CLUSTER_OK ? cluster_status_text(answer->status)
		: rc < 0                     ? err_text(rc)
					     : NULL);
	acmed_look(a);
}

static void
make(struct acmed *a, const struct csr_fields *f, uint32_t control_id, const char *id)
{
	struct making *m = a->custom->is_making ? NULL : calloc(1, sizeof(*m));
	EVP_PKEY *key = NULL;

	if (m == NULL && control_id == 0)
		tell_other(a, id, "another one is being made");
	else if (m == NULL)
		ctlsock_refuse(a->control, control_id, "busy",
			       "another one is being made");
	if (m == NULL)
		return;
	m->a = a;
	m->control_id = control_id;
	snprintf(m->id, sizeof(m->id), "%s", id);
	a->custom->is_making = true;
	int rc = key_make(a, &key);
	if (rc == 0)
		rc = csr_make(key, f, &m->pem);
	if (rc == 0)
		rc = object_put(a, "csr/", custom_own_slot(a),
				json_pack("{s:s,s:o,s:I}", "csr", m->pem, "fields",
					  csr_json(f), "made",
					  (json_int_t)acmed_wall_s()),
				on_stored, m);
	EVP_PKEY_free(key);
	if (rc < 0) {
		file_drop(a, FILE_NEW_KEY);
		made(m, err_text(rc));
	}
}

/* ---- asking for one ---- */

static int
take_fields(struct acmed *a, const json_t *q, enum custom_slot slot,
	    struct csr_fields *f, char why[CSR_WHY])
{
	const char *names[ACMED_NAMES];
	char cn[64 * 4 + 1];
	int rc = csr_read(f, q, why);

	if (rc < 0)
		return rc;
	size_t n = acmed_names(a->config, names);
	for (size_t i = 0; i < n; i++)
		if (csr_add_host(f, names[i]) == E_LIMIT) {
			snprintf(why, CSR_WHY,
				 "Subject Alt Name (Hostnames): more than %d names "
				 "with those that clients dial",
				 CSR_HOSTS);
			return E_INVAL;
		}
	json_t *other = custom_in_pair(a)
				? object_get(a, "csr/", (enum custom_slot) !slot)
				: NULL;
	csr_common_name(text_in(other, "csr"), cn);
	bool is_same = other != NULL && strcasecmp(cn, f->common_name) == 0;
	json_decref(other);
	if (!is_same)
		return 0;
	snprintf(why, CSR_WHY,
		 "Common name: the %s has '%.64s' already; each node needs its own "
		 "(what both are called belongs into Subject Alt Name)",
		 slot_name[!slot], cn);
	return E_INVAL;
}

static void
ask_other(struct acmed *a, uint32_t control_id, enum custom_slot slot,
	  const struct csr_fields *f)
{
	struct asked *k = NULL;
	uint8_t random[REQUEST_ID / 2];

	for (unsigned i = 0; i < ASKED && k == NULL; i++)
		if (!a->custom->asked[i].is_open)
			k = &a->custom->asked[i];
	if (k == NULL || RAND_bytes(random, sizeof(random)) != 1) {
		ctlsock_refuse(a->control, control_id, "busy",
			       "the other node is being asked already");
		return;
	}
	*k = (struct asked){ .control_id = control_id,
			     .slot = slot,
			     .until_ms = uv_now(&a->loop) + ASK_MS };
	struct wr w = wr_open(k->id, sizeof(k->id));
	hex_encode(&w, span_of(random, sizeof(random)));
	int rc = object_put(a, "acme/request/", slot,
			    json_pack("{s:s,s:o,s:I}", "id", k->id, "fields",
				      csr_json(f), "asked", (json_int_t)acmed_wall_s()),
			    NULL, NULL);
	k->is_open = rc == 0;
	if (rc < 0)
		ctlsock_refuse(a->control, control_id, "failed",
			       "the other node cannot be asked: %s", err_text(rc));
}

void
custom_csr(struct acmed *a, uint32_t id, const json_t *q)
{
	struct csr_fields *f = malloc(sizeof(*f));
	char why[CSR_WHY];
	enum custom_slot slot;

	if (f == NULL)
		ctlsock_refuse(a->control, id, "failed", "%s", err_text(E_NOMEM));
	else if (!is_custom(a, id) || !custom_take_slot(a, id, q, &slot))
		;
	else if (take_fields(a, q, slot, f, why) < 0)
		ctlsock_refuse(a->control, id, "bad_field", "%s", why);
	else if (slot == custom_own_slot(a))
		make(a, f, id, "");
	else
		ask_other(a, id, slot, f);
	free(f);
}

void
custom_csr_show(struct acmed *a, uint32_t id, const json_t *q)
{
	enum custom_slot slot;

	if (!is_custom(a, id) || !custom_take_slot(a, id, q, &slot))
		return;
	json_t *o = object_get(a, "csr/", slot);
	if (o == NULL) {
		ctlsock_refuse(a->control, id, "no_csr",
			       "the %s has no signing request: generate a CSR",
			       slot_name[slot]);
		return;
	}
	json_object_set_new(o, "node", json_string(slot_name[slot]));
	ctlsock_answer(a->control, id, o);
}

/* Has the other node answered, or is it too late? */
static void
look_asked(struct custom *c)
{
	struct acmed *a = c->a;

	for (unsigned i = 0; i < ASKED; i++) {
		struct asked *k = &c->asked[i];
		if (!k->is_open)
			continue;
		json_t *reply = object_get(a, "acme/reply/", k->slot);
		json_t *csr = object_get(a, "csr/", k->slot);
		const char *error = json_string_value(json_object_get(reply, "error"));
		bool is_ours = strcmp(text_in(reply, "id"), k->id) == 0;
		if (is_ours && error != NULL) {
			ctlsock_refuse(a->control, k->control_id, "failed",
				       "the %s made no signing request: %s",
				       slot_name[k->slot], error);
			k->is_open = false;
		} else if (is_ours && csr != NULL) {
			ctlsock_answer(a->control, k->control_id,
				       json_pack("{s:s,s:s}", "node",
						 slot_name[k->slot], "csr",
						 text_in(csr, "csr")));
			k->is_open = false;
		} else if (uv_now(&a->loop) >= k->until_ms) {
			object_drop(a, "acme/request/", k->slot);
			ctlsock_refuse(a->control, k->control_id, "away",
				       "the %s does not answer: it makes its key "
				       "itself, so it has to be running; nothing was "
				       "made",
				       slot_name[k->slot]);
			k->is_open = false;
		}
		json_decref(reply);
		json_decref(csr);
	}
}

/* What the other node asks of us. */
static void
look_request(struct custom *c)
{
	struct acmed *a = c->a;
	json_t *o = object_get(a, "acme/request/", custom_own_slot(a));
	struct csr_fields *f = malloc(sizeof(*f));
	char why[CSR_WHY];
	const char *id = text_in(o, "id");
	int64_t age = (int64_t)acmed_wall_s() -
		      (int64_t)json_integer_value(json_object_get(o, "asked"));

	if (o == NULL || f == NULL || strlen(id) != REQUEST_ID ||
	    strcmp(id, c->handled) == 0)
		goto out;
	snprintf(c->handled, sizeof(c->handled), "%s", id);
	if (age > ASK_OLD_S || age < -ASK_OLD_S)
		tell_other(a, id, "it was asked long ago (do the clocks agree?)");
	else if (a->config->cert_method != METHOD_CUSTOM)
		tell_other(a, id, "certificate.method is not custom here");
	else if (take_fields(a, json_object_get(o, "fields"), custom_own_slot(a), f,
			     why) < 0)
		tell_other(a, id, why);
	else
		make(a, f, 0, id);
out:
	free(f);
	json_decref(o);
}

/* ---- uploads ---- */

struct uploading {
	struct acmed *a;
	uint32_t control_id;
	enum custom_slot slot;
	char warning[CHAIN_TEXT];
};

static void
on_uploaded(void *arg, const struct cluster_msg *m)
{
	struct uploading *u = arg;
	struct acmed *a = u->a;

	if (m->status != CLUSTER_OK) {
		ctlsock_refuse(a->control, u->control_id, "failed",
			       "the certificate was not stored: %s",
			       cluster_status_text(m->status));
	} else {
		json_t *o = json_pack("{s:s,s:i,s:b}", "node", slot_name[u->slot],
				      "copies", (int)m->copies, "peer_away",
				      (m->flags & CLUSTER_PEER_AWAY) != 0);
		if (u->warning[0] != '\0')
			json_object_set_new(o, "warning", json_string(u->warning));
		ctlsock_answer(a->control, u->control_id, o);
		log_info(0, "certificate for the %s uploaded%s%s", slot_name[u->slot],
			 u->warning[0] != '\0' ? ": " : "", u->warning);
	}
	acmed_look(a);
	free(u);
}

static void
store_upload(struct acmed *a, uint32_t id, enum custom_slot slot,
	     const struct chain_verdict *v)
{
	struct uploading *u = calloc(1, sizeof(*u));
	int rc = E_NOMEM;

	if (u != NULL) {
		*u = (struct uploading){ .a = a, .control_id = id, .slot = slot };
		memcpy(u->warning, v->warning, sizeof(u->warning));
		rc = object_put(a, "cert/", slot,
				json_pack("{s:s,s:s,s:s,s:I}", "device", v->device,
					  "chain", v->chain, "served", v->served,
					  "uploaded", (json_int_t)acmed_wall_s()),
				on_uploaded, u);
	}
	if (rc < 0) {
		ctlsock_refuse(a->control, id, "failed",
			       "the certificate was not stored: %s", err_text(rc));
		free(u);
	}
}

/* The public half is in the store; of our own slot the private one must be here. */
static EVP_PKEY *
current_key(const struct acmed *a, enum custom_slot slot)
{
	json_t *csr = object_get(a, "csr/", slot);
	EVP_PKEY *key = csr != NULL ? key_of_csr(text_in(csr, "csr")) : NULL;

	if (key != NULL && slot == custom_own_slot(a) &&
	    !file_is_key_of(a, FILE_KEY, text_in(csr, "csr"))) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	json_decref(csr);
	return key;
}

static void
judge_upload(struct acmed *a, uint32_t id, enum custom_slot slot, struct span device,
	     struct span chain)
{
	const char *names[ACMED_NAMES];
	struct chain_verdict v;
	struct chain_question question = { .device = device,
					   .chain = chain,
					   .key = current_key(a, slot),
					   .names = names,
					   .n_names = acmed_names(a->config, names),
					   .now_s = (int64_t)acmed_wall_s() };
	int rc = chain_judge(&question, &v);

	if (rc == 0) {
		store_upload(a, id, slot, &v);
	} else if (rc == E_INVAL) {
		log_info(0, "upload for the %s refused: %s%s%s", slot_name[slot], v.why,
			 v.detail[0] != '\0' ? ": " : "", v.detail);
		json_t *o =
			json_pack("{s:b,s:s,s:s,s:s}", "ok", 0, "error", v.why, "code",
				  chain_fault_code(v.fault), "node", slot_name[slot]);
		if (v.detail[0] != '\0')
			json_object_set_new(o, "detail", json_string(v.detail));
		ctlsock_answer(a->control, id, o);
	} else {
		ctlsock_refuse(a->control, id, "failed", "%s", err_text(rc));
	}
	chain_verdict_free(&v);
	EVP_PKEY_free(question.key);
}

void
custom_upload(struct acmed *a, uint32_t id, const json_t *q)
{
	enum custom_slot slot;
	size_t device_n = 0, chain_n = 0;

	if (!is_custom(a, id) || !custom_take_slot(a, id, q, &slot))
		return;
	uint8_t *device = control_file(q, "device", &device_n);
	uint8_t *chain = control_file(q, "chain", &chain_n);
	if (device == NULL || chain == NULL)
		ctlsock_refuse(a->control, id, "bad_request",
			       "device and chain must be files as base64");
	else
		judge_upload(a, id, slot, span_of(device, device_n),
			     span_of(chain, chain_n));
	free(device);
	free(chain);
}

/* ---- this node's upload becomes what it serves ---- */

static X509 *
leaf_of(const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *x = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, (void *)"") : NULL;

	BIO_free(in);
	return x;
}

static int
write_live(struct acmed *a, const char *served)
{
	char path[ACMED_PATH + 32], *all = NULL;
	uint8_t *key;
	size_t n;
	int rc = file_read(AT_FDCWD, file_path(a, FILE_KEY, path), KEY_FILE_MAX, &key,
			   &n);

	if (rc < 0)
		return rc;
	if (asprintf(&all, "%.*s%s", (int)n, (const char *)key, served) < 0) {
		all = NULL;
		rc = E_NOMEM;
	}
	OPENSSL_cleanse(key, n);
	free(key);
	if (rc == 0)
		rc = file_replace(AT_FDCWD, file_path(a, FILE_LIVE, path),
				  span_str(all), 0600);
	cert_wipe(all);
	return rc;
}

static void
look_upload(struct custom *c)
{
	struct acmed *a = c->a;
	char name[CLUSTER_NAME_MAX + 1];
	const struct store_object *s =
		store_find(a->store, object_name("cert/", custom_own_slot(a), name));

	if (s == NULL || s->generation == c->paired)
		return;
	c->paired = s->generation;
	json_t *o = object_get(a, "cert/", custom_own_slot(a));
	X509 *x = o != NULL ? leaf_of(text_in(o, "device")) : NULL;
	EVP_PKEY *key = key_of_file(a, FILE_KEY);
	/* For an older request than the current one: it was paired when it came. */
	if (x != NULL && key != NULL && X509_check_private_key(x, key) == 1) {
		int rc = write_live(a, text_in(o, "served"));
		if (rc < 0) {
			log_limited(LOG_L_ERR, 0, "%s/" FILE_LIVE ": %s", a->folder,
				    err_text(rc));
			c->paired = 0;
		}
	}
	X509_free(x);
	EVP_PKEY_free(key);
	json_decref(o);
}

/* The text of FILE_LIVE, if that is what the store says was uploaded for us. */
int
custom_live(const struct acmed *a, char **pem)
{
	char path[ACMED_PATH + 32];
	uint8_t *bytes;
	size_t n;
	json_t *o = object_get(a, "cert/", custom_own_slot(a));
	int rc = o == NULL ? E_NOENT
			   : file_read(AT_FDCWD, file_path(a, FILE_LIVE, path),
				       LIVE_FILE_MAX, &bytes, &n);

	*pem = NULL;
	json_decref(o);
	if (rc == 0)
		*pem = (char *)bytes; /* with a NUL behind it */
	return rc == -ENOENT ? E_NOENT : rc;
}

/* ---- deletion ---- */

static bool
config_is_running(const struct acmed *a)
{
	char path[ACMED_PATH + 32];

	snprintf(path, sizeof(path), "%s/running/tandem.conf", a->state_dir);
	return access(path, F_OK) == 0;
}

static bool
has_object(const struct acmed *a, const char *prefix, enum custom_slot s)
{
	char name[CLUSTER_NAME_MAX + 1];

	return store_find(a->store, object_name(prefix, s, name)) != NULL;
}

/* Back to auto: the active node removes what was uploaded, and each node what it has of
 * it when that is gone. A node that joins is not active and sees the pair's objects
 * before it could take its own draft for the pair's will. */
static void
look_deletion(struct custom *c)
{
	struct acmed *a = c->a;
	enum custom_slot own = custom_own_slot(a);

	if (a->config->cert_method != METHOD_AUTO || !config_is_running(a))
		return;
	for (unsigned s = 0; s < SLOTS && store_role(a->store)->is_active; s++) {
		if (has_object(a, "cert/", s))
			log_info(0, "method auto: the upload for the %s is deleted",
				 slot_name[s]);
		object_drop(a, "cert/", s);
		object_drop(a, "csr/", s);
	}
	if (has_object(a, "cert/", own) || has_object(a, "csr/", own) || c->is_making)
		return;
	c->paired = 0;
	file_drop(a, FILE_LIVE);
	file_drop(a, FILE_KEY);
	file_drop(a, FILE_NEW_KEY);
}

/* We died between the store's answer and the rename, or before that answer; or this is
 * another device in the old one's place, and nobody has the key of that request. */
static void
look_key(struct custom *c)
{
	struct acmed *a = c->a;
	char path[ACMED_PATH + 32];

	if (c->is_making)
		return;
	json_t *csr = object_get(a, "csr/", custom_own_slot(a));
	if (access(file_path(a, FILE_NEW_KEY, path), F_OK) == 0) {
		if (csr != NULL && file_is_key_of(a, FILE_NEW_KEY, text_in(csr, "csr")))
			(void)key_promote(a);
		else
			file_drop(a, FILE_NEW_KEY);
	}
	/* A file that is there and cannot be read is somebody's mistake, not a loss. */
	bool is_unreadable = access(file_path(a, FILE_KEY, path), F_OK) == 0 &&
			     access(path, R_OK) < 0;
	if (is_unreadable) {
		log_limited(LOG_L_ERR, 0, "%s: %s", path, err_text(-errno));
	} else if (csr != NULL && !file_is_key_of(a, FILE_KEY, text_in(csr, "csr"))) {
		log_warn(0, "the key of this node's signing request is not here: a new "
			    "CSR is needed");
		object_drop(a, "csr/", custom_own_slot(a));
	}
	json_decref(csr);
}

void
custom_look(struct custom *c)
{
	struct acmed *a = c->a;

	if (a->config == NULL || !store_is_ready(a->store))
		return;
	look_deletion(c);
	look_key(c);
	look_request(c);
	look_upload(c);
	look_asked(c);
}

/* As if the device had been replaced: what only this node knew is gone. */
void
custom_factory_reset(struct acmed *a, uint32_t id, const json_t *q)
{
	char path[ACMED_PATH + 32];
	enum custom_slot own;

	if (a->config == NULL || !store_is_ready(a->store)) {
		ctlsock_refuse(a->control, id, "no_store",
			       "the store is not reached: is hasync running?");
		return;
	}
	own = custom_own_slot(a);
	(void)file_replace(AT_FDCWD, file_path(a, FILE_FORGET, path),
			   (struct span){ 0 }, 0600);
	file_drop(a, FILE_LIVE);
	file_drop(a, FILE_KEY);
	file_drop(a, FILE_NEW_KEY);
	object_drop(a, "cert/", own);
	object_drop(a, "csr/", own);
	/* In a pair these are the other node's too, and come back from it. */
	if (!custom_in_pair(a)) {
		(void)store_remove(a->store, OBJECT_AUTO, on_removed, NULL);
		(void)store_remove(a->store, OBJECT_SELF, on_removed, NULL);
		(void)store_remove(a->store, OBJECT_ACCOUNT, on_removed, NULL);
	}
	a->custom->paired = 0;
	store_event(a->store, "factory_reset",
		    "keys and certificates of this node were forgotten");
	acmed_look(a);
	ctlsock_answer(a->control, id, json_pack("{s:s}", "node", slot_name[own]));
}

/* ---- status ---- */

static json_t *
slot_status(const struct acmed *a, enum custom_slot s)
{
	json_t *csr = object_get(a, "csr/", s), *cert = object_get(a, "cert/", s);
	X509 *x = cert != NULL ? leaf_of(text_in(cert, "device")) : NULL;
	EVP_PKEY *key = csr != NULL ? key_of_csr(text_in(csr, "csr")) : NULL;
	char cn[64 * 4 + 1];
	const char *state, *text;
	bool is_current =
		x != NULL && key != NULL && X509_check_private_key(x, key) == 1;

	csr_common_name(csr != NULL ? text_in(csr, "csr") : "", cn);
	if (cert == NULL && csr == NULL) {
		state = "action_needed";
		text = "action needed: generate a CSR, have it signed, upload the "
		       "certificate";
	} else if (cert == NULL) {
		state = "waiting";
		text = "a CSR was generated: have it signed and upload the certificate";
	} else if (!is_current && csr != NULL) {
		state = "renewing";
		text = "a certificate is in use; a newer CSR waits for its certificate";
	} else {
		state = "uploaded";
		text = "a certificate was uploaded";
	}
	json_t *o = json_pack("{s:s,s:s,s:b,s:b}", "state", state, "text", text,
			      "has_csr", csr != NULL, "has_certificate", cert != NULL);
	if (cn[0] != '\0')
		json_object_set_new(o, "common_name", json_string(cn));
	X509_free(x);
	EVP_PKEY_free(key);
	json_decref(csr);
	json_decref(cert);
	ERR_clear_error();
	return o;
}

json_t *
custom_status(const struct acmed *a)
{
	json_t *o = json_object();

	json_object_set_new(o, slot_name[SLOT_PRIMARY], slot_status(a, SLOT_PRIMARY));
	if (custom_in_pair(a))
		json_object_set_new(o, slot_name[SLOT_SPARE],
				    slot_status(a, SLOT_SPARE));
	return o;
}

/* ---- */

int
custom_new(struct custom **out, struct acmed *a)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return E_NOMEM;
	(*out)->a = a;
	return 0;
}

void
custom_free(struct custom *c)
{
	free(c);
}
