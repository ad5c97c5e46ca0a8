/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/profile.h"

#include "common/b64.h"
#include "common/err.h"
#include "common/xml.h"

#include <expat.h>
#include <openssl/evp.h>

enum { DEPTH_MAX = 32 };

static void
element(struct wr *w, const char *name, const char *text)
{
	wr_fmt(w, "<%s>", name);
	xml_text(w, span_str(text));
	wr_fmt(w, "</%s>\n", name);
}

void
profile_write(struct wr *w, const struct profile *p)
{
	const char *yes_no = p->local_lan ? "true" : "false";

	wr_str(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		  "<AnyConnectProfile xmlns=\"http://schemas.xmlsoap.org/encoding/\" "
		  "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
		  "xsi:schemaLocation=\"http://schemas.xmlsoap.org/encoding/ "
		  "AnyConnectProfile.xsd\">\n<ClientInitialization>\n"
		  /* We serve no software: do not let the client look for it. */
		  "<BypassDownloader>true</BypassDownloader>\n"
		  "<AutoUpdate UserControllable=\"false\">false</AutoUpdate>\n"
		  "<StrictCertificateTrust>false</StrictCertificateTrust>\n");
	wr_fmt(w, "<LocalLanAccess UserControllable=\"%s\">%s</LocalLanAccess>\n",
	       yes_no, yes_no);
	wr_str(w,
	       "<AutoReconnect UserControllable=\"false\">true\n"
	       "<AutoReconnectBehavior UserControllable=\"false\">ReconnectAfterResume"
	       "</AutoReconnectBehavior>\n</AutoReconnect>\n</ClientInitialization>\n"
	       "<ServerList>\n<HostEntry>\n");
	element(w, "HostName", p->alias && p->alias[0] ? p->alias : p->hostname);
	element(w, "HostAddress", p->hostname);
	if (p->group && p->group[0])
		element(w, "UserGroup", p->group);
	/* Here and not among the settings above: this list is the entry's own. */
	if (p->backup && p->backup[0]) {
		wr_str(w, "<BackupServerList>\n");
		element(w, "HostAddress", p->backup);
		wr_str(w, "</BackupServerList>\n");
	}
	wr_str(w,
	       "<PrimaryProtocol>SSL</PrimaryProtocol>\n</HostEntry>\n</ServerList>\n"
	       "</AnyConnectProfile>\n");
}

struct check {
	XML_Parser parser;
	struct profile_facts *facts;
	unsigned depth;
	bool is_vpn, is_in_local_lan;
};

static void
give_up(struct check *c, const char *why)
{
	if (c->facts->why == NULL)
		c->facts->why = why;
	XML_StopParser(c->parser, XML_FALSE);
}

/* Entities could make megabytes of it in the client. */
static void
on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int has)
{
	give_up(arg, "it has a DOCTYPE");
}

static void
on_start(void *arg, const char *name, const char **atts)
{
	struct check *c = arg;
	const char *colon = strchr(name, ':'), *local = colon ? colon + 1 : name;

	if (c->depth == 0)
		c->is_vpn = strcmp(local, "AnyConnectProfile") == 0;
	c->is_in_local_lan = strcmp(local, "LocalLanAccess") == 0;
	if (!c->is_vpn)
		give_up(c, "its outermost element is another one");
	else if (++c->depth > DEPTH_MAX)
		give_up(c, "its elements are nested too deep");
}

static void
on_text(void *arg, const char *s, int n)
{
	struct check *c = arg;

	if (c->is_in_local_lan && n >= 4 && memmem(s, (size_t)n, "true", 4) != NULL)
		c->facts->local_lan = true;
}

static void
on_end(void *arg, const char *name)
{
	struct check *c = arg;

	c->depth--;
	c->is_in_local_lan = false;
}

int
profile_check(struct span file, struct profile_facts *facts)
{
	struct profile_facts unwanted = { 0 };
	struct check c = { .facts = facts != NULL ? facts : &unwanted };

	*c.facts = (struct profile_facts){ 0 };
	if (file.n == 0 || file.n > PROFILE_MAX) {
		c.facts->why = file.n == 0 ? "it is empty" : "it is above 192 KiB";
		return E_INVAL;
	}
	c.parser = XML_ParserCreate(NULL);
	if (c.parser == NULL)
		return E_NOMEM;
	XML_SetUserData(c.parser, &c);
	XML_SetElementHandler(c.parser, on_start, on_end);
	XML_SetCharacterDataHandler(c.parser, on_text);
	XML_SetStartDoctypeDeclHandler(c.parser, on_doctype);
	if (XML_Parse(c.parser, (const char *)file.p, (int)file.n, XML_TRUE) !=
	    XML_STATUS_OK) {
		c.facts->line = (unsigned)XML_GetCurrentLineNumber(c.parser);
		if (c.facts->why == NULL)
			c.facts->why = XML_ErrorString(XML_GetErrorCode(c.parser));
	}
	XML_ParserFree(c.parser);
	return c.facts->why == NULL ? 0 : E_INVAL;
}

void
profile_sha1(char out[PROFILE_SHA1_HEX], struct span bytes)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct wr w = wr_open(out, PROFILE_SHA1_HEX);

	if (EVP_Digest(bytes.p, bytes.n, md, &n, EVP_sha1(), NULL) == 1)
		hex_encode_upper(&w, span_of(md, n));
	wr_u8(&w, 0);
}
