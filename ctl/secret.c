/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* secret.c -- the secrets that settings name: sealed here under the pair key, kept
 * by hasync on both nodes. A value comes from the terminal or standard input, never
 * from an argument, and is never printed. */
#include "ctl/ctl.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/secret.h"
#include "ctl/table.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHA256_BYTES = 32 };

static const char default_key[] = "/etc/tandem/pair.key";

static bool
name_ok(const char *name)
{
	if (!secret_name_ok(name))
		ctl_complain("the name of a secret has 1 to %d of a-z 0-9 - _, "
			     "'%s' does not",
			     SECRET_NAME_MAX, name);
	return secret_name_ok(name);
}

/* Until the end of input; one newline at the end is the editor's, not the secret's. */
static int
read_value(char value[SECRET_VALUE_MAX + 1], size_t *n)
{
	char room[SECRET_VALUE_MAX + 3] = "";
	ssize_t got = 1;

	*n = 0;
	while (got > 0 && *n < sizeof(room)) {
		got = read(STDIN_FILENO, room + *n, sizeof(room) - *n);
		*n += got > 0 ? (size_t)got : 0;
	}
	if (*n > 0 && room[*n - 1] == '\n')
		--*n;
	if (*n > 0 && room[*n - 1] == '\r')
		--*n;
	const char *wrong = *n == 0                 ? "an empty secret is not allowed"
			    : *n > SECRET_VALUE_MAX ? "a secret has at most 4096 bytes"
			    : memchr(room, '\0', *n) != NULL
				    ? "a secret is text: it has no NUL bytes"
				    : NULL;
	if (wrong != NULL)
		ctl_complain("%s", wrong);
	else
		memcpy(value, room, *n);
	explicit_bzero(room, sizeof(room));
	return wrong == NULL ? CTL_OK : CTL_REFUSED;
}

static int
get_value(char value[SECRET_VALUE_MAX + 1], size_t *n)
{
	if (!isatty(STDIN_FILENO))
		return read_value(value, n);
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	bool is_read = tty >= 0 &&
		       ctl_ask_silently(tty, "Secret: ", value, SECRET_VALUE_MAX + 1);
	if (tty >= 0)
		close(tty);
	*n = is_read ? strlen(value) : 0;
	if (*n == 0)
		ctl_complain("an empty secret is not allowed");
	return *n > 0 ? CTL_OK : CTL_REFUSED;
}

static int
seal(const char *file, const char *name, uint8_t sealed[SECRET_SEALED_MAX], size_t *n)
{
	char value[SECRET_VALUE_MAX + 1];
	uint8_t key[PAIRKEY];
	size_t value_n = 0;

	int rc = pairkey_load(file, key);
	if (rc < 0) {
		ctl_complain("%s: %s; hasync makes the pair key when it starts", file,
			     err_text(rc));
		return CTL_REFUSED;
	}
	int exit = get_value(value, &value_n);
	if (exit == CTL_OK &&
	    (rc = secret_seal(key, name, span_of(value, value_n), sealed, n)) < 0) {
		ctl_complain("the secret cannot be sealed: %s", err_text(rc));
		exit = CTL_REFUSED;
	}
	explicit_bzero(value, sizeof(value));
	explicit_bzero(key, sizeof(key));
	return exit;
}

static int
put(struct ctl *c, const char *name, struct span bytes, uint8_t flags, const char *done)
{
	char object[SECRET_OBJECT];
	struct cluster_msg answer, m = { .type = CLUSTER_PUT,
					 .flags = flags,
					 .generation = CLUSTER_ANY,
					 .name = span_str(secret_object(name, object)),
					 .bytes = bytes };
	uint8_t *buf = NULL;
	int rc = ctl_ask_hasync(c, &m, &answer, &buf);

	if (rc == CTL_OK && answer.status != CLUSTER_OK) {
		ctl_complain("secret %s: %s", name, cluster_status_text(answer.status));
		rc = CTL_REFUSED;
	} else if (rc == CTL_OK && c->is_json) {
		printf("{\"ok\":true,\"name\":\"%s\",\"copies\":%u}\n", name,
		       answer.copies);
	} else if (rc == CTL_OK) {
		printf("secret %s %s%s\n", name, done,
		       answer.flags & CLUSTER_PEER_AWAY
			       ? "; the other node gets it when it is back"
			       : "");
	}
	free(buf);
	return rc;
}

