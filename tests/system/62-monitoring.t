#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 62-monitoring.t -- what an administrator sees: the client list, events under the names
# that tools search for, the certificate, where clients are to be found.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2  hostname = "vpn.example.com" session_limit = 3 }
client_connection { dpd = 5  download_url = "https://intranet.example/vpn?os=all" }
addressing { ipv6_prefix = "fd77::/64" routing = "include"
	destinations = { "10.10.0.0/24", "fd00:10::/64" } }'
vpnd_up "$CONFIG" 'node { name = gw1 }' || bail "no vpnd"
xyz=xyz.test@example.com
user_add alice secret-a; user_add bob secret-b; user_add $xyz secret-x
clients() { ctl -j clients "$@" | jq -c '.clients[]'; }
entry() { clients | jq -r "select(.user == \"$1\") | .$2"; }
count() { ctl -j clients "$@" | jq .count; }
mac_of() { # the first bytes of SHA-256, locally administered, unicast
	local h; h=$(printf %s "$1" | sha256sum)
	printf '%02x:%s:%s:%s:%s:%s' $((0x${h:0:2} & 0xfe | 2)) ${h:2:2} ${h:4:2} ${h:6:2} ${h:8:2} ${h:10:2}
}
once() { # NAME [CONDITION]: exactly one such event
	[ "$(event_count "$@")" = 1 ]
}

is "R152 nobody is connected" "$(count)" 0
ok "R149 alice connects" client_up alice --os=win
ok "R149 with DTLS" within 10 has_dtls
is "R150 the secured routes, IPv4" "$(client_env CISCO_SPLIT_INC_0_ADDR)/$(client_env CISCO_SPLIT_INC_0_MASKLEN)" 10.10.0.0/24
is "R150 and IPv6" "$(client_env CISCO_IPV6_SPLIT_INC_0_ADDR)" fd00:10::
is "R150 no others are excluded" "$(client_env CISCO_SPLIT_EXC)" ""
for h in X-CSTP-Version X-CSTP-Address X-CSTP-Netmask X-CSTP-MTU X-CSTP-DPD X-CSTP-Keepalive \
	X-CSTP-Session-Timeout X-CSTP-Session-Timeout-Remaining X-CSTP-Idle-Timeout \
	X-CSTP-Disconnected-Timeout X-CSTP-Tunnel-All-DNS X-CSTP-Client-Bypass-Protocol X-DTLS-Port; do
	like "R149 the client is told $h" "$(header $h)" .
done
before=$(entry alice rx_bytes)
in_client ping -q -c 20 -i 0.02 -s 1000 10.10.0.100 > /dev/null
grown() { [ "$(entry alice rx_bytes)" -ge $((before + 20000)) ] && [ "$(entry alice tx_bytes)" -ge 20000 ]; }
ok "R149 counters grow with the traffic" within 3 grown

is "R152 one client" "$(count)" 1
is "R152 marked as AnyConnect" "$(entry alice type)" AnyConnect
is "R152 found by the type" "$(count --type anyconnect)" 1
is "R152 no other type" "$(count --type ipsec)" 0
is "R152 platform" "$(entry alice platform)" win
like "R152 client version" "$(entry alice client_version)" '^[0-9]+\.[0-9]'
is "R152 inner address" "$(entry alice addr4)" "$(inner4)"
like "R152 inner IPv6 address" "$(entry alice addr6)" '^fd77::'
like "R152 outer address" "$(entry alice source)" '^203\.0\.113\.11:'
like "R152 TLS" "$(entry alice tls_version)" '^TLSv1\.[23]$'
is "R152 DTLS" "$(entry alice dtls)" true
is "R152 a policy, of which there is none yet" "$(entry alice policy)" ""
like "R152 as a table" "$(ctl clients)" 'alice +[0-9a-f:]{17} .*1 client'
ok "R152 bob connects" client_up bob@c2 --os=android --version-string 4.10.05095 --useragent 'AnyConnect Android 4.10.05095'
is "R152 with his client's version" "$(entry bob client_version)" 4.10.05095
is "R152 two clients" "$(count --type AnyConnect)" 2
is "R152 filter by user" "$(clients --user bob | jq -r .user)" bob
is "R152 filter by platform" "$(clients --platform android | jq -r .user)" bob
is "R152 as many as sessions" "$(ctl -j sessions | jq '.sessions | length')" 2
client_down c2
is "R152 one again" "$(count)" 1

# Two devices, one user.
ok "R153 R154 device A" client_up $xyz@c3 --local-hostname device-a
mac=$(entry $xyz mac)
is "R153 the MAC comes from the name" "$mac" "$(mac_of $xyz)"
ok "R154 device B" client_up $xyz@c4 --local-hostname device-b
is "R154 one entry for both" "$(clients | jq -r .user | grep -c xyz)" 1
is "R154 which says how many" "$(entry $xyz devices)" 2
is "R154 with the data of B" "$(entry $xyz device)/$(entry $xyz addr4)" "device-b/$(inner4 c4)"
is "R153 the same MAC" "$(entry $xyz mac)" "$mac"
client_try 15 bob@c2
ok "R158 the limit is reached" client_log_has 'session limit' c2
client_down c4
follows() { [ "$(entry $xyz device)/$(entry $xyz addr4)" = "device-a/$(inner4 c3)" ]; }
ok "R154 B goes: the entry follows A" within 3 follows
client_down c3
is "R154 A goes: it ends" "$(entry $xyz user)" ""
unlike "R153 another name, another MAC" "$(entry alice mac)" "$mac"
first=$((0x$(entry alice mac | cut -c 1-2)))
is "R153 unicast and locally administered" $((first & 3)) 2

