#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 54-ddns-pair.t -- in a pair only the active node writes: a takeover is one update where
# the address differs, none where it does not, and the other node is silent (R170).
# WAN1 has a virtual address, WAN2 has each node's own. The name server is knot.
. "$(dirname "$0")/../lib/pair.sh"
. "$(dirname "$0")/../lib/dns.sh"
command -v knotd > /dev/null || lab_skip_all "no knotd: deploy/setup test"
N1=gw1.dyn.vpn.test N2=gw2.dyn.vpn.test
DDNS='provider = rfc2136 server = "192.0.2.1" zone = "vpn.test" key_name = "ddns-key"
	secret = dnskey family = ipv4 min_interval = 0'
CONFIG="server { workers = 1
	hostname = \"$N1\"
	backup_hostname = \"$N2\"
	certificate = \"/etc/tandem/cert.pem\"
	key = \"/etc/tandem/key.pem\" }
ddns \"wan1\" { $DDNS }
ddns \"wan2\" { $DDNS }"

site() {
	pair_net && knot_up && node_boot a && node_boot b && pair_configure "$CONFIG" || return 1
	local n
	for n in a b; do
		in_node $n sed -i 's/"198.51.100.10", *//; s/, *"198.51.100.10"//' /etc/tandem/node.conf
		! in_node $n grep -q '198.51.100.10"' /etc/tandem/node.conf || return 1
		services_up $n
	done
	within 20 serves a && within 20 serves b && within 20 settled
}
set_secret() { printf %s $DNS_SECRET | in_node $1 "$TANDEM_BIN/vpnctl" secret set dnskey; }
sent() { ctl_on $1 -j ddns status | jq .dns.sent; }
updates() { grep -c "wan$2: writing" "$LAB/$1.ddnsd.log"; }

ok "the site is up" site
a=$(active) b=$(other $a)
own() { [ $1 = a ] && echo 198.51.100.11 || echo 198.51.100.12; }
ok "a secret, stored on one node" set_secret $b
service_up a ddnsd; service_up b ddnsd
ok "WAN1's name is the virtual address" within 8 zone_is $N1 A 192.0.2.10
ok "WAN2's name is the active node's" within 5 zone_is $N2 A $(own $a)
is "written by the active node" "$(updates $a 1) $(updates $a 2)" "1 1"
is "R170 the other has not sent anything" "$(sent $b)" 0
like "and says so" "$(ctl_on $b ddns status)" "is not active; the records are kept by the other node"
like "but knows how they stand" "$(ctl_on $b ddns status)" "wan2 .*$N2 .*$(own $a) .*published"
fails "vpnctl ddns update is for the active node" ctl_on $b ddns update
like "as it says" "$(ctl_on $b ddns update 2>&1)" "this node is not the active one: ask the other node"
s=$(zone_serial)
kill9 $b ddnsd; within 5 ctl_on $b ddns status
sleep 1
is "R170 a restarted one writes nothing, asks nothing" "$(($(zone_serial) - s)) $(sent $b)" "0 0"

t=$(lab_now_ms)
ok "the active node loses its power" power_off $a
ok "R170 the name follows" within 10 zone_is $N2 A $(own $b)
note "takeover to zone $(($(lab_now_ms) - t)) ms"
ok "in less than 5 s" [ $(($(lab_now_ms) - t)) -lt 5000 ]
sleep 1
is "R170 by exactly one update, of the new node" "$(($(zone_serial) - s)) $(updates $b 2)" "1 1"
is "R170 none for the address that moved along" "$(updates $b 1)" 0
is "WAN1's name is as it was" "$(zone_get $N1 A)" 192.0.2.10

node_boot $a && services_up $a && service_up $a ddnsd
ok "the node is back" within 25 settled
sleep 1
is "R170 and writes nothing" "$(($(zone_serial) - s))" 1
ok "failback" ctl_on $a node activate
ok "R170 the name follows" within 8 zone_is $N2 A $(own $a)
sleep 1
is "R170 by exactly one update" "$(($(zone_serial) - s))" 2
within 10 settled

# A ddnsd that stood still while the role went away.
was=$(updates $a 2)
sig $a STOP ddnsd
ok "the other node takes over while ddnsd stands still" ctl_on $b node activate
ok "and writes" within 8 zone_is $N2 A $(own $b)
sig $a CONT ddnsd
sleep 1.5
is "R170 the one that stood still does not" "$(updates $a 2) $(zone_get $N2 A)" "$was $(own $b)"
is "three updates in all" "$(($(zone_serial) - s))" 3

like "vpnctl events tells" "$(ctl_on $b events --last 300)" "ddns_updated .*program=ddnsd text=\"$N2 A is $(own $b) now\""
