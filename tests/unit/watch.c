/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Changes of files in a folder, and a folder that goes and comes. */
#include "tests/lib/tap.h"
#include "common/watch.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/watch-XXXXXX", folder[64];
static uv_loop_t loop;
static unsigned told, any;
static char last[64];

static void
on_change(void *arg, const char *name)
{
	told++;
	any += name == NULL;
	snprintf(last, sizeof(last), "%s", name ? name : "");
}

static void
on_time(uv_timer_t *t)
{
	uv_stop(&loop);
}

static void
run_ms(unsigned ms)
{
	uv_timer_t t;

	uv_timer_init(&loop, &t);
	uv_timer_start(&t, on_time, ms, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

static void
run_until(unsigned n)
{
	for (int i = 0; i < 100 && told < n; i++)
		run_ms(50);
}

static void
put(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	if (f != NULL) {
		fputs(text, f);
		fclose(f);
	}
}

int
main(void)
{
	struct watch *w;
	char from[128], to[128];

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(folder, sizeof(folder), "%s/x", dir);
	mkdir(folder, 0700);
	uv_loop_init(&loop);
	is_int(watch_new(&w, &loop, folder, 100, on_change, NULL), 0, "watches");
	run_ms(200);
	is_int(told, 0, "nothing happened");
	put("a", "1");
	put("a", "2");
	put("a", "3");
	run_until(1);
	run_ms(300);
	is_int(told, 1, "three writes at once are one change");
	is_str(last, "a", "of that file");
	snprintf(from, sizeof(from), "%s/new", folder);
	snprintf(to, sizeof(to), "%s/a", folder);
	put("new", "4");
	rename(from, to);
	run_until(3);
	is_int(told, 3, "a rename is one of both");
	unlink(to);
	run_until(4);
	is_str(last, "a", "a removal is one, too");
	told = 0;
	uint64_t t = uv_hrtime();
	for (int i = 0; i < 40 && told == 0; i++) {
		put("b", "x");
		run_ms(50);
	}
	t = (uv_hrtime() - t) / 1000000;
	ok(told > 0 && t < 1900, "a file that never rests is told within a second");
	run_ms(300);
	told = any = 0;
	for (int i = 0; i < 30; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%d", i);
		put(name, "");
	}
	run_until(1);
	ok(told == 1 && any == 1, "many files are one change of anything");

	told = any = 0;
	for (int i = 0; i < 30; i++) {
		snprintf(to, sizeof(to), "%s/f%d", folder, i);
		unlink(to);
	}
	snprintf(to, sizeof(to), "%s/b", folder);
	unlink(to);
	rmdir(folder);
	run_ms(1500);
	mkdir(folder, 0700);
	run_ms(1500);
	ok(any > 0, "the folder is removed and made again");
	told = 0;
	put("again", "");
	run_until(1);
	is_str(last, "again", "what happens in it is told");
	snprintf(to, sizeof(to), "%s/again", folder);
	unlink(to);
	watch_free(w);
	watch_free(NULL);
	rmdir(folder);
	is_int(watch_new(&w, &loop, folder, 100, on_change, NULL), 0,
	       "a folder that is not there yet");
	told = any = 0;
	mkdir(folder, 0700);
	run_until(1);
	ok(any == 1, "comes");
	watch_free(w);
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&loop), 0, "nothing is left");
	rmdir(folder);
	rmdir(dir);
	return done_testing();
}
