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
