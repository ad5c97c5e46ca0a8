/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/worker/clientcert.h"

#include "common/err.h"
#include "common/xml.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clientcert {
	X509_STORE *store;
	STACK_OF(X509_NAME) * names;
	bool wants_crl, has_root;
};

/* ---- files ---- */

static int
add_cas(struct clientcert *c, struct span file)
{
	BIO *b = BIO_new_mem_buf(file.p, (int)file.n);
	int rc = b ? 0 : E_NOMEM;
	unsigned n = 0;

	while (rc == 0) {
		X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
		if (x == NULL)
			break;
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
		if (++n > CLIENTCERT_CAS)
			rc = E_LIMIT;
		else if (name == NULL || sk_X509_NAME_push(c->names, name) == 0 ||
			 X509_STORE_add_cert(c->store, x) != 1)
			rc = E_NOMEM;
		else
			name = NULL; /* it is the list's */
		if (X509_self_signed(x, 0) == 1)
			c->has_root = true;
		X509_NAME_free(name);
		X509_free(x);
	}
	/* The end of the text is one error; anything else is a damaged file. */
	unsigned long e = ERR_peek_last_error();
	if (rc == 0 && (n == 0 || ERR_GET_REASON(e) != PEM_R_NO_START_LINE))
		rc = E_PROTO;
	ERR_clear_error();
	BIO_free(b);
	return rc;
}

STACK_OF(X509_CRL) * clientcert_crls(struct span file, int *rc)
{
	STACK_OF(X509_CRL) *list = sk_X509_CRL_new_null();
	BIO *b = BIO_new_mem_buf(file.p, (int)file.n);
	X509_CRL *crl;
	static const char begin[] = "-----BEGIN";
	bool is_pem = file.n > 0 && memmem(file.p, file.n, begin, sizeof(begin) - 1);

	*rc = list == NULL || b == NULL ? E_NOMEM : 0;
	while (*rc == 0 && (crl = is_pem ? PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)
					 : d2i_X509_CRL_bio(b, NULL)) != NULL) {
		if (sk_X509_CRL_num(list) >= CLIENTCERT_CRLS)
			*rc = E_LIMIT;
		else if (sk_X509_CRL_push(list, crl) == 0)
			*rc = E_NOMEM;
		if (*rc < 0)
			X509_CRL_free(crl);
	}
	unsigned long e = ERR_peek_last_error();
	bool is_cut = is_pem ? ERR_GET_REASON(e) != PEM_R_NO_START_LINE
			     : b != NULL && BIO_pending(b) > 0;
	if (*rc == 0 && (sk_X509_CRL_num(list) == 0 || is_cut))
		*rc = E_PROTO;
	ERR_clear_error();
	BIO_free(b);
	if (*rc == 0)
		return list;
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	return NULL;
}

static int
add_crls(struct clientcert *c, struct span file)
{
	int rc;
	STACK_OF(X509_CRL) *list = clientcert_crls(file, &rc);

	for (int i = 0; rc == 0 && i < sk_X509_CRL_num(list); i++)
		if (X509_STORE_add_crl(c->store, sk_X509_CRL_value(list, i)) != 1)
			rc = E_NOMEM;
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	return rc;
}

int
clientcert_new(struct clientcert **out, struct span ca, struct span crl, bool wants_crl,
	       char *why, size_t why_n)
{
	struct clientcert *c = calloc(1, sizeof(*c));
	int rc = 0;

	*out = NULL;
	snprintf(why, why_n, "no memory");
	if (c == NULL)
		return E_NOMEM;
	c->wants_crl = wants_crl;
	c->store = X509_STORE_new();
	c->names = sk_X509_NAME_new_null();
	if (c->store == NULL || c->names == NULL)
		rc = E_NOMEM;
	if (rc == 0 && ca.n > 0 && (rc = add_cas(c, ca)) < 0)
		snprintf(why, why_n,
			 "the client CA is not a PEM file of at most %d certificates",
			 CLIENTCERT_CAS);
	if (rc == 0 && wants_crl && crl.n > 0 && (rc = add_crls(c, crl)) < 0)
		snprintf(why, why_n,
			 "authentication.client_crl is not a file of at most %d "
			 "revocation lists (PEM), or of one (DER)",
			 CLIENTCERT_CRLS);
	if (rc < 0)
		clientcert_free(c);
	else
		*out = c;
	return rc;
}

