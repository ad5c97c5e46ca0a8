/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/xmlauth.h"

#include "common/err.h"
#include "common/xml.h"

#include <expat.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <strings.h>

/* ---- reading ---- */

/* Elements that mean something, by their parent. Names are compared without
 * regard to case: one AnyConnect generation varied it. */
enum el {
	EL_OTHER,
	EL_TOP, /* above the root */
	EL_CONFIG_AUTH,
	EL_VERSION,
	EL_DEVICE_ID,
	EL_CAPABILITIES,
	EL_AUTH_METHOD,
	EL_GROUP_ACCESS,
	EL_GROUP_SELECT,
	EL_CERT_FAIL,
	EL_SESSION_TOKEN,
	EL_OPAQUE,
	EL_TUNNEL_GROUP,
	EL_AUTH_STATE,
	EL_AUTH,
	EL_FIELD, /* anything inside auth */
};

static const struct {
	enum el parent;
	const char *name;
	enum el el;
} grammar[] = {
	{ EL_TOP, "config-auth", EL_CONFIG_AUTH },
	{ EL_CONFIG_AUTH, "version", EL_VERSION },
	{ EL_CONFIG_AUTH, "device-id", EL_DEVICE_ID },
	{ EL_CONFIG_AUTH, "capabilities", EL_CAPABILITIES },
	{ EL_CAPABILITIES, "auth-method", EL_AUTH_METHOD },
	{ EL_CONFIG_AUTH, "group-access", EL_GROUP_ACCESS },
	{ EL_CONFIG_AUTH, "group-select", EL_GROUP_SELECT },
	{ EL_CONFIG_AUTH, "client-cert-fail", EL_CERT_FAIL },
	{ EL_CONFIG_AUTH, "session-token", EL_SESSION_TOKEN },
	{ EL_CONFIG_AUTH, "opaque", EL_OPAQUE },
	{ EL_OPAQUE, "tunnel-group", EL_TUNNEL_GROUP },
	{ EL_OPAQUE, "auth-state", EL_AUTH_STATE },
	{ EL_CONFIG_AUTH, "auth", EL_AUTH },
};

struct reader {
	XML_Parser parser;
	struct auth_doc *doc;
	enum el stack[AUTH_DEPTH_MAX + 1];
	unsigned depth, elements;
	bool has_child; /* the innermost element has had a child: no text of it */
	bool has_root;
	const char *field_name;
	size_t text_n;
	char text[AUTH_TEXT_MAX];
	int rc;
};

/* expat copies passwords about in its own buffers: wipe each on release. */
union block {
	size_t n;
	max_align_t align;
};

static void *
wiping_malloc(size_t n)
{
	union block *b = n <= SIZE_MAX / 2 ? malloc(sizeof(*b) + n) : NULL;
	if (b == NULL)
		return NULL;
	b->n = n;
	return b + 1;
}

static void
wiping_free(void *p)
{
	if (p == NULL)
		return;
	union block *b = (union block *)p - 1;
	explicit_bzero(p, b->n);
	free(b);
}

static void *
wiping_realloc(void *p, size_t n)
{
	void *to = wiping_malloc(n);
	if (to && p) {
		size_t was = ((union block *)p - 1)->n;
		memcpy(to, p, was < n ? was : n);
		wiping_free(p);
	}
	return to;
}

static const XML_Memory_Handling_Suite wiping = { wiping_malloc, wiping_realloc,
						  wiping_free };

/* Keep a text in the document. NULL when it is full. */
static const char *
keep(struct auth_doc *d, const char *s, size_t n)
{
	if (sizeof(d->arena) - d->arena_n < n + 1)
		return NULL;
	char *at = d->arena + d->arena_n;
	memcpy(at, s, n);
	at[n] = 0;
	d->arena_n += n + 1;
	return at;
}

static void
stop(struct reader *r, int rc)
{
	if (r->rc == 0)
		r->rc = rc;
	XML_StopParser(r->parser, XML_FALSE);
}

