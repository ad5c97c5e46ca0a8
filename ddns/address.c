/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/address.h"

#include "common/err.h"
#include "ddns/stun.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who can be reached */

struct range {
	uint8_t family, len;
	uint8_t b[16];
	const char *why; /* NULL: reachable after all */
};

/* The first that covers an address decides. */
static const struct range ranges[] = {
	{ 4, 8, { 0 }, "no address" },
	{ 4, 8, { 10 }, "private" },
	{ 4, 10, { 100, 64 }, "shared by customers of a provider (CGNAT)" },
	{ 4, 8, { 127 }, "loopback" },
	{ 4, 16, { 169, 254 }, "link-local" },
	{ 4, 12, { 172, 16 }, "private" },
	{ 4, 32, { 192, 0, 0, 9 }, NULL },  /* PCP anycast */
	{ 4, 32, { 192, 0, 0, 10 }, NULL }, /* TURN anycast */
	{ 4, 24, { 192, 0, 0 }, "reserved for protocols" },
	{ 4, 24, { 192, 88, 99 }, "reserved for 6to4" },
	{ 4, 16, { 192, 168 }, "private" },
	{ 4, 15, { 198, 18 }, "reserved for benchmarks" },
	{ 4, 4, { 224 }, "multicast" },
	{ 4, 4, { 240 }, "reserved" },
	{ 6, 128, { 0 }, "no address" },
	{ 6, 128, { [15] = 1 }, "loopback" },
	{ 6, 96, { [10] = 0xff, [11] = 0xff }, "an IPv4 address in disguise" },
	{ 6, 10, { 0xfe, 0x80 }, "link-local" },
	{ 6, 7, { 0xfc }, "private (unique local)" },
	{ 6, 8, { 0xff }, "multicast" },
	{ 6, 32, { 0x20, 0x01, 0x0d, 0xb8 }, NULL }, /* documentation */
	{ 6, 23, { 0x20, 0x01 }, "reserved for protocols" },
	{ 6, 16, { 0x20, 0x02 }, "reserved for 6to4" },
	{ 6, 3, { 0x20 }, NULL },
	{ 6, 0, { 0 }, "not of the global range" },
};

bool
address_is_public(const struct ip_addr *a, const char **why)
{
	const char *unwanted;

	if (why == NULL)
		why = &unwanted;
	*why = NULL;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct ip_addr net = { .family = ranges[i].family };

		memcpy(net.b, ranges[i].b, sizeof(net.b));
		if (!wan_covers(&net, ranges[i].len, a))
			continue;
		*why = ranges[i].why;
		return *why == NULL;
	}
	if (a->family != 4)
		*why = "no address";
	return a->family == 4;
}

int
address_parse_page(struct span body, struct ip_addr *out)
{
	char text[IP_TEXT];
	struct ip_addr a = { 0 };

	while (body.n > 0 && body.p[body.n - 1] <= ' ')
		body.n--;
	for (; body.n > 0 && *body.p <= ' '; body.n--)
		body.p++;
	if (body.n == 0 || body.n >= sizeof(text) || memchr(body.p, 0, body.n) != NULL)
		return E_INVAL;
	memcpy(text, body.p, body.n);
	text[body.n] = '\0';
	if (ip_parse(text, &a) < 0)
		return E_INVAL;
	*out = a;
	return 0;
}

const char *
address_source_text(enum address_source s)
{
	static const char *const texts[] = { "set", "interface", "stun", "lookup" };

	return (unsigned)s < sizeof(texts) / sizeof(texts[0]) ? texts[s] : "?";
}

/* ---- the search */

enum { SERVER_TEXT = 272, SOURCE_WHY = ADDRESS_WHY / 4 };

/* One STUN server being asked. */
struct asked {
	struct address_job *job;
	char name[SERVER_TEXT];
	struct stun *stun;
	bool is_open;
	struct ip_addr said;
	char why[SOURCE_WHY];
};

/* libuv's thread may still be at it when the job is gone. */
struct lookup {
	uv_getaddrinfo_t req;
	struct asked *asked; /* NULL: nobody waits any more */
};

