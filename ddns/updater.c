/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/updater.h"

#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	STUN_AGAIN_MS = 20 * 1000, /* an address behind a NAT changes in silence */
	PAGE_AGAIN_MS = 300 * 1000,
	NO_ADDRESS_MS = 20 * 1000,
	WATCHDOG_MS = 60 * 1000,       /* longer than all of one step's own limits */
	READS = 6,                     /* until a write has to be seen */
	READ_FIRST_MS = 100,           /* doubles */
	PROVIDER_SLOW_MS = 600 * 1000, /* from its web service to its name servers */
};

static const char *const state_name[UPDATER_STATES] = {
	[UPDATER_OFF] = "off",         [UPDATER_FINDING] = "finding",
	[UPDATER_ASKING] = "asking",   [UPDATER_WAITING] = "waiting",
	[UPDATER_PROVING] = "proving", [UPDATER_WRITING] = "writing",
	[UPDATER_KEPT] = "published",  [UPDATER_VERIFYING] = "verifying",
	[UPDATER_FAILED] = "failed",
};
static const char *const event_name[UPDATER_EVENTS] = {
	[UPDATER_NONE] = "none",     [UPDATER_START] = "start",
	[UPDATER_STOP] = "stop",     [UPDATER_KICK] = "kick",
	[UPDATER_TIMER] = "timer",   [UPDATER_FOUND] = "found",
	[UPDATER_SAME] = "same",     [UPDATER_OTHER] = "other",
	[UPDATER_PROVEN] = "proven", [UPDATER_TAKEN] = "taken",
	[UPDATER_ERROR] = "error",
};

static uint64_t
now_ms(const struct updater *u)
{
	return uv_now(u->host->loop);
}

/* From a callback: what happened to what was under way. */
static void
post(struct updater *u, enum updater_event ev)
{
	updater_event(u, ev);
}

/* From within an action: the table is walked again when it has returned. */
static int
then(struct updater *u, enum updater_event ev)
{
	u->posted = ev;
	return 0;
}

__attribute__((format(printf, 2, 3))) static void
say(struct updater *u, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->text, sizeof(u->text), fmt, ap);
	va_end(ap);
}

/* An action that fails has said why. */
__attribute__((format(printf, 2, 3))) static int
wrong(struct updater *u, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->error, sizeof(u->error), fmt, ap);
	va_end(ap);
	return E_INVAL;
}

static void
let_go(struct updater *u)
{
	address_cancel(u->find);
	call_cancel(u->call);
	store_cancel(u->wait);
	u->find = NULL;
	u->call = NULL;
	u->wait = NULL;
	uv_timer_stop(&u->timer);
}

static void
on_timer(uv_timer_t *t)
{
	post(t->data, UPDATER_TIMER);
}

/* ---- finding ---- */

static void
on_found(void *arg, const struct address_found *found)
{
	struct updater *u = arg;
	char was[IP_TEXT], is[IP_TEXT];

	u->find = NULL;
	if (found->addr.family == 0) {
		(void)wrong(u, "no IPv%u address to publish: %s",
			    u->want.record.address.family,
			    found->why[0] ? found->why
					  : "the uplink has none that the world can "
					    "reach; set address, stun or lookup_url");
		u->not_before_ms = now_ms(u) + NO_ADDRESS_MS;
		u->has_none = true;
		post(u, UPDATER_ERROR);
		return;
	}
	bool is_other =
		u->has_address && !ip_same_host(&u->record.address, &found->addr);
	if (is_other) {
		ip_text(&u->record.address, was);
		log_info(0, "%s %s: address changed from %s to %s", u->wan,
			 u->record.name, was, ip_text(&found->addr, is));
		if (schedule_changed(&u->schedule, now_ms(u)))
			store_event(u->host->store, "ddns_flapping",
				    "%s: the address of %s changes too often, last to "
				    "%s; it is published when it stands still",
				    u->wan, u->want.record.name, is);
		u->not_before_ms = 0;
	}
	u->is_confirmed &= !is_other;
	u->has_none = false;
	u->source = found->source;
	u->record = u->want.record;
	u->record.address = found->addr;
	u->record.address.port = 0;
	u->has_address = true;
	post(u, UPDATER_FOUND);
}

