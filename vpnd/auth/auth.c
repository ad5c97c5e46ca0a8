/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* auth.c -- the process that knows the users and judges their passwords.
 *
 * A login step comes from a worker. Passwords are hashed on the thread pool,
 * with a bounded queue; everything else is quick and happens on the loop, as do
 * the few hashes that cost less than the way to the pool and back. Who proved
 * what goes straight to session: a worker cannot vouch for anyone.
 *
 * An unknown user, a wrong password and an unauthorised user take the same
 * path with the same work: the answer, its text and its time are the same.
 */
#include "vpnd/ipc/bundle.h"
#include "vpnd/ipc/child.h"
#include "vpnd/ipc/peer.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/proc.h"
#include "vpnd/auth/backoff.h"
#include "vpnd/auth/codes.h"
#include "vpnd/auth/login.h"
#include "vpnd/auth/ocsp.h"
#include "vpnd/auth/password.h"
#include "vpnd/auth/replica.h"
#include "vpnd/auth/resolver.h"
#include "vpnd/auth/users.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	HASHES_MAX = 64,     /* waiting for the pool or in it */
	DELAYED_MAX = 256,   /* answers held back */
	CODE_WAIT_MS = 1000, /* for the store to keep that a code was used */
	ATTEMPTS_DEFAULT = 3,
	NICE = 10,        /* see go_last */
	CHANGES_MAX = 64, /* of users, waiting for the store */
	RETRIES_MAX = 5,  /* of one, when others change users too */
};

/* The last is a bit: a certificate, alone or with one of the others. */
enum method { METHOD_LOCAL = 1, METHOD_LOCAL_TOTP = 2, METHOD_CERT = 4 };

static const char users_file[] = "users";
static const char failed_text[] = "Login failed.";

/* What is wrong with a certificate: a word for events, a sentence for its owner,
 * which begins as clients know it from other servers. */
#define CERT_FAILURE "Certificate Validation Failure: "
static const struct {
	const char *reason, *text;
} cert_bad[CERT_VERDICTS] = {
	[CERT_NONE] = { "cert_missing", CERT_FAILURE "no certificate was presented." },
	[CERT_UNTRUSTED] = { "cert_untrusted",
			     CERT_FAILURE "the certificate is not accepted here." },
	[CERT_EXPIRED] = { "cert_expired",
			   CERT_FAILURE "the certificate has expired." },
	[CERT_NOT_YET_VALID] = { "cert_not_yet_valid",
				 CERT_FAILURE "the certificate is not valid yet." },
	[CERT_REVOKED] = { "cert_revoked", CERT_FAILURE "the certificate is revoked." },
	[CERT_PURPOSE] = { "cert_purpose",
			   CERT_FAILURE "the certificate is not made for clients." },
	[CERT_NO_NAME] = { "cert_no_name",
			   CERT_FAILURE "the certificate names no user." },
	[CERT_CRL] = { "cert_crl", CERT_FAILURE "it cannot be found out whether the "
						"certificate is revoked." },
	[CERT_OCSP] = { "cert_ocsp", CERT_FAILURE "it cannot be found out whether the "
						  "certificate is revoked." },
};

struct auth {
	const struct child *child;
	uv_loop_t loop;
	struct peer parent, session;
	struct peer worker[CHILD_WORKERS];
	struct config *config;
	struct users users;
	bool has_users; /* false: the file is damaged and must not be replaced */
	struct codes codes;
	struct job *first_code; /* waiting for the store */
	struct replica *replica;
	struct replica_host replica_host;
	struct change *first_change, *last_change;
	unsigned changes;
	struct backoff *backoff;
	unsigned hashes, delayed;
	bool has_pair_key;
	uint8_t pair_key[PAIRKEY];
	struct ocsp *ocsp;
	uint8_t seal_key[SEAL_KEY];
	uint8_t decoy_key[16];
};

/* A change on its way through the store: one at a time, in order. */
struct change {
	struct auth *a;
	struct change *next;
	struct ipc_user_put m;
	struct users table; /* as it will be */
	unsigned tries;
};

enum verdict { PROVEN, MORE, WRONG };

/* One step of one login on its way through the pool and the delay. */
struct job {
	struct auth *a;
	uv_work_t work;
	uv_timer_t timer;
	unsigned worker;
	struct ipc_login_step step;
	struct login_state state;
	uint32_t delay_ms;
	struct job *next_code;
	uint8_t code_key[CODES_KEY];
	bool is_known; /* the hash is this user's own */
	bool is_match;
	enum verdict verdict;
	char hash[256];
};

static uint64_t
wall_now(void)
{
	time_t t = time(NULL);
	return t > 0 ? (uint64_t)t : 0;
}

static bool
is_only_certificate(const struct auth *a)
{
	return a->config->client_certificate == CLIENT_CERT_ONLY;
}

static void
job_free(struct job *j)
{
	explicit_bzero(j, sizeof(*j));
	free(j);
}

/* -- what leaves here ------------------------------------------------------- */