struct address_job {
	uv_loop_t *loop;
	struct fetch *fetch;
	uv_timer_t start;
	struct address_ask ask;
	char url[ADDRESS_URL], ca_file[256];
	struct asked stun[ADDRESS_STUNS];
	struct lookup *lookup[ADDRESS_STUNS];
	unsigned n_stun;
	struct fetch_call *call;
	struct address_found found;
	address_done done;
	void *arg;
};

__attribute__((format(printf, 2, 3))) static void
say(struct address_job *j, const char *fmt, ...)
{
	char *at = j->found.why + strlen(j->found.why);
	size_t room = sizeof(j->found.why) - (size_t)(at - j->found.why);
	va_list ap;

	if (at != j->found.why && room > 2) {
		memcpy(at, "; ", 3);
		at += 2;
		room -= 2;
	}
	va_start(ap, fmt);
	vsnprintf(at, room, fmt, ap);
	va_end(ap);
}

static void
on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
let_go(struct address_job *j)
{
	for (unsigned i = 0; i < ADDRESS_STUNS; i++) {
		if (j->lookup[i] != NULL) {
			j->lookup[i]->asked = NULL;
			(void)uv_cancel((uv_req_t *)&j->lookup[i]->req);
		}
		stun_cancel(j->stun[i].stun);
		j->stun[i].stun = NULL;
		j->lookup[i] = NULL;
	}
	fetch_cancel(j->call);
	j->call = NULL;
	j->done = NULL;
	if (!uv_is_closing((uv_handle_t *)&j->start))
		uv_close((uv_handle_t *)&j->start, on_closed);
}

static void
finish(struct address_job *j)
{
	address_done done = j->done;

	/* The caller may let go of us in there, or of all. */
	j->done = NULL;
	if (done != NULL)
		done(j->arg, &j->found);
	let_go(j);
}

static void
found(struct address_job *j, const struct ip_addr *a, enum address_source source)
{
	j->found.addr = *a;
	j->found.addr.port = 0;
	j->found.source = source;
	j->found.why[0] = '\0';
	finish(j);
}

/* Can this answer be true? If not, `why` has words to follow the name of who said so.
 */
static bool
is_believable(const struct address_job *j, const struct ip_addr *a, char *why, size_t n)
{
	char text[IP_TEXT];
	const char *reason;

	if (a->family != j->ask.family)
		snprintf(why, n, "says %s, which is not IPv%u", ip_text(a, text),
			 j->ask.family);
	else if (!address_is_public(a, &reason))
		snprintf(why, n, "says %s, which is %s", ip_text(a, text), reason);
	else
		return true;
	return false;
}

/* -- a page -- */

static void
on_page(void *arg, const struct fetch_answer *answer)
{
	struct address_job *j = arg;
	struct ip_addr a;
	char why[SOURCE_WHY];

	j->call = NULL;
	if (answer->error != NULL) {
		say(j, "lookup: %s", answer->error);
	} else if (answer->status != 200) {
		say(j, "lookup: HTTP %ld", answer->status);
	} else if (address_parse_page(answer->body, &a) < 0) {
		say(j, "lookup: the page is not one address");
	} else if (!is_believable(j, &a, why, sizeof(why))) {
		say(j, "lookup: %s", why);
	} else {
		found(j, &a, ADDRESS_PAGE);
		return;
	}
	finish(j);
}

/* From which address of ours to ask; family 0 when there is none. */
static struct ip_addr
local_of(const struct address_job *j)
{
	for (unsigned i = 0; i < j->ask.n_own; i++)
		if (j->ask.own[i].family == j->ask.family)
			return j->ask.own[i];
	return (struct ip_addr){ 0 };
}

static void
try_page(struct address_job *j)
{
	struct fetch_ask ask = { .url = j->url,
				 .ifname = j->ask.ifname,
				 .local = local_of(j),
				 .family = j->ask.family,
				 .ca_file = j->ca_file };

	if (j->url[0] == '\0' || j->fetch == NULL) {
		finish(j);
		return;
	}
	int rc = fetch_start(j->fetch, &j->call, &ask, on_page, j);
	if (rc < 0) {
		say(j, "lookup: %s", err_text(rc));
		finish(j);
	}
}

/* -- STUN -- */

