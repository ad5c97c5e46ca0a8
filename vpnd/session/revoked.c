/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/revoked.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/rd.h"
#include "common/wr.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRY = IPC_SID + 8, HEADER = 8, FILE_MAX = 64 * 1024 * 1024 };
static const uint32_t file_magic = 0x54525631; /* "TRV1" */

struct entry {
	uint8_t sid[IPC_SID];
	uint64_t wall_expiry_s;
};

/* Sorted by sid: membership is asked at each connect, changes are rare. */
struct revoked {
	int dir_fd;
	struct entry *entry;
	size_t n, cap;
	bool is_dirty;
};

/* The first entry that is not below sid. */
static size_t
lower_bound(const struct revoked *r, const uint8_t sid[IPC_SID])
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (memcmp(r->entry[mid].sid, sid, IPC_SID) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int
load(struct revoked *r, struct span in, uint64_t wall_now_s)
{
	struct rd c = rd_open(in);

	uint32_t found_magic = rd_u32(&c), count = rd_u32(&c);
	if (rd_short(&c) || found_magic != file_magic ||
	    rd_left(&c) != (size_t)count * ENTRY)
		return E_PROTO;
	while (rd_left(&c) > 0) {
		uint8_t sid[IPC_SID];
		rd_copy(&c, sid, sizeof(sid));
		uint64_t expiry = rd_u64(&c);
		if (expiry > wall_now_s && revoked_add(r, sid, expiry) < 0)
			return E_NOMEM;
	}
	r->is_dirty = false;
	return 0;
}

int
revoked_open(struct revoked **out, int dir_fd, uint64_t wall_now_s)
{
	struct revoked *r = calloc(1, sizeof(*r));
	uint8_t *bytes = NULL;
	size_t n = 0;

	if (r == NULL)
		return E_NOMEM;
	r->dir_fd = dir_fd;
	int rc = file_read(dir_fd, "revoked", FILE_MAX, &bytes, &n);
	if (rc == 0)
		rc = load(r, span_of(bytes, n), wall_now_s);
	free(bytes);
	if (rc == E_PROTO || rc == E_LIMIT) {
		log_err(0, "revoked: the file is damaged and was put aside as "
			   "revoked.bad; "
			   "ended sessions may come back until their tokens expire");
		rc = renameat(dir_fd, "revoked", dir_fd, "revoked.bad") < 0 ? -errno
									    : 0;
	}
	if (rc < 0 && rc != -ENOENT) {
		revoked_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void
revoked_close(struct revoked *r)
{
	if (r == NULL)
		return;
	free(r->entry);
	free(r);
}

int
revoked_add(struct revoked *r, const uint8_t sid[IPC_SID], uint64_t wall_expiry_s)
{
	size_t at = lower_bound(r, sid);

	r->is_dirty = true;
	if (at < r->n && memcmp(r->entry[at].sid, sid, IPC_SID) == 0) {
		if (wall_expiry_s > r->entry[at].wall_expiry_s)
			r->entry[at].wall_expiry_s = wall_expiry_s;
		return 0;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap > 0 ? r->cap * 2 : 64;
		struct entry *more = realloc(r->entry, cap * sizeof(*more));
		if (more == NULL)
			return E_NOMEM;
		r->entry = more;
		r->cap = cap;
	}
	memmove(&r->entry[at + 1], &r->entry[at], (r->n - at) * sizeof(r->entry[0]));
	memcpy(r->entry[at].sid, sid, IPC_SID);
	r->entry[at].wall_expiry_s = wall_expiry_s;
	r->n++;
	return 0;
}

bool
revoked_has(const struct revoked *r, const uint8_t sid[IPC_SID])
{
	size_t at = lower_bound(r, sid);

	return at < r->n && memcmp(r->entry[at].sid, sid, IPC_SID) == 0;
}

void
revoked_each(const struct revoked *r,
	     void (*each)(void *arg, const uint8_t sid[IPC_SID],
			  uint64_t wall_expiry_s),
	     void *arg)
{
	for (size_t i = 0; i < r->n; i++)
		each(arg, r->entry[i].sid, r->entry[i].wall_expiry_s);
}

int
revoked_save(struct revoked *r, uint64_t wall_now_s)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->entry[i].wall_expiry_s > wall_now_s)
			r->entry[kept++] = r->entry[i];
	r->is_dirty |= kept != r->n;
	r->n = kept;
	if (!r->is_dirty)
		return 0;

	size_t cap = HEADER + r->n * ENTRY;
	uint8_t *buf = malloc(cap);
	if (buf == NULL)
		return E_NOMEM;
	struct wr w = wr_open(buf, cap);
	wr_u32(&w, file_magic);
	wr_u32(&w, (uint32_t)r->n);
	for (size_t i = 0; i < r->n; i++) {
		wr_bytes(&w, r->entry[i].sid, IPC_SID);
		wr_u64(&w, r->entry[i].wall_expiry_s);
	}
	int rc = file_replace(r->dir_fd, "revoked", wr_span(&w), 0600);
	free(buf);
	if (rc == 0)
		r->is_dirty = false;
	return rc;
}

unsigned
revoked_count(const struct revoked *r)
{
	return (unsigned)r->n;
}
