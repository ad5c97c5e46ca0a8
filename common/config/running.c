/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/config/running.h"

#include "common/err.h"
#include "common/file.h"
#include "common/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 512, QUIET_MS = 50 };

static const char *
path_of(char buf[PATH], const char *state_dir, const char *name)
{
	snprintf(buf, PATH, "%s/running%s%s", state_dir, *name != '\0' ? "/" : "",
		 name);
	return buf;
}

/* Others than root read it; nothing secret is in a configuration. */
static int
make_folder(const char *state_dir)
{
	char path[PATH];

	if (mkdir(path_of(path, state_dir, ""), 0755) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int
write_one(const char *state_dir, const char *name, const char *text)
{
	char path[PATH];

	path_of(path, state_dir, name);
	if (text == NULL)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	return file_replace(AT_FDCWD, path, span_str(text), 0644);
}

int
running_write(const char *state_dir, const char *conf, const char *node)
{
	int rc = make_folder(state_dir);

	if (rc == 0)
		rc = write_one(state_dir, "node.conf", node);
	/* Always there afterwards: it says that there is a running configuration. */
	if (rc == 0)
		rc = write_one(state_dir, "tandem.conf", conf != NULL ? conf : "");
	return rc;
}

int
running_read(struct config **out, const char *state_dir, const char *conf,
	     const char *node, struct config_report *report)
{
	char ours[PATH], *text = NULL, *node_text = NULL;

	*out = NULL;
	int rc = config_read(path_of(ours, state_dir, "tandem.conf"), &text);
	if (rc == 0 && text != NULL) {
		char path[PATH];
		rc = config_read(path_of(path, state_dir, "node.conf"), &node_text);
	} else if (rc == 0) {
		rc = config_read(conf, &text);
		if (rc == 0)
			rc = config_read(node, &node_text);
	}
	if (rc == 0)
		rc = config_load(out, conf, text, node, node_text, report);
	free(text);
	free(node_text);
	return rc;
}

static void
on_changed(void *arg, const char *name)
{
	struct running_watch *w = arg;

	if (name == NULL || strcmp(name, "tandem.conf") == 0)
		w->on_change(w->arg);
}

int
running_watch_start(struct running_watch *w, uv_loop_t *loop, const char *state_dir)
{
	char path[PATH];
	int rc = make_folder(state_dir);

	if (rc < 0)
		return rc;
	return watch_new(&w->watch, loop, path_of(path, state_dir, ""), QUIET_MS,
			 on_changed, w);
}

void
running_watch_stop(struct running_watch *w)
{
	watch_free(w->watch);
	w->watch = NULL;
}
