#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 29-outer-path.t -- what the path outside does to the datagrams of a session: marks
# congestion, loses, reorders and repeats them, becomes smaller while they are under way.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 30 }
addressing { ipv6_prefix = "fd77::/64" }' || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b
datagrams=$LAB_ROOT/tests/lib/datagrams
dropped() { session_get ${1:-alice} dropped; }

ok "a client with DTLS" client_up alice
within 10 has_dtls

# ---- RFC 6040: congestion that is marked outside must reach the inner transport ----
# What the LAN sees of pings with this TOS, and what is lost on the way, is counted.
bg_ns lan tcpdump -Z root -lnvi eth0 'icmp[icmptype] = 8 or (ip6 and icmp6 and ip6[40] = 128)' > "$LAB/lan.txt" 2> "$LAB/lan.err"
within 3 grep -q listening "$LAB/lan.err"
echoes() { # TOS ADDRESS: how many of 5 come back
	in_client ping -q -c 5 -i 0.02 -W 1 -Q $1 $2 | sed -n 's/.* \([0-9]*\) received.*/\1/p'
}
# The TOS (class) of what arrived since the last time.
arrived() {
	sleep 0.1
	sed -n 's/.*(tos 0x0*\([0-9a-f]*\),.*/\1/p; s/.*IP6 (class 0x0*\([0-9a-f]*\),.*/\1/p; s/.*IP6 (\(flow\|hlim\).*/0/p' \
		"$LAB/lan.txt" > "$LAB/tos.txt"
	: > "$LAB/lan.txt"
	sort "$LAB/tos.txt" | uniq -c | awk '{ printf "%s%s of %s", (NR > 1 ? ", " : ""), $1, $2 }'
}
for to in 10.10.0.100 fd00:10::100; do
	is "$to: 5 echoes as ECT(0)" "$(echoes 2 $to)" 5
	is "$to: arrive so" "$(arrived)" "5 of 2"
done
trouble ip daddr 192.0.2.10 udp dport $PORT ip ecn set ce
for to in 10.10.0.100 fd00:10::100; do
	is "$to: marked outside, the inner ones are ECT(0)" "$(echoes 2 $to)" 5
	is "$to: CE arrives" "$(arrived)" "5 of 3"
	is "$to: ECT(1), with a DSCP" "$(echoes 0xb9 $to)" 5
	is "$to: CE arrives and the DSCP stays" "$(arrived)" "5 of bb"
	before=$(dropped)
	is "$to: marked outside, the inner ones cannot say so" "$(echoes 0 $to)" 0
	is "$to: they are dropped" "$(arrived)" ""
	ok "$to: and counted" test $(($(dropped) - before)) -ge 5
done
trouble_over
bg_ns c1 tcpdump -Z root -lnvi eth0 "udp and src port $PORT and src host 192.0.2.10" > "$LAB/outer.txt" 2> "$LAB/outer.err"
within 3 grep -q listening "$LAB/outer.err"
outer() { # TOS DESTINATION: the outer TOS of most of what the gateway sent meanwhile
	: > "$LAB/outer.txt"
	in_lan ping -q -c 5 -i 0.02 -W 1 -Q $1 $2 > /dev/null
	sleep 0.1
	sed -n 's/.*(tos \(0x[0-9a-f]*\),.*/\1/p' "$LAB/outer.txt" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }'
}
is "to the client: ECT(0) inside is ECT(0) outside" "$(outer 2 $(inner4))" 0x2
is "so is ECT(1), from IPv6; a DSCP stays inside" "$(outer 0xb9 $(inner6))" 0x1
is "and CE is" "$(outer 3 $(inner4))" 0x3
is "and nothing" "$(outer 0xb8 $(inner4))" 0x0

# ---- 30 % of the datagrams are lost: what comes is as it was sent, and comes once ----
field() { sed -n "s/.*\b$1 \([0-9]*\).*/\1/p" "$LAB/took"; }
port=7200
many() { # NAMESPACE ADDRESS of the receiver, NAMESPACE of the sender
	port=$((port + 1))
	bg_ns $1 timeout 20 "$datagrams" take $2 $port 2000 > "$LAB/took"; local taker=$BG
	within 5 listens $1 $port u
	in_ns $3 "$datagrams" send $2 $port 2000 1200
	wait $taker
}
good() { # NAME LEAST MOST
	local came=$(field came)
	ok "$1: between $2 and $3 of 2000 come ($came)" test "${came:-0}" -ge $2 -a "${came:-0}" -le $3
	is "$1: none twice, none wrong" "$(field twice) $(field wrong)" "0 0"
}
trouble ip protocol udp numgen random mod 100 \< 30 drop
many lan 10.10.0.100 c1; good "30 % loss, up" 1250 1550
many c1 $(inner4) lan; good "30 % loss, down" 1250 1550
trouble_over
many lan fd00:10::100 c1; good "IPv6, no loss, up" 1900 2000
many c1 $(inner6) lan; good "IPv6, no loss, down" 1900 2000
client_down

