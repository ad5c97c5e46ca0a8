#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 57-wan-names.t -- each uplink has a name; the first uplink dies for both nodes, and
# clients of its name come back over the second, by themselves (R30, R31, R34, R163).
# The name server is knot.
. "$(dirname "$0")/../lib/pair.sh"
command -v knotd > /dev/null || lab_skip_all "no knotd: deploy/setup test"
CONFIG='server {
	workers = 2
	hostname = "vpn1.example"
	backup_hostname = "vpn2.example"
	certificate = "/etc/tandem/cert.pem"
	key = "/etc/tandem/key.pem"
}
addressing { ipv6_prefix = "fd77::/64" }
ddns "wan1" { }
ddns "wan2" { }'
KEY=hmac-sha256:ddns-key:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=

name_server() { # in the provider's network, also the clients' resolver
	local d=$LAB/knot
	mkdir -p $d/run $d/db && cat > $d/knot.conf <<-EOF && cat > $d/example.zone <<-'EOF'
		server:
		    rundir: "$d/run"
		    listen: 203.0.113.1@53
		    udp-workers: 1
		    tcp-workers: 1
		    background-workers: 1
		database:
		    storage: "$d/db"
		key:
		  - id: ddns-key
		    algorithm: hmac-sha256
		    secret: ${KEY##*:}
		acl:
		  - id: ddns
		    key: ddns-key
		    action: update
		zone:
		  - domain: example
		    storage: "$d"
		    file: example.zone
		    zonefile-sync: -1
		    zonefile-load: difference
		    journal-content: all
		    acl: ddns
	EOF
		$ORIGIN example.
		$TTL 5
		@     SOA ns hostmaster 1 3600 600 86400 5
		@     NS  ns
		ns    A   203.0.113.1
		vpn1  A   192.0.2.10
		vpn2  A   198.51.100.10
	EOF
	bg_ns wan knotd -c $d/knot.conf > "$LAB/knot.log" 2>&1
	disown
	within 5 name_is vpn1 192.0.2.10
}
name_is() { [ "$(in_wan kdig +short +timeout=1 @203.0.113.1 $1.example A)" = "$2" ]; }
# What ddnsd does, by hand.
name_set() {
	printf 'server 203.0.113.1\nzone example\nupdate delete %s.example. A\nupdate add %s.example. 5 A %s\nsend\n' \
		$1 $1 $2 | in_wan timeout 5 knsupdate -y $KEY
}

ok "the site is up" pair_up "$CONFIG"
echo "nameserver 203.0.113.1" > $LAB/resolv.conf
mount --bind $LAB/resolv.conf "$(readlink -f /etc/resolv.conf)" || bail "no resolver"
ok "the name server is up" name_server
SERVER=vpn1.example
ok "a client connects by WAN1's name" clients_up 1
ok "to WAN1's address" client_log_has 'Connected to 192\.0\.2\.10:443'
is "R34 it is told to look the name up again" "$(header X-CSTP-DynDNS)" true
route() { in_ns c1 ip -o route get $1 | grep -o 'dev [a-z0-9]*'; }
is "it has a full tunnel" "$(route 10.10.0.100) $(route fd00:10::100)" "dev vpn0 dev vpn0"
is "R34 our other addresses stay outside of it" \
	"$(route 198.51.100.10) $(route 2001:db8:1::10) $(route 2001:db8:2::10)" \
	"dev eth0 dev eth0 dev eth0"
ok "and answer there" in_ns c1 ping -q -c 1 -W 2 198.51.100.10
is "the LAN's virtual address does not" "$(route 10.10.0.10)" "dev vpn0"

flow_start c1
ok "traffic flows" within 5 flows c1
clients_remember c1
node=$(active)
t=$EPOCHREALTIME
# The provider's side goes silent: both nodes keep their carrier and each other.
ok "WAN1 dies for both" in_wan ip link set wan1 down
wan1_dead() { [ "$(info $(active) 'self.links | .[] | select(.name == "wan1") | .gateway')" = false ]; }
ok "which the active node sees" within 6 wan1_dead
ok "WAN1's name moves to WAN2's address" name_set vpn1 198.51.100.10
ok "R163 the client comes back" within 30 flows c1
note "longest outage $(flow_outage c1 $t) ms"
ok "R163 over WAN2's address" client_log_has 'Connected to 198\.51\.100\.10:443'
ok "R163 by itself: no login, the same inner address" clients_same c1
is "nothing moved between the nodes" "$(active)" $node
ok "R163 a new client gets in by WAN1's name" client_up user1@c2
ok "... and by WAN2's" eval 'client_down c2; SERVER=vpn2.example client_up user1@c2'

ok "WAN1 is back" in_wan ip link set wan1 up
ok "and has its name" name_set vpn1 192.0.2.10
sleep 1
ok "the client stays where it is" flows c1
ok "still no login" clients_same c1
# This time their cables are out.
ok "WAN2 dies for both" eval 'carrier a wan2 down; carrier b wan2 down'
ok "R163 the client comes back over WAN1" within 30 flows c1
ok "no login" clients_same c1
