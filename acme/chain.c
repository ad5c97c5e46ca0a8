/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/chain.h"

#include "common/err.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AUTH_LEVEL = 2 /* what TLS asks of a chain that is shown */ };

static const char *const fault_code[CHAIN_FAULTS] = {
	[CHAIN_OK] = "ok",
	[CHAIN_NOT_PEM] = "not_pem",
	[CHAIN_TOO_LARGE] = "too_large",
	[CHAIN_IS_CA] = "is_ca",
	[CHAIN_OTHER_KEY] = "other_key",
	[CHAIN_NO_CSR] = "no_csr",
	[CHAIN_WILDCARD] = "wildcard",
	[CHAIN_DATES] = "dates",
	[CHAIN_PURPOSE] = "purpose",
	[CHAIN_UNVERIFIED] = "unverified",
};

const char *
chain_fault_code(enum chain_fault f)
{
	return fault_code[f];
}

/* The certificates of one file. */
struct bag {
	X509 *x[CHAIN_CERTS_MAX];
	size_t n;
};

static void
bag_free(struct bag *b)
{
	while (b->n > 0)
		X509_free(b->x[--b->n]);
}

__attribute__((format(printf, 3, 4))) static int
refuse(struct chain_verdict *v, enum chain_fault fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
	v->fault = fault;
	ERR_clear_error();
	return E_INVAL;
}

/* ---- is it PEM, and of what? ---- */

static bool
contains(struct span text, const char *word)
{
	return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

/* The name of a binary form that people mistake for it, or NULL. */
static const char *
binary_kind(struct span file)
{
	const unsigned char *p = file.p;
	const char *kind = NULL;
	X509 *x;
	PKCS12 *p12;
	PKCS7 *p7;

	if ((x = d2i_X509(NULL, &p, (long)file.n)) != NULL)
		kind = "a certificate in DER form; convert it with 'openssl x509 "
		       "-inform der -in FILE -out FILE.pem'";
	X509_free(x);
	p = file.p;
	if (kind == NULL && (p12 = d2i_PKCS12(NULL, &p, (long)file.n)) != NULL) {
		kind = "a PKCS#12 file; it holds a private key, and the key of this "
		       "node never leaves it: take the certificate alone";
		PKCS12_free(p12);
	}
	p = file.p;
	if (kind == NULL && (p7 = d2i_PKCS7(NULL, &p, (long)file.n)) != NULL) {
		kind = "a PKCS#7 file; convert it with 'openssl pkcs7 -inform der "
		       "-print_certs -in FILE -out FILE.pem'";
		PKCS7_free(p7);
	}
	ERR_clear_error();
	return kind;
}

static int
refuse_kind(struct chain_verdict *v, const char *slot, const char *is)
{
	return refuse(v, CHAIN_NOT_PEM,
		      "%s: only PEM certificates (.pem, .crt) are accepted; this file "
		      "is %s",
		      slot, is);
}

static size_t
count(struct span text, const char *word)
{
	size_t n = 0, len = strlen(word);

	for (const uint8_t *at; (at = memmem(text.p, text.n, word, len)) != NULL; n++) {
		size_t skip = (size_t)(at - text.p) + len;
		text = span_of(text.p + skip, text.n - skip);
	}
	return n;
}

/* Anything but certificates in it is a mistake that is better told than guessed at. */
static int
judge_form(struct span file, const char *slot, struct chain_verdict *v)
{
	if (file.n == 0)
		return refuse_kind(v, slot, "empty");
	if (file.n > CHAIN_FILE_MAX)
		return refuse(v, CHAIN_TOO_LARGE, "%s: the file has more than %d bytes",
			      slot, CHAIN_FILE_MAX);
	if (contains(file, "PRIVATE KEY-----"))
		return refuse(v, CHAIN_NOT_PEM,
			      "%s: there is a private key in this file; keep it, and "
			      "upload the certificate alone",
			      slot);
	if (contains(file, "-----BEGIN CERTIFICATE REQUEST") ||
	    contains(file, "-----BEGIN NEW CERTIFICATE REQUEST"))
		return refuse_kind(v, slot,
				   "a signing request; have it signed by an authority "
				   "and upload the certificate");
	if (contains(file, "-----BEGIN PKCS7"))
		return refuse_kind(v, slot,
				   "PKCS#7; convert it with 'openssl pkcs7 "
				   "-print_certs -in FILE -out FILE.pem'");
	if (contains(file, "-----BEGIN X509 CRL"))
		return refuse_kind(v, slot, "a revocation list");
	if (!contains(file, "-----BEGIN CERTIFICATE-----")) {
		const char *kind = binary_kind(file);
		return refuse_kind(v, slot,
				   kind != NULL ? kind : "no PEM certificate at all");
	}
	if (count(file, "-----BEGIN ") != count(file, "-----BEGIN CERTIFICATE-----"))
		return refuse_kind(v, slot,
				   "PEM, but there is something else than "
				   "certificates in it");
	return 0;
}

static int
read_bag(struct bag *bag, struct span file, const char *slot, struct chain_verdict *v)
{
	int rc = judge_form(file, slot, v);
	BIO *in;
	X509 *x;

	*bag = (struct bag){ .n = 0 };
	if (rc < 0)
		return rc;
	if (count(file, "-----BEGIN CERTIFICATE-----") > CHAIN_CERTS_MAX)
		return refuse(v, CHAIN_TOO_LARGE,
			      "%s: more than %d certificates in the file", slot,
			      CHAIN_CERTS_MAX);
	if ((in = BIO_new_mem_buf(file.p, (int)file.n)) == NULL)
		return E_NOMEM;
	while (bag->n < CHAIN_CERTS_MAX &&
	       (x = PEM_read_bio_X509(in, NULL, NULL, (void *)"")) != NULL)
		bag->x[bag->n++] = x;
	BIO_free(in);
	ERR_clear_error();
	if (bag->n == count(file, "-----BEGIN CERTIFICATE-----"))
		return 0;
	rc = refuse(v, CHAIN_NOT_PEM,
		    "%s: certificate %zu of the file cannot be read; it is damaged",
		    slot, bag->n + 1);
	bag_free(bag);
	return rc;
}

/* ---- the leaf ---- */

static bool
has_star(const ASN1_STRING *s)
{
	return s != NULL && memchr(ASN1_STRING_get0_data(s), '*',
				   (size_t)ASN1_STRING_length(s)) != NULL;
}

static bool
is_wildcard(const X509 *x)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = -1;
	     (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;)
		found |= has_star(
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		found |= g->type == GEN_DNS && has_star(g->d.dNSName);
	}
	GENERAL_NAMES_free(san);
	return found;
}

