/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/clientca.h"

#include "acme/cert.h"
#include "acme/chain.h"
#include "acme/control.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
is_same(const char *path, const struct store_object *o)
{
	uint8_t *now;
	size_t n;

	if (file_read(AT_FDCWD, path, CHAIN_FILE_MAX, &now, &n) < 0)
		return false;
	bool same = n == o->n && memcmp(now, o->bytes, n) == 0;
	free(now);
	return same;
}

void
clientca_look(struct acmed *a)
{
	char path[ACMED_PATH + 32];

	if (!store_is_ready(a->store))
		return;
	const struct store_object *o = store_find(a->store, CLIENTCA_OBJECT);
	int rc = 0;
	snprintf(path, sizeof(path), "%s/" CLIENTCA_FILE, a->folder);
	if (o == NULL)
		rc = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	else if (!is_same(path, o))
		rc = file_replace(AT_FDCWD, path, span_of(o->bytes, o->n), 0644);
	if (rc < 0)
		log_limited(LOG_L_ERR, 0, "%s: %s", path, err_text(rc));
}

static bool
is_ready(struct acmed *a, uint32_t id)
{
	if (store_is_ready(a->store))
		return true;
	ctlsock_refuse(a->control, id, "no_store",
		       "the store is not reached: is hasync running?");
	return false;
}

/* Facts of each certificate, one by one. */
static json_t *
list(const char *pem)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	struct cert_facts *f = malloc(sizeof(*f));
	json_t *all = json_array();

	for (const char *at = strstr(pem, begin); f != NULL && at != NULL;) {
		const char *next = strstr(at + 1, begin);
		size_t n = next != NULL ? (size_t)(next - at) : strlen(at);
		if (cert_read(f, span_of(at, n)) == 0)
			json_array_append_new(
				all, json_pack("{s:s,s:s,s:I,s:I,s:s}", "subject",
					       f->subject, "issuer", f->issuer,
					       "not_before", (json_int_t)f->not_before,
					       "not_after", (json_int_t)f->not_after,
					       "sha256", f->sha256));
		at = next;
	}
	free(f);
	return all;
}

void
clientca_command(struct acmed *a, uint32_t id, const json_t *q)
{
	if (!is_ready(a, id))
		return;
	const struct store_object *o = store_find(a->store, CLIENTCA_OBJECT);
	if (o == NULL)
		ctlsock_refuse(
			a->control, id, "no_client_ca",
			"no client CA was uploaded: upload one with 'vpnctl cert "
			"client-ca upload FILE'");
	else
		ctlsock_answer(a->control, id,
			       json_pack("{s:s,s:o}", "pem", (const char *)o->bytes,
					 "certificates", list((const char *)o->bytes)));
}

struct change {
	struct acmed *a;
	uint32_t id;
};

static void
on_changed(void *arg, const struct cluster_msg *m)
{
	struct change *c = arg;

	if (m->status == CLUSTER_OK)
		ctlsock_answer(c->a->control, c->id,
			       json_pack("{s:i,s:b}", "copies", (int)m->copies,
					 "peer_away",
					 (m->flags & CLUSTER_PEER_AWAY) != 0));
	else
		ctlsock_refuse(c->a->control, c->id,
			       m->status == CLUSTER_NOENT ? "no_client_ca" : "failed",
			       "the client CA was not changed: %s",
			       cluster_status_text(m->status));
	acmed_look(c->a);
	free(c);
}

/* pem NULL: away with it. */
static void
change(struct acmed *a, uint32_t id, const char *pem)
{
	struct change *c = calloc(1, sizeof(*c));
	int rc = E_NOMEM;

	if (c != NULL) {
		*c = (struct change){ a, id };
		rc = pem == NULL
			     ? store_remove(a->store, CLIENTCA_OBJECT, on_changed, c)
			     : store_put(a->store, CLIENTCA_OBJECT, span_str(pem),
					 CLUSTER_ANY, on_changed, c);
	}
	if (rc < 0) {
		ctlsock_refuse(a->control, id, "failed", "%s", err_text(rc));
		free(c);
	}
}

void
clientca_set_command(struct acmed *a, uint32_t id, const json_t *q)
{
	struct chain_verdict v;
	size_t n = 0;

	if (!is_ready(a, id))
		return;
	uint8_t *file = control_file(q, "file", &n);
	if (file == NULL) {
		ctlsock_refuse(a->control, id, "bad_request",
			       "file must be a file as base64");
		return;
	}
	int rc = chain_judge_client_ca(span_of(file, n), (int64_t)acmed_wall_s(), &v);
	free(file);
	if (rc == 0)
		change(a, id, v.chain);
	else
		ctlsock_refuse(a->control, id,
			       rc == E_INVAL ? chain_fault_code(v.fault) : "failed",
			       "%s", rc == E_INVAL ? v.why : err_text(rc));
	chain_verdict_free(&v);
}

void
clientca_remove_command(struct acmed *a, uint32_t id, const json_t *q)
{
	if (!is_ready(a, id))
		return;
	if (store_find(a->store, CLIENTCA_OBJECT) == NULL)
		ctlsock_refuse(a->control, id, "no_client_ca",
			       "no client CA was uploaded");
	else
		change(a, id, NULL);
}
