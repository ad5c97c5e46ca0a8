/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* diagnose.c -- why do clients not trust this server? The questions in the order in
 * which one would ask them, each with what to do next. */
#include "ctl/cert.h"

#include "ctl/table.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct diagnosis {
	const struct ctl *c;
	json_t *vpnd, *acmed, *ddnsd, *live, *shown; /* answers; NULL: none */
	json_t *checks;
	unsigned failed;
};

__attribute__((format(printf, 5, 6))) static bool
check(struct diagnosis *d, const char *what, bool is_ok, const char *next,
      const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_t *o =
		json_pack("{s:s,s:b,s:s}", "check", what, "ok", is_ok, "text", text);
	if (!is_ok) {
		json_object_set_new(o, "next", json_string(next));
		d->failed++;
	}
	json_array_append_new(d->checks, o);
	return is_ok;
}

/* A question that may well fail: nothing is printed then. */
static json_t *
ask(const struct ctl *c, const char *program, const char *cmd)
{
	char path[PATH_MAX];
	struct ctl line = cert_line(c, program, path);
	json_t *o = NULL;

	line.is_json = false;
	line.is_quiet = true;
	if (access(path, F_OK) == 0)
		(void)ctl_ask(&line, json_pack("{s:s}", "cmd", cmd), 10, &o);
	ctl_close(&line);
	return o;
}

static bool
is_self_signed(const struct diagnosis *d)
{
	return d->live == NULL || json_is_true(json_object_get(d->live, "self_signed"));
}

static void
check_node(struct diagnosis *d)
{
	size_t listeners = json_array_size(json_object_get(d->vpnd, "listeners"));

	check(d, "service", d->vpnd != NULL && listeners > 0,
	      d->vpnd == NULL ? "start it: systemctl start vpnd"
			      : "set server.enabled, and an uplink that serves",
	      d->vpnd == NULL  ? "vpnd does not answer"
	      : listeners == 0 ? "vpnd runs, but listens nowhere"
			       : "vpnd listens");
	check(d, "acmed", d->acmed != NULL, "start it: systemctl start tandem-acme",
	      d->acmed != NULL ? "acmed answers" : "acmed does not answer");
	if (d->acmed == NULL)
		return;
	bool has_store = json_is_true(json_object_get(d->acmed, "store"));
	check(d, "node online", has_store && cert_text(d->acmed, "role")[0] != '\0',
	      "start hasync: systemctl start tandem-hasync; then 'vpnctl nodes'",
	      has_store ? "this node is online, %s" : "hasync does not answer (%s)",
	      cert_text(d->acmed, "role"));
}

/* Method auto waits for it, unless told not to; for the others it is worth knowing. */
static void
check_uplink(struct diagnosis *d, const json_t *uplink, bool is_needed)
{
	const char *name = cert_text(uplink, "name"),
		   *state = cert_text(uplink, "state");
	bool is_none = strcmp(state, "none") == 0;

	if (strcmp(state, "published") == 0)
		check(d, "dynamic DNS", true, "", "the record of %s is published",
		      name);
	else if (strcmp(cert_text(d->acmed, "role"), "standby") == 0)
		check(d, "dynamic DNS", true, "",
		      "the active node keeps the record of %s", name);
	else if (is_none && !is_needed)
		check(d, "dynamic DNS", true, "", "none for %s, and none is needed",
		      name);
	else
		check(d, "dynamic DNS", false, "look closer: 'vpnctl ddns diagnose'",
		      is_none ? "no record of %s is kept: %s" : "the record of %s: %s",
		      name, is_none ? cert_text(uplink, "reason") : state);
}

static void
check_ddns(struct diagnosis *d)
{
	bool is_auto = strcmp(cert_text(d->acmed, "method"), "auto") == 0;
	bool is_needed =
		is_auto && !json_is_true(json_object_get(d->acmed, "without_ddns"));
	const json_t *uplinks = json_object_get(d->ddnsd, "uplinks");
	json_t *uplink;
	size_t i;

	json_array_foreach(uplinks, i, uplink) if (cert_text(uplink, "name")[0] != '\0')
		check_uplink(d, uplink, is_needed);
	if (d->ddnsd == NULL)
		check(d, "dynamic DNS", !is_needed,
		      "start it: systemctl start tandem-ddns; or set "
		      "certificate.without_ddns when the record is kept elsewhere",
		      is_needed ? "ddnsd does not answer"
				: "ddnsd does not answer, and is not needed");
	else if (json_array_size(uplinks) == 0)
		check(d, "dynamic DNS", !is_needed,
		      "add a section ddns \"wan1\" for server.hostname, or set "
		      "certificate.without_ddns when the record is kept elsewhere",
		      is_needed ? "no section ddns keeps the record of the hostname"
				: "none, and none is needed");
}

static bool
is_local(const struct sockaddr *sa)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != sa->sa_family)
			continue;
		if (sa->sa_family == AF_INET)
			found |= memcmp(&((struct sockaddr_in *)i->ifa_addr)->sin_addr,
					&((const struct sockaddr_in *)sa)->sin_addr,
					4) == 0;
		else if (sa->sa_family == AF_INET6)
			found |=
				memcmp(&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr,
				       &((const struct sockaddr_in6 *)sa)->sin6_addr,
				       16) == 0;
	}
	freeifaddrs(list);
	return found;
}

