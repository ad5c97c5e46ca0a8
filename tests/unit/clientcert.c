/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Certificates of clients: which pass, whose they are, and files that are none. */
#include "common/err.h"
#include "tests/lib/certs.h"
#include "tests/lib/tap.h"
#include "vpnd/worker/clientcert.h"

static struct made root, other, inter, alice;
static char pem[65536];

#define EXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CA_EXTS                                                                        \
	EXTS("basicConstraints", "critical,CA:TRUE", "keyUsage",                       \
	     "critical,keyCertSign,cRLSign")
#define CLIENT_EXTS EXTS("extendedKeyUsage", "clientAuth")

static struct span
ca_file(const struct made *a, const struct made *b)
{
	size_t n = pem_add(pem, sizeof(pem), 0, a->x, NULL);

	if (b != NULL)
		n = pem_add(pem, sizeof(pem), n, b->x, NULL);
	return span_of(pem, n);
}

static struct clientcert *
trust(struct span ca, struct span crl, bool wants_crl)
{
	struct clientcert *c;
	char why[160];

	if (clientcert_new(&c, ca, crl, wants_crl, why, sizeof(why)) < 0)
		diag("%s", why);
	return c;
}

/* What is thought of a certificate sent with the intermediate. */
static enum cert_verdict
judge(const struct clientcert *c, const struct made *m, enum cert_user which,
      struct cert_facts *out)
{
	STACK_OF(X509) *sent = sk_X509_new_null();
	struct cert_facts f = { .verdict = CERT_NONE };

	sk_X509_push(sent, inter.x);
	clientcert_judge(c, m ? m->x : NULL, sent, which, &f);
	enum cert_verdict v = f.verdict;
	ok((v == CERT_GOOD) == (f.issuer != NULL) || v == CERT_PURPOSE ||
		   v == CERT_NO_NAME,
	   "who issued it is known of good ones: %s", f.text);
	if (out != NULL)
		*out = f;
	cert_facts_clear(&f);
	sk_X509_free(sent);
	return v;
}

static void
only_our_chain_passes(void)
{
	struct clientcert *c = trust(ca_file(&root, NULL), (struct span){ 0 }, false);
	struct cert_facts f;

	is_int(judge(c, NULL, CERT_USER_CN, NULL), CERT_NONE, "none");
	is_int(judge(c, &alice, CERT_USER_CN, &f), CERT_GOOD, "good");
	is_str(f.user, "alice", "and whose");
	is_str(f.text, "CN=alice serial 05 of CN=Inter", "and which");
	struct clientcert *d = trust(ca_file(&other, NULL), (struct span){ 0 }, false);
	is_int(judge(d, &alice, CERT_USER_CN, NULL), CERT_UNTRUSTED, "R78 another CA");
	clientcert_free(d);
	d = trust(ca_file(&inter, NULL), (struct span){ 0 }, false);
	is_int(judge(d, &alice, CERT_USER_CN, &f), CERT_UNTRUSTED,
	       "a CA file without a root trusts nobody");
	clientcert_free(d);
	d = trust((struct span){ 0 }, (struct span){ 0 }, false);
	is_int(judge(d, &alice, CERT_USER_CN, NULL), CERT_UNTRUSTED,
	       "nor does an empty one");
	is_int(judge(NULL, &alice, CERT_USER_CN, NULL), CERT_UNTRUSTED, "nor none");
	clientcert_free(d);

	struct cert_facts g = { .verdict = CERT_NONE };
	clientcert_judge(c, alice.x, NULL, CERT_USER_CN, &g);
	is_int(g.verdict, CERT_UNTRUSTED, "the intermediate is missing");
	d = trust(ca_file(&root, &inter), (struct span){ 0 }, false);
	clientcert_judge(d, alice.x, NULL, CERT_USER_CN, &g);
	is_int(g.verdict, CERT_GOOD, "unless the CA file has it");
	is_int(sk_X509_NAME_num(clientcert_names(d)), 2, "both are asked for");
	STACK_OF(X509) *many = sk_X509_new_null();
	for (int i = 0; i <= CLIENTCERT_CHAIN; i++)
		sk_X509_push(many, inter.x);
	clientcert_judge(d, alice.x, many, CERT_USER_CN, &g);
	is_int(g.verdict, CERT_UNTRUSTED, "too many certificates");
	sk_X509_free(many);
	cert_facts_clear(&g);
	clientcert_free(d);
	clientcert_free(c);
}

