#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 10-service.t -- without configuration the service is there: a tunnel with both
# channels, on the WAN side only, and nothing else is offered to anyone.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"

# R8: an IPsec service was there before us.
for p in 500 4500 1701; do
	in_gateway socat -u UDP4-RECV:$p /dev/null & in_gateway socat -u UDP6-RECV:$p,ipv6only /dev/null &
done
T0=$(lab_now_ms)
ok "vpnd starts without any configuration" vpnd_up ''
PIN=$(server_pin)
like "R38 reachable with a temporary certificate at once" "$PIN" '^pin-sha256:.{40,}'
ok "R38 ... within 5 s" test $(($(lab_now_ms) - T0)) -lt 5000
cert=$(in_client openssl s_client -connect $SERVER:443 < /dev/null 2> /dev/null | openssl x509 -noout -subject -issuer)
is "R35 R38 it is self-signed" "$(sed -n 's/^issuer=//p' <<< "$cert")" "$(sed -n 's/^subject=//p' <<< "$cert")"
ok "it says which interface it took" log_has wan0
ok "it says how to add a user" log_has 'vpnctl .*user add'
ok "a user is added" user_add alice 'correct horse'

ok "R1 R8 a stock openconnect logs in" client_up alice
ok "R1 CSTP is connected" client_log_has 'CSTP connected'
ok "R1 and a DTLS session established" within 10 has_dtls
ok "R6 it is DTLS 1.2" client_log_has 'Established DTLS.*DTLS1\.2'
ok "traffic reaches the LAN" pings
before=$(in_client ss -Htni "dport = :443" | grep -o 'bytes_sent:[0-9]*' | head -n1 | cut -d: -f2)
ok "R1 1000 pings pass" in_client ping -q -c 1000 -i 0.002 -W 2 10.10.0.100
after=$(in_client ss -Htni "dport = :443" | grep -o 'bytes_sent:[0-9]*' | head -n1 | cut -d: -f2)
ok "R1 ... and not through TCP" test $((after - before)) -lt 2000
is "R94 the mask is a host's" "$(client_env INTERNAL_IP4_NETMASK)" 255.255.255.255
like "R94 the address is from the pool" "$(inner4)" '^10\.200\.'
is "R94 R95 the session list has the same address" "$(session_get alice addr4)" "$(inner4)"
ok "the LAN host reaches the client" in_lan ping -c 2 -i 0.1 -W 1 "$(inner4)"

ok "R3 TLS 1.2 is accepted" tls_handshake -tls1_2
ok "R4 TLS 1.3 is accepted" tls_handshake -tls1_3
fails "R5 TLS 1.1 is refused" tls_handshake -tls1_1 -cipher ALL@SECLEVEL=0
fails "R5 TLS 1.0 is refused" tls_handshake -tls1 -cipher ALL@SECLEVEL=0
ok "R5 which is an event" within 2 event_seen tls_reject

udp=$(in_gateway ss -Hlunp)
unlike "R7 UDP 500 and 4500 are not ours" "$(grep vpnd <<< "$udp")" ':(500|4500|1701) '
like "R12 UDP 443 is ours" "$(grep vpnd <<< "$udp")" ':443 '
fails "R13 the LAN side is refused, IPv4" in_lan curl -sk --max-time 2 https://10.10.0.1/
fails "R13 the LAN side is refused, IPv6" in_lan curl -sk --max-time 2 'https://[fd00:10::1]/'
fails "R13 ... the WAN address from the LAN, too" in_lan curl -sk --max-time 2 https://192.0.2.10/
ok "R13 the WAN side answers, IPv6" in_client curl -sk --max-time 5 'https://[2001:db8:1::10]/'

form=$(xml_init | xml_post /)
like "a login begins with a form" "$form" 'type="auth-request"'
unlike "R23 without a host scan" "$form" 'csd|host-scan'
page=$(https / -i)
like "R24 a browser gets a page" "$page" '200 OK'
unlike "R24 no cookie, no download" "${page,,}" 'set-cookie|\.exe|\.msi|\.pkg|\.dmg|<script'
like "R25 no newer client" "$(https /1/binaries/update.txt)" '^0,0,0000'
like "R25 an empty manifest" "$(https /1/VPNManifest.xml)" '<vpn rev="1.0">[[:space:]]*</vpn>'
is "R25 no binary" "$(https_code /1/binaries/vpnsetup.exe)" 404
e=$(event_count protocol_error)
is "R22 other modules' paths are not known" "$(https_code /CACHE/stc/dart/profile.xml)" 404
is "R22 and are no error" "$(event_count protocol_error)" "$e"
like "an unknown method is refused" "$(https_code / -X BREW)" '^(405|501)$'
ok "the client still works" pings

client_down
ok "a logout ends the session" within 5 sessions_are 0
is "R157 one client_connected" "$(event_count client_connected)" 1
is "R157 one client_disconnected with its reason" \
	"$(event_count client_disconnected '.reason == "client_logout" and .user == "alice" and .rx_bytes > 0')" 1
ok "vpnd stops at SIGTERM" vpnd_stop
is "R11 ... its TUN devices are gone" "$(in_gateway ip -br link | grep -c '^vpn')" 0
is "... and its nft table" "$(in_gateway nft list tables)" ""