static void
send_event(struct auth *a, enum event_what what, const struct job *j,
	   const char *reason, uint64_t number)
{
	struct ipc_event e = { .what = (uint8_t)what,
			       .attempt = j->state.attempt,
			       .source = j->step.source,
			       .number = number };

	const char *user = *j->state.user ? j->state.user : j->step.user;

	/* Whatever was typed goes into logs and JSON: it has to be text. */
	snprintf(e.user, sizeof(e.user), "%s",
		 *user == '\0' || users_name_is_good(user) ? user : "(not a name)");
	snprintf(e.reason, sizeof(e.reason), "%s", reason);
	if (j->state.has_cert)
		snprintf(e.text, sizeof(e.text), "certificate of %.200s",
			 j->state.cert_user);
	/* Success is what login_proven says. */
	if (what != EV_AUTH_SUCCESS)
		peer_send(&a->session, IPC_event, &e);
	log_limited(LOG_L_INFO, 0, "%s attempt=%016llx user=%s reason=%s",
		    event_name[what], (unsigned long long)e.attempt, e.user,
		    *reason ? reason : "-");
}

static void
send_ask(struct job *j, enum login_next next, const char *error)
{
	struct auth *a = j->a;
	struct ipc_login_ask m = { .id = j->step.id, .what = (uint8_t)next };

	snprintf(m.error, sizeof(m.error), "%s", error);
	snprintf(m.group, sizeof(m.group), "%s", j->state.group);
	if (next == LOGIN_CHALLENGE) {
		snprintf(m.message, sizeof(m.message), "Enter the 6-digit code.");
		snprintf(m.label, sizeof(m.label), "Code:");
	} else if (next == LOGIN_FORM) {
		snprintf(m.message, sizeof(m.message),
			 "Please enter your username and password.");
		memcpy(m.user, j->state.cert_user, sizeof(m.user));
	}
	if (next == LOGIN_FORM || next == LOGIN_CHALLENGE) {
		char text[LOGIN_TEXT];
		int rc = login_seal(a->seal_key, &j->state, text);
		if (rc < 0)
			log_fatal("auth: cannot seal a login: %s", err_text(rc));
		snprintf(m.state, sizeof(m.state), "%s", text);
	}
	peer_send(&a->worker[j->worker], IPC_login_ask, &m);
}

static unsigned
method_of(const struct job *j)
{
	unsigned cert = j->state.has_cert ? METHOD_CERT : 0;

	if (j->state.at == LOGIN_AT_CODE)
		return METHOD_LOCAL_TOTP | cert;
	return is_only_certificate(j->a) ? cert : METHOD_LOCAL | cert;
}

static void
send_proven(struct job *j)
{
	struct ipc_login_proven m = { .worker = (uint8_t)j->worker,
				      .id = j->step.id,
				      .attempt = j->state.attempt,
				      .method = (uint8_t)method_of(j),
				      .source = j->step.source,
				      .platform = j->step.platform };

	memcpy(m.user, j->state.user, sizeof(m.user));
	memcpy(m.group, j->state.group, sizeof(m.group));
	memcpy(m.agent, j->step.agent, sizeof(m.agent));
	memcpy(m.device, j->step.device, sizeof(m.device));
	memcpy(m.cert_user, j->state.cert_user, sizeof(m.cert_user));
	peer_send(&j->a->session, IPC_login_proven, &m);
}

/* -- steps ------------------------------------------------------------------ */

static bool
group_exists(const struct auth *a, const char *name)
{
	for (unsigned i = 0; i < a->config->n_group; i++)
		if (strcmp(a->config->group[i].name, name) == 0)
			return true;
	return false;
}

/* What the client asks for counts if there is such a group. */
static void
settle_group(struct job *j)
{
	if (group_exists(j->a, j->step.group))
		memcpy(j->state.group, j->step.group, sizeof(j->state.group));
	else if (!group_exists(j->a, j->state.group))
		j->state.group[0] = '\0'; /* gone in a reload meanwhile */
}

static void
new_state(struct job *j)
{
	j->state = (struct login_state){ .created_ms = uv_now(&j->a->loop) };
	if (RAND_bytes((uint8_t *)&j->state.attempt, sizeof(j->state.attempt)) != 1)
		log_fatal("auth: no random numbers");
	settle_group(j);
}

static void
on_timer_closed(uv_handle_t *h)
{
	job_free(h->data);
}

static void
answer(struct job *j)
{
	unsigned most = j->a->config->max_attempts ? j->a->config->max_attempts
						   : ATTEMPTS_DEFAULT;

	if (j->verdict == PROVEN) {
		send_event(j->a, EV_AUTH_SUCCESS, j, "", 0);
		send_proven(j);
	} else if (j->verdict == MORE) {
		send_ask(j, LOGIN_CHALLENGE, "");
	} else if (j->state.tries >= most) {
		send_event(j->a, EV_AUTH_FAILURE, j, "too_many_attempts",
			   j->state.tries);
		send_ask(j, LOGIN_REFUSED, failed_text);
	} else {
		send_ask(j, j->state.at == LOGIN_AT_CODE ? LOGIN_CHALLENGE : LOGIN_FORM,
			 failed_text);
	}
}

static void
on_delay_over(uv_timer_t *t)
{
	struct job *j = t->data;

	j->a->delayed--;
	answer(j);
	uv_close((uv_handle_t *)t, on_timer_closed);
}

/* Late if it has to be, and then refused if too many wait already: a guesser
 * must not fill our memory by being slowed down. */
static void
answer_in_time(struct job *j)
{
	struct auth *a = j->a;

	if (j->delay_ms == 0) {
		answer(j);
		job_free(j);
		return;
	}
	if (a->delayed >= DELAYED_MAX) {
		send_event(a, EV_AUTH_FAILURE, j, "busy", 0);
		send_ask(j, LOGIN_REFUSED, "The gateway is busy. Try again later.");
		job_free(j);
		return;
	}
	a->delayed++;
	uv_timer_init(&a->loop, &j->timer);
	j->timer.data = j;
	uv_timer_start(&j->timer, on_delay_over, j->delay_ms, 0);
}

