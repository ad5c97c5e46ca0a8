/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <confuse.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/config/report.h"
#include "common/config/scan.h"
#include "common/config/schema.h"

/* Room for the options of one section, the hidden one and the end mark. */
enum { SECTION_OPTIONS = 32 };

/* Verbatim: operators search for these words. */
static const char no_destination[] =
	"The AnyConnect traffic destination (Client Routing) must contain at least one "
	"valid subnet in CIDR format.";

static const char no_domain[] =
	"The AnyConnect traffic destination (Dynamic Client Routing) must contain at "
	"least one valid destination.";

/* The parse of one file. */
struct load {
	/* libconfuse's error callback takes no argument of ours, but any cfg_t
	 * leads to its options, and a hidden one leads here: must stay first. */
	long hook;
	enum config_file file;
	const char *name;
	struct config_report *report;
	struct config *c;
	struct scan scan;
};

/* ---- libconfuse */

static const char hook_name[] = "__report";

static void
on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	cfg_opt_t *hook = cfg_getopt(cfg, hook_name);
	char text[200];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (hook == NULL || hook->simple_value.number == NULL)
		return; /* the return code still refuses the text */
	struct load *l = (struct load *)hook->simple_value.number;
	report_error(l->report, l->name, cfg->line > 0 ? (unsigned)cfg->line : 0,
		     "syntax", "%s", text);
}

/* The rows of one section as libconfuse options, all of them strings: we
 * convert ourselves, to be able to go on after a bad value. */
static void
section_options(struct load *l, enum config_section id, cfg_opt_t *opts)
{
	size_t n = 0;

	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];
		cfg_opt_t one = CFG_STR(o->name, NULL, CFGF_NODEFAULT);
		cfg_opt_t list = CFG_STR_LIST(o->name, NULL, CFGF_NODEFAULT);

		if (o->section != id)
			continue;
		assert(n + 2 < SECTION_OPTIONS);
		opts[n++] = o->type->is_list ? list : one;
	}
	opts[n++] = (cfg_opt_t)CFG_SIMPLE_INT(hook_name, &l->hook);
	opts[n] = (cfg_opt_t)CFG_END();
}

/* ---- values */

static void
say_bad_value(struct load *l, const struct option *o, const char *path, unsigned line,
	      const char *text)
{
	char rule[200];

	if (o->offset == offsetof(struct config, route) &&
	    o->section == SECTION_ADDRESSING) {
		report_error(l->report, l->name, line, path, "%s", no_destination);
		return;
	}
	o->type->rule(o, rule, sizeof(rule));
	report_error(l->report, l->name, line, path,
		     "\"%.48s%s\" is not allowed: must be %s",
		     o->is_secret ? "(hidden)" : text,
		     !o->is_secret && strlen(text) > 48 ? "..." : "", rule);
}

static void
take_option(struct load *l, cfg_t *sec, const struct option *o, unsigned instance,
	    const char *title, void *base)
{
	unsigned n = cfg_size(sec, o->name);
	char path[96];

	if (title != NULL)
		snprintf(path, sizeof(path), "%s.%s.%s",
			 config_sections[o->section].name, title, o->name);
	else
		option_path(o, path, sizeof(path));
	for (unsigned i = 0; i < n && l->report->n <= REPORT_MAX; i++) {
		char *text = cfg_getnstr(sec, o->name, i);
		unsigned line = scan_line(&l->scan, o, instance, i);

		if (text == NULL)
			continue;
		scan_unmask(text);
		switch (o->type->parse(o, text, base)) {
		case 0: break;
		case 1:
			report_warning(
				l->report, l->name, line, path,
				"%s has bits set outside of its mask: they are ignored",
				text);
			break;
		case E_LIMIT: {
			char rule[200];
			o->type->rule(o, rule, sizeof(rule));
			report_error(l->report, l->name, line, path,
				     "too many: must be %s", rule);
			return;
		}
		default: say_bad_value(l, o, path, line, text);
		}
	}
}

