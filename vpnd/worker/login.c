/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* login.c -- everything HTTP: forms, token, profile, and CONNECT.
 *
 * No step of a login is kept in the connection: clients change connections
 * between steps. What a half-finished login is comes back sealed, in `opaque`
 * and in the webvpncontext cookie; auth alone can read it.
 */
#include "vpnd/worker/worker.h"

#include "common/err.h"
#include "common/log.h"
#include "common/profile.h"
#include "common/wan.h"
#include "vpnd/worker/routes.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { REQUESTS_MAX = 200, ALERT_S = 60 };
#define SERVER_NAME "tandem " TANDEM_VERSION

enum asked {
	ASKED_NOTHING,
	ASKED_OCSP,
	ASKED_STEP,
	ASKED_PROFILE,
	ASKED_LOGOUT,
	ASKED_TUNNEL
};

struct login {
	struct http_req *req;
	enum asked asked;
	unsigned requests;
	uint64_t begun_ms; /* first byte of the request in progress */
	bool is_legacy, is_head;
	bool has_group_in_url; /* then the form has no list */
	struct route_match route;
	bool is_judged; /* cert holds, for the request in hand */
	struct cert_facts cert;
	struct connect_req connect;
	struct ipc_tunnel_ask *ask; /* becomes the tunnel's report */
};

int
login_new(struct login **out)
{
	struct login *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return E_NOMEM;
	int rc = http_req_new(&l->req);
	if (rc < 0)
		free(l);
	else
		*out = l;
	return rc;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	http_req_free(l->req);
	connect_req_wipe(&l->connect);
	cert_facts_clear(&l->cert);
	if (l->ask != NULL)
		explicit_bzero(l->ask, sizeof(*l->ask));
	free(l->ask);
	free(l);
}

static struct wr
open_answer(struct conn *c)
{
	return wr_open(c->w->text, RECV_BYTES);
}

/* Send the answer, then wait for the next request or close. */
static void
answer(struct conn *c, struct wr *w, bool keep)
{
	struct login *l = c->login;

	if (c->state == CONN_WAIT)
		conn_move(c, CONN_REQUEST);
	if (wr_full(w) || conn_write(c, wr_span(w)) < 0) {
		conn_close(c, "answer does not fit");
		return;
	}
	if (!keep) {
		conn_finish(c, "answered");
		return;
	}
	l->asked = ASKED_NOTHING;
	l->begun_ms = 0;
	http_req_reset(l->req);
	c->deadline_ms = c->w->now_ms + (uint64_t)c->w->cfg->login_timeout_s * 1000;
}

static bool
keep_alive(const struct conn *c)
{
	return http_req_keep_alive(c->login->req) &&
	       c->login->requests < REQUESTS_MAX && !c->w->is_stopping;
}

static void
answer_status(struct conn *c, int status)
{
	struct wr w = open_answer(c);

	http_res_begin(&w, status, false);
	http_res_end(&w, "text/plain", span_str(http_reason(status)), false);
	answer(c, &w, false);
}

static void
answer_503(struct conn *c, const char *reason)
{
	struct wr w = open_answer(c);

	connect_write_503(&w, reason);
	answer(c, &w, false);
}

/* An XML document with 200; nothing else is shown as what it is (clients take
 * 401 and 403 for something different). extra: more header lines, or empty. */
static void
answer_xml(struct conn *c, struct span body, struct span extra, bool keep)
{
	struct wr w = wr_open(c->w->text + RECV_BYTES / 2, RECV_BYTES / 2);

	http_res_begin(&w, 200, keep);
	auth_write_headers(&w);
	wr_put(&w, extra);
	http_res_end(&w, AUTH_CONTENT_TYPE, body, c->login->is_head);
	answer(c, &w, keep);
}

static void
refuse_login(struct conn *c, const char *text)
{
	struct wr w = open_answer(c);

	auth_write_refusal(&w, text, c->login->is_legacy);
	if (wr_full(&w))
		answer_status(c, 500);
	else
		answer_xml(c, wr_span(&w), (struct span){ 0 }, keep_alive(c));
}

