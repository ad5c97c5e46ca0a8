#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 26-rekey.t -- a tunnel is replaced by a new one on time, an older connection of a
# session by a newer one, and a smaller path is found out; nobody logs in again.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 30  rekey = 6  keepalive = 3 }' || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b

reconnects() { client_log_count 'CSTP connected' ${1:-c1}; }
came_back() { [ "$(reconnects $1)" -gt $2 ]; }

ok "a client with DTLS" client_up alice
is "rekey by a new tunnel" "$(header X-CSTP-Rekey-Method)" new-tunnel
is "after the configured time" "$(header X-CSTP-Rekey-Time)" 6
is "keepalive as configured" "$(header X-CSTP-Keepalive)" 3
ok "DTLS rekey is not offered" eval '! client_log_has X-DTLS-Rekey'
addr=$(inner4 c1) id=$(session_get alice id)
ping_start c1 10.10.0.100
n=$(reconnects c1)
ok "the tunnel is replaced" within 20 came_back c1 $n
n=$(reconnects c1)
ok "and again" within 20 came_back c1 $n
lost=$(ping_lost)
ok "at most a few echoes were lost ($lost)" test "$lost" -le 5
is "same session" "$(session_get alice id)" "$id"
is "same address" "$(inner4 c1)" "$addr"
is "one login" "$(event_count auth_success)" 1
ok "still connected" client_alive c1

client_net 2
client_net 3
# The same cookie from a second place: the newer connection has the session.
cookie=$(in_ns c2 bash -c "echo secret-b | openconnect --protocol=anyconnect --servercert $(server_pin) \
	--non-inter --passwd-on-stdin -u bob --authenticate https://$SERVER:$PORT 2>/dev/null" | sed -n "s/^COOKIE='\?\([^']*\)'\?$/\1/p")
ok "a cookie without a tunnel" test -n "$cookie"
with_cookie() { # NS
	echo "$cookie" | in_ns $1 timeout 40 openconnect --protocol=anyconnect --servercert $(server_pin) \
		--cookie-on-stdin --non-inter --reconnect-timeout 5 -s /bin/true -i vpnc$1 https://$SERVER:$PORT \
		> "$LAB/cookie.$1.log" 2>&1 &
}
up_at() { [ "$(session_get bob source | sed 's/:.*//')" = "$(in_ns $1 ip -4 -o addr show dev eth0 | sed 's/.*inet \([0-9.]*\).*/\1/' | head -1)" ]; }
with_cookie c2
ok "connects at one place" within 10 up_at c2
with_cookie c3
ok "and at another: the newer one has the session" within 10 up_at c3
is "it is one session" "$(ctl -j sessions | jq '[.sessions[] | select(.user == "bob")] | length')" 1
lab_end
