/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* draft.c -- what concerns configuration text is asked of vpnd's own binary:
 * the schema is there, so its answer is the one the daemon would give. */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* vpnd beside us, where we are run from a build tree, else where it is
 * installed. */
static void
vpnd_path(char *path, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", path, cap - 8);
	char *slash = NULL;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
	}
	if (slash != NULL) {
		strcpy(slash + 1, "vpnd");
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, cap, "%s", "/usr/sbin/vpnd");
}

int
vpnd_run(const char *const *words, int out)
{
	char path[4096];
	const char *argv[VPND_WORDS + 2] = { path };
	int status;

	vpnd_path(path, sizeof(path));
	for (int i = 0; i < VPND_WORDS && words[i] != NULL; i++)
		argv[i + 1] = words[i];
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
			_exit(127);
		execv(path, (char *const *)argv);
		ctl_complain("%s: %s", path, strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		ctl_complain("%s: %s", path, strerror(errno));
		return CTL_UNREACHED;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return CTL_UNREACHED;
	return WEXITSTATUS(status) == 0 ? CTL_OK : CTL_REFUSED;
}

/* -f FILE for the draft, if one is named; -n FILE likewise for node.conf. */
static bool
take_files(struct ctl *c, struct args *a, const char **words, int at)
{
	const char *node = NULL;

	args_value(a, "--node", &node);
	if (!args_end(c, a, 0, 1))
		return false;
	if (a->n == 1) {
		words[at++] = "-f";
		words[at++] = a->v[0];
	}
	if (node != NULL) {
		words[at++] = "-n";
		words[at++] = node;
	}
	return true;
}

int
draft_check(struct ctl *c, struct args *a)
{
	const char *words[8] = { "-t" };

	if (!take_files(c, a, words, 1))
		return CTL_USAGE;
	/* A file that is not there means defaults to vpnd; who names one means it. */
	if (a->n == 1 && access(a->v[0], R_OK) < 0) {
		ctl_complain("%s: %s", a->v[0], strerror(errno));
		return CTL_REFUSED;
	}
	int rc = vpnd_run(words, -1);
	if (c->is_json && rc != CTL_UNREACHED)
		printf("{\"ok\":%s}\n", rc == CTL_OK ? "true" : "false");
	else if (rc == CTL_OK)
		puts("no mistakes");
	return rc;
}

int
draft_explain(struct ctl *c, struct args *a)
{
	if (!args_end(c, a, 0, 0))
		return CTL_USAGE;
	return vpnd_run(
		(const char *const[]){ c->is_json ? "--explain-json" : "--explain",
				       NULL },
		-1);
}

int
draft_diff(struct ctl *c, struct args *a)
{
	char running[32];
	const char *words[8] = { "--diff", running };
	json_t *answer;

	if (!take_files(c, a, words, 2))
		return CTL_USAGE;
	if (a->n == 1 && access(a->v[0], R_OK) < 0) {
		ctl_complain("%s: %s", a->v[0], strerror(errno));
		return CTL_REFUSED;
	}
	bool is_json = c->is_json;
	c->is_json = false; /* the answer here is the difference, not this text */
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "config_running"), 10, &answer);
	c->is_json = is_json;
	if (rc != CTL_OK)
		return rc;
	const char *text = json_string_value(json_object_get(answer, "text"));
	int fd = memfd_create("running", 0); /* vpnd inherits it */
	if (fd < 0 ||
	    (text && write(fd, text, strlen(text)) != (ssize_t)strlen(text))) {
		ctl_complain("cannot hold the running configuration: %s",
			     strerror(errno));
		rc = CTL_REFUSED;
	} else {
		snprintf(running, sizeof(running), "/proc/self/fd/%d", fd);
		rc = vpnd_run(words, -1);
	}
	if (fd >= 0)
		close(fd);
	json_decref(answer);
	return rc;
}
