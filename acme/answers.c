/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/answers.h"

#include "common/err.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const type_names[TYPES] = {
	[TYPE_DNS] = "dns-01", [TYPE_ALPN] = "tls-alpn-01", [TYPE_HTTP] = "http-01"
};

const char *
answer_type_name(enum answer_type t)
{
	return type_names[t];
}

/* ---- pieces ---- */

static json_t *
object_of(struct span json)
{
	json_t *j = json.n > ANSWER_MAX ? NULL
					: json_loadb((const char *)json.p, json.n,
						     JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* For people: into logs, status, events. */
static void
copy_text(char *to, size_t cap, const char *from)
{
	size_t n = 0;

	for (; from != NULL && from[n] != '\0' && n < cap - 1; n++)
		to[n] = (uint8_t)from[n] < 0x20 || from[n] == 0x7f ? ' ' : from[n];
	/* Not in the middle of a character of UTF-8. */
	if (from != NULL && from[n] != '\0')
		while (n > 0 && ((uint8_t)from[n] & 0xc0) == 0x80)
			n--;
	to[n] = '\0';
}

bool
answer_url_ok(const char *url)
{
	size_t n = strlen(url);

	if (strncmp(url, "https://", 8) != 0 || !isalnum((uint8_t)url[8]) ||
	    n >= ANSWER_URL)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)url[i] <= 0x20 || (uint8_t)url[i] >= 0x7f ||
		    strchr("\"<>\\^`{|}#@", url[i]) != NULL)
			return false;
	return true;
}

static int
take_url(char to[ANSWER_URL], const char *url)
{
	if (url == NULL || !answer_url_ok(url))
		return E_PROTO;
	memcpy(to, url, strlen(url) + 1);
	return 0;
}

static int
take_optional_url(char to[ANSWER_URL], const json_t *o, const char *key)
{
	to[0] = '\0';
	return json_object_get(o, key) == NULL ? 0 : take_url(to, text_of(o, key));
}

static enum answer_status
status_of(const json_t *o)
{
	static const struct {
		const char *text;
		enum answer_status status;
	} all[] = {
		{ "pending", ANSWER_PENDING },       { "ready", ANSWER_READY },
		{ "processing", ANSWER_PROCESSING }, { "valid", ANSWER_VALID },
		{ "invalid", ANSWER_INVALID },       { "deactivated", ANSWER_INVALID },
		{ "expired", ANSWER_INVALID },       { "revoked", ANSWER_INVALID }
	};
	const char *s = text_of(o, "status");

	for (size_t i = 0; s != NULL && i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i].text, s) == 0)
			return all[i].status;
	return ANSWER_OTHER;
}

static void
take_problem(struct answer_problem *p, const json_t *o)
{
	static const char urn[] = "urn:ietf:params:acme:error:";
	const char *type = text_of(o, "type");
	const json_t *sub = json_array_get(json_object_get(o, "subproblems"), 0);
	const char *detail = text_of(sub, "detail");
	const char *name = text_of(json_object_get(sub, "identifier"), "value");

	*p = (struct answer_problem){ .type = "" };
	if (type != NULL && strncmp(type, urn, sizeof(urn) - 1) == 0)
		copy_text(p->type, sizeof(p->type), type + sizeof(urn) - 1);
	copy_text(p->detail, sizeof(p->detail), text_of(o, "detail"));
	if (detail != NULL && name != NULL) {
		char text[ANSWER_TEXT];
		snprintf(text, sizeof(text), "%.100s: %.400s", name, detail);
		copy_text(p->detail, sizeof(p->detail), text);
	}
}

void
answer_problem(struct answer_problem *p, struct span json)
{
	json_t *o = object_of(json);

	take_problem(p, o);
	json_decref(o);
}

/* ---- the answers ---- */

int
answer_directory(struct answer_directory *d, struct span json)
{
	json_t *o = object_of(json);
	const json_t *meta = json_object_get(o, "meta");
	int rc = o == NULL ? E_PROTO : 0;

	*d = (struct answer_directory){ .wants_eab = false };
	if (rc == 0 && (take_url(d->nonce, text_of(o, "newNonce")) < 0 ||
			take_url(d->account, text_of(o, "newAccount")) < 0 ||
			take_url(d->order, text_of(o, "newOrder")) < 0 ||
			take_url(d->revoke, text_of(o, "revokeCert")) < 0 ||
			take_url(d->key_change, text_of(o, "keyChange")) < 0 ||
			take_optional_url(d->renewal, o, "renewalInfo") < 0))
		rc = E_PROTO;
	copy_text(d->terms, sizeof(d->terms), text_of(meta, "termsOfService"));
	d->wants_eab = json_is_true(json_object_get(meta, "externalAccountRequired"));
	json_decref(o);
	return rc;
}

