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
/* In a pair the other node tells the clients; a FIN or RST that comes through while
 * the address is on its way would only make them dial into the gap. A plain RST, the
 * answer to a segment of a connection unknown here, passes always. */
static void
put_silence(struct text *t, const struct config *c, bool is_pair)
{
	char wans[128];

	if (!c->enabled || wan_set(c, wan_serves, wans, sizeof(wans)) == 0)
		return;
	put(t,
	    "\tchain silence {\n"
	    "\t\ttype filter hook output priority filter; policy accept;\n"
	    "\t\ttcp sport %u tcp flags & (rst | ack) == (rst | ack) %s"
	    "meta mark != 1 oifname %s drop\n",
	    c->port, is_pair ? "" : "tcp sequence 0 ", wans);
	if (is_pair)
		put(t,
		    "\t\ttcp sport %u tcp flags & (fin | ack) == (fin | ack) "
		    "meta mark != 1 oifname %s drop\n",
		    c->port, wans);
	put(t, "\t}\n");
}

/* A node whose vpnd is dead but which still has the address: what its kernel says to
 * segments and datagrams that nobody listens for (RST, port unreachable) would send the
 * client to a SYN that is not answered. A live vpnd has sockets for both. "transparent
 * 0" is true for any socket, half-open ones too. */
static void
put_dead(struct text *t, const struct config *c)
{
	char wans[128];

	if (!c->enabled || wan_set(c, wan_serves, wans, sizeof(wans)) == 0)
		return;
	put(t,
	    "\tchain dead {\n"
	    "\t\ttype filter hook input priority filter - 1; policy accept;\n"
	    "\t\tmeta l4proto != { tcp, udp } accept\n"
	    "\t\tth dport != %u accept\n"
	    "\t\tsocket transparent 0 accept\n"
	    "\t\tiifname %s drop\n"
	    "\t}\n",
	    c->port, wans);
}

/* "{ a, b }" of the virtual addresses of one family; how many. */
static unsigned
virtual_set(const struct config *c, int family, char *buf, size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	unsigned n = family == AF_INET ? c->n_virtual4 : c->n_virtual6;
	char a[INET6_ADDRSTRLEN];

	put(&t, "{");
	for (unsigned i = 0; i < n; i++) {
		inet_ntop(family,
			  family == AF_INET ? (const void *)&c->virtual4[i]
					    : (const void *)&c->virtual6[i],
			  a, sizeof(a));
		put(&t, "%s %s", i > 0 ? "," : "", a);
	}
	put(&t, " }");
	return n;
}

enum { VIRTUAL_TEXT = CONFIG_VIRTUAL * (INET6_ADDRSTRLEN + 2) + 8 };

/* A node that has just lost an address would forward to it, find nobody, and say
 * "host unreachable": a client sleeps for ten seconds after that, too. */
static void
put_transit(struct text *t, const struct config *c)
{
	char v4[VIRTUAL_TEXT], v6[VIRTUAL_TEXT];
	unsigned n4 = virtual_set(c, AF_INET, v4, sizeof(v4));
	unsigned n6 = virtual_set(c, AF_INET6, v6, sizeof(v6));

	if (n4 + n6 == 0)
		return;
	put(t, "\tchain transit {\n"
	       "\t\ttype filter hook forward priority filter; policy accept;\n");
	if (n4 > 0)
		put(t, "\t\tip daddr %s drop\n", v4);
	if (n6 > 0)
		put(t, "\t\tip6 daddr %s drop\n", v6);
	put(t, "\t}\n");
}

