/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* node.c -- the commands about the two nodes of a pair.
 *
 * setup and join write the files of one node; they do not need a daemon. The others
 * ask vpnd or, when it is away, hasync.
 */
#include "ctl/ctl.h"

#include "common/cluster.h"
#include "common/err.h"
#include "common/file.h"
#include "common/join.h"
#include "common/pairkey.h"
#include "ctl/pairconf.h"
#include "ctl/table.h"

#include <ctype.h>
#include <net/if.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_TEXT = 512, AUTHKEY = 128, LINE = 1024 };

#define ANSWERS_FILE "/etc/tandem/pair.conf"
#define KEY_FILE "/etc/tandem/pair.key"
#define AUTHKEY_FILE "/etc/corosync/authkey"
#define MARK "# Written by vpnctl node setup"

struct setup {
	const char *root; /* in front of all paths */
	bool is_print, is_quiet;
	enum pair_side me;
	struct pair_answers answers;
	struct join keys; /* key and authkey; text when it is made */
	unsigned changed;
};

/* ---- files ---- */

static void
path_of(const struct setup *s, const char *file, char path[PATH_TEXT])
{
	snprintf(path, PATH_TEXT, "%s%s", s->root, file);
}

static bool
has_file(const struct setup *s, const char *file)
{
	char path[PATH_TEXT];

	path_of(s, file, path);
	return access(path, F_OK) == 0;
}

/* The folders above a file. */
static void
make_folders(const char *path)
{
	char part[PATH_TEXT];

	for (const char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		mkdir(part, 0755); /* what matters is whether the file can be made */
	}
}

/* What somebody wrote by hand is kept beside it. */
static int
keep_old(const char *path, struct span old)
{
	char aside[PATH_TEXT + 8];
	const size_t n = sizeof(MARK) - 1;

	if (old.n >= n && memcmp(old.p, MARK, n) == 0)
		return 0;
	snprintf(aside, sizeof(aside), "%s.old", path);
	return file_replace(AT_FDCWD, aside, old, 0600);
}

static int
write_file(struct setup *s, const char *file, struct span bytes, mode_t mode,
	   bool is_secret)
{
	char path[PATH_TEXT];
	uint8_t *old = NULL;
	size_t n = 0;

	path_of(s, file, path);
	if (s->is_print) {
		if (is_secret)
			printf("==> %s <==\n(secret, %zu bytes)\n\n", path, bytes.n);
		else
			printf("==> %s <==\n%.*s\n", path, (int)bytes.n,
			       (const char *)bytes.p);
		return CTL_OK;
	}
	int rc = file_read(AT_FDCWD, path, 1 << 20, &old, &n);
	bool is_same = rc == 0 && n == bytes.n && memcmp(old, bytes.p, n) == 0;
	if (rc == 0 && !is_same && !is_secret)
		rc = keep_old(path, span_of(old, n));
	else if (rc == -ENOENT)
		rc = 0;
	free(old);
	if (rc == 0 && !is_same) {
		make_folders(path);
		rc = file_replace(AT_FDCWD, path, bytes, mode);
		s->changed++;
	}
	if (rc < 0) {
		ctl_complain("%s: %s", path, err_text(rc));
		return CTL_REFUSED;
	}
	if (!s->is_quiet)
		printf("  %-9s %s\n", is_same ? "unchanged" : "written", path);
	return CTL_OK;
}

static int
write_made(struct setup *s, const char *file, const char *text, bool is_made)
{
	if (!is_made) {
		ctl_complain("%s would be too long", file);
		return CTL_REFUSED;
	}
	return write_file(s, file, span_str(text), 0644, false);
}

