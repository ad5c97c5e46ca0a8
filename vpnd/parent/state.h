/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* state.h -- all that the parent holds, and which file acts on it.
 *
 * parent.c start, run, stop; process.c children and their socket pairs;
 * handout.c what each child is given; reload.c a changed configuration; certswap.c a
 * certificate that acmed put in place, and its challenges; clientca.c the client CA and
 * its revocation lists; status.c the answer to `vpnctl status`; pairing.c hasync, and
 * what a change of the role asks for.
 */
#ifndef VPND_PARENT_STATE_H
#define VPND_PARENT_STATE_H

#include "common/cluster.h"
#include "vpnd/ipc/child.h"
#include "vpnd/ipc/peer.h"
#include "vpnd/parent/endpoints.h"
#include "vpnd/parent/parent.h"
#include "vpnd/parent/route.h"
#include "vpnd/parent/setup.h"
#include "vpnd/parent/sockets.h"
#include "vpnd/parent/tun.h"

enum {
	PROCESS_MAX = CHILD_WORKERS + 3,
	SLOTS_MIN = 2048, /* room for a session limit that a reload raises */
	PING_MS = 2000,
	SILENT_MS = 10000,
	STOP_MS = 3000,
};

struct parent;

/* One child. Its line to us is a pair of which we hold both ends; `peer` is our
 * end for the present incarnation only, so that what was queued for the dead
 * one is not read by its successor. */
struct process {
	struct parent *parent;
	enum ipc_process who;
	unsigned index;
	char name[16]; /* "keys", "worker0" */
	unsigned uid, gid;
	char root[200];
	pid_t pid; /* 0: not running */
	unsigned restarts, quick_deaths;
	char died[48]; /* how it last died */
	uint64_t started_ms, heard_ms;
	uint32_t config_done; /* generation it has confirmed */
	bool is_equipped;     /* a worker: has its device and listeners */
	struct peer *peer;
	uv_timer_t respawn;
	struct line *line; /* its connection to hasync; NULL: none */
};

/* A socket pair between two processes; both ends stay open here for ever. */
struct pair {
	enum ipc_process who[2];
	unsigned index[2];
	int fd[2];
};

enum cert_source { CERT_FILE, CERT_STORED, CERT_SELF_SIGNED };
#define CERT_LIVE "live.pem"     /* of STATEDIR/certs: what acmed wants served */
#define CERT_FORGET "forget-own" /* there: our own key is to be another one */

/* What keys was given, so that a restarted keys gets the same: the workers'
 * requests name the generation. */
struct certificate {
	enum cert_source source;
	bool is_live; /* it came from CERT_LIVE */
	uint32_t generation;
	int pem_fd;   /* memfd with key and chain; -1 none yet */
	int chain_fd; /* memfd for the workers; -1 until keys has answered */
	bool is_rsa;
	char not_after[32]; /* RFC 3339 */
};

/* Whom workers trust with client certificates. The files are watched, and handed out
 * again when they change. */
struct client_ca {
	int ca_fd, crl_fd; /* memfds, empty without a file; -1: checking is off */
	struct watch *certs, *crls;
	char crl_folder[256]; /* what crls watches */
	bool wants_crl;
};

enum reload_step { RELOAD_IDLE, RELOAD_CERT, RELOAD_CHILDREN };

struct reload {
	enum reload_step step;
	bool is_again; /* asked for while one was under way */
	bool has_id, next_has_id;
	uint32_t id, next_id;         /* whom to answer: a reload message of session */
	uint32_t put_id, next_put_id; /* or a config_put; 0: none */
	struct setup *setup;          /* the new world, until it is swapped in */
	struct sockets sockets;
	int config_fd;
	struct certificate cert;
	bool has_cert;
	uv_timer_t deadline;
	char said[1024]; /* what children had to say */
};

