/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* file.h -- state on disk is written whole or not at all.
 *
 * Errors: -errno, E_LIMIT when a file is larger than the reader accepts.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/span.h"

#include <sys/types.h>

/* Replace `name` in directory dir_fd (AT_FDCWD: a path) by these bytes:
 * temporary file, fsync, rename, fsync of the directory. */
int file_replace(int dir_fd, const char *name, struct span bytes, mode_t mode);

/* Write all of it, however many calls that takes. */
int file_write_all(int fd, struct span bytes);

/* All bytes of a file in memory of its own (the caller frees), with a NUL behind
 * them. -ENOENT when there is none; E_LIMIT above max. */
int file_read(int dir_fd, const char *name, size_t max, uint8_t **bytes, size_t *n);

/* The same from an open descriptor, from its start. Does not close it. */
int file_read_fd(int fd, size_t max, uint8_t **bytes, size_t *n);

/* A folder that is its user's alone (0700, made when there is none), with the files in
 * it: the number of a user changes when the package's users are made after a first
 * start without them, and a file that cannot be read any more would be as good as lost.
 * Links are not followed: the user can put some there. A file that stays another's is
 * logged. */
int folder_give(const char *path, uid_t uid, gid_t gid);

#endif