static void
take_section(struct load *l, cfg_t *sec, enum config_section id, unsigned instance,
	     const char *title, void *base)
{
	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == id)
			take_option(l, sec, &config_options[i], instance, title, base);
}

/* The nth group or wan: its place in the struct, name and defaults set. */
static void *
titled_new(struct config *c, enum config_section id, const char *title)
{
	void *base;

	if (id == SECTION_GROUP) {
		struct config_group *g = &c->group[c->n_group++];
		snprintf(g->name, sizeof(g->name), "%s", title);
		base = g;
	} else if (id == SECTION_DDNS) {
		struct config_ddns *d = &c->ddns[c->n_ddns++];
		snprintf(d->wan, sizeof(d->wan), "%s", title);
		base = d;
	} else {
		struct config_wan *w = &c->wan[c->n_wan++];
		snprintf(w->name, sizeof(w->name), "%s", title);
		base = w;
	}
	section_reset(id, base);
	return base;
}

static void
take_values(struct load *l, cfg_t *cfg)
{
	for (enum config_section id = 0; id < SECTIONS; id++) {
		const struct section *s = &config_sections[id];

		if (s->file != l->file)
			continue;
		if (!s->is_titled) {
			take_section(l, cfg_getsec(cfg, s->name), id, 0, NULL, l->c);
			continue;
		}
		for (size_t i = 0; i < l->scan.n_title; i++) {
			const struct scan_title *t = &l->scan.title[i];
			cfg_t *sec;

			if (t->section != id)
				continue;
			sec = cfg_getnsec(cfg, s->name, t->instance);
			if (sec != NULL)
				take_section(l, sec, id, t->instance, t->text,
					     titled_new(l->c, id, t->text));
		}
	}
}

static int
load_text(struct load *l, const char *text)
{
	cfg_opt_t opts[SECTIONS][SECTION_OPTIONS], top[SECTIONS + 2];
	size_t n = 0;
	cfg_t *cfg;
	int rc;

	if ((rc = scan_text(&l->scan, l->file, l->name, text, l->report)) < 0)
		return rc;
	if (l->scan.clean == NULL)
		return 0;
	for (enum config_section id = 0; id < SECTIONS; id++) {
		const struct section *s = &config_sections[id];
		cfg_opt_t one = CFG_SEC(s->name, opts[id], CFGF_NONE);
		cfg_opt_t many = CFG_SEC(s->name, opts[id], CFGF_MULTI | CFGF_TITLE);

		if (s->file != l->file)
			continue;
		section_options(l, id, opts[id]);
		top[n++] = s->is_titled ? many : one;
	}
	top[n++] = (cfg_opt_t)CFG_SIMPLE_INT(hook_name, &l->hook);
	top[n++] = (cfg_opt_t)CFG_END();

	cfg = cfg_init(top, CFGF_NONE);
	if (cfg == NULL)
		return E_NOMEM;
	cfg_set_error_function(cfg, on_confuse_error);
	size_t before = l->report->n_error;
	rc = cfg_parse_buf(cfg, l->scan.clean);
	if (rc == CFG_SUCCESS)
		take_values(l, cfg);
	else if (l->report->n_error == before)
		report_error(l->report, l->name, 0, "syntax",
			     "the file cannot be parsed");
	cfg_free(cfg);
	return 0;
}

/* ---- cross-checks */

/* Where an option stands, for a finding about it. */
static unsigned
line_of(const struct load *l, enum config_section id, const char *name,
	unsigned instance)
{
	return scan_line(&l->scan, option_find(id, name), instance, 0);
}

