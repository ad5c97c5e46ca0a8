/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ctl.h -- what the parts of vpnctl share: options, the line to vpnd, words.
 *
 * Control protocol: one JSON object per line over a Unix stream socket. The
 * answer begins with {"ok":true,...} or {"ok":false,"error":TEXT,"code":WORD}.
 *
 * Exit codes: 0 done, 1 refused or not found, 2 usage, 3 vpnd is not reached.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CTL_OK, CTL_REFUSED, CTL_USAGE, CTL_UNREACHED };

struct ctl {
	const char *socket;  /* path */
	const char *program; /* whose it is; NULL: vpnd's */
	bool is_quiet;       /* what goes wrong is not told */
	bool is_json;        /* print the answer lines as they come */
	bool has_colour;
	FILE *line; /* from vpnd; NULL until the first question */
	int fd;     /* the same socket */
};

/* The words after the command. Options are taken out one by one; what is left
 * are the arguments. */
struct args {
	int n;
	char **v;
};

struct command {
	const char *name; /* "sessions", "user add" */
	const char *args; /* as shown by the help */
	const char *help; /* one line */
	int (*run)(struct ctl *c, struct args *a);
};

extern const struct command commands[]; /* ends with a NULL name */

/* The command whose name the words begin with, taken off the front of a. */
const struct command *command_find(struct args *a);
/* The command name nearest to word, or NULL when none is near. */
const char *command_nearest(const char *word);

/* True, and taken out, when one of the two names is among the words. */
bool args_flag(struct args *a, const char *shrt, const char *lng);
/* Likewise with the word behind it. False also when that is missing; *value is
 * then "" so that args_end can complain. */
bool args_value(struct args *a, const char *lng, const char **value);
/* Takes the options every command has. False, and said why, unless there are
 * min to max arguments and no unknown option. */
bool args_end(struct ctl *c, struct args *a, int min, int max);

/* Ask, and give the first answer line. Takes over the question. With -j the
 * line is printed as it is. An exit code; says itself what went wrong. */
int ctl_ask(struct ctl *c, json_t *question, unsigned timeout_s, json_t **answer);
/* One more line; NULL at the end. */
json_t *ctl_next(struct ctl *c);
void ctl_close(struct ctl *c);

__attribute__((format(printf, 1, 2))) void ctl_complain(const char *fmt, ...);

/* Ask hasync, whose socket is beside vpnd's. An exit code; says itself when it is not
 * reached. *buf is what the answer's spans point into: the caller frees it. */
struct cluster_msg;
int ctl_ask_hasync(const struct ctl *c, const struct cluster_msg *m,
		   struct cluster_msg *answer, uint8_t **buf);

/* One line from the terminal without echo; the caller wipes it. */
bool ctl_ask_silently(int tty, const char *prompt, char *buf, size_t cap);

/* secret.c: what settings refer to by name. */
int secret_set(struct ctl *c, struct args *a);
int secret_list(struct ctl *c, struct args *a);
int secret_remove(struct ctl *c, struct args *a);

/* ddns.c: questions to ddnsd. */
int ddns_status(struct ctl *c, struct args *a);
int ddns_update(struct ctl *c, struct args *a);
int ddns_diagnose(struct ctl *c, struct args *a);

/* user.c: the user commands; passwords are hashed here and never sent. */
int user_add(struct ctl *c, struct args *a);
int user_passwd(struct ctl *c, struct args *a);
int user_enable(struct ctl *c, struct args *a);
int user_disable(struct ctl *c, struct args *a);
int user_remove(struct ctl *c, struct args *a);
int user_list(struct ctl *c, struct args *a);

/* draft.c: vpnd's own binary with these words (NULL at the end); its exit code as
 * one of ours. Its standard output goes to `out`, or to ours when that is -1. */
enum { VPND_WORDS = 64 };
int vpnd_run(const char *const *words, int out);

/* set.c */
int set_settings(struct ctl *c, struct args *a);

/* draft.c: the commands about configuration text, done by vpnd's own binary. */
int draft_check(struct ctl *c, struct args *a);
int draft_explain(struct ctl *c, struct args *a);
int draft_diff(struct ctl *c, struct args *a);

/* node.c: the pair. */
int node_setup(struct ctl *c, struct args *a);
int node_join(struct ctl *c, struct args *a);
int node_list(struct ctl *c, struct args *a);
int node_standby(struct ctl *c, struct args *a);
int node_activate(struct ctl *c, struct args *a);

/* pair.c: the configuration that both nodes run. */
int pair_config_apply(struct ctl *c, struct args *a);
int pair_config_confirm(struct ctl *c, struct args *a);
int pair_config_history(struct ctl *c, struct args *a);
int pair_config_rollback(struct ctl *c, struct args *a);
int pair_config_hash(struct ctl *c, struct args *a);

#endif
