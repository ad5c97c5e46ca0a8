/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* set.c -- change settings: edit the files, check them, reload; all or nothing.
 *
 * vpnd's own binary makes the new texts and refuses bad ones before anything is
 * touched. A file is replaced as a whole, and comes back if the running vpnd does
 * not take it. */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 2, TEXT_MAX = 1024 * 1024, PATH_TEXT = 4096 };

struct change {
	char path[PATH_TEXT];
	const char *text; /* in the answer of vpnd */
	size_t n;
	char *old; /* owned; NULL: there was none */
	size_t old_n;
};

static char *
read_all(int fd, size_t *n)
{
	char *text = malloc(TEXT_MAX + 1);
	ssize_t got = 1;

	*n = 0;
	while (text != NULL && got > 0 && *n < TEXT_MAX) {
		got = pread(fd, text + *n, TEXT_MAX - *n, (off_t)*n);
		*n += got > 0 ? (size_t)got : 0;
	}
	if (text == NULL || got < 0 || *n == TEXT_MAX) {
		free(text);
		return NULL;
	}
	text[*n] = '\0';
	return text;
}

/* Whole or not at all: a crash leaves the old or the new text. */
static bool
replace(const char *path, const char *text, size_t n)
{
	char name[PATH_TEXT + 8];
	struct stat st;
	bool has_old = stat(path, &st) == 0;

	snprintf(name, sizeof(name), "%s.new", path);
	unlink(name);
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n &&
		    (!has_old || (fchmod(fd, st.st_mode & 07777) == 0 &&
				  fchown(fd, st.st_uid, st.st_gid) == 0)) &&
		    fsync(fd) == 0;
	if (fd >= 0 && close(fd) < 0)
		good = false;
	if (good && rename(name, path) == 0)
		return true;
	ctl_complain("%s: %s", path, strerror(errno));
	if (fd >= 0)
		unlink(name);
	return false;
}

/* "<bytes> <path>\n" and as many bytes, for each file. */
static int
take_changes(char *answer, size_t n, struct change *change)
{
	int found = 0;

	while (n > 0 && found < FILES) {
		struct change *c = &change[found];
		char *end, *newline = memchr(answer, '\n', n);
		size_t head = newline != NULL ? (size_t)(newline - answer) + 1 : 0;

		*c = (struct change){ .n = strtoul(answer, &end, 10) };
		if (head == 0 || *end != ' ' || c->n > n - head ||
		    newline - end >= PATH_TEXT)
			return -1;
		memcpy(c->path, end + 1, (size_t)(newline - end - 1));
		c->text = answer + head;
		answer += head + c->n;
		n -= head + c->n;
		found++;
	}
	return n == 0 ? found : -1;
}

static bool
keep_old(struct change *c)
{
	int fd = open(c->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT;
	c->old = read_all(fd, &c->old_n);
	close(fd);
	return c->old != NULL;
}

static void
put_back(struct change *change, int n)
{
	for (int i = 0; i < n; i++)
		if (change[i].old != NULL)
			(void)replace(change[i].path, change[i].old, change[i].old_n);
		else
			(void)unlink(change[i].path);
}

static int
apply(struct ctl *c, struct change *change, int n, bool is_reload)
{
	json_t *answer = NULL;
	int done = 0, rc = CTL_OK;

	for (int i = 0; i < n; i++)
		if (!keep_old(&change[i])) {
			ctl_complain("%s: cannot be read", change[i].path);
			return CTL_REFUSED;
		}
	while (rc == CTL_OK && done < n) {
		if (replace(change[done].path, change[done].text, change[done].n))
			done++;
		else
			rc = CTL_REFUSED;
	}
	if (rc == CTL_OK && is_reload)
		rc = ctl_ask(c, json_pack("{ss}", "cmd", "reload"), 60, &answer);
	json_decref(answer);
	if (rc != CTL_OK) {
		put_back(change, done);
		ctl_complain("nothing was changed");
	}
	return rc;
}

/* The files that the running vpnd reads; the usual ones when nobody runs. */
static int
ask_files(struct ctl *c, const char **file, const char **node, json_t **keep)
{
	bool is_json = c->is_json;

	c->is_json = false;
	int rc = ctl_ask(c, json_pack("{ss}", "cmd", "status"), 10, keep);
	c->is_json = is_json;
	const json_t *files = json_object_get(*keep, "files");
	const char *main_ = json_string_value(json_object_get(files, "main"));
	const char *node_ = json_string_value(json_object_get(files, "node"));
	if (*file == NULL)
		*file = main_ != NULL ? main_ : "/etc/tandem/tandem.conf";
	if (*node == NULL)
		*node = node_ != NULL ? node_ : "/etc/tandem/node.conf";
	return rc;
}

static int
edit_and_apply(struct ctl *c, const struct args *a, const char *file, const char *node,
	       bool is_reload)
{
	const char *words[VPND_WORDS] = { "-f", file, "-n", node, "--set", "--" };
	struct change change[FILES] = { 0 };
	int fd = memfd_create("set", MFD_CLOEXEC), n = -1;
	char *answer = NULL;
	size_t len;

	if (fd < 0) {
		ctl_complain("no room for the new text: %s", strerror(errno));
		return CTL_REFUSED;
	}
	for (int i = 0; i < a->n; i++)
		words[6 + i] = a->v[i];
	int rc = vpnd_run(words, fd);
	if (rc == CTL_OK && (answer = read_all(fd, &len)) != NULL)
		n = take_changes(answer, len, change);
	close(fd);
	if (rc == CTL_OK && n < 0) {
		ctl_complain("vpnd's answer is not understood");
		rc = CTL_REFUSED;
	}
	if (rc == CTL_OK)
		rc = apply(c, change, n, is_reload);
	for (int i = 0; i < FILES; i++)
		free(change[i].old);
	free(answer);
	return rc;
}

int
set_settings(struct ctl *c, struct args *a)
{
	const char *file = NULL, *node = NULL;
	bool is_reload = !args_flag(a, NULL, "--no-reload");
	json_t *status = NULL;
	int rc = CTL_OK;

	args_value(a, "--file", &file);
	args_value(a, "--node", &node);
	if (!args_end(c, a, 1, VPND_WORDS - 8))
		return CTL_USAGE;
	if (is_reload)
		rc = ask_files(c, &file, &node, &status);
	if (rc == CTL_OK)
		rc = edit_and_apply(c, a, file ? file : "/etc/tandem/tandem.conf",
				    node ? node : "/etc/tandem/node.conf", is_reload);
	if (rc == CTL_OK && !c->is_json)
		puts(is_reload ? "set, and reloaded"
			       : "set; a reload or a restart takes it");
	json_decref(status);
	return rc;
}
