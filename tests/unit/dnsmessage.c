/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* DNS messages: what is sent, and whom an answer is believed. The server is played
 * with libldns itself, so signatures are real. */
#include "ddns/message.h"

#include "common/err.h"
#include "tests/lib/tap.h"

#include <ldns/ldns.h>
#include <time.h>

static const struct message_key key = {
	"ddns-key", false, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
};
static const struct message_key wide = {
	"wide-key", true,
	"d2lkZXdpZGV3aWRld2lkZXdpZGV3aWRld2lkZXdpZGV3aWRld2lkZXdpZGV3aWRlMDEyMzQ1Njc="
};

/* The answer of a server: same id and question; signed with a key or not. */
static size_t
reply_of(const struct message *m, unsigned rcode, const char *records,
	 const struct message_key *with, uint8_t out[4096])
{
	ldns_pkt *p = NULL;
	uint8_t *wire, asked[2 + MESSAGE_MAC_MAX] = { 0, (uint8_t)m->mac_n };
	size_t n = 0;

	if (ldns_wire2pkt(&p, m->wire, m->n) != LDNS_STATUS_OK)
		exit(1);
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_aa(p, true);
	ldns_pkt_set_rcode(p, (uint8_t)rcode);
	ldns_rr_free(ldns_pkt_tsig(p));
	ldns_pkt_set_tsig(p, NULL);
	/* An update's sections are not given back. */
	ldns_rr_list_deep_free(ldns_pkt_authority(p));
	ldns_pkt_set_authority(p, ldns_rr_list_new());
	ldns_pkt_set_nscount(p, 0);
	for (const char *r = records; r != NULL && *r; r = strchr(r, '\n') + 1) {
		char line[300];
		ldns_rr *rr = NULL;
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(r, "\n"), r);
		if (ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK ||
		    !ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr))
			exit(1);
	}
	if (with != NULL) {
		char name[80];
		snprintf(name, sizeof(name), "%s.", with->name);
		memcpy(asked + 2, m->mac, m->mac_n);
		ldns_rdf *mac = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA,
						      m->mac_n + 2, asked);
		ldns_status s = ldns_pkt_tsig_sign(
			p, name, with->secret, 300,
			with->is_sha512 ? "hmac-sha512." : "hmac-sha256.", mac);
		if (s != LDNS_STATUS_OK)
			exit(1);
		ldns_rdf_deep_free(mac);
	}
	if (ldns_pkt2wire(&wire, p, &n) != LDNS_STATUS_OK || n > 4096)
		exit(1);
	memcpy(out, wire, n);
	free(wire);
	ldns_pkt_free(p);
	return n;
}

static void
an_update_replaces_in_one_message(void)
{
	static const struct change change[] = {
		{ CHANGE_CLEAR, "gw.vpn.test", MESSAGE_A, 0, NULL },
		{ CHANGE_ADD, "gw.vpn.test", MESSAGE_A, 60, "192.0.2.1" },
	};
	struct message m;
	ldns_pkt *p = NULL;

	is_int(message_update(&m, "vpn.test", change, 2, 0x1234, &key), 0, "made");
	ok(m.is_signed && m.mac_n == 32 && m.question_n == 14, "signed");
	ok(ldns_wire2pkt(&p, m.wire, m.n) == LDNS_STATUS_OK, "a message");
	is_int(ldns_pkt_id(p), 0x1234, "with our id");
	is_int(ldns_pkt_get_opcode(p), LDNS_PACKET_UPDATE, "an update");
	is_int(ldns_pkt_nscount(p), 2, "two changes");
	ldns_rr *clear = ldns_rr_list_rr(ldns_pkt_authority(p), 0),
		*add = ldns_rr_list_rr(ldns_pkt_authority(p), 1);
	ok(ldns_rr_get_class(clear) == LDNS_RR_CLASS_ANY && ldns_rr_ttl(clear) == 0 &&
		   ldns_rr_rd_count(clear) == 0,
	   "the old ones go (RFC 2136 2.5.2)");
	ok(ldns_rr_get_class(add) == LDNS_RR_CLASS_IN && ldns_rr_ttl(add) == 60,
	   "the new one comes");
	ldns_pkt_free(p);
	is_int(message_update(&m, "vpn.test", change, 2, 1, &wide), 0, "with SHA-512");
	is_int((long)m.mac_n, 64, "64 bytes of it");
}

