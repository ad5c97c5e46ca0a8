/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/live.h"

#include "acme/custom.h"
#include "acme/jws.h"
#include "acme/object.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SELF_DAYS = 825, SELF_RENEW_DAYS = 30, DAY_S = 86400, FILE_MAX = 256 * 1024 };

/* An object of the store, opened: that takes a while, so once for each version. */
struct kept {
	uint64_t generation; /* 0: none was read */
	int rc;
	struct object object; /* when rc is 0 */
};

struct live {
	struct kept automatic, self;
	uint8_t seen[32]; /* SHA-256 of what `facts` were read off */
	enum live_source source;
	bool has_facts, is_making;
	struct cert_facts facts;
	unsigned told_days; /* of live_days_passed, for this certificate */
};

static const char *const source_text[LIVE_SOURCES] = {
	[LIVE_OWN] = "self-signed of this node",
	[LIVE_SELF] = "self-signed",
	[LIVE_AUTO] = "auto",
	[LIVE_CUSTOM] = "custom",
};

int
live_new(struct live **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? E_NOMEM : 0;
}

void
live_free(struct live *l)
{
	if (l == NULL)
		return;
	object_free(&l->automatic.object);
	object_free(&l->self.object);
	free(l);
}

enum live_source
live_source(const struct live *l)
{
	return l->source;
}

const char *
live_source_text(enum live_source s)
{
	return source_text[s];
}

const struct cert_facts *
live_facts(const struct live *l)
{
	return l->has_facts ? &l->facts : NULL;
}

unsigned
live_days_passed(int64_t left_s)
{
	static const unsigned days[] = { 1, 3, 7, 14, 30 };

	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++)
		if (left_s <= (int64_t)days[i] * DAY_S)
			return days[i];
	return 0;
}

/* What the store has under this name, or NULL. */
static const struct object *
kept_look(struct kept *k, const struct acmed *a, const char *name)
{
	const struct store_object *s = store_find(a->store, name);

	if (s != NULL && s->generation == k->generation)
		return k->rc == 0 ? &k->object : NULL;
	object_free(&k->object);
	k->generation = s != NULL ? s->generation : 0;
	k->rc = s != NULL ? object_read(&k->object, name, a->pair_key,
					span_of(s->bytes, s->n))
			  : E_NOENT;
	if (s != NULL && k->rc < 0)
		log_err(0, "%s in the store cannot be used: %s", name,
			k->rc == E_AUTH ? "it is sealed under another pair key"
					: err_text(k->rc));
	return k->rc == 0 ? &k->object : NULL;
}

/* ---- cert/self ---- */

static void
on_made(void *arg, const struct cluster_msg *m)
{
	struct acmed *a = arg;

	a->live->is_making = false;
	if (m->status != CLUSTER_OK && m->status != CLUSTER_CONFLICT)
		log_warn(0, "the shared self-signed certificate was not stored: %s",
			 cluster_status_text(m->status));
}

static int
self_make(struct acmed *a, const char *const *names, size_t n, struct object *o)
{
	EVP_PKEY *key = NULL;
	int rc = cert_key_new(&key, CERT_KEY_P256);

	if (rc == 0)
		rc = cert_key_pem(key, &o->key);
	if (rc == 0)
		rc = cert_self_signed(key, names, n, (int64_t)acmed_wall_s(), SELF_DAYS,
				      &o->chain);
	if (rc == 0)
		rc = cert_read(&o->facts, span_str(o->chain));
	EVP_PKEY_free(key);
	return rc;
}

static void
self_store(struct live *l, struct acmed *a, const char *const *names, size_t n,
	   uint64_t generation)
{
	struct object o = { .renew_at = 0 };
	uint8_t *bytes = NULL;
	size_t size = 0;
	int rc = self_make(a, names, n, &o);

	if (rc == 0)
		rc = object_write(&o, OBJECT_SELF, a->pair_key, &bytes, &size);
	if (rc == 0)
		rc = store_put(a->store, OBJECT_SELF, span_of(bytes, size), generation,
			       on_made, a);
	l->is_making = rc == 0;
	if (rc < 0)
		log_warn(0, "cannot make a self-signed certificate: %s", err_text(rc));
	else
		log_info(0, "self-signed certificate for both nodes made");
	free(bytes);
	object_free(&o);
}

