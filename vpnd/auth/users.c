/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/users.h"

#include "common/b64.h"
#include "common/err.h"

#include <crypt.h>
#include <jansson.h>
#include <liboath/oath.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOTP_STEP_S = 30, TOTP_WINDOW = 1, TOTP_DIGITS = 6, LINE_MAX_BYTES = 2048 };

static const struct span sealed_mark = SPAN("sealed:");
static const char crypt64[] =
	"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* -- fields ----------------------------------------------------------------- */

/* Bytes of the UTF-8 character at s, 0 if it is none (RFC 3629 4). */
static size_t
utf8_length(const uint8_t *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80       ? 1
		   : s[0] >> 5 == 6  ? 2
		   : s[0] >> 4 == 14 ? 3
		   : s[0] >> 3 == 30 ? 4
				     : 0;
	uint32_t c = n == 1 ? s[0] : n > 1 ? s[0] & (0x7fU >> n) : 0;

	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
		return 0;
	/* C0, DEL and C1 move cursors and split lines. */
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ? 0 : n;
}

bool
users_name_is_good(const char *name)
{
	size_t len = strlen(name), k;

	if (len < 1 || len > IPC_USER_MAX || name[0] == ' ' || name[len - 1] == ' ')
		return false;
	for (const char *p = name; *p != '\0'; p += k)
		if ((k = utf8_length((const uint8_t *)p)) == 0)
			return false;
	return true;
}

/* The last part of a hash: n characters of crypt's alphabet behind a '$'. */
static bool
ends_in(const char *hash, size_t n)
{
	size_t len = strlen(hash);

	return len > n && hash[len - n - 1] == '$' &&
	       strspn(hash + len - n, crypt64) == n;
}

static bool
cost_is_good(const char *hash)
{
	const char *at;

	if (strncmp(hash, "$y$", 3) == 0) /* j9T is cost 5 (27 ms), jCT cost 8 */
		return hash[3] == 'j' && hash[4] <= 'C' && ends_in(hash, 43);
	if (strncmp(hash, "$2b$", 4) == 0 || strncmp(hash, "$2y$", 4) == 0 ||
	    strncmp(hash, "$2a$", 4) == 0)
		return strlen(hash) == 60 && hash[6] == '$' &&
		       strspn(hash + 7, crypt64) == 53 && atoi(hash + 4) <= 12;
	if (strncmp(hash, "$6$", 3) == 0)
		return ends_in(hash, 86) && ((at = strstr(hash, "$rounds=")) == NULL ||
					     strtoul(at + 8, NULL, 10) <= 500000);
	return strncmp(hash, "$1$", 3) == 0 && ends_in(hash, 22);
}

