/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/removal.h"

#include "common/err.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { LOOKS = 3, LOOK_AGAIN_MS = 1000 };

static void step(struct removal *r);

static void
let_go(struct removal *r)
{
	call_cancel(r->call);
	store_cancel(r->wait);
	r->call = NULL;
	r->wait = NULL;
	uv_timer_stop(&r->timer);
	r->step = REMOVAL_IDLE;
}

static void
on_timer(uv_timer_t *t)
{
	struct removal *r = t->data;

	removal_look(r);
}

static void
try_later(struct removal *r, const char *why)
{
	if (strcmp(r->told, why) != 0)
		store_event(r->store, "ddns_failed", "%s %s cannot be removed: %s",
			    r->record.name, record_type(&r->record), why);
	snprintf(r->told, sizeof(r->told), "%s", why);
	let_go(r);
	uv_timer_start(&r->timer, on_timer, schedule_failed(&r->schedule), 0);
}

/* Nothing is left to do about this one. */
static void
done(struct removal *r)
{
	struct record was = r->record;

	let_go(r);
	r->told[0] = '\0';
	r->looks = 0;
	schedule_well(&r->schedule);
	r->forget(r->arg, &was);
	uv_timer_start(&r->timer, on_timer, 0, 0);
}

static void
on_read(void *arg, const struct verdict *v, const struct holding *h)
{
	struct removal *r = arg;
	bool is_ours;

	r->call = NULL;
	if (v->kind != VERDICT_GOOD) {
		try_later(r, v->text);
		return;
	}
	is_ours = h->n == 1 && record_is_ours(&r->record, &h->addr[0]);
	if (h->n == 0) {
		if (r->step == REMOVAL_CHECK)
			store_event(r->store, "ddns_updated", "%s %s was removed",
				    r->record.name, record_type(&r->record));
		done(r);
	} else if (!is_ours && ++r->looks < LOOKS) {
		/* An update of ours may still be on its way. */
		let_go(r);
		uv_timer_start(&r->timer, on_timer, LOOK_AGAIN_MS, 0);
	} else if (!is_ours) {
		store_event(r->store, "ddns_foreign_change",
			    "%s %s is not kept any more and holds what is not ours: "
			    "it is left so",
			    r->record.name, record_type(&r->record));
		done(r);
	} else if (r->step == REMOVAL_CHECK) {
		try_later(r, "the update was taken, but the record is still there");
	} else {
		r->step = REMOVAL_PROVE;
		step(r);
	}
}

static void
on_proven(void *arg, bool ok)
{
	struct removal *r = arg;

	r->wait = NULL;
	if (!ok || !store_is_active(r->store)) {
		let_go(r);
		uv_timer_start(&r->timer, on_timer, SCHEDULE_RETRY_MS, 0);
		return;
	}
	r->epoch = store_epoch(r->store);
	r->step = REMOVAL_WRITE;
	step(r);
}

static void
on_removed(void *arg, const struct verdict *v, const struct holding *h)
{
	struct removal *r = arg;

	r->call = NULL;
	if (v->kind != VERDICT_GOOD) {
		try_later(r, v->text);
		return;
	}
	r->step = REMOVAL_CHECK;
	step(r);
}

static bool
may_send(void *arg)
{
	const struct removal *r = arg;

	return store_is_active(r->store) && store_epoch(r->store) == r->epoch;
}

static int
open_secret(struct removal *r, char value[SECRET_VALUE_MAX + 1])
{
	char why[200];
	int rc = store_secret(r->store, r->record.account.secret, value);

	if (rc == 0 && r->record.account.provider == DDNS_RFC2136 &&
	    !message_secret_ok(value))
		rc = E_INVAL;
	if (rc < 0) {
		snprintf(why, sizeof(why), "the secret %s: %s",
			 r->record.account.secret, err_text(rc));
		try_later(r, why);
	}
	return rc;
}

static void
step(struct removal *r)
{
	const struct provider *p = provider_of(r->record.account.provider);
	char secret[SECRET_VALUE_MAX + 1] = "";
	struct provider_ask ask = { .loop = r->loop,
				    .record = &r->record,
				    .secret = secret,
				    .may_send = may_send,
				    .arg = r,
				    .counts = r->counts };
	int rc = 0;

	switch (r->step) {
	case REMOVAL_READ:
	case REMOVAL_CHECK:
		ask.done = on_read;
		rc = p->read(&r->call, &ask);
		break;
	case REMOVAL_PROVE: rc = store_prove(r->store, &r->wait, on_proven, r); break;
	case REMOVAL_WRITE:
		ask.done = on_removed;
		if (open_secret(r, secret) == 0)
			rc = p->remove(&r->call, &ask);
		OPENSSL_cleanse(secret, sizeof(secret));
		break;
	case REMOVAL_IDLE: break;
	}
	if (rc < 0)
		try_later(r, err_text(rc));
}

void
removal_look(struct removal *r)
{
	if (r->step != REMOVAL_IDLE || !store_is_active(r->store) ||
	    !r->next(r->arg, &r->record))
		return;
	uv_timer_stop(&r->timer);
	const struct provider *p = provider_of(r->record.account.provider);
	if (p == NULL || !p->can_remove) {
		store_event(r->store, "ddns_failed",
			    "%s %s is not kept any more, but %s has no way to remove "
			    "it: remove it at the provider",
			    r->record.name, record_type(&r->record),
			    p != NULL ? p->name : "its provider");
		done(r);
		return;
	}
	r->step = REMOVAL_READ;
	step(r);
}

void
removal_stop(struct removal *r)
{
	let_go(r);
	r->schedule = (struct schedule){ .failures = 0 };
	r->told[0] = '\0';
}

void
removal_init(struct removal *r)
{
	uv_timer_init(r->loop, &r->timer);
	r->timer.data = r;
}

void
removal_close(struct removal *r)
{
	let_go(r);
	uv_close((uv_handle_t *)&r->timer, NULL);
}
