/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/store.h"

#include "common/err.h"
#include "common/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_MODE = 0600,
	FILE_NAME = CLUSTER_NAME_MAX + 40,
	REMOVED_KEPT_S = 30 * 24 * 3600, /* a peer away for longer starts afresh */
};

struct job {
	struct job *next;
	uint64_t ticket;
	int rc;
	bool keep_prev, is_superseded;
	char file[FILE_NAME];
	size_t n;
	uint8_t bytes[];
};

struct store {
	const struct store_handlers *h;
	void *arg;
	uv_loop_t *loop;
	int dir_fd;
	struct object *at[OBJECTS_MAX];
	size_t n, bytes;
	struct job *first, **last; /* waiting */
	struct job *working;       /* with the thread pool */
	uv_work_t work;
	bool is_working;
};

static void
event(struct store *s, const char *what, const char *object, const char *file)
{
	if (s->h->on_event != NULL)
		s->h->on_event(s->arg, what, object, file);
}

/* ---- writing ---- */

static int
write_one(int dir_fd, const struct job *j)
{
	char prev[FILE_NAME + 8];

	if (j->keep_prev) {
		snprintf(prev, sizeof(prev), "%s.prev", j->file);
		unlinkat(dir_fd, prev, 0);
		if (linkat(dir_fd, j->file, dir_fd, prev, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return file_replace(dir_fd, j->file, span_of(j->bytes, j->n), FILE_MODE);
}

static void
write_all(int dir_fd, struct job *list)
{
	for (struct job *j = list; j != NULL; j = j->next)
		if (!j->is_superseded)
			j->rc = write_one(dir_fd, j);
}

/* Only the newest of each file has to reach the disk; the older ones share its fate. */
static void
find_superseded(struct job *list)
{
	for (struct job *j = list; j != NULL; j = j->next)
		for (struct job *k = j->next; k != NULL && !j->is_superseded;
		     k = k->next)
			j->is_superseded = strcmp(j->file, k->file) == 0;
}

static void
share_fate(struct job *list)
{
	for (struct job *j = list; j != NULL; j = j->next)
		for (struct job *k = j->next; k != NULL && j->is_superseded;
		     k = k->next)
			if (!k->is_superseded && strcmp(j->file, k->file) == 0)
				j->rc = k->rc;
}

static void
do_work(uv_work_t *w)
{
	struct store *s = w->data;

	write_all(s->dir_fd, s->working);
}

static void start_work(struct store *s);

static void
after_work(uv_work_t *w, int status)
{
	struct store *s = w->data;
	struct job *j = s->working;

	s->working = NULL;
	s->is_working = false;
	start_work(s);
	share_fate(j);
	while (j != NULL) {
		struct job *next = j->next;
		if (j->rc < 0)
			event(s, "store_io", j->file, err_text(j->rc));
		if (j->ticket != 0)
			s->h->on_durable(s->arg, j->ticket, j->rc);
		free(j);
		j = next;
	}
}

static void
start_work(struct store *s)
{
	if (s->is_working || s->first == NULL)
		return;
	s->working = s->first;
	s->first = NULL;
	s->last = &s->first;
	find_superseded(s->working);
	s->work.data = s;
	s->is_working = uv_queue_work(s->loop, &s->work, do_work, after_work) == 0;
	if (!s->is_working) { /* no threads: then in place */
		write_all(s->dir_fd, s->working);
		after_work(&s->work, 0);
	}
}

static struct job *
job_for(const struct object *o, uint64_t ticket)
{
	uint8_t *bytes;
	size_t n;

	if (object_encode(o, &bytes, &n) < 0)
		return NULL;
	struct clusterfile f = { .class = o->class,
				 .flags = o->flags,
				 .generation = o->generation,
				 .wall_ms = o->wall_ms,
				 .name = span_str(o->name),
				 .writer = span_str(o->writer),
				 .bytes = span_of(bytes, n) };
	size_t size = clusterfile_size(&f);
	struct job *j = calloc(1, sizeof(*j) + size);
	if (j != NULL) {
		struct wr w = wr_open(j->bytes, size);
		clusterfile_encode(&w, &f);
		j->n = w.n;
		j->ticket = ticket;
		clusterfile_name(f.name, j->file);
	}
	free(bytes);
	return j;
}

static void
add_job(struct store *s, struct job *j)
{
	*s->last = j;
	s->last = &j->next;
	start_work(s);
}

int
store_write(struct store *s, const struct object *o, uint64_t ticket)
{
	struct job *j = job_for(o, ticket);

	if (j == NULL)
		return E_NOMEM;
	j->keep_prev = true;
	add_job(s, j);
	return 0;
}

void
store_keep_lost(struct store *s, const struct object *o)
{
	struct job *j = job_for(o, 0);

	if (j == NULL)
		return;
	size_t n = strlen(j->file);
	snprintf(j->file + n, sizeof(j->file) - n, ".lost-%" PRIu64, o->generation);
	event(s, "store_conflict", o->name, j->file);
	add_job(s, j);
}

bool
store_is_idle(const struct store *s)
{
	return !s->is_working && s->first == NULL;
}

/* ---- objects ---- */

struct object *
store_find(struct store *s, struct span name)
{
	for (size_t i = 0; i < s->n; i++)
		if (span_is(name, s->at[i]->name))
			return s->at[i];
	return NULL;
}

int
store_make(struct store *s, struct span name, struct object **out)
{
	if ((*out = store_find(s, name)) != NULL)
		return 0;
	if (s->n == OBJECTS_MAX)
		return E_LIMIT;
	int rc = object_new(out, name);
	if (rc == 0)
		s->at[s->n++] = *out;
	return rc;
}

struct object *
store_at(struct store *s, size_t i)
{
	return i < s->n ? s->at[i] : NULL;
}

int
store_set_bytes(struct store *s, struct object *o, struct span bytes)
{
	size_t was = o->n;

	if (s->bytes - was + bytes.n > OBJECTS_BYTES_MAX)
		return E_LIMIT;
	int rc = object_set_bytes(o, bytes);
	if (rc == 0)
		s->bytes = s->bytes - was + bytes.n;
	return rc;
}

/* ---- loading ---- */

static int
read_object(struct store *s, const char *file, struct clusterfile *f, uint8_t **buf)
{
	char want[CLUSTER_NAME_MAX + 1];
	size_t n;
	int rc = file_read(s->dir_fd, file, CLUSTERFILE_MAX, buf, &n);

	if (rc < 0)
		return rc;
	rc = clusterfile_decode(span_of(*buf, n), f);
	if (rc == 0) {
		clusterfile_name(f->name, want);
		/* NAME or NAME.prev */
		size_t k = strlen(want);
		if (strncmp(want, file, k) != 0 || (file[k] != '\0' && file[k] != '.'))
			rc = E_PROTO;
	}
	if (rc < 0)
		free(*buf);
	return rc;
}

static int
take_file(struct store *s, const struct clusterfile *f, uint64_t now_s)
{
	struct object *o;
	int rc = store_make(s, f->name, &o);

	if (rc < 0)
		return rc;
	memcpy(o->writer, f->writer.p, f->writer.n);
	o->flags = f->flags;
	o->generation = f->generation;
	o->wall_ms = f->wall_ms;
	if (!object_is_set(o))
		return store_set_bytes(s, o, f->bytes);
	struct span in = f->bytes;
	struct cluster_entry e;
	while ((rc = cluster_entry_decode(&in, &e)) == 0)
		if ((rc = object_add(o, &e, now_s)) < 0)
			return rc;
	return rc == E_AGAIN ? 0 : rc;
}

static int
load_one(struct store *s, const char *file, uint64_t now_s)
{
	char other[FILE_NAME + 40];
	struct clusterfile f;
	uint8_t *buf;
	int rc = read_object(s, file, &f, &buf);

	if (rc == E_PROTO || rc == E_LIMIT) {
		snprintf(other, sizeof(other), "%s.bad-%" PRIu64, file, now_s);
		renameat(s->dir_fd, file, s->dir_fd, other);
		event(s, "store_damaged", file, other);
		snprintf(other, sizeof(other), "%s.prev", file);
		rc = read_object(s, other, &f, &buf);
		if (rc < 0)
			return 0; /* nothing to go back to: the peer may have it */
		/* A copy under its own name again, before anybody writes. */
		if (linkat(s->dir_fd, other, s->dir_fd, file, 0) < 0)
			event(s, "store_io", file, err_text(-errno));
	}
	if (rc < 0)
		return rc;
	if (f.flags & CLUSTERFILE_REMOVED && f.wall_ms / 1000 + REMOVED_KEPT_S < now_s)
		unlinkat(s->dir_fd, file, 0);
	else
		rc = take_file(s, &f, now_s);
	free(buf);
	return rc;
}

static int
load(struct store *s, uint64_t now_s)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL)
		return -errno;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		char *dot = strchr(e->d_name, '.');
		if (dot != NULL && strcmp(dot, ".new") == 0)
			unlinkat(s->dir_fd, e->d_name, 0); /* a write cut short */
		else if (dot == NULL && strlen(e->d_name) <= CLUSTER_NAME_MAX)
			rc = load_one(s, e->d_name, now_s);
	}
	closedir(d);
	return rc;
}

