#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 15-start.t -- what keeps vpnd from starting is said in one line with an exit code,
# and nothing is left half set up. Switch, port and TLS limit.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
nothing_left() {
	[ -z "$(vpnd_pids)" ] && [ -z "$(in_gateway nft list tables)" ] &&
		[ "$(in_gateway ip -br link | grep -c '^vpn')" = 0 ] &&
		[ -z "$(in_gateway ss -Hlnu "sport = :443")" ]
}
rules=$(in_gateway ip rule; in_gateway ip route)

bg_ns gw socat TCP4-LISTEN:443,fork,reuseaddr /dev/null; hog=$BG
within 3 in_gateway sh -c 'ss -Hltn "sport = :443" | grep -q .'
vpnd_try 'server { workers = 1 }'
is "port in use: exit code" "$VPND_RC" 71
like "port in use: says so" "$(cat $LAB/try.log)" '443.*(in use|Address already)|(in use|already).*443'
kill $hog; wait $hog 2> /dev/null
ok "port in use: nothing is left" nothing_left

mkdir -p $LAB/net; touch $LAB/net/none
no_tun() { # /dev/net is empty for this one
	vpnd_write 'server { workers = 1 }'
	timeout -s KILL 10 unshare --mount sh -c 'mount --bind "$0" /dev/net && exec "$@"' "$LAB/net" \
		ip netns exec gw "$TANDEM_BIN/vpnd" $(vpnd_args) > "$LAB/try.log" 2>&1 < /dev/null
	VPND_RC=$?
}
no_tun
is "no TUN: exit code" "$VPND_RC" 71
like "no TUN: says so" "$(cat $LAB/try.log)" '/dev/net/tun|TUN'
ok "no TUN: nothing is left" nothing_left

no_cap() {
	vpnd_write 'server { workers = 1 }'
	timeout -s KILL 10 ip netns exec gw setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$TANDEM_BIN/vpnd" $(vpnd_args) > "$LAB/try.log" 2>&1 < /dev/null
	VPND_RC=$?
}
no_cap
is "no CAP_NET_ADMIN: exit code" "$VPND_RC" 71
like "no CAP_NET_ADMIN: says so" "$(cat $LAB/try.log)" 'NET_ADMIN|capab|root|permitted'
ok "no CAP_NET_ADMIN: nothing is left" nothing_left

vpnd_try 'server { port = 70000
 workers = lots }
addressing { subnet = "10.0.0.0/33" }'
is "bad configuration: exit code" "$VPND_RC" 78
bad=$(cat $LAB/try.log)
like "bad configuration: file, line, setting" "$bad" 'tandem\.conf:1.*server\.port'
like "bad configuration: every mistake at once" "$bad" 'tandem\.conf:2.*server\.workers'
like "bad configuration: ... all three" "$bad" 'tandem\.conf:3.*addressing\.subnet'
ok "bad configuration: nothing is left" nothing_left
vpnd_try 'nonsense {'
is "a syntax error: exit code" "$VPND_RC" 78
vpnd_try 'server { port = 443 }'  'wan wan1 { interface = "nowhere0" }'
is "a missing interface: exit code" "$VPND_RC" 71
like "a missing interface: says so" "$(cat $LAB/try.log)" nowhere0
"$TANDEM_BIN/vpnd" --nonsense > $LAB/out 2>&1; is "usage: exit code" $? 64
is "routes and rules are untouched" "$(in_gateway ip rule; in_gateway ip route)" "$rules"

PORT=8443
CONFIG='server { workers = 2  port = 8443  tls_max = 1.2 }
client_connection { dpd = 3 }'
ok "R12 another port" vpnd_up "$CONFIG"
vpnd_try_second() { ip netns exec gw "$TANDEM_BIN/vpnd" $(vpnd_args) > "$LAB/try.log" 2>&1 < /dev/null; }
vpnd_try_second; is "a second vpnd on the same folders: exit code" $? 71
ok "... the first one lives" vpnd_serves
fails "R4 TLS 1.3 switched off" tls_handshake -tls1_3
ok "R4 TLS 1.2 still accepted" tls_handshake -tls1_2
user_add alice secret-a
ok "R12 a client on port 8443" client_up alice
ok "R12 with DTLS" within 10 has_dtls
is "R12 X-DTLS-Port" "$(header X-DTLS-Port)" 8443
fails "R12 port 443 is closed" in_client timeout 2 bash -c ': < /dev/tcp/192.0.2.10/443'

ok "R11 switched off" vpnd_reload "${CONFIG/workers/enabled = false workers}"
closed() { ! in_client timeout 1 bash -c ': < /dev/tcp/192.0.2.10/8443'; }
ok "R11 nobody can connect within 2 s" within 2 closed
ok "R11 the session ended" within 5 client_gone
ok "R11 with a reason" client_log_has 'server disconnect|terminat|DISCONNECT'
ok "R11 the list is empty" within 2 sessions_are 0
ok "R11 switched on again" vpnd_reload "$CONFIG"
ok "R11 a client connects" client_up alice

fails "a bad reload is refused" vpnd_reload 'addressing { subnet = "10.0.0.0/33" }'
ok "... with the rule" log_has 'config_refused|addressing\.subnet'
ok "... and the old configuration stays" pings
client_down
