/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ctl/pairconf.h"

#include "common/cluster.h"
#include "common/err.h"
#include "common/ip.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_BY "# Written by vpnctl node setup or join, which also changes it.\n"

__attribute__((format(printf, 2, 3))) static int
wrong(char why[PAIR_WHY], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, PAIR_WHY, fmt, ap);
	va_end(ap);
	return E_INVAL;
}

/* ---- one value ---- */

static bool
is_name(const char *s, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n < max && cluster_node_ok(span_str(s));
}

static bool
is_ifname(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 16 &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			 "0123456789_.:-") == n;
}

static unsigned
family_of(const char *s)
{
	struct ip_addr ip;

	return ip_parse(s, &ip) < 0 ? 0 : ip.family;
}

/* ADDRESS/PREFIX: 4, 6, or 0 for neither. */
static unsigned
prefix_family(const char *s)
{
	char ip[48], *end;
	const char *slash = strchr(s, '/');

	if (slash == NULL || (size_t)(slash - s) >= sizeof(ip) || !isdigit(slash[1]))
		return 0;
	memcpy(ip, s, (size_t)(slash - s));
	ip[slash - s] = '\0';
	unsigned f = family_of(ip);
	unsigned long n = strtoul(slash + 1, &end, 10);
	return *end != '\0' || n < 1 || n > (f == 4 ? 32 : 128) ? 0 : f;
}

/* The words between commas, each at most cap - 1 bytes. How many, 0 = bad. */
static unsigned
split(const char *text, char *out, size_t cap, unsigned max)
{
	unsigned n = 0;

	for (;; n++) {
		size_t len = strcspn(text, ",");
		if (n == max || len == 0 || len >= cap)
			return 0;
		memcpy(out + n * cap, text, len);
		out[n * cap + len] = '\0';
		if (text[len] == '\0')
			return n + 1;
		text += len + 1;
	}
}

static int
take_pair_of_addresses(char out[2][48], const char *key, const char *text, char *why)
{
	if (split(text, out[0], sizeof(out[0]), 2) != 2 || family_of(out[0]) != 4 ||
	    family_of(out[1]) != 4 || strcmp(out[0], out[1]) == 0)
		return wrong(why,
			     "%s: needs two IPv4 addresses, PRIMARY,SPARE, not '%s'",
			     key, text);
	return 0;
}

/* ---- one line ---- */

static int
take_segment_word(struct pair_segment *s, const char *word, char *why)
{
	const char *eq = strchr(word, '='), *v = eq != NULL ? eq + 1 : "";
	size_t n = eq != NULL ? (size_t)(eq - word) : 0;

	if (n == 9 && strncmp(word, "interface", n) == 0) {
		unsigned k = split(v, s->ifname[0], sizeof(s->ifname[0]), 2);
		if (k == 1)
			memcpy(s->ifname[1], s->ifname[0], sizeof(s->ifname[1]));
		if (k == 0 || !is_ifname(s->ifname[0]) || !is_ifname(s->ifname[1]))
			return wrong(why, "%s: '%s' is no interface", s->name, v);
		return 0;
	}
	if (n == 7 && strncmp(word, "address", n) == 0)
		return take_pair_of_addresses(s->own, s->name, v, why);
	if (n == 7 && strncmp(word, "virtual", n) == 0) {
		s->n_virtual =
			split(v, s->virtual[0], sizeof(s->virtual[0]), PAIR_ADDRS);
		for (unsigned i = 0; i < s->n_virtual; i++)
			if (prefix_family(s->virtual[i]) == 0)
				return wrong(why, "%s: '%s' is no ADDRESS/PREFIX",
					     s->name, s->virtual[i]);
		return s->n_virtual > 0 && prefix_family(s->virtual[0]) == 4
			       ? 0
			       : wrong(why, "%s: virtual: IPv4 ADDRESS/PREFIX first",
				       s->name);
	}
	if (n == 7 && strncmp(word, "gateway", n) == 0) {
		s->n_gateways =
			split(v, s->gateway[0], sizeof(s->gateway[0]), PAIR_ADDRS);
		for (unsigned i = 0; i < s->n_gateways; i++)
			if (family_of(s->gateway[i]) == 0)
				return wrong(why, "%s: '%s' is no address", s->name,
					     s->gateway[i]);
		return s->n_gateways > 0 ? 0 : wrong(why, "%s: gateway", s->name);
	}
	return wrong(why,
		     "%s: '%s'; known are interface=, address=, virtual=, gateway=",
		     s->name, word);
}

