/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/watch.h"

#include "common/err.h"
#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LATEST_MS = 1000, AGAIN_MS = 1000, NAMES = 16, NAME = 256 };

struct watch {
	uv_loop_t *loop;
	uv_fs_event_t folder;
	uv_timer_t settle, again;
	unsigned quiet_ms;
	unsigned closing; /* handles that are still open at the end */
	bool is_watching;
	watch_changed changed;
	void *arg;
	uint64_t first_ms; /* of the change that waits longest; 0: none waits */
	unsigned n_name;
	bool is_any; /* more than there are places, or all of it */
	ino_t ino;   /* of the folder that is watched */
	char name[NAMES][NAME];
	char path[];
};

static void on_again(uv_timer_t *t);

static void
on_settled(uv_timer_t *t)
{
	struct watch *w = t->data;
	unsigned n = w->n_name;
	bool is_any = w->is_any;

	w->first_ms = 0;
	w->n_name = 0;
	w->is_any = false;
	if (is_any)
		w->changed(w->arg, NULL);
	for (unsigned i = 0; !is_any && i < n; i++)
		w->changed(w->arg, w->name[i]);
}

static void
note(struct watch *w, const char *name)
{
	uint64_t now = uv_now(w->loop);

	if (w->first_ms == 0)
		w->first_ms = now + 1; /* never 0 */
	bool is_known = w->is_any;
	for (unsigned i = 0; name != NULL && !is_known && i < w->n_name; i++)
		is_known = strcmp(w->name[i], name) == 0;
	if (name == NULL || (!is_known && w->n_name == NAMES))
		w->is_any = true;
	else if (!is_known)
		snprintf(w->name[w->n_name++], NAME, "%s", name);
	uint64_t waited = now + 1 - w->first_ms;
	uint64_t left = waited < LATEST_MS ? LATEST_MS - waited : 0;
	uv_timer_start(&w->settle, on_settled, left < w->quiet_ms ? left : w->quiet_ms,
		       0);
}

/* A removed folder's watch hears nothing of its successor. */
static bool
is_gone(const struct watch *w)
{
	struct stat st;

	return stat(w->path, &st) < 0 || st.st_ino != w->ino;
}

static void
on_event(uv_fs_event_t *e, const char *name, int events, int status)
{
	struct watch *w = e->data;

	note(w, status < 0 ? NULL : name);
}

static void
begin(struct watch *w)
{
	struct stat st;

	w->is_watching = false;
	if (stat(w->path, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	int rc = uv_fs_event_start(&w->folder, on_event, w->path, 0);
	if (rc < 0)
		log_limited(LOG_L_WARN, 0, "%s: cannot be watched: %s", w->path,
			    err_text(rc));
	w->is_watching = rc == 0;
	w->ino = st.st_ino;
}

static void
on_again(uv_timer_t *t)
{
	struct watch *w = t->data;

	if (w->is_watching && !is_gone(w))
		return;
	bool was_watching = w->is_watching;
	uv_fs_event_stop(&w->folder);
	begin(w);
	if (w->is_watching || was_watching)
		note(w, NULL);
}

int
watch_new(struct watch **out, uv_loop_t *loop, const char *folder, unsigned quiet_ms,
	  watch_changed changed, void *arg)
{
	size_t n = strlen(folder) + 1;
	struct watch *w = calloc(1, sizeof(*w) + n);

	*out = NULL;
	if (w == NULL)
		return E_NOMEM;
	w->loop = loop;
	w->quiet_ms = quiet_ms;
	w->changed = changed;
	w->arg = arg;
	memcpy(w->path, folder, n);
	int rc = uv_fs_event_init(loop, &w->folder);
	if (rc < 0) {
		free(w);
		return rc;
	}
	uv_timer_init(loop, &w->settle);
	uv_timer_init(loop, &w->again);
	w->folder.data = w->settle.data = w->again.data = w;
	begin(w);
	uv_timer_start(&w->again, on_again, AGAIN_MS, AGAIN_MS);
	*out = w;
	return 0;
}

static void
on_closed(uv_handle_t *h)
{
	struct watch *w = h->data;

	if (--w->closing == 0)
		free(w);
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	w->closing = 3;
	uv_close((uv_handle_t *)&w->folder, on_closed);
	uv_close((uv_handle_t *)&w->settle, on_closed);
	uv_close((uv_handle_t *)&w->again, on_closed);
}
