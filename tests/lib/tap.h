/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* tap.h -- a unit test says what is true, in TAP, for prove(1).
 *
 *   int main(void) { a_sentence_that_is_true(); return done_testing(); }
 */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 1, 2), unused)) static void
diag(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("# ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}

__attribute__((format(printf, 4, 5), unused)) static bool
tap_ok(bool v, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("%sok %d - ", v ? "" : "not ", ++tap_count);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	if (!v) {
		tap_failed++;
		diag("at %s:%d", file, line);
	}
	fflush(stdout);
	return v;
}

#define ok(v, ...) tap_ok(!!(v), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...)                                                         \
	do {                                                                           \
		long long g_ = (long long)(got), w_ = (long long)(want);               \
		if (!ok(g_ == w_, __VA_ARGS__))                                        \
			diag("got %lld, want %lld", g_, w_);                           \
	} while (0)
#define is_str(got, want, ...)                                                         \
	do {                                                                           \
		const char *g_ = (got), *w_ = (want);                                  \
		if (!ok(g_ && w_ && strcmp(g_, w_) == 0, __VA_ARGS__))                 \
			diag("got \"%s\", want \"%s\"", g_ ? g_ : "(null)",            \
			     w_ ? w_ : "(null)");                                      \
	} while (0)
#define is_mem(got, want, n, ...) ok(memcmp(got, want, n) == 0, __VA_ARGS__)

__attribute__((unused)) static int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

#endif
