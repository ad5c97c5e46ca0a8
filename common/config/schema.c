/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/schema.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "common/secret.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void *
field(const struct option *o, void *base)
{
	return (char *)base + o->offset;
}

static const void *
cfield(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

/* Digits only: strtoul alone takes "-1", " 1" and "0x1". */
static int
parse_digits(const char *text, size_t n, unsigned long *out)
{
	unsigned long v = 0;

	if (n == 0 || n > 9)
		return E_INVAL;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)text[i]))
			return E_INVAL;
		v = v * 10 + (unsigned long)(text[i] - '0');
	}
	*out = v;
	return 0;
}

/* ---- yes or no */

static int
bool_parse(const struct option *o, const char *text, void *base)
{
	static const char *const words[] = {
		"false", "true", "no", "yes", "off", "on"
	};

	for (size_t i = 0; i < COUNT(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*(bool *)field(o, base) = i % 2;
			return 0;
		}
	return E_INVAL;
}

static bool
bool_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	snprintf(buf, n, "%s", *(const bool *)cfield(o, base) ? "true" : "false");
	return i == 0;
}

static void
bool_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "true or false");
}

static const struct option_type type_bool = { "boolean", false, bool_parse, bool_print,
					      bool_rule };

/* ---- numbers: unsigned, or uint16_t by the field's size */

static void
uint_store(const struct option *o, void *base, unsigned long v)
{
	if (o->size == sizeof(uint16_t))
		*(uint16_t *)field(o, base) = (uint16_t)v;
	else
		*(unsigned *)field(o, base) = (unsigned)v;
}

static unsigned long
uint_load(const struct option *o, const void *base)
{
	return o->size == sizeof(uint16_t) ? *(const uint16_t *)cfield(o, base)
					   : *(const unsigned *)cfield(o, base);
}

static int
uint_parse(const struct option *o, const char *text, void *base)
{
	unsigned long v;

	if (parse_digits(text, strlen(text), &v) < 0 || v < (unsigned long)o->min ||
	    v > (unsigned long)o->max)
		return E_INVAL;
	uint_store(o, base, v);
	return 0;
}

static bool
uint_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	snprintf(buf, n, "%lu", uint_load(o, base));
	return i == 0;
}

static void
uint_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "a number from %ld to %ld", o->min, o->max);
}

static const struct option_type type_uint = { "number", false, uint_parse, uint_print,
					      uint_rule };

/* ---- durations: seconds, or a number and a unit */

static const struct {
	const char *name;
	unsigned long seconds;
} units[] = {
	{ "s", 1 },       { "sec", 1 },      { "second", 1 },   { "seconds", 1 },
	{ "m", 60 },      { "min", 60 },     { "minute", 60 },  { "minutes", 60 },
	{ "h", 3600 },    { "hour", 3600 },  { "hours", 3600 }, { "d", 86400 },
	{ "day", 86400 }, { "days", 86400 },
};

static int
duration_parse(const struct option *o, const char *text, void *base)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	unsigned long v, scale = 0;

	if (parse_digits(text, digits, &v) < 0)
		return E_INVAL;
	unit += strspn(unit, " ");
	if (*unit == '\0' && unit == text + digits)
		scale = 1;
	for (size_t i = 0; scale == 0 && i < COUNT(units); i++)
		if (strcasecmp(unit, units[i].name) == 0)
			scale = units[i].seconds;
	if (scale == 0 || v > (unsigned long)o->max / scale)
		return E_INVAL;
	if (v * scale < (unsigned long)o->min)
		return E_INVAL;
	uint_store(o, base, v * scale);
	return 0;
}

static void
duration_text(unsigned long s, char *buf, size_t n)
{
	static const struct {
		unsigned long seconds;
		const char *name;
	} big[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" } };

	/* The biggest unit that divides it; 256 hours stay hours. */
	for (size_t i = 0; s > 0 && i < COUNT(big); i++)
		if (s % big[i].seconds == 0) {
			unsigned long v = s / big[i].seconds;
			snprintf(buf, n, "%lu %s%s", v, big[i].name, v == 1 ? "" : "s");
			return;
		}
	snprintf(buf, n, "%lu", s);
}

static bool
duration_print(const struct option *o, const void *base, unsigned i, char *buf,
	       size_t n)
{
	duration_text(uint_load(o, base), buf, n);
	return i == 0;
}

static void
duration_rule(const struct option *o, char *buf, size_t n)
{
	char max[32];

	duration_text((unsigned long)o->max, max, sizeof(max));
	snprintf(buf, n,
		 "from %ld second%s to %s, in seconds or as text like \"8 hours\"",
		 o->min, o->min == 1 ? "" : "s", max);
}

static const struct option_type type_duration = { "duration", false, duration_parse,
						  duration_print, duration_rule };

/* ---- one of a few words; the field is an enum, which gcc makes unsigned */

static int
word_parse(const struct option *o, const char *text, void *base)
{
	unsigned i = 0;
	size_t n = strlen(text);

	for (const char *w = o->words; w != NULL; i++) {
		if (strncasecmp(w, text, n) == 0 && n > 0 && (w[n] == '|' || !w[n])) {
			*(unsigned *)field(o, base) = i;
			return 0;
		}
		w = strchr(w, '|');
		if (w != NULL)
			w++;
	}
	return E_INVAL;
}

static bool
word_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const char *w = o->words;

	for (unsigned v = *(const unsigned *)cfield(o, base); v > 0; v--)
		w = strchr(w, '|') + 1;
	snprintf(buf, n, "%.*s", (int)strcspn(w, "|"), w);
	return i == 0;
}

static void
word_rule(const struct option *o, char *buf, size_t n)
{
	size_t at = (size_t)snprintf(buf, n, "one of ");

	for (const char *w = o->words; *w && at + 3 < n; w++) {
		if (*w == '|') {
			buf[at++] = ',';
			buf[at++] = ' ';
		} else {
			buf[at++] = *w;
		}
	}
	buf[at] = '\0';
}

