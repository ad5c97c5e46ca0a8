#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 31-plain-path.t -- on a kernel without offloads everything works packet by packet, and
# the status says so.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
lib=$LAB_ROOT/tests/lib
CONFIG='server { workers = 2 }
client_connection { dpd = 30 }
addressing { ipv6_prefix = "fd77::/64" }'
offload() { ctl -j status | jq -r .offload; }
vpnd_up "$CONFIG" || bail "no vpnd"
like "this kernel has offloads, and the status names them" "$(offload)" '^tso( uso)?$'
like "to people, too" "$(ctl status)" 'tso'
vpnd_stop
vpnd_start() {
	ip netns exec gw "$lib/without-offload" "$TANDEM_BIN/vpnd" $(vpnd_args) >> "$LAB/vpnd.log" 2>&1 < /dev/null &
	VPND_PID=$!
}
ok "it starts without" vpnd_up "$CONFIG"
is "and says that the plain path runs" "$(offload)" plain
like "to people, too" "$(ctl status)" 'plain'
user_add alice secret-a
head -c 8000000 /dev/urandom > "$LAB/blob"
port=7300
copy() { # NAME, NAMESPACE ADDRESS of the receiver, NAMESPACE of the sender
	local to=$3 v=4
	[[ $to != *:* ]] || { to="[$to]"; v=6; }
	port=$((port + 1))
	bg_ns $2 timeout 30 socat -u TCP-LISTEN:$port,reuseaddr,pf=ip$v OPEN:"$LAB/got",creat,trunc; local taker=$BG
	within 5 listens $2 $port
	in_ns $4 timeout 30 socat -u OPEN:"$LAB/blob" TCP:$to:$port
	wait $taker
	is "$1" "$(sha256sum < "$LAB/got")" "$(sha256sum < "$LAB/blob")"
}
all_ways() { # NAME
	copy "$1: IPv4 up" lan 10.10.0.100 c1
	copy "$1: IPv4 down" c1 $(inner4) lan
	copy "$1: IPv6 up" lan fd00:10::100 c1
	copy "$1: IPv6 down" c1 $(inner6) lan
}

ok "a client with DTLS" client_up alice
within 10 has_dtls
all_ways DTLS
for way in "lan 10.10.0.100 c1" "c1 $(inner4) lan"; do
	read -r to at from <<< "$way"
	port=$((port + 1))
	bg_ns $to timeout 20 "$lib/datagrams" take $at $port 1000 > "$LAB/took"; taker=$BG
	within 5 listens $to $port u
	in_ns $from "$lib/datagrams" send $at $port 1000 1371
	wait $taker
	like "datagrams to $to" "$(cat "$LAB/took")" '^came (9[5-9][0-9]|1000) twice 0 wrong 0 '
done
client_down
ok "TLS alone" client_up alice --no-dtls
all_ways TLS
is "nothing was malformed" "$(event_count protocol_error)" 0
lab_end
