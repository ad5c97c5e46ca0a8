#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 30-hostile-client.t -- who has logged in and misbehaves: stops reading, sends what is
# not his, not a packet or not what his keys made, 10,000 times a second. It is dropped
# and counted, and a client beside him notices nothing.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnload=$TANDEM_BIN/../perf/vpnload
[ -x "$vpnload" ] || bail "no vpnload: make perfs"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 30 }' || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b
user_add carol secret-c
client_net 2
ok "a client with DTLS" client_up alice
within 10 has_dtls
ok "one with TLS alone" client_up carol@c3 --no-dtls
pids=$(vpnd_pids | sort | tr '\n' ' ')
memory() { local p kb=0; for p in $(vpnd_pids worker); do
	kb=$((kb + $(awk '/^VmRSS/ { print $2 }' /proc/$p/status))); done; echo $kb; }

# ---- it stops reading, and 60 MB are for it ----
before=$(memory)
client_signal STOP c3
frozen=$(lab_now_ms)
ping_start c1 10.10.0.100
head -c 60000000 /dev/zero | in_lan socat -u -b 1300 - UDP4-SENDTO:$(inner4 c3):9
stalls() { [ "$(session_get carol dropped)" -gt 5000 ]; }
ok "what a client does not read is dropped and counted" within 5 stalls
grown=$(($(memory) - before))
ok "and does not stay in memory ($grown KB more)" test $grown -lt 8000

# ---- meanwhile floods of another one ----
dropped() { ctl -j sessions | jq '[.sessions[] | select(.user == "bob") | .dropped] | add // 0'; }
floods() { [ "$(session_get bob channel)" = dtls ]; }
bg_ns lan tcpdump -Z root -lni eth0 src host 10.9.8.7 > "$LAB/foreign.txt" 2> "$LAB/foreign.err"
within 3 grep -q listening "$LAB/foreign.err"
# It counts what it sent; the sessions' counters must have seen the most of it.
for kind in tag foreign malformed giant tiny dpd; do
	in_ns c2 timeout 15 "$vpnload" flood $SERVER $PORT bob secret-b dtls $kind 10000 2.4 > "$LAB/flood" 2>&1 &
	flood=$! most=0
	within 5 floods
	came=$(in_client ping -q -c 80 -i 0.01 -W 1 -s 1300 10.10.0.100 | sed -n 's/.* \([0-9]*\) received.*/\1/p')
	while kill -0 $flood 2> /dev/null; do # the counter goes when the session does
		n=$(dropped)
		[ "$n" -le $most ] || most=$n
		sleep 0.05
	done
	wait $flood
	sent=$(sed -n 's/.*sent=//p' "$LAB/flood")
	ok "$kind: $sent in 2.4 s, dropped and counted ($most)" test "${sent:-0}" -gt 12000 -a $most -gt $((${sent:-0} / 2))
	ok "$kind: beside it 90 % of the traffic passes ($came of 80)" test "${came:-0}" -ge 72
done
is "nobody got a packet with a foreign source" "$(cat "$LAB/foreign.txt")" ""
ok "few lines of log tell of it" test "$(grep -c 'inner packet dropped' "$LAB/vpnd.log")" -le 20

# ---- the frozen one is dropped within the send timeout of 20 s ----
ended() { event_seen client_disconnected '.user == "carol"' || event_seen client_paused '.user == "carol"' ||
	[ "$(session_get carol channel)" = none ]; }
fails "it is not dropped at once" ended
ok "it is dropped" within 25 ended
took=$(($(lab_now_ms) - frozen))
ok "after the send timeout of 20 s ($took ms)" test $took -gt 19000 -a $took -lt 25000
lost=$(ping_lost)
ok "the client beside them lost next to nothing ($lost of some 400)" test "$lost" -le 8
is "it never reconnected" "$(client_log_count 'CSTP connected')" 1
is "nothing died" "$(vpnd_pids | sort | tr '\n' ' ')" "$pids"
note "$(ctl events --last 5 | tail -n 5)"
lab_end
