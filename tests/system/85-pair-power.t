#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 85-pair-power.t -- a node loses its power, an uplink its carrier, both nodes the same
# uplink; a node comes back with its disk or with an empty one (R162-R165, R172)
. "$(dirname "$0")/../lib/pair.sh"
plan 26

C="c1 c2 c3"
ok "the site is up, three clients connect" eval 'pair_up && clients_up 3'
flow_start $C
ok "traffic flows" within 5 flows $C
sleep 1
out_max() { local n o m=0; for n in $C; do o=$(flow_outage $n $1); [ $o -le $m ] || m=$o; done; echo $m; }
event() { # NAME NEW-ACTIVE CMD...
	local name=$1 to=$2 t0; shift 2
	clients_remember $C
	t0=$EPOCHREALTIME
	ok "$name" "$@"
	ok "$to has the addresses" within 10 holds $to
	ok "traffic flows again" within 20 flows $C
	sleep 0.3
	note "longest outage $(out_max $t0) ms"
	ok "R162 R171 no login, the same addresses" clients_same $C
}
event "a loses its power" b power_off a
ok "b says that a is not seen" within 5 eval '[ "$(info b peer)" = null ]'
ok "a boots" eval 'node_boot a && services_up a && within 20 settled'
total() { ctl_on $1 nodes | sed -n 's/^sessions of both: //p'; }
ok "R168 nobody is counted twice" within 2 eval '[ "$(total a) $(total b)" = "3 3" ]'
ok "R172 nothing moves back" stays b 1
ok "R172 the clients did not notice" clients_same $C

event "b loses the carrier of wan1" a carrier b wan1 down
ok "b's spare uplink is known to be dead" within 5 eval \
	'[ "$(info b "self.links[0].carrier")" = false ]'
carrier b wan1 up
ok "R172 wan1 is back: nothing moves" stays a 2
ok "traffic flows" flows $C

power_off b
rm -rf "$LAB/disk.b/lib"/*; mkdir -p "$LAB/disk.b/lib/tandem" "$LAB/disk.b/lib/corosync"
ok "b comes back with an empty disk" eval 'node_boot b && services_up b && within 20 settled'
same_users() { [ "$(ctl_on a -j user list | jq -c '[.users[].name]')" = "$(ctl_on b -j user list | jq -c '[.users[].name]')" ]; }
ok "and has the users again" within 5 same_users
ok "and the token keys: a planned move" eval 'within 10 settled && ctl_on b node activate'
ok "traffic flows on b" within 20 flows $C
ok "R162 R171 no login, the same addresses" clients_same $C

fails "R165 the spare does not hold the address" holds a
carrier a wan1 down; carrier b wan1 down
ok "wan1 dead for both: nothing moves" stays b 1
client_net 9
ok "wan2 serves" in_ns c9 openssl s_client -connect 198.51.100.10:443 -brief
