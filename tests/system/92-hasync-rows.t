#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 92-hasync-rows.t -- who has the addresses when keepalived ends in each of its ways, a
# segment is lost on one node or on both, a node stands still; with the real keepalived
# and corosync (more of the same kind in 82)
. "$(dirname "$0")/../lib/hapair.sh"
plan 35

for n in a b; do ka_conf $n; ha_conf $n "$HA_ROLES"; ha_up $n; done
coro_up a; coro_up b; vpnd_up a; vpnd_up b; ka_up a
ok "a takes the addresses" within 10 holds a 3
ka_up b
ok "both are well" within 10 eval 'synced a && synced b && recovered && active a b'

# keepalived's ways to end. Its parent is the oldest of the two.
ka_parent() { in_node $1 cat /run/keepalived.pid; }
ka_gone() { ! ka_pids $1; }
ka_child() { in_node $1 pgrep -P $(ka_parent $1); }
sig a -TERM $(ka_parent a)
ok "keepalived ended on a: b" within 10 holds b 3
ok "a has none and is not active" within 10 eval 'holds a 0 && is_role a standby'
within 10 ka_gone a; ka_up a; ok "it is back: nothing moves" stays b a 2000
sig b -9 $(ka_parent b)
ok "only its parent killed on b: a" within 10 active a b
within 10 ka_gone b; ka_up b; ok "back: nothing moves" stays a b 2000
sig a -9 $(ka_child a)
ok "only its VRRP process killed on a: in the end one has all" within 10 eval 'sleep 0.5; active a b || active b a'
is_role a active || { h b hold - on > /dev/null; within 10 active a b; }
sig a -9 $(ka_pids a); sleep 0.6; ka_up a
ok "all of it killed and back after 0.6 s: one has all" within 10 eval 'active a b || active b a'
ok "and the other has let go for good" eval 'n=a; is_role a active || n=b; stays $n $([ $n = a ] && echo b || echo a) 1500'
is_role a active || { h b hold - on > /dev/null; within 10 active a b; }
ok "all is well" within 10 recovered

# Segments.
carrier a wan2 down
ok "a loses the carrier of wan2: b" within 10 active b a
carrier a wan2 up; within 10 recovered
ok "it is back: nothing moves" stays b a
carrier b lan down
ok "b loses the carrier of the LAN: a" within 10 active a b
carrier b lan up; within 10 recovered
ok "it is back: nothing moves" stays a b
carrier a wan1 down; carrier b wan1 down
ok "both lose wan1: nothing moves" stays a b 2000
carrier a wan1 up; carrier b wan1 up; within 10 recovered
ok "nor when it is back" stays a b
carrier a lan down; carrier b lan down
ok "the LAN's switch is dead for both: nothing moves" stays a b 2000
carrier a lan up; carrier b lan up; within 10 recovered
ok "nor when it is back" stays a b
sleep 0.3; cut a lan
ok "the LAN of a is cut silently: nothing moves" stays a b 2000
ok "the nodes see each other by the heartbeat" eval '[ "$(info a "d[\"peers\"]")" = 1 ]'
heal a lan; ok "healed: nothing moves" stays a b

# Everything of the spare, as when its switch loses power.
for s in $SEGS; do cut b $s; done
ok "all of b cut: both hold them" within 10 eval 'holds b 3'
ok "a never let go" holds a 3
ok "b knows that it reaches nothing" within 10 eval '[ "$(track b role)" = -100 ]'
for s in $SEGS; do heal b $s; done
ok "healed: a, whom the clients never left, stays" within 10 active a b
ok "and nothing moves" stays a b 2000
ok "all is well" within 10 eval 'synced a && recovered'

# A node that stands still with all its programs, and goes on.
e=$(epoch a)
in_node a kill -STOP -1
ok "all programs of a stand still: b" within 10 eval 'holds b 3 && is_role b active'
ok "with the next epoch" [ $(epoch b) -gt $e ]
sleep 3; in_node a kill -CONT -1
ok "they go on: a lets go" within 10 active b a
ok "b stays" stays b a 2500
ok "all is well" within 10 eval 'synced a && synced b && recovered'
for s in $SEGS; do cut b $s; done; in_node b kill -STOP -1
ok "b is cut and stands still: a" within 10 eval 'holds a 3 && is_role a active'
sleep 2; for s in $SEGS; do heal b $s; done; in_node b kill -CONT -1
ok "healed and going on: one has all" within 15 eval 'synced a && (active a b || active b a)'
