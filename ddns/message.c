/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/message.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/rd.h"

#include <ctype.h>
#include <ldns/ldns.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <strings.h>

enum {
	HEADER = 12,
	FLAG_QR = 0x8000,
	FLAG_TC = 0x0200,
	OPCODE = 0x7800,
	MAC_RDF =
		3, /* fields of a TSIG: algorithm, time, fudge, MAC, id, error, other */
	TIME_RDF = 1,
	FUDGE_RDF = 2,
	ERROR_RDF = 5,
	OTHER_RDF = 6,
	TSIG_RDFS = 7,
	TSIG_BADSIG = 16,
	TSIG_BADKEY = 17,
	TSIG_BADTIME = 18,
	TSIG_BADTRUNC = 22,
};

/* Longest name plus its final dot and NUL. */
struct full_name {
	char text[MESSAGE_NAME + 2];
};

static int
make_full(struct full_name *f, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= MESSAGE_NAME)
		return E_INVAL;
	snprintf(f->text, sizeof(f->text), "%s%s", name, name[n - 1] == '.' ? "" : ".");
	return 0;
}

static ldns_rdf *
name_rdf(const char *name)
{
	struct full_name f;

	return make_full(&f, name) < 0 ? NULL : ldns_dname_new_frm_str(f.text);
}

static const char *
algorithm_of(const struct message_key *key)
{
	return key->is_sha512 ? "hmac-sha512." : "hmac-sha256.";
}

bool
message_secret_ok(const char *secret)
{
	uint8_t raw[512];
	struct wr w = wr_open(raw, sizeof(raw));
	bool is_good = b64_decode(&w, span_str(secret)) == 0 && w.n >= 8;

	OPENSSL_cleanse(raw, sizeof(raw));
	return is_good;
}

/* ---- building ---- */

static int
sign(struct message *m, ldns_pkt *p, const struct message_key *key)
{
	struct full_name name;

	/* libldns keeps it as text with the dot. */
	if (make_full(&name, key->name) < 0 || !message_secret_ok(key->secret))
		return E_INVAL;
	if (ldns_pkt_tsig_sign(p, name.text, key->secret, MESSAGE_FUDGE_S,
			       algorithm_of(key), NULL) != LDNS_STATUS_OK)
		return E_INVAL;
	ldns_rdf *mac = ldns_rr_rdf(ldns_pkt_tsig(p), MAC_RDF);
	if (mac == NULL || ldns_rdf_size(mac) > sizeof(m->mac) + 2)
		return E_INVAL;
	/* With its length in front, as libldns wants it back. */
	m->mac_n = ldns_rdf_size(mac) - 2;
	memcpy(m->mac, ldns_rdf_data(mac) + 2, m->mac_n);
	ldns_rdf *when = ldns_rr_rdf(ldns_pkt_tsig(p), TIME_RDF);
	struct rd r = rd_open(span_of(ldns_rdf_data(when), ldns_rdf_size(when)));
	m->signed_s = rd_u48(&r);
	m->is_signed = true;
	return 0;
}

/* The question section is what follows the header: a name without pointers, type and
 * class. */
static size_t
question_size(struct span wire)
{
	struct rd r = rd_open(wire);

	(void)rd_take(&r, HEADER);
	for (uint8_t n; (n = rd_u8(&r)) > 0 && !rd_short(&r);)
		(void)rd_take(&r, n < 64 ? n : SIZE_MAX);
	(void)rd_take(&r, 4);
	return rd_short(&r) ? 0 : wire.n - HEADER - rd_left(&r);
}

static int
finish(struct message *m, ldns_pkt *p, uint16_t id, const struct message_key *key)
{
	uint8_t *wire = NULL;
	size_t n = 0;
	int rc = 0;

	*m = (struct message){ .id = id };
	ldns_pkt_set_id(p, id);
	if (key != NULL)
		rc = sign(m, p, key);
	if (rc == 0 && ldns_pkt2wire(&wire, p, &n) != LDNS_STATUS_OK)
		rc = E_INVAL;
	if (rc == 0 && n > sizeof(m->wire))
		rc = E_LIMIT;
	if (rc == 0) {
		memcpy(m->wire, wire, n);
		m->n = n;
		m->question_n = question_size(span_of(wire, n));
	}
	free(wire);
	return rc;
}

