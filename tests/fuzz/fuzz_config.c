/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The input is tandem.conf, and after a NUL node.conf. What loads must print,
 * and load again to the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/diff.h"
#include "common/config/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_change(void *arg, const struct config_change *ch)
{
}

/* A text that loads, with one setting more, says that setting. */
static void
edit(const char *text, const char *path, const char *value)
{
	struct config_report r = { 0 };
	struct config_target t;
	struct config *c;
	char *out, why[200];

	assert(config_target_parse(&t, path, why, sizeof(why)) == 0);
	assert(config_edit(&out, text, &t, value) == 0);
	(void)config_load(&c, "main", out, NULL, NULL, &r);
	assert(c != NULL ? c->max_attempts == 7 : strlen(out) > CONFIG_TEXT_MAX);
	config_report_free(&r);
	config_free(c);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config_report r = { 0 }, again = { 0 };
	struct config *a, *b;
	char *text = malloc(n + 2), *main_text, *node_text;

	assert(text != NULL);
	if (n > 0)
		memcpy(text, data, n);
	text[n] = text[n + 1] = '\0';
	int rc = config_load(&a, "main", text, "node", text + strlen(text) + 1, &r);
	assert((rc == 0) == (r.n_error == 0) && (rc == 0) == (a != NULL));
	for (size_t i = 0; i < r.n; i++)
		assert(r.finding[i].setting[0] && r.finding[i].text[0]);
	if (a != NULL) {
		edit(text, "authentication.max_attempts", "7");
		assert(config_print(a, CONFIG_FILE_MAIN, &main_text) == 0);
		assert(config_print(a, CONFIG_FILE_NODE, &node_text) == 0);
		rc = config_load(&b, "main", main_text, "node", node_text, &again);
		assert(rc == 0 && config_diff(a, b, on_change, NULL) == 0);
		config_free(b);
		free(main_text);
		free(node_text);
	}
	config_report_free(&r);
	config_report_free(&again);
	config_free(a);
	free(text);
	return 0;
}
