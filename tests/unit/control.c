/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "tests/lib/session_lab.h"
#include "vpnd/session/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

static uv_loop_t loop;
static struct control *control;
static struct control_host host;
static struct events *ring;
static char socket_path[96];
static char answer[200000];

static void
on_line(void *arg, const char *line, size_t n)
{
	if (control != NULL)
		control_event(control, line, n);
}

static struct now
lab_now(void *arg)
{
	return lab.now;
}

/* The parent and auth of this lab. */
static void
host_send(void *arg, enum ipc_process to, unsigned index, enum ipc_type type,
	  const void *body)
{
	lab_send(arg, to, index, type, body);
	const union ipc_body *m = &lab.last[type];
	if (type == IPC_status_ask && lab.now.mono_ms < 2000000) {
		struct ipc_status_text a = { .id = m->status_ask.id };
		a.json.n = (uint32_t)sprintf((char *)a.json.p,
					     "{\"workers\":2,\"ok\":false}");
		control_status(control, &a);
	}
	if (type == IPC_user_put) {
		struct ipc_user_done a = { .id = m->user_put.id };
		a.is_bad = strcmp(m->user_put.user, "nobody") == 0;
		snprintf(a.text, sizeof(a.text), "%s",
			 a.is_bad ? "no such user" : "done");
		control_user_done(control, &a);
	}
	if (type == IPC_user_get) {
		struct ipc_user_row a = { .id = m->user_get.id,
					  .total = 3,
					  .is_authorised = 1,
					  .wall_changed = 77 };
		snprintf(a.user, sizeof(a.user), "user%u", m->user_get.index);
		control_user_row(control, &a);
	}
	if (type == IPC_reload) {
		struct ipc_reload_done a = { .id = m->reload.id, .is_bad = 1 };
		a.text.n = (uint32_t)sprintf((char *)a.text.p, "line 3: no");
		control_reloaded(control, &a);
	}
}

static int
client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	ok(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "a client connects");
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	return fd;
}

/* Turn the loop until the client has a whole line or is hung up on. */
static const char *
line_of(int fd)
{
	size_t n = 0;

	for (int i = 0; i < 2000 && n < sizeof(answer) - 1; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		ssize_t k = recv(fd, answer + n, 1, 0);
		if (k == 0)
			return "closed";
		if (k < 0)
			continue;
		if (answer[n] == '\n') {
			answer[n] = '\0';
			return answer;
		}
		n++;
		i = 0;
	}
	return "silence";
}

static const char *
say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, 0) < 0)
		return "closed";
	return line_of(fd);
}

static bool
says(int fd, const char *question, const char *want)
{
	const char *a = say(fd, question);
	bool found = strstr(a, want) != NULL;

	if (!found)
		diag("%s -> %.300s", question, a);
	return found;
}

static void
questions_get_answers(void)
{
	char token[IPC_TOKEN_MAX + 1], line[128], id[9];
	int fd = client();

	ok(says(fd, "{\"cmd\":\"sessions\"}", "{\"ok\":true,\"sessions\":[]}"),
	   "nobody");
	lab_login("alice", token);
	lab_connect(0, token);
	struct ipc_tunnel_grant g = lab_grant();
	snprintf(id, sizeof(id), "%02x%02x%02x%02x", g.sid[0], g.sid[1], g.sid[2],
		 g.sid[3]);
	ok(says(fd, "{\"cmd\":\"sessions\"}", "\"user\":\"alice\""), "her");
	ok(strstr(answer, token) == NULL, "without her token");
	ok(says(fd, "{\"cmd\":\"sessions\",\"user\":\"bob\"}", "\"sessions\":[]"),
	   "not him");
	snprintf(line, sizeof(line), "{\"cmd\":\"session\",\"id\":\"%.5s\"}", id);
	ok(says(fd, line, id), "by the beginning of the id");
	ok(strstr(answer, "\"addr4\":\"10.9.0.2\"") != NULL, "with the address");
	ok(says(fd, "{\"cmd\":\"session\",\"id\":\"abc\"}", "bad_request"),
	   "too short");
	ok(says(fd, "{\"cmd\":\"session\",\"id\":\"zzzz\"}", "not_found"), "unknown");
	ok(says(fd, "{\"cmd\":\"status\"}", "\"connected\":1"), "status");
	ok(strstr(answer, "\"workers\":2") != NULL, "with the parent's part");
	ok(strstr(answer, "\"ok\":true") != NULL, "which overrides nothing");
	ok(says(fd, "{\"cmd\":\"config_running\"}", "\"text\":\"port = 443\""),
	   "config");
	ok(says(fd, "{\"cmd\":\"reload\"}", "\"error\":\"line 3: no\""),
	   "a bad reload");
	ok(says(fd, "{\"cmd\":\"why\",\"user\":\"alice\"}", "client_connected"), "why");
	ok(says(fd, "{\"cmd\":\"events\",\"filter\":\"AnyConnect\",\"last\":1}",
		"\"events\":[{\"time\":"),
	   "events");
	snprintf(line, sizeof(line), "{\"cmd\":\"disconnect\",\"id\":\"%s\"}", id);
	ok(says(fd, line, "\"count\":1"), "disconnect");
	is_int(session_count(lab.t, SESSION_CONNECTED), 0, "she is gone");
	ok(says(fd, "{\"cmd\":\"disconnect\",\"user\":\"alice\"}", "not_found"),
	   "twice");
	close(fd);
}

