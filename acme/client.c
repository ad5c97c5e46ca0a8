/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/client.h"

#include "common/err.h"
#include "common/http.h"
#include "common/log.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

struct client {
	uv_loop_t *loop;
	uv_timer_t timer;
	CURLM *multi;
	CURL *easy; /* NULL: nothing is open */
	struct curl_slist *headers;
	client_done done;
	void *arg;
	char *trust, *sent;
	struct client_answer answer;
	uint8_t *body;
	size_t n, cap;
	bool is_too_large;
	char error[CURL_ERROR_SIZE];
};

/* A socket of libcurl's. */
struct watch {
	uv_poll_t poll;
	struct client *client;
	curl_socket_t fd;
};

static void check_done(struct client *c);

/* ---- an answer as it comes ---- */

static bool
take(struct span line, const char *name, char *to, size_t cap)
{
	size_t n = strlen(name);

	if (line.n <= n || line.p[n] != ':' || !http_name_is(span_of(line.p, n), name))
		return false;
	struct span v = span_of(line.p + n + 1, line.n - n - 1);
	while (v.n > 0 && isspace(v.p[0]))
		v = span_of(v.p + 1, v.n - 1);
	while (v.n > 0 && isspace(v.p[v.n - 1]))
		v.n--;
	to[0] = '\0';
	if (v.n >= cap || memchr(v.p, '\0', v.n) != NULL)
		return false;
	memcpy(to, v.p, v.n);
	to[v.n] = '\0';
	return true;
}

/* RFC 8555 6.5.1: anything but base64url is to be ignored. */
static void
take_nonce(struct client_answer *a, const char *v)
{
	for (const char *p = v; *p != '\0'; p++)
		if (!isalnum((uint8_t)*p) && *p != '-' && *p != '_')
			return;
	size_t n = strlen(v);
	if (n < sizeof(a->nonce))
		memcpy(a->nonce, v, n + 1);
}

void
client_take_header(struct client_answer *a, struct span line)
{
	char v[ANSWER_URL];

	if (span_has_prefix(line, "HTTP/"))
		/* The head of an answer that another one follows (100) counts not. */
		a->nonce[0] = a->location[0] = '\0', a->n_alternates = 0;
	else if (take(line, "Replay-Nonce", v, sizeof(a->nonce)))
		take_nonce(a, v);
	else if (take(line, "Location", v, sizeof(v)) && answer_url_ok(v))
		memcpy(a->location, v, sizeof(v));
	else if (a->n_alternates < CLIENT_ALTERNATES &&
		 take(line, "Link", v, sizeof(v)) &&
		 answer_link(span_str(v), "alternate", a->alternates[a->n_alternates]))
		a->n_alternates++;
}

static size_t
on_header(char *p, size_t one, size_t n, void *arg)
{
	struct client *c = arg;

	client_take_header(&c->answer, span_of(p, n));
	return n;
}

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct client *c = arg;

	if (n > ANSWER_MAX - c->n) {
		c->is_too_large = true;
		return 0;
	}
	if (c->n + n > c->cap) {
		size_t cap = c->cap == 0 ? 16384 : c->cap;
		while (cap < c->n + n)
			cap *= 2;
		uint8_t *grown = realloc(c->body, cap);
		if (grown == NULL)
			return 0;
		c->body = grown;
		c->cap = cap;
	}
	memcpy(c->body + c->n, p, n);
	c->n += n;
	return n;
}

/* ---- libcurl in a libuv loop ---- */

static void
on_watch_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_ready(uv_poll_t *p, int status, int events)
{
	struct watch *w = p->data;
	struct client *c = w->client;
	int running, flags = status < 0 ? CURL_CSELECT_ERR : 0;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, w->fd, flags, &running);
	check_done(c);
}

