/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/keys/certs.h"

#include "common/err.h"
#include "common/rd.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RSA_BITS_MIN = 2048,
	RSA_BITS_MAX = 8192, /* a signature must fit into key_signed */
	CHAIN_MAX = 16,
	SELF_SIGNED_DAYS = 825, /* Apple's clients refuse longer ones */
	DIGEST_MIN = 20,
	DIGEST_MAX = 64,
};

/* DER of DigestInfo up to the digest, RFC 8017 9.2 note 1. */
static const struct {
	struct span head;
	size_t digest_n;
} digest_info[] = {
	{ SPAN("\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14"), 20 },
	{ SPAN("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
	       "\x04\x20"),
	  32 },
	{ SPAN("\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00"
	       "\x04\x30"),
	  48 },
	{ SPAN("\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00"
	       "\x04\x40"),
	  64 },
};

static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1; /* nobody is here to type one */
}

static int
refuse(char *why, size_t why_n, const char *text)
{
	snprintf(why, why_n, "%s", text);
	return E_INVAL;
}

static int
read_key(struct cert *c, struct span pem, char *why, size_t why_n)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);

	if (bio == NULL)
		return E_NOMEM;
	c->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (c->key == NULL)
		return refuse(
			why, why_n,
			"no readable private key: PEM without a passphrase is needed");
	c->is_rsa = EVP_PKEY_is_a(c->key, "RSA");
	if (!c->is_rsa && !EVP_PKEY_is_a(c->key, "EC"))
		return refuse(why, why_n, "the private key must be EC or RSA");
	int bits = EVP_PKEY_get_bits(c->key);
	if (c->is_rsa && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		return refuse(why, why_n, "an RSA key must have 2048 to 8192 bits");
	return 0;
}

/* Re-encode the certificates one by one: what leaves here is certificates and
 * nothing that merely stood beside them in the file. */
static int
copy_chain(struct cert *c, BIO *in, BIO *out, char *why, size_t why_n)
{
	X509 *x;
	int n = 0, rc = 0;

	while (rc == 0 &&
	       (x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) != NULL) {
		if (n == 0 && X509_check_private_key(x, c->key) != 1)
			rc = refuse(why, why_n,
				    "the first certificate does not belong to the "
				    "private key");
		else if (n == CHAIN_MAX)
			rc = refuse(why, why_n,
				    "more than 16 certificates in the chain");
		else if (PEM_write_bio_X509(out, x) != 1)
			rc = E_NOMEM;
		n++;
		X509_free(x);
	}
	if (rc < 0)
		return rc;
	if (n == 0)
		return refuse(why, why_n, "no readable certificate");
	/* Reading stops at the end of the file, or at something broken. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return refuse(why, why_n, "a certificate of the chain cannot be read");
	return 0;
}

static int
read_chain(struct cert *c, struct span pem, char *why, size_t why_n)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n), *out = BIO_new(BIO_s_mem());
	char *p = NULL;
	int rc = in == NULL || out == NULL ? E_NOMEM : 0;

	if (rc == 0)
		rc = copy_chain(c, in, out, why, why_n);
	if (rc == 0) {
		c->chain_n = (size_t)BIO_get_mem_data(out, &p);
		if (c->chain_n > IPC_PEM_MAX)
			rc = refuse(why, why_n, "the certificate chain is too long");
		else if ((c->chain = malloc(c->chain_n + 1)) == NULL)
			rc = E_NOMEM;
	}
	if (rc == 0) {
		memcpy(c->chain, p, c->chain_n);
		c->chain[c->chain_n] = '\0';
	}
	BIO_free(in);
	BIO_free(out);
	return rc;
}

int
cert_new(struct cert **out, struct span pem, uint32_t generation, char *why,
	 size_t why_n)
{
	struct cert *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return E_NOMEM;
	c->generation = generation;
	ERR_clear_error();
	int rc = read_key(c, pem, why, why_n);
	ERR_clear_error();
	if (rc == 0)
		rc = read_chain(c, pem, why, why_n);
	ERR_clear_error();
	if (rc < 0) {
		if (rc != E_INVAL)
			refuse(why, why_n, err_text(rc));
		cert_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void
cert_free(struct cert *c)
{
	if (c == NULL)
		return;
	EVP_PKEY_free(c->key);
	free(c->chain);
	free(c);
}

static bool
add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool done = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return done;
}

static bool
name_certificate(X509 *x, const char *name)
{
	/* Common names end at 64 characters (RFC 5280 A.1); the SAN does not. */
	char cn[65], san[300];
	X509_NAME *subject = X509_get_subject_name(x);

	snprintf(cn, sizeof(cn), "%s", *name ? name : "tandem");
	snprintf(san, sizeof(san), "DNS:%s", name);
	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (uint8_t *)cn,
					  -1, -1, 0) == 1 &&
	       X509_set_issuer_name(x, subject) == 1 &&
	       (*name == '\0' || add_extension(x, NID_subject_alt_name, san));
}

static bool
fill_certificate(X509 *x, EVP_PKEY *key, const char *name)
{
	uint8_t serial[16];

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return false;
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and always 16 bytes */
	BIGNUM *bn = BN_bin2bn(serial, sizeof(serial), NULL);
	bool done =
		bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;
	BN_free(bn);
	/* An hour of grace: the client's clock may be behind ours. */
	return done && X509_set_version(x, X509_VERSION_3) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(x),
			       86400L * SELF_SIGNED_DAYS - 7200) != NULL &&
	       X509_set_pubkey(x, key) == 1 && name_certificate(x, name) &&
	       add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(x, NID_ext_key_usage, "serverAuth") &&
	       add_extension(x, NID_subject_key_identifier, "hash") &&
	       X509_sign(x, key, EVP_sha256()) > 0;
}

