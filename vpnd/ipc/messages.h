/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* messages.h -- every message between vpnd's processes, in one table.
 *
 * A message is one SOCK_SEQPACKET packet: a header (type 16, body length 32)
 * and a body, big-endian, written and read field by field. The table gives the
 * name, who may send it to whom, and how many descriptors ride along. The
 * receiver treats the sender as hostile: an unknown type, a wrong direction, a
 * wrong length, trailing bytes or a wrong number of descriptors mean that the
 * sender is broken, and it is ended.
 *
 * Field kinds: u8 u16 u32 u64; addr (common/ip.h); raw (exactly max bytes);
 * var (up to max bytes); str (text up to max bytes, kept NUL-terminated, no NUL
 * inside).
 *
 * Requests carry an `id` that the answer repeats. An answer to an id that is
 * not known (any more) is ignored: the asker may have been restarted since.
 */
#ifndef VPND_IPC_MESSAGES_H
#define VPND_IPC_MESSAGES_H

#include "common/ip.h"
#include "common/span.h"

enum ipc_process {
	IPC_PARENT,
	IPC_KEYS,
	IPC_AUTH,
	IPC_SESSION,
	IPC_WORKER,
	IPC_PROCESSES
};
enum { IPC_ANY = 0xff };

enum {
	IPC_FDS_MAX = 4,
	IPC_TOKEN_MAX = 768,  /* characters of a webvpn token */
	IPC_CLAIMS_MAX = 512, /* bytes sealed into it */
	IPC_USER_MAX = 255,
	IPC_NAME_MAX = 63, /* group, policy, host and device names */
	IPC_AGENT_MAX = 127,
	IPC_PEM_MAX = 65536,
	IPC_CHALLENGE_PEM = 8192,
	IPC_CHALLENGES = 8,   /* names that are being proven at once */
	IPC_X509_MAX = 16384, /* DER of one certificate */
	IPC_SID = 16,
	IPC_DTLS_ID = 32,
	IPC_DTLS_MATERIAL = 81, /* 2 keys of 32, their salts, a nonce, key length */
	IPC_DTLS_SECRET = 48,   /* master secret (48) or PSK (32, then zeroes) */
};

/* What happened to a login step, and what the client is shown next. */
enum login_next {
	LOGIN_FORM,      /* the first form: user name and password */
	LOGIN_CHALLENGE, /* one more question, in `message` */
	LOGIN_REFUSED,   /* for good; the text is in `error` */
	LOGIN_CERT,      /* come again with a certificate */
};

/* Verdict on a client's certificate. */
enum cert_verdict {
	CERT_NONE, /* none was presented */
	CERT_GOOD,
	CERT_UNTRUSTED, /* no chain to the client CA */
	CERT_EXPIRED,
	CERT_NOT_YET_VALID,
	CERT_REVOKED,
	CERT_PURPOSE, /* not made for clients */
	CERT_NO_NAME, /* no user's name where certificate_user says */
	CERT_CRL,     /* a revocation list is missing or too old */
	CERT_OCSP,    /* the responder does not vouch for it */
	CERT_VERDICTS
};

enum dtls_mode { DTLS_NONE, DTLS_RESUME, DTLS_PSK };

/* What a client says it runs on, as it is shown and sent between processes. */
enum platform {
	PLATFORM_UNKNOWN,
	PLATFORM_WIN,
	PLATFORM_MAC,   /* mac-intel */
	PLATFORM_LINUX, /* linux, linux-64 */
	PLATFORM_ANDROID,
	PLATFORM_IOS, /* apple-ios */
	PLATFORMS
};

/* Verdict on a token, from best to worst. */
enum token_verdict {
	TOKEN_OK,
	TOKEN_LATER,  /* not now: 503 with the reason */
	TOKEN_REFUSED /* never again: 401 */
};

enum tunnel_end {
	TUNNEL_LOST,    /* TCP closed, reset or rekeyed: the client will be back */
	TUNNEL_DEAD,    /* nothing heard: DPD gave up */
	TUNNEL_LOGOUT,  /* DISCONNECT with reason byte 0xb0 */
	TUNNEL_PAUSED,  /* DISCONNECT with another reason byte */
	TUNNEL_BROKEN,  /* protocol violation */
	TUNNEL_STALLED, /* did not read for the send timeout */
};

