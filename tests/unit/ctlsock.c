/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/ctlsock.h"
#include "tests/lib/tap.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64, LONG_MS = 60 * 1000, SHORT_MS = 40, BIG = 1 << 20 };

/* The daemon: `cmd` says what it does with a question. */
struct daemon {
	uv_loop_t loop;
	struct ctlsock *sock;
	uint32_t open[8], gone;
	size_t n_open;
};

static struct sockaddr_un at = { .sun_family = AF_UNIX };

static void
on_question(void *arg, uint32_t id, const json_t *q)
{
	struct daemon *d = arg;
	const char *cmd = json_string_value(json_object_get(q, "cmd"));

	if (cmd == NULL)
		ctlsock_refuse(d->sock, id, "no_json", "%s", "not \"this\"");
	else if (strcmp(cmd, "now") == 0)
		ctlsock_answer(d->sock, id,
			       json_pack("{sO}", "n", json_object_get(q, "n")));
	else if (strcmp(cmd, "big") == 0) {
		char *text = calloc(1, BIG + 1);
		memset(text, 'x', BIG);
		ctlsock_answer(d->sock, id, json_pack("{ss}", "text", text));
		free(text);
	} else
		d->open[d->n_open++] = id;
}

static void
on_gone(void *arg, uint32_t id)
{
	struct daemon *d = arg;

	d->gone = id;
}

static const struct ctlsock_rules patient = { LINE_MAX_BYTES, LONG_MS, on_question,
					      on_gone };
static const struct ctlsock_rules hasty = { LINE_MAX_BYTES, SHORT_MS, on_question,
					    on_gone };

static void
begin(struct daemon *d, const struct ctlsock_rules *rules)
{
	memset(d, 0, sizeof(*d));
	uv_loop_init(&d->loop);
	if (ctlsock_open(&d->sock, &d->loop, at.sun_path, rules, d) < 0)
		abort();
}

static void
end(struct daemon *d)
{
	ctlsock_close(d->sock);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	ctlsock_free(d->sock);
	is_int(uv_loop_close(&d->loop), 0, "nothing is left in the loop");
}

/* All that is there to be done. */
static void
turn(struct daemon *d)
{
	for (int i = 0; i < 8; i++)
		uv_run(&d->loop, UV_RUN_NOWAIT);
}

static int
dial(struct daemon *d)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		abort();
	turn(d);
	return fd;
}

static void
say(struct daemon *d, int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		diag("send failed");
	turn(d);
}

/* What has come; "-" when nothing has, "EOF" when no more will. */
static const char *
heard(struct daemon *d, int fd)
{
	static char buf[512];
	ssize_t n;

	turn(d);
	n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? "EOF" : "-";
	buf[n] = '\0';
	return buf;
}

static void
questions_are_answered_in_their_order(struct daemon *d)
{
	struct stat st;
	int fd = dial(d);

	ok(stat(at.sun_path, &st) == 0 && (st.st_mode & 0777) == 0600,
	   "the socket is its owner's alone");
	say(d, fd, "{\"cmd\":\"now\",");
	is_str(heard(d, fd), "-", "half a line is no question");
	say(d, fd, "\"n\":1}\n{\"cmd\":\"now\",\"n\":2}\n");
	is_str(heard(d, fd), "{\"n\":1,\"ok\":true}\n{\"n\":2,\"ok\":true}\n",
	       "both are answered, with \"ok\"");
	say(d, fd, "what?\n");
	is_str(heard(d, fd),
	       "{\"ok\":false,\"error\":\"not \\\"this\\\"\",\"code\":\"no_json\"}\n",
	       "what is no JSON is refused by the daemon");
	say(d, fd, "{\"cmd\":\"later\"}\n{\"cmd\":\"now\",\"n\":3}\n");
	is_str(heard(d, fd), "-", "the second waits while the first is open");
	ctlsock_answer(d->sock, d->open[0] + 7, json_object());
	is_str(heard(d, fd), "-", "an answer to nobody is none to this client");
	ctlsock_answer(d->sock, d->open[0], json_pack("{sb}", "ok", 0));
	is_str(heard(d, fd), "{\"ok\":false}\n{\"n\":3,\"ok\":true}\n",
	       "then both; its own \"ok\" stays");
	ctlsock_answer(d->sock, d->open[0], json_object());
	is_str(heard(d, fd), "-", "a question is answered once");
	close(fd);
	turn(d);
}