static void
judge(struct address_job *j)
{
	const struct asked *a = &j->stun[0], *b = &j->stun[1];
	char x[IP_TEXT], y[IP_TEXT];

	for (unsigned i = 0; i < j->n_stun; i++)
		if (j->stun[i].is_open)
			return;
	if (j->n_stun == 2 && a->said.family && b->said.family &&
	    !ip_same_host(&a->said, &b->said)) {
		say(j, "STUN: %s says %s, %s says %s: they must agree", a->name,
		    ip_text(&a->said, x), b->name, ip_text(&b->said, y));
	} else if (a->said.family && (j->n_stun == 1 || b->said.family)) {
		found(j, &a->said, ADDRESS_STUN);
		return;
	} else {
		for (unsigned i = 0; i < j->n_stun; i++)
			if (j->stun[i].said.family == 0)
				say(j, "STUN: %s %s", j->stun[i].name, j->stun[i].why);
			else
				say(j, "STUN: %s alone says %s", j->stun[i].name,
				    ip_text(&j->stun[i].said, x));
	}
	try_page(j);
}

static void
on_stun(void *arg, int rc, const struct ip_addr *mapped)
{
	struct asked *a = arg;

	a->stun = NULL;
	a->is_open = false;
	if (rc == -ETIMEDOUT)
		snprintf(a->why, sizeof(a->why), "does not answer");
	else if (rc == E_PROTO)
		snprintf(a->why, sizeof(a->why), "gives no address");
	else if (rc < 0)
		snprintf(a->why, sizeof(a->why), "cannot be asked (%s)", err_text(rc));
	else if (mapped != NULL &&
		 is_believable(a->job, mapped, a->why, sizeof(a->why)))
		a->said = *mapped;
	judge(a->job);
}

static void
ask_server(struct asked *a, const struct sockaddr *sa, uint16_t port)
{
	struct ip_addr server = ip_of_sockaddr(sa), local = local_of(a->job);

	server.port = port;
	int rc = stun_ask(&a->stun, a->job->loop, a->job->ask.ifname, &local, &server,
			  on_stun, a);
	if (rc < 0)
		on_stun(a, rc, NULL);
}

/* "[2001:db8::1]:3479" into its parts; 0 for a port that is none. */
static uint16_t
split_server(const char *text, char host[SERVER_TEXT])
{
	char *colon, *end;
	unsigned long port = STUN_PORT;

	snprintf(host, SERVER_TEXT, "%s", text);
	colon = strrchr(host, ':');
	if (host[0] == '[') {
		end = strchr(host, ']');
		if (end == NULL)
			return 0;
		colon = end[1] == ':' ? end + 1 : NULL;
		*end = '\0';
		memmove(host, host + 1, (size_t)(end - host));
	} else if (colon != NULL && strchr(host, ':') != colon) {
		colon = NULL; /* an IPv6 address as it is */
	}
	if (colon != NULL) {
		*colon = '\0';
		port = strtoul(colon + 1, &end, 10);
		if (end == colon + 1 || *end != '\0' || port > 65535)
			return 0;
	}
	return (uint16_t)port;
}

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct lookup *l = req->data;
	struct asked *a = l->asked;
	char host[SERVER_TEXT];

	free(l);
	if (a == NULL) {
		uv_freeaddrinfo(list);
		return;
	}
	for (unsigned i = 0; i < ADDRESS_STUNS; i++)
		if (&a->job->stun[i] == a)
			a->job->lookup[i] = NULL;
	if (status == 0 && list != NULL) {
		ask_server(a, list->ai_addr, split_server(a->name, host));
	} else {
		a->is_open = false;
		snprintf(a->why, sizeof(a->why), "has no IPv%u address (%s)",
			 a->job->ask.family, uv_strerror(status));
		judge(a->job);
	}
	uv_freeaddrinfo(list);
}