static int
write_all(struct setup *s)
{
	char text[PAIR_FILE], hex[2 * PAIRKEY + 2];
	const struct pair_answers *a = &s->answers;

	for (size_t i = 0; i < PAIRKEY; i++)
		snprintf(hex + 2 * i, 3, "%02x", s->keys.key[i]);
	strcat(hex, "\n");
	int rc = write_file(s, KEY_FILE, span_str(hex), 0600, true);
	OPENSSL_cleanse(hex, sizeof(hex));
	if (rc == CTL_OK)
		rc = write_file(s, AUTHKEY_FILE,
				span_of(s->keys.authkey, s->keys.authkey_n), 0400,
				true);
	if (rc == CTL_OK)
		rc = write_made(s, "/etc/tandem/node.conf", text,
				pair_node_conf(a, s->me, text, sizeof(text)));
	if (rc == CTL_OK)
		rc = write_made(s, "/etc/tandem/hasync.conf", text,
				pair_hasync_conf(a, s->me, text, sizeof(text)));
	if (rc == CTL_OK)
		rc = write_made(s, "/etc/keepalived/keepalived.conf", text,
				pair_keepalived_conf(a, s->me, text, sizeof(text)));
	if (rc == CTL_OK)
		rc = write_made(s, "/etc/corosync/corosync.conf", text,
				pair_corosync_conf(a, text, sizeof(text)));
	if (rc != CTL_OK)
		return rc;
	/* Last: it says that the others are complete. */
	int n = snprintf(text, sizeof(text), MARK " or join.\n# this node: %s\n",
			 s->me == PAIR_PRIMARY ? "primary" : "spare");
	return write_made(s, ANSWERS_FILE, text,
			  pair_answers_text(a, text + n, sizeof(text) - (size_t)n));
}

/* ---- what there is already ---- */

/* True when this node has answers; they are taken over. */
static bool
read_answers(const struct setup *s, struct pair_answers *a, enum pair_side *me)
{
	char path[PATH_TEXT], why[PAIR_WHY];
	uint8_t *text = NULL;
	size_t n;

	path_of(s, ANSWERS_FILE, path);
	if (file_read(AT_FDCWD, path, JOIN_TEXT_MAX, &text, &n) < 0)
		return false;
	*me = strstr((char *)text, "\n# this node: spare\n") ? PAIR_SPARE
							     : PAIR_PRIMARY;
	int rc = pair_answers_parse(a, (char *)text, why);
	free(text);
	if (rc < 0)
		ctl_complain("%s: %s", path, why);
	return rc == 0;
}

static int
read_keys(struct setup *s)
{
	char path[PATH_TEXT];
	uint8_t *bytes = NULL;
	size_t n;

	path_of(s, KEY_FILE, path);
	int rc = has_file(s, KEY_FILE) ? pairkey_load(path, s->keys.key)
				       : pairkey_make(s->keys.key);
	if (rc == 0) {
		path_of(s, AUTHKEY_FILE, path);
		rc = file_read(AT_FDCWD, path, JOIN_AUTHKEY_MAX, &bytes, &n);
		if (rc == 0 && n >= AUTHKEY) {
			memcpy(s->keys.authkey, bytes, n);
			s->keys.authkey_n = n;
		} else if (rc == 0 || rc == -ENOENT) {
			s->keys.authkey_n = AUTHKEY;
			rc = RAND_bytes(s->keys.authkey, AUTHKEY) == 1 ? 0 : -EIO;
		}
		free(bytes);
	}
	if (rc < 0)
		ctl_complain("%s: %s", path, err_text(rc));
	return rc < 0 ? CTL_REFUSED : CTL_OK;
}

static int
make_id(struct pair_answers *a)
{
	uint8_t id[JOIN_PAIR];

	if (a->id[0] != '\0')
		return CTL_OK;
	if (RAND_bytes(id, sizeof(id)) != 1) {
		ctl_complain("no random numbers");
		return CTL_REFUSED;
	}
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(a->id + 2 * i, 3, "%02x", id[i]);
	return CTL_OK;
}

/* ---- questions ---- */

/* False at the end of input. An empty answer is the default. */
static bool
ask(const char *question, const char *preset, char *buf, size_t cap)
{
	printf("%s%s%s%s: ", question, *preset ? " [" : "", preset, *preset ? "]" : "");
	fflush(stdout);
	if (fgets(buf, (int)cap, stdin) == NULL)
		return false;
	buf[strcspn(buf, "\r\n")] = '\0';
	if (*buf == '\0')
		snprintf(buf, cap, "%s", preset);
	return true;
}