static int
find(struct updater *u)
{
	u->is_again = false;
	say(u, "finding the address");
	int rc = address_find(&u->find, u->host->loop, u->host->fetch, &u->want.ask,
			      on_found, u);
	return rc < 0 ? wrong(u, "%s", err_text(rc)) : 0;
}

/* ---- asking ---- */

/* The secret for one call. */
static int
open_secret(struct updater *u, char value[SECRET_VALUE_MAX + 1])
{
	const char *name = u->record.account.secret;
	int rc = store_secret(u->host->store, name, value);

	u->not_before_ms = rc < 0 ? UINT64_MAX : u->not_before_ms;
	if (rc == E_NOENT)
		return wrong(u,
			     "there is no secret %s: store it with \"vpnctl secret set "
			     "%s\"",
			     name, name);
	if (rc < 0)
		return wrong(u,
			     "the secret %s cannot be opened with this pair key (%s)",
			     name, err_text(rc));
	if (u->record.account.provider == DDNS_RFC2136 && !message_secret_ok(value)) {
		u->not_before_ms = UINT64_MAX;
		return wrong(u,
			     "the secret %s is not a TSIG key in base64: store it as "
			     "the server's configuration has it",
			     name);
	}
	return 0;
}

static bool
may_send(void *arg)
{
	const struct updater *u = arg;

	return store_is_active(u->host->store) &&
	       store_epoch(u->host->store) == u->epoch;
}

static int
call(struct updater *u, int (*begin)(struct call **, const struct provider_ask *),
     bool needs_secret,
     void (*done)(void *, const struct verdict *, const struct holding *))
{
	char secret[SECRET_VALUE_MAX + 1] = "";
	struct provider_ask ask = { .loop = u->host->loop,
				    .fetch = u->host->fetch,
				    .record = &u->record,
				    .secret = secret,
				    .may_send = may_send,
				    .done = done,
				    .arg = u,
				    .counts = u->host->counts };
	int rc = needs_secret ? open_secret(u, secret) : 0;

	if (rc == 0 && (rc = begin(&u->call, &ask)) < 0)
		rc = wrong(u, "%s cannot be asked: %s", u->record.name, err_text(rc));
	OPENSSL_cleanse(secret, sizeof(secret));
	return rc;
}

static void
failed(struct updater *u, const struct verdict *v)
{
	snprintf(u->error, sizeof(u->error), "%s", v->text);
	u->not_before_ms = v->kind == VERDICT_STOP   ? UINT64_MAX
			   : v->kind == VERDICT_SLOW ? now_ms(u) + v->wait_s * 1000ull
						     : 0;
	post(u, UPDATER_ERROR);
}

/* "192.0.2.1, 192.0.2.2" */
static const char *
holding_text(const struct holding *h, char buf[200])
{
	size_t at = 0;

	snprintf(buf, 200, "%s", h->is_alias ? "an alias" : "nothing");
	for (unsigned i = 0; i < h->n && at + IP_TEXT < 200; i++) {
		char one[IP_TEXT];
		at += (size_t)snprintf(buf + at, 200 - at, "%s%s", i > 0 ? ", " : "",
				       ip_text(&h->addr[i], one));
	}
	return buf;
}

static bool
holds(const struct holding *h, const struct ip_addr *a)
{
	return h->n == 1 && ip_same_host(&h->addr[0], a);
}