static void
on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int has)
{
	/* Entities come from here: no DTD, no expansion, no fetching. */
	stop(arg, E_PROTO);
}

static enum el
element_of(enum el parent, const char *name)
{
	if (parent == EL_AUTH)
		return EL_FIELD;
	for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++)
		if (grammar[i].parent == parent &&
		    strcasecmp(grammar[i].name, name) == 0)
			return grammar[i].el;
	return EL_OTHER;
}

static const char *
attribute(const char **atts, const char *name)
{
	for (size_t i = 0; atts[i]; i += 2)
		if (strcasecmp(atts[i], name) == 0)
			return atts[i + 1];
	return NULL;
}

static void
keep_attribute(struct reader *r, const char **atts, const char *name, const char **to)
{
	const char *v = attribute(atts, name);
	if (v == NULL || *to)
		return;
	if (strlen(v) > AUTH_TEXT_MAX || (*to = keep(r->doc, v, strlen(v))) == NULL)
		stop(r, E_LIMIT);
}

static void
root(struct reader *r, const char **atts)
{
	const char *type = attribute(atts, "type");

	r->has_root = true;
	if (type && strcasecmp(type, "init") == 0)
		r->doc->type = AUTH_DOC_INIT;
	else if (type && strcasecmp(type, "auth-reply") == 0)
		r->doc->type = AUTH_DOC_REPLY;
	else if (type && strcasecmp(type, "logout") == 0)
		r->doc->type = AUTH_DOC_LOGOUT;
	else
		stop(r, E_PROTO);
}

static void
on_start(void *arg, const char *name, const char **atts)
{
	struct reader *r = arg;
	size_t n = 0;

	if (r->rc < 0)
		return;
	while (atts[n])
		n += 2;
	if (r->depth == AUTH_DEPTH_MAX || ++r->elements > AUTH_ELEMENTS_MAX ||
	    n > 2 * AUTH_ATTRS_MAX || strlen(name) > 128) {
		stop(r, E_LIMIT);
		return;
	}
	enum el el = element_of(r->stack[r->depth], name);
	r->stack[++r->depth] = el;
	r->has_child = false;
	r->text_n = 0;

	switch (el) {
	case EL_CONFIG_AUTH: root(r, atts); break;
	case EL_CERT_FAIL: r->doc->client_cert_fail = true; break;
	case EL_DEVICE_ID:
		keep_attribute(r, atts, "computer-name", &r->doc->computer_name);
		keep_attribute(r, atts, "device-type", &r->doc->device_type);
		keep_attribute(r, atts, "platform-version", &r->doc->platform_version);
		keep_attribute(r, atts, "unique-id", &r->doc->unique_id);
		break;
	case EL_FIELD:
		r->field_name = keep(r->doc, name, strlen(name));
		if (r->field_name == NULL)
			stop(r, E_LIMIT);
		break;
	case EL_OTHER:
		if (r->depth == 1) /* some other root */
			stop(r, E_PROTO);
		break;
	default: break;
	}
}

static void
on_text(void *arg, const char *s, int n)
{
	struct reader *r = arg;

	if (r->rc < 0 || r->stack[r->depth] == EL_OTHER || r->has_child)
		return;
	if ((size_t)n > sizeof(r->text) - r->text_n) {
		stop(r, E_LIMIT);
		return;
	}
	memcpy(r->text + r->text_n, s, (size_t)n);
	r->text_n += (size_t)n;
}

static void
keep_text(struct reader *r, const char **to)
{
	/* The first one counts: a second would be an attempt at confusion. */
	if (*to == NULL && (*to = keep(r->doc, r->text, r->text_n)) == NULL)
		stop(r, E_LIMIT);
}

