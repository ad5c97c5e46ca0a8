/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* anyconnect.h -- logging in as an AnyConnect client, for the load programs: TLS,
 * the XML exchange, CONNECT, the DTLS handshake.
 *
 * DTLS is the resumption of a session that never existed: the client chose the
 * master secret and sent it in CONNECT, the server chose the id.
 *
 * The server's certificate is not checked: it is the harness's own. Sockets block
 * during all this. -1 is the only error; VPNLOGIN_DEBUG=1 says why.
 */
#ifndef TESTS_PERF_ANYCONNECT_H
#define TESTS_PERF_ANYCONNECT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	REPLY_MAX = 32768,
	FORMS_MAX = 5, /* ocserv asks twice, vpnd once */
	TIMEOUT_S = 10,
	DTLS_ID = 32,
	MASTER = 48,
};

struct target {
	struct sockaddr_in to;
	const char *host, *user, *password;
	SSL_CTX *tls, *dtls;
	bool wants_dtls;
};

struct tunnel {
	int tcp, udp;
	SSL *ssl, *dtls;
	unsigned char master[MASTER], id[DTLS_ID];
	bool has_id;
	int udp_port;
	char address[64];      /* ours inside the tunnel, IPv4 */
	int tls_mtu, dtls_mtu; /* of that packet */
};

struct reply {
	char text[REPLY_MAX]; /* headers and body */
	char *body;
	int status;
};

static inline int
complain(const char *what)
{
	if (getenv("VPNLOGIN_DEBUG") != NULL) {
		fprintf(stderr, "login: %s: %s\n", what, strerror(errno));
		ERR_print_errors_fp(stderr);
	}
	return -1;
}

static inline double
now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* --- HTTP over one TLS connection */

/* The value of a header, up to cap; an empty text when there is none. */
static inline void
header(const struct reply *r, const char *name, char *value, size_t cap)
{
	size_t n = strlen(name);
	const char *p = r->text;

	value[0] = '\0';
	while (p != NULL && p < r->body) {
		if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
			p += n + 1;
			p += strspn(p, " ");
			snprintf(value, cap, "%.*s", (int)strcspn(p, "\r\n"), p);
			return;
		}
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
}

/* The cookie `name` from any Set-Cookie; keeps *value when there is none. */
static inline void
take_cookie(const struct reply *r, const char *name, char *value, size_t cap)
{
	size_t n = strlen(name);

	for (const char *p = r->text;
	     (p = strcasestr(p, "\nSet-Cookie:")) && p < r->body;) {
		p += strlen("\nSet-Cookie:");
		p += strspn(p, " ");
		if (strncmp(p, name, n) == 0 && p[n] == '=' && p[n + 1] != ';')
			snprintf(value, cap, "%.*s", (int)strcspn(p + n + 1, ";\r\n"),
				 p + n + 1);
	}
}

/* Headers, and the body that Content-Length announces. Both servers answer
 * with one; CONNECT has none and no body. */
static inline int
read_reply(SSL *ssl, struct reply *r)
{
	size_t n = 0, want = 0;
	char length[16];

	r->body = NULL;
	while (r->body == NULL || n < want) {
		int got = SSL_read(ssl, r->text + n, (int)(sizeof(r->text) - 1 - n));
		if (got <= 0)
			return complain("read");
		n += (size_t)got;
		r->text[n] = '\0';
		if (r->body == NULL &&
		    (r->body = strstr(r->text, "\r\n\r\n")) != NULL) {
			r->body += 4;
			header(r, "Content-Length", length, sizeof(length));
			want = (size_t)(r->body - r->text) +
			       (size_t)strtoul(length, NULL, 10);
			if (want >= sizeof(r->text))
				return complain("reply too long");
		}
	}
	return sscanf(r->text, "HTTP/1.%*d %d", &r->status) == 1 ? 0
								 : complain("status");
}

static inline int
post(SSL *ssl, const struct target *t, const char *path, const char *context,
     const char *body, struct reply *r)
{
	char text[16384];
	int n = snprintf(text, sizeof(text),
			 "POST %s HTTP/1.1\r\nHost: %s\r\n"
			 "User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n"
			 "%s%s%s"
			 "Accept: */*\r\nAccept-Encoding: identity\r\n"
			 "X-Transcend-Version: 1\r\nX-Aggregate-Auth: 1\r\n"
			 "Content-Type: application/xml; charset=utf-8\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 path, t->host, *context ? "Cookie: webvpncontext=" : "",
			 context, *context ? "\r\n" : "", strlen(body), body);

	if (n < 0 || (size_t)n >= sizeof(text) || SSL_write(ssl, text, n) != n)
		return complain("post");
	return read_reply(ssl, r);
}

/* --- login */

static inline void
attribute(const char *tag, const char *name, char *value, size_t cap)
{
	char want[32];
	const char *end = strchr(tag, '>'), *p;

	snprintf(want, sizeof(want), " %s=\"", name);
	p = strstr(tag, want);
	if (p == NULL || (end != NULL && p > end))
		return;
	p += strlen(want);
	snprintf(value, cap, "%.*s", (int)strcspn(p, "\""), p);
}

