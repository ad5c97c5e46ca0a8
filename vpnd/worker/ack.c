/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/ack.h"

#include "vpnd/worker/vnet.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_SACK = 5,
	OPTION_STAMPS = 8,
	STAMPS_BYTES = 10,
	BLOCK_BYTES = 8,
	BLOCKS_MAX = 4 /* as many as 40 bytes of options hold */
};

/* From `left` up to, but without, `right`. */
struct block {
	uint32_t left, right;
};

struct sack {
	unsigned n;
	struct block block[BLOCKS_MAX];
};

/* Numbers go round: which of two is later holds within 2^31 of each other. */
static bool
is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static size_t
header_bytes(const uint8_t *t)
{
	return (t[TCP_OFFSET] >> 4) * 4u;
}

static void
blocks_read(const uint8_t *p, size_t n, struct sack *out)
{
	for (; n >= BLOCK_BYTES && out->n < BLOCKS_MAX; n -= BLOCK_BYTES) {
		out->block[out->n++] =
			(struct block){ .left = get32(p), .right = get32(p + 4) };
		p += BLOCK_BYTES;
	}
}

/* false: there is an option that is neither, or they are malformed. */
static bool
options_read(const uint8_t *t, struct sack *out)
{
	size_t at = TCP_MIN, end = header_bytes(t);

	out->n = 0;
	while (at < end && t[at] != OPTION_END) {
		if (t[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (end - at < 2)
			return false;
		size_t n = t[at + 1];
		if (n > end - at)
			return false;
		if (t[at] == OPTION_SACK && n >= 2 && (n - 2) % BLOCK_BYTES == 0)
			blocks_read(t + at + 2, n - 2, out);
		else if (t[at] != OPTION_STAMPS || n != STAMPS_BYTES)
			return false;
		at += n;
	}
	return true;
}

bool
ack_is_bare(const uint8_t *t)
{
	struct sack sack;

	return t[TCP_FLAGS] == TCP_F_ACK && (t[TCP_OFFSET] & 15u) == 0 &&
	       get16(t + TCP_WINDOW) != 0 && options_read(t, &sack);
}

static bool
is_within(const struct block *inner, const struct block *outer)
{
	return !is_after(outer->left, inner->left) &&
	       !is_after(inner->right, outer->right);
}

/* RFC 2883 4: the first block lies below the number, or within the second one. */
static bool
reports_duplicate(const struct sack *s, uint32_t number)
{
	if (s->n == 0)
		return false;
	return !is_after(s->block[0].right, number) ||
	       (s->n > 1 && is_within(&s->block[0], &s->block[1]));
}

static bool
is_named(const struct block *b, const struct sack *s, uint32_t number)
{
	if (!is_after(b->right, number))
		return true;
	for (unsigned i = 0; i < s->n; i++)
		if (is_within(b, &s->block[i]))
			return true;
	return false;
}

static bool
names_all(const struct sack *s, uint32_t number, const struct sack *of)
{
	for (unsigned i = 0; i < of->n; i++)
		if (!is_named(&of->block[i], s, number))
			return false;
	return true;
}

enum ack_order
ack_compare(const uint8_t *older, const uint8_t *newer)
{
	uint32_t a = get32(older + TCP_ACK), b = get32(newer + TCP_ACK);
	struct sack was, is;

	/* Ports and the sender's own number. */
	if (memcmp(older, newer, TCP_ACK) != 0 || is_after(a, b))
		return ACK_UNLIKE;
	if (!options_read(older, &was) || !options_read(newer, &is) ||
	    reports_duplicate(&was, a) || !names_all(&is, b, &was))
		return ACK_UNLIKE;
	if (a != b)
		return ACK_MORE;
	return names_all(&was, a, &is) ? ACK_UNLIKE : ACK_AGAIN;
}
