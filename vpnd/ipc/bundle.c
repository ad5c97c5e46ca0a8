/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/ipc/bundle.h"

#include "common/err.h"
#include "common/file.h"
#include "common/rd.h"
#include "common/wr.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUNDLE_MAX = 2 * CONFIG_TEXT_MAX + 256 * 1024, ABSENT = 0xffffffff };
static const uint32_t bundle_magic = 0x54424e31; /* "TBN1" */

static void
put_part(struct wr *w, const void *p, size_t n)
{
	wr_u32(w, p == NULL ? ABSENT : (uint32_t)n);
	if (p != NULL)
		wr_bytes(w, p, n);
}

/* A part as its own allocation with a NUL behind it, or NULL if absent. */
static int
get_part(struct rd *r, void *out, size_t *n)
{
	uint32_t len = rd_u32(r);
	char *p = NULL;

	*n = 0;
	if (len != ABSENT) {
		struct span s = rd_take(r, len);
		if (rd_short(r))
			return E_PROTO;
		if ((p = malloc(s.n + 1)) == NULL)
			return E_NOMEM;
		if (s.n > 0)
			memcpy(p, s.p, s.n);
		p[s.n] = '\0';
		*n = s.n;
	}
	memcpy(out, &p, sizeof(p));
	return 0;
}

int
bundle_make(const struct bundle *b, int *fd)
{
	uint8_t *buf = malloc(BUNDLE_MAX);
	struct wr w = wr_open(buf, BUNDLE_MAX);
	int rc;

	if (buf == NULL)
		return E_NOMEM;
	wr_u32(&w, bundle_magic);
	put_part(&w, b->conf, b->conf ? strlen(b->conf) : 0);
	put_part(&w, b->node, b->node ? strlen(b->node) : 0);
	put_part(&w, b->profile, b->profile_n);
	wr_bytes(&w, b->wan_ifname, sizeof(b->wan_ifname));
	wr_u8(&w, (uint8_t)b->n_gateway);
	for (unsigned i = 0; i < b->n_gateway; i++) {
		wr_u8(&w, b->gateway[i].family);
		wr_bytes(&w, b->gateway[i].b, sizeof(b->gateway[i].b));
	}
	if (wr_full(&w)) {
		free(buf);
		return E_LIMIT;
	}
	*fd = memfd_create("tandem-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	rc = *fd < 0 ? -errno : file_write_all(*fd, wr_span(&w));
	free(buf);
	if (rc == 0 &&
	    fcntl(*fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		rc = -errno;
	if (rc < 0 && *fd >= 0)
		close(*fd);
	return rc;
}

int
bundle_read(int fd, struct bundle *b)
{
	struct stat st;
	void *map = MAP_FAILED;
	size_t n;
	int rc = 0;

	*b = (struct bundle){ 0 };
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (st.st_size <= 0 || st.st_size > BUNDLE_MAX)
		rc = E_PROTO;
	else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) ==
		 MAP_FAILED)
		rc = -errno;
	close(fd);
	if (rc < 0)
		return rc;

	struct rd r = rd_open(span_of(map, (size_t)st.st_size));
	if (rd_u32(&r) != bundle_magic)
		rc = E_PROTO;
	if (rc == 0)
		rc = get_part(&r, &b->conf, &n);
	if (rc == 0)
		rc = get_part(&r, &b->node, &n);
	if (rc == 0)
		rc = get_part(&r, &b->profile, &b->profile_n);
	rd_copy(&r, b->wan_ifname, sizeof(b->wan_ifname));
	b->n_gateway = rd_u8(&r);
	if (b->n_gateway > BUNDLE_GATEWAYS) {
		b->n_gateway = 0;
		rc = E_PROTO;
	}
	for (unsigned i = 0; i < b->n_gateway; i++) {
		b->gateway[i].family = rd_u8(&r);
		rd_copy(&r, b->gateway[i].b, sizeof(b->gateway[i].b));
	}
	if (rc == 0 && (rd_short(&r) || rd_left(&r) != 0))
		rc = E_PROTO;
	munmap(map, (size_t)st.st_size);
	if (rc < 0)
		bundle_free(b);
	return rc;
}

void
bundle_free(struct bundle *b)
{
	free(b->conf);
	free(b->node);
	free(b->profile);
	*b = (struct bundle){ 0 };
}

int
bundle_load(int fd, struct bundle *b, struct config **config)
{
	struct config_report report = { 0 };
	int rc = bundle_read(fd, b);

	if (rc < 0)
		return rc;
	rc = config_load(config, "tandem.conf", b->conf, "node.conf", b->node, &report);
	config_report_free(&report);
	if (rc < 0) {
		bundle_free(b);
		return rc;
	}
	for (unsigned i = 0; i < (*config)->n_wan; i++)
		if ((*config)->wan[i].ifname[0] == '\0')
			memcpy((*config)->wan[i].ifname, b->wan_ifname[i], IF_NAMESIZE);
	return 0;
}
