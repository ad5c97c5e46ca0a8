/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vpnlogin.c -- a light AnyConnect client for measurements, no tunnel device.
 *
 *   vpnlogin login ADDRESS PORT USER PASSWORD COUNT PARALLEL
 *       COUNT whole logins, PARALLEL at a time: TCP, TLS, XML init, the forms,
 *       CONNECT answered by 200, DISCONNECT, close. Last line:
 *       logins=N failed=N seconds=S per_s=X p50_ms=X p95_ms=X p99_ms=X
 *
 *   vpnlogin hold ADDRESS PORT USER PASSWORD COUNT dtls|tls
 *       COUNT sessions at once in this process. Prints "ready tls=N dtls=N",
 *       then answers DPD on both channels until standard input ends, and says
 *       "held tls=N dtls=N dpd=N" about what was still alive.
 *
 *   vpnlogin return ADDRESS PORT USER PASSWORD COUNT LOGINS
 *       COUNT reconnects with a token, 4 clients one after the other, while LOGINS
 *       more log in by password all the time. Last line:
 *       returns=N failed=N p50_ms=X p99_ms=X logins=N login_p50_ms=X
 */
#include "tests/perf/anyconnect.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
	FAILED_MAX = 5, /* then the run is spoiled anyway */
	THREADS_MAX = 256,
	RETURNING = 4,
	PAUSE_US = 20000, /* between two reconnects of one client */
	LOGINS_MAX = 100000,
};

/* --- mode login */

struct bench {
	const struct target *t;
	unsigned count;
	atomic_uint next, failed;
	double *ms;
};

static void *
login_thread(void *arg)
{
	struct bench *b = arg;
	unsigned i;

	while ((i = atomic_fetch_add(&b->next, 1)) < b->count) {
		struct tunnel u;
		if (b->failed >= FAILED_MAX) {
			b->ms[i] = 1e9;
			atomic_fetch_add(&b->failed, 1);
			continue;
		}
		double from = now_ms();
		if (tunnel_open(&u, b->t) < 0) {
			atomic_fetch_add(&b->failed, 1);
			b->ms[i] = 1e9;
			continue;
		}
		b->ms[i] = now_ms() - from;
		tunnel_end(&u);
	}
	return NULL;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void
run_threads(void *(*body)(void *), void *arg, unsigned n)
{
	pthread_t id[THREADS_MAX];

	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&id[i], NULL, body, arg) != 0)
			abort();
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

static int
mode_login(const struct target *t, unsigned count, unsigned parallel)
{
	struct bench b = { .t = t,
			   .count = count,
			   .ms = calloc(count, sizeof(double)) };
	double from = now_ms();

	run_threads(login_thread, &b, parallel);
	double seconds = (now_ms() - from) / 1e3;
	unsigned done = count - b.failed;
	if (done == 0) {
		fprintf(stderr, "vpnlogin: not one login succeeded\n");
		return 1;
	}
	qsort(b.ms, count, sizeof(double), by_value); /* failures sort last */
	printf("logins=%u failed=%u seconds=%.2f per_s=%.1f p50_ms=%.1f p95_ms=%.1f "
	       "p99_ms=%.1f\n",
	       done, b.failed, seconds, done / seconds, b.ms[done / 2],
	       b.ms[done * 95 / 100], b.ms[done * 99 / 100]);
	free(b.ms);
	return b.failed > 0;
}

/* --- mode hold */

struct hold {
	const struct target *t;
	unsigned count;
	atomic_uint next, n_tls, n_dtls, failed;
	unsigned long dpd;
	struct tunnel *u;
};

