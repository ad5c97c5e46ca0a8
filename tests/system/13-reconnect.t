#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 13-reconnect.t -- a client that loses its connections comes back by its token: same
# address, no login, and traffic goes on.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 3  disconnected_timeout = 60 }
addressing { ipv6_prefix = "fd77::/64" }' || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b
user_add carol secret-c

reconnects() { client_log_count 'CSTP connected' ${1:-c1}; }
came_back() { [ "$(reconnects $1)" -gt $2 ]; }
same_session() { # NAME USER NS ID ADDRESS: what must hold after every return
	is "$1: same session" "$(session_get $2 id)" "$4"
	is "$1: same address" "$(session_get $2 addr4)" "$5"
	ok "$1: traffic, IPv4" within 5 pings $3
	ok "$1: traffic, IPv6" within 5 pings $3 fd00:10::100
	ok "$1: nobody was asked to log in" test "$(event_count auth_success)" = "$logins"
}

ok "a client with DTLS" client_up alice
within 10 has_dtls
SERVER='[2001:db8:1::10]'
ok "one without, over IPv6" client_up bob@c2 --no-dtls
SERVER=192.0.2.10
logins=2
id=$(session_get alice id) addr=$(inner4 c1)
id2=$(session_get bob id) addr2=$(inner4 c2)

n=$(reconnects c1); ping_start c1 10.10.0.100; within 1 false
client_signal USR2 c1
ok "SIGUSR2: the client reconnects" within 10 came_back c1 $n
same_session "SIGUSR2" alice c1 "$id" "$addr"
d=$(client_log_count 'Established DTLS' c1)
ok "SIGUSR2: with DTLS again" test "$d" -ge 2
lost=$(ping_lost)
ok "SIGUSR2: at most a few echoes lost ($lost)" test "$lost" -le 6

n=$(reconnects c2)
tcp_reset c2
in_ns c2 ping -c 1 -W 1 10.10.0.100 > /dev/null
ok "R2 reset TCP: the client without DTLS reconnects" within 15 came_back c2 $n
trouble_over
same_session "reset TCP" bob c2 "$id2" "$addr2"

n=$(reconnects c1); ping_start c1 10.10.0.100
tcp_reset c1
ok "reset TCP below a DTLS session: reconnects" within 20 came_back c1 $n
trouble_over
same_session "reset TCP below DTLS" alice c1 "$id" "$addr"
lost=$(ping_lost)
ok "... hardly an echo lost ($lost)" test "$lost" -le 6

# The laptop changes its network: other source address, UDP and TCP.
n=$(reconnects c1)
ip -n c1 addr del 203.0.113.11/24 dev eth0
ip -n c1 addr add 203.0.113.211/24 dev eth0
ip -n c1 route replace default via 203.0.113.1
ip -n c1 route replace 192.0.2.10 via 203.0.113.1
ok "the client's address changes: it comes back" within 30 came_back c1 $n
same_session "changed address" alice c1 "$id" "$addr"

# A NAT on the way forgets the mapping: the same DTLS session from another port.
ok "a client behind a NAT" client_up carol@c3
logins=3
within 10 has_dtls c3
in_wan nft -f - <<'NFT'
table ip rebind {
	chain post { type nat hook postrouting priority srcnat
		ip saddr 203.0.113.13 udp dport 443 snat to 192.0.2.1:61000-61999
	}
}
NFT
in_wan conntrack -D -p udp --orig-src 203.0.113.13 > /dev/null 2>&1
ok "NAT rebinding: traffic passes again" within 20 pings c3
is "NAT rebinding: nobody logged in" "$(event_count auth_success)" 3

# A stolen or repeated CONNECT takes the session over; the old connection ends.
token=$(raw_token bob secret-b)
like "a token is handed out" "$token" '^[A-Za-z0-9_-]{40,}$'
a=$(raw_connect "$token"); b=$(raw_connect "$token")
like "a token connects" "$a" '^HTTP/1\.1 200 '
is "and again, with the same address" "$(grep '^X-CSTP-Address:' <<< "$b")" "$(grep '^X-CSTP-Address:' <<< "$a")"
like "a token that was tampered with does not" "$(raw_connect "${token%?????}AAAAA")" '^HTTP/1\.1 401 '
like "nor one that is too short" "$(raw_connect x)" '^HTTP/1\.1 401 '
like "nor an empty one" "$(raw_connect '')" '^HTTP/1\.1 401 '
ok "which are events" within 2 event_seen token_refused
unlike "no token is in the log" "$(cat $LAB/vpnd.log)" "${token:0:40}"

client_down c1; client_down c2; client_down c3
ok "a reconnect is an event" test "$(event_count client_reconnected)" -ge 3
