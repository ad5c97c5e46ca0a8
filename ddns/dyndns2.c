/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* dyndns2.c -- the update protocol of the dynamic DNS providers: one HTTPS GET whose
 * answer's first word decides. Providers lock out who does not obey it.
 *
 * What the zone holds is asked of the configured server, if there is one; otherwise
 * of this machine's resolver, which may remember an older address for a while. */
#include "ddns/dyndns2.h"

#include "common/err.h"
#include "ddns/fetch.h"
#include "ddns/rfc2136.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	URL_MAX = 1024,
	WORD_MAX = 24,
	OUTAGE_WAIT_S = 1800, /* the protocol's rule for 911 and dnserr */
};

/* ---- the answer ---- */

static const struct {
	const char *word;
	enum verdict_kind kind;
	const char *text; /* after "the provider says WORD: " */
} words[] = {
	{ "good", VERDICT_GOOD, "" },
	{ "nochg", VERDICT_GOOD, "" },
	{ "badauth", VERDICT_STOP,
	  "user name or password are wrong: set user, or store "
	  "the password with \"vpnctl secret set\"" },
	{ "!donator", VERDICT_STOP, "this account does not have that feature" },
	{ "notfqdn", VERDICT_STOP, "the name is not a full DNS name" },
	{ "nohost", VERDICT_STOP, "this account has no such name: add it there" },
	{ "!yours", VERDICT_STOP, "the name belongs to another account" },
	{ "numhost", VERDICT_STOP, "too many names" },
	{ "abuse", VERDICT_STOP,
	  "the name is blocked for too many updates: have it "
	  "unblocked there" },
	{ "badagent", VERDICT_STOP, "this program is not admitted" },
	{ "badip", VERDICT_STOP, "the address is not accepted" },
	{ "dnserr", VERDICT_SLOW, "an error of its DNS" },
	{ "911", VERDICT_SLOW, "an outage; the next try is in 30 minutes" },
};

/* The first word, made harmless for logs. */
static void
first_word(struct span body, char word[WORD_MAX])
{
	size_t n = 0;

	while (body.n > 0 && isspace(*body.p))
		body = span_of(body.p + 1, body.n - 1);
	for (; n < WORD_MAX - 1 && n < body.n && !isspace(body.p[n]); n++)
		word[n] = (char)(isgraph(body.p[n]) ? body.p[n] : '?');
	word[n] = '\0';
}

void
dyndns2_judge(const struct record *r, long status, struct span body, struct verdict *v)
{
	char word[WORD_MAX];

	first_word(body, word);
	if (status >= 500) {
		verdict_say(v, VERDICT_RETRY, "the provider answered HTTP %ld", status);
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) != 0)
			continue;
		if (words[i].kind == VERDICT_GOOD)
			verdict_say(v, VERDICT_GOOD, "%s", "");
		else
			verdict_say(v, words[i].kind, "the provider says %s for %s: %s",
				    word, r->name, words[i].text);
		v->wait_s = words[i].kind == VERDICT_SLOW ? OUTAGE_WAIT_S : 0;
		v->is_unchanged = strcmp(word, "nochg") == 0;
		return;
	}
	if (status == 401 || status == 403)
		verdict_say(
			v, VERDICT_STOP,
			"the provider refuses user %s (HTTP %ld): set user, or store "
			"the password with \"vpnctl secret set %s\"",
			r->account.user, status, r->account.secret);
	else if (status == 429)
		verdict_say(v, VERDICT_SLOW,
			    "the provider wants fewer updates (HTTP 429)");
	else if (status != 200)
		verdict_say(v, VERDICT_STOP,
			    "the provider answered HTTP %ld: check the setting url",
			    status);
	else
		verdict_say(v, VERDICT_STOP,
			    "the provider's answer \"%s\" is not of dyndns2: check the "
			    "setting url",
			    word);
	if (v->kind == VERDICT_SLOW)
		v->wait_s = OUTAGE_WAIT_S;
}

bool
dyndns2_url(const struct record *r, char *buf, size_t n)
{
	char addr[IP_TEXT];

	/* Names and addresses have no character that a query would mind. */
	int k = snprintf(buf, n, "%s%chostname=%s&myip=%s", r->account.url,
			 strchr(r->account.url, '?') != NULL ? '&' : '?', r->name,
			 ip_text(&r->address, addr));
	return k > 0 && (size_t)k < n;
}

/* ---- a call ---- */

/* libuv's thread may outlive the call. */
struct lookup {
	uv_getaddrinfo_t req;
	struct job *job; /* NULL: nobody waits any more */
};

struct job {
	struct call call;
	struct provider_ask ask;
	struct record record;
	struct fetch_call *fetch;
	struct lookup *lookup;
	struct call *inner; /* the question to the configured server */
};

static void
cancel(struct call *c)
{
	struct job *j = (struct job *)c;

	fetch_cancel(j->fetch);
	call_cancel(j->inner);
	if (j->lookup != NULL) {
		j->lookup->job = NULL;
		(void)uv_cancel((uv_req_t *)&j->lookup->req);
	}
	free(j);
}

