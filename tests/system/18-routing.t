#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 18-routing.t -- which traffic goes into the tunnel, and the texts that refuse a list
# which says nothing.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }
client_connection { dpd = 5 }
addressing {
	ipv6_prefix = "fd77::/64"
	routing = "include"
	destinations = { "10.10.0.0/24", "10.99.0.0/16", "fd00:10::/64" }
	suffix = "corp.example"
}'
with() { sed -n "/^addressing/q;p" <<< "$CONFIG"; echo "addressing { ipv6_prefix = \"fd77::/64\" $1 }"; }
vpnd_up "$CONFIG" || bail "no vpnd"
user_add alice secret-a

listed() { # VARIABLE: its networks, sorted (openconnect turns their order round)
	local i n; n=$(client_env $1)
	for ((i = 0; i < ${n:-0}; i++)); do
		echo "$(client_env $1_${i}_ADDR)/$(client_env $1_${i}_MASK)"
	done | sort | tr '\n' ' '
}
ok "R113 include: connects" client_up alice
is "R113 two IPv4 destinations" "$(client_env CISCO_SPLIT_INC)" 2
is "R113 these" "$(listed CISCO_SPLIT_INC)" "10.10.0.0/255.255.255.0 10.99.0.0/255.255.0.0 "
is "R113 and one of IPv6" "$(client_env CISCO_IPV6_SPLIT_INC_0_ADDR)" fd00:10::
ok "R113 what is included goes in" pings
ok "R113 ... IPv6, too" pings c1 fd00:10::100
like "R113 what is not stays outside" "$(in_client ip route get 192.0.2.1)" 'dev eth0'
client_down

ok "R112 exclude: reload" vpnd_reload "$(with 'routing = "exclude" destinations = { "192.0.2.0/24", "198.51.100.0/24" }')"
ok "R112 connects" client_up alice
is "R112 two destinations" "$(client_env CISCO_SPLIT_EXC)" 2
is "R112 these" "$(listed CISCO_SPLIT_EXC)" "192.0.2.0/255.255.255.0 198.51.100.0/255.255.255.0 "
is "R112 none included" "$(client_env CISCO_SPLIT_INC)" ""
ok "R112 the rest goes in" pings
client_down
ok "R116 exclude on Android: a full tunnel" client_up alice --os=android
is "R116 nothing excluded" "$(client_env CISCO_SPLIT_EXC)" ""
ok "R116 traffic" pings
ok "R116 which is an event" eval 'ctl -j events --last 100 | grep -qi android'
client_down

ok "R123 the local LAN: 0.0.0.0/32" vpnd_reload "$(with 'routing = "exclude" destinations = { "192.0.2.0/24", "0.0.0.0/32" }')"
ok "R123 connects" client_up alice
is "R123 the client has it" "$(listed CISCO_SPLIT_EXC)" "0.0.0.0/255.255.255.255 192.0.2.0/255.255.255.0 "
is "R123 it comes first in the answer" "$(header X-CSTP-Split-Exclude)" 0.0.0.0/255.255.255.255
client_down
check() { # CONFIG: what `vpnctl config check` says
	echo "$1" > $LAB/check.conf
	ctl config check "$LAB/check.conf"
}
out=$(check "$(with 'routing = "exclude" destinations = { "0.0.0.0/32" }')" 2>&1); rc=$?
is "R124 the profile lacks the flag: accepted" "$rc" 0
like "R124 ... with a warning" "$out" 'warning.*local_lan_access|local_lan_access.*warning'
out=$(check "$(with 'routing = "exclude" destinations = { "0.0.0.0/32" }' | sed 's/dpd = 5/dpd = 5 local_lan_access = true/')" 2>&1)
unlike "R124 with the flag: no warning" "$out" 'warning.*local_lan'

text='The AnyConnect traffic destination (Client Routing) must contain at least one valid subnet in CIDR format.'
for mode in include exclude; do
	out=$(check "$(with "routing = \"$mode\"")" 2>&1); rc=$?
	ok "R114 $mode, empty: refused" test $rc != 0
	ok "R114 $mode, empty: exactly this text" eval 'grep -qF "$text" <<< "$out"'
	for bad in 300.1.1.0/24 10.0.0.0/33 10.0.0.0; do
		out=$(check "$(with "routing = \"$mode\" destinations = { \"$bad\" }")" 2>&1); rc=$?
		ok "R115 $mode, $bad: refused" test $rc != 0
		ok "R115 $mode, $bad: the same text" eval 'grep -qF "$text" <<< "$out"'
	done
	fails "R114 $mode: not by reload either" vpnd_reload "$(with "routing = \"$mode\"")"
done
ok "R114 the old configuration stays" client_up alice
like "R114 ... and applies" "$(listed CISCO_SPLIT_EXC)" '0\.0\.0\.0/'
client_down

for p in "8 hours:28800" "1 day:86400" "7 days:604800" "256 hours:921600" "25:25"; do
	ok "R125 R126 session_timeout = ${p%:*}" vpnd_reload "$(with '') authentication { session_timeout = \"${p%:*}\" }"
	ok "R125 connects" client_up alice
	is "R125 X-CSTP-Session-Timeout" "$(header X-CSTP-Session-Timeout)" "${p#*:}"
	client_down
done
for bad in "257 hours" 0 -1 soon; do
	fails "R126 session_timeout = $bad is refused" check "authentication { session_timeout = \"$bad\" }"
done
fails "R96 a second pool is refused" check 'addressing { subnet = "10.1.0.0/24" subnet = "10.2.0.0/24" }
group x { subnet = "10.3.0.0/24" }'
fails "R96 a VLAN in a group is refused" check 'group x { vlan = 7 }'
like "vpnctl config explain lists the options" "$(ctl config explain)" 'authentication\.session_timeout'
