/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* ack.h -- TCP's acknowledgements: does a newer one say all that an older one of its
 * flow has said? Then the older one need not arrive (RFC 3449 5.2.1).
 *
 * `t` is a TCP header (RFC 9293 3.1) with its options, checked to be as long as it
 * claims, and at least TCP_MIN.
 */
#ifndef WORKER_ACK_H
#define WORKER_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does the header say nothing but an acknowledgement: flags ACK alone (no ECE, CWR
 * or AccECN's bit), a window that is not 0, no options but timestamps (RFC 7323)
 * and SACK blocks (RFC 2018)? Data behind it is the caller's to see. */
bool ack_is_bare(const uint8_t *t);

enum ack_order {
	ACK_UNLIKE, /* the older one says something that the newer one does not */
	ACK_AGAIN,  /* the same number, but more is said to have arrived: a duplicate */
	ACK_MORE    /* a higher number, and what the older one's SACK blocks named is
		     * acknowledged or named again */
};

/* Both are bare, and from the same address to the same. An older one that reports a
 * duplicate (D-SACK, RFC 2883) is ACK_UNLIKE: that is said once. */
enum ack_order ack_compare(const uint8_t *older, const uint8_t *newer);

#endif
