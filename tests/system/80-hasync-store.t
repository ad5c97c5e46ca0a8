#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 80-hasync-store.t -- two nodes hold the same objects, whatever dies, freezes or is cut
. "$(dirname "$0")/../lib/hapair.sh"
plan 43

# Alone first: corosync is configured and does not run.
ha_up a
like "a put without a peer is durable on one" "$(h a put early one)" '^ok 1 1 away'
coro_up a; coro_up b; ha_up b
ok "both joined and compared" within 8 synced a
ok "b too" within 3 synced b
is "what was written before arrives" "$(h b get early)" one

like "a put is durable on two" "$(h a put users alice)" '^ok 1 2'
is "and is there" "$(h b get users)" alice
like "the other way" "$(h b put users bob 1)" '^ok 2 2'
is "back" "$(h a get users)" bob
like "an expected generation that is not there is a conflict" "$(h a put users eve 1)" '^conflict 2'
like "a whole MiB" "$(h a put config @1048576)" '^ok 1 2'
is "arrives as it was" "$(h b stat config)" "$(h a stat config)"
like "removed on one" "$(h b remove early)" '^ok 2 2'
is "gone on the other" "$(h a get early)" noent
h a add revoked s1 99999999999 > /dev/null; h b add revoked s2 99999999999 > /dev/null
is "sets grow on both" "$(h a entries revoked)" "$(printf 's1  99999999999\ns2  99999999999')"
h a own counts/a 17 > /dev/null; h b endpoint endpoints/b s2 client > /dev/null
ok "counts travel" within 2 eval '[ "$(h b get counts/a)" = 17 ]'
ok "endpoints travel" within 2 eval '[ "$(h a entries endpoints/b)" = "s2 client 0" ]'
h b unendpoint endpoints/b s2 > /dev/null
ok "and go" within 2 eval '[ -z "$(h a entries endpoints/b)" ]'
is "another node's counts are not ours to write" "$(h b own counts/a 5)" invalid
ok "node/b is known on a" eval 'h a get node/b | grep -q "\"configured\":\"spare\""'

# Two writers at once at one object: each generation has one content.
(for i in 1 2 3 4 5 6 7 8; do h a put race a$i; done) > $LAB/ra &
(for i in 1 2 3 4 5 6 7 8; do h b put race b$i; done) > $LAB/rb
wait $!
is "of 16 racing puts no generation is given twice" \
	"$(cat $LAB/ra $LAB/rb | awk '/^ok/{print $2}' | sort -n | uniq -d)" ""
ok "same on both" same race

# hasync restarted, then with an empty disk.
ha_kill9 b; ok "a notices at once" within 2 alone a
like "writes go on" "$(h a put while-away x)" '^ok 1 1 away'
ha_up b; ok "b is back" within 5 synced b
is "and has it" "$(h b get while-away)" x
ha_down b; rm -rf $LAB/state.b; ha_up b
ok "with an empty disk" within 5 synced b
ok "it gets all" within 2 same ''
is "sets too" "$(h b entries revoked | wc -l)" 2

# Frozen hasync and corosync on b.
sig b -STOP $(ha_pid b); sleep 0.1
like "b's hasync frozen: a put waits for it, not for ever" "$(h a put frozen 1)" '^ok 1 1 away'
sig b -CONT $(ha_pid b)
ok "then it is there" within 3 eval '[ "$(h b get frozen)" = 1 ]'
sig b -STOP $(coro_pid b)
h b put cold b > $LAB/cold & cold=$!
ok "b's corosync frozen: a is alone" within 4 alone a
like "both write" "$(h a put frozen 2)" '^ok 2 1 away'
wait $cold; like "b on its own" "$(cat $LAB/cold)" '^ok 1 1 away'
sig b -CONT $(coro_pid b)
ok "equal again" within 6 eval 'synced a && synced b && same ""'

# corosync dies and comes back; nothing else is touched.
before=$(ha_pid b)
sig b -9 $(coro_pid b); within 3 alone b 3> /dev/null
h b put orphan 1 > /dev/null; coro_up b
ok "a new corosync is joined by the same hasync" within 8 eval 'synced b && synced a'
ok "with all of it" within 3 same ''

# Cut: both write the same object. The primary's version stays, the other is kept.
cut b hb; cut b lan
ok "cut" within 5 eval 'alone a && alone b'
h a put split from-a > /dev/null; h b put split from-b > /dev/null
h a put twice 1 > /dev/null; h a put twice 2 > /dev/null; h b put twice only > /dev/null
h a add bans p1 > /dev/null; h b add bans p2 > /dev/null
heal b hb; heal b lan
ok "healed" within 8 eval 'synced a && synced b && same ""'
is "equal generation: the primary's" "$(h b get split)" from-a
ok "the loser's bytes are kept" grep -q from-b $LAB/state.b/cluster/split.lost-1
is "more generations win" "$(h b get twice)" 2
ok "and what they beat is kept" grep -q only $LAB/state.b/cluster/twice.lost-1
is "sets are united" "$(h a entries bans | wc -l)$(h b entries bans | wc -l)" 22