int
answer_order(struct answer_order *a, struct span json)
{
	json_t *o = object_of(json);
	const json_t *list = json_object_get(o, "authorizations");
	size_t n = json_array_size(list);
	int rc = o == NULL || n > ANSWER_AUTHORIZATIONS ? E_PROTO : 0;

	*a = (struct answer_order){ .status = status_of(o) };
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = take_url(a->authorizations[a->n++],
			      json_string_value(json_array_get(list, i)));
	if (rc == 0)
		rc = take_url(a->finalize, text_of(o, "finalize"));
	if (rc == 0)
		rc = take_optional_url(a->certificate, o, "certificate");
	if (rc == 0 && (a->status == ANSWER_OTHER ||
			(a->status == ANSWER_VALID && a->certificate[0] == '\0') ||
			(a->status == ANSWER_PENDING && a->n == 0)))
		rc = E_PROTO;
	take_problem(&a->problem, json_object_get(o, "error"));
	json_decref(o);
	return rc;
}

/* RFC 8555 8.3: only the alphabet of base64url; it becomes part of a path. */
static bool
token_ok(const char *t)
{
	size_t n = t == NULL ? 0 : strlen(t);

	if (n == 0 || n >= ANSWER_TOKEN)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((uint8_t)t[i]) && t[i] != '-' && t[i] != '_')
			return false;
	return true;
}

/* Of a type we do not know: passed over. */
static int
take_challenge(struct answer_authorization *a, const json_t *o)
{
	const char *type = text_of(o, "type"), *token = text_of(o, "token");
	enum answer_type t = 0;

	if (type == NULL)
		return E_PROTO;
	while (t < TYPES && strcmp(type_names[t], type) != 0)
		t++;
	if (t == TYPES || a->n == ANSWER_CHALLENGES)
		return 0;
	struct answer_challenge *c = &a->challenges[a->n];
	*c = (struct answer_challenge){ .type = t, .status = status_of(o) };
	if (!token_ok(token) || take_url(c->url, text_of(o, "url")) < 0)
		return E_PROTO;
	memcpy(c->token, token, strlen(token) + 1);
	take_problem(&c->problem, json_object_get(o, "error"));
	a->n++;
	return 0;
}

int
answer_authorization(struct answer_authorization *a, struct span json)
{
	json_t *o = object_of(json);
	const json_t *list = json_object_get(o, "challenges");
	const json_t *id = json_object_get(o, "identifier");
	const char *type = text_of(id, "type"), *name = text_of(id, "value");
	int rc = 0;

	*a = (struct answer_authorization){ .status = status_of(o) };
	if (o == NULL || type == NULL || strcmp(type, "dns") != 0 || name == NULL ||
	    strlen(name) >= sizeof(a->name) || a->status == ANSWER_OTHER)
		rc = E_PROTO;
	else
		copy_text(a->name, sizeof(a->name), name);
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = take_challenge(a, json_array_get(list, i));
	json_decref(o);
	return rc;
}

/* RFC 3339, as much of it as is in use: 2026-01-02T03:04:05[.6](Z|+07:00) */
static int
time_of(const char *text, int64_t *out)
{
	struct tm tm = { .tm_year = 0 };
	int used = 0;

	if (text == NULL || strlen(text) > 40)
		return E_PROTO;
	for (const char *p = text; *p != '\0'; p++)
		if (!isdigit((uint8_t)*p) && strchr("-T:.Z+", *p) == NULL)
			return E_PROTO;
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    tm.tm_year < 1970 || tm.tm_year > 9999 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
	    tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 ||
	    tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return E_PROTO;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	const char *p = text + used;
	if (*p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	int h = 0, m = 0;
	if (strcmp(p, "Z") != 0 && ((*p != '+' && *p != '-') || strlen(p) != 6 ||
				    sscanf(p + 1, "%2d:%2d", &h, &m) != 2 || h < 0 ||
				    h > 23 || m < 0 || m > 59))
		return E_PROTO;
	int64_t offset = (int64_t)h * 3600 + (int64_t)m * 60;
	*out = (int64_t)timegm(&tm) - (*p == '-' ? -offset : offset);
	return 0;
}

int
answer_window(struct answer_window *w, struct span json)
{
	json_t *o = object_of(json);
	const json_t *s = json_object_get(o, "suggestedWindow");
	int rc = time_of(text_of(s, "start"), &w->start);

	if (rc == 0)
		rc = time_of(text_of(s, "end"), &w->end);
	if (rc == 0 && w->end < w->start)
		rc = E_PROTO;
	json_decref(o);
	return rc;
}

/* ---- Link ---- */

bool
answer_link(struct span header, const char *rel, char url[ANSWER_URL])
{
	char text[ANSWER_URL + 128], want[64];

	if (header.n >= sizeof(text) || memchr(header.p, '\0', header.n) != NULL)
		return false;
	memcpy(text, header.p, header.n);
	text[header.n] = '\0';
	char *from = strchr(text, '<'), *to = from ? strchr(from, '>') : NULL;
	if (to == NULL)
		return false;
	*to++ = '\0';
	snprintf(want, sizeof(want), "rel=\"%s\"", rel);
	const char *found = strstr(to, want);
	if (found == NULL) {
		snprintf(want, sizeof(want), "rel=%s", rel);
		found = strstr(to, want);
	}
	return found != NULL && take_url(url, from + 1) == 0;
}
