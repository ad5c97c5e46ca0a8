/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* user.c -- local users. A password is read and hashed here: neither the
 * control socket nor vpnd's files ever see it. */
#include "ctl/ctl.h"

#include "ctl/table.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	PASSWORD_MAX = 255, /* bytes a login form carries to auth */
	TOTP_BYTES = 20,    /* RFC 4226 4: 160 bits recommended */
	TOTP_TEXT = 33,     /* base32 of that, and NUL */
};

static bool
password_ok(const char *p)
{
	size_t n = strlen(p);

	if (n == 0 || n > PASSWORD_MAX) {
		ctl_complain(n == 0 ? "an empty password is not allowed"
				    : "a password has at most 255 bytes");
		return false;
	}
	for (; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			ctl_complain("a password has no control characters");
			return false;
		}
	}
	return true;
}

/* One line without its end; false when there is none or it does not fit. */
static bool
read_line(int fd, char *buf, size_t cap)
{
	size_t n = 0;
	char ch;
	ssize_t got;

	while ((got = read(fd, &ch, 1)) == 1 && ch != '\n') {
		if (n + 1 < cap)
			buf[n] = ch;
		n++;
	}
	if (n > 0 && n < cap && buf[n - 1] == '\r')
		n--;
	buf[n < cap ? n : cap - 1] = '\0';
	return got >= 0 && n < cap && (n > 0 || got == 1);
}

static void
on_interrupt(int sig)
{
}

bool
ctl_ask_silently(int tty, const char *prompt, char *buf, size_t cap)
{
	struct termios was, quiet;
	struct sigaction stop = { .sa_handler = on_interrupt }, old;

	if (tcgetattr(tty, &was) < 0)
		return false;
	/* ^C must end the reading, not us: the echo has to come back first. */
	sigaction(SIGINT, &stop, &old);
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(tty, TCSAFLUSH, &quiet);
	dprintf(tty, "%s", prompt);
	bool ok = read_line(tty, buf, cap);
	dprintf(tty, "\n");
	tcsetattr(tty, TCSAFLUSH, &was);
	sigaction(SIGINT, &old, NULL);
	return ok;
}

static bool
ask_twice(char *buf, size_t cap)
{
	char again[PASSWORD_MAX + 2];
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	bool ok = false;

	if (tty < 0) {
		ctl_complain("no terminal to ask on; use --password-stdin or --hash");
		return false;
	}
	if (ctl_ask_silently(tty, "Password: ", buf, cap) && password_ok(buf) &&
	    ctl_ask_silently(tty, "Again: ", again, sizeof(again))) {
		ok = strcmp(buf, again) == 0;
		if (!ok)
			ctl_complain("the two passwords differ");
	}
	explicit_bzero(again, sizeof(again));
	close(tty);
	return ok;
}

static bool
hash_password(const char *password, char *hash, size_t cap)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *d = calloc(1, sizeof(*d));
	const char *out = NULL;

	if (d != NULL &&
	    crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof(salt)) != NULL)
		out = crypt_rn(password, salt, d, sizeof(*d));
	bool ok = out != NULL && strlen(out) < cap;
	if (ok)
		strcpy(hash, out);
	else
		ctl_complain("yescrypt failed: %s", strerror(errno));
	if (d != NULL)
		explicit_bzero(d, sizeof(*d));
	free(d);
	return ok;
}

static bool
hash_ok(const char *hash)
{
	int verdict = crypt_checksalt(hash);

	/* Without the dollar sign it is DES crypt, or a password by mistake. */
	if (hash[0] != '$' || strlen(hash) > 255 || verdict == CRYPT_SALT_INVALID ||
	    verdict == CRYPT_SALT_METHOD_DISABLED) {
		ctl_complain("--hash wants a crypt(5) string like '$y$...'");
		return false;
	}
	return true;
}

/* The hash to send, from whichever source the options name. */
static bool
get_hash(const char *given, bool from_stdin, char *hash, size_t cap)
{
	char password[PASSWORD_MAX + 2];
	bool ok;

	if (given != NULL) {
		snprintf(hash, cap, "%s", given);
		return hash_ok(given);
	}
	if (from_stdin)
		ok = read_line(0, password, sizeof(password));
	else
		ok = ask_twice(password, sizeof(password));
	if (from_stdin && !ok)
		ctl_complain("no password of at most 255 bytes on standard input");
	ok = ok && password_ok(password) && hash_password(password, hash, cap);
	explicit_bzero(password, sizeof(password));
	return ok;
}

/* RFC 4648 6, without padding: 20 bytes are 32 characters. */
static bool
make_totp(char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned char raw[TOTP_BYTES];
	unsigned bits = 0, held = 0;
	size_t at = 0;

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return false;
	for (size_t i = 0; i < sizeof(raw); i++) {
		held = (held << 8 | raw[i]) & 0xfff;
		bits += 8;
		for (; bits >= 5; bits -= 5)
			text[at++] = letters[held >> (bits - 5) & 31];
	}
	text[at] = '\0';
	explicit_bzero(raw, sizeof(raw));
	return true;
}

