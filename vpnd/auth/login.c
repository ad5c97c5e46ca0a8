/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/auth/login.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

enum { STATE_MAX = 768 };
static const struct span head = SPAN("L1");

static void
put_text(struct wr *w, const char *s)
{
	wr_u8(w, (uint8_t)strlen(s));
	wr_str(w, s);
}

static void
get_text(struct rd *r, char *out, size_t cap)
{
	struct span s = rd_take(r, rd_u8(r));

	if (s.n >= cap)
		r->is_short = true;
	else if (s.n > 0)
		memcpy(out, s.p, s.n);
}

int
login_seal(const uint8_t key[SEAL_KEY], const struct login_state *s, char *text)
{
	uint8_t buf[STATE_MAX];
	struct wr w = wr_open(buf, sizeof(buf));

	wr_u64(&w, s->attempt);
	wr_u64(&w, s->created_ms);
	wr_u8(&w, s->tries);
	wr_u8(&w, s->at);
	wr_u64(&w, s->wall_changed_s);
	put_text(&w, s->user);
	put_text(&w, s->group);
	wr_u8(&w, s->has_cert);
	put_text(&w, s->cert_user);
	if (wr_full(&w))
		return E_LIMIT;
	return seal_close(key, head, wr_span(&w), text, LOGIN_TEXT);
}

int
login_open(const uint8_t key[SEAL_KEY], struct span text, uint64_t now_ms,
	   struct login_state *s)
{
	uint8_t bytes[STATE_MAX + SEAL_EXTRA], plain[STATE_MAX];
	size_t n = 0, len = 0;

	*s = (struct login_state){ 0 };
	if (seal_decode(text, bytes, sizeof(bytes), &n) < 0 || n < head.n ||
	    memcmp(bytes, head.p, head.n) != 0 ||
	    seal_open(key, head.n, span_of(bytes, n), plain, sizeof(plain), &len) < 0)
		return E_AUTH;
	struct rd r = rd_open(span_of(plain, len));
	s->attempt = rd_u64(&r);
	s->created_ms = rd_u64(&r);
	s->tries = rd_u8(&r);
	s->at = rd_u8(&r);
	s->wall_changed_s = rd_u64(&r);
	get_text(&r, s->user, sizeof(s->user));
	get_text(&r, s->group, sizeof(s->group));
	s->has_cert = rd_u8(&r) != 0;
	get_text(&r, s->cert_user, sizeof(s->cert_user));
	if (rd_short(&r) || rd_left(&r) != 0)
		return E_AUTH;
	return now_ms - s->created_ms > LOGIN_LIFE_MS ? E_STALE : 0;
}
