/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* worker.h -- one worker: its connections, tunnels, channels and devices.
 *
 * A connection (conn) is one TCP connection of a stranger: TLS handshake, HTTP
 * requests, and, when CONNECT is granted, the TLS channel of a tunnel. A tunnel
 * is this worker's part of a session: the TLS channel, the DTLS channel, or
 * both; the other one may live on another worker, and the kernel's host route
 * says which of them carries the downlink.
 *
 * Everything runs on one loop and one thread. What is to be sent is collected
 * and leaves just before the loop sleeps (worker_flush): that is the batch.
 *
 * Units:      times are monotonic milliseconds unless named _s.
 * Ownership:  conns are freed in their handle's close callback; tunnels when
 *             the last channel leaves; DTLS channels by dchan_close.
 */
#ifndef VPND_WORKER_WORKER_H
#define VPND_WORKER_WORKER_H

#include "common/http.h"
#include "common/ip.h"
#include "common/map.h"
#include "vpnd/ipc/bundle.h"
#include "vpnd/ipc/counters.h"
#include "vpnd/ipc/peer.h"
#include "vpnd/worker/batch.h"
#include "vpnd/worker/clientcert.h"
#include "vpnd/worker/connect.h"
#include "vpnd/worker/dtls.h"
#include "vpnd/worker/record.h"
#include "vpnd/worker/shaper.h"
#include "vpnd/worker/tlstx.h"
#include "vpnd/worker/xmlauth.h"

#include <openssl/ssl.h>
#include <uv.h>

enum {
	WORKER_CONNS = 16384,     /* TCP connections at once */
	WORKER_STRANGERS = 2048,  /* of these, not (yet) tunnels */
	WORKER_DCHANS = 32768,    /* DTLS channels, handshakes included */
	WORKER_HANDSHAKES = 1024, /* of these, unfinished */
	WORKER_LISTENERS = 8,
	HANDSHAKE_MS = 10000, /* TLS handshake */
	REQUEST_MS = 10000,   /* from the first byte of a request to its last */
	ANSWER_MS = 20000,    /* our own auth and session; then 503 */
	SEND_MS = 20000,      /* a client that reads nothing for so long is dropped */
	TICK_MS = 1000,
	OUT_BYTES = 65536,   /* of output waiting for one client, per piece */
	OUT_PIECES = 8,      /* only HTTP answers may take more than one */
	RECV_BYTES = 262144, /* read from a TCP socket at once */
};

struct worker;
struct tunnel;

/* Output that the socket has not taken yet. */
struct out {
	struct out *next;
	size_t at, n;
	uint8_t b[OUT_BYTES];
};

enum conn_state {
	CONN_HANDSHAKE, /* TLS */
	CONN_REQUEST,   /* waiting for a request, or in the middle of one */
	CONN_WAIT,      /* auth or session was asked */
	CONN_TUNNEL,
	CONN_CLOSING, /* last bytes are leaving */
	CONN_CLOSED,
	CONN_STATES
};

/* What only the time before a tunnel needs; freed when it is up. */
struct login;

struct conn {
	struct worker *w;
	uint32_t id; /* generation << 16 | index; also the id of what we ask */
	enum conn_state state;
	int fd;
	uv_poll_t poll;
	int poll_events; /* what is watched; 0: nothing */
	SSL *ssl;
	struct span in; /* bytes received, not yet taken by ssl */
	uint8_t *pend;  /* decrypted bytes that must wait; pend_n of them */
	size_t pend_n;
	struct out *out; /* first piece; NULL: nothing waits */
	bool is_dirty;   /* in the worker's list of things to flush */
	bool is_held;    /* spoke while we asked: not read until the answer is there */
	bool keeps_buffers; /* OpenSSL's, between records */
	struct tlstx *tx;   /* not NULL: what is sent is sealed here, not by ssl */
	uint64_t tls_sent;  /* records that ssl has sent since the handshake */
	struct tlstx_secret tls_secret; /* under which; n 0: a suite not for tlstx */
	struct conn *next_dirty;
	struct conn *prev, *next; /* strangers, oldest first */
	bool is_stranger;
	struct ip_addr source, local;
	uint64_t since_ms, deadline_ms; /* deadline 0: none */
	uint64_t heard_ms, sent_ms, blocked_ms, dpd_ms;
	struct login *login;
	bool is_challenge;     /* an ACME server: the handshake is all it wants */
	struct tunnel *tunnel; /* in CONN_TUNNEL */
	char ended[64];        /* why, for the log */
};

