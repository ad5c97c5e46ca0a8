/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* certs.h -- certificates, lists and keys for tests, made in memory. Whatever goes
 * wrong ends the test. */
#ifndef TESTS_LIB_CERTS_H
#define TESTS_LIB_CERTS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct made {
	X509 *x;
	EVP_PKEY *key;
};

enum { DAY_S = 86400 };

static inline void
must(int ok)
{
	if (!ok)
		abort();
}

/* A certificate on the name /CN=cn. by NULL: self-signed. from and to are days from
 * now. exts: "name", "value", ..., NULL as openssl.cnf writes them. */
static inline struct made
cert_make(const char *cn, const struct made *by, long serial, int from, int to,
	  const char *const *exts)
{
	struct made m = { .x = X509_new(), .key = EVP_EC_gen("P-256") };
	X509_NAME *name = X509_NAME_new();
	X509V3_CTX ctx;

	must(m.x != NULL && m.key != NULL && name != NULL);
	must(cn == NULL ||
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					(const unsigned char *)cn, -1, -1, 0));
	X509_set_version(m.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(m.x), serial);
	X509_gmtime_adj(X509_getm_notBefore(m.x), (long)from * DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(m.x), (long)to * DAY_S);
	X509_set_subject_name(m.x, name);
	X509_set_issuer_name(m.x, by ? X509_get_subject_name(by->x) : name);
	X509_set_pubkey(m.x, m.key);
	X509V3_set_ctx(&ctx, by ? by->x : m.x, m.x, NULL, NULL, 0);
	for (; exts != NULL && *exts != NULL; exts += 2) {
		X509_EXTENSION *e = X509V3_EXT_conf(NULL, &ctx, exts[0], exts[1]);
		must(e != NULL && X509_add_ext(m.x, e, -1));
		X509_EXTENSION_free(e);
	}
	must(X509_sign(m.x, by ? by->key : m.key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	return m;
}

static inline void
made_free(struct made *m)
{
	X509_free(m->x);
	EVP_PKEY_free(m->key);
	*m = (struct made){ 0 };
}

/* A list of `by` with one serial (0: empty), in force until `to` days from now. */
static inline X509_CRL *
crl_make(const struct made *by, long serial, int to)
{
	X509_CRL *l = X509_CRL_new();
	ASN1_TIME *t = ASN1_TIME_new();

	must(l != NULL && t != NULL);
	X509_CRL_set_version(l, 1);
	X509_CRL_set_issuer_name(l, X509_get_subject_name(by->x));
	X509_gmtime_adj(t, -2 * DAY_S);
	X509_CRL_set1_lastUpdate(l, t);
	X509_gmtime_adj(t, (long)to * DAY_S);
	X509_CRL_set1_nextUpdate(l, t);
	if (serial != 0) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *n = ASN1_INTEGER_new();
		ASN1_INTEGER_set(n, serial);
		X509_REVOKED_set_serialNumber(r, n);
		X509_gmtime_adj(t, -DAY_S);
		X509_REVOKED_set_revocationDate(r, t);
		X509_CRL_add0_revoked(l, r);
		ASN1_INTEGER_free(n);
	}
	X509_CRL_sort(l);
	must(X509_CRL_sign(l, by->key, EVP_sha256()) > 0);
	ASN1_TIME_free(t);
	return l;
}

static inline size_t
pem_add(char *to, size_t cap, size_t at, X509 *x, X509_CRL *l)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;

	must(x ? PEM_write_bio_X509(b, x) : PEM_write_bio_X509_CRL(b, l));
	long n = BIO_get_mem_data(b, &p);
	must(n > 0 && at + (size_t)n < cap);
	memcpy(to + at, p, (size_t)n);
	to[at + (size_t)n] = '\0';
	BIO_free(b);
	return at + (size_t)n;
}

#endif
