/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/uplink.h"

#include "common/err.h"
#include "common/log.h"
#include "common/routing.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OBJECT_NAME = 64, OBJECT_MAX = 32 * 1024 };

/* ---- objects ---- */

static void
put_object(struct uplink *l, const char *kind, const char *text)
{
	char name[OBJECT_NAME];

	snprintf(name, sizeof(name), "ddns/%s/%s", kind, l->name);
	(void)store_put(l->host.store, name, text, NULL, NULL, NULL);
}

static void
put_published(void *arg)
{
	struct uplink *l = arg;
	char *text = l->published.n > 0 ? published_text(&l->published) : NULL;

	if (l->published.n == 0 || text != NULL)
		put_object(l, "published", text);
	free(text);
}

void
uplink_heard(struct uplink *l, struct span text, bool is_ours)
{
	/* While we are the writer our own memory is the newer one. */
	if (l->is_active && is_ours)
		return;
	l->published.n = 0;
	if (text.p != NULL && text.n <= OBJECT_MAX &&
	    published_parse(&l->published, (const char *)text.p, text.n) < 0)
		log_warn(0, "ddns/published/%s cannot be read: forgotten", l->name);
}

void
uplink_status_heard(struct uplink *l, struct span text)
{
	if (l->is_active)
		return;
	free(l->status);
	l->status = text.p != NULL && text.n <= OBJECT_MAX
			    ? strndup((const char *)text.p, text.n)
			    : NULL;
}

/* ---- how it stands ---- */

static void
time_text(uint64_t wall_s, char buf[24])
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	buf[0] = '\0';
	if (wall_s != 0 && gmtime_r(&t, &tm) != NULL)
		strftime(buf, 24, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static json_t *
record_json(const struct updater *u)
{
	char addr[IP_TEXT] = "", when[24];
	const struct ip_addr *a = u->has_address ? &u->record.address : &u->shown;

	if (a->family != 0)
		ip_text(a, addr);
	time_text(u->updated_s, when);
	return json_pack("{ss ss ss ss ss ss sI}", "type", record_type(&u->want.record),
			 "address", addr, "state",
			 u->has_none ? "none" : updater_state_text(u), "text", u->text,
			 "updated", when, "error", u->error, "updates",
			 (json_int_t)u->updates);
}

static const char *
state_of(const struct uplink *l)
{
	bool is_failed = false, is_working = false, is_published = false;

	if (l->reason[0] != '\0')
		return "none";
	for (int i = 0; i < UPLINK_FAMILIES; i++) {
		const struct updater *u = &l->updater[i];
		if (!u->is_wanted)
			continue;
		is_published |= u->state == UPDATER_KEPT && u->is_confirmed;
		is_failed |= u->state == UPDATER_FAILED && !u->has_none;
		is_working |= !updater_is_settled(u) && !u->is_confirmed;
	}
	return is_failed      ? "failed"
	       : is_working   ? "working"
	       : is_published ? "published"
			      : "failed";
}

static json_t *
make_status(const struct uplink *l)
{
	const char *name = l->config != NULL ? config_wan_name(l->config, l->name) : "";
	json_t *rows = json_array();

	for (int i = 0; i < UPLINK_FAMILIES; i++)
		if (l->updater[i].is_wanted)
			json_array_append_new(rows, record_json(&l->updater[i]));
	json_t *o = json_pack("{ss ss ss so}", "name", name, "node",
			      store_node(l->host.store), "state", state_of(l),
			      "records", rows);
	if (o != NULL && l->reason[0] != '\0')
		json_object_set_new(o, "reason", json_string(l->reason));
	if (o != NULL && strcmp(l->via, l->name) != 0)
		json_object_set_new(o, "follows", json_string(l->via));
	return o;
}

static bool
has_section(const struct uplink *l)
{
	for (unsigned i = 0; l->config != NULL && i < l->config->n_ddns; i++)
		if (strcmp(l->config->ddns[i].wan, l->name) == 0)
			return true;
	return false;
}

json_t *
uplink_status(const struct uplink *l)
{
	if (!l->is_active)
		return l->status != NULL ? json_loads(l->status, 0, NULL) : NULL;
	return has_section(l) ? make_status(l) : NULL;
}

/* Only what others would act on, or the store would be written all the time. */
static void
tell_status(struct uplink *l)
{
	if (!l->is_active)
		return;
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		if (!updater_is_settled(&l->updater[i]) &&
		    l->updater[i].state != UPDATER_WAITING)
			return;
	json_t *o = has_section(l) ? make_status(l) : NULL;
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if ((text == NULL) != (l->status == NULL) ||
	    (text != NULL && strcmp(text, l->status) != 0)) {
		put_object(l, "status", text);
		free(l->status);
		l->status = text;
		return;
	}
	free(text);
}

static void
on_change(void *arg, struct updater *u)
{
	struct uplink *l = arg;

	tell_status(l);
	if (u->state == UPDATER_KEPT)
		removal_look(&l->removal);
}

/* ---- removal ---- */

/* Wanted no more; and when something takes its place, that comes first. */
static bool
is_stale(const struct uplink *l, const struct record *r)
{
	const struct updater *u = &l->updater[r->address.family == 6];

	if (!u->is_wanted)
		return true;
	return !record_same(&u->want.record, r) && u->state == UPDATER_KEPT &&
	       u->is_confirmed;
}

static bool
next_stale(void *arg, struct record *r)
{
	struct uplink *l = arg;

	/* Without a configuration nobody knows what is wanted. */
	if (l->config == NULL)
		return false;
	for (unsigned i = 0; l->is_active && i < l->published.n; i++)
		if (is_stale(l, &l->published.at[i])) {
			*r = l->published.at[i];
			return true;
		}
	return false;
}

static void
forget(void *arg, const struct record *r)
{
	struct uplink *l = arg;

	published_drop(&l->published, r);
	put_published(l);
}

/* ---- settings ---- */

static const struct config_wan *
wan_of(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_wan; i++)
		if (strcmp(c->wan[i].name, name) == 0)
			return &c->wan[i];
	return NULL;
}

