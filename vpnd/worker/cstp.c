/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/cstp.h"

#include "common/err.h"
#include "common/rd.h"
#include "common/wr.h"

#include <assert.h>

#define CSTP_MAGIC 0x53544601u /* "STF" 1 */

bool
cstp_type_known(uint8_t type)
{
	switch (type) {
	case CSTP_DATA:
	case CSTP_DPD_REQ:
	case CSTP_DPD_RESP:
	case CSTP_DISCONNECT:
	case CSTP_KEEPALIVE:
	case CSTP_COMPRESSED:
	case CSTP_TERMINATE: return true;
	default: return false;
	}
}

int
cstp_parse(struct span *in, struct cstp_frame *out)
{
	struct rd r = rd_open(*in);
	uint32_t magic = rd_u32(&r);
	uint16_t len = rd_u16(&r);
	uint8_t type = rd_u8(&r);
	(void)rd_u8(&r); /* reserved, 0 so far */

	if (rd_short(&r))
		return E_AGAIN;
	/* Judge the header before waiting for the body: a peer must not be
	 * able to park a connection on a length we would never accept. */
	if (magic != CSTP_MAGIC || len > CSTP_BODY_MAX || !cstp_type_known(type))
		return E_PROTO;

	struct span body = rd_take(&r, len);
	if (rd_short(&r))
		return E_AGAIN;

	*out = (struct cstp_frame){ .type = (enum cstp_type)type, .body = body };
	*in = rd_rest(&r);
	return 0;
}

void
cstp_header(uint8_t out[CSTP_HEADER], enum cstp_type type, size_t n)
{
	struct wr w = wr_open(out, CSTP_HEADER);

	assert(n <= CSTP_BODY_MAX);
	wr_u32(&w, CSTP_MAGIC);
	wr_u16(&w, (uint16_t)n);
	wr_u8(&w, (uint8_t)type);
	wr_u8(&w, 0); /* openconnect ends the session on anything else */
}
