/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Which uplinks live, and what a name means meanwhile. */
#include "ddns/paths.h"
#include "tests/lib/tap.h"

static unsigned changes, last_wan, last_to;

static void
on_change(void *arg, unsigned wan, unsigned to)
{
	changes++;
	last_wan = wan;
	last_to = to;
}

static void
heard(struct paths *p, const char *wan1, const char *wan2)
{
	char json[300];

	snprintf(json, sizeof(json),
		 "{\"node\":\"a\",\"links\":[{\"name\":\"wan1\",%s},"
		 "{\"name\":\"wan2\",%s},{\"name\":\"lan\",\"carrier\":true}]}",
		 wan1, wan2);
	paths_heard(p, span_str(json));
}

#define WELL "\"carrier\":true,\"gateway\":true"
#define SILENT "\"carrier\":true,\"gateway\":false"
#define UNPLUGGED "\"carrier\":false,\"gateway\":true"

int
main(void)
{
	struct config c = { .n_wan = 2,
			    .wan = { { .name = "wan1", .service = true },
				     { .name = "wan2", .service = true } } };
	struct paths p = { .on_change = on_change };
	uv_loop_t loop;

	uv_loop_init(&loop);
	paths_start(&p, &loop);
	paths_configure(&p, &c);
	uint64_t t = uv_now(&loop) + 100;
	ok(p.alive[0] && p.alive[1], "of which nothing is known, that lives");
	heard(&p, WELL, WELL);
	ok(p.alive[0] && p.alive[1], "both live");
	heard(&p, SILENT, WELL);
	ok(!p.alive[0] && p.alive[1], "a silent gateway");
	ok(paths_step(&p, t), "time will tell");
	ok(!paths_step(&p, t += FOLLOW_DEAD_MS) && changes == 1, "R163 and has told");
	ok(last_wan == 0 && last_to == 1 && p.to[0] == 1 && p.to[1] == 1,
	   "R163 WAN1's name means WAN2");
	heard(&p, WELL, WELL);
	(void)paths_step(&p, t);
	(void)paths_step(&p, t += FOLLOW_BACK_MS);
	ok(changes == 2 && last_wan == 0 && last_to == 0, "and later itself");
	heard(&p, WELL, UNPLUGGED);
	(void)paths_step(&p, t += 1);
	(void)paths_step(&p, t += FOLLOW_DEAD_MS);
	ok(changes == 3 && last_wan == 1 && last_to == 0, "WAN2 is unplugged");
	paths_heard(&p, (struct span){ 0 });
	ok(p.alive[0] && p.alive[1], "hasync is gone: as if all lived");
	static const char *const odd[] = { "", "[]", "{", "{\"links\":3}",
					   "{\"links\":[3,{\"name\":4}]}" };
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		paths_heard(&p, span_str(odd[i]));
		ok(p.alive[0] && p.alive[1], "odd text %zu", i);
	}

	/* Nobody follows to where no client could come. */
	c.wan[1].type = UPLINK_CELLULAR;
	heard(&p, SILENT, WELL);
	(void)paths_step(&p, t += 1);
	(void)paths_step(&p, t += FOLLOW_BACK_MS);
	ok(p.to[0] == 0 && !p.alive[1], "R14 not to a cellular uplink");
	c.wan[1] = (struct config_wan){ .name = "wan2" };
	(void)paths_step(&p, t += 1);
	(void)paths_step(&p, t += FOLLOW_BACK_MS);
	ok(p.to[0] == 0, "nor to one without the service");
	c.n_wan = 1;
	(void)paths_step(&p, t += FOLLOW_BACK_MS);
	ok(p.to[0] == 0 && p.to[1] == 1, "a second one that is not there");
	ok(p.egress.ifname[0] == '\0', "no way out without an interface");
	paths_stop(&p);
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&loop), 0, "ended");
	return done_testing();
}
