#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 70-acme.t -- a trusted certificate comes by itself from a real ACME server and is
# renewed, while a client stays connected; what has to be so before is said.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
lab_up || bail "no lab"
ca_keys && dns_up || bail "no name server"
# Half of the nonces are refused; certificates live for 24 seconds.
pebble_up PEBBLE_WFE_NONCEREJECT=50 PEBBLE_AUTHZREUSE=0 PEBBLE_CHAIN_LENGTH=2 \
	certificateValidityPeriod=24 || bail "no pebble"
pebble_root > $LAB/root.pem
hasync_up || bail "no hasync"
names='hostname = "vpn.test" backup_hostname = "vpn2.test" workers = 2'
config() { # LINES of section certificate
	echo "server { $names }
certificate {
directory = \"$ACME_DIR\"
ca_file = \"$LAB/trust.pem\"
$1
}"
}
shown() { in_client openssl s_client -connect $SERVER:443 -servername vpn.test -showcerts "$@" < /dev/null 2> /dev/null; }
issuer() { shown | openssl x509 -noout -issuer | sed 's/.*CN = //'; }
issued() { issuer | grep -q Pebble; }
serial_shown() { shown | openssl x509 -noout -serial; }

vpnd_up "server { workers = 2 }" || bail "no vpnd"
acmed_up || bail "no acmed"
like "R40 nobody trusts what is served at first" "$(shown -CAfile $LAB/root.pem)" 'self-signed certificate'
waits() { [[ $(acme_text) =~ $1 ]]; }
ok "without a hostname nothing is asked for, and it is said" within 3 waits '^waiting for server.hostname'
vpnd_reload "$(config)" > /dev/null
ok "R27 nor without dynamic DNS" within 3 waits '^waiting for a ddns section'
is "the authority was not asked" "$(grep -c 'POST /' $LAB/pebble.log)" 0
vpnd_reload "$(config 'without_ddns = true')" > /dev/null
ok "terms that are not agreed to are named" within 3 waits 'failed: .*terms of service, data:.*certificate.agree_tos'
vpnd_reload "$(config 'without_ddns = true
method = self-signed')" > /dev/null
ok "R69 with method self-signed it is off" within 3 waits '^off: certificate.method is self-signed'

user_add alice secret-a
client_up alice || bail "no client"
ping_start c1 10.10.0.100
from=$(lab_now_ms)
vpnd_reload "$(config 'without_ddns = true
agree_tos = true')" > /dev/null
ok "R39 R41 a trusted certificate is served after seconds, with half of the nonces refused" within 20 issued
note "from the wish to the served certificate: $(($(lab_now_ms) - from)) ms"
like "R39 status says what it has" "$(acme_text)" '^live, renewal at 20'
is "the event says so" "$(event_count cert_enrolled)" 1
like "R43 the name verifies, with the root alone (R46)" "$(shown -CAfile $LAB/root.pem -verify_hostname vpn.test)" 'Verify return code: 0'
like "the second name as well" "$(shown -CAfile $LAB/root.pem -verify_hostname vpn2.test)" 'Verify return code: 0'
like "R43 the address does not" "$(shown -CAfile $LAB/root.pem -verify_ip $SERVER)" 'IP address mismatch'
is "R46 the chain comes with it" "$(shown | grep -c 'BEGIN CERT')" 3
is "the key is for root and acmed alone" "$(stat -c %a $LAB/state/certs/live.pem $LAB/state/certs | tr '\n' ' ')" "600 700 "
unlike "no key in the store is to be read" "$(cat $LAB/state/cluster/* | tr -d '\0')" 'PRIVATE KEY'
unlike "nor in the log" "$(cat $LAB/acmed.log)" 'PRIVATE KEY'

two_thirds() { local a=$(acme_get live.not_before) b=$(acme_get live.not_after); echo $((a + (b - a) * 2 / 3)); }
ok "R42 renewal is planned before two thirds of its life are over" test "$(acme_get auto.renewal)" -le "$(two_thirds)"
first=$(serial_shown) pin=$(server_pin)
renewed() { [ "$(serial_shown)" != "$first" ] && issued; }
ok "R42 and takes place" within 35 renewed
ok "by an event of its own" within 3 event_seen cert_renewed
is "a renewal keeps the key: clients may have remembered it" "$(server_pin)" "$pin"
is "R41 R42 the client beside it lost nothing" "$(ping_lost)" 0
is "and never reconnected" "$(client_log_count 'CSTP connected')" 1
is "port 80 is closed when no challenge is open" "$(in_gateway ss -Hltn 'sport = :80')" ""

serial=$(serial)
acmed_down && acmed_up
ok "after a restart it goes on with what there is" within 3 acme_is live
is "and serves the same" "$(serial)" "$serial"
