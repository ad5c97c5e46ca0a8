#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 26-rekey.t -- a tunnel is replaced by a new one on time, an older connection of a
# session by a newer one, and TLS gets new keys when a client asks; nobody logs in again.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2  log_debug = true }
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

# TLS 1.3's own rekey (RFC 8446 4.6.3). s_client takes a line that begins with K for the
# wish to have both sides' keys changed, sends it before what it has to say next (here a
# DPD request), and tells what messages come.
client_down c1
user_add carol secret-c
got() { grep -ac "$1" "$LAB/tls.log"; }
got_more() { [ "$(got "$1")" -gt "$2" ]; }
keys_asked() { # AFTER HOW MANY
	echo K >&8
	sleep 0.2 # or it reads both as one
	printf 'STF\1\0\0\3\0' >&8
	within 5 got_more '<<< TLS 1.3.*KeyUpdate' "$1"
}
answered() { [ "$(grep -acP 'STF\x01@\x00\x04' "$LAB/tls.log")" -gt 0 ]; }
data_comes() { # NAME: frames from the LAN go on being read
	local n; n=$(got STF)
	in_lan ping -q -c 5 -i 0.05 -W 1 -s 1000 "$inner" > /dev/null 2>&1
	ok "$1" within 5 got_more STF $((n + 4))
}
tls_tunnel() { # SUITE [s_client options]
	local token; token=$(raw_token carol secret-c)
	rm -f "$LAB/tls.in"; mkfifo "$LAB/tls.in"; : > "$LAB/tls.log"
	in_client openssl s_client -connect "$SERVER:$PORT" -msg -ciphersuites "$@" \
		< "$LAB/tls.in" > "$LAB/tls.log" 2>&1 &
	exec 8> "$LAB/tls.in"
	within 5 got_more '^New, TLSv1.3' 0
	raw_request "$token" >&8
	within 5 got_more '^X-CSTP-Address:' 0
	inner=$(sed -n 's/^X-CSTP-Address: \([0-9.]*\).*/\1/p' "$LAB/tls.log" | head -1)
}
ours() { grep -c 'seals its own records' "$LAB/vpnd.log"; }
before=$(ours)
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
	tls_tunnel $suite
	like "$suite: a tunnel" "$inner" '^10\.'
	data_comes "data before new keys"
	ok "new keys when asked for" keys_asked 0
	data_comes "data after them"
	ok "and again" keys_asked 1
	data_comes "data after those"
	{ printf 'STF\1\100\0\3\0'; head -c 16384 /dev/zero | tr '\0' a; } >&8
	ok "the largest DPD request is answered" within 5 answered
	exec 8>&-
	tls_tunnel $suite
	ok "$suite: new keys before any data" keys_asked 0
	data_comes "and data"
	ok "and new keys again" keys_asked 1
	data_comes "and data again"
	exec 8>&-
done
is "records are sealed without OpenSSL where it can be" "$(ours)" $((before + 2))
tls_tunnel TLS_AES_128_GCM_SHA256 -maxfraglen 512
data_comes "a client that takes small records only"
is "which are OpenSSL's" "$(ours)" $((before + 2))
exec 8>&-
lab_end
