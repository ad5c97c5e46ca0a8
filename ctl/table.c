/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>

/* Length of the printable character at s, or 0: control characters of both
 * ranges (C1 hides in C2 80..9f), broken or over-long UTF-8. */
static size_t
char_len(const unsigned char *s)
{
	static const struct {
		uint32_t least;
		unsigned char mask, lead, n;
	} form[] = {
		{ 0x20, 0x80, 0x00, 1 },
		{ 0xa0, 0xe0, 0xc0, 2 },
		{ 0x800, 0xf0, 0xe0, 3 },
		{ 0x10000, 0xf8, 0xf0, 4 },
	};
	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		if ((s[0] & form[i].mask) != form[i].lead)
			continue;
		uint32_t c = s[0] & (unsigned char)~form[i].mask;
		for (size_t k = 1; k < form[i].n; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[k] & 0x3f);
		}
		/* Direction marks reorder a terminal's line: not in a name. */
		if (c < form[i].least || c == 0x7f || c > 0x10ffff ||
		    (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		    (c >= 0x2066 && c <= 0x2069) || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		return form[i].n;
	}
	return 0;
}

/* A printable copy of text; *width is its number of characters. */
static char *
clean(const char *text, size_t *width)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = strlen(text), w = 0, at = 0;
	char *copy = malloc(n + 1);

	if (copy == NULL)
		abort();
	while (*s != '\0') {
		size_t len = char_len(s);
		if (len == 0) {
			copy[at++] = '?';
			s++;
		} else {
			memcpy(copy + at, s, len);
			at += len;
			s += len;
		}
		w++;
	}
	copy[at] = '\0';
	if (width != NULL)
		*width = w;
	return copy;
}

void
print_safe(FILE *to, const char *text)
{
	char *copy = clean(text, NULL);
	fputs(copy, to);
	free(copy);
}

void
table_open(struct table *t, const struct table_col *col, unsigned n_col)
{
	*t = (struct table){ .col = col, .n_col = n_col };
}

void
table_add(struct table *t, const char *const *cells)
{
	char **grown = realloc(t->cell, (t->n_row + 1) * t->n_col * sizeof(*grown));

	if (grown == NULL)
		abort();
	t->cell = grown;
	for (unsigned i = 0; i < t->n_col; i++) {
		const char *text = cells[i] && *cells[i] ? cells[i] : "-";
		t->cell[t->n_row * t->n_col + i] = clean(text, NULL);
	}
	t->n_row++;
}

static size_t
text_width(const char *s)
{
	size_t w = 0;
	for (; *s != '\0'; s++)
		w += (*s & 0xc0) != 0x80; /* cells are valid UTF-8 by now */
	return w;
}

static void
print_line(const struct table *t, const char *const *cells, const size_t *width,
	   FILE *to)
{
	for (unsigned i = 0; i < t->n_col; i++) {
		int pad = (int)(width[i] - text_width(cells[i]));
		bool is_last = i + 1 == t->n_col;
		if (t->col[i].is_right)
			fprintf(to, "%*s%s%s", pad, "", cells[i], is_last ? "" : "  ");
		else
			fprintf(to, "%s%*s", cells[i], is_last ? 0 : pad + 2, "");
	}
}

void
table_print(const struct table *t, FILE *to, const char *bold)
{
	const char *head[TABLE_COLS];
	size_t width[TABLE_COLS];

	for (unsigned i = 0; i < t->n_col; i++) {
		head[i] = t->col[i].head;
		width[i] = text_width(head[i]);
		for (size_t r = 0; r < t->n_row; r++) {
			size_t w = text_width(t->cell[r * t->n_col + i]);
			width[i] = w > width[i] ? w : width[i];
		}
	}
	fputs(bold, to);
	print_line(t, head, width, to);
	fputs(*bold ? "\033[0m\n" : "\n", to);
	for (size_t r = 0; r < t->n_row; r++) {
		print_line(t, (const char *const *)&t->cell[r * t->n_col], width, to);
		fputc('\n', to);
	}
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->n_row * t->n_col; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct table){ 0 };
}

const char *
format_bytes(uint64_t n, char *buf)
{
	static const char *const unit[] = { "B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB" };
	double v = (double)n;
	unsigned i = 0;

	/* 1023.95 would print as "1024.0": go up where the rounding does. */
	while (v >= (i == 0 ? 1024 : 1023.5) &&
	       i + 1 < sizeof(unit) / sizeof(unit[0])) {
		v /= 1024;
		i++;
	}
	snprintf(buf, FORMAT_TEXT, i > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v,
		 unit[i]);
	return buf;
}

const char *
format_duration(uint64_t s, char *buf)
{
	unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60,
			   sec = s % 60;

	if (d > 0)
		snprintf(buf, FORMAT_TEXT, "%llud%02lluh", d, h);
	else if (h > 0)
		snprintf(buf, FORMAT_TEXT, "%lluh%02llum", h, m);
	else if (m > 0)
		snprintf(buf, FORMAT_TEXT, "%llum%02llus", m, sec);
	else
		snprintf(buf, FORMAT_TEXT, "%llus", sec);
	return buf;
}
