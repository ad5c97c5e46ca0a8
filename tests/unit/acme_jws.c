/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Known answers were made with the tool jose, another implementation. */
#include "acme/account.h"
#include "acme/cert.h"
#include "common/b64.h"
#include "common/err.h"
#include "tests/lib/tap.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static const char key_x[] = "6ontplvO2A7bqJzBH72Gdt7R9uDZn8cKVqVS-D_Lbss",
		  key_y[] = "jTodGFmjrrqaUwXSdJxH3O3uUqOC9vKyS57BdMtWca0",
		  key_d[] = "1eCaIDreoX5nGVdcRyFdvYRtoRV0wlA9zHiSzO5kuac";

static void
unb64(const char *text, uint8_t *out, size_t n)
{
	struct wr w = wr_open(out, n);

	if (b64url_decode(&w, span_str(text)) < 0 || w.n != n)
		exit(1);
}

/* The key that jose made, of its coordinates. */
static EVP_PKEY *
known_key(void)
{
	uint8_t pub[65] = { 4 }, d[32];
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	unb64(key_x, pub + 1, 32);
	unb64(key_y, pub + 33, 32);
	unb64(key_d, d, 32);
	BIGNUM *n = BN_bin2bn(d, 32, NULL);
	OSSL_PARAM_BLD_push_utf8_string(b, "group", "prime256v1", 0);
	OSSL_PARAM_BLD_push_octet_string(b, "pub", pub, sizeof(pub));
	OSSL_PARAM_BLD_push_BN(b, "priv", n);
	OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(b);
	if (EVP_PKEY_fromdata_init(c) != 1 ||
	    EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, p) != 1)
		exit(1);
	OSSL_PARAM_free(p);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(c);
	BN_free(n);
	return key;
}

