/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/object.h"

#include "common/b64.h"
#include "common/err.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECRET_MAX = 16 * 1024 };

int
object_seal(const char *name, const uint8_t pair[PAIRKEY], struct span plain,
	    char **text)
{
	size_t cap = plain.n + PAIRKEY_EXTRA, n, text_cap = (cap + 2) / 3 * 4 + 2;
	uint8_t *sealed = malloc(cap);
	int rc = E_NOMEM;

	*text = malloc(text_cap);
	if (sealed != NULL && *text != NULL)
		rc = pairkey_seal(pair, name, plain, sealed, cap, &n);
	if (rc == 0) {
		struct wr w = wr_open(*text, text_cap);
		b64_encode(&w, span_of(sealed, n));
		wr_u8(&w, '\0');
	} else {
		free(*text);
		*text = NULL;
	}
	free(sealed);
	return rc;
}

int
object_open(const char *name, const uint8_t pair[PAIRKEY], const char *text,
	    char **plain)
{
	uint8_t *sealed = malloc(SECRET_MAX), *out = calloc(1, SECRET_MAX + 1);
	size_t n = 0;
	int rc = E_NOMEM;

	*plain = NULL;
	if (sealed != NULL && out != NULL) {
		struct wr w = wr_open(sealed, SECRET_MAX);
		rc = b64_decode(&w, span_str(text));
		if (rc == 0)
			rc = pairkey_open(pair, name, wr_span(&w), out, SECRET_MAX, &n);
	}
	free(sealed);
	if (rc == 0 && memchr(out, '\0', n) != NULL)
		rc = E_PROTO;
	if (rc < 0) {
		free(out);
		return rc;
	}
	*plain = (char *)out;
	return 0;
}

int
object_write(const struct object *o, const char *name, const uint8_t pair[PAIRKEY],
	     uint8_t **bytes, size_t *n)
{
	char *sealed = NULL;
	int rc = object_seal(name, pair, span_str(o->key), &sealed);
	json_t *names = json_array();

	*bytes = NULL;
	for (size_t i = 0; i < o->facts.n_names; i++)
		json_array_append_new(names, json_string(o->facts.names[i]));
	json_t *j =
		rc < 0 ? NULL
		       : json_pack("{s:O,s:s,s:s,s:I,s:I,s:s}", "names", names, "chain",
				   o->chain, "key", sealed, "not_after",
				   (json_int_t)o->facts.not_after, "renew_at",
				   (json_int_t)o->renew_at, "directory", o->directory);
	*bytes = (uint8_t *)json_dumps(j, JSON_COMPACT);
	if (*bytes != NULL)
		*n = strlen((char *)*bytes);
	else if (rc == 0)
		rc = E_NOMEM;
	json_decref(j);
	json_decref(names);
	free(sealed);
	return rc;
}

static int
read_fields(struct object *o, const char *name, const uint8_t pair[PAIRKEY],
	    const json_t *j)
{
	const char *chain = json_string_value(json_object_get(j, "chain"));
	const char *key = json_string_value(json_object_get(j, "key"));
	const char *directory = json_string_value(json_object_get(j, "directory"));

	if (chain == NULL || key == NULL || directory == NULL ||
	    strlen(directory) >= sizeof(o->directory))
		return E_PROTO;
	strcpy(o->directory, directory);
	o->renew_at = json_integer_value(json_object_get(j, "renew_at"));
	o->chain = strdup(chain);
	if (o->chain == NULL)
		return E_NOMEM;
	int rc = object_open(name, pair, key, &o->key);
	return rc < 0 ? rc : cert_read(&o->facts, span_str(o->chain));
}

static int
check_pair(const struct object *o)
{
	const char *names[CERT_NAMES_MAX];
	char why[CERT_TEXT];
	EVP_PKEY *k;
	int rc = cert_key_read(&k, span_str(o->key));

	for (size_t i = 0; i < o->facts.n_names; i++)
		names[i] = o->facts.names[i];
	/* At a time when it is valid: whether that is now is not the question. */
	if (rc == 0)
		rc = cert_judge(span_str(o->chain), k, names, o->facts.n_names,
				o->facts.not_before, why, sizeof(why));
	EVP_PKEY_free(k);
	return rc < 0 ? E_PROTO : 0;
}

int
object_read(struct object *o, const char *name, const uint8_t pair[PAIRKEY],
	    struct span bytes)
{
	json_t *j = json_loadb((const char *)bytes.p, bytes.n, JSON_REJECT_DUPLICATES,
			       NULL);

	*o = (struct object){ .renew_at = 0 };
	int rc = json_is_object(j) ? read_fields(o, name, pair, j) : E_PROTO;
	if (rc == 0)
		rc = check_pair(o);
	json_decref(j);
	if (rc < 0)
		object_free(o);
	return rc;
}

void
object_free(struct object *o)
{
	cert_wipe(o->key);
	free(o->chain);
	*o = (struct object){ .renew_at = 0 };
}