static void
keep_field(struct reader *r)
{
	struct auth_doc *d = r->doc;
	struct auth_field f = { .name = r->field_name };

	if (d->n_field == AUTH_FIELDS_MAX) {
		stop(r, E_LIMIT);
		return;
	}
	keep_text(r, &f.value);
	if (f.value)
		d->field[d->n_field++] = f;
}

static void
keep_method(struct reader *r)
{
	static const struct {
		const char *name;
		unsigned bit;
	} methods[] = {
		{ "single-sign-on", AUTH_CAN_SSO },
		{ "single-sign-on-v2", AUTH_CAN_SSO_V2 },
		{ "single-sign-on-external-browser", AUTH_CAN_SSO_EXTERNAL },
		{ "multiple-cert", AUTH_CAN_MULTI_CERT },
	};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (http_name_is(span_of(r->text, r->text_n), methods[i].name))
			r->doc->can |= methods[i].bit;
}

static void
on_end(void *arg, const char *name)
{
	struct reader *r = arg;
	struct auth_doc *d = r->doc;

	if (r->rc < 0)
		return;
	enum el el = r->stack[r->depth--];
	if (!r->has_child) {
		switch (el) {
		case EL_VERSION: keep_text(r, &d->version); break;
		case EL_DEVICE_ID: keep_text(r, &d->device_id); break;
		case EL_AUTH_METHOD: keep_method(r); break;
		case EL_GROUP_ACCESS: keep_text(r, &d->group_access); break;
		case EL_GROUP_SELECT: keep_text(r, &d->group_select); break;
		case EL_SESSION_TOKEN: keep_text(r, &d->session_token); break;
		case EL_TUNNEL_GROUP: keep_text(r, &d->tunnel_group); break;
		case EL_AUTH_STATE: keep_text(r, &d->auth_state); break;
		case EL_FIELD: keep_field(r); break;
		default: break;
		}
	}
	r->has_child = true;
	r->text_n = 0;
}

static int
parse_xml(struct auth_doc *d, struct span body)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rc = E_NOMEM;

	if (r == NULL)
		return E_NOMEM;
	r->doc = d;
	r->stack[0] = EL_TOP;
	/* The encoding is fixed: what a document claims is not worth believing. */
	r->parser = XML_ParserCreate_MM("UTF-8", &wiping, NULL);
	if (r->parser == NULL)
		goto free_reader;
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);

	enum XML_Status st =
		XML_Parse(r->parser, (const char *)body.p, (int)body.n, XML_TRUE);
	if (r->rc < 0)
		rc = r->rc;
	else if (st != XML_STATUS_OK || !r->has_root)
		rc = XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY ? E_NOMEM
									: E_PROTO;
	else
		rc = 0;
	XML_ParserFree(r->parser);
free_reader:
	explicit_bzero(r, sizeof(*r));
	free(r);
	return rc;
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode into the cursor; plus is a blank in forms only. */
static int
percent_decode(struct wr *w, struct span in, bool in_form)
{
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		if (c == '+' && in_form)
			c = ' ';
		if (c == '%') {
			int hi = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
			int lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return E_PROTO;
			c = (uint8_t)(hi << 4 | lo);
			i += 2;
		}
		if (c == 0)
			return E_PROTO;
		wr_u8(w, c);
	}
	return wr_full(w) ? E_LIMIT : 0;
}

static const char *
keep_decoded(struct auth_doc *d, struct span in, int *rc)
{
	struct wr w = wr_open(d->arena + d->arena_n, sizeof(d->arena) - d->arena_n);

	if (in.n > AUTH_TEXT_MAX) {
		*rc = E_LIMIT;
		return NULL;
	}
	*rc = percent_decode(&w, in, true);
	wr_u8(&w, 0);
	if (*rc == 0 && wr_full(&w))
		*rc = E_LIMIT;
	if (*rc == 0 && !utf8_valid(span_of(w.p, w.n - 1)))
		*rc = E_PROTO;
	if (*rc < 0)
		return NULL;
	d->arena_n += w.n;
	return (const char *)w.p;
}