int
secret_set(struct ctl *c, struct args *a)
{
	const char *file = default_key;
	uint8_t sealed[SECRET_SEALED_MAX];
	size_t n = 0;

	args_value(a, "--key", &file);
	if (!args_end(c, a, 1, 1) || !name_ok(a->v[0]))
		return CTL_USAGE;
	int rc = seal(file, a->v[0], sealed, &n);
	return rc == CTL_OK ? put(c, a->v[0], span_of(sealed, n), 0, "set") : rc;
}

/* Its generation; 0: there is none. */
static int
find(const struct ctl *c, const char *name, uint64_t *generation)
{
	char object[SECRET_OBJECT];
	struct cluster_msg answer,
		m = { .type = CLUSTER_GET,
		      .name = span_str(secret_object(name, object)) };
	uint8_t *buf = NULL;
	int rc = ctl_ask_hasync(c, &m, &answer, &buf);

	*generation =
		rc == CTL_OK && answer.status == CLUSTER_OK ? answer.generation : 0;
	free(buf);
	return rc;
}

int
secret_remove(struct ctl *c, struct args *a)
{
	uint64_t generation;

	if (!args_end(c, a, 1, 1) || !name_ok(a->v[0]))
		return CTL_USAGE;
	int rc = find(c, a->v[0], &generation);
	if (rc == CTL_OK && generation == 0) {
		ctl_complain("there is no secret %s", a->v[0]);
		return CTL_REFUSED;
	}
	return rc == CTL_OK
		       ? put(c, a->v[0], (struct span){ 0 }, CLUSTER_REMOVE, "removed")
		       : rc;
}

static void
print_one(const struct ctl *c, struct table *t, struct span name, uint64_t generation,
	  unsigned nth)
{
	char text[SECRET_NAME_MAX + 1], changes[24];
	const size_t prefix = sizeof(SECRET_PREFIX) - 1;

	snprintf(text, sizeof(text), "%.*s", (int)(name.n - prefix),
		 (const char *)name.p + prefix);
	snprintf(changes, sizeof(changes), "%llu", (unsigned long long)generation);
	if (c->is_json)
		printf("%s{\"name\":\"%s\",\"generation\":%s}", nth > 0 ? "," : "",
		       text, changes);
	else
		table_add(t, (const char *const[]){ text, changes });
}

int
secret_list(struct ctl *c, struct args *a)
{
	static const struct table_col col[] = { { "SECRET", false },
						{ "GENERATION", true } };
	struct cluster_msg answer,
		m = { .type = CLUSTER_LIST, .name = SPAN(SECRET_PREFIX) };
	uint8_t *buf = NULL;
	unsigned n = 0;
	struct table t;

	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	int rc = ctl_ask_hasync(c, &m, &answer, &buf);
	if (rc != CTL_OK)
		return rc;
	table_open(&t, col, 2);
	if (c->is_json)
		fputs("{\"ok\":true,\"secrets\":[", stdout);
	/* Each { name (length 8), generation 64, flags 8, size 32, sha256 }. */
	for (struct rd r = rd_open(answer.bytes); rd_left(&r) > 0;) {
		struct span name = rd_take(&r, rd_u8(&r));
		uint64_t generation = rd_u64(&r);
		(void)rd_take(&r, 1 + 4 + SHA256_BYTES);
		if (rd_short(&r))
			break;
		print_one(c, &t, name, generation, n++);
	}
	if (c->is_json)
		puts("]}");
	else if (n == 0)
		puts("no secrets yet; 'vpnctl secret set NAME' stores one");
	else
		table_print(&t, stdout, "");
	table_free(&t);
	free(buf);
	return CTL_OK;
}