enum sign_scheme {
	SIGN_ECDSA,   /* data: digest */
	SIGN_RSA_PAD, /* data: a padded PKCS#1 type 1 or PSS block, modulus size */
};

/* What a TUN device takes as one write. */
enum tun_kind { TUN_TCP4 = 1, TUN_TCP6 = 2, TUN_UDP4 = 4, TUN_UDP6 = 8 };

enum load_what { LOAD_CERT, LOAD_TOKEN_KEYS, LOAD_PAIR_KEY };

/* CHECK: would a reload of this text succeed? Nothing changes. TAKE: write it to
 * the configuration file, whole or not at all, and reload. */
enum config_put { CONFIG_CHECK, CONFIG_TAKE };

enum user_op { USER_CREATE, USER_UPDATE, USER_REMOVE };
enum user_field { USER_HASH = 1, USER_AUTHORISED = 2, USER_TOTP = 4 };

enum event_what {
	EV_SERVICE_STARTED,
	EV_SERVICE_STOPPING,
	EV_CONFIG_LOADED,
	EV_CONFIG_REFUSED,
	EV_PROCESS_DIED,
	EV_PROCESS_RESTARTED,
	EV_CLIENT_CONNECTED,
	EV_CLIENT_RECONNECTED,
	EV_CLIENT_DISCONNECTED,
	EV_AUTH_SUCCESS,
	EV_AUTH_FAILURE,
	EV_SESSION_LIMIT,
	EV_POOL_EXHAUSTED,
	EV_TLS_REJECT,
	EV_PROTOCOL_ERROR,
	EV_TOKEN_REFUSED,
	EV_SESSION_REVOKED,
	EV_USER_CHANGED,
	EV_DTLS_UP,
	EV_DTLS_DOWN,
	EV_BACKOFF,
	EV_CERT_SWAPPED,
	EV_CERT_REFUSED,   /* the one that runs stays */
	EV_OPTION_IGNORED, /* a setting this client cannot do */
	EVENTS
};

