/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* xml.h -- foreign text into XML we write.
 *
 * Whatever the bytes, the result is well-formed: markup is escaped, and what
 * XML 1.0 2.2 does not allow (control characters, broken UTF-8, surrogates,
 * U+FFFE and U+FFFF) becomes U+FFFD.
 */
#ifndef COMMON_XML_H
#define COMMON_XML_H

#include "common/wr.h"

/* Element content. Tab and line feed stay as they are. */
void xml_text(struct wr *w, struct span s);
/* Inside double quotes. Line breaks and tabs become references, or the reader
 * would turn them into blanks. */
void xml_attr(struct wr *w, struct span s);

/* The length of the valid UTF-8 sequence at the front of s (1..4), or 0. */
size_t utf8_len(struct span s);
bool utf8_valid(struct span s);

#endif