static void
wait_for(struct conn *c, enum asked what)
{
	c->login->asked = what;
	conn_move(c, CONN_WAIT);
	c->deadline_ms = c->w->now_ms + ANSWER_MS;
}

static void
copy_text(char *to, size_t cap, const char *from)
{
	snprintf(to, cap, "%s", from ? from : "");
}

static void
copy_span(char *to, size_t cap, struct span s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	for (size_t i = 0; i < n; i++) /* for logs and lists: printable only */
		to[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	to[n] = '\0';
}

/* -- the client's certificate -- */

static void
put_der(X509 *x, uint8_t p[IPC_X509_MAX], uint32_t *n)
{
	int len = i2d_X509(x, NULL);

	*n = 0;
	if (len > 0 && len <= IPC_X509_MAX) {
		i2d_X509(x, &p);
		*n = (uint32_t)len;
	}
}

/* Judged anew with each step: a list may have come meanwhile. True: the responder is
 * being asked about it, and the request goes on in login_on_ocsp. */
static bool
asks_ocsp(struct conn *c)
{
	const struct config *cfg = c->w->cfg;
	struct login *l = c->login;

	if (l->is_judged || cfg->client_certificate == CLIENT_CERT_OFF)
		return false;
	X509 *leaf = SSL_get0_peer_certificate(c->ssl);
	clientcert_judge(c->w->client_ca, leaf, SSL_get_peer_cert_chain(c->ssl),
			 cfg->certificate_user, &l->cert);
	l->is_judged = true;
	if (l->cert.verdict != CERT_GOOD || cfg->client_ocsp == CLIENT_OCSP_OFF)
		return false;
	struct ipc_ocsp_ask m = { .id = c->id };
	put_der(leaf, m.leaf.p, &m.leaf.n);
	put_der(l->cert.issuer, m.issuer.p, &m.issuer.n);
	peer_send(&c->w->auth, IPC_ocsp_ask, &m);
	wait_for(c, ASKED_OCSP);
	return true;
}

/* -- a login step -- */

static void
fill_group(const struct auth_doc *doc, const struct http_req *req, char group[64])
{
	group[0] = '\0';
	if (doc != NULL && doc->group_select != NULL)
		copy_text(group, 64, doc->group_select);
	else if (doc != NULL && doc->tunnel_group != NULL)
		copy_text(group, 64, doc->tunnel_group);
	else if (auth_group_from_path(http_req_path(req), group, 64) < 0 &&
		 (doc == NULL || doc->group_access == NULL ||
		  auth_group_from_url(doc->group_access, group, 64) < 0))
		group[0] = '\0';
}

/* AnyConnect may send the label for the name. */
static void
settle_group(const struct config *cfg, char group[64])
{
	for (unsigned i = 0; i < cfg->n_group; i++)
		if (strcmp(group, cfg->group[i].name) == 0)
			return;
	for (unsigned i = 0; i < cfg->n_group; i++)
		if (strcmp(group, cfg->group[i].label) == 0) {
			copy_text(group, 64, cfg->group[i].name);
			return;
		}
	copy_text(group, 64, cfg->n_group > 0 ? cfg->group[0].name : "");
}

static const char *
field_of(const struct auth_doc *doc, const char *const *names)
{
	for (; *names != NULL; names++) {
		const char *v = auth_doc_field(doc, *names);
		if (v != NULL)
			return v;
	}
	return NULL;
}

static void
ask_step(struct conn *c, const struct auth_doc *doc)
{
	/* `answer` comes back as `password` from openconnect, as itself from
	 * others. */
	static const char *const secrets[] = { "password", "answer",
					       "secondary_password", NULL };
	struct login *l = c->login;

	if (asks_ocsp(c))
		return;
	struct ipc_login_step m = { .id = c->id, .source = c->source };
	struct span agent, cookie;

	m.cert = (uint8_t)l->cert.verdict;
	/* The old flow knows no way to ask for one. */
	m.has_no_cert = doc == NULL || doc->is_legacy || doc->client_cert_fail;
	copy_text(m.cert_user, sizeof(m.cert_user), l->cert.user);
	copy_text(m.cert_text, sizeof(m.cert_text), l->cert.text);
	fill_group(doc, l->req, m.group);
	l->has_group_in_url =
		(doc == NULL || doc->group_select == NULL) && m.group[0] != '\0';
	settle_group(c->w->cfg, m.group);
	m.is_first = doc == NULL || doc->type == AUTH_DOC_INIT;
	http_req_header(l->req, "User-Agent", &agent);
	copy_span(m.agent, sizeof(m.agent), agent);
	m.platform = auth_platform_of(l->req, doc ? doc->device_id : NULL);
	if (doc != NULL) {
		copy_text(m.device, sizeof(m.device),
			  doc->computer_name ? doc->computer_name : doc->unique_id);
		copy_text(m.user, sizeof(m.user), auth_doc_field(doc, "username"));
		copy_text(m.secret, sizeof(m.secret), field_of(doc, secrets));
	}
	if (doc != NULL && !m.is_first && doc->auth_state != NULL)
		cookie = span_str(doc->auth_state);
	else if (m.is_first || !http_req_cookie(l->req, "webvpncontext", &cookie))
		cookie = (struct span){ 0 };
	if (cookie.n <= sizeof(m.state.p)) {
		if (cookie.n > 0)
			memcpy(m.state.p, cookie.p, cookie.n);
		m.state.n = (uint32_t)cookie.n;
	}
	peer_send(&c->w->auth, IPC_login_step, &m);
	explicit_bzero(&m, sizeof(m));
	wait_for(c, ASKED_STEP);
}

static void
on_post(struct conn *c)
{
	struct login *l = c->login;
	struct auth_doc *doc;
	struct span agent;
	int rc = auth_doc_parse(&doc, http_req_body(l->req));

	if (rc < 0) {
		worker_event(c->w, EV_PROTOCOL_ERROR, &c->source, "", "login_document",
			     err_text(rc));
		/* With 200: at 4xx openconnect tries its old flow instead. */
		refuse_login(c, "The login document cannot be read.");
		return;
	}
	l->is_legacy = doc->is_legacy;
	http_req_header(l->req, "User-Agent", &agent);
	if (doc->type == AUTH_DOC_LOGOUT) {
		struct ipc_token_check m = { .id = c->id, .is_logout = 1 };
		copy_text(m.token, sizeof(m.token), doc->session_token);
		peer_send(&c->w->session, IPC_token_check, &m);
		wait_for(c, ASKED_LOGOUT);
	} else if (!auth_version_ok(agent, doc->version)) {
		worker_event(c->w, EV_AUTH_FAILURE, &c->source, "", "client_too_old",
			     doc->version ? doc->version : "");
		refuse_login(c, AUTH_VERSION_REFUSED);
	} else if (!c->w->cfg->enabled) {
		refuse_login(c, "The service is disabled.");
	} else {
		ask_step(c, doc);
	}
	auth_doc_free(doc);
}

void
login_on_ask(struct conn *c, const struct ipc_login_ask *m)
{
	const struct config *cfg = c->w->cfg;
	struct auth_option option[CONFIG_GROUPS];
	struct login *l = c->login;
	char extra[1200] = "";

	if (c->state != CONN_WAIT || l->asked != ASKED_STEP)
		return;
	if (m->what == LOGIN_REFUSED) {
		refuse_login(c, m->error);
		conn_resume(c);
		return;
	}
	if (m->what == LOGIN_CERT) {
		struct wr ask = open_answer(c);
		auth_write_cert_request(&ask, m->group);
		answer_xml(c, wr_span(&ask), (struct span){ 0 }, keep_alive(c));
		conn_resume(c);
		return;
	}
	struct auth_form f = {
		.title = "Login",
		.message = m->message[0] ? m->message
					 : "Please enter your username and password.",
		.error = m->error[0] ? m->error : NULL,
		.group = m->group[0] ? m->group : NULL,
		.state = m->state,
		.is_legacy = l->is_legacy
	};
	if (l->is_legacy)
		f.action = "/+webvpn+/index.html";
	if (m->what == LOGIN_FORM) {
		f.input[f.n_input++] =
			(struct auth_input){ "text", "username",
					     "Username:", m->user[0] ? m->user : NULL };
		f.input[f.n_input++] = (struct auth_input){ "password", "password",
							    "Password:", NULL };
		for (unsigned i = 0; i < cfg->n_group; i++) {
			option[i] = (struct auth_option){ cfg->group[i].name,
							  cfg->group[i].label };
			if (strcmp(m->group, cfg->group[i].name) == 0)
				f.selected = i;
		}
		f.option = option;
		/* One group needs no list: it would only cost a round trip. */
		f.n_option =
			cfg->n_group > 1 && !l->has_group_in_url ? cfg->n_group : 0;
	} else {
		f.id = "challenge";
		f.input[f.n_input++] =
			(struct auth_input){ m->is_echo ? "text" : "password", "answer",
					     m->label[0] ? m->label : "Answer:", NULL };
	}
	struct wr w = open_answer(c);
	auth_write_form(&w, &f);
	if (m->state[0] != '\0')
		snprintf(extra, sizeof(extra),
			 "Set-Cookie: webvpncontext=%s; path=/; Secure; HttpOnly\r\n",
			 m->state);
	if (wr_full(&w))
		answer_status(c, 500);
	else
		answer_xml(c, wr_span(&w), span_str(extra), keep_alive(c));
	conn_resume(c);
}

void
login_on_token(struct conn *c, const struct ipc_token_issued *m)
{
	struct worker *w = c->w;
	struct login *l = c->login;
	char sid[12], extra[2600];

	if (c->state != CONN_WAIT || l->asked != ASKED_STEP)
		return;
	if (m->verdict != TOKEN_OK) {
		refuse_login(c, m->reason);
		conn_resume(c);
		return;
	}
	snprintf(sid, sizeof(sid), "%u", (unsigned)(m->sid[0] << 8 | m->sid[1]));
	struct auth_success s = { .session_id = sid,
				  .token = m->token,
				  .banner = w->cfg->banner[0] ? w->cfg->banner : NULL,
				  .cert_sha1 = w->cert_sha1,
				  .profile_uri = w->profile ? PROFILE_PATH : NULL,
				  .profile_sha1 = w->profile ? w->profile_sha1 : NULL,
				  .is_legacy = l->is_legacy };
	struct wr body = open_answer(c), cookies = wr_open(extra, sizeof(extra));
	auth_write_complete(&body, &s);
	auth_write_cookies(&cookies, &s);
	if (wr_full(&body) || wr_full(&cookies))
		answer_status(c, 500);
	else
		answer_xml(c, wr_span(&body), wr_span(&cookies), keep_alive(c));
	explicit_bzero(extra, sizeof(extra));
	conn_resume(c);
}

/* -- profile, logout -- */

static void
on_profile(struct conn *c)
{
	struct span token;
	struct ipc_token_check m = { .id = c->id };

	if (c->w->profile == NULL ||
	    !http_req_cookie(c->login->req, "webvpn", &token) || token.n == 0 ||
	    token.n > IPC_TOKEN_MAX) {
		answer_status(c, 404);
		return;
	}
	memcpy(m.token, token.p, token.n);
	peer_send(&c->w->session, IPC_token_check, &m);
	wait_for(c, ASKED_PROFILE);
}

void
login_on_checked(struct conn *c, const struct ipc_token_checked *m)
{
	struct login *l = c->login;

	if (c->state != CONN_WAIT)
		return;
	struct wr w = open_answer(c);
	if (l->asked == ASKED_LOGOUT) {
		auth_write_bye(&w);
		answer_xml(c, wr_span(&w), (struct span){ 0 }, keep_alive(c));
	} else if (l->asked == ASKED_PROFILE && m->verdict == TOKEN_OK) {
		bool keep = keep_alive(c);
		http_res_begin(&w, 200, keep);
		http_res_end(&w, "text/xml", span_of(c->w->profile, c->w->profile_n),
			     l->route.is_head);
		answer(c, &w, keep);
	} else if (l->asked == ASKED_PROFILE) {
		answer_status(c, 404);
	} else {
		return;
	}
	conn_resume(c);
}

/* -- CONNECT -- */

static void
fill_dtls(struct conn *c, struct ipc_tunnel_ask *m)
{
	static const char label[] = "EXPORTER-openconnect-psk";
	struct connect_req *q = &c->login->connect;

	if (q->cipher == CIPHER_PSK) {
		if (SSL_export_keying_material(c->ssl, m->dtls_secret, DTLS_PSK_KEY,
					       label, sizeof(label) - 1, NULL, 0,
					       0) == 1)
			m->dtls_mode = DTLS_PSK;
		else
			q->cipher = CIPHER_NONE;
	} else if (q->cipher != CIPHER_NONE) {
		m->dtls_mode = DTLS_RESUME;
		m->dtls_cipher = connect_cipher_info(q->cipher)->suite;
		memcpy(m->dtls_secret, q->master, CONNECT_MASTER);
	}
}

static void
on_connect(struct conn *c)
{
	struct login *l = c->login;
	struct connect_req *q = &l->connect;
	const struct config *cfg = c->w->cfg;

	if (connect_req_parse(q, l->req) < 0 || q->token.n > IPC_TOKEN_MAX) {
		struct wr w = open_answer(c);
		connect_write_401(&w);
		answer(c, &w, false);
		return;
	}
	if (!auth_version_ok(span_str(q->user_agent), NULL)) {
		struct wr w = open_answer(c);
		connect_write_403(&w);
		answer(c, &w, false);
		return;
	}
	struct ipc_tunnel_ask *m = l->ask ? l->ask : calloc(1, sizeof(*m));
	if (m == NULL) {
		answer_503(c, "out of memory");
		return;
	}
	l->ask = m;
	*m = (struct ipc_tunnel_ask){ .id = c->id,
				      .platform = (uint8_t)q->platform,
				      .source = c->source,
				      .local = c->local,
				      .wants4 = q->wants_v4,
				      .wants6 = q->wants_v6,
				      .tls_version = (uint16_t)SSL_version(c->ssl) };
	memcpy(m->token, q->token.p, q->token.n);
	copy_text(m->hostname, sizeof(m->hostname), q->hostname);
	copy_text(m->agent, sizeof(m->agent), q->user_agent);
	copy_text(m->tls_cipher, sizeof(m->tls_cipher), SSL_get_cipher_name(c->ssl));
	unsigned base = q->base_mtu, mine = conn_path_mtu(c);
	if (mine != 0 && (base == 0 || mine < base))
		base = mine;
	q->base_mtu = base;
	m->mtu = (uint16_t)connect_mtu(base, c->local.family == 6, cfg->mtu,
				       q->wants_v6 && cfg->pool6.len != 0);
	fill_dtls(c, m);
	peer_send(&c->w->session, IPC_tunnel_ask, m);
	wait_for(c, ASKED_TUNNEL);
}

static unsigned
dpd_of(const struct config *cfg, const struct connect_req *q)
{
	return q->is_mobile ? cfg->dpd_mobile_s : cfg->dpd_s;
}

static bool
has_local_lan(const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->n_route; i++)
		if (cfg->route[i].family == AF_INET && cfg->route[i].v4.len == 32 &&
		    cfg->route[i].v4.addr.s_addr == 0)
			return true;
	return false;
}