static void
note_wrong(struct job *j, const char *reason, bool is_code)
{
	const char *user = *j->state.user ? j->state.user : j->step.user;

	j->verdict = WRONG;
	j->state.tries++;
	backoff_failed(j->a->backoff, &j->step.source, user, is_code,
		       uv_now(&j->a->loop));
	send_event(j->a, EV_AUTH_FAILURE, j, reason, j->state.tries);
}

static void
note_right(struct job *j)
{
	j->verdict = PROVEN;
	backoff_passed(j->a->backoff, j->state.user, uv_now(&j->a->loop));
}

/* The password was right, or the certificate stands for it. */
static void
first_factor(struct job *j, const struct user *u)
{
	memcpy(j->state.user, u->name, sizeof(j->state.user));
	if (users_has_totp(u)) {
		j->state.at = LOGIN_AT_CODE;
		j->state.tries = 0;
		j->state.wall_changed_s = u->wall_changed_s;
		j->verdict = MORE;
	} else {
		note_right(j);
	}
}

/* -- certificates -- */

static void
tell_bad_certificate(struct job *j, enum cert_verdict v)
{
	/* A stranger must not fill the event ring. */
	static struct log_limit limit;
	struct ipc_event e = { .what = EV_AUTH_FAILURE,
			       .attempt = j->state.attempt,
			       .source = j->step.source };

	if (!log_allowed(&limit))
		return;
	snprintf(e.user, sizeof(e.user), "%s", j->step.cert_user);
	snprintf(e.reason, sizeof(e.reason), "%s", cert_bad[v].reason);
	snprintf(e.text, sizeof(e.text), "%s", j->step.cert_text);
	peer_send(&j->a->session, IPC_event, &e);
	log_info(0, "auth_failure attempt=%016llx user=%s reason=%s certificate=\"%s\"",
		 (unsigned long long)e.attempt, *e.user ? e.user : "-", e.reason,
		 e.text);
}

/* May this step go on? If not, it is answered. A good certificate counts for the whole
 * login: later steps may come over connections without one. A bad one never passes,
 * not even where none is needed: its owner means it to be looked at. */
static bool
certificate_passes(struct job *j)
{
	enum client_cert how = j->a->config->client_certificate;
	enum cert_verdict v = j->step.cert;

	if (how == CLIENT_CERT_OFF)
		return true;
	if (v == CERT_NONE && (j->state.has_cert || how == CLIENT_CERT_OPTIONAL))
		return true;
	if (v == CERT_GOOD) {
		j->state.has_cert = true;
		memcpy(j->state.cert_user, j->step.cert_user,
		       sizeof(j->state.cert_user));
		return true;
	}
	if (v == CERT_NONE && !j->step.has_no_cert) {
		send_ask(j, LOGIN_CERT, "");
		return false;
	}
	tell_bad_certificate(j, v);
	send_ask(j, LOGIN_REFUSED, cert_bad[v].text);
	return false;
}

/* The user must be one of ours, and authorised, as with a password. The second factor
 * of a user who has one is asked for all the same. */
static void
certificate_login(struct job *j)
{
	const struct user *u = users_find(&j->a->users, j->state.cert_user);

	if (u == NULL || !u->is_authorised) {
		send_event(j->a, EV_AUTH_FAILURE, j,
			   u == NULL ? "unknown_user" : "not_authorised", 0);
		send_ask(j, LOGIN_REFUSED, failed_text);
		return;
	}
	first_factor(j, u);
	answer(j);
}

/* The first form, or the way without one. */
static void
begin(struct job *j)
{
	if (is_only_certificate(j->a) && j->state.has_cert)
		certificate_login(j);
	else
		send_ask(j, LOGIN_FORM, "");
}

/* -- passwords and codes -- */

static void
hash_work(uv_work_t *w)
{
	struct job *j = w->data;

	j->is_match = password_matches(j->step.secret, j->hash);
	OPENSSL_cleanse(j->step.secret, sizeof(j->step.secret));
}

static void
on_hashed(uv_work_t *w, int status)
{
	struct job *j = w->data;
	struct auth *a = j->a;
	struct user *u = users_find(&a->users, j->step.user);

	a->hashes--;
	OPENSSL_cleanse(j->step.secret, sizeof(j->step.secret));
	/* The user may have changed while we computed: the old hash is no proof. */
	bool is_same = j->is_known && u != NULL && strcmp(u->hash, j->hash) == 0;
	if (!is_same)
		note_wrong(j, j->is_known ? "wrong_password" : "unknown_user", false);
	else if (status < 0 || !j->is_match)
		note_wrong(j, "wrong_password", false);
	else if (!u->is_authorised)
		note_wrong(j, "not_authorised", false);
	else
		first_factor(j, u);
	answer_in_time(j);
}

/* The hash of some user, the same one for the same name: then unknown names
 * take as long as known ones do, whatever mix of methods was imported. */
static const char *
decoy_hash(const struct auth *a, const char *name)
{
	uint8_t in[16 + IPC_USER_MAX], out[32];
	size_t n = strlen(name);
	uint64_t pick = 0;

	if (a->users.n == 0)
		return password_decoy;
	memcpy(in, a->decoy_key, 16);
	memcpy(in + 16, name, n);
	if (EVP_Digest(in, 16 + n, out, NULL, EVP_sha256(), NULL) == 1)
		memcpy(&pick, out, sizeof(pick));
	return a->users.u[pick % a->users.n].hash;
}

