/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The verdicts on uploads, and the requests they answer. */
#include "acme/chain.h"
#include "acme/csr.h"
#include "common/err.h"
#include "tests/lib/tap.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1800000000, DAY = 86400 };

/* ---- a small authority */

struct id {
	EVP_PKEY *key;
	X509 *x;
};

static void
extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (e == NULL || X509_add_ext(x, e, -1) != 1)
		abort();
	X509_EXTENSION_free(e);
}

struct wish {
	const char *cn, *san, *eku;
	int from, days;
	bool is_ca;
	const EVP_MD *md;
	EVP_PKEY *key; /* borrowed; NULL: a new one */
};

static struct id
issue(const struct id *by, struct wish w)
{
	static long serial = 1000;
	struct id i = { w.key != NULL ? w.key : EVP_EC_gen("P-256"), X509_new() };
	X509_NAME *name = X509_get_subject_name(i.x);

	if (w.key != NULL)
		EVP_PKEY_up_ref(w.key);
	X509_set_version(i.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(i.x), ++serial);
	X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
				   (const uint8_t *)w.cn, -1, -1, 0);
	X509_set_issuer_name(i.x, by != NULL ? X509_get_subject_name(by->x) : name);
	ASN1_TIME_set(X509_getm_notBefore(i.x), NOW + (long)w.from * DAY);
	ASN1_TIME_set(X509_getm_notAfter(i.x),
		      NOW + (long)(w.days != 0 ? w.days : 90) * DAY);
	X509_set_pubkey(i.x, i.key);
	X509 *issuer = by != NULL ? by->x : i.x;
	extend(i.x, issuer, NID_basic_constraints,
	       w.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	extend(i.x, issuer, NID_key_usage,
	       w.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	if (w.san != NULL)
		extend(i.x, issuer, NID_subject_alt_name, w.san);
	if (w.eku != NULL)
		extend(i.x, issuer, NID_ext_key_usage, w.eku);
	if (X509_sign(i.x, by != NULL ? by->key : i.key,
		      w.md != NULL ? w.md : EVP_sha256()) == 0)
		abort();
	return i;
}

static void
id_free(struct id *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->x);
}

/* Text of certificates, one after the other; NULL ends. */
static char *
pem(X509 *first, ...)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *out;
	va_list ap;

	va_start(ap, first);
	for (X509 *x = first; x != NULL; x = va_arg(ap, X509 *))
		PEM_write_bio_X509(b, x);
	va_end(ap);
	long n = BIO_get_mem_data(b, &p);
	out = strndup(n > 0 ? p : "", (size_t)n);
	BIO_free(b);
	return out;
}

static char *
key_pem(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *out;

	PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	long n = BIO_get_mem_data(b, &p);
	out = strndup(p, (size_t)n);
	BIO_free(b);
	return out;
}

static char *
join(char *a, char *b)
{
	char *out;

	if (asprintf(&out, "%s%s", a, b) < 0)
		abort();
	free(a);
	free(b);
	return out;
}

static struct id root, inter, leaf, other;
static const char *const dialled[] = { "vpn.example.test", "b.example.test" };

static int
judge(struct span device, struct span chain, struct chain_verdict *v)
{
	struct chain_question q = { .device = device,
				    .chain = chain,
				    .key = leaf.key,
				    .names = dialled,
				    .n_names = 1,
				    .now_s = NOW };
	return chain_judge(&q, v);
}

/* Takes both texts. */
static void
is_refused(char *device, char *chain, enum chain_fault fault, const char *text,
	   const char *what)
{
	struct chain_verdict v;

	is_int(judge(span_str(device), span_str(chain), &v), E_INVAL, "%s: refused",
	       what);
	is_str(chain_fault_code(v.fault), chain_fault_code(fault), "%s: why", what);
	ok(strstr(v.why, text) != NULL, "%s: %s", what, v.why);
	ok(v.served == NULL && v.device == NULL && v.chain == NULL,
	   "%s: nothing is given", what);
	if (fault == CHAIN_UNVERIFIED)
		is_str(v.why, "Failed verifying Device Cert with Cert Chain",
		       "%s: exactly this text", what);
	free(device);
	free(chain);
}