# ---- datagrams overtake each other and come twice ----
bg_ns wan "$datagrams" relay 4443 192.0.2.10 $PORT
relay=$BG
within 3 listens wan 4443 u
in_wan nft add rule inet nat11 pre iifname clients ip daddr 192.0.2.10 udp dport $PORT redirect to :4443
ok "a client whose datagrams are reordered and repeated" client_up alice
within 10 has_dtls
for to in "lan 10.10.0.100 c1" "c1 $(inner4) lan"; do
	many $to; good "to $to" 1900 2000
	ok "to $to: many came late ($(field late))" test "$(field late)" -ge 300
done
head -c 3000000 /dev/urandom > "$LAB/blob"
copy() { # NAME, NAMESPACE ADDRESS of the receiver, NAMESPACE of the sender
	port=$((port + 1))
	bg_ns $2 timeout 30 socat -u TCP-LISTEN:$port,reuseaddr OPEN:"$LAB/got",creat,trunc; local taker=$BG
	within 5 listens $2 $port
	in_ns $4 timeout 30 socat -u OPEN:"$LAB/blob" TCP:$3:$port
	wait $taker
	is "$1" "$(sha256sum < "$LAB/got")" "$(sha256sum < "$LAB/blob")"
}
copy "TCP up through it is whole" lan 10.10.0.100 c1
copy "TCP down through it is whole" c1 $(inner4) lan
ok "it stayed on DTLS" has_dtls
is "by one channel" "$(event_count dtls_down '.user == "alice" and .reason == "silent"')" 0
client_down
kill $relay
in_wan nft flush chain inet nat11 pre

# ---- the path becomes smaller under a session ----
# Its two channels on different workers, which must agree on what it needs.
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
	client_up alice --disable-ipv6 && within 10 has_dtls &&
		within 3 eval '[ "$(session_get alice dtls_worker)" != null ]' &&
		[ "$(session_get alice dtls_worker)" != "$(session_get alice worker)" ] && break
	client_down
	within 5 sessions_are 0
done
ok "a client without IPv6 inside, its channels on two workers (try $try)" client_alive
ok "and one with it" client_up bob@c2
within 10 has_dtls c2
wide=$(session_get alice mtu)
ok "on a wide path their MTU is large ($wide)" test "$wide" -gt 1400
# Their links outside, from the router on; it says so by ICMP.
for n in 1 2; do ip -n wan link set cable$n mtu 1200; ip -n c$n link set eth0 mtu 1200; done
in_wan ip link set clients mtu 1200
copy "1200 bytes from now on: TCP down goes on" c1 $(inner4) lan
narrow=$(session_get alice mtu)
ok "the session's MTU is what fits ($narrow)" test "$narrow" -le $((1200 - 28 - 38)) -a "$narrow" -gt 1000
copy "with IPv6 inside, too" c2 $(inner4 c2) lan
is "whose MTU stays at what IPv6 needs" "$(session_get bob mtu)" 1280
ok "IPv6 of 1280 bytes arrives" in_lan ping -q -c 3 -i 0.05 -W 1 -M do -s $((1280 - 48)) $(inner6 c2)
bg_ns lan tcpdump -Z root -lni eth0 'tcp[13] & 18 = 18' > "$LAB/synack.txt" 2> "$LAB/synack.err"
within 3 grep -q listening "$LAB/synack.err"
copy "a new connection to the client" c1 $(inner4) lan
mss() { sed -n 's/.*mss \([0-9]*\).*/\1/p' "$LAB/synack.txt" | head -n 1; }
within 2 eval '[ -n "$(mss)" ]'
ok "has its MSS clamped to the new MTU ($(mss))" test "$(mss)" -le $((narrow - 40))
is "nothing was malformed" "$(event_count protocol_error)" 0
lab_end
