#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 83-pair-setup.t -- vpnctl node setup and join write what two machines need; a string
# that is wrong, cut or for somebody else is refused with one clear error
. "$(dirname "$0")/../lib/pair.sh"
plan 37

V=$TANDEM_BIN/vpnctl A="$LAB/ra" B="$LAB/rb"
setup() { "$V" node setup -q --root "$A" "$@"; }

# Files below --root: no interface needs to be here.
STRING=$(setup "${PAIR_ANSWERS[@]}")
like "setup gives a join string" "$STRING" '^TANDEM1-[A-Za-z0-9_-]+$'
ok "the spare joins" "$V" node join "$STRING" --root "$B"
for f in tandem/pair.key corosync/authkey; do
	ok "both have the same $f" cmp "$A/etc/$f" "$B/etc/$f"
	is "nobody else reads it" "$(stat -c %a "$A/etc/$f" | tail -c 3)" 00
done
ok "and the same corosync.conf" cmp "$A/etc/corosync/corosync.conf" "$B/etc/corosync/corosync.conf"
like "hasync: a is the primary" "$(cat "$A/etc/tandem/hasync.conf")" 'role = "primary"'
like "b the spare" "$(cat "$B/etc/tandem/hasync.conf")" 'node = "b".role = "spare".peer = "a"'
like "keepalived prefers a" "$(cat "$A/etc/keepalived/keepalived.conf")" 'priority 201'
like "and b its own addresses" "$(cat "$B/etc/keepalived/keepalived.conf")" 'unicast_src_ip 192.0.2.12.  unicast_peer \{.    192.0.2.11'

before=$(cd "$A" && find . -type f -exec sha256sum {} + | sort)
is "setup again: the same string" "$(setup)" "$STRING"
is "and the same files" "$(cd "$A" && find . -type f -exec sha256sum {} + | sort)" "$before"
setup --advert-ms 200 > /dev/null
like "one answer is changed alone" "$(cat "$A/etc/keepalived/keepalived.conf")" 'advert_int 0.2'
is "the keys stay" "$(sha256sum < "$A/etc/tandem/pair.key")" "$(sha256sum < "$B/etc/tandem/pair.key")"
echo '# mine' > "$A/etc/keepalived/keepalived.conf"
setup > /dev/null
is "what somebody wrote is kept beside" "$(cat "$A/etc/keepalived/keepalived.conf.old")" '# mine'

P=$("$V" node setup --print --root "$LAB/rp" "${PAIR_ANSWERS[@]}")
like "--print shows the files" "$P" '==> .*/etc/keepalived/keepalived.conf <=='
unlike "not the keys" "$P" "TANDEM1-"
fails "and writes nothing" test -e "$LAB/rp"

refused() { # NAME RE ARGS...
	local name=$1 re=$2 rc; shift 2
	"$V" "$@" > /dev/null 2> "$LAB/err" < /dev/null; rc=$?
	is "$name" "$([ $rc != 0 ] && grep -cE "$re" "$LAB/err")" 1
}
refused "no join string" 'no join string' node join hello --root "$LAB/r1"
refused "a string cut short" 'incomplete or mistyped' node join "${STRING:0:300}" --root "$LAB/r1"
refused "a string with one letter changed" 'incomplete or mistyped|no join string' \
	node join "${STRING:0:100}$([ "${STRING:100:1}" = A ] && echo B || echo A)${STRING:101}" --root "$LAB/r1"
refused "a string of another version" 'another version' node join "TANDEM2-${STRING#*-}" --root "$LAB/r1"
fails "nothing was written" test -e "$LAB/r1"
refused "join on the primary itself" 'that made this string' node join "$STRING" --root "$A"
refused "setup on the spare" 'is the spare of a' node setup --root "$B"
refused "no answers and nobody to ask" 'answers are needed' node setup --root "$LAB/r1"
refused "two nodes of one name" "both nodes are called 'a'" node setup --root "$LAB/r1" "${PAIR_ANSWERS[@]}" --spare a
refused "an address that is none" 'two IPv4 addresses' node setup --root "$LAB/r1" "${PAIR_ANSWERS[@]}" --heartbeat 10.1
refused "no uplink" 'uplink is needed' node setup --root "$LAB/r1" --primary a --spare b --heartbeat 10.0.0.1,10.0.0.2
refused "on this machine its interfaces must exist" 'no interface wan1' node setup "${PAIR_ANSWERS[@]}"
ok "the string from standard input" eval '"$V" node join - --root "$LAB/r2" <<< "$STRING"'

# The real programs accept the files.
ok "a site is built with them" eval 'pair_net && node_boot a && node_boot b && pair_configure'
for n in a b; do
	ok "$n: keepalived likes its file" in_node $n keepalived -t -P
	ok "$n: vpnd and hasync like theirs" eval "in_node $n '$TANDEM_BIN/vpnd' -t && in_node $n '$TANDEM_BIN/hasync' -t"
done
