/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* message.h -- DNS messages: questions, signed updates, and what answers mean.
 *
 * libldns builds, signs, parses and verifies; nothing here touches a socket. What it
 * does not check is checked here: time and error field of a TSIG (RFC 8945 5.2.3,
 * 5.4), that the answer's key and algorithm are those of the question, that identity
 * and question of an answer are ours (RFC 5452 9).
 *
 * Ownership: plain structs, nothing allocated outlives a call.
 * Errors: E_INVAL for names, keys or data that make no message; E_LIMIT; E_NOMEM;
 * E_AGAIN: this is not the answer, wait on; E_PROTO: it is one, but no DNS message.
 */
#ifndef DDNS_MESSAGE_H
#define DDNS_MESSAGE_H

#include "common/ip.h"
#include "common/span.h"

enum {
	MESSAGE_MAX = 2048,       /* of ours */
	MESSAGE_REPLY_MAX = 4096, /* larger answers are not looked at */
	MESSAGE_NAME = 254,       /* text with NUL */
	MESSAGE_MAC_MAX = 64,
	MESSAGE_ADDRS = 8,
	MESSAGE_TEXT = 256, /* one string of a TXT, NUL counted */
	MESSAGE_TEXTS = 16,
	MESSAGE_FUDGE_S = 300,
};

enum message_type {
	MESSAGE_A = 1,
	MESSAGE_SOA = 6,
	MESSAGE_TXT = 16,
	MESSAGE_AAAA = 28
};

struct message_key {
	const char *name;
	bool is_sha512;     /* else SHA-256 */
	const char *secret; /* base64 */
};

struct message {
	uint8_t wire[MESSAGE_MAX];
	size_t n;
	uint16_t id;
	size_t question_n; /* bytes of the question (of an update: the zone) */
	bool is_signed;
	uint8_t mac[MESSAGE_MAC_MAX];
	size_t mac_n;
	uint64_t signed_s; /* wall clock */
};

/* What an update does with the records of a name. */
enum change_kind {
	CHANGE_CLEAR, /* no records of this type any more */
	CHANGE_ADD,   /* this one, too */
	CHANGE_DROP,  /* not this one */
};
struct change {
	enum change_kind kind;
	const char *name;
	enum message_type type;
	uint32_t ttl_s;
	const char *data; /* an address, or the text of a TXT */
};

/* key NULL: not signed. */
int message_query(struct message *m, const char *name, enum message_type type,
		  uint16_t id, const struct message_key *key);
/* All changes or none of them happen, in this order. */
int message_update(struct message *m, const char *zone, const struct change *change,
		   size_t n, uint16_t id, const struct message_key *key);

/* Is this datagram the answer to m? E_AGAIN if not. */
int message_is_answer(const struct message *m, struct span reply, bool *is_truncated);

/* What the server said, as far as it is to be believed. */
enum answer_kind {
	ANSWER_GOOD,        /* no error, signed if the question was */
	ANSWER_NO_NAME,     /* NXDOMAIN */
	ANSWER_UNKNOWN_KEY, /* BADKEY: not known; knot says so also for "not allowed" */
	ANSWER_WRONG_SECRET,  /* BADSIG */
	ANSWER_CLOCK,         /* BADTIME: server_s is its time */
	ANSWER_TRUNCATED_MAC, /* BADTRUNC */
	ANSWER_REFUSED,
	ANSWER_NOT_AUTH, /* the zone is not served, or not for us */
	ANSWER_NOT_ZONE, /* the name is outside of the zone */
	ANSWER_FAILED,   /* SERVFAIL */
	ANSWER_OTHER,    /* rcode has it */
	ANSWER_FORGED,   /* signature missing where it must be, or wrong */
	ANSWERS
};
struct answer {
	enum answer_kind kind;
	unsigned rcode;
	bool is_signed; /* and the signature is good */
	bool is_authoritative, is_alias;
	uint64_t server_s;
	/* The records of the asked name and type. */
	unsigned n_addr, n_text, n_records; /* n_records counts those without place */
	struct ip_addr addr[MESSAGE_ADDRS];
	char text[MESSAGE_TEXTS][MESSAGE_TEXT];
	uint32_t ttl_s;
};

/* reply is one message_is_answer has liked. now_s: wall clock. ANSWER_FORGED is for
 * the caller to ignore as long as it waits. */
int message_read(const struct message *m, const struct message_key *key,
		 struct span reply, uint64_t now_s, struct answer *a);

/* "SERVFAIL"; for those without a name "error 17". */
const char *message_rcode_text(unsigned rcode, char buf[24]);

/* Base64 of 8 to 512 bytes, as servers print it. */
bool message_secret_ok(const char *secret);

#endif
