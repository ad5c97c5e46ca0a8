/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* csr.h -- a certificate signing request as an administrator asks for one. Pure.
 *
 * Every field is checked before anything is made; the text names the field by the label
 * the dashboard shows. Wildcards are not supported. A common name that is a host name
 * is also a SAN: clients look nowhere else. Asked for is serverAuth and nothing more.
 *
 * Errors: E_INVAL with a text in why, E_TLS, E_NOMEM.
 */
#ifndef ACME_CSR_H
#define ACME_CSR_H

#include "common/ip.h"

#include <jansson.h>
#include <openssl/evp.h>

enum {
	CSR_HOSTS = 16,
	CSR_IPS = 16,
	CSR_HOST = 254,
	CSR_WHY = 256,
};

struct csr_fields {
	char common_name[64 * 4 + 1]; /* of 64 characters (RFC 5280 A.1) */
	char host[CSR_HOSTS][CSR_HOST];
	struct ip_addr ip[CSR_IPS];
	size_t n_host, n_ip;
	char organization[64 * 4 + 1], unit[64 * 4 + 1], email[256], state[128 * 4 + 1],
		country[3];
};

/* {"common_name":..,"hosts":[..],"ips":[..],"organization":..,"unit":..,"email":..,
 *  "state":..,"country":..}; empty and absent are the same. Other members are not
 * looked at. */
int csr_read(struct csr_fields *f, const json_t *o, char why[CSR_WHY]);
/* The same, back. */
json_t *csr_json(const struct csr_fields *f);

/* One more SAN, unless it is there. E_LIMIT, E_INVAL for what is no host name. */
int csr_add_host(struct csr_fields *f, const char *name);

int csr_make(EVP_PKEY *key, const struct csr_fields *f, char **pem);

/* The common name in a request; "" when there is none. */
void csr_common_name(const char *pem, char out[64 * 4 + 1]);

#endif