static void
check_password(struct job *j)
{
	struct auth *a = j->a;
	const struct user *u = users_find(&a->users, j->step.user);

	if (a->hashes >= HASHES_MAX) {
		send_event(a, EV_AUTH_FAILURE, j, "busy", a->hashes);
		send_ask(j, LOGIN_FORM, "The gateway is busy. Try again.");
		job_free(j);
		return;
	}
	j->is_known = u != NULL;
	snprintf(j->hash, sizeof(j->hash), "%s",
		 u ? u->hash : decoy_hash(a, j->step.user));
	j->work.data = j;
	a->hashes++;
	if (password_is_quick(j->step.secret, j->hash)) {
		hash_work(&j->work);
		on_hashed(&j->work, 0);
		return;
	}
	if (uv_queue_work(&a->loop, &j->work, hash_work, on_hashed) < 0)
		log_fatal("auth: no thread pool");
}

/* -- codes that were used --------------------------------------------------- */

/* The store has it, or does not answer: the login goes on, as late as it has to. */
static void
code_kept(struct job *j)
{
	for (struct job **at = &j->a->first_code; *at != NULL; at = &(*at)->next_code)
		if (*at == j) {
			*at = j->next_code;
			break;
		}
	uv_timer_start(&j->timer, on_delay_over, j->delay_ms, 0);
}

static void
on_code_late(uv_timer_t *t)
{
	log_limited(LOG_L_WARN, 0, "auth: the store is slow to note a used code");
	code_kept(t->data);
}

/* Before the login is answered: whoever saw the code must not be able to use it on
 * the other node, or here after a restart. */
static void
keep_code(struct job *j, const struct user *u)
{
	struct auth *a = j->a;
	struct cluster_entry e;

	if (codes_use(&a->codes, u, wall_now(), &e) < 0)
		log_limited(LOG_L_ERR, 0, "auth: no memory to note a used code");
	if (a->delayed >= DELAYED_MAX || replica_code(a->replica, &e) < 0) {
		answer_in_time(j);
		return;
	}
	memcpy(j->code_key, e.key, CODES_KEY);
	a->delayed++;
	uv_timer_init(&a->loop, &j->timer);
	j->timer.data = j;
	uv_timer_start(&j->timer, on_code_late, CODE_WAIT_MS, 0);
	j->next_code = a->first_code;
	a->first_code = j;
}

static void
codes_told(void *arg, struct span entries)
{
	struct auth *a = arg;
	struct cluster_entry e;

	if (codes_apply(&a->codes, entries, wall_now()) < 0)
		log_limited(LOG_L_WARN, 0,
			    "auth: the store's used codes are not "
			    "what they should be");
	while (a->first_code != NULL && cluster_entry_decode(&entries, &e) == 0)
		for (struct job *j = a->first_code, *next; j != NULL; j = next) {
			next = j->next_code;
			if (e.key_n == CODES_KEY &&
			    memcmp(e.key, j->code_key, CODES_KEY) == 0)
				code_kept(j);
		}
}

static void
check_code(struct job *j)
{
	struct user *u = users_find(&j->a->users, j->state.user);

	if (u == NULL || u->wall_changed_s != j->state.wall_changed_s ||
	    !u->is_authorised || !users_has_totp(u)) {
		/* Changed since the password was right: that proof is void. */
		new_state(j);
		if (certificate_passes(j))
			begin(j);
		job_free(j);
		return;
	}
	uint64_t last = codes_last(&j->a->codes, u);
	if (u->totp_used < last)
		u->totp_used = last;
	if (users_totp_check(u, j->step.secret, wall_now())) {
		note_right(j);
		keep_code(j, u);
	} else {
		note_wrong(j, *u->totp ? "wrong_code" : "sealed_code", true);
		answer_in_time(j);
	}
}

static bool
is_held_back(struct job *j, const char *user, bool is_code)
{
	struct auth *a = j->a;
	char text[128];
	struct backoff_verdict v = backoff_judge(a->backoff, &j->step.source, user,
						 is_code, uv_now(&a->loop));

	j->delay_ms = v.delay_ms;
	if (v.wait_s == 0)
		return false;
	if (v.is_news)
		send_event(a, EV_BACKOFF, j, "too_many_failures", v.wait_s);
	snprintf(text, sizeof(text), "Too many failed logins. Try again in %u seconds.",
		 v.wait_s);
	send_ask(j, LOGIN_REFUSED, text);
	return true;
}

/* With another certificate than before, or with a password where none counts (any
 * more), a login begins anew. */
static bool
is_another_login(const struct job *j)
{
	if (is_only_certificate(j->a) && j->state.at == LOGIN_AT_PASSWORD)
		return true;
	return j->step.cert == CERT_GOOD && j->state.has_cert &&
	       strcmp(j->state.cert_user, j->step.cert_user) != 0;
}

/* What a worker says of a certificate must be something it can say. */
static void
check_cert_fields(struct ipc_login_step *s)
{
	if (s->cert >= CERT_VERDICTS)
		s->cert = CERT_UNTRUSTED;
	if (s->cert_user[0] != '\0' && !users_name_is_good(s->cert_user))
		s->cert_user[0] = '\0';
	if (s->cert == CERT_GOOD && s->cert_user[0] == '\0')
		s->cert = CERT_NO_NAME;
}

