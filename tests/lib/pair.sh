# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# pair.sh -- sourced first thing by the system tests of the pair: deploy/lab/pair.sh,
# which describes itself, and what only tests need.
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lab/pair.sh"

# Nothing moves for so long: NODE holds all, the other none.
stays() { # NODE SECONDS
	local end=$(($(lab_now_ms) + ${2%.*} * 1000))
	while [ "$(lab_now_ms)" -lt $end ]; do
		holds $1 && holds_none $(other $1) || return 1
		sleep 0.05
	done
}
moved_to() { is_active $1 && holds_none $(other $1); }
all_up() { local n; for n; do client_is_up $n || return 1; done; }
# Who holds WAN1's address, sampled; the longest times of both and of nobody, in ms.
holders_start() {
	(while :; do
		o=
		for n in a b; do ip -n $n -br -4 addr show wan1 2> /dev/null | grep -qF 192.0.2.10/24 && o=$o$n; done
		echo $EPOCHREALTIME ${o:-none}
	done) > "$LAB/holders" 2> /dev/null < /dev/null &
	pair_holders=$!
}
holders_stop() { kill $pair_holders; wait $pair_holders 2> /dev/null; }
holders_longest() { # ab|none
	awk -v what=$1 '$2 == what { if (!t) t = $1; if ($1 - t > m) m = $1 - t; next } { t = 0 }
		END { printf "%d\n", m * 1000 + 0.5 }' "$LAB/holders"
}
below() { [ "$1" -le "$2" ] || { echo "$1 is above $2"; return 1; }; }