int
message_query(struct message *m, const char *name, enum message_type type, uint16_t id,
	      const struct message_key *key)
{
	ldns_rdf *owner = name_rdf(name);
	ldns_pkt *p = owner == NULL ? NULL
				    : ldns_pkt_query_new(owner, (ldns_rr_type)type,
							 LDNS_RR_CLASS_IN, 0);
	if (p == NULL) {
		ldns_rdf_deep_free(owner);
		return E_INVAL;
	}
	int rc = finish(m, p, id, key);
	ldns_pkt_free(p);
	return rc;
}

static ldns_rdf *
data_rdf(const struct change *c)
{
	uint8_t text[MESSAGE_TEXT];
	size_t n;

	switch (c->type) {
	case MESSAGE_A: return ldns_rdf_new_frm_str(LDNS_RDF_TYPE_A, c->data);
	case MESSAGE_AAAA: return ldns_rdf_new_frm_str(LDNS_RDF_TYPE_AAAA, c->data);
	case MESSAGE_TXT:
		n = strlen(c->data);
		if (n >= sizeof(text))
			return NULL;
		text[0] = (uint8_t)n;
		memcpy(text + 1, c->data, n);
		return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, n + 1, text);
	default: return NULL;
	}
}

/* RFC 2136 2.5: class ANY clears, class NONE drops one, the zone's class adds. */
static int
push_change(ldns_rr_list *list, const struct change *c)
{
	static const ldns_rr_class class[] = { [CHANGE_CLEAR] = LDNS_RR_CLASS_ANY,
					       [CHANGE_ADD] = LDNS_RR_CLASS_IN,
					       [CHANGE_DROP] = LDNS_RR_CLASS_NONE };
	ldns_rr *rr = ldns_rr_new();
	ldns_rdf *owner = name_rdf(c->name), *data = NULL;
	bool has_data = c->kind != CHANGE_CLEAR;

	if (has_data)
		data = data_rdf(c);
	if (rr == NULL || owner == NULL || (has_data && data == NULL))
		goto bad;
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, (ldns_rr_type)c->type);
	ldns_rr_set_class(rr, class[c->kind]);
	ldns_rr_set_ttl(rr, c->kind == CHANGE_ADD ? c->ttl_s : 0);
	if (has_data && !ldns_rr_push_rdf(rr, data))
		goto bad;
	if (!ldns_rr_list_push_rr(list, rr))
		goto free_rr;
	return 0;

bad:
	ldns_rdf_deep_free(data);
	if (rr != NULL && ldns_rr_owner(rr) == NULL)
		ldns_rdf_deep_free(owner);
free_rr:
	ldns_rr_free(rr);
	return E_INVAL;
}

int
message_update(struct message *m, const char *zone, const struct change *change,
	       size_t n, uint16_t id, const struct message_key *key)
{
	ldns_rr_list *list = ldns_rr_list_new();
	ldns_pkt *p = NULL;
	ldns_rdf *owner = NULL;
	int rc = list == NULL ? E_NOMEM : 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = push_change(list, &change[i]);
	if (rc == 0 && (owner = name_rdf(zone)) == NULL)
		rc = E_INVAL;
	if (rc == 0) {
		p = ldns_update_pkt_new(owner, LDNS_RR_CLASS_IN, NULL, list, NULL);
		if (p == NULL) {
			ldns_rdf_deep_free(owner);
			rc = E_NOMEM;
		}
	}
	if (rc == 0) {
		ldns_pkt_set_rd(p, false);
		rc = finish(m, p, id, key);
	}
	ldns_pkt_free(p);
	ldns_rr_list_deep_free(list);
	return rc;
}

/* ---- answers ---- */

static bool
same_question(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	/* Letters of a name may come back in the other case. */
	for (size_t i = 0; i < a.n; i++)
		if (tolower(a.p[i]) != tolower(b.p[i]))
			return false;
	return true;
}