static void
take_step(struct job *j)
{
	struct auth *a = j->a;
	struct span text = span_of(j->step.state.p, j->step.state.n);

	if (!a->has_users) {
		send_ask(j, LOGIN_REFUSED, "Login is not possible at the moment.");
		job_free(j);
		return;
	}
	int rc = j->step.is_first
			 ? E_AUTH
			 : login_open(a->seal_key, text, uv_now(&a->loop), &j->state);
	if (rc == E_STALE)
		send_event(a, EV_AUTH_FAILURE, j, "expired", 0);
	if (rc == 0 && is_another_login(j))
		rc = E_STALE;
	if (rc < 0)
		new_state(j);
	if (!certificate_passes(j)) {
		job_free(j);
		return;
	}
	if (rc < 0) {
		begin(j);
		job_free(j);
		return;
	}
	settle_group(j);
	bool is_code = j->state.at == LOGIN_AT_CODE;
	if (is_held_back(j, is_code ? j->state.user : j->step.user, is_code))
		job_free(j);
	else if (is_code)
		check_code(j);
	else
		check_password(j);
}

static void
on_login_step(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	struct job *j = calloc(1, sizeof(*j));

	if (j != NULL) {
		j->a = a;
		j->worker = from->index;
		j->step = m->login_step;
		check_cert_fields(&j->step);
	}
	/* The message is the peer's scratch; the password must not stay there. */
	OPENSSL_cleanse((void *)(uintptr_t)m->login_step.secret,
			sizeof(m->login_step.secret));
	if (j == NULL) {
		log_limited(LOG_L_ERR, 0, "auth: no memory for a login");
		return;
	}
	take_step(j);
}

/* -- OCSP -------------------------------------------------------------------- */

static void
ocsp_told(void *arg, uint64_t id, enum ocsp_status s, const char *text)
{
	struct auth *a = arg;
	struct ipc_ocsp_told m = { .id = (uint32_t)id, .verdict = CERT_OCSP };

	if (s == OCSP_IS_REVOKED)
		m.verdict = CERT_REVOKED;
	else if (s == OCSP_IS_GOOD ||
		 (s == OCSP_NO_ANSWER && a->config->client_ocsp != CLIENT_OCSP_HARD))
		m.verdict = CERT_GOOD;
	snprintf(m.text, sizeof(m.text), "%s", text);
	peer_send(&a->worker[id >> 32], IPC_ocsp_told, &m);
}

static void
on_ocsp_ask(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	const struct ipc_ocsp_ask *q = &m->ocsp_ask;

	ocsp_check(a->ocsp, span_of(q->leaf.p, q->leaf.n),
		   span_of(q->issuer.p, q->issuer.n), ocsp_told, a,
		   (uint64_t)from->index << 32 | q->id);
}

/* -- users ------------------------------------------------------------------ */

static void
load_users(struct auth *a)
{
	uint8_t *bytes = NULL;
	size_t n = 0;
	unsigned line = 0;
	int rc = file_read(AT_FDCWD, users_file, USERS_FILE_MAX, &bytes, &n);

	if (rc == -ENOENT) {
		a->has_users = true;
		return;
	}
	if (rc == 0)
		rc = users_read(&a->users, span_of(bytes, n), &line);
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	a->has_users = rc == 0;
	if (rc < 0)
		log_err(0,
			"auth: the users file cannot be used (line %u: %s): nobody can "
			"log in until it is repaired or removed, and vpnd restarted",
			line, err_text(rc));
	else
		log_info(0, "users loaded n=%zu", a->users.n);
}

static int
save_users(const struct users *t)
{
	char *text = NULL;
	size_t n = 0;
	int rc = users_write(t, &text, &n);

	if (rc < 0)
		return rc;
	rc = file_replace(AT_FDCWD, users_file, span_of(text, n), 0600);
	OPENSSL_cleanse(text, n);
	free(text);
	return rc;
}

/* Nothing leaves here with a secret in the clear if there is a key. */
static int
seal_users(struct auth *a, struct users *t, bool anew, size_t *sealed)
{
	struct users_sealing s;

	*sealed = 0;
	if (!a->has_pair_key)
		return 0;
	int rc = users_seal(t, a->pair_key, anew, &s);
	*sealed = s.sealed;
	if (rc < 0)
		log_err(0, "auth: second factors cannot be sealed: %s", err_text(rc));
	if (s.unopened > 0)
		log_limited(LOG_L_ERR, 0,
			    "auth: the second factors of %zu users were sealed under "
			    "another pair key: these users cannot log in; restore "
			    "that key or make the users anew",
			    s.unopened);
	return rc;
}

/* Change a copy, write the copy, then it is the table: memory never says what
 * the disk does not. */
static int
put_user(struct auth *a, const struct ipc_user_put *m, char *why, size_t why_n)
{
	struct users next = { 0 };
	size_t sealed;

	if (!a->has_users) {
		snprintf(why, why_n,
			 "The users file is damaged: repair or remove it first.");
		return E_INVAL;
	}
	int rc = users_copy(&next, &a->users);
	if (rc < 0)
		snprintf(why, why_n, "There is no memory for this.");
	else
		rc = users_apply(&next, m, wall_now(), why, why_n);
	if (rc == 0)
		rc = seal_users(a, &next, false, &sealed);
	if (rc == 0 && (rc = save_users(&next)) < 0) {
		snprintf(why, why_n, "The users file cannot be written: %s.",
			 err_text(rc));
		log_err(0, "auth: %s", why);
	}
	if (rc < 0) {
		users_free(&next);
		return rc;
	}
	users_free(&a->users);
	a->users = next;
	replica_changed_alone(a->replica);
	return 0;
}

/* -- users of a pair -------------------------------------------------------- */

