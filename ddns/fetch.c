/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/fetch.h"

#include "common/err.h"

#include <curl/curl.h>
#include <net/if.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct fetch_call {
	struct fetch_call *next;
	struct fetch *owner;
	CURL *easy;
	fetch_done done;
	void *arg;
	char ifname[IF_NAMESIZE];
	char error[CURL_ERROR_SIZE];
	uint8_t body[FETCH_MAX];
	size_t n;
};

struct fetch {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	unsigned open; /* handles that libuv still knows */
	bool is_closing;
	struct fetch_call *calls;
};

/* One socket of libcurl that is being watched. */
struct watch {
	uv_poll_t poll;
	struct fetch *owner;
	curl_socket_t fd;
};

static void
maybe_free(struct fetch *f)
{
	if (f->is_closing && f->open == 0)
		free(f);
}

static void
call_free(struct fetch_call *c)
{
	struct fetch_call **p = &c->owner->calls;

	while (*p != NULL && *p != c)
		p = &(*p)->next;
	if (*p == c)
		*p = c->next;
	if (c->easy != NULL) {
		curl_multi_remove_handle(c->owner->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	OPENSSL_cleanse(c->body, c->n);
	free(c);
}

/* Each done may cancel, start, or close everything. */
static void
take_results(struct fetch *f)
{
	CURLMsg *m;
	int left;

	while (!f->is_closing && (m = curl_multi_info_read(f->multi, &left)) != NULL) {
		struct fetch_call *c;
		struct fetch_answer a = { 0 };

		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode rc = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		if (rc == CURLE_WRITE_ERROR && c->n == FETCH_MAX)
			a.error = "the answer is too long";
		else if (rc != CURLE_OK)
			a.error =
				c->error[0] != '\0' ? c->error : curl_easy_strerror(rc);
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &a.status);
		a.body = span_of(c->body, c->n);
		curl_multi_remove_handle(f->multi, c->easy);
		fetch_done done = c->done;
		if (done != NULL) {
			c->done = NULL; /* a cancel from within is too late */
			done(c->arg, &a);
		}
		if (!f->is_closing)
			call_free(c);
	}
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	struct watch *w = p->data;
	struct fetch *f = w->owner;
	int running, flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
			     (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(f->multi, w->fd, status < 0 ? CURL_CSELECT_ERR : flags,
				 &running);
	take_results(f);
}

static void
on_timer(uv_timer_t *t)
{
	struct fetch *f = t->data;
	int running;

	curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_results(f);
}

static void
on_watch_closed(uv_handle_t *h)
{
	struct watch *w = h->data;

	w->owner->open--;
	maybe_free(w->owner);
	free(w);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct fetch *f = arg;
	struct watch *w = socket_arg;

	if (what == CURL_POLL_REMOVE) {
		if (w != NULL) {
			curl_multi_assign(f->multi, fd, NULL);
			uv_poll_stop(&w->poll);
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return 0;
	}
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			return -1;
		if (uv_poll_init_socket(f->loop, &w->poll, fd) < 0) {
			free(w);
			return -1;
		}
		w->poll.data = w;
		w->owner = f;
		w->fd = fd;
		f->open++;
		curl_multi_assign(f->multi, fd, w);
	}
	uv_poll_start(&w->poll,
		      (what & CURL_POLL_IN ? UV_READABLE : 0) |
			      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_poll);
	return 0;
}

static int
on_timeout(CURLM *multi, long ms, void *arg)
{
	struct fetch *f = arg;

	if (f->is_closing)
		return 0;
	if (ms < 0)
		uv_timer_stop(&f->timer);
	else
		/* Never from within: libcurl forbids that. */
		uv_timer_start(&f->timer, on_timer, ms > 0 ? (uint64_t)ms : 1, 0);
	return 0;
}

static void
on_timer_closed(uv_handle_t *h)
{
	struct fetch *f = h->data;

	f->open--;
	maybe_free(f);
}

int
fetch_new(struct fetch **out, uv_loop_t *loop)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return E_NOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (f->multi = curl_multi_init()) == NULL) {
		free(f);
		return E_NOMEM;
	}
	f->loop = loop;
	uv_timer_init(loop, &f->timer);
	f->timer.data = f;
	f->open = 1;
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	*out = f;
	return 0;
}

void
fetch_close(struct fetch *f)
{
	if (f == NULL || f->is_closing)
		return;
	f->is_closing = true;
	while (f->calls != NULL)
		call_free(f->calls);
	curl_multi_cleanup(f->multi);
	uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_call *c = arg;
	size_t room = FETCH_MAX - c->n, take = size * n < room ? size * n : room;

	memcpy(c->body + c->n, p, take);
	c->n += take;
	return take;
}

static int
on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	const struct fetch_call *c = arg;

	if (c->ifname[0] != '\0' &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, c->ifname,
		       (socklen_t)strlen(c->ifname)) < 0)
		return CURL_SOCKOPT_ERROR;
	return CURL_SOCKOPT_OK;
}

static bool
set_options(struct fetch_call *c, const struct fetch_ask *ask)
{
	CURL *e = c->easy;
	char host[IP_TEXT + 8] = "host!", text[IP_TEXT];
	struct ip_addr local = ask->local;
	bool bad = false;

	local.port = 0;
	if (local.family != 0)
		snprintf(host + 5, sizeof(host) - 5, "%s", ip_text(&local, text));
	bad |= curl_easy_setopt(e, CURLOPT_URL, ask->url) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR,
				ask->is_plain_ok ? "http,https" : "https") != CURLE_OK;
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	curl_easy_setopt(e, CURLOPT_SOCKOPTDATA, c);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)FETCH_TIMEOUT_MS);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_USERAGENT, "tandem-ddnsd/" TANDEM_VERSION);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* The next question may be about another address: no connection stays. */
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_IPRESOLVE,
			 (long)(ask->family == 4   ? CURL_IPRESOLVE_V4
				: ask->family == 6 ? CURL_IPRESOLVE_V6
						   : CURL_IPRESOLVE_WHATEVER));
	if (local.family != 0)
		bad |= curl_easy_setopt(e, CURLOPT_INTERFACE, host) != CURLE_OK;
	if (ask->user != NULL) {
		curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		bad |= curl_easy_setopt(e, CURLOPT_USERNAME, ask->user) != CURLE_OK;
		bad |= curl_easy_setopt(e, CURLOPT_PASSWORD,
					ask->secret ? ask->secret : "") != CURLE_OK;
	}
	if (ask->ca_file != NULL && ask->ca_file[0] != '\0')
		bad |= curl_easy_setopt(e, CURLOPT_CAINFO, ask->ca_file) != CURLE_OK;
	return !bad;
}

int
fetch_start(struct fetch *f, struct fetch_call **out, const struct fetch_ask *ask,
	    fetch_done done, void *arg)
{
	struct fetch_call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return E_NOMEM;
	c->owner = f;
	c->done = done;
	c->arg = arg;
	snprintf(c->ifname, sizeof(c->ifname), "%s", ask->ifname);
	c->next = f->calls;
	f->calls = c;
	if ((c->easy = curl_easy_init()) == NULL) {
		call_free(c);
		return E_NOMEM;
	}
	if (!set_options(c, ask)) {
		call_free(c);
		return E_INVAL;
	}
	if (curl_multi_add_handle(f->multi, c->easy) != CURLM_OK) {
		call_free(c);
		return E_NOMEM;
	}
	*out = c;
	return 0;
}

void
fetch_cancel(struct fetch_call *c)
{
	/* Within its own done it goes by itself. */
	if (c != NULL && c->done != NULL)
		call_free(c);
}
