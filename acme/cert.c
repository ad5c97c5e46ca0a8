/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/cert.h"

#include "common/b64.h"
#include "common/err.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { DAY_S = 86400, CLOCK_SLACK_S = 3600 };

static const char oid_acme_identifier[] = "1.3.6.1.5.5.7.1.31"; /* RFC 8737 6.1 */

void
cert_wipe(char *secret)
{
	if (secret != NULL)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

/* ---- text out of a memory BIO ---- */

static int
bio_text(BIO *b, char **text)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	*text = n < 0 ? NULL : malloc((size_t)n + 1);
	if (*text == NULL)
		return E_NOMEM;
	memcpy(*text, p, (size_t)n);
	(*text)[n] = '\0';
	return 0;
}

/* ---- keys ---- */

int
cert_key_new(EVP_PKEY **out, enum cert_key type)
{
	*out = type == CERT_KEY_RSA2048 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	return *out == NULL ? E_TLS : 0;
}

int
cert_key_pem(EVP_PKEY *key, char **pem)
{
	BIO *b = BIO_new(BIO_s_secmem());
	int rc = E_TLS;

	*pem = NULL;
	if (b != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1)
		rc = bio_text(b, pem);
	BIO_free(b);
	return rc;
}

int
cert_key_read(EVP_PKEY **out, struct span pem)
{
	BIO *b = pem.n > INT32_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);

	/* An empty passphrase, so that nothing ever asks on a terminal. */
	*out = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, NULL, "");
	BIO_free(b);
	ERR_clear_error();
	return *out == NULL ? E_PROTO : 0;
}

/* ---- making ---- */

static int
add_extension(STACK_OF(X509_EXTENSION) * all, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (e == NULL || sk_X509_EXTENSION_push(all, e) == 0) {
		X509_EXTENSION_free(e);
		return E_TLS;
	}
	return 0;
}

/* Names are host names, checked when they were configured. */
static int
add_names(STACK_OF(X509_EXTENSION) * all, const char *const *names, size_t n)
{
	char text[CERT_NAMES_MAX * (CERT_TEXT + 5)];
	struct wr w = wr_open(text, sizeof(text));

	for (size_t i = 0; i < n; i++)
		wr_fmt(&w, "%sDNS:%s", i > 0 ? "," : "", names[i]);
	wr_u8(&w, '\0');
	return wr_full(&w) ? E_LIMIT : add_extension(all, NID_subject_alt_name, text);
}

/* What every certificate of ours is for; from 2026 authorities issue nothing else. */
static int
extensions_new(STACK_OF(X509_EXTENSION) * *out, const char *const *names, size_t n)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	int rc = all == NULL ? E_NOMEM : 0;

	if (rc == 0)
		rc = add_names(all, names, n);
	if (rc == 0)
		rc = add_extension(all, NID_key_usage, "critical,digitalSignature");
	if (rc == 0)
		rc = add_extension(all, NID_ext_key_usage, "serverAuth");
	*out = all;
	return rc;
}

static void
extensions_free(STACK_OF(X509_EXTENSION) * all)
{
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
}

int
cert_request(EVP_PKEY *key, const char *const *names, size_t n, uint8_t **der,
	     size_t *der_n)
{
	X509_REQ *r = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *all = NULL;
	int len, rc = r == NULL ? E_NOMEM : extensions_new(&all, names, n);

	*der = NULL;
	/* RFC 8555 7.4: the names may stand in the SAN alone; a common name is limited
	 * to 64 characters. */
	if (rc == 0 &&
	    (X509_REQ_set_version(r, 0) != 1 || X509_REQ_set_pubkey(r, key) != 1 ||
	     X509_REQ_add_extensions(r, all) != 1 ||
	     X509_REQ_sign(r, key, EVP_sha256()) == 0 ||
	     (len = i2d_X509_REQ(r, der)) <= 0))
		rc = E_TLS;
	else if (rc == 0)
		*der_n = (size_t)len;
	extensions_free(all);
	X509_REQ_free(r);
	return rc;
}

static int
set_common_name(X509 *x, const char *cn)
{
	X509_NAME *name = X509_NAME_new();
	int rc = E_TLS;

	/* ub-common-name is 64 (RFC 5280 A.1); the whole name is in the SAN. */
	int n = strlen(cn) > 64 ? 64 : (int)strlen(cn);
	if (name != NULL &&
	    X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
				       (const uint8_t *)cn, n, -1, 0) == 1 &&
	    X509_set_subject_name(x, name) == 1 && X509_set_issuer_name(x, name) == 1)
		rc = 0;
	X509_NAME_free(name);
	return rc;
}

