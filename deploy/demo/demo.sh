#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# demo.sh -- `make demo`: a pair of gateways and ten stock openconnect clients in
# namespaces of their own. The service moves, is killed, loses its node; nobody
# types a password again. Nothing on the machine is touched.
#   DEMO=keep     leave the site running at the end, until Ctrl-C
#   DEMO=single   one gateway, step by step (DEMO=single-keep likewise)

case $DEMO in
single*) exec "$(dirname "$0")/single.sh" ;;
esac
if [ "$(id -u)" != 0 ]; then
	echo "demo: namespaces need root: sudo make demo" >&2
	exit 1
fi
. "$(cd "$(dirname "$0")/../lab" && pwd)/pair.sh"

bold= green= red= plain=
if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; fi
CLIENTS=10

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
shown() { sed 's/^/   | /'; }
# One check, one line. The first that fails ends the demo.
check() { # TEXT CMD...
	local text=$1; shift
	if "$@" > "$LAB/out" 2>&1 < /dev/null; then
		printf '   %sok%s      %s\n' "$green" "$plain" "$text"
	else
		printf '   %sFAILED%s  %s\n' "$red" "$plain" "$text"
		tail -n 8 "$LAB/out" | shown
		exit 1
	fi
}
demo_end() {
	local rc=$? f
	[ $rc != 130 ] || { printf '\ndemo: ended, everything is removed\n'; exit 130; }
	if [ $rc = 0 ]; then
		printf '\n%sDEMO OK%s in %d s. Run it with DEMO=keep to look around.\n' "$green" "$plain" $SECONDS
		exit 0
	fi
	pair_logs 2> /dev/null
	for f in "$LAB"/a.vpnd.log "$LAB"/b.vpnd.log "$LAB"/a.hasync.log "$LAB"/b.hasync.log "$LAB"/c1.log; do
		[ -s "$f" ] || continue
		printf '\n   the end of %s\n' "${f##*/}"
		tail -n 15 "$f" | cut -c1-160 | shown
	done
	printf '\n%sDEMO FAILED%s after %d s\n' "$red" "$plain" $SECONDS
	exit 1
}
trap demo_end EXIT

