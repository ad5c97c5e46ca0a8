/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/conf.h"

#include "common/err.h"
#include "common/pairkey.h"
#include "common/proc.h"

#include <confuse.h>
#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mistake {
	char *text;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static int
wrong(struct mistake *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->text, m->n, fmt, ap);
	va_end(ap);
	return E_INVAL;
}

/* libconfuse has no argument for its error function. */
static struct mistake *parse_mistake;

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	int k = snprintf(parse_mistake->text, parse_mistake->n,
			 "%s:%d: ", cfg->filename ? cfg->filename : "", cfg->line);
	if (k > 0 && (size_t)k < parse_mistake->n)
		vsnprintf(parse_mistake->text + k, parse_mistake->n - (size_t)k, fmt,
			  ap);
}

static int
copy(char *to, size_t cap, const char *from)
{
	if (from == NULL || strlen(from) >= cap)
		return E_INVAL;
	memcpy(to, from, strlen(from) + 1);
	return 0;
}

static int
take_pair_id(struct conf *c, const char *text, struct mistake *m)
{
	if (strlen(text) != (size_t)2 * WIRE_PAIR)
		return wrong(m, "pair_id: needs %d hex digits", 2 * WIRE_PAIR);
	for (size_t i = 0; i < WIRE_PAIR; i++) {
		unsigned v;
		if (!isxdigit((uint8_t)text[2 * i]) ||
		    !isxdigit((uint8_t)text[2 * i + 1]) ||
		    sscanf(text + 2 * i, "%2x", &v) != 1)
			return wrong(m, "pair_id: not hex");
		c->pair.pair[i] = (uint8_t)v;
	}
	return 0;
}

static int
take_address(struct conf_address *a, const char *text)
{
	char ip[IP_TEXT], *end;
	const char *slash = strchr(text, '/');

	if (slash == NULL || (size_t)(slash - text) >= sizeof(ip))
		return E_INVAL;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	unsigned long prefix = strtoul(slash + 1, &end, 10);
	int rc = ip_parse(ip, &a->ip);
	if (rc < 0 || end == slash + 1 || *end != '\0' ||
	    prefix > (a->ip.family == 4 ? 32 : 128))
		return E_INVAL;
	a->prefix = (unsigned)prefix;
	return 0;
}

static int
take_link(struct conf *c, cfg_t *s, struct mistake *m)
{
	struct conf_link *l = &c->links[c->n_links];

	if (c->n_links == CONF_LINKS_MAX)
		return wrong(m, "more than %d links", CONF_LINKS_MAX);
	if (copy(l->name, sizeof(l->name), cfg_title(s)) < 0 ||
	    !cluster_node_ok(span_str(l->name)) ||
	    copy(l->interface, sizeof(l->interface), cfg_getstr(s, "interface")) < 0 ||
	    l->interface[0] == '\0')
		return wrong(m, "link \"%s\": bad name or interface", cfg_title(s));
	l->is_wan = cfg_getbool(s, "wan");
	for (unsigned i = 0; i < cfg_size(s, "gateway"); i++)
		if (l->n_gateways == CONF_ADDRS_MAX ||
		    ip_parse(cfg_getnstr(s, "gateway", i),
			     &l->gateways[l->n_gateways++]) < 0)
			return wrong(m, "link \"%s\": gateway %s is not an address",
				     l->name, cfg_getnstr(s, "gateway", i));
	for (unsigned i = 0; i < cfg_size(s, "address"); i++)
		if (l->n_addresses == CONF_ADDRS_MAX ||
		    take_address(&l->addresses[l->n_addresses++],
				 cfg_getnstr(s, "address", i)) < 0)
			return wrong(m, "link \"%s\": address %s needs ADDRESS/PREFIX",
				     l->name, cfg_getnstr(s, "address", i));
	c->n_links++;
	return 0;
}

/* The programs of ours that are not root, each with what is its to write. */
static void
take_programs(struct conf *c)
{
	static const struct {
		enum proc_user who;
		const char *writes[4];
	} all[] = { { PROC_ACME, { "cert/", "csr/", "acme/" } },
		    { PROC_DDNS, { "ddns/" } } };
	gid_t gid;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct control_user *u = &c->users[c->n_users++];
		(void)proc_user(all[i].who, &u->uid, &gid);
		memcpy(u->writes, all[i].writes, sizeof(u->writes));
	}
}

static int
take_uid(struct conf *c, const char *text, struct mistake *m)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	struct passwd *pw = *end == '\0' ? NULL : getpwnam(text);

	if (c->n_users == CONF_USERS_MAX || (*end != '\0' && pw == NULL))
		return wrong(m, "allow: no user %s", text);
	c->users[c->n_users++] =
		(struct control_user){ pw != NULL ? pw->pw_uid : (uid_t)v, { "" } };
	return 0;
}

static int
take_key(struct conf *c, const char *path, struct mistake *m)
{
	uint8_t key[PAIRKEY];
	int rc = pairkey_load(path, key);

	if (rc < 0)
		return wrong(m, "pair_key %s: %s", path, err_text(rc));
	return pairkey_derive(key, "cpg", c->pair.key);
}

