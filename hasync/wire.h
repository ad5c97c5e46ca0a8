/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* wire.h -- what the hasyncs of a pair say to each other through CPG.
 *
 * One CPG message is a batch:
 *
 *   "TDHA" | version 8 | flags 8 | 0 16 | pair id 16 bytes | node (length 8) |
 *   incarnation 64 | seq 64 | items ... | HMAC-SHA256 over all before
 *
 * The key is derived from the pair key. incarnation is random per start of hasync;
 * seq grows by one with each batch, so what is heard twice or replayed is known.
 * All items have one shape:
 *
 *   type 8 | flags 8 | status 8 | 0 8 | id 64 | generation 64 | base 64 | wall_ms 64 |
 *   sha256 | name (length 8) | writer (length 8) | bytes (length 32)
 *
 * An item larger than a batch travels as PIECEs of its encoding: id = transfer,
 * generation = offset, base = total size.
 *
 * Errors: E_STALE another version, E_NOENT another pair, E_AUTH wrong key,
 * E_PROTO truncated or malformed. Nothing of such a batch is used.
 */
#ifndef HASYNC_WIRE_H
#define HASYNC_WIRE_H

#include "common/clusterfile.h"
#include "common/wr.h"

enum {
	WIRE_VERSION = 1,
	WIRE_BATCH_MAX = 64 * 1024,
	WIRE_PIECE = 48 * 1024,
	WIRE_PAIR = 16,
	WIRE_KEY = 32,
	WIRE_MAC = 32,
	WIRE_WANS_MAX = 8,
};
#define WALL_MAX_S 253402300799u /* the end of the year 9999 */
#define WIRE_ITEM_MAX (CLUSTER_OBJECT_MAX + 1024u)

enum wire_type {
	WIRE_HELLO = 1, /* I am here; bytes = state. flag FIRST: tell me yours too */
	WIRE_DIGEST,    /* name, generation, sha, writer, flags (class WHOLE or SET) */
	WIRE_DIGEST_END,
	WIRE_SYNC_END, /* I have sent all that you lack */
	WIRE_OBJECT,  /* a version, by heal: name, generation, writer, wall_ms, bytes */
	WIRE_PUT,     /* a version, by a writer: also id, base */
	WIRE_ACK,     /* id = of the put, base = incarnation of its sender, status */
	WIRE_SET,     /* name, bytes = entries; id as in PUT, 0 = no ack wanted */
	WIRE_OWN,     /* name, bytes; an OWN object of the sender */
	WIRE_OWN_SET, /* name, bytes = entries; flag FIRST: forget the older ones */
	WIRE_STATE,   /* once a second and at changes: bytes = state */
	WIRE_HOLD,    /* name = node that shall let go; generation = ms; flags */
	WIRE_PIECE_OF,
	WIRE_TYPES
};

enum wire_flag { WIRE_REMOVED = 1, WIRE_SOLO = 2, WIRE_FIRST = 4, WIRE_PRIMARY = 8 };

struct wire_head {
	uint8_t flags; /* WIRE_PRIMARY: the sender takes itself for the primary */
	struct span node;
	uint64_t incarnation, seq;
};

struct wire_item {
	uint8_t type, flags, status;
	uint64_t id, generation, base, wall_ms;
	uint8_t sha[CLUSTERFILE_SHA];
	struct span name, writer, bytes;
};

/* What a node tells about itself. */
struct wire_state {
	bool is_active, is_primary, vpnd_bad, hold;
	uint8_t gateways_ok, gateways;
	uint64_t epoch, changed_s; /* wall time of its last change of role, 0: none */
	uint64_t config_generation;
	uint8_t config_sha[8];
	struct span version, why; /* of that change */
	size_t n_wans;
	struct {
		struct span name;
		bool has_carrier, gateway_ok;
	} wans[WIRE_WANS_MAX];
};

void wire_open(struct wr *w, const uint8_t pair[WIRE_PAIR], const struct wire_head *h);
void wire_close(struct wr *w, const uint8_t key[WIRE_KEY]);
int wire_check(struct span batch, const uint8_t pair[WIRE_PAIR],
	       const uint8_t key[WIRE_KEY], struct wire_head *h, struct span *items);

size_t wire_item_size(const struct wire_item *i);
void wire_item_encode(struct wr *w, const struct wire_item *i);
/* E_AGAIN at the end. */
int wire_item_decode(struct span *in, struct wire_item *i);

void wire_state_encode(struct wr *w, const struct wire_state *s);
int wire_state_decode(struct span in, struct wire_state *s);

/* Pieces of one sender put together again. */
struct wire_pieces {
	uint8_t *buf;
	size_t n, total;
	uint64_t id;
};
/* 0: `item` is whole, its spans live until the next call; E_AGAIN: more to come;
 * E_PROTO: out of order or too large, what there was is dropped. */
int wire_pieces_add(struct wire_pieces *p, const struct wire_item *piece,
		    struct wire_item *item);
void wire_pieces_clear(struct wire_pieces *p);

#endif