/* Somebody else changed what we had published. True: leave it so. */
static bool
is_foreign(struct updater *u, const struct holding *h)
{
	const struct record *was = published_find(u->published, &u->record);
	bool is_left = u->want.conf.on_foreign_change == DDNS_REPORT && !u->is_forced;
	char text[200], ours[IP_TEXT];

	if (was == NULL || (h->n == 1 && record_is_ours(was, &h->addr[0]))) {
		u->foreign[0] = '\0';
		return false;
	}
	holding_text(h, text);
	if (strcmp(u->foreign, text) != 0 || !is_left)
		store_event(u->host->store, "ddns_foreign_change",
			    "%s %s was changed by someone else: the zone holds %s, we "
			    "had published %s; %s",
			    u->record.name, record_type(&u->record), text,
			    ip_text(&was->address, ours),
			    is_left ? "it is left so" : "it is corrected");
	memcpy(u->foreign, text, sizeof(u->foreign));
	return is_left;
}

/* A server may have its own mind about TTLs: only a change of ours counts. */
static bool
ttl_is_ours(const struct updater *u, const struct holding *h)
{
	const struct record *was = published_find(u->published, &u->record);

	return !h->is_authoritative || h->ttl_s == u->record.ttl_s || was == NULL ||
	       was->ttl_s == u->record.ttl_s;
}

/* The memory of what is ours: from here on either node can correct or remove it. As
 * long as the write is not confirmed, what was there before may still be. */
static void
remember(struct updater *u, bool is_confirmed)
{
	const struct record *was = published_find(u->published, &u->record);
	struct record r = u->record;

	if (!is_confirmed && was != NULL)
		r.previous = ip_same_host(&was->address, &r.address) ? was->previous
								     : was->address;
	if (was != NULL && record_equal(was, &r))
		return;
	published_add(u->published, &r);
	u->host->on_published(u->host->arg);
}

static void
on_read(void *arg, const struct verdict *v, const struct holding *h)
{
	struct updater *u = arg;

	u->call = NULL;
	if (v->kind != VERDICT_GOOD) {
		failed(u, v);
		return;
	}
	u->checked_ms = now_ms(u);
	u->shown = h->n > 0 ? h->addr[0] : (struct ip_addr){ .family = 0 };
	if (h->is_alias) {
		u->not_before_ms = now_ms(u) + u->want.conf.check_interval_s * 1000ull;
		(void)wrong(u, "%s is an alias (CNAME) in the zone: remove that record",
			    u->record.name);
		post(u, UPDATER_ERROR);
		return;
	}
	if (holds(h, &u->record.address) &&
	    (ttl_is_ours(u, h) || !h->is_authoritative)) {
		u->is_confirmed = true;
		u->foreign[0] = '\0';
		post(u, UPDATER_SAME);
		return;
	}
	u->is_confirmed = false;
	/* A resolver may remember what was before; what the provider took last is not
	 * said to it again. */
	if (!h->is_authoritative && ip_same_host(&u->accepted, &u->record.address) &&
	    !u->is_forced) {
		say(u, "the provider has it, a resolver here does not see it yet");
		post(u, UPDATER_SAME);
		return;
	}
	if (h->is_authoritative && !holds(h, &u->record.address) && is_foreign(u, h)) {
		say(u, "changed by someone else to %s, left so", u->foreign);
		post(u, UPDATER_SAME);
		return;
	}
	post(u, UPDATER_OTHER);
}

/* The address is as it was, and the zone was asked not long ago. */
static bool
is_fresh(const struct updater *u)
{
	return u->is_confirmed && !u->is_forced &&
	       now_ms(u) < u->checked_ms + u->want.conf.check_interval_s * 1000ull;
}

static int
ask(struct updater *u)
{
	const struct provider *p = provider_of(u->record.account.provider);

	if (is_fresh(u))
		return then(u, UPDATER_SAME);
	say(u, "asking what the zone holds");
	return call(u, p->read, false, on_read);
}

/* ---- writing ---- */

