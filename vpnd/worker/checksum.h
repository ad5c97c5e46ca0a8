/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* checksum.h -- the Internet checksum (RFC 1071): sums that can be carried on.
 *
 * A sum is of 16-bit words as they lie in memory, so it needs no byte swapping: the
 * folded result is stored as it is. It is 64 bits wide and never overflows below
 * 16 GiB, so parts are added up with + and folded once. Only the last part may have
 * an odd length.
 *
 * A packet whose checksum is right folds, checksum included, to 0xffff.
 */
#ifndef WORKER_CHECKSUM_H
#define WORKER_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The sum of n bytes. */
uint64_t checksum_sum(const void *p, size_t n);

/* The same while copying them; the two do not overlap. */
uint64_t checksum_copy(void *to, const void *from, size_t n);

static inline uint16_t
checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* One 16-bit field with this value, as part of a sum. */
static inline uint64_t
checksum_word(uint16_t v)
{
	return htons(v);
}

static inline uint64_t
checksum_word32(uint32_t v)
{
	return htonl(v);
}

/* The pseudo-header: source and destination as they lie in the IP header, 8 or 32
 * bytes. `length` is below 65536. */
static inline uint64_t
checksum_pseudo(const uint8_t *addresses, size_t bytes, uint8_t proto, size_t length)
{
	return checksum_sum(addresses, bytes) + checksum_word(proto) +
	       checksum_word((uint16_t)length);
}

/* Store the checksum that makes `sum` right. */
static inline void
checksum_put(uint8_t *at, uint64_t sum)
{
	uint16_t v = (uint16_t)~checksum_fold(sum);

	memcpy(at, &v, sizeof(v));
}

/* The same for UDP, where 0 says "none" (RFC 768). */
static inline void
checksum_put_udp(uint8_t *at, uint64_t sum)
{
	uint16_t v = (uint16_t)~checksum_fold(sum);

	if (v == 0)
		v = 0xffff;
	memcpy(at, &v, sizeof(v));
}

/* Store a sum that is to be carried on: the pseudo-header's, for NEEDS_CSUM. */
static inline void
checksum_put_partial(uint8_t *at, uint64_t sum)
{
	uint16_t v = checksum_fold(sum);

	memcpy(at, &v, sizeof(v));
}

/* A 16-bit field under the checksum at `at` changes (RFC 1624 eqn. 3). */
static inline void
checksum_update(uint8_t *at, uint16_t was, uint16_t now)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	checksum_put(at, (uint64_t)(uint16_t)~v + (uint16_t)~htons(was) + htons(now));
}

#endif