static void
a_good_one_is_served_without_its_root(void)
{
	struct chain_verdict v;
	char *device = pem(leaf.x, NULL), *chain = pem(inter.x, root.x, NULL);
	char *want = pem(leaf.x, inter.x, NULL), *back = pem(root.x, inter.x, NULL);

	is_int(judge(span_str(device), span_str(chain), &v), 0, "R55 accepted: %s",
	       v.why);
	is_str(v.served, want, "leaf and intermediate are served");
	is_str(v.device, device, "the leaf");
	is_str(v.chain, chain, "R45 the rest up to the root");
	is_str(v.warning, "", "nothing to warn of");
	chain_verdict_free(&v);
	is_int(judge(span_str(device), span_str(back), &v), 0,
	       "the order of the chain does not matter");
	is_str(v.served, want, "it is served in the right one");
	chain_verdict_free(&v);
	char *noisy = join(strdup("subject=/CN=x\n\n"), strdup(chain));
	is_int(judge(span_str(device), span_str(noisy), &v), 0,
	       "text around certificates is fine");
	chain_verdict_free(&v);
	free(noisy);
	free(device);
	free(chain);
	free(want);
	free(back);
}

static void
only_pem_certificates_are_taken(void)
{
	struct chain_verdict v;
	uint8_t *der = NULL, *p12 = NULL;
	int n = i2d_X509(leaf.x, &der);
	PKCS12 *p = PKCS12_create("pw", "x", leaf.key, leaf.x, NULL, 0, 0, 0, 0, 0);
	int p12_n = i2d_PKCS12(p, &p12);
	char *good = pem(leaf.x, NULL), *chain = pem(inter.x, root.x, NULL);
	static char big[CHAIN_FILE_MAX + 1];

	memset(big, 'x', sizeof(big));
	const struct {
		const char *what, *says;
		struct span file;
	} bad[] = {
		{ "empty", "empty", { 0 } },
		{ "DER", "DER form", span_of(der, (size_t)n) },
		{ "DER, cut", "no PEM", span_of(der, (size_t)n / 2) },
		{ "PKCS#12", "PKCS#12", span_of(p12, (size_t)p12_n) },
		{ "text", "no PEM", SPAN("hello\n") },
		{ "zeroes", "no PEM", span_of("\0\0\0\0", 4) },
		{ "too large", "more than 65536 bytes", span_of(big, sizeof(big)) },
		{ "CSR", "signing request",
		  SPAN("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n") },
		{ "PKCS#7", "PKCS#7", SPAN("-----BEGIN PKCS7-----\nAA==\n") },
		{ "CRL", "revocation list", SPAN("-----BEGIN X509 CRL-----\nAA==\n") },
		{ "damaged", "damaged",
		  SPAN("-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
		       "CERTIFICATE-----\n") },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		is_int(judge(bad[i].file, span_str(chain), &v), E_INVAL,
		       "R52 device: %s", bad[i].what);
		ok(strstr(v.why, bad[i].says) && strstr(v.why, "Device certificate"),
		   "%s", v.why);
		is_int(judge(span_str(good), bad[i].file, &v), E_INVAL, "R53 chain: %s",
		       bad[i].what);
		ok(strstr(v.why, bad[i].says) && strstr(v.why, "CA certificate"), "%s",
		   v.why);
		is_int(chain_judge_client_ca(bad[i].file, NOW, &v), E_INVAL,
		       "R74 client CA: %s", bad[i].what);
	}
	is_refused(key_pem(leaf.key), strdup(chain), CHAIN_NOT_PEM, "private key",
		   "R52 a key");
	is_refused(join(key_pem(leaf.key), strdup(good)), strdup(chain), CHAIN_NOT_PEM,
		   "private key", "R51 a key and a certificate");
	is_refused(join(strdup(good), strdup(chain)), strdup(chain), CHAIN_TOO_LARGE,
		   "3 certificates", "R52 the chain in the device's place too");
	OPENSSL_free(der);
	OPENSSL_free(p12);
	PKCS12_free(p);
	free(good);
	free(chain);
}

static struct wish
leaf_wish(void)
{
	return (struct wish){ .cn = "vpn.example.test",
			      .san = "DNS:vpn.example.test",
			      .eku = "serverAuth",
			      .from = -1,
			      .key = leaf.key };
}