static int
date_text(const ASN1_TIME *t, char out[32])
{
	struct tm tm;

	snprintf(out, 32, "?");
	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return 0;
}

static int
judge_dates(const X509 *x, int64_t now_s, const char *what, struct chain_verdict *v)
{
	time_t now = (time_t)now_s;
	char from[32], to[32], today[32];
	struct tm tm;

	date_text(X509_get0_notBefore(x), from);
	date_text(X509_get0_notAfter(x), to);
	gmtime_r(&now, &tm);
	strftime(today, sizeof(today), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (X509_cmp_time(X509_get0_notAfter(x), &now) <= 0)
		return refuse(v, CHAIN_DATES,
			      "%s has expired: it was valid from %s until %s, and now "
			      "it is %s",
			      what, from, to, today);
	if (X509_cmp_time(X509_get0_notBefore(x), &now) > 0)
		return refuse(v, CHAIN_DATES,
			      "%s is not valid yet: it is valid from %s until %s, and "
			      "now it is %s",
			      what, from, to, today);
	return 0;
}

static bool
is_for_servers(X509 *x)
{
	uint32_t eku = X509_get_extended_key_usage(x), ku = X509_get_key_usage(x);

	/* UINT32_MAX: no such extension, no limit. */
	return (eku == UINT32_MAX || (eku & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0) &&
	       (ku == UINT32_MAX || (ku & KU_DIGITAL_SIGNATURE) != 0);
}

static int
judge_leaf(const struct chain_question *q, X509 *x, struct chain_verdict *v)
{
	if (X509_check_ca(x) == 1)
		return refuse(v, CHAIN_IS_CA,
			      "Device certificate: this is the certificate of an "
			      "authority; were the two files exchanged?");
	if (q->key == NULL)
		return refuse(v, CHAIN_NO_CSR,
			      "this node has no signing request: generate a CSR, have "
			      "it signed, and upload that certificate");
	if (X509_check_private_key(x, q->key) != 1)
		return refuse(v, CHAIN_OTHER_KEY,
			      "the certificate does not belong to the current CSR of "
			      "this node: generate a new CSR, have it signed, and "
			      "upload that certificate");
	if (is_wildcard(x))
		return refuse(v, CHAIN_WILDCARD,
			      "wildcard certificates are not supported: have a CSR "
			      "signed with the names that clients dial");
	if (!is_for_servers(x))
		return refuse(v, CHAIN_PURPOSE,
			      "the certificate is not for TLS servers: its extended "
			      "key usage has no serverAuth, or its key usage no "
			      "digitalSignature; have the CSR signed for a server");
	return judge_dates(x, q->now_s, "the device certificate", v);
}

/* ---- the chain ---- */

static int
unverified(struct chain_verdict *v, const char *detail)
{
	snprintf(v->detail, sizeof(v->detail), "%s", detail);
	return refuse(v, CHAIN_UNVERIFIED, CHAIN_FAILED);
}

/* Its own signature counts, not only that the two names are equal. */
static bool
is_root(X509 *x)
{
	return X509_self_signed(x, 1) == 1;
}

static int
sort_out(const struct bag *bag, X509_STORE *roots, STACK_OF(X509) * between)
{
	for (size_t i = 0; i < bag->n; i++)
		if (is_root(bag->x[i]) ? X509_STORE_add_cert(roots, bag->x[i]) != 1
				       : sk_X509_push(between, bag->x[i]) <= 0)
			return E_NOMEM;
	return 0;
}

static int
set_rules(X509_STORE_CTX *ctx, int64_t now_s)
{
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);

	X509_VERIFY_PARAM_set_time(p, (time_t)now_s);
	X509_VERIFY_PARAM_set_auth_level(p, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_depth(p, CHAIN_CERTS_MAX);
	return X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_SERVER) == 1 ? 0
									      : E_NOMEM;
}

static int
to_pem(STACK_OF(X509) * path, int from, int to, char **pem)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *p = NULL;
	int rc = out == NULL ? E_NOMEM : 0;

	for (int i = from; rc == 0 && i < to; i++)
		if (PEM_write_bio_X509(out, sk_X509_value(path, i)) != 1)
			rc = E_NOMEM;
	if (rc == 0) {
		long n = BIO_get_mem_data(out, &p);
		*pem = strndup(n > 0 ? p : "", (size_t)n);
		rc = *pem == NULL ? E_NOMEM : 0;
	}
	BIO_free(out);
	return rc;
}