static void *
hold_thread(void *arg)
{
	struct hold *h = arg;
	unsigned i;

	while ((i = atomic_fetch_add(&h->next, 1)) < h->count) {
		struct tunnel *u = &h->u[i];
		if (h->failed >= FAILED_MAX || tunnel_open(u, h->t) < 0) {
			atomic_fetch_add(&h->failed, 1);
			*u = (struct tunnel){ .tcp = -1, .udp = -1 };
			continue;
		}
		atomic_fetch_add(&h->n_tls, 1);
		if (!h->t->wants_dtls || !u->has_id)
			continue;
		if (dtls_open(u, h->t) == 0) {
			atomic_fetch_add(&h->n_dtls, 1);
			continue;
		}
		SSL_free(u->dtls);
		u->dtls = NULL;
		if (u->udp >= 0)
			close(u->udp);
		u->udp = -1;
	}
	return NULL;
}

static bool
still_open(SSL *ssl, int rc)
{
	return SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ;
}

/* CSTP: frames of 8 bytes header; DPD-REQ (3) is echoed as DPD-RESP (4). */
static bool
serve_tls(struct hold *h, struct tunnel *u)
{
	unsigned char p[16384 + 8];
	int n;

	while ((n = SSL_read(u->ssl, p, sizeof(p))) > 0) {
		if (n >= 8 && p[6] == 3) {
			p[6] = 4;
			SSL_write(u->ssl, p, n);
			h->dpd++;
		} else if (n >= 8 && (p[6] == 5 || p[6] == 9)) {
			return false;
		}
	}
	return still_open(u->ssl, n);
}

static bool
serve_dtls(struct hold *h, struct tunnel *u)
{
	unsigned char p[16384];
	int n;

	while ((n = SSL_read(u->dtls, p, sizeof(p))) > 0) {
		if (p[0] == 3) {
			p[0] = 4;
			SSL_write(u->dtls, p, n);
			h->dpd++;
		}
	}
	return still_open(u->dtls, n);
}