static void
what_makes_no_message_is_refused(void)
{
	static const struct change bad[] = {
		{ CHANGE_ADD, "gw.vpn.test", MESSAGE_A, 60, "2001:db8::1" },
		{ CHANGE_ADD, "gw.vpn.test", MESSAGE_AAAA, 60, "192.0.2.1" },
		{ CHANGE_ADD, "", MESSAGE_A, 60, "192.0.2.1" },
		{ CHANGE_ADD, "a..b", MESSAGE_A, 60, "192.0.2.1" },
	};
	struct message_key short_key = { "k", false, "c2hvcnQ=" },
			   no_b64 = { "k", false, "not base64" };
	struct message m;
	char text[400];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(message_update(&m, "vpn.test", &bad[i], 1, 1, &key) < 0,
		   "%s with %s", bad[i].name, bad[i].data);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct change longer = { CHANGE_ADD, "a.vpn.test", MESSAGE_TXT, 60, text };
	ok(message_update(&m, "vpn.test", &longer, 1, 1, &key) < 0, "a text too long");
	text[255] = '\0';
	is_int(message_update(&m, "vpn.test", &longer, 1, 1, &key), 0, "the longest");
	ok(message_update(&m, "vpn.test", NULL, 0, 1, &short_key) < 0, "a short key");
	ok(message_update(&m, "vpn.test", NULL, 0, 1, &no_b64) < 0, "no base64");
	is_int(message_update(&m, "vpn.test", NULL, 0, 1, &key), 0,
	       "no changes at all");
	is_int(message_query(&m, "", MESSAGE_A, 1, NULL), E_INVAL, "no name");
}

static void
only_the_answer_to_the_question_is_one(void)
{
	struct message m, other;
	uint8_t r[4096];
	bool cut;

	(void)message_query(&m, "gw.vpn.test", MESSAGE_A, 77, NULL);
	(void)message_query(&other, "gx.vpn.test", MESSAGE_A, 77, NULL);
	size_t n = reply_of(&m, 0, NULL, NULL, r);
	is_int(message_is_answer(&m, span_of(r, n), &cut), 0, "it is");
	is_int(message_is_answer(&other, span_of(r, n), &cut), E_AGAIN, "another name");
	is_int(message_is_answer(&m, span_of(m.wire, m.n), &cut), E_AGAIN,
	       "a question is none");
	r[14] ^= 0x20;
	is_int(message_is_answer(&m, span_of(r, n), &cut), 0,
	       "the other case is the same");
	r[14] ^= 0x20;
	r[1] ^= 1;
	is_int(message_is_answer(&m, span_of(r, n), &cut), E_AGAIN, "another id");
	r[1] ^= 1;
	r[2] |= 2;
	is_int(message_is_answer(&m, span_of(r, n), &cut), 0, "a cut one");
	ok(cut, "says so");
	r[2] &= (uint8_t)~2;
	r[2] |= 0x28;
	is_int(message_is_answer(&m, span_of(r, n), &cut), E_AGAIN, "of another kind");
	for (size_t i = 0; i < n; i++)
		if (message_is_answer(&m, span_of(r, i), &cut) == 0)
			ok(false, "cut at %zu", i);
}

static void
a_zone_tells_what_it_holds(void)
{
	struct message m;
	struct answer a;
	uint8_t r[4096];

	(void)message_query(&m, "gw.vpn.test", MESSAGE_A, 1, NULL);
	size_t n = reply_of(&m, 0,
			    "gw.vpn.test. 60 IN A 192.0.2.1\n"
			    "GW.vpn.test. 60 IN A 192.0.2.2\n"
			    "evil.vpn.test. 60 IN A 192.0.2.3\n",
			    NULL, r);
	is_int(message_read(&m, NULL, span_of(r, n), 0, &a), 0, "read");
	ok(a.kind == ANSWER_GOOD && a.is_authoritative && a.ttl_s == 60, "well");
	is_int(a.n_addr, 2, "the records of that name only");
	n = reply_of(&m, 0,
		     "gw.vpn.test. 60 IN CNAME x.vpn.test.\n"
		     "x.vpn.test. 60 IN A 192.0.2.3\n",
		     NULL, r);
	ok(message_read(&m, NULL, span_of(r, n), 0, &a) == 0 && a.is_alias &&
		   a.n_addr == 0,
	   "an alias");
	n = reply_of(&m, 3, NULL, NULL, r);
	ok(message_read(&m, NULL, span_of(r, n), 0, &a) == 0 &&
		   a.kind == ANSWER_NO_NAME,
	   "no such name");
	(void)message_query(&m, "_acme-challenge.gw.vpn.test", MESSAGE_TXT, 1, NULL);
	n = reply_of(&m, 0,
		     "_acme-challenge.gw.vpn.test. 60 IN TXT \"one\"\n"
		     "_acme-challenge.gw.vpn.test. 60 IN TXT \"t\" \"wo\"\n",
		     NULL, r);
	ok(message_read(&m, NULL, span_of(r, n), 0, &a) == 0 && a.n_text == 2, "texts");
	is_str(a.text[0], "one", "the first");
	is_str(a.text[1], "two", "one of two strings");
}

