/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* connect.h -- CONNECT /CSCOSSLC/tunnel: its request headers, its answer.
 *
 * Reading: what the client wants and offers. Writing: the tunnel's parameters in
 * headers whose exact case matters to openconnect. Who the session is and which
 * addresses it has is decided elsewhere.
 *
 * Units:      MTUs are bytes of inner packet unless named base (link), times are
 *             seconds.
 * Ownership:  connect_req.token borrows from the request; the rest is copied.
 *             connect_req holds a key: connect_req_wipe ends it.
 * Errors:     0 or E_AUTH (no usable token: answer 401). Writers: wr_full().
 */
#ifndef VPND_WORKER_CONNECT_H
#define VPND_WORKER_CONNECT_H

#include "common/http.h"
#include "common/config/config.h"
#include "vpnd/worker/xmlauth.h"

enum {
	CONNECT_TOKEN_MAX = 1024,
	CONNECT_MASTER = 48, /* DTLS master secret, RFC 5246 8.1 */
	CONNECT_DTLS_ID = 32,
	CONNECT_ANSWER_MAX = 64 * 1024, /* room that any configuration fits in */
	CONNECT_MTU_DEFAULT = 1390,
	CONNECT_MTU_MAX = 1500, /* without a cap: a client on loopback claims 65535 */
	CONNECT_MTU_MIN = 576,
	CONNECT_MTU_MIN_V6 = 1280, /* RFC 8200 5 */
};

/* What DTLS will use. Resumption modes take the client's master secret; PSK
 * takes an exported key. In an abbreviated handshake the key exchange in the
 * name means nothing. */
enum connect_cipher {
	CIPHER_NONE,
	CIPHER_AES256_GCM,
	CIPHER_ECDHE_AES256_GCM,
	CIPHER_OC_AES256_GCM,
	CIPHER_AES128_GCM,
	CIPHER_ECDHE_AES128_GCM,
	CIPHER_OC_AES128_GCM,
	CIPHER_PSK,
	CIPHERS
};

struct connect_cipher_info {
	const char *header;       /* offered and answered in this header */
	const char *name;         /* on the wire */
	const char *openssl_name; /* NULL for PSK */
	uint16_t suite;           /* IANA number, 0 for PSK */
	uint8_t key_len;
};

/* NULL for CIPHER_NONE. */
const struct connect_cipher_info *connect_cipher_info(enum connect_cipher c);

struct connect_req {
	struct span token;    /* cookie webvpn */
	char hostname[64];    /* letters, digits, . - _ only; "" when absent or odd */
	char user_agent[128]; /* printable ASCII, cut */
	unsigned base_mtu;    /* link MTU the client saw, 0 unknown */
	unsigned mtu;         /* tunnel MTU it computed, 0 unknown */
	bool wants_v4, wants_v6;
	bool full_ipv6;    /* understands the -IP6 headers */
	bool is_reconnect; /* the same client process was connected before */
	bool has_prev4, has_prev6;
	struct in_addr prev4; /* a wish, never a right */
	struct in6_addr prev6;
	bool has_master;
	uint8_t master[CONNECT_MASTER];
	enum connect_cipher cipher; /* our choice among the offers */
	enum platform platform;
	bool is_mobile;     /* mobile platform or X-CSTP-License: mobile */
	bool is_anyconnect; /* Cisco's own client */
};

/* The target is the tunnel, with or without its leading slash. */
bool connect_is_tunnel(struct span path);
int connect_req_parse(struct connect_req *c, const struct http_req *req);
void connect_req_wipe(struct connect_req *c);

/* Tunnel MTU. base_mtu 0: unknown. cap 0: CONNECT_MTU_MAX. Never above base minus the
 * overhead of UDP, IP and a DTLS 1.2 AES-GCM record; at least 576; at least 1280
 * with IPv6 inside if the base allows it. */
unsigned connect_mtu(unsigned base_mtu, bool outer_is_v6, unsigned cap, bool with_v6);

/* Everything borrowed. 0, NULL or false leaves a header out unless noted. */
struct connect_answer {
	const char *server_name; /* "tandem 0.1" */
	const char *hostname;
	bool has_v4, has_v6; /* at least one */
	struct in_addr addr4;
	struct in6_addr addr6;
	bool full_ipv6;
	enum platform platform;

	const struct in_addr *dns4;
	const struct in6_addr *dns6;
	size_t n_dns4, n_dns6;
	const char *domain;
	const char *const *split_dns;
	size_t n_split_dns;

	enum routing_mode routing;
	const struct config_route *route; /* what to include or exclude */
	size_t n_route;
	const struct config_route *gateway; /* our own addresses, kept outside */
	size_t n_gateway;
	bool local_lan;
	bool tunnel_all_dns, client_bypass; /* always sent */

	unsigned mtu, base_mtu; /* mtu is mandatory */
	unsigned dpd_s, keepalive_s;
	unsigned rekey_s;                /* 0: method none */
	unsigned idle_s;                 /* 0: "none" */
	unsigned session_s, remaining_s; /* session_s 0: "none" */
	unsigned alert_s;                /* warn so long before the end */
	unsigned disconnected_s;         /* always sent: how long the token is good */
	const char *banner;
	bool dyndns; /* resolve the name again at reconnect */
	/* Dynamic split tunnelling: one line of XML. A line break in it would end
	 * the headers, so such a text is left out. */
	const char *post_auth_xml;

	enum connect_cipher cipher;       /* CIPHER_NONE: no X-DTLS-* at all */
	uint8_t dtls_id[CONNECT_DTLS_ID]; /* fresh random per CONNECT */
	uint16_t dtls_port;
	unsigned dtls_mtu; /* 0: as mtu */
};

void connect_write_answer(struct wr *w, const struct connect_answer *a);
/* The token will never be good again: the only status that ends a client. */
void connect_write_401(struct wr *w);
void connect_write_403(struct wr *w);
/* Not now; the client shows the reason and tries again. */
void connect_write_503(struct wr *w, const char *reason);

#endif