/* Until the answer makes sense, or is empty where that is allowed. */
static bool
ask_answer(struct pair_answers *a, const char *key, const char *question,
	   const char *preset, bool is_optional)
{
	char text[LINE], line[LINE + 32], why[PAIR_WHY];

	for (;;) {
		if (!ask(question, preset, text, sizeof(text)))
			return false;
		if (*text == '\0' && is_optional)
			return true;
		snprintf(line, sizeof(line), "%s=%s", key, text);
		if (pair_answer(a, line, why) == 0)
			return true;
		printf("  %s\n", why);
	}
}

static bool
ask_segment(struct pair_answers *a, const char *key, const char *name)
{
	static const struct {
		const char *word, *question;
	} part[] = {
		{ "interface", "interface (PRIMARY,SPARE when they differ)" },
		{ "address", "own IPv4 addresses, PRIMARY,SPARE" },
		{ "virtual", "virtual addresses with prefix length, IPv4 first" },
		{ "gateway", "gateways that must answer (empty: none)" },
	};
	char line[LINE], text[256], question[128], why[PAIR_WHY];

	for (;;) {
		size_t n = (size_t)snprintf(line, sizeof(line), "%s=%s", key, name);
		for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
			snprintf(question, sizeof(question), "%s: %s", name,
				 part[i].question);
			if (!ask(question, "", text, sizeof(text)))
				return false;
			if (i == 0 && *text == '\0')
				return true; /* there is none */
			if (*text != '\0' && n + strlen(text) + 16 < sizeof(line))
				n += (size_t)sprintf(line + n, " %s=%s", part[i].word,
						     text);
		}
		if (pair_answer(a, line, why) == 0)
			return true;
		printf("  %s\n", why);
	}
}

static bool
ask_all(struct pair_answers *a)
{
	char host[PAIR_NAME] = "";

	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	for (char *p = host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	puts("Tandem asks what both nodes need. An empty interface: there is none.");
	return ask_answer(a, "primary", "name of this node",
			  a->name[0][0] ? a->name[0] : host, false) &&
	       ask_answer(a, "spare", "name of the other node", a->name[1], false) &&
	       (a->n_seg > 0 ||
		(ask_segment(a, "wan", "wan1") && ask_segment(a, "wan", "wan2") &&
		 ask_segment(a, "lan", "lan"))) &&
	       ask_answer(a, "heartbeat",
			  "heartbeat: own IPv4 addresses, PRIMARY,SPARE", "", false);
}

/* ---- setup and join ---- */

static bool
take_common(struct setup *s, struct args *w)
{
	s->root = "";
	args_value(w, "--root", &s->root);
	s->is_print = args_flag(w, NULL, "--print");
	s->is_quiet = args_flag(w, "-q", "--quiet");
	return true;
}

/* --wan, --lan ... as lines of answers. */
static int
take_flags(struct args *w, struct pair_answers *a, bool *any)
{
	static const char *const keys[] = { "primary",   "spare", "wan",      "lan",
					    "heartbeat", "vrid",  "advert_ms" };
	char flag[32], line[LINE], why[PAIR_WHY];
	const char *v;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(flag, sizeof(flag), "--%s", keys[i]);
		for (char *p = flag + 2; *p != '\0'; p++)
			*p = *p == '_' ? '-' : *p;
		while (args_value(w, flag, &v)) {
			snprintf(line, sizeof(line), "%s=%s", keys[i], v);
			if (strlen(v) > LINE - 32 || pair_answer(a, line, why) < 0) {
				ctl_complain("%s: %s", flag,
					     strlen(v) > LINE - 32 ? "too long" : why);
				return CTL_REFUSED;
			}
			*any = true;
		}
	}
	return CTL_OK;
}

/* On the machine itself the interfaces must be there: a string pasted into the wrong
 * terminal is noticed here. */