/* The answers to the form's inputs, by their names. */
static inline void
fill_form(const struct target *t, const char *form, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (const char *p = form; (p = strstr(p, "<input")) != NULL; p++) {
		char name[64] = "", value[256] = "", type[16] = "";
		attribute(p, "name", name, sizeof(name));
		attribute(p, "type", type, sizeof(type));
		attribute(p, "value", value, sizeof(value));
		if (strcmp(name, "username") == 0)
			snprintf(value, sizeof(value), "%s", t->user);
		else if (strcmp(type, "password") == 0)
			snprintf(value, sizeof(value), "%s", t->password);
		if (*name != '\0' && strcmp(type, "submit") != 0 && n < cap)
			n += (size_t)snprintf(out + n, cap - n, "<%s>%s</%s>", name,
					      value, name);
	}
}

#define CLIENT "<version who=\"vpn\">v9.01-3</version><device-id>linux-64</device-id>"

static inline int
login(SSL *ssl, const struct target *t, char *token, size_t cap)
{
	struct reply *r = malloc(sizeof(*r));
	char body[8192], path[256] = "/", context[2048] = "", fields[1024];
	int rc = -1;

	if (r == NULL)
		return -1;
	token[0] = '\0';
	snprintf(body, sizeof(body),
		 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		 "<config-auth client=\"vpn\" type=\"init\" "
		 "aggregate-auth-version=\"2\">" CLIENT
		 "<group-access>https://%s/</group-access></config-auth>\n",
		 t->host);
	for (int form = 0; form < FORMS_MAX; form++) {
		if (post(ssl, t, path, context, body, r) < 0)
			break;
		if (r->status != 200) {
			complain(r->text);
			break;
		}
		take_cookie(r, "webvpncontext", context, sizeof(context));
		take_cookie(r, "webvpn", token, cap);
		const char *element = strstr(r->body, "<session-token>");
		if (element != NULL) {
			element += strlen("<session-token>");
			snprintf(token, cap, "%.*s", (int)strcspn(element, "<"),
				 element);
		}
		if (strstr(r->body, "id=\"success\"") != NULL) {
			rc = *token ? 0 : complain("no token");
			break;
		}
		const char *f = strstr(r->body, "<form");
		if (f == NULL) {
			complain(r->body);
			break;
		}
		attribute(f, "action", path, sizeof(path));
		fill_form(t, f, fields, sizeof(fields));
		const char *opaque = strstr(r->body, "<opaque"), *end = NULL;
		if (opaque != NULL)
			end = strstr(opaque, "</opaque>");
		int n = end ? (int)(end - opaque) + 9 : 0;
		snprintf(body, sizeof(body),
			 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			 "<config-auth client=\"vpn\" type=\"auth-reply\" "
			 "aggregate-auth-version=\"2\">" CLIENT
			 "%.*s<auth>%s</auth></config-auth>\n",
			 n, n > 0 ? opaque : "", fields);
	}
	free(r);
	return rc;
}

static inline void
to_hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02X", p[i]);
}

static inline bool
from_hex(const char *hex, unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &p[i]) != 1)
			return false;
	return strlen(hex) == 2 * n;
}

static inline int
ask_tunnel(struct tunnel *u, const struct target *t, const char *token)
{
	struct reply *r = malloc(sizeof(*r));
	char text[8192], secret[2 * MASTER + 1], value[256];
	int rc = -1;

	if (r == NULL)
		return -1;
	RAND_bytes(u->master, MASTER);
	to_hex(u->master, MASTER, secret);
	int n = snprintf(
		text, sizeof(text),
		"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: %s\r\n"
		"User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n"
		"Cookie: webvpn=%s\r\nX-CSTP-Version: 1\r\nX-CSTP-Hostname: bench\r\n"
		"X-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1390\r\n"
		"X-CSTP-Address-Type: IPv6,IPv4\r\n"
		"X-CSTP-Full-IPv6-Capability: true\r\n"
		"X-DTLS-Master-Secret: %s\r\n"
		"X-DTLS12-CipherSuite: AES256-GCM-SHA384:AES128-GCM-SHA256\r\n\r\n",
		t->host, token, secret);
	if (n < 0 || (size_t)n >= sizeof(text) || SSL_write(u->ssl, text, n) != n ||
	    read_reply(u->ssl, r) < 0 || r->status != 200) {
		complain("CONNECT");
		goto done;
	}
	header(r, "X-DTLS-Session-ID", value, sizeof(value));
	u->has_id = from_hex(value, u->id, DTLS_ID);
	header(r, "X-DTLS-Port", value, sizeof(value));
	u->udp_port = atoi(value);
	header(r, "X-CSTP-Address", u->address, sizeof(u->address));
	header(r, "X-CSTP-MTU", value, sizeof(value));
	u->tls_mtu = u->dtls_mtu = atoi(value);
	header(r, "X-DTLS-MTU", value, sizeof(value));
	if (atoi(value) > 0)
		u->dtls_mtu = atoi(value);
	header(r, "X-DTLS12-CipherSuite", value, sizeof(value));
	u->has_id &= strcmp(value, "AES256-GCM-SHA384") == 0;
	rc = 0;
done:
	free(r);
	return rc;
}