static int
take_path(STACK_OF(X509) * path, struct chain_verdict *v)
{
	int n = sk_X509_num(path), rc = to_pem(path, 0, 1, &v->device);

	if (rc == 0)
		rc = to_pem(path, 1, n, &v->chain);
	/* The root stays at home: who trusts it has it. */
	if (rc == 0)
		rc = to_pem(path, 0, n - 1, &v->served);
	return rc;
}

static bool
bag_has_issuer(const struct bag *bag, X509 *leaf)
{
	for (size_t i = 0; i < bag->n; i++)
		if (X509_NAME_cmp(X509_get_issuer_name(leaf),
				  X509_get_subject_name(bag->x[i])) == 0)
			return true;
	return false;
}

static bool
bag_has_root(const struct bag *bag)
{
	for (size_t i = 0; i < bag->n; i++)
		if (is_root(bag->x[i]))
			return true;
	return false;
}

static int
judge_chain(const struct chain_question *q, X509 *leaf, const struct bag *bag,
	    struct chain_verdict *v)
{
	X509_STORE *roots = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *between = sk_X509_new_null();
	int rc = roots == NULL || ctx == NULL || between == NULL ? E_NOMEM : 0;

	if (rc == 0)
		rc = sort_out(bag, roots, between);
	if (rc == 0 && X509_STORE_CTX_init(ctx, roots, leaf, between) != 1)
		rc = E_NOMEM;
	if (rc == 0)
		rc = set_rules(ctx, q->now_s);
	if (rc == 0 && X509_verify_cert(ctx) != 1)
		rc = unverified(
			v, !bag_has_issuer(bag, leaf)
				   ? "none of the certificates in the "
				     "chain is the issuer's"
			   : !bag_has_root(bag)
				   ? "the chain does not end in a root, a certificate "
				     "that signed itself"
				   : X509_verify_cert_error_string(
					     X509_STORE_CTX_get_error(ctx)));
	if (rc == 0 && sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) < 2)
		rc = unverified(v, "the device certificate signed itself");
	if (rc == 0)
		rc = take_path(X509_STORE_CTX_get0_chain(ctx), v);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(roots);
	sk_X509_free(between);
	ERR_clear_error();
	return rc;
}