static int
check_interfaces(const struct setup *s)
{
	if (*s->root != '\0' || s->is_print)
		return CTL_OK;
	for (unsigned i = 0; i < s->answers.n_seg; i++) {
		const char *ifname = s->answers.seg[i].ifname[s->me];
		if (if_nametoindex(ifname) == 0) {
			ctl_complain("%s: this machine has no interface %s",
				     s->answers.seg[i].name, ifname);
			return CTL_REFUSED;
		}
	}
	return CTL_OK;
}

static int
print_string(struct setup *s)
{
	static char text[JOIN_MAX];
	struct join *j = &s->keys;

	for (size_t i = 0; i < JOIN_PAIR; i++) {
		unsigned v = 0;
		sscanf(s->answers.id + 2 * i, "%2x", &v);
		j->pair[i] = (uint8_t)v;
	}
	if (!pair_answers_text(&s->answers, j->text, sizeof(j->text)) ||
	    (j->text_n = strlen(j->text), join_encode(j, text, sizeof(text)) < 0)) {
		ctl_complain("the join string would be too long");
		return CTL_REFUSED;
	}
	if (s->is_quiet)
		puts(text);
	else
		printf("\nOn %s run this; it holds the keys of the pair, so keep it "
		       "secret:\n\n  vpnctl node join %s\n\n",
		       s->answers.name[PAIR_SPARE], text);
	OPENSSL_cleanse(text, sizeof(text));
	return CTL_OK;
}

static void
print_next(const struct setup *s)
{
	if (s->is_quiet || s->is_print)
		return;
	puts("Then, on each node:\n\n  systemctl enable --now corosync tandem-hasync "
	     "keepalived tandem-vpnd");
	if (s->changed > 0)
		puts("  (or restart them, if they run already)");
}

int
node_setup(struct ctl *c, struct args *w)
{
	struct setup s = { .me = PAIR_PRIMARY };
	char why[PAIR_WHY];
	bool any = false;
	enum pair_side was = PAIR_PRIMARY;

	take_common(&s, w);
	pair_answers_init(&s.answers);
	bool is_known = read_answers(&s, &s.answers, &was);
	if (is_known && was == PAIR_SPARE) {
		ctl_complain("this node is the spare of %s; setup runs on the primary",
			     s.answers.name[PAIR_PRIMARY]);
		return CTL_REFUSED;
	}
	int rc = take_flags(w, &s.answers, &any);
	if (rc != CTL_OK)
		return rc;
	if (!args_end(c, w, 0, 0))
		return CTL_USAGE;
	if (!any && !is_known) {
		if (!isatty(0)) {
			ctl_complain("answers are needed: see tandem-pair(7)");
			return CTL_USAGE;
		}
		if (!ask_all(&s.answers))
			return CTL_REFUSED;
	}
	if (pair_answers_check(&s.answers, why) < 0) {
		ctl_complain("%s", why);
		return CTL_REFUSED;
	}
	if ((rc = check_interfaces(&s)) == CTL_OK && (rc = make_id(&s.answers)) == 0 &&
	    (rc = read_keys(&s)) == CTL_OK && (rc = write_all(&s)) == CTL_OK &&
	    !s.is_print && (rc = print_string(&s)) == CTL_OK)
		print_next(&s);
	OPENSSL_cleanse(&s.keys, sizeof(s.keys));
	return rc;
}

static int
take_string(struct setup *s, const char *text)
{
	char why[PAIR_WHY], line[JOIN_MAX] = "";

	if (strcmp(text, "-") == 0) {
		size_t n = fread(line, 1, sizeof(line) - 1, stdin);
		line[n] = '\0';
		text = line;
	}
	int rc = join_decode(span_str(text), &s->keys);
	OPENSSL_cleanse(line, sizeof(line));
	if (rc < 0) {
		ctl_complain(rc == E_AUTH    ? "the join string is incomplete or "
					       "mistyped; copy all of it"
			     : rc == E_STALE ? "the join string is of another version "
					       "of Tandem"
					     : "this is no join string; 'vpnctl node "
					       "setup' on the primary prints it");
		return CTL_REFUSED;
	}
	if (pair_answers_parse(&s->answers, s->keys.text, why) < 0 ||
	    pair_answers_check(&s->answers, why) < 0) {
		ctl_complain("the join string: %s", why);
		return CTL_REFUSED;
	}
	return CTL_OK;
}