static void
dates_and_purpose_count(void)
{
	static const struct {
		const char *what;
		int from, to;
		const char *use;
		enum cert_verdict want;
	} cases[] = {
		{ "expired", -10, -1, "clientAuth", CERT_EXPIRED },
		{ "not yet valid", 1, 10, "clientAuth", CERT_NOT_YET_VALID },
		{ "serverAuth only", -1, 9, "serverAuth", CERT_PURPOSE },
		{ "any", -1, 9, "anyExtendedKeyUsage", CERT_PURPOSE },
		{ "mail", -1, 9, "emailProtection", CERT_PURPOSE },
		{ "both", -1, 9, "serverAuth,clientAuth", CERT_GOOD },
	};
	struct clientcert *c = trust(ca_file(&root, NULL), (struct span){ 0 }, false);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct made m =
			cert_make("alice", &inter, 9, cases[i].from, cases[i].to,
				  EXTS("extendedKeyUsage", cases[i].use));
		is_int(judge(c, &m, CERT_USER_CN, NULL), cases[i].want, "%s",
		       cases[i].what);
		made_free(&m);
	}
	struct made m = cert_make("alice", &inter, 9, -1, 9, NULL);
	is_int(judge(c, &m, CERT_USER_CN, NULL), CERT_PURPOSE, "R82 no purpose");
	made_free(&m);
	/* A client's certificate makes no others. */
	m = cert_make("mallory", &alice, 9, -1, 9, CLIENT_EXTS);
	STACK_OF(X509) *sent = sk_X509_new_null();
	sk_X509_push(sent, alice.x);
	sk_X509_push(sent, inter.x);
	struct cert_facts f = { .verdict = CERT_NONE };
	clientcert_judge(c, m.x, sent, CERT_USER_CN, &f);
	is_int(f.verdict, CERT_UNTRUSTED, "issued by a client");
	sk_X509_free(sent);
	made_free(&m);
	clientcert_free(c);
}

static void
chains_are_short(void)
{
	struct made ca[CLIENTCERT_CHAIN];
	STACK_OF(X509) *sent = sk_X509_new_null();
	struct clientcert *c = trust(ca_file(&root, NULL), (struct span){ 0 }, false);
	struct cert_facts f = { .verdict = CERT_NONE };
	char name[16];

	/* root, 6 intermediates, the client: 8; one more: 9. */
	for (int i = 0; i < CLIENTCERT_CHAIN - 1; i++) {
		snprintf(name, sizeof(name), "ca%d", i);
		ca[i] = cert_make(name, i ? &ca[i - 1] : &root, 20 + i, -1, 9, CA_EXTS);
		sk_X509_push(sent, ca[i].x);
	}
	struct made m8 =
		cert_make("a", &ca[CLIENTCERT_CHAIN - 3], 9, -1, 9, CLIENT_EXTS);
	struct made m9 =
		cert_make("a", &ca[CLIENTCERT_CHAIN - 2], 9, -1, 9, CLIENT_EXTS);
	clientcert_judge(c, m8.x, sent, CERT_USER_CN, &f);
	is_int(f.verdict, CERT_GOOD, "a chain of 8: %s", f.text);
	clientcert_judge(c, m9.x, sent, CERT_USER_CN, &f);
	is_int(f.verdict, CERT_UNTRUSTED, "a chain of 9: %s", f.text);
	cert_facts_clear(&f);
	made_free(&m8);
	made_free(&m9);
	for (int i = 0; i < CLIENTCERT_CHAIN - 1; i++)
		made_free(&ca[i]);
	sk_X509_free(sent);
	clientcert_free(c);
}

static enum cert_verdict
with_lists(X509_CRL *a, X509_CRL *b)
{
	static char text[65536];
	size_t n = 0;
	enum cert_verdict v;

	text[0] = '\0';
	if (a != NULL)
		n = pem_add(text, sizeof(text), n, NULL, a);
	if (b != NULL)
		n = pem_add(text, sizeof(text), n, NULL, b);
	struct clientcert *c = trust(ca_file(&root, NULL), span_of(text, n), true);
	v = judge(c, &alice, CERT_USER_CN, NULL);
	clientcert_free(c);
	X509_CRL_free(a);
	X509_CRL_free(b);
	return v;
}