static void
the_leaf_must_be_ours_valid_and_for_servers(void)
{
	struct wish w = leaf_wish();

	is_refused(pem(other.x, NULL), pem(inter.x, root.x, NULL), CHAIN_OTHER_KEY,
		   "generate a new CSR", "R57 another key");
	is_refused(pem(inter.x, NULL), pem(inter.x, root.x, NULL), CHAIN_IS_CA,
		   "exchanged", "the two files exchanged");
	w.days = -1;
	w.from = -30;
	struct id x = issue(&inter, w);
	is_refused(pem(x.x, NULL), pem(inter.x, root.x, NULL), CHAIN_DATES,
		   "valid from 2026-12-16 08:00:00 UTC until 2027-01-14 08:00:00 UTC",
		   "R72 expired");
	id_free(&x);
	w = leaf_wish();
	w.from = 10;
	x = issue(&inter, w);
	is_refused(pem(x.x, NULL), pem(inter.x, root.x, NULL), CHAIN_DATES,
		   "not valid yet", "R72 not yet valid");
	id_free(&x);
	w = leaf_wish();
	w.san = "DNS:*.example.test";
	x = issue(&inter, w);
	is_refused(pem(x.x, NULL), pem(inter.x, root.x, NULL), CHAIN_WILDCARD,
		   "wildcard", "R61 wildcard SAN");
	id_free(&x);
	w = leaf_wish();
	w.cn = "*.example.test";
	x = issue(&inter, w);
	is_refused(pem(x.x, NULL), pem(inter.x, root.x, NULL), CHAIN_WILDCARD,
		   "wildcard", "R61 wildcard CN");
	id_free(&x);
	w = leaf_wish();
	w.eku = "clientAuth";
	x = issue(&inter, w);
	is_refused(pem(x.x, NULL), pem(inter.x, root.x, NULL), CHAIN_PURPOSE,
		   "serverAuth", "R70 for clients alone");
	id_free(&x);

	struct chain_verdict v;
	struct chain_question q = { .now_s = NOW };
	char *a = pem(leaf.x, NULL), *b = pem(inter.x, root.x, NULL);
	q.device = span_str(a);
	q.chain = span_str(b);
	is_int(chain_judge(&q, &v), E_INVAL, "without a CSR: refused");
	is_int(v.fault, CHAIN_NO_CSR, "R68 a CSR is needed first");
	free(a);
	free(b);
}

static void
the_chain_must_verify_it_up_to_a_root(void)
{
	struct wish ca = { .cn = "Root", .is_ca = true, .from = -10, .days = 900 };
	struct id root2 = issue(NULL, ca);
	ca.cn = "Inter";
	struct id twin = issue(&root2, ca); /* same name, other key */
	ca.days = -1;
	struct id old = issue(&root, ca);
	ca.days = 900;
	ca.md = EVP_sha1();
	struct id weak = issue(&root, ca);
	ca.md = NULL;
	ca.is_ca = false;
	struct id no_ca = issue(&root, ca);

	is_refused(pem(leaf.x, NULL), pem(root.x, NULL), CHAIN_UNVERIFIED, "",
		   "R54 intermediate left out");
	is_refused(pem(leaf.x, NULL), pem(inter.x, root2.x, NULL), CHAIN_UNVERIFIED, "",
		   "R54 wrong root");
	is_refused(pem(leaf.x, NULL), pem(inter.x, NULL), CHAIN_UNVERIFIED, "",
		   "R55 no root");
	is_refused(pem(leaf.x, NULL), pem(twin.x, root2.x, NULL), CHAIN_UNVERIFIED, "",
		   "R56 another authority of the same name");
	is_refused(pem(leaf.x, NULL), pem(root2.x, NULL), CHAIN_UNVERIFIED, "",
		   "R56 another authority");
	is_refused(pem(leaf.x, NULL), pem(other.x, NULL), CHAIN_UNVERIFIED, "",
		   "a leaf as chain");

	struct id l = issue(&old, leaf_wish());
	is_refused(pem(l.x, NULL), pem(old.x, root.x, NULL), CHAIN_UNVERIFIED, "",
		   "R54 expired authority");
	id_free(&l);
	l = issue(&weak, leaf_wish());
	is_refused(pem(l.x, NULL), pem(weak.x, root.x, NULL), CHAIN_UNVERIFIED, "",
		   "an authority signed with SHA-1");
	id_free(&l);
	l = issue(&no_ca, leaf_wish());
	is_refused(pem(l.x, NULL), pem(no_ca.x, root.x, NULL), CHAIN_UNVERIFIED, "",
		   "an issuer that is no authority");
	id_free(&l);
	l = issue(NULL, leaf_wish());
	is_refused(pem(l.x, NULL), pem(l.x, NULL), CHAIN_UNVERIFIED, "",
		   "it signed itself");
	id_free(&l);

	char *many = strdup("");
	for (int i = 0; i < CHAIN_CERTS_MAX + 1; i++)
		many = join(many, pem(root.x, NULL));
	is_refused(pem(leaf.x, NULL), many, CHAIN_TOO_LARGE, "more than 8",
		   "too many certificates");

	struct chain_verdict v;
	struct id alien = issue(NULL, (struct wish){ .cn = "Alien", .is_ca = true });
	char *a = pem(leaf.x, NULL), *b = pem(alien.x, inter.x, root.x, NULL);
	char *want = pem(leaf.x, inter.x, NULL);
	id_free(&alien);
	is_int(judge(span_str(a), span_str(b), &v), 0, "one too many does not harm");
	is_str(v.served, want, "it is not served");
	chain_verdict_free(&v);
	free(a);
	free(b);
	free(want);
	id_free(&root2);
	id_free(&twin);
	id_free(&old);
	id_free(&weak);
	id_free(&no_ca);
}