int
node_join(struct ctl *c, struct args *w)
{
	struct setup s = { .me = PAIR_SPARE };
	struct pair_answers old;
	enum pair_side was;

	take_common(&s, w);
	pair_answers_init(&s.answers);
	pair_answers_init(&old);
	if (!args_end(c, w, 1, 1))
		return CTL_USAGE;
	int rc = take_string(&s, w->v[0]);
	if (rc == CTL_OK && read_answers(&s, &old, &was) && was == PAIR_PRIMARY) {
		ctl_complain("this node is the primary%s; join runs on the spare",
			     strcmp(old.id, s.answers.id) == 0
				     ? " that made this string"
				     : " of another pair");
		rc = CTL_REFUSED;
	}
	if (rc == CTL_OK && (rc = check_interfaces(&s)) == CTL_OK &&
	    (rc = write_all(&s)) == CTL_OK)
		print_next(&s);
	OPENSSL_cleanse(&s.keys, sizeof(s.keys));
	return rc;
}

/* ---- the running pair ---- */

/* hasync's socket is beside vpnd's. */
int
ctl_ask_hasync(const struct ctl *c, const struct cluster_msg *m,
	       struct cluster_msg *answer, uint8_t **buf)
{
	char path[PATH_TEXT];
	const char *slash = strrchr(c->socket, '/');

	snprintf(path, sizeof(path), "%.*s" CLUSTER_SOCKET,
		 slash ? (int)(slash + 1 - c->socket) : 0, c->socket);
	int rc = cluster_ask(path, "vpnctl", m, 5000, answer, buf);
	if (rc < 0)
		ctl_complain("hasync is not reached (%s: %s)", path, err_text(rc));
	return rc < 0 ? CTL_UNREACHED : CTL_OK;
}

static json_t *
ask_json(const struct ctl *c, const struct cluster_msg *m)
{
	struct cluster_msg answer;
	uint8_t *buf = NULL;
	json_t *o = NULL;

	if (ctl_ask_hasync(c, m, &answer, &buf) == CTL_OK &&
	    answer.status == CLUSTER_OK)
		o = json_loadb((const char *)answer.bytes.p, answer.bytes.n, 0, NULL);
	free(buf);
	return o;
}

static json_t *
counts_of(const struct ctl *c, const char *node)
{
	char name[CLUSTER_NAME_MAX + 1];

	snprintf(name, sizeof(name), "counts/%s", node);
	return ask_json(c, &(struct cluster_msg){ .type = CLUSTER_GET,
						  .name = span_str(name) });
}

static const char *
text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "-";
}

/* "wan1 ok, wan2 no gateway" */
static void
links_text(const json_t *node, char *buf, size_t cap)
{
	size_t i, n = 0;
	json_t *l;

	buf[0] = '\0';
	json_array_foreach(json_object_get(node, "links"), i, l)
	{
		bool up = json_is_true(json_object_get(l, "carrier"));
		bool gw = json_is_true(json_object_get(l, "gateway"));
		int k = snprintf(buf + n, cap - n, "%s%s %s", i > 0 ? ", " : "",
				 text_at(l, "name"),
				 !up   ? "no carrier"
				 : !gw ? "no gateway"
				       : "ok");
		if (k < 0 || (size_t)k >= cap - n)
			return;
		n += (size_t)k;
	}
}

static void
add_node(struct table *t, const json_t *node, const json_t *counts)
{
	char links[256], epoch[32], sessions[32] = "-", config[64];
	const json_t *n = json_object_get(counts, "connected");
	const char *hash = json_string_value(json_object_get(counts, "hash"));

	links_text(node, links, sizeof(links));
	snprintf(epoch, sizeof(epoch), "%" JSON_INTEGER_FORMAT,
		 json_integer_value(json_object_get(node, "epoch")));
	snprintf(config, sizeof(config), "%" JSON_INTEGER_FORMAT " %.8s",
		 json_integer_value(json_object_get(node, "config_generation")),
		 hash != NULL ? hash : text_at(node, "config_hash"));
	if (json_is_integer(n))
		snprintf(sessions, sizeof(sessions), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(n));
	table_add(t, (const char *[]){
			     text_at(node, "node"), text_at(node, "configured"),
			     text_at(node, "role"), epoch, text_at(node, "version"),
			     text_at(node, "vpnd"), links, config, sessions });
}

