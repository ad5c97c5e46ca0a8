/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* args.c -- options among words, and the help for a mistyped command. */
#include "ctl/ctl.h"

#include <string.h>

static void
take_out(struct args *a, int i, int n)
{
	memmove(&a->v[i], &a->v[i + n], (size_t)(a->n - i - n) * sizeof(*a->v));
	a->n -= n;
}

bool
args_flag(struct args *a, const char *shrt, const char *lng)
{
	for (int i = 0; i < a->n && strcmp(a->v[i], "--") != 0; i++) {
		if (strcmp(a->v[i], lng) == 0 || (shrt && strcmp(a->v[i], shrt) == 0)) {
			take_out(a, i, 1);
			return true;
		}
	}
	return false;
}

bool
args_value(struct args *a, const char *lng, const char **value)
{
	size_t len = strlen(lng);

	for (int i = 0; i < a->n && strcmp(a->v[i], "--") != 0; i++) {
		if (strncmp(a->v[i], lng, len) == 0 && a->v[i][len] == '=') {
			*value = a->v[i] + len + 1;
			take_out(a, i, 1);
			return true;
		}
		/* A name without its value stays, and args_end complains. */
		if (strcmp(a->v[i], lng) == 0 && i + 1 < a->n) {
			*value = a->v[i + 1];
			take_out(a, i, 2);
			return true;
		}
	}
	return false;
}

bool
args_end(struct ctl *c, struct args *a, int min, int max)
{
	if (args_flag(a, "-j", "--json"))
		c->is_json = true;
	while (args_value(a, "--socket", &c->socket) || args_value(a, "-S", &c->socket))
		;
	for (int i = 0; i < a->n; i++) {
		if (strcmp(a->v[i], "--") == 0) {
			take_out(a, i, 1);
			break;
		}
		if (a->v[i][0] == '-' && a->v[i][1] != '\0') {
			ctl_complain("no option '%s' here, or its value is missing",
				     a->v[i]);
			return false;
		}
	}
	if (a->n < min || a->n > max) {
		if (a->n > max)
			ctl_complain("'%s' is one word too many", a->v[max]);
		return false;
	}
	return true;
}

/* The words of name that a begins with; 0 when not all of them. */
static int
words_match(const char *name, const struct args *a)
{
	int n = 0;

	for (;; n++) {
		size_t len = strcspn(name, " ");
		if (n >= a->n || strlen(a->v[n]) != len ||
		    strncmp(a->v[n], name, len) != 0)
			return 0;
		if (name[len] == '\0')
			return n + 1;
		name += len + 1;
	}
}

const struct command *
command_find(struct args *a)
{
	for (const struct command *k = commands; k->name != NULL; k++) {
		int n = words_match(k->name, a);
		if (n > 0) {
			a->n -= n;
			a->v += n;
			return k;
		}
	}
	return NULL;
}

enum { WORD_MAX = 32 };

/* Letters to change, add or drop to make one word of the other. */
static unsigned
distance(const char *s, const char *t)
{
	unsigned row[WORD_MAX + 1];
	size_t n = strlen(t);

	if (n > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (unsigned i = 1; *s != '\0'; s++, i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			unsigned best = diagonal + (*s != t[j - 1]);
			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[n];
}

const char *
command_nearest(const char *word)
{
	const char *near = NULL;
	unsigned least = strlen(word) < 4 ? 2 : 3; /* further is no typing error */

	for (const struct command *k = commands; k->name != NULL; k++) {
		char first[WORD_MAX + 1];
		size_t len = strcspn(k->name, " ");
		snprintf(first, sizeof(first), "%.*s", (int)len, k->name);
		unsigned d = distance(word, first);
		/* "user" alone is right as far as it goes: show what can follow. */
		if (d < least || (d == 0 && near == NULL)) {
			least = d;
			near = k->name;
		}
	}
	return near;
}
