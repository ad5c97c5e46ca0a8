/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/token.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

static void
put_text(struct wr *w, const char *s)
{
	wr_u8(w, (uint8_t)strlen(s));
	wr_str(w, s);
}

/* Text of at most max bytes without NUL inside. */
static bool
get_text(struct rd *r, char *to, size_t max)
{
	struct span s = rd_take(r, rd_u8(r));

	if (rd_short(r) || s.n > max || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
		return false;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

static void
put_addr(struct wr *w, const struct ip_addr *a, uint8_t len)
{
	wr_u8(w, a->family != 0);
	if (a->family == 0)
		return;
	wr_bytes(w, a->b, a->family == 4 ? 4 : 16);
	wr_u8(w, len);
}

static bool
get_addr(struct rd *r, uint8_t family, struct ip_addr *a, uint8_t *len)
{
	uint8_t has = rd_u8(r);

	if (has == 0)
		return true;
	a->family = family;
	rd_copy(r, a->b, family == 4 ? 4 : 16);
	*len = rd_u8(r);
	return has == 1 && *len <= (family == 4 ? 32 : 128);
}

int
claims_encode(const struct claims *c, void *buf, size_t cap, size_t *n)
{
	struct wr w = wr_open(buf, cap);

	wr_u8(&w, CLAIMS_VERSION);
	wr_bytes(&w, c->sid, sizeof(c->sid));
	put_text(&w, c->user);
	put_text(&w, c->group);
	put_text(&w, c->policy);
	put_text(&w, c->device);
	put_addr(&w, &c->addr4, c->len4);
	put_addr(&w, &c->addr6, c->len6);
	wr_u64(&w, c->wall_login_s);
	wr_u64(&w, c->wall_expiry_s);
	wr_u8(&w, c->method);
	wr_u8(&w, c->platform);
	wr_u32(&w, c->flags);
	if (wr_full(&w))
		return E_LIMIT;
	*n = w.n;
	return 0;
}

int
claims_decode(struct span in, struct claims *c)
{
	struct rd r = rd_open(in);
	struct claims d = { 0 };

	if (rd_u8(&r) != CLAIMS_VERSION)
		return E_PROTO;
	rd_copy(&r, d.sid, sizeof(d.sid));
	if (!get_text(&r, d.user, IPC_USER_MAX) ||
	    !get_text(&r, d.group, IPC_NAME_MAX) ||
	    !get_text(&r, d.policy, IPC_NAME_MAX) ||
	    !get_text(&r, d.device, IPC_NAME_MAX) ||
	    !get_addr(&r, 4, &d.addr4, &d.len4) || !get_addr(&r, 6, &d.addr6, &d.len6))
		return E_PROTO;
	d.wall_login_s = rd_u64(&r);
	d.wall_expiry_s = rd_u64(&r);
	d.method = rd_u8(&r);
	d.platform = rd_u8(&r);
	d.flags = rd_u32(&r);
	if (rd_short(&r) || rd_left(&r) > 0 || d.user[0] == '\0' ||
	    d.wall_expiry_s < d.wall_login_s)
		return E_PROTO;
	*c = d;
	return 0;
}
