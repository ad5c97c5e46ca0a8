/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control_state.h -- what the files of control.h share. Nobody else includes it.
 *
 *   control.c       the socket, its clients, questions to other processes
 *   control_cmd.c   the commands
 *   control_show.c  what a session looks like
 */
#ifndef VPND_SESSION_CONTROL_STATE_H
#define VPND_SESSION_CONTROL_STATE_H

#include "vpnd/session/control.h"

enum { PENDING_MAX = 64 };

struct client {
	uv_pipe_t pipe;
	struct control *c;
	bool is_used, is_closing, is_waiting, follows;
	bool is_taking;   /* in take_lines: an answer may come from within */
	char filter[256]; /* of a follower; "" = all */
	uint64_t active_ms;
	size_t n;
	char in[CONTROL_LINE_MAX];
};

/* A question to another process. The client may leave; what it asked for still
 * happens and has its consequences. */
struct pending {
	enum ipc_type asked; /* IPC_NONE: free */
	uint32_t id;
	uint64_t since_ms;
	struct client *client; /* NULL: left */
	char user[IPC_USER_MAX + 1];
	const char *change;                /* the word for the event */
	const char *end_reason, *end_text; /* of this user's sessions; NULL: none */
	json_t *rows;
	uint32_t index;
};

struct control {
	uv_pipe_t listener;
	bool has_waiting; /* a client that found no place: accepted when one is free */
	const struct control_host *host;
	uint32_t next_id;
	struct pending pending[PENDING_MAX];
	struct client client[CONTROL_CLIENTS];
};

/* ---- control.c ---- */

void client_answer(struct client *k, json_t *o);
void client_refuse(struct client *k, const char *code, const char *text);
struct pending *pending_new(struct client *k, enum ipc_type asked);
struct pending *pending_find(struct control *c, enum ipc_type asked, uint32_t id);
/* Answers its client, if he is still there; o is taken over. */
void pending_done(struct pending *p, json_t *o);
/* {"ok":false,"code":...,"error":...} */
json_t *command_refusal(const char *code, const char *text);

/* ---- control_cmd.c ---- */

json_t *command_status(const struct control *c);
bool command_word_matches(const char *word, const char *line);
/* One line of a client. */
void command_take(struct client *k, struct span line);

/* ---- control_show.c ---- */

void show_text(json_t *o, const char *key, const char *text);
void show_number(json_t *o, const char *key, uint64_t v);
void show_sid(const uint8_t sid[IPC_SID], char text[2 * IPC_SID + 1]);
const char *show_platform(uint8_t platform);
json_t *show_session(const struct session_table *t, const struct session *s,
		     struct now now);

#endif
