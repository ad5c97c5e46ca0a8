/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ddns.c -- the dynamic DNS commands: questions to ddnsd, whose socket is beside
 * vpnd's. */
#include "ctl/cert.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

#include <limits.h>
#include <string.h>

enum { ASK_S = 90 };

static int
ask(const struct ctl *c, json_t *question, json_t **answer)
{
	char path[PATH_MAX];
	struct ctl line = cert_line(c, "ddnsd", path);
	int rc = ctl_ask(&line, question, ASK_S, answer);

	ctl_close(&line);
	return rc;
}

/* What is known beyond the state: the error, or what is going on. */
static const char *
remark(const json_t *uplink, const json_t *record)
{
	const char *error = cert_text(record, "error"),
		   *text = cert_text(record, "text");

	if (record == NULL)
		return cert_text(uplink, "reason");
	return error[0] != '\0' ? error : text;
}

static void
add_row(struct table *t, const json_t *uplink, const json_t *record)
{
	const char *state = cert_text(record != NULL ? record : uplink, "state");

	table_add(t, (const char *const[]){
			     cert_text(uplink, "wan"), cert_text(uplink, "name"),
			     cert_text(record, "type"), cert_text(record, "address"),
			     state, cert_text(record, "updated"),
			     remark(uplink, record) });
}

static void
print_status(const struct ctl *c, const json_t *o)
{
	static const struct table_col col[] = {
		{ "WAN", false },     { "NAME", false },  { "TYPE", false },
		{ "ADDRESS", false }, { "STATE", false }, { "UPDATED", false },
		{ "REMARK", false },
	};
	const json_t *uplinks = json_object_get(o, "uplinks");
	struct table t;
	json_t *l, *r;
	size_t i, k;

	printf("this node, %s, %s\n", cert_text(o, "node"),
	       json_is_true(json_object_get(o, "active")) ? "is active and keeps the "
							    "records"
	       : json_is_true(json_object_get(o, "hasync"))
		       ? "is not active; the records are kept by the other node"
		       : "does not reach hasync: nothing is written");
	if (json_array_size(uplinks) == 0) {
		puts("no dynamic DNS is configured; see the section ddns in "
		     "tandem.conf(5)");
		return;
	}
	table_open(&t, col, sizeof(col) / sizeof(col[0]));
	json_array_foreach(uplinks, i, l)
	{
		const json_t *records = json_object_get(l, "records");
		json_array_foreach(records, k, r) add_row(&t, l, r);
		if (json_array_size(records) == 0)
			add_row(&t, l, NULL);
	}
	table_print(&t, stdout, c->has_colour ? "\033[1m" : "");
	table_free(&t);
}

int
ddns_status(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ask(c, json_pack("{ss}", "cmd", "status"), &answer);
	if (rc == CTL_OK && !c->is_json)
		print_status(c, answer);
	json_decref(answer);
	return rc;
}

static json_t *
question(const char *cmd, const struct args *a)
{
	return a->n > 0 ? json_pack("{ss ss}", "cmd", cmd, "wan", a->v[0])
			: json_pack("{ss}", "cmd", cmd);
}

/* A record that was not updated makes the command fail. */
static int
outcome(const json_t *answer)
{
	json_t *l;
	size_t i;

	json_array_foreach(json_object_get(answer, "uplinks"), i, l)
	{
		if (strcmp(cert_text(l, "state"), "failed") == 0)
			return CTL_REFUSED;
	}
	return CTL_OK;
}

int
ddns_update(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 1))
		return CTL_USAGE;
	int rc = ask(c, question("update", a), &answer);
	if (rc == CTL_OK && !c->is_json)
		print_status(c, answer);
	if (rc == CTL_OK)
		rc = outcome(answer);
	json_decref(answer);
	return rc;
}

static void
print_step(const struct ctl *c, const json_t *s)
{
	bool ok = json_is_true(json_object_get(s, "ok"));

	printf("%-5s %-8s %s%-4s%s ", cert_text(s, "wan"), cert_text(s, "step"),
	       !c->has_colour ? ""
	       : ok           ? "\033[32m"
			      : "\033[31m",
	       ok ? "ok" : "bad", c->has_colour ? "\033[0m" : "");
	print_safe(stdout, cert_text(s, "text"));
	putchar('\n');
}

int
ddns_diagnose(struct ctl *c, struct args *a)
{
	json_t *answer, *s;
	size_t i;

	if (!args_end(c, a, 0, 1))
		return CTL_USAGE;
	int rc = ask(c, question("diagnose", a), &answer);
	if (rc != CTL_OK)
		return rc;
	json_array_foreach(json_object_get(answer, "steps"), i, s)
	{
		if (!json_is_true(json_object_get(s, "ok")))
			rc = CTL_REFUSED;
		if (!c->is_json)
			print_step(c, s);
	}
	json_decref(answer);
	return rc;
}
