#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 50-ddns.t -- the names of two uplinks: published, changed, renamed, removed, with one
# update for each change and none without. The name server is knot.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
command -v knotd > /dev/null || lab_skip_all "no knotd: deploy/setup test"

lab_up || bail "no network"
lab_cable wan gw1 198.51.100.1/24 2001:db8:2::1/64 gw wan1 198.51.100.20/24 2001:db8:2::20/64
in_gateway sysctl -qw net.ipv4.conf.all.promote_secondaries=1
knot_up || bail "knot does not start"
NODE='wan "wan1" { interface = wan0 }
wan "wan2" { interface = wan1 }'
SERVER_AND_KEY='provider = rfc2136 server = "192.0.2.1" zone = "vpn.test"
	key_name = "ddns-key" secret = dnskey'
names() { # NAME1 NAME2 [OPTIONS1]
	echo "server { hostname = \"$1\" backup_hostname = \"$2\" }
ddns \"wan1\" { $SERVER_AND_KEY min_interval = 2 ttl = 30 ${3-check_interval = 1} }
ddns \"wan2\" { $SERVER_AND_KEY min_interval = 0 }"
}
N1=gw1.dyn.vpn.test N2=gw2.dyn.vpn.test
hasync_up || bail "hasync does not start"
ok "a secret is stored" secret_set dnskey $DNS_SECRET
ok "ddnsd starts" ddns_up "$(names $N1 $N2)" "$NODE"
ok "R26 the name is the uplink's address" within 5 zone_is $N1 A 192.0.2.10
ok "R26 of both families" within 5 zone_is $N1 AAAA 2001:db8:1::10
ok "R30 the other uplink has its own name" within 5 zone_is $N2 A 198.51.100.20
ok "R30 of both families" within 5 zone_is $N2 AAAA 2001:db8:2::20
is "with the TTL that is set" "$(zone_ttl $N1 A) $(zone_ttl $N2 A)" "30 60"
is "by one update each" "$(ddns_ctl -j ddns status | jq -c '[.uplinks[].records[].updates]')" "[1,1,1,1]"
ok "an event says so" within 2 ddns_log "ddns_updated: $N1 A is 192.0.2.10"
is "it does not run as root" "$(ps -o uid= -p $DDNS_PID | tr -d ' ')" \
	"$(id -u tandem-ddns 2> /dev/null || echo 61706)"

like "R30 vpnctl ddns status shows them" "$(ddns_ctl ddns status | tr -s ' ')" \
	"wan1 $N1 A 192.0.2.10 published .*wan2 $N2 AAAA 2001:db8:2::20 published"
steps() { ddns_ctl ddns diagnose $1 | awk '{ print $2, $3 }' | tr '\n' ' '; }
is "vpnctl ddns diagnose walks the whole way" "$(steps wan1)" \
	"role ok address ok address ok server ok key ok zone ok zone ok name bad "
like "and says what it found" "$(ddns_ctl ddns diagnose wan1)" \
	"192.0.2.10, from interface.*port 53 answers for zone vpn.test.*signed with key ddns-key.*$N1 A is 192.0.2.10"
fails "no such uplink" ddns_ctl ddns diagnose wan7
is "the store has it for others" "$(store_get ddns/status/wan1 | jq -r '.name, .state' | tr '\n' ' ')" "$N1 published "
s1=$(zone_serial)
sleep 2.2
is "R33 nothing is written when nothing changed" $(($(zone_serial) - s1)) 0
ok "another ddnsd in its place" eval 'ddns_down && ddns_start && within 5 ddns_is wan1 published'
is "R170 writes nothing either" $(($(zone_serial) - s1)) 0
ok "vpnctl ddns update" ddns_ctl ddns update
is "writes nothing that is right" $(($(zone_serial) - s1)) 0

ip -n gw addr add 192.0.2.77/24 dev wan0 && ip -n gw addr del 192.0.2.10/24 dev wan0
ok "R33 a new address is published" within 10 zone_is $N1 A 192.0.2.77
is "R33 by one update" $(($(zone_serial) - s1)) 1
is "R33 the other uplink's name is as it was" "$(zone_get $N2 A)" 198.51.100.20