static void
print_totp(const char *user, const char *secret)
{
	printf("TOTP secret (shown once): %s\nURI: otpauth://totp/Tandem:", secret);
	for (const char *p = user; *p != '\0'; p++) {
		bool plain = strchr("-._~", *p) != NULL || (*p >= '0' && *p <= '9') ||
			     (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');
		printf(plain ? "%c" : "%%%02X", (unsigned char)*p);
	}
	printf("?secret=%s&issuer=Tandem\n", secret);
}

static int
put(struct ctl *c, json_t *question, const char *done, const char *name)
{
	json_t *answer;
	int rc = ctl_ask(c, question, 10, &answer);

	if (rc == CTL_OK && !c->is_json) {
		printf("user ");
		print_safe(stdout, name);
		printf(" %s", done);
		long long n =
			(long long)json_integer_value(json_object_get(answer, "ended"));
		const char *where = json_string_value(json_object_get(answer, "text"));
		if (where != NULL && *where != '\0')
			printf(", %s", where);
		if (n > 0)
			printf("; %lld session%s ended", n, n == 1 ? "" : "s");
		putchar('\n');
	}
	json_decref(answer);
	return rc;
}

int
user_add(struct ctl *c, struct args *a)
{
	const char *given = NULL;
	char hash[256], totp[TOTP_TEXT] = "";
	bool from_stdin = args_flag(a, NULL, "--password-stdin");
	bool wants_totp = args_flag(a, NULL, "--totp");
	bool is_disabled = args_flag(a, NULL, "--disabled");

	args_value(a, "--hash", &given);
	if (!args_end(c, a, 1, 1) || (given && from_stdin))
		return CTL_USAGE;
	if (!get_hash(given, from_stdin, hash, sizeof(hash)))
		return CTL_REFUSED;
	if (wants_totp && !make_totp(totp)) {
		ctl_complain("no random bytes: %s", strerror(errno));
		return CTL_REFUSED;
	}
	json_t *q = json_pack("{ss ss ss sb sb}", "cmd", "user_put", "name", a->v[0],
			      "hash", hash, "authorised", !is_disabled, "create", true);
	if (q == NULL) {
		ctl_complain("a user name is UTF-8 text");
		return CTL_REFUSED;
	}
	if (wants_totp)
		json_object_set_new(q, "totp", json_string(totp));
	int rc = put(c, q, "added", a->v[0]);
	if (rc == CTL_OK && wants_totp && c->is_json)
		printf("{\"totp\":\"%s\"}\n", totp);
	else if (rc == CTL_OK && wants_totp)
		print_totp(a->v[0], totp);
	explicit_bzero(totp, sizeof(totp));
	return rc;
}

int
user_passwd(struct ctl *c, struct args *a)
{
	const char *given = NULL;
	char hash[256];
	bool from_stdin = args_flag(a, NULL, "--password-stdin");

	args_value(a, "--hash", &given);
	if (!args_end(c, a, 1, 1) || (given && from_stdin))
		return CTL_USAGE;
	if (!get_hash(given, from_stdin, hash, sizeof(hash)))
		return CTL_REFUSED;
	return put(c,
		   json_pack("{ss ss ss sb}", "cmd", "user_put", "name", a->v[0],
			     "hash", hash, "create", false),
		   "has a new password", a->v[0]);
}

static int
set_authorised(struct ctl *c, struct args *a, bool is_authorised)
{
	if (!args_end(c, a, 1, 1))
		return CTL_USAGE;
	return put(c,
		   json_pack("{ss ss sb sb}", "cmd", "user_put", "name", a->v[0],
			     "authorised", is_authorised, "create", false),
		   is_authorised ? "enabled" : "disabled", a->v[0]);
}

int
user_enable(struct ctl *c, struct args *a)
{
	return set_authorised(c, a, true);
}

int
user_disable(struct ctl *c, struct args *a)
{
	return set_authorised(c, a, false);
}

int
user_remove(struct ctl *c, struct args *a)
{
	if (!args_end(c, a, 1, 1))
		return CTL_USAGE;
	return put(c, json_pack("{ss ss}", "cmd", "user_remove", "name", a->v[0]),
		   "removed", a->v[0]);
}

static void
print_users(const json_t *users)
{
	static const struct table_col col[] = { { "USER", false },
						{ "STATE", false },
						{ "TOTP", false },
						{ "CHANGED", false } };
	struct table t;
	size_t i;
	json_t *u;

	table_open(&t, col, 4);
	json_array_foreach(users, i, u)
	{
		char when[32] = "";
		json_t *changed = json_object_get(u, "changed");
		time_t wall = (time_t)json_integer_value(changed);
		if (json_is_string(changed))
			snprintf(when, sizeof(when), "%.19s",
				 json_string_value(changed));
		else if (wall > 0)
			strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ",
				 gmtime(&wall));
		table_add(&t, (const char *const[]){
				      json_string_value(json_object_get(u, "name")),
				      json_is_true(json_object_get(u, "authorised"))
					      ? "enabled"
					      : "disabled",
				      json_is_true(json_object_get(u, "totp")) ? "yes"
									       : "no",
				      when });
	}
	table_print(&t, stdout, "");
	table_free(&t);
}

int
user_list(struct ctl *c, struct args *a)
{
	json_t *answer;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "user_list"), 30, &answer);
	if (rc == CTL_OK && !c->is_json) {
		const json_t *users = json_object_get(answer, "users");
		if (json_array_size(users) == 0)
			puts("no users yet; 'vpnctl user add NAME' makes one");
		else
			print_users(users);
	}
	json_decref(answer);
	return rc;
}