static void
lists_must_cover_the_chain(void)
{
	is_int(with_lists(crl_make(&inter, 0, 9), crl_make(&root, 0, 9)), CERT_GOOD,
	       "empty lists of both");
	is_int(with_lists(crl_make(&inter, 5, 9), crl_make(&root, 0, 9)), CERT_REVOKED,
	       "R76 revoked");
	is_int(with_lists(crl_make(&inter, 0, 9), crl_make(&root, 2, 9)), CERT_REVOKED,
	       "its CA is");
	is_int(with_lists(crl_make(&inter, 5, 9), NULL), CERT_REVOKED,
	       "revoked, whatever else is missing");
	is_int(with_lists(crl_make(&inter, 0, 9), NULL), CERT_CRL, "none of the root");
	is_int(with_lists(crl_make(&root, 0, 9), NULL), CERT_CRL, "none of the issuer");
	is_int(with_lists(NULL, NULL), CERT_CRL, "none at all");
	is_int(with_lists(crl_make(&inter, 0, -1), crl_make(&root, 0, 9)), CERT_CRL,
	       "an old one");
	struct made forged = cert_make("alice", &inter, 5, -1, 9, CLIENT_EXTS);
	X509_sign(forged.x, other.key, EVP_sha256());
	struct made was = alice;
	alice = forged;
	is_int(with_lists(crl_make(&inter, 5, 9), crl_make(&root, 0, 9)),
	       CERT_UNTRUSTED, "of one whose signature is wrong nobody looks it up");
	alice = was;
	made_free(&forged);
	struct made twin = cert_make("Inter", &other, 2, -1, 9, CA_EXTS);
	is_int(with_lists(crl_make(&twin, 0, 9), crl_make(&root, 0, 9)), CERT_CRL,
	       "one that somebody else signed");
	made_free(&twin);
}

static void
lists_are_read_whole_or_not_at_all(void)
{
	X509_CRL *l = crl_make(&inter, 5, 9);
	unsigned char *der = NULL;
	char text[8192];
	int n = i2d_X509_CRL(l, &der), rc;
	size_t k = pem_add(text, sizeof(text), 0, NULL, l);

	k = pem_add(text, sizeof(text), k, NULL, l);
	STACK_OF(X509_CRL) *list = clientcert_crls(span_of(der, (size_t)n), &rc);
	is_int(sk_X509_CRL_num(list), 1, "one in DER");
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	list = clientcert_crls(span_of(text, k), &rc);
	is_int(sk_X509_CRL_num(list), 2, "two in PEM");
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	unsigned taken = 0;
	for (int i = 0; i < n; i++)
		taken += clientcert_crls(span_of(der, (size_t)i), &rc) != NULL;
	is_int(taken, 0, "no cut DER");
	for (size_t i = k / 2 + 30; i < k - 2; i++) {
		list = clientcert_crls(span_of(text, i), &rc);
		taken += list != NULL;
		sk_X509_CRL_pop_free(list, X509_CRL_free);
	}
	is_int(taken, 0, "no PEM that is cut in its second list");
	ok(clientcert_crls(SPAN("rubbish"), &rc) == NULL && rc == E_PROTO,
	   "no rubbish");
	OPENSSL_free(der);
	X509_CRL_free(l);

	struct clientcert *c;
	char why[160];
	is_int(clientcert_new(&c, SPAN("rubbish"), (struct span){ 0 }, false, why,
			      sizeof(why)),
	       E_PROTO, "a CA file that is none");
	ok(strstr(why, "client CA") != NULL, "%s", why);
	struct span ca = ca_file(&root, &inter);
	is_int(clientcert_new(&c, span_of(ca.p, ca.n - 30), (struct span){ 0 }, false,
			      why, sizeof(why)),
	       E_PROTO, "one that is cut");
	is_int(clientcert_new(&c, ca_file(&root, NULL), SPAN("rubbish"), true, why,
			      sizeof(why)),
	       E_PROTO, "lists that are none");
	ok(strstr(why, "client_crl") != NULL, "%s", why);
}

