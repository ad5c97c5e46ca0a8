#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 90-pair-moves.t -- fifty failovers, planned and by kill -9, under two clients' traffic:
# at every instant one node has the addresses (R164)
. "$(dirname "$0")/../lib/pair.sh"
plan 9
MOVES=${MOVES:-50}

C="c1 c2"
ok "the site is up, two clients connect" eval 'pair_up && clients_up 2'
flow_start $C
ok "traffic flows" within 5 flows $C
clients_remember $C
holders_start

# The other node says no as long as it could not take over: then it is asked again.
planned() { ctl_on $n node standby && within 5 holds $o; }
move() { # N
	n=$(active) o=$(other $n)
	if [ $(($1 % 5)) = 0 ]; then
		# Who has just let go is held off for half a second and takes nothing
		# over: then the killed vpnd is back where it was.
		within 10 settled && kill9 $n vpnd && within 3 holds $o ||
			{ within 10 settled && kill9 $n vpnd && within 5 holds $o; }
	else
		within 10 planned
	fi
}
t0=$(lab_now_ms) moved=0
for i in $(seq $MOVES); do
	move $i > "$LAB/move.log" 2>&1 || { note "move $i failed"; tail -n 3 "$LAB/move.log" | sed 's/^/# /'; break; }
	moved=$i
done
note "$moved failovers in $(($(lab_now_ms) - t0)) ms"
is "R164 $MOVES failovers" $moved $MOVES
ok "traffic flows" within 20 flows $C
holders_stop
is "R164 each was seen by the kernels" $HELD_MOVES $MOVES
ok "R164 never two holders for longer than an advert interval" below $HELD_BOTH 100
ok "R164 never nobody for longer than 800 ms" below $HELD_NONE 800
ok "one node has everything at the end" within 20 settled
ok "R162 R171 no login, the same addresses" clients_same $C
