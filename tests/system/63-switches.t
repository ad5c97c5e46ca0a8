#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 63-switches.t -- the service switched by one command, all or nothing; which uplinks
# carry it; a passthrough node whose clients are not hidden; what is asked of us by
# modules that we do not serve.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up onearm || bail "no lab"
CONFIG='# Written by a person.
server {
	workers = 2	# two of them
}
client_connection { dpd = 5 }
addressing { ipv6_prefix = "fd77::/64" }'
vpnd_up "$CONFIG" 'node { mode = passthrough }' || bail "no vpnd"
user_add alice secret-a
running() { ctl config diff "$LAB/tandem.conf" --node "$LAB/node.conf"; }

ok "R176 a fresh installation connects, no key asked" client_up alice
t=$(lab_now_ms)
ok "R11 vpnctl set server.enabled=false" ctl set server.enabled=false
refused() { ! in_client timeout 2 bash -c "exec 3<> /dev/tcp/$SERVER/$PORT" 2> /dev/null; }
ok "R11 TCP is refused" within 2 refused
ok "R11 within two seconds" test $(($(lab_now_ms) - t)) -lt 2000
ok "R11 the session ends" within 5 client_gone c1
ok "R11 and its client shows why" client_log_has 'Service disabled'
ok "R11 one event with a reason" within 3 event_seen client_disconnected '.user == "alice" and .reason == "shutdown"'
is "R11 the status says so" "$(ctl -j status | jq .enabled)" false
ok "R11 true brings it back" ctl set server.enabled=true
ok "R11 a client connects" client_up alice
is "the file has the setting, and is otherwise as it was" "$(cat $LAB/tandem.conf)" \
	"${CONFIG/of them/of them
	enabled = true}"
client_down

before=$(cat $LAB/tandem.conf)
for bad in server.port=0 server.enabled=perhaps addressing.routing=include nothing.here=1 \
	server.enabled "addressing.domains=*.cisco.com" server.workers=3; do
	fails "$bad is refused" ctl set "$bad"
	is "... and the file is as it was" "$(cat $LAB/tandem.conf)" "$before"
done
like "no difference to what runs" "$(running)" 'no difference'
fails "one bad of two: none is taken" ctl set authentication.max_attempts=4 server.port=0
is "... and the file is as it was" "$(cat $LAB/tandem.conf)" "$before"
ok "what belongs together is set together" ctl set addressing.routing=include \
	addressing.destinations=10.10.0.0/24,10.20.0.0/16
ok "connects" client_up alice
is "and has both" "$(client_env CISCO_SPLIT_INC)" 2
client_down
ok "a list that is there is replaced" ctl set addressing.destinations=10.10.0.0/24
like "by the new one" "$(cat $LAB/tandem.conf)" 'destinations = \{ "10\.10\.0\.0/24" \}'
like "explain names what can be set" "$(ctl explain)" 'server\.enabled '

# One-armed, the upstream router knows the way: nobody is hidden.
ok "R21 passthrough: connects" client_up alice
ok "R21 passthrough: DTLS" within 10 has_dtls
ok "R21 passthrough: the LAN is reached" pings
in_lan timeout 10 socat TCP-LISTEN:7000,reuseaddr,pf=ip4 SYSTEM:'echo $SOCAT_PEERADDR' &
within 3 in_lan sh -c 'ss -Hltn "sport = :7000" | grep -q .'
is "R21 passthrough: it sees the client's own address" \
	"$(in_client timeout 3 socat -u TCP:10.10.0.100:7000 - 2> /dev/null)" "$(inner4)"
ok "R21 passthrough: and reaches it" in_lan ping -c 2 -i 0.1 -W 1 "$(inner4)"

for path in /+CSCOE+/dart /CACHE/stc/1/binaries/update.txt /umbrella /+CSCOE+/umbrella.json /+CSCOT+/oem \
	/CACHE/sdesktop/install/binaries/sfinst /+CSCOE+/posture.xml /dap /scep; do
	code=$(https_code "$path"); n=$(https "$path" | wc -c)
	ok "R22 $path: 404, or nothing of use ($code, $n bytes)" test $code = 404 -o $n -lt 200
done
ok "R22 the session is unaffected" pings
is "R22 no error event" "$(event_count protocol_error)" 0
client_down

check() { # NODECONFIG
	echo "$CONFIG" > $LAB/check.conf; echo "$1" > $LAB/check-node.conf
	ctl config check $LAB/check.conf --node $LAB/check-node.conf 2>&1
}
out=$(check 'wan WAN1 { interface = "wan0" nat = false }'); rc=$?
ok "R15 no-NAT and the service on one uplink: refused" test $rc != 0
like "R15 naming the uplink" "$out" 'wan\.WAN1\.nat: uplink "WAN1" has the service and no-NAT'
out=$(check 'wan WAN1 { interface = "wan0" }
wan WAN2 { interface = "wan1" service = false nat = false }'); rc=$?
is "R15 on different uplinks: passes" $rc 0
out=$(check 'node { mode = passthrough }
wan WAN1 { interface = "wan0" nat = false }'); rc=$?
is "R15 R21 a passthrough node translates nothing anyway" $rc 0

# A second uplink by a mobile network: it is up, and never listens.
ip -n wan link add up2 type veth peer name wwan0 netns gw
ip -n wan addr add 192.0.4.1/24 dev up2; ip -n wan link set up2 up
ip -n gw addr add 192.0.4.10/24 dev wwan0; ip -n gw link set wwan0 up
vpnd_stop
out=$(check 'wan wan1 { interface = "wan0" }
wan wan2 { interface = "wwan0" type = cellular }'); rc=$?
is "R14 a cellular uplink: passes" $rc 0
like "R14 saying that it does not serve" "$out" 'wan2.*a cellular uplink never carries the service'
out=$(check 'wan wan1 { interface = "wan0" }
wan wan2 { interface = "wwan0" type = cellular service = true }'); rc=$?
ok "R14 with the service switched on: refused" test $rc != 0
ok "R14 it starts" vpnd_up "$CONFIG" 'wan wan1 { interface = "wan0" }
wan wan2 { interface = "wwan0" type = cellular }'
is "R14 no listener on the cellular uplink" "$(ctl -j status | jq -r '.listeners[].interface' | sort -u)" wan0
fails "R13 R14 nobody is served there" in_wan curl -sk --max-time 2 https://192.0.4.10/
like "R13 the WAN side answers" "$(in_wan curl -sk -o /dev/null -w '%{http_code}' --max-time 3 https://$SERVER/)" 200
