#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 28-bandwidth.t -- what each session may send and receive: within 5 %, by DTLS and by
# TLS, both ways, changed while it runs, and one session's limit is not another's.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
config() { echo "server { workers = 2 }
client_connection { dpd = 30 bandwidth_up = $1 bandwidth_down = $2 }"; }
vpnd_up "$(config 8000 16000)" || bail "no vpnd"
user_add alice secret-a
user_add bob secret-b
for p in 5301 5302; do bg_ns lan timeout 200 iperf3 -s -p $p --logfile "$LAB/iperf.$p"; done
within 5 listens lan 5302

# Inner bytes a second: the receiver's TCP payload, and the packets' headers (timestamps
# make them 52 of 1434).
rate() { # NS PORT [-R]
	local ns=$1 p=$2
	shift 2
	in_ns $ns timeout 30 iperf3 -c 10.10.0.100 -p $p -t 4 -O 1 -C cubic -J "$@" 2> /dev/null |
		jq -r '.end.sum_received.bits_per_second // 0' | awk '{ printf "%d", $1 * 1434 / 1382 / 1000 }'
}
near() { # KBIT WANTED: within 5 %
	awk -v got=$1 -v want=$2 'BEGIN { exit !(got > want * 0.95 && got < want * 1.05) }'
}
# A machine that is busy with something else may give less than the limit, so a lower
# figure counts at the third try only; a higher one never passes.
settled() { # KBIT NS PORT [-R]
	local want=$1 got try
	shift
	for try in 1 2 3; do
		got=$(rate "$@")
		[ "$got" -le $((want * 95 / 100)) ] || break
	done
	echo $got
}
both() { # WHAT UP DOWN
	local up down
	up=$(settled $2 c1 5301) down=$(settled $3 c1 5301 -R)
	ok "$1: $2 kbit/s up within 5 % ($up)" near $up $2
	ok "$1: $3 kbit/s down within 5 % ($down)" near $down $3
}

ok "a client with DTLS" client_up alice
within 10 has_dtls
both DTLS 8000 16000

ok "another client" client_up bob@c2
within 10 has_dtls c2
for try in 1 2 3; do
	rate c2 5302 -R > "$LAB/bob" & other=$!
	alone=$(rate c1 5301 -R)
	wait $other
	[ $alone -le 15200 ] || [ $(cat "$LAB/bob") -le 15200 ] || break
done
ok "each session has its own ($alone, $(cat "$LAB/bob"))" \
	eval "near $alone 16000 && near $(cat "$LAB/bob") 16000"
client_down c2

vpnd_reload "$(config 20000 4000)"
both "after a reload" 20000 4000
vpnd_reload "$(config 0 0)"
free=$(rate c1 5301 -R)
ok "no limit any more ($free kbit/s)" test "$free" -gt 40000
client_down

vpnd_reload "$(config 10000 10000)"
ok "TLS alone" client_up alice --no-dtls
both TLS 10000 10000
lab_end
