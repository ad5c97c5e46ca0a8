/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cert.c -- the certificate commands: questions to acmed, whose socket is beside
 * vpnd's. What a file is worth is acmed's verdict; here it is only carried. */
#include "ctl/cert.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/file.h"
#include "ctl/table.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	FILE_SENT_MAX = 64 * 1024 + 1, /* one more than is accepted: acmed says so */
	ASK_S = 30,
	DAY_S = 86400,
	HOUR_S = 3600,
};

const char *
cert_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

struct ctl
cert_line(const struct ctl *c, const char *program, char path[PATH_MAX])
{
	const char *slash = strrchr(c->socket, '/');

	snprintf(path, PATH_MAX, "%.*s%s.sock",
		 slash != NULL ? (int)(slash + 1 - c->socket) : 0, c->socket, program);
	return (struct ctl){ .socket = path,
			     .program = program,
			     .is_json = c->is_json,
			     .has_colour = c->has_colour,
			     .fd = -1 };
}

/* Ask acmed, once. Takes the question over. */
static int
ask(const struct ctl *c, json_t *question, json_t **answer)
{
	char path[PATH_MAX];
	struct ctl line = cert_line(c, "acmed", path);
	int rc = ctl_ask(&line, question, ASK_S, answer);

	ctl_close(&line);
	return rc;
}

void
cert_date(int64_t t, char out[32])
{
	time_t at = (time_t)t;
	struct tm tm;

	snprintf(out, 32, "-");
	if (t > 0 && gmtime_r(&at, &tm) != NULL)
		strftime(out, 32, "%Y-%m-%d %H:%M", &tm);
}

static int64_t
number(const json_t *o, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(o, key));
}

static void
field(const char *label, const char *text)
{
	printf("  %-22s ", label);
	print_safe(stdout, *text != '\0' ? text : "-");
	putchar('\n');
}

/* "vpn.example b.example" */
static void
join(const json_t *list, char *out, size_t cap)
{
	size_t i, n = 0;
	json_t *j;

	out[0] = '\0';
	json_array_foreach(list, i, j) if (n < cap && json_is_string(j)) n +=
		(size_t)snprintf(out + n, cap - n, "%s%s", i > 0 ? " " : "",
				 json_string_value(j));
}

/* ---- status ---- */

static void
print_node(struct table *t, const char *slot, const json_t *node)
{
	const json_t *live = json_object_get(node, "live");
	char names[512], until[64] = "-", date[32];
	int64_t left = number(live, "not_after") - (int64_t)time(NULL);

	join(json_object_get(live, "names"), names, sizeof(names));
	cert_date(number(live, "not_after"), date);
	if (live != NULL && left <= 0)
		snprintf(until, sizeof(until), "%s (expired)", date);
	else if (live != NULL)
		snprintf(until, sizeof(until), "%s (%lld %s)", date,
			 (long long)(left >= 2 * DAY_S    ? left / DAY_S
				     : left >= 2 * HOUR_S ? left / HOUR_S
							  : left / 60),
			 left >= 2 * DAY_S    ? "days"
			 : left >= 2 * HOUR_S ? "hours"
					      : "minutes");
	table_add(t, (const char *const[]){
			     slot, cert_text(node, "node"), cert_text(node, "source"),
			     live != NULL ? cert_text(live, "issuer") : "itself",
			     names[0] != '\0' ? names : "-", until });
}

static void
print_custom(const json_t *custom)
{
	const char *slot;
	json_t *j;

	json_object_foreach((json_t *)custom, slot, j)
	{
		char text[256];
		snprintf(text, sizeof(text), "%s%s%s", cert_text(j, "text"),
			 cert_text(j, "common_name")[0] != '\0' ? "; CN of its CSR: "
								: "",
			 cert_text(j, "common_name"));
		field(slot, text);
	}
}