static int
users_text(void *arg, char **text, size_t *n)
{
	struct auth *a = arg;

	return a->has_users ? users_write(&a->users, text, n) : E_INVAL;
}

/* What the other node changed ends sessions here as it did there. */
static void
tell_change(struct auth *a, const char *user, const char *reason, const char *text)
{
	struct ipc_event e = { .what = EV_USER_CHANGED };

	snprintf(e.user, sizeof(e.user), "%s", user);
	snprintf(e.reason, sizeof(e.reason), "%s", reason);
	snprintf(e.text, sizeof(e.text), "%s", text);
	peer_send(&a->session, IPC_event, &e);
}

static void
compare_users(struct auth *a, const struct users *next)
{
	for (size_t i = 0; i < a->users.n; i++) {
		const struct user *was = &a->users.u[i],
				  *is = users_find(next, was->name);
		if (is == NULL || (was->is_authorised && !is->is_authorised))
			tell_change(a, was->name, "user_disabled",
				    "Your account is disabled");
		else if (strcmp(was->hash, is->hash) != 0)
			tell_change(a, was->name, "password_changed",
				    "Your password was changed");
	}
}

/* A code that was used stays used. */
static void
keep_used(struct users *next, const struct users *was)
{
	for (size_t i = 0; i < next->n; i++) {
		const struct user *old = users_find(was, next->u[i].name);
		if (old != NULL && strcmp(old->totp, next->u[i].totp) == 0)
			next->u[i].totp_used = old->totp_used;
	}
}

static void
take_table(struct auth *a, struct users *next)
{
	int rc = save_users(next);

	/* The store has it: without the file only a start without hasync suffers. */
	if (rc < 0)
		log_err(0, "auth: the users file cannot be written: %s", err_text(rc));
	keep_used(next, &a->users);
	users_free(&a->users);
	a->users = *next;
	*next = (struct users){ 0 };
	a->has_users = true;
}

/* The store tells us what it took from us before it answers. */
static bool
is_own_change(const struct auth *a, struct span text)
{
	char *mine = NULL;
	size_t n = 0;

	if (a->first_change == NULL || a->first_change->table.u == NULL ||
	    users_write(&a->first_change->table, &mine, &n) < 0)
		return false;
	bool is_own = span_eq(span_of(mine, n), text);
	OPENSSL_cleanse(mine, n);
	free(mine);
	return is_own;
}

/* The same users in better words. If somebody changes them meanwhile, his change is
 * what we adopt next. */
static void
store_users(struct auth *a)
{
	char *text = NULL;
	size_t n = 0;
	int rc = users_text(a, &text, &n);

	if (rc == 0)
		rc = replica_put(a->replica, span_of(text, n), NULL, NULL);
	if (rc < 0 && rc != E_AGAIN && rc != E_CLOSED)
		log_warn(0, "auth: sealed second factors are not stored: %s",
			 err_text(rc));
	if (text != NULL)
		OPENSSL_cleanse(text, n);
	free(text);
}

static void
adopt_users(void *arg, struct span text)
{
	struct auth *a = arg;
	struct users next = { 0 };
	unsigned line = 0;
	char *mine = NULL;
	size_t n = 0;
	bool is_same = a->has_users && users_write(&a->users, &mine, &n) == 0 &&
		       span_eq(span_of(mine, n), text);

	if (mine != NULL)
		OPENSSL_cleanse(mine, n);
	free(mine);
	if (is_same)
		return;
	size_t sealed = 0;
	int rc = users_read(&next, text, &line);
	if (rc == 0)
		(void)seal_users(a, &next, false, &sealed);
	if (rc < 0) {
		log_err(0,
			"auth: the pair's users cannot be used (line %u: %s); ours "
			"stay",
			line, err_text(rc));
		return;
	}
	if (!is_own_change(a, text))
		compare_users(a, &next);
	take_table(a, &next);
	log_info(0, "users adopted n=%zu", a->users.n);
	if (sealed > 0) /* an older node wrote them */
		store_users(a);
}

static const struct replica_host replica_calls = { NULL, users_text, adopt_users,
						   codes_told };

static void change_next(struct auth *a);

static void
change_over(struct change *c, int rc, const char *text)
{
	struct auth *a = c->a;
	struct ipc_user_done d = { .id = c->m.id, .is_bad = rc < 0 };

	snprintf(d.text, sizeof(d.text), "%s", text);
	if (rc == 0)
		log_info(0, "user changed user=%s op=%u mask=%u", c->m.user, c->m.op,
			 c->m.mask);
	peer_send(&a->session, IPC_user_done, &d);
	a->first_change = c->next;
	if (a->first_change == NULL)
		a->last_change = NULL;
	a->changes--;
	users_free(&c->table);
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
	change_next(a);
}

static void
on_stored(void *arg, int rc, unsigned copies, bool is_peer_away, bool is_news)
{
	struct auth *a = arg;
	struct change *c = a->first_change;
	char text[128];

	if (c == NULL)
		return;
	if (rc == E_STALE && ++c->tries < RETRIES_MAX) {
		users_free(&c->table);
		change_next(a);
		return;
	}
	if (rc == 0) {
		if (is_news)
			take_table(a, &c->table);
		snprintf(text, sizeof(text), "durable on %u node%s%s", copies,
			 copies == 1 ? "" : "s",
			 is_peer_away ? ", the peer is away" : "");
	} else {
		snprintf(text, sizeof(text), "The store did not take it: %s.",
			 rc == E_STALE ? "others change users at the same time"
				       : err_text(rc));
	}
	change_over(c, rc, text);
}

