/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/setup.h"

#include "common/err.h"
#include "common/file.h"
#include "common/config/running.h"
#include "common/log.h"
#include "common/profile.h"
#include "common/routing.h"
#include "common/wan.h"
#include "vpnd/parent/route.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
wan_serves(const struct config_wan *w)
{
	return w->service && w->type != UPLINK_CELLULAR;
}

const char *
finding_text(const struct config_finding *f, char *buf, size_t n)
{
	char line[16] = "";

	if (f->line > 0)
		snprintf(line, sizeof(line), "%u:", f->line);
	snprintf(buf, n, "%s:%s %s%s%s%s", f->file, line, f->setting,
		 f->setting[0] != '\0' ? ": " : "", f->is_warning ? "warning: " : "",
		 f->text);
	return buf;
}

static int
read_text(const char *path, char **text, char *why)
{
	int rc = config_read(path, text);

	if (rc < 0)
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
	return rc;
}

static int
read_profile(struct setup *s, char *why)
{
	const char *path = s->config->profile_file;

	if (path[0] == '\0')
		return 0;
	int rc = file_read(AT_FDCWD, path, PROFILE_MAX, &s->bundle.profile,
			   &s->bundle.profile_n);
	/* Again, for these bytes: what was checked before is another reading. */
	if (rc == 0)
		rc = profile_check(span_of(s->bundle.profile, s->bundle.profile_n),
				   NULL);
	if (rc < 0)
		snprintf(why, WHY_MAX, "%s: %s", path, err_text(rc));
	return rc;
}

int
setup_load(struct setup **out, const struct parent_options *o,
	   struct config_report *report, char *why)
{
	return setup_load_text(out, o, NULL, report, why);
}

static int
take_text(const char *path, const char *text, char **copy, char *why)
{
	if (text == NULL)
		return read_text(path, copy, why);
	*copy = strdup(text);
	return *copy == NULL ? E_NOMEM : 0;
}

int
setup_load_text(struct setup **out, const struct parent_options *o, const char *text,
		struct config_report *report, char *why)
{
	struct setup *s = calloc(1, sizeof(*s));
	int rc;

	why[0] = '\0';
	*out = NULL;
	if (s == NULL)
		return E_NOMEM;
	if ((rc = take_text(o->conf_path, text, &s->bundle.conf, why)) < 0 ||
	    (rc = read_text(o->node_path, &s->bundle.node, why)) < 0)
		goto free_setup;
	rc = config_load(&s->config, o->conf_path, s->bundle.conf, o->node_path,
			 s->bundle.node, report);
	if (rc < 0)
		goto free_setup;
	rc = config_check_files(s->config, report);
	if (rc < 0 || report->n_error > 0) {
		rc = E_INVAL;
		goto free_setup;
	}
	if ((rc = read_profile(s, why)) < 0)
		goto free_setup;
	*out = s;
	return 0;

free_setup:
	setup_free(s);
	return rc;
}

static void
add_gateway(struct bundle *b, struct ip_addr a)
{
	for (unsigned i = 0; i < b->n_gateway; i++)
		if (ip_same_host(&b->gateway[i], &a))
			return;
	if (b->n_gateway < BUNDLE_GATEWAYS)
		b->gateway[b->n_gateway++] = a;
}

bool
setup_gateways(struct setup *s, const struct ip_addr *outside, unsigned n_outside)
{
	const struct config *c = s->config;
	struct ip_addr own[WAN_ADDRS], was[BUNDLE_GATEWAYS];
	unsigned n_was = s->bundle.n_gateway;

	memcpy(was, s->bundle.gateway, sizeof(was));
	s->bundle.n_gateway = 0;
	for (unsigned i = 0; i < c->n_wan; i++) {
		unsigned n = wan_serves(&c->wan[i])
				     ? wan_addresses(c, c->wan[i].ifname, own)
				     : 0;
		for (unsigned k = 0; k < n; k++)
			add_gateway(&s->bundle, own[k]);
	}
	for (unsigned i = 0; i < c->n_ddns; i++) {
		const struct config_ddns *d = &c->ddns[i];
		if (d->is_fixed && d->address4.s_addr != 0)
			add_gateway(&s->bundle, ip_of4(d->address4, 0));
		if (d->is_fixed && !IN6_IS_ADDR_UNSPECIFIED(&d->address6))
			add_gateway(&s->bundle, ip_of6(d->address6, 0));
	}
	for (unsigned i = 0; i < n_outside; i++)
		add_gateway(&s->bundle, outside[i]);
	bool is_same = n_was == s->bundle.n_gateway;
	for (unsigned i = 0; is_same && i < n_was; i++)
		is_same = ip_same_host(&was[i], &s->bundle.gateway[i]);
	return !is_same;
}

int
setup_resolve(struct setup *s, char *why)
{
	for (unsigned i = 0; i < s->config->n_wan; i++) {
		struct config_wan *w = &s->config->wan[i];
		if (w->ifname[0] != '\0')
			continue;
		int rc = routing_default_ifname(w->ifname);
		if (rc < 0) {
			snprintf(why, WHY_MAX,
				 "%s: no interface is set and there is no default "
				 "route to "
				 "find one by; set wan \"%s\" { interface = ... } in "
				 "node.conf",
				 w->name, w->name);
			return rc;
		}
		memcpy(s->bundle.wan_ifname[i], w->ifname, IF_NAMESIZE);
	}
	(void)setup_gateways(s, NULL, 0);
	return 0;
}

void
setup_publish(const struct setup *s, const struct parent_options *o)
{
	int rc = running_write(o->state_dir, s->bundle.conf, s->bundle.node);

	if (rc < 0)
		log_err(0,
			"%s/running: %s: certificates and names keep following the "
			"configuration before",
			o->state_dir, err_text(rc));
}

int
setup_memfd(const struct setup *s, int *fd)
{
	return bundle_make(&s->bundle, fd);
}

void
setup_free(struct setup *s)
{
	if (s == NULL)
		return;
	config_free(s->config);
	bundle_free(&s->bundle);
	free(s);
}