static int
set_serial(X509 *x)
{
	uint8_t b[16];
	BIGNUM *n = NULL;
	int rc = E_TLS;

	if (RAND_bytes(b, sizeof(b)) == 1) {
		b[0] = (uint8_t)((b[0] & 0x7f) | 0x40);
		n = BN_bin2bn(b, sizeof(b), NULL);
		if (n != NULL &&
		    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL)
			rc = 0;
	}
	BN_free(n);
	return rc;
}

/* A certificate that its own key will sign, without extensions yet. */
static int
own_new(X509 **out, EVP_PKEY *key, const char *cn, int64_t now_s, unsigned days)
{
	X509 *x = *out = X509_new();

	if (x == NULL)
		return E_NOMEM;
	if (X509_set_version(x, X509_VERSION_3) != 1 || set_serial(x) < 0 ||
	    set_common_name(x, cn) < 0 || X509_set_pubkey(x, key) != 1 ||
	    /* Clients' clocks may be behind ours. */
	    ASN1_TIME_set(X509_getm_notBefore(x), now_s - DAY_S) == NULL ||
	    ASN1_TIME_set(X509_getm_notAfter(x), now_s + (int64_t)days * DAY_S) == NULL)
		return E_TLS;
	return 0;
}

static int
own_sign(X509 *x, EVP_PKEY *key, STACK_OF(X509_EXTENSION) * all)
{
	for (int i = 0; i < sk_X509_EXTENSION_num(all); i++)
		if (X509_add_ext(x, sk_X509_EXTENSION_value(all, i), -1) != 1)
			return E_TLS;
	return X509_sign(x, key, EVP_sha256()) == 0 ? E_TLS : 0;
}

static int
own_pem(X509 *x, char **pem)
{
	BIO *b = BIO_new(BIO_s_mem());
	int rc = E_TLS;

	if (b != NULL && PEM_write_bio_X509(b, x) == 1)
		rc = bio_text(b, pem);
	BIO_free(b);
	return rc;
}

int
cert_self_signed(EVP_PKEY *key, const char *const *names, size_t n, int64_t now_s,
		 unsigned days, char **pem)
{
	STACK_OF(X509_EXTENSION) *all = NULL;
	X509 *x = NULL;
	int rc = own_new(&x, key, names[0], now_s, days);

	*pem = NULL;
	if (rc == 0)
		rc = extensions_new(&all, names, n);
	if (rc == 0)
		rc = own_sign(x, key, all);
	if (rc == 0)
		rc = own_pem(x, pem);
	extensions_free(all);
	X509_free(x);
	return rc;
}

