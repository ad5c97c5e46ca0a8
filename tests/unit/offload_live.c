/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The kernel's opinion: merged writes go into one TUN of a network namespace of our
 * own and leave it, forwarded, by another. Without offloads the kernel cuts them, and
 * must cut what we would have; with offloads it gives a super-packet, which split
 * must cut to the same. Skipped where namespaces or TUN are not to be had. */
#include "vpnd/worker/merge.h"
#include "vpnd/worker/split.h"
#include "vpnd/worker/vnet.h"

#include "tests/lib/packets.h"
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };
enum { USO = TUN_F_USO4 | TUN_F_USO6 };

static uint8_t buf[64][2048], in[SPLIT_READ_MAX], out[66000];

static int
tun_open(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	strcpy(ifr.ifr_name, name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
run(const char *command)
{
	return system(command) == 0;
}

static bool
net_up(void)
{
	return run(
		"exec 2>/dev/null; PATH=$PATH:/sbin:/usr/sbin; set -e;"
		"ip addr add 10.9.0.254/16 dev va; ip addr add 10.10.0.254/16 dev vb;"
		"ip addr add fd00::fe/64 dev va nodad; ip addr add fd01::fe/64 dev vb "
		"nodad;"
		"ip link set va up; ip link set vb up;"
		"echo 1 >/proc/sys/net/ipv4/ip_forward;"
		"echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
}

/* The next packet for one of ours; the kernel says things of its own here. */
static size_t
read_ours(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 2000) == 1) {
		ssize_t n = read(fd, in, sizeof(in));
		if (n < (ssize_t)(VNET_HEADER + INNER_MIN4))
			return 0;
		uint8_t proto = in[VNET_HEADER] >> 4 == 4 ? in[VNET_HEADER + 9]
							  : in[VNET_HEADER + 6];
		if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
			return (size_t)n;
	}
	return 0;
}

static bool
send_merged(struct merge *m, int fd, const struct pkt *whole, size_t step, unsigned n)
{
	struct merge_write w;
	struct inner inner;

	for (unsigned i = 0; i < n; i++) {
		struct pkt k = pk_segment(whole, step, i);
		size_t bytes = pk_make(buf[i], &k, false);
		if (inner_parse(span_of(buf[i], bytes), &inner) < 0 ||
		    merge_add(m, &inner, 0) < 0)
			return false;
	}
	bool is_one = merge_next(m, &w) && w.packets == n;
	if (is_one && writev(fd, w.iov, w.iovs) < 0) {
		diag("writev: %s", strerror(errno));
		is_one = false;
	}
	while (merge_next(m, &w))
		;
	return is_one;
}

static void
forwarded(struct merge *m, int a, int b, bool is_offloaded)
{
	for (int kind = 0; kind < 4; kind++) {
		struct pkt k = { .version = kind & 1 ? 6 : 4,
				 .proto = kind & 2 ? 17 : 6,
				 .src = 1,
				 .dst = 2,
				 .sport = 7000,
				 .dport = 7001,
				 .ttl = 64,
				 .id = 65530,
				 .frag = 0x4000,
				 .flags = 0x18, /* ACK; PSH on the last */
				 .seq = 0xffffff00,
				 .ack = 1,
				 .window = 99,
				 .tcp_options = kind & 2 ? 0 : 12,
				 .option_fill = 1,
				 .payload = 1000 * 29 + 333,
				 .fill = 5 };
		unsigned at = 0, reads = 0;
		bool is_same = true;
		char what[64];
		snprintf(what, sizeof(what), "IPv%d, protocol %d", k.version, k.proto);
		ok(send_merged(m, a, &k, 1000, 30), "%s: 30 packets by one write",
		   what);
		k.ttl--; /* forwarded */
		while (is_same && at < 30) {
			struct split s;
			size_t n = read_ours(b), one;
			reads++;
			is_same = n > 0 && split_open(&s, span_of(in, n)) == 0 &&
				  split_begin(&s, 1400) == 0;
			while (is_same && split_next(&s, out, sizeof(out), &one) == 0) {
				struct pkt seg = pk_segment(&k, 1000, at++);
				is_same &= pk_make(buf[0], &seg, false) == one &&
					   memcmp(buf[0], out, one) == 0;
			}
		}
		ok(is_same && at == 30, "%s: come out the same", what);
		is_int(reads, is_offloaded ? 1 : 30, "%s: by so many reads", what);
	}
}

int
main(void)
{
	struct merge *m;
	int a, b;

	if (unshare(CLONE_NEWNET) < 0 || (a = tun_open("va")) < 0 ||
	    (b = tun_open("vb")) < 0) {
		printf("1..0 # SKIP no network namespace or no TUN here\n");
		return 0;
	}
	if (ioctl(b, TUNSETOFFLOAD, TSO | USO) < 0) {
		printf("1..0 # SKIP this kernel has no USO on a TUN\n");
		return 0;
	}
	ioctl(b, TUNSETOFFLOAD, 0);
	ok(net_up(), "two devices, forwarding");
	merge_new(&m, MERGE_TCP4 | MERGE_TCP6 | MERGE_UDP4 | MERGE_UDP6);
	forwarded(m, a, b, false);
	is_int(ioctl(b, TUNSETOFFLOAD, TSO | USO), 0, "offloads on");
	forwarded(m, a, b, true);
	merge_free(m);
	close(a);
	close(b);
	return done_testing();
}