/* clang-format off */
/*        name             from         to           fds */
#define IPC_MESSAGES(X)                                                            \
	/* life */                                                                 \
	X(ready,           IPC_ANY,     IPC_PARENT,  0)                            \
	X(ping,            IPC_PARENT,  IPC_ANY,     0)                            \
	X(pong,            IPC_ANY,     IPC_PARENT,  0)                            \
	X(config,          IPC_PARENT,  IPC_ANY,     1) /* bundle.h in a memfd */  \
	X(config_done,     IPC_ANY,     IPC_PARENT,  0)                            \
	X(process_new,     IPC_PARENT,  IPC_ANY,     0)                            \
	X(stop,            IPC_PARENT,  IPC_ANY,     0)                            \
	X(event,           IPC_ANY,     IPC_SESSION, 0)                            \
	/* what the parent hands to a worker, and to session */                    \
	X(cert,            IPC_PARENT,  IPC_WORKER,  1) /* chain PEM in a memfd */ \
	X(challenge,       IPC_PARENT,  IPC_WORKER,  1) /* key and certificate */  \
	X(tun,             IPC_PARENT,  IPC_WORKER,  1)                            \
	X(counters,        IPC_PARENT,  IPC_ANY,     1) /* worker rw, session ro */\
	X(listener,        IPC_PARENT,  IPC_WORKER,  2) /* TCP, UDP */             \
	X(unlisten,        IPC_PARENT,  IPC_WORKER,  0)                            \
	X(control_listen,  IPC_PARENT,  IPC_SESSION, 1)                            \
	X(status_ask,      IPC_SESSION, IPC_PARENT,  0)                            \
	X(status_text,     IPC_PARENT,  IPC_SESSION, 0)                            \
	X(reload,          IPC_SESSION, IPC_PARENT,  0)                            \
	X(reload_done,     IPC_PARENT,  IPC_SESSION, 0)                            \
	X(route_set,       IPC_SESSION, IPC_PARENT,  0)                            \
	X(route_del,       IPC_SESSION, IPC_PARENT,  0)                            \
	/* keys */                                                                 \
	X(keys_load,       IPC_PARENT,  IPC_KEYS,    1) /* PEM or blob, memfd */   \
	X(keys_loaded,     IPC_KEYS,    IPC_PARENT,  0)                            \
	X(keys_store,      IPC_KEYS,    IPC_PARENT,  0)                            \
	X(key_sign,        IPC_WORKER,  IPC_KEYS,    0)                            \
	X(key_signed,      IPC_KEYS,    IPC_WORKER,  0)                            \
	X(token_seal,      IPC_SESSION, IPC_KEYS,    0)                            \
	X(token_sealed,    IPC_KEYS,    IPC_SESSION, 0)                            \
	X(token_open,      IPC_SESSION, IPC_KEYS,    0)                            \
	X(token_opened,    IPC_KEYS,    IPC_SESSION, 0)                            \
	/* login */                                                                \
	X(pair_key,        IPC_PARENT,  IPC_AUTH,    1) /* 32 bytes, memfd */      \
	X(login_step,      IPC_WORKER,  IPC_AUTH,    0)                            \
	X(login_ask,       IPC_AUTH,    IPC_WORKER,  0)                            \
	X(login_proven,    IPC_AUTH,    IPC_SESSION, 0)                            \
	X(token_issued,    IPC_SESSION, IPC_WORKER,  0)                            \
	X(token_check,     IPC_WORKER,  IPC_SESSION, 0)                            \
	X(token_checked,   IPC_SESSION, IPC_WORKER,  0)                            \
	X(client_ca,       IPC_PARENT,  IPC_WORKER,  2) /* CAs PEM, CRLs; memfds */\
	X(ocsp_ask,        IPC_WORKER,  IPC_AUTH,    0)                            \
	X(ocsp_told,       IPC_AUTH,    IPC_WORKER,  0)                            \
	X(user_put,        IPC_SESSION, IPC_AUTH,    0)                            \
	X(user_done,       IPC_AUTH,    IPC_SESSION, 0)                            \
	X(user_get,        IPC_SESSION, IPC_AUTH,    0)                            \
	X(user_row,        IPC_AUTH,    IPC_SESSION, 0)                            \
	/* tunnels */                                                              \
	X(tunnel_ask,      IPC_WORKER,  IPC_SESSION, 0)                            \
	X(tunnel_grant,    IPC_SESSION, IPC_WORKER,  0)                            \
	X(tunnel_report,   IPC_WORKER,  IPC_SESSION, 0)                            \
	X(tunnel_down,     IPC_WORKER,  IPC_SESSION, 0)                            \
	X(tunnel_close,    IPC_SESSION, IPC_WORKER,  0)                            \
	X(tunnel_mtu,      IPC_WORKER,  IPC_SESSION, 0)                            \
	X(dtls_ask,        IPC_WORKER,  IPC_SESSION, 0)                            \
	X(dtls_secret,     IPC_SESSION, IPC_WORKER,  0)                            \
	X(dtls_up,         IPC_WORKER,  IPC_SESSION, 0)                            \
	X(dtls_down,       IPC_WORKER,  IPC_SESSION, 0)                            \
	X(dtls_drop,       IPC_SESSION, IPC_WORKER,  0) \
	/* a client whose NAT moved it to another worker's socket */ \
	X(dtls_stray, IPC_WORKER, IPC_SESSION, 0) \
	X(dtls_try, IPC_SESSION, IPC_WORKER, 0) \
	X(dtls_give, IPC_WORKER, IPC_SESSION, 0) \
	X(dtls_take, IPC_SESSION, IPC_WORKER, 0) \
	/* the pair */ \
	X(cluster, IPC_PARENT, IPC_ANY, 1) /* a connection to hasync */ \
	X(role, IPC_PARENT, IPC_ANY, 0) \
	X(config_put, IPC_SESSION, IPC_PARENT, 1) /* tandem.conf's text, memfd */ \
	X(config_put_done, IPC_PARENT, IPC_SESSION, 0)

#define IPC_FIELDS_ready(F)          F(u32, pid, 0)
#define IPC_FIELDS_ping(F)           F(u32, id, 0)
#define IPC_FIELDS_pong(F)           F(u32, id, 0)
#define IPC_FIELDS_config(F)         F(u32, generation, 0)
#define IPC_FIELDS_config_done(F)    F(u32, generation, 0) F(u8, is_bad, 0) F(str, text, 255)
/* Another process was (re)started. index counts workers; 0 for the others. */
#define IPC_FIELDS_process_new(F)    F(u8, process, 0) F(u8, index, 0)
#define IPC_FIELDS_stop(F)           F(u8, how, 0)
/* attempt: id of a login, 0 if none. number: what the event counts, or 0. */
#define IPC_FIELDS_event(F)          F(u8, what, 0) F(u64, attempt, 0) F(str, user, IPC_USER_MAX) \
	                             F(addr, source, 0) F(str, reason, 63) F(str, text, 255) F(u64, number, 0)