/* Make the change on what we have now and offer it to the store. */
static void
change_next(struct auth *a)
{
	struct change *c = a->first_change;
	char why[256] = "", *text = NULL;
	size_t n = 0, sealed;

	if (c == NULL)
		return;
	if (!replica_is_up(a->replica)) {
		int alone = put_user(a, &c->m, why, sizeof(why));
		change_over(c, alone, why);
		return;
	}
	int rc = a->has_users ? users_copy(&c->table, &a->users) : E_INVAL;
	if (rc == 0)
		rc = users_apply(&c->table, &c->m, wall_now(), why, sizeof(why));
	if (rc == 0)
		rc = seal_users(a, &c->table, false, &sealed);
	if (rc == 0)
		rc = users_write(&c->table, &text, &n);
	if (rc == 0)
		rc = replica_put(a->replica, span_of(text, n), on_stored, a);
	if (text != NULL)
		OPENSSL_cleanse(text, n);
	free(text);
	/* The first upload of our users is under way: it takes us along. */
	if (rc == E_AGAIN) {
		snprintf(why, sizeof(why), "The store is busy. Try again.");
	} else if (rc < 0 && why[0] == '\0') {
		snprintf(why, sizeof(why), "The store did not take it: %s.",
			 err_text(rc));
	}
	if (rc < 0)
		change_over(c, rc, why);
}

/* False: it does not go through the store. */
static bool
change_begin(struct auth *a, const struct ipc_user_put *m)
{
	struct change *c;

	if (!replica_is_up(a->replica) && a->first_change == NULL)
		return false;
	if (a->changes >= CHANGES_MAX || (c = calloc(1, sizeof(*c))) == NULL) {
		struct ipc_user_done d = {
			.id = m->id,
			.is_bad = 1,
			.text = "Too many changes wait. Try again."
		};
		peer_send(&a->session, IPC_user_done, &d);
		return true;
	}
	c->a = a;
	c->m = *m;
	a->changes++;
	if (a->last_change != NULL)
		a->last_change->next = c;
	else
		a->first_change = c;
	a->last_change = c;
	if (a->first_change == c)
		change_next(a);
	return true;
}

static void
on_cluster(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;

	replica_connect(a->replica, fds[0]);
}

static void
on_pair_key(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	uint8_t *bytes = NULL;
	size_t n = 0, sealed = 0;
	int rc = file_read_fd(fds[0], PAIRKEY, &bytes, &n);

	close(fds[0]);
	if (rc == 0 && n != PAIRKEY)
		rc = E_INVAL;
	if (rc < 0) {
		log_err(0, "auth: pair key: %s", err_text(rc));
	} else {
		bool anew = a->has_pair_key && memcmp(a->pair_key, bytes, n) != 0;
		memcpy(a->pair_key, bytes, n);
		a->has_pair_key = true;
		rc = seal_users(a, &a->users, anew, &sealed);
	}
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, n);
	free(bytes);
	if (rc < 0 || sealed == 0)
		return;
	log_info(0, "second factors sealed n=%zu", sealed);
	if ((rc = save_users(&a->users)) < 0)
		log_err(0, "auth: the users file cannot be written: %s", err_text(rc));
	store_users(a);
}

static void
on_role(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	/* Passwords are judged on both nodes alike. */
}

static void
on_user_put(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct ipc_user_done d = { .id = m->user_put.id };

	if (change_begin(arg, &m->user_put)) {
		OPENSSL_cleanse((void *)(uintptr_t)m->user_put.totp,
				sizeof(m->user_put.totp));
		OPENSSL_cleanse((void *)(uintptr_t)m->user_put.hash,
				sizeof(m->user_put.hash));
		return;
	}
	int rc = put_user(arg, &m->user_put, d.text, sizeof(d.text));

	OPENSSL_cleanse((void *)(uintptr_t)m->user_put.totp, sizeof(m->user_put.totp));
	OPENSSL_cleanse((void *)(uintptr_t)m->user_put.hash, sizeof(m->user_put.hash));
	d.is_bad = rc < 0;
	if (rc == 0)
		log_info(0, "user changed user=%s op=%u mask=%u", m->user_put.user,
			 m->user_put.op, m->user_put.mask);
	peer_send(from, IPC_user_done, &d);
}

/* By index in the order of names; an empty name is past the end. */
static void
on_user_get(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	struct ipc_user_row row = { .id = m->user_get.id,
				    .total = (uint32_t)a->users.n };

	if (m->user_get.index < a->users.n) {
		const struct user *u = &a->users.u[m->user_get.index];
		memcpy(row.user, u->name, sizeof(row.user));
		row.is_authorised = u->is_authorised;
		row.has_totp = users_has_totp(u);
		row.wall_changed = u->wall_changed_s;
	}
	peer_send(from, IPC_user_row, &row);
}

/* -- life ------------------------------------------------------------------- */

static void on_broken(void *arg, struct peer *from, int rc);
static const peer_handler from_worker[IPC_TYPES];

/* Workers are heard once there is a configuration to answer by. */
static void
open_workers(struct auth *a)
{
	for (unsigned i = 0; i < a->child->n_peer; i++) {
		const struct child_peer *p = &a->child->peer[i];
		if (p->who != IPC_WORKER || p->index >= CHILD_WORKERS)
			continue;
		int rc = peer_open(&a->worker[p->index], &a->loop, p->fd, IPC_AUTH,
				   IPC_WORKER, p->index, from_worker, on_broken, a);
		if (rc < 0)
			log_fatal("auth: worker %u: %s", p->index, err_text(rc));
	}
}

