/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "tests/lib/tap.h"
#include "vpnd/session/revoked.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir;

static const uint8_t *
sid_no(unsigned n)
{
	static uint8_t sid[IPC_SID];
	sid[0] = (uint8_t)(n * 37);
	sid[1] = (uint8_t)n;
	return sid;
}

static void
count(void *arg, const uint8_t sid[IPC_SID], uint64_t expiry)
{
	++*(unsigned *)arg;
}

static void
what_was_revoked_stays_so_until_its_token_expires(void)
{
	struct revoked *r;
	unsigned n = 0;

	is_int(revoked_open(&r, dir, 0), 0, "no file is an empty set");
	for (unsigned i = 0; i < 200; i++)
		revoked_add(r, sid_no(i), 1000 + i);
	revoked_add(r, sid_no(5), 2000);
	is_int(revoked_count(r), 200, "twice is once");
	ok(revoked_has(r, sid_no(77)), "has");
	ok(!revoked_has(r, sid_no(200)), "has not");
	is_int(revoked_save(r, 0), 0, "saved");
	revoked_close(r);

	is_int(revoked_open(&r, dir, 1100), 0, "a restart later");
	is_int(revoked_count(r), 100, "those that have not expired are there");
	ok(revoked_has(r, sid_no(5)), "the longer life counts");
	ok(!revoked_has(r, sid_no(6)), "an expired one is forgotten");
	revoked_each(r, count, &n);
	is_int(n, 100, "each");
	is_int(revoked_save(r, 1150), 0, "saved");
	is_int(revoked_count(r), 50, "expiry needs no restart");
	revoked_close(r);
}

static void
a_damaged_file_is_put_aside(void)
{
	struct revoked *r;
	struct stat st;

	file_replace(dir, "revoked", SPAN("TRV1\0\0\0\2short"), 0600);
	is_int(revoked_open(&r, dir, 0), 0, "opens");
	is_int(revoked_count(r), 0, "empty");
	is_int(fstatat(dir, "revoked.bad", &st, 0), 0, "kept as revoked.bad");
	revoked_close(r);
}

int
main(void)
{
	char path[] = "/tmp/revoked-test.XXXXXX";

	log_set_fd(open("/dev/null", O_WRONLY));
	dir = open(mkdtemp(path), O_RDONLY | O_DIRECTORY);
	what_was_revoked_stays_so_until_its_token_expires();
	a_damaged_file_is_put_aside();
	unlinkat(dir, "revoked", 0);
	unlinkat(dir, "revoked.bad", 0);
	rmdir(path);
	return done_testing();
}
