#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 89-pair-limits.t -- what must hold on whichever node: the session's time goes on, a
# user has one pseudo-MAC, the service is switched off on both, a node's absence shows
. "$(dirname "$0")/../lib/pair.sh"
plan 22

# One line of the answer to CONNECT, the last one: the reconnect's.
last_header() { sed -n "s/.*$1: //p" "$LAB/$2.log" | tail -1 | tr -d '\r'; }

ok "the site is up, sessions of 40 s" pair_up "${PAIR_CONFIG}
authentication { session_timeout = 40 }"
began=$EPOCHSECONDS
ok "a client connects" clients_up 1
mac_of() { ctl_on $1 -j clients | jq -r '.clients[0].mac // empty'; }
listed() { [ -n "$(mac_of $1)" ]; }
reconnected() { [ "$(client_log_count 'CSTP connected' c1)" -gt $1 ]; }
within 5 listed a
mac_a=$(mac_of a) n=$(client_log_count 'CSTP connected' c1)
clients_remember c1
within 8 false
ok "moved to b" eval 'ctl_on a node standby && flow_start c1 && within 20 flows c1'
within 10 reconnected $n
ok "no login, the same address" clients_same c1
left=$(last_header X-CSTP-Session-Timeout-Remaining c1)
past=$((EPOCHSECONDS - began))
ok "R128 the remaining time continues ($left s left after $past s)" test "${left:-99}" -le $((40 - 8)) -a "${left:-0}" -gt 0
within 5 listed b
mac_b=$(mac_of b)
is "R153 the same pseudo-MAC on both nodes" "$mac_b" "$mac_a"
like "R153 locally administered, unicast" "$mac_b" '^.[26aeAE]:'
ok "R128 the session ends on b when its time is up" within $((40 - past + 8)) client_gone c1
ok "R128 not before, and not much later" test $((EPOCHSECONDS - began)) -ge 38 -a $((EPOCHSECONDS - began)) -le 50
ok "R168 nobody is counted any more" within 5 eval '[ "$(info a "counts | [.[].connected] | add")" = 0 ]'

# R11 on both nodes, set on one.
ok "R11 the service is switched off on b" ctl_on b set server.enabled=false
closed_at() { ! in_ns c1 timeout 1 bash -c ": < /dev/tcp/$1/443" 2> /dev/null; }
ok "R11 nobody answers at the service address" within 5 closed_at $SERVER
ok "R11 a has it, too" within 5 eval '[ "$(ctl_on a -j status | jq -r .enabled)" = false ]'
ok "R11 switched on again, on a" ctl_on a set server.enabled=true
ok "R11 clients connect" eval 'within 5 eval "! closed_at $SERVER"; client_up user1'

# R160: a node's being online is visible.
seen() { ctl_on $1 nodes | sed -n 's/^peer: //p'; }
like "R160 a sees b" "$(seen a)" '^seen'
nodes=$(ctl_on a nodes)
note "$nodes"
like "R160 on both paths" "$nodes" 'paths to it: heartbeat [0-9.]+ up, lan [0-9.]+ up'
like "since when who is active, and why" "$nodes" 'last change: [ab] is active since 20[0-9T:-]+Z: .'
power_off b
ok "R160 b's absence shows on a within 3 s" within 3 eval '[ "$(seen a)" = "not seen" ]'
like "R160 as a node that is offline" "$(ctl_on a nodes)" 'b +- +offline'
ok "R160 heard on no path" within 5 eval 'ctl_on a nodes | grep -qE "heartbeat [0-9.]+ down, lan [0-9.]+ down"'
ok "R160 and the service goes on" within 10 holds a
lab_end