#define IPC_FIELDS_cert(F)           F(u32, generation, 0) F(u8, is_rsa, 0)
/* What an ACME server is shown that asks for `name` by RFC 8737: a throw-away key
 * and certificate (PEM), shown to nobody else. An empty file: no more. */
#define IPC_FIELDS_challenge(F)      F(str, name, 253)
/* kinds: what may be merged into one write, bits of merge.h. */
#define IPC_FIELDS_tun(F)            F(u16, mtu, 0) F(u8, has_vnet, 0) F(u8, kinds, 0)
/* worker: whose counters; slots: how many struct counters are in it. */
#define IPC_FIELDS_counters(F)       F(u8, worker, 0) F(u32, slots, 0)
/* handle: names the pair of sockets for unlisten. family 4 or 6. */
#define IPC_FIELDS_listener(F)       F(u32, handle, 0) F(u8, wan, 0) F(u8, family, 0) F(u16, port, 0)
#define IPC_FIELDS_unlisten(F)       F(u32, handle, 0)
#define IPC_FIELDS_control_listen(F) F(u32, workers, 0) F(u32, slots, 0)
/* JSON object made by the parent: processes, listeners, features. */
#define IPC_FIELDS_status_ask(F)     F(u32, id, 0)
#define IPC_FIELDS_status_text(F)    F(u32, id, 0) F(var, json, 16384)
#define IPC_FIELDS_reload(F)         F(u32, id, 0)
#define IPC_FIELDS_reload_done(F)    F(u32, id, 0) F(u8, is_bad, 0) F(var, text, 16384)
#define IPC_FIELDS_route_set(F)      F(addr, dst, 0) F(u8, worker, 0) F(u16, mtu, 0)
#define IPC_FIELDS_route_del(F)      F(addr, dst, 0)

/* LOAD_CERT: PEM of key, certificate and chain in one file, or an empty file:
 * then keys makes a self-signed one for `name`. LOAD_TOKEN_KEYS: what
 * keys_store gave before, or empty: then keys makes them. LOAD_PAIR_KEY: 32 bytes,
 * before the connection to hasync; without it keys leaves the store alone. */
#define IPC_FIELDS_keys_load(F)      F(u8, what, 0) F(u32, generation, 0) F(str, name, 253)
/* chain: certificate and chain PEM without the key, for `cert` to workers. */
#define IPC_FIELDS_keys_loaded(F)    F(u8, what, 0) F(u32, generation, 0) F(u8, is_bad, 0) F(str, text, 255) \
	                             F(u8, is_rsa, 0) F(var, chain, IPC_PEM_MAX)
/* Write these bytes to this object's file, mode 0600, whole or not at all. */
#define IPC_FIELDS_keys_store(F)     F(u8, what, 0) F(var, bytes, IPC_PEM_MAX)
/* generation: of the certificate that the worker is presenting. */
#define IPC_FIELDS_key_sign(F)       F(u32, id, 0) F(u32, generation, 0) F(u8, scheme, 0) F(var, data, 1024)
#define IPC_FIELDS_key_signed(F)     F(u32, id, 0) F(u8, is_bad, 0) F(var, signature, 1024)
#define IPC_FIELDS_token_seal(F)     F(u32, id, 0) F(var, claims, IPC_CLAIMS_MAX)
#define IPC_FIELDS_token_sealed(F)   F(u32, id, 0) F(u8, is_bad, 0) F(str, token, IPC_TOKEN_MAX)
#define IPC_FIELDS_token_open(F)     F(u32, id, 0) F(str, token, IPC_TOKEN_MAX)
#define IPC_FIELDS_token_opened(F)   F(u32, id, 0) F(u8, is_bad, 0) F(var, claims, IPC_CLAIMS_MAX)

/* The pair key: it opens and seals the second factors of local users. */
#define IPC_FIELDS_pair_key(F)       F(u32, generation, 0)
/* cert: enum cert_verdict on what this connection presented; has_no_cert: the client
 * says that it has none to present; cert_text: which one it was, for events.
 * is_first: an `init`, or a legacy GET: no fields yet. state: what login_ask
 * gave, back from the client (opaque auth-state or webvpncontext cookie). */
