#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 81-hasync-loss.t -- no acknowledged write is lost; damaged files and strangers' words
# do no harm; an idle pair costs next to nothing
. "$(dirname "$0")/../lib/hapair.sh"
plan 32
KILLS=${KILLS:-100}

coro_up a; coro_up b; ha_up a; ha_up b
within 8 synced a

# Steady state: states once a second, counts on both. The best of two, as what else
# the machine does makes every instruction dearer.
ticks() { # NODE: clock ticks used by corosync and hasync
	in_node $1 sh -c "cat /proc/$(coro_pid $1)/stat /proc/$(ha_pid $1)/stat" |
		awk '{ sub(/.*\) /, ""); t += $12 + $13 } END { print t }'
}
cheap() {
	local t0 c0 c1 t1 cpu
	for n in a b; do (h $n feed counts/$n 5) & done
	t0=$(ms) c0=$(ticks a); sleep 4; c1=$(ticks a) t1=$(ms)
	cpu=$(awk "BEGIN { printf \"%.1f\", ($c1 - $c0) * 1000 / $(getconf CLK_TCK) / ($t1 - $t0) * 100 }")
	note "corosync and hasync together: $cpu % of one CPU" >&3
	awk "BEGIN { exit !($cpu <= 3.0) }"
}
ok "at most 3 % CPU" eval 'cheap || cheap'

# Two writers, and hasync killed on either side at random instants.
for n in a b; do (h $n writer w$n $LAB/acked.$n 60) & writers="$writers $!"; done
restart() { # as its unit would
	sig $1 -9 $(ha_pid $1); rm $LAB/$1.pid
	in_node $1 sh -c "echo \$\$ > $LAB/$1.pid; exec $TANDEM_BIN/hasync -f $LAB/$1.conf \
		-s $LAB/state.$1 -r /run/tandem >> $LAB/$1.hasync.log 2>&1" < /dev/null 3>&- 2> /dev/null &
	disown
	until [ -s $LAB/$1.pid ]; do sleep 0.005; done
}
for i in $(seq $KILLS); do
	n=a; [ $((RANDOM % 2)) = 0 ] || n=b
	sleep 0.0$((RANDOM % 9))$((RANDOM % 10)); restart $n
done > /dev/null 2>&1
sleep 0.5; kill $writers 2> /dev/null
ok "equal after $KILLS kills" within 10 eval 'synced a && synced b && same w'
note "$(cat $LAB/acked.* | wc -l) acknowledged, $(awk '$4==2' $LAB/acked.* | wc -l) of them on two"
ok "there were acknowledged writes" [ $(cat $LAB/acked.* | wc -l) -gt 100 ]
lost() { # NODE: acknowledged writes newer than what NODE has
	local name n
	cat $LAB/acked.* | awk '$2 > m[$1] { m[$1] = $2 } END { for (k in m) print k, m[k] }' |
	while read -r name n; do
		[ "$(h $1 get $name | cut_field 2)" -ge $n ] || echo "$name $n"
	done
}
cut_field() { awk '{ print $'$1' }'; }
is "none is lost on a" "$(lost a)" ""
is "nor on b" "$(lost b)" ""

# An older store, then a newer one, joins.
h a put age 1 > /dev/null
ha_down b; cp -r $LAB/state.b $LAB/old.b
h a put age 2 > /dev/null; h a put age 3 > /dev/null
ha_up b; ok "an older store joins" within 5 eval 'synced b && synced a'
is "and gets the newer version" "$(h b stat age | cut_field 2)" 3
ha_down a; rm -rf $LAB/state.a; mv $LAB/old.b $LAB/state.a; ha_up a
ok "a node with an old copy meets a newer store" within 5 eval 'synced b && synced a'
is "the newer version stays" "$(h a get age)$(h b get age)" 33