static void
check_server(struct load *l)
{
	struct config *c = l->c;
	unsigned limit_line = line_of(l, SECTION_SERVER, "session_limit", 0);
	bool has_cert = c->certificate_file[0], has_key = c->key_file[0];

	if (has_cert && !has_key)
		report_error(
			l->report, l->name,
			line_of(l, SECTION_SERVER, "certificate", 0),
			"server.certificate",
			"a certificate needs its key: set server.key too, or neither");
	if (has_key && !has_cert)
		report_error(
			l->report, l->name, line_of(l, SECTION_SERVER, "key", 0),
			"server.key",
			"a key needs its certificate: set server.certificate too, or "
			"neither");
	if (c->backup_hostname[0] && !c->hostname[0])
		report_error(l->report, l->name,
			     line_of(l, SECTION_SERVER, "backup_hostname", 0),
			     "server.backup_hostname",
			     "a second name needs a first: set server.hostname too");
	else if (c->hostname[0] && strcasecmp(c->backup_hostname, c->hostname) == 0)
		report_error(l->report, l->name,
			     line_of(l, SECTION_SERVER, "backup_hostname", 0),
			     "server.backup_hostname",
			     "is the same name as server.hostname: give the second "
			     "uplink one of its own, or none");
	if (c->model[0]) {
		if (limit_line)
			report_error(
				l->report, l->name,
				line_of(l, SECTION_SERVER, "model", 0), "server.model",
				"give server.session_limit or server.model, not both");
		c->session_limit = model_limit(c->model, NULL);
	}
	/* Network, broadcast and our own address are not leased. */
	unsigned long room = (1UL << (32 - c->pool4.len)) - 3;
	if (room < c->session_limit)
		report_warning(l->report, l->name,
			       line_of(l, SECTION_ADDRESSING, "subnet", 0),
			       "addressing.subnet",
			       "has %lu client addresses, fewer than the limit of %u "
			       "sessions: choose a larger subnet or a lower limit",
			       room, c->session_limit);
}

static void
check_certificate(struct load *l)
{
	struct config *c = l->c;
	unsigned id = line_of(l, SECTION_CERTIFICATE, "eab_key_id", 0);
	unsigned secret = line_of(l, SECTION_CERTIFICATE, "eab_secret", 0);

	if (!c->cert_eab_key_id[0] != !c->cert_eab_secret[0])
		report_error(l->report, l->name, id ? id : secret,
			     "certificate.eab_key_id",
			     "an external account binding needs eab_key_id and "
			     "eab_secret: set both, or neither");
	if (c->cert_method == METHOD_SELF_SIGNED)
		report_warning(l->report, l->name,
			       line_of(l, SECTION_CERTIFICATE, "method", 0),
			       "certificate.method",
			       "self-signed is for tests only: clients cannot know "
			       "whom they talk to");
}

/* What an authority or a client reaches behind such a device is its owner's choice:
 * validation may end at the other node. */
static void
check_behind_nat(struct load *l)
{
	struct config *c = l->c;

	if (c->behind_nat && c->node_role != NODE_SINGLE &&
	    c->cert_method == METHOD_AUTO)
		report_warning(
			l->report, l->name, line_of(l, SECTION_NODE, "behind_nat", 0),
			"node.behind_nat",
			"with certificate.method auto, a pair behind a NAT device "
			"may not get a certificate: custom is recommended");
}

static bool
is_local_lan(const struct config_route *r)
{
	return r->family == AF_INET && r->v4.len == 32 && r->v4.addr.s_addr == 0;
}

static void
check_routing(struct load *l)
{
	struct config *c = l->c;
	unsigned dest = line_of(l, SECTION_ADDRESSING, "destinations", 0);
	unsigned mode = line_of(l, SECTION_ADDRESSING, "routing", 0);
	const struct option *o = option_find(SECTION_ADDRESSING, "destinations");
	bool has_values = scan_line(&l->scan, o, 0, 0) > 0;

	if (c->routing == ROUTING_FULL) {
		if (c->n_route > 0)
			report_warning(l->report, l->name, dest,
				       "addressing.destinations",
				       "has no effect while addressing.routing is all");
		return;
	}
	/* With values and no route each value was reported where it stands. */
	if (c->n_route == 0 && !has_values)
		report_error(l->report, l->name, mode, "addressing.destinations", "%s",
			     no_destination);
	for (unsigned i = 0; i < c->n_route; i++) {
		if (!is_local_lan(&c->route[i]))
			continue;
		unsigned line = scan_line(&l->scan, o, 0, i);
		if (c->routing == ROUTING_INCLUDE)
			report_warning(
				l->report, l->name, line, "addressing.destinations",
				"0.0.0.0/32 means the client's own network and only in "
				"routing exclude: remove it");
		else if (!c->local_lan_access && c->profile_file[0] == '\0')
			report_warning(
				l->report, l->name, line,
				"client_connection.local_lan_access",
				"0.0.0.0/32 lets clients reach their local network "
				"only if "
				"the profile allows it: set local_lan_access = true");
		break;
	}
}