/* The one line that Cisco's clients read domains from. Parsed names have no sign
 * that XML would mind. */
static const char *
dynamic_xml(const struct config *cfg, char *buf, size_t cap)
{
	const char *word = cfg->dynamic == DYNAMIC_INCLUDE ? "include" : "exclude";

	snprintf(buf, cap,
		 "<?xml version=\"1.0\" encoding=\"UTF-8\"?><config-auth "
		 "client=\"vpn\" type=\"complete\" aggregate-auth-version=\"2\">"
		 "<config client=\"vpn\" type=\"private\"><opaque "
		 "is-for=\"vpn-client\"><custom-attr><dynamic-split-%s-domains>"
		 "<![CDATA[%s]]></dynamic-split-%s-domains></custom-attr></opaque>"
		 "</config></config-auth>",
		 word, cfg->domains, word);
	return buf;
}

static bool
is_included(const struct connect_answer *a, const struct ip_addr *addr)
{
	for (size_t i = 0; i < a->n_route; i++) {
		const struct config_route *r = &a->route[i];
		struct ip_addr net = r->family == AF_INET ? ip_of4(r->v4.addr, 0)
							  : ip_of6(r->v6.addr, 0);
		if (wan_covers(&net, r->family == AF_INET ? r->v4.len : r->v6.len,
			       addr))
			return true;
	}
	return false;
}

