/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/clients.h"

#include "common/err.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By user, then the most recent first. */
static int
compare(const void *a, const void *b)
{
	const struct session *x = ((const struct client_entry *)a)->latest;
	const struct session *y = ((const struct client_entry *)b)->latest;
	int rc = strcmp(x->claims.user, y->claims.user);

	if (rc != 0)
		return rc;
	if (x->connected_ms != y->connected_ms)
		return x->connected_ms > y->connected_ms ? -1 : 1;
	return x->slot < y->slot ? -1 : 1;
}

int
clients_list(struct session_table *t, struct client_entry **out, unsigned *n)
{
	unsigned found = 0, kept = 0;
	struct client_entry *e =
		calloc(session_count(t, SESSION_CONNECTED) + 1, sizeof(*e));

	if (e == NULL)
		return E_NOMEM;
	for (uint32_t i = 0; i < session_table_slots(t); i++) {
		const struct session *s = session_at(t, i);
		if (s != NULL && s->state == SESSION_CONNECTED)
			e[found++] = (struct client_entry){ s, 1 };
	}
	qsort(e, found, sizeof(*e), compare);
	for (unsigned i = 0; i < found; i++) {
		if (kept > 0 && strcmp(e[kept - 1].latest->claims.user,
				       e[i].latest->claims.user) == 0)
			e[kept - 1].devices++;
		else
			e[kept++] = e[i];
	}
	*out = e;
	*n = kept;
	return 0;
}

void
client_mac(char out[CLIENT_MAC], const char *user)
{
	uint8_t md[EVP_MAX_MD_SIZE] = { 0 };

	(void)EVP_Digest(user, strlen(user), md, NULL, EVP_sha256(), NULL);
	md[0] = (uint8_t)((md[0] | 0x02) & ~0x01);
	snprintf(out, CLIENT_MAC, "%02x:%02x:%02x:%02x:%02x:%02x", md[0], md[1], md[2],
		 md[3], md[4], md[5]);
}

void
client_version(char out[CLIENT_VERSION], const char *agent)
{
	out[0] = '\0';
	for (const char *p = agent; *p != '\0'; p += strspn(p, " ")) {
		size_t n = strcspn(p, " "), v = *p == 'v' || *p == 'V';

		if (n > v && isdigit((unsigned char)p[v]) &&
		    memchr(p, '.', n) != NULL) {
			snprintf(out, CLIENT_VERSION, "%.*s", (int)(n - v), p + v);
			return;
		}
		p += n;
	}
}
