/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* log.h -- one line per event, key=value, session id first.
 *
 * Levels: err = someone must act; warn = someone will want to know; info =
 * lives and deaths; debug = every state move. Lines go to standard error as
 * "<priority>program[process] text" under a journal (JOURNAL_STREAM set), else
 * with a wall time in front. Control characters are replaced by '?'.
 *
 * Passwords, tokens and keys never get here: their types have no print form.
 * What a stranger can trigger is limited: log_limited() drops lines above
 * LOG_BURST per second and call site, and says how many were dropped.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum log_level { LOG_L_ERR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

enum { LOG_BURST = 10 }; /* lines per second and call site */

/* Name of program and process for all later lines ("vpnd", "worker0"). The
 * strings are borrowed for ever. fd is where lines go (2 by default). */
void log_open(const char *program, const char *process, enum log_level max);
void log_set_fd(int fd);
void log_set_level(enum log_level max);
enum log_level log_level_now(void);

struct log_limit {
	time_t second;
	unsigned n, dropped;
};

/* sid: first 32 bits of the session id, or 0 when there is none. */
__attribute__((format(printf, 3, 4))) void log_line(enum log_level, uint32_t sid,
						    const char *fmt, ...);
bool log_allowed(struct log_limit *l);

#define log_err(sid, ...) log_line(LOG_L_ERR, sid, __VA_ARGS__)
#define log_warn(sid, ...) log_line(LOG_L_WARN, sid, __VA_ARGS__)
#define log_info(sid, ...) log_line(LOG_L_INFO, sid, __VA_ARGS__)
#define log_debug(sid, ...)                                                            \
	do {                                                                           \
		if (log_level_now() >= LOG_L_DEBUG)                                    \
			log_line(LOG_L_DEBUG, sid, __VA_ARGS__);                       \
	} while (0)

/* For anything a stranger can trigger. */
#define log_limited(level, sid, ...)                                                   \
	do {                                                                           \
		static struct log_limit limit_;                                        \
		if (log_allowed(&limit_))                                              \
			log_line(level, sid, __VA_ARGS__);                             \
	} while (0)

/* We are wrong: say so and stop. The parent starts a fresh process. */
__attribute__((format(printf, 1, 2), noreturn)) void log_fatal(const char *fmt, ...);

#endif
