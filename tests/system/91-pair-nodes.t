#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 91-pair-nodes.t -- a node stands still and goes on, loses its LAN, both lose their
# power; clients by IPv6 and clients that say nothing come along (R162, R171, R172)
. "$(dirname "$0")/../lib/pair.sh"
plan 34

# DPD 60: within this test nobody finds out by himself.
ok "the site is up, DPD 60 s" pair_up "$PAIR_CONFIG
client_connection { dpd = 60 }"
ok "one client connects" clients_up 1
user_add user2 'horse 2'; user_add user3 'horse 3'
SERVER='[2001:db8:1::10]' ok "R162 a client by IPv6" client_up user2@c2
ok "a client that is going to be idle" client_up user3@c3
ok "all have their DTLS channel" within 10 eval 'has_dtls c1 && has_dtls c2 && has_dtls c3'
by_ipv6() { in_ns c2 ss -Hnt state established 'dport = :443' | grep -q '2001:db8:1::10'; }
ok "IPv6 outside" by_ipv6
C="c1 c2"
flow_start $C
ok "traffic flows" within 5 flows $C
sleep 1
reconnects() { client_log_count 'CSTP connected' $1; }
event() { # NAME NEW-ACTIVE CMD...
	local name=$1 to=$2 t0 idle n; shift 2
	clients_remember $C c3
	idle=$(reconnects c3) t0=$EPOCHREALTIME
	ok "$name" "$@"
	ok "R162 traffic flows through $to" within 10 eval "flows $C && holds $to"
	ok "R162 the idle client was woken" within 5 eval '[ $(reconnects c3) -gt '$idle' ]'
	sleep 0.3
	for n in $C; do note "$n out for $(flow_outage $n $t0) ms"; done
	ok "R171 no login, the same addresses" clients_same $C c3
}
frozen() { in_node $1 kill -STOP -1 || :; }
event "all programs of a stand still" b frozen a
sleep 2.5
in_node a kill -CONT -1
ok "a goes on and lets go" within 15 settled
ok "R172 nothing moves" stays b 2
ok "R172 nobody noticed" eval 'flows $C && clients_same $C c3'

event "b loses the carrier of its LAN" a carrier b lan down
carrier b lan up
ok "all is well" within 15 settled
event "a loses its power" b power_off a
ok "a boots" eval 'node_boot a && services_up a && within 25 settled'
ok "R172 nothing moves" stays b 2
ok "R172 nobody noticed" eval 'flows $C && clients_same $C c3'
# Those who never moved while a was away are known to it all the same.
event "R172 a planned move to the node that came back" a ctl_on b node standby

# No history keeps a node from serving alone.
ok "settled" within 15 settled
clients_remember $C c3
for n in a b; do power_off $n; done
ok "both lose their power, only the spare comes back" eval 'node_boot b && services_up b && within 20 is_active b'
ok "R162 traffic flows through b, all by itself" within 20 flows $C
ok "R171 no login, the same addresses" clients_same $C