static int
wait_turn(struct updater *u)
{
	uint64_t now = now_ms(u), due = schedule_due(&u->schedule, now);

	if (u->is_forced)
		due = now;
	else if (u->not_before_ms == UINT64_MAX)
		return E_AGAIN; /* the error is still the one that stopped us */
	else if (u->not_before_ms > due)
		due = u->not_before_ms;
	if (due <= now)
		return then(u, UPDATER_TIMER);
	say(u, "waits %u s: %s", (unsigned)((due - now + 999) / 1000),
	    u->schedule.is_flapping ? "the address changes too often"
				    : "updates are not more frequent than that");
	uv_timer_start(&u->timer, on_timer, due - now, 0);
	return 0;
}

static void
on_proven(void *arg, bool ok)
{
	struct updater *u = arg;

	u->wait = NULL;
	if (!ok || !store_is_active(u->host->store)) {
		(void)wrong(u, "hasync does not confirm that this node is active");
		post(u, UPDATER_ERROR);
		return;
	}
	u->epoch = store_epoch(u->host->store);
	post(u, UPDATER_PROVEN);
}

static int
prove(struct updater *u)
{
	say(u, "making sure that this node is active");
	remember(u, false);
	return store_prove(u->host->store, &u->wait, on_proven, u) < 0
		       ? wrong(u, "hasync is not reached")
		       : 0;
}

static void
on_written(void *arg, const struct verdict *v, const struct holding *h)
{
	struct updater *u = arg;

	u->call = NULL;
	if (v->kind == VERDICT_STALE) {
		failed(u, v);
		return;
	}
	schedule_written(&u->schedule, now_ms(u));
	if (v->kind != VERDICT_GOOD) {
		failed(u, v);
		return;
	}
	u->updates += !v->is_unchanged;
	u->accepted = u->record.address;
	u->was_unchanged = v->is_unchanged;
	u->has_written = !v->is_unchanged;
	u->reads = 0;
	post(u, UPDATER_TAKEN);
}

static int
write_record(struct updater *u)
{
	char addr[IP_TEXT];

	say(u, "writing");
	log_info(0, "%s: writing %s %s %s epoch=%llu", u->wan, u->record.name,
		 record_type(&u->record), ip_text(&u->record.address, addr),
		 (unsigned long long)u->epoch);
	return call(u, provider_of(u->record.account.provider)->write, true,
		    on_written);
}

/* ---- reading back ---- */

static void
on_read_back(void *arg, const struct verdict *v, const struct holding *h)
{
	struct updater *u = arg;
	char text[200];

	u->call = NULL;
	if (v->kind != VERDICT_GOOD) {
		failed(u, v);
		return;
	}
	u->checked_ms = now_ms(u);
	if (holds(h, &u->record.address)) {
		u->is_confirmed = true;
		u->foreign[0] = '\0';
		post(u, UPDATER_SAME);
		return;
	}
	if (++u->reads < READS) {
		uv_timer_start(&u->timer, on_timer, READ_FIRST_MS << u->reads, 0);
		return;
	}
	u->shown = h->n > 0 ? h->addr[0] : (struct ip_addr){ .family = 0 };
	(void)wrong(u, "the update was taken, but the zone still holds %s",
		    holding_text(h, text));
	/* A provider that has the address already must not hear it again. */
	if (u->was_unchanged)
		u->not_before_ms = UINT64_MAX;
	else if (!provider_of(u->record.account.provider)->can_remove)
		u->not_before_ms = now_ms(u) + PROVIDER_SLOW_MS;
	post(u, UPDATER_ERROR);
}

static int
read_back(struct updater *u)
{
	/* Nobody to ask but a resolver, who remembers: the provider's word counts. */
	if (u->record.account.server[0] == '\0') {
		u->is_confirmed = true;
		u->checked_ms = now_ms(u);
		return then(u, UPDATER_SAME);
	}
	say(u, "reading back");
	return call(u, provider_of(u->record.account.provider)->read, false,
		    on_read_back);
}

/* ---- the ends ---- */

