/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* client.c -- the line to vpnd: connect, ask, read answers. */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/table.h"

void
ctl_complain(const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A refused configuration comes as one line per mistake. */
	for (char *line = text, *end; line != NULL && *line != '\0'; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		fputs(line == text ? "vpnctl: " : "  ", stderr);
		print_safe(stderr, line);
		fputc('\n', stderr);
	}
}

static const char *
program(const struct ctl *c)
{
	return c->program != NULL ? c->program : "vpnd";
}

/* acmed and ddnsd are parts of this product; vpnd is it. */
static const char *
unit(const struct ctl *c)
{
	return strcmp(program(c), "acmed") == 0   ? "tandem-acme"
	       : strcmp(program(c), "ddnsd") == 0 ? "tandem-ddns"
						  : program(c);
}

static void
explain_connect(const struct ctl *c, int err)
{
	const char *path = c->socket;

	if (c->is_quiet)
		return;
	if (err == ENOENT || err == ECONNREFUSED)
		ctl_complain("%s is not running (%s: %s); start it with "
			     "'systemctl start %s'",
			     program(c), path, strerror(err), unit(c));
	else if (err == EACCES || err == EPERM)
		ctl_complain("no permission for %s; run as root", path);
	else
		ctl_complain("%s: %s", path, strerror(err));
}

static int
dial(struct ctl *c)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(c->socket) >= sizeof(sun.sun_path)) {
		ctl_complain("%s: path too long for a socket", c->socket);
		return CTL_USAGE;
	}
	strcpy(sun.sun_path, c->socket);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		explain_connect(c, errno);
		return CTL_UNREACHED;
	}
	c->line = fdopen(c->fd, "r");
	return c->line != NULL ? CTL_OK : CTL_UNREACHED;
}

static bool
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

json_t *
ctl_next(struct ctl *c)
{
	char *text = NULL;
	size_t cap = 0;
	ssize_t n = getline(&text, &cap, c->line);
	json_t *o = NULL;

	if (n > 0) {
		o = json_loadb(text, (size_t)n, 0, NULL);
		if (o != NULL && c->is_json) {
			fwrite(text, 1, (size_t)n, stdout);
			fflush(stdout);
		}
	}
	free(text);
	return o;
}

int
ctl_ask(struct ctl *c, json_t *question, unsigned timeout_s, json_t **answer)
{
	struct timeval tv = { .tv_sec = timeout_s };
	char *text = json_dumps(question, JSON_COMPACT);
	int rc = c->line == NULL ? dial(c) : CTL_OK;

	json_decref(question);
	*answer = NULL;
	if (rc != CTL_OK || text == NULL)
		goto done;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	rc = CTL_UNREACHED;
	if (!send_all(c->fd, text, strlen(text)) || !send_all(c->fd, "\n", 1)) {
		if (!c->is_quiet)
			ctl_complain("%s closed the control connection", program(c));
		goto done;
	}
	errno = 0;
	*answer = ctl_next(c);
	if (*answer == NULL) {
		if (c->is_quiet)
			;
		else if (errno == EAGAIN)
			ctl_complain("%s gave no answer in %u s", program(c),
				     timeout_s);
		else
			ctl_complain("%s closed the control connection", program(c));
		goto done;
	}
	rc = CTL_OK;
	if (!json_is_true(json_object_get(*answer, "ok"))) {
		const char *why = json_string_value(json_object_get(*answer, "error"));
		if (!c->is_quiet)
			ctl_complain("%s", why ? why : "refused");
		json_decref(*answer);
		*answer = NULL;
		rc = CTL_REFUSED;
	}
done:
	free(text);
	return rc;
}

void
ctl_close(struct ctl *c)
{
	if (c->line != NULL)
		fclose(c->line);
	else if (c->fd >= 0)
		close(c->fd);
	c->line = NULL;
	c->fd = -1;
}