ALL=$(seq -f 'c%g' $CLIENTS)
all_dtls() { local n; for n in $ALL; do has_dtls $n || return 1; done; }
paths_up() { ctl_on a nodes | grep -q '^paths.* up, .* up$'; }
one_config() { [ -n "$(info a counts.b.hash)" ] && [ "$(info a counts.a.hash)" = "$(info a counts.b.hash)" ]; }
total() { ctl_on $1 nodes | sed -n 's/^sessions of both: //p'; }
# What an event meant for each client; fails when one of them noticed more than a pause.
table() { # T0
	local n typed now out
	printf '   %-8s %-8s %10s  %-9s %-14s %-14s\n' CLIENT USER "OUTAGE ms" PASSWORD "ADDRESS WAS" IS
	for n in $ALL; do
		typed=no now=$(inner_now $n) out=$(flow_outage $n $1)
		! relogged $n || typed=YES
		printf '   %-8s %-8s %10s  %-9s %-14s %-14s\n' $n user${n#c} "$out" $typed "${pair_addr[$n]}" "${now:--}"
		echo $out
	done | tee "$LAB/table" | grep '^ '
	clients_same $ALL > /dev/null || return 1
	grep -v '^ ' "$LAB/table" | sort -n | awk '{ v[NR] = $1 }
		END { printf "   outage: median %d ms, longest %d ms\n", v[int((NR + 1) / 2)], v[NR] }'
}
event() { # TEXT NEW-ACTIVE CMD...: do it, wait, show
	local text=$1 to=$2 t0; shift 2
	clients_remember $ALL
	t0=$EPOCHREALTIME
	check "$text" "$@"
	check "node $to has the addresses" within 10 holds $to
	check "traffic of all $CLIENTS clients passes again" within 30 flows $ALL
	sleep 0.3
	table $t0 || { printf '   %sFAILED%s  a client logged in again or has another address\n' "$red" "$plain"; exit 1; }
}

SECONDS=0
[ -x "$TANDEM_BIN/vpnd" ] && [ -x "$TANDEM_BIN/vpnctl" ] && [ -x "$TANDEM_BIN/hasync" ] || {
	echo "demo: build it first (make): no vpnd, vpnctl, hasync in $TANDEM_BIN" >&2; exit 1; }

step "A site on this machine: two nodes, two uplinks, a LAN, a heartbeat"
check "networks" pair_net
check "node a and node b run, each with files and processes of its own" eval 'node_boot a && node_boot b'
say "\$ vpnctl node setup        # on a"
say "\$ vpnctl node join STRING  # on b"
check "both are configured: node.conf, hasync, keepalived, corosync, keys" pair_configure
check "corosync, hasync, keepalived and vpnd run on both" eval 'services_up a && services_up b'
check "vpnd serves on both" eval 'within 20 serves a && within 20 serves b'
check "one is active, the other ready" within 20 settled
check "they hear each other on both paths and have one configuration" within 10 eval 'paths_up && one_config'
ctl_on a nodes | shown

step "Ten users, ten openconnect clients"
check "vpnctl user add user1 ... user$CLIENTS; all have logged in at 192.0.2.10" clients_up $CLIENTS
check "all have their DTLS channel" within 15 all_dtls
flow_start $ALL
check "all reach the LAN host 10.10.0.100, 20 packets a second each" within 10 flows $ALL
sleep 1 # both nodes know of all sessions

step "A planned move: vpnctl node standby"
event "a hands over to b" b ctl_on a node standby

step "vpnd on the active node: every process killed with -9"
check "a could take over" within 15 settled
event "kill -9 of all of vpnd on b" a kill9 b vpnd

step "The active node loses its power"
check "b has recovered and is ready" within 15 settled
event "a is off" b power_off a
ctl_on b nodes | shown

step "Node a comes back"
check "it boots" eval 'node_boot a && services_up a'
check "it is ready again; nothing moves back" within 25 settled
check "b is still the active one" is_active b
check "the clients did not notice" flows $ALL
check "both nodes count $CLIENTS sessions" within 5 eval '[ "$(total a) $(total b)" = "$CLIENTS $CLIENTS" ]'
ctl_on b nodes | shown
flow_stop

if [ "$DEMO" = keep ]; then
	kill $lab_watch # no time limit from here on
	enter="sudo nsenter -t $LAB_HOSTPID -m -p -n -u -i"
	on() { echo "nsenter -t $(cat "$LAB/$1.init") -m -p -n -u -i"; }
	step "The site stays up. From another terminal:"
	say "$enter bash                       # a shell in the site; then:"
	say "$(on a) bash     # on node a"
	say "$(on b) bash     # on node b"
	say "ip netns exec c1 ping 10.10.0.100                      # client 1, through the tunnel"
	say "... on a node:"
	say "  $TANDEM_BIN/vpnctl nodes                 # both nodes"
	say "  $TANDEM_BIN/vpnctl node standby          # a planned move"
	say "  $TANDEM_BIN/vpnctl sessions"
	say "  pkill -9 '^vpnd'                         # also hasync, keepalived, corosync: all come back"
	say "... in the site:"
	say "  ip link set b-wan1 down                  # an uplink of node b loses its carrier"
	say "  bridge link set dev b-hb state 0         # the heartbeat is cut (state 3 heals)"
	say "  kill -9 \$(cat $LAB/b.init)               # node b is off"
	say "Users user1 ... user$CLIENTS, passwords 'horse 1' ...; logs in $LAB (in there)."
	say "Ctrl-C here ends everything and leaves nothing behind."
	while :; do sleep 1 & wait $!; done
fi
