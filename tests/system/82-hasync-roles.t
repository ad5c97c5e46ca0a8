#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 82-hasync-roles.t -- the real keepalived elects, hasync tells it what it cannot know:
# who was active, whether vpnd is well, whether gateways answer, who must let go
. "$(dirname "$0")/../lib/hapair.sh"
plan 52

# Bounds are wide, as other tests may have the cores; the times are in the notes, and
# how long clients notice is measured elsewhere.
for n in a b; do ka_conf $n; ha_conf $n "$HA_ROLES"; ha_up $n; done
coro_up a; vpnd_up a; vpnd_up b; ka_up a
ok "a alone takes the addresses" within 10 holds a 3
ok "and is active" within 10 is_role a active
is "track file" "$(track a role)" 20
coro_up b; ka_up b
ok "b joins" within 8 synced b
ok "nothing moves" stays a b
e=$(epoch a)
ok "b knows a's epoch" within 10 eval 'h b get node/a | grep -q "\"epoch\":$e,"'

# Planned moves, twice in a row.
is "a move is asked of the active node" "$(h a hold - on)" ok
ok "b has it" within 10 active b a
is "with the next epoch" "$(epoch b)" $((e + 1))
ok "the hold ends by itself" within 10 eval '[ "$(track a hold)" = 0 ]'
ok "no failback" stays b a
is "the other way, asked of the spare" "$(h a hold b on)" ok
ok "a has it" within 10 active a b
is "epoch" "$(epoch a)" $((e + 2))

# vpnd dies: the file says so at once.
t=$(ms); vpnd_sig a -9
ok "vpnd dead: b takes over" within 10 active b a
is "vpnd.bad" "$(track a vpnd.bad)" 1
is "a move to a sick node is refused" "$(h b hold - on)" later
vpnd_up a; ok "vpnd back" within 10 eval '[ "$(track a vpnd.bad)" = 0 ]'
ok "no failback" stays b a
vpnd_sig b -STOP
ok "vpnd stuck for 3 s: a takes over" within 10 active a b
vpnd_sig b -CONT; ok "well again" within 10 eval '[ "$(track b vpnd.bad)" = 0 ]'

# WANs.
carrier a wan1 down
ok "carrier lost on wan1: b" within 10 active b a
carrier a wan1 up; ok "no failback" stays b a
within 10 recovered; cut b wan2
ok "wan2 silently cut: the gateway does not answer, a" within 10 active a b
heal b wan2; within 10 recovered
ip -n inet link set wan1 down; ip -n inet link set wan2 down
ok "no gateway for both: nothing moves" stays a b 3000
ip -n inet link set wan1 up; ip -n inet link set wan2 up; within 10 recovered
ok "nor when they are back" stays a b

# hasync dies on the active node.
ha_kill9 a; ok "hasync dead: nothing moves" stays a b
ha_up a; vpnd_up a; ok "hasync back: nothing moves" stays a b 2500
ok "active" within 10 is_role a active
ok "vpnd found it again" within 10 eval '[ "$(track a vpnd.bad)" = 0 ]'

# corosync dies: VRRP decides alone.
sig a -9 $(coro_pid a); ok "corosync dead: nothing moves" stays a b
coro_up a; ok "back" within 8 eval 'synced a && synced b'

# keepalived: killed and restarted, killed for good, frozen.
sig a -9 $(ka_pids a); sleep 0.1; ka_up a
ok "keepalived restarted: one of them has it" within 10 eval 'active a b || active b a'
ok "settled" within 10 eval 'is_role a active || is_role b active'
is_role a active || { h b hold - on > /dev/null; within 10 active a b; }
sig a -9 $(ka_pids a)
ok "keepalived dead for good: b takes over" within 10 holds b 3
ok "and hasync removes what it left" within 10 holds a 0
ok "said so" ha_log_has a addresses_removed
is "not active" "$(role a)" standby
ka_up a; sleep 1; ok "back: no failback" stays b a
sig b -STOP $(ka_pids b)
ok "keepalived frozen: a takes over" within 10 holds a 3
ok "a newer epoch" within 10 eval '[ "$(epoch a)" -gt "$(info a "d[\"peer\"][\"epoch\"]")" ] || is_role a active'
sleep 1; sig b -CONT $(ka_pids b)
ok "thawed: b lets go" within 10 active a b
ok "and stays away" stays a b 2500

# Two masters that see each other by corosync: the one without gateways yields.
for s in wan1 wan2 lan; do cut b $s; done
ok "b cut off the segments yields" within 8 eval '[ "$(track b role)" -le 0 ] && holds b 0 && holds a 3'
for s in wan1 wan2 lan; do heal b $s; done
ok "healed: a stays" stays a b 2500
ok "hold released" within 8 eval '[ "$(track b hold)" = 0 ]'

# All cut, as after a power failure of everything between.
for s in $SEGS; do cut a $s; done
ok "all of a cut: both hold them" within 10 eval 'holds a 3 && holds b 3'
ok "a knows it reaches nothing" within 10 eval '[ "$(track a role)" = -100 ]'
sleep 1; for s in $SEGS; do heal a $s; done
ok "healed: b, whom the clients went to, stays" within 10 active b a
ok "and nothing moves back" stays b a 2000
power_off b
ok "power cut: a" within 10 holds a 3
ok "epoch above all seen" within 10 eval '[ "$(epoch a)" -gt $((e + 5)) ] && is_role a active'
