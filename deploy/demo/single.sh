#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# single.sh -- `make demo DEMO=single`: one gateway and a stock openconnect in namespaces of
# their own, step by step. Nothing on the machine is touched.
#   DEMO=single-keep   leave it running at the end, until Ctrl-C

if [ "$(id -u)" != 0 ]; then
	echo "demo: namespaces need root: sudo make demo" >&2
	exit 1
fi
DEMO_LAB=$(cd "$(dirname "$0")/../../tests/lib" && pwd)
. "$DEMO_LAB/lab.sh"

bold= green= red= plain=
if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; fi

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
		printf '\n%sDEMO OK%s in %d s. Run it with DEMO=single-keep to look around.\n' "$green" "$plain" $SECONDS
		exit 0
	fi
	for f in "$LAB"/vpnd.log "$LAB"/c1.log; do
		[ -s "$f" ] || continue
		printf '\n   the end of %s\n' "${f##*/}"
		tail -n 20 "$f" | shown
	done
	printf '\n%sDEMO FAILED%s after %d s\n' "$red" "$plain" $SECONDS
	exit 1
}
trap demo_end EXIT

# vpnd as an administrator would start it first: no option, no configuration.
serve() {
	ip netns exec gw "$TANDEM_BIN/vpnd" >> "$LAB/vpnd.log" 2>&1 < /dev/null &
	VPND_PID=$!
}
ctl() { timeout 10 "$TANDEM_BIN/vpnctl" "$@"; }
serving() { [ -n "$(in_gateway ss -Hltn "sport = :$PORT")" ] && ctl status; }
copy() { # FROM-NS FILE TO-NS ADDR NAME: one TCP stream, checksums compared
	local sum
	in_ns $3 socat -u TCP-LISTEN:9000,reuseaddr,pf=ip4 "CREATE:$LAB/$5" & local got=$!
	within 3 listening $3 9000 || return 1
	in_ns $1 timeout 30 socat -u "FILE:$2" "TCP:$4:9000,retry=3,interval=0.2" && wait $got || return 1
	sum=$(sha256sum < "$2")
	[ "$sum" = "$(sha256sum < "$LAB/$5")" ] && echo "$sum"
}
listening() { [ -n "$(in_ns $1 ss -Hltn "sport = :$2")" ]; }
logins() { client_log_count 'POST https:' c1; }
same_process() { client_alive c1 && [ "$(client_oc c1)" = "$oc" ] && [ "$(logins)" = "$posts" ]; }
address_kept() { [ "$(session_get alice addr4)" = "$addr" ]; }

SECONDS=0
[ -x "$TANDEM_BIN/vpnd" ] && [ -x "$TANDEM_BIN/vpnctl" ] || {
	echo "demo: build it first (make): no vpnd and vpnctl in $TANDEM_BIN" >&2; exit 1; }

step "A network on this machine, in namespaces of its own"
check "client 203.0.113.11 -- wan -- gateway 192.0.2.10 | 10.10.0.1 -- lan 10.10.0.100" lab_up
check "the client reaches the gateway" in_client ping -c 1 -W 2 192.0.2.10
fails_ping() { ! in_client ping -c 1 -W 1 10.10.0.100; }
check "the client does not reach the LAN host" fails_ping

step "vpnd starts without any configuration and says what it chose"
serve
check "vpnd serves on port 443" within 15 serving
grep -v ' debug ' "$LAB/vpnd.log" | head -n 12 | cut -c1-150 | shown

step "The administrator adds a user"
say "\$ vpnctl user add alice"
add_alice() { printf 'correct horse\n' | ctl user add alice --password-stdin; }
check "alice exists" add_alice
lab_password[alice]='correct horse'

step "A stock openconnect logs in"
say "\$ openconnect --user alice https://192.0.2.10"
check "logged in, tunnel configured" client_up alice
oc=$(client_oc c1) posts=$(logins) addr=$(client_env INTERNAL_IP4_ADDRESS)
check "the data channel is DTLS" within 15 has_dtls c1
sed -n 's/^\[[^]]*\] \(Connected to HTTPS.*\|Established DTLS.*\|Configured as.*\)/\1/p' "$LAB/c1.log" | shown
check "$addr reaches the LAN host through the tunnel" pings

step "Copying 20 MB both ways over DTLS"
head -c 20000000 /dev/urandom > "$LAB/data"
check "client to LAN, SHA-256 equal" copy c1 "$LAB/data" lan 10.10.0.100 up
check "LAN to client, SHA-256 equal" copy lan "$LAB/data" c1 "$addr" down

step "What the administrator sees"
say "\$ vpnctl status"; ctl status | head -n 30 | shown
say "\$ vpnctl sessions"; ctl sessions | shown

step "Every process of vpnd is killed with -9 while the client pings"
ping_start c1 10.10.0.100
check "all of vpnd is dead" vpnd_kill9_all
say "... and vpnd is started again"
serve
check "vpnd serves" within 15 serving
check "traffic passes again" within 40 pings
check "the session is known again" within 10 sessions_are 1
check "the same openconnect process, and no second login" same_process
check "the same address: $addr" address_kept
say "echo requests lost meanwhile: $(ping_lost) at 20 per second"

if [ "$DEMO" = single-keep ]; then
	kill $lab_watch # no time limit from here on
	enter="sudo nsenter -t $LAB_HOSTPID -m -p -n -u -i ip netns exec"
	step "It stays up. From another terminal:"
	say "$enter c1 ping 10.10.0.100        # the client, through the tunnel"
	say "$enter c1 bash                    # a shell on the client"
	say "$enter lan bash                   # ... on the LAN host"
	say "$enter gw $TANDEM_BIN/vpnctl sessions"
	say "$enter gw $TANDEM_BIN/vpnctl events -f"
	say "$enter gw $TANDEM_BIN/vpnctl disconnect --user alice --reason 'time for tea'"
	say "$enter gw ip route                # which worker carries which client"
	say "$enter gw nft list ruleset        # what vpnd adds, and takes away at the end"
	say "$enter gw kill -9 PID             # any process of vpnd: watch the client stay"
	say "A new client: user alice, password 'correct horse'; logs in $LAB (in there)."
	say "Ctrl-C here ends everything and leaves nothing behind."
	while :; do sleep 1 & wait $!; done
fi