bool
users_hash_is_good(const char *hash)
{
	for (const char *p = hash; *p != '\0'; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return false;
	if (!cost_is_good(hash))
		return false;
	int rc = crypt_checksalt(hash);
	return rc == CRYPT_SALT_OK || rc == CRYPT_SALT_METHOD_LEGACY ||
	       rc == CRYPT_SALT_TOO_CHEAP;
}

bool
users_totp_is_good(const char *totp)
{
	char *bin = NULL;
	size_t n = 0;
	bool good = oath_base32_decode(totp, strlen(totp), &bin, &n) == OATH_OK &&
		    n >= 10 && n <= 64;

	if (bin != NULL)
		OPENSSL_cleanse(bin, n);
	free(bin);
	return good;
}

bool
users_totp_check(struct user *u, const char *code, uint64_t wall_s)
{
	char *bin = NULL;
	size_t n = 0;
	int pos = 0;

	if (*u->totp == '\0' || strlen(code) != TOTP_DIGITS ||
	    strspn(code, "0123456789") != TOTP_DIGITS ||
	    oath_base32_decode(u->totp, strlen(u->totp), &bin, &n) != OATH_OK)
		return false;
	int rc = oath_totp_validate2(bin, n, (time_t)wall_s, TOTP_STEP_S, 0,
				     TOTP_WINDOW, &pos, code);
	OPENSSL_cleanse(bin, n);
	free(bin);
	if (rc < 0)
		return false;
	uint64_t counter = wall_s / TOTP_STEP_S + (uint64_t)(int64_t)pos;
	if (counter <= u->totp_used) /* RFC 6238 5.2: once only */
		return false;
	u->totp_used = counter;
	return true;
}

uint64_t
users_totp_end_s(uint64_t counter)
{
	return (counter + 1 + TOTP_WINDOW) * TOTP_STEP_S;
}

bool
users_has_totp(const struct user *u)
{
	return *u->totp != '\0' || *u->sealed != '\0';
}

/* -- sealing ---------------------------------------------------------------- */

/* What the seal is for: nobody's secret works for another name. */
static void
seal_name(const struct user *u, char name[IPC_USER_MAX + 8])
{
	snprintf(name, IPC_USER_MAX + 8, "users:%s", u->name);
}

static int
seal_one(struct user *u, const uint8_t key[PAIRKEY])
{
	char name[IPC_USER_MAX + 8];
	uint8_t raw[TOTP_MAX + PAIRKEY_EXTRA];
	struct wr w = wr_open((uint8_t *)u->sealed, sizeof(u->sealed) - 1);
	size_t n = 0;

	seal_name(u, name);
	int rc = pairkey_seal(key, name, span_str(u->totp), raw, sizeof(raw), &n);
	wr_put(&w, sealed_mark);
	b64_encode(&w, span_of(raw, n));
	if (rc == 0 && wr_full(&w))
		rc = E_LIMIT;
	u->sealed[rc == 0 ? w.n : 0] = '\0';
	return rc;
}

static int
open_one(struct user *u, const uint8_t key[PAIRKEY])
{
	struct span text = span_str(u->sealed);
	char name[IPC_USER_MAX + 8];
	uint8_t raw[TOTP_MAX + PAIRKEY_EXTRA];
	struct wr w = wr_open(raw, sizeof(raw));
	size_t n = 0;
	int rc =
		b64_decode(&w, span_of(text.p + sealed_mark.n, text.n - sealed_mark.n));

	seal_name(u, name);
	if (rc == 0)
		rc = pairkey_open(key, name, wr_span(&w), (uint8_t *)u->totp,
				  sizeof(u->totp) - 1, &n);
	u->totp[rc == 0 ? n : 0] = '\0';
	if (rc == 0 && (strlen(u->totp) != n || !users_totp_is_good(u->totp))) {
		OPENSSL_cleanse(u->totp, sizeof(u->totp));
		rc = E_PROTO;
	}
	return rc;
}

int
users_seal(struct users *t, const uint8_t key[PAIRKEY], bool anew,
	   struct users_sealing *s)
{
	*s = (struct users_sealing){ 0 };
	for (size_t i = 0; i < t->n; i++) {
		struct user *u = &t->u[i];
		if (*u->totp == '\0' && *u->sealed != '\0')
			s->unopened += open_one(u, key) < 0;
		else if (*u->totp != '\0' && (anew || *u->sealed == '\0')) {
			int rc = seal_one(u, key);
			if (rc < 0)
				return rc;
			s->sealed++;
		}
	}
	return 0;
}

/* -- the table -------------------------------------------------------------- */

/* Where name is, or where it belongs. */
static size_t
place_of(const struct users *t, const char *name)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(t->u[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct user *
users_find(const struct users *t, const char *name)
{
	size_t i = place_of(t, name);

	return i < t->n && strcmp(t->u[i].name, name) == 0 ? &t->u[i] : NULL;
}

void
users_free(struct users *t)
{
	if (t->u != NULL)
		OPENSSL_cleanse(t->u, t->n * sizeof(*t->u));
	free(t->u);
	*t = (struct users){ 0 };
}

static int
grow_to(struct users *t, size_t n)
{
	if (n <= t->cap)
		return 0;
	struct users more = { .cap = n + n / 2 + 16, .n = t->n };
	if ((more.u = calloc(more.cap, sizeof(*more.u))) == NULL)
		return E_NOMEM;
	if (t->n > 0)
		memcpy(more.u, t->u, t->n * sizeof(*t->u));
	users_free(t); /* not realloc: it leaves the old bytes behind */
	*t = more;
	return 0;
}

int
users_copy(struct users *to, const struct users *from)
{
	*to = (struct users){ 0 };
	int rc = grow_to(to, from->n + 1);
	if (rc == 0 && from->n > 0)
		memcpy(to->u, from->u, from->n * sizeof(*to->u));
	if (rc == 0)
		to->n = from->n;
	return rc;
}

static int
insert(struct users *t, const struct user *u)
{
	size_t at = place_of(t, u->name);
	int rc;

	if (t->n >= USERS_MAX)
		return E_LIMIT;
	if (at < t->n && strcmp(t->u[at].name, u->name) == 0)
		return E_EXIST;
	if ((rc = grow_to(t, t->n + 1)) < 0)
		return rc;
	memmove(t->u + at + 1, t->u + at, (t->n - at) * sizeof(*t->u));
	t->u[at] = *u;
	t->n++;
	return 0;
}

static int
refuse(char *why, size_t why_n, int rc, const char *text)
{
	snprintf(why, why_n, "%s", text);
	return rc;
}

int
users_apply(struct users *t, const struct ipc_user_put *m, uint64_t wall_s, char *why,
	    size_t why_n)
{
	struct user *u = users_find(t, m->user), fresh = { 0 };

	if (!users_name_is_good(m->user))
		return refuse(why, why_n, E_INVAL,
			      "A user name has 1 to 255 bytes of UTF-8, no control "
			      "characters "
			      "and no space at either end.");
	if (m->op != USER_CREATE && m->op != USER_UPDATE && m->op != USER_REMOVE)
		return refuse(why, why_n, E_INVAL,
			      "This is not something one does to a user.");
	if (m->op == USER_CREATE && u != NULL)
		return refuse(why, why_n, E_EXIST,
			      "There is a user of this name already.");
	if (m->op != USER_CREATE && u == NULL)
		return refuse(why, why_n, E_NOENT, "There is no user of this name.");
	if (m->op == USER_REMOVE) {
		size_t at = (size_t)(u - t->u);
		memmove(u, u + 1, (t->n - at - 1) * sizeof(*u));
		OPENSSL_cleanse(&t->u[--t->n], sizeof(*u));
		return 0;
	}
	if (m->op == USER_CREATE && !(m->mask & USER_HASH))
		return refuse(why, why_n, E_INVAL, "A new user needs a password.");
	if ((m->mask & USER_HASH) && !users_hash_is_good(m->hash))
		return refuse(why, why_n, E_INVAL,
			      "This is not a password hash of yescrypt, sha512crypt, "
			      "bcrypt or "
			      "md5crypt, or its cost is too high.");
	if ((m->mask & USER_TOTP) && *m->totp != '\0' && !users_totp_is_good(m->totp))
		return refuse(why, why_n, E_INVAL,
			      "A TOTP secret is base32 text of 10 to 64 bytes.");
	if (m->op == USER_CREATE) {
		memcpy(fresh.name, m->user, sizeof(fresh.name));
		fresh.is_authorised = true;
		u = &fresh;
	}
	if (m->mask & USER_HASH)
		snprintf(u->hash, sizeof(u->hash), "%s", m->hash);
	if (m->mask & USER_AUTHORISED)
		u->is_authorised = m->is_authorised != 0;
	if (m->mask & USER_TOTP) {
		snprintf(u->totp, sizeof(u->totp), "%s", m->totp);
		u->sealed[0] = '\0';
		u->totp_used = 0;
	}
	u->wall_changed_s = wall_s;
	int rc = m->op == USER_CREATE ? insert(t, &fresh) : 0;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return rc < 0 ? refuse(why, why_n, rc, "There is no room for another user.")
		      : 0;
}

/* -- the file --------------------------------------------------------------- */

/* No base32 has a colon. */
static bool
is_sealed(const char *totp)
{
	return strncmp(totp, (const char *)sealed_mark.p, sealed_mark.n) == 0;
}

static bool
totp_is_text(const char *totp)
{
	if (is_sealed(totp))
		return strlen(totp) <= TOTP_SEALED;
	return *totp == '\0' || (strlen(totp) <= TOTP_MAX && users_totp_is_good(totp));
}

static int
read_line(struct user *u, const char *line, size_t n)
{
	const char *name, *hash, *totp;
	json_int_t changed;
	int authorised;
	json_t *j = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	int rc = E_PROTO;

	*u = (struct user){ 0 };
	if (j != NULL &&
	    json_unpack(j, "{s:s, s:s, s:s, s:b, s:I !}", "user", &name, "hash", &hash,
			"totp", &totp, "authorised", &authorised, "changed",
			&changed) == 0 &&
	    users_name_is_good(name) && users_hash_is_good(hash) &&
	    strlen(hash) < sizeof(u->hash) && totp_is_text(totp) && changed >= 0) {
		snprintf(u->name, sizeof(u->name), "%s", name);
		snprintf(u->hash, sizeof(u->hash), "%s", hash);
		if (is_sealed(totp))
			snprintf(u->sealed, sizeof(u->sealed), "%s", totp);
		else
			snprintf(u->totp, sizeof(u->totp), "%s", totp);
		u->is_authorised = authorised;
		u->wall_changed_s = (uint64_t)changed;
		rc = 0;
	}
	json_decref(j);
	return rc;
}

int
users_read(struct users *t, struct span text, unsigned *line)
{
	const char *p = (const char *)text.p, *end = p + text.n;
	struct user u;
	int rc = 0;

	*t = (struct users){ 0 };
	*line = 0;
	while (rc == 0 && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		++*line;
		/* A last line without its end was cut short. */
		rc = nl == NULL ? E_PROTO : read_line(&u, p, (size_t)(nl - p));
		if (rc == 0)
			rc = insert(t, &u);
		if (rc == E_EXIST)
			rc = E_PROTO;
		p = nl != NULL ? nl + 1 : end;
	}
	OPENSSL_cleanse(&u, sizeof(u));
	if (rc < 0)
		users_free(t);
	return rc;
}

int
users_write(const struct users *t, char **text, size_t *n)
{
	size_t cap = t->n * LINE_MAX_BYTES + 1, at = 0;
	char *buf = malloc(cap);
	int rc = buf == NULL ? E_NOMEM : 0;

	for (size_t i = 0; rc == 0 && i < t->n; i++) {
		const struct user *u = &t->u[i];
		json_t *j =
			json_pack("{s:s, s:s, s:s, s:b, s:I}", "user", u->name, "hash",
				  u->hash, "totp", *u->sealed ? u->sealed : u->totp,
				  "authorised", (int)u->is_authorised, "changed",
				  (json_int_t)u->wall_changed_s);
		size_t k =
			j == NULL ? 0
				  : json_dumpb(j, buf + at, cap - at - 1, JSON_COMPACT);
		json_decref(j);
		if (k == 0 || at + k + 1 > cap)
			rc = E_NOMEM;
		else
			at += k;
		if (rc == 0)
			buf[at++] = '\n';
	}
	if (rc < 0) {
		free(buf);
		return rc;
	}
	*text = buf;
	*n = at;
	return 0;
}