/* ---- names ---- */

static void
warn_names(const struct chain_question *q, X509 *leaf, struct chain_verdict *v)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n_names && n < sizeof(v->warning); i++)
		if (X509_check_host(leaf, q->names[i], 0,
				    X509_CHECK_FLAG_NO_WILDCARDS |
					    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
				    NULL) != 1)
			n += (size_t)snprintf(
				v->warning + n, sizeof(v->warning) - n, "%s%s",
				n > 0 ? ", " : "the certificate does not name ",
				q->names[i]);
	if (n > 0 && n < sizeof(v->warning))
		snprintf(v->warning + n, sizeof(v->warning) - n,
			 ": clients that dial it will not trust this node");
}

/* ---- */

int
chain_judge(const struct chain_question *q, struct chain_verdict *v)
{
	struct bag device = { .n = 0 }, chain = { .n = 0 };

	*v = (struct chain_verdict){ .fault = CHAIN_OK };
	ERR_clear_error();
	int rc = read_bag(&device, q->device, "Device certificate", v);
	if (rc == 0 && device.n > 1)
		rc = refuse(v, CHAIN_TOO_LARGE,
			    "Device certificate: the file has %zu certificates; it "
			    "must hold the device's alone, and the chain file those "
			    "of its authorities",
			    device.n);
	if (rc == 0)
		rc = read_bag(&chain, q->chain, "CA certificate", v);
	if (rc == 0)
		rc = judge_leaf(q, device.x[0], v);
	if (rc == 0)
		rc = judge_chain(q, device.x[0], &chain, v);
	if (rc == 0)
		warn_names(q, device.x[0], v);
	else
		chain_verdict_free(v);
	ERR_clear_error();
	bag_free(&device);
	bag_free(&chain);
	return rc;
}

static int
judge_authority(X509 *x, size_t i, int64_t now_s, struct chain_verdict *v)
{
	char what[64];

	if (X509_check_ca(x) != 1)
		return refuse(v, CHAIN_IS_CA,
			      "Client CA: certificate %zu is no authority's; upload "
			      "the root of the authority that signs the clients' "
			      "certificates",
			      i + 1);
	snprintf(what, sizeof(what), "Client CA: certificate %zu", i + 1);
	return judge_dates(x, now_s, what, v);
}

int
chain_judge_client_ca(struct span file, int64_t now_s, struct chain_verdict *v)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	struct bag bag = { .n = 0 };

	*v = (struct chain_verdict){ .fault = CHAIN_OK };
	ERR_clear_error();
	int rc = all == NULL ? E_NOMEM : read_bag(&bag, file, "Client CA", v);
	for (size_t i = 0; rc == 0 && i < bag.n; i++) {
		rc = judge_authority(bag.x[i], i, now_s, v);
		if (rc == 0 && sk_X509_push(all, bag.x[i]) <= 0)
			rc = E_NOMEM;
	}
	if (rc == 0 && !bag_has_root(&bag))
		rc = refuse(v, CHAIN_UNVERIFIED,
			    "Client CA: no root in the file, a certificate that signed "
			    "itself; add it");
	if (rc == 0)
		rc = to_pem(all, 0, sk_X509_num(all), &v->chain);
	if (rc < 0)
		chain_verdict_free(v);
	sk_X509_free(all);
	bag_free(&bag);
	ERR_clear_error();
	return rc;
}

void
chain_verdict_free(struct chain_verdict *v)
{
	free(v->device);
	free(v->chain);
	free(v->served);
	v->device = v->chain = v->served = NULL;
}
