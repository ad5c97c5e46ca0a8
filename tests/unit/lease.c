/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "tests/lib/tap.h"
#include "vpnd/session/lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir;

/* What the journal says at the end: one bit per lease number. */
struct seen {
	unsigned live, puts;
	struct lease last;
};

static void
on_put(void *arg, const struct lease *l)
{
	struct seen *s = arg;
	s->live |= 1u << l->claims.sid[0];
	s->puts++;
	s->last = *l;
}

static void
on_drop(void *arg, const uint8_t sid[IPC_SID])
{
	struct seen *s = arg;
	s->live &= ~(1u << sid[0]);
}

static struct lease_file *
open_with(struct seen *s)
{
	struct lease_file *f = NULL;
	struct lease_replay replay = { s, on_put, on_drop };

	*s = (struct seen){ 0 };
	is_int(lease_open(&f, dir, &replay), 0, "the file opens");
	return f;
}

static struct lease
lease_no(uint8_t n)
{
	struct lease l = { .slot = 100u + n,
			   .gen = 7,
			   .has_connected = true,
			   .wall_connected_s = 1234,
			   .agent = "agent",
			   .hostname = "host" };

	l.claims.sid[0] = n;
	snprintf(l.claims.user, sizeof(l.claims.user), "user%u", n);
	l.claims.wall_expiry_s = 99;
	ip_parse("192.0.2.1", &l.source);
	l.source.port = 4711;
	return l;
}

static void
fill(unsigned n)
{
	struct seen s;
	unlinkat(dir, "leases", 0);
	struct lease_file *f = open_with(&s);
	for (uint8_t i = 0; i < n; i++) {
		struct lease l = lease_no(i);
		lease_put(f, &l);
	}
	lease_close(f);
}

static void
what_was_put_is_there_after_a_restart(void)
{
	struct seen s;

	fill(3);
	struct lease_file *f = open_with(&s);
	is_int(s.live, 7, "three leases");
	is_int(s.last.slot, 102, "slot");
	is_int(s.last.gen, 7, "generation");
	is_int(s.last.source.port, 4711, "source");
	is_str(s.last.claims.user, "user2", "user");
	is_str(s.last.agent, "agent", "agent");
	is_str(s.last.hostname, "host", "host name");
	lease_drop(f, (const uint8_t[IPC_SID]){ 1 });
	lease_close(f);
	lease_close(open_with(&s));
	is_int(s.live, 5, "one ended");
}

static void
a_file_cut_anywhere_keeps_its_good_records(void)
{
	uint8_t *bytes;
	size_t n;
	struct seen s;
	unsigned wrong = 0;

	fill(3);
	file_read(dir, "leases", 1 << 20, &bytes, &n);
	size_t record = (n - 4) / 3;
	for (size_t cut = 5; cut < n; cut += 13) {
		file_replace(dir, "leases", span_of(bytes, cut), 0600);
		struct lease_file *f;
		struct lease_replay replay = { &s, on_put, on_drop };
		s = (struct seen){ 0 };
		wrong += lease_open(&f, dir, &replay) != 0 ||
			 s.puts != (cut - 4) / record;
		struct lease l = lease_no(9);
		wrong += lease_put(f, &l) != 0;
		lease_close(f);
		s = (struct seen){ 0 };
		wrong += lease_open(&f, dir, &replay) != 0 ||
			 s.puts != (cut - 4) / record + 1;
		lease_close(f);
	}
	is_int(wrong, 0, "the good ones are read and new ones follow them");
	free(bytes);
}

static void
a_flipped_bit_ends_the_journal_there(void)
{
	uint8_t *bytes;
	size_t n;
	struct seen s;

	fill(3);
	file_read(dir, "leases", 1 << 20, &bytes, &n);
	bytes[4 + (n - 4) / 3 + 10] ^= 1;
	file_replace(dir, "leases", span_of(bytes, n), 0600);
	lease_close(open_with(&s));
	is_int(s.live, 1, "the first is good, the rest is not trusted");
	free(bytes);
}

static void
garbage_is_put_aside(void)
{
	struct seen s;
	struct stat st;

	file_replace(dir, "leases", SPAN("this is not a lease file at all"), 0600);
	lease_close(open_with(&s));
	is_int(s.puts, 0, "nothing is believed");
	is_int(fstatat(dir, "leases.bad", &st, 0), 0, "it is kept as leases.bad");
	file_replace(dir, "leases", SPAN(""), 0600);
	struct lease_file *f = open_with(&s);
	struct lease l = lease_no(1);
	is_int(lease_put(f, &l), 0, "an empty file is a fine start");
	lease_close(f);
	lease_close(open_with(&s));
	is_int(s.live, 2, "and works");
}

static void
a_rewrite_keeps_the_living_and_drops_the_rest(void)
{
	struct seen s;

	fill(1);
	struct lease_file *f = open_with(&s);
	struct lease l = lease_no(2);
	for (int i = 0; i < 2000; i++)
		lease_put(f, &l);
	ok(lease_is_fat(f, 1), "two thousand records for one lease are fat");
	is_int(lease_rewrite_begin(f), 0, "begin");
	lease_rewrite_add(f, &l);
	is_int(lease_rewrite_end(f), 0, "end");
	ok(!lease_is_fat(f, 1), "slim now");
	l = lease_no(3);
	lease_put(f, &l);
	lease_close(f);
	lease_close(open_with(&s));
	is_int(s.puts, 2, "two records");
	is_int(s.live, 1 << 2 | 1 << 3, "of the right sessions");
}

int
main(void)
{
	char path[] = "/tmp/lease-test.XXXXXX";

	log_set_level(LOG_L_ERR);
	dir = open(mkdtemp(path), O_RDONLY | O_DIRECTORY);
	what_was_put_is_there_after_a_restart();
	a_file_cut_anywhere_keeps_its_good_records();
	a_flipped_bit_ends_the_journal_there();
	garbage_is_put_aside();
	a_rewrite_keeps_the_living_and_drops_the_rest();
	unlinkat(dir, "leases", 0);
	unlinkat(dir, "leases.bad", 0);
	rmdir(path);
	return done_testing();
}