static int
take_segment(struct pair_answers *a, bool is_wan, const char *text, char *why)
{
	struct pair_segment s = { .is_wan = is_wan };
	char word[256];
	unsigned at = a->n_seg;

	for (unsigned k = 0; *text != '\0'; k++) {
		size_t n = strcspn(text, " \t");
		if (n >= sizeof(word))
			return wrong(why, "a word is too long");
		memcpy(word, text, n);
		word[n] = '\0';
		text += n + strspn(text + n, " \t");
		if (k == 0) {
			if (!is_name(word, sizeof(s.name)))
				return wrong(why, "'%s' is no name of a segment", word);
			memcpy(s.name, word, n + 1);
			continue;
		}
		int rc = take_segment_word(&s, word, why);
		if (rc < 0)
			return rc;
	}
	if (s.name[0] == '\0')
		return wrong(why, "%s: needs a name", is_wan ? "wan" : "lan");
	if (s.ifname[0][0] == '\0' || s.own[0][0] == '\0' || s.n_virtual == 0)
		return wrong(why,
			     "%s: needs interface=, address= and virtual=", s.name);
	for (unsigned i = 0; i < a->n_seg; i++)
		if (strcmp(a->seg[i].name, s.name) == 0 ||
		    (!is_wan && !a->seg[i].is_wan))
			at = i; /* said again */
	if (at == PAIR_SEGMENTS)
		return wrong(why, "more than two uplinks and one LAN");
	a->seg[at] = s;
	a->n_seg += at == a->n_seg;
	return 0;
}

static int
take_number(unsigned *to, const char *key, const char *v, unsigned least, unsigned most,
	    char *why)
{
	char *end;
	unsigned long n = strtoul(v, &end, 10);

	if (!isdigit((unsigned char)*v) || *end != '\0' || n < least || n > most)
		return wrong(why, "%s: a number from %u to %u, not '%s'", key, least,
			     most, v);
	*to = (unsigned)n;
	return 0;
}

void
pair_answers_init(struct pair_answers *a)
{
	*a = (struct pair_answers){ .vrid = 51, .advert_ms = 100 };
}

int
pair_answer(struct pair_answers *a, const char *line, char why[PAIR_WHY])
{
	const char *eq = strchr(line, '=');
	char key[32];

	if (*line == '\0' || *line == '#')
		return 0;
	if (eq == NULL || (size_t)(eq - line) >= sizeof(key))
		return wrong(why, "'%.40s' is not KEY=VALUE", line);
	memcpy(key, line, (size_t)(eq - line));
	key[eq - line] = '\0';
	const char *v = eq + 1;
	if (strcmp(key, "primary") == 0 || strcmp(key, "spare") == 0) {
		if (!is_name(v, PAIR_NAME))
			return wrong(why, "%s: a name has a-z, 0-9, - and _, not '%s'",
				     key, v);
		strcpy(a->name[*key == 's'], v);
		return 0;
	}
	if (strcmp(key, "pair") == 0) {
		if (strlen(v) != 2 * JOIN_PAIR ||
		    strspn(v, "0123456789abcdef") != 2 * JOIN_PAIR)
			return wrong(why, "pair: needs 32 hexadecimal digits");
		strcpy(a->id, v);
		return 0;
	}
	if (strcmp(key, "wan") == 0 || strcmp(key, "lan") == 0)
		return take_segment(a, *key == 'w', v, why);
	if (strcmp(key, "heartbeat") == 0)
		return take_pair_of_addresses(a->heartbeat, key, v, why);
	if (strcmp(key, "vrid") == 0)
		return take_number(&a->vrid, key, v, 1, 255 - PAIR_SEGMENTS, why);
	if (strcmp(key, "advert_ms") == 0)
		return take_number(&a->advert_ms, key, v, 50, 5000, why);
	return wrong(why, "'%s' is not known here", key);
}

