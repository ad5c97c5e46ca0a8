/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/csr.h"

#include "common/err.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 3, 4))) static int
refuse(char why[CSR_WHY], const char *field, const char *fmt, ...)
{
	char text[CSR_WHY - 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(why, CSR_WHY, "%s: %s", field, text);
	return E_INVAL;
}

/* ---- checks ---- */

/* How many characters; -1 when there is a control character. jansson has seen to it
 * that the text is UTF-8. */
static int
characters(const char *text)
{
	int n = 0;

	for (const uint8_t *p = (const uint8_t *)text; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return -1;
		n += (*p & 0xc0) != 0x80;
	}
	return n;
}

static int
take_text(const json_t *o, const char *key, const char *field, int max, char *out,
	  size_t cap, char why[CSR_WHY])
{
	const json_t *j = json_object_get(o, key);
	const char *text = j == NULL || json_is_null(j) ? "" : json_string_value(j);

	out[0] = '\0';
	if (text == NULL)
		return refuse(why, field, "must be a text");
	int n = characters(text);
	if (n < 0)
		return refuse(why, field, "has a control character in it");
	if (n > max || strlen(text) >= cap)
		return refuse(why, field, "is longer than %d characters", max);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static bool
is_host(const char *name)
{
	size_t label = 0, n = strlen(name);

	if (n == 0 || n >= CSR_HOST || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (name[i] == '.') {
			if (label == 0 || name[i - 1] == '-')
				return false;
			label = 0;
		} else if (isalnum((uint8_t)name[i]) || (name[i] == '-' && label > 0)) {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return label > 0 && name[n - 1] != '-';
}

/* What is dialled as an address is no name in a SAN. */
static bool
looks_like_ip(const char *text)
{
	struct in6_addr a;

	return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

static int
take_hosts(struct csr_fields *f, const json_t *list, char why[CSR_WHY])
{
	static const char field[] = "Subject Alt Name (Hostnames)";
	size_t i;
	json_t *j;

	if (list != NULL && !json_is_null(list) && !json_is_array(list))
		return refuse(why, field, "must be a list");
	json_array_foreach(list, i, j)
	{
		const char *name = json_string_value(j);
		if (name == NULL)
			return refuse(why, field, "must be a list of texts");
		if (strchr(name, '*') != NULL)
			return refuse(why, field,
				      "'%.80s': wildcards are not supported", name);
		if (looks_like_ip(name))
			return refuse(why, field,
				      "'%.80s' is an address: it belongs into Subject "
				      "Alt Name (IPs)",
				      name);
		int rc = csr_add_host(f, name);
		if (rc == E_LIMIT)
			return refuse(why, field, "more than %d names", CSR_HOSTS);
		if (rc < 0)
			return refuse(why, field, "'%.80s' is no host name", name);
	}
	return 0;
}

static int
take_ips(struct csr_fields *f, const json_t *list, char why[CSR_WHY])
{
	static const char field[] = "Subject Alt Name (IPs)";
	size_t i;
	json_t *j;

	if (list != NULL && !json_is_null(list) && !json_is_array(list))
		return refuse(why, field, "must be a list");
	json_array_foreach(list, i, j)
	{
		const char *text = json_string_value(j);
		struct ip_addr a = { 0 };
		if (text != NULL && inet_pton(AF_INET, text, a.b) == 1)
			a.family = 4;
		else if (text != NULL && inet_pton(AF_INET6, text, a.b) == 1)
			a.family = 6;
		else
			return refuse(why, field, "'%.80s' is no IPv4 or IPv6 address",
				      text != NULL ? text : "?");
		if (f->n_ip == CSR_IPS)
			return refuse(why, field, "more than %d addresses", CSR_IPS);
		f->ip[f->n_ip++] = a;
	}
	return 0;
}

static int
check_common_name(const struct csr_fields *f, char why[CSR_WHY])
{
	static const char field[] = "Common name";

	if (f->common_name[0] == '\0')
		return refuse(why, field, "is required");
	if (strchr(f->common_name, '*') != NULL)
		return refuse(why, field, "'%.80s': wildcards are not supported",
			      f->common_name);
	return 0;
}

static int
check_email(const struct csr_fields *f, char why[CSR_WHY])
{
	const char *at = strchr(f->email, '@');

	if (f->email[0] == '\0')
		return 0;
	for (const uint8_t *p = (const uint8_t *)f->email; *p != '\0'; p++)
		if (*p <= ' ' || *p > 0x7e)
			return refuse(why, "Email Address",
				      "must be plain ASCII without blanks");
	if (at == NULL || at == f->email || strchr(at + 1, '@') != NULL ||
	    !is_host(at + 1))
		return refuse(why, "Email Address", "'%.80s' is no name@host",
			      f->email);
	return 0;
}

static int
check_country(struct csr_fields *f, char why[CSR_WHY])
{
	if (f->country[0] == '\0')
		return 0;
	if (strlen(f->country) != 2 || !isalpha((uint8_t)f->country[0]) ||
	    !isalpha((uint8_t)f->country[1]))
		return refuse(why, "Country Code",
			      "must be two letters, as in ISO 3166: DE, US");
	f->country[0] = (char)toupper((uint8_t)f->country[0]);
	f->country[1] = (char)toupper((uint8_t)f->country[1]);
	return 0;
}

int
csr_read(struct csr_fields *f, const json_t *o, char why[CSR_WHY])
{
	char country[65];
	int rc;

	*f = (struct csr_fields){ .n_host = 0 };
	if ((rc = take_text(o, "common_name", "Common name", 64, f->common_name,
			    sizeof(f->common_name), why)) < 0 ||
	    (rc = check_common_name(f, why)) < 0 ||
	    (rc = take_hosts(f, json_object_get(o, "hosts"), why)) < 0 ||
	    (rc = take_ips(f, json_object_get(o, "ips"), why)) < 0 ||
	    (rc = take_text(o, "organization", "Organization", 64, f->organization,
			    sizeof(f->organization), why)) < 0 ||
	    (rc = take_text(o, "unit", "Organizational Unit", 64, f->unit,
			    sizeof(f->unit), why)) < 0 ||
	    (rc = take_text(o, "email", "Email Address", 255, f->email,
			    sizeof(f->email), why)) < 0 ||
	    (rc = check_email(f, why)) < 0 ||
	    (rc = take_text(o, "state", "State or Province", 128, f->state,
			    sizeof(f->state), why)) < 0 ||
	    (rc = take_text(o, "country", "Country Code", 64, country, sizeof(country),
			    why)) < 0)
		return rc;
	if (strlen(country) > 2)
		return refuse(why, "Country Code",
			      "must be two letters, as in ISO 3166: DE, US");
	memcpy(f->country, country, sizeof(f->country));
	if ((rc = check_country(f, why)) < 0)
		return rc;
	if (is_host(f->common_name) && !looks_like_ip(f->common_name) &&
	    csr_add_host(f, f->common_name) == E_LIMIT)
		return refuse(why, "Subject Alt Name (Hostnames)", "more than %d names",
			      CSR_HOSTS);
	return 0;
}

json_t *
csr_json(const struct csr_fields *f)
{
	json_t *hosts = json_array(), *ips = json_array();
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < f->n_host; i++)
		json_array_append_new(hosts, json_string(f->host[i]));
	for (size_t i = 0; i < f->n_ip; i++) {
		inet_ntop(f->ip[i].family == 4 ? AF_INET : AF_INET6, f->ip[i].b, text,
			  sizeof(text));
		json_array_append_new(ips, json_string(text));
	}
	return json_pack("{s:s,s:o,s:o,s:s,s:s,s:s,s:s,s:s}", "common_name",
			 f->common_name, "hosts", hosts, "ips", ips, "organization",
			 f->organization, "unit", f->unit, "email", f->email, "state",
			 f->state, "country", f->country);
}

int
csr_add_host(struct csr_fields *f, const char *name)
{
	if (!is_host(name))
		return E_INVAL;
	for (size_t i = 0; i < f->n_host; i++)
		if (strcasecmp(f->host[i], name) == 0)
			return 0;
	if (f->n_host == CSR_HOSTS)
		return E_LIMIT;
	snprintf(f->host[f->n_host++], CSR_HOST, "%s", name);
	return 0;
}

/* ---- making ---- */

static bool
put_name(X509_NAME *name, int nid, const char *text)
{
	return text[0] == '\0' ||
	       X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8,
					  (const uint8_t *)text, -1, -1, 0) == 1;
}

static bool
put_subject(X509_REQ *r, const struct csr_fields *f)
{
	X509_NAME *name = X509_REQ_get_subject_name(r);

	return put_name(name, NID_countryName, f->country) &&
	       put_name(name, NID_stateOrProvinceName, f->state) &&
	       put_name(name, NID_organizationName, f->organization) &&
	       put_name(name, NID_organizationalUnitName, f->unit) &&
	       put_name(name, NID_commonName, f->common_name) &&
	       put_name(name, NID_pkcs9_emailAddress, f->email);
}

static bool
push_name(GENERAL_NAMES *all, int type, const void *bytes, int n)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s =
		type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();

	if (g != NULL && s != NULL && ASN1_STRING_set(s, bytes, n) == 1) {
		GENERAL_NAME_set0_value(g, type, s);
		if (sk_GENERAL_NAME_push(all, g) > 0)
			return true;
		s = NULL;
	}
	ASN1_STRING_free(s);
	GENERAL_NAME_free(g);
	return false;
}

static X509_EXTENSION *
san_new(const struct csr_fields *f)
{
	GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
	X509_EXTENSION *e = NULL;
	bool done = all != NULL;

	for (size_t i = 0; done && i < f->n_host; i++)
		done = push_name(all, GEN_DNS, f->host[i], (int)strlen(f->host[i]));
	for (size_t i = 0; done && i < f->n_ip; i++)
		done = push_name(all, GEN_IPADD, f->ip[i].b,
				 f->ip[i].family == 4 ? 4 : 16);
	if (done)
		e = X509V3_EXT_i2d(NID_subject_alt_name, 0, all);
	sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
	return e;
}

static bool
push_extension(STACK_OF(X509_EXTENSION) * all, X509_EXTENSION *e)
{
	if (e != NULL && sk_X509_EXTENSION_push(all, e) > 0)
		return true;
	X509_EXTENSION_free(e);
	return false;
}

static bool
put_extensions(X509_REQ *r, const struct csr_fields *f)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	bool done = all != NULL;

	if (done && f->n_host + f->n_ip > 0)
		done = push_extension(all, san_new(f));
	done = done &&
	       push_extension(all, X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage,
						       "critical,digitalSignature")) &&
	       push_extension(all, X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage,
						       "serverAuth")) &&
	       X509_REQ_add_extensions(r, all) == 1;
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	return done;
}