#define IPC_FIELDS_login_step(F)     F(u32, id, 0) F(u8, is_first, 0) F(addr, source, 0) F(str, group, IPC_NAME_MAX) \
	                             F(str, user, IPC_USER_MAX) F(str, secret, 255) F(var, state, 1024)              \
	                             F(str, agent, IPC_AGENT_MAX) F(u8, platform, 0) F(str, device, IPC_NAME_MAX)    \
	                             F(u8, cert, 0) F(u8, has_no_cert, 0) F(str, cert_user, IPC_USER_MAX) F(str, cert_text, 255)
/* what: enum login_next. error: shown above the form, "" if none. state: text
 * [A-Za-z0-9_-]. group: the one settled on. is_echo: the answer may be shown.
 * user: what the form's name field holds already. */
#define IPC_FIELDS_login_ask(F)      F(u32, id, 0) F(u8, what, 0) F(str, message, 255) F(str, error, 255) \
	                             F(str, group, IPC_NAME_MAX) F(str, label, IPC_NAME_MAX) F(u8, is_echo, 0) F(str, state, 1024) F(str, user, IPC_USER_MAX)
/* worker, id: whose login_step this answers; session answers that worker. */
#define IPC_FIELDS_login_proven(F)   F(u8, worker, 0) F(u32, id, 0) F(u64, attempt, 0) F(str, user, IPC_USER_MAX) \
	                             F(str, group, IPC_NAME_MAX) F(str, policy, IPC_NAME_MAX) F(u8, method, 0)    \
	                             F(addr, source, 0) F(str, agent, IPC_AGENT_MAX) F(u8, platform, 0) F(str, device, IPC_NAME_MAX) \
	                             F(str, cert_user, IPC_USER_MAX)
/* Whom to trust with client certificates; an empty memfd is none. wants_crl: a list
 * is configured, so every certificate's issuer must have one that is in force. */
#define IPC_FIELDS_client_ca(F)      F(u8, wants_crl, 0)
/* A certificate whose chain the worker found good, and its issuer, DER. */
#define IPC_FIELDS_ocsp_ask(F)       F(u32, id, 0) F(var, leaf, IPC_X509_MAX) F(var, issuer, IPC_X509_MAX)
/* verdict: CERT_GOOD, CERT_REVOKED or CERT_OCSP. */
#define IPC_FIELDS_ocsp_told(F)      F(u32, id, 0) F(u8, verdict, 0) F(str, text, 127)
/* verdict TOKEN_OK, or TOKEN_REFUSED with the reason to show. */
#define IPC_FIELDS_token_issued(F)   F(u32, id, 0) F(u8, verdict, 0) F(str, reason, 255) F(str, token, IPC_TOKEN_MAX) F(raw, sid, IPC_SID)
/* is_logout: end the session of this token (config-auth type="logout"). */
#define IPC_FIELDS_token_check(F)    F(u32, id, 0) F(u8, is_logout, 0) F(str, token, IPC_TOKEN_MAX)
#define IPC_FIELDS_token_checked(F)  F(u32, id, 0) F(u8, verdict, 0)
/* mask: enum user_field, which of the following are meant. */
#define IPC_FIELDS_user_put(F)       F(u32, id, 0) F(u8, op, 0) F(u8, mask, 0) F(str, user, IPC_USER_MAX) F(str, hash, 255) F(u8, is_authorised, 0) F(str, totp, 127)
#define IPC_FIELDS_user_done(F)      F(u32, id, 0) F(u8, is_bad, 0) F(str, text, 255)
#define IPC_FIELDS_user_get(F)       F(u32, id, 0) F(u32, index, 0)
#define IPC_FIELDS_user_row(F)       F(u32, id, 0) F(u32, total, 0) F(str, user, IPC_USER_MAX) F(u8, is_authorised, 0) F(u8, has_totp, 0) F(u64, wall_changed, 0)

/* What a tunnel is made of, as its worker knows it. local: address and port
 * the client dialled. mtu: tunnel MTU. dtls_*: what the client offered. */
