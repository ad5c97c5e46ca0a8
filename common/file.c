/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/file.h"

#include "common/err.h"
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int
file_write_all(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s.p += n;
		s.n -= (size_t)n;
	}
	return 0;
}

static int
sync_directory_of(int dir_fd, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", name);
	int fd = openat(dir_fd, dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int
file_replace(int dir_fd, const char *name, struct span bytes, mode_t mode)
{
	char temp[PATH_MAX];

	if (snprintf(temp, sizeof(temp), "%s.new", name) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	int fd = openat(dir_fd, temp,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	int rc = fchmod(fd, mode) < 0 ? -errno : file_write_all(fd, bytes);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0 && renameat(dir_fd, temp, dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0) {
		unlinkat(dir_fd, temp, 0);
		return rc;
	}
	return sync_directory_of(dir_fd, name);
}

int
file_read_fd(int fd, size_t max, uint8_t **bytes, size_t *n)
{
	size_t cap = 4096, got = 0;
	uint8_t *p = malloc(cap + 1);

	while (p != NULL) {
		ssize_t k = pread(fd, p + got, cap - got, (off_t)got);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 || got + (size_t)k > max) {
			int rc = k < 0 ? -errno : E_LIMIT;
			free(p);
			return rc;
		}
		if (k == 0) {
			p[got] = '\0';
			*bytes = p;
			*n = got;
			return 0;
		}
		got += (size_t)k;
		if (got == cap) {
			uint8_t *q = realloc(p, cap * 2 + 1);
			if (q == NULL)
				break;
			p = q;
			cap *= 2;
		}
	}
	free(p);
	return E_NOMEM;
}

int
file_read(int dir_fd, const char *name, size_t max, uint8_t **bytes, size_t *n)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int rc = file_read_fd(fd, max, bytes, n);
	close(fd);
	return rc;
}

int
folder_give(const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	if ((mkdir(path, 0700) < 0 && errno != EEXIST) || chmod(path, 0700) < 0 ||
	    chown(path, uid, gid) < 0)
		return -errno;
	DIR *d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid != uid &&
		    fchownat(dirfd(d), e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			log_warn(0, "%s/%s: cannot be given to user %u: %s", path,
				 e->d_name, (unsigned)uid, err_text(-errno));
	if (d != NULL)
		closedir(d);
	return 0;
}
