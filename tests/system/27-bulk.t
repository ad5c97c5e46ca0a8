#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 27-bulk.t -- bulk data arrives whole: both ways, both families inside and outside,
# TCP and UDP, over DTLS and TLS, on small paths and through loss and reordering.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 30 }
addressing { ipv6_prefix = "fd77::/64" }' || bail "no vpnd"
user_add alice secret-a
like "the device carries super-packets" "$(ctl -j status | jq -r .offload)" 'tso'

head -c 8000000 /dev/urandom > "$LAB/blob"
want=$(sha256sum < "$LAB/blob")
# Both sums must match; PORTs are new each time, so that nothing waits for old ones.
port=7100
copy() { # NAME LAN-ADDRESS CLIENT-ADDRESS [BYTES]
	local n=${4:-8000000} sum up down rx
	sum=$(head -c $n "$LAB/blob" | sha256sum)
	port=$((port + 2)) rx=$port
	bg_ns lan timeout 100 socat -u TCP-LISTEN:$rx,reuseaddr,pf=$([[ $2 == *:* ]] && echo ip6 || echo ip4) OPEN:"$LAB/up.$rx",creat,trunc; up=$BG
	within 5 listens lan $rx
	head -c $n "$LAB/blob" | in_client timeout 100 socat -u - TCP:$([[ $2 == *:* ]] && echo "[$2]" || echo $2):$rx
	wait $up 2> /dev/null
	is "$1: client to LAN" "$(sha256sum < "$LAB/up.$rx")" "$sum"
	bg_ns c1 timeout 100 socat -u TCP-LISTEN:$((rx + 1)),reuseaddr,pf=$([[ $3 == *:* ]] && echo ip6 || echo ip4) OPEN:"$LAB/down.$rx",creat,trunc; down=$BG
	within 5 listens c1 $((rx + 1))
	head -c $n "$LAB/blob" | in_lan timeout 100 socat -u - TCP:$([[ $3 == *:* ]] && echo "[$3]" || echo $3):$((rx + 1))
	wait $down 2> /dev/null
	is "$1: LAN to client" "$(sha256sum < "$LAB/down.$rx")" "$sum"
	rm -f "$LAB/up.$rx" "$LAB/down.$rx"
}

ok "a client with DTLS" client_up alice
within 10 has_dtls
copy "DTLS, IPv4" 10.10.0.100 $(inner4)
copy "DTLS, IPv6" fd00:10::100 $(inner6)

# Datagrams of odd sizes: each one echoed, in number and content.
bg_ns lan timeout 60 socat UDP4-RECVFROM:7009,fork,reuseaddr EXEC:cat
within 3 eval 'in_lan ss -lunH "sport = :7009" | grep -q .'
same=0
for n in 1 13 100 511 512 1000 1371 1372 1373 1400 1406; do
	head -c $n "$LAB/blob" > "$LAB/in"
	in_client timeout 5 socat -t 0.5 -b 2000 UDP4:10.10.0.100:7009 - < "$LAB/in" > "$LAB/out"
	cmp -s "$LAB/in" "$LAB/out" && same=$((same + 1))
done
is "UDP, 11 sizes: each datagram comes back as it was" $same 11

# Loss and reordering of what carries DTLS.
trouble ip protocol udp numgen random mod 100 \< 30 drop
# Datagrams, not TCP: what TCP makes of such a path is a matter of luck and minutes.
came=$(in_client ping -q -c 300 -i 0.01 -W 1 -s 1300 -p a5c3 10.10.0.100 | sed -n 's/.* \([0-9]*\) received.*/\1/p')
ok "30 % random loss each way: about half of the echoes come ($came of 300)" test "${came:-0}" -ge 90 -a "${came:-0}" -le 210
trouble_over
ok "and all of them afterwards" within 10 pings c1
client_down

ok "TLS alone" client_up alice --no-dtls
copy "TLS, IPv4" 10.10.0.100 $(inner4)
copy "TLS, IPv6" fd00:10::100 $(inner6)
client_down

SERVER='[2001:db8:1::10]'
ok "over IPv6 outside" client_up alice
within 10 has_dtls
copy "DTLS over IPv6" 10.10.0.100 $(inner4)
client_down
SERVER=192.0.2.10

# Smaller paths between client and gateway: both ends must find them out. What IPv6
# inside needs, and what a client asks for below its own least, leaves in fragments.
for mtu in 1400 1000 576; do
	ip -n c1 link set eth0 mtu $mtu
	in_wan ip link set clients mtu $mtu 2> /dev/null
	ip -n wan link set cable1 mtu $mtu
	ok "path of $mtu bytes" client_up alice $([ $mtu -ge 1400 ] || echo --disable-ipv6)
	copy "path of $mtu bytes" 10.10.0.100 $(inner4) 1000000
	client_down
done
# openconnect gives its device 576 bytes then, on which Linux has no IPv6.
ok "path of 576 bytes, with IPv6 inside" client_up alice
within 10 has_dtls
copy "path of 576 bytes, with IPv6 inside: IPv4" 10.10.0.100 $(inner4) 1000000
client_down
is "nothing was malformed" "$(event_count protocol_error)" 0
lab_end
