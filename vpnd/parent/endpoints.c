/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/endpoints.h"

#include "common/cluster.h"
#include "common/err.h"
#include "common/map.h"

#include <openssl/rand.h>
#include <stdlib.h>

static int
make_room(struct endpoints *s)
{
	uint8_t seed[MAP_SEED];

	if (s->map != NULL)
		return 0;
	struct endpoint_row *row = calloc(ENDPOINTS_MAX, sizeof(*row));
	if (row == NULL || RAND_bytes(seed, sizeof(seed)) != 1 ||
	    map_new(&s->map, ENDPOINT_KEY, ENDPOINTS_MAX, seed) < 0) {
		free(row);
		return E_NOMEM;
	}
	s->row = row;
	return 0;
}

void
endpoints_free(struct endpoints *s)
{
	map_free(s->map);
	free(s->row);
	s->map = NULL;
	s->row = NULL;
	s->n = 0;
}

const struct endpoint *
endpoints_find(const struct endpoints *s, const uint8_t sid[ENDPOINT_KEY])
{
	uint32_t at;

	return s->map != NULL && map_find(s->map, sid, &at) == 0 ? &s->row[at].e : NULL;
}

static void
remove_entry(struct endpoints *s, const uint8_t *sid)
{
	uint32_t at;

	if (map_find(s->map, sid, &at) < 0)
		return;
	(void)map_remove(s->map, sid);
	if (at != --s->n) { /* the last row moves into the gap */
		s->row[at] = s->row[s->n];
		(void)map_remove(s->map, s->row[at].sid);
		(void)map_insert(s->map, s->row[at].sid, at);
	}
}

static void
put_entry(struct endpoints *s, const uint8_t *sid, const struct endpoint *e)
{
	uint32_t at = s->n;

	if (map_find(s->map, sid, &at) < 0) {
		if (s->n == ENDPOINTS_MAX || map_insert(s->map, sid, at) < 0) {
			s->skipped++;
			return;
		}
		memcpy(s->row[at].sid, sid, ENDPOINT_KEY);
		s->n++;
	}
	s->row[at].e = *e;
}

int
endpoints_apply(struct endpoints *s, struct span bytes, bool is_delta)
{
	struct cluster_entry entry;
	struct endpoint e;
	int rc;

	if (!is_delta)
		endpoints_free(s);
	if (bytes.n > 0 && make_room(s) < 0)
		return E_NOMEM;
	while ((rc = cluster_entry_decode(&bytes, &entry)) == 0 && s->map != NULL) {
		if (entry.key_n != ENDPOINT_KEY)
			s->skipped++;
		else if (entry.is_gone)
			remove_entry(s, entry.key);
		else if (endpoint_read(span_of(entry.value, entry.value_n), &e) < 0)
			s->skipped++;
		else
			put_entry(s, entry.key, &e);
	}
	return rc == E_AGAIN ? 0 : rc;
}
