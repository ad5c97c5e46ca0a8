/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "acme/control.h"

#include "common/b64.h"

#include <stdlib.h>

static void
on_question(void *arg, uint32_t id, const json_t *q)
{
	struct acmed *a = arg;
	const char *name = json_string_value(json_object_get(q, "cmd"));
	const struct command *found = NULL;

	for (size_t i = 0; name != NULL && i < n_commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			found = &commands[i];
	if (name == NULL)
		ctlsock_refuse(a->control, id, "bad_request",
			       "this line is no JSON object with \"cmd\"");
	else if (found == NULL)
		ctlsock_refuse(a->control, id, "unknown_command",
			       "acmed does not know this command");
	else
		found->run(a, id, q);
}

int
control_open(struct acmed *a, const char *path)
{
	static const struct ctlsock_rules rules = { .line_max = CONTROL_LINE_MAX,
						    .idle_ms = CONTROL_IDLE_MS,
						    .on_question = on_question };

	return ctlsock_open(&a->control, &a->loop, path, &rules, a);
}

uint8_t *
control_file(const json_t *q, const char *key, size_t *n)
{
	const json_t *j = json_object_get(q, key);
	struct span in = span_of(json_string_value(j),
				 json_is_string(j) ? json_string_length(j) : 0);
	size_t cap = in.n / 4 * 3 + 3;
	uint8_t *out = json_is_string(j) ? malloc(cap) : NULL;

	if (out == NULL)
		return NULL;
	struct wr w = wr_open(out, cap);
	if (b64_decode(&w, in) < 0) {
		free(out);
		return NULL;
	}
	*n = wr_span(&w).n;
	return out;
}
