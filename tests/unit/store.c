/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "hasync/store.h"

#include "common/err.h"
#include "common/file.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct seen {
	unsigned durable, events;
	int rc;
	char event[64], file[128];
};

static void
on_durable(void *arg, uint64_t ticket, int rc)
{
	struct seen *s = arg;

	s->durable++;
	s->rc = rc;
}

static void
on_event(void *arg, const char *event, const char *object, const char *file)
{
	struct seen *s = arg;

	s->events++;
	snprintf(s->event, sizeof(s->event), "%s %s", event, object);
	snprintf(s->file, sizeof(s->file), "%s", file);
}

static const struct store_handlers handlers = { on_durable, on_event };

static char folder[] = "/tmp/store-test-XXXXXX";

static struct store *
opened(uv_loop_t *loop, struct seen *seen)
{
	struct store *s = NULL;

	*seen = (struct seen){ 0 };
	is_int(store_open(&s, loop, folder, 1000, &handlers, seen), 0, "open");
	return s;
}

static void
put(struct store *s, uv_loop_t *loop, const char *name, const char *bytes,
    uint64_t generation)
{
	struct object *o;

	store_make(s, span_str(name), &o);
	store_set_bytes(s, o, span_str(bytes));
	o->generation = generation;
	snprintf(o->writer, sizeof(o->writer), "gw1");
	store_write(s, o, generation);
	uv_run(loop, UV_RUN_DEFAULT);
}

static const char *
text_of(struct store *s, const char *name)
{
	struct object *o = store_find(s, span_str(name));

	if (o == NULL || o->bytes == NULL)
		return "(none)";
	static char text[64];
	snprintf(text, sizeof(text), "%.*s", (int)o->n, (char *)o->bytes);
	return text;
}

static void
spoil(const char *name, off_t at, off_t size)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY);
	if (at >= 0)
		ok(pwrite(fd, "\xff\x01", 2, at) == 2, "%s spoilt at %d", name,
		   (int)at);
	else
		ok(ftruncate(fd, size) == 0, "%s cut to %d", name, (int)size);
	close(fd);
}

static void
what_is_written_is_there_after_a_restart(uv_loop_t *loop)
{
	struct seen seen;
	struct store *s = opened(loop, &seen);

	put(s, loop, "users", "one", 1);
	put(s, loop, "users", "two", 2);
	put(s, loop, "cert/auto", "chain", 7);
	is_int(seen.durable, 3, "each was told");
	is_int(seen.rc, 0, "and went well");
	struct object *o;
	store_make(s, SPAN("revoked"), &o);
	struct cluster_entry e = { .key_n = 2, .key = "k1", .expires_s = 5000 };
	object_add(o, &e, 1000);
	e.key[1] = '2';
	e.expires_s = 10;
	is_int(object_add(o, &e, 1000), 0, "what has expired is not taken");
	o->generation = 1;
	memcpy(o->writer, "gw1", 4);
	store_write(s, o, 0);
	uv_run(loop, UV_RUN_DEFAULT);
	store_free(s);

	s = opened(loop, &seen);
	is_str(text_of(s, "users"), "two", "the newest");
	is_str(text_of(s, "cert/auto"), "chain", "a name with a slash");
	is_int(store_find(s, SPAN("cert/auto"))->generation, 7, "its generation");
	is_int(store_find(s, SPAN("revoked"))->set.n, 1, "a set");
	is_int(seen.events, 0, "nothing to complain about");
	store_free(s);
}

static void
a_folder_has_one_owner(uv_loop_t *loop)
{
	struct seen seen;
	struct store *s = opened(loop, &seen), *second = NULL;

	is_int(store_open(&second, loop, folder, 1000, &handlers, &seen), -EWOULDBLOCK,
	       "the second is refused");
	store_free(s);
}

