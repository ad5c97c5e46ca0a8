/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Login documents; whatever comes out of one must go into a form that is
 * well-formed again. */
#include "common/profile.h"
#include "vpnd/worker/xmlauth.h"

#include <expat.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_be_xml(const struct wr *w)
{
	XML_Parser p = XML_ParserCreate(NULL);
	if (!wr_full(w) &&
	    XML_Parse(p, (const char *)w->p, (int)w->n, XML_TRUE) != XML_STATUS_OK)
		abort();
	XML_ParserFree(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[1 << 18];
	struct auth_doc *d;
	struct wr w = wr_open(out, sizeof(out));
	char group[64];

	profile_check(span_of(data, size), NULL);
	if (auth_doc_parse(&d, span_of(data, size)) < 0)
		return 0;
	if (d->group_access)
		auth_group_from_url(d->group_access, group, sizeof(group));
	auth_version_ok(SPAN("AnyConnect"), d->version);
	auth_platform_of(NULL, d->device_id);
	struct auth_form f = { .title = d->version,
			       .message = d->device_id,
			       .error = d->computer_name,
			       .group = d->tunnel_group,
			       .state = d->auth_state,
			       .banner = d->session_token,
			       .is_legacy = d->is_legacy };
	for (size_t i = 0; i < d->n_field && i < AUTH_INPUTS_MAX; i++)
		f.input[f.n_input++] =
			(struct auth_input){ .type = "text",
					     .name = "x",
					     .label = d->field[i].name,
					     .value = d->field[i].value };
	auth_write_form(&w, &f);
	must_be_xml(&w);
	auth_doc_free(d);
	return 0;
}