static void
check_dynamic(struct load *l)
{
	struct config *c = l->c;
	const struct option *o = option_find(SECTION_ADDRESSING, "domains");
	unsigned list = scan_line(&l->scan, o, 0, 0);
	unsigned mode = line_of(l, SECTION_ADDRESSING, "dynamic", 0);

	if (c->dynamic == DYNAMIC_OFF) {
		if (c->n_domain > 0)
			report_warning(l->report, l->name, list, "addressing.domains",
				       "has no effect while addressing.dynamic is off");
		return;
	}
	/* With values and no domain each value was reported where it stands. */
	if (c->n_domain == 0 && list == 0)
		report_error(l->report, l->name, mode, "addressing.domains", "%s",
			     no_domain);
	if ((c->dynamic == DYNAMIC_INCLUDE && c->routing == ROUTING_EXCLUDE) ||
	    (c->dynamic == DYNAMIC_EXCLUDE && c->routing == ROUTING_INCLUDE))
		report_warning(l->report, l->name, mode, "addressing.dynamic",
			       "the opposite of addressing.routing: many clients "
			       "ignore one of the two, use the same word");
}

static void
check_certificates(struct load *l)
{
	static const char *const names[] = { "client_crl", "client_ocsp" };
	const struct config *c = l->c;
	const bool is_set[] = { c->client_crl[0] != '\0',
				c->client_ocsp != CLIENT_OCSP_OFF };
	char path[64];

	for (unsigned i = 0; c->client_certificate == CLIENT_CERT_OFF && i < 2; i++) {
		snprintf(path, sizeof(path), "authentication.%s", names[i]);
		if (is_set[i])
			report_warning(
				l->report, l->name,
				line_of(l, SECTION_AUTH, names[i], 0), path,
				"has no effect while authentication.client_certificate "
				"is off");
	}
}

static void
check_groups(struct load *l)
{
	for (unsigned i = 0; i < l->c->n_group; i++) {
		struct config_group *g = &l->c->group[i];
		if (g->label[0] == '\0')
			memcpy(g->label, g->name, sizeof(g->label));
	}
}

const char *
config_wan_name(const struct config *c, const char *wan)
{
	return strcmp(wan, "wan1") == 0   ? c->hostname
	       : strcmp(wan, "wan2") == 0 ? c->backup_hostname
					  : NULL;
}

static void
ddns_wrong(struct load *l, unsigned i, const char *option, const char *text)
{
	const struct config_ddns *d = &l->c->ddns[i];
	unsigned line = line_of(l, SECTION_DDNS, option, i);
	char path[96];

	snprintf(path, sizeof(path), "ddns.%s.%s", d->wan, option);
	report_error(l->report, l->name,
		     line ? line : line_of(l, SECTION_DDNS, "provider", i), path, "%s",
		     text);
}

/* Not longer than a name in it can be: a.zone or the zone itself. */
static bool
is_in_zone(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	return n >= z && strcasecmp(name + n - z, zone) == 0 &&
	       (n == z || name[n - z - 1] == '.');
}

static void
check_rfc2136(struct load *l, unsigned i, const char *name)
{
	const struct config_ddns *d = &l->c->ddns[i];

	if (d->server[0] == '\0')
		ddns_wrong(l, i, "server",
			   "rfc2136 needs the zone's server: its name or address");
	if (d->zone[0] == '\0')
		ddns_wrong(l, i, "zone", "rfc2136 needs the zone that holds the name");
	else if (name[0] != '\0' && !is_in_zone(name, d->zone))
		ddns_wrong(l, i, "zone",
			   "the name is not in this zone: set the zone that holds "
			   "server.hostname (wan1) or server.backup_hostname (wan2)");
	if (d->key_name[0] == '\0')
		ddns_wrong(l, i, "key_name",
			   "rfc2136 needs a TSIG key: set its name, and secret");
}