/* RFC 8737 3: Authorization ::= OCTET STRING (SIZE (32)), critical. */
static int
add_acme_identifier(STACK_OF(X509_EXTENSION) * all, const uint8_t digest[32])
{
	uint8_t der[2 + 32] = { 0x04, 32 };
	ASN1_OBJECT *oid = OBJ_txt2obj(oid_acme_identifier, 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e = NULL;
	int rc = E_TLS;

	memcpy(der + 2, digest, 32);
	if (oid != NULL && value != NULL &&
	    ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
		e = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
	if (e != NULL && sk_X509_EXTENSION_push(all, e) > 0)
		rc = 0;
	else
		X509_EXTENSION_free(e);
	ASN1_OBJECT_free(oid);
	ASN1_OCTET_STRING_free(value);
	return rc;
}

int
cert_alpn(const char *name, const uint8_t digest[32], char **pem)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	char *a = NULL, *b = NULL;
	int rc = all == NULL ? E_NOMEM : cert_key_new(&key, CERT_KEY_P256);

	*pem = NULL;
	if (rc == 0)
		rc = own_new(&x, key, name, (int64_t)time(NULL), 7);
	if (rc == 0)
		rc = add_names(all, &name, 1);
	if (rc == 0)
		rc = add_acme_identifier(all, digest);
	if (rc == 0)
		rc = own_sign(x, key, all);
	if (rc == 0)
		rc = cert_key_pem(key, &a);
	if (rc == 0)
		rc = own_pem(x, &b);
	if (rc == 0 && asprintf(pem, "%s%s", a, b) < 0) {
		*pem = NULL;
		rc = E_NOMEM;
	}
	extensions_free(all);
	cert_wipe(a);
	free(b);
	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}

/* ---- reading ---- */

struct chain {
	X509 *x[CERT_CHAIN_MAX];
	size_t n;
};

static void
chain_free(struct chain *c)
{
	while (c->n > 0)
		X509_free(c->x[--c->n]);
}

/* Certificates one after the other and nothing else but blanks and comments. */
static int
chain_read(struct chain *c, struct span pem)
{
	BIO *b;
	X509 *x;
	int rc = 0;

	*c = (struct chain){ .n = 0 };
	if (pem.n > CERT_PEM_MAX || (b = BIO_new_mem_buf(pem.p, (int)pem.n)) == NULL)
		return E_LIMIT;
	while (rc == 0 && (x = PEM_read_bio_X509(b, NULL, NULL, "")) != NULL) {
		if (c->n < CERT_CHAIN_MAX) {
			c->x[c->n++] = x;
		} else {
			X509_free(x);
			rc = E_LIMIT;
		}
	}
	unsigned long e = ERR_peek_last_error();
	if (rc == 0 && (c->n == 0 || ERR_GET_REASON(e) != PEM_R_NO_START_LINE))
		rc = E_PROTO;
	ERR_clear_error();
	BIO_free(b);
	if (rc < 0)
		chain_free(c);
	return rc;
}

static void
name_text(X509_NAME *name, char out[CERT_TEXT])
{
	out[0] = '\0';
	if (X509_NAME_get_text_by_NID(name, NID_commonName, out, CERT_TEXT) <= 0) {
		char *all = X509_NAME_oneline(name, NULL, 0);
		snprintf(out, CERT_TEXT, "%s", all != NULL ? all : "");
		OPENSSL_free(all);
	}
	for (char *p = out; *p; p++)
		if ((uint8_t)*p < 0x20 || (uint8_t)*p > 0x7e)
			*p = '?';
}

static int64_t
time_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
read_names(struct cert_facts *f, X509 *x)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		if (g->type != GEN_DNS || f->n_names == CERT_NAMES_MAX)
			continue;
		const ASN1_IA5STRING *s = g->d.dNSName;
		size_t n = (size_t)ASN1_STRING_length(s);
		const uint8_t *p = ASN1_STRING_get0_data(s);
		if (n == 0 || n >= CERT_TEXT || memchr(p, '\0', n) != NULL)
			continue;
		memcpy(f->names[f->n_names], p, n);
		f->names[f->n_names++][n] = '\0';
	}
	GENERAL_NAMES_free(all);
}

static void
read_serial(struct cert_facts *f, X509 *x)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	const ASN1_OCTET_STRING *aki = X509_get0_authority_key_id(x);
	struct wr hex = wr_open(f->serial, sizeof(f->serial) - 1);
	struct wr id = wr_open(f->ari_id, sizeof(f->ari_id) - 1);
	struct span s = span_of(ASN1_STRING_get0_data(serial),
				(size_t)ASN1_STRING_length(serial));

	hex_encode(&hex, s);
	/* RFC 9773 4.1: the serial's DER octets: a leading zero keeps it positive. */
	uint8_t der[32] = { 0 };
	struct wr d = wr_open(der, sizeof(der));
	if (s.n > 0 && s.p[0] & 0x80)
		wr_u8(&d, 0);
	wr_put(&d, s);
	if (aki == NULL || wr_full(&d))
		return;
	b64url_encode(&id, span_of(ASN1_STRING_get0_data(aki),
				   (size_t)ASN1_STRING_length(aki)));
	wr_u8(&id, '.');
	b64url_encode(&id, wr_span(&d));
	if (wr_full(&id))
		memset(f->ari_id, 0, sizeof(f->ari_id));
}

int
cert_read(struct cert_facts *f, struct span pem)
{
	struct chain c;
	uint8_t sha[EVP_MAX_MD_SIZE];
	unsigned sha_n = 0;
	int rc = chain_read(&c, pem);

	*f = (struct cert_facts){ .n_names = 0 };
	if (rc < 0)
		return rc;
	f->n_chain = c.n;
	name_text(X509_get_subject_name(c.x[0]), f->subject);
	name_text(X509_get_issuer_name(c.x[0]), f->issuer);
	name_text(X509_get_issuer_name(c.x[c.n - 1]), f->root);
	f->not_before = time_of(X509_get0_notBefore(c.x[0]));
	f->not_after = time_of(X509_get0_notAfter(c.x[0]));
	f->is_self_signed = X509_NAME_cmp(X509_get_subject_name(c.x[0]),
					  X509_get_issuer_name(c.x[0])) == 0;
	read_names(f, c.x[0]);
	read_serial(f, c.x[0]);
	if (X509_digest(c.x[0], EVP_sha256(), sha, &sha_n) == 1) {
		struct wr w = wr_open(f->sha256, sizeof(f->sha256) - 1);
		hex_encode(&w, span_of(sha, sha_n));
	}
	chain_free(&c);
	return 0;
}

