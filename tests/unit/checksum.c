/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The fast sum against the obvious one. */
#include "vpnd/worker/checksum.h"

#include "tests/lib/packets.h"
#include "tests/lib/tap.h"

static uint8_t from[66000], to[66000];

/* 0 and 0xffff are the same number; folding never makes 0 of anything but zeroes. */
static void
sums_are_right_at_every_length_and_place(void)
{
	bool is_same = true, is_copied = true;

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = pk_byte(7, i);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n < 1700; n += n < 300 ? 1 : 37) {
			uint8_t want[2], got[2];
			uint16_t v = checksum_fold(checksum_sum(from + at, n));
			memcpy(got, &v, 2);
			pk_16(want, pk_sum(from + at, n, 0));
			is_same &= memcmp(got, want, 2) == 0;
			memset(to, 0xee, n + 64);
			v = checksum_fold(checksum_copy(to + 3, from + at, n));
			is_same &= memcmp(&v, want, 2) == 0;
			is_copied &= memcmp(to + 3, from + at, n) == 0 &&
				     to[2] == 0xee && to[3 + n] == 0xee;
		}
	ok(is_same, "both sums agree with the bytewise one");
	ok(is_copied, "a copy is a copy and no byte more");
}

static void
no_carry_is_lost(void)
{
	uint8_t want[2] = { 0xff, 0xff };

	memset(from, 0xff, sizeof(from));
	uint16_t v = checksum_fold(checksum_sum(from, 65536));
	is_mem(&v, want, 2, "64 KiB of ones");
	is_int(checksum_fold(UINT64_MAX), 0xffff, "a full sum folds");
	is_int(checksum_fold(UINT64_C(0x1fffe)), 0xffff,
	       "a carry of the fold is folded");
	is_int(checksum_fold(0), 0, "zero stays zero");
}

static void
a_field_can_change_under_its_checksum(void)
{
	bool is_right = true;
	uint8_t p[20];

	for (uint32_t was = 0; was < 65536; was += 257)
		for (uint32_t now = 0; now < 65536; now += 773) {
			for (size_t i = 0; i < sizeof(p); i++)
				p[i] = pk_byte(was, i);
			pk_16(p + 4, was);
			pk_16(p + 10, 0);
			pk_16(p + 10, 0xffff - pk_sum(p, 20, 0));
			checksum_update(p + 10, (uint16_t)was, (uint16_t)now);
			pk_16(p + 4, now);
			is_right &= pk_sum(p, 20, 0) == 0xffff;
		}
	ok(is_right, "RFC 1624: the result always verifies");
}

static void
udp_never_says_it_has_none(void)
{
	uint8_t at[2];

	checksum_put_udp(at, 0xffff);
	is_int(at[0] << 8 | at[1], 0xffff, "0 is stored as 0xffff");
	checksum_put(at, 0xffff);
	is_int(at[0] << 8 | at[1], 0, "TCP stores 0");
}

int
main(void)
{
	sums_are_right_at_every_length_and_place();
	no_carry_is_lost();
	a_field_can_change_under_its_checksum();
	udp_never_says_it_has_none();
	return done_testing();
}