# What a crash may lose is the last second of events.
ok "the events are on disk" within 3 grep -rq '"session_limit".*"bob"' $LAB/state

# One log-on, one log-off; what happens to us in between makes no more of them.
ok "R157 session dies" vpnd_kill9 session
back() { [ "$(ctl -j sessions | jq '[.sessions[] | select(.channel != "none")] | length')" = 1 ]; }
ok "R157 and has her back" within 10 back
client_signal USR2
again() { [ "$(client_log_count 'CSTP connected')" -ge 2 ]; }
ok "R157 she reconnects" within 10 again
ok "R157 and works" within 5 pings
addr=$(inner4)
client_down
ok "R157 she left" within 5 event_seen client_disconnected '.user == "alice"'
ok "R157 one VPN client connected" once client_connected '.user == "alice" and .title == "VPN client connected"'
ok "R157 with her addresses" once client_connected ".user == \"alice\" and .addr4 == \"$addr\" and (.source | startswith(\"203.0.113.11:\"))"
ok "R157 one VPN client disconnected" once client_disconnected '.user == "alice" and .title == "VPN client disconnected"'
ok "R157 with her addresses" once client_disconnected ".user == \"alice\" and .addr4 == \"$addr\" and (.source | startswith(\"203.0.113.11:\"))"
ok "R157 with duration, bytes and reason" once client_disconnected '.user == "alice" and .duration_s >= 1 and .rx_bytes >= 20000 and .tx_bytes >= 20000 and .reason == "client_logout"'
is "R157 the title finds it" "$(ctl -j events --filter 'VPN client disconnected' | jq '[.events[] | select(.user == "alice")] | length')" 1

raw_login alice wrong > /dev/null
syslog() { ctl -j events --last 1000 | jq "[.events[] | select(.syslog == \"$1\") | select($2)] | length"; }
is "R158 anyconnect_vpn_auth_success" "$(syslog anyconnect_vpn_auth_success '.user == "alice"')" 1
is "R158 anyconnect_vpn_auth_failure" "$(syslog anyconnect_vpn_auth_failure '.user == "alice"')" 1
is "R158 anyconnect_vpn_connect" "$(syslog anyconnect_vpn_connect '.user == "alice"')" 1
is "R158 anyconnect_vpn_disconnect" "$(syslog anyconnect_vpn_disconnect '.user == "alice"')" 1
is "R158 anyconnect_vpn_session_manager: the limit" "$(syslog anyconnect_vpn_session_manager '.event == "session_limit"')" 1
is "R158 anyconnect_vpn_general: the start" "$(syslog anyconnect_vpn_general '.event == "service_started"')" 1
for e in auth_success auth_failure connect disconnect session_manager general; do
	ok "R158 anyconnect_vpn_$e is in the log" log_has " anyconnect_vpn_$e event="
done
is "R156 AnyConnect: all of this service's events" "$(ctl -j events --filter AnyConnect --last 1000 | jq '.events | length')" \
	"$(ctl -j events --last 1000 | jq '.events | length')"
is "R156 and nothing else" "$(ctl -j events --filter AnyConnect --last 1000 | jq '[.events[] | select(.type != "AnyConnect")] | length')" 0
is "R156 another service has none" "$(ctl -j events --filter IPsec | jq '.events | length')" 0

is "R159 the client connection: hostname" "$(ctl -j status | jq -r .client_connection.hostname)" vpn.example.com
is "R159 port" "$(ctl -j status | jq -r .client_connection.port)" 443
is "R159 where the client is found" "$(ctl -j status | jq -r .client_connection.download_url)" 'https://intranet.example/vpn?os=all'
in_client openssl s_client -connect $SERVER:$PORT < /dev/null 2> /dev/null | openssl x509 > $LAB/seen.pem
live() { ctl -j status | jq -r .certificate.$1; }
seen() { openssl x509 -in $LAB/seen.pem -noout "$@" | sed 's/^[a-zA-Z0-9 ]*=//'; }
is "R161 the issuer" "$(live issuer)" "$(seen -issuer -nameopt RFC2253)"
is "R161 the subject" "$(live subject)" "$(seen -subject -nameopt RFC2253)"
is "R161 the end" "$(date -u -d "$(live not_after)" +%s)" "$(date -u -d "$(seen -enddate)" +%s)"
is "R161 the certificate itself" "$(live sha256)" "$(seen -fingerprint -sha256 | tr -d : | tr A-F a-f)"

# Another node knows nothing of this one and gives the same MAC.
vpnd_stop; rm -rf $LAB/state; PIN=
ok "R153 another node" vpnd_up "$CONFIG" 'node { name = gw2 }'
user_add $xyz secret-x
ok "R153 the user is there now" client_up $xyz@c3
is "R153 the same MAC" "$(entry $xyz mac)" "$mac"
client_down c3