static uint64_t
look_again_ms(const struct updater *u)
{
	uint64_t check = u->want.conf.check_interval_s * 1000ull;
	uint64_t again = u->source == ADDRESS_STUN   ? STUN_AGAIN_MS
			 : u->source == ADDRESS_PAGE ? PAGE_AGAIN_MS
						     : check;
	return again < check ? again : check;
}

static int
keep(struct updater *u)
{
	char addr[IP_TEXT];

	schedule_well(&u->schedule);
	u->not_before_ms = 0;
	u->error[0] = u->told[0] = '\0';
	u->is_forced = false;
	if (u->is_confirmed) {
		u->shown = u->record.address;
		remember(u, true);
		say(u, "published, from %s", address_source_text(u->source));
	}
	if (u->has_written) {
		u->updated_s = (uint64_t)time(NULL);
		store_event(u->host->store, "ddns_updated", "%s %s is %s now",
			    u->record.name, record_type(&u->record),
			    ip_text(&u->record.address, addr));
	}
	u->has_written = false;
	uv_timer_start(&u->timer, on_timer, u->is_again ? 0 : look_again_ms(u), 0);
	return 0;
}

/* Each reason is told once, until it is well again. */
static int
fail(struct updater *u)
{
	uint64_t now = now_ms(u), wait = schedule_failed(&u->schedule);

	u->is_confirmed = false;
	u->is_forced = false;
	/* An uplink that has no IPv6 and need not have any is in order. */
	bool is_quiet = u->has_none && u->want.conf.family == DDNS_BOTH &&
			u->want.record.address.family == 6;
	if (strcmp(u->told, u->error) != 0 && !is_quiet)
		store_event(u->host->store, "ddns_failed", "%s %s: %s",
			    u->want.record.name, record_type(&u->want.record),
			    u->error);
	memcpy(u->told, u->error, sizeof(u->told));
	say(u, is_quiet ? "no address" : "failed");
	if (u->not_before_ms == UINT64_MAX)
		return 0;
	if (u->not_before_ms > now)
		wait = u->not_before_ms - now;
	else
		u->not_before_ms = now + wait;
	if (u->is_again)
		wait = 0;
	uv_timer_start(&u->timer, on_timer, wait, 0);
	return 0;
}

static int
halt(struct updater *u)
{
	u->is_confirmed = u->is_forced = u->is_again = u->has_written = false;
	u->schedule = (struct schedule){ .written_ms = u->schedule.written_ms };
	u->schedule.min_interval_ms = u->want.conf.min_interval_s * 1000ull;
	u->not_before_ms = 0;
	u->has_address = u->was_unchanged = false;
	u->accepted = (struct ip_addr){ .family = 0 };
	u->error[0] = u->told[0] = u->foreign[0] = '\0';
	say(u, "%s", "");
	return 0;
}

/* Not now: something is under way; look again when it is over. */
static int
later(struct updater *u)
{
	u->is_again = true;
	return 0;
}

/* ---- the table ---- */