/* The folder STATEDIR/certs, and the swap that a change of it asks for. */
struct certswap {
	struct watch *folder;
	uv_timer_t settle, deadline;
	bool has_handles;
	uint64_t live_stamp; /* what is there, as seen last */
	bool is_due;         /* when keys is free again */
	bool is_loading;     /* keys was given `cert` and has not answered */
	bool wants_own;      /* another key for our own certificate was asked for */
	unsigned tries;
	struct certificate cert;
	int refused_fd;        /* what was refused last, not to be tried again; -1 */
	char refused_why[128]; /* and what was said of one that cannot be read */
	struct {
		char name[254];
		int fd;
	} challenge[IPC_CHALLENGES];
	unsigned n_challenge;
};

/* A list of clients that are being tickled. */
struct tickling {
	struct parent *parent;
	uv_timer_t timer;
	struct tickler socket;
	struct tickle_job *job;
	size_t n, left, cursor;
	unsigned round, sent, failed;
	uint64_t start_ms;
	struct ip_addr ours; /* the last local address that was found to be here */
	const char *what;
};

enum { OUTSIDE_MAX = 8 };

/* hasync, if there is one, and what it says. */
struct pairing {
	struct cluster *cluster; /* NULL: not connected, a retry is due */
	uv_timer_t timer;        /* next try, or next beat */
	uv_timer_t stray, yield;
	unsigned wait_ms;
	bool is_up;   /* hello was answered */
	bool is_sick; /* as it was told last */
	uint64_t beat_ms, served_ms;
	uint32_t generation; /* counts connections handed out */

	bool has_role, is_active, is_peer_away;
	bool has_peer; /* once there was one, the rules of a pair stay */
	uint64_t epoch;
	char node[IPC_NAME_MAX + 1], peer[IPC_NAME_MAX + 1];
	bool is_watching, is_complete; /* endpoints/: asked for; all there */
	bool has_served;               /* a takeover was handled since the start */
	bool is_due;                   /* one is to be handled */
	struct endpoints of_peer, own;
	struct ip_addr outside[OUTSIDE_MAX]; /* our names have meant; oldest first */
	unsigned n_outside;
	struct tickling takeover, orphans;
	bool has_stray, is_closed; /* tables of their own are there */
};

struct parent {
	const struct parent_options *opt;
	uv_loop_t loop;
	uv_signal_t sig_child, sig_hup, sig_term, sig_int;
	uv_timer_t ping;
	uint64_t pinged_ms;
	uint32_t ping_id;

	struct setup *setup;
	uint32_t generation; /* of the configuration */
	int config_fd;
	unsigned workers;
	uint32_t slots;

	struct process process[PROCESS_MAX]; /* keys, auth, session, workers */
	unsigned n_process;
	struct pair *pair;
	unsigned n_pair;

	struct sockets sockets;
	uint32_t last_handle;
	struct tun tun[CHILD_WORKERS];
	int counters[CHILD_WORKERS];
	int control_fd, lock_fd;
	struct router router;
	struct forwarding forwarding;
	struct client_ca client_ca;
	struct certificate cert;
	struct certificate previous; /* a connection may still begin with it */
	uint32_t last_cert; /* generation; one that was refused is not used again */
	struct certswap certswap;
	int token_keys_fd;
	bool has_loop, has_firewall, has_routes;

	struct reload reload;
	struct pairing pairing;
	uint64_t started_ms;
	bool is_stopping, workers_told;
	uv_timer_t stop_timer;
	int exit_code;
};

uint64_t now_ms(void);
/* The running configuration. */
static inline const struct config *
parent_config(const struct parent *p)
{
	return p->setup->config;
}

/* process.c */
int process_pairs(struct parent *p, char *why);
int process_spawn(struct process *c);
struct process *process_of(struct parent *p, enum ipc_process who, unsigned index);
void process_reap(struct parent *p);
void process_ping(struct parent *p);
void process_kill(struct process *c, const char *reason);
/* Drop the line to it; for the end. */
void process_close(struct process *c);
bool process_all_gone(const struct parent *p);
/* A line in the event log, by way of session. */
void event_send(struct parent *p, enum event_what what, const char *reason,
		const char *text, uint64_t number);