void
clientcert_free(struct clientcert *c)
{
	if (c == NULL)
		return;
	X509_STORE_free(c->store);
	sk_X509_NAME_pop_free(c->names, X509_NAME_free);
	free(c);
}

const STACK_OF(X509_NAME) * clientcert_names(const struct clientcert *c)
{
	return c->names;
}

/* ---- who it is ---- */

/* What is in a certificate goes into logs, the session table and other programs:
 * text, and nothing that ends a C string early. */
static int
take_name(const ASN1_STRING *s, char user[IPC_USER_MAX + 1])
{
	unsigned char *utf8 = NULL;
	int n = s ? ASN1_STRING_to_UTF8(&utf8, s) : -1, rc = E_NOENT;

	if (n > 0 && n <= IPC_USER_MAX && utf8_valid(span_of(utf8, (size_t)n)) &&
	    utf8[0] != ' ' && utf8[n - 1] != ' ') {
		rc = 0;
		for (int i = 0; i < n; i++)
			if (utf8[i] < ' ' || utf8[i] == 0x7f)
				rc = E_NOENT;
	}
	if (rc == 0) {
		memcpy(user, utf8, (size_t)n);
		user[n] = '\0';
	}
	OPENSSL_free(utf8);
	ERR_clear_error();
	return rc;
}

/* The last one: directories write CN=alice,CN=Users,DC=... from the right. */
static int
common_name(const X509 *leaf, char user[IPC_USER_MAX + 1])
{
	const X509_NAME *name = X509_get_subject_name(leaf);
	int at = -1, next;

	while ((next = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
		at = next;
	if (at < 0)
		return E_NOENT;
	return take_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), user);
}

static const ASN1_STRING *
alt_name(const GENERAL_NAME *g, enum cert_user which)
{
	if (which == CERT_USER_MAIL && g->type == GEN_EMAIL)
		return g->d.rfc822Name;
	if (which == CERT_USER_UPN && g->type == GEN_OTHERNAME &&
	    OBJ_obj2nid(g->d.otherName->type_id) == NID_ms_upn &&
	    g->d.otherName->value->type == V_ASN1_UTF8STRING)
		return g->d.otherName->value->value.utf8string;
	return NULL;
}

int
clientcert_user(const X509 *leaf, enum cert_user which, char user[IPC_USER_MAX + 1])
{
	GENERAL_NAMES *names;
	int rc = E_NOENT;

	user[0] = '\0';
	if (which == CERT_USER_CN)
		return common_name(leaf, user);
	names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; rc == E_NOENT && i < sk_GENERAL_NAME_num(names); i++) {
		const ASN1_STRING *s = alt_name(sk_GENERAL_NAME_value(names, i), which);
		if (s != NULL) { /* the first of its kind, or none */
			rc = take_name(s, user);
			break;
		}
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return rc;
}

static void
put_name(BIO *b, const char *label, const X509_NAME *name)
{
	/* Escapes control characters and everything beyond ASCII. */
	unsigned long how = XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB;

	BIO_puts(b, label);
	X509_NAME_print_ex(b, name, 0, how);
}

void
clientcert_text(const X509 *leaf, char *text, size_t n)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p = NULL;
	long len = 0;

	text[0] = '\0';
	if (b == NULL)
		return;
	put_name(b, "", X509_get_subject_name(leaf));
	BIO_puts(b, " serial ");
	i2a_ASN1_INTEGER(b, X509_get0_serialNumber(leaf));
	put_name(b, " of ", X509_get_issuer_name(leaf));
	len = BIO_get_mem_data(b, &p);
	if (len > 0) {
		size_t k = (size_t)len < n - 1 ? (size_t)len : n - 1;
		for (size_t i = 0; i < k; i++)
			text[i] = p[i] >= ' ' && p[i] < 0x7f ? p[i] : '?';
		text[k] = '\0';
	}
	BIO_free(b);
	ERR_clear_error();
}

/* ---- is it good ---- */

static enum cert_verdict
verdict_of(int error)
{
	switch (error) {
	case X509_V_OK: return CERT_GOOD;
	case X509_V_ERR_CERT_HAS_EXPIRED: return CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID: return CERT_NOT_YET_VALID;
	case X509_V_ERR_CERT_REVOKED: return CERT_REVOKED;
	case X509_V_ERR_INVALID_PURPOSE: return CERT_PURPOSE;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
	case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
	case X509_V_ERR_CRL_SIGNATURE_FAILURE:
	case X509_V_ERR_CRL_NOT_YET_VALID:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
	case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
	case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
	case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
	case X509_V_ERR_DIFFERENT_CRL_SCOPE:
	case X509_V_ERR_CRL_PATH_VALIDATION_ERROR: return CERT_CRL;
	default: return CERT_UNTRUSTED;
	}
}