/* A node that is configured and not here. */
static void
add_absent(struct table *t, const char *name)
{
	table_add(t, (const char *[]){ name, "-", "offline", "-", "-", "-", "-", "-",
				       "-" });
}

/* "gw1 is active since 2026-01-02T03:04:05Z: elected" */
static void
print_last_change(const json_t *node)
{
	time_t at = (time_t)json_integer_value(json_object_get(node, "changed_s"));
	char when[32] = "its start";
	struct tm tm;

	if (!json_is_object(node))
		return;
	if (at > 0 && gmtime_r(&at, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fputs("last change: ", stdout);
	print_safe(stdout, text_at(node, "node"));
	printf(" is %s since %s: ", text_at(node, "role"), when);
	print_safe(stdout, text_at(node, "why"));
	putchar('\n');
}

static void
print_peer(const json_t *info, bool is_seen)
{
	const json_t *paths = json_object_get(info, "paths");
	size_t i;
	json_t *path;

	if (!json_is_true(json_object_get(info, "clustered"))) {
		puts("peer: none is configured");
		return;
	}
	printf("peer: %s%s\n", is_seen ? "seen" : "not seen",
	       !is_seen                                        ? ""
	       : json_is_true(json_object_get(info, "synced")) ? ", stores equal"
							       : ", stores being "
								 "compared");
	json_array_foreach(paths, i, path)
	{
		fputs(i == 0 ? "paths to it: " : ", ", stdout);
		print_safe(stdout, text_at(path, "name"));
		putchar(' ');
		print_safe(stdout, text_at(path, "address"));
		printf(" %s", text_at(path, "state"));
	}
	if (json_array_size(paths) > 0)
		putchar('\n');
}

/* The nodes as hasync sees them: also when vpnd is dead. */
static int
print_nodes(const struct ctl *c, const json_t *info)
{
	static const struct table_col col[] = {
		{ "NODE", false },  { "CONFIGURED", false }, { "ROLE", false },
		{ "EPOCH", true },  { "VERSION", false },    { "VPND", false },
		{ "LINKS", false }, { "CONFIG", false },     { "CONNECTED", true },
	};
	const json_t *self = json_object_get(info, "self");
	const json_t *peer = json_object_get(info, "peer");
	json_t *mine = counts_of(c, text_at(self, "node"));
	json_t *theirs =
		json_is_object(peer) ? counts_of(c, text_at(peer, "node")) : NULL;
	struct table t;

	table_open(&t, col, sizeof(col) / sizeof(col[0]));
	add_node(&t, self, mine);
	if (json_is_object(peer))
		add_node(&t, peer, theirs);
	else if (json_is_true(json_object_get(info, "clustered")))
		add_absent(&t, text_at(info, "peer_name"));
	table_print(&t, stdout, c->has_colour ? "\033[1m" : "");
	table_free(&t);
	printf("\nsessions of both: %" JSON_INTEGER_FORMAT "\n",
	       json_integer_value(json_object_get(mine, "connected")) +
		       json_integer_value(json_object_get(theirs, "connected")));
	print_peer(info, json_is_object(peer));
	print_last_change(self);
	print_last_change(peer);
	json_decref(mine);
	json_decref(theirs);
	return CTL_OK;
}

int
node_list(struct ctl *c, struct args *w)
{
	if (!args_end(c, w, 0, 0))
		return CTL_USAGE;
	json_t *info = ask_json(c, &(struct cluster_msg){ .type = CLUSTER_INFO });
	if (info == NULL)
		return CTL_UNREACHED;
	int rc = CTL_OK;
	if (c->is_json) {
		const json_t *self = json_object_get(info, "self");
		const json_t *peer = json_object_get(info, "peer");
		json_t *counts = json_object();
		for (const json_t *o = self; o != NULL; o = o == self ? peer : NULL)
			if (json_is_object(o))
				json_object_set_new(counts, text_at(o, "node"),
						    counts_of(c, text_at(o, "node")));
		json_object_set_new(info, "counts", counts);
		json_object_set_new(info, "ok", json_true());
		json_dumpf(info, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		rc = print_nodes(c, info);
	}
	json_decref(info);
	return rc;
}

enum { HOLD_MS = 5000, MOVE_MS = 8000, POLL_MS = 50 };

/* Is `node` the active one, as this node knows? */
static bool
is_active(const struct ctl *c, const char *node)
{
	json_t *info = ask_json(c, &(struct cluster_msg){ .type = CLUSTER_INFO });
	const json_t *self = json_object_get(info, "self");
	const json_t *o = strcmp(text_at(self, "node"), node) == 0
				  ? self
				  : json_object_get(info, "peer");
	bool is = strcmp(text_at(o, "role"), "active") == 0;

	json_decref(info);
	return is;
}

/* `from` lets go of the addresses, `to` takes them: a move, not a state. The hold
 * ends when the other has taken over, or by itself when it never does. */
static int
move(struct ctl *c, const char *from, const char *to, bool force)
{
	struct cluster_msg answer;
	uint8_t *buf = NULL;

	if (is_active(c, to)) {
		printf("%s is active already\n", to);
		return CTL_OK;
	}
	int rc = ctl_ask_hasync(
		c,
		&(struct cluster_msg){
			.type = CLUSTER_HOLD,
			.flags = (uint8_t)(CLUSTER_ON | (force ? CLUSTER_FORCE : 0)),
			.generation = HOLD_MS,
			.name = span_str(from),
		},
		&answer, &buf);
	free(buf);
	if (rc != CTL_OK)
		return rc;
	if (answer.status == CLUSTER_LATER) {
		ctl_complain("%s could not take over now; 'vpnctl nodes' shows why, "
			     "--force moves all the same",
			     to);
		return CTL_REFUSED;
	}
	if (answer.status != CLUSTER_OK) {
		ctl_complain("%s", cluster_status_text(answer.status));
		return CTL_REFUSED;
	}
	for (int ms = 0; ms < MOVE_MS; ms += POLL_MS) {
		if (is_active(c, to)) {
			printf("%s is active\n", to);
			return CTL_OK;
		}
		usleep(POLL_MS * 1000);
	}
	ctl_complain("%s has not taken over; 'vpnctl nodes' shows why", to);
	return CTL_REFUSED;
}

static int
move_command(struct ctl *c, struct args *w, bool is_standby)
{
	bool force = args_flag(w, NULL, "--force");
	char self[PAIR_NAME], peer[PAIR_NAME];

	if (!args_end(c, w, 0, 1))
		return CTL_USAGE;
	json_t *info = ask_json(c, &(struct cluster_msg){ .type = CLUSTER_INFO });
	if (info == NULL)
		return CTL_UNREACHED;
	snprintf(self, sizeof(self), "%s",
		 text_at(json_object_get(info, "self"), "node"));
	snprintf(peer, sizeof(peer), "%s",
		 text_at(json_object_get(info, "peer"), "node"));
	bool has_peer = json_is_object(json_object_get(info, "peer"));
	json_decref(info);
	const char *named = w->n > 0 ? w->v[0] : self;
	if (!has_peer) {
		ctl_complain("the other node is not seen: nobody could take over");
		return CTL_REFUSED;
	}
	if (strcmp(named, self) != 0 && strcmp(named, peer) != 0) {
		ctl_complain("no node '%s'; they are %s and %s", named, self, peer);
		return CTL_REFUSED;
	}
	const char *other = strcmp(named, self) == 0 ? peer : self;
	return is_standby ? move(c, named, other, force) : move(c, other, named, force);
}

int
node_standby(struct ctl *c, struct args *w)
{
	return move_command(c, w, true);
}

int
node_activate(struct ctl *c, struct args *w)
{
	return move_command(c, w, false);
}
