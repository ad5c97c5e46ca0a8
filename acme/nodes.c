/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/nodes.h"

#include "acme/control.h"
#include "acme/custom.h"
#include "acme/live.h"
#include "acme/status.h"
#include "common/file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVE_FILE_MAX = 256 * 1024 };

static const char begin[] = "-----BEGIN CERTIFICATE-----";

static const char *
object_of(enum custom_slot s, char name[CLUSTER_NAME_MAX + 1])
{
	snprintf(name, CLUSTER_NAME_MAX + 1, "cert/live/%s", custom_slot_name(s));
	return name;
}

/* The certificates of live.pem; the key in front stays behind. */
static char *
served_read(const struct acmed *a)
{
	char path[ACMED_PATH + 16], *out = NULL;
	uint8_t *bytes;
	size_t n;

	snprintf(path, sizeof(path), "%s/live.pem", a->folder);
	if (file_read(AT_FDCWD, path, LIVE_FILE_MAX, &bytes, &n) < 0)
		return NULL;
	const char *from = strstr((const char *)bytes, begin);
	if (from != NULL && strstr(from, "PRIVATE KEY") == NULL)
		out = strdup(from);
	OPENSSL_cleanse(bytes, n);
	free(bytes);
	return out;
}

static X509 *
last_of(const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *last = NULL, *x;

	while (in != NULL &&
	       (x = PEM_read_bio_X509(in, NULL, NULL, (void *)"")) != NULL) {
		X509_free(last);
		last = x;
	}
	BIO_free(in);
	ERR_clear_error();
	return last;
}

static char *
pem_of(X509 *x)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *p = NULL, *copy = NULL;

	if (out != NULL && PEM_write_bio_X509(out, x) == 1) {
		long n = BIO_get_mem_data(out, &p);
		copy = strndup(p, (size_t)n);
	}
	BIO_free(out);
	return copy;
}

/* Whom this system trusts and who signed x. */
static char *
root_of_system(X509 *x)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = NULL;
	char *pem = NULL;

	if (store != NULL && ctx != NULL && X509_STORE_set_default_paths(store) == 1 &&
	    X509_STORE_CTX_init(ctx, store, x, NULL) == 1 &&
	    X509_STORE_CTX_get1_issuer(&root, ctx, x) == 1 &&
	    X509_verify(x, X509_get0_pubkey(root)) == 1)
		pem = pem_of(root);
	X509_free(root);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return pem;
}

/* The last certificate of the upload, or the one that signed the last that is served.
 */
static char *
root_read(const struct acmed *a, const char *served)
{
	char name[CLUSTER_NAME_MAX + 1];
	X509 *x = NULL;

	if (live_source(a->live) == LIVE_CUSTOM) {
		snprintf(name, sizeof(name), "cert/%s",
			 custom_slot_name(custom_own_slot(a)));
		const struct store_object *s = store_find(a->store, name);
		json_t *o = s == NULL
				    ? NULL
				    : json_loadb((const char *)s->bytes, s->n, 0, NULL);
		const char *chain = json_string_value(json_object_get(o, "chain"));
		x = chain != NULL ? last_of(chain) : NULL;
		json_decref(o);
	}
	bool is_upload = x != NULL;
	if (x == NULL)
		x = last_of(served);
	char *pem = x == NULL                                  ? NULL
		    : is_upload || X509_self_signed(x, 0) == 1 ? pem_of(x)
							       : root_of_system(x);
	X509_free(x);
	return pem;
}

static json_t *
own(const struct acmed *a)
{
	const struct cert_facts *f = live_facts(a->live);
	char *served = f != NULL ? served_read(a) : NULL;
	char *root = served != NULL ? root_read(a, served) : NULL;
	json_t *o = json_pack("{s:s,s:s}", "node", store_role(a->store)->node, "source",
			      live_source_text(live_source(a->live)));

	if (f != NULL)
		json_object_set_new(o, "live", status_cert(f));
	if (served != NULL)
		json_object_set_new(o, "served", json_string(served));
	if (root != NULL)
		json_object_set_new(o, "root", json_string(root));
	free(served);
	free(root);
	return o;
}

