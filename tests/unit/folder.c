/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/file.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THEIRS = 4711, ANOTHER = 4712 };

static uid_t
owner(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_uid : (uid_t)-1;
}

static void
touch(const char *name)
{
	close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void
a_folder_is_given_with_its_files(void)
{
	struct stat st;

	is_int(folder_give("f", THEIRS, THEIRS), 0, "a folder is made");
	ok(stat("f", &st) == 0 && st.st_uid == THEIRS && (st.st_mode & 0777) == 0700,
	   "and is that user's alone");
	touch("f/a");
	touch("outside");
	touch("f/linked");
	if (symlink("../outside", "f/link") < 0 || link("f/linked", "linked") < 0 ||
	    mkdir("f/deeper", 0700) < 0 || chmod("f", 0755) < 0)
		abort();
	is_int(folder_give("f", ANOTHER, ANOTHER), 0, "its user's number changes");
	ok(stat("f", &st) == 0 && st.st_uid == ANOTHER && (st.st_mode & 0777) == 0700,
	   "the folder follows, and so does its mode");
	is_int(owner("f/a"), ANOTHER, "so do the files");
	is_int(owner("outside"), 0, "not what a link leads to");
	is_int(owner("linked"), 0, "nor a file that has another name elsewhere");
	is_int(owner("f/deeper"), 0, "nor a folder in it");
	ok(folder_give("none/f", THEIRS, THEIRS) == -ENOENT, "no place, no folder");
}

int
main(void)
{
	char dir[] = "/tmp/folder-XXXXXX";

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	if (mkdtemp(dir) == NULL || chdir(dir) < 0)
		return 1;
	a_folder_is_given_with_its_files();
	unlink("f/a");
	unlink("f/link");
	unlink("f/linked");
	rmdir("f/deeper");
	rmdir("f");
	unlink("linked");
	unlink("outside");
	rmdir(dir);
	return done_testing();
}