static void
a_damaged_file_is_set_aside_and_the_one_before_serves(uv_loop_t *loop)
{
	static const struct {
		off_t at, size;
	} cases[] = { { 0, 0 }, { 20, 0 }, { 60, 0 }, { -1, 0 }, { -1, 50 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seen seen;
		struct store *s = opened(loop, &seen);
		put(s, loop, "users", "old", 10 + i * 2);
		put(s, loop, "users", "new", 11 + i * 2);
		store_free(s);
		spoil("users", cases[i].at, cases[i].size);
		s = opened(loop, &seen);
		is_str(text_of(s, "users"), "old", "the version before");
		is_int(seen.events, 1, "told once");
		is_str(seen.event, "store_damaged users", "what");
		store_free(s);
		s = opened(loop, &seen);
		is_str(text_of(s, "users"), "old", "again at the next start");
		is_int(seen.events, 0, "quietly");
		store_free(s);
		char bad[256];
		snprintf(bad, sizeof(bad), "%s/users.bad-1000", folder);
		is_int(access(bad, F_OK), 0, "kept");
		unlink(bad);
	}
}

static void
leftovers_of_a_crash_do_no_harm(uv_loop_t *loop)
{
	char path[256];
	struct seen seen;

	snprintf(path, sizeof(path), "%s/users.new", folder);
	file_replace(AT_FDCWD, path, SPAN("half"), 0600);
	struct store *s = opened(loop, &seen);
	is_str(text_of(s, "users"), "old", "as before");
	is_int(access(path, F_OK), -1, "gone");
	store_free(s);
}

static void
lost_bytes_are_kept_under_their_generation(uv_loop_t *loop)
{
	struct seen seen;
	struct store *s = opened(loop, &seen);
	char path[256];

	put(s, loop, "config", "mine", 4);
	store_keep_lost(s, store_find(s, SPAN("config")));
	uv_run(loop, UV_RUN_DEFAULT);
	is_str(seen.event, "store_conflict config", "told");
	is_str(seen.file, "config.lost-4", "where");
	snprintf(path, sizeof(path), "%s/config.lost-4", folder);
	is_int(access(path, F_OK), 0, "there");
	store_free(s);
}

static void
many_writes_of_one_object_are_each_answered(uv_loop_t *loop)
{
	struct seen seen;
	struct store *s = opened(loop, &seen);
	struct object *o = store_find(s, SPAN("users"));

	for (uint64_t i = 1; i <= 50; i++) {
		char text[16];
		snprintf(text, sizeof(text), "v%d", (int)i);
		store_set_bytes(s, o, span_str(text));
		o->generation = 100 + i;
		store_write(s, o, i);
	}
	uv_run(loop, UV_RUN_DEFAULT);
	is_int(seen.durable, 50, "all");
	store_free(s);
	s = opened(loop, &seen);
	is_str(text_of(s, "users"), "v50", "and the last is what stays");
	store_free(s);
}

static void
removed_objects_are_remembered_for_a_month(uv_loop_t *loop)
{
	struct seen seen;
	struct store *s = opened(loop, &seen);
	struct object *o = store_find(s, SPAN("cert/auto"));

	store_set_bytes(s, o, (struct span){ 0 });
	o->flags = CLUSTERFILE_REMOVED;
	o->generation = 8;
	o->wall_ms = 1000 * 1000;
	store_write(s, o, 0);
	uv_run(loop, UV_RUN_DEFAULT);
	store_free(s);
	s = opened(loop, &seen);
	is_int(store_find(s, SPAN("cert/auto"))->generation, 8, "remembered");
	store_free(s);
	is_int(store_open(&s, loop, folder, 1000 + 31 * 86400, &handlers, &seen), 0,
	       "later");
	ok(store_find(s, SPAN("cert/auto")) == NULL, "forgotten");
	store_free(s);
}

static void
others_can_read_a_file(void)
{
	struct clusterfile f;
	uint8_t *buf;

	is_int(clusterfile_read(folder, "users", &f, &buf), 0, "read");
	ok(span_is(f.bytes, "v50") && span_is(f.writer, "gw1"), "it");
	free(buf);
	is_int(clusterfile_read(folder, "nothing", &f, &buf), E_NOENT, "none");
	is_int(clusterfile_read(folder, "../etc/passwd", &f, &buf), E_INVAL, "no name");
}

/* The union is the same whatever the order and however often. */
static void
sets_merge_the_same_in_all_orders(void)
{
	static const struct cluster_entry in[4] = {
		{ .key_n = 1, .key = "a", .expires_s = 50 },
		{ .key_n = 1, .key = "b", .expires_s = 60 },
		{ .key_n = 1, .key = "a", .expires_s = 70 },
		{ .key_n = 1, .key = "b", .expires_s = 0 },
	};
	uint8_t want[CLUSTERFILE_SHA], got[CLUSTERFILE_SHA];
	unsigned bad = 0, orders = 0;

	for (unsigned order = 0; order < 256; order++) {
		struct object *o;
		unsigned used = 0;
		object_new(&o, SPAN("revoked"));
		for (unsigned i = 0; i < 4; i++) {
			used |= 1u << (order >> (2 * i) & 3);
			object_add(o, &in[order >> (2 * i) & 3], 10);
		}
		object_digest(o, got);
		if (used == 15) {
			if (orders++ == 0)
				memcpy(want, got, sizeof(want));
			bad += memcmp(want, got, sizeof(want)) != 0;
			for (unsigned i = 0; i < 4; i++)
				bad += object_add(o, &in[i], 10) != 0;
		}
		object_free(o);
	}
	is_int(bad, 0, "%u orders", orders);
}

static void
a_set_is_bounded_and_expires(void)
{
	struct object *o;
	struct cluster_entry e = { .key_n = 4 };
	int rc = 0;

	object_new(&o, SPAN("endpoints/gw1"));
	for (uint32_t i = 0; i <= OBJECT_ENTRIES_MAX; i++) {
		memcpy(e.key, &i, 4);
		rc = object_add(o, &e, 10);
	}
	is_int(rc, E_LIMIT, "one too many");
	is_int(o->set.n, OBJECT_ENTRIES_MAX, "the others are there");
	e.is_gone = true;
	for (uint32_t i = 0; i < OBJECT_ENTRIES_MAX; i += 2) {
		memcpy(e.key, &i, 4);
		object_add(o, &e, 10);
	}
	is_int(o->set.n, OBJECT_ENTRIES_MAX / 2, "every second removed");
	is_int(o->set.bytes, OBJECT_ENTRIES_MAX / 2 * 14, "bytes add up");
	object_free(o);
	object_new(&o, SPAN("bans"));
	e = (struct cluster_entry){ .key_n = 1, .key = "a", .expires_s = 20 };
	object_add(o, &e, 10);
	is_int(object_expire(o, 19), 0, "not yet");
	is_int(object_expire(o, 20), 1, "now");
	object_free(o);
}

int
main(void)
{
	uv_loop_t loop;
	char command[64];

	uv_loop_init(&loop);
	if (mkdtemp(folder) == NULL)
		return 1;
	what_is_written_is_there_after_a_restart(&loop);
	a_folder_has_one_owner(&loop);
	a_damaged_file_is_set_aside_and_the_one_before_serves(&loop);
	leftovers_of_a_crash_do_no_harm(&loop);
	lost_bytes_are_kept_under_their_generation(&loop);
	many_writes_of_one_object_are_each_answered(&loop);
	removed_objects_are_remembered_for_a_month(&loop);
	others_can_read_a_file();
	sets_merge_the_same_in_all_orders();
	a_set_is_bounded_and_expires();
	uv_loop_close(&loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) != 0 || done_testing();
}