/* username=bob&password=pw&tgroup=x */
static int
parse_form(struct auth_doc *d, struct span left)
{
	int rc = 0;

	d->type = AUTH_DOC_REPLY;
	d->is_legacy = true;
	while (left.n > 0) {
		const uint8_t *amp = memchr(left.p, '&', left.n);
		struct span pair =
			span_of(left.p, amp ? (size_t)(amp - left.p) : left.n);
		left = amp ? span_of(amp + 1, left.n - pair.n - 1) : span_of(left.p, 0);
		const uint8_t *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
		if (eq == NULL || eq == pair.p)
			continue;
		if (d->n_field == AUTH_FIELDS_MAX)
			return E_LIMIT;
		size_t k = (size_t)(eq - pair.p);
		struct auth_field f;
		if ((f.name = keep_decoded(d, span_of(pair.p, k), &rc)) == NULL ||
		    (f.value = keep_decoded(d, span_of(eq + 1, pair.n - k - 1), &rc)) ==
			    NULL)
			return rc;
		/* In the old flow nothing is opaque: what must come back is a
		 * hidden input. */
		if (strcasecmp(f.name, "tgroup") == 0 ||
		    strcasecmp(f.name, "group_list") == 0)
			d->group_select = f.value;
		else if (strcasecmp(f.name, "auth_state") == 0)
			d->auth_state = f.value;
		else
			d->field[d->n_field++] = f;
	}
	return d->n_field > 0 || d->group_select ? 0 : E_PROTO;
}

int
auth_doc_parse(struct auth_doc **out, struct span body)
{
	*out = NULL;
	if (body.n > AUTH_BODY_MAX)
		return E_LIMIT;
	/* Padding around the document, a final NUL among it, is harmless. */
	while (body.n > 0 && body.p[body.n - 1] <= ' ')
		body.n--;
	while (body.n > 0 && body.p[0] <= ' ')
		body = span_of(body.p + 1, body.n - 1);
	if (body.n == 0)
		return E_PROTO;

	struct auth_doc *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return E_NOMEM;
	bool is_xml = body.p[0] == '<' || body.p[0] == 0xef; /* or a BOM */
	int rc = is_xml ? parse_xml(d, body) : parse_form(d, body);
	if (rc < 0)
		auth_doc_free(d);
	else
		*out = d;
	return rc;
}

void
auth_doc_free(struct auth_doc *d)
{
	if (d == NULL)
		return;
	explicit_bzero(d, sizeof(*d));
	free(d);
}

const char *
auth_doc_field(const struct auth_doc *d, const char *name)
{
	for (size_t i = 0; i < d->n_field; i++)
		if (strcasecmp(d->field[i].name, name) == 0)
			return d->field[i].value;
	return NULL;
}

int
auth_group_from_path(struct span path, char *out, size_t cap)
{
	struct wr w = wr_open(out, cap - 1);

	out[0] = 0;
	while (path.n > 0 && path.p[0] == '/')
		path = span_of(path.p + 1, path.n - 1);
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	if (path.n == 0)
		return E_NOENT;
	/* Paths of our own, like /+webvpn+/index.html, are not groups. */
	if (path.p[0] == '+' || memchr(path.p, '/', path.n) ||
	    percent_decode(&w, path, false) < 0 || !utf8_valid(wr_span(&w)))
		return E_PROTO;
	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] < ' ' || w.p[i] == 0x7f || w.p[i] == '/')
			return E_PROTO;
	out[w.n] = 0;
	return 0;
}

int
auth_group_from_url(const char *url, char *out, size_t cap)
{
	const char *p = strstr(url, "://");

	p = strchr(p ? p + 3 : url, '/');
	out[0] = 0;
	if (p == NULL)
		return E_NOENT;
	return auth_group_from_path(span_of(p, strcspn(p, "?#")), out, cap);
}

/* ---- who is asking ---- */