static void
on_config(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	struct bundle b = { 0 };
	struct config *next = NULL;
	struct ipc_config_done d = { .generation = m->config.generation };
	int rc = bundle_load(fds[0], &b, &next);

	if (rc < 0) {
		d.is_bad = 1;
		snprintf(d.text, sizeof(d.text), "auth: %s", err_text(rc));
	} else {
		bool is_first = a->config == NULL;
		bundle_free(&b);
		config_free(a->config);
		a->config = next;
		log_set_level(a->child->is_debug || next->log_debug ? LOG_L_DEBUG
								    : LOG_L_INFO);
		if (is_first)
			open_workers(a);
	}
	peer_send(from, IPC_config_done, &d);
}

static void
on_ping(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	peer_send(from, IPC_pong, &(struct ipc_pong){ .id = m->ping.id });
}

static void
on_process_new(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	/* Logins live in what clients carry: a new worker needs nothing from us. */
}

static void
on_stop(void *arg, struct peer *from, const union ipc_body *m, const int *fds)
{
	struct auth *a = arg;
	uv_stop(&a->loop);
}

static void
on_broken(void *arg, struct peer *from, int rc)
{
	/* A peer is not read again after this, and its successor has the same
	 * socket: the parent starts us afresh, which costs no tunnel. */
	log_fatal("auth: %s %u breaks the message table: %s",
		  ipc_process_name[from->who], from->index, err_text(rc));
}

/* clang-format off */
static const peer_handler from_parent[IPC_TYPES] = {
	[IPC_ping]        = on_ping,
	[IPC_config]      = on_config,
	[IPC_process_new] = on_process_new,
	[IPC_stop]        = on_stop,
	[IPC_cluster]     = on_cluster,
	[IPC_role]        = on_role,
	[IPC_pair_key]    = on_pair_key,
};
static const peer_handler from_session[IPC_TYPES] = {
	[IPC_user_put]    = on_user_put,
	[IPC_user_get]    = on_user_get,
};
static const peer_handler from_worker[IPC_TYPES] = {
	[IPC_login_step]  = on_login_step,
	[IPC_ocsp_ask]    = on_ocsp_ask,
};
/* clang-format on */

static void
auth_free(struct auth *a)
{
	for (unsigned i = 0; i < CHILD_WORKERS; i++)
		if (a->worker[i].in_loop)
			peer_close(&a->worker[i], NULL);
	peer_close(&a->session, NULL);
	ocsp_free(a->ocsp);
	replica_free(a->replica); /* its connection would keep the loop alive */
	peer_close(&a->parent, NULL);
	uv_run(&a->loop, UV_RUN_DEFAULT);
	uv_loop_close(&a->loop);
	users_free(&a->users);
	codes_free(&a->codes);
	config_free(a->config);
	backoff_free(a->backoff);
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}

/* A password hash takes as long as a hundred reconnects. When the processor is short,
 * who has a token goes first: nothing on that way is in this process. The threads of
 * the pool inherit it. */
static void
go_last(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE) < 0)
		log_warn(0, "auth: priority: %s", err_text(-errno));
}

int
auth_main(const struct child *c)
{
	struct auth *a = calloc(1, sizeof(*a));
	struct resolver resolver;
	int parent = child_fd(c, IPC_PARENT, 0), session = child_fd(c, IPC_SESSION, 0),
	    rc;

	log_open("vpnd", "auth", c->is_debug ? LOG_L_DEBUG : LOG_L_INFO);
	if (a == NULL || parent < 0 || session < 0 || uv_loop_init(&a->loop) < 0 ||
	    (a->backoff = backoff_new()) == NULL || ocsp_new(&a->ocsp, &a->loop) < 0 ||
	    RAND_priv_bytes(a->seal_key, sizeof(a->seal_key)) != 1 ||
	    RAND_priv_bytes(a->decoy_key, sizeof(a->decoy_key)) != 1)
		log_fatal("auth: cannot start");
	go_last();
	a->child = c;
	a->replica_host = replica_calls;
	a->replica_host.arg = a;
	if ((rc = replica_new(&a->replica, &a->loop, &a->replica_host)) < 0)
		log_fatal("auth: %s", err_text(rc));
	/* OpenSSL reads its configuration while there still is a file system. */
	(void)EVP_aes_256_gcm();
	resolver_read(&resolver);
	if ((rc = proc_confine(c->root, c->uid, c->gid, PROC_NO_CAP)) < 0)
		log_fatal("auth: cannot drop privileges: %s", err_text(rc));
	resolver_write(&resolver, c->root);
	load_users(a);
	if ((rc = peer_open(&a->parent, &a->loop, parent, IPC_AUTH, IPC_PARENT, 0,
			    from_parent, on_broken, a)) < 0 ||
	    (rc = peer_open(&a->session, &a->loop, session, IPC_AUTH, IPC_SESSION, 0,
			    from_session, on_broken, a)) < 0)
		log_fatal("auth: peers: %s", err_text(rc));
	peer_send(&a->parent, IPC_ready,
		  &(struct ipc_ready){ .pid = (uint32_t)getpid() });
	uv_run(&a->loop, UV_RUN_DEFAULT);

	peer_flush(&a->session, 200);
	log_info(0, "auth stopped");
	/* Logins under way end with the process: their memory is still in use. */
	if (a->hashes == 0 && a->delayed == 0 && ocsp_is_idle(a->ocsp))
		auth_free(a);
	return 0;
}