enum dchan_state { DCHAN_HANDSHAKE, DCHAN_KEYED, DCHAN_OPEN };

/* A DTLS channel, from the hello on. KEYED: our handshake is done, but only the
 * first record that verifies proves that the client's is too. */
struct dchan {
	struct worker *w;
	uint32_t index; /* in w->dchan */
	enum dchan_state state;
	struct tunnel *tunnel;
	uint8_t id[IPC_DTLS_ID];
	struct dtls *hs;
	struct record_tx tx;
	struct record_rx rx;
	struct record_material keys; /* should it move to another worker */
	struct batch_path path;
	unsigned listener;
	struct dchan *successor; /* a handshake from the same address and port */
	bool is_successor;
	uint64_t since_ms, heard_ms, dpd_ms;
	unsigned answered; /* DPD requests, this second */
	uint16_t cipher;
};

struct tunnel {
	struct worker *w;
	uint32_t slot, gen;
	uint32_t sid32; /* for the log */
	struct conn *conn;
	struct dchan *dchan;         /* the open one, or NULL */
	struct ip_addr addr4, addr6; /* family 0: not given */
	struct in_addr inner4;       /* the same, as the packet check wants them */
	struct in6_addr inner6;
	uint16_t mtu;
	struct shaper up, down; /* what the session may use */
	bool is_paced;          /* something waits; in the worker's list */
	struct tunnel *next_paced;
	uint32_t n_dchans; /* DTLS channels, handshakes included */
	unsigned dpd_s;
	char *user;
	struct ipc_tunnel_report *report; /* what session needs after its restart */
	uint64_t quiet_ms;                /* last malformed or foreign packet told of */
};

struct listener {
	uint32_t handle;
	uint8_t wan, family;
	uint16_t port;
	int tcp, udp;
	uv_poll_t poll_tcp, poll_udp;
	bool is_open;
	struct batch_tx *tx;
	struct worker *w;
};

/* See challenge.c. */
struct challenge {
	char name[254];
	SSL_CTX *ctx;
};

struct hello_wait; /* hellos whose id session is being asked about */

struct worker {
	unsigned index;
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t tick;
	struct peer parent, keys, auth, session;
	struct bundle bundle;
	struct config *cfg;
	uint8_t *profile; /* what PROFILE_PATH serves; NULL none */
	size_t profile_n;
	char profile_sha1[41];

	SSL_CTX *tls;
	uint32_t cert_generation;
	char cert_sha1[41];
	struct challenge challenge[IPC_CHALLENGES];
	unsigned n_challenge;
	struct clientcert *client_ca; /* NULL: none was handed out yet */

	struct listener listener[WORKER_LISTENERS];

	int tun;
	bool has_vnet; /* reads and writes begin with a vnet header */
	struct merge *merge;
	uv_poll_t poll_tun;
	struct counters *counters;
	uint32_t slots;

	struct conn *conn[WORKER_CONNS];
	uint16_t conn_gen[WORKER_CONNS];
	unsigned conn_next, n_conn, n_strangers;
	struct conn *strangers, *strangers_last;
	struct conn *dirty;
	struct out *spare; /* free pieces */
	unsigned n_spare;

	struct tunnel **tunnel; /* by slot */
	struct map *by_inner;   /* 16-byte inner address -> slot */