static void
check_resolves(struct diagnosis *d, const char *name)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	char text[INET6_ADDRSTRLEN] = "nothing";
	int rc = getaddrinfo(name, NULL, &hints, &all);
	bool is_ours = false;

	for (struct addrinfo *i = rc == 0 ? all : NULL; i != NULL; i = i->ai_next) {
		is_ours |= is_local(i->ai_addr);
		getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST);
	}
	if (rc == 0)
		freeaddrinfo(all);
	if (rc != 0)
		check(d, "name resolves", false,
		      "make the record: 'vpnctl ddns status', or ask who keeps the "
		      "zone",
		      "%s does not resolve: %s", name, gai_strerror(rc));
	else
		check(d, "name resolves", is_ours,
		      "behind NAT this may be right: the port has to be forwarded to "
		      "this node; otherwise correct the record",
		      is_ours ? "%s resolves to this node (%s)"
			      : "%s resolves to %s, which is no address of this node "
				"(the spare of a pair does not have it)",
		      name, text);
}

static bool
covers(const json_t *live, const char *name)
{
	json_t *j;
	size_t i;

	json_array_foreach(json_object_get(live, "names"), i,
			   j) if (json_is_string(j) &&
				  strcasecmp(json_string_value(j), name) ==
					  0) return true;
	return false;
}

static void
check_names(struct diagnosis *d)
{
	const json_t *names = json_object_get(d->acmed, "names");
	json_t *j;
	size_t i;

	if (!check(d, "hostname", json_array_size(names) > 0,
		   "set server.hostname to what clients dial",
		   json_array_size(names) > 0 ? "clients dial %s"
					      : "%sthere is no name to dial",
		   json_array_size(names) > 0
			   ? json_string_value(json_array_get(names, 0))
			   : ""))
		return;
	json_array_foreach(names, i, j) check_resolves(d, json_string_value(j));
	json_array_foreach(names, i, j)
	{
		const char *name = json_string_value(j);
		check(d, "name, not address", covers(d->live, name),
		      "method auto orders it again by itself; for custom, a CSR with "
		      "this name is needed",
		      covers(d->live, name)
			      ? "the certificate names %s: clients have to dial the "
				"name, an address is never trusted"
			      : "the certificate does not name %s",
		      name);
	}
}

static void
check_certificate(struct diagnosis *d)
{
	const json_t *is_auto = json_object_get(d->acmed, "auto");
	int64_t now = (int64_t)time(NULL),
		from = (int64_t)json_integer_value(
			json_object_get(d->live, "not_before")),
		to = (int64_t)json_integer_value(json_object_get(d->live, "not_after"));
	char next[512], since[32], until[32];

	if (is_auto != NULL && cert_text(is_auto, "text")[0] != '\0')
		snprintf(next, sizeof(next), "enrolment: %s",
			 cert_text(is_auto, "text"));
	else
		snprintf(next, sizeof(next),
			 "set certificate.method to auto, or to custom and upload a "
			 "certificate");
	if (!check(d, "trusted issuer", !is_self_signed(d), next,
		   is_self_signed(d) ? "the certificate signed itself%s: every client "
				       "says \"Untrusted Server Certificate\""
				     : "issued by %s",
		   is_self_signed(d) ? "" : cert_text(d->live, "issuer")))
		return;
	cert_date(from, since);
	cert_date(to, until);
	check(d, "dates", from <= now && now < to,
	      "compare the clocks; renew: 'vpnctl cert renew', or a new CSR",
	      "valid from %s until %s", since, until);
}

/* Which devices will not trust it: those without the root. */
static void
check_root(struct diagnosis *d)
{
	const char *root = cert_text(d->live, "root");

	if (is_self_signed(d))
		return;
	bool is_known = cert_text(d->shown, "root")[0] != '\0';
	check(d, "root", is_known,
	      "ask the authority for its root, and install it on the devices",
	      is_known ? "devices that do not have '%s' will not trust this node: "
			 "'vpnctl cert show --root' prints it, to be installed on them"
		       : "'%s' is not known to this system, and devices that do not "
			 "have it will not trust this node",
	      root);
}

static void
print_checks(const struct diagnosis *d)
{
	json_t *o;
	size_t i;

	json_array_foreach(d->checks, i, o)
	{
		printf("  %s  %-18s ",
		       json_is_true(json_object_get(o, "ok")) ? "pass" : "FAIL",
		       cert_text(o, "check"));
		print_safe(stdout, cert_text(o, "text"));
		putchar('\n');
		if (cert_text(o, "next")[0] != '\0') {
			printf("        %-18s ", "-> next");
			print_safe(stdout, cert_text(o, "next"));
			putchar('\n');
		}
	}
}

int
cert_diagnose(struct ctl *c, struct args *a)
{
	struct diagnosis d = { .c = c };

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	d.checks = json_array();
	d.vpnd = ask(c, "vpnd", "status");
	d.acmed = ask(c, "acmed", "status");
	d.ddnsd = ask(c, "ddnsd", "status");
	d.shown = ask(c, "acmed", "show");
	d.live = json_object_get(d.shown, "live");
	check_node(&d);
	if (d.acmed != NULL) {
		check_ddns(&d);
		check_certificate(&d);
		check_names(&d);
		check_root(&d);
	}
	json_t *answer = json_pack("{s:b,s:i,s:O}", "ok", 1, "failed", (int)d.failed,
				   "checks", d.checks);
	if (c->is_json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_checks(&d);
	}
	json_decref(answer);
	json_decref(d.checks);
	json_decref(d.vpnd);
	json_decref(d.acmed);
	json_decref(d.ddnsd);
	json_decref(d.shown);
	return d.failed > 0 ? CTL_REFUSED : CTL_OK;
}
