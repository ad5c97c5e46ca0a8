#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 86-pair-stalls.t -- each program of a node is killed or stands still for 3 s while
# clients send: whoever has the addresses afterwards, they need no login
. "$(dirname "$0")/../lib/pair.sh"
plan 32

C="c1 c2"
ok "the site is up, two clients connect" eval 'pair_up && clients_up 2'
flow_start $C
ok "traffic flows" within 5 flows $C
sleep 1
clients_remember $C
well() { # NAME
	ok "$1: one node has everything" within 20 settled
	ok "$1: R162 R171 traffic, no login, the same addresses" eval 'within 20 flows $C && clients_same $C'
}
for s in corosync hasync keepalived; do
	n=$(active); t0=$EPOCHREALTIME
	kill9 $n $s; sleep 1
	well "$s of the active node killed"
	# Its successor asks keepalived for the state, who must survive that.
	[ $s != hasync ] || ok "hasync killed: nothing moves" stays $n 4
	note "out for $(flow_outage c1 $t0) ms; active was $n, is $(active)"
done
for p in worker session auth keys; do
	n=$(active); t0=$EPOCHREALTIME
	in_node $n kill -9 $(vpnd_process $n $p | head -n 1)
	sleep 0.5
	well "vpnd's $p killed"
	note "out for $(flow_outage c1 $t0) ms; active was $n, is $(active)"
done
for s in corosync hasync keepalived vpnd; do
	within 5 eval 'n=$(active); [ -n "$n" ]'; t0=$EPOCHREALTIME
	sig $n STOP $s; sleep 3; sig $n CONT $s
	well "$s stands still for 3 s"
	[ $s = vpnd ] && ok "... a vpnd that is stuck loses the addresses" test "$(active)" != "$n"
	note "out for $(flow_outage c1 $t0) ms; active was $n, is $(active)"
done
for s in hasync keepalived corosync; do kill9 $(other $(active)) $s; done
well "the spare's programs killed"
ok "the stores are equal" within 10 eval '[ "$(info a synced)$(info b synced)" = truetrue ]'
ok "no process of vpnd died by itself" eval '! grep -qE "died.*(exit code 70|signal (6|11|31))" "$LAB"/?.vpnd.log'
ok "clients leave" eval 'client_down c1 && client_down c2'
ok "both nodes know" within 5 eval '[ "$(info a "counts | [.[].connected] | add")$(info b "counts | [.[].connected] | add")" = 00 ]'
