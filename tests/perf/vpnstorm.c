/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* vpnstorm.c -- many AnyConnect clients that come back at once.
 *
 *   vpnstorm ADDRESS PORT USER PASSWORD COUNT
 *       COUNT sessions of one user, a thread each. Prints "up COUNT", then waits. A
 *       client whose connection ends returns with its token, as openconnect would,
 *       and says "back SECONDS-SINCE-THE-EPOCH". From the first lost connection on,
 *       LOGINS more clients log in by password again and again: "login SECONDS" is
 *       how long one took. Ends when all are back; "relogin" for a refused token.
 */
#include "tests/perf/anyconnect.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LOGINS = 2, AT_ONCE = 16, RETRY_US = 100000, STACK = 256 * 1024 };

static struct target target;
static atomic_uint n_up, n_back, n_failed;
static atomic_bool is_lost, is_over;
static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_clients;

static void
say(const char *what, double s)
{
	pthread_mutex_lock(&out);
	printf("%s %.3f\n", what, s);
	fflush(stdout);
	pthread_mutex_unlock(&out);
}

static double
wall_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Until the connection ends. Silence is no end; DPD requests are answered. */
static void
wait_for_end(struct tunnel *u)
{
	unsigned char buf[4096];

	for (;;) {
		int n = SSL_read(u->ssl, buf, sizeof(buf));
		if (n > 7 && buf[6] == 3) {
			buf[6] = 4;
			SSL_write(u->ssl, buf, n);
		} else if (n == 8 - 1) {
			continue;
		} else if (n <= 0 &&
			   !(SSL_get_error(u->ssl, n) == SSL_ERROR_WANT_READ ||
			     errno == EAGAIN)) {
			return;
		}
	}
}

static void *
client(void *arg)
{
	static atomic_int places = AT_ONCE;
	struct tunnel u;
	char token[4096];
	bool is_up = false;

	for (int try = 0; !is_up && try < 5; try++) {
		while (atomic_fetch_sub(&places, 1) <= 0) {
			atomic_fetch_add(&places, 1);
			usleep(20000);
		}
		is_up = tunnel_open_token(&u, &target, token, sizeof(token)) == 0;
		atomic_fetch_add(&places, 1);
	}
	if (!is_up) {
		atomic_fetch_add(&n_failed, 1);
		return NULL;
	}
	atomic_fetch_add(&n_up, 1);
	wait_for_end(&u);
	tunnel_free(&u);
	atomic_store(&is_lost, true);
	while (tunnel_return(&u, &target, token) < 0 && !atomic_load(&is_over))
		usleep(RETRY_US);
	say("back", wall_s());
	atomic_fetch_add(&n_back, 1);
	while (!atomic_load(&is_over))
		usleep(100000);
	return NULL;
}

static void *
newcomer(void *arg)
{
	struct tunnel u;

	while (!atomic_load(&is_lost))
		usleep(10000);
	while (!atomic_load(&is_over)) {
		double from = now_ms();
		if (tunnel_open(&u, &target) == 0) {
			say("login", (now_ms() - from) / 1000);
			tunnel_end(&u);
		}
		usleep(50000);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;
	unsigned limit_s = 60;

	if (argc != 6) {
		fprintf(stderr, "usage: vpnstorm ADDRESS PORT USER PASSWORD COUNT\n");
		return 2;
	}
	target_open(&target, argv - 1); /* it expects a word in front */
	n_clients = (unsigned)atoi(argv[5]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (unsigned i = 0; i < n_clients; i++)
		if (pthread_create(&t, &attr, client, NULL) != 0)
			return 1;
	for (unsigned i = 0; i < LOGINS; i++)
		if (pthread_create(&t, &attr, newcomer, NULL) != 0)
			return 1;
	while (atomic_load(&n_up) + atomic_load(&n_failed) < n_clients)
		usleep(50000);
	printf("up %u\n", atomic_load(&n_up));
	fflush(stdout);
	while (!atomic_load(&is_lost))
		usleep(10000);
	for (unsigned ms = 0; ms < limit_s * 1000 && atomic_load(&n_back) < n_clients;
	     ms += 10)
		usleep(10000);
	printf("returned %u\n", atomic_load(&n_back));
	fflush(stdout);
	_exit(atomic_load(&n_back) < n_clients);
}
