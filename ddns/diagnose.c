/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/diagnose.h"

#include "common/err.h"
#include "ddns/rfc2136.h"
#include "ddns/state.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libuv's thread may outlive us. */
struct lookup {
	uv_getaddrinfo_t req;
	struct diagnose *g; /* NULL: nobody waits any more */
};

enum { FAMILIES = 2 };

struct diagnose {
	struct daemon *d;
	struct uplink *l;
	const struct config_ddns *conf; /* of the configuration: only within a step */
	struct updater_want *want;
	diagnose_done done;
	void *arg;
	json_t *steps;
	int family;                       /* index of the one being looked at */
	struct ip_addr address[FAMILIES]; /* found */
	struct account account;
	char name[CONFIG_HOST];
	struct address_job *find;
	struct call *call;
	struct lookup *lookup;
};

__attribute__((format(printf, 4, 5))) static void
say(struct diagnose *g, const char *step, bool ok, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(g->steps,
			      json_pack("{ss ss sb ss}", "wan", g->l->name, "step",
					step, "ok", ok, "text", text));
}

static void
let_go(struct diagnose *g)
{
	address_cancel(g->find);
	call_cancel(g->call);
	if (g->lookup != NULL) {
		g->lookup->g = NULL;
		(void)uv_cancel((uv_req_t *)&g->lookup->req);
	}
	free(g->want);
	free(g);
}

void
diagnose_cancel(struct diagnose *g)
{
	if (g == NULL)
		return;
	json_decref(g->steps);
	let_go(g);
}

static void
finish(struct diagnose *g)
{
	diagnose_done done = g->done;
	void *arg = g->arg;
	json_t *steps = g->steps;

	let_go(g);
	done(arg, steps);
}

/* ---- the name, as a resolver tells it ---- */

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct lookup *l = req->data;
	struct diagnose *g = l->g;
	char text[300] = "", one[IP_TEXT];
	bool is_good = g != NULL;
	size_t at = 0;

	free(l);
	for (struct addrinfo *i = list; i != NULL && at + IP_TEXT < sizeof(text);
	     i = i->ai_next) {
		struct ip_addr a = ip_of_sockaddr(i->ai_addr);
		a.port = 0;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
				       at > 0 ? ", " : "", ip_text(&a, one));
		for (int f = 0; g != NULL && f < FAMILIES; f++)
			if (g->address[f].family == a.family &&
			    !ip_same_host(&g->address[f], &a))
				is_good = false;
	}
	uv_freeaddrinfo(list);
	if (g == NULL)
		return;
	g->lookup = NULL;
	if (status < 0)
		say(g, "name", false, "%s is not known to this machine's resolver: %s",
		    g->name, uv_strerror(status));
	else
		say(g, "name", is_good, "%s is %s for this machine's resolver%s",
		    g->name, text, is_good ? "" : ": not what is published (yet)");
	finish(g);
}

static void
ask_resolver(struct diagnose *g)
{
	struct lookup *l = calloc(1, sizeof(*l));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	if (l == NULL) {
		finish(g);
		return;
	}
	l->g = g;
	l->req.data = l;
	int rc = uv_getaddrinfo(&g->d->loop, &l->req, on_resolved, g->name, NULL,
				&hints);
	if (rc == 0) {
		g->lookup = l;
		return;
	}
	free(l);
	say(g, "name", false, "%s", err_text(rc));
	finish(g);
}

/* ---- what the zone holds ---- */

static void ask_zone(struct diagnose *g);

static void
on_zone(void *arg, const struct verdict *v, const struct answer *a)
{
	struct diagnose *g = arg;
	const struct ip_addr *want = &g->address[g->family];
	const char *type = g->family == 0 ? "A" : "AAAA";
	char text[300] = "nothing", one[IP_TEXT];
	size_t at = 0;

	g->call = NULL;
	for (unsigned i = 0; a != NULL && i < a->n_addr; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
				       at > 0 ? ", " : "", ip_text(&a->addr[i], one));
	bool is_right = a != NULL && a->n_addr == 1 && ip_same_host(&a->addr[0], want);
	if (a == NULL)
		say(g, "zone", false, "%s", v->text);
	else if (is_right)
		say(g, "zone", true, "%s %s is %s", g->name, type, text);
	else
		say(g, "zone", want->family == 0 && a->n_addr == 0,
		    "%s %s is %s, and should be %s", g->name, type,
		    a->is_alias ? "an alias (CNAME)" : text,
		    want->family != 0 ? ip_text(want, one) : "nothing");
	g->family++;
	ask_zone(g);
}

static void
ask_zone(struct diagnose *g)
{
	struct rfc2136_ask ask = { .loop = &g->d->loop,
				   .account = &g->account,
				   .done = on_zone,
				   .arg = g,
				   .counts = &g->d->counts };

	while (g->family < FAMILIES && !g->l->updater[g->family].is_wanted)
		g->family++;
	if (g->family == FAMILIES || g->account.server[0] == '\0' ||
	    rfc2136_look(&g->call, &ask, g->name,
			 g->family == 0 ? MESSAGE_A : MESSAGE_AAAA) < 0)
		ask_resolver(g);
}

/* ---- the key ---- */

static void
on_key(void *arg, const struct verdict *v, const struct answer *a)
{
	struct diagnose *g = arg;

	g->call = NULL;
	if (v->kind == VERDICT_GOOD)
		say(g, "key", true, "the server takes updates signed with key %s",
		    g->account.key_name);
	else
		say(g, "key", false, "%s", v->text);
	g->family = 0;
	ask_zone(g);
}

