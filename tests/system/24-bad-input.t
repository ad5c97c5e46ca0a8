#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 24-bad-input.t -- strangers send what they like: they are refused or dropped within
# bounds, and a client who works beside them notices nothing.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 3 }
authentication { login_timeout = 5 }' || bail "no vpnd"
user_add alice secret-a; user_add bob secret-b
client_up alice || bail "no client"
within 10 has_dtls
pids=$(vpnd_pids | sort | tr '\n' ' ')
ping_start c1 10.10.0.100
a() { head -c $1 /dev/zero | tr '\0' a; }
lives() { ok "$1: nothing died" test "$(vpnd_pids | sort | tr '\n' ' ')" = "$pids"; }

head -c 100000 /dev/urandom | in_client timeout 3 socat -u - TCP:$SERVER:443 2> /dev/null
lives "noise instead of TLS"
like "a header of 100 KB" "$(https_code / -H "X-Big: $(a 100000)")" '^(4..|000)$'
like "a request line of 40 KB" "$(https_code "/$(a 40000)")" '^(4..|000)$'
a 200000 > $LAB/big.txt
like "a body of 200 KB" "$(https_code / --data-binary @$LAB/big.txt)" '^4(13|00)$'
like "two lengths" "$(printf 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd' | tls_send)" '^(HTTP/1\.1 400|$)'
like "a length and chunks" "$(printf 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' | tls_send)" '^(HTTP/1\.1 400|$)'
like "a folded header" "$(printf 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n' | tls_send)" '^(HTTP/1\.1 400|$)'
like "a space before the colon" "$(printf 'GET / HTTP/1.1\r\nHost : x\r\n\r\n' | tls_send)" '^(HTTP/1\.1 400|$)'
like "no HTTP at all" "$(printf 'EHLO mail\r\n\r\n' | tls_send)" '^(HTTP/1\.1 (400|501)|$)'
like "a NUL in a header" "$(printf 'GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n' | tls_send | tr -d '\0')" '^(HTTP/1\.1 400|$)'
like "CONNECT without a cookie" "$(printf 'CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: x\r\n\r\n' | tls_send)" '^HTTP/1\.1 401'
like "CONNECT to elsewhere" "$(printf 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n' | tls_send)" '^HTTP/1\.1 4'
lives "bad HTTP"
ok "is counted" within 2 event_seen protocol_error

xml() { xml_post / -o /dev/null -w '%{http_code}' --max-time 5; }
like "XML with a DTD" "$(printf '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><config-auth type="init">&b;</config-auth>' | xml)" '^(4..|200)$'
like "XML that never ends" "$(printf '<config-auth type="init"><version>' | xml)" '^(4..|200)$'
like "XML 5000 deep" "$(for i in $(seq 5000); do printf '<a>'; done | xml)" '^(4..|200)$'
like "XML with bad UTF-8" "$(printf '<config-auth type="init">\377\376</config-auth>' | xml)" '^(4..|200)$'
unlike "none of that logs in" "$(printf '<config-auth type="auth-reply"><auth><username>alice</username></auth></config-auth>' | xml_post /)" 'session-token'
lives "bad XML"

token=$(raw_token bob secret-b)
frame() { # TYPE LENGTH-IN-HEADER PAYLOAD: a CSTP frame after a good CONNECT
	printf 'CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: x\r\nCookie: webvpn=%s\r\nX-CSTP-Version: 1\r\nX-CSTP-Address-Type: IPv4\r\n\r\n' "$token"
	sleep 0.5
	printf "$1"
}
for f in 'XYZ\1\0\0\0\0' 'STF\1\377\377\0\0' 'STF\1\0\0\143\0' 'STF\1\0\1\0\0' 'STF\1\0\24\0\0\105\0\0\24aaaaaaaaaaaaaaaa' 'STF\2\0\0\0\0'; do
	like "CSTP $f: CONNECT is answered" "$(frame "$f" | tls_send | head -n 1)" '^HTTP/1\.1 200'
done
lives "bad CSTP frames"

in_client bash -c 'for i in $(seq 300); do head -c $((RANDOM % 1400 + 1)) /dev/urandom > /dev/udp/192.0.2.10/443; done'
hello='\26\376\377\0\0\0\0\0\0\0\0\0\233\1\0\0\217\0\0\0\0\0\0\0\217\376\375'
answer=$({ printf "$hello"; head -c 32 /dev/urandom; printf '\40'; head -c 32 /dev/urandom; printf '\0\0\20\0\251\314\253\300\245\0\215\0\250\300\244\0\214\0\256\1\0\0\65'; head -c 53 /dev/urandom; } |
	in_client timeout 2 socat -t 1 -b 1500 - UDP:192.0.2.10:443 | wc -c)
is "a DTLS hello with an unknown id: no answer" "$answer" 0
lives "bad DTLS"

slow=()
for i in $(seq 60); do bg_ns c1 socat -u TCP:$SERVER:443 /dev/null; slow+=($BG); done
(printf 'GET / HT'; sleep 30) | in_client openssl s_client -quiet -connect $SERVER:443 > /dev/null 2>&1 & drip=$!
ok "60 silent connections: a client still logs in" client_up bob@c2
client_down c2
all_gone() { local p; for p in "${slow[@]}" $drip; do [ ! -e /proc/$p ] || return 1; done; }
closed() { [ "$(in_client ss -Htn state established 'dport = :443' | wc -l)" -le 1 ]; }
ok "the silent ones are dropped in time" within 25 closed
lives "slow ones"

# The control socket is the machine's own, but even so.
printf 'nonsense\n{"cmd":"nosuch"}\n{"cmd":' | timeout 2 socat - UNIX:$LAB/run/vpnd.sock > $LAB/out 2>&1
like "the control socket answers nonsense" "$(cat $LAB/out)" '"ok": *false'
head -c 2000000 /dev/zero | tr '\0' x | timeout 3 socat -u - UNIX:$LAB/run/vpnd.sock > /dev/null 2>&1
ok "and drops what never ends" ctl status
lives "bad control requests"

is "the client beside it lost nothing" "$(ping_lost)" 0
is "the client never reconnected" "$(client_log_count 'CSTP connected')" 1
ok "the log did not run over" test "$(wc -l < $LAB/vpnd.log)" -lt 1000