#define IPC_TUNNEL_FIELDS(F)         F(str, token, IPC_TOKEN_MAX) F(str, hostname, IPC_NAME_MAX) F(str, agent, IPC_AGENT_MAX) \
	                             F(u8, platform, 0) F(addr, source, 0) F(addr, local, 0) F(u8, wants4, 0) F(u8, wants6, 0) \
	                             F(u16, mtu, 0) F(u16, tls_version, 0) F(str, tls_cipher, 47)                           \
	                             F(u8, dtls_mode, 0) F(u16, dtls_cipher, 0) F(raw, dtls_secret, IPC_DTLS_SECRET)
#define IPC_FIELDS_tunnel_ask(F)     F(u32, id, 0) IPC_TUNNEL_FIELDS(F)
/* After a restart of session: a tunnel that lives. The token vouches for it.
 * has_dtls: this worker carries its DTLS channel (then has_tls may be 0). */
#define IPC_FIELDS_tunnel_report(F)  F(u32, slot, 0) F(u32, gen, 0) F(u32, conn, 0) F(u8, has_tls, 0) F(u8, has_dtls, 0) F(raw, dtls_id, IPC_DTLS_ID) IPC_TUNNEL_FIELDS(F)
/* slot, gen: the session's name from now on; slot also indexes the counters.
 * family of addr4/addr6 is 0 when not given. *_s are seconds; 0 = none. platform:
 * what the client said at its login, as in login_step. */
#define IPC_FIELDS_tunnel_grant(F)   F(u32, id, 0) F(u8, verdict, 0) F(str, reason, 127) F(u32, slot, 0) F(u32, gen, 0) \
	                             F(raw, sid, IPC_SID) F(str, user, IPC_USER_MAX) F(str, group, IPC_NAME_MAX) F(str, policy, IPC_NAME_MAX) \
	                             F(addr, addr4, 0) F(addr, addr6, 0) F(u8, prefix6, 0)                          \
	                             F(u32, session_timeout_s, 0) F(u32, session_left_s, 0) F(u32, idle_timeout_s, 0) \
	                             F(u8, is_reconnect, 0) F(raw, dtls_id, IPC_DTLS_ID) F(u8, platform, 0)
/* conn: the tunnel_ask id of the connection that is gone. */
#define IPC_FIELDS_tunnel_down(F)    F(u32, slot, 0) F(u32, gen, 0) F(u32, conn, 0) F(u8, why, 0)
/* conn: the tunnel_ask id that is displaced, so that a successor on the same
 * worker is not hit. say: 1 = send DISCONNECT with the reason, the session is
 * over; 0 = just close TCP. */
#define IPC_FIELDS_tunnel_close(F)   F(u32, slot, 0) F(u32, gen, 0) F(u32, conn, 0) F(u8, say, 0) F(str, reason, 127)
#define IPC_FIELDS_tunnel_mtu(F)     F(u32, slot, 0) F(u32, gen, 0) F(u16, mtu, 0)
#define IPC_FIELDS_dtls_ask(F)       F(u32, id, 0) F(raw, dtls_id, IPC_DTLS_ID)
#define IPC_FIELDS_dtls_secret(F)    F(u32, id, 0) F(u8, is_bad, 0) F(u32, slot, 0) F(u32, gen, 0) F(raw, sid, IPC_SID) \
	                             F(raw, dtls_id, IPC_DTLS_ID) F(u8, mode, 0) F(u16, cipher, 0) F(raw, secret, IPC_DTLS_SECRET) \
	                             F(addr, addr4, 0) F(addr, addr6, 0) F(u16, mtu, 0) F(u8, platform, 0) F(str, token, IPC_TOKEN_MAX)
/* The first record verified: this worker now carries the downlink. */
#define IPC_FIELDS_dtls_up(F)        F(u32, slot, 0) F(u32, gen, 0) F(raw, dtls_id, IPC_DTLS_ID) F(addr, peer, 0) F(u16, cipher, 0)
#define IPC_FIELDS_dtls_down(F)      F(u32, slot, 0) F(u32, gen, 0) F(raw, dtls_id, IPC_DTLS_ID) F(str, reason, 63)
/* Forget this DTLS channel without a word: it moved, or the session ended. */
#define IPC_FIELDS_dtls_drop(F)      F(u32, slot, 0) F(u32, gen, 0) F(raw, dtls_id, IPC_DTLS_ID)

/* A record from an address that the receiving worker does not know. session asks
 * the workers that carry channels last seen at that host; the one whose keys open
 * it gives the channel away, keys and counters, to the worker that hears it now. */
