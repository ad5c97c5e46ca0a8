#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 17-addressing.t -- addresses, names and the banner: what a client is given.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
banner='Welcome!\nOnly for "staff" & friends <x>: 100 % äöü €'
long=$(for i in $(seq 60); do printf 'Zeile %02d: für alle Fälle ...\\n' $i; done)
vpnd_up 'server { workers = 2 }
client_connection { dpd = 5  banner = "Welcome!\nOnly for \"staff\" & friends <x>: 100 % äöü €" }
addressing {
	subnet = "10.200.7.0/29"
	ipv6_prefix = "fd77:1::/64"
	dns = { "10.10.0.53", "10.10.0.54", "fd00:10::53" }
	suffix = "corp.example"
}' || bail "no vpnd"
for u in alice bob carol dave erin frank; do user_add $u secret-$u; done

ok "a client connects" client_up alice
like "R94 an address of the pool" "$(inner4)" '^10\.200\.7\.[1-6]$'
is "R94 a host mask" "$(client_env INTERNAL_IP4_NETMASK)" 255.255.255.255
like "R98 an IPv6 address of the prefix" "$(client_env INTERNAL_IP6_ADDRESS) $(client_env INTERNAL_IP6_NETMASK)" 'fd77:1:'
ok "R95 traffic, IPv4" pings
ok "R98 traffic, IPv6" pings c1 fd00:10::100
is "R101 DNS servers, in order" "$(client_env INTERNAL_IP4_DNS | sed 's/ fd00.*//')" "10.10.0.53 10.10.0.54"
is "R102 the suffix" "$(client_env CISCO_DEF_DOMAIN)" corp.example
is "R103 full tunnel: the suffix limits nothing" "$(client_env CISCO_SPLIT_DNS)" ""
got=$(sed -n '/^CISCO_BANNER=/,/^[A-Z_0-9]*=/p' $LAB/c1.env | sed '1s/^CISCO_BANNER=//; $d')
is "R104 R106 the banner arrives" "$got" "$(printf "${banner//%/%%}")"
is "R111 all traffic: no split headers" "$(client_env CISCO_SPLIT_INC)$(client_env CISCO_SPLIT_EXC)" ""

# Somebody else's address as source goes nowhere.
ip -n c1 addr add 10.200.7.77/32 dev vpn0
fails "a false inner source is dropped" in_client ping -c 2 -i 0.1 -W 1 -I 10.200.7.77 10.10.0.100
ok "the right one passes" pings
ok "another client reaches the first" client_up bob@c2
ok "... inside the tunnel" in_ns c2 ping -c 2 -i 0.1 -W 1 "$(inner4 c1)"

client_down c1
ok "a client that comes again gets an address" client_up alice

# A /29 has six; the gateway keeps one.
up=2
for u in carol dave erin frank; do
	client_up $u@c$((up + 1)) && up=$((up + 1)) || break
done
note "$up clients in a /29"
ok "R97 at least five fit" test $up -ge 5
user_add grace secret-grace; user_add heidi secret-heidi
client_try 15 grace@c8
ok "R97 the pool is used up: refused" client_gone c8
ok "R97 with a reason" client_log_has 'address|pool' c8
ok "R97 which is an event" event_seen pool_exhausted
ok "R97 the others do not notice" pings c2
ok "R97 a place becomes free" client_down c2
ok "R97 and is used" client_up grace@c8
for i in 1 3 4 5 6 7 8; do client_down c$i; done
within 5 sessions_are 0
like "R104 the banner is also at the end of the login" "$(raw_login alice secret-alice)" '<banner>Welcome!'

ok "R105 reload: a blank banner, another suffix" vpnd_reload 'server { workers = 2 }
client_connection { dpd = 5  banner = "" }
addressing { subnet = "10.200.7.0/29"  ipv6_prefix = "fd77:1::/64"  suffix = "other.example"  client_bypass = true
	routing = "include"  destinations = { "10.10.0.0/24" } dns = { "10.10.0.53" } }'
ok "R105 connects" client_up alice
is "R105 no banner" "$(client_env CISCO_BANNER)" ""
is "R102 the new suffix" "$(client_env CISCO_DEF_DOMAIN)" other.example
like "R103 split tunnel: the suffix is limited to it" "$(client_env CISCO_SPLIT_DNS)" 'other\.example'
client_down
ok "the prefix goes away with a restart" vpnd_stop
ok "... which comes up" vpnd_up "$(sed 's/ipv6_prefix = "[^"]*"//' $LAB/tandem.conf)"
ok "R100 connects" client_up alice
is "R100 no IPv6 address" "$(client_env INTERNAL_IP6_ADDRESS)" ""
is "R100 the bypass header" "$(header X-CSTP-Client-Bypass-Protocol)" true
client_down

ok "R106 a long banner" vpnd_reload "server { workers = 2 } client_connection { banner = \"$long\" }
addressing { subnet = \"10.200.7.0/29\" }"
ok "R106 connects" client_up alice
got=$(sed -n '/^CISCO_BANNER=/,/^[A-Z_0-9]*=/p' $LAB/c1.env | sed '1s/^CISCO_BANNER=//; $d')
is "R106 60 lines arrive unchanged" "$got" "$(printf "$long")"
client_down