static void
watch(int ep, int fd, unsigned index, bool is_udp)
{
	struct epoll_event e = { .events = EPOLLIN,
				 .data.u64 = (uint64_t)index << 1 | is_udp };

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void
hold_loop(struct hold *h, int ep)
{
	struct epoll_event e[64];

	for (;;) {
		int n = epoll_wait(ep, e, 64, -1);
		for (int i = 0; i < n; i++) {
			if (e[i].data.u64 == UINT64_MAX)
				return; /* standard input ended */
			struct tunnel *u = &h->u[e[i].data.u64 >> 1];
			bool is_udp = e[i].data.u64 & 1;
			if (is_udp ? serve_dtls(h, u) : serve_tls(h, u))
				continue;
			epoll_ctl(ep, EPOLL_CTL_DEL, is_udp ? u->udp : u->tcp, NULL);
			atomic_fetch_sub(is_udp ? &h->n_dtls : &h->n_tls, 1);
		}
	}
}

static int
mode_hold(const struct target *t, unsigned count)
{
	struct hold h = { .t = t, .count = count, .u = calloc(count, sizeof(*h.u)) };
	struct epoll_event in = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	run_threads(hold_thread, &h, 4);
	epoll_ctl(ep, EPOLL_CTL_ADD, 0, &in);
	for (unsigned i = 0; i < count; i++) {
		if (h.u[i].tcp >= 0)
			watch(ep, h.u[i].tcp, i, false);
		if (h.u[i].udp >= 0)
			watch(ep, h.u[i].udp, i, true);
		/* What came with the handshake is in OpenSSL, not in the socket. */
		if (h.u[i].ssl != NULL)
			serve_tls(&h, &h.u[i]);
		if (h.u[i].dtls != NULL)
			serve_dtls(&h, &h.u[i]);
	}
	printf("ready tls=%u dtls=%u\n", h.n_tls, h.n_dtls);
	fflush(stdout);
	hold_loop(&h, ep);
	printf("held tls=%u dtls=%u dpd=%lu\n", h.n_tls, h.n_dtls, h.dpd);
	return 0; /* the sockets close with the process: no logout */
}

/* --- mode return */

struct storm {
	const struct target *t;
	struct bench back, login;
	atomic_bool is_over;
};

static void *
newcomer_thread(void *arg)
{
	struct storm *s = arg;
	unsigned i;

	while (!atomic_load(&s->is_over) &&
	       (i = atomic_fetch_add(&s->login.next, 1)) < LOGINS_MAX) {
		struct tunnel u;
		double from = now_ms();
		bool ok = tunnel_open(&u, s->t) == 0;
		s->login.ms[i] = ok ? now_ms() - from : 1e9;
		if (ok)
			tunnel_end(&u);
		else
			atomic_fetch_add(&s->login.failed, 1);
	}
	return NULL;
}

/* The connection that is replaced is closed without a word, as a client does whose
 * network has changed. */
static void *
return_thread(void *arg)
{
	struct storm *s = arg;
	struct tunnel u, next;
	char token[4096];
	unsigned i;

	if (tunnel_open_token(&u, s->t, token, sizeof(token)) < 0) {
		atomic_fetch_add(&s->back.failed, 1);
		return NULL;
	}
	while ((i = atomic_fetch_add(&s->back.next, 1)) < s->back.count) {
		double from = now_ms();
		bool ok = tunnel_return(&next, s->t, token) == 0;
		s->back.ms[i] = ok ? now_ms() - from : 1e9;
		if (ok) {
			tunnel_free(&u);
			u = next;
		} else {
			atomic_fetch_add(&s->back.failed, 1);
		}
		usleep(PAUSE_US);
	}
	tunnel_end(&u);
	return NULL;
}

static int
mode_return(const struct target *t, unsigned count, unsigned logins)
{
	struct storm s = { .t = t,
			   .back = { .count = count,
				     .ms = calloc(count, sizeof(double)) },
			   .login = { .ms = calloc(LOGINS_MAX, sizeof(double)) } };
	pthread_t id[THREADS_MAX];

	for (unsigned i = 0; i < logins; i++)
		if (pthread_create(&id[i], NULL, newcomer_thread, &s) != 0)
			abort();
	sleep(1); /* the storm rises */
	run_threads(return_thread, &s, RETURNING);
	atomic_store(&s.is_over, true);
	for (unsigned i = 0; i < logins; i++)
		pthread_join(id[i], NULL);
	unsigned all = s.login.next < LOGINS_MAX ? s.login.next : LOGINS_MAX;
	qsort(s.back.ms, count, sizeof(double), by_value);
	qsort(s.login.ms, all, sizeof(double), by_value);
	printf("returns=%u failed=%u p50_ms=%.1f p99_ms=%.1f logins=%u "
	       "login_p50_ms=%.1f\n",
	       count - s.back.failed, s.back.failed, s.back.ms[count / 2],
	       s.back.ms[count * 99 / 100], all - s.login.failed,
	       all > 0 ? s.login.ms[all / 2] : 0);
	return s.back.failed > 0;
}

int
main(int argc, char **argv)
{
	struct target t = { 0 };
	struct rlimit files;

	if (argc != 8) {
		fputs("usage: vpnlogin login ADDRESS PORT USER PASSWORD COUNT "
		      "PARALLEL\n"
		      "       vpnlogin hold ADDRESS PORT USER PASSWORD COUNT "
		      "dtls|tls\n"
		      "       vpnlogin return ADDRESS PORT USER PASSWORD COUNT "
		      "LOGINS\n",
		      stderr);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	target_open(&t, argv);
	unsigned count = (unsigned)strtoul(argv[6], NULL, 10);
	if (strcmp(argv[1], "hold") == 0) {
		t.wants_dtls = strcmp(argv[7], "dtls") == 0;
		return mode_hold(&t, count);
	}
	unsigned parallel = (unsigned)strtoul(argv[7], NULL, 10);
	if (count == 0 || parallel > THREADS_MAX)
		return 2;
	if (strcmp(argv[1], "return") == 0)
		return mode_return(&t, count, parallel);
	if (parallel == 0)
		return 2;
	return mode_login(&t, count, parallel);
}
