/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cluster_state.h -- what cluster.c and cluster_config.c share. Nobody else
 * includes it. */
#ifndef VPND_SESSION_CLUSTER_STATE_H
#define VPND_SESSION_CLUSTER_STATE_H

#include "vpnd/session/apply.h"
#include "vpnd/session/cluster.h"

enum {
	PAIR_HASH = 16,       /* hex digits of a configuration's hash */
	PAIR_REASON = 1024,   /* why a configuration is refused */
	PAIR_CHECK_MS = 4000, /* for a parent to look at one */
	PAIR_VOTE_MS = 5000,
	PAIR_LOAD_MS = 15000,
	PAIR_HISTORY = 20,
	PAIR_RETRY_MS = 5000, /* after a refusal here; doubles up to */
	PAIR_RETRY_MAX_MS = 300000,
};

/* Entries on their way to a set of the store. */
struct batch {
	uint8_t *p;
	size_t n, cap;
};

/* An object of the store as we last saw it. */
struct copy {
	bool is_there;
	uint64_t generation;
	char *text; /* NUL-terminated; NULL when not there */
	size_t n;
};

/* The one configuration somebody at this node wants to have. */
struct apply {
	enum apply_state state;
	uint32_t ask_id; /* of pair_ask; 0: nobody waits for an answer */
	uint64_t deadline_ms;
	char id[33]; /* names the proposal */
	char *text;
	char hash[PAIR_HASH + 1];
	unsigned confirm_s;
	uint64_t base; /* generation of `config` it replaces */
	unsigned copies;
	char why[PAIR_REASON];
};

/* Questions to our parent, at most one of each kind. */
enum put_kind { PUT_CHECK, PUT_VOTE, PUT_ADOPT, PUT_KINDS };

struct pair {
	uv_loop_t *loop;
	const struct pair_host *host;
	struct cluster *c; /* NULL: no connection */
	bool is_ready;     /* it has told us who we are */

	char node[CLUSTER_NODE_MAX + 1], peer[CLUSTER_NODE_MAX + 1];
	bool is_active, is_peer_away;
	uint64_t epoch;

	uv_timer_t flush;
	bool is_flush_set;
	struct batch endpoints, revoked, borrowed;
	json_t *counts, *nodes, *info; /* objects by node name; INFO's answer */

	/* cluster_config.c */
	struct copy config, confirm, history;
	uint32_t confirm_id;      /* of pair_ask; 0: nobody waits for an answer */
	bool has_synced;          /* the store has said what it has of these */
	uint64_t down_generation; /* of config, and what ran, when the store was lost */
	char down_hash[PAIR_HASH + 1];
	struct apply apply;
	uint32_t put_id[PUT_KINDS], last_put;
	char adopt_hash[PAIR_HASH + 1]; /* of what our parent was last told to take */
	char refused_hash[PAIR_HASH + 1], refused_why[PAIR_REASON];
	uint64_t adopt_deadline_ms, retry_ms, retry_wait_ms; /* retry_ms 0: not due */
	char vote_id[33], vote_text[PAIR_REASON];
	bool has_voted, is_yes;
	uint64_t vote_deadline_ms;
};

struct now pair_now(const struct pair *p);
const char *pair_running_hash(const struct pair *p);
void pair_hash_text(const char *text, size_t n, char hash[PAIR_HASH + 1]);
/* NULL bytes: no bytes. E_CLOSED without a connection. */
int pair_call(struct pair *p, enum cluster_type type, const char *name,
	      uint64_t generation, uint8_t flags, const char *bytes, cluster_done done);
/* Say our counts now: they carry our vote. */
void pair_put_counts(struct pair *p);

/* ---- cluster_config.c ---- */

void pair_config_changed(struct pair *p, const struct cluster_msg *m);
void pair_config_synced(struct pair *p);
void pair_config_tick(struct pair *p);
void pair_config_peer(struct pair *p); /* its counts or its presence changed */
void pair_config_down(struct pair *p); /* no connection any more */
void pair_config_free(struct pair *p);
bool pair_config_ask(struct pair *p, uint32_t id, const char *cmd, const json_t *q);

#endif
