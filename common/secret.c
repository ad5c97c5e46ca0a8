/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/secret.h"

#include "common/err.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct secret {
	char name[SECRET_NAME_MAX + 1]; /* "": free */
	uint8_t *sealed;
	size_t n;
};

struct secrets {
	uint8_t key[PAIRKEY];
	struct secret at[SECRETS_MAX];
};

bool
secret_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= SECRET_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

const char *
secret_object(const char *name, char buf[SECRET_OBJECT])
{
	snprintf(buf, SECRET_OBJECT, SECRET_PREFIX "%s", name);
	return buf;
}

int
secret_seal(const uint8_t key[PAIRKEY], const char *name, struct span value,
	    uint8_t sealed[SECRET_SEALED_MAX], size_t *n)
{
	char object[SECRET_OBJECT];

	if (!secret_name_ok(name) || value.n == 0 || value.n > SECRET_VALUE_MAX ||
	    memchr(value.p, '\0', value.n) != NULL)
		return E_INVAL;
	return pairkey_seal(key, secret_object(name, object), value, sealed,
			    SECRET_SEALED_MAX, n);
}

int
secrets_new(struct secrets **out, const uint8_t key[PAIRKEY])
{
	struct secrets *s = calloc(1, sizeof(*s));

	*out = s;
	if (s == NULL)
		return E_NOMEM;
	memcpy(s->key, key, PAIRKEY);
	return 0;
}

void
secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < SECRETS_MAX; i++)
		free(s->at[i].sealed);
	OPENSSL_cleanse(s->key, sizeof(s->key));
	free(s);
}

/* The one of this name, else a free place, else NULL. */
static struct secret *
place_of(struct secrets *s, const char *name)
{
	struct secret *room = NULL;

	for (size_t i = 0; i < SECRETS_MAX; i++) {
		if (strcmp(s->at[i].name, name) == 0)
			return &s->at[i];
		if (room == NULL && s->at[i].name[0] == '\0')
			room = &s->at[i];
	}
	return room;
}

static void
forget(struct secret *p)
{
	free(p->sealed);
	*p = (struct secret){ .n = 0 };
}

bool
secrets_take(struct secrets *s, const struct cluster_msg *m)
{
	const size_t prefix = sizeof(SECRET_PREFIX) - 1;
	char name[SECRET_NAME_MAX + 1] = "";

	if (m->type != CLUSTER_CHANGED || !span_has_prefix(m->name, SECRET_PREFIX))
		return false;
	/* What lost at a heal is kept by hasync under a longer name: not ours. */
	if (m->name.n - prefix <= SECRET_NAME_MAX)
		memcpy(name, m->name.p + prefix, m->name.n - prefix);
	if (!secret_name_ok(name))
		return true;
	struct secret *p = place_of(s, name);
	if (p == NULL)
		return true;
	forget(p);
	if ((m->flags & CLUSTER_REMOVE) || m->bytes.n == 0 ||
	    m->bytes.n > SECRET_SEALED_MAX)
		return true;
	p->sealed = malloc(m->bytes.n);
	if (p->sealed == NULL)
		return true;
	memcpy(p->sealed, m->bytes.p, m->bytes.n);
	p->n = m->bytes.n;
	memcpy(p->name, name, sizeof(name));
	return true;
}

int
secrets_open(const struct secrets *s, const char *name,
	     char value[SECRET_VALUE_MAX + 1], size_t *n)
{
	char object[SECRET_OBJECT];
	size_t got = 0;

	value[0] = '\0';
	if (!secret_name_ok(name))
		return E_INVAL;
	for (size_t i = 0; i < SECRETS_MAX; i++) {
		const struct secret *p = &s->at[i];
		if (strcmp(p->name, name) != 0)
			continue;
		int rc = pairkey_open(s->key, secret_object(name, object),
				      span_of(p->sealed, p->n), (uint8_t *)value,
				      SECRET_VALUE_MAX, &got);
		value[rc == 0 ? got : 0] = '\0';
		if (n != NULL)
			*n = got;
		return rc;
	}
	return E_NOENT;
}