/* See firewall_lost. A SYN is somebody new. */
static void
put_lost(struct text *t, const struct config *c)
{
	put(t,
	    "\tset lost4 { type ipv4_addr . inet_service; flags timeout; size 65536; "
	    "}\n"
	    "\tset lost6 { type ipv6_addr . inet_service; flags timeout; size 65536; "
	    "}\n"
	    "\tchain lost {\n"
	    "\t\ttype filter hook input priority filter; policy accept;\n"
	    "\t\ttcp dport %u tcp flags & (syn | rst) == 0 "
	    "ip saddr . tcp sport @lost4 reject with tcp reset\n"
	    "\t\ttcp dport %u tcp flags & (syn | rst) == 0 "
	    "ip6 saddr . tcp sport @lost6 reject with tcp reset\n"
	    "\t}\n",
	    c->port, c->port);
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
firewall_text(const struct config *c, unsigned workers, bool is_pair, char *buf,
	      size_t cap)
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
	put_silence(&t, c, is_pair);
	if (is_pair) {
		put_dead(&t, c);
		put_transit(&t, c);
		put_lost(&t, c);
	}
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
firewall_apply(const struct config *c, unsigned workers, bool is_pair, char *why)
{
	char text[FIREWALL_TEXT];
	int rc = firewall_text(c, workers, is_pair, text, sizeof(text));

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

int
firewall_lost_text(const struct endpoint *e, size_t n, unsigned seconds, char *buf,
		   size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	char a[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < n; i++) {
		bool is_v4 = e[i].client.family == 4;
		inet_ntop(is_v4 ? AF_INET : AF_INET6, e[i].client.b, a, sizeof(a));
		put(&t, "add element inet tandem lost%c { %s . %u timeout %us }\n",
		    is_v4 ? '4' : '6', a, e[i].client.port, seconds);
	}
	return t.is_full ? E_LIMIT : 0;
}

int
firewall_lost(const struct endpoint *e, size_t n, unsigned seconds, char *why)
{
	char text[FIREWALL_LOST * 112];

	if (n == 0)
		return 0;
	if (n > FIREWALL_LOST ||
	    firewall_lost_text(e, n, seconds, text, sizeof(text)) < 0)
		return E_LIMIT;
	return run(text, why);
}

/* Record type 23 is application data (RFC 6347 4.1). A flow of ours has begun with
 * a handshake that was answered. */
int
firewall_stray_text(const struct config *c, char *buf, size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	char v4[VIRTUAL_TEXT], v6[VIRTUAL_TEXT];
	unsigned n4 = virtual_set(c, AF_INET, v4, sizeof(v4));
	unsigned n6 = virtual_set(c, AF_INET6, v6, sizeof(v6));

	put(&t,
	    "table inet tandem_stray\ndelete table inet tandem_stray\n"
	    "table inet tandem_stray {\n"
	    "\tset known4 { type ipv4_addr . inet_service; flags dynamic, timeout; "
	    "timeout 1m; size 65536; }\n"
	    "\tset known6 { type ipv6_addr . inet_service; flags dynamic, timeout; "
	    "timeout 1m; size 65536; }\n"
	    "\tchain spoken {\n"
	    "\t\ttype filter hook output priority filter; policy accept;\n"
	    "\t\tudp sport %u update @known4 { ip daddr . udp dport }\n"
	    "\t\tudp sport %u update @known6 { ip6 daddr . udp dport }\n"
	    "\t}\n"
	    "\tchain heard {\n"
	    "\t\ttype filter hook input priority filter; policy accept;\n",
	    c->port, c->port);
	if (n4 > 0)
		put(&t,
		    "\t\tip daddr %s udp dport %u @th,64,8 23 ip saddr . udp sport "
		    "!= @known4 limit rate 1000/second reject with icmp type "
		    "port-unreachable\n",
		    v4, c->port);
	if (n6 > 0)
		put(&t,
		    "\t\tip6 daddr %s udp dport %u @th,64,8 23 ip6 saddr . udp sport "
		    "!= @known6 limit rate 1000/second reject with icmpv6 type "
		    "port-unreachable\n",
		    v6, c->port);
	put(&t, "\t}\n}\n");
	return t.is_full ? E_LIMIT : 0;
}

int
firewall_stray(const struct config *c, char *why)
{
	char text[FIREWALL_TEXT];

	if (c->n_virtual4 + c->n_virtual6 == 0 || !c->enabled)
		return 0;
	int rc = firewall_stray_text(c, text, sizeof(text));
	return rc < 0 ? rc : run(text, why);
}

int
firewall_stray_remove(char *why)
{
	return run("table inet tandem_stray\ndelete table inet tandem_stray\n", why);
}

/* ICMP, since the refusals that TCP has are silenced. */
static void
put_closed(struct text *t, const char *wans, uint16_t port, const char *match,
	   const char *value)
{
	put(t,
	    "\t\tiifname %s tcp dport %u tcp flags & (fin | syn | rst | ack) == syn "
	    "%s %s reject with icmpx type admin-prohibited\n",
	    wans, port, match, value);
}

int
firewall_spare_text(const struct config *c, char *buf, size_t cap)
{
	struct text t = { .p = buf, .cap = cap };
	char wans[128], v4[VIRTUAL_TEXT], v6[VIRTUAL_TEXT];

	put(&t, "table inet tandem_spare\ndelete table inet tandem_spare\n");
	if (wan_set(c, wan_serves, wans, sizeof(wans)) > 0) {
		bool has4 = virtual_set(c, AF_INET, v4, sizeof(v4)) > 0,
		     has6 = virtual_set(c, AF_INET6, v6, sizeof(v6)) > 0;
		put(&t, "table inet tandem_spare {\n\tchain closed {\n"
			"\t\ttype filter hook input priority filter; policy accept;\n");
		put_closed(&t, wans, c->port, has4 ? "ip daddr !=" : "meta nfproto",
			   has4 ? v4 : "ipv4");
		put_closed(&t, wans, c->port, has6 ? "ip6 daddr !=" : "meta nfproto",
			   has6 ? v6 : "ipv6");
		put(&t, "\t}\n}\n");
	}
	return t.is_full ? E_LIMIT : 0;
}

int
firewall_spare(const struct config *c, char *why)
{
	char text[FIREWALL_TEXT];
	int rc = firewall_spare_text(c, text, sizeof(text));

	return rc < 0 ? rc : run(text, why);
}

int
firewall_spare_remove(char *why)
{
	return run("table inet tandem_spare\ndelete table inet tandem_spare\n", why);
}
