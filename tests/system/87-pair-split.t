#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 87-pair-split.t -- cables are cut silently: the heartbeat, the LAN, all of them; after
# the heal one node has the addresses, clients pass traffic, both have the same store
. "$(dirname "$0")/../lib/pair.sh"
plan 18

C="c1 c2"
ok "the site is up, two clients connect" eval 'pair_up && clients_up 2'
flow_start $C
ok "traffic flows" within 5 flows $C
sleep 1
clients_remember $C

t0=$EPOCHREALTIME
seg_cut b hb
ok "heartbeat cut: nothing moves" stays a 2
ok "the nodes still see each other" eval '[ "$(info a synced)" = true ]'
seg_heal b hb
note "out for $(flow_outage c1 $t0) ms"
seg_cut b hb; seg_cut b lan
ok "heartbeat and LAN of the spare cut: nothing moves" stays a 2
ok "a knows that it is alone" within 5 eval '[ "$(info a peer)" = null ]'
ok "and takes users" user_add late secret
seg_heal b hb; seg_heal b lan
ok "healed" within 15 settled
late_on() { ctl_on $1 -j user list | jq -e '.users[] | select(.name == "late")'; }
ok "the other node has the user, too" within 5 late_on b
ok "the clients did not notice" eval 'flows $C && clients_same $C'

t0=$EPOCHREALTIME
for s in $SEGS; do seg_cut a $s; done
ok "all of the active node cut: the other takes over" within 10 is_active b
ok "traffic flows" within 25 flows $C
note "out for $(flow_outage c1 $t0) ms"
ok "a knows that it reaches nothing" within 6 eval '[ "$(in_node a cat /run/tandem/role)" = -100 ]'
for s in $SEGS; do seg_heal a $s; done
ok "healed: one holder" within 20 settled
is "the one the clients went to" "$(active)" b
ok "nothing moves back" stays b 2
ok "R162 R171 traffic, no login, the same addresses" eval 'within 10 flows $C && clients_same $C'
ok "both know both sessions" within 5 eval '[ "$(info a "counts | [.[].connected] | add")" = 2 ]'