/* Two writers in one folder would undo each other. Held as long as the descriptor. */
static int
lock(const struct store *s)
{
	return flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

/* The folder and those above it. */
static int
make_folder(const char *folder)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s", folder) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (char *p = path + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int
store_open(struct store **out, uv_loop_t *loop, const char *folder, uint64_t now_s,
	   const struct store_handlers *h, void *arg)
{
	int rc = make_folder(folder);

	if (rc < 0)
		return rc;
	struct store *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return E_NOMEM;
	s->h = h;
	s->arg = arg;
	s->loop = loop;
	s->last = &s->first;
	s->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = s->dir_fd < 0 ? -errno : lock(s);
	if (rc == 0)
		rc = load(s, now_s);
	if (rc < 0) {
		store_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

static void
free_jobs(struct job *j)
{
	while (j != NULL) {
		struct job *next = j->next;
		free(j);
		j = next;
	}
}

void
store_free(struct store *s)
{
	static const struct store_handlers nobody;

	if (s == NULL)
		return;
	s->h = &nobody;
	while (!store_is_idle(s)) {
		for (struct job *j = s->working; j != NULL; j = j->next)
			j->ticket = 0; /* the thread only looks at files and bytes */
		for (struct job *j = s->first; j != NULL; j = j->next)
			j->ticket = 0;
		uv_run(s->loop, UV_RUN_ONCE);
	}
	for (size_t i = 0; i < s->n; i++)
		object_free(s->at[i]);
	free_jobs(s->first);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s);
}