# Behind our back.
zone_set $N1 30 A 203.0.113.66
ok "a record that someone else changed is corrected" within 8 zone_is $N1 A 192.0.2.77
ok "and an event says so" ddns_log "ddns_foreign_change: $N1 A .* holds 203.0.113.66, we had published 192.0.2.77; it is corrected"
zone_del $N1 A
ok "one that was removed, too" within 8 zone_is $N1 A 192.0.2.77
ddns_config "$(names $N1 $N2 'on_foreign_change = report check_interval = 1')"
sleep 0.5
zone_set $N1 30 A 203.0.113.67
ok "or only reported, as configured" within 5 ddns_log "ddns_foreign_change: $N1 A .*203.0.113.67.*left so"
sleep 1.3
is "and left so" "$(zone_get $N1 A)" 203.0.113.67
is "it is reported once" $(ddns_event ddns_foreign_change 203.0.113.67) 1
ok "until the operator wants it otherwise" ddns_ctl ddns update wan1
is "then it is corrected" "$(zone_get $N1 A)" 192.0.2.77

# A flapping address.
ddns_config "$(names $N1 $N2)"
within 3 ddns_is wan1 published
sleep 2
s2=$(zone_serial)
for i in 1 2 3 4 5; do
	ip -n gw addr add 192.0.2.8$i/24 dev wan0; ip -n gw addr del 192.0.2.$((i == 1 ? 77 : 79 + i))/24 dev wan0
	sleep 0.45
done
ok "an address that flaps is told" ddns_log 'ddns_flapping'
is "once" $(ddns_event ddns_flapping) 1
ok "it is published when it stands still" within 12 zone_is $N1 A 192.0.2.85
n=$(($(zone_serial) - s2))
ok "with few updates ($n)" [ $n -le 3 ]

# Another name.
ddns_config "$(names gw9.dyn.vpn.test $N2)"
ok "R28 the new name is there" within 12 zone_is gw9.dyn.vpn.test A 192.0.2.85
ok "R28 the old one is not" within 5 zone_is $N1 A ""
ok "R28 of neither family" within 5 zone_is $N1 AAAA ""
is "R28 the new one was first" "$(grep -oE 'ddns_updated: gw(9.dyn.vpn.test A is|1.dyn.vpn.test A was)' "$LAB/ddnsd.log" | tail -n 2 | head -n 1)" \
	"ddns_updated: gw9.dyn.vpn.test A is"
ddns_config "$(names gw9.dyn.vpn.test $N2 'family = ipv4')"
ok "a family that is not kept any more goes" within 5 zone_is gw9.dyn.vpn.test AAAA ""
is "the other stays" "$(zone_get gw9.dyn.vpn.test A)" 192.0.2.85
ddns_config "$(names gw9.dyn.vpn.test $N2 'address = { "203.0.113.5", "2001:db8:9::5" }')"
ok "an address that the operator sets is published" within 5 zone_is gw9.dyn.vpn.test A 203.0.113.5
ok "of both families" within 5 zone_is gw9.dyn.vpn.test AAAA 2001:db8:9::5

# A cellular uplink; a section that goes.
ddns_config "$(names gw9.dyn.vpn.test $N2)" 'wan "wan1" { interface = wan0 }
wan "wan2" { interface = wan1 type = cellular }'
ok "R14 a cellular uplink has no record" within 5 zone_is $N2 A ""
ok "R14 of neither family" within 5 zone_is $N2 AAAA ""
like "R14 and status says why" "$(ddns_ctl ddns status)" "wan2 .*none .*the uplink is cellular"
like "R14 the check says why" "$("$TANDEM_BIN/ddnsd" -t -s "$LAB/state" 2>&1)" 'cellular: it carries no service and gets no DNS record'
ddns_config "$(names gw9.dyn.vpn.test $N2 'check_interval = 60')"
sleep 0.3; within 5 ddns_is wan1 published
zone_set gw9.dyn.vpn.test 30 AAAA 2001:db8:66::6
ddns_config "server { hostname = \"gw9.dyn.vpn.test\" }"
ok "without a section the record is removed" within 5 zone_is gw9.dyn.vpn.test A ""
sleep 2.5
is "but what is not ours is left" "$(zone_get gw9.dyn.vpn.test AAAA)" 2001:db8:66::6
ok "nothing is remembered any more" within 3 eval '! store_get ddns/published/wan1 | grep -q records'
like "status says that there is nothing" "$(ddns_ctl ddns status)" "no dynamic DNS is configured"
ok "it ends when it is told" ddns_down