/* A client makes a host route for the address it dialled. When its name has come to
 * mean another one of ours, that must not lead into the dead tunnel. Phones take no
 * excludes (R116), Cisco's clients none beside includes; neither looks a name up
 * again. */
static unsigned
other_gateways(const struct conn *c, const struct connect_answer *a,
	       struct config_route *out)
{
	const struct bundle *b = &c->w->bundle;
	const struct connect_req *q = &c->login->connect;
	unsigned n = 0;

	if (q->platform == PLATFORM_ANDROID || q->platform == PLATFORM_IOS ||
	    (a->routing == ROUTING_INCLUDE && q->is_anyconnect))
		return 0;
	for (unsigned i = 0; i < b->n_gateway; i++) {
		const struct ip_addr *g = &b->gateway[i];
		if (ip_same_host(g, &c->local) ||
		    !(g->family == 4 ? a->has_v4 : a->has_v6))
			continue;
		if (a->routing == ROUTING_INCLUDE && !is_included(a, g))
			continue;
		out[n] = (struct config_route){ .family = g->family == 4 ? AF_INET
									 : AF_INET6 };
		if (g->family == 4) {
			out[n].v4.addr = ip_v4(g);
			out[n].v4.len = 32;
		} else {
			out[n].v6.addr = ip_v6(g);
			out[n].v6.len = 128;
		}
		n++;
	}
	return n;
}