/* ---- judging ---- */

static bool
has_name(const struct cert_facts *f, const char *name)
{
	for (size_t i = 0; i < f->n_names; i++)
		if (strcasecmp(f->names[i], name) == 0)
			return true;
	return false;
}

bool
cert_names_are(const struct cert_facts *f, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!has_name(f, names[i]))
			return false;
	for (size_t i = 0; i < f->n_names; i++) {
		bool is_asked = false;
		for (size_t j = 0; j < n; j++)
			is_asked |= strcasecmp(f->names[i], names[j]) == 0;
		if (!is_asked)
			return false;
	}
	return n > 0;
}

__attribute__((format(printf, 3, 4))) static int
refuse(char *why, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, cap, fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return E_INVAL;
}

static int
judge_links(const struct chain *c, char *why, size_t cap)
{
	for (size_t i = 0; i + 1 < c->n; i++) {
		EVP_PKEY *k = X509_get0_pubkey(c->x[i + 1]);
		if (X509_NAME_cmp(X509_get_issuer_name(c->x[i]),
				  X509_get_subject_name(c->x[i + 1])) != 0 ||
		    k == NULL || X509_verify(c->x[i], k) != 1)
			return refuse(why, cap,
				      "certificate %zu of the chain did not sign the "
				      "one before it",
				      i + 2);
		if (X509_check_ca(c->x[i + 1]) == 0)
			return refuse(why, cap,
				      "certificate %zu of the chain is no authority's",
				      i + 2);
	}
	return 0;
}

static int
judge_times(const struct cert_facts *f, int64_t now_s, char *why, size_t cap)
{
	if (f->not_after <= now_s)
		return refuse(why, cap, "the certificate has expired already");
	if (f->not_before > now_s + CLOCK_SLACK_S)
		return refuse(why, cap,
			      "the certificate is not valid yet: is this clock right?");
	return 0;
}

int
cert_judge(struct span pem, EVP_PKEY *key, const char *const *names, size_t n,
	   int64_t now_s, char *why, size_t cap)
{
	struct cert_facts *f = malloc(sizeof(*f));
	struct chain c;
	int rc = f == NULL ? E_NOMEM : cert_read(f, pem);

	if (rc == 0)
		rc = chain_read(&c, pem);
	if (rc < 0) {
		free(f);
		return refuse(why, cap, "what was sent is no chain of certificates");
	}
	if (X509_check_private_key(c.x[0], key) != 1)
		rc = refuse(why, cap, "the certificate is for another key");
	else if (!cert_names_are(f, names, n))
		rc = refuse(why, cap, "the certificate is for other names (%s%s)",
			    f->n_names > 0 ? f->names[0] : "none",
			    f->n_names > 1 ? ", ..." : "");
	else if (X509_get_extended_key_usage(c.x[0]) != UINT32_MAX &&
		 (X509_get_extended_key_usage(c.x[0]) & XKU_SSL_SERVER) == 0)
		rc = refuse(why, cap, "the certificate is not for servers");
	else
		rc = judge_times(f, now_s, why, cap);
	if (rc == 0)
		rc = judge_links(&c, why, cap);
	chain_free(&c);
	free(f);
	return rc;
}

int
cert_normal(struct span pem, char **out)
{
	struct chain c;
	BIO *b = BIO_new(BIO_s_mem());
	int rc = b == NULL ? E_NOMEM : chain_read(&c, pem);

	*out = NULL;
	if (rc < 0) {
		BIO_free(b);
		return rc;
	}
	for (size_t i = 0; rc == 0 && i < c.n; i++)
		rc = PEM_write_bio_X509(b, c.x[i]) == 1 ? 0 : E_TLS;
	if (rc == 0)
		rc = bio_text(b, out);
	BIO_free(b);
	chain_free(&c);
	return rc;
}

int
cert_leaf_b64(struct span pem, char **text)
{
	struct chain c;
	uint8_t *der = NULL;
	int rc = chain_read(&c, pem);

	*text = NULL;
	if (rc < 0)
		return rc;
	int n = i2d_X509(c.x[0], &der);
	size_t cap = n > 0 ? ((size_t)n * 4 + 2) / 3 + 2 : 0;
	*text = n > 0 ? malloc(cap) : NULL;
	if (*text == NULL) {
		rc = E_NOMEM;
	} else {
		struct wr w = wr_open(*text, cap);
		b64url_encode(&w, span_of(der, (size_t)n));
		wr_u8(&w, '\0');
	}
	OPENSSL_free(der);
	chain_free(&c);
	return rc;
}
