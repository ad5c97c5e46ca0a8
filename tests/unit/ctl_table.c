/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* What vpnctl prints: columns, sizes, durations, and nothing a stranger's name
 * could do to the terminal; how it reads its words. */
#include "ctl/ctl.h"
#include "ctl/table.h"
#include "tests/lib/tap.h"

#include <stdlib.h>

static void
sizes_read_well(void)
{
	static const struct {
		uint64_t n;
		const char *want;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 10 * 1024, "10 KiB" },
		{ 1048575, "1.0 MiB" },
		{ 1ull << 30, "1.0 GiB" },
		{ UINT64_MAX, "16 EiB" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[FORMAT_TEXT];
		is_str(format_bytes(cases[i].n, buf), cases[i].want, "%s",
		       cases[i].want);
	}
}

static void
durations_read_well(void)
{
	static const struct {
		uint64_t s;
		const char *want;
	} cases[] = {
		{ 0, "0s" },          { 59, "59s" },
		{ 60, "1m00s" },      { 185, "3m05s" },
		{ 3600, "1h00m" },    { 3720, "1h02m" },
		{ 86399, "23h59m" },  { 86400 + 3600, "1d01h" },
		{ 921600, "10d16h" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[FORMAT_TEXT];
		is_str(format_duration(cases[i].s, buf), cases[i].want, "%s",
		       cases[i].want);
	}
}

static char *
safe(const char *text)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);
	print_safe(f, text);
	fclose(f);
	return out;
}

static void
nothing_a_stranger_sends_moves_the_cursor(void)
{
	static const struct {
		const char *why, *in, *want;
	} cases[] = {
		{ "plain", "alice@example.com", "alice@example.com" },
		{ "UTF-8", "Jürgen 漢", "Jürgen 漢" },
		{ "escape", "\033[2Jx", "?[2Jx" },
		{ "line break, tab, DEL", "a\nb\tc\x7f", "a?b?c?" },
		{ "C1 CSI as UTF-8",
		  "\xc2\x9b"
		  "2J",
		  "??2J" },
		{ "C1 CSI raw",
		  "\x9b"
		  "2J",
		  "?2J" },
		{ "over-long escape", "\xc0\x9b", "??" },
		{ "cut at the end", "a\xe6\xbc", "a??" },
		{ "surrogate", "\xed\xa0\x80", "???" },
		{ "right-to-left override",
		  "a\xe2\x80\xae"
		  "b",
		  "a???b" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *out = safe(cases[i].in);
		is_str(out, cases[i].want, "%s", cases[i].why);
		free(out);
	}
}

static void
columns_line_up(void)
{
	static const struct table_col col[] = { { "USER", false },
						{ "IN", true },
						{ "X", false } };
	struct table t;
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	table_open(&t, col, 3);
	table_add(&t, (const char *const[]){ "al", "1.5 KiB", NULL });
	table_add(&t, (const char *const[]){ "Jürgen", "7 B", "" });
	table_print(&t, f, "");
	table_free(&t);
	fclose(f);
	is_str(out,
	       "USER         IN  X\n"
	       "al      1.5 KiB  -\n"
	       "Jürgen      7 B  -\n",
	       "left, right, empty");
	free(out);
}

static void
options_are_found_among_the_words(void)
{
	char *words[] = { "--user", "-j", "x", "--reason=a b", "-f", "--", "-y" };
	struct args a = { .n = 7, .v = words };
	struct ctl c = { 0 };
	const char *user = NULL, *reason = NULL;

	ok(args_value(&a, "--user", &user), "a value behind its name");
	is_str(user, "-j", "even one that looks like an option");
	ok(args_value(&a, "--reason", &reason), "a value with =");
	is_str(reason, "a b", "whole");
	ok(args_flag(&a, "-f", "--follow"), "a flag");
	ok(!args_flag(&a, "-y", "--yes"), "what follows -- is no flag");
	ok(args_end(&c, &a, 2, 2) && a.n == 2, "two arguments are left");
	is_str(a.v[1], "-y", "in order");
	ok(!c.is_json, "the -j was a value");
}

static void
a_mistyped_command_gets_a_hint(void)
{
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "statsu", "status" },        { "evnts", "events" },
		{ "disconect", "disconnect" }, { "user", "user add" },
		{ "relaod", "reload" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(command_nearest(cases[i].word), cases[i].want, "%s",
		       cases[i].word);
	ok(command_nearest("frobnicate") == NULL, "nothing is near nonsense");
	ok(command_nearest("") == NULL, "nor near nothing");

	char *words[] = { "user", "add", "bob" };
	struct args a = { .n = 3, .v = words };
	const struct command *k = command_find(&a);
	is_str(k ? k->name : NULL, "user add", "a command of two words");
	is_int(a.n, 1, "its argument is left");
	a = (struct args){ .n = 1, .v = words };
	ok(command_find(&a) == NULL, "half of it is none");
}

int
main(void)
{
	sizes_read_well();
	durations_read_well();
	nothing_a_stranger_sends_moves_the_cursor();
	columns_line_up();
	options_are_found_among_the_words();
	a_mistyped_command_gets_a_hint();
	return done_testing();
}
