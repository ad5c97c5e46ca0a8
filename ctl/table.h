/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* table.h -- aligned columns and readable numbers for a terminal or a pipe.
 *
 * Cells may come from strangers (user agents, host names): whatever could move
 * a cursor or start an escape sequence is printed as '?'.
 *
 * Ownership: cells are copied; table_free ends them.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLS = 16, FORMAT_TEXT = 32 };

struct table_col {
	const char *head;
	bool is_right; /* numbers */
};

struct table {
	const struct table_col *col; /* borrowed */
	unsigned n_col;
	char **cell; /* n_row * n_col */
	size_t n_row;
};

void table_open(struct table *t, const struct table_col *col, unsigned n_col);
/* n_col texts; NULL is printed as "-". */
void table_add(struct table *t, const char *const *cells);
/* Two spaces between columns, none at the end of a line. bold: of the head,
 * an escape sequence or "". */
void table_print(const struct table *t, FILE *to, const char *bold);
void table_free(struct table *t);

/* "912 B", "1.5 KiB", "23 MiB". buf has FORMAT_TEXT bytes; returns buf. */
const char *format_bytes(uint64_t n, char *buf);
/* "7s", "3m05s", "1h02m", "2d03h". */
const char *format_duration(uint64_t seconds, char *buf);
/* Print text with everything that is not plain printable UTF-8 as '?'. */
void print_safe(FILE *to, const char *text);

#endif
