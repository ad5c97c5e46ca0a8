/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* Answers of DNS servers: to a question, and to a signed update. */
#include "ddns/message.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

static const struct message_key key = {
	"ddns-key", false, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
};

static void
try(const struct message *m, const struct message_key *k, struct span reply)
{
	struct answer a;
	bool cut;

	if (message_is_answer(m, reply, &cut) == 0 && cut)
		return;
	if (message_read(m, k, reply, 1700000000, &a) < 0)
		return;
	if (a.n_addr > MESSAGE_ADDRS || a.n_text > MESSAGE_TEXTS)
		abort();
	for (unsigned i = 0; i < a.n_text; i++)
		if (memchr(a.text[i], '\0', sizeof(a.text[i])) == NULL)
			abort();
	/* Nobody here has the key. */
	if (m->is_signed && (a.is_signed || a.kind == ANSWER_GOOD))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct message query, text, update;
	static bool is_made;

	if (!is_made) {
		struct change c = { CHANGE_CLEAR, "gw.vpn.test", MESSAGE_A, 0, NULL };
		if (message_query(&query, "gw.vpn.test", MESSAGE_A, 1, NULL) < 0 ||
		    message_query(&text, "gw.vpn.test", MESSAGE_TXT, 1, NULL) < 0 ||
		    message_update(&update, "vpn.test", &c, 1, 1, &key) < 0)
			abort();
		is_made = true;
	}
	try(&query, NULL, span_of(p, n));
	try(&text, NULL, span_of(p, n));
	try(&update, &key, span_of(p, n));
	return 0;
}