static void
finish(struct job *j, const struct verdict *v, const struct holding *h)
{
	struct provider_ask ask = j->ask;

	free(j);
	ask.done(ask.arg, v, v->kind == VERDICT_GOOD ? h : NULL);
}

static int
begin(struct job **out, const struct provider_ask *ask)
{
	struct job *j = calloc(1, sizeof(*j));

	*out = j;
	if (j == NULL)
		return E_NOMEM;
	j->call.cancel = cancel;
	j->ask = *ask;
	j->record = *ask->record;
	return 0;
}

/* ---- reading ---- */

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct lookup *l = req->data;
	struct job *j = l->job;
	struct holding h = { .n = 0 };
	struct verdict v = { .kind = VERDICT_GOOD };

	free(l);
	for (struct addrinfo *i = list; j != NULL && i != NULL && h.n < MESSAGE_ADDRS;
	     i = i->ai_next) {
		h.addr[h.n] = ip_of_sockaddr(i->ai_addr);
		h.addr[h.n].port = 0;
		h.n += h.addr[h.n].family == j->record.address.family;
	}
	uv_freeaddrinfo(list);
	if (j == NULL)
		return;
	j->lookup = NULL;
	/* No such name is an answer; no resolver is none, but must not keep us from
	 * the provider, whose word counts in the end. */
	finish(j, &v, &h);
}

static int
ask_resolver(struct job *j)
{
	struct lookup *l = calloc(1, sizeof(*l));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_family = j->record.address.family == 6
						       ? AF_INET6
						       : AF_INET };

	if (l == NULL)
		return E_NOMEM;
	l->job = j;
	l->req.data = l;
	int rc = uv_getaddrinfo(j->ask.loop, &l->req, on_resolved, j->record.name, NULL,
				&hints);
	if (rc < 0)
		free(l);
	else
		j->lookup = l;
	return rc;
}

static void
on_looked(void *arg, const struct verdict *v, const struct answer *a)
{
	struct job *j = arg;
	struct holding h = { .n = 0 };

	j->inner = NULL;
	if (a != NULL) {
		h = (struct holding){ .is_authoritative = true,
				      .n = a->n_addr,
				      .ttl_s = j->record.ttl_s };
		memcpy(h.addr, a->addr, sizeof(h.addr));
	}
	finish(j, v, &h);
}

static int
read_record(struct call **out, const struct provider_ask *ask)
{
	struct job *j;
	int rc = begin(&j, ask);

	*out = NULL;
	if (rc < 0)
		return rc;
	if (j->record.account.server[0] == '\0') {
		rc = ask_resolver(j);
	} else {
		struct rfc2136_ask inner = { .loop = ask->loop,
					     .account = &j->record.account,
					     .done = on_looked,
					     .arg = j,
					     .counts = ask->counts };
		rc = rfc2136_look(&j->inner, &inner, j->record.name,
				  j->record.address.family == 6 ? MESSAGE_AAAA
								: MESSAGE_A);
	}
	if (rc < 0)
		free(j);
	else
		*out = &j->call;
	return rc;
}

/* ---- writing ---- */

static void
on_fetched(void *arg, const struct fetch_answer *a)
{
	struct job *j = arg;
	struct verdict v;

	j->fetch = NULL;
	if (a->error != NULL)
		verdict_say(&v, VERDICT_RETRY, "the provider is not reached: %s",
			    a->error);
	else
		dyndns2_judge(&j->record, a->status, a->body, &v);
	finish(j, &v, NULL);
}

static int
write_record(struct call **out, const struct provider_ask *ask)
{
	char url[URL_MAX];
	struct job *j;
	int rc = begin(&j, ask);

	*out = NULL;
	if (rc < 0)
		return rc;
	struct fetch_ask get = { .url = url,
				 .ifname = "",
				 .user = j->record.account.user,
				 .secret = ask->secret,
				 .ca_file = j->record.account.ca_file };
	const struct egress *e = ask->counts->egress;
	if (e != NULL && e->ifname[0] != '\0') {
		get.ifname = e->ifname;
		get.local = e->local[e->local[0].family == 0];
		get.family = get.local.family;
	}
	/* One request: what is asked here holds until it is on its way. */
	if (ask->may_send != NULL && !ask->may_send(ask->arg))
		rc = E_STALE;
	else if (!dyndns2_url(&j->record, url, sizeof(url)))
		rc = E_LIMIT;
	else
		rc = fetch_start(ask->fetch, &j->fetch, &get, on_fetched, j);
	if (rc < 0) {
		free(j);
		return rc;
	}
	ask->counts->sent++;
	*out = &j->call;
	return 0;
}

static int
remove_record(struct call **out, const struct provider_ask *ask)
{
	*out = NULL;
	return E_INVAL; /* the protocol has no word for it */
}

const struct provider provider_dyndns2 = { .name = "dyndns2",
					   .can_remove = false,
					   .read = read_record,
					   .write = write_record,
					   .remove = remove_record };
