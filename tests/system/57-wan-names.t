#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 57-wan-names.t -- each uplink has a name; the first uplink dies for both nodes, and
# clients of its name come back over the second, by themselves: ddnsd has moved the name
# (R26, R30, R34, R163, R170). The name server is knot.
. "$(dirname "$0")/../lib/pair.sh"
command -v knotd > /dev/null || lab_skip_all "no knotd: deploy/setup test"
SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
section() { # WAN
	echo "ddns \"$1\" { provider = rfc2136 server = 203.0.113.1 zone = example
		key_name = ddns-key secret = dns ttl = 5 min_interval = 1 }"
}
CONFIG="server {
	workers = 2
	hostname = \"vpn1.example\"
	backup_hostname = \"vpn2.example\"
	certificate = \"/etc/tandem/cert.pem\"
	key = \"/etc/tandem/key.pem\"
}
addressing { ipv6_prefix = \"fd77::/64\" }
$(section wan1)
$(section wan2)"

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
		    secret: $SECRET
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
	EOF
	bg_ns wan knotd -c $d/knot.conf > "$LAB/knot.log" 2>&1
	disown
	within 5 eval '[ "$(asked ns A)" = 203.0.113.1 ]'
}
asked() { in_wan kdig +short +timeout=1 @203.0.113.1 $1.example $2 2> /dev/null; }
name_is() { [ "$(asked $1 A) $(asked $1 AAAA)" = "$2 $3" ]; }
# Of both nodes; the zone's serial may grow by one for several.
writes() { cat $LAB/[ab].ddnsd.log | grep -c ': writing'; }
WAN1="192.0.2.10 2001:db8:1::10" WAN2="198.51.100.10 2001:db8:2::10"

ok "the site is up" pair_up "$CONFIG"
echo "nameserver 203.0.113.1" > $LAB/resolv.conf
mount --bind $LAB/resolv.conf "$(readlink -f /etc/resolv.conf)" || bail "no resolver"
ok "the name server is up" name_server
ok "the key is in the store" eval 'echo $SECRET | ctl_on $(active) secret set dns'
for n in $NODES; do service_up $n ddnsd; done
ok "R26 R30 WAN1's name has WAN1's addresses" within 10 name_is vpn1 $WAN1
ok "R26 R30 WAN2's name has WAN2's" within 10 name_is vpn2 $WAN2

SERVER=vpn1.example
client_net 2
in_ns c2 sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
ok "two clients connect by WAN1's name" clients_up 2
ok "one to its IPv6 address" client_log_has 'Connected to \[?2001:db8:1::10\]?:443' c1
ok "one to its IPv4 address" client_log_has 'Connected to 192\.0\.2\.10:443' c2
is "R34 they are told to look the name up again" "$(header X-CSTP-DynDNS) $(header X-CSTP-DynDNS c2)" "true true"
route() { in_ns c1 ip -o route get $1 | grep -o 'dev [a-z0-9]*'; }
is "they have a full tunnel" "$(route 10.10.0.100) $(route fd00:10::100)" "dev vpn0 dev vpn0"
is "R34 our other addresses stay outside of it" \
	"$(route 192.0.2.10) $(route 198.51.100.10) $(route 2001:db8:2::10)" \
	"dev eth0 dev eth0 dev eth0"
ok "and answer there" in_ns c1 ping -q -c 1 -W 2 198.51.100.10
is "the LAN's virtual address does not" "$(route 10.10.0.10)" "dev vpn0"

C="c1 c2"
flow_start $C
ok "traffic flows" within 5 flows $C
clients_remember $C
node=$(active)
before=$(writes) t=$EPOCHREALTIME t0=$(lab_now_ms)
# The provider's side goes silent: both nodes keep their carrier and each other, and
# their default route.
ok "WAN1 dies for both" in_wan ip link set wan1 down
ok "R163 its name moves to WAN2's addresses" within 10 name_is vpn1 $WAN2
note "after $(($(lab_now_ms) - t0)) ms"
is "R33 R170 by one update for each record" "$(($(writes) - before))" 2
ok "R33 WAN2's own is untouched" name_is vpn2 $WAN2
like "the event log says so" "$(ctl events --last 50)" 'ddns_follow .*wan1 is dead.*wan2'
ok "R163 the clients come back" within 30 flows $C
note "longest outage: IPv6 $(flow_outage c1 $t) ms, IPv4 $(flow_outage c2 $t) ms"
ok "R163 over WAN2: IPv6" client_log_has 'Connected to \[?2001:db8:2::10\]?:443' c1
ok "R163 over WAN2: IPv4" client_log_has 'Connected to 198\.51\.100\.10:443' c2
ok "R163 by themselves: no login, the same inner address" clients_same $C
is "nothing moved between the nodes" "$(active)" $node
ok "a new client gets in by WAN1's name" client_up user1@c3

ok "WAN1 is back" in_wan ip link set wan1 up
ok "for a while its name stays" eval 'sleep 1; name_is vpn1 $WAN2'
t=$EPOCHREALTIME
# Now both cables of WAN2 are out.
ok "WAN2 dies for both" eval 'for n in $NODES; do carrier $n wan2 down; done'
ok "R163 WAN2's name moves to WAN1" within 10 name_is vpn2 $WAN1
ok "R163 and WAN1's name is at home" within 10 name_is vpn1 $WAN1
ok "R163 the clients come back over WAN1" within 30 flows $C
note "longest outage: IPv6 $(flow_outage c1 $t) ms, IPv4 $(flow_outage c2 $t) ms"
ok "no login, the same inner address" clients_same $C
is "R170 no updates but these: four at first, two, and four" "$(writes)" 10

# What a name means outside of a NAT only ddnsd knows; it remembers that in the store.
pushed() { in_node $(active) "$PAIR_ROOT/tests/lib/hactl" /run/tandem/hasync.sock put ddns/published/wan2 "$1"; }
ok "an address outside of a NAT is published" pushed \
	'{"records":[{"name":"vpn2.example","address":"198.18.7.7"},{"name":"other.example","address":"198.18.7.8"}]}'
excluded() { client_up user1@c$1 && [[ " $(sed -n 's/.*X-CSTP-Split-Exclude: //p' $LAB/c$1.log | tr '\n' ' ')" == *" 198.18.7.7/255.255.255.255 "* ]]; }
ok "R34 a new client keeps it outside of the tunnel" eval 'sleep 0.5; excluded 4'
unlike "R34 no other" "$(cat $LAB/c4.log)" '198\.18\.7\.8'
ok "R34 after a reload, too" eval 'ctl reload && client_down c4 && excluded 4'
ok "the clients before are as they were" clients_same $C
