/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/record.h"

#include "common/err.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const provider_word[] = {
	[DDNS_NONE] = "none", [DDNS_RFC2136] = "rfc2136", [DDNS_DYNDNS2] = "dyndns2"
};
static const char *const algorithm_word[] = {
	[DDNS_SHA256] = "hmac-sha256", [DDNS_SHA512] = "hmac-sha512"
};

void
account_of(struct account *a, const struct config_ddns *d)
{
	*a = (struct account){ .provider = d->provider,
			       .port = d->port,
			       .algorithm = d->key_algorithm };
	memcpy(a->server, d->server, sizeof(a->server));
	memcpy(a->zone, d->zone, sizeof(a->zone));
	memcpy(a->key_name, d->key_name, sizeof(a->key_name));
	memcpy(a->secret, d->secret, sizeof(a->secret));
	memcpy(a->user, d->user, sizeof(a->user));
	memcpy(a->url, d->url, sizeof(a->url));
	memcpy(a->ca_file, d->ca_file, sizeof(a->ca_file));
}

const char *
record_type(const struct record *r)
{
	return r->address.family == 6 ? "AAAA" : "A";
}

/* A new key or port writes the same record; another server or zone does not. */
bool
record_same(const struct record *a, const struct record *b)
{
	return strcasecmp(a->name, b->name) == 0 &&
	       a->address.family == b->address.family &&
	       a->account.provider == b->account.provider &&
	       strcasecmp(a->account.zone, b->account.zone) == 0 &&
	       (a->account.provider == DDNS_DYNDNS2
			? strcmp(a->account.url, b->account.url) == 0
			: strcasecmp(a->account.server, b->account.server) == 0);
}

static bool
account_equal(const struct account *a, const struct account *b)
{
	return a->provider == b->provider && a->port == b->port &&
	       a->algorithm == b->algorithm && strcmp(a->server, b->server) == 0 &&
	       strcmp(a->zone, b->zone) == 0 && strcmp(a->key_name, b->key_name) == 0 &&
	       strcmp(a->secret, b->secret) == 0 && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->url, b->url) == 0 && strcmp(a->ca_file, b->ca_file) == 0;
}

bool
record_equal(const struct record *a, const struct record *b)
{
	return account_equal(&a->account, &b->account) &&
	       strcmp(a->name, b->name) == 0 &&
	       ip_same_host(&a->address, &b->address) &&
	       ip_same_host(&a->previous, &b->previous) && a->ttl_s == b->ttl_s;
}

bool
record_is_ours(const struct record *r, const struct ip_addr *a)
{
	return ip_same_host(&r->address, a) ||
	       (r->previous.family != 0 && ip_same_host(&r->previous, a));
}

struct record *
published_find(struct published *p, const struct record *r)
{
	for (unsigned i = 0; i < p->n; i++)
		if (record_same(&p->at[i], r))
			return &p->at[i];
	return NULL;
}

void
published_drop(struct published *p, const struct record *r)
{
	struct record *at = published_find(p, r);

	if (at == NULL)
		return;
	memmove(at, at + 1, (size_t)(&p->at[p->n] - (at + 1)) * sizeof(*at));
	p->n--;
}

void
published_add(struct published *p, const struct record *r)
{
	struct record *at = published_find(p, r);

	if (at == NULL && p->n == RECORDS_MAX) {
		memmove(&p->at[0], &p->at[1], (RECORDS_MAX - 1) * sizeof(p->at[0]));
		p->n--;
	}
	if (at == NULL)
		at = &p->at[p->n++];
	*at = *r;
}

char *
published_text(const struct published *p)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < p->n; i++) {
		const struct record *r = &p->at[i];
		const struct account *a = &r->account;
		char addr[IP_TEXT], previous[IP_TEXT] = "";

		ip_text(&r->address, addr);
		if (r->previous.family != 0)
			ip_text(&r->previous, previous);
		json_array_append_new(
			all,
			json_pack("{ss ss ss si ss ss si ss ss ss ss ss ss ss}", "name",
				  r->name, "address", addr, "previous", previous, "ttl",
				  (int)r->ttl_s, "provider", provider_word[a->provider],
				  "server", a->server, "port", (int)a->port, "zone",
				  a->zone, "key_name", a->key_name, "key_algorithm",
				  algorithm_word[a->algorithm], "secret", a->secret,
				  "user", a->user, "url", a->url, "ca_file",
				  a->ca_file));
	}
	json_t *o = json_pack("{so}", "records", all);
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

static bool
take_text(char *to, size_t cap, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s == NULL || strlen(s) >= cap)
		return false;
	memcpy(to, s, strlen(s) + 1);
	return true;
}

static int
word_of(const json_t *o, const char *key, const char *const *words, int n)
{
	const char *s = json_string_value(json_object_get(o, key));

	for (int i = 0; s != NULL && i < n; i++)
		if (strcmp(words[i], s) == 0)
			return i;
	return -1;
}

static bool
take_record(struct record *r, const json_t *o)
{
	struct account *a = &r->account;
	const char *addr = json_string_value(json_object_get(o, "address"));
	const char *previous = json_string_value(json_object_get(o, "previous"));
	int provider = word_of(o, "provider", provider_word, 3),
	    algorithm = word_of(o, "key_algorithm", algorithm_word, 2);
	json_int_t port = json_integer_value(json_object_get(o, "port"));

	*r = (struct record){ .ttl_s = (unsigned)json_integer_value(
				      json_object_get(o, "ttl")) };
	if (provider < 0 || algorithm < 0 || port < 1 || port > 65535)
		return false;
	a->provider = (enum ddns_provider)provider;
	a->algorithm = (enum ddns_algorithm)algorithm;
	a->port = (uint16_t)port;
	if (previous != NULL && *previous != '\0' &&
	    ip_parse(previous, &r->previous) < 0)
		return false;
	return addr != NULL && ip_parse(addr, &r->address) == 0 &&
	       take_text(r->name, sizeof(r->name), o, "name") &&
	       take_text(a->server, sizeof(a->server), o, "server") &&
	       take_text(a->zone, sizeof(a->zone), o, "zone") &&
	       take_text(a->key_name, sizeof(a->key_name), o, "key_name") &&
	       take_text(a->secret, sizeof(a->secret), o, "secret") &&
	       take_text(a->user, sizeof(a->user), o, "user") &&
	       take_text(a->url, sizeof(a->url), o, "url") &&
	       take_text(a->ca_file, sizeof(a->ca_file), o, "ca_file");
}

int
published_parse(struct published *p, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, 0, NULL);
	const json_t *all = json_object_get(o, "records");
	int rc =
		json_is_array(all) && json_array_size(all) <= RECORDS_MAX ? 0 : E_INVAL;

	p->n = 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(all); i++) {
		if (take_record(&p->at[p->n], json_array_get(all, i)))
			p->n++;
		else
			rc = E_INVAL;
	}
	if (rc < 0)
		p->n = 0;
	json_decref(o);
	return rc;
}
