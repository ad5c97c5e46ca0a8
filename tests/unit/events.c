/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/log.h"
#include "tests/lib/tap.h"
#include "vpnd/session/events.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir;

struct got {
	unsigned n;
	char last[EVENTS_LINE_MAX];
};

static void
take(void *arg, const char *line, size_t n)
{
	struct got *g = arg;
	g->n++;
	snprintf(g->last, sizeof(g->last), "%s", line);
}

static struct got
find(struct events *ev, const char *event, const char *user, const char *since,
     unsigned last)
{
	struct events_filter f = { event, user, since };
	struct got g = { 0 };
	events_each(ev, &f, last, take, &g);
	return g;
}

static void
a_line_says_what_happened(void)
{
	struct events *ev;
	struct got g = { 0 };
	struct event e = { .what = EV_AUTH_FAILURE,
			   .user = "al\"ice",
			   .reason = "password",
			   .attempt = 255 };

	ip_parse("192.0.2.7", &e.source);
	events_open(&ev, dir, 100000, "n1", take, &g);
	events_add(ev, &e, 1700000000123);
	is_str(g.last,
	       "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"auth_failure\","
	       "\"syslog\":\"anyconnect_vpn_auth_failure\",\"type\":\"AnyConnect\","
	       "\"node\":\"n1\",\"user\":\"al\\\"ice\","
	       "\"source\":\"192.0.2.7\",\"reason\":\"password\","
	       "\"attempt\":\"00000000000000ff\"}",
	       "the hook sees the line");
	e.user = "b\xff";
	events_add(ev, &e, 1700000000123);
	ok(strstr(g.last, "\"user\":\"b?\"") != NULL,
	   "bytes that are no UTF-8 do not lose it");
	e.user = "\xc3\xa9\t\x01\\/";
	events_add(ev, &e, 1700000000123);
	ok(strstr(g.last, "\"user\":\"\xc3\xa9\\t\\u0001\\\\/\"") != NULL,
	   "UTF-8 stays, control bytes are escaped");
	events_close(ev);
}

static void
filters_choose_by_event_user_type_and_time(void)
{
	struct events *ev;

	unlinkat(dir, "events.0", 0);
	events_open(&ev, dir, 100000, "n1", NULL, NULL);
	for (unsigned i = 0; i < 10; i++) {
		struct event e = { .what = i % 2 ? EV_AUTH_SUCCESS : EV_AUTH_FAILURE,
				   .user = i < 4 ? "ann" : "\"user\":\"ann\"" };
		events_add(ev, &e, 1700000000000 + i * 1000);
	}
	is_int(find(ev, NULL, NULL, NULL, 0).n, 10, "all");
	is_int(find(ev, "auth_success", NULL, NULL, 0).n, 5, "by event");
	is_int(find(ev, "auth", NULL, NULL, 0).n, 0,
	       "a part of a name is not the name");
	is_int(find(ev, "AnyConnect", NULL, NULL, 0).n, 10, "R156 by type");
	is_int(find(ev, "anyconnect_vpn_auth_success", NULL, NULL, 0).n, 5,
	       "R158 by the name in syslog");
	is_int(find(ev, NULL, "ann", NULL, 0).n, 4,
	       "by user, and nobody can pose as one");
	is_int(find(ev, "auth_failure", "ann", NULL, 0).n, 2, "by both");
	is_int(find(ev, NULL, NULL, "2023-11-14T22:13:25", 0).n, 5, "by time");
	struct got g = find(ev, NULL, NULL, NULL, 3);
	is_int(g.n, 3, "the last three");
	ok(strstr(g.last, "22:13:29") != NULL, "the newest at the end");
	events_close(ev);
}