static const struct option_type type_word = { "word", false, word_parse, word_print,
					      word_rule };

/* ---- strings, and strings with more rules */

bool
text_ok(const char *s, bool is_multiline)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		unsigned need = 0;
		uint32_t c = *p++;

		if (c < 0x20 && !(is_multiline && (c == '\n' || c == '\t')))
			return false;
		if (c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4)
			return false;
		if (c >= 0xf0)
			need = 3, c &= 7;
		else if (c >= 0xe0)
			need = 2, c &= 15;
		else if (c >= 0xc2)
			need = 1, c &= 31;
		for (unsigned i = 0; i < need; i++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p++ & 0x3f);
		}
		/* Overlong forms, surrogates, C1 controls, beyond Unicode; U+FFFE
		 * and U+FFFF are not characters of XML. */
		if ((need == 2 && c < 0x800) || (need == 3 && c < 0x10000) ||
		    (c >= 0xd800 && c < 0xe000) || (c >= 0x80 && c < 0xa0) ||
		    c == 0xfffe || c == 0xffff || c > 0x10ffff)
			return false;
	}
	return true;
}

static int
string_store(const struct option *o, const char *text, void *base)
{
	size_t n = strlen(text);

	if (n >= o->size)
		return E_INVAL;
	memcpy(field(o, base), text, n + 1);
	return 0;
}

static bool
string_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	snprintf(buf, n, "%s", (const char *)cfield(o, base));
	return i == 0;
}

static int
string_parse(const struct option *o, const char *text, void *base)
{
	return text_ok(text, false) ? string_store(o, text, base) : E_INVAL;
}

static void
string_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "one line of UTF-8 text, at most %zu bytes", o->size - 1);
}

static const struct option_type type_string = { "text", false, string_parse,
						string_print, string_rule };

static int
lines_parse(const struct option *o, const char *text, void *base)
{
	return text_ok(text, true) ? string_store(o, text, base) : E_INVAL;
}

static void
lines_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "UTF-8 text, lines allowed, at most %zu bytes", o->size - 1);
}

static const struct option_type type_lines = { "text", false, lines_parse, string_print,
					       lines_rule };

static int
path_parse(const struct option *o, const char *text, void *base)
{
	if (*text && *text != '/')
		return E_INVAL;
	return string_parse(o, text, base);
}

static void
path_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "the full path of a file, from /, at most %zu bytes",
		 o->size - 1);
}

static const struct option_type type_path = { "file", false, path_parse, string_print,
					      path_rule };

/* RFC 1123 2.1: letters, digits, hyphens inside; no wildcard, no trailing dot. */
static bool
is_host_name(const char *s)
{
	size_t label = 0;

	for (; *s; s++) {
		if (*s == '.') {
			if (label == 0 || s[-1] == '-')
				return false;
			label = 0;
		} else if (isalnum((unsigned char)*s) || (*s == '-' && label > 0)) {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return label > 0 && s[-1] != '-';
}

static int
host_parse(const struct option *o, const char *text, void *base)
{
	struct in_addr a;

	/* An address is no name: no certificate would match it. */
	if (*text && (!is_host_name(text) || inet_pton(AF_INET, text, &a) == 1))
		return E_INVAL;
	return string_store(o, text, base);
}

static void
host_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n,
		 "a DNS name such as vpn.example.com (no wildcard, no address)");
}

static const struct option_type type_host = { "name", false, host_parse, string_print,
					      host_rule };

static int
ifname_parse(const struct option *o, const char *text, void *base)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-@:", *p))
			return E_INVAL;
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return E_INVAL;
	return string_store(o, text, base);
}

static void
ifname_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "the name of a network interface, at most %zu characters",
		 o->size - 1);
}

static const struct option_type type_ifname = { "interface", false, ifname_parse,
						string_print, ifname_rule };

/* For people to follow: a scheme, a host, and nothing that HTML would mind. */
static int
url_parse(const struct option *o, const char *text, void *base)
{
	size_t n = strncmp(text, "https://", 8) == 0  ? 8
		   : strncmp(text, "http://", 7) == 0 ? 7
						      : 0;

	if (*text && (n == 0 || !isalnum((unsigned char)text[n])))
		return E_INVAL;
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
			return E_INVAL;
	return string_store(o, text, base);
}

static void
url_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "an address from https:// or http://, at most %zu bytes",
		 o->size - 1);
}

static const struct option_type type_url = { "address", false, url_parse, string_print,
					     url_rule };

static int
https_parse(const struct option *o, const char *text, void *base)
{
	if (*text && strncmp(text, "https://", 8) != 0)
		return E_INVAL;
	return url_parse(o, text, base);
}

static void
https_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "an address from https://, at most %zu bytes", o->size - 1);
}

static const struct option_type type_https = { "address", false, https_parse,
					       string_print, https_rule };

/* One mailbox, without a name or comments: it goes into a mailto: URL. */
static int
mail_parse(const struct option *o, const char *text, void *base)
{
	const char *at = strchr(text, '@');

	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("@.!#$%&'*+/=?^_`{|}~-", *p))
			return E_INVAL;
	if (*text && (at == NULL || at == text || !is_host_name(at + 1)))
		return E_INVAL;
	return string_store(o, text, base);
}

static void
mail_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "a mail address such as admin@example.com, at most %zu bytes",
		 o->size - 1);
}

static const struct option_type type_mail = { "mail address", false, mail_parse,
					      string_print, mail_rule };

/* ---- subnets */

/* "a.b.c.d/n" into addr and len. 1 when host bits had to be cleared. */
static int
cidr_parse(int family, const char *text, void *addr, uint8_t *len)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned bits = family == AF_INET ? 32 : 128;
	unsigned char a[16];
	unsigned long n;
	int cleared = 0;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(host))
		return E_INVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	if (inet_pton(family, host, a) != 1 ||
	    parse_digits(slash + 1, strlen(slash + 1), &n) < 0 || n > bits)
		return E_INVAL;
	for (unsigned i = 0; i < bits / 8; i++) {
		unsigned keep = n >= (i + 1) * 8 ? 0xff
				: n <= i * 8     ? 0
						 : 0xffu << (8 - (n - i * 8));
		cleared |= (a[i] & ~keep & 0xff) != 0;
		a[i] &= (unsigned char)keep;
	}
	memcpy(addr, a, bits / 8);
	*len = (uint8_t)n;
	return cleared;
}