static void
write_parameters(struct conn *c, struct wr *w, const struct ipc_tunnel_grant *m)
{
	const struct config *cfg = c->w->cfg;
	const struct connect_req *q = &c->login->connect;
	const char *suffix = cfg->suffix;
	char xml[CONFIG_DOMAINS_TEXT + 512];
	struct connect_answer a = {
		.server_name = SERVER_NAME,
		.hostname = q->hostname[0] ? q->hostname : NULL,
		.has_v4 = m->addr4.family == 4,
		.has_v6 = m->addr6.family == 6,
		.addr4 = ip_v4(&m->addr4),
		.addr6 = ip_v6(&m->addr6),
		.full_ipv6 = q->full_ipv6,
		.platform = q->platform,
		.dns4 = cfg->dns4,
		.dns6 = cfg->dns6,
		.n_dns4 = cfg->n_dns4,
		.n_dns6 = cfg->n_dns6,
		.domain = suffix[0] ? suffix : NULL,
		.routing = cfg->routing,
		.route = cfg->route,
		.n_route = cfg->n_route,
		.local_lan = cfg->routing == ROUTING_EXCLUDE && has_local_lan(cfg),
		.tunnel_all_dns = cfg->tunnel_all_dns,
		.client_bypass = cfg->client_bypass,
		.mtu = c->login->ask->mtu,
		.base_mtu = q->base_mtu,
		.dpd_s = dpd_of(cfg, q),
		.keepalive_s = cfg->keepalive_s,
		.rekey_s = cfg->rekey_s,
		.idle_s = m->idle_timeout_s,
		.session_s = m->session_timeout_s,
		.remaining_s = m->session_left_s,
		.alert_s = ALERT_S,
		.disconnected_s = cfg->disconnected_s,
		.banner = cfg->banner[0] ? cfg->banner : NULL,
		.cipher = q->cipher,
		.dtls_port = c->local.port,
		.dyndns = config_names_dynamic(cfg),
	};
	struct config_route gateway[BUNDLE_GATEWAYS];

	if (cfg->dynamic != DYNAMIC_OFF &&
	    (q->platform == PLATFORM_WIN || q->platform == PLATFORM_MAC)) {
		a.post_auth_xml = dynamic_xml(cfg, xml, sizeof(xml));
		/* "Only these domains" has no meaning in a full tunnel: with no
		 * destination of ours the answer names the client's own address. */
		if (cfg->dynamic == DYNAMIC_INCLUDE && cfg->routing == ROUTING_FULL) {
			a.routing = ROUTING_INCLUDE;
			a.n_route = 0;
		}
	}
	/* The suffix resolves inside only when routing is split by inclusion, and
	 * then it would limit what tunnel_all_dns wants whole. */
	if (a.routing == ROUTING_INCLUDE && suffix[0] != '\0' && !cfg->tunnel_all_dns) {
		a.split_dns = &suffix;
		a.n_split_dns = 1;
	}
	if (cfg->routing == ROUTING_EXCLUDE && q->platform == PLATFORM_ANDROID) {
		/* R116: this client takes no excludes; a full tunnel is the safe side.
		 */
		a.routing = ROUTING_FULL;
		a.n_route = 0;
		a.local_lan = false;
		if (!m->is_reconnect)
			worker_event(c->w, EV_OPTION_IGNORED, &c->source, m->user,
				     "addressing.routing",
				     "android: exclude is not supported");
	}
	if (a.dyndns) {
		a.gateway = gateway;
		a.n_gateway = other_gateways(c, &a, gateway);
	}
	memcpy(a.dtls_id, m->dtls_id, CONNECT_DTLS_ID);
	connect_write_answer(w, &a);
}