/* An empty cell is a move we do not make. */
static const struct edge {
	int (*act)(struct updater *u);
	enum updater_state next;
} edges[UPDATER_STATES][UPDATER_EVENTS] = {
	/* clang-format off */
	[UPDATER_OFF][UPDATER_START]       = { find,         UPDATER_FINDING },

	[UPDATER_FINDING][UPDATER_FOUND]   = { ask,          UPDATER_ASKING },
	[UPDATER_FINDING][UPDATER_ERROR]   = { fail,         UPDATER_FAILED },
	[UPDATER_FINDING][UPDATER_KICK]    = { later,        UPDATER_FINDING },
	[UPDATER_FINDING][UPDATER_STOP]    = { halt,         UPDATER_OFF },

	[UPDATER_ASKING][UPDATER_SAME]     = { keep,         UPDATER_KEPT },
	[UPDATER_ASKING][UPDATER_OTHER]    = { wait_turn,    UPDATER_WAITING },
	[UPDATER_ASKING][UPDATER_ERROR]    = { fail,         UPDATER_FAILED },
	[UPDATER_ASKING][UPDATER_KICK]     = { find,         UPDATER_FINDING },
	[UPDATER_ASKING][UPDATER_STOP]     = { halt,         UPDATER_OFF },

	[UPDATER_WAITING][UPDATER_TIMER]   = { prove,        UPDATER_PROVING },
	[UPDATER_WAITING][UPDATER_KICK]    = { find,         UPDATER_FINDING },
	[UPDATER_WAITING][UPDATER_STOP]    = { halt,         UPDATER_OFF },

	[UPDATER_PROVING][UPDATER_PROVEN]  = { write_record, UPDATER_WRITING },
	[UPDATER_PROVING][UPDATER_ERROR]   = { fail,         UPDATER_FAILED },
	[UPDATER_PROVING][UPDATER_KICK]    = { later,        UPDATER_PROVING },
	[UPDATER_PROVING][UPDATER_STOP]    = { halt,         UPDATER_OFF },

	[UPDATER_WRITING][UPDATER_TAKEN]   = { read_back,    UPDATER_VERIFYING },
	[UPDATER_WRITING][UPDATER_ERROR]   = { fail,         UPDATER_FAILED },
	[UPDATER_WRITING][UPDATER_KICK]    = { later,        UPDATER_WRITING },
	[UPDATER_WRITING][UPDATER_STOP]    = { halt,         UPDATER_OFF },

	[UPDATER_VERIFYING][UPDATER_SAME]  = { keep,         UPDATER_KEPT },
	[UPDATER_VERIFYING][UPDATER_TIMER] = { read_back,    UPDATER_VERIFYING },
	[UPDATER_VERIFYING][UPDATER_ERROR] = { fail,         UPDATER_FAILED },
	[UPDATER_VERIFYING][UPDATER_KICK]  = { later,        UPDATER_VERIFYING },
	[UPDATER_VERIFYING][UPDATER_STOP]  = { halt,         UPDATER_OFF },

	[UPDATER_KEPT][UPDATER_TIMER]      = { find,         UPDATER_FINDING },
	[UPDATER_KEPT][UPDATER_KICK]       = { find,         UPDATER_FINDING },
	[UPDATER_KEPT][UPDATER_STOP]       = { halt,         UPDATER_OFF },

	[UPDATER_FAILED][UPDATER_TIMER]    = { find,         UPDATER_FINDING },
	[UPDATER_FAILED][UPDATER_KICK]     = { find,         UPDATER_FINDING },
	[UPDATER_FAILED][UPDATER_STOP]     = { halt,         UPDATER_OFF },
	/* clang-format on */
};

static void
on_watchdog(uv_timer_t *t)
{
	struct updater *u = t->data;

	(void)wrong(u, "%s took too long", state_name[u->state]);
	u->posted = UPDATER_NONE;
	post(u, UPDATER_ERROR);
}

static bool
is_busy(const struct updater *u)
{
	return u->state != UPDATER_OFF && u->state != UPDATER_KEPT &&
	       u->state != UPDATER_FAILED && u->state != UPDATER_WAITING;
}

/* One move. Leaving a state ends what it had begun. */
static void
move(struct updater *u, enum updater_event ev)
{
	const struct edge *e = &edges[u->state][ev];
	enum updater_state was = u->state;

	if (e->act == NULL) {
		log_debug(0, "%s IPv%u: %s ignored in %s", u->wan,
			  u->want.record.address.family, event_name[ev],
			  state_name[was]);
		return;
	}
	if (e->act != later)
		let_go(u);
	u->state = e->next;
	int rc = e->act(u);
	if (rc < 0) {
		let_go(u);
		u->posted = UPDATER_NONE;
		u->state = UPDATER_FAILED;
		(void)fail(u);
	}
	if (is_busy(u))
		uv_timer_start(&u->watchdog, on_watchdog, WATCHDOG_MS, 0);
	else
		uv_timer_stop(&u->watchdog);
	log_debug(0, "%s IPv%u: %s: %s -> %s", u->wan, u->want.record.address.family,
		  event_name[ev], state_name[was], state_name[u->state]);
}