static void
names_are_found_where_they_are(void)
{
	struct made m =
		cert_make("alice", NULL, 9, -1, 9,
			  EXTS("subjectAltName",
			       "DNS:x,email:a@corp.example,email:b@corp.example,"
			       "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@ad."
			       "example"));
	char user[IPC_USER_MAX + 1];

	is_int(clientcert_user(m.x, CERT_USER_CN, user), 0, "a common name");
	is_str(user, "alice", "it is");
	is_int(clientcert_user(m.x, CERT_USER_MAIL, user), 0, "a mail address");
	is_str(user, "a@corp.example", "the first");
	is_int(clientcert_user(m.x, CERT_USER_UPN, user), 0, "a principal name");
	is_str(user, "a@ad.example", "it is");
	X509_NAME *name = X509_get_subject_name(m.x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
				   (const unsigned char *)"Gr\xc3\xbc\xc3\x9f", -1, -1,
				   0);
	is_int(clientcert_user(m.x, CERT_USER_CN, user), 0, "two common names");
	is_str(user, "Gr\xc3\xbc\xc3\x9f", "the last one counts");
	made_free(&m);

	struct clientcert *c = trust(ca_file(&root, NULL), (struct span){ 0 }, false);
	is_int(judge(c, &alice, CERT_USER_MAIL, NULL), CERT_NO_NAME, "no mail address");
	is_int(judge(c, &alice, CERT_USER_UPN, NULL), CERT_NO_NAME, "no such name");
	m = cert_make(NULL, &inter, 9, -1, 9, CLIENT_EXTS);
	is_int(judge(c, &m, CERT_USER_CN, NULL), CERT_NO_NAME, "no common name");
	made_free(&m);
	clientcert_free(c);
}

static void
names_that_are_none(void)
{
	static const struct {
		const char *what, *p;
		int n, type;
	} cases[] = {
		{ "a NUL inside", "alice\0.evil", 11, V_ASN1_UTF8STRING },
		{ "a line break", "alice\nbob", 9, V_ASN1_UTF8STRING },
		{ "a blank in front", " alice", 6, V_ASN1_UTF8STRING },
		{ "a blank behind", "alice ", 6, V_ASN1_UTF8STRING },
		{ "broken UTF-8", "al\xff", 3, V_ASN1_UTF8STRING },
		{ "DEL", "al\x7f", 3, V_ASN1_UTF8STRING },
	};
	char user[IPC_USER_MAX + 1], text[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		X509 *x = X509_new();
		X509_NAME *name = X509_NAME_new();
		ASN1_STRING *s = ASN1_STRING_type_new(cases[i].type);
		ASN1_STRING_set(s, cases[i].p, cases[i].n);
		ASN1_OBJECT *cn = OBJ_nid2obj(NID_commonName);
		X509_NAME_ENTRY *e = X509_NAME_ENTRY_create_by_OBJ(
			NULL, cn, cases[i].type, ASN1_STRING_get0_data(s), cases[i].n);
		X509_NAME_add_entry(name, e, -1, 0);
		X509_set_subject_name(x, name);
		is_int(clientcert_user(x, CERT_USER_CN, user), E_NOENT, "%s",
		       cases[i].what);
		clientcert_text(x, text, sizeof(text));
		bool clean = true;
		for (const char *p = text; *p; p++)
			clean = clean && *p >= ' ' && *p < 0x7f;
		ok(clean, "its text is fit for a log: %s", text);
		X509_NAME_ENTRY_free(e);
		ASN1_STRING_free(s);
		X509_NAME_free(name);
		X509_free(x);
	}
}

int
main(void)
{
	root = cert_make("Root", NULL, 1, -9, 99, CA_EXTS);
	other = cert_make("Root", NULL, 1, -9, 99, CA_EXTS);
	inter = cert_make("Inter", &root, 2, -9, 99, CA_EXTS);
	alice = cert_make("alice", &inter, 5, -1, 9, CLIENT_EXTS);
	only_our_chain_passes();
	dates_and_purpose_count();
	chains_are_short();
	lists_must_cover_the_chain();
	lists_are_read_whole_or_not_at_all();
	names_are_found_where_they_are();
	names_that_are_none();
	made_free(&root);
	made_free(&other);
	made_free(&inter);
	made_free(&alice);
	return done_testing();
}