int
message_is_answer(const struct message *m, struct span reply, bool *is_truncated)
{
	struct rd r = rd_open(reply);
	struct rd q = rd_open(span_of(m->wire, m->n));

	(void)rd_u16(&q);
	uint16_t asked = rd_u16(&q);
	uint16_t id = rd_u16(&r), flags = rd_u16(&r), n_question = rd_u16(&r);
	(void)rd_take(&r, HEADER - 6);
	*is_truncated = flags & FLAG_TC;
	if (rd_short(&r) || id != m->id || !(flags & FLAG_QR) ||
	    (flags & OPCODE) != (asked & OPCODE))
		return E_AGAIN;
	/* RFC 2136 3.8: the server may leave the sections of an update out. */
	if (n_question == 0)
		return (flags & OPCODE) != 0 || (flags & 15) != 0 ? 0 : E_AGAIN;
	struct span got = rd_take(&r, m->question_n);
	if (n_question != 1 || rd_short(&r) ||
	    !same_question(got, span_of(m->wire + HEADER, m->question_n)))
		return E_AGAIN;
	return 0;
}

/* A number of n bytes in a field of a TSIG. */
static uint64_t
field_uint(ldns_rr *tsig, size_t field, size_t skip, size_t n)
{
	ldns_rdf *f = ldns_rr_rdf(tsig, field);

	if (f == NULL)
		return 0;
	struct rd r = rd_open(span_of(ldns_rdf_data(f), ldns_rdf_size(f)));
	(void)rd_take(&r, skip);
	return rd_uint(&r, n);
}

static bool
name_is(const ldns_rdf *f, const char *name)
{
	ldns_rdf *want = name_rdf(name);
	bool is_same = want != NULL && f != NULL && ldns_dname_compare(f, want) == 0;

	ldns_rdf_deep_free(want);
	return is_same;
}

static bool
mac_is_good(const struct message *m, const struct message_key *key, ldns_pkt *p,
	    struct span reply)
{
	uint8_t asked[2 + MESSAGE_MAC_MAX];
	ldns_rr *tsig = ldns_pkt_tsig(p);
	struct full_name name;

	/* libldns takes the algorithm from the answer: it must be the agreed one. */
	if (make_full(&name, key->name) < 0 ||
	    !name_is(ldns_rr_owner(tsig), key->name) ||
	    !name_is(ldns_rr_rdf(tsig, 0), algorithm_of(key)))
		return false;
	asked[0] = 0;
	asked[1] = (uint8_t)m->mac_n;
	memcpy(asked + 2, m->mac, m->mac_n);
	ldns_rdf *mac =
		ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, m->mac_n + 2, asked);
	bool is_good = mac != NULL && ldns_pkt_tsig_verify(p, reply.p, reply.n,
							   name.text, key->secret, mac);
	ldns_rdf_deep_free(mac);
	return is_good;
}

static enum answer_kind
kind_of_rcode(unsigned rcode)
{
	switch (rcode) {
	case LDNS_RCODE_NOERROR: return ANSWER_GOOD;
	case LDNS_RCODE_NXDOMAIN: return ANSWER_NO_NAME;
	case LDNS_RCODE_REFUSED: return ANSWER_REFUSED;
	case LDNS_RCODE_NOTAUTH: return ANSWER_NOT_AUTH;
	case LDNS_RCODE_NOTZONE: return ANSWER_NOT_ZONE;
	case LDNS_RCODE_SERVFAIL: return ANSWER_FAILED;
	default: return ANSWER_OTHER;
	}
}

/* RFC 8945 5.3: BADKEY and BADSIG come unsigned, and so may what is refused before
 * the signature was looked at. A success that is not signed is somebody else's. */
static enum answer_kind
judge(const struct message *m, const struct message_key *key, ldns_pkt *p,
      struct span reply, uint64_t now_s, struct answer *a)
{
	enum answer_kind plain = kind_of_rcode(a->rcode);
	ldns_rr *tsig = ldns_pkt_tsig(p);

	if (!m->is_signed)
		return plain;
	if (tsig == NULL || ldns_rr_rd_count(tsig) < TSIG_RDFS)
		return plain == ANSWER_GOOD || plain == ANSWER_NO_NAME ? ANSWER_FORGED
								       : plain;
	uint64_t error = field_uint(tsig, ERROR_RDF, 0, 2);
	if (a->rcode == LDNS_RCODE_NOTAUTH && error == TSIG_BADKEY)
		return ANSWER_UNKNOWN_KEY;
	if (a->rcode == LDNS_RCODE_NOTAUTH && error == TSIG_BADSIG)
		return ANSWER_WRONG_SECRET;
	if (!mac_is_good(m, key, p, reply))
		return ANSWER_FORGED;
	a->is_signed = true;
	if (error == TSIG_BADTIME) {
		a->server_s = field_uint(tsig, OTHER_RDF, 2, 6);
		return ANSWER_CLOCK;
	}
	if (error == TSIG_BADTRUNC)
		return ANSWER_TRUNCATED_MAC;
	uint64_t when = field_uint(tsig, TIME_RDF, 0, 6);
	uint64_t fudge = field_uint(tsig, FUDGE_RDF, 0, 2);
	if (error != 0 || (now_s > when ? now_s - when : when - now_s) > fudge)
		return ANSWER_FORGED;
	return plain;
}

