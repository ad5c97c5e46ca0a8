#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 19-timeouts.t -- the server ends sessions: session timeout across reconnects, idle
# timeout in spite of DPD, the grace of a vanished client.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 2  keepalive = 2  disconnected_timeout = 6 }
authentication { session_timeout = 16  idle_timeout = 5 }' || bail "no vpnd"
for u in alice bob carol; do user_add $u secret-$u; done

t0=$(lab_now_ms)
ok "R127 alice connects" client_up alice
token=$(raw_token carol secret-carol)
like "a session of its own by token" "$(raw_connect "$token")" '^HTTP/1\.1 200'
ok "bob connects and is silent" client_up bob@c2
is "the idle timeout is told" "$(header X-CSTP-Idle-Timeout c2)" 5
is "R125 the session timeout, too" "$(header X-CSTP-Session-Timeout c1)" 16
ping_start c1 10.10.0.100

ok "idle: bob's session ends" within 12 client_gone c2
t=$(($(lab_now_ms) - t0))
ok "idle: not before its time ($t ms)" test $t -ge 4500
ok "idle: although DPD went on" client_log_has 'DPD' c2
ok "idle: the client shows a reason" client_log_has 'server disconnect.*dle|terminat.*dle' c2
ok "idle: it is an event" within 2 event_seen client_disconnected '.user == "bob" and .reason == "idle_timeout"'
ok "vanished: carol's session ends" within 10 event_seen client_disconnected '.user == "carol"'
ok "R127 alice, who pings, is still there" client_alive c1

now=$(($(lab_now_ms) - t0))
client_signal USR2 c1
two() { [ "$(client_log_count 'X-CSTP-Session-Timeout-Remaining: ')" -ge 2 ] || [ "$(client_log_count 'CSTP connected')" -ge 2 ]; }
ok "R127 a reconnect after $((now / 1000)) s" within 5 two
left=$(sed -n 's/.*X-CSTP-Session-Timeout-Remaining: //p' $LAB/c1.log | tail -n 1)
ok "R127 ... shows what remains ($left s)" test "${left:-999}" -le $((17 - now / 1000))
ok "R127 the session ends at its time" within 20 client_gone c1
t=$(($(lab_now_ms) - t0))
ok "R127 ... neither early nor late ($t ms)" test $t -ge 15000 -a $t -le 19000
ok "R127 with a reason" client_log_has 'server disconnect|terminat'
ok "R127 and an event" within 2 event_seen client_disconnected '.user == "alice" and .reason == "session_timeout"'
ok "nobody is left" within 3 sessions_are 0
kill $lab_ping 2> /dev/null

t0=$(lab_now_ms)
token=$(raw_token alice secret-alice)
like "R127 a token connects" "$(raw_connect "$token")" '^HTTP/1\.1 200'
old() { [ $(($(lab_now_ms) - t0)) -gt 17000 ]; }
within 20 old
like "R127 after the timeout the token is refused" "$(raw_connect "$token")" '^HTTP/1\.1 401 '