static void
cidr_print(int family, const void *addr, uint8_t len, char *buf, size_t n)
{
	char host[INET6_ADDRSTRLEN];

	inet_ntop(family, addr, host, sizeof(host));
	snprintf(buf, n, "%s/%u", host, len);
}

static int
subnet4_parse(const struct option *o, const char *text, void *base)
{
	struct prefix4 p;
	int rc = cidr_parse(AF_INET, text, &p.addr, &p.len);
	uint8_t first = (uint8_t)(ntohl(p.addr.s_addr) >> 24);

	if (rc < 0 || p.len < o->min || p.len > o->max)
		return E_INVAL;
	/* "This network", loopback, multicast and beyond are nobody's address. */
	if (first == 0 || first == 127 || first >= 224)
		return E_INVAL;
	/* By field: padding stays zero, so equal configurations are equal bytes. */
	struct prefix4 *to = field(o, base);
	to->addr = p.addr;
	to->len = p.len;
	return rc;
}

static bool
subnet4_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct prefix4 *p = cfield(o, base);

	cidr_print(AF_INET, &p->addr, p->len, buf, n);
	return i == 0;
}

static void
subnet4_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "one IPv4 unicast subnet in CIDR format, /%ld to /%ld", o->min,
		 o->max);
}

static const struct option_type type_subnet4 = { "subnet", false, subnet4_parse,
						 subnet4_print, subnet4_rule };

static int
subnet6_parse(const struct option *o, const char *text, void *base)
{
	struct prefix6 p = { .addr = IN6ADDR_ANY_INIT, .len = 0 };
	int rc = 0;

	if (*text) {
		rc = cidr_parse(AF_INET6, text, &p.addr, &p.len);
		if (rc < 0 || p.len < o->min || p.len > o->max)
			return E_INVAL;
		if (IN6_IS_ADDR_MULTICAST(&p.addr) || IN6_IS_ADDR_LINKLOCAL(&p.addr) ||
		    p.addr.s6_addr[0] == 0)
			return E_INVAL;
	}
	struct prefix6 *to = field(o, base);
	to->addr = p.addr;
	to->len = p.len;
	return rc;
}

static bool
subnet6_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct prefix6 *p = cfield(o, base);

	buf[0] = '\0';
	if (p->len > 0)
		cidr_print(AF_INET6, &p->addr, p->len, buf, n);
	return i == 0;
}

static void
subnet6_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n,
		 "one IPv6 unicast prefix in CIDR format, /%ld to /%ld, or empty for "
		 "none",
		 o->min, o->max);
}

static const struct option_type type_subnet6 = { "subnet", false, subnet6_parse,
						 subnet6_print, subnet6_rule };

/* ---- lists: they fill two or more fields, so they know struct config */

static int
take_address(const char *text, struct in_addr *v4, unsigned *n4, struct in6_addr *v6,
	     unsigned *n6, unsigned max)
{
	struct in_addr a4;
	struct in6_addr a6;

	if (inet_pton(AF_INET, text, &a4) == 1) {
		if (a4.s_addr == 0 || IN_MULTICAST(ntohl(a4.s_addr)))
			return E_INVAL;
		if (*n4 == max)
			return E_LIMIT;
		v4[(*n4)++] = a4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &a6) != 1 || IN6_IS_ADDR_UNSPECIFIED(&a6) ||
	    IN6_IS_ADDR_MULTICAST(&a6))
		return E_INVAL;
	if (*n6 == max)
		return E_LIMIT;
	v6[(*n6)++] = a6;
	return 0;
}

static int
dns_parse(const struct option *o, const char *text, void *base)
{
	struct config *c = base;

	return take_address(text, c->dns4, &c->n_dns4, c->dns6, &c->n_dns6, CONFIG_DNS);
}

static bool
dns_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config *c = base;

	if (i < c->n_dns4)
		return inet_ntop(AF_INET, &c->dns4[i], buf, (socklen_t)n) != NULL;
	i -= c->n_dns4;
	return i < c->n_dns6 && inet_ntop(AF_INET6, &c->dns6[i], buf, (socklen_t)n);
}

static void
dns_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "addresses of DNS servers, at most %d IPv4 and %d IPv6",
		 CONFIG_DNS, CONFIG_DNS);
}

static const struct option_type type_dns = { "list of addresses", true, dns_parse,
					     dns_print, dns_rule };

static int
virtual_parse(const struct option *o, const char *text, void *base)
{
	struct config *c = base;

	return take_address(text, c->virtual4, &c->n_virtual4, c->virtual6,
			    &c->n_virtual6, CONFIG_VIRTUAL);
}

static bool
virtual_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config *c = base;

	if (i < c->n_virtual4)
		return inet_ntop(AF_INET, &c->virtual4[i], buf, (socklen_t)n) != NULL;
	i -= c->n_virtual4;
	return i < c->n_virtual6 &&
	       inet_ntop(AF_INET6, &c->virtual6[i], buf, (socklen_t)n);
}

static void
virtual_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n,
		 "addresses without a prefix length, at most %d IPv4 and %d IPv6",
		 CONFIG_VIRTUAL, CONFIG_VIRTUAL);
}

static const struct option_type type_virtual = { "list of addresses", true,
						 virtual_parse, virtual_print,
						 virtual_rule };

static int
route_parse(const struct option *o, const char *text, void *base)
{
	struct config *c = base;
	struct config_route *r = &c->route[c->n_route];
	int rc;

	if (c->n_route == CONFIG_ROUTES)
		return E_LIMIT;
	/* A text that does not parse writes nothing. */
	if ((rc = cidr_parse(AF_INET, text, &r->v4.addr, &r->v4.len)) >= 0)
		r->family = AF_INET;
	else if ((rc = cidr_parse(AF_INET6, text, &r->v6.addr, &r->v6.len)) >= 0)
		r->family = AF_INET6;
	else
		return E_INVAL;
	c->n_route++;
	return rc;
}