static void
log_on_and_log_off_have_their_titles(void)
{
	static const struct {
		enum event_what what;
		const char *part;
	} cases[] = {
		{ EV_CLIENT_CONNECTED,
		  "\"title\":\"VPN client "
		  "connected\",\"syslog\":\"anyconnect_vpn_connect\"" },
		{ EV_CLIENT_DISCONNECTED, "\"title\":\"VPN client disconnected\","
					  "\"syslog\":\"anyconnect_vpn_disconnect\"" },
		{ EV_AUTH_SUCCESS, "\"syslog\":\"anyconnect_vpn_auth_success\"" },
		{ EV_AUTH_FAILURE, "\"syslog\":\"anyconnect_vpn_auth_failure\"" },
		{ EV_SESSION_LIMIT, "\"syslog\":\"anyconnect_vpn_session_manager\"" },
		{ EV_CLIENT_RECONNECTED,
		  "\"syslog\":\"anyconnect_vpn_session_manager\"" },
		{ EV_SERVICE_STARTED, "\"syslog\":\"anyconnect_vpn_general\"" },
	};
	struct events *ev;
	struct got g = { 0 };

	unlinkat(dir, "events.0", 0);
	events_open(&ev, dir, 100000, "n1", take, &g);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event e = { .what = cases[i].what, .user = "ann" };
		events_add(ev, &e, 1700000000000);
		ok(strstr(g.last, cases[i].part) != NULL, "R157 R158 %s",
		   event_name[cases[i].what]);
	}
	is_int(find(ev, "VPN client connected", NULL, NULL, 0).n, 1,
	       "found by its title");
	events_close(ev);
}

static void
the_ring_is_bounded_and_survives(void)
{
	struct events *ev;
	struct stat a, b;
	struct event e = { .what = EV_BACKOFF, .user = "someone" };

	unlinkat(dir, "events.0", 0);
	events_open(&ev, dir, 2000, "n1", NULL, NULL);
	for (unsigned i = 0; i < 500; i++)
		events_add(ev, &e, 1700000000000 + i);
	unsigned n = find(ev, NULL, NULL, NULL, 0).n;
	ok(n > 10 && n < 40, "the newest are kept");
	fstatat(dir, "events.0", &a, 0);
	fstatat(dir, "events.1", &b, 0);
	ok(a.st_size <= 2000 && b.st_size <= 2000, "in two bounded files");
	events_close(ev);
	int fd = openat(dir, "events.0", O_WRONLY | O_APPEND);
	ok(write(fd, "{\"cut", 5) == 5, "a crash leaves half a line");
	close(fd);
	events_open(&ev, dir, 20000, "n1", NULL, NULL);
	events_add(ev, &e, 1700000001000);
	is_int(find(ev, "backoff", NULL, NULL, 0).n, n + 1, "and only that is lost");
	events_close(ev);
}

static void
a_stranger_cannot_flood_the_ring(void)
{
	struct events *ev;
	struct event e = { .what = EV_TOKEN_REFUSED, .reason = "bad_seal" };

	unlinkat(dir, "events.0", 0);
	unlinkat(dir, "events.1", 0);
	events_open(&ev, dir, 1000000, "n1", NULL, NULL);
	for (unsigned i = 0; i < 500; i++)
		events_add(ev, &e, 1700000000000);
	is_int(find(ev, NULL, NULL, NULL, 0).n, 50, "fifty a second are kept");
	events_add(ev, &e, 1700000001000);
	is_int(find(ev, NULL, NULL, NULL, 0).n, 51, "the next second starts anew");
	events_close(ev);
}

int
main(void)
{
	char path[] = "/tmp/events-test.XXXXXX";

	log_set_fd(open("/dev/null", O_WRONLY));
	dir = open(mkdtemp(path), O_RDONLY | O_DIRECTORY);
	a_line_says_what_happened();
	filters_choose_by_event_user_type_and_time();
	log_on_and_log_off_have_their_titles();
	the_ring_is_bounded_and_survives();
	a_stranger_cannot_flood_the_ring();
	unlinkat(dir, "events.0", 0);
	unlinkat(dir, "events.1", 0);
	rmdir(path);
	return done_testing();
}