static void
a_client_that_has_said_all_hears_all(struct daemon *d)
{
	static char buf[65536];
	size_t got = 0;
	ssize_t n;
	int fd = dial(d);

	say(d, fd, "{\"cmd\":\"later\"}\n{\"cmd\":\"now\",\"n\":4}\n");
	shutdown(fd, SHUT_WR);
	is_str(heard(d, fd), "-", "half closed, it waits");
	is_int(d->gone, 0, "and has not gone");
	ctlsock_answer(d->sock, d->open[d->n_open - 1], json_object());
	is_str(heard(d, fd), "{\"ok\":true}\n{\"n\":4,\"ok\":true}\n",
	       "it hears both answers");
	is_str(heard(d, fd), "EOF", "and that there are no more");
	close(fd);

	fd = dial(d);
	say(d, fd, "{\"cmd\":\"big\"}\n");
	shutdown(fd, SHUT_WR);
	for (turn(d); (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0; turn(d))
		got += (size_t)n;
	ok(n == 0 && got > BIG, "also what did not fit into the socket at once");
	close(fd);
	turn(d);
}

static void
who_has_left_is_known(struct daemon *d)
{
	int fd = dial(d);

	say(d, fd, "{\"cmd\":\"later\"}\n");
	close(fd);
	turn(d);
	is_int(d->gone, d->open[d->n_open - 1], "the daemon hears that nobody waits");
	ctlsock_answer(d->sock, d->gone, json_object());
	ok(true, "an answer to it does no harm");
}

static void
bounds_hold(struct daemon *d)
{
	char text[LINE_MAX_BYTES + 1];
	int at_most[CTLSOCK_CLIENTS];

	for (int i = 0; i < CTLSOCK_CLIENTS; i++)
		at_most[i] = dial(d);
	int a = at_most[0], b = at_most[1], one_more = dial(d);
	is_str(heard(d, one_more), "EOF", "one client too many is hung up on");
	close(one_more);
	memset(text, ' ', sizeof(text));
	text[LINE_MAX_BYTES - 1] = '\0';
	say(d, a, text);
	is_str(heard(d, a), "-", "a line that may still end is waited for");
	say(d, a, " ");
	is_str(heard(d, a), "EOF", "one that is too long ends the client");
	close(a);
	a = dial(d);
	is_str(heard(d, a), "-", "its place is free again");
	text[LINE_MAX_BYTES - 1] = ' ';
	text[LINE_MAX_BYTES] = '\0';
	say(d, b, "{\"cmd\":\"later\"}\n");
	say(d, b, text);
	is_str(heard(d, b), "EOF",
	       "so does talking on and on while a question is open");
	is_int(d->gone, d->open[d->n_open - 1], "which nobody waits for then");
	close(a);
	for (int i = 1; i < CTLSOCK_CLIENTS; i++)
		close(at_most[i]);
	turn(d);
}

static void
run_ms(struct daemon *d, uint64_t ms)
{
	uint64_t until = uv_hrtime() + ms * 1000000;

	while (uv_hrtime() < until) {
		turn(d);
		usleep(1000);
	}
}

static void
the_idle_are_dropped_the_waiting_not(struct daemon *d)
{
	int idle = dial(d), waiting = dial(d);

	say(d, waiting, "{\"cmd\":\"later\"}\n");
	run_ms(d, 3 * SHORT_MS);
	is_str(heard(d, idle), "EOF", "who says nothing is dropped");
	is_str(heard(d, waiting), "-", "who waits for an answer is not");
	ctlsock_answer(d->sock, d->open[d->n_open - 1], json_object());
	is_str(heard(d, waiting), "{\"ok\":true}\n", "and gets it");
	run_ms(d, 3 * SHORT_MS);
	is_str(heard(d, waiting), "EOF", "then its time runs again");
	close(idle);
	close(waiting);
}

static void
only_root_may(struct daemon *d)
{
	chmod(at.sun_path, 0666);
	if (seteuid(65534) < 0)
		abort();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (struct sockaddr *)&at, sizeof(at));
	if (seteuid(0) < 0)
		abort();
	is_int(rc, 0, "another user gets at the socket");
	is_str(heard(d, fd), "EOF", "and is hung up on");
	close(fd);
}

int
main(void)
{
	char dir[] = "/tmp/ctlsock-XXXXXX";
	struct daemon d;

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root: nobody else may connect");
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0)
		return 1;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/sock", dir);
	begin(&d, &patient);
	questions_are_answered_in_their_order(&d);
	a_client_that_has_said_all_hears_all(&d);
	who_has_left_is_known(&d);
	bounds_hold(&d);
	only_root_may(&d);
	end(&d);
	begin(&d, &hasty); /* a file that is left is replaced */
	the_idle_are_dropped_the_waiting_not(&d);
	int fd = dial(&d);
	say(&d, fd, "{\"cmd\":\"later\"}\n");
	end(&d);
	is_int(d.gone, d.open[d.n_open - 1], "at the end open questions go too");
	close(fd);
	unlink(at.sun_path);
	rmdir(dir);
	return done_testing();
}