static bool
route_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config *c = base;
	const struct config_route *r = &c->route[i];

	if (i >= c->n_route)
		return false;
	if (r->family == AF_INET)
		cidr_print(AF_INET, &r->v4.addr, r->v4.len, buf, n);
	else
		cidr_print(AF_INET6, &r->v6.addr, r->v6.len, buf, n);
	return true;
}

static void
route_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "subnets in CIDR format, at most %d", CONFIG_ROUTES);
}

static const struct option_type type_routes = { "list of subnets", true, route_parse,
						route_print, route_rule };

/* Kept as the clients get it: joined by commas. */
static int
domain_parse(const struct option *o, const char *text, void *base)
{
	struct config *c = base;
	size_t at = strlen(c->domains), n = strlen(text);
	struct in_addr a;

	if (!is_host_name(text) || n > 253 || inet_pton(AF_INET, text, &a) == 1)
		return E_INVAL;
	if (c->n_domain == CONFIG_DOMAINS || at + (at > 0) + n > CONFIG_DOMAINS_TEXT)
		return E_LIMIT;
	snprintf(c->domains + at, sizeof(c->domains) - at, "%s%s", at ? "," : "", text);
	c->n_domain++;
	return 0;
}

static bool
domain_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config *c = base;
	const char *s = c->domains;

	if (i >= c->n_domain)
		return false;
	for (; i > 0; i--)
		s = strchr(s, ',') + 1;
	snprintf(buf, n, "%.*s", (int)strcspn(s, ","), s);
	return true;
}

static void
domain_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n,
		 "DNS names such as example.com, each for itself and everything under "
		 "it (no wildcard), at most %d of them and %d bytes",
		 CONFIG_DOMAINS, CONFIG_DOMAINS_TEXT);
}

static const struct option_type type_domains = { "list of names", true, domain_parse,
						 domain_print, domain_rule };

/* ---- dynamic DNS */

static int
server_parse(const struct option *o, const char *text, void *base)
{
	unsigned char a[16];

	if (*text && !is_host_name(text) && inet_pton(AF_INET, text, a) != 1 &&
	    inet_pton(AF_INET6, text, a) != 1)
		return E_INVAL;
	return string_store(o, text, base);
}

static void
server_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "a DNS name or an address");
}

static const struct option_type type_server = { "name", false, server_parse,
						string_print, server_rule };

/* Names of keys are domain names that may have underscores. */
static int
key_name_parse(const struct option *o, const char *text, void *base)
{
	char plain[CONFIG_HOST];
	size_t n = strlen(text);

	if (n >= sizeof(plain))
		return E_INVAL;
	for (size_t i = 0; i <= n; i++)
		plain[i] = (char)(text[i] == '_' ? 'x' : text[i]);
	return *text && !is_host_name(plain) ? E_INVAL : string_store(o, text, base);
}

static void
key_name_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "the key's name at the server, like a DNS name");
}

static const struct option_type type_key_name = { "name", false, key_name_parse,
						  string_print, key_name_rule };

/* Not the secret: what `vpnctl secret set` called it. */
static int
secret_parse(const struct option *o, const char *text, void *base)
{
	return *text && !secret_name_ok(text) ? E_INVAL : string_store(o, text, base);
}

static void
secret_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "the name given to \"vpnctl secret set\": a-z 0-9 - _");
}

static const struct option_type type_secret = { "name", false, secret_parse,
						string_print, secret_rule };

/* "auto", or one address per family. */
static int
publish_parse(const struct option *o, const char *text, void *base)
{
	struct config_ddns *d = base;
	struct in_addr a4;
	struct in6_addr a6;

	if (strcasecmp(text, "auto") == 0)
		return d->is_fixed ? E_INVAL : 0;
	if (inet_pton(AF_INET, text, &a4) == 1 && a4.s_addr != 0 &&
	    !IN_MULTICAST(ntohl(a4.s_addr))) {
		if (d->address4.s_addr != 0)
			return E_LIMIT;
		d->address4 = a4;
	} else if (inet_pton(AF_INET6, text, &a6) == 1 &&
		   !IN6_IS_ADDR_UNSPECIFIED(&a6) && !IN6_IS_ADDR_MULTICAST(&a6)) {
		if (!IN6_IS_ADDR_UNSPECIFIED(&d->address6))
			return E_LIMIT;
		d->address6 = a6;
	} else {
		return E_INVAL;
	}
	d->is_fixed = true;
	return 0;
}

static bool
publish_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config_ddns *d = base;

	if (!d->is_fixed) {
		snprintf(buf, n, "auto");
		return i == 0;
	}
	if (d->address4.s_addr != 0 && i-- == 0)
		return inet_ntop(AF_INET, &d->address4, buf, (socklen_t)n) != NULL;
	return !IN6_IS_ADDR_UNSPECIFIED(&d->address6) && i == 0 &&
	       inet_ntop(AF_INET6, &d->address6, buf, (socklen_t)n) != NULL;
}

static void
publish_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "auto, or at most one IPv4 and one IPv6 address");
}

static const struct option_type type_publish = { "list of addresses", true,
						 publish_parse, publish_print,
						 publish_rule };

/* "host" or "host:port" */
static int
stun_parse(const struct option *o, const char *text, void *base)
{
	struct config_ddns *d = base;
	const char *colon = strrchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);
	char host[CONFIG_HOST];
	unsigned long port = 3478;

	if (n >= sizeof(host))
		return E_INVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (!is_host_name(host) ||
	    (colon != NULL && parse_digits(colon + 1, strlen(colon + 1), &port) < 0) ||
	    port < 1 || port > 65535)
		return E_INVAL;
	if (d->n_stun == CONFIG_STUN)
		return E_LIMIT;
	snprintf(d->stun[d->n_stun], sizeof(d->stun[0]), "%s", text);
	d->n_stun++;
	return 0;
}

