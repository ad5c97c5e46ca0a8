#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 20-admin.t -- the administrator looks, ends sessions, changes users; clients see why.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2  session_limit = 4  user_sessions = 2 }
client_connection { dpd = 5 }'
vpnd_up "$CONFIG" || bail "no vpnd"
for u in alice bob carol dave erin; do user_add $u secret-$u; done
ended() { event_seen client_disconnected ".user == \"$1\" and .reason == \"$2\""; }
told() { client_log_has 'server disconnect|terminat' $1; }

ok "alice connects" client_up alice
ok "vpnctl status" ctl status
ok "vpnctl -j status is JSON" eval 'ctl -j status | jq -e .ok'
like "vpnctl sessions names her" "$(ctl sessions)" alice
id=$(session_get alice id)
like "vpnctl session ID has the outer address" "$(ctl session "$id")" '203\.0\.113\.11'
like "... and the DTLS cipher" "$(within 10 has_dtls; ctl -j session "$id")" 'AES|dtls'
fails "no such session" ctl session 99999
counters() { [ "$(ctl -j session "$id" | jq '[.. | .rx_bytes? // empty] | max')" -gt 100 ]; }
pings > /dev/null
ok "R149 counters grow" within 5 counters

ok "R151 vpnctl disconnect ID" ctl disconnect "$id" --reason 'maintenance at noon'
ok "R151 the client ends" within 5 client_gone c1
ok "R151 and shows the reason" client_log_has 'maintenance at noon'
ok "R151 an event says admin" within 2 ended alice admin
ok "nobody is left" within 2 sessions_are 0

ok "two devices of bob" client_up bob
ok "... the second" client_up bob@c2
ok "disconnect --user ends both" ctl disconnect --user bob --reason bye
ok "... the first" within 5 client_gone c1
ok "... the second" within 5 client_gone c2

token=$(raw_token carol secret-carol)
ok "carol connects" client_up carol
ok "R84 carol is disabled" ctl user disable carol
ok "R84 her session ends" within 5 client_gone c1
ok "R84 she is told" told c1
ok "R84 an event says user_disabled" within 2 ended carol user_disabled
like "R84 her tokens are dead" "$(raw_connect "$token")" '^HTTP/1\.1 401 '

ok "dave connects" client_up dave
ok "dave's password changes" eval 'printf "other\n" | ctl user passwd dave --password-stdin'
ok "his session ends" within 5 client_gone c1
ok "an event says password_changed" within 2 ended dave password_changed
ok "erin connects" client_up erin
ok "erin is removed" ctl user remove erin
ok "her session ends" within 5 client_gone c1

# user_sessions = 2: the third device finds no place.
ok "alice on one device" client_up alice@c1
ok "... on two" client_up alice@c2
client_try 15 alice@c3
ok "... a third one is refused" client_gone c3
ok "... with a reason" client_log_has '[Ll]imit|[Ss]essions|devices' c3
ok "... the others work" eval 'pings c1 && pings c2'
client_down c1
ok "... a freed place is usable" client_up alice@c3
ok "bob on two devices" client_up bob@c4
ok "bob's second" client_up bob@c5
user_add frank secret-frank
client_try 15 frank@c6
ok "R144 the limit of 4: refused" client_gone c6
ok "R144 with a reason" client_log_has '[Ll]imit|[Ss]essions|full|503|many' c6
ok "R144 an event" event_seen session_limit
ok "R144 the others stay" eval 'pings c2 && pings c5'
client_signal USR2 c5
again() { [ "$(client_log_count 'CSTP connected' c5)" -ge 2 ]; }
ok "R147 a reconnect needs no second place" within 10 again
client_down c3
ok "R145 a freed place is usable at once" client_up frank@c6

like "R156 events --filter AnyConnect" "$(ctl -j events --filter AnyConnect --last 500)" client_connected
(timeout 8 "$TANDEM_BIN/vpnctl" -j -S "$LAB/run/vpnd.sock" events -f > $LAB/follow.txt 2>&1) &
within 1 false
client_down c6
ok "events -f shows what happens" within 5 grep -q client_disconnected $LAB/follow.txt
like "why frank" "$(ctl why frank)" '[Ll]imit'
ctl > $LAB/out 2>&1; is "vpnctl without a command: usage" $? 2
"$TANDEM_BIN/vpnctl" -S $LAB/none status > $LAB/out 2>&1; is "no vpnd: exit code 3" $? 3
for c in c2 c4 c5; do client_down $c; done
ok "all end" within 5 sessions_are 0