int
pair_answers_parse(struct pair_answers *a, const char *text, char why[PAIR_WHY])
{
	char line[1024];

	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		if (n >= sizeof(line))
			return wrong(why, "a line is too long");
		memcpy(line, text, n);
		line[n] = '\0';
		text += n + (text[n] == '\n');
		int rc = pair_answer(a, line, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
pair_answers_check(const struct pair_answers *a, char why[PAIR_WHY])
{
	unsigned wans = 0;

	for (unsigned i = 0; i < a->n_seg; i++) {
		wans += a->seg[i].is_wan;
		for (unsigned k = 0; k < i; k++)
			for (unsigned side = 0; side < 2; side++)
				if (strcmp(a->seg[i].ifname[side],
					   a->seg[k].ifname[side]) == 0)
					return wrong(why, "%s and %s: both on %s",
						     a->seg[k].name, a->seg[i].name,
						     a->seg[i].ifname[side]);
	}
	if (a->name[0][0] == '\0' || a->name[1][0] == '\0')
		return wrong(why, "the names of both nodes are needed: --primary, "
				  "--spare");
	if (strcmp(a->name[0], a->name[1]) == 0)
		return wrong(why, "both nodes are called '%s'", a->name[0]);
	if (wans == 0)
		return wrong(why, "an uplink is needed: --wan");
	if (wans > 2)
		return wrong(why, "more than two uplinks");
	if (a->heartbeat[0][0] == '\0')
		return wrong(why, "the heartbeat's addresses are needed: --heartbeat");
	return 0;
}

/* ---- text out ---- */

struct out {
	char *p;
	size_t cap, n;
};

__attribute__((format(printf, 2, 3))) static void
put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, ap);
	va_end(ap);
	o->n = n < 0 || (size_t)n >= o->cap - o->n ? o->cap : o->n + (size_t)n;
	if (o->n == o->cap && o->cap > 0)
		o->p[--o->cap] = '\0'; /* full for good: nothing more fits */
}

static bool
fits(const struct out *o, size_t cap)
{
	return o->cap == cap;
}

static struct out
out_open(char *buf, size_t cap)
{
	buf[0] = '\0';
	return (struct out){ .p = buf, .cap = cap };
}

bool
pair_answers_text(const struct pair_answers *a, char *buf, size_t cap)
{
	struct out o = out_open(buf, cap);

	put(&o, "primary=%s\nspare=%s\npair=%s\n", a->name[0], a->name[1], a->id);
	for (unsigned i = 0; i < a->n_seg; i++) {
		const struct pair_segment *s = &a->seg[i];
		put(&o, "%s=%s interface=%s,%s address=%s,%s virtual=%s",
		    s->is_wan ? "wan" : "lan", s->name, s->ifname[0], s->ifname[1],
		    s->own[0], s->own[1], s->virtual[0]);
		for (unsigned k = 1; k < s->n_virtual; k++)
			put(&o, ",%s", s->virtual[k]);
		for (unsigned k = 0; k < s->n_gateways; k++)
			put(&o, "%s%s", k == 0 ? " gateway=" : ",", s->gateway[k]);
		put(&o, "\n");
	}
	put(&o, "heartbeat=%s,%s\nvrid=%u\nadvert_ms=%u\n", a->heartbeat[0],
	    a->heartbeat[1], a->vrid, a->advert_ms);
	return fits(&o, cap);
}