static void
user_changes_end_sessions(void)
{
	char token[IPC_TOKEN_MAX + 1];
	int fd = client();

	lab_login("bob", token);
	lab_connect(0, token);
	ok(says(fd, "{\"cmd\":\"user_put\",\"name\":\"nobody\",\"hash\":\"$y$x\"}",
		"\"error\":\"no such user\""),
	   "auth may refuse");
	ok(says(fd, "{\"cmd\":\"user_put\",\"name\":\"bob\",\"authorised\":true}",
		"\"ended\":0"),
	   "enabling ends nothing");
	ok(says(fd, "{\"cmd\":\"user_put\",\"name\":\"bob\",\"hash\":\"$y$x\"}",
		"\"ended\":1"),
	   "a new password ends his session");
	is_str(lab.last[IPC_user_put].user_put.hash, "$y$x", "auth has the hash");
	is_str(lab.reason[EV_CLIENT_DISCONNECTED], "password_changed", "the reason");
	ok(says(fd, "{\"cmd\":\"user_put\",\"hash\":\"x\"}", "bad_request"), "no name");
	ok(says(fd, "{\"cmd\":\"user_put\",\"name\":\"b\",\"hash\":7}", "bad_request"),
	   "odd hash");
	ok(says(fd, "{\"cmd\":\"user_list\"}", "\"name\":\"user2\""),
	   "a list of three");
	close(fd);
}

static void
nonsense_is_answered_politely(void)
{
	int fd = client();
	char *big = malloc(CONTROL_LINE_MAX + 10);

	ok(says(fd, "hello", "bad_request"), "no JSON");
	ok(says(fd, "[1]", "bad_request"), "no object");
	ok(says(fd, "{\"cmd\":1}", "bad_request"), "no command");
	ok(says(fd, "{\"cmd\":\"a\",\"cmd\":\"b\"}", "bad_request"), "two of them");
	ok(says(fd, "{\"cmd\":\"dance\"}", "unknown_command"), "unknown");
	ok(says(fd, "{\"cmd\":\"session\"}\n{\"cmd\":\"status\"}", "bad_request"),
	   "two lines");
	ok(strstr(line_of(fd), "\"ok\":true") != NULL, "get two answers");
	memset(big, 'x', CONTROL_LINE_MAX + 10);
	for (size_t at = 0; at < CONTROL_LINE_MAX + 10;) {
		ssize_t k =
			send(fd, big + at, CONTROL_LINE_MAX + 10 - at, MSG_NOSIGNAL);
		if (k < 0 && errno != EAGAIN)
			break;
		at += k > 0 ? (size_t)k : 0;
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	const char *a = line_of(fd);
	ok(strstr(a, "too long") != NULL || strcmp(a, "closed") == 0,
	   "a line without end");
	free(big);
	close(fd);
}

static void
followers_hear_what_they_asked_for(void)
{
	char token[IPC_TOKEN_MAX + 1];
	int fd = client();

	ok(says(fd, "{\"cmd\":\"events\",\"follow\":true,\"filter\":\"carol\"}",
		"{\"ok\":true,\"events\":[]}"),
	   "nothing yet");
	lab_login("dave", token);
	lab_connect(0, token);
	lab_login("carol", token);
	lab_connect(0, token);
	const char *a = line_of(fd);
	ok(strstr(a, "client_connected") && strstr(a, "\"user\":\"carol\""),
	   "hers only");
	close(fd);
}

static void
clients_are_bounded_and_idle_ones_go(void)
{
	int fd[CONTROL_CLIENTS + 1];

	for (int i = 0; i <= CONTROL_CLIENTS; i++)
		fd[i] = client();
	int answered = 0;
	for (int i = 0; i <= CONTROL_CLIENTS; i++)
		answered += says(fd[i], "{\"cmd\":\"sessions\"}", "\"ok\":true");
	is_int(answered, CONTROL_CLIENTS, "so many are served");
	lab.now.mono_ms += CONTROL_IDLE_MS + 1;
	control_tick(control);
	is_str(line_of(fd[0]), "closed", "an idle one is dropped");
	for (int i = 0; i <= CONTROL_CLIENTS; i++)
		close(fd[i]);
	for (int i = 0; i < 100; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	int again = client();
	ok(says(again, "{\"cmd\":\"sessions\"}", "\"ok\":true"),
	   "and there is room again");
	lab.now.mono_ms = 3000000;
	if (send(again, "{\"cmd\":\"status\"}\n", 17, 0) != 17)
		ok(false, "send");
	for (int i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	lab.now.mono_ms += 5000;
	control_tick(control);
	ok(strstr(line_of(again), "\"connected\"") != NULL,
	   "a silent parent: our own part");
	close(again);
}

static void
add_event(void *arg, const struct event *e)
{
	lab_event(arg, e);
	events_add(ring, e, lab.now.wall_ms);
}

int
main(void)
{
	static const struct session_out out = { .send = lab_send, .event = add_event };
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	lab_up();
	session_table_free(lab.t);
	session_table_new(&lab.t, &lab.config, 200, lab.dir, &out, lab.now);
	snprintf(lab.config.node_name, sizeof(lab.config.node_name), "n1");
	uv_loop_init(&loop);
	events_open(&ring, lab.dir, 100000, "n1", on_line, NULL);
	host = (struct control_host){ .table = lab.t,
				      .events = ring,
				      .config = &lab.config,
				      .text = "port = 443",
				      .hash = "00",
				      .send = host_send,
				      .now = lab_now };
	snprintf(socket_path, sizeof(socket_path), "%s/sock", lab.path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ok(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0,
	   "listen");
	is_int(control_open(&control, &loop, fd, &host), 0, "the control socket opens");

	questions_get_answers();
	user_changes_end_sessions();
	nonsense_is_answered_politely();
	followers_hear_what_they_asked_for();
	clients_are_bounded_and_idle_ones_go();
	events_close(ring);
	unlinkat(lab.dir, "sock", 0);
	unlinkat(lab.dir, "events.0", 0);
	lab_down();
	return done_testing();
}