static bool
stun_print(const struct option *o, const void *base, unsigned i, char *buf, size_t n)
{
	const struct config_ddns *d = base;

	if (i >= d->n_stun)
		return false;
	snprintf(buf, n, "%s", d->stun[i]);
	return true;
}

static void
stun_rule(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "STUN servers as HOST or HOST:PORT, at most %d", CONFIG_STUN);
}

static const struct option_type type_stun = { "list of servers", true, stun_parse,
					      stun_print, stun_rule };

/* ---- appliance models: what an operator who replaces one expects to hold */

static const struct {
	const char *name;
	unsigned limit;
} models[] = {
	{ "MX450", 1500 }, { "MX250", 1000 }, { "MX105", 750 },  { "MX100", 250 },
	{ "MX95", 500 },   { "MX85", 250 },   { "MX84", 100 },   { "MX75", 250 },
	{ "MX67", 100 },   { "MX67C", 100 },  { "MX67W", 100 },  { "MX68", 100 },
	{ "MX68W", 100 },  { "MX68CW", 100 }, { "MX64", 50 },    { "MX64W", 50 },
	{ "MX65", 50 },    { "MX65W", 50 },   { "Z3", 5 },       { "Z3C", 5 },
	{ "Z4", 100 },     { "Z4C", 100 },    { "vMX-S", 100 },  { "vMX-M", 250 },
	{ "vMX-L", 500 },  { "vMX100", 250 }, { "MX600", 1000 }, { "MX400", 750 },
};

unsigned
model_limit(const char *name, const char **canon)
{
	for (size_t i = 0; i < COUNT(models); i++)
		if (strcasecmp(models[i].name, name) == 0) {
			if (canon != NULL)
				*canon = models[i].name;
			return models[i].limit;
		}
	return 0;
}

const char *
model_at(size_t i, unsigned *limit)
{
	if (i >= COUNT(models))
		return NULL;
	*limit = models[i].limit;
	return models[i].name;
}

static int
model_parse(const struct option *o, const char *text, void *base)
{
	if (*text && model_limit(text, &text) == 0)
		return E_INVAL;
	return string_store(o, text, base);
}

static void
model_rule(const struct option *o, char *buf, size_t n)
{
	size_t at = (size_t)snprintf(buf, n, "one of");

	for (size_t i = 0; i < COUNT(models) && at + 8 < n; i++)
		at += (size_t)snprintf(buf + at, n - at, " %s", models[i].name);
}

static const struct option_type type_model = { "model", false, model_parse,
					       string_print, model_rule };

/* ---- the tables */

static const char group_client[] = "client connection",
		  group_routing[] = "addressing and routing",
		  group_auth[] = "authentication and policy";

const struct section config_sections[SECTIONS] = {
	[SECTION_SERVER] = { "server", CONFIG_FILE_MAIN, false, 1, 0,
			     "The service itself: where it listens and how much it "
			     "serves.",
			     group_client },
	[SECTION_CERTIFICATE] = { "certificate", CONFIG_FILE_MAIN, false, 1, 0,
				  "The server's certificate: where it comes from.",
				  group_client },
	[SECTION_CLIENT] = { "client_connection", CONFIG_FILE_MAIN, false, 1, 0,
			     "What a client is shown and how its connection is kept.",
			     group_client },
	[SECTION_ADDRESSING] = { "addressing", CONFIG_FILE_MAIN, false, 1, 0,
				 "Addresses, DNS and routes that clients get.",
				 group_routing },
	[SECTION_AUTH] = { "authentication", CONFIG_FILE_MAIN, false, 1, 0,
			   "Login and the length of a session.", group_auth },
	[SECTION_GROUP] = { "group", CONFIG_FILE_MAIN, true, CONFIG_GROUPS,
			    sizeof(((struct config_group *)0)->name),
			    "An entry of the group list in the login form.",
			    group_auth },
	[SECTION_DDNS] = { "ddns", CONFIG_FILE_MAIN, true, CONFIG_DDNS,
			   sizeof(((struct config_ddns *)0)->wan),
			   "How the DNS record of an uplink's name is kept.",
			   group_routing },
	[SECTION_NODE] = { "node", CONFIG_FILE_NODE, false, 1, 0, "This machine.",
			   group_routing },
	[SECTION_WAN] = { "wan", CONFIG_FILE_NODE, true, CONFIG_WANS,
			  sizeof(((struct config_wan *)0)->name),
			  "An uplink of this machine.", group_routing },
};

#define AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)
#define IN(member) AT(struct config, member)
#define HOURS 3600L
#define DAYS 86400L