bool
pair_node_conf(const struct pair_answers *a, enum pair_side me, char *buf, size_t cap)
{
	struct out o = out_open(buf, cap);

	put(&o,
	    MADE_BY "node {\n\tname = \"%s\"\n\trole = \"%s\"\n"
		    "\tvirtual_addresses = {",
	    a->name[me], me == PAIR_PRIMARY ? "primary" : "spare");
	for (unsigned i = 0, n = 0; i < a->n_seg; i++)
		for (unsigned k = 0; k < a->seg[i].n_virtual; k++) {
			const char *v = a->seg[i].virtual[k];
			put(&o, "%s \"%.*s\"", n++ > 0 ? "," : "", (int)strcspn(v, "/"),
			    v);
		}
	put(&o, " }\n}\n");
	for (unsigned i = 0; i < a->n_seg; i++)
		if (a->seg[i].is_wan)
			put(&o, "wan \"%s\" {\n\tinterface = \"%s\"\n}\n",
			    a->seg[i].name, a->seg[i].ifname[me]);
	return fits(&o, cap);
}

static void
put_list(struct out *o, const char *key, const char *item, size_t each, unsigned n)
{
	if (n == 0)
		return;
	put(o, "\t%s = { ", key);
	for (unsigned i = 0; i < n; i++)
		put(o, "%s\"%s\"", i > 0 ? ", " : "", item + i * each);
	put(o, " }\n");
}

bool
pair_hasync_conf(const struct pair_answers *a, enum pair_side me, char *buf, size_t cap)
{
	struct out o = out_open(buf, cap);

	put(&o,
	    MADE_BY "node = \"%s\"\nrole = \"%s\"\npeer = \"%s\"\npair_id = \"%s\"\n"
		    "keepalived {\n\tgroup = \"VG\"\n}\n",
	    a->name[me], me == PAIR_PRIMARY ? "primary" : "spare", a->name[!me], a->id);
	for (unsigned i = 0; i < a->n_seg; i++) {
		const struct pair_segment *s = &a->seg[i];
		put(&o, "link \"%s\" {\n\tinterface = \"%s\"\n%s", s->name,
		    s->ifname[me], s->is_wan ? "" : "\twan = false\n");
		put_list(&o, "gateway", s->gateway[0], sizeof(s->gateway[0]),
			 s->n_gateways);
		put_list(&o, "address", s->virtual[0], sizeof(s->virtual[0]),
			 s->n_virtual);
		put(&o, "}\n");
	}
	return fits(&o, cap);
}

/* One election moves both families: what does not fit into the advert (IPv6, and a
 * second address) rides along as excluded. */
static void
put_instance(struct out *o, const struct pair_answers *a, unsigned i, enum pair_side me)
{
	const struct pair_segment *s = &a->seg[i];

	put(o,
	    "vrrp_instance %s {\n  state BACKUP\n  interface %s\n  dont_track_primary\n"
	    "  virtual_router_id %u\n  priority %u\n  advert_int %g\n"
	    "  unicast_src_ip %s\n  unicast_peer {\n    %s\n  }\n"
	    "  virtual_ipaddress {\n    %s dev %s\n  }\n",
	    s->name, s->ifname[me], a->vrid + i, me == PAIR_PRIMARY ? 201U : 200U,
	    a->advert_ms / 1000.0, s->own[me], s->own[!me], s->virtual[0],
	    s -> ifname[me]);
	if (s->n_virtual > 1)
		put(o, "  virtual_ipaddress_excluded {\n");
	for (unsigned k = 1; k < s->n_virtual; k++)
		put(o, "    %s dev %s\n", s->virtual[k], s -> ifname[me]);
	put(o, "%s}\n", s->n_virtual > 1 ? "  }\n" : "");
}