int
csr_make(EVP_PKEY *key, const struct csr_fields *f, char **pem)
{
	X509_REQ *r = X509_REQ_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *p = NULL;
	int rc = E_TLS;

	*pem = NULL;
	if (r != NULL && out != NULL && X509_REQ_set_version(r, 0) == 1 &&
	    put_subject(r, f) && put_extensions(r, f) &&
	    X509_REQ_set_pubkey(r, key) == 1 &&
	    X509_REQ_sign(r, key, EVP_sha256()) > 0 &&
	    PEM_write_bio_X509_REQ(out, r) == 1) {
		long n = BIO_get_mem_data(out, &p);
		*pem = strndup(p, (size_t)n);
		rc = *pem == NULL ? E_NOMEM : 0;
	}
	BIO_free(out);
	X509_REQ_free(r);
	ERR_clear_error();
	return rc;
}

void
csr_common_name(const char *pem, char out[64 * 4 + 1])
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509_REQ *r =
		in != NULL ? PEM_read_bio_X509_REQ(in, NULL, NULL, (void *)"") : NULL;

	out[0] = '\0';
	if (r != NULL && X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(r),
						   NID_commonName, out, 64 * 4 + 1) < 0)
		out[0] = '\0';
	X509_REQ_free(r);
	BIO_free(in);
	ERR_clear_error();
}