/* clang-format off */
const struct option config_options[] = {
{ SECTION_SERVER, "enabled", &type_bool, 0, 0, "", "true", NULL, EFFECT_LIVE, false,
  IN(enabled), "Serve clients at all." },
{ SECTION_SERVER, "port", &type_uint, 1, 65535, "port", "443", NULL, EFFECT_RESTART, false,
  IN(port), "TCP and UDP port of the service, for TLS and DTLS." },
{ SECTION_SERVER, "workers", &type_uint, 0, 64, "processes", "0", NULL, EFFECT_RESTART, false,
  IN(workers), "Worker processes; 0 takes as many as suit the cores." },
{ SECTION_SERVER, "tls_max", &type_word, 0, 0, "", "1.3", "1.2|1.3", EFFECT_NEW, false,
  IN(tls_max), "Highest TLS version offered; the lowest is always 1.2." },
{ SECTION_SERVER, "hostname", &type_host, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(hostname), "Name that clients dial." },
{ SECTION_SERVER, "backup_hostname", &type_host, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(backup_hostname), "Name that clients dial over the second uplink." },
{ SECTION_SERVER, "certificate", &type_path, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(certificate_file), "PEM file with the certificate and its chain, instead of what section certificate says." },
{ SECTION_SERVER, "key", &type_path, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(key_file), "PEM file with the certificate's private key." },
{ SECTION_SERVER, "session_limit", &type_uint, 1, 100000, "sessions", "1500", NULL, EFFECT_LIVE, false,
  IN(session_limit), "Sessions at the same time; those beyond the limit are refused." },
{ SECTION_SERVER, "model", &type_model, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(model), "Session limit of this appliance model, in place of session_limit." },
{ SECTION_SERVER, "user_sessions", &type_uint, 0, 1000, "sessions", "0", NULL, EFFECT_LIVE, false,
  IN(user_sessions), "Sessions of one user at the same time; 0: no limit." },
{ SECTION_SERVER, "user_sessions_policy", &type_word, 0, 0, "", "refuse", "refuse|newest|device", EFFECT_LIVE, false,
  IN(user_sessions_policy), "A user's login beyond user_sessions is refused, displaces the oldest session, or only that of the same device." },
{ SECTION_SERVER, "spare_serves", &type_bool, 0, 0, "", "false", NULL, EFFECT_LIVE, false,
  IN(spare_serves), "The node of a pair that is not active accepts clients at its own addresses." },
{ SECTION_SERVER, "log_debug", &type_bool, 0, 0, "", "false", NULL, EFFECT_LIVE, false,
  IN(log_debug), "Log every change of state." },

{ SECTION_CERTIFICATE, "method", &type_word, 0, 0, "", "auto", "auto|custom|self-signed", EFFECT_LIVE, false,
  IN(cert_method), "Enrolled by itself for the hostname, one per node that an administrator uploads, or self-signed (for tests)." },
{ SECTION_CERTIFICATE, "directory", &type_https, 0, 0, "", "https://acme-v02.api.letsencrypt.org/directory", NULL, EFFECT_LIVE, false,
  IN(cert_directory), "Directory of the ACME certificate authority for method auto." },
{ SECTION_CERTIFICATE, "ca_file", &type_path, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(cert_ca_file), "PEM file with whom to trust as the ACME server; empty: whom the system trusts." },
{ SECTION_CERTIFICATE, "email", &type_mail, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(cert_email), "Contact of the ACME account; empty: none." },
{ SECTION_CERTIFICATE, "agree_tos", &type_bool, 0, 0, "", "false", NULL, EFFECT_LIVE, false,
  IN(cert_agree_tos), "Agree to the certificate authority's terms of service." },
{ SECTION_CERTIFICATE, "key_type", &type_word, 0, 0, "", "p256", "p256|rsa2048", EFFECT_LIVE, false,
  IN(cert_key_type), "Key of the certificate for method auto." },
{ SECTION_CERTIFICATE, "challenge", &type_word, 0, 0, "", "auto", "auto|dns-01|tls-alpn-01|http-01", EFFECT_LIVE, false,
  IN(cert_challenge), "How the certificate authority sees that the names are ours; auto tries what is possible." },
{ SECTION_CERTIFICATE, "without_ddns", &type_bool, 0, 0, "", "false", NULL, EFFECT_LIVE, false,
  IN(cert_without_ddns), "Method auto although no ddns section keeps the record of the hostname." },
{ SECTION_CERTIFICATE, "preferred_chain", &type_string, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(cert_chain), "Common name of the root whose chain is served, where the authority offers several; empty: its first." },
{ SECTION_CERTIFICATE, "eab_key_id", &type_string, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(cert_eab_key_id), "Key id of the external account binding that some authorities want." },
{ SECTION_CERTIFICATE, "eab_secret", &type_secret, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(cert_eab_secret), "Name of the stored secret with its MAC key, as base64url." },

{ SECTION_CLIENT, "banner", &type_lines, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(banner), "Text to be acknowledged after the login; empty: none." },
{ SECTION_CLIENT, "profile", &type_path, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(profile_file), "XML file of the VPN profile; empty: made from hostname when that is set." },
{ SECTION_CLIENT, "profile_alias", &type_string, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(profile_alias), "Friendly name of the gateway in the made profile." },
{ SECTION_CLIENT, "local_lan_access", &type_bool, 0, 0, "", "false", NULL, EFFECT_NEW, false,
  IN(local_lan_access), "The made profile lets the user reach the local network." },
{ SECTION_CLIENT, "download_url", &type_url, 0, 0, "", "https://www.cisco.com/go/secureclient", NULL, EFFECT_LIVE, false,
  IN(download_url), "Where users get the client software; shown to administrators." },
{ SECTION_CLIENT, "dpd", &type_duration, 1, HOURS, "seconds", "5", NULL, EFFECT_NEW, false,
  IN(dpd_s), "Dead peer detection of clients on computers." },
{ SECTION_CLIENT, "dpd_mobile", &type_duration, 1, HOURS, "seconds", "1 minute", NULL, EFFECT_NEW, false,
  IN(dpd_mobile_s), "Dead peer detection of clients on phones and tablets." },
{ SECTION_CLIENT, "keepalive", &type_duration, 0, HOURS, "seconds", "20", NULL, EFFECT_NEW, false,
  IN(keepalive_s), "A silent client sends this often; 0: never." },
{ SECTION_CLIENT, "rekey", &type_duration, 0, 7 * DAYS, "seconds", "1 day", NULL, EFFECT_NEW, false,
  IN(rekey_s), "Age at which a tunnel is replaced by a new one; 0: never." },
{ SECTION_CLIENT, "mtu", &type_uint, 1280, 1500, "bytes", "1434", NULL, EFFECT_NEW, false,
  IN(mtu), "Upper bound of the tunnel's MTU." },
{ SECTION_CLIENT, "bandwidth_up", &type_uint, 0, 100000000, "kbit/s", "0", NULL, EFFECT_LIVE, false,
  IN(bandwidth_up), "What each session may send, packets with their headers; 0: no limit." },
{ SECTION_CLIENT, "bandwidth_down", &type_uint, 0, 100000000, "kbit/s", "0", NULL, EFFECT_LIVE, false,
  IN(bandwidth_down), "What each session may receive; 0: no limit." },
{ SECTION_CLIENT, "disconnected_timeout", &type_duration, 1, 256 * HOURS, "seconds", "30 minutes", NULL, EFFECT_NEW, false,
  IN(disconnected_s), "A session without a connection is kept this long." },

{ SECTION_ADDRESSING, "subnet", &type_subnet4, 8, 29, "", "10.200.0.0/20", NULL, EFFECT_RESTART, false,
  IN(pool4), "Pool of the client addresses; each client gets one." },
{ SECTION_ADDRESSING, "ipv6_prefix", &type_subnet6, 48, 120, "", NULL, NULL, EFFECT_RESTART, false,
  IN(pool6), "Pool of the client IPv6 addresses; empty: no IPv6." },
{ SECTION_ADDRESSING, "dns", &type_dns, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(dns4), "DNS servers of the client, in this order." },
{ SECTION_ADDRESSING, "suffix", &type_host, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(suffix), "DNS suffix, the client's default domain." },
{ SECTION_ADDRESSING, "routing", &type_word, 0, 0, "", "all", "all|exclude|include", EFFECT_NEW, false,
  IN(routing), "Send everything, everything except destinations, or only destinations." },
{ SECTION_ADDRESSING, "destinations", &type_routes, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(route), "Subnets for routing exclude or include." },
{ SECTION_ADDRESSING, "dynamic", &type_word, 0, 0, "", "off", "off|include|exclude", EFFECT_NEW, false,
  IN(dynamic), "Dynamic client routing: only these domains go inside, or all but these; Windows and macOS only." },
{ SECTION_ADDRESSING, "domains", &type_domains, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(domains), "Domains for dynamic include or exclude." },
{ SECTION_ADDRESSING, "client_bypass", &type_bool, 0, 0, "", "false", NULL, EFFECT_NEW, false,
  IN(client_bypass), "A family without an address goes outside the tunnel, not nowhere." },
{ SECTION_ADDRESSING, "tunnel_all_dns", &type_bool, 0, 0, "", "false", NULL, EFFECT_NEW, false,
  IN(tunnel_all_dns), "All DNS goes through the tunnel, whatever the routing." },

{ SECTION_AUTH, "session_timeout", &type_duration, 1, 256 * HOURS, "seconds", "8 hours", NULL, EFFECT_NEW, false,
  IN(session_timeout_s), "Longest session; then the user logs in again." },
{ SECTION_AUTH, "idle_timeout", &type_duration, 0, 256 * HOURS, "seconds", "30 minutes", NULL, EFFECT_NEW, false,
  IN(idle_timeout_s), "A session without traffic ends after this; 0: never." },
{ SECTION_AUTH, "login_timeout", &type_duration, 5, HOURS, "seconds", "5 minutes", NULL, EFFECT_NEW, false,
  IN(login_timeout_s), "Time for a whole login." },
{ SECTION_AUTH, "max_attempts", &type_uint, 1, 20, "attempts", "3", NULL, EFFECT_NEW, false,
  IN(max_attempts), "Wrong passwords before a login is ended." },
{ SECTION_AUTH, "client_certificate", &type_word, 0, 0, "", "off", "off|optional|required|only", EFFECT_NEW, false,
  IN(client_certificate), "Certificate of the client, checked before the login form: not asked for, checked if there is one, needed, or (beta) all that is needed." },
{ SECTION_AUTH, "client_crl", &type_path, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  IN(client_crl), "Revocation lists (CRL) for client certificates, PEM or DER; empty: none is looked at." },
{ SECTION_AUTH, "client_ocsp", &type_word, 0, 0, "", "off", "off|soft|hard", EFFECT_NEW, false,
  IN(client_ocsp), "Ask the OCSP responder that a client certificate names; soft: a responder that does not answer lets pass, hard: it does not." },
{ SECTION_AUTH, "certificate_user", &type_word, 0, 0, "", "cn", "cn|mail|upn", EFFECT_NEW, false,
  IN(certificate_user), "Where a client certificate has the user's name: common name, mail address or user principal name." },

{ SECTION_GROUP, "label", &type_string, 0, 0, "", NULL, NULL, EFFECT_NEW, false,
  AT(struct config_group, label), "What the user sees; empty: the group's name." },

{ SECTION_DDNS, "provider", &type_word, 0, 0, "", "none", "none|rfc2136|dyndns2", EFFECT_LIVE, false,
  AT(struct config_ddns, provider), "How the record is written: not at all, by signed DNS updates, or by a provider's web service." },
{ SECTION_DDNS, "server", &type_server, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, server), "The zone's authoritative server, which takes the updates; with dyndns2 the one that is asked what the zone holds, if any." },
{ SECTION_DDNS, "port", &type_uint, 1, 65535, "port", "53", NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, port), "UDP and TCP port of that server." },
{ SECTION_DDNS, "zone", &type_host, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, zone), "The zone that holds the name." },
{ SECTION_DDNS, "key_name", &type_key_name, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, key_name), "Name of the TSIG key." },
{ SECTION_DDNS, "key_algorithm", &type_word, 0, 0, "", "hmac-sha256", "hmac-sha256|hmac-sha512", EFFECT_LIVE, false,
  AT(struct config_ddns, key_algorithm), "Algorithm of the TSIG key." },
{ SECTION_DDNS, "secret", &type_secret, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, secret), "Name of the stored secret: the TSIG key in base64, or the provider's password." },
{ SECTION_DDNS, "user", &type_string, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, user), "User name at the dyndns2 provider." },
{ SECTION_DDNS, "url", &type_https, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, url), "Address of the dyndns2 update, as far as the question mark." },
{ SECTION_DDNS, "ca_file", &type_path, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, ca_file), "PEM file with the authorities of url and lookup_url; empty: the system's." },
{ SECTION_DDNS, "address", &type_publish, 0, 0, "", "auto", NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, address4), "Addresses to publish; auto finds the uplink's public ones." },
{ SECTION_DDNS, "family", &type_word, 0, 0, "", "both", "both|ipv4|ipv6", EFFECT_LIVE, false,
  AT(struct config_ddns, family), "Which records are kept: A, AAAA or both." },
{ SECTION_DDNS, "ttl", &type_duration, 1, DAYS, "seconds", "1 minute", NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, ttl_s), "Time to live of the record." },
{ SECTION_DDNS, "min_interval", &type_duration, 0, DAYS, "seconds", "10", NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, min_interval_s), "Shortest time between two updates of a record." },
{ SECTION_DDNS, "check_interval", &type_duration, 1, DAYS, "seconds", "5 minutes", NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, check_interval_s), "How often the zone is compared with what it should hold." },
{ SECTION_DDNS, "on_foreign_change", &type_word, 0, 0, "", "correct", "correct|report", EFFECT_LIVE, false,
  AT(struct config_ddns, on_foreign_change), "A record that someone else changed is corrected, or only reported." },
{ SECTION_DDNS, "stun", &type_stun, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, stun), "STUN servers that tell the address outside a NAT; two of them must agree." },
{ SECTION_DDNS, "lookup_url", &type_https, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  AT(struct config_ddns, lookup_url), "Web page that tells the address outside a NAT, when STUN does not." },