#define IPC_DTLS_WHERE(F)            F(u8, worker, 0) F(u8, wan, 0) F(addr, peer, 0) F(addr, local, 0)
#define IPC_FIELDS_dtls_stray(F)     IPC_DTLS_WHERE(F) F(var, datagram, 2048)
#define IPC_FIELDS_dtls_try(F)       IPC_DTLS_WHERE(F) F(var, datagram, 2048)
/* material: struct record_material as record_material_write gives it. */
#define IPC_DTLS_CHANNEL(F)          F(u32, slot, 0) F(u32, gen, 0) F(raw, dtls_id, IPC_DTLS_ID) F(u16, cipher, 0) \
	                             F(raw, material, IPC_DTLS_MATERIAL) F(u64, tx_seq, 0) F(u64, rx_top, 0)
#define IPC_FIELDS_dtls_give(F)      IPC_DTLS_WHERE(F) IPC_DTLS_CHANNEL(F)
#define IPC_FIELDS_dtls_take(F)      IPC_DTLS_WHERE(F) IPC_DTLS_CHANNEL(F) F(raw, sid, IPC_SID) F(addr, addr4, 0) F(addr, addr6, 0) \
	                             F(u16, mtu, 0) F(u8, platform, 0) F(str, token, IPC_TOKEN_MAX)

/* The descriptor is a fresh connection to hasync (common/cluster.h), made by the
 * parent because its children cannot connect. It comes again after each loss. */
#define IPC_FIELDS_cluster(F)        F(u32, generation, 0)
/* As hasync says it: is this node the active one, since which epoch; names of this
 * node and of its peer ("" = none configured); is the peer away. */
#define IPC_FIELDS_role(F)           F(u8, is_active, 0) F(u64, epoch, 0) F(str, node, IPC_NAME_MAX) F(str, peer, IPC_NAME_MAX) F(u8, is_peer_away, 0)

/* how: enum config_put. The answer comes once, for CONFIG_TAKE when the new
 * configuration is loaded or refused; text: all findings, or why not. */
#define IPC_FIELDS_config_put(F)     F(u32, id, 0) F(u8, how, 0)
#define IPC_FIELDS_config_put_done(F) F(u32, id, 0) F(u8, is_bad, 0) F(var, text, 16384)

#define IPC_DECL_u8(f, max)   uint8_t f;
#define IPC_DECL_u16(f, max)  uint16_t f;
#define IPC_DECL_u32(f, max)  uint32_t f;
#define IPC_DECL_u64(f, max)  uint64_t f;
#define IPC_DECL_addr(f, max) struct ip_addr f;
#define IPC_DECL_raw(f, max)  uint8_t f[max];
#define IPC_DECL_var(f, max)  struct { uint32_t n; uint8_t p[max]; } f;
#define IPC_DECL_str(f, max)  char f[(max) + 1];
#define IPC_DECL(kind, f, max) IPC_DECL_##kind(f, max)

#define X(name, from, to, fds) struct ipc_##name { IPC_FIELDS_##name(IPC_DECL) };
IPC_MESSAGES(X)
#undef X

enum ipc_type {
	IPC_NONE,
#define X(name, from, to, fds) IPC_##name,
	IPC_MESSAGES(X)
#undef X
	IPC_TYPES
};

union ipc_body {
#define X(name, from, to, fds) struct ipc_##name name;
	IPC_MESSAGES(X)
#undef X
};
/* clang-format on */

enum { IPC_HEADER = 6, IPC_PACKET_MAX = IPC_PEM_MAX + 1024 };

struct ipc_row {
	const char *name;
	uint8_t from, to, fds;
};
extern const struct ipc_row ipc_row[IPC_TYPES];
extern const char *const ipc_process_name[IPC_PROCESSES];
extern const char *const event_name[EVENTS];
extern const char *const platform_name[PLATFORMS];

/* Bytes of the struct of that type. */
size_t ipc_body_size(enum ipc_type type);

/* Write header and body; *n is the packet's length. E_LIMIT if it does not fit.
 * `body` is the struct ipc_NAME of that type. */
int ipc_encode(enum ipc_type type, const void *body, void *buf, size_t cap, size_t *n);

/* Read one packet. E_PROTO for an unknown type, a wrong length, bytes left
 * over or a text with NUL. Does not judge the direction: permit.h does. */
int ipc_decode(struct span packet, enum ipc_type *type, union ipc_body *body);

#endif
