/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vpnctl.c -- argv, "which command is it", nothing else. */
#include "ctl/ctl.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
usage(FILE *to)
{
	fputs("usage: vpnctl [-S SOCKET] [-j] COMMAND ...\n\n", to);
	for (const struct command *k = commands; k->name != NULL; k++) {
		char left[96];
		snprintf(left, sizeof(left), "%s %s", k->name, k->args);
		if (strlen(left) > 34)
			fprintf(to, "  %s\n  %-34s %s\n", left, "", k->help);
		else
			fprintf(to, "  %-34s %s\n", left, k->help);
	}
	fputs("\n  -S, --socket SOCKET   control socket (/run/tandem/vpnd.sock)\n"
	      "  -j, --json            print the answers as JSON lines\n"
	      "  -h, --help  -V, --version\n",
	      to);
}

static int
unknown(const struct args *a)
{
	const char *near = command_nearest(a->v[0]);

	if (near != NULL)
		ctl_complain("no command '%s'; did you mean '%s'?", a->v[0], near);
	else
		ctl_complain("no command '%s'; 'vpnctl help' lists them", a->v[0]);
	return CTL_USAGE;
}

int
main(int argc, char **argv)
{
	struct ctl c = {
		.socket = "/run/tandem/vpnd.sock",
		.has_colour = isatty(1) && getenv("NO_COLOR") == NULL,
		.fd = -1,
	};
	struct args a = { .n = argc - 1, .v = argv + 1 };

	signal(SIGPIPE, SIG_DFL); /* 'vpnctl events -f | head' ends quietly */
	for (; a.n > 0 && a.v[0][0] == '-'; a.n--, a.v++) {
		const char *w = a.v[0];
		if (strcmp(w, "-j") == 0 || strcmp(w, "--json") == 0) {
			c.is_json = true;
		} else if ((strcmp(w, "-S") == 0 || strcmp(w, "--socket") == 0) &&
			   a.n > 1) {
			c.socket = a.v[1];
			a.n--, a.v++;
		} else if (strcmp(w, "-V") == 0 || strcmp(w, "--version") == 0) {
			puts("vpnctl " TANDEM_VERSION);
			return CTL_OK;
		} else if (strcmp(w, "-h") == 0 || strcmp(w, "--help") == 0) {
			usage(stdout);
			return CTL_OK;
		} else {
			ctl_complain("no option '%s'", w);
			return CTL_USAGE;
		}
	}
	if (a.n == 0) {
		usage(stderr);
		return CTL_USAGE;
	}
	if (strcmp(a.v[0], "help") == 0) {
		usage(stdout);
		return CTL_OK;
	}
	const struct command *k = command_find(&a);
	if (k == NULL)
		return unknown(&a);
	int rc = k->run(&c, &a);
	if (rc == CTL_USAGE)
		fprintf(stderr, "usage: vpnctl %s %s\n", k->name, k->args);
	ctl_close(&c);
	return rc;
}