# Damaged files: set aside, the version before serves.
h a put users v1 > /dev/null; h a put users v2 > /dev/null; h a put profile v1 > /dev/null
ha_down a; ha_down b
printf X | dd of=$LAB/state.b/cluster/users bs=1 seek=60 conv=notrunc 2> /dev/null
truncate -s 20 $LAB/state.b/cluster/profile; : > $LAB/state.b/cluster/config
dd if=/dev/urandom of=$LAB/state.b/cluster/noise bs=1k count=3 2> /dev/null
ha_up b
is "a flipped bit: the version before" "$(h b get users)" v1
is "truncated, nothing before: not there" "$(h b get profile)" noent
is "all four are set aside" "$(ls $LAB/state.b/cluster | grep -c '\.bad-')" 4
ok "and told" ha_log_has b 'store_damaged users'
ha_up a; ok "with the peer" within 5 eval 'synced b && synced a'
is "it is all there again" "$(h b get users)$(h b get profile)" v2v1

# Strangers in the group: heard, counted, not obeyed.
stranger() { # WHAT RE: b is one now
	ha_up b; sleep 1.2
	h b put stranger "$1" > /dev/null
	ok "$1: one clear error" ha_log_has a "peer_refused .*$2"
	is "$1: nothing applied" "$(h a get stranger)" noent
	ha_down b; rm -f $LAB/state.b/cluster/stranger; : > $LAB/a.hasync.log
}
ha_down b
(PAIR_ID=ffeeddccbbaa99887766554433221100; ha_conf b); stranger "another pair" "of another pair"
ha_down a; : > $LAB/a.hasync.log; ha_up a
ha_conf b; sed -i 's/"spare"/"primary"/' $LAB/b.conf; stranger "two primaries" "both nodes are configured as primary"
ha_down a; : > $LAB/a.hasync.log; ha_up a
ha_conf b; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > $LAB/other.key
sed -i "s|$LAB/pair.key|$LAB/other.key|" $LAB/b.conf; stranger "another key" "does not verify"
ha_down a; : > $LAB/a.hasync.log; ha_up a

# One with access to corosync says again what it heard, also cut off, of another
# version, changed, oversized.
ha_conf b; ha_up b; within 10 eval 'synced a && synced b' 3> /dev/null
h a put victim 1 > /dev/null; h a put victim 2 > /dev/null
was=$(info a 'd["refused"]')
(sleep 1; h a put victim 3; h b put victim 4; h a put victim 5) > /dev/null &
like "a stranger in the group says them" "$(in_node a /usr/bin/python3 -S $HP_ROOT/tests/lib/cpgpeer 3)" '^[0-9]+$'
n=$(($(info a 'd["refused"]') - was))
ok "refused and counted ($n)" [ $n -ge 20 ]
is "nothing of it was applied" "$(h a get victim)$(h b get victim)" 55
ok "said once" [ $(grep -c peer_refused $LAB/a.hasync.log) = 1 ]
ok "the pair goes on" within 10 eval '[[ $(h b put victim 6) =~ ^ok\ .*\ 2 ]] && synced a && synced b'

# A clock that is off, with the rest of the node's time as it is.
FAKE=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketime.so.1
ha_down b
if [ -e $FAKE ]; then
	: > $LAB/a.hasync.log
	HA_ENV="env LD_PRELOAD=$FAKE FAKETIME=+45s DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1" ha_up b
	ok "clocks 45 s apart: one clear error" within 10 ha_log_has a 'clock_difference b is ahead by 4[0-9] s'
	like "writes go on" "$(h b put clock 1)" '^ok 1 2'
	sleep 2
	is "said once" $(grep -c clock_difference $LAB/a.hasync.log) 1
else
	for i in 1 2 3; do hp_result 0 "clocks apart # SKIP no libfaketime"; done
fi
is "a mebibyte and one byte is refused" "$(h a put big @1048577 | cut_field 1)" invalid
ok "half a frame and nonsense close the connection" eval '[ "$(h a junk ffffffff00)" = closed ]'
is "and the store serves on" "$(h a get age)" 3