	struct dtls_ctx *dtls;
	struct dchan *dchan[WORKER_DCHANS];
	uint32_t dchan_next, n_dchan, n_handshakes;
	struct map *by_peer; /* address and port -> dchan index */
	/* What was found there last: datagrams come in bunches. NULL: nothing. */
	struct dchan *last_dchan;
	struct ip_addr last_peer;
	struct hello_wait *hello;
	struct dtls_cookie_keys cookies;
	unsigned strays, asked; /* records of unknown peers, this second */
	struct batch_rx *rx;
	bool is_stopping;

	uv_timer_t pace; /* runs while something waits for its bandwidth */
	struct tunnel *paced;
	size_t pace_budget; /* bytes that queues may still take */

	uint64_t now_ms;
	uint8_t *recv;  /* RECV_BYTES */
	uint8_t *plain; /* decrypted records, until uplink_flush; RECV_BYTES */
	size_t plain_n;
	uint8_t *read; /* one read of the TUN */
	uint8_t *text; /* scratch for answers */
};

/* worker.c */
void worker_event(struct worker *w, enum event_what what, const struct ip_addr *source,
		  const char *user, const char *reason, const char *text);
void worker_flush(struct worker *w);

/* sandbox.c: after this only what is in its table works. */
int sandbox_worker(void);

/* tls.c */
int tls_init(struct worker *w);
/* A new chain (PEM): new handshakes see it, running connections keep theirs. */
int tls_chain(struct worker *w, struct span pem, uint32_t generation);
int tls_versions(struct worker *w);
/* Whether clients are asked for a certificate, and for whose. */
int tls_client_certs(struct worker *w);
int tls_attach(struct conn *c);

/* challenge.c: key and certificate (PEM) for an ACME server that asks for this name;
 * empty: no more. E_INVAL: they are none, E_LIMIT. */
int challenge_set(struct worker *w, const char *name, struct span pem);
int challenge_on_hello(SSL *ssl, int *alert, void *arg);
/* The body of the extension: is acme-tls/1 in it; which host does it name? */
bool challenge_is_offered(struct span alpn);
struct span challenge_host(struct span server_name);

/* listener.c */
int listener_add(struct worker *w, const struct ipc_listener *m, int tcp, int udp);
void listener_remove(struct worker *w, uint32_t handle);

/* conn.c */
int conn_new(struct worker *w, int fd, const struct ip_addr *source);
struct conn *conn_by_id(struct worker *w, uint32_t id);
void conn_move(struct conn *c, enum conn_state to);
/* Close now, without a word on the wire but FIN. why is for the log. */
void conn_close(struct conn *c, const char *why);
/* Close when what is queued has left. */
void conn_finish(struct conn *c, const char *why);
/* Encrypt and queue. E_LIMIT when the client does not read. */
int conn_write(struct conn *c, struct span text);
/* Much is about to be written, by a tunnel. */
void conn_expect_much(struct conn *c);
/* Where text of up to n bytes is best made for conn_write, which then need not copy
 * it: valid until anything else is written or flushed. */
uint8_t *conn_slot(struct conn *c, size_t n);
/* OpenSSL has sealed a record. */
int conn_tls_record(struct conn *c, const uint8_t *p, size_t n);
/* The client wishes that we change our keys. */
void conn_tls_update(struct conn *c);
/* Room for one more data frame? */
bool conn_has_room(const struct conn *c, size_t n);
void conn_flush(struct conn *c);
/* Go on with what waited while we asked someone. */
void conn_resume(struct conn *c);
/* The path MTU that the kernel knows for this connection, 0 if none worth believing. */
unsigned conn_path_mtu(const struct conn *c);
/* It is a stranger no more. */
void conn_is_tunnel(struct conn *c);
void conn_tick(struct conn *c);