static void
check_ddns(struct load *l)
{
	for (unsigned i = 0; i < l->c->n_ddns; i++) {
		const struct config_ddns *d = &l->c->ddns[i];
		const char *name = config_wan_name(l->c, d->wan);

		if (name == NULL) {
			ddns_wrong(l, i, "provider",
				   "there is a name for \"wan1\" and for \"wan2\" "
				   "only: give the section one of these titles");
			continue;
		}
		if (d->provider == DDNS_NONE)
			continue;
		if (name[0] == '\0')
			ddns_wrong(l, i, "provider",
				   strcmp(d->wan, "wan1") == 0
					   ? "no name to keep: set server.hostname"
					   : "no name to keep: set "
					     "server.backup_hostname");
		if (d->secret[0] == '\0')
			ddns_wrong(l, i, "secret",
				   "needs a secret: store it with \"vpnctl secret set "
				   "NAME\" and set its name");
		if (d->provider == DDNS_RFC2136)
			check_rfc2136(l, i, name);
		if (d->provider == DDNS_DYNDNS2 && d->url[0] == '\0')
			ddns_wrong(l, i, "url",
				   "dyndns2 needs the address of its updates");
		if (d->provider == DDNS_DYNDNS2 && d->user[0] == '\0')
			ddns_wrong(l, i, "user", "dyndns2 needs a user name");
		if (d->is_fixed &&
		    ((d->family == DDNS_IPV4 && d->address4.s_addr == 0) ||
		     (d->family == DDNS_IPV6 && IN6_IS_ADDR_UNSPECIFIED(&d->address6))))
			ddns_wrong(l, i, "address",
				   "has no address of the family that is kept: add one "
				   "or change family");
	}
}

/* Says why there will be none; the section may serve the other node. */
static void
check_ddns_wans(struct load *l, const struct config_wan *w)
{
	for (unsigned i = 0; i < l->c->n_ddns; i++)
		if (l->c->ddns[i].provider != DDNS_NONE &&
		    strcmp(l->c->ddns[i].wan, w->name) == 0) {
			char path[96];

			snprintf(path, sizeof(path), "ddns.%s", w->name);
			report_warning(l->report, l->name, 0, path,
				       "uplink \"%s\" is cellular: it carries no "
				       "service and gets no DNS record",
				       w->name);
		}
}

static void
check_wans(struct load *l)
{
	struct config *c = l->c;
	bool is_served = false;

	if (c->n_wan == 0)
		(void)titled_new(c, SECTION_WAN, "wan1");
	for (unsigned i = 0; i < c->n_wan; i++) {
		struct config_wan *w = &c->wan[i];
		unsigned line = line_of(l, SECTION_WAN, "service", i);
		char path[96];

		snprintf(path, sizeof(path), "wan.%s.service", w->name);
		if (w->type == UPLINK_CELLULAR && w->service) {
			if (line)
				report_error(l->report, l->name, line, path,
					     "a cellular uplink never carries the "
					     "service: set "
					     "service = false");
			else
				report_warning(
					l->report, l->name,
					line_of(l, SECTION_WAN, "type", i), path,
					"a cellular uplink never carries the service: "
					"off here");
			w->service = false;
		}
		if (w->type == UPLINK_CELLULAR)
			check_ddns_wans(l, w);
		is_served |= w->service;
		unsigned nat = line_of(l, SECTION_WAN, "nat", i);
		if (c->mode == MODE_PASSTHROUGH && nat == 0)
			w->nat = false;
		if (c->mode == MODE_ROUTED && w->service && !w->nat) {
			snprintf(path, sizeof(path), "wan.%s.nat", w->name);
			report_error(l->report, l->name, nat, path,
				     "uplink \"%s\" has the service and no-NAT, only "
				     "one of them is possible: set nat = true or "
				     "service = false, or node.mode = passthrough if "
				     "an upstream router knows the way to the clients",
				     w->name);
		}
		for (unsigned j = 0; j < i; j++)
			if (strcmp(c->wan[j].ifname, w->ifname) == 0) {
				snprintf(path, sizeof(path), "wan.%s.interface",
					 w->name);
				report_error(l->report, l->name,
					     line_of(l, SECTION_WAN, "interface", i),
					     path,
					     "same interface as wan \"%s\"%s: give "
					     "each its own",
					     c->wan[j].name,
					     w->ifname[0] ? "" : " (both have none)");
			}
	}
	if (!is_served)
		report_warning(l->report, l->name, 0, "wan",
			       "no uplink carries the service: nobody can connect");
	if (c->node_name[0] == '\0') {
		const struct option *o = option_find(SECTION_NODE, "name");
		char host[256] = "";

		(void)gethostname(host, sizeof(host) - 1);
		if (host[0] == '\0' || o->type->parse(o, host, c) < 0)
			(void)o->type->parse(o, "node", c);
	}
}