/* What goes into an extension as text must not be able to add one. */
static bool
name_is_plain(const char *name)
{
	return strlen(name) <= 253 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789.-") == strlen(name);
}

int
cert_make(const char *name, char **pem, size_t *n)
{
	if (!name_is_plain(name))
		name = "";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_secmem());
	char *p = NULL;
	int rc = E_TLS;

	if (key != NULL && x != NULL && out != NULL && fill_certificate(x, key, name) &&
	    PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
	    PEM_write_bio_X509(out, x) == 1) {
		*n = (size_t)BIO_get_mem_data(out, &p);
		*pem = malloc(*n + 1);
		rc = *pem != NULL ? 0 : E_NOMEM;
	}
	if (rc == 0) {
		memcpy(*pem, p, *n);
		(*pem)[*n] = '\0';
	}
	BIO_free(out);
	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}

/* RFC 8017 9.2: 00 01 ff..ff 00 DigestInfo, with at least eight ff. */
static bool
block_is_type1(struct span block)
{
	struct rd r = rd_open(block);
	size_t ff = 0;
	uint8_t b;

	if (rd_u16(&r) != 0x0001)
		return false;
	while ((b = rd_u8(&r)) == 0xff)
		ff++;
	if (rd_short(&r) || b != 0 || ff < 8)
		return false;
	struct span info = rd_rest(&r);
	for (size_t i = 0; i < sizeof(digest_info) / sizeof(digest_info[0]); i++)
		if (info.n == digest_info[i].head.n + digest_info[i].digest_n &&
		    memcmp(info.p, digest_info[i].head.p, digest_info[i].head.n) == 0)
			return true;
	return false;
}

/* XOR the mask that MGF1 (RFC 8017 B.2.1) makes of seed over buf. */
static bool
mgf1_xor(const EVP_MD *md, struct span seed, uint8_t *buf, size_t n)
{
	uint8_t in[DIGEST_MAX + 4], out[DIGEST_MAX];
	size_t h = (size_t)EVP_MD_get_size(md);

	memcpy(in, seed.p, seed.n);
	for (uint32_t i = 0; (size_t)i * h < n; i++) {
		in[seed.n] = in[seed.n + 1] = 0; /* n is far below 2^16 digests */
		in[seed.n + 2] = (uint8_t)(i >> 8);
		in[seed.n + 3] = (uint8_t)i;
		if (EVP_Digest(in, seed.n + 4, out, NULL, md, NULL) != 1)
			return false;
		for (size_t k = 0; k < h && i * h + k < n; k++)
			buf[i * h + k] ^= out[k];
	}
	return true;
}

/* RFC 8017 9.1.2 steps 4 to 10: everything that can be checked without the
 * message. With the last byte alone as a test, a ciphertext could be blinded
 * until it ends in bc; 190 zero bytes under a mask cannot be hit by luck. */
static bool
block_is_pss(struct span block, unsigned bits, const EVP_MD *md)
{
	uint8_t db[RSA_BITS_MAX / 8] = { 0 };
	size_t h = (size_t)EVP_MD_get_size(md);
	struct rd r = rd_open(block);
	unsigned unused = 8 - (bits - 1) % 8; /* leftmost bits that must be 0 */

	if (unused == 8) { /* bits - 1 is whole bytes: the block has one more */
		if (rd_u8(&r) != 0)
			return false;
		unused = 0;
	}
	if (rd_left(&r) < 2 * h + 2)
		return false;
	size_t db_n = rd_left(&r) - h - 1;
	rd_copy(&r, db, db_n);
	struct span seed = rd_take(&r, h);
	if (rd_u8(&r) != 0xbc || (unused && db[0] >> (8 - unused)))
		return false;
	if (!mgf1_xor(md, seed, db, db_n))
		return false;
	db[0] &= (uint8_t)(0xff >> unused);
	uint8_t rest = 0;
	for (size_t i = 0; i + h + 1 < db_n; i++)
		rest |= db[i];
	return rest == 0 && db[db_n - h - 1] == 1;
}

bool
cert_block_is_padded(struct span block, unsigned bits)
{
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || block.n != (bits + 7) / 8)
		return false;
	return block_is_type1(block) || block_is_pss(block, bits, EVP_sha256()) ||
	       block_is_pss(block, bits, EVP_sha384()) ||
	       block_is_pss(block, bits, EVP_sha512());
}

int
cert_sign(const struct cert *c, enum sign_scheme scheme, struct span data, uint8_t *sig,
	  size_t cap, size_t *n)
{
	bool rsa = scheme == SIGN_RSA_PAD;

	if ((scheme != SIGN_ECDSA && !rsa) || rsa != c->is_rsa)
		return E_INVAL;
	if (rsa && !cert_block_is_padded(data, (unsigned)EVP_PKEY_get_bits(c->key)))
		return E_INVAL;
	if (!rsa && (data.n < DIGEST_MIN || data.n > DIGEST_MAX))
		return E_INVAL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(c->key, NULL);
	int rc = E_TLS;
	*n = cap;
	if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
	    (!rsa || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1) &&
	    EVP_PKEY_sign(ctx, sig, n, data.p, data.n) == 1)
		rc = 0;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}
