/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* outside.c -- the addresses that our names mean outside of a NAT: ddnsd finds them out
 * and remembers in the store what it has published (ddns/published/WAN). Clients keep
 * them outside of their tunnels, as our own. */
#include "common/err.h"
#include "common/log.h"
#include "vpnd/parent/state.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { OBJECT_MAX = 32 * 1024 };

/* Not forgotten when it moves: it may come back while clients are connected. */
static bool
remember(struct pairing *q, const struct ip_addr *a)
{
	for (unsigned i = 0; i < q->n_outside; i++)
		if (ip_same_host(&q->outside[i], a))
			return false;
	if (q->n_outside == OUTSIDE_MAX)
		memmove(q->outside, q->outside + 1,
			--q->n_outside * sizeof(q->outside[0]));
	q->outside[q->n_outside++] = *a;
	return true;
}

static bool
is_ours(const struct config *c, const char *name)
{
	return name != NULL && name[0] != '\0' &&
	       (strcasecmp(name, c->hostname) == 0 ||
		strcasecmp(name, c->backup_hostname) == 0);
}

/* The bundle with what is known now, in place of the one before. */
static bool
remake(struct parent *p)
{
	int fd;

	if (!setup_gateways(p->setup, p->pairing.outside, p->pairing.n_outside))
		return false;
	int rc = setup_memfd(p->setup, &fd);
	if (rc < 0) {
		log_warn(0, "published addresses: %s", err_text(rc));
		return false;
	}
	close(p->config_fd);
	p->config_fd = fd;
	return true;
}

void
outside_reloaded(struct parent *p)
{
	(void)remake(p);
}

void
outside_heard(struct parent *p, struct span json)
{
	json_t *o = json.p != NULL && json.n <= OBJECT_MAX
			    ? json_loadb((const char *)json.p, json.n, 0, NULL)
			    : NULL;
	bool is_news = false;
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(o, "records"), i, r)
	{
		const char *name = json_string_value(json_object_get(r, "name"));
		const char *addr = json_string_value(json_object_get(r, "address"));
		struct ip_addr a;
		if (is_ours(parent_config(p), name) && addr != NULL &&
		    ip_parse(addr, &a) == 0)
			is_news |= remember(&p->pairing, &a);
	}
	json_decref(o);
	if (!is_news || p->is_stopping || !remake(p))
		return;
	p->generation++;
	for (unsigned k = 0; k < p->n_process; k++)
		handout_config(&p->process[k]);
}
