#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 74-acme-dns.t -- a certificate by dns-01: acmed, ddnsd, the name server knot and the
# authority pebble, which looks names up there. No port of ours is asked.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/dns.sh"
. "$(dirname "$0")/../lib/acme.sh"
command -v knotd > /dev/null || lab_skip_all "no knotd: deploy/setup test"
lab_up || bail "no lab"
ca_keys && knot_up && hasync_up || bail "no name server or store"
PEBBLE_DNS=192.0.2.1:53 pebble_up PEBBLE_AUTHZREUSE=0 || bail "no pebble"
config() { # LINES of section certificate; SECRET of the zone
	echo 'server { hostname = "gw1.dyn.vpn.test" }
ddns "wan1" {
	provider = rfc2136 server = "192.0.2.1" zone = "vpn.test"
	key_name = "ddns-key" secret = "'${SECRET-dnskey}'" family = ipv4
}
certificate {
	directory = "'$ACME_DIR'"
	ca_file = "'$LAB'/trust.pem"
	agree_tos = true
	'"$1"'
}'; }
secret_set dnskey $DNS_SECRET && secret_set wrong $DNS_OTHER || bail "no secrets"
ddns_config "$(SECRET=wrong config 'challenge = dns-01')" 'wan "wan1" { interface = wan0 }'
ddns_start || bail "no ddnsd"
acmed_up || bail "no acmed"
ok "R27 with a ddns section enrolment begins by itself; what its server says is told" \
	within 15 acme_text_is 'failed: gw1.dyn.vpn.test by dns-01: .*another secret for key ddns-key'
is "nothing is served but our own" "$(acme_get live.source)" "self-signed of this node"
ddns_config "$(config)"
ok "enrolled by dns-01, which auto takes first where it can" within 25 acme_is live
within 3 test -s $LAB/state/certs/live.pem # the state is a moment earlier
is "for the name of the uplink" "$(leaf -ext subjectAltName | tail -n 1 | tr -d ' ')" DNS:gw1.dyn.vpn.test
ok "it was that challenge" grep -q '_acme-challenge.gw1.dyn.vpn.test' $LAB/ddnsd.log
gone() { [ -z "$(zone_get _acme-challenge.gw1.dyn.vpn.test TXT)" ]; }
ok "the record is taken away again" within 5 gone
ok "R27 the name has the address of the uplink" within 15 zone_is gw1.dyn.vpn.test A 192.0.2.10