static inline int
dial(const struct target *t, int type, int port)
{
	struct sockaddr_in to = t->to;
	struct timeval tv = { .tv_sec = TIMEOUT_S };
	int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (port > 0)
		to.sin_port = htons((uint16_t)port);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return complain("connect");
	}
	return fd;
}

static inline void
tunnel_free(struct tunnel *u)
{
	SSL_free(u->ssl);
	SSL_free(u->dtls);
	if (u->tcp >= 0)
		close(u->tcp);
	if (u->udp >= 0)
		close(u->udp);
}

/* Everything up to the 200 on CONNECT; the token for a return. On failure nothing
 * is left. */
static inline int
tunnel_open_token(struct tunnel *u, const struct target *t, char *token, size_t cap)
{
	*u = (struct tunnel){ .tcp = dial(t, SOCK_STREAM, 0), .udp = -1 };
	if (u->tcp < 0)
		return -1;
	u->ssl = SSL_new(t->tls);
	SSL_set_fd(u->ssl, u->tcp);
	if (SSL_connect(u->ssl) == 1 && login(u->ssl, t, token, cap) == 0 &&
	    ask_tunnel(u, t, token) == 0)
		return 0;
	complain("tunnel");
	tunnel_free(u);
	return -1;
}

static inline int
tunnel_open(struct tunnel *u, const struct target *t)
{
	char token[4096];

	return tunnel_open_token(u, t, token, sizeof(token));
}

/* A new connection with the token of an earlier one. */
static inline int
tunnel_return(struct tunnel *u, const struct target *t, const char *token)
{
	*u = (struct tunnel){ .tcp = dial(t, SOCK_STREAM, 0), .udp = -1 };
	if (u->tcp < 0)
		return -1;
	u->ssl = SSL_new(t->tls);
	SSL_set_fd(u->ssl, u->tcp);
	if (SSL_connect(u->ssl) == 1 && ask_tunnel(u, t, token) == 0)
		return 0;
	tunnel_free(u);
	return -1;
}

static inline void
tunnel_end(struct tunnel *u)
{
	static const char bye[] = "STF\1\0\x12\5\0\xb0"
				  "Aborted by caller";

	SSL_write(u->ssl, bye, sizeof(bye) - 1);
	tunnel_free(u);
}

/* --- DTLS */

static inline int
dtls_open(struct tunnel *u, const struct target *t)
{
	static const unsigned char aes256_gcm_sha384[2] = { 0x00, 0x9d };
	SSL_SESSION *s = SSL_SESSION_new();

	u->udp = dial(t, SOCK_DGRAM, u->udp_port);
	u->dtls = SSL_new(t->dtls);
	if (u->udp < 0 || u->dtls == NULL || s == NULL) {
		SSL_SESSION_free(s);
		return -1;
	}
	SSL_SESSION_set_protocol_version(s, DTLS1_2_VERSION);
	SSL_SESSION_set_cipher(s, SSL_CIPHER_find(u->dtls, aes256_gcm_sha384));
	SSL_SESSION_set1_master_key(s, u->master, MASTER);
	SSL_SESSION_set1_id(s, u->id, DTLS_ID);
	SSL_SESSION_set_time(s, time(NULL));
	SSL_set_session(u->dtls, s);
	SSL_SESSION_free(s);
	SSL_set_mtu(u->dtls, 1300);
	BIO *bio = BIO_new_dgram(u->udp, BIO_NOCLOSE);
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	getpeername(u->udp, (struct sockaddr *)&ss, &n);
	BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &ss);
	SSL_set_bio(u->dtls, bio, bio);
	/* On a blocking socket OpenSSL keeps the resend timer itself. */
	if (SSL_connect(u->dtls) != 1)
		return complain("dtls");
	return SSL_write(u->dtls, "\7", 1) == 1 ? 0 : -1; /* KEEPALIVE: we are here */
}

static inline void
target_open(struct target *t, char **argv)
{
	/* argv[2] to [5]: ADDRESS PORT USER PASSWORD */
	t->host = argv[2];
	t->user = argv[4];
	t->password = argv[5];
	t->to = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(argv[3])) };
	if (inet_pton(AF_INET, t->host, &t->to.sin_addr) != 1) {
		fprintf(stderr, "%s: not an IPv4 address\n", t->host);
		exit(2);
	}
	t->tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_mode(t->tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(t->tls, SSL_SESS_CACHE_OFF);
	t->dtls = SSL_CTX_new(DTLS_client_method());
	SSL_CTX_set_cipher_list(t->dtls, "AES256-GCM-SHA384");
	/* ocserv's answer to this resumption has no renegotiation_info. */
	SSL_CTX_set_options(t->dtls, SSL_OP_NO_TICKET | SSL_OP_NO_QUERY_MTU |
					     SSL_OP_NO_EXTENDED_MASTER_SECRET |
					     SSL_OP_LEGACY_SERVER_CONNECT);
}

#endif
