/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* When a newer acknowledgement says all that an older one said. */
#include "vpnd/worker/ack.h"

#include "tests/lib/tap.h"
#include "vpnd/worker/vnet.h"

#include <stdlib.h>

/* Number and SACK blocks, as "1000", "1000 2000-3000 4000-5000". */
static void
header_make(uint8_t t[60], const char *what)
{
	size_t n = TCP_MIN, blocks_at;
	char *p;

	memset(t, 0, 60);
	put16(t, 443);
	put16(t + 2, 5201);
	put32(t + TCP_SEQ, 99);
	put32(t + TCP_ACK, (uint32_t)strtoul(what, &p, 10));
	t[TCP_FLAGS] = TCP_F_ACK;
	put16(t + TCP_WINDOW, 500);
	if (*p != '\0') {
		t[n] = t[n + 1] = 1;
		t[n + 2] = 5;
		blocks_at = n += 4;
		while (*p != '\0') {
			put32(t + n, (uint32_t)strtoul(p, &p, 10));
			put32(t + n + 4, (uint32_t)strtoul(p + 1, &p, 10));
			n += 8;
		}
		t[blocks_at - 1] = (uint8_t)(n - blocks_at + 2);
	}
	t[TCP_OFFSET] = (uint8_t)(n / 4 << 4);
}

static void
blocks_decide(void)
{
	static const struct {
		const char *why, *older, *newer;
		enum ack_order want;
	} cases[] = {
		{ "higher", "1000", "2000", ACK_MORE },
		{ "lower", "2000", "1000", ACK_UNLIKE },
		{ "the same", "1000", "1000", ACK_UNLIKE },
		{ "around the end", "4294967000", "100", ACK_MORE },
		{ "a first block", "1000", "1000 2000-3000", ACK_AGAIN },
		{ "it grows", "1000 2000-3000", "1000 2000-4000", ACK_AGAIN },
		{ "it grows down", "1000 2000-3000", "1000 1500-3000", ACK_AGAIN },
		{ "it shrinks", "1000 2000-4000", "1000 2000-3000", ACK_UNLIKE },
		{ "it is the same", "1000 2000-3000", "1000 2000-3000", ACK_UNLIKE },
		{ "a second block", "1000 2000-3000", "1000 4000-5000 2000-3000",
		  ACK_AGAIN },
		{ "two become one", "1000 4000-5000 2000-3000", "1000 2000-5000",
		  ACK_AGAIN },
		{ "one is left out", "1000 4000-5000 2000-3000", "1000 6000-7000",
		  ACK_UNLIKE },
		{ "all acknowledged", "1000 2000-3000", "3000", ACK_MORE },
		{ "higher, but one is left out", "1000 2000-3000", "2000", ACK_UNLIKE },
		{ "higher, and named again", "1000 2000-3000", "1500 2000-3000",
		  ACK_MORE },
		{ "higher, one acknowledged and one named", "1000 4000-5000 2000-3000",
		  "3000 4000-6000", ACK_MORE },
		{ "half acknowledged", "1000 2000-3000", "2500 2500-3000", ACK_UNLIKE },
		{ "four of four", "1 90-95 70-75 50-55 30-35",
		  "2 90-99 70-75 50-55 30-35", ACK_MORE },
		{ "a duplicate below the number is told", "1000 500-600", "2000",
		  ACK_UNLIKE },
		{ "a duplicate within a block is told", "1000 2000-2100 2000-3000",
		  "1000 2000-4000", ACK_UNLIKE },
		{ "blocks around the end", "4294967000 4294967200-100",
		  "4294967000 4294967200-200", ACK_AGAIN },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t a[60], b[60];
		header_make(a, cases[i].older);
		header_make(b, cases[i].newer);
		ok(ack_is_bare(a) && ack_is_bare(b), "%s: bare", cases[i].why);
		is_int(ack_compare(a, b), cases[i].want, "%s: %s, then %s",
		       cases[i].why, cases[i].older, cases[i].newer);
	}
}

static void
other_ports_or_numbers_are_another_flow(void)
{
	for (size_t at = 0; at < TCP_ACK; at++) {
		uint8_t a[60], b[60];
		header_make(a, "1000");
		header_make(b, "2000");
		b[at] ^= 1;
		is_int(ack_compare(a, b), ACK_UNLIKE, "byte %zu differs", at);
	}
}

static bool
is_bare_with(const char *options, size_t n)
{
	uint8_t t[60];

	header_make(t, "1000");
	memcpy(t + TCP_MIN, options, n);
	t[TCP_OFFSET] = (uint8_t)((TCP_MIN + n) / 4 << 4);
	return ack_is_bare(t);
}

static void
only_known_options_are_bare(void)
{
	static const struct {
		const char *why, *options;
		size_t n;
		bool want;
	} cases[] = {
		{ "none", "", 0, true },
		{ "padding", "\1\1\1\1", 4, true },
		{ "an end, and what stands behind it", "\1\0\x1e\x63", 4, true },
		{ "timestamps",
		  "\1\1\x8\xa"
		  "aaaabbbb",
		  12, true },
		{ "timestamps without padding",
		  "\x8\xa"
		  "aaaabbbb\1\1",
		  12, true },
		{ "timestamps of another length",
		  "\x8\x8"
		  "aaaabb\0\0\0\0",
		  12, false },
		{ "SACK without a block", "\1\1\5\2", 4, true },
		{ "half a SACK block", "\1\1\5\6aaaa", 8, false },
		{ "SACK longer than the header",
		  "\1\1\5\xa"
		  "aaaa",
		  8, false },
		{ "no length", "\1\1\1\5", 4, false },
		{ "length 0", "\1\1\5\0", 4, false },
		{ "length 1", "\1\1\5\1", 4, false },
		{ "MPTCP",
		  "\x1e\x4"
		  "aa",
		  4, false },
		{ "a signature (TCP-AO)",
		  "\x1d\x4"
		  "aa",
		  4, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(is_bare_with(cases[i].options, cases[i].n), cases[i].want, "%s",
		       cases[i].why);
}

static void
flags_and_a_closed_window_say_more(void)
{
	uint8_t t[60];

	for (unsigned bit = 0; bit < 8; bit++) {
		header_make(t, "1000");
		t[TCP_FLAGS] ^= (uint8_t)(1u << bit);
		ok(!ack_is_bare(t), "flag %u", bit);
	}
	for (unsigned bit = 0; bit < 4; bit++) {
		header_make(t, "1000");
		t[TCP_OFFSET] |= (uint8_t)(1u << bit);
		ok(!ack_is_bare(t), "flag %u beside the offset", bit);
	}
	header_make(t, "1000");
	put16(t + TCP_WINDOW, 0);
	ok(!ack_is_bare(t), "a closed window");
}

int
main(void)
{
	blocks_decide();
	other_ports_or_numbers_are_another_flow();
	only_known_options_are_bare();
	flags_and_a_closed_window_say_more();
	return done_testing();
}