static bool
verifies(EVP_PKEY *key, const char *jws)
{
	json_t *o = json_loads(jws, 0, NULL);
	char in[4096];
	uint8_t raw[64], *der = NULL;

	snprintf(in, sizeof(in), "%s.%s",
		 json_string_value(json_object_get(o, "protected")),
		 json_string_value(json_object_get(o, "payload")));
	unb64(json_string_value(json_object_get(o, "signature")), raw, 64);
	ECDSA_SIG *s = ECDSA_SIG_new();
	ECDSA_SIG_set0(s, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	int n = i2d_ECDSA_SIG(s, &der);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(c, der, (size_t)n, (uint8_t *)in, strlen(in)) == 1;
	EVP_MD_CTX_free(c);
	ECDSA_SIG_free(s);
	OPENSSL_free(der);
	json_decref(o);
	return good;
}

static void
the_thumbprint_is_what_jose_says(void)
{
	EVP_PKEY *key = known_key();
	char t[JWS_THUMBPRINT] = "", auth[JWS_KEYAUTH];
	json_t *jwk = jws_jwk(key);

	is_int(jws_thumbprint(key, t), 0, "a P-256 key has one");
	is_str(t, "3CTcNBt_-RmjTNolrRzmRXL-9tL-p_MMrK_FH4lA688", "and it is that");
	is_str(json_string_value(json_object_get(jwk, "x")), key_x, "x");
	is_str(json_string_value(json_object_get(jwk, "y")), key_y, "y");
	is_int(jws_keyauth(SPAN("tok"), t, auth), 0, "a key authorization");
	is_str(auth, "tok.3CTcNBt_-RmjTNolrRzmRXL-9tL-p_MMrK_FH4lA688",
	       "is token, dot, thumbprint");
	char long_token[JWS_KEYAUTH];
	memset(long_token, 'a', sizeof(long_token));
	is_int(jws_keyauth(span_of(long_token, sizeof(long_token)), t, auth), E_LIMIT,
	       "a token without end is refused");
	json_decref(jwk);
	EVP_PKEY_free(key);
	if (cert_key_new(&key, CERT_KEY_RSA2048) == 0)
		is_int(jws_thumbprint(key, t), E_INVAL, "an RSA key is none of these");
	EVP_PKEY_free(key);
}

static void
what_jose_signed_verifies_and_ours_does(void)
{
	static const char theirs[] =
		"{\"payload\":\"eyJ0ZXJtc09mU2VydmljZUFncmVlZCI6dHJ1ZX0\","
		"\"protected\":"
		"\"eyJhbGciOiJFUzI1NiJ9\",\"signature\":\"101O1pnH4xUIRP1ksZmi2khm1BSHT"
		"NEgTm3Fp5AI4bmm_7kHX9Mm9qOLjRRBhyF7FlyMar-xfAiVf1AdPZpRAw\"}";
	EVP_PKEY *key = known_key();
	char *jws = NULL;

	ok(verifies(key, theirs), "jose's signature verifies as we verify");
	json_t *head = json_object();
	for (int i = 0; i < 50; i++) {
		/* r and s now and then begin with zeros. */
		is_int(jws_sign(key, head, SPAN("{\"termsOfServiceAgreed\":true}"),
				&jws),
		       0, "signed %d", i);
		json_t *o = json_loads(jws, 0, NULL);
		ok(verifies(key, jws) &&
			   strcmp(json_string_value(json_object_get(o, "protected")),
				  "eyJhbGciOiJFUzI1NiJ9") == 0 &&
			   strcmp(json_string_value(json_object_get(o, "payload")),
				  "eyJ0ZXJtc09mU2VydmljZUFncmVlZCI6dHJ1ZX0") == 0,
		   "verifies, of the same bytes as jose's %d", i);
		json_decref(o);
		free(jws);
	}
	is_int(jws_sign(key, head, SPAN(""), &jws), 0, "POST-as-GET");
	ok(strstr(jws, "\"payload\": \"\"") || strstr(jws, "\"payload\":\"\""),
	   "has an empty payload (RFC 8555 6.3)");
	free(jws);
	json_decref(head);
	EVP_PKEY_free(key);
}

static void
a_mac_is_what_jose_says(void)
{
	static const char key[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
				  "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
	uint8_t raw[64];
	char *jws;
	/* jose sorts the members of a header as they come: alg first here. */
	json_t *head = json_pack("{s:s,s:s,s:s}", "alg", "HS256", "kid", "kid-1", "url",
				 "https://ca.test/new");

	unb64(key, raw, sizeof(raw));
	is_int(jws_hmac(span_of(raw, sizeof(raw)), head, SPAN("payload"), &jws), 0,
	       "a MAC");
	json_t *o = json_loads(jws, 0, NULL);
	is_str(json_string_value(json_object_get(o, "protected")),
	       "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC0xIiwidXJsIjoiaHR0cHM6Ly9jYS50ZXN0L25"
	       "l"
	       "dyJ9",
	       "of the same header");
	is_str(json_string_value(json_object_get(o, "signature")),
	       "mO5UAkrEoqtvGIgjoArB6tYx-OF2y60LvSGBj_uhu60", "is that of jose");
	json_decref(o);
	json_decref(head);
	free(jws);
}

static void
an_external_binding_holds_the_account_key(void)
{
	struct account a;
	char *payload;

	account_init(&a, NULL);
	account_point(&a, "https://ca.test/dir");
	strcpy(a.directory.account, "https://ca.test/new");
	is_int(account_take(&a, known_key(), ""), 0, "a key");
	is_int(account_registration(&a, "ops@x.test", true, "kid-1",
				    "AyM1SysPpbyDfgZld3umjw==", &payload),
	       0, "with an address, terms agreed, and a binding whose key has padding");
	json_t *o = json_loads(payload, 0, NULL);
	is_str(json_string_value(json_array_get(json_object_get(o, "contact"), 0)),
	       "mailto:ops@x.test", "contact");
	ok(json_is_true(json_object_get(o, "termsOfServiceAgreed")), "terms");
	uint8_t text[512] = { 0 };
	struct wr w = wr_open(text, sizeof(text) - 1);
	const json_t *eab = json_object_get(o, "externalAccountBinding");
	is_int(b64url_decode(&w, span_str(json_string_value(
					 json_object_get(eab, "payload")))),
	       0, "the binding's payload");
	ok(strstr((char *)text, key_x) != NULL && strstr((char *)text, "\"d\"") == NULL,
	   "is the public key and not the private one");
	json_decref(o);
	free(payload);
	is_int(account_registration(&a, "", false, "kid-1", "not base64url!", &payload),
	       E_PROTO, "a MAC key that is none");
	is_int(account_registration(&a, "", false, "", "", &payload), 0, "nothing");
	is_str(payload, "{}", "is an empty object");
	free(payload);
	account_free(&a);
}

static void
a_certificate_request_asks_for_serverauth_only(void)
{
	static const char *const names[] = { "vpn.example", "vpn2.example" };
	EVP_PKEY *key = NULL;
	uint8_t *der = NULL;
	size_t n = 0;
	char *text;

	if (cert_key_new(&key, CERT_KEY_P256) < 0)
		exit(1);
	is_int(cert_request(key, names, 2, &der, &n), 0, "a request");
	const uint8_t *p = der;
	X509_REQ *r = d2i_X509_REQ(NULL, &p, (long)n);
	BIO *b = BIO_new(BIO_s_mem());
	X509_REQ_print(b, r);
	BIO_write(b, "", 1);
	BIO_get_mem_data(b, &text);
	ok(strstr(text, "DNS:vpn.example, DNS:vpn2.example") != NULL, "both names");
	ok(strstr(text, "TLS Web Server Authentication") != NULL &&
		   strstr(text, "Client Authentication") == NULL,
	   "R70 serverAuth, not clientAuth");
	is_int(X509_REQ_verify(r, key), 1, "signed by its key");
	BIO_free(b);
	X509_REQ_free(r);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
}

static void
a_chain_is_judged(void)
{
	static const char *const names[] = { "vpn.example", "vpn2.example" };
	static const char *const other[] = { "bank.example" };
	EVP_PKEY *key = NULL, *key2 = NULL;
	char *pem = NULL, *pem2 = NULL, *both, why[256], *normal;
	struct cert_facts f;
	const int64_t now = 1900000000;

	if (cert_key_new(&key, CERT_KEY_P256) < 0 ||
	    cert_key_new(&key2, CERT_KEY_P256) < 0)
		exit(1);
	is_int(cert_self_signed(key, names, 2, now, 30, &pem), 0, "a certificate");
	is_int(cert_self_signed(key2, other, 1, now, 30, &pem2), 0, "and another");
	is_int(cert_judge(span_str(pem), key, names, 2, now, why, sizeof(why)), 0,
	       "right names, key and time");
	is_int(cert_judge(span_str(pem), key2, names, 2, now, why, sizeof(why)),
	       E_INVAL, "another key");
	is_str(why, "the certificate is for another key", "said so");
	is_int(cert_judge(span_str(pem), key, other, 1, now, why, sizeof(why)), E_INVAL,
	       "another name");
	is_int(cert_judge(span_str(pem), key, names, 1, now, why, sizeof(why)), E_INVAL,
	       "a name more than asked for");
	is_int(cert_judge(span_str(pem), key, names, 2, now + 31 * 86400, why,
			  sizeof(why)),
	       E_INVAL, "expired");
	is_int(cert_judge(span_str(pem), key, names, 2, now - 3 * 86400, why,
			  sizeof(why)),
	       E_INVAL, "not yet valid");
	if (asprintf(&both, "%s%s", pem, pem2) < 0)
		exit(1);
	is_int(cert_judge(span_str(both), key, names, 2, now, why, sizeof(why)),
	       E_INVAL, "a chain that does not hold");
	is_int(cert_judge(SPAN("hello"), key, names, 2, now, why, sizeof(why)), E_INVAL,
	       "no PEM");
	free(both);
	if (asprintf(&both, "# noise\n%s-----BEGIN PRIVATE KEY-----\n", pem) < 0)
		exit(1);
	ok(cert_normal(span_str(both), &normal) < 0 || strstr(normal, "KEY") == NULL,
	   "other blocks do not get through");
	free(normal);
	is_int(cert_read(&f, span_str(pem)), 0, "read");
	is_str(f.subject, "vpn.example", "subject");
	ok(f.is_self_signed && f.n_names == 2 && f.n_chain == 1, "facts");
	is_int(f.not_after, now + 30LL * 86400, "not after");
	free(both);
	free(pem);
	free(pem2);
	EVP_PKEY_free(key);
	EVP_PKEY_free(key2);
}

int
main(void)
{
	the_thumbprint_is_what_jose_says();
	what_jose_signed_verifies_and_ours_does();
	a_mac_is_what_jose_says();
	an_external_binding_holds_the_account_key();
	a_certificate_request_asks_for_serverauth_only();
	a_chain_is_judged();
	return done_testing();
}