bool
pair_keepalived_conf(const struct pair_answers *a, enum pair_side me, char *buf,
		     size_t cap)
{
	struct out o = out_open(buf, cap);

	/* Version 3 for times below a second. No nopreempt: it would disable the
	 * weights; the role file is what keeps addresses where they are. No
	 * vrrp_rt_priority: a reload, which is how hasync asks for the state, leaves
	 * keepalived 2.2.7 with a limit of 0 us where it may not raise limits, and
	 * the kernel kills it. The unit's drop-in sets the scheduling instead. */
	put(&o,
	    MADE_BY "global_defs {\n  router_id %s\n  vrrp_version 3\n"
		    "  vrrp_garp_master_delay 1\n  vrrp_garp_master_repeat 3\n"
		    "  vrrp_garp_master_refresh 10\n  vrrp_skip_check_adv_addr\n"
		    "  enable_script_security\n  script_user root\n"
		    "  vrrp_notify_fifo /run/tandem/vrrp.fifo\n"
		    "  fifo_write_vrrp_states_on_reload\n}\n"
		    "vrrp_track_file role {\n  file \"/run/tandem/role\"\n"
		    "  weight 1\n}\n"
		    "vrrp_track_file vpnd {\n  file \"/run/tandem/vpnd.bad\"\n"
		    "  weight -100\n}\n"
		    "vrrp_track_file hold {\n  file \"/run/tandem/hold\"\n"
		    "  weight 0\n}\n"
		    "vrrp_sync_group VG {\n  group {\n",
	    a->name[me]);
	for (unsigned i = 0; i < a->n_seg; i++)
		put(&o, "    %s\n", a->seg[i].name);
	put(&o, "  }\n  sync_group_tracking_weight\n"
		"  track_file {\n    role\n    vpnd\n    hold\n  }\n"
		"  track_interface {\n");
	for (unsigned i = 0; i < a->n_seg; i++)
		put(&o, "    %s weight -60\n", a->seg[i].ifname[me]);
	put(&o, "  }\n}\n");
	for (unsigned i = 0; i < a->n_seg; i++)
		put_instance(&o, a, i, me);
	return fits(&o, cap);
}

static const struct pair_segment *
lan_of(const struct pair_answers *a)
{
	for (unsigned i = 0; i < a->n_seg; i++)
		if (!a->seg[i].is_wan)
			return &a->seg[i];
	return NULL;
}

/* link_mode active: passive loses the membership when the first link dies. The
 * pings are given because those derived from a short token call links dead that are
 * not; seqno_unchanged_const because the token else spins at wire speed. Quorum
 * decides nothing in a pair. */
bool
pair_corosync_conf(const struct pair_answers *a, char *buf, size_t cap)
{
	struct out o = out_open(buf, cap);
	const struct pair_segment *lan = lan_of(a);

	put(&o, MADE_BY
	    "totem {\n  version: 2\n  cluster_name: tandem\n  transport: knet\n"
	    "  link_mode: active\n  crypto_cipher: aes256\n  crypto_hash: sha256\n"
	    "  keyfile: /etc/corosync/authkey\n  token: 1000\n  consensus: 200\n"
	    "  seqno_unchanged_const: 3\n");
	for (unsigned i = 0; i < (lan != NULL ? 2U : 1U); i++)
		put(&o,
		    "  interface {\n    linknumber: %u\n    knet_ping_interval: 200\n"
		    "    knet_ping_timeout: 800\n  }\n",
		    i);
	put(&o, "}\nnodelist {\n");
	for (unsigned i = 0; i < 2; i++) {
		put(&o, "  node {\n    nodeid: %u\n    name: %s\n    ring0_addr: %s\n",
		    i + 1, a->name[i], a->heartbeat[i]);
		if (lan != NULL)
			put(&o, "    ring1_addr: %s\n", lan->own[i]);
		put(&o, "  }\n");
	}
	put(&o, "}\nquorum {\n  provider: corosync_votequorum\n  two_node: 1\n"
		"  wait_for_all: 0\n}\n"
		"logging {\n  to_stderr: no\n  to_syslog: yes\n  to_logfile: yes\n"
		"  logfile: /var/log/corosync/corosync.log\n  timestamp: hires\n}\n");
	return fits(&o, cap);
}