static const struct config_ddns *
section_of(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_ddns; i++)
		if (strcmp(c->ddns[i].wan, name) == 0)
			return &c->ddns[i];
	return NULL;
}

__attribute__((format(printf, 2, 3))) static bool
because(struct uplink *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->reason, sizeof(l->reason), fmt, ap);
	va_end(ap);
	return false;
}

/* False, with the reason, when the uplink gets no record. */
static bool
is_kept(struct uplink *l, const struct config_ddns *d)
{
	const struct config_wan *w =
		l->config != NULL ? wan_of(l->config, l->name) : NULL;

	l->reason[0] = '\0';
	if (d == NULL || d->provider == DDNS_NONE)
		return because(l, "no provider is configured");
	if (w == NULL && !d->is_fixed)
		return because(l, "this node has no uplink %s", l->name);
	if (w != NULL && w->type == UPLINK_CELLULAR)
		return because(l, "the uplink is cellular");
	return true;
}

static bool
wants_family(const struct config_ddns *d, int i)
{
	if (d->is_fixed)
		return i == 0 ? d->address4.s_addr != 0 && d->family != DDNS_IPV6
			      : !IN6_IS_ADDR_UNSPECIFIED(&d->address6) &&
					d->family != DDNS_IPV4;
	return d->family == DDNS_BOTH || d->family == (i == 0 ? DDNS_IPV4 : DDNS_IPV6);
}

static void
fill_want(const struct uplink *l, const struct config_ddns *d, int i,
	  struct updater_want *w)
{
	memset(w, 0, sizeof(*w));
	memcpy(&w->conf, d, sizeof(w->conf));
	account_of(&w->record.account, d);
	snprintf(w->record.name, sizeof(w->record.name), "%s",
		 config_wan_name(l->config, l->name));
	w->record.ttl_s = d->ttl_s;
	w->record.address.family = i == 0 ? 4 : 6;
	w->ask.family = w->record.address.family;
	memcpy(w->ask.ifname, l->ifname, sizeof(w->ask.ifname));
	if (d->is_fixed)
		w->ask.fixed = i == 0 ? ip_of4(d->address4, 0) : ip_of6(d->address6, 0);
	w->ask.n_own = wan_addresses(l->config, l->ifname, w->ask.own);
}

/* While the uplink is dead: where to look for an address is another's matter, whom to
 * tell stays ours. False without an address: AAAA goes when only A has a substitute, or
 * clients would try a dead address first. */
static bool
follow_want(const struct uplink *l, int i, struct config_ddns *d)
{
	const struct config_ddns *t = section_of(l->config, l->via);
	struct ip_addr own[WAN_ADDRS];

	d->is_fixed = t != NULL && t->is_fixed;
	d->address4 = t != NULL ? t->address4 : (struct in_addr){ 0 };
	d->address6 = t != NULL ? t->address6 : (struct in6_addr)IN6ADDR_ANY_INIT;
	if (t != NULL) {
		memcpy(d->stun, t->stun, sizeof(d->stun));
		d->n_stun = t->n_stun;
		memcpy(d->lookup_url, t->lookup_url, sizeof(d->lookup_url));
	}
	if (d->is_fixed)
		return wants_family(d, i);
	for (unsigned k = wan_addresses(l->config, l->ifname, own); k-- > 0;)
		if (own[k].family == (i == 0 ? 4 : 6))
			return true;
	return false;
}