/* The active node of a pair sees to it that there is a good one. */
static void
self_look(struct live *l, struct acmed *a)
{
	const struct line_role *role = store_role(a->store);
	const struct store_object *s = store_find(a->store, OBJECT_SELF);
	const char *names[ACMED_NAMES] = { "tandem" };
	size_t n = acmed_names(a->config, names);

	if (!role->is_active || role->peer[0] == '\0' || l->is_making)
		return;
	if (n == 0)
		n = 1;
	const struct object *o = kept_look(&l->self, a, OBJECT_SELF);
	if (o == NULL || !cert_names_are(&o->facts, names, n) ||
	    o->facts.not_after <= (int64_t)acmed_wall_s() + SELF_RENEW_DAYS * DAY_S)
		self_store(l, a, names, n, s != NULL ? s->generation : 0);
}

/* ---- choosing ---- */

static bool
from_object(struct kept *k, const struct acmed *a, const char *name, char **pem)
{
	const struct object *o = kept_look(k, a, name);

	if (o != NULL && asprintf(pem, "%s%s", o->key, o->chain) < 0)
		*pem = NULL;
	return *pem != NULL;
}

static enum live_source
choose(struct live *l, const struct acmed *a, char **pem)
{
	enum cert_method method = a->config->cert_method;
	bool is_pair = store_role(a->store)->peer[0] != '\0';

	*pem = NULL;
	if (method == METHOD_AUTO && from_object(&l->automatic, a, OBJECT_AUTO, pem))
		return LIVE_AUTO;
	if (method == METHOD_CUSTOM && custom_live(a, pem) == 0)
		return LIVE_CUSTOM;
	if (is_pair && from_object(&l->self, a, OBJECT_SELF, pem))
		return LIVE_SELF;
	return LIVE_OWN;
}

/* ---- the file ---- */

static bool
is_there(const char *path, const char *pem)
{
	uint8_t *now;
	size_t n;

	if (file_read(AT_FDCWD, path, FILE_MAX, &now, &n) < 0)
		return false;
	bool is_same = n == strlen(pem) && CRYPTO_memcmp(now, pem, n) == 0;
	OPENSSL_cleanse(now, n);
	free(now);
	return is_same;
}

static int
put_file(const struct acmed *a, const char *pem, bool *is_news)
{
	char path[ACMED_PATH + 16];

	snprintf(path, sizeof(path), "%s/live.pem", a->folder);
	*is_news = false;
	if (pem == NULL) {
		*is_news = unlink(path) == 0;
		return !*is_news && errno != ENOENT ? -errno : 0;
	}
	if (is_there(path, pem))
		return 0;
	*is_news = true;
	return file_replace(AT_FDCWD, path, span_str(pem), 0600);
}

static void
note_facts(struct live *l, enum live_source source, const char *pem)
{
	/* Of the certificates in it; the key in front is passed over. */
	const char *first = pem != NULL ? strstr(pem, "-----BEGIN CERTIFICATE") : NULL;
	uint8_t sha[32] = { 0 };

	l->source = source;
	if (first != NULL && jws_sha256(span_str(first), sha) == 0 &&
	    memcmp(sha, l->seen, sizeof(sha)) == 0)
		return;
	memcpy(l->seen, sha, sizeof(sha));
	l->has_facts = first != NULL && cert_read(&l->facts, span_str(first)) == 0;
	l->told_days = 0;
}

static void
warn_expiry(struct live *l, struct acmed *a)
{
	int64_t left = l->facts.not_after - (int64_t)acmed_wall_s();
	unsigned days = live_days_passed(left);
	char text[512];

	/* A life shorter than that is renewed by the minute: nothing to tell. But
	 * nobody renews what an administrator uploaded. */
	bool is_short =
		l->source != LIVE_CUSTOM &&
		l->facts.not_after - l->facts.not_before < 2LL * (int64_t)days * DAY_S;
	if (!l->has_facts || days == 0 || is_short ||
	    (l->told_days != 0 && days >= l->told_days))
		return;
	l->told_days = days;
	snprintf(text, sizeof(text), "days=%u source=%s subject=%s%s", days,
		 source_text[l->source], l->facts.subject,
		 left <= 0                  ? " it has expired"
		 : l->source == LIVE_CUSTOM ? " upload a new one"
					    : "");
	store_event(a->store, "cert_expiring", text);
}

void
live_look(struct live *l, struct acmed *a)
{
	char *pem = NULL;
	bool is_news;

	if (a->config == NULL || !store_is_ready(a->store))
		return;
	self_look(l, a);
	enum live_source source = choose(l, a, &pem);
	int rc = put_file(a, pem, &is_news);
	note_facts(l, source, pem);
	cert_wipe(pem);
	if (rc < 0)
		log_limited(LOG_L_ERR, 0, "%s/live.pem cannot be written: %s",
			    a->folder, err_text(rc));
	else if (is_news)
		log_info(0, "live certificate: %s%s%s", source_text[source],
			 l->has_facts ? " serial=" : "",
			 l->has_facts ? l->facts.serial : "");
	warn_expiry(l, a);
}
