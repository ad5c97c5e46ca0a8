/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* order.h -- the life of the automatic certificate: why there is none yet, how it is
 * got from the authority (RFC 8555 7.1.6), and when the next one is due.
 *
 * One state, one table of moves, one function that moves. What goes on outside
 * (requests, challenges, the store, the clock) is the host's: order_look says how
 * things are, the other order_* functions bring answers, and each may move it.
 *
 * Only the active node orders. The host refuses a request (E_STALE) as soon as this
 * node is not active any more, or is so in another epoch than when the order began.
 *
 * Ownership: what order_host's functions are given lives until they return.
 * Units:     seconds since 1970, wall clock; poll timers in milliseconds.
 */
#ifndef ACME_ORDER_H
#define ACME_ORDER_H

#include "acme/account.h"
#include "acme/cert.h"
#include "acme/renew.h"

enum order_state {
	ORDER_OFF,       /* the method is another one */
	ORDER_STANDBY,   /* the other node's business */
	ORDER_WAITING,   /* for a precondition */
	ORDER_DIRECTORY, /* what does the authority offer? */
	ORDER_REGISTERING,
	ORDER_ORDERING,
	ORDER_AUTHORIZING, /* which challenges are there? */
	ORDER_PRESENTING,  /* the answer is being put where it is looked for */
	ORDER_VALIDATING,
	ORDER_FINALIZING,
	ORDER_FETCHING,
	ORDER_STORING,
	ORDER_LIVE,   /* there is one, and it is not due */
	ORDER_FAILED, /* until the next attempt */
	ORDER_STATES
};

enum order_event {
	ORDER_EV_OFF,
	ORDER_EV_STANDBY,
	ORDER_EV_WAIT,
	ORDER_EV_HAVE,  /* a good one is in the store */
	ORDER_EV_GO,    /* one is needed, and all is there for it */
	ORDER_EV_KNOWN, /* we have an account */
	ORDER_EV_NEW,   /* we have none, or it has vanished */
	ORDER_EV_NEXT,  /* there is an authorization to look at */
	ORDER_EV_ASKED, /* it needs a challenge answered */
	ORDER_EV_SHOWN, /* the answer is in place */
	ORDER_EV_POLL,  /* look again */
	ORDER_EV_AGAIN, /* all authorizations are valid: what about the order? */
	ORDER_EV_READY,
	ORDER_EV_ISSUED,
	ORDER_EV_OTHER, /* another chain is to be looked at */
	ORDER_EV_GOT,   /* certificate and chain are here, and are judged good */
	ORDER_EV_FAIL,
	ORDER_EVENTS
};

enum { ORDER_NAMES = 4, ORDER_WHY = 640 };

/* How things are; all borrowed, valid during the call. */
struct order_situation {
	int64_t now_s;
	bool is_auto, is_ready, is_active; /* method; store; role */
	const char *off_why;               /* says more, when not is_auto */
	const char *waiting_for;           /* a precondition, or NULL */
	const char *names[ORDER_NAMES];
	size_t n_names;
	const char *directory;
	enum cert_key key_type;
	bool types[TYPES];     /* challenges that may be used */
	const char *preferred; /* root's common name, or "" */
	const char *email;
	bool agreed;
	const char *eab_id;
	/* what is in the store */
	bool has_cert;
	const struct cert_facts *facts;
	const char *cert_directory;
	bool cert_is_rsa;
	int64_t renew_at;
};

struct order_challenge {
	enum answer_type type;
	const char *name, *token, *keyauth;
};

struct order_result {
	const char *chain, *key; /* PEM */
	const char *directory;
	int64_t renew_at;
	const struct cert_facts *facts;
	bool is_first; /* no renewal */
};

struct order_host {
	void *arg;
	void (*timer)(void *arg, uint64_t ms); /* then order_poll; 0: none */
	uint32_t (*random)(void *arg);
	/* The key of the certificate that is there and may be kept, or NULL. Given. */
	EVP_PKEY *(*old_key)(void *arg);
	/* The secret of the external account binding; order_secret brings it. */
	int (*secret)(void *arg);
	/* Put the answer in place; order_shown follows. withdraw also ends waiting. */
	int (*show)(void *arg, const struct order_challenge *c);
	void (*withdraw)(void *arg);
	/* The account is registered: keep it. */
	void (*keep_account)(void *arg, const struct account *a);
	/* order_stored follows. */
	int (*store)(void *arg, const struct order_result *r);
	/* cert_enrolled, cert_renewed, cert_failed */
	void (*event)(void *arg, const char *event, const char *text);
};

struct order {
	const struct order_host *host;
	struct account *account;
	enum order_state state;
	char why[ORDER_WHY]; /* off, waiting, failed: the reason */
	char names[ORDER_NAMES][ANSWER_NAME];
	size_t n_names;
	char directory[ANSWER_URL], preferred[CERT_TEXT], email[128], eab_id[128];
	bool agreed, types[TYPES];
	enum cert_key key_type;
	int64_t now_s, renew_at, next_s, since_s;
	int64_t rest_s;            /* a new certificate is not replaced before */
	unsigned failures, rounds; /* in a row */
	uint64_t retry_after_s;
	bool was_reached, was_refused_name, is_renewal, is_forced, has_registered;
	/* of one order */
	EVP_PKEY *key;
	char url[ANSWER_URL], replaces[128];
	struct answer_order order;
	struct answer_authorization authorization;
	size_t at;                         /* authorization, alternate chain */
	struct answer_challenge challenge; /* the one in use */
	unsigned polls;
	char *chain;
	char alternates[CLIENT_ALTERNATES][ANSWER_URL];
	size_t n_alternates;
	/* renewal information */
	int64_t ari_next_s, ari_at;
	char ari_id[128];
};

void order_init(struct order *o, const struct order_host *host, struct account *a);
void order_free(struct order *o);

/* Once a second, and at every change of what is in it. */
void order_look(struct order *o, const struct order_situation *s);
/* Try now: a failure's wait is over. Also renews what is not due, if force. */
void order_now(struct order *o, const struct order_situation *s, bool force);
/* What was configured has changed: an order under way ends, a wait is over. */
void order_changed(struct order *o);

void order_poll(struct order *o);
void order_shown(struct order *o, int rc, const char *why);
void order_secret(struct order *o, const char *secret); /* NULL: there is none */
/* E_EXIST: somebody else has stored one meanwhile; ours is thrown away. */
void order_stored(struct order *o, int rc);

bool order_is_busy(const struct order *o);
const char *order_state_name(enum order_state s); /* one word */
/* What goes on, in words: "validating vpn.example by http-01". */
void order_text(const struct order *o, char *text, size_t n);

#endif
