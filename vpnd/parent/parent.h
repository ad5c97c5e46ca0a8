/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* parent.h -- the process that runs as root: it opens every socket, TUN device
 * and key file, hands them down, watches the others and restarts them. It
 * parses no byte from a network.
 */
#ifndef VPND_PARENT_PARENT_H
#define VPND_PARENT_PARENT_H

#include <stdbool.h>

struct parent_options {
	const char *conf_path, *node_path; /* both may name a file that is not there */
	const char *state_dir;
	const char *run_dir;
	const char *hasync_path; /* NULL: hasync.sock in run_dir */
	const char *pair_key;    /* may not be there */
	bool is_debug;
};

/* Both give the exit code: 0, 70 internal, 71 cannot set up, 78 bad
 * configuration (sysexits.h). */
int parent_main(const struct parent_options *o);
/* Print every finding as "file:line: setting: text". */
int parent_check(const struct parent_options *o);

/* What `vpnctl config explain` and `diff` print: every option; or what a reload
 * of the files would change against the text in `running`. */
int parent_explain(bool json);
int parent_diff(const struct parent_options *o, const char *running);
/* What `vpnctl set` wants: each "PATH=VALUE" put into the text of its file. If the
 * whole is good, every file that changes as "<bytes> <path>\n" and its text. */
int parent_set(const struct parent_options *o, char *const *words);

#endif