/* OpenSSL lets a certificate without extended key usage pass for any purpose. */
static bool
is_for_clients(X509 *leaf)
{
	return (X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) != 0 &&
	       (X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT) != 0;
}

static enum cert_verdict
verify(const struct clientcert *c, X509 *leaf, const STACK_OF(X509) * sent,
       unsigned long flags, int *error, X509 **issuer)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *others = (STACK_OF(X509) *)(uintptr_t)sent; /* only read */
	enum cert_verdict v = CERT_UNTRUSTED;

	*error = X509_V_ERR_OUT_OF_MEM;
	*issuer = NULL;
	if (ctx == NULL || X509_STORE_CTX_init(ctx, c->store, leaf, others) != 1)
		goto out;
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
	/* Neither the first nor the last of a chain counts as depth. */
	X509_VERIFY_PARAM_set_depth(p, CLIENTCERT_CHAIN - 2);
	X509_VERIFY_PARAM_set_auth_level(p, CLIENTCERT_LEVEL);
	X509_VERIFY_PARAM_set_flags(p, flags);
	if (X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_CLIENT) != 1)
		goto out;
	bool is_good = X509_verify_cert(ctx) == 1;
	*error = X509_STORE_CTX_get_error(ctx);
	if (is_good == (*error == X509_V_OK))
		v = verdict_of(*error);
	if (v != CERT_GOOD)
		goto out;
	const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	*issuer = sk_X509_value(chain, sk_X509_num(chain) > 1 ? 1 : 0);
	X509_up_ref(*issuer);
out:
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return v;
}

/* OpenSSL looks at the lists before it verifies the certificates, and at a list means
 * that all of it is hashed. Not for a stranger who just says that our CA issued his:
 * only a chain that is good otherwise is held against the lists. */
static enum cert_verdict
verify_all(const struct clientcert *c, X509 *leaf, const STACK_OF(X509) * sent,
	   int *error, X509 **issuer)
{
	enum cert_verdict v = verify(c, leaf, sent, 0, error, issuer);

	if (v != CERT_GOOD || !c->wants_crl)
		return v;
	X509_free(*issuer);
	return verify(c, leaf, sent, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL,
		      error, issuer);
}

static void
add_text(struct cert_facts *facts, const char *what)
{
	size_t n = strlen(facts->text), k = strlen(what);

	/* What is wrong is worth more than the end of a long name. */
	if (n + k + 3 > sizeof(facts->text))
		n = sizeof(facts->text) - k - 3;
	snprintf(facts->text + n, sizeof(facts->text) - n, ": %s", what);
}

void
clientcert_judge(const struct clientcert *c, X509 *leaf, const STACK_OF(X509) * sent,
		 enum cert_user which, struct cert_facts *facts)
{
	int error = X509_V_OK;

	cert_facts_clear(facts);
	if (leaf == NULL)
		return;
	clientcert_text(leaf, facts->text, sizeof(facts->text));
	bool has_name = clientcert_user(leaf, which, facts->user) == 0;
	if (c == NULL || !c->has_root) {
		facts->verdict = CERT_UNTRUSTED;
		add_text(facts, "no client CA with a self-signed root is installed");
		return;
	}
	if (sk_X509_num(sent) > CLIENTCERT_CHAIN) {
		facts->verdict = CERT_UNTRUSTED;
		add_text(facts, "too many certificates");
		return;
	}
	facts->verdict = verify_all(c, leaf, sent, &error, &facts->issuer);
	if (facts->verdict != CERT_GOOD) {
		add_text(facts, X509_verify_cert_error_string(error));
	} else if (!is_for_clients(leaf)) {
		facts->verdict = CERT_PURPOSE;
		add_text(facts, "no clientAuth in its extended key usage");
	} else if (!has_name) {
		facts->verdict = CERT_NO_NAME;
		add_text(facts, "no name where authentication.certificate_user says");
	}
}

void
cert_facts_clear(struct cert_facts *facts)
{
	X509_free(facts->issuer);
	*facts = (struct cert_facts){ .verdict = CERT_NONE };
}
