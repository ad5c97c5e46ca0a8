/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/inner.h"

#include "common/err.h"
#include "common/rd.h"

struct in6_addr
inner_mapped(struct in_addr v4)
{
	struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(a.s6_addr + 12, &v4, 4);
	return a;
}

static struct in6_addr
take4(struct rd *r)
{
	struct in_addr v4;

	rd_copy(r, &v4, sizeof(v4));
	return inner_mapped(v4);
}

/* RFC 791 3.1. */
static int
parse4(struct span in, struct inner *out)
{
	struct rd r = rd_open(in);
	size_t header = (rd_u8(&r) & 15u) * 4u;
	struct inner p = { .version = 4, .tos = rd_u8(&r) };
	size_t total = rd_u16(&r);

	(void)rd_take(&r, 5); /* id, fragment, TTL: the LAN's business */
	p.proto = rd_u8(&r);
	(void)rd_u16(&r); /* checksum: the kernel's business */
	p.src = take4(&r);
	p.dst = take4(&r);
	if (rd_short(&r) || header < INNER_MIN4 || total < header || total > in.n)
		return E_PROTO;
	p.packet = span_of(in.p, total);
	*out = p;
	return 0;
}

/* RFC 8200 3. */
static int
parse6(struct span in, struct inner *out)
{
	struct rd r = rd_open(in);
	uint32_t first = rd_u32(&r);
	size_t payload = rd_u16(&r);
	struct inner p = { .version = 6, .tos = (uint8_t)(first >> 20) };

	p.proto = rd_u8(&r);
	(void)rd_u8(&r); /* hop limit */
	rd_copy(&r, &p.src, sizeof(p.src));
	rd_copy(&r, &p.dst, sizeof(p.dst));
	if (rd_short(&r) || payload > rd_left(&r))
		return E_PROTO;
	/* A length of 0 with hop-by-hop options is a jumbogram (RFC 2675), which
	 * no tunnel can carry. */
	if (payload == 0 && p.proto == 0)
		return E_PROTO;
	p.packet = span_of(in.p, INNER_MIN6 + payload);
	*out = p;
	return 0;
}

int
inner_parse(struct span in, struct inner *out)
{
	struct rd r = rd_open(in);

	switch (rd_u8(&r) >> 4) {
	case 4: return parse4(in, out);
	case 6: return parse6(in, out);
	default: return E_PROTO;
	}
}

static bool
is_quiet4(const struct in6_addr *a)
{
	const uint8_t *b = a->s6_addr + 12;

	return (b[0] == 169 && b[1] == 254) || (b[0] | b[1] | b[2] | b[3]) == 0;
}

enum inner_source
inner_check_source(const struct inner *p, const struct in_addr *v4,
		   const struct in6_addr *v6)
{
	if (p->version == 4) {
		if (v4 && memcmp(p->src.s6_addr + 12, v4, 4) == 0)
			return INNER_OWN;
		return is_quiet4(&p->src) ? INNER_QUIET : INNER_FOREIGN;
	}
	if (v6 && memcmp(&p->src, v6, sizeof(*v6)) == 0)
		return INNER_OWN;
	if (IN6_IS_ADDR_LINKLOCAL(&p->src) || IN6_IS_ADDR_UNSPECIFIED(&p->src))
		return INNER_QUIET;
	return INNER_FOREIGN;
}