static bool
may_send(void *arg)
{
	const struct diagnose *g = arg;

	return store_is_active(g->d->store);
}

static void
try_key(struct diagnose *g)
{
	char secret[SECRET_VALUE_MAX + 1];
	/* Deletes a record of a type that nobody has at that name: nothing. */
	struct change none = { .kind = CHANGE_DROP,
			       .name = g->name,
			       .type = g->l->updater[0].is_wanted ? MESSAGE_A
								  : MESSAGE_AAAA,
			       .data = g->l->updater[0].is_wanted ? "0.0.0.0" : "::" };
	struct rfc2136_ask ask = { .loop = &g->d->loop,
				   .account = &g->account,
				   .secret = secret,
				   .may_send = may_send,
				   .done = on_key,
				   .arg = g,
				   .counts = &g->d->counts };
	int rc = store_secret(g->d->store, g->account.secret, secret);

	if (rc < 0)
		say(g, "key", false,
		    rc == E_NOENT ? "there is no secret %s: store it with \"vpnctl "
				    "secret set\""
				  : "the secret %s does not open with this pair key",
		    g->account.secret);
	else if (g->account.provider == DDNS_DYNDNS2)
		say(g, "key", true,
		    "the password %s is stored; only an update tells "
		    "whether the provider takes it",
		    g->account.secret);
	else if (!message_secret_ok(secret))
		say(g, "key", false, "the secret %s is not a TSIG key in base64",
		    g->account.secret);
	else if (!store_is_active(g->d->store))
		say(g, "key", true, "not tried: only the active node sends updates");
	else if (rfc2136_update(&g->call, &ask, &none, 1) == 0)
		g->family = 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	if (g->call == NULL) {
		g->family = 0;
		ask_zone(g);
	}
}

/* ---- the server ---- */

static void
on_server(void *arg, const struct verdict *v, const struct answer *a)
{
	struct diagnose *g = arg;

	g->call = NULL;
	if (v->kind == VERDICT_GOOD) {
		say(g, "server", true, "%s port %u answers for zone %s",
		    g->account.server, g->account.port, g->account.zone);
		try_key(g);
		return;
	}
	say(g, "server", false, "%s", v->text);
	ask_resolver(g);
}

static void
ask_server(struct diagnose *g)
{
	struct rfc2136_ask ask = { .loop = &g->d->loop,
				   .account = &g->account,
				   .done = on_server,
				   .arg = g,
				   .counts = &g->d->counts };

	if (g->account.server[0] == '\0') {
		say(g, "server", true,
		    "none is configured: the provider's word and "
		    "this machine's resolver are what there is");
		try_key(g);
		return;
	}
	if (rfc2136_look(&g->call, &ask, g->account.zone[0] ? g->account.zone : g->name,
			 MESSAGE_SOA) < 0)
		finish(g);
}

/* ---- addresses ---- */

static void find(struct diagnose *g);

static void
on_found(void *arg, const struct address_found *found)
{
	struct diagnose *g = arg;
	char text[IP_TEXT];

	g->find = NULL;
	g->address[g->family] = found->addr;
	bool is_optional = g->family == 1 && g->want->conf.family == DDNS_BOTH;
	if (found->addr.family != 0)
		say(g, "address", true, "IPv%d: %s, from %s", g->family == 0 ? 4 : 6,
		    ip_text(&found->addr, text), address_source_text(found->source));
	else
		say(g, "address", is_optional, "IPv%d: none: %s",
		    g->family == 0 ? 4 : 6, found->why);
	g->family++;
	find(g);
}

static void
find(struct diagnose *g)
{
	while (g->family < FAMILIES && !g->l->updater[g->family].is_wanted)
		g->family++;
	if (g->family == FAMILIES) {
		ask_server(g);
		return;
	}
	*g->want = g->l->updater[g->family].want;
	for (unsigned i = 0; i < ADDRESS_STUNS; i++)
		g->want->ask.stun[i] = g->want->conf.stun[i];
	g->want->ask.page_url = g->want->conf.lookup_url;
	g->want->ask.page_ca_file = g->want->conf.ca_file;
	if (address_find(&g->find, &g->d->loop, g->d->fetch, &g->want->ask, on_found,
			 g) < 0)
		finish(g);
}

int
diagnose_start(struct diagnose **out, struct daemon *d, int wan, diagnose_done done,
	       void *arg)
{
	struct diagnose *g = calloc(1, sizeof(*g));
	struct uplink *l = &d->uplink[wan];

	*out = NULL;
	if (g == NULL || (g->want = malloc(sizeof(*g->want))) == NULL) {
		free(g);
		return E_NOMEM;
	}
	g->d = d;
	g->l = l;
	g->done = done;
	g->arg = arg;
	g->steps = json_array();
	*out = g;
	if (!store_is_ready(d->store))
		say(g, "role", false, "hasync is not reached: nothing is written");
	else if (store_is_active(d->store))
		say(g, "role", true, "this node, %s, is the active one",
		    store_node(d->store));
	else
		say(g, "role", true,
		    "this node, %s, is not the active one: it writes "
		    "nothing",
		    store_node(d->store));
	const struct updater *u = &l->updater[l->updater[0].is_wanted ? 0 : 1];
	if (!u->is_wanted) {
		say(g, "record", true, "there is none: %s", l->reason);
		finish(g);
		return 0;
	}
	g->account = u->want.record.account;
	snprintf(g->name, sizeof(g->name), "%s", u->want.record.name);
	find(g);
	return 0;
}
