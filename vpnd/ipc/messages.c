/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/ipc/messages.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

const struct ipc_row ipc_row[IPC_TYPES] = {
#define X(name, from, to, fds) [IPC_##name] = { #name, from, to, fds },
	IPC_MESSAGES(X)
#undef X
};

const char *const ipc_process_name[IPC_PROCESSES] = { "parent", "keys", "auth",
						      "session", "worker" };

const char *const event_name[EVENTS] = {
	[EV_SERVICE_STARTED] = "service_started",
	[EV_SERVICE_STOPPING] = "service_stopping",
	[EV_CONFIG_LOADED] = "config_loaded",
	[EV_CONFIG_REFUSED] = "config_refused",
	[EV_PROCESS_DIED] = "process_died",
	[EV_PROCESS_RESTARTED] = "process_restarted",
	[EV_CLIENT_CONNECTED] = "client_connected",
	[EV_CLIENT_RECONNECTED] = "client_reconnected",
	[EV_CLIENT_DISCONNECTED] = "client_disconnected",
	[EV_AUTH_SUCCESS] = "auth_success",
	[EV_AUTH_FAILURE] = "auth_failure",
	[EV_SESSION_LIMIT] = "session_limit",
	[EV_POOL_EXHAUSTED] = "pool_exhausted",
	[EV_TLS_REJECT] = "tls_reject",
	[EV_PROTOCOL_ERROR] = "protocol_error",
	[EV_TOKEN_REFUSED] = "token_refused",
	[EV_SESSION_REVOKED] = "session_revoked",
	[EV_USER_CHANGED] = "user_changed",
	[EV_DTLS_UP] = "dtls_up",
	[EV_DTLS_DOWN] = "dtls_down",
	[EV_BACKOFF] = "backoff",
	[EV_CERT_SWAPPED] = "cert_swapped",
	[EV_CERT_REFUSED] = "cert_refused",
	[EV_OPTION_IGNORED] = "option_ignored",
};

const char *const platform_name[PLATFORMS] = {
	[PLATFORM_UNKNOWN] = "unknown", [PLATFORM_WIN] = "win",
	[PLATFORM_MAC] = "mac",         [PLATFORM_LINUX] = "linux",
	[PLATFORM_ANDROID] = "android", [PLATFORM_IOS] = "ios",
};

static void
put_addr(struct wr *w, const struct ip_addr *a)
{
	wr_u8(w, a->family);
	wr_bytes(w, a->b, sizeof(a->b));
	wr_u16(w, a->port);
}

static void
get_addr(struct rd *r, struct ip_addr *a)
{
	a->family = rd_u8(r);
	rd_copy(r, a->b, sizeof(a->b));
	a->port = rd_u16(r);
	if (a->family != 0 && a->family != 4 && a->family != 6)
		r->is_short = true;
}

static void
put_text(struct wr *w, const char *s)
{
	size_t n = strlen(s);
	wr_u32(w, (uint32_t)n);
	wr_bytes(w, s, n);
}

static void
get_text(struct rd *r, char *s, size_t max)
{
	uint32_t n = rd_u32(r);
	struct span t = n <= max ? rd_take(r, n) : (struct span){ 0 };

	if (n > max || (t.n > 0 && memchr(t.p, 0, t.n) != NULL))
		r->is_short = true; /* not our text: the whole packet is refused */
	if (t.n > 0)
		memcpy(s, t.p, t.n);
	s[r->is_short ? 0 : t.n] = '\0';
}

static void
put_var(struct wr *w, const uint8_t *p, uint32_t n, size_t max)
{
	if (n > max) {
		w->is_full = true;
		return;
	}
	wr_u32(w, n);
	wr_bytes(w, p, n);
}

static void
get_var(struct rd *r, uint32_t *n, uint8_t *p, size_t max)
{
	*n = rd_u32(r);
	if (*n > max)
		r->is_short = true;
	struct span t = rd_take(r, *n);
	if (t.n > 0)
		memcpy(p, t.p, t.n);
	*n = (uint32_t)t.n;
}

/* clang-format off */
#define PUT_u8(f, max)   wr_u8(w, m->f);
#define PUT_u16(f, max)  wr_u16(w, m->f);
#define PUT_u32(f, max)  wr_u32(w, m->f);
#define PUT_u64(f, max)  wr_u64(w, m->f);
#define PUT_addr(f, max) put_addr(w, &m->f);
#define PUT_raw(f, max)  wr_bytes(w, m->f, max);
#define PUT_var(f, max)  put_var(w, m->f.p, m->f.n, max);
#define PUT_str(f, max)  put_text(w, m->f);
#define PUT(kind, f, max) PUT_##kind(f, max)

#define GET_u8(f, max)   m->f = rd_u8(r);
#define GET_u16(f, max)  m->f = rd_u16(r);
#define GET_u32(f, max)  m->f = rd_u32(r);
#define GET_u64(f, max)  m->f = rd_u64(r);
#define GET_addr(f, max) get_addr(r, &m->f);
#define GET_raw(f, max)  rd_copy(r, m->f, max);
#define GET_var(f, max)  get_var(r, &m->f.n, m->f.p, max);
#define GET_str(f, max)  get_text(r, m->f, max);
#define GET(kind, f, max) GET_##kind(f, max)

#define X(name, from, to, fds)                                                     \
	static void put_##name(struct wr *w, const struct ipc_##name *m)           \
	{ IPC_FIELDS_##name(PUT) }                                                 \
	static void get_##name(struct rd *r, struct ipc_##name *m)                 \
	{ IPC_FIELDS_##name(GET) }
IPC_MESSAGES(X)
#undef X
/* clang-format on */

size_t
ipc_body_size(enum ipc_type type)
{
	static const size_t size[IPC_TYPES] = {
#define X(name, from, to, fds) [IPC_##name] = sizeof(struct ipc_##name),
		IPC_MESSAGES(X)
#undef X
	};
	return type < IPC_TYPES ? size[type] : 0;
}

int
ipc_encode(enum ipc_type type, const void *body, void *buf, size_t cap, size_t *n)
{
	struct wr w = wr_open(buf, cap);

	wr_u16(&w, (uint16_t)type);
	uint8_t *len = wr_room(&w, 4);
	switch (type) {
#define X(name, from, to, fds)                                                         \
	case IPC_##name: put_##name(&w, body); break;
		IPC_MESSAGES(X)
#undef X
	default: return E_INVAL;
	}
	if (wr_full(&w))
		return E_LIMIT;
	struct wr l = wr_open(len, 4);
	wr_u32(&l, (uint32_t)(w.n - IPC_HEADER));
	*n = w.n;
	return 0;
}

int
ipc_decode(struct span packet, enum ipc_type *type, union ipc_body *body)
{
	struct rd r = rd_open(packet);
	uint16_t t = rd_u16(&r);
	uint32_t n = rd_u32(&r);

	if (rd_short(&r) || t == IPC_NONE || t >= IPC_TYPES || n != rd_left(&r))
		return E_PROTO;
	switch (t) {
#define X(name, from, to, fds)                                                         \
	case IPC_##name: get_##name(&r, &body->name); break;
		IPC_MESSAGES(X)
#undef X
	default: return E_PROTO;
	}
	if (rd_short(&r) || rd_left(&r) != 0)
		return E_PROTO;
	*type = (enum ipc_type)t;
	return 0;
}
