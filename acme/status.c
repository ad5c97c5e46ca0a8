/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/status.h"

#include "acme/automatic.h"
#include "acme/custom.h"
#include "acme/live.h"
#include "acme/nodes.h"

json_t *
status_cert(const struct cert_facts *f)
{
	json_t *names = json_array();

	for (size_t i = 0; i < f->n_names; i++)
		json_array_append_new(names, json_string(f->names[i]));
	return json_pack("{s:s,s:s,s:s,s:o,s:I,s:I,s:s,s:s,s:I,s:b}", "subject",
			 f->subject, "issuer", f->issuer, "root", f->root, "names",
			 names, "not_before", (json_int_t)f->not_before, "not_after",
			 (json_int_t)f->not_after, "serial", f->serial, "sha256",
			 f->sha256, "chain", (json_int_t)f->n_chain, "self_signed",
			 f->is_self_signed);
}

static json_t *
live_json(const struct live *l)
{
	const struct cert_facts *f = live_facts(l);
	json_t *o = f != NULL ? status_cert(f) : json_object();

	json_object_set_new(o, "source", json_string(live_source_text(live_source(l))));
	return o;
}

void
status_command(struct acmed *a, uint32_t id, const json_t *question)
{
	static const char *const method[] = { "auto", "custom", "self-signed" };
	const struct line_role *r = store_role(a->store);
	json_t *o = json_object();

	if (a->config != NULL)
		json_object_set_new(o, "method",
				    json_string(method[a->config->cert_method]));
	json_object_set_new(o, "node", json_string(r->node));
	json_object_set_new(o, "peer", json_string(r->peer));
	json_object_set_new(o, "role",
			    json_string(r->is_active ? "active" : "standby"));
	json_object_set_new(o, "store", json_boolean(store_is_ready(a->store)));
	json_object_set_new(o, "live", live_json(a->live));
	if (a->config != NULL && a->config->cert_method == METHOD_CUSTOM)
		json_object_set_new(o, "custom", custom_status(a));
	nodes_status(a, o);
	json_object_set_new(o, "auto", automatic_status(a->automatic));
	ctlsock_answer(a->control, id, o);
}