static void
take_text(struct answer *a, const ldns_rr *rr)
{
	char *to = a->text[a->n_text];
	size_t at = 0;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *f = ldns_rr_rdf(rr, i);
		struct rd r = rd_open(span_of(ldns_rdf_data(f), ldns_rdf_size(f)));
		struct span s = rd_take(&r, rd_u8(&r));
		/* Longer than ours, or not text: none of ours. */
		if (rd_short(&r) || at + s.n >= MESSAGE_TEXT ||
		    memchr(s.p, '\0', s.n) != NULL)
			return;
		memcpy(to + at, s.p, s.n);
		at += s.n;
	}
	to[at] = '\0';
	a->n_text++;
}

static void
take_record(struct answer *a, const ldns_rr *rr)
{
	const ldns_rdf *f = ldns_rr_rdf(rr, 0);
	size_t n = f != NULL ? ldns_rdf_size(f) : 0;
	struct ip_addr ip = { .family = 0 };

	a->n_records++;
	a->ttl_s = ldns_rr_ttl(rr);
	if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT) {
		if (a->n_text < MESSAGE_TEXTS)
			take_text(a, rr);
		return;
	}
	if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A && n == 4)
		ip.family = 4;
	else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_AAAA && n == 16)
		ip.family = 6;
	if (ip.family == 0 || a->n_addr == MESSAGE_ADDRS)
		return;
	memcpy(ip.b, ldns_rdf_data(f), n);
	a->addr[a->n_addr++] = ip;
}

static void
take_answer(struct answer *a, ldns_pkt *p)
{
	ldns_rr_list *q = ldns_pkt_question(p), *list = ldns_pkt_answer(p);
	ldns_rr *asked = ldns_rr_list_rr_count(q) > 0 ? ldns_rr_list_rr(q, 0) : NULL;

	for (size_t i = 0; asked != NULL && i < ldns_rr_list_rr_count(list); i++) {
		ldns_rr *rr = ldns_rr_list_rr(list, i);
		if (ldns_rr_owner(rr) == NULL ||
		    ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN ||
		    ldns_dname_compare(ldns_rr_owner(rr), ldns_rr_owner(asked)) != 0)
			continue;
		if (ldns_rr_get_type(rr) == ldns_rr_get_type(asked))
			take_record(a, rr);
		else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME)
			a->is_alias = true;
	}
}

int
message_read(const struct message *m, const struct message_key *key, struct span reply,
	     uint64_t now_s, struct answer *a)
{
	ldns_pkt *p = NULL;

	*a = (struct answer){ .kind = ANSWER_FORGED };
	if (reply.n > MESSAGE_REPLY_MAX)
		return E_LIMIT;
	if (ldns_wire2pkt(&p, reply.p, reply.n) != LDNS_STATUS_OK || p == NULL)
		return E_PROTO;
	a->rcode = (unsigned)ldns_pkt_get_rcode(p);
	a->is_authoritative = ldns_pkt_aa(p);
	a->kind = judge(m, key, p, reply, now_s, a);
	if (a->kind == ANSWER_GOOD)
		take_answer(a, p);
	ldns_pkt_free(p);
	return 0;
}

const char *
message_rcode_text(unsigned rcode, char buf[24])
{
	static const char *const names[] = { "NOERROR",  "FORMERR", "SERVFAIL",
					     "NXDOMAIN", "NOTIMP",  "REFUSED",
					     "YXDOMAIN", "YXRRSET", "NXRRSET",
					     "NOTAUTH",  "NOTZONE" };

	if (rcode < sizeof(names) / sizeof(names[0]))
		snprintf(buf, 24, "%s", names[rcode]);
	else
		snprintf(buf, 24, "error %u", rcode);
	return buf;
}