static int
make_tunnel(struct conn *c, const struct ipc_tunnel_grant *m)
{
	struct worker *w = c->w;
	struct login *l = c->login;
	struct tunnel *t = tunnel_take(w, m->slot, m->gen, &m->addr4, &m->addr6);

	if (t == NULL)
		return E_NOMEM;
	t->sid32 = tunnel_sid32(m->sid);
	t->mtu = l->ask->mtu;
	t->dpd_s = dpd_of(w->cfg, &l->connect);
	free(t->user);
	t->user = strdup(m->user);
	struct ipc_tunnel_report *r = t->report;
	memcpy(r->token, l->ask->token, sizeof(r->token));
	memcpy(r->hostname, l->ask->hostname, sizeof(r->hostname));
	memcpy(r->agent, l->ask->agent, sizeof(r->agent));
	memcpy(r->tls_cipher, l->ask->tls_cipher, sizeof(r->tls_cipher));
	memcpy(r->dtls_secret, l->ask->dtls_secret, sizeof(r->dtls_secret));
	memcpy(r->dtls_id, m->dtls_id, sizeof(r->dtls_id));
	r->platform = l->ask->platform;
	r->source = l->ask->source;
	r->local = l->ask->local;
	r->wants4 = l->ask->wants4;
	r->wants6 = l->ask->wants6;
	r->mtu = l->ask->mtu;
	r->tls_version = l->ask->tls_version;
	r->dtls_mode = l->ask->dtls_mode;
	r->dtls_cipher = l->ask->dtls_cipher;
	tunnel_attach(t, c);
	return 0;
}

