/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/firewall.h"

#include "common/err.h"
#include "vpnd/parent/setup.h"

#include <arpa/inet.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *p;
	size_t cap, n;
	bool is_full;
};

__attribute__((format(printf, 2, 3))) static void
put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(t->p + t->n, t->cap - t->n, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->cap - t->n)
		t->is_full = true;
	else
		t->n += (size_t)n;
}

/* An interface name may have nearly any character; a quoted nft word may not. */
static bool
is_quotable(const char *ifname)
{
	return ifname[0] != '\0' &&
	       strspn(ifname, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			      "0123456789_.:@-") == strlen(ifname);
}

static bool
hides(const struct config_wan *w)
{
	return w->nat;
}

/* { "eth0", "eth1" } of the uplinks that qualify; how many there are. */
static unsigned
wan_set(const struct config *c, bool (*qualifies)(const struct config_wan *), char *buf,
	size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	unsigned n = 0;

	put(&t, "{");
	for (unsigned i = 0; i < c->n_wan; i++)
		if (qualifies(&c->wan[i]))
			put(&t, "%s \"%s\"", n++ > 0 ? "," : "", c->wan[i].ifname);
	put(&t, " }");
	return n;
}

/* An RST that answers a SYN has sequence number 0 (RFC 9293 3.10.7.1). To a
 * client it is "connection refused", after which it sleeps for ten seconds;
 * without it, it sends its SYN again a second later and meets the restarted
 * service. So refusals from the service's port never leave an uplink.
 *
 * Only those: what the kernel says for a dying process (FIN, or RST with a live
 * sequence number) passes, since on its own a client that hears it comes back
 * at once. Mark 1 is on connections that a worker closes on purpose. Other
 * interfaces are not meant: there, a refusal is the right answer. A service
 * that is switched off refuses, too. */
static void
put_silence(struct text *t, const struct config *c)
{
	char wans[128];

	if (!c->enabled || wan_set(c, wan_serves, wans, sizeof(wans)) == 0)
		return;
	put(t,
	    "\tchain silence {\n"
	    "\t\ttype filter hook output priority filter; policy accept;\n"
	    "\t\ttcp sport %u tcp flags & (rst | ack) == (rst | ack) tcp sequence 0 "
	    "meta mark != 1 oifname %s drop\n"
	    "\t}\n",
	    c->port, wans);
}

static void
put_masquerade(struct text *t, const struct config *c, const char *pool4,
	       const char *pool6)
{
	char wans[128];

	if (wan_set(c, hides, wans, sizeof(wans)) == 0)
		return;
	put(t,
	    "\tchain hide_clients {\n"
	    "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	    "\t\tip saddr %s oifname %s masquerade\n",
	    pool4, wans);
	if (pool6[0] != '\0')
		put(t, "\t\tip6 saddr %s oifname %s masquerade\n", pool6, wans);
	put(t, "\t}\n");
}

/* Masquerading makes the kernel track every flow it sees. The tunnels' own packets
 * need none of it, and it is dear: a fifth of a small packet's way. */
static void
put_untracked(struct text *t, const struct config *c)
{
	char wans[128], all[128];

	if (wan_set(c, hides, all, sizeof(all)) == 0 ||
	    wan_set(c, wan_serves, wans, sizeof(wans)) == 0)
		return;
	put(t,
	    "\tchain untracked_in {\n"
	    "\t\ttype filter hook prerouting priority raw; policy accept;\n"
	    "\t\tmeta l4proto { tcp, udp } th dport %u iifname %s fib daddr type local "
	    "notrack\n"
	    "\t}\n"
	    "\tchain untracked_out {\n"
	    "\t\ttype filter hook output priority raw; policy accept;\n"
	    "\t\tmeta l4proto { tcp, udp } th sport %u oifname %s notrack\n"
	    "\t}\n",
	    c->port, wans, c->port, wans);
}

int
firewall_text(const struct config *c, unsigned workers, char *buf, size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	char pool4[64], pool6[64] = "";
	char tuns[CONFIG_WANS * 512], a[INET6_ADDRSTRLEN];
	struct text dev = { .p = tuns, .cap = sizeof(tuns) };

	for (unsigned i = 0; i < c->n_wan; i++)
		if (!is_quotable(c->wan[i].ifname))
			return E_INVAL;
	inet_ntop(AF_INET, &c->pool4.addr, a, sizeof(a));
	snprintf(pool4, sizeof(pool4), "%s/%u", a, c->pool4.len);
	if (c->pool6.len > 0) {
		inet_ntop(AF_INET6, &c->pool6.addr, a, sizeof(a));
		snprintf(pool6, sizeof(pool6), "%s/%u", a, c->pool6.len);
	}
	put(&dev, "{");
	for (unsigned i = 0; i < workers; i++)
		put(&dev, "%s \"vpn%u\"", i > 0 ? "," : "", i);
	put(&dev, " }");

	/* Naming the table before deleting it makes the delete never fail. */
	put(&t, "table inet tandem\ndelete table inet tandem\ntable inet tandem {\n");
	put_silence(&t, c);
	put_masquerade(&t, c, pool4, pool6);
	put_untracked(&t, c);
	put(&t,
	    "\tchain clamp {\n"
	    "\t\ttype filter hook forward priority mangle; policy accept;\n"
	    "\t\ttcp flags syn iifname %s tcp option maxseg size set rt mtu\n"
	    "\t\ttcp flags syn oifname %s tcp option maxseg size set rt mtu\n"
	    "\t}\n",
	    tuns, tuns);
	/* Only a tunnel may speak for a client's address; lo carries what this
	 * host says to itself. */
	put(&t,
	    "\tchain spoofed {\n"
	    "\t\ttype filter hook prerouting priority raw; policy accept;\n"
	    "\t\tiifname \"lo\" accept\n"
	    "\t\tiifname %s accept\n"
	    "\t\tip saddr %s drop\n",
	    tuns, pool4);
	if (pool6[0] != '\0')
		put(&t, "\t\tip6 saddr %s drop\n", pool6);
	put(&t, "\t}\n}\n");
	return t.is_full || dev.is_full ? E_LIMIT : 0;
}

static int
run(const char *commands, char *why)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

	if (nft == NULL) {
		snprintf(why, WHY_MAX, "nftables: no memory");
		return E_NOMEM;
	}
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	int rc = 0;
	if (nft_run_cmd_from_buffer(nft, commands) != 0) {
		const char *said = nft_ctx_get_error_buffer(nft);
		snprintf(why, WHY_MAX, "nftables: %.*s", (int)strcspn(said, "\n"),
			 said);
		rc = E_INVAL;
	}
	nft_ctx_free(nft);
	return rc;
}

int
firewall_apply(const struct config *c, unsigned workers, char *why)
{
	char text[FIREWALL_TEXT];
	int rc = firewall_text(c, workers, text, sizeof(text));

	if (rc < 0) {
		snprintf(why, WHY_MAX,
			 "nftables: an interface name has odd characters");
		return rc;
	}
	return run(text, why);
}

int
firewall_remove(char *why)
{
	return run("table inet tandem\ndelete table inet tandem\n", why);
}
