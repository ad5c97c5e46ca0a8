/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/state.h"

#include <jansson.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *
processes(const struct parent *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < p->n_process; i++) {
		const struct process *c = &p->process[i];
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:i}", "name",
						      ipc_process_name[c->who], "index",
						      (int)c->index, "pid", (int)c->pid,
						      "restarts", (int)c->restarts));
	}
	return list;
}

/* Workers share a listener's description: one row for all of them. */
static json_t *
listeners(const struct parent *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->sockets.n; i++) {
		const struct listener *l = &p->sockets.listener[i];
		if (l->worker != 0)
			continue;
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:i, s:i}", "wan",
						parent_config(p)->wan[l->wan].name,
						"interface", l->ifname, "family",
						(int)l->family, "port", (int)l->port));
	}
	return list;
}

static json_t *
tuns(const struct parent *p)
{
	json_t *list = json_array();

	for (unsigned w = 0; w < p->workers; w++)
		json_array_append_new(list, json_pack("{s:s, s:i}", "name",
						      p->tun[w].name, "mtu", TUN_MTU));
	return list;
}

static void
put_name(json_t *o, const char *key, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	if (bio == NULL)
		return;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >=
	    0) {
		long n = BIO_get_mem_data(bio, &text);
		json_object_set_new(o, key, json_stringn(text, (size_t)n));
	}
	BIO_free(bio);
}

static void
put_hex(json_t *o, const char *key, const uint8_t *p, size_t n)
{
	char text[2 * EVP_MAX_MD_SIZE + 1] = "";

	for (size_t i = 0; i < n && i < EVP_MAX_MD_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	json_object_set_new(o, key, json_string(text));
}

/* What a client sees of the certificate that is being served. */
static json_t *
certificate(const struct parent *p)
{
	static const char *const source[] = { "file", "stored", "self-signed" };
	char *pem = malloc(IPC_PEM_MAX);
	const struct certificate *cert = &p->cert;
	ssize_t n = pem != NULL && cert->chain_fd >= 0
			    ? pread(cert->chain_fd, pem, IPC_PEM_MAX, 0)
			    : -1;
	BIO *bio = n > 0 ? BIO_new_mem_buf(pem, (int)n) : NULL;
	X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned md_n;
	json_t *o =
		json_pack("{s:s, s:s, s:s, s:i}", "source",
			  cert->is_live ? "live" : source[cert->source], "not_after",
			  cert->not_after, "key", cert->is_rsa ? "RSA" : "ECDSA",
			  "generation", (int)cert->generation);

	if (o != NULL && x != NULL) {
		const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
		put_name(o, "subject", X509_get_subject_name(x));
		put_name(o, "issuer", X509_get_issuer_name(x));
		put_hex(o, "serial", ASN1_STRING_get0_data(serial),
			(size_t)ASN1_STRING_length(serial));
		if (X509_digest(x, EVP_sha256(), md, &md_n) == 1)
			put_hex(o, "sha256", md, md_n);
	}
	X509_free(x);
	BIO_free(bio);
	free(pem);
	return o;
}

void
status_write(struct parent *p, struct ipc_status_text *m)
{
	json_t *o = json_pack(
		"{s:s, s:i, s:I, s:i, s:b, s:i, s:o, s:o, s:o, s:o, s:s, "
		"s:{s:s, s:s}}",
		"version", TANDEM_VERSION, "pid", (int)getpid(), "uptime_s",
		(json_int_t)((now_ms() - p->started_ms) / 1000), "workers",
		(int)p->workers, "enabled", parent_config(p)->enabled,
		"config_generation", (int)p->generation, "processes", processes(p),
		"listeners", listeners(p), "tun", tuns(p), "certificate",
		certificate(p), "offload", p->tun[0].offload, "files", "main",
		p->opt->conf_path, "node", p->opt->node_path);
	size_t n = o != NULL ? json_dumpb(o, (char *)m->json.p, sizeof(m->json.p),
					  JSON_COMPACT)
			     : 0;

	m->json.n = n <= sizeof(m->json.p) ? (uint32_t)n : 0;
	json_decref(o);
}