static void
begin_server(struct asked *a)
{
	struct addrinfo hints = { .ai_family =
					  a->job->ask.family == 4 ? AF_INET : AF_INET6,
				  .ai_socktype = SOCK_DGRAM };
	struct lookup *l = calloc(1, sizeof(*l));
	char host[SERVER_TEXT];
	int rc = split_server(a->name, host) == 0 ? E_INVAL : l == NULL ? E_NOMEM : 0;

	if (rc == 0) {
		l->req.data = l;
		l->asked = a;
		rc = uv_getaddrinfo(a->job->loop, &l->req, on_resolved, host, NULL,
				    &hints);
	}
	if (rc < 0) {
		free(l);
		a->is_open = false;
		snprintf(a->why, sizeof(a->why), "cannot be asked (%s)",
			 rc == E_INVAL ? "not a server" : "out of memory");
		return;
	}
	a->job->lookup[a - a->job->stun] = l;
}

static void
try_stun(struct address_job *j)
{
	if (j->n_stun == 0) {
		try_page(j);
		return;
	}
	for (unsigned i = 0; i < j->n_stun; i++)
		j->stun[i].is_open = true;
	for (unsigned i = 0; i < j->n_stun; i++)
		begin_server(&j->stun[i]);
	judge(j); /* for when neither could begin */
}

/* -- what is known here -- */

static void
on_start(uv_timer_t *t)
{
	struct address_job *j = t->data;
	const char *reason;
	char text[IP_TEXT];
	unsigned seen = 0;

	if (j->ask.fixed.family == j->ask.family) {
		/* Private is the operator's business: a record for inside. */
		found(j, &j->ask.fixed, ADDRESS_FIXED);
		return;
	}
	for (unsigned i = 0; i < j->ask.n_own; i++) {
		const struct ip_addr *a = &j->ask.own[i];
		if (a->family != j->ask.family)
			continue;
		if (address_is_public(a, &reason)) {
			found(j, a, ADDRESS_INTERFACE);
			return;
		}
		if (seen++ == 0)
			say(j, "%s has %s, which is %s", j->ask.ifname,
			    ip_text(a, text), reason);
	}
	if (seen == 0) {
		/* Nothing to ask from, and no client could come. */
		say(j, "%s has no IPv%u address", j->ask.ifname, j->ask.family);
		finish(j);
		return;
	}
	try_stun(j);
}

int
address_find(struct address_job **out, uv_loop_t *loop, struct fetch *fetch,
	     const struct address_ask *ask, address_done done, void *arg)
{
	struct address_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return E_NOMEM;
	j->loop = loop;
	j->fetch = fetch;
	j->ask = *ask;
	j->done = done;
	j->arg = arg;
	snprintf(j->url, sizeof(j->url), "%s", ask->page_url ? ask->page_url : "");
	snprintf(j->ca_file, sizeof(j->ca_file), "%s",
		 ask->page_ca_file ? ask->page_ca_file : "");
	for (unsigned i = 0; i < ADDRESS_STUNS; i++)
		if (ask->stun[i] != NULL && ask->stun[i][0] != '\0') {
			struct asked *a = &j->stun[j->n_stun++];
			a->job = j;
			snprintf(a->name, sizeof(a->name), "%s", ask->stun[i]);
		}
	uv_timer_init(loop, &j->start);
	j->start.data = j;
	uv_timer_start(&j->start, on_start, 0, 0);
	*out = j;
	return 0;
}

void
address_cancel(struct address_job *j)
{
	if (j != NULL)
		let_go(j);
}

/* ---- the name of a dead uplink */

unsigned
follow_step(struct follow *f, unsigned wan, const bool *alive, unsigned n,
	    uint64_t now_ms)
{
	bool want_away = !alive[wan];
	unsigned other = wan;

	for (unsigned i = 0; i < n && other == wan; i++)
		if (i != wan && alive[i])
			other = i;
	if (want_away == f->is_away || (want_away && other == wan)) {
		f->differs = false;
	} else if (!f->differs) {
		f->differs = true;
		f->since_ms = now_ms;
	}
	/* Home sooner when there is nobody to follow any more. */
	bool is_patient = !want_away && alive[f->to];
	if (f->differs &&
	    now_ms >= f->since_ms + (is_patient ? FOLLOW_BACK_MS : FOLLOW_DEAD_MS)) {
		f->is_away = want_away;
		f->differs = false;
	}
	if (f->is_away && other != wan)
		f->to = other;
	return f->is_away ? f->to : wan;
}
