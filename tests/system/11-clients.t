#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 11-clients.t -- every kind of client: platforms, TLS versions, DTLS modes, IPv4 and
# IPv6 outside, old versions.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 5  dpd_mobile = 60 }
addressing { ipv6_prefix = "fd77::/64" }' || bail "no vpnd"
user_add alice secret-a || bail "no user"
tls12=--gnutls-priority=NORMAL:-VERS-ALL:+VERS-TLS1.2
tls13=--gnutls-priority=NORMAL:-VERS-ALL:+VERS-TLS1.3

for os in win mac-intel linux-64 android apple-ios; do
	ok "R10 --os=$os connects" client_up alice --os=$os
	ok "R10 $os: DTLS" within 10 has_dtls
	ok "R10 $os: traffic" pings
	shown=${os%-64}; shown=${shown%-intel}
	is "R10 $os: the session list shows the platform" "$(session_get alice platform)" "${shown#apple-}"
	case $os in
	android | apple-ios) want=60 ;;
	*) want=5 ;;
	esac
	is "$os: DPD is $want s" "$(header X-CSTP-DPD)" $want
	client_down
	ok "$os: and leaves" within 5 sessions_are 0
done

try() { # NAME DTLS-PATTERN OPTIONS...
	local name=$1 dtls=$2; shift 2
	ok "$name: connects" client_up alice "$@"
	ok "$name: DTLS $dtls" within 10 client_log_has "Established DTLS.*$dtls"
	ok "$name: IPv4 inside" pings
	ok "R98 $name: IPv6 inside" pings c1 fd00:10::100
	client_down
}
try "R3 TLS 1.2" "DTLS1.2" $tls12
try "R4 TLS 1.3" "DTLS1.2" $tls13
try "resumption, AES-256" "RSA.-.AES-256-GCM" --dtls-ciphers=OC-DTLS1_2-AES256-GCM --dtls12-ciphers=
try "resumption, AES-128" "RSA.-.AES-128-GCM" --dtls-ciphers=OC-DTLS1_2-AES128-GCM --dtls12-ciphers=
try "PSK" "PSK.-.AES-256-GCM" --dtls-ciphers=PSK-NEGOTIATE --dtls12-ciphers=
try "PSK, TLS 1.2" "PSK" --dtls-ciphers=PSK-NEGOTIATE --dtls12-ciphers= $tls12
ok "resumption is preferred: connects" client_up alice
within 10 has_dtls
unlike "resumption is preferred: no PSK" "$(grep 'Established DTLS' $LAB/c1.log)" PSK
mtu=$(client_env INTERNAL_IP4_MTU)
ok "the tunnel's MTU is sensible ($mtu)" test "$mtu" -ge 1380
ok "a packet as big as that passes" in_client ping -c 2 -i 0.1 -W 1 -M do -s $((mtu - 28)) 10.10.0.100
client_down

SERVER='[2001:db8:1::10]'
try "R99 IPv6 outside" "DTLS1.2"
try "R99 IPv6 outside, TLS 1.2, PSK" "PSK" $tls12 --dtls-ciphers=PSK-NEGOTIATE --dtls12-ciphers=
SERVER=192.0.2.10

ok "R2 --no-dtls connects" client_up alice --no-dtls
ok "R2 --no-dtls: traffic" pings
ok "R2 --no-dtls: big packets" in_client ping -c 2 -i 0.1 -W 1 -s 1300 10.10.0.100
client_down
ok "R98 R100 a client without IPv6" client_up alice --disable-ipv6
is "R98 gets no IPv6 address" "$(client_env INTERNAL_IP6_ADDRESS)" ""
client_down

client_try 10 alice --useragent "AnyConnect Windows 4.7.00136" --version-string 4.7.00136
ok "R9 AnyConnect 4.7 is refused" client_gone
ok "R9 with a readable reason" client_log_has '4\.8'
ok "R9 AnyConnect 4.8 is accepted" client_up alice --useragent "AnyConnect Windows 4.8.00175" --version-string 4.8.00175
client_down

ok "two devices of one user" client_up alice
ok "... the second" client_up alice@c2
ok "... both work" pings c1
ok "... the other, too" pings c2
unlike "... with different addresses" "$(inner4 c1)" "^$(inner4 c2)$"
client_down c1; client_down c2
ok "everything has ended" within 5 sessions_are 0
