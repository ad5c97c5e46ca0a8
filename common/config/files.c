/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* files.c -- the checks that need the file system. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/config/report.h"
#include "common/profile.h"

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
	struct profile_facts facts;
	char *text;
	int rc = config_read(path, &text);

	if (rc < 0 || text == NULL) {
		report_error(
			report, path, 0, "client_connection.profile",
			"cannot be used (%s): must be an XML file of at most %d bytes",
			rc < 0 ? err_text(rc) : "gone", PROFILE_MAX);
		return;
	}
	rc = profile_check(span_str(text), &facts);
	free(text);
	if (rc == E_INVAL)
		report_error(
			report, path, facts.line, "client_connection.profile",
			"is no VPN profile (%s): must be XML with AnyConnectProfile "
			"outermost; only VPN profiles are handed out",
			facts.why);
	else if (rc < 0)
		report_error(report, path, 0, "client_connection.profile", "%s",
			     err_text(rc));
	else if (wants_local_lan(c) && !facts.local_lan)
		report_warning(report, path, 0, "client_connection.profile",
			       "addressing.destinations has 0.0.0.0/32, but this "
			       "profile does not let clients reach their local "
			       "network: give it LocalLanAccess true");
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
	if (c->client_crl[0])
		(void)is_readable(c->client_crl, "authentication.client_crl", &mode,
				  report);
	if (c->profile_file[0] &&
	    is_readable(c->profile_file, "client_connection.profile", &mode, report))
		check_profile(c, report);
	return report->n_error > errors ? E_INVAL : 0;
}