void
login_on_grant(struct conn *c, const struct ipc_tunnel_grant *m)
{
	struct login *l = c->login;
	struct wr w = open_answer(c);

	if (c->state != CONN_WAIT || l->asked != ASKED_TUNNEL)
		return;
	/* Computers name their platform at the login only. */
	if (m->platform != PLATFORM_UNKNOWN) {
		l->connect.platform = (enum platform)m->platform;
		l->connect.is_mobile |= auth_platform_is_mobile(l->connect.platform);
	}
	if (m->verdict == TOKEN_REFUSED) {
		connect_write_401(&w);
		answer(c, &w, false);
		return;
	}
	if (m->verdict == TOKEN_LATER || make_tunnel(c, m) < 0) {
		answer_503(c, m->reason[0] ? m->reason : "out of memory");
		return;
	}
	write_parameters(c, &w, m);
	conn_move(c, CONN_TUNNEL);
	c->deadline_ms = 0;
	c->heard_ms = c->w->now_ms;
	conn_is_tunnel(c);
	if (wr_full(&w) || conn_write(c, wr_span(&w)) < 0) {
		conn_close(c, "answer does not fit");
		return;
	}
	login_free(l);
	c->login = NULL;
	conn_resume(c);
}

/* Whom we asked did not answer in time. "Later" is no refusal: the client comes
 * again, and keeps its session. */