/* login.c: everything HTTP before the tunnel */
int login_new(struct login **out);
void login_free(struct login *l);
/* Bytes of HTTP. Takes from `in` until the state is not CONN_REQUEST. */
void login_feed(struct conn *c, struct span *in);
void login_on_ask(struct conn *c, const struct ipc_login_ask *m);
void login_on_ocsp(struct conn *c, const struct ipc_ocsp_told *m);
void login_on_token(struct conn *c, const struct ipc_token_issued *m);
void login_on_checked(struct conn *c, const struct ipc_token_checked *m);
void login_on_grant(struct conn *c, const struct ipc_tunnel_grant *m);
void login_on_late(struct conn *c);

/* tunnel.c */
struct tunnel *tunnel_find(struct worker *w, uint32_t slot, uint32_t gen);
/* Find or make; an older generation in this slot is ended. NULL: no memory. */
struct tunnel *tunnel_take(struct worker *w, uint32_t slot, uint32_t gen,
			   const struct ip_addr *addr4, const struct ip_addr *addr6);
void tunnel_drop_if_empty(struct worker *w, struct tunnel *t);
void tunnel_attach(struct tunnel *t, struct conn *c);
/* The connection of a tunnel is gone: tell session why. */
void tunnel_detach(struct conn *c, enum tunnel_end why);
/* Decrypted bytes of the TLS channel. */
void tunnel_feed(struct conn *c, struct span in);
void tunnel_tick(struct conn *c);
void tunnel_on_close(struct worker *w, const struct ipc_tunnel_close *m);
void tunnel_report_all(struct worker *w);
/* The configuration has changed: its limits apply to running sessions too. */
void tunnel_limit_all(struct worker *w);
/* The id that every process's log lines carry: the first four bytes as hex. */
uint32_t tunnel_sid32(const uint8_t sid[IPC_SID]);
struct counters *tunnel_counters(struct worker *w, const struct tunnel *t);

/* chan_dtls.c */
void dchan_hello(struct worker *w, unsigned listener, const struct batch_path *path,
		 struct span datagram);
void dchan_on_secret(struct worker *w, const struct ipc_dtls_secret *m);
void dchan_datagram(struct dchan *d, const struct ip_addr *local, uint8_t *p, size_t n,
		    uint8_t tos);
/* A record from an address nobody has: did a channel's peer move there? */
void dchan_adopt(struct worker *w, unsigned listener, const struct batch_path *path,
		 struct span datagram);
/* Text of n bytes already in place at slot + RECORD_HEADROOM of the listener's
 * batch: seal and queue it. */
int dchan_send(struct dchan *d, uint8_t *slot, size_t n, uint8_t tos);
uint8_t *dchan_slot(struct dchan *d);
/* The socket said that n bytes do not fit: shrink this session's packets, or if that
 * is at its end, let them leave in fragments (true). */
bool dchan_on_send_error(void *arg, uint32_t tag, size_t n, int rc);
void dchan_close(struct dchan *d, const char *why, bool tell);
void dchan_on_try(struct worker *w, const struct ipc_dtls_try *m);
void dchan_on_take(struct worker *w, const struct ipc_dtls_take *m);
void dchan_on_drop(struct worker *w, const struct ipc_dtls_drop *m);
void dchan_tick(struct worker *w);
int dchan_init(struct worker *w);
struct dchan *dchan_by_peer(struct worker *w, const struct ip_addr *peer);

/* demux.c */
void demux_readable(struct listener *l);

/* uplink.c, downlink.c */
int uplink_init(struct worker *w, unsigned kinds);
/* The packet stays where it is until uplink_flush. outer_tos: TOS of the datagram
 * it came in, 0 by TLS. */
void uplink_packet(struct worker *w, struct tunnel *t, struct span packet,
		   uint8_t outer_tos, bool by_dtls);
void uplink_flush(struct worker *w);
void downlink_readable(struct worker *w);
/* What waited for the session's bandwidth and may go now. */
void uplink_paced(struct worker *w, struct tunnel *t);
void downlink_paced(struct worker *w, struct tunnel *t);

/* pace.c */
int pace_init(struct worker *w);
void pace_start(struct tunnel *t);
void pace_forget(struct tunnel *t);

#endif