/* handout.c */
void handout_start(struct process *c);
void handout_worker(struct process *c);
void handout_config(struct process *c);
void handout_cert(struct process *c);
void handout_challenge(struct process *c, const char *name, int fd);
void handout_listener(struct process *c, const struct listener *l);
int memfd_of(const char *name, const void *bytes, size_t n, int *fd);
/* What should be served: the configured files, or else CERT_LIVE, or else our own. On
 * an error cert->is_live tells whether CERT_LIVE is to blame. */
int certificate_read(struct certificate *cert, const struct parent *p, char *why);
/* Our own, whatever else there is; an empty file when it must be made. */
int certificate_read_own(struct certificate *cert, const struct parent *p, char *why);
/* keys has it: it becomes the one that is served. Takes *cert over. */
void certificate_take(struct parent *p, struct certificate *cert);
/* What keys said about it; false: no memory. */
bool certificate_note(struct certificate *cert, const struct ipc_keys_loaded *m);
void certificate_close(struct certificate *cert);
bool certificate_same(const struct certificate *a, const struct certificate *b);
int token_keys_read(struct parent *p, char *why);
void handout_pair_key(struct process *c); /* keys or auth; if there is one */
void certificate_load(struct parent *p, const struct certificate *cert);
extern const peer_handler parent_handlers[IPC_TYPES];

/* parent.c */
void parent_stop(struct parent *p);
void parent_gone(struct parent *p); /* a child is gone while stopping */
void parent_stop_serving(struct parent *p);

/* Sealed; the caller closes it. */
int memfd_of(const char *name, const void *bytes, size_t n, int *fd);

/* clientca.c */
/* Read the files that the running configuration names, watch their folders, and tell
 * the workers if something is new. Errors are logged; what was there stays. */
void client_ca_read(struct parent *p);
void client_ca_handout(struct process *c);
void client_ca_close(struct parent *p);

/* reload.c */
void reload_ask(struct parent *p, bool has_id, uint32_t id);
/* Check this text, or take it into the file and reload. Closes fd. */
void reload_put(struct parent *p, const struct ipc_config_put *m, int fd);
void reload_cert_loaded(struct parent *p, const struct ipc_keys_loaded *m);
void reload_config_done(struct parent *p, struct process *c,
			const struct ipc_config_done *m);
void reload_child_died(struct parent *p, struct process *c);

/* Go on with what had to wait for a certificate. */
void reload_resume(struct parent *p);

/* certswap.c: a change of STATEDIR/certs is no change of the configuration. */
void certswap_init(struct parent *p);
int certswap_make_folder(struct parent *p, char *why);
void certswap_start(struct parent *p);
void certswap_handout(struct process *c); /* the challenges, to a new worker */
/* Has the folder changed without our hearing of it? */
void certswap_tick(struct parent *p);
/* keys is free: do what had to wait. */
void certswap_resume(struct parent *p);
/* False: it was about another certificate. */
bool certswap_loaded(struct parent *p, const struct ipc_keys_loaded *m);
void certswap_child_died(struct parent *p, struct process *c);
/* CERT_LIVE cannot be served: say so once. Takes the descriptor, -1 if none. */
void certswap_refuse(struct parent *p, const char *why, int pem_fd);
void certswap_close(struct parent *p);

/* pairing.c */
void pairing_init(struct parent *p);
void pairing_start(struct parent *p);
/* Role and connection for a child that was just started. */
void pairing_handout(struct process *c);
void pairing_child_died(struct process *c);
/* Health may have changed: say so now, not at the next beat. */
void pairing_check(struct parent *p);
void pairing_reloaded(struct parent *p); /* another configuration is in force */
/* At a stop: let the other node take over first. True: parent_stop_serving is called
 * when it has, or will not. */
bool pairing_yield(struct parent *p);
void pairing_close(struct parent *p); /* before the loop is */

/* outside.c */
void outside_heard(struct parent *p, struct span json); /* ddns/published/WAN */
void outside_reloaded(struct parent *p);

/* status.c */
void status_write(struct parent *p, struct ipc_status_text *m);

#endif