/* Its text has the reason and the next time in it. */
static void
print_auto(const json_t *o)
{
	if (o != NULL)
		field("enrolment", cert_text(o, "text"));
}

static void
print_status(const struct ctl *c, const json_t *o)
{
	static const struct table_col col[] = {
		{ "SLOT", false },   { "NODE", false },  { "SERVES", false },
		{ "ISSUER", false }, { "NAMES", false }, { "UNTIL", false },
	};
	char text[512];
	const char *slot;
	struct table t;
	json_t *j;

	snprintf(text, sizeof(text), "%s%s", cert_text(o, "method"),
		 strcmp(cert_text(o, "method"), "self-signed") == 0
			 ? " (for tests only: clients cannot know whom they talk to)"
			 : "");
	field("method", text);
	snprintf(text, sizeof(text), "%s, %s, %s", cert_text(o, "node"),
		 cert_text(o, "role"),
		 json_is_true(json_object_get(o, "store")) ? "store connected"
							   : "no store: is hasync "
							     "running?");
	field("this node", text);
	join(json_object_get(o, "names"), text, sizeof(text));
	field("clients dial", text[0] != '\0' ? text : "(server.hostname is not set)");
	print_auto(json_object_get(o, "auto"));
	print_custom(json_object_get(o, "custom"));
	table_open(&t, col, sizeof(col) / sizeof(col[0]));
	json_object_foreach(json_object_get(o, "nodes"), slot, j)
		print_node(&t, slot, j);
	if (t.n_row > 0)
		table_print(&t, stdout, c->has_colour ? "\033[1m" : "");
	table_free(&t);
}

int
cert_status(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ask(c, json_pack("{s:s}", "cmd", "status"), &answer);
	if (rc == CTL_OK && !c->is_json)
		print_status(c, answer);
	json_decref(answer);
	return rc;
}

/* ---- show ---- */

static void
print_live(const json_t *o)
{
	const json_t *live = json_object_get(o, "live");
	char text[512];

	field("node", cert_text(o, "node"));
	field("source", cert_text(o, "source"));
	if (live == NULL) {
		field("certificate", "vpnd's own, signed by itself");
		return;
	}
	field("subject", cert_text(live, "subject"));
	field("issuer", cert_text(live, "issuer"));
	field("root", cert_text(live, "root"));
	join(json_object_get(live, "names"), text, sizeof(text));
	field("names", text);
	cert_date(number(live, "not_before"), text);
	field("valid from", text);
	cert_date(number(live, "not_after"), text);
	field("valid until", text);
	field("serial", cert_text(live, "serial"));
	field("SHA-256", cert_text(live, "sha256"));
}

int
cert_show(struct ctl *c, struct args *a)
{
	const char *node = NULL;
	bool is_chain = args_flag(a, NULL, "--chain");
	bool is_root = args_flag(a, NULL, "--root");
	json_t *q, *o;

	args_value(a, "--node", &node);
	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	q = json_pack("{s:s}", "cmd", "show");
	if (node != NULL)
		json_object_set_new(q, "node", json_string(node));
	int rc = ask(c, q, &o);
	const char *root = cert_text(o, "root"), *served = cert_text(o, "served");
	if (rc == CTL_OK && is_root && root[0] == '\0') {
		ctl_complain("the root is not known here: the chain ends below it, and "
			     "this system does not trust it");
		rc = CTL_REFUSED;
	} else if (rc == CTL_OK && is_root && !c->is_json) {
		fputs(root, stdout);
	} else if (rc == CTL_OK && !c->is_json) {
		print_live(o);
		if (is_chain)
			printf("\n%s%s", served, root);
	}
	json_decref(o);
	return rc;
}

/* ---- custom ---- */

static bool
take_list(struct args *a, const char *name, json_t *q, const char *key)
{
	const char *value;
	json_t *list = json_array();

	while (args_value(a, name, &value))
		json_array_append_new(list, json_string(value));
	return json_object_set_new(q, key, list) == 0;
}