static void
names_that_are_missing_are_warned_of(void)
{
	struct chain_verdict v;
	struct wish w = leaf_wish();
	w.san = "DNS:else.example.test,IP:192.0.2.1";
	struct id x = issue(&inter, w);
	char *a = pem(x.x, NULL), *b = pem(inter.x, root.x, NULL);
	struct chain_question q = {
		span_str(a), span_str(b), leaf.key, dialled, 2, NOW
	};

	is_int(chain_judge(&q, &v), 0, "R60 accepted");
	ok(strstr(v.warning, "vpn.example.test, b.example.test") != NULL, "R60 %s",
	   v.warning);
	chain_verdict_free(&v);
	id_free(&x);
	free(a);
	free(b);
}

static void
client_authorities(void)
{
	struct chain_verdict v;
	char *a = pem(root.x, NULL), *b = pem(inter.x, NULL),
	     *c = pem(inter.x, root.x, NULL), *d = pem(leaf.x, NULL);

	is_int(chain_judge_client_ca(span_str(a), NOW, &v), 0, "R74 a root");
	is_str(v.chain, a, "is given back");
	chain_verdict_free(&v);
	is_int(chain_judge_client_ca(span_str(c), NOW, &v), 0, "R74 with intermediate");
	chain_verdict_free(&v);
	is_int(chain_judge_client_ca(span_str(b), NOW, &v), E_INVAL, "no root");
	is_int(chain_judge_client_ca(span_str(d), NOW, &v), E_INVAL, "no authority");
	ok(strstr(v.why, "no authority's") != NULL, "%s", v.why);
	is_int(chain_judge_client_ca(span_str(a), NOW + 2000LL * DAY, &v), E_INVAL,
	       "expired: %s", v.why);
	free(a);
	free(b);
	free(c);
	free(d);
}

/* ---- requests */

static char *
request_text(const char *text)
{
	BIO *in = BIO_new_mem_buf(text, -1), *out = BIO_new(BIO_s_mem());
	X509_REQ *r = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
	char *p, *copy;

	X509_REQ_print_ex(out, r, XN_FLAG_RFC2253, 0);
	long n = BIO_get_mem_data(out, &p);
	copy = strndup(p, (size_t)n);
	X509_REQ_free(r);
	BIO_free(in);
	BIO_free(out);
	return copy;
}