{ SECTION_NODE, "name", &type_host, 0, 0, "", NULL, NULL, EFFECT_RESTART, false,
  IN(node_name), "Name of this node in events; empty: the host name." },
{ SECTION_NODE, "virtual_addresses", &type_virtual, 0, 0, "", NULL, NULL, EFFECT_LIVE, false,
  IN(virtual4), "Addresses that move between the nodes of a pair, those of the LAN too." },
{ SECTION_NODE, "role", &type_word, 0, 0, "", "single", "single|primary|spare", EFFECT_RESTART, false,
  IN(node_role), "Place in a pair: each of its nodes leases one half of the pool." },

{ SECTION_NODE, "mode", &type_word, 0, 0, "", "routed", "routed|passthrough", EFFECT_RESTART, false,
  IN(mode), "Routed: client addresses are hidden; passthrough: an upstream router knows the way to them." },
{ SECTION_NODE, "behind_nat", &type_bool, 0, 0, "", "false", NULL, EFFECT_LIVE, false,
  IN(behind_nat), "A device in front of this node translates its addresses." },

{ SECTION_WAN, "interface", &type_ifname, 0, 0, "", NULL, NULL, EFFECT_RESTART, false,
  AT(struct config_wan, ifname), "Interface; empty: the one of the default route." },
{ SECTION_WAN, "type", &type_word, 0, 0, "", "wired", "wired|cellular", EFFECT_RESTART, false,
  AT(struct config_wan, type), "Kind of uplink; a cellular one never carries the service." },
{ SECTION_WAN, "service", &type_bool, 0, 0, "", "true", NULL, EFFECT_RESTART, false,
  AT(struct config_wan, service), "Clients may connect here." },
{ SECTION_WAN, "nat", &type_bool, 0, 0, "", "true", NULL, EFFECT_RESTART, false,
  AT(struct config_wan, nat), "Hide client addresses behind this uplink's address; not doing so (no-NAT) excludes the service in mode routed." },
};
/* clang-format on */