/* ---- public */

int
config_load(struct config **out, const char *name, const char *text,
	    const char *node_name, const char *node_text, struct config_report *report)
{
	struct load main_ = { .file = CONFIG_FILE_MAIN,
			      .name = name,
			      .report = report };
	struct load node = { .file = CONFIG_FILE_NODE,
			     .name = node_name,
			     .report = report };
	struct config *c = calloc(1, sizeof(*c));
	size_t errors = report->n_error;
	int rc = 0;

	*out = NULL;
	if (c == NULL) {
		report_error(report, name, 0, "file", "out of memory");
		return E_INVAL;
	}
	main_.c = node.c = c;
	for (enum config_section id = 0; id < SECTIONS; id++)
		if (!config_sections[id].is_titled)
			section_reset(id, c);

	if (text != NULL)
		rc = load_text(&main_, text);
	if (rc == 0 && node_text != NULL)
		rc = load_text(&node, node_text);
	if (rc < 0)
		report_error(report, name, 0, "file", "%s", err_text(rc));
	/* A file that could not be parsed has no values to check. */
	if (text == NULL || main_.scan.clean != NULL) {
		check_server(&main_);
		check_certificate(&main_);
		check_routing(&main_);
		check_dynamic(&main_);
		check_certificates(&main_);
		check_groups(&main_);
		check_ddns(&main_);
	}
	if (node_text == NULL || node.scan.clean != NULL) {
		check_wans(&node);
		check_behind_nat(&node);
	}
	scan_free(&main_.scan);
	scan_free(&node.scan);
	if (report->n_error > errors) {
		config_free(c);
		return E_INVAL;
	}
	*out = c;
	return 0;
}

void
config_free(struct config *c)
{
	free(c);
}

bool
config_names_dynamic(const struct config *c)
{
	for (unsigned i = 0; i < c->n_ddns; i++) {
		const char *name = config_wan_name(c, c->ddns[i].wan);

		if (name != NULL && name[0] != '\0')
			return true;
	}
	return false;
}

int
config_read(const char *path, char **text)
{
	int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;
	struct stat st;
	char *buf;

	*text = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
		close(fd);
		return E_INVAL;
	}
	/* One byte more than allowed, to see that there is more. */
	buf = malloc(CONFIG_TEXT_MAX + 2);
	if (buf == NULL) {
		close(fd);
		return E_NOMEM;
	}
	while (n <= CONFIG_TEXT_MAX) {
		ssize_t got = read(fd, buf + n, CONFIG_TEXT_MAX + 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = -errno;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (n > CONFIG_TEXT_MAX)
		rc = E_LIMIT;
	else if (rc == 0 && memchr(buf, '\0', n) != NULL)
		rc = E_INVAL; /* the rest would be silently ignored */
	if (rc < 0) {
		free(buf);
		return rc;
	}
	buf[n] = '\0';
	*text = buf;
	return 0;
}
