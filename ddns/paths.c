/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/paths.h"

#include "common/log.h"
#include "common/wan.h"

#include <jansson.h>
#include <string.h>

enum { STEP_MS = 250 };

static const char *const names[CONFIG_WANS] = { "wan1", "wan2" };

const char *
paths_wan_name(unsigned wan)
{
	return wan < CONFIG_WANS ? names[wan] : NULL;
}

static const struct config_wan *
wan_of(const struct config *c, unsigned wan)
{
	for (unsigned i = 0; c != NULL && i < c->n_wan; i++)
		if (strcmp(c->wan[i].name, names[wan]) == 0)
			return &c->wan[i];
	return NULL;
}

/* All is well: the kernel's routes are right. Else by one that lives. */
static void
choose_egress(struct paths *p)
{
	struct ip_addr own[WAN_ADDRS];
	bool is_any_dead = false;

	p->egress = (struct egress){ 0 };
	for (unsigned i = 0; i < CONFIG_WANS; i++)
		is_any_dead |= p->is_known[i] && p->is_dead[i];
	for (unsigned i = 0; is_any_dead && i < CONFIG_WANS; i++) {
		const struct config_wan *w = wan_of(p->config, i);
		if (!p->alive[i] || !p->is_known[i] || w == NULL || w->ifname[0] == 0)
			continue;
		unsigned n = wan_addresses(p->config, w->ifname, own);
		if (n == 0)
			continue;
		memcpy(p->egress.ifname, w->ifname, sizeof(p->egress.ifname));
		for (unsigned k = n; k-- > 0;)
			p->egress.local[own[k].family == 6] = own[k];
		return;
	}
}

bool
paths_step(struct paths *p, uint64_t now_ms)
{
	bool is_pending = false;

	for (unsigned i = 0; i < CONFIG_WANS; i++) {
		const struct config_wan *w = wan_of(p->config, i);
		p->alive[i] = w != NULL && w->service && w->type != UPLINK_CELLULAR &&
			      !(p->is_known[i] && p->is_dead[i]);
	}
	choose_egress(p);
	for (unsigned i = 0; i < CONFIG_WANS; i++) {
		/* Without such an uplink there is no name to care about. */
		unsigned to = wan_of(p->config, i) == NULL
				      ? i
				      : follow_step(&p->follow[i], i, p->alive,
						    CONFIG_WANS, now_ms);
		is_pending |= p->follow[i].differs;
		if (to == p->to[i])
			continue;
		p->to[i] = to;
		log_info(0, "%s %s: its name means %s", names[i],
			 to == i ? "lives" : "is dead", names[to]);
		p->on_change(p->arg, i, to);
	}
	return is_pending;
}

static void
on_timer(uv_timer_t *t)
{
	struct paths *p = t->data;

	if (paths_step(p, uv_now(t->loop)))
		uv_timer_start(t, on_timer, STEP_MS, 0);
}

static void
look(struct paths *p)
{
	uv_update_time(p->timer.loop);
	on_timer(&p->timer);
}

void
paths_heard(struct paths *p, struct span json)
{
	json_t *o = json.p != NULL ? json_loadb((const char *)json.p, json.n, 0, NULL)
				   : NULL;
	json_t *links = json_object_get(o, "links"), *link;
	size_t k;

	memset(p->is_known, 0, sizeof(p->is_known));
	json_array_foreach(links, k, link)
	{
		const char *name = json_string_value(json_object_get(link, "name"));
		for (unsigned i = 0; name != NULL && i < CONFIG_WANS; i++)
			if (strcmp(name, names[i]) == 0) {
				p->is_known[i] = true;
				p->is_dead[i] =
					json_is_false(
						json_object_get(link, "carrier")) ||
					json_is_false(json_object_get(link, "gateway"));
			}
	}
	json_decref(o);
	look(p);
}

void
paths_configure(struct paths *p, const struct config *c)
{
	p->config = c;
	look(p);
}

void
paths_start(struct paths *p, uv_loop_t *loop)
{
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	for (unsigned i = 0; i < CONFIG_WANS; i++)
		p->to[i] = i;
}

void
paths_stop(struct paths *p)
{
	if (p->timer.data != NULL && !uv_is_closing((uv_handle_t *)&p->timer))
		uv_close((uv_handle_t *)&p->timer, NULL);
}
