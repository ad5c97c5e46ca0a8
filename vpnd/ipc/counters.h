/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* counters.h -- byte counts cross processes by memory, not by message.
 *
 * One memfd per worker, made by the parent: an array of struct counters, one
 * per session slot. The worker writes, session only reads and sums over the
 * workers. Values only grow; a slot that gets a new session is not cleared:
 * session takes the difference to what it saw when the session began.
 *
 * rx: from the client. tx: to the client. Bytes are of inner packets.
 */
#ifndef VPND_IPC_COUNTERS_H
#define VPND_IPC_COUNTERS_H

#include <stdint.h>

struct counters {
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_pkts, tx_pkts;
	uint64_t dtls_rx_pkts, dtls_tx_pkts; /* of the above, by DTLS */
	uint64_t dropped;   /* send queue full, foreign source, malformed */
	uint64_t active_ms; /* CLOCK_MONOTONIC ms of the last data packet */
};

#endif