static void
set_wants(struct uplink *l)
{
	const struct config_ddns *own =
		l->config != NULL ? section_of(l->config, l->name) : NULL;
	bool is_wanted = is_kept(l, own);

	for (int i = 0; i < UPLINK_FAMILIES; i++) {
		struct updater_want *w = NULL;
		bool is_one = own != NULL && is_wanted && wants_family(own, i);
		struct config_ddns d;

		if (is_one) {
			memcpy(&d, own, sizeof(d));
			if (strcmp(l->via, l->name) != 0)
				is_one = follow_want(l, i, &d);
		}
		if (is_one && (w = malloc(sizeof(*w))) != NULL)
			fill_want(l, &d, i, w);
		updater_want(&l->updater[i], w);
		free(w);
	}
}

static void
start(struct uplink *l)
{
	for (int i = 0; l->is_active && i < UPLINK_FAMILIES; i++)
		if (l->updater[i].is_wanted)
			updater_event(&l->updater[i], UPDATER_START);
	removal_look(&l->removal);
	tell_status(l);
}

void
uplink_configure(struct uplink *l, const struct config *c)
{
	const struct config_wan *w;

	l->config = c;
	l->ifname[0] = '\0';
	if (c != NULL && (w = wan_of(c, l->via)) != NULL) {
		memcpy(l->ifname, w->ifname, sizeof(l->ifname));
		if (l->ifname[0] == '\0' && routing_default_ifname(l->ifname) < 0)
			l->ifname[0] = '\0';
	}
	set_wants(l);
	start(l);
}

void
uplink_role(struct uplink *l, bool is_active)
{
	l->is_active = is_active;
	if (is_active) {
		/* What the other node said is not what we say. */
		set_wants(l);
		start(l);
		return;
	}
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		updater_event(&l->updater[i], UPDATER_STOP);
	removal_stop(&l->removal);
}

void
uplink_kick(struct uplink *l)
{
	if (!l->is_active)
		return;
	uplink_configure(l, l->config);
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		updater_event(&l->updater[i], UPDATER_KICK);
}

void
uplink_follow(struct uplink *l, const char *via)
{
	if (strcmp(l->via, via) == 0)
		return;
	snprintf(l->via, sizeof(l->via), "%s", via);
	bool is_told =
		l->is_active && (l->updater[0].is_wanted || l->updater[1].is_wanted);
	if (is_told && strcmp(via, l->name) != 0)
		store_event(l->host.store, "ddns_follow",
			    "%s is dead: its name gets the address of %s", l->name,
			    via);
	else if (is_told)
		store_event(l->host.store, "ddns_follow",
			    "%s lives: its name gets its own address", l->name);
	if (l->is_active)
		uplink_kick(l);
	else
		uplink_configure(l, l->config);
}

void
uplink_forgive(struct uplink *l)
{
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		updater_forgive(&l->updater[i]);
	removal_look(&l->removal);
}

void
uplink_force(struct uplink *l)
{
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		if (l->updater[i].is_wanted)
			updater_force(&l->updater[i]);
	removal_look(&l->removal);
}

bool
uplink_is_settled(const struct uplink *l)
{
	return updater_is_settled(&l->updater[0]) && updater_is_settled(&l->updater[1]);
}

int
uplink_init(struct uplink *l, const char *name, uv_loop_t *loop, struct store *store,
	    struct fetch *fetch, struct exchange_counts *counts)
{
	*l = (struct uplink){ .host = { .loop = loop,
					.store = store,
					.fetch = fetch,
					.counts = counts,
					.on_change = on_change,
					.on_published = put_published,
					.arg = l } };
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->via, sizeof(l->via), "%s", name);
	l->removal = (struct removal){ .loop = loop,
				       .store = store,
				       .counts = counts,
				       .next = next_stale,
				       .forget = forget,
				       .arg = l };
	removal_init(&l->removal);
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		updater_init(&l->updater[i], &l->host, l->name, i == 0 ? 4 : 6,
			     &l->published);
	return 0;
}

void
uplink_close(struct uplink *l)
{
	for (int i = 0; i < UPLINK_FAMILIES; i++)
		updater_close(&l->updater[i]);
	removal_close(&l->removal);
	free(l->status);
	l->status = NULL;
}
