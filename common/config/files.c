/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* files.c -- the checks that need the file system. */
#include <errno.h>
#include <expat.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/config/report.h"

/* Is there a regular file that we may read? The mode goes to *mode. */
static bool
is_readable(const char *path, const char *setting, mode_t *mode,
	    struct config_report *report)
{
	struct stat st = { 0 };
	int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : E_INVAL;
	if (fd >= 0)
		close(fd);
	if (rc < 0) {
		report_error(
			report, path, 0, setting,
			"cannot be read (%s): put the file there or change the setting",
			err_text(rc));
		return false;
	}
	*mode = st.st_mode;
	return true;
}

struct profile {
	unsigned depth;
	bool is_vpn, has_doctype;
	bool has_local_lan, is_in_local_lan;
};

static void
on_start(void *arg, const char *name, const char **attr)
{
	struct profile *p = arg;

	/* The name space is not looked at: profile editors differ in it. */
	if (p->depth++ == 0)
		p->is_vpn = strcmp(name, "AnyConnectProfile") == 0;
	p->is_in_local_lan = strcmp(name, "LocalLanAccess") == 0;
}

static void
on_text(void *arg, const char *s, int n)
{
	struct profile *p = arg;

	if (p->is_in_local_lan && n >= 4 && memmem(s, (size_t)n, "true", 4) != NULL)
		p->has_local_lan = true;
}

static void
on_end(void *arg, const char *name)
{
	((struct profile *)arg)->depth--;
	((struct profile *)arg)->is_in_local_lan = false;
}

static void
on_doctype(void *arg, const char *name, const char *sysid, const char *pubid,
	   int internal)
{
	((struct profile *)arg)->has_doctype = true;
}

/* Exclude 0.0.0.0/32 is the server's half of local LAN access. */
static bool
wants_local_lan(const struct config *c)
{
	for (unsigned i = 0; c->routing == ROUTING_EXCLUDE && i < c->n_route; i++)
		if (c->route[i].family == AF_INET && c->route[i].v4.len == 32 &&
		    c->route[i].v4.addr.s_addr == 0)
			return true;
	return false;
}

/* Only VPN profiles are handed out; other modules have profiles too. */
static void
check_profile(const struct config *c, struct config_report *report)
{
	const char *path = c->profile_file;
	struct profile p = { 0 };
	XML_Parser x;
	char *text;
	int rc = config_read(path, &text);
	const char *why = NULL;

	if (rc < 0 || text == NULL) {
		report_error(
			report, path, 0, "client_connection.profile",
			"cannot be used (%s): must be an XML file of at most %d bytes",
			rc < 0 ? err_text(rc) : "gone", CONFIG_TEXT_MAX);
		return;
	}
	x = XML_ParserCreate(NULL);
	if (x == NULL) {
		free(text);
		report_error(report, path, 0, "client_connection.profile",
			     "out of memory");
		return;
	}
	XML_SetUserData(x, &p);
	XML_SetElementHandler(x, on_start, on_end);
	XML_SetCharacterDataHandler(x, on_text);
	XML_SetStartDoctypeDeclHandler(x, on_doctype);
	if (XML_Parse(x, text, (int)strlen(text), 1) != XML_STATUS_OK)
		why = XML_ErrorString(XML_GetErrorCode(x));
	else if (p.has_doctype)
		why = "it has a DOCTYPE";
	else if (!p.is_vpn)
		why = "its outermost element is another one";
	if (why != NULL)
		report_error(
			report, path, (unsigned)XML_GetCurrentLineNumber(x),
			"client_connection.profile",
			"is no VPN profile (%s): must be XML with AnyConnectProfile "
			"outermost; only VPN profiles are handed out",
			why);
	else if (wants_local_lan(c) && !p.has_local_lan)
		report_warning(report, path, 0, "client_connection.profile",
			       "addressing.destinations has 0.0.0.0/32, but this "
			       "profile does not let clients reach their local "
			       "network: give it LocalLanAccess true");
	XML_ParserFree(x);
	free(text);
}

int
config_check_files(const struct config *c, struct config_report *report)
{
	size_t errors = report->n_error;
	mode_t mode;

	if (c->certificate_file[0])
		(void)is_readable(c->certificate_file, "server.certificate", &mode,
				  report);
	if (c->key_file[0] && is_readable(c->key_file, "server.key", &mode, report) &&
	    (mode & (S_IRWXG | S_IRWXO)))
		report_warning(
			report, c->key_file, 0, "server.key",
			"others than the owner may open the private key: chmod 600");
	if (c->profile_file[0] &&
	    is_readable(c->profile_file, "client_connection.profile", &mode, report))
		check_profile(c, report);
	return report->n_error > errors ? E_INVAL : 0;
}