static json_t *
csr_question(struct args *a)
{
	static const struct {
		const char *option, *key;
	} texts[] = {
		{ "--node", "node" },
		{ "--common-name", "common_name" },
		{ "--organization", "organization" },
		{ "--unit", "unit" },
		{ "--email", "email" },
		{ "--state", "state" },
		{ "--country", "country" },
	};
	json_t *q = json_pack("{s:s}", "cmd",
			      args_flag(a, NULL, "--show") ? "csr_show" : "csr");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *value;
		if (args_value(a, texts[i].option, &value))
			json_object_set_new(q, texts[i].key, json_string(value));
	}
	take_list(a, "--host", q, "hosts");
	take_list(a, "--ip", q, "ips");
	return q;
}

int
cert_csr(struct ctl *c, struct args *a)
{
	const char *out = NULL;
	json_t *q = csr_question(a), *o = NULL;

	args_value(a, "--out", &out);
	if (!args_end(c, a, 0, 0)) {
		json_decref(q);
		return CTL_USAGE;
	}
	int rc = ask(c, q, &o);
	const char *csr = cert_text(o, "csr");
	if (rc == CTL_OK && out != NULL) {
		int e = file_replace(AT_FDCWD, out, span_str(csr), 0644);
		if (e < 0) {
			ctl_complain("%s: %s", out, err_text(e));
			rc = CTL_REFUSED;
		} else if (!c->is_json) {
			printf("CSR of the %s is in %s: have it signed, then 'vpnctl "
			       "cert upload --node %s DEVICE.pem CHAIN.pem'\n",
			       cert_text(o, "node"), out, cert_text(o, "node"));
		}
	} else if (rc == CTL_OK && !c->is_json) {
		fputs(csr, stdout);
	}
	json_decref(o);
	return rc;
}