static void
watch_end(struct watch *w)
{
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static struct watch *
watch_new(struct client *c, curl_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->client = c;
	w->fd = fd;
	if (uv_poll_init_socket(c->loop, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	curl_multi_assign(c->multi, fd, w);
	return w;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct client *c = arg;
	struct watch *w = of_socket;

	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(c->multi, fd, NULL);
		if (w != NULL)
			watch_end(w);
		return 0;
	}
	if (w == NULL && (w = watch_new(c, fd)) == NULL)
		return -1;
	uv_poll_start(&w->poll,
		      (what & CURL_POLL_IN ? UV_READABLE : 0) |
			      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_ready);
	return 0;
}

static void
on_time(uv_timer_t *t)
{
	struct client *c = t->data;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	check_done(c);
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct client *c = arg;

	if (ms < 0)
		uv_timer_stop(&c->timer);
	else
		uv_timer_start(&c->timer, on_time, (uint64_t)ms, 0);
	return 0;
}

/* ---- a request ---- */

static void
forget(struct client *c)
{
	if (c->easy != NULL) {
		curl_multi_remove_handle(c->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	curl_slist_free_all(c->headers);
	free(c->sent);
	c->easy = NULL;
	c->headers = NULL;
	c->sent = NULL;
}

static void
finish(struct client *c, CURLcode code)
{
	struct client_answer *a = &c->answer;
	long status = 0;
	curl_off_t retry = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry);
	a->status = (int)status;
	a->retry_after_s = retry > 0 ? (uint64_t)retry : 0;
	a->body = span_of(c->body, c->n);
	if (c->is_too_large) {
		a->rc = E_LIMIT;
		snprintf(a->why, sizeof(a->why),
			 "the answer is larger than 1 MiB: not read further");
	} else if (code != CURLE_OK) {
		a->rc = E_CLOSED;
		snprintf(a->why, sizeof(a->why), "%s",
			 c->error[0] != '\0' ? c->error : curl_easy_strerror(code));
	} else if (status >= 300 && status < 400) {
		a->rc = E_PROTO;
		snprintf(a->why, sizeof(a->why),
			 "it redirects elsewhere (%ld): not followed", status);
	}
	forget(c);
	c->done(c->arg, a);
}

static void
check_done(struct client *c)
{
	CURLMsg *m;
	int left;

	while (c->easy != NULL && (m = curl_multi_info_read(c->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE && m->easy_handle == c->easy) {
			finish(c, m->data.result);
			return;
		}
}

static int
set_up(struct client *c, const struct client_request *q)
{
	CURL *e = c->easy;
	struct curl_blob trust = { .data = c->trust,
				   .len = c->trust ? strlen(c->trust) : 0,
				   .flags = CURL_BLOB_COPY };

	curl_easy_setopt(e, CURLOPT_URL, q->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)CLIENT_REQUEST_S);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CLIENT_CONNECT_S);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "tandem/" TANDEM_VERSION);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	if (c->trust != NULL) {
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
		curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &trust);
	}
	if (q->verb == CLIENT_HEAD)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (q->verb != CLIENT_POST)
		return 0;
	c->headers = curl_slist_append(NULL, "Content-Type: application/jose+json");
	c->sent = malloc(q->body.n + 1);
	if (c->headers == NULL || c->sent == NULL)
		return E_NOMEM;
	memcpy(c->sent, q->body.p, q->body.n);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)q->body.n);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->sent);
	return 0;
}

int
client_send(struct client *c, const struct client_request *q)
{
	static const char *const verbs[] = { "GET", "HEAD", "POST" };

	if (c->easy != NULL)
		return E_EXIST;
	c->answer = (struct client_answer){ .rc = 0 };
	c->n = 0;
	c->is_too_large = false;
	c->error[0] = '\0';
	c->easy = curl_easy_init();
	int rc = c->easy == NULL ? E_NOMEM : set_up(c, q);
	if (rc == 0 && curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
		rc = E_NOMEM;
	if (rc < 0)
		forget(c);
	else
		log_debug(0, "%s %s", verbs[q->verb], q->url);
	return rc;
}

void
client_cancel(struct client *c)
{
	forget(c);
}

int
client_trust(struct client *c, const char *pem)
{
	char *copy = pem != NULL ? strdup(pem) : NULL;

	if (pem != NULL && copy == NULL)
		return E_NOMEM;
	free(c->trust);
	c->trust = copy;
	return 0;
}

int
client_new(struct client **out, uv_loop_t *loop, client_done done, void *arg)
{
	struct client *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return E_NOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
	    (c->multi = curl_multi_init()) == NULL) {
		free(c);
		return E_TLS;
	}
	c->loop = loop;
	c->done = done;
	c->arg = arg;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 2L);
	*out = c;
	return 0;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	forget(c);
	/* Idle connections go too: their sockets are watched by our loop. */
	curl_multi_cleanup(c->multi);
	c->multi = NULL;
	uv_close((uv_handle_t *)&c->timer, NULL);
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	free(c->trust);
	free(c->body);
	free(c);
	curl_global_cleanup();
}
