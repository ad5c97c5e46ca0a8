/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vpnd.c -- which process am I? Nothing else. */
#include "vpnd/ipc/child.h"
#include "vpnd/parent/parent.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

static const char usage_text[] =
	"usage: vpnd [-f FILE] [-n NODEFILE] [-s STATEDIR] [-r RUNDIR] [-d] [-t] [-V] "
	"[-h]\n"
	"  -f FILE      configuration of the service (/etc/tandem/tandem.conf)\n"
	"  -n NODEFILE  configuration of this node (/etc/tandem/node.conf)\n"
	"  -s STATEDIR  users, leases and keys (/var/lib/tandem)\n"
	"  -r RUNDIR    control socket and pid file (/run/tandem)\n"
	"  --hasync SOCKET  where hasync listens (RUNDIR/hasync.sock); may be absent\n"
	"  --pair-key FILE  key of the pair (/etc/tandem/pair.key); may be absent\n"
	"  -d           log every state change\n"
	"  -t           check the configuration, print every finding, and exit\n"
	"  --explain    print every option: type, range, default; --explain-json\n"
	"  --set ...    print -f and -n with these settings (PATH=VALUE), if they are "
	"good\n"
	"  --diff FILE  print what -f and -n say otherwise than FILE\n"
	"  -V           print the version\n"
	"  -h           print this\n"
	"Runs in the foreground. SIGHUP loads the configuration again, SIGTERM "
	"stops.\n";

enum {
	WORD_EXPLAIN = 256,
	WORD_EXPLAIN_JSON,
	WORD_DIFF,
	WORD_SET,
	WORD_HASYNC,
	WORD_PAIR_KEY
};
static const struct option words[] = {
	{ "explain", no_argument, NULL, WORD_EXPLAIN },
	{ "explain-json", no_argument, NULL, WORD_EXPLAIN_JSON },
	{ "diff", required_argument, NULL, WORD_DIFF },
	{ "set", no_argument, NULL, WORD_SET },
	{ "hasync", required_argument, NULL, WORD_HASYNC },
	{ "pair-key", required_argument, NULL, WORD_PAIR_KEY },
	{ NULL, 0, NULL, 0 },
};

static int
child_main(int argc, char **argv)
{
	static struct child c; /* large; lives as long as the process */
	char name[16];

	if (child_parse(&c, argc, argv) < 0)
		return EX_USAGE;
	/* In `ps` and `ss`; started by way of /proc/self/exe it would be "exe". */
	snprintf(name, sizeof(name), c.self == IPC_WORKER ? "vpnd-%s%u" : "vpnd-%s",
		 ipc_process_name[c.self], c.index);
	prctl(PR_SET_NAME, name);
	switch (c.self) {
	case IPC_KEYS: return keys_main(&c);
	case IPC_AUTH: return auth_main(&c);
	case IPC_SESSION: return session_main(&c);
	case IPC_WORKER: return worker_main(&c);
	default: return EX_USAGE;
	}
}

int
main(int argc, char **argv)
{
	struct parent_options o = { .conf_path = "/etc/tandem/tandem.conf",
				    .node_path = "/etc/tandem/node.conf",
				    .state_dir = "/var/lib/tandem",
				    .run_dir = "/run/tandem",
				    .pair_key = "/etc/tandem/pair.key" };
	bool only_check = false, is_set = false;
	const char *running = NULL;
	int c;

	if (argc > 1 && strcmp(argv[1], "--process") == 0)
		return child_main(argc, argv);
	while ((c = getopt_long(argc, argv, "f:n:s:r:dtVh", words, NULL)) != -1) {
		switch (c) {
		case WORD_EXPLAIN: return parent_explain(false);
		case WORD_EXPLAIN_JSON: return parent_explain(true);
		case WORD_DIFF: running = optarg; break;
		case WORD_SET: is_set = true; break;
		case WORD_HASYNC: o.hasync_path = optarg; break;
		case WORD_PAIR_KEY: o.pair_key = optarg; break;
		case 'f': o.conf_path = optarg; break;
		case 'n': o.node_path = optarg; break;
		case 's': o.state_dir = optarg; break;
		case 'r': o.run_dir = optarg; break;
		case 'd': o.is_debug = true; break;
		case 't': only_check = true; break;
		case 'V': puts("vpnd " TANDEM_VERSION); return EX_OK;
		case 'h': fputs(usage_text, stdout); return EX_OK;
		default: fputs(usage_text, stderr); return EX_USAGE;
		}
	}
	if (is_set)
		return parent_set(&o, argv + optind);
	if (optind != argc) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	if (running != NULL)
		return parent_diff(&o, running);
	return only_check ? parent_check(&o) : parent_main(&o);
}