static int
take(struct conf *c, cfg_t *cfg, struct mistake *m)
{
	const char *role = cfg_getstr(cfg, "role");
	int rc = 0;

	if (cfg_getstr(cfg, "node")[0] != '\0' &&
	    copy(c->pair.node, sizeof(c->pair.node), cfg_getstr(cfg, "node")) < 0)
		return wrong(m, "node: too long");
	if (!cluster_node_ok(span_str(c->pair.node)))
		return wrong(m, "node: \"%s\" has other characters than a-z 0-9 - _",
			     c->pair.node);
	if (strcmp(role, "primary") != 0 && strcmp(role, "spare") != 0)
		return wrong(m, "role: must be primary or spare");
	c->pair.is_primary = strcmp(role, "primary") == 0;
	if (copy(c->pair.peer, sizeof(c->pair.peer), cfg_getstr(cfg, "peer")) < 0 ||
	    (c->pair.peer[0] != '\0' && !cluster_node_ok(span_str(c->pair.peer))))
		return wrong(m, "peer: has other characters than a-z 0-9 - _");
	if (strcmp(c->pair.peer, c->pair.node) == 0)
		return wrong(m, "peer: is this node itself");
	c->pair.is_clustered = c->pair.peer[0] != '\0';
	if (c->pair.is_clustered &&
	    ((rc = take_pair_id(c, cfg_getstr(cfg, "pair_id"), m)) < 0 ||
	     (rc = take_key(c, cfg_getstr(cfg, "pair_key"), m)) < 0))
		return rc;
	if (copy(c->key_file, sizeof(c->key_file), cfg_getstr(cfg, "pair_key")) < 0)
		return wrong(m, "pair_key: too long");
	c->watch_vpnd = cfg_getbool(cfg, "watch_vpnd");
	take_programs(c);
	for (unsigned i = 0; rc == 0 && i < cfg_size(cfg, "allow"); i++)
		rc = take_uid(c, cfg_getnstr(cfg, "allow", i), m);
	for (unsigned i = 0; rc == 0 && i < cfg_size(cfg, "link"); i++)
		rc = take_link(c, cfg_getnsec(cfg, "link", i), m);
	if (rc < 0 || cfg_size(cfg, "keepalived") == 0)
		return rc;
	cfg_t *k = cfg_getnsec(cfg, "keepalived", 0);
	c->has_keepalived = true;
	c->keepalived_grace_ms = (uint64_t)cfg_getint(k, "grace_ms");
	if (copy(c->fifo, sizeof(c->fifo), cfg_getstr(k, "fifo")) < 0 ||
	    copy(c->pid_file, sizeof(c->pid_file), cfg_getstr(k, "pid_file")) < 0 ||
	    copy(c->track, sizeof(c->track) - 16, cfg_getstr(k, "track")) < 0 ||
	    copy(c->group, sizeof(c->group), cfg_getstr(k, "group")) < 0)
		return wrong(m, "keepalived: a path or name is too long");
	if (cfg_getint(k, "grace_ms") < 100 || cfg_getint(k, "grace_ms") > 60000)
		return wrong(m, "keepalived: grace_ms must be 100 to 60000");
	return 0;
}

static void
own_name(char name[CLUSTER_NODE_MAX + 1])
{
	if (gethostname(name, CLUSTER_NODE_MAX) < 0)
		strcpy(name, "node");
	name[CLUSTER_NODE_MAX] = '\0';
	for (char *p = name; *p != '\0'; p++) {
		*p = (char)tolower((uint8_t)*p);
		if (*p == '.') {
			*p = '\0';
			break;
		}
	}
}

int
conf_load(struct conf *c, const char *path, char *why, size_t n)
{
	cfg_opt_t link[] = { CFG_STR("interface", "", CFGF_NONE),
			     CFG_BOOL("wan", cfg_true, CFGF_NONE),
			     CFG_STR_LIST("gateway", "{}", CFGF_NONE),
			     CFG_STR_LIST("address", "{}", CFGF_NONE), CFG_END() };
	cfg_opt_t keepalived[] = { CFG_STR("fifo", "/run/tandem/vrrp.fifo", CFGF_NONE),
				   CFG_STR("pid_file", "/run/keepalived.pid",
					   CFGF_NONE),
				   CFG_STR("track", "/run/tandem", CFGF_NONE),
				   CFG_STR("group", "VG", CFGF_NONE),
				   CFG_INT("grace_ms", 2000, CFGF_NONE),
				   CFG_END() };
	cfg_opt_t opts[] = { CFG_STR("node", "", CFGF_NONE),
			     CFG_STR("role", "primary", CFGF_NONE),
			     CFG_STR("peer", "", CFGF_NONE),
			     CFG_STR("pair_id", "", CFGF_NONE),
			     CFG_STR("pair_key", "/etc/tandem/pair.key", CFGF_NONE),
			     CFG_BOOL("watch_vpnd", cfg_true, CFGF_NONE),
			     CFG_STR_LIST("allow", "{}", CFGF_NONE),
			     CFG_SEC("link", link, CFGF_MULTI | CFGF_TITLE),
			     CFG_SEC("keepalived", keepalived, CFGF_MULTI),
			     CFG_END() };
	struct mistake m = { why, n };

	*c = (struct conf){ .watch_vpnd = true };
	why[0] = '\0';
	own_name(c->pair.node);
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);
	if (cfg == NULL)
		return E_NOMEM;
	parse_mistake = &m;
	cfg_set_error_function(cfg, on_error);
	int rc = cfg_parse(cfg, path);
	if (rc == CFG_FILE_ERROR && errno == ENOENT)
		rc = CFG_SUCCESS;
	if (rc != CFG_SUCCESS)
		rc = rc == CFG_FILE_ERROR ? wrong(&m, "%s: %s", path, strerror(errno))
					  : E_INVAL;
	else
		rc = take(c, cfg, &m);
	cfg_free(cfg);
	parse_mistake = NULL;
	return rc;
}