bool
auth_platform_is_mobile(enum platform p)
{
	return p == PLATFORM_ANDROID || p == PLATFORM_IOS;
}

static enum platform
platform_in(struct span s)
{
	/* Order matters: "Linux Android", "Darwin_ARM (iPhone)", "Darwin". */
	static const struct {
		const char *word;
		enum platform p;
	} words[] = {
		{ "android", PLATFORM_ANDROID }, { "apple-ios", PLATFORM_IOS },
		{ "iphone", PLATFORM_IOS },      { "ipad", PLATFORM_IOS },
		{ "applesslvpn", PLATFORM_IOS }, { "linux", PLATFORM_LINUX },
		{ "darwin", PLATFORM_MAC },      { "mac", PLATFORM_MAC },
		{ "win", PLATFORM_WIN },
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (http_contains(s, words[i].word))
			return words[i].p;
	return PLATFORM_UNKNOWN;
}

enum platform
auth_platform_of(const struct http_req *req, const char *device_id)
{
	static const char *const headers[] = { "X-AnyConnect-Identifier-Platform",
					       "X-AnyConnect-Platform", "User-Agent" };
	enum platform p = PLATFORM_UNKNOWN;

	if (device_id)
		p = platform_in(span_str(device_id));
	for (size_t i = 0; req && p == PLATFORM_UNKNOWN && i < 3; i++) {
		struct span v;
		http_req_header(req, headers[i], &v);
		p = platform_in(v);
	}
	return p;
}

bool
auth_is_anyconnect(struct span ua)
{
	if (http_contains(ua, "OpenConnect") || http_contains(ua, "Open AnyConnect"))
		return false;
	return http_contains(ua, "AnyConnect") ||
	       http_contains(ua, "Cisco Secure Client");
}

/* The first word of the form 4.8..., perhaps with a v in front. */
static bool
version_in(struct span s, unsigned *major, unsigned *minor)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned v[2] = { 0, 0 };
		size_t at = i;
		if (i > 0 && s.p[i - 1] != ' ' && s.p[i - 1] != '/' &&
		    s.p[i - 1] != '(')
			continue;
		if (s.p[at] == 'v' || s.p[at] == 'V')
			at++;
		int k = 0;
		for (; k < 2; k++) {
			size_t from = at;
			while (at < s.n && at - from < 6 && s.p[at] >= '0' &&
			       s.p[at] <= '9')
				v[k] = v[k] * 10 + (unsigned)(s.p[at++] - '0');
			if (at == from || (k == 0 && (at == s.n || s.p[at++] != '.')))
				break;
		}
		if (k == 2) {
			*major = v[0];
			*minor = v[1];
			return true;
		}
	}
	return false;
}

bool
auth_version_ok(struct span ua, const char *version)
{
	unsigned major, minor;

	if (!auth_is_anyconnect(ua))
		return true;
	if (!version_in(ua, &major, &minor) &&
	    (version == NULL || !version_in(span_str(version), &major, &minor)))
		return true; /* it does not say: nothing proves that it is old */
	return major > 4 || (major == 4 && minor >= 8);
}

/* ---- writing ---- */

