#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 22-placement.t -- routed with and without NAT, behind a 1:1 translation, into a
# site-to-site tunnel; what vpnd sets up for that it takes away again.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }
client_connection { dpd = 5 }
addressing { ipv6_prefix = "fd77::/64" }'
forwarding=$(in_gateway sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding)
vpnd_up "$CONFIG" || bail "no vpnd"
user_add alice secret-a
in_wan socat TCP-LISTEN:7000,fork,reuseaddr,pf=ip4 SYSTEM:'echo $SOCAT_PEERADDR' &
in_wan socat TCP6-LISTEN:7001,fork,reuseaddr,ipv6only SYSTEM:'echo $SOCAT_PEERADDR' &
seen4() { in_client timeout 3 socat -u TCP:192.0.2.1:7000 - 2> /dev/null; }
seen6() { in_client timeout 3 socat -u 'TCP6:[2001:db8:1::1]:7001' - 2> /dev/null; }

ok "R21 routed, NAT: connects" client_up alice
ok "R21 the LAN is reached" pings
is "R21 the outside sees the gateway's address" "$(seen4)" 192.0.2.10
is "R21 ... IPv6, too" "$(seen6 | tr -d '[]')" 2001:0db8:0001:0000:0000:0000:0000:0010
in_lan timeout 20 tcpdump -Z root -lni eth0 'tcp[13] & 2 != 0' > $LAB/syn.txt 2> /dev/null &
within 1 false
in_lan socat -u TCP-LISTEN:7002,reuseaddr,pf=ip4 /dev/null &
in_client socat -u TCP-LISTEN:7003,reuseaddr,pf=ip4 /dev/null &
within 3 in_lan sh -c 'ss -Hltn "sport = :7002" | grep -q .'
# The client's stack knows its own MTU; a client that does not is played by a big one.
ip -n c1 link set vpn0 mtu 9000
echo | in_client timeout 3 socat -u - TCP:10.10.0.100:7002
echo | in_lan timeout 3 socat -u - TCP:$(inner4):7003
big() { [ "$(grep -c 'mss' $LAB/syn.txt)" -ge 2 ]; }
within 3 big
max=$(grep -o 'mss [0-9]*' $LAB/syn.txt | sed 's/mss //' | sort -n | tail -n 1)
fwd=$(grep '10.10.0.100.7002: Flags \[S\]' $LAB/syn.txt | grep -o 'mss [0-9]*' | head -n 1)
ok "the MSS of a client's SYN is clamped ($fwd)" test "${fwd#mss }" -le 1394
rev=$(grep '10.10.0.100.7002 > .*Flags \[S\.\]' $LAB/syn.txt | grep -o 'mss [0-9]*' | head -n 1)
note "the LAN's answer left with $rev"
client_down

# A site-to-site tunnel: the kernel here has vxlan only; to vpnd a link is a link.
lab_ns site
lab_cable wan site0 192.0.3.1/24 2001:db8:4::1/64 site eth0 192.0.3.2/24 2001:db8:4::2/64
ip -n site route add default via 192.0.3.1
ip -n gw link add s2s type vxlan id 7 remote 192.0.3.2 local 192.0.2.10 dstport 4789
ip -n site link add s2s type vxlan id 7 remote 192.0.2.10 local 192.0.3.2 dstport 4789
ip -n gw addr add 10.60.0.1/30 dev s2s; ip -n site addr add 10.60.0.2/30 dev s2s
ip -n gw link set s2s up; ip -n site link set s2s up
ip -n site addr add 10.50.0.1/32 dev lo
ip -n gw route add 10.50.0.0/24 via 10.60.0.2
ip -n site route add 10.200.0.0/16 via 10.60.0.1
ok "the site-to-site tunnel is up" within 5 in_gateway ping -c 1 -W 1 10.50.0.1
ok "R20 a client connects" client_up alice
ok "R20 and reaches a host behind the other site" pings c1 10.50.0.1
ok "R20 which reaches the client" in_ns site ping -c 2 -i 0.1 -W 1 -I 10.50.0.1 "$(inner4)"
client_down

SERVER=198.51.100.10
ok "R21 behind a 1:1 NAT: connects" client_up alice
ok "R21 1:1: DTLS" within 10 has_dtls
ok "R21 1:1: traffic" pings
client_down
SERVER=192.0.2.10

# Two uplinks: the service on one, no translation on the other.
ip -n wan link add up2 type veth peer name wan1 netns gw
ip -n wan addr add 192.0.4.1/24 dev up2; ip -n wan link set up2 up
ip -n gw addr add 192.0.4.10/24 dev wan1; ip -n gw link set wan1 up
ip -n gw route add 192.0.5.0/24 via 192.0.4.1
ip -n wan addr add 192.0.5.1/32 dev lo
ip -n wan route add 10.200.0.0/16 via 192.0.4.10
vpnd_stop
ok "R15 no-NAT on the second uplink" vpnd_up "$CONFIG" 'wan wan1 { interface = "wan0" }
wan wan2 { interface = "wan1"  service = false  nat = false }'
ok "R15 connects" client_up alice
is "R15 the first uplink translates" "$(seen4)" 192.0.2.10
is "R15 the second does not" "$(in_client timeout 3 socat -u TCP:192.0.5.1:7000 - 2> /dev/null)" "$(inner4)"
fails "R13 and does not serve" in_wan curl -sk --max-time 2 https://192.0.4.10/
client_down
vpnd_stop
is "nothing is left: no nft table" "$(in_gateway nft list tables)" ""
is "nothing is left: forwarding is as it was" \
	"$(in_gateway sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding)" "$forwarding"
