/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/cstp.h"

#include "common/err.h"
#include "tests/lib/tap.h"

static void
a_written_frame_reads_back(void)
{
	uint8_t buf[CSTP_HEADER + CSTP_BODY_MAX] = { 0 };
	static const uint8_t types[] = { 0, 3, 4, 5, 7, 8, 9 };
	static const size_t sizes[] = { 0, 1, 1391, CSTP_BODY_MAX };

	for (size_t t = 0; t < sizeof(types); t++)
		for (size_t s = 0; s < 4; s++) {
			struct cstp_frame f;
			cstp_header(buf, types[t], sizes[s]);
			struct span in = span_of(buf, CSTP_HEADER + sizes[s]);
			is_int(cstp_parse(&in, &f), 0, "type %d, %zu bytes", types[t],
			       sizes[s]);
			ok(f.type == types[t] && f.body.n == sizes[s] &&
				   f.body.p == buf + CSTP_HEADER && in.n == 0,
			   "as written");
		}
}

static void
the_header_has_these_bytes(void)
{
	uint8_t h[CSTP_HEADER];
	cstp_header(h, CSTP_DPD_RESP, 0x0102);
	is_mem(h, "STF\1\1\2\4\0", 8, "magic, length, type, zero");
}

static void
bad_headers_are_refused_before_the_body_arrives(void)
{
	static const struct {
		const char *why;
		struct span in;
		int want;
	} cases[] = {
		{ "nothing", { (const uint8_t *)"", 0 }, E_AGAIN },
		{ "header cut", { (const uint8_t *)"STF\1\0\2\0", 7 }, E_AGAIN },
		{ "body missing", { (const uint8_t *)"STF\1\0\2\0\0", 8 }, E_AGAIN },
		{ "body cut", { (const uint8_t *)"STF\1\0\2\0\0x", 9 }, E_AGAIN },
		{ "longest body", { (const uint8_t *)"STF\1\x40\0\0\0", 8 }, E_AGAIN },
		{ "length too big",
		  { (const uint8_t *)"STF\1\x40\1\0\0", 8 },
		  E_PROTO },
		{ "far too big", { (const uint8_t *)"STF\1\xff\xff\0\0", 8 }, E_PROTO },
		{ "unknown type", { (const uint8_t *)"STF\1\0\0\x2a\0", 8 }, E_PROTO },
		{ "type 1", { (const uint8_t *)"STF\1\0\0\1\0", 8 }, E_PROTO },
		{ "wrong magic", { (const uint8_t *)"STF\2\0\0\0\0", 8 }, E_PROTO },
		{ "HTTP", { (const uint8_t *)"GET / HT", 8 }, E_PROTO },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span in = cases[i].in;
		struct cstp_frame f;
		is_int(cstp_parse(&in, &f), cases[i].want, "%s", cases[i].why);
		ok(in.n == cases[i].in.n && in.p == cases[i].in.p, "input untouched");
	}
}

static void
frames_come_off_a_stream_one_by_one(void)
{
	struct span in = SPAN("STF\1\0\3\0\0abc"
			      "STF\1\0\0\7\0"
			      "STF\1\0\1\5\0\xb0"
			      "STF\1\0");
	struct cstp_frame f;

	ok(cstp_parse(&in, &f) == 0 && f.type == CSTP_DATA && span_is(f.body, "abc"),
	   "data");
	ok(cstp_parse(&in, &f) == 0 && f.type == CSTP_KEEPALIVE && f.body.n == 0,
	   "keepalive");
	ok(cstp_parse(&in, &f) == 0 && f.type == CSTP_DISCONNECT && f.body.n == 1,
	   "goodbye");
	is_int(cstp_parse(&in, &f), E_AGAIN, "the rest has to wait");
	is_int(in.n, 5, "and is still there");
}

int
main(void)
{
	a_written_frame_reads_back();
	the_header_has_these_bytes();
	bad_headers_are_refused_before_the_body_arrives();
	frames_come_off_a_stream_one_by_one();
	return done_testing();
}