static const char prolog[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/* A text shown to people. Clients replace "%s" by a parameter: part the two. */
static void
shown(struct wr *w, const char *s)
{
	const char *at;

	while ((at = strstr(s, "%s")) != NULL) {
		xml_text(w, span_of(s, (size_t)(at - s) + 1));
		wr_str(w, " ");
		s = at + 1;
	}
	xml_text(w, span_str(s));
}

static void
element(struct wr *w, const char *name, const char *text)
{
	wr_fmt(w, "<%s>", name);
	if (text)
		shown(w, text);
	wr_fmt(w, "</%s>\n", name);
}

static void
attr(struct wr *w, const char *name, const char *value)
{
	wr_fmt(w, " %s=\"", name);
	xml_attr(w, span_str(value));
	wr_str(w, "\"");
}

static void
open_config_auth(struct wr *w, const char *type, bool is_legacy)
{
	wr_str(w, prolog);
	if (!is_legacy)
		wr_fmt(w,
		       "<config-auth client=\"vpn\" type=\"%s\" "
		       "aggregate-auth-version=\"2\">\n",
		       type);
}

static void
close_config_auth(struct wr *w, bool is_legacy)
{
	if (!is_legacy)
		wr_str(w, "</config-auth>\n");
}

static void
opaque(struct wr *w, const struct auth_form *f)
{
	/* Always there: a client keeps the old one when an answer has none. */
	wr_str(w, "<opaque is-for=\"sg\">");
	if (f->group) {
		wr_str(w, "<tunnel-group>");
		xml_text(w, span_str(f->group));
		wr_str(w, "</tunnel-group>");
	}
	if (f->state) {
		wr_str(w, "<auth-state>");
		xml_text(w, span_str(f->state));
		wr_str(w, "</auth-state>");
	}
	wr_str(w, "</opaque>\n");
}

static void
option(struct wr *w, const struct auth_option *o, bool is_selected)
{
	wr_str(w, "<option");
	attr(w, "value", o->name);
	if (is_selected)
		wr_str(w, " selected=\"true\"");
	wr_str(w, ">");
	xml_text(w, span_str(o->label && o->label[0] ? o->label : o->name));
	wr_str(w, "</option>\n");
}

static void
input(struct wr *w, const struct auth_input *in)
{
	wr_str(w, "<input");
	attr(w, "type", in->type);
	attr(w, "name", in->name);
	if (in->label)
		attr(w, "label", in->label);
	if (in->value)
		attr(w, "value", in->value);
	wr_str(w, "></input>\n");
}

static void
error_element(struct wr *w, const char *text)
{
	/* 11 is the head-ends' number for a failed login. */
	wr_str(w, "<error id=\"11\" param1=\"\" param2=\"\">");
	shown(w, text);
	wr_str(w, "</error>\n");
}

void
auth_write_form(struct wr *w, const struct auth_form *f)
{
	open_config_auth(w, "auth-request", f->is_legacy);
	if (!f->is_legacy)
		opaque(w, f);
	wr_str(w, "<auth");
	attr(w, "id", f->id ? f->id : "main");
	wr_str(w, ">\n");
	element(w, "title", f->title ? f->title : "Login");
	element(w, "message", f->message);
	element(w, "banner", f->banner);
	if (f->error)
		error_element(w, f->error);
	wr_str(w, "<form method=\"post\"");
	attr(w, "action",
	     f->action      ? f->action
	     : f->is_legacy ? "/+webvpn+/index.html"
			    : "/");
	wr_str(w, ">\n");
	for (size_t i = 0; i < f->n_input; i++)
		input(w, &f->input[i]);
	if (f->is_legacy && f->state)
		input(w, &(struct auth_input){ .type = "hidden",
					       .name = "auth_state",
					       .value = f->state });
	if (f->n_option > 0) {
		wr_str(w, "<select name=\"group_list\" label=\"GROUP:\">\n");
		size_t first = f->selected < f->n_option ? f->selected : 0;
		option(w, &f->option[first], true);
		for (size_t i = 0; i < f->n_option; i++)
			if (i != first)
				option(w, &f->option[i], false);
		wr_str(w, "</select>\n");
	}
	wr_str(w, "</form>\n</auth>\n");
	close_config_auth(w, f->is_legacy);
}

void
auth_write_refusal(struct wr *w, const char *error, bool is_legacy)
{
	open_config_auth(w, "auth-request", is_legacy);
	/* The empty opaque takes the login state out of the client's hands. */
	if (!is_legacy)
		wr_str(w, "<opaque is-for=\"sg\"></opaque>\n");
	wr_str(w, "<auth id=\"failure\">\n<title>Login</title>\n");
	error_element(w, error);
	wr_str(w, "</auth>\n");
	close_config_auth(w, is_legacy);
}

void
auth_write_cert_request(struct wr *w, const char *group)
{
	const struct auth_form f = { .group = group };

	open_config_auth(w, "auth-request", false);
	opaque(w, &f);
	wr_str(w, "<client-cert-request></client-cert-request>\n");
	close_config_auth(w, false);
}

void
auth_write_bye(struct wr *w)
{
	open_config_auth(w, "complete", false);
	wr_str(w, "<auth id=\"success\"></auth>\n");
	close_config_auth(w, false);
}

void
auth_write_complete(struct wr *w, const struct auth_success *s)
{
	open_config_auth(w, "complete", s->is_legacy);
	if (!s->is_legacy) {
		element(w, "session-id", s->session_id ? s->session_id : "0");
		element(w, "session-token", s->token);
	}
	wr_str(w, "<auth id=\"success\">\n");
	if (s->is_legacy)
		wr_str(w, "<title>SSL VPN Service</title>\n");
	element(w, "banner", s->banner);
	wr_str(w, "<message id=\"0\" param1=\"\" param2=\"\"></message>\n</auth>\n");
	if (!s->is_legacy) {
		wr_str(w, "<capabilities><crypto-supported>ssl-dhe</crypto-supported>"
			  "</capabilities>\n<config client=\"vpn\" type=\"private\">\n"
			  "<vpn-base-config>");
		if (s->cert_sha1)
			element(w, "server-cert-hash", s->cert_sha1);
		wr_str(w,
		       "</vpn-base-config>\n<opaque is-for=\"vpn-client\"></opaque>\n");
		if (s->profile_uri && s->profile_sha1) {
			wr_str(w, "<vpn-profile-manifest><vpn rev=\"1.0\">"
				  "<file type=\"profile\" service-type=\"user\">");
			element(w, "uri", s->profile_uri);
			wr_str(w, "<hash type=\"sha1\">");
			xml_text(w, span_str(s->profile_sha1));
			wr_str(w, "</hash></file></vpn></vpn-profile-manifest>\n");
		}
		wr_str(w, "</config>\n");
	}
	close_config_auth(w, s->is_legacy);
}

void
auth_write_headers(struct wr *w)
{
	wr_str(w, "X-Transcend-Version: 1\r\nX-Aggregate-Auth: 1\r\n");
}

void
auth_write_cookies(struct wr *w, const struct auth_success *s)
{
	/* An expired one first: it clears a value of an earlier login. */
	wr_str(w,
	       "Set-Cookie: webvpncontext=; expires=Thu, 01 Jan 1970 22:00:00 GMT; "
	       "path=/; Secure; HttpOnly\r\n"
	       "Set-Cookie: webvpnc=; expires=Thu, 01 Jan 1970 22:00:00 GMT; path=/; "
	       "Secure; HttpOnly\r\n");
	wr_fmt(w, "Set-Cookie: webvpn=%s; path=/; Secure; HttpOnly\r\n", s->token);
	wr_fmt(w, "Set-Cookie: webvpnc=bu:/&p:t&iu:1/&sh:%s",
	       s->cert_sha1 ? s->cert_sha1 : "");
	wr_str(w, "&lu:/+CSCOT+/"
		  "translation-table?textdomain%3DAnyConnect%26type%3Dmanifest");
	if (s->profile_uri && s->profile_sha1) {
		/* Relative to bu, its slash encoded. */
		const char *p =
			s->profile_uri[0] == '/' ? s->profile_uri + 1 : s->profile_uri;
		wr_str(w, "&fu:");
		for (; *p; p++) {
			if (*p == '/')
				wr_str(w, "%2F");
			else
				wr_u8(w, (uint8_t)*p);
		}
		wr_fmt(w, "&fh:%s", s->profile_sha1);
	}
	wr_str(w, "; path=/; Secure; HttpOnly\r\n");
}