const size_t config_n_options = COUNT(config_options);

/* word_* go through unsigned. */
_Static_assert(sizeof(enum tls_max) == sizeof(unsigned) &&
		       sizeof(enum routing_mode) == sizeof(unsigned) &&
		       sizeof(enum uplink_type) == sizeof(unsigned) &&
		       sizeof(enum node_role) == sizeof(unsigned) &&
		       sizeof(enum dynamic_mode) == sizeof(unsigned) &&
		       sizeof(enum displace) == sizeof(unsigned) &&
		       sizeof(enum ddns_provider) == sizeof(unsigned) &&
		       sizeof(enum ddns_algorithm) == sizeof(unsigned) &&
		       sizeof(enum ddns_family) == sizeof(unsigned) &&
		       sizeof(enum ddns_foreign) == sizeof(unsigned) &&
		       sizeof(enum client_cert) == sizeof(unsigned) &&
		       sizeof(enum client_ocsp) == sizeof(unsigned) &&
		       sizeof(enum cert_user) == sizeof(unsigned) &&
		       sizeof(enum node_mode) == sizeof(unsigned),
	       "an enum is not the size of unsigned");
_Static_assert(sizeof(enum cert_method) == sizeof(unsigned) &&
		       sizeof(enum cert_key_type) == sizeof(unsigned) &&
		       sizeof(enum cert_challenge) == sizeof(unsigned),
	       "an enum is not the size of unsigned");

const struct section *
section_find(enum config_file file, const char *name)
{
	for (size_t i = 0; i < SECTIONS; i++)
		if (config_sections[i].file == file &&
		    strcmp(config_sections[i].name, name) == 0)
			return &config_sections[i];
	return NULL;
}

const struct option *
option_find(enum config_section section, const char *name)
{
	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == section &&
		    strcmp(config_options[i].name, name) == 0)
			return &config_options[i];
	return NULL;
}

void
option_path(const struct option *o, char *buf, size_t n)
{
	snprintf(buf, n, "%s.%s", config_sections[o->section].name, o->name);
}

const char *
effect_text(enum config_effect e)
{
	return e == EFFECT_LIVE  ? "live"
	       : e == EFFECT_NEW ? "new connections"
				 : "restart";
}

void
section_reset(enum config_section section, void *base)
{
	for (size_t i = 0; i < config_n_options; i++) {
		const struct option *o = &config_options[i];

		if (o->section == section && o->initial != NULL)
			(void)o->type->parse(o, o->initial, base);
	}
}

bool
title_ok(enum config_section section, const char *title)
{
	size_t n = strlen(title);

	if (n == 0 || n >= config_sections[section].title_size)
		return false;
	if (section == SECTION_GROUP)
		/* What could not be written back as it was read. */
		return text_ok(title, false) && strpbrk(title, "\"\\") == NULL;
	for (; *title; title++)
		if (!isalnum((unsigned char)*title) && !strchr("_-", *title))
			return false;
	return true;
}
