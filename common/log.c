/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The log is the one thing in a process that has no owner to pass it along. */
static struct {
	const char *program, *process;
	enum log_level max;
	int fd;
	bool is_journal;
} lg = { "tandem", "", LOG_L_INFO, 2, false };

static const char level_name[][6] = { "err", "warn", "info", "debug" };
static const char level_prio[] = { '3', '4', '6', '7' };

void
log_open(const char *program, const char *process, enum log_level max)
{
	lg.program = program;
	lg.process = process;
	lg.max = max;
	lg.is_journal = getenv("JOURNAL_STREAM") != NULL;
	tzset(); /* now, while /etc/localtime can still be read */
}

void
log_set_fd(int fd)
{
	lg.fd = fd;
}

void
log_set_level(enum log_level max)
{
	lg.max = max;
}

enum log_level
log_level_now(void)
{
	return lg.max;
}

bool
log_allowed(struct log_limit *l)
{
	time_t now = time(NULL);

	if (now != l->second) {
		if (l->dropped > 0)
			log_line(LOG_L_WARN, 0,
				 "log: %u lines like the next were dropped",
				 l->dropped);
		*l = (struct log_limit){ .second = now };
	}
	if (l->n >= LOG_BURST) {
		l->dropped++;
		return false;
	}
	l->n++;
	return true;
}

static size_t
head(char *buf, size_t cap, enum log_level level)
{
	if (lg.is_journal)
		return (size_t)snprintf(buf, cap, "<%c>%s%s%s: ", level_prio[level],
					lg.program, *lg.process ? " " : "", lg.process);
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(buf, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(buf + n, cap - n,
				    ".%03ldZ %s%s%s %s: ", ts.tv_nsec / 1000000,
				    lg.program, *lg.process ? " " : "", lg.process,
				    level_name[level]);
}

static void
emit(enum log_level level, uint32_t sid, const char *fmt, va_list ap)
{
	char buf[1024];
	size_t n = head(buf, sizeof(buf), level);

	if (sid != 0)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "sid=%08x ", sid);
	int m = vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
	size_t end = n + (m > 0 ? (size_t)m : 0);
	if (end > sizeof(buf) - 2)
		end = sizeof(buf) - 2;
	for (size_t i = n; i < end; i++)
		if ((unsigned char)buf[i] < 0x20 || buf[i] == 0x7f)
			buf[i] = '?';
	buf[end++] = '\n';
	/* A log that cannot be written has nobody left to tell. */
	if (write(lg.fd, buf, end) < 0)
		return;
}

void
log_line(enum log_level level, uint32_t sid, const char *fmt, ...)
{
	if (level > lg.max)
		return;
	va_list ap;
	va_start(ap, fmt);
	emit(level, sid, fmt, ap);
	va_end(ap);
}

void
log_fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	emit(LOG_L_ERR, 0, fmt, ap);
	va_end(ap);
	exit(70);
}