/* A file as base64 into the question; what is too large is cut, and refused there. */
static bool
put_file(json_t *q, const char *key, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = malloc(FILE_SENT_MAX);
	size_t n = 0, cap = (FILE_SENT_MAX + 2) / 3 * 4 + 1;
	char *text = malloc(cap);
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0 && n < FILE_SENT_MAX && bytes != NULL) {
		got = read(fd, bytes + n, FILE_SENT_MAX - n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		ctl_complain("%s: %s", path, err_text(-errno));
	bool done = got >= 0 && bytes != NULL && text != NULL;
	if (done) {
		struct wr w = wr_open(text, cap);
		b64_encode(&w, span_of(bytes, n));
		json_object_set_new(q, key, json_stringn(text, wr_span(&w).n));
	}
	if (fd >= 0)
		close(fd);
	free(bytes);
	free(text);
	return done;
}

int
cert_upload(struct ctl *c, struct args *a)
{
	const char *node = NULL;
	json_t *q, *o;

	args_value(a, "--node", &node);
	if (!args_end(c, a, 2, 2))
		return CTL_USAGE;
	q = json_pack("{s:s}", "cmd", "upload");
	if (node != NULL)
		json_object_set_new(q, "node", json_string(node));
	if (!put_file(q, "device", a->v[0]) || !put_file(q, "chain", a->v[1])) {
		json_decref(q);
		return CTL_REFUSED;
	}
	int rc = ask(c, q, &o);
	if (rc == CTL_OK && !c->is_json) {
		printf("accepted: the %s serves it now%s\n", cert_text(o, "node"),
		       json_is_true(json_object_get(o, "peer_away"))
			       ? "; the other node hears of it when it is back"
			       : "");
		fflush(stdout);
		if (cert_text(o, "warning")[0] != '\0')
			ctl_complain("warning: %s", cert_text(o, "warning"));
	}
	json_decref(o);
	return rc;
}

/* One question whose answer is a sentence, its own or ours. */
static int
simple(struct ctl *c, struct args *a, json_t *question, const char *done)
{
	json_t *o;

	if (!args_end(c, a, 0, 0)) {
		json_decref(question);
		return CTL_USAGE;
	}
	int rc = ask(c, question, &o);
	if (rc == CTL_OK && !c->is_json)
		puts(cert_text(o, "text")[0] != '\0' ? cert_text(o, "text") : done);
	json_decref(o);
	return rc;
}

int
cert_renew(struct ctl *c, struct args *a)
{
	bool is_forced = args_flag(a, NULL, "--force");

	return simple(c, a, json_pack("{s:s,s:b}", "cmd", "renew", "force", is_forced),
		      "a new certificate is being ordered");
}

int
cert_revoke(struct ctl *c, struct args *a)
{
	static const struct {
		const char *word;
		int code; /* RFC 5280 5.3.1 */
	} reasons[] = { { "unspecified", 0 },
			{ "key-compromise", 1 },
			{ "superseded", 4 },
			{ "cessation", 5 } };
	const char *word = "unspecified";
	size_t i = 0;

	args_value(a, "--reason", &word);
	while (i < 4 && strcmp(word, reasons[i].word) != 0)
		i++;
	if (i == 4) {
		ctl_complain("--reason is unspecified, key-compromise, superseded or "
			     "cessation, not '%s'",
			     word);
		return CTL_USAGE;
	}
	return simple(
		c, a,
		json_pack("{s:s,s:i}", "cmd", "revoke", "reason", reasons[i].code),
		"revoked; one with a new key is being ordered");
}

int
cert_account_key(struct ctl *c, struct args *a)
{
	return simple(c, a, json_pack("{s:s}", "cmd", "new_account_key"),
		      "the ACME account has a new key");
}

int
cert_factory_reset(struct ctl *c, struct args *a)
{
	if (!args_flag(a, NULL, "--yes")) {
		ctl_complain("this forgets the private keys and certificates of this "
			     "node for good; say --yes");
		return CTL_USAGE;
	}
	return simple(c, a, json_pack("{s:s}", "cmd", "factory_reset"),
		      "keys and certificates of this node are forgotten; a custom "
		      "certificate needs a new CSR");
}

/* ---- client CA ---- */

int
cert_ca_upload(struct ctl *c, struct args *a)
{
	json_t *q, *o;

	if (!args_end(c, a, 1, 1))
		return CTL_USAGE;
	q = json_pack("{s:s}", "cmd", "client_ca_set");
	if (!put_file(q, "file", a->v[0])) {
		json_decref(q);
		return CTL_REFUSED;
	}
	int rc = ask(c, q, &o);
	if (rc == CTL_OK && !c->is_json)
		printf("accepted: clients' certificates of this authority are "
		       "trusted%s\n",
		       json_is_true(json_object_get(o, "peer_away"))
			       ? "; the other node hears of it when it is back"
			       : "");
	json_decref(o);
	return rc;
}

int
cert_ca_show(struct ctl *c, struct args *a)
{
	bool is_pem = args_flag(a, NULL, "--pem");
	json_t *o, *j;
	char date[32];
	size_t i;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ask(c, json_pack("{s:s}", "cmd", "client_ca"), &o);
	if (rc == CTL_OK && !c->is_json && is_pem)
		fputs(cert_text(o, "pem"), stdout);
	json_array_foreach(json_object_get(o, "certificates"), i, j)
	{
		if (c->is_json || is_pem)
			break;
		field("subject", cert_text(j, "subject"));
		field("issuer", cert_text(j, "issuer"));
		cert_date(number(j, "not_after"), date);
		field("valid until", date);
		field("SHA-256", cert_text(j, "sha256"));
	}
	json_decref(o);
	return rc;
}

int
cert_ca_remove(struct ctl *c, struct args *a)
{
	return simple(c, a, json_pack("{s:s}", "cmd", "client_ca_remove"),
		      "the client CA is removed");
}