void
updater_event(struct updater *u, enum updater_event ev)
{
	for (; ev != UPDATER_NONE; ev = u->posted) {
		u->posted = UPDATER_NONE;
		move(u, ev);
		if (u->posted == ev)
			break;
	}
	u->host->on_change(u->host->arg, u);
}

/* ---- public ---- */

void
updater_init(struct updater *u, const struct updater_host *host, const char *wan,
	     uint8_t family, struct published *published)
{
	*u = (struct updater){ .host = host, .wan = wan, .published = published };
	u->want.record.address.family = family;
	uv_timer_init(host->loop, &u->timer);
	uv_timer_init(host->loop, &u->watchdog);
	u->timer.data = u->watchdog.data = u;
}

/* What of the section is not in the record. */
static bool
same_conf(const struct config_ddns *a, const struct config_ddns *b)
{
	bool is_same = a->is_fixed == b->is_fixed && a->family == b->family &&
		       a->address4.s_addr == b->address4.s_addr &&
		       memcmp(&a->address6, &b->address6, sizeof(a->address6)) == 0 &&
		       a->min_interval_s == b->min_interval_s &&
		       a->check_interval_s == b->check_interval_s &&
		       a->on_foreign_change == b->on_foreign_change &&
		       a->n_stun == b->n_stun &&
		       strcmp(a->lookup_url, b->lookup_url) == 0;

	for (unsigned i = 0; is_same && i < a->n_stun; i++)
		is_same = strcmp(a->stun[i], b->stun[i]) == 0;
	return is_same;
}

/* The addresses of the interface are looked up again and again, and make no other
 * want. */
static bool
same_want(const struct updater_want *a, const struct updater_want *b)
{
	return record_equal(&a->record, &b->record) && same_conf(&a->conf, &b->conf);
}

void
updater_want(struct updater *u, const struct updater_want *want)
{
	uint8_t family = u->want.record.address.family;
	bool is_same = want != NULL && u->is_wanted && same_want(&u->want, want);

	if (!is_same)
		updater_event(u, UPDATER_STOP);
	/* Another record has no updates yet to keep a distance from. */
	if (want != NULL && !record_same(&u->want.record, &want->record))
		u->schedule = (struct schedule){ .written_ms = 0 };
	if (want != NULL)
		u->want = *want;
	u->is_wanted = want != NULL;
	/* The texts of the question point into the want it came with. */
	if (want != NULL) {
		for (unsigned i = 0; i < ADDRESS_STUNS; i++)
			u->want.ask.stun[i] = u->want.conf.stun[i];
		u->want.ask.page_url = u->want.conf.lookup_url;
		u->want.ask.page_ca_file = u->want.conf.ca_file;
	} else {
		u->want.record.address.family = family;
	}
	if (is_same)
		return;
	u->schedule.min_interval_ms = u->want.conf.min_interval_s * 1000ull;
	u->shown = (struct ip_addr){ .family = 0 };
}

void
updater_forgive(struct updater *u)
{
	u->not_before_ms = 0;
	schedule_well(&u->schedule);
	if (u->state == UPDATER_FAILED)
		updater_event(u, UPDATER_KICK);
}

void
updater_force(struct updater *u)
{
	u->not_before_ms = 0;
	u->is_forced = true;
	u->told[0] = '\0';
	schedule_well(&u->schedule);
	updater_event(u, UPDATER_KICK);
}

bool
updater_is_settled(const struct updater *u)
{
	return u->state == UPDATER_OFF || u->state == UPDATER_KEPT ||
	       u->state == UPDATER_FAILED;
}

const char *
updater_state_text(const struct updater *u)
{
	return state_name[u->state];
}

void
updater_close(struct updater *u)
{
	let_go(u);
	uv_close((uv_handle_t *)&u->timer, NULL);
	uv_close((uv_handle_t *)&u->watchdog, NULL);
}