static void
signatures_decide(void)
{
	static const struct message_key stranger = {
		"ddns-key", false, "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMDE="
	};
	struct message_key renamed = key, hashed = key;
	uint64_t now = (uint64_t)time(NULL);
	struct message m, other;
	struct answer a;
	uint8_t r[4096];

	renamed.name = "other-key";
	hashed.is_sha512 = true;
	(void)message_update(&m, "vpn.test", NULL, 0, 9, &key);
	(void)message_update(
		&other, "vpn.test",
		&(struct change){ CHANGE_CLEAR, "x.vpn.test", MESSAGE_A, 0, NULL }, 1,
		9, &key);
	size_t n = reply_of(&m, 0, NULL, &key, r);
	(void)message_read(&m, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_GOOD && a.is_signed, "signed with our key");
	(void)message_read(&m, &key, span_of(r, n), now + 299, &a);
	ok(a.kind == ANSWER_GOOD, "within the time that is allowed");
	(void)message_read(&m, &key, span_of(r, n), now + 302, &a);
	ok(a.kind == ANSWER_FORGED, "an old one is played again");
	(void)message_read(&m, &key, span_of(r, n), now - 302, &a);
	ok(a.kind == ANSWER_FORGED, "one from the future");
	(void)message_read(&other, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_FORGED, "the answer to another message");
	unsigned believed = 0;
	for (size_t i = 0; i < n * 8; i++) {
		uint8_t bad[4096];
		bool cut;
		memcpy(bad, r, n);
		bad[i / 8] ^= (uint8_t)(1 << i % 8);
		if (message_is_answer(&m, span_of(bad, n), &cut) == 0 && !cut &&
		    message_read(&m, &key, span_of(bad, n), now, &a) == 0 &&
		    a.kind == ANSWER_GOOD)
			believed++;
	}
	/* The case of letters in names, and the TTL, length and original id of the
	 * signature's own record: nothing hangs on them. */
	ok(believed <= 78, "of all single bits turned over, %u do no harm", believed);
	n = reply_of(&m, 0, NULL, &stranger, r);
	(void)message_read(&m, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_FORGED, "with another secret");
	n = reply_of(&m, 0, NULL, &renamed, r);
	(void)message_read(&m, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_FORGED, "with another key's name");
	n = reply_of(&m, 0, NULL, &hashed, r);
	(void)message_read(&m, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_FORGED, "with another algorithm");
	n = reply_of(&m, 0, NULL, NULL, r);
	(void)message_read(&m, &key, span_of(r, n), now, &a);
	ok(a.kind == ANSWER_FORGED, "a success without a signature");
	static const struct {
		unsigned rcode;
		enum answer_kind kind;
	} plain[] = { { 2, ANSWER_FAILED },
		      { 5, ANSWER_REFUSED },
		      { 9, ANSWER_NOT_AUTH },
		      { 10, ANSWER_NOT_ZONE },
		      { 4, ANSWER_OTHER } };
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		n = reply_of(&m, plain[i].rcode, NULL, NULL, r);
		(void)message_read(&m, &key, span_of(r, n), now, &a);
		ok(a.kind == plain[i].kind && !a.is_signed,
		   "error %u may come unsigned", plain[i].rcode);
	}
}

static void
cut_and_large_answers_are_no_messages(void)
{
	static uint8_t big[MESSAGE_REPLY_MAX + 1];
	struct message m;
	struct answer a;
	uint8_t r[4096];

	(void)message_update(&m, "vpn.test", NULL, 0, 9, &key);
	size_t n = reply_of(&m, 0, NULL, &key, r);
	for (size_t i = 0; i < n; i++)
		if (message_read(&m, &key, span_of(r, i), (uint64_t)time(NULL), &a) ==
			    0 &&
		    a.kind == ANSWER_GOOD)
			ok(false, "cut at %zu", i);
	is_int(message_read(&m, &key, span_of(big, sizeof(big)), 0, &a), E_LIMIT,
	       "more than 4096 bytes");
}

int
main(void)
{
	an_update_replaces_in_one_message();
	what_makes_no_message_is_refused();
	only_the_answer_to_the_question_is_one();
	a_zone_tells_what_it_holds();
	signatures_decide();
	cut_and_large_answers_are_no_messages();
	return done_testing();
}