static void
a_request_has_every_field_in_its_place(void)
{
	struct csr_fields f;
	char why[CSR_WHY], cn[257], *text = NULL;
	json_t *o =
		json_pack("{s:s,s:[s,s],s:[s,s],s:s,s:s,s:s,s:s,s:s}", "common_name",
			  "gw1.example.test", "hosts", "vpn.example.test",
			  "VPN.example.test", "ips", "192.0.2.1", "2001:db8::1",
			  "organization", "Acme, Inc = CN", "unit", "Ops", "email",
			  "a@example.test", "state", "Bayern", "country", "de");

	is_int(csr_read(&f, o, why), 0, "R49 all fields");
	is_int((int)f.n_host, 2, "one name twice is one; the common name is one");
	json_t *back = csr_json(&f);
	is_str(json_string_value(json_object_get(back, "country")), "DE", "and back");
	json_decref(back);
	is_int(csr_make(leaf.key, &f, &text), 0, "made");
	csr_common_name(text, cn);
	is_str(cn, "gw1.example.test", "R65 its common name");
	char *said = request_text(text);
	static const char *const want[] = {
		"emailAddress=a@example.test",
		"CN=gw1.example.test",
		"OU=Ops",
		"O=Acme\\, Inc = CN",
		"ST=Bayern",
		"C=DE",
		"DNS:vpn.example.test",
		"DNS:gw1.example.test",
		"IP Address:192.0.2.1",
		"IP Address:2001:DB8:0:0:0:0:0:1",
		"TLS Web Server Authentication",
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		ok(strstr(said, want[i]) != NULL, "R49 %s", want[i]);
	ok(strstr(said, "Client Authentication") == NULL, "R70 serverAuth only");
	free(said);
	free(text);
	json_decref(o);
}

static void
bad_fields_are_refused_by_name(void)
{
	static const struct {
		const char *json, *says;
	} bad[] = {
		{ "{}", "Common name: is required" },
		{ "{'common_name':''}", "Common name: is required" },
		{ "{'common_name':7}", "Common name: must be a text" },
		{ "{'common_name':'*.x.test'}", "Common name: '*.x.test': wildcards" },
		{ "{'common_name':'a\\u000ab'}", "Common name: has a control" },
		{ "{'common_name':'0123456789012345678901234567890123456789012345678901"
		  "2345678901234'}",
		  "Common name: is longer than 64" },
		{ "{'common_name':'a','hosts':['*.x.test']}",
		  "Subject Alt Name (Hostnames): '*.x.test': wildcards" },
		{ "{'common_name':'a','hosts':['a b']}",
		  "Subject Alt Name (Hostnames): 'a b'" },
		{ "{'common_name':'a','hosts':['']}", "Subject Alt Name (Hostnames)" },
		{ "{'common_name':'a','hosts':['a..b']}",
		  "Subject Alt Name (Hostnames)" },
		{ "{'common_name':'a','hosts':['a,DNS:evil.test']}",
		  "Subject Alt Name (Hostnames)" },
		{ "{'common_name':'a','hosts':['192.0.2.1']}",
		  "belongs into Subject Alt Name (IPs)" },
		{ "{'common_name':'a','hosts':'x'}", "(Hostnames): must be a list" },
		{ "{'common_name':'a','hosts':['a1','a2','a3','a4','a5','a6','a7','a8',"
		  "'a9','b1','b2','b3','b4','b5','b6','b7','b8']}",
		  "more than 16 names" },
		{ "{'common_name':'a','ips':['300.1.1.1']}",
		  "Subject Alt Name (IPs): '300.1.1.1'" },
		{ "{'common_name':'a','ips':['x']}", "Subject Alt Name (IPs)" },
		{ "{'common_name':'a','ips':[1]}", "Subject Alt Name (IPs)" },
		{ "{'common_name':'a','country':'D'}", "Country Code: must be two" },
		{ "{'common_name':'a','country':'DEU'}", "Country Code: must be two" },
		{ "{'common_name':'a','country':'1A'}", "Country Code: must be two" },
		{ "{'common_name':'a','email':'x'}", "Email Address: 'x'" },
		{ "{'common_name':'a','email':'a@b@c'}", "Email Address" },
		{ "{'common_name':'a','email':'a b@c'}", "Email Address" },
	};
	struct csr_fields f;
	char why[CSR_WHY], text[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s", bad[i].json);
		for (char *p = text; *p != '\0'; p++)
			if (*p == '\'')
				*p = '"';
		json_t *o = json_loads(text, 0, NULL);
		is_int(csr_read(&f, o, why), E_INVAL, "R50 R61 %s", bad[i].json);
		ok(strstr(why, bad[i].says) != NULL, "%s", why);
		json_decref(o);
	}
}

int
main(void)
{
	root = issue(NULL,
		     (struct wish){
			     .cn = "Root", .is_ca = true, .from = -10, .days = 1000 });
	inter = issue(&root,
		      (struct wish){
			      .cn = "Inter", .is_ca = true, .from = -10, .days = 900 });
	leaf.key = NULL;
	struct wish w = { .cn = "vpn.example.test",
			  .san = "DNS:vpn.example.test",
			  .eku = "serverAuth",
			  .from = -1 };
	leaf = issue(&inter, w);
	other = issue(&inter, w);

	a_good_one_is_served_without_its_root();
	only_pem_certificates_are_taken();
	the_leaf_must_be_ours_valid_and_for_servers();
	the_chain_must_verify_it_up_to_a_root();
	names_that_are_missing_are_warned_of();
	client_authorities();
	a_request_has_every_field_in_its_place();
	bad_fields_are_refused_by_name();
	id_free(&root);
	id_free(&inter);
	id_free(&leaf);
	id_free(&other);
	return done_testing();
}
