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
# Who holds the virtual addresses, by what the two kernels say and when.
holders_start() {
	local n
	pair_holders=()
	for n in a b; do
		ip -n $n -o addr show > "$LAB/holders.$n"
		ip -n $n -ts -o monitor address >> "$LAB/holders.$n" 2> /dev/null < /dev/null &
		pair_holders+=($!)
		disown
	done
	sleep 0.1
}
# The longest time that two held an address, or nobody did, and the moves of WAN1's.
holders_stop() { # in HELD_BOTH, HELD_NONE (ms), HELD_MOVES
	sleep 0.1
	kill "${pair_holders[@]}"
	read -r _ HELD_BOTH _ HELD_NONE _ HELD_MOVES < <("$PAIR_ROOT/tests/lib/holders" "$LAB/holders.a" "$LAB/holders.b")
	note "two held an address for $HELD_BOTH ms at most, nobody for $HELD_NONE ms, $HELD_MOVES moves"
}
below() { [ "$1" -le "$2" ] || { echo "$1 is above $2"; return 1; }; }