/* Is what the store says of this node still so? To look a root up takes a while: only
 * for a certificate that is another one. */
static bool
is_told(const struct acmed *a, const struct store_object *now)
{
	const struct cert_facts *f = live_facts(a->live);
	json_t *j = now == NULL ? NULL
				: json_loadb((const char *)now->bytes, now->n, 0, NULL);
	const char *node = json_string_value(json_object_get(j, "node"));
	const char *source = json_string_value(json_object_get(j, "source"));
	const char *sha = json_string_value(
		json_object_get(json_object_get(j, "live"), "sha256"));
	bool is_it =
		node != NULL && source != NULL &&
		strcmp(node, store_role(a->store)->node) == 0 &&
		strcmp(source, live_source_text(live_source(a->live))) == 0 &&
		(f == NULL ? sha == NULL : sha != NULL && strcmp(sha, f->sha256) == 0);

	json_decref(j);
	return is_it;
}

void
nodes_look(struct acmed *a)
{
	char name[CLUSTER_NAME_MAX + 1];

	if (a->config == NULL || !store_is_ready(a->store) ||
	    store_role(a->store)->node[0] == '\0')
		return;
	if (is_told(a, store_find(a->store, object_of(custom_own_slot(a), name))))
		return;
	json_t *o = own(a);
	char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	if (text != NULL)
		(void)store_put(a->store, name, span_str(text), CLUSTER_ANY, NULL,
				NULL);
	free(text);
	json_decref(o);
}

static json_t *
slot_get(const struct acmed *a, enum custom_slot s)
{
	char name[CLUSTER_NAME_MAX + 1];
	const struct store_object *o = store_find(a->store, object_of(s, name));
	json_t *j =
		o == NULL ? NULL : json_loadb((const char *)o->bytes, o->n, 0, NULL);

	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

void
nodes_status(const struct acmed *a, json_t *o)
{
	const char *names[ACMED_NAMES];
	json_t *all = json_object(), *dialled = json_array();

	if (a->config != NULL) {
		size_t n = acmed_names(a->config, names);
		for (size_t i = 0; i < n; i++)
			json_array_append_new(dialled, json_string(names[i]));
		json_object_set_new(o, "own",
				    json_string(custom_slot_name(custom_own_slot(a))));
		json_object_set_new(o, "pair", json_boolean(custom_in_pair(a)));
		json_object_set_new(o, "without_ddns",
				    json_boolean(a->config->cert_without_ddns));
	}
	for (unsigned s = 0; s < SLOTS; s++) {
		json_t *j = slot_get(a, s);
		if (j == NULL ||
		    (s == SLOT_SPARE && a->config != NULL && !custom_in_pair(a))) {
			json_decref(j);
			continue;
		}
		json_object_set_new(j, "has_root",
				    json_boolean(json_object_get(j, "root") != NULL));
		json_object_del(j, "served");
		json_object_del(j, "root");
		json_object_set_new(all, custom_slot_name(s), j);
	}
	json_object_set_new(o, "nodes", all);
	json_object_set_new(o, "names", dialled);
}

void
nodes_show_command(struct acmed *a, uint32_t id, const json_t *q)
{
	enum custom_slot slot;

	if (a->config == NULL || !store_is_ready(a->store)) {
		ctlsock_refuse(a->control, id, "no_store",
			       "the store is not reached: is hasync running?");
		return;
	}
	if (!custom_take_slot(a, id, q, &slot))
		return;
	json_t *o = slot_get(a, slot);
	if (o == NULL)
		ctlsock_refuse(a->control, id, "unknown",
			       "the %s has not said yet what it serves",
			       custom_slot_name(slot));
	else
		ctlsock_answer(a->control, id, o);
}
