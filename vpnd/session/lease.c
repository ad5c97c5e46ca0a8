/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/session/lease.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/rd.h"
#include "common/wr.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	OP_PUT = 1,
	OP_DROP = 2,
	RECORD_MAX = 2048,
	FILE_MAX = 256 * 1024 * 1024,
	FAT_SLACK = 1024, /* dead records that are always tolerated */
};

static const char magic[4] = { 'T', 'L', 'S', '1' };

struct lease_file {
	int dir_fd, fd;
	unsigned records;
	bool is_short; /* the last record was not written whole: cut before the next */
	off_t size;
	uint8_t *buf; /* a rewrite in progress */
	size_t n, cap;
	unsigned buf_records;
	bool has_failed;
};

/* CRC-32 (IEEE 802.3), bit by bit: a few hundred bytes per login. */
static uint32_t
crc32_of(struct span s)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= s.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void
put_text(struct wr *w, const char *s)
{
	wr_u8(w, (uint8_t)strlen(s));
	wr_str(w, s);
}

static void
get_text(struct rd *r, char *to, size_t max)
{
	struct span s = rd_take(r, rd_u8(r));

	if (s.n > max)
		s.n = max;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static struct span
make_record(uint8_t op, struct span body, uint8_t *buf, size_t cap)
{
	struct wr w = wr_open(buf, cap);

	/* A record without a body would end the replay before those behind it. */
	if (body.n == 0 || body.p == NULL)
		return (struct span){ 0 };
	wr_u8(&w, op);
	wr_u16(&w, (uint16_t)body.n);
	wr_put(&w, body);
	wr_u32(&w, crc32_of(span_of(buf, w.n)));
	if (wr_full(&w))
		return (struct span){ 0 };
	return wr_span(&w);
}

static struct span
lease_bytes(const struct lease *l, uint8_t *buf, size_t cap)
{
	uint8_t claims[IPC_CLAIMS_MAX];
	size_t n;
	struct wr w = wr_open(buf, cap);

	if (claims_encode(&l->claims, claims, sizeof(claims), &n) < 0)
		return (struct span){ 0 };
	wr_u16(&w, (uint16_t)n);
	wr_bytes(&w, claims, n);
	wr_u32(&w, l->slot);
	wr_u32(&w, l->gen);
	wr_u8(&w, l->has_connected);
	wr_u64(&w, l->wall_connected_s);
	wr_u8(&w, l->source.family);
	wr_bytes(&w, l->source.b, sizeof(l->source.b));
	wr_u16(&w, l->source.port);
	put_text(&w, l->agent);
	put_text(&w, l->hostname);
	if (wr_full(&w))
		return (struct span){ 0 };
	return wr_span(&w);
}

static int
lease_of_bytes(struct span in, struct lease *l)
{
	struct rd r = rd_open(in);

	*l = (struct lease){ 0 };
	if (claims_decode(rd_take(&r, rd_u16(&r)), &l->claims) < 0)
		return E_PROTO;
	l->slot = rd_u32(&r);
	l->gen = rd_u32(&r);
	l->has_connected = rd_u8(&r) != 0;
	l->wall_connected_s = rd_u64(&r);
	l->source.family = rd_u8(&r);
	rd_copy(&r, l->source.b, sizeof(l->source.b));
	l->source.port = rd_u16(&r);
	get_text(&r, l->agent, IPC_AGENT_MAX);
	get_text(&r, l->hostname, IPC_NAME_MAX);
	return rd_short(&r) || l->source.family > 6 ? E_PROTO : 0;
}

/* One record off the front, applied. E_PROTO leaves `r` where it was. */
static int
replay_record(struct rd *r, const struct lease_replay *replay)
{
	struct rd at = *r;
	uint8_t op = rd_u8(&at);
	struct span body = rd_take(&at, rd_u16(&at));
	uint32_t crc = rd_u32(&at);
	struct lease l;

	if (rd_short(&at) || crc != crc32_of(span_of(r->p, 3 + body.n)))
		return E_PROTO;
	if (op == OP_PUT && lease_of_bytes(body, &l) == 0)
		replay->on_put(replay->arg, &l);
	else if (op == OP_DROP && body.n == IPC_SID)
		replay->on_drop(replay->arg, body.p);
	else
		return E_PROTO;
	*r = at;
	return 0;
}

static int
replay_file(struct lease_file *f, struct span in, const struct lease_replay *replay)
{
	struct rd r = rd_open(in);

	if (!span_eq(rd_take(&r, sizeof(magic)), span_of(magic, sizeof(magic)))) {
		log_warn(0,
			 "leases: %zu bytes that are no lease file, put aside as "
			 "leases.bad; addresses come back with their tokens",
			 in.n);
		if (renameat(f->dir_fd, "leases", f->dir_fd, "leases.bad") < 0)
			return -errno;
		return 0;
	}
	while (rd_left(&r) > 0 && replay_record(&r, replay) == 0)
		f->records++;
	f->size = (off_t)(in.n - rd_left(&r));
	if (rd_left(&r) > 0)
		log_warn(0,
			 "leases: damaged after %u records, the last %zu bytes dropped",
			 f->records, rd_left(&r));
	return 0;
}

static int
open_journal(struct lease_file *f)
{
	f->fd = openat(f->dir_fd, "leases",
		       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return f->fd < 0 ? -errno : 0;
}

static int
append(struct lease_file *f, struct span s)
{
	if (s.n == 0)
		return E_LIMIT;
	if (f->is_short && ftruncate(f->fd, f->size) < 0)
		return -errno;
	f->is_short = false;
	ssize_t n = write(f->fd, s.p, s.n);
	if (n != (ssize_t)s.n) {
		int rc = n < 0 ? -errno : -ENOSPC;
		f->is_short = true;
		return rc;
	}
	f->size += n;
	f->records++;
	return 0;
}

int
lease_open(struct lease_file **out, int dir_fd, const struct lease_replay *replay)
{
	struct lease_file *f = calloc(1, sizeof(*f));
	uint8_t *bytes = NULL;
	size_t n = 0;
	int rc;

	if (f == NULL)
		return E_NOMEM;
	*f = (struct lease_file){ .dir_fd = dir_fd, .fd = -1 };
	rc = file_read(dir_fd, "leases", FILE_MAX, &bytes, &n);
	if (rc == E_LIMIT)
		rc = renameat(dir_fd, "leases", dir_fd, "leases.bad") < 0 ? -errno : 0;
	else if (rc == 0 && n > 0)
		rc = replay_file(f, span_of(bytes, n), replay);
	free(bytes);
	if (rc < 0 && rc != -ENOENT)
		goto free_file;
	if ((rc = open_journal(f)) < 0)
		goto free_file;
	if (f->size == 0) {
		if (ftruncate(f->fd, 0) < 0 ||
		    write(f->fd, magic, sizeof(magic)) != (ssize_t)sizeof(magic)) {
			rc = -errno;
			goto free_file;
		}
		f->size = sizeof(magic);
	} else if (ftruncate(f->fd, f->size) < 0) {
		rc = -errno;
		goto free_file;
	}
	*out = f;
	return 0;

free_file:
	lease_close(f);
	return rc;
}

void
lease_close(struct lease_file *f)
{
	if (f == NULL)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f->buf);
	free(f);
}

int
lease_put(struct lease_file *f, const struct lease *l)
{
	uint8_t body[RECORD_MAX], record[RECORD_MAX + 16];

	return append(f, make_record(OP_PUT, lease_bytes(l, body, sizeof(body)), record,
				     sizeof(record)));
}

int
lease_drop(struct lease_file *f, const uint8_t sid[IPC_SID])
{
	uint8_t record[64];

	return append(
		f, make_record(OP_DROP, span_of(sid, IPC_SID), record, sizeof(record)));
}

int
lease_dup(const struct lease_file *f)
{
	return fcntl(f->fd, F_DUPFD_CLOEXEC, 3);
}

bool
lease_is_fat(const struct lease_file *f, unsigned n_live)
{
	return f->records > 2 * n_live + FAT_SLACK;
}

int
lease_rewrite_begin(struct lease_file *f)
{
	f->cap = 65536;
	f->n = sizeof(magic);
	f->buf_records = 0;
	f->has_failed = false;
	if ((f->buf = malloc(f->cap)) == NULL)
		return E_NOMEM;
	memcpy(f->buf, magic, sizeof(magic));
	return 0;
}

void
lease_rewrite_add(struct lease_file *f, const struct lease *l)
{
	uint8_t body[RECORD_MAX];

	if (f->has_failed)
		return;
	if (f->cap - f->n < RECORD_MAX + 16) {
		uint8_t *more = realloc(f->buf, f->cap * 2);
		if (more == NULL) {
			f->has_failed = true;
			return;
		}
		f->buf = more;
		f->cap *= 2;
	}
	f->n += make_record(OP_PUT, lease_bytes(l, body, sizeof(body)), f->buf + f->n,
			    f->cap - f->n)
			.n;
	f->buf_records++;
}

int
lease_rewrite_end(struct lease_file *f)
{
	int old = f->fd;
	int rc = f->has_failed ? E_NOMEM
			       : file_replace(f->dir_fd, "leases",
					      span_of(f->buf, f->n), 0600);

	if (rc == 0 && (rc = open_journal(f)) == 0) {
		close(old);
		f->size = (off_t)f->n;
		f->records = f->buf_records;
		f->is_short = false;
	} else {
		f->fd = old;
	}
	free(f->buf);
	f->buf = NULL;
	return rc;
}
