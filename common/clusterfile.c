/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/clusterfile.h"

#include "common/err.h"
#include "common/file.h"
#include "common/rd.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum { FORMAT = 1, FIXED = 4 + 4 + 8 + 8 + 1 + 1 + 4 + 2 * CLUSTERFILE_SHA };

static const struct span magic = { (const uint8_t *)"TDOB", 4 };

size_t
clusterfile_size(const struct clusterfile *f)
{
	return FIXED + f->name.n + f->writer.n + f->bytes.n;
}

void
clusterfile_encode(struct wr *w, struct clusterfile *f)
{
	uint8_t check[CLUSTERFILE_SHA];
	size_t from = w->n;

	SHA256(f->bytes.p, f->bytes.n, f->sha);
	wr_put(w, magic);
	wr_u8(w, FORMAT);
	wr_u8(w, (uint8_t)f->class);
	wr_u8(w, f->flags);
	wr_u8(w, 0);
	wr_u64(w, f->generation);
	wr_u64(w, f->wall_ms);
	wr_u8(w, (uint8_t)f->name.n);
	wr_put(w, f->name);
	wr_u8(w, (uint8_t)f->writer.n);
	wr_put(w, f->writer);
	wr_u32(w, (uint32_t)f->bytes.n);
	wr_put(w, f->bytes);
	wr_bytes(w, f->sha, sizeof(f->sha));
	if (wr_full(w))
		return;
	SHA256(w->p + from, w->n - from, check);
	wr_bytes(w, check, sizeof(check));
}

int
clusterfile_decode(struct span in, struct clusterfile *f)
{
	struct rd r = rd_open(in);
	uint8_t sha[CLUSTERFILE_SHA], check[CLUSTERFILE_SHA];

	if (!span_eq(rd_take(&r, magic.n), magic) || rd_u8(&r) != FORMAT)
		return E_PROTO;
	uint8_t class = rd_u8(&r);
	*f = (struct clusterfile){ .flags = rd_u8(&r) };
	(void)rd_u8(&r);
	f->generation = rd_u64(&r);
	f->wall_ms = rd_u64(&r);
	f->name = rd_take(&r, rd_u8(&r));
	f->writer = rd_take(&r, rd_u8(&r));
	f->bytes = rd_take(&r, rd_u32(&r));
	rd_copy(&r, f->sha, sizeof(f->sha));
	rd_copy(&r, check, sizeof(check));
	if (rd_short(&r) || rd_left(&r) > 0)
		return E_PROTO;
	SHA256(in.p, in.n - sizeof(check), sha);
	if (memcmp(sha, check, sizeof(sha)) != 0)
		return E_PROTO;
	SHA256(f->bytes.p, f->bytes.n, sha);
	f->class = cluster_class(f->name);
	bool is_durable = f->class == CLUSTER_WHOLE || f->class == CLUSTER_SET;
	if (memcmp(sha, f->sha, sizeof(sha)) != 0 || !is_durable || class != f->class ||
	    !cluster_node_ok(f->writer) ||
	    f->bytes.n >
		    (f->class == CLUSTER_SET ? CLUSTER_SET_MAX : CLUSTER_OBJECT_MAX))
		return E_PROTO;
	return 0;
}

void
clusterfile_name(struct span object, char out[CLUSTER_NAME_MAX + 1])
{
	for (size_t i = 0; i < object.n; i++)
		out[i] = object.p[i] == '/' ? '+' : (char)object.p[i];
	out[object.n] = '\0';
}

int
clusterfile_read(const char *folder, const char *object, struct clusterfile *f,
		 uint8_t **buf)
{
	char name[CLUSTER_NAME_MAX + 1], path[PATH_MAX];
	size_t n;

	if (cluster_class(span_str(object)) == CLUSTER_BAD)
		return E_INVAL;
	clusterfile_name(span_str(object), name);
	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int rc = file_read(AT_FDCWD, path, CLUSTERFILE_MAX, buf, &n);
	if (rc < 0)
		return rc == -ENOENT ? E_NOENT : rc;
	rc = clusterfile_decode(span_of(*buf, n), f);
	if (rc == 0 && !span_is(f->name, object))
		rc = E_PROTO;
	if (rc == 0 && f->flags & CLUSTERFILE_REMOVED)
		rc = E_NOENT;
	if (rc < 0) {
		free(*buf);
		*buf = NULL;
	}
	return rc;
}
