#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 32-path-renewed.t -- the default route is set anew under a session, as after a link
# that was down, and then its path becomes smaller: what the kernel says of the idle
# TLS connection (68, of a route that is gone) must not become the tunnel's MTU.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 1 }
client_connection { dpd = 30 }' || bail "no vpnd"
user_add alice secret-a
ok "a client with DTLS" client_up alice
within 10 has_dtls
mtu() { session_get alice mtu; }
ok "its MTU is large ($(mtu))" test "$(mtu)" -gt 1400
# Nothing goes by TLS any more: not even the last acknowledgement is outstanding.
idle() { in_gateway ss -tinH state established "sport = :$PORT" |
	awk '/lastsnd:/ { gsub(/[a-z]*:/, "& "); for (i = 1; i < NF; i++) if ($i ~ /^last(snd|ack|rcv):$/ && $(i + 1) < 600) busy = 1; n++ }
		END { exit busy || n != 1 }'; }
ok "the TLS connection is idle" within 10 idle
ip -n gw route del default; ip -n gw route add default via 192.0.2.1
ip -n wan link set cable1 mtu 1200; ip -n c1 link set eth0 mtu 1200
in_wan ip link set clients mtu 1200
smaller() { in_lan ping -q -c 1 -W 1 -s 1400 -M dont $(inner4); [ "$(mtu)" -lt 1200 ]; }
ok "it becomes smaller with the path" within 5 smaller
ok "but not smaller than need be ($(mtu))" test "$(mtu)" -gt 1000
lab_end