void
login_on_late(struct conn *c)
{
	log_limited(LOG_L_WARN, 0, "a client waited too long for %s",
		    c->login->asked <= ASKED_STEP ? "auth" : "session");
	if (c->login->asked <= ASKED_STEP)
		refuse_login(c, "The server is busy. Please try again.");
	else
		answer_503(c, "busy");
	if (c->state == CONN_REQUEST)
		conn_finish(c, "late");
}

/* -- requests -- */

static void
take_request(struct conn *c)
{
	struct login *l = c->login;

	switch (l->route.route) {
	case ROUTE_AUTH: on_post(c); break;
	case ROUTE_LEGACY_FORM:
		l->is_legacy = true;
		ask_step(c, NULL);
		break;
	case ROUTE_TUNNEL: on_connect(c); break;
	case ROUTE_PROFILE: on_profile(c); break;
	case ROUTE_LOGOUT:
	case ROUTE_STATIC: {
		bool keep = keep_alive(c);
		struct wr w = open_answer(c);
		routes_write_static(&w, &l->route, keep);
		answer(c, &w, keep);
		break;
	}
	}
}

static void
on_request(struct conn *c)
{
	struct login *l = c->login;

	l->requests++;
	l->route = routes_find(l->req);
	l->is_head = l->route.is_head;
	l->is_legacy = false;
	l->is_judged = false;
	cert_facts_clear(&l->cert);
	take_request(c);
}

/* What auth heard about the certificate; then the request goes on where it waited. */
void
login_on_ocsp(struct conn *c, const struct ipc_ocsp_told *m)
{
	struct login *l = c->login;

	if (c->state != CONN_WAIT || l->asked != ASKED_OCSP)
		return;
	if (m->verdict != CERT_GOOD) {
		size_t n = strlen(l->cert.text);
		l->cert.verdict = m->verdict == CERT_REVOKED ? CERT_REVOKED : CERT_OCSP;
		snprintf(l->cert.text + n, sizeof(l->cert.text) - n, ": %s", m->text);
	}
	conn_move(c, CONN_REQUEST);
	take_request(c);
	if (c->state != CONN_WAIT)
		conn_resume(c);
}

static void
bad_request(struct conn *c)
{
	int status = http_req_status(c->login->req);
	char text[8];

	snprintf(text, sizeof(text), "%d", status);
	worker_event(c->w, EV_PROTOCOL_ERROR, &c->source, "", "http", text);
	answer_status(c, status);
}

void
login_feed(struct conn *c, struct span *in)
{
	struct worker *w = c->w;

	if (c->login == NULL && login_new(&c->login) < 0) {
		conn_close(c, "out of memory");
		return;
	}
	struct login *l = c->login;
	while (in->n > 0 && c->state == CONN_REQUEST) {
		int rc = http_req_feed(l->req, in);
		if (rc == 0) {
			on_request(c);
		} else if (rc != E_AGAIN) {
			bad_request(c);
			return;
		} else if (l->begun_ms == 0 && http_req_begun(l->req)) {
			l->begun_ms = w->now_ms;
			if (c->deadline_ms > w->now_ms + REQUEST_MS)
				c->deadline_ms = w->now_ms + REQUEST_MS;
		}
	}
}
