/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/xml.h"

size_t
utf8_len(struct span s)
{
	if (s.n == 0)
		return 0;
	uint8_t c = s.p[0];
	size_t n = 0;

	if (c < 0x80)
		n = 1;
	else if (c >= 0xc2 && c < 0xf5)
		n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF: RFC 3629 4. */
	if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f) ||
	    (c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
		return 0;
	return n;
}

bool
utf8_valid(struct span s)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		if (n == 0)
			return false;
		s = span_of(s.p + n, s.n - n);
	}
	return true;
}

static bool
is_xml_char(struct span c)
{
	if (c.n == 1)
		return c.p[0] >= 0x20 || c.p[0] == '\t' || c.p[0] == '\n' ||
		       c.p[0] == '\r';
	return !(c.n == 3 && c.p[0] == 0xef && c.p[1] == 0xbf && c.p[2] >= 0xbe);
}

static const char *
reference(uint8_t c, bool in_attr)
{
	switch (c) {
	case '&': return "&amp;";
	case '<': return "&lt;";
	case '>': return "&gt;";
	case '"': return "&quot;";
	case '\'': return "&apos;";
	case '\r': return "&#13;";
	case '\n': return in_attr ? "&#10;" : NULL;
	case '\t': return in_attr ? "&#9;" : NULL;
	default: return NULL;
	}
}

static void
escape(struct wr *w, struct span s, bool in_attr)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		struct span c = span_of(s.p, n ? n : 1);
		const char *ref = n == 1 ? reference(c.p[0], in_attr) : NULL;

		if (n == 0 || !is_xml_char(c))
			wr_str(w, "\xef\xbf\xbd");
		else if (ref)
			wr_str(w, ref);
		else
			wr_put(w, c);
		s = span_of(s.p + c.n, s.n - c.n);
	}
}

void
xml_text(struct wr *w, struct span s)
{
	escape(w, s, false);
}

void
xml_attr(struct wr *w, struct span s)
{
	escape(w, s, true);
}
